"""Compiled physics of the plant: rays and contact in a grid with moving discs and boxes.

Grids are ``cells[row, col]`` with row 0 at the bottom; cell (0, 0) has its lower left corner at
``(origin_x_m, origin_y_m)``. Obstacle tables hold one obstacle a row, positions at offset 0:

* ``discs``, shape ``(discs, 5)``: x, y (m), vx, vy (m/s), radius (m);
* ``boxes``, shape ``(boxes, 7)``: x, y (m), vx, vy (m/s), yaw (rad), half length, half width (m).
"""

import math
from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

BoolArray: TypeAlias = NDArray[np.bool_]
FloatArray: TypeAlias = NDArray[np.float64]
StampArray: TypeAlias = NDArray[np.int64]


@njit(cache=True, nogil=True)
def _cast_grid(cells: BoolArray, x: float, y: float, dx: float, dy: float, limit: float) -> float:
    """Return how far a ray runs to the first occupied cell, all lengths in cells.

    Amanatides and Woo, "A Fast Voxel Traversal Algorithm for Ray Tracing", Eurographics 1987,
    with the ray first clipped to the grid. Returns inf where nothing is met within ``limit``.
    """
    rows, cols = cells.shape
    enter, leave = 0.0, limit
    for position, direction, size in ((x, dx, cols), (y, dy, rows)):
        if direction == 0.0:
            if position < 0.0 or position >= size:
                return math.inf
        else:
            near, far = -position / direction, (size - position) / direction
            enter = max(enter, min(near, far))
            leave = min(leave, max(near, far))
    if enter > leave:
        return math.inf

    # On a border, the ray begins in the cell that it runs into.
    enter_x, enter_y = x + enter * dx, y + enter * dy
    col = math.ceil(enter_x) - 1 if dx < 0.0 else math.floor(enter_x)
    row = math.ceil(enter_y) - 1 if dy < 0.0 else math.floor(enter_y)
    col, row = min(max(col, 0), cols - 1), min(max(row, 0), rows - 1)
    step_col = 1 if dx > 0.0 else -1
    step_row = 1 if dy > 0.0 else -1
    next_col = (col + (dx > 0.0) - x) / dx if dx != 0.0 else math.inf
    next_row = (row + (dy > 0.0) - y) / dy if dy != 0.0 else math.inf
    delta_col = abs(1.0 / dx) if dx != 0.0 else math.inf
    delta_row = abs(1.0 / dy) if dy != 0.0 else math.inf
    length = enter
    while length <= limit and 0 <= col < cols and 0 <= row < rows:
        if cells[row, col]:
            return length
        if next_col < next_row:
            length = next_col
            next_col += delta_col
            col += step_col
        else:
            length = next_row
            next_row += delta_row
            row += step_row
    return math.inf


@njit(cache=True, nogil=True)
def _cast_disc(
    x: float, y: float, dx: float, dy: float, center_x: float, center_y: float, radius: float
) -> float:
    """Return how far a ray runs to a disc, 0 from inside, inf past it."""
    to_x, to_y = center_x - x, center_y - y
    along = to_x * dx + to_y * dy
    outside = to_x * to_x + to_y * to_y - radius * radius
    if outside <= 0.0:
        return 0.0
    chord = along * along - outside
    if along <= 0.0 or chord < 0.0:
        return math.inf
    return along - math.sqrt(chord)


