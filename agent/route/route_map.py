"""A map made ready for the search of routes, with what stands on it besides, and corridors."""

import math
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

COARSE_CELL_M = 0.1  # wanted edge of the squares of cells that the cost to go is worked out on


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
        distance_m = distance * np.float32(grid.resolution_m)
        return cls._of(filled, distance_m, grid.resolution_m, grid.map_from_grid.inverse())

    @classmethod
    def _of(
        cls,
        filled: NDArray[np.bool_],
        distance_m: NDArray[np.float32],
        resolution_m: float,
        grid_from_map: Pose2,
    ) -> Self:
        rows, columns = filled.shape
        counts = np.zeros((rows, columns + 1), np.int32)
        np.cumsum(filled, axis=1, out=counts[:, 1:])
        distance_m = np.ascontiguousarray(distance_m)
        side = max(1, round(COARSE_CELL_M / resolution_m))
        widest_m = np.empty((-(-rows // side), -(-columns // side)), np.float32)
        kernels.pool(distance_m, side, widest_m)
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

    def with_points(self, points_m: NDArray[np.float64], limit_m: float) -> "RouteMap":
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
        cell = np.float32(self.resolution_m)
        cut_m = np.minimum(self.ground.distance_m, np.float32(limit_m))
        distance: NDArray[np.float32] = np.divide(cut_m, cell, dtype=np.float32)
        kernels.add_filled(cells, limit_m / self.resolution_m, distance)
        distance *= cell
        return self._of(filled, distance, self.resolution_m, self.grid_from_map)

    def within(self, corridor: Band, reach_m: float) -> "RouteMap":
        """Return the map as it is to a robot that must not leave a corridor.

        Args:
            corridor: The band.
            reach_m: Radius about the base that holds the robot.
        """
        line_m = moved(self.grid_from_map, np.asarray(corridor.line_m, np.float64))
        inside = np.empty(self.filled.shape, np.bool_)
        kernels.inside_band(line_m, corridor.left_m, corridor.right_m, self.resolution_m, inside)
        filled = self.filled | ~inside if corridor.contour else self.filled
        distance_m = np.full(inside.shape, np.float32(-1.0))
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if len(rows) > 0:
            window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            outside = np.pad(~inside[window], 1, constant_values=True)
            edge = distance_transform(outside, math.inf)[1:-1, 1:-1]
            edge_m = edge * np.float32(self.resolution_m)
            if not corridor.contour:
                # The base alone may go up to the edge; as an obstacle it is that much farther.
                edge_m += np.float32(reach_m)
            nearest_m = np.minimum(self.ground.distance_m[window], edge_m)
            distance_m[window] = np.where(inside[window], nearest_m, np.float32(-1.0))
        return self._of(filled, distance_m, self.resolution_m, self.grid_from_map)
