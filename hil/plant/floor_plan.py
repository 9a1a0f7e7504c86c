"""A building as a surveyor draws it: surfaces at any place and angle, on no grid.

A map has walls as wide as its cells; whoever measures centimetres on it needs a world whose
surfaces are independent of them. The map is drawn from the plan, not the world from the map.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hil.plant import kernels
from hil.plant.surface_kernels import cast_surfaces
from hil.plant.world import ObstacleTable, Pose, World, place, rectangle

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]

_MARGIN_CELLS: Final = 20
_NO_CELLS: Final = np.zeros((1, 1), dtype=np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """Something that fills the inside of an outline, as high as the lidar looks.

    Attributes:
        outline: Corners of a simple polygon, shape ``(corners, 2)``, in m.
        movable: Whether people put it elsewhere one day: a pallet, a machine, but no wall.
    """

    outline: FloatArray
    movable: bool = False


class Raster(NamedTuple):
    """A plan drawn on square cells.

    Attributes:
        occupied: bool, shape ``(rows, cols)``, row 0 lowest: a surface passes through the cell.
        free: The same for cells whose centre is within the boundary and in no solid.
        origin_x_m: Lower left corner of cell (0, 0).
        origin_y_m: Lower left corner of cell (0, 0).
    """

    occupied: BoolArray
    free: BoolArray
    origin_x_m: float
    origin_y_m: float


@dataclass(frozen=True, slots=True, eq=False)
class FloorPlan:
    """A building.

    Attributes:
        boundary: Inner face of the outer wall, corners of a simple polygon, shape ``(n, 2)``.
        solids: What stands inside.
    """

    boundary: FloatArray
    solids: tuple[Solid, ...]

    @property
    def surfaces(self) -> FloatArray:
        """All faces, shape ``(surfaces, 4)``: x, y of one end and of the other."""
        return np.concatenate([edges(outline) for outline in self._outlines()])

    def turned(self, yaw_rad: float) -> "FloorPlan":
        """Return the same building at another heading, turned about the origin."""
        pose = Pose(0.0, 0.0, yaw_rad)
        solids = tuple(Solid(place(s.outline, pose), s.movable) for s in self.solids)
        return FloorPlan(place(self.boundary, pose), solids)

    def rasterized(self, resolution_m: float) -> Raster:
        """Draw the plan on cells; the origin of the plan is a corner of four of them."""
        low = np.floor(self.boundary.min(axis=0) / resolution_m).astype(int) - _MARGIN_CELLS
        high = np.ceil(self.boundary.max(axis=0) / resolution_m).astype(int) + _MARGIN_CELLS
        cols, rows = (high - low).tolist()
        origin_m = low * resolution_m
        occupied = np.zeros((rows, cols), dtype=np.bool_)
        free = np.zeros((rows, cols), dtype=np.bool_)
        for surface in self.surfaces:
            across, up = _crossed_cells(surface / resolution_m)
            occupied[up - low[1], across - low[0]] = True
        _fill(free, self.boundary, origin_m, resolution_m, value=True)
        for solid in self.solids:
            _fill(free, solid.outline, origin_m, resolution_m, value=False)
        return Raster(occupied, free & ~occupied, float(origin_m[0]), float(origin_m[1]))

    def _outlines(self) -> Iterable[FloatArray]:
        yield self.boundary
        for solid in self.solids:
            yield solid.outline


def edges(outline: FloatArray) -> FloatArray:
    """Return the sides of a closed outline, shape ``(corners, 4)``."""
    return np.hstack((outline, np.roll(outline, -1, axis=0)))


def block(pose: Pose, length_m: float, width_m: float, *, movable: bool = False) -> Solid:
    """Return a rectangular solid around a pose, its length along the pose's x axis."""
    return Solid(place(rectangle(length_m / 2, width_m / 2), pose), movable)


def inside(outline: FloatArray, xs_m: FloatArray, ys_m: FloatArray) -> BoolArray:
    """Return which points lie in a simple polygon (even-odd rule), in the shape of ``xs_m``."""
    result = np.zeros(np.broadcast(xs_m, ys_m).shape, dtype=np.bool_)
    for x1, y1, x2, y2 in edges(outline).tolist():
        if y1 != y2:
            spans = (y1 > ys_m) != (y2 > ys_m)
            result ^= spans & (xs_m < x1 + (ys_m - y1) * (x2 - x1) / (y2 - y1))
    return result


def distances_m(outline: FloatArray, points_m: FloatArray) -> FloatArray:
    """Return the distance of points, shape ``(n, 2)``, to a solid outline, 0 inside it."""
    nearest = np.full(len(points_m), math.inf)
    for x1, y1, x2, y2 in edges(outline).tolist():
        edge = np.array([x2 - x1, y2 - y1])
        to = points_m - (x1, y1)
        along = np.clip(to @ edge / (edge @ edge), 0.0, 1.0)
        nearest = np.minimum(nearest, np.hypot(*(to - along[:, None] * edge).T))
    nearest[inside(outline, points_m[:, 0], points_m[:, 1])] = 0.0
    return nearest


