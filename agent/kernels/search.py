"""Branch and bound over all poses of a map.

Hess, Kohler, Rapp, Andor, "Real-Time Loop Closure in 2D LIDAR SLAM", ICRA 2016, algorithms 2 and 3.
A node is a square of ``2 ** level`` cells and a heading; its bound is the sum, over the points of a
scan, of a field whose every cell holds the maximum over the square that begins there. Here the
search is cut into slices of a given number of nodes, so that a control loop never waits for it, and
keeps the best of every neighbourhood instead of the one best of all.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def pool_maximum(field: NDArray[np.uint8], reach: int, pooled: NDArray[np.uint8]) -> None:
    """Return for each cell the maximum over itself and three neighbours beyond it.

    Applied with reaches of 1, 2, 4 this gives maxima over squares of 2, 4, 8 cells (section V.B).

    Args:
        field: uint8, shape ``(rows, columns)``.
        reach: Distance of the neighbours in cells; beyond the grid there is nothing.
        pooled: uint8 output, same shape.
    """
    rows, columns = field.shape
    for row in range(rows):
        for column in range(columns):
            value = field[row, column]
            right = column + reach < columns
            if right:
                value = max(value, field[row, column + reach])
            if row + reach < rows:
                value = max(value, field[row + reach, column])
                if right:
                    value = max(value, field[row + reach, column + reach])
            pooled[row, column] = value


@njit(cache=True, nogil=True)
def rotate_to_cells(
    points_m: NDArray[np.float64],
    yaws_rad: NDArray[np.float64],
    resolution_m: float,
    cells: NDArray[np.int32],
) -> None:
    """Turn a scan to headings and round its points to cells.

    Args:
        points_m: float64, shape ``(m, 2)``, in the base frame.
        yaws_rad: float64, shape ``(headings,)``.
        resolution_m: Edge of a cell.
        cells: int32 output, shape ``(headings, m, 2)``, rows and columns relative to the base.
    """
    for k in range(yaws_rad.shape[0]):
        cos, sin = math.cos(yaws_rad[k]) / resolution_m, math.sin(yaws_rad[k]) / resolution_m
        for j in range(points_m.shape[0]):
            x, y = points_m[j, 0], points_m[j, 1]
            cells[k, j, 0] = math.floor(sin * x + cos * y + 0.5)
            cells[k, j, 1] = math.floor(cos * x - sin * y + 0.5)


@njit(cache=True, nogil=True)
def bound(
    field: NDArray[np.uint8],
    margin: int,
    cells: NDArray[np.int32],
    row: int,
    column: int,
) -> int:
    """Return the sum of a pooled field over the points of a scan.

    Args:
        field: uint8, shape ``(margin + rows, margin + columns)``.
        margin: Cells that the field has before row 0 and column 0 of the map.
        cells: int32, shape ``(m, 2)``, points relative to the base.
        row: Of the base.
        column: Of the base.
    """
    rows, columns = field.shape
    row += margin
    column += margin
    total = 0
    for j in range(cells.shape[0]):
        r = row + cells[j, 0]
        c = column + cells[j, 1]
        if 0 <= r < rows and 0 <= c < columns:
            total += field[r, c]
    return total


@njit(cache=True, nogil=True)
def bound_roots(
    field: NDArray[np.uint8],
    margin: int,
    cells: NDArray[np.int32],
    squares: NDArray[np.int32],
    begin: int,
    end: int,
    bounds: NDArray[np.int32],
) -> None:
    """Bound a stretch of the roots; root ``i`` is square ``i // headings`` at ``i % headings``.

    Args:
        field: uint8, pooled to the level of the squares.
        margin: Cells that the field has before row 0 and column 0 of the map.
        cells: int32, shape ``(headings, m, 2)``.
        squares: int32, shape ``(squares, 2)``, first row and column of each.
        begin: First root.
        end: One past the last.
        bounds: int32 output, shape ``(squares * headings,)``.
    """
    headings = cells.shape[0]
    for i in range(begin, end):
        square = i // headings
        bounds[i] = bound(
            field, margin, cells[i % headings], squares[square, 0], squares[square, 1]
        )


@njit(cache=True, nogil=True)
def sort_descending(bounds: NDArray[np.int32], largest: int, order: NDArray[np.int32]) -> None:
    """Return the order of small integers, largest first, equal ones as they come.

    Args:
        bounds: int32, shape ``(n,)``, in ``[0, largest]``.
        largest: Upper limit of the values.
        order: int32 output, shape ``(n,)``.
    """
    begins = np.zeros(largest + 2, np.int64)
    for value in bounds:
        begins[largest - value + 1] += 1
    for i in range(1, largest + 2):
        begins[i] += begins[i - 1]
    for i in range(bounds.shape[0]):
        place = largest - bounds[i]
        order[begins[place]] = i
        begins[place] += 1


# Where a search stands: entries of the array ``progress`` of :func:`descend`.
NEXT_ROOT, STACKED, BEST, PEAKS, NODES = 0, 1, 2, 3, 4


@njit(cache=True, nogil=True)
def descend(
    pyramid: NDArray[np.uint8],
    margin: int,
    cells: NDArray[np.int32],
    squares: NDArray[np.int32],
    bounds: NDArray[np.int32],
    order: NDArray[np.int32],
    free: NDArray[np.bool_],
    free_begins: NDArray[np.int64],
    free_columns: NDArray[np.int64],
    levels: tuple[int, int],
    near: tuple[int, int, int],
    keep: float,
    least: int,
    budget: int,
    stack: NDArray[np.int32],
    peaks: NDArray[np.int32],
    progress: NDArray[np.int64],
) -> bool:
    """Go on with a depth-first search for a number of nodes.

    Kept are the best leaf of each neighbourhood whose score exceeds ``keep`` times the best one's.

    Args:
        pyramid: uint8, shape ``(levels, margin + rows, margin + columns)``.
        margin: Cells that the field has before row 0 and column 0 of the map.
        cells: int32, shape ``(headings, m, 2)``.
        squares: int32, shape ``(squares, 2)``.
        bounds: int32, shape ``(roots,)``, of :func:`bound_roots`.
        order: int32, shape ``(roots,)``, of :func:`sort_descending`.
        free: bool, flat: for each level whether a square has room for the base, row by row.
        free_begins: int64, where each level begins in ``free``.
        free_columns: int64, squares per row of each level.
        levels: Of the roots and of the leaves.
        near: Neighbourhood in cells and headings, and headings of a full turn.
        keep: Share of the best score below which a place is not worth keeping.
        least: Score below which nothing is.
        budget: Nodes to bound in this call.
        stack: int32 workspace, shape ``(depth, 5)``: score, level, row, column, heading.
        peaks: int32, shape ``(most, 4)``: score, row, column, heading.
        progress: int64, shape ``(5,)``, zero at the beginning.

    Returns:
        Whether the search is over.
    """
    root_level, leaf_level = levels
    headings = cells.shape[0]
    end = progress[NODES] + budget
    while progress[NODES] < end:
        threshold = _threshold(peaks, progress, keep, least)
        if progress[STACKED] == 0:
            if progress[NEXT_ROOT] == order.shape[0]:
                return True
            root = order[progress[NEXT_ROOT]]
            if bounds[root] <= threshold:
                return True
            progress[NEXT_ROOT] += 1
            square = root // headings
            stack[0, 0], stack[0, 1] = bounds[root], root_level
            stack[0, 2], stack[0, 3] = squares[square, 0], squares[square, 1]
            stack[0, 4] = root % headings
            progress[STACKED] = 1
        progress[STACKED] -= 1
        top = progress[STACKED]
        score, level, row, column, heading = stack[top]
        if score <= threshold:
            continue
        # Of a neighbourhood only the best counts: a square not better than its peak is done.
        if level <= leaf_level + 1 and _has_better_near(
            peaks, progress[PEAKS], near, score, row, column, heading
        ):
            continue
        if level == leaf_level:
            _keep_peak(peaks, progress, near, score, row, column, heading)
            continue
        half = 2 ** (level - 1)
        for quarter in range(4):
            r, c = row + half * (quarter // 2), column + half * (quarter % 2)
            index = free_begins[level - 1] + (r // half) * free_columns[level - 1] + c // half
            if not free[index]:
                continue
            value = bound(pyramid[level - 1], margin, cells[heading], r, c)
            progress[NODES] += 1
            if value <= threshold:
                continue
            # The best child on top, so that good scores come early and prune the rest.
            at = progress[STACKED]
            while at > top and stack[at - 1, 0] > value:
                stack[at] = stack[at - 1]
                at -= 1
            stack[at, 0], stack[at, 1], stack[at, 2] = value, level - 1, r
            stack[at, 3], stack[at, 4] = c, heading
            progress[STACKED] += 1
    return False


@njit(cache=True, nogil=True)
def _threshold(
    peaks: NDArray[np.int32], progress: NDArray[np.int64], keep: float, least: int
) -> int:
    threshold = max(least, int(keep * progress[BEST]))
    if progress[PEAKS] == peaks.shape[0]:
        threshold = max(threshold, peaks[:, 0].min())
    return threshold


@njit(cache=True, nogil=True)
def _is_near(
    peak: NDArray[np.int32], near: tuple[int, int, int], row: int, column: int, heading: int
) -> bool:
    cells, headings, turn = near
    apart = abs(peak[3] - heading)
    if min(apart, turn - apart) > headings:
        return False
    return bool(max(abs(peak[1] - row), abs(peak[2] - column)) <= cells)


@njit(cache=True, nogil=True)
def _has_better_near(
    peaks: NDArray[np.int32],
    count: int,
    near: tuple[int, int, int],
    score: int,
    row: int,
    column: int,
    heading: int,
) -> bool:
    for i in range(count):
        if peaks[i, 0] >= score and _is_near(peaks[i], near, row, column, heading):
            return True
    return False


@njit(cache=True, nogil=True)
def _keep_peak(
    peaks: NDArray[np.int32],
    progress: NDArray[np.int64],
    near: tuple[int, int, int],
    score: int,
    row: int,
    column: int,
    heading: int,
) -> None:
    count = progress[PEAKS]
    at = -1
    for i in range(count):
        if _is_near(peaks[i], near, row, column, heading):
            at = i
            break
    if at < 0:
        if count < peaks.shape[0]:
            at = count
            progress[PEAKS] += 1
        else:
            at = int(peaks[:, 0].argmin())
    elif peaks[at, 0] >= score:
        return
    peaks[at, 0], peaks[at, 1], peaks[at, 2], peaks[at, 3] = score, row, column, heading
    progress[BEST] = max(progress[BEST], score)
