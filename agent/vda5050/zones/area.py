"""The floor that a zone covers, and whether a robot is on it (3.0, sections 6.4.1 and 7.6)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from agent.mapping.occupancy_grid import OCCUPIED, OccupancyGrid
from agent.vda5050.messages import Zone

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Area:
    """A zone of a set, with its polygon.

    Attributes:
        zone_set_id: The set.
        zone: What holds in it.
    """

    zone_set_id: str
    zone: Zone

    @cached_property
    def corners_m(self) -> F64:
        """The polygon, shape ``(n, 2)``, in the map frame."""
        return np.array([(vertex.x, vertex.y) for vertex in self.zone.vertices])

    def near(self, points_m: F64, reach_m: float) -> Mask:
        """Return which points, shape ``(k, 2)``, are within reach of the polygon's bounds."""
        low, high = self.corners_m.min(axis=0) - reach_m, self.corners_m.max(axis=0) + reach_m
        inside: Mask = ((points_m >= low) & (points_m <= high)).all(axis=1)
        return inside

    def holds(self, points_m: F64) -> Mask:
        """Return which points, shape ``(k, 2)``, lie inside: kinematic centers (6.4.1.2)."""
        return encloses(self.corners_m, points_m)

    def touched_by(self, outlines_m: F64) -> Mask:
        """Return which outlines have a part inside: contours (6.4.1.1).

        Args:
            outlines_m: Shape ``(k, corners, 2)``.
        """
        centers = outlines_m.mean(axis=1)
        reach_m = float(np.hypot(*(outlines_m - centers[:, None]).reshape(-1, 2).T).max())
        touched = self.near(centers, reach_m)
        if not touched.any():
            return touched
        near = outlines_m[touched]
        count, corners, _ = near.shape
        inside = self.holds(near.reshape(-1, 2)).reshape(count, corners).any(axis=1)
        # The zone may also lie within the outline as a whole.
        touched[touched] = inside | cross(near, self.corners_m) | covers(near, self.corners_m[0])
        return touched

    def with_walls(self, grid: OccupancyGrid) -> NDArray[np.int8]:
        """Return the cells of a map with those of the zone occupied, and those that it cuts."""
        cells = grid.cells.copy()
        grid_from_map = grid.map_from_grid.inverse()
        corners = np.array([grid_from_map.transform(*corner) for corner in self.corners_m])
        corners /= grid.resolution_m
        low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, cells.shape[::-1])
        if (low >= high).any():
            return cells
        x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
        half = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (0.0, 0.0)])
        centers = np.column_stack((x.ravel(), y.ravel()))
        covered = np.zeros(len(centers), np.bool_)
        for offset in half:
            covered |= encloses(corners, centers + offset)
        window = cells[low[1] : high[1], low[0] : high[0]]
        window[covered.reshape(x.shape)] = OCCUPIED
        return cells


def encloses(polygon_m: F64, points_m: F64) -> Mask:
    """Return which points lie in a polygon, by the crossings of a ray with its sides.

    Args:
        polygon_m: Shape ``(n, 2)``.
        points_m: Shape ``(k, 2)``.
    """
    begin, end = polygon_m, np.roll(polygon_m, -1, axis=0)
    x, y = points_m[:, :1], points_m[:, 1:]
    straddles = (begin[:, 1] > y) != (end[:, 1] > y)
    rise = np.where(begin[:, 1] == end[:, 1], 1.0, end[:, 1] - begin[:, 1])
    at = begin[:, 0] + (y - begin[:, 1]) * (end[:, 0] - begin[:, 0]) / rise
    return np.asarray((straddles & (x < at)).sum(axis=1) % 2 == 1, np.bool_)


def covers(outlines_m: F64, point_m: F64) -> Mask:
    """Return which convex outlines, shape ``(k, corners, 2)``, have a point inside."""
    sides = _side(outlines_m, np.roll(outlines_m, -1, axis=1), point_m)
    return np.asarray((sides > 0.0).all(axis=1) | (sides < 0.0).all(axis=1), np.bool_)


def cross(outlines_m: F64, polygon_m: F64) -> Mask:
    """Return which outlines have a side that crosses one of a polygon.

    Args:
        outlines_m: Shape ``(k, corners, 2)``.
        polygon_m: Shape ``(n, 2)``.
    """
    begin, ahead = outlines_m[:, :, None], np.roll(outlines_m, -1, axis=1)[:, :, None]
    # On which side of each side of the one every corner of the other lies.
    of_polygon = _side(begin, ahead, polygon_m)
    of_outline = _side(polygon_m, np.roll(polygon_m, -1, axis=0), begin)
    apart = of_polygon * np.roll(of_polygon, -1, axis=2) < 0.0
    apart &= of_outline * np.roll(of_outline, -1, axis=1) < 0.0
    return np.asarray(apart.any(axis=(1, 2)), np.bool_)


def distances_m(points_m: F64, line_m: F64) -> F64:
    """Return how far points are from a line of straight pieces.

    Args:
        points_m: Shape ``(k, 2)``.
        line_m: Shape ``(n, 2)``, two points or more.
    """
    begin, way = line_m[None, :-1], np.diff(line_m, axis=0)[None]
    off = points_m[:, None] - begin
    square = np.maximum((way**2).sum(axis=2), 1e-12)
    share = np.clip((off * way).sum(axis=2) / square, 0.0, 1.0)
    rest = off - share[..., None] * way
    nearest: F64 = np.hypot(rest[..., 0], rest[..., 1]).min(axis=1)
    return nearest


def is_simple(polygon_m: F64) -> bool:
    """Whether no two sides of a polygon cross, and it covers any floor (section 7.6)."""
    ends = np.roll(polygon_m, -1, axis=0)
    doubled = float(np.sum(polygon_m[:, 0] * ends[:, 1] - ends[:, 0] * polygon_m[:, 1]))
    sides = np.stack((polygon_m, ends), axis=1)
    crossings = cross(sides, polygon_m)
    return doubled != 0.0 and not crossings.any()


def _side(begin: F64, end: F64, point: F64) -> F64:
    """Return on which side of a line points are, above 0 to the left."""
    way, off = end - begin, point - begin
    side: F64 = way[..., 0] * off[..., 1] - way[..., 1] * off[..., 0]
    return side