class SurveyedWorld:
    """A floor plan, and obstacles that stand and move in it."""

    def __init__(self, plan: FloorPlan) -> None:
        self.obstacles = World(_NO_CELLS, 1.0, 0.0, 0.0)
        self.rebuild(plan)

    def rebuild(self, plan: FloorPlan) -> None:
        """Change the building; obstacles stay."""
        self.plan = plan
        self._surfaces = np.ascontiguousarray(plan.surfaces)

    def ranges_m(
        self,
        poses: FloatArray,
        bearings_rad: FloatArray,
        stamps_ns: NDArray[np.int64],
        max_range_m: float,
    ) -> FloatArray:
        """Return true ranges, each ray from its own pose at its own time, NaN out of reach.

        Args:
            poses: Shape ``(3, rays)``: x, y (m) and yaw (rad) of the lidar.
            bearings_rad: Shape ``(rays,)``, counter-clockwise from the lidar's x axis.
            stamps_ns: Shape ``(rays,)``, increasing.
            max_range_m: Reach of the lidar.
        """
        ranges = np.empty(bearings_rad.size)
        xs_m, ys_m, yaws_rad = (np.ascontiguousarray(axis) for axis in poses)
        angles_rad = yaws_rad + bearings_rad
        cast_surfaces(
            self._near(xs_m, ys_m, max_range_m), xs_m, ys_m, angles_rad, max_range_m, ranges
        )
        table = self.obstacles.obstacles_at(int(stamps_ns[0]))
        if table.disc_names or table.box_names:
            offsets_s = (stamps_ns - stamps_ns[0]) * 1e-9
            hidden = _cast_obstacles(table, xs_m, ys_m, angles_rad, offsets_s, max_range_m)
            ranges = np.fmin(ranges, hidden)
        return ranges

    def _near(self, xs_m: FloatArray, ys_m: FloatArray, reach_m: float) -> FloatArray:
        """Return the surfaces whose bounding box a ray can reach."""
        ends = self._surfaces
        left, right = np.minimum(ends[:, 0], ends[:, 2]), np.maximum(ends[:, 0], ends[:, 2])
        low, high = np.minimum(ends[:, 1], ends[:, 3]), np.maximum(ends[:, 1], ends[:, 3])
        near = (right >= xs_m.min() - reach_m) & (left <= xs_m.max() + reach_m)
        near &= (high >= ys_m.min() - reach_m) & (low <= ys_m.max() + reach_m)
        return np.ascontiguousarray(ends[near])


def _cast_obstacles(
    table: ObstacleTable,
    xs_m: FloatArray,
    ys_m: FloatArray,
    angles_rad: FloatArray,
    offsets_s: FloatArray,
    max_range_m: float,
) -> FloatArray:
    ranges = np.empty(angles_rad.size)
    kernels.cast_rays(
        _NO_CELLS,
        1.0,
        0.0,
        0.0,
        xs_m,
        ys_m,
        angles_rad,
        offsets_s,
        table.discs,
        table.boxes,
        max_range_m,
        ranges,
    )
    return ranges


def _crossed_cells(surface: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return columns and rows of the cells that a segment, in cells, passes through."""
    start, end = surface[:2], surface[2:]
    shares = [np.array([0.0, 1.0])]
    for a, b in zip(start.tolist(), end.tolist(), strict=True):
        if a != b:
            borders = np.arange(math.ceil(min(a, b)), math.floor(max(a, b)) + 1)
            shares.append((borders - a) / (b - a))
    ordered = np.unique(np.concatenate(shares))
    middles = 0.5 * (ordered[1:] + ordered[:-1])
    points = np.floor(start + middles[:, None] * (end - start)).astype(np.int64)
    return points[:, 0], points[:, 1]


def _fill(
    mask: BoolArray,
    outline: FloatArray,
    origin_m: FloatArray,
    resolution_m: float,
    *,
    value: bool,
) -> None:
    """Set the cells whose centre lies in an outline."""
    rows, cols = mask.shape
    left, low = np.floor((outline.min(axis=0) - origin_m) / resolution_m).astype(int)
    right, high = np.ceil((outline.max(axis=0) - origin_m) / resolution_m).astype(int)
    up = np.arange(max(low, 0), min(high, rows))
    across = np.arange(max(left, 0), min(right, cols))
    xs_m = origin_m[0] + (across[None, :] + 0.5) * resolution_m
    ys_m = origin_m[1] + (up[:, None] + 0.5) * resolution_m
    window = (
        mask[up[0] : up[-1] + 1, across[0] : across[-1] + 1] if up.size and across.size else None
    )
    if window is not None:
        window[inside(outline, xs_m, ys_m)] = value
