"""How long it takes to get from every cell to where the robot shall go.

Dijkstra's algorithm ("A Note on Two Problems in Connexion with Graphs", 1959) over eight
neighbours, with the bucket queue of Dial ("Algorithm 360: Shortest-Path Forest with Topological
Ordering", CACM 12, 1969): the buckets are narrower than the cheapest step, so that a cell that is
taken out of one is settled.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def travel_cost(
    distance_m: NDArray[np.float32],
    closed_m: float,
    wide_m: float,
    aversion: float,
    closed_cost: float,
    cost: NDArray[np.float32],
) -> None:
    """Write what a metre costs in each coarse cell, by the widest place in it.

    Args:
        distance_m: float32, shape ``(2 * rows, 2 * columns)``, clearance of fine cells.
        closed_m: Clearance below which the footprint does not fit.
        wide_m: Clearance from which on a metre costs one.
        aversion: What a metre costs more where it is only just open.
        closed_cost: What a metre costs where it does not; finite, so that there is a cost to go
            everywhere, and the way out of a closed place leads over its nearest edge.
        cost: float32 output, shape ``(rows, columns)``.
    """
    rows, columns = cost.shape
    for row in range(rows):
        for column in range(columns):
            clearance = max(
                max(distance_m[2 * row, 2 * column], distance_m[2 * row, 2 * column + 1]),
                max(distance_m[2 * row + 1, 2 * column], distance_m[2 * row + 1, 2 * column + 1]),
            )
            if clearance < closed_m:
                cost[row, column] = closed_cost
            elif clearance >= wide_m:
                cost[row, column] = 1.0
            else:
                narrow = (wide_m - clearance) / (wide_m - closed_m)
                cost[row, column] = 1.0 + aversion * narrow * narrow


@njit(cache=True, nogil=True)
def fence_in(
    origin_m: tuple[float, float],
    resolution_m: float,
    discs_m: NDArray[np.float64],
    closed_cost: float,
    allowed: NDArray[np.bool_],
    cost: NDArray[np.float32],
) -> None:
    """Close all cells whose centre lies in none of some discs.

    Args:
        origin_m: Lower left corner of the grid.
        resolution_m: Side of a cell.
        discs_m: float64, shape ``(discs, 3)``: x, y and radius; a row of them is a corridor.
        closed_cost: What a metre costs outside.
        allowed: Workspace, shape ``(rows, columns)``.
        cost: float32, shape ``(rows, columns)``, of a metre, updated.
    """
    rows, columns = cost.shape
    allowed[:, :] = False
    _cover(origin_m, resolution_m, discs_m, allowed)
    for row in range(rows):
        for column in range(columns):
            if not allowed[row, column]:
                cost[row, column] = max(cost[row, column], closed_cost)


@njit(cache=True, nogil=True)
def close_off(
    origin_m: tuple[float, float],
    resolution_m: float,
    discs_m: NDArray[np.float64],
    closed_cost: float,
    closed: NDArray[np.bool_],
    cost: NDArray[np.float32],
) -> None:
    """Close all cells whose centre lies in one of some discs.

    Args:
        origin_m: As for :func:`fence_in`.
        resolution_m: As there.
        discs_m: float64, shape ``(discs, 3)``: x, y and radius.
        closed_cost: What a metre costs inside.
        closed: Workspace, shape ``(rows, columns)``.
        cost: float32, shape ``(rows, columns)``, of a metre, updated.
    """
    rows, columns = cost.shape
    closed[:, :] = False
    _cover(origin_m, resolution_m, discs_m, closed)
    for row in range(rows):
        for column in range(columns):
            if closed[row, column]:
                cost[row, column] = max(cost[row, column], closed_cost)


@njit(cache=True, nogil=True)
def _cover(
    origin_m: tuple[float, float],
    resolution_m: float,
    discs_m: NDArray[np.float64],
    covered: NDArray[np.bool_],
) -> None:
    """Mark the cells whose centre lies in a disc."""
    rows, columns = covered.shape
    for i in range(discs_m.shape[0]):
        x = (discs_m[i, 0] - origin_m[0]) / resolution_m
        y = (discs_m[i, 1] - origin_m[1]) / resolution_m
        reach = discs_m[i, 2] / resolution_m
        for row in range(max(0, int(y - reach)), min(rows, int(y + reach) + 1)):
            for column in range(max(0, int(x - reach)), min(columns, int(x + reach) + 1)):
                if math.hypot(column + 0.5 - x, row + 0.5 - y) <= reach:
                    covered[row, column] = True


@njit(cache=True, nogil=True)
def _push(
    cell: int, slot: int, free: int, entries: NDArray[np.int32], bucket: NDArray[np.int32]
) -> int:
    """Put a cell into a bucket, and return the next free entry."""
    if free < entries.shape[0]:
        entries[free, 0], entries[free, 1] = cell, bucket[slot]
        bucket[slot] = free
        return free + 1
    return free


@njit(cache=True, nogil=True)
def settle(
    cost: NDArray[np.float32],
    resolution_m: float,
    here: tuple[int, int],
    beyond: float,
    to_go: NDArray[np.float32],
    sources: NDArray[np.int64],
    entries: NDArray[np.int32],
    bucket: NDArray[np.int32],
    progress: NDArray[np.int64],
    enough: NDArray[np.float64],
    most: int,
) -> bool:
    """Go on spreading the cost to go, for so many entries of the queue.

    Args:
        cost: As for :func:`propagate`.
        resolution_m: Side of a cell.
        here: Row and column of the robot.
        beyond: How much dearer than here a place may be to matter.
        to_go: Updated.
        sources: int64, shape ``(k,)``, flat indices of the cells to begin from, cheapest first.
        entries: Workspace.
        bucket: Workspace; -1 everywhere on the first call.
        progress: int64, shape ``(4,)``: sources that have entered, entries written, entries taken
            and level; zeros on the first call.
        enough: float64, shape ``(1,)``, cost above which nothing matters; infinite at first.
        most: Entries to take before coming back.

    Returns:
        Whether all is settled.
    """
    rows, columns = cost.shape
    per_width = 1.0 / (0.9 * resolution_m)
    ring = bucket.shape[0]
    flat, prices = to_go.ravel(), cost.ravel()
    here_cell = here[0] * columns + here[1]
    # A metre costs what it does half here, half there.
    straight, diagonal = 0.5 * resolution_m, 0.5 * (resolution_m * 1.41421356)
    upcoming, free, taken, level = progress[0], progress[1], progress[2], progress[3]
    last = taken + most
    while (taken < free or upcoming < len(sources)) and level <= enough[0] * per_width:
        if taken >= last:
            progress[0], progress[1], progress[2], progress[3] = upcoming, free, taken, level
            return False
        if taken == free:
            level = int(flat[sources[upcoming]] * per_width)
        slot = level % ring
        # Sources may lie farther apart in cost than the ring is wide: each enters in its turn.
        while upcoming < len(sources) and int(flat[sources[upcoming]] * per_width) <= level:
            free = _push(sources[upcoming], slot, free, entries, bucket)
            upcoming += 1
        while bucket[slot] >= 0 and taken < last:
            entry = bucket[slot]
            bucket[slot] = entries[entry, 1]
            taken += 1
            cell = np.int64(entries[entry, 0])
            settled = float(flat[np.uint64(cell)])
            if cell == here_cell:
                enough[0] = settled + beyond
            # A cell waits in every bucket it was ever put into; only the last time counts.
            if int(settled * per_width) != level:
                continue
            own = float(prices[np.uint64(cell)])
            row = np.int64(np.uint32(cell) // np.uint32(columns))
            column = cell - row * columns
            inner = 0 < row < rows - 1 and 0 < column < columns - 1
            for up in range(-1, 2):
                if not (inner or 0 <= row + up < rows):
                    continue
                for right in range(-1, 2):
                    if not (inner or 0 <= column + right < columns):
                        continue
                    half_step = diagonal if up != 0 and right != 0 else straight
                    beside = np.uint64(cell + up * columns + right)
                    there = np.float32(settled + half_step * (own + float(prices[beside])))
                    if there < flat[beside]:
                        flat[beside] = there
                        to_slot = slot + int(float(there) * per_width) - level
                        while to_slot >= ring:
                            to_slot -= ring
                        free = _push(cell + up * columns + right, to_slot, free, entries, bucket)
        if bucket[slot] < 0:
            level += 1
    return True


@njit(cache=True, nogil=True)
def propagate(
    cost: NDArray[np.float32],
    resolution_m: float,
    here: tuple[int, int],
    beyond: float,
    to_go: NDArray[np.float32],
    entries: NDArray[np.int32],
    bucket: NDArray[np.int32],
) -> None:
    """Spread the cost to go from the cells that have one, to where it is needed.

    Args:
        cost: float32, shape ``(rows, columns)``, of a metre; at least 1.
        resolution_m: Side of a cell.
        here: Row and column of the robot.
        beyond: How much dearer than here a place may be to matter.
        to_go: float32, shape ``(rows, columns)``; on entry finite at the sources and infinite
            elsewhere, on return the least cost to a source; where it does not matter, something
            that is not less than what does.
        entries: int32 workspace, shape ``(8 * rows * columns, 2)``: cell, and the next entry of the
            same bucket.
        bucket: int32 workspace, shape ``(buckets,)``; the buckets are used in a ring, so together
            they must be wider than the dearest step.
    """
    rows, columns = cost.shape
    bucket[:] = -1
    sources = np.flatnonzero(to_go.ravel() < np.inf)
    sources = sources[np.argsort(to_go.ravel()[sources], kind="mergesort")]
    progress, enough = np.zeros(4, np.int64), np.full(1, np.inf)
    all_of_them = np.iinfo(np.int64).max // 2
    settle(
        cost, resolution_m, here, beyond, to_go, sources, entries, bucket, progress, enough,
        all_of_them,
    )  # fmt: skip
    if enough[0] < np.inf:
        ceiling = np.float32(enough[0])
        for i in range(rows):
            for j in range(columns):
                to_go[i, j] = min(to_go[i, j], ceiling)


@njit(cache=True, nogil=True)
def descend(
    to_go: NDArray[np.float32],
    origin_m: tuple[float, float],
    resolution_m: float,
    x_m: float,
    y_m: float,
    way_m: NDArray[np.float64],
) -> int:
    """Walk from a place to where the cost to go is least, cell by cell.

    Args:
        to_go: float32, shape ``(rows, columns)``.
        origin_m: Lower left corner of the grid.
        resolution_m: Side of a cell.
        x_m: Where to start.
        y_m: Where to start.
        way_m: float64 output, shape ``(most, 2)``, centres of the cells that are passed.

    Returns:
        How many these are; 0 where no way leads on.
    """
    rows, columns = to_go.shape
    row = math.floor((y_m - origin_m[1]) / resolution_m)
    column = math.floor((x_m - origin_m[0]) / resolution_m)
    if not (0 <= row < rows and 0 <= column < columns):
        return 0
    count = 0
    while count < way_m.shape[0]:
        way_m[count, 0] = origin_m[0] + (column + 0.5) * resolution_m
        way_m[count, 1] = origin_m[1] + (row + 0.5) * resolution_m
        count += 1
        here = float(to_go[row, column])
        steepest, to_row, to_column = 0.0, row, column
        for d_row in range(-1, 2):
            for d_column in range(-1, 2):
                next_row, next_column = row + d_row, column + d_column
                if not (0 <= next_row < rows and 0 <= next_column < columns):
                    continue
                far = 1.41421356 if d_row != 0 and d_column != 0 else 1.0
                fall = (here - float(to_go[next_row, next_column])) / far
                if fall > steepest:
                    steepest, to_row, to_column = fall, next_row, next_column
        if to_row == row and to_column == column:
            break
        row, column = to_row, to_column
    return count
