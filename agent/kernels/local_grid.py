"""A rolling grid of what the lidars have seen around the robot.

Each cell keeps how firmly it is held for occupied, where in it the hits lie, and when it was last
seen. Rays clear the cells they cross and mark the one they end in (Moravec and Elfes, "High
Resolution Maps from Wide Angle Sonar", ICRA 1985); as the mean of the hits is kept, distances are
to points and not to cell centres.

Arrays are indexed ``[row, column]``; cell (0, 0) has its lower left corner at the grid's origin.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agent.kernels.clearance import signed_distance_m

HIT = 3  # what a ray that ends in a cell adds to its belief
MOST = 9  # so that a cell is free again after a few rays went through it
OCCUPIED = 3  # from which belief on a cell counts as occupied
NEVER = -(1 << 30)
CHUNK = 32  # cells that are looked at together
BLOCK = 32  # steps along a ray, or columns, that are gone through together
OUTSIDE = np.uint32(0xFFFF_FFFF)
WAKE_M = 0.15  # around what moves, where its hits of a moment ago may lie


@njit(cache=True, nogil=True)
def integrate_rays(
    origin_m: tuple[float, float],
    resolution_m: float,
    eye_m: tuple[float, float],
    ends_m: NDArray[np.float64],
    hits: NDArray[np.bool_],
    now_ms: int,
    belief: NDArray[np.int8],
    point_m: NDArray[np.float32],
    hit_ms: NDArray[np.int32],
    seen_ms: NDArray[np.int32],
) -> None:
    """Clear what the rays of a scan cross, and mark where they end.

    Args:
        origin_m: Lower left corner of the grid.
        resolution_m: Side of a cell.
        eye_m: Where the lidar is.
        ends_m: float64, shape ``(rays, 2)``, where the rays end.
        hits: Shape ``(rays,)``, whether there is something at the end.
        now_ms: When the scan was taken.
        belief: int8, shape ``(rows, columns)``, updated.
        point_m: float32, shape ``(rows, columns, 2)``, mean of the hits, updated.
        hit_ms: int32, shape ``(rows, columns)``, when it was last hit, updated.
        seen_ms: int32, shape ``(rows, columns)``, when it was last seen, updated.
    """
    rows, columns = belief.shape
    eye_x = (eye_m[0] - origin_m[0]) / resolution_m
    eye_y = (eye_m[1] - origin_m[1]) / resolution_m
    cells = np.empty(2 * (rows + columns), np.uint32)
    seen, held, now = seen_ms.ravel(), belief.ravel(), np.int32(now_ms)
    for i in range(ends_m.shape[0]):
        end_x = (ends_m[i, 0] - origin_m[0]) / resolution_m
        end_y = (ends_m[i, 1] - origin_m[1]) / resolution_m
        length = math.hypot(end_x - eye_x, end_y - eye_y)
        # The cell of the hit is not crossed, whatever rounding makes of it.
        steps = int(length - (1.0 if hits[i] else 0.0))
        if length > 0.0:
            dx, dy = (end_x - eye_x) / length, (end_y - eye_y) / length
            crossed = _cells_along(eye_x, eye_y, dx, dy, steps + 1, rows, columns, cells)
            for k in range(crossed):
                cell = cells[k]
                # Once a scan is enough: near the lidar many rays cross the same cell.
                if seen[cell] != now:
                    seen[cell] = now
                    if held[cell] > 0:
                        held[cell] -= 1
    for i in range(ends_m.shape[0]):
        if not hits[i]:
            continue
        x = (ends_m[i, 0] - origin_m[0]) / resolution_m
        y = (ends_m[i, 1] - origin_m[1]) / resolution_m
        if not (0.0 <= x < columns and 0.0 <= y < rows):
            continue
        row, column = int(y), int(x)
        gain = 0.2
        if belief[row, column] <= 0 or hit_ms[row, column] == NEVER:
            gain = 1.0
        for axis in range(2):
            mean = float(point_m[row, column, axis])
            point_m[row, column, axis] = mean + gain * (ends_m[i, axis] - mean)
        if hit_ms[row, column] != now_ms:
            hit_ms[row, column] = now_ms
            seen_ms[row, column] = now_ms
            belief[row, column] = min(MOST, belief[row, column] + HIT)


@njit(cache=True, nogil=True)
def _cells_along(
    eye_x: float,
    eye_y: float,
    dx: float,
    dy: float,
    steps: int,
    rows: int,
    columns: int,
    cells: NDArray[np.uint32],
) -> int:
    """Write the flat indices of the cells that a ray crosses, as far as it is in the window.

    In blocks: within one the loop is free of branches, so that it is done several at a time.

    Returns:
        How many there are.
    """
    steps = min(steps, cells.shape[0])
    for start in range(0, steps, BLOCK):
        end = min(steps, start + BLOCK)
        for k in range(start, end):
            column, row = np.int32(eye_x + k * dx), np.int32(eye_y + k * dy)
            inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            cells[k] = row * columns + column if inside else OUTSIDE
        if cells[start] == OUTSIDE or cells[end - 1] == OUTSIDE:
            for k in range(start, end):
                if cells[k] == OUTSIDE:
                    return k
    return steps


@njit(cache=True, nogil=True)
def mark_seen(
    origin_m: tuple[float, float],
    resolution_m: float,
    polygon: NDArray[np.float64],
    now_ms: int,
    belief: NDArray[np.int8],
    seen_ms: NDArray[np.int32],
) -> None:
    """Take the cells that a polygon covers, even partly, for free: the robot itself stands there.

    Args:
        origin_m: Lower left corner of the grid.
        resolution_m: Side of a cell.
        polygon: float64, shape ``(corners, 2)``.
        now_ms: When.
        belief: As for :func:`integrate_rays`, updated.
        seen_ms: The same.
    """
    rows, columns = belief.shape
    low_column = max(0, int((polygon[:, 0].min() - origin_m[0]) / resolution_m))
    high_column = min(columns - 1, int((polygon[:, 0].max() - origin_m[0]) / resolution_m))
    low_row = max(0, int((polygon[:, 1].min() - origin_m[1]) / resolution_m))
    high_row = min(rows - 1, int((polygon[:, 1].max() - origin_m[1]) / resolution_m))
    for row in range(low_row, high_row + 1):
        for column in range(low_column, high_column + 1):
            x = origin_m[0] + (column + 0.5) * resolution_m
            y = origin_m[1] + (row + 0.5) * resolution_m
            if signed_distance_m(x, y, polygon) < 0.5 * resolution_m:
                seen_ms[row, column] = now_ms
                belief[row, column] = 0


@njit(cache=True, nogil=True)
def roll(
    rows_up: int,
    columns_right: int,
    belief: NDArray[np.int8],
    point_m: NDArray[np.float32],
    hit_ms: NDArray[np.int32],
    seen_ms: NDArray[np.int32],
) -> None:
    """Move the window over the world; what enters it has never been seen.

    Args:
        rows_up: By how many cells the window moves up; negative for down.
        columns_right: The same to the right.
        belief: As for :func:`integrate_rays`, moved.
        point_m: The same.
        hit_ms: The same.
        seen_ms: The same.
    """
    rows, columns = belief.shape
    for i in range(rows):
        row = i if rows_up >= 0 else rows - 1 - i
        for j in range(columns):
            column = j if columns_right >= 0 else columns - 1 - j
            from_row, from_column = row + rows_up, column + columns_right
            if 0 <= from_row < rows and 0 <= from_column < columns:
                belief[row, column] = belief[from_row, from_column]
                point_m[row, column, 0] = point_m[from_row, from_column, 0]
                point_m[row, column, 1] = point_m[from_row, from_column, 1]
                hit_ms[row, column] = hit_ms[from_row, from_column]
                seen_ms[row, column] = seen_ms[from_row, from_column]
            else:
                belief[row, column] = 0
                hit_ms[row, column] = NEVER
                seen_ms[row, column] = NEVER


@njit(cache=True, nogil=True)
def occupied_points(
    belief: NDArray[np.int8],
    point_m: NDArray[np.float32],
    hit_ms: NDArray[np.int32],
    since_ms: int,
    moving: NDArray[np.float64],
    points_m: NDArray[np.float64],
) -> int:
    """Forget what was hit too long ago, and collect the rest that stands.

    Args:
        belief: As for :func:`integrate_rays`; cells that are forgotten become free.
        point_m: The same.
        hit_ms: The same.
        since_ms: What was hit last before this moment is forgotten.
        moving: float64, shape ``(objects, 5)`` or wider: x, y, vx, vy and radius; what lies in such
            a disc is left out.
        points_m: float64 output, shape ``(most, 2)``.

    Returns:
        How many points there are.
    """
    rows, columns = belief.shape
    count = 0
    for row in range(rows):
        for start in range(0, columns, CHUNK):
            end = min(columns, start + CHUNK)
            if not _any_occupied(belief[row, start:end]):
                continue
            for column in range(start, end):
                if belief[row, column] < OCCUPIED:
                    continue
                if hit_ms[row, column] < since_ms:
                    belief[row, column] = 0
                elif count < points_m.shape[0]:
                    x, y = float(point_m[row, column, 0]), float(point_m[row, column, 1])
                    if not _is_in_any(x, y, moving):
                        points_m[count, 0], points_m[count, 1] = x, y
                        count += 1
    return count


@njit(cache=True, nogil=True)
def _any_occupied(belief: NDArray[np.int8]) -> bool:
    """Whether any cell of a piece of a row is occupied; without a branch, so many at a time."""
    most = np.int8(0)
    for column in range(belief.shape[0]):
        most = max(most, belief[column])
    return bool(most >= OCCUPIED)


@njit(cache=True, nogil=True)
def _is_in_any(x_m: float, y_m: float, moving: NDArray[np.float64]) -> bool:
    """Whether a point lies in one of some discs, or in its wake."""
    for i in range(moving.shape[0]):
        if math.hypot(x_m - moving[i, 0], y_m - moving[i, 1]) < moving[i, 4] + WAKE_M:
            return True
    return False


@njit(cache=True, nogil=True)
def _can_hide(seen_ms: NDArray[np.int32], row: int, column: int, since_ms: int) -> bool:
    """Whether a cell is part of two by two that have not been seen: in less nothing can hide.

    Between a robot's side and the first ray of a scanner at its corner there is always a sliver.
    """
    rows, columns = seen_ms.shape
    for i in range(max(0, row - 1), min(rows - 2, row) + 1):
        for j in range(max(0, column - 1), min(columns - 2, column) + 1):
            if (
                seen_ms[i, j] < since_ms
                and seen_ms[i, j + 1] < since_ms
                and seen_ms[i + 1, j] < since_ms
                and seen_ms[i + 1, j + 1] < since_ms
            ):
                return True
    return False


@njit(cache=True, nogil=True)
def doubtful_points(
    origin_m: tuple[float, float],
    resolution_m: float,
    place_m: tuple[float, float],
    radius_m: float,
    since_ms: int,
    belief: NDArray[np.int8],
    point_m: NDArray[np.float32],
    seen_ms: NDArray[np.int32],
    hits: bool,
    points_m: NDArray[np.float64],
) -> int:
    """Collect the hits around a place, or the centres of the cells that have not been seen.

    Args:
        origin_m: Lower left corner of the grid.
        resolution_m: Side of a cell.
        place_m: The place.
        radius_m: How far around it.
        since_ms: What was seen last before this moment counts as not seen.
        belief: As for :func:`integrate_rays`.
        point_m: The same.
        seen_ms: The same.
        hits: Whether the hits are wanted, or else what has not been seen.
        points_m: float64 output, shape ``(most, 2)``.

    Returns:
        How many points there are.
    """
    rows, columns = seen_ms.shape
    x_m, y_m = place_m
    low_row = max(0, int((y_m - radius_m - origin_m[1]) / resolution_m))
    high_row = min(rows - 1, int((y_m + radius_m - origin_m[1]) / resolution_m))
    low_column = max(0, int((x_m - radius_m - origin_m[0]) / resolution_m))
    high_column = min(columns - 1, int((x_m + radius_m - origin_m[0]) / resolution_m))
    count = 0
    for row in range(low_row, high_row + 1):
        for column in range(low_column, high_column + 1):
            if belief[row, column] >= OCCUPIED:
                if not hits:
                    continue
                x, y = float(point_m[row, column, 0]), float(point_m[row, column, 1])
            elif hits:
                continue
            elif seen_ms[row, column] < since_ms and _can_hide(seen_ms, row, column, since_ms):
                x = origin_m[0] + (column + 0.5) * resolution_m
                y = origin_m[1] + (row + 0.5) * resolution_m
            else:
                continue
            if math.hypot(x - x_m, y - y_m) < radius_m and count < points_m.shape[0]:
                points_m[count, 0], points_m[count, 1] = x, y
                count += 1
    return count


@njit(cache=True, nogil=True)
def splat_distance(
    origin_m: tuple[float, float],
    resolution_m: float,
    points_m: NDArray[np.float64],
    limit_m: float,
    distance_m: NDArray[np.float32],
) -> None:
    """Write the distance from every cell's centre to the nearest of some points.

    Exact within the limit, as every point is compared with every cell that it can be nearest to.

    Args:
        origin_m: Lower left corner of the grid.
        resolution_m: Side of a cell.
        points_m: float64, shape ``(points, 2)``.
        limit_m: Distances from here on are all this.
        distance_m: float32 output, shape ``(rows, columns)``.
    """
    rows, columns = distance_m.shape
    limit = np.float32(limit_m * limit_m)
    distance_m[:, :] = limit
    # More is compared than has to be, and left as it is: whole blocks have no slow rest of a loop.
    reached = int(2.0 * limit_m / resolution_m) + 2
    width = min(columns, (reached + BLOCK - 1) // BLOCK * BLOCK)
    across, flat = np.empty(width, np.float32), distance_m.ravel()
    for i in range(points_m.shape[0]):
        x, y = points_m[i, 0] - origin_m[0], points_m[i, 1] - origin_m[1]
        low = min(columns - width, max(0, int((x - limit_m) / resolution_m)))
        for k in range(width):
            dx = (low + k + 0.5) * resolution_m - x
            across[k] = dx * dx
        low_row = max(0, int((y - limit_m) / resolution_m))
        high_row = min(rows - 1, int((y + limit_m) / resolution_m))
        for row in range(low_row, high_row + 1):
            dy = (row + 0.5) * resolution_m - y
            squared_dy = np.float32(dy * dy)
            first = row * columns + low
            for k in range(width):
                cell = np.uint64(first + k)
                flat[cell] = min(flat[cell], across[np.uint64(k)] + squared_dy)
    for row in range(rows):
        for column in range(columns):
            distance_m[row, column] = math.sqrt(distance_m[row, column])