@njit(cache=True, nogil=True)
def _cast_box(
    x: float,
    y: float,
    dx: float,
    dy: float,
    center_x: float,
    center_y: float,
    yaw: float,
    half_length: float,
    half_width: float,
) -> float:
    """Return how far a ray runs to an oriented box, 0 from inside, inf past it (slab method)."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    from_x, from_y = x - center_x, y - center_y
    enter, leave = 0.0, math.inf
    for position, direction, half in (
        (cos * from_x + sin * from_y, cos * dx + sin * dy, half_length),
        (cos * from_y - sin * from_x, cos * dy - sin * dx, half_width),
    ):
        if direction == 0.0:
            if abs(position) > half:
                return math.inf
        else:
            near, far = (-half - position) / direction, (half - position) / direction
            enter = max(enter, min(near, far))
            leave = min(leave, max(near, far))
    return enter if enter <= leave else math.inf


@njit(cache=True, nogil=True)
def cast_rays(
    cells: BoolArray,
    resolution_m: float,
    origin_x_m: float,
    origin_y_m: float,
    xs_m: FloatArray,
    ys_m: FloatArray,
    angles_rad: FloatArray,
    offsets_s: FloatArray,
    discs: FloatArray,
    boxes: FloatArray,
    max_range_m: float,
    ranges_m: FloatArray,
) -> None:
    """Cast rays, each from its own place at its own time; NaN where nothing is within reach.

    Args:
        cells: bool, shape ``(rows, cols)``, True where occupied.
        resolution_m: Side of a cell.
        origin_x_m: Lower left corner of the grid.
        origin_y_m: Lower left corner of the grid.
        xs_m: float64, shape ``(rays,)``, where each ray starts, in the frame of the grid.
        ys_m: The same for y.
        angles_rad: float64, shape ``(rays,)``, direction of each ray in the frame of the grid.
        offsets_s: float64, shape ``(rays,)``, time of each ray after that of the obstacle tables.
        discs: float64, see the module.
        boxes: float64, see the module.
        max_range_m: Reach of the sensor.
        ranges_m: float64, shape ``(rays,)``, written.
    """
    for i in range(angles_rad.size):
        x, y, after = xs_m[i], ys_m[i], offsets_s[i]
        dx, dy = math.cos(angles_rad[i]), math.sin(angles_rad[i])
        nearest = resolution_m * _cast_grid(
            cells,
            (x - origin_x_m) / resolution_m,
            (y - origin_y_m) / resolution_m,
            dx,
            dy,
            max_range_m / resolution_m,
        )
        for j in range(discs.shape[0]):
            disc = discs[j]
            center_x, center_y = disc[0] + after * disc[2], disc[1] + after * disc[3]
            nearest = min(nearest, _cast_disc(x, y, dx, dy, center_x, center_y, disc[4]))
        for j in range(boxes.shape[0]):
            box = boxes[j]
            center_x, center_y = box[0] + after * box[2], box[1] + after * box[3]
            reach = _cast_box(x, y, dx, dy, center_x, center_y, box[4], box[5], box[6])
            nearest = min(nearest, reach)
        ranges_m[i] = nearest if nearest <= max_range_m else math.nan


@njit(cache=True, nogil=True)
def interpolate_poses(
    stamps_ns: StampArray, poses: FloatArray, count: int, wanted_ns: StampArray, out: FloatArray
) -> None:
    """Interpolate poses linearly in time; before the first and after the last they stand still.

    Args:
        stamps_ns: int64, shape ``(capacity,)``, increasing over the first ``count``.
        poses: float64, shape ``(3, capacity)``, x, y (m) and unwrapped yaw (rad).
        count: How many poses there are.
        wanted_ns: int64, shape ``(rays,)``.
        out: float64, shape ``(3, rays)``, written.
    """
    for i in range(wanted_ns.size):
        after = np.searchsorted(stamps_ns[:count], wanted_ns[i])
        before = max(after - 1, 0)
        after = min(after, count - 1)
        part = 0.0
        if after > before:
            part = (wanted_ns[i] - stamps_ns[before]) / (stamps_ns[after] - stamps_ns[before])
        for k in range(3):
            out[k, i] = poses[k, before] + part * (poses[k, after] - poses[k, before])


@njit(cache=True, nogil=True)
def place(outline: FloatArray, x_m: float, y_m: float, yaw_rad: float, placed: FloatArray) -> None:
    """Take corners from their own frame to that of the world.

    Args:
        outline: float64, shape ``(corners, 2)``.
        x_m: Pose of the outline's frame.
        y_m: Pose of the outline's frame.
        yaw_rad: Pose of the outline's frame.
        placed: float64, shape ``(corners, 2)``, written.
    """
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    for i in range(outline.shape[0]):
        placed[i, 0] = x_m + cos * outline[i, 0] - sin * outline[i, 1]
        placed[i, 1] = y_m + sin * outline[i, 0] + cos * outline[i, 1]


@njit(cache=True, nogil=True)
def _separated_along(polygon: FloatArray, other: FloatArray, axis_x: float, axis_y: float) -> bool:
    """Whether the projections of two polygons on an axis are disjoint."""
    low, high = math.inf, -math.inf
    for i in range(polygon.shape[0]):
        along = polygon[i, 0] * axis_x + polygon[i, 1] * axis_y
        low, high = min(low, along), max(high, along)
    other_low, other_high = math.inf, -math.inf
    for i in range(other.shape[0]):
        along = other[i, 0] * axis_x + other[i, 1] * axis_y
        other_low, other_high = min(other_low, along), max(other_high, along)
    return high <= other_low or other_high <= low


@njit(cache=True, nogil=True)
def polygons_overlap(polygon: FloatArray, other: FloatArray) -> bool:
    """Whether two convex polygons share area (separating axes; touching is no overlap).

    Args:
        polygon: float64, shape ``(corners, 2)``.
        other: float64, shape ``(corners, 2)``, in the same frame.
    """
    for outline in (polygon, other):
        corners = outline.shape[0]
        for i in range(corners):
            j = (i + 1) % corners
            normal_x = outline[j, 1] - outline[i, 1]
            normal_y = outline[i, 0] - outline[j, 0]
            if _separated_along(polygon, other, normal_x, normal_y):
                return False
    return True


@njit(cache=True, nogil=True)
def disc_overlaps(polygon: FloatArray, center_x: float, center_y: float, radius: float) -> bool:
    """Whether a disc and a convex polygon, corners counter-clockwise, share area."""
    corners = polygon.shape[0]
    inside = True
    nearest_squared = math.inf
    for i in range(corners):
        j = (i + 1) % corners
        edge_x, edge_y = polygon[j, 0] - polygon[i, 0], polygon[j, 1] - polygon[i, 1]
        to_x, to_y = center_x - polygon[i, 0], center_y - polygon[i, 1]
        inside = inside and edge_x * to_y - edge_y * to_x > 0.0
        along = (to_x * edge_x + to_y * edge_y) / (edge_x * edge_x + edge_y * edge_y)
        along = min(max(along, 0.0), 1.0)
        off_x, off_y = to_x - along * edge_x, to_y - along * edge_y
        nearest_squared = min(nearest_squared, off_x * off_x + off_y * off_y)
    return inside or nearest_squared < radius * radius


@njit(cache=True, nogil=True)
def overlaps_cells(
    cells: BoolArray,
    resolution_m: float,
    origin_x_m: float,
    origin_y_m: float,
    polygon: FloatArray,
    square: FloatArray,
) -> bool:
    """Whether a convex polygon shares area with an occupied cell.

    Args:
        cells: bool, shape ``(rows, cols)``, True where occupied.
        resolution_m: Side of a cell.
        origin_x_m: Lower left corner of the grid.
        origin_y_m: Lower left corner of the grid.
        polygon: float64, shape ``(corners, 2)``, in the frame of the grid.
        square: float64, shape ``(4, 2)``, scratch.
    """
    rows, cols = cells.shape
    first_col = max(math.floor((polygon[:, 0].min() - origin_x_m) / resolution_m), 0)
    last_col = min(math.floor((polygon[:, 0].max() - origin_x_m) / resolution_m), cols - 1)
    first_row = max(math.floor((polygon[:, 1].min() - origin_y_m) / resolution_m), 0)
    last_row = min(math.floor((polygon[:, 1].max() - origin_y_m) / resolution_m), rows - 1)
    for row in range(first_row, last_row + 1):
        for col in range(first_col, last_col + 1):
            if not cells[row, col]:
                continue
            left, bottom = origin_x_m + col * resolution_m, origin_y_m + row * resolution_m
            right, top = left + resolution_m, bottom + resolution_m
            square[0, 0], square[0, 1] = left, bottom
            square[1, 0], square[1, 1] = right, bottom
            square[2, 0], square[2, 1] = right, top
            square[3, 0], square[3, 1] = left, top
            if polygons_overlap(polygon, square):
                return True
    return False
