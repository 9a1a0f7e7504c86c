"""A map made ready for the search of routes, with what stands on it besides, and corridors."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agent.geometry.points import moved
from agent.geometry.pose import Pose2
from agent.kernels import route as kernels
from agent.kernels.distance import distance_transform
from agent.kernels.route import Ground
from agent.mapping.occupancy_grid import OccupancyGrid
from agent.route.work import Task, Work

COARSE_CELL_M = 0.1  # wanted edge of the squares of cells that the cost to go is worked out on
SLICE_CELLS = 150_000  # of a map that are gone through in a slice of work
SLICE_POINTS = 80  # that are put on a map in a slice of work


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """The floor of a corridor, which must not be left (VDA 5050 2.1, section 6.6.5).

    Attributes:
        line_m: Shape ``(n, 2)``, two points or more along it from start to end, in the map frame.
        left_m: Width to the left of the line.
        right_m: Width to the right.
        contour: Whether the whole footprint has to stay inside, or only the base.
    """

    line_m: NDArray[np.float64]
    left_m: float
    right_m: float
    contour: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class RouteMap:
    """Where a robot may be; what is unknown or outside the map counts as occupied.

    Attributes:
        filled: bool, shape ``(rows, columns)``, read-only, cells that are not known to be free.
        ground: Distances to these and their counts.
        widest_m: float32, read-only, largest distance in each square of cells.
        coarse_m: Edge of these squares.
        grid_from_map: Takes poses of the map frame to the frame of the cells.
    """

    filled: NDArray[np.bool_]
    ground: Ground
    widest_m: NDArray[np.float32]
    coarse_m: float
    grid_from_map: Pose2

    @classmethod
    def prepare(cls, grid: OccupancyGrid) -> Self:
        """Work out the distances of a map, once."""
        filled = ~grid.free
        around = np.pad(filled, 1, constant_values=True)
        distance = distance_transform(around, math.inf)[1:-1, 1:-1]
        distance_m = np.ascontiguousarray(distance * np.float32(grid.resolution_m))
        work = cls._of(filled, distance_m, grid.resolution_m, grid.map_from_grid.inverse())
        return Task(work).finish()

    @classmethod
    def _of(
        cls,
        filled: NDArray[np.bool_],
        distance_m: NDArray[np.float32],
        resolution_m: float,
        grid_from_map: Pose2,
    ) -> Work[Self]:
        rows, columns = filled.shape
        counts = np.zeros((rows, columns + 1), np.int32)
        side = max(1, round(COARSE_CELL_M / resolution_m))
        widest_m = np.empty((-(-rows // side), -(-columns // side)), np.float32)
        for strip in _strips(rows, columns, side):
            np.cumsum(filled[strip], axis=1, out=counts[strip, 1:])
            squares = slice(strip.start // side, -(-strip.stop // side))
            kernels.pool(distance_m[strip], side, widest_m[squares])
            yield 1.0
        for array in (filled, counts, distance_m, widest_m):
            array.setflags(write=False)
        ground = Ground(distance_m, counts, resolution_m)
        return cls(filled, ground, widest_m, side * resolution_m, grid_from_map)

    @property
    def resolution_m(self) -> float:
        """Edge of a cell."""
        return self.ground.resolution_m

    def contains(self, x_m: float, y_m: float) -> bool:
        """Return whether a point of the frame of the cells lies on the map."""
        rows, columns = self.ground.distance_m.shape
        width_m, height_m = columns * self.resolution_m, rows * self.resolution_m
        return bool(0.0 <= x_m < width_m and 0.0 <= y_m < height_m)

    def with_points(self, points_m: NDArray[np.float64], limit_m: float) -> Work["RouteMap"]:
        """Return the map with the cells under points filled.

        Args:
            points_m: Shape ``(k, 2)``, in the map frame; those that lie outside are ignored.
            limit_m: Distance at which the field is cut off.
        """
        points = moved(self.grid_from_map, points_m[np.isfinite(points_m).all(axis=1)])
        cells = np.floor(points[:, ::-1] / self.resolution_m).astype(np.int64)
        cells = cells[(cells >= 0).all(axis=1) & (cells < self.filled.shape).all(axis=1)]
        cells = np.unique(cells, axis=0)
        cells = cells[~self.filled[cells[:, 0], cells[:, 1]]]
        if len(cells) == 0:
            return self
        filled = self.filled.copy()
        filled[cells[:, 0], cells[:, 1]] = True
        yield 0.25 * filled.size / SLICE_CELLS
        cell, limit = np.float32(self.resolution_m), np.float32(limit_m)
        distance = np.empty_like(self.ground.distance_m)
        for strip in _strips(*filled.shape):
            np.minimum(self.ground.distance_m[strip], limit, out=distance[strip])
            distance[strip] /= cell
            yield 1.0
        for first in range(0, len(cells), SLICE_POINTS):
            some = cells[first : first + SLICE_POINTS]
            kernels.add_filled(some, limit_m / self.resolution_m, distance)
            yield 1.0
        for strip in _strips(*filled.shape):
            distance[strip] *= cell
            yield 0.3
        return (yield from self._of(filled, distance, self.resolution_m, self.grid_from_map))

    def within(self, corridor: Band, reach_m: float) -> Work["RouteMap"]:
        """Return the part of the map that a robot can use that must not leave a corridor.

        Args:
            corridor: The band.
            reach_m: Radius about the base that holds the robot.
        """
        line_m = moved(self.grid_from_map, np.asarray(corridor.line_m, np.float64))
        wide_m = max(corridor.left_m, corridor.right_m) + reach_m + self.coarse_m
        box, corner_m = self._box(line_m.min(axis=0) - wide_m, line_m.max(axis=0) + wide_m)
        filled = self.filled[box].copy()
        distance_m = self.ground.distance_m[box].copy()
        line_m -= corner_m
        yield 0.25 * filled.size / SLICE_CELLS
        for strip in _strips(*filled.shape):
            strip_line_m = line_m - (0.0, strip.start * self.resolution_m)
            room_m = np.empty(distance_m[strip].shape, np.float32)
            kernels.room_in_band(
                strip_line_m, corridor.left_m, corridor.right_m, self.resolution_m, room_m
            )
            outside = room_m < 0.0
            if corridor.contour:
                filled[strip] |= outside
            else:
                # The base alone may go up to the edge; as an obstacle it is that much farther.
                room_m += np.float32(reach_m)
            np.minimum(distance_m[strip], room_m, out=distance_m[strip])
            distance_m[strip][outside] = -1.0
            yield 2.0
        grid_from_map = Pose2(-corner_m[0], -corner_m[1], 0.0) @ self.grid_from_map
        return (yield from self._of(filled, distance_m, self.resolution_m, grid_from_map))

    def _box(
        self, low_m: NDArray[np.float64], high_m: NDArray[np.float64]
    ) -> tuple[tuple[slice, slice], tuple[float, float]]:
        """Return rows and columns of a box, one cell or more, and where its corner lies."""
        first = np.floor(low_m / self.resolution_m).astype(int)
        last = np.ceil(high_m / self.resolution_m).astype(int)
        rows, columns = self.filled.shape
        low_x, low_y = np.clip(first, 0, (columns - 1, rows - 1)).tolist()
        high_x, high_y = np.clip(last, (low_x + 1, low_y + 1), (columns, rows)).tolist()
        corner_m = low_x * self.resolution_m, low_y * self.resolution_m
        return (slice(low_y, high_y), slice(low_x, high_x)), corner_m


def _strips(rows: int, columns: int, side: int = 1) -> Iterator[slice]:
    """Yield slices of rows, of so many cells together that a slice of work goes through them.

    Args:
        rows: Of a map.
        columns: Of the same.
        side: All slices begin at a multiple of it.
    """
    step = max(1, SLICE_CELLS // columns // side) * side
    for first in range(0, rows, step):
        yield slice(first, min(rows, first + step))
