"""Where a footprint fits on a grid, what a move costs there, and which moves lead to a goal.

All coordinates are in the frame of the grid: the outer corner of cell ``(0, 0)`` is the origin. A
*move* is a constant twist held for a unit of time: metres ahead, metres to the left, radians of
turn (the exponential map of SE(2)), so that lines, arcs and turns on the spot are one thing.

The search is hybrid A*: Dolgov, Thrun, Montemerlo, Diebel, "Path Planning for Autonomous Vehicles
in Unknown Semi-structured Environments", IJRR 29 (2010), section 2. Its curves to the goal are
those of Reeds and Shepp, "Optimal paths for a car that goes both forwards and backwards", Pacific
Journal of Mathematics 145 (1990), section 8.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

SWEEP_STEP_M = 0.02  # largest way of a point of the footprint between two looks at it
COST_STEP_M = 0.1  # largest way between two looks at the price of a metre
HEADINGS = 32  # poses of a cell that differ by less than one of these are one to the search
MOST_CURVES = 6  # moves of the longest connection and one more: a Reeds-Shepp word has five
APPROACHES_M = (0.4, 0.8, 1.6)  # straight ways into the goal
FINE_HEADINGS, NEAR_HALVES = 128, 4  # of poses near a narrow place; in halves of a cell
CIRCLE = 2.0 * math.pi
GOES_ON = -2  # what a search returns that has to go on
_WORDS = 8


class Ground(NamedTuple):
    """What stands where.

    Attributes:
        distance_m: float32, shape ``(rows, columns)``, read-only, from the centre of a cell to that
            of the nearest filled one; negative where the base must not be.
        filled: int32, shape ``(rows, columns + 1)``, read-only, filled cells of the row before each
            column.
        resolution_m: Edge of a cell.
    """

    distance_m: NDArray[np.float32]
    filled: NDArray[np.int32]
    resolution_m: float


class Body(NamedTuple):
    """What the robot covers of the ground.

    Attributes:
        hull: float64, shape ``(corners, 2)``, convex, with the clearance that it needs.
        bare_hull: float64, the same without, for places where it docks.
        inscribed_m: Radius about the base inside the bare hull.
        reach_m: Radius about the base that holds the hull.
        docks: float64, shape ``(docks, 3)``: x, y and radius of places where it docks.
    """

    hull: NDArray[np.float64]
    bare_hull: NDArray[np.float64]
    inscribed_m: float
    reach_m: float
    docks: NDArray[np.float64]


class Terms(NamedTuple):
    """What a move costs, in metres of free straight way, and which moves there are.

    Attributes:
        closed_m: Clearance of the base below which it fits nowhere.
        wide_m: Clearance of the base from which on a metre costs one.
        aversion: What a metre costs more where it is only just open.
        turn_m: What a radian on the spot costs.
        reverse: What a metre backwards costs.
        sideways: What a metre sideways costs.
        radius_m: Of the curves.
        pivots: Whether the base turns on the spot.
        slides: Whether it moves sideways.
    """

    closed_m: float
    wide_m: float
    aversion: float
    turn_m: float
    reverse: float
    sideways: float
    radius_m: float
    pivots: bool
    slides: bool


class Tree(NamedTuple):
    """Workspace of the search: nodes in the order in which they were met, a heap and a hash table.

    Attributes:
        poses: float64, shape ``(most, 3)``.
        moves: float64, shape ``(most, 3)``, which led there.
        costs: float64, shape ``(most,)``.
        states: int64, shape ``(most,)``.
        parents: int32, shape ``(most,)``.
        heap_keys: float64, shape ``(most,)``.
        heap_nodes: int32, shape ``(most,)``.
        table: int32, shape ``(2 ** k,)``, twice as many or more.
        counts: int64, shape ``(6,)``: nodes, nodes in the heap, nodes expanded, when a connection
            is tried next, the node that the best one begins at, and its moves.
        best: float64, shape ``(1,)``, what the best way so far costs.
        curve: float64, shape ``(6, 3)``, its connection to the goal.
    """

    poses: NDArray[np.float64]
    moves: NDArray[np.float64]
    costs: NDArray[np.float64]
    states: NDArray[np.int64]
    parents: NDArray[np.int32]
    heap_keys: NDArray[np.float64]
    heap_nodes: NDArray[np.int32]
    table: NDArray[np.int32]
    counts: NDArray[np.int64]
    best: NDArray[np.float64]
    curve: NDArray[np.float64]


@njit(cache=True, nogil=True)
def price(distance_m: float, terms: Terms) -> float:
    """Return what a metre costs at a clearance of the base."""
    if distance_m >= terms.wide_m:
        return 1.0
    narrow = (terms.wide_m - distance_m) / (terms.wide_m - terms.closed_m)
    return 1.0 + terms.aversion * min(1.0, narrow) ** 2


@njit(cache=True, nogil=True)
def pool(distance_m: NDArray[np.float32], side: int, widest_m: NDArray[np.float32]) -> None:
    """Write the largest distance in each square of cells.

    Args:
        distance_m: float32, shape ``(rows, columns)``.
        side: Cells along the edge of a square.
        widest_m: float32 output, shape ``(ceil(rows / side), ceil(columns / side))``.
    """
    rows, columns = distance_m.shape
    widest_m[:] = -1.0
    for row in range(rows):
        for column in range(columns):
            here = distance_m[row, column]
            if here > widest_m[row // side, column // side]:
                widest_m[row // side, column // side] = here


@njit(cache=True, nogil=True)
def price_of_cells(
    widest_m: NDArray[np.float32], terms: Terms, prices: NDArray[np.float32]
) -> None:
    """Write what a metre costs in each cell, infinite where the robot fits at no heading.

    Args:
        widest_m: float32, shape ``(rows, columns)``, clearance of the base.
        terms: Of the robot.
        prices: float32 output, same shape.
    """
    for row in range(prices.shape[0]):
        for column in range(prices.shape[1]):
            here = float(widest_m[row, column])
            prices[row, column] = np.inf if here < terms.closed_m else price(here, terms)


@njit(cache=True, nogil=True)
def add_filled(cells: NDArray[np.int64], limit: float, distance: NDArray[np.float32]) -> None:
    """Bring distances up to date after cells have been filled.

    Args:
        cells: int64, shape ``(n, 2)``, rows and columns inside the grid.
        limit: Distance in cells up to which the result is right; it has to be cut off there.
        distance: float32, shape ``(rows, columns)``, in cells, changed in place.
    """
    rows, columns = distance.shape
    reach = int(limit) + 1
    for k in range(cells.shape[0]):
        row, column = cells[k, 0], cells[k, 1]
        for r in range(max(0, row - reach), min(rows, row + reach + 1)):
            for c in range(max(0, column - reach), min(columns, column + reach + 1)):
                away = np.float32(math.sqrt(float((r - row) ** 2 + (c - column) ** 2)))
                if away < distance[r, c]:
                    distance[r, c] = away


@njit(cache=True, nogil=True)
def room_in_band(
    line_m: NDArray[np.float64],
    left_m: float,
    right_m: float,
    resolution_m: float,
    room_m: NDArray[np.float32],
) -> None:
    """Write how far it is from each cell to the edge of a band along a line.

    A centre belongs to the segment that it is nearest to, and lies on that segment's left or right.
    Inside a bend the edge may be farther away than is written, never nearer.

    Args:
        line_m: float64, shape ``(n, 2)``, two points or more.
        left_m: Width of the band to the left of the line.
        right_m: Width to the right.
        resolution_m: Edge of a cell.
        room_m: float32 output, shape ``(rows, columns)``, -1 outside the band.
    """
    rows, columns = room_m.shape
    nearest = np.full((rows, columns), np.inf, np.float32)
    beside = np.zeros((rows, columns), np.float32)
    room_m[:] = -1.0
    wide_m = max(left_m, right_m)
    for k in range(line_m.shape[0] - 1):
        ax, ay = line_m[k, 0], line_m[k, 1]
        ex, ey = line_m[k + 1, 0] - ax, line_m[k + 1, 1] - ay
        length = math.hypot(ex, ey)
        low_row = max(0, math.floor((min(ay, ay + ey) - wide_m) / resolution_m))
        low_column = max(0, math.floor((min(ax, ax + ex) - wide_m) / resolution_m))
        end_row = min(rows, math.ceil((max(ay, ay + ey) + wide_m) / resolution_m) + 1)
        end_column = min(columns, math.ceil((max(ax, ax + ex) + wide_m) / resolution_m) + 1)
        for row in range(low_row, end_row):
            for column in range(low_column, end_column):
                dx = (column + 0.5) * resolution_m - ax
                dy = (row + 0.5) * resolution_m - ay
                along = 0.0
                cross = 0.0
                if length > 0.0:
                    along = (dx * ex + dy * ey) / (length * length)
                    cross = (ex * dy - ey * dx) / length
                t = min(1.0, max(0.0, along))
                away = math.hypot(dx - t * ex, dy - t * ey)
                # Beyond a corner two segments are equally near: the one more abeam knows the side.
                tie = abs(away - nearest[row, column]) < 1e-6
                if away < nearest[row, column] - 1e-6 or (
                    tie and abs(cross) > abs(beside[row, column])
                ):
                    nearest[row, column] = away
                    beside[row, column] = cross
                    own, other = (left_m, right_m) if cross >= 0.0 else (right_m, left_m)
                    across = other + away if t == along else other - away
                    room = max(0.0, min(own - away, across))
                    room_m[row, column] = room if away <= own else -1.0


@njit(cache=True, nogil=True)
def touches(
    x_m: float, y_m: float, yaw_rad: float, hull: NDArray[np.float64], ground: Ground
) -> bool:
    """Return whether a convex footprint overlaps a filled cell or the edge of the grid.

    The footprint's part in one row of cells is convex, so that it meets exactly the cells between
    its least and its greatest x there.

    Args:
        x_m: Of the base.
        y_m: Of the base.
        yaw_rad: Of the base.
        hull: float64, shape ``(corners, 2)``, convex, in the base frame.
        ground: What stands where.
    """
    per_m = 1.0 / ground.resolution_m
    rows, columns = ground.distance_m.shape
    cos, sin = math.cos(yaw_rad) * per_m, math.sin(yaw_rad) * per_m
    x, y = x_m * per_m, y_m * per_m
    corners = hull.shape[0]
    low, high = np.inf, -np.inf
    for i in range(corners):
        v = y + sin * hull[i, 0] + cos * hull[i, 1]
        low, high = min(low, v), max(high, v)
    first, last = math.floor(low), math.floor(high)
    if first < 0 or last >= rows:
        return True
    left = np.full(last - first + 1, np.inf)
    right = np.full(last - first + 1, -np.inf)
    bx = x + cos * hull[corners - 1, 0] - sin * hull[corners - 1, 1]
    by = y + sin * hull[corners - 1, 0] + cos * hull[corners - 1, 1]
    for i in range(corners):
        ax, ay = bx, by
        bx = x + cos * hull[i, 0] - sin * hull[i, 1]
        by = y + sin * hull[i, 0] + cos * hull[i, 1]
        px, py, qx, qy = (ax, ay, bx, by) if ay <= by else (bx, by, ax, ay)
        slope = (qx - px) / (qy - py) if qy - py > 1e-12 else 0.0
        row = math.floor(py)
        end = math.floor(qy)
        enter = px
        while True:
            leave = qx if row == end else px + slope * (row + 1 - py)
            k = row - first
            left[k] = min(left[k], min(enter, leave))
            right[k] = max(right[k], max(enter, leave))
            if row == end:
                break
            enter = leave
            row += 1
    for k in range(last - first + 1):
        begin, end = math.floor(left[k]), math.floor(right[k])
        if begin < 0 or end >= columns:
            return True
        if ground.filled[first + k, end + 1] != ground.filled[first + k, begin]:
            return True
    return False


@njit(cache=True, nogil=True)
def clearance_m(x_m: float, y_m: float, ground: Ground) -> float:
    """Return the distance of the cell under a point, negative off the grid."""
    row = math.floor(y_m / ground.resolution_m)
    column = math.floor(x_m / ground.resolution_m)
    if not (0 <= row < ground.distance_m.shape[0] and 0 <= column < ground.distance_m.shape[1]):
        return -1.0
    return float(ground.distance_m[row, column])


@njit(cache=True, nogil=True)
def fits(x_m: float, y_m: float, yaw_rad: float, ground: Ground, body: Body) -> bool:
    """Return whether the robot can stand at a pose."""
    clearance = clearance_m(x_m, y_m, ground)
    if clearance < 0.0:
        return False
    # Both the base and what is nearest may be half a diagonal off the centres of their cells.
    blur = math.sqrt(2.0) * ground.resolution_m
    if clearance > body.reach_m + blur:
        return True
    if clearance < body.inscribed_m - blur:
        return False
    for k in range(body.docks.shape[0]):
        if math.hypot(x_m - body.docks[k, 0], y_m - body.docks[k, 1]) <= body.docks[k, 2]:
            return not touches(x_m, y_m, yaw_rad, body.bare_hull, ground)
    return not touches(x_m, y_m, yaw_rad, body.hull, ground)


@njit(cache=True, nogil=True)
def moved(
    pose: tuple[float, float, float], move: tuple[float, float, float], share: float
) -> tuple[float, float, float]:
    """Return the pose after a share of a move."""
    x, y, yaw = pose
    ahead, left, turn = move[0] * share, move[1] * share, move[2] * share
    if abs(turn) > 1e-9:
        sin, versin = math.sin(turn) / turn, (1.0 - math.cos(turn)) / turn
        ahead, left = ahead * sin - left * versin, ahead * versin + left * sin
    cos, sin = math.cos(yaw), math.sin(yaw)
    return x + cos * ahead - sin * left, y + sin * ahead + cos * left, yaw + turn


@njit(cache=True, nogil=True)
def bare_cost(move: tuple[float, float, float], terms: Terms) -> float:
    """Return what a move costs where there is plenty of room."""
    length = math.hypot(move[0], move[1])
    if length < 1e-9:
        return terms.turn_m * abs(move[2])
    if abs(move[1]) > 1e-9:
        # Between straight ahead and abeam the share of either counts.
        along = terms.reverse if move[0] < 0.0 else 1.0
        return (along * move[0] ** 2 + terms.sideways * move[1] ** 2) / length
    return terms.reverse * length if move[0] < 0.0 else length


@njit(cache=True, nogil=True)
def sweep_cost(
    pose: tuple[float, float, float],
    move: tuple[float, float, float],
    ground: Ground,
    body: Body,
    terms: Terms,
) -> float:
    """Return what a move costs, infinite where the footprint swept along it touches something.

    Args:
        pose: x, y, yaw where it begins; the robot is taken to fit there.
        move: Metres ahead and to the left, radians of turn.
        ground: What stands where.
        body: What the robot covers.
        terms: What it costs.
    """
    way = math.hypot(move[0], move[1])
    corner_way = way + abs(move[2]) * body.reach_m
    if corner_way < 1e-12:
        return 0.0
    blur = math.sqrt(2.0) * ground.resolution_m
    base_cost = bare_cost(move, terms)
    cost, share = 0.0, 0.0
    clearance = clearance_m(pose[0], pose[1], ground)
    while share < 1.0:
        # No point of the footprint can be met before the base has gone this far.
        room = clearance - body.reach_m - blur
        step = SWEEP_STEP_M / corner_way
        if room > 0.0:
            leap = min(room, max(COST_STEP_M, clearance - terms.wide_m))
            step = 1.0 if way < 1e-9 else max(step, leap / way)
        step = min(step, 1.0 - share)
        share = 1.0 if share + step > 1.0 - 1e-12 else share + step
        x, y, yaw = moved(pose, move, share)
        if not fits(x, y, yaw, ground, body):
            return np.inf
        clearance = clearance_m(x, y, ground)
        cost += step * base_cost * price(clearance, terms)
    return cost


@njit(cache=True, nogil=True)
def _wrapped(angle: float) -> float:
    return (angle + math.pi) % CIRCLE - math.pi


@njit(cache=True, nogil=True)
def _tau_omega(u: float, v: float, xi: float, eta: float, phi: float) -> tuple[float, float]:
    """Return the first and last arc of the words of four arcs (equations 8.7 and 8.8)."""
    delta = _wrapped(u - v)
    a, b = math.sin(u) - math.sin(delta), math.cos(u) - math.cos(delta) - 1.0
    tau = math.atan2(eta * a - xi * b, xi * a + eta * b)
    if 2.0 * (math.cos(delta) - math.cos(v) - math.cos(u)) + 3.0 < 0.0:
        tau = _wrapped(tau + math.pi)
    return tau, _wrapped(tau - u + v - phi)


@njit(cache=True, nogil=True)
def _word(
    word: int, x: float, y: float, phi: float, arcs: NDArray[np.float64], bends: NDArray[np.int64]
) -> int:
    """Write one word of the list of section 8, on a unit circle, and return its length, or 0.

    Args:
        word: 0 to 7.
        x: Target.
        y: Target.
        phi: Target heading.
        arcs: Output, signed lengths.
        bends: Output, 1 left, 0 straight, -1 right.
    """
    half = 0.5 * math.pi
    xi, eta = x - math.sin(phi), y - 1.0 + math.cos(phi)
    if word in (1, 3, 4, 6, 7):
        xi, eta = x + math.sin(phi), y - 1.0 - math.cos(phi)
    rho, theta = math.hypot(xi, eta), math.atan2(eta, xi)
    bends[0] = 1
    if word == 0:  # 8.1: left, straight, left
        arcs[0], arcs[1], arcs[2] = theta, rho, _wrapped(phi - theta)
        bends[1], bends[2] = 0, 1
        return 3 if arcs[0] >= 0.0 and arcs[2] >= 0.0 else 0
    if word == 1:  # 8.2: left, straight, right
        if rho < 2.0:
            return 0
        u = math.sqrt(rho * rho - 4.0)
        t = _wrapped(theta + math.atan2(2.0, u))
        arcs[0], arcs[1], arcs[2] = t, u, _wrapped(t - phi)
        bends[1], bends[2] = 0, -1
        return 3 if arcs[0] >= 0.0 and arcs[2] >= 0.0 else 0
    if word == 2:  # 8.3 and 8.4: left, right back, left either way
        if rho > 4.0:
            return 0
        u = -2.0 * math.asin(0.25 * rho)
        t = _wrapped(theta + 0.5 * u + math.pi)
        arcs[0], arcs[1], arcs[2] = t, u, _wrapped(phi - t + u)
        bends[1], bends[2] = -1, 1
        return 3 if t >= 0.0 else 0
    if word == 3:  # 8.7: left, right, left back, right back
        if rho > 2.0:
            return 0
        u = math.acos(0.25 * (2.0 + rho))
        t, v = _tau_omega(u, -u, xi, eta, phi)
        arcs[0], arcs[1], arcs[2], arcs[3] = t, u, -u, v
        bends[1], bends[2], bends[3] = -1, 1, -1
        return 4 if t >= 0.0 and v <= 0.0 else 0
    if word == 4:  # 8.8: left, right back, left back, right
        cosine = (20.0 - rho * rho) / 16.0
        if not 0.0 <= cosine <= 1.0:
            return 0
        u = -math.acos(cosine)
        t, v = _tau_omega(u, u, xi, eta, phi)
        arcs[0], arcs[1], arcs[2], arcs[3] = t, u, u, v
        bends[1], bends[2], bends[3] = -1, 1, -1
        return 4 if t >= 0.0 and v >= 0.0 else 0
    if rho < 2.0:
        return 0
    if word == 5:  # 8.9: left, a quarter right back, straight back, left back
        r = math.sqrt(rho * rho - 4.0)
        t = _wrapped(theta + math.atan2(r, -2.0))
        arcs[0], arcs[1], arcs[2], arcs[3] = t, -half, 2.0 - r, _wrapped(phi - half - t)
        bends[1], bends[2], bends[3] = -1, 0, 1
        return 4 if t >= 0.0 and arcs[2] <= 0.0 and arcs[3] <= 0.0 else 0
    if word == 6:  # 8.10: left, a quarter right back, straight back, right back
        t = math.atan2(xi, -eta)
        arcs[0], arcs[1], arcs[2], arcs[3] = t, -half, 2.0 - rho, _wrapped(t + half - phi)
        bends[1], bends[2], bends[3] = -1, 0, -1
        return 4 if t >= 0.0 and arcs[2] <= 0.0 and arcs[3] <= 0.0 else 0
    # 8.11: left, a quarter right back, straight back, a quarter left back, right
    u = 4.0 - math.sqrt(rho * rho - 4.0)
    if u > 0.0:
        return 0
    t = _wrapped(math.atan2((4.0 - u) * xi - 2.0 * eta, -2.0 * xi + (u - 4.0) * eta))
    arcs[0], arcs[1], arcs[2], arcs[3], arcs[4] = t, -half, u, -half, _wrapped(t - phi)
    bends[1], bends[2], bends[3], bends[4] = -1, 0, 1, -1
    return 5 if t >= 0.0 and arcs[4] >= 0.0 else 0


@njit(cache=True, nogil=True)
def reeds_shepp(
    x_m: float, y_m: float, yaw_rad: float, terms: Terms, moves: NDArray[np.float64]
) -> tuple[int, float]:
    """Write the cheapest curve of bounded radius to a pose as seen from the present one.

    Args:
        x_m: Target ahead.
        y_m: Target to the left.
        yaw_rad: Target heading.
        terms: Radius, and what a metre backwards costs; the robot never goes backwards where that
            is infinite.
        moves: float64 output, shape ``(6, 3)``.

    Returns:
        How many moves there are, 0 where there is no curve, and what they cost in free space.
    """
    radius = terms.radius_m
    x, y, phi = x_m / radius, y_m / radius, _wrapped(yaw_rad)
    cos, sin = math.cos(phi), math.sin(phi)
    arcs, bends = np.empty(5), np.empty(5, np.int64)
    best_arcs, best_bends = np.empty(5), np.empty(5, np.int64)
    best, count = np.inf, 0
    for word in range(_WORDS):
        for symmetry in range(8):
            backwards = symmetry >= 4
            # Only these words are not their own reversal.
            if backwards and word not in (2, 5, 6):
                break
            flip = -1.0 if symmetry & 1 else 1.0
            reflect = -1 if symmetry & 2 else 1
            wx, wy = (x * cos + y * sin, x * sin - y * cos) if backwards else (x, y)
            pieces = _word(word, flip * wx, reflect * wy, flip * reflect * phi, arcs, bends)
            if pieces == 0:
                continue
            cost = 0.0
            for i in range(pieces):
                length = flip * arcs[i] * radius
                if length < -1e-9:
                    cost -= terms.reverse * length
                else:
                    cost += abs(length)
            if cost < best - 1e-9:
                best, count = cost, pieces
                for i in range(pieces):
                    k = pieces - 1 - i if backwards else i
                    best_arcs[k] = flip * arcs[i]
                    best_bends[k] = reflect * bends[i]
    for i in range(count):
        moves[i, 0] = best_arcs[i] * radius
        moves[i, 1] = 0.0
        moves[i, 2] = best_arcs[i] * best_bends[i]
    return count, best


@njit(cache=True, nogil=True)
def route_cost(
    pose: tuple[float, float, float],
    moves: NDArray[np.float64],
    ground: Ground,
    body: Body,
    terms: Terms,
    most: float,
) -> float:
    """Return what moves cost one after the other, infinite where they touch or cost too much.

    Args:
        pose: Where they begin.
        moves: float64, shape ``(n, 3)``.
        ground: What stands where.
        body: What the robot covers.
        terms: What a move costs.
        most: Cost from which on it does not matter any more.
    """
    cost = 0.0
    for i in range(moves.shape[0]):
        move = (moves[i, 0], moves[i, 1], moves[i, 2])
        cost += sweep_cost(pose, move, ground, body, terms)
        if cost >= most:
            return np.inf
        pose = moved(pose, move, 1.0)
    return cost


@njit(cache=True, nogil=True)
def _write_legs(
    pose: tuple[float, float, float],
    goal: tuple[float, float, float],
    kind: int,
    moves: NDArray[np.float64],
) -> int:
    """Write the moves of one kind of connection by turning and going straight.

    Args:
        pose: Where it begins.
        goal: Where it ends, yaw NaN where any will do.
        kind: 0 forwards, 1 backwards; from 2 on forwards to the axis of the goal and along it, one
            of ``APPROACHES_M`` after the other, each forwards, then backwards.
        moves: float64 output.
    """
    x, y, last_m = goal[0], goal[1], 0.0
    if kind >= 2:
        last_m = APPROACHES_M[(kind - 2) // 2] * (1.0 if kind % 2 == 0 else -1.0)
        x, y = x - last_m * math.cos(goal[2]), y - last_m * math.sin(goal[2])
    dx, dy = x - pose[0], y - pose[1]
    way, bearing = math.hypot(dx, dy), pose[2]
    if way > 1e-9:
        bearing = math.atan2(-dy, -dx) if kind == 1 else math.atan2(dy, dx)
    moves[:4] = 0.0
    moves[0, 2] = _wrapped(bearing - pose[2])
    moves[1, 0] = -way if kind == 1 else way
    moves[2, 2] = 0.0 if math.isnan(goal[2]) else _wrapped(goal[2] - bearing)
    moves[3, 0] = last_m
    return 4


@njit(cache=True, nogil=True)
def _write_slide(
    pose: tuple[float, float, float],
    goal: tuple[float, float, float],
    turns_first: bool,
    moves: NDArray[np.float64],
) -> int:
    """Write the moves of sliding to a goal at one heading.

    Args:
        pose: Where it begins.
        goal: Where it ends, yaw NaN where any will do.
        turns_first: Whether the heading is that of the goal.
        moves: float64 output.
    """
    turn = 0.0 if math.isnan(goal[2]) else _wrapped(goal[2] - pose[2])
    yaw = pose[2] + turn if turns_first else pose[2]
    dx, dy = goal[0] - pose[0], goal[1] - pose[1]
    slide, pivot = (1, 0) if turns_first else (0, 1)
    moves[:2] = 0.0
    moves[slide, 0] = math.cos(yaw) * dx + math.sin(yaw) * dy
    moves[slide, 1] = math.cos(yaw) * dy - math.sin(yaw) * dx
    moves[pivot, 2] = turn
    return 2


@njit(cache=True, nogil=True)
def _improve(
    pose: tuple[float, float, float],
    trial: NDArray[np.float64],
    ground: Ground,
    body: Body,
    terms: Terms,
    best: float,
    moves: NDArray[np.float64],
) -> float:
    """Copy moves if they touch nothing and cost less than the best; return the least cost."""
    cost = 0.0
    for i in range(trial.shape[0]):
        cost += bare_cost((trial[i, 0], trial[i, 1], trial[i, 2]), terms)
    if cost >= best:
        return best
    cost = route_cost(pose, trial, ground, body, terms, best)
    if cost < best:
        moves[: trial.shape[0]] = trial
        return cost
    return best


@njit(cache=True, nogil=True)
def connect(
    pose: tuple[float, float, float],
    goal: tuple[float, float, float],
    ground: Ground,
    body: Body,
    terms: Terms,
    most: float,
    moves: NDArray[np.float64],
) -> tuple[int, float]:
    """Write the cheapest direct connection that touches nothing.

    Tried are turning, going straight and turning, also with a last leg along the axis of the goal
    as into a dock; sliding; and the curve of Reeds and Shepp.

    Args:
        pose: Where it begins.
        goal: Where it ends; yaw NaN where any will do.
        ground: What stands where.
        body: What the robot covers.
        terms: Which moves there are and what they cost.
        most: Cost from which on it does not matter any more.
        moves: float64 output, shape ``(6, 3)``.

    Returns:
        How many moves there are, 0 where nothing leads there, and what they cost.
    """
    trial = np.empty((MOST_CURVES, 3))
    best, found = most, 0
    any_yaw = math.isnan(goal[2])
    straight = (2 if any_yaw else 2 + 2 * len(APPROACHES_M)) if terms.pivots else 0
    sliding = 2 if terms.slides else 0
    curves = HEADINGS // 2 if any_yaw else 1
    dx, dy = goal[0] - pose[0], goal[1] - pose[1]
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    for kind in range(straight + sliding + curves):
        if kind < straight:
            if kind % 2 == 1 and terms.reverse == np.inf:
                continue
            count = _write_legs(pose, goal, kind, trial)
        elif kind < straight + sliding:
            count = _write_slide(pose, goal, kind == straight, trial)
        else:
            turn = goal[2] - pose[2]
            if any_yaw:
                turn = CIRCLE * (kind - straight - sliding) / curves
            ahead, left = cos * dx + sin * dy, cos * dy - sin * dx
            count, _ = reeds_shepp(ahead, left, turn, terms, trial)
        if count > 0:
            cost = _improve(pose, trial[:count], ground, body, terms, best, moves)
            if cost < best:
                best, found = cost, count
    return found, best


@njit(cache=True, nogil=True)
def pull(
    way_m: NDArray[np.float64],
    ground: Ground,
    body: Body,
    terms: Terms,
    hold_rad: float,
    kept: NDArray[np.int64],
) -> int:
    """Pick points of a way so that the straight legs between them fit and cost no more than it.

    From each point the farthest one is sought by doubling and halving. Where not even the next one
    can be reached it is kept all the same: whether the corners fit is found out with the curves
    that are put into them.

    Args:
        way_m: float64, shape ``(n, 2)``.
        ground: What stands where.
        body: What the robot covers.
        terms: What a metre costs.
        hold_rad: Heading to keep all the way, NaN to look along each leg.
        kept: int64 output, shape ``(n,)``, indices of the points.

    Returns:
        How many are kept.
    """
    n = way_m.shape[0]
    spent = np.zeros(n)
    for i in range(1, n):
        dx, dy = way_m[i, 0] - way_m[i - 1, 0], way_m[i, 1] - way_m[i - 1, 1]
        middle_x, middle_y = way_m[i - 1, 0] + 0.5 * dx, way_m[i - 1, 1] + 0.5 * dy
        metre = price(clearance_m(middle_x, middle_y, ground), terms)
        spent[i] = spent[i - 1] + metre * _leg_cost(dx, dy, hold_rad, terms)
    kept[0] = 0
    count, i = 1, 0
    while i < n - 1:
        low, high, stride = i + 1, n, 1
        while low < n - 1:
            j = min(low + stride, n - 1)
            if not _leg_fits(way_m, i, j, spent[j] - spent[i], hold_rad, ground, body, terms):
                high = j
                break
            low, stride = j, 2 * stride
        while high - low > 1 and low < n - 1:
            j = (low + high) // 2
            if _leg_fits(way_m, i, j, spent[j] - spent[i], hold_rad, ground, body, terms):
                low = j
            else:
                high = j
        i = low
        kept[count] = i
        count += 1
    return count


@njit(cache=True, nogil=True)
def _leg_cost(dx_m: float, dy_m: float, hold_rad: float, terms: Terms) -> float:
    if math.isnan(hold_rad):
        return math.hypot(dx_m, dy_m)
    cos, sin = math.cos(hold_rad), math.sin(hold_rad)
    return bare_cost((cos * dx_m + sin * dy_m, cos * dy_m - sin * dx_m, 0.0), terms)


@njit(cache=True, nogil=True)
def _leg_fits(
    way_m: NDArray[np.float64],
    i: int,
    j: int,
    most: float,
    hold_rad: float,
    ground: Ground,
    body: Body,
    terms: Terms,
) -> bool:
    dx, dy = way_m[j, 0] - way_m[i, 0], way_m[j, 1] - way_m[i, 1]
    yaw = math.atan2(dy, dx) if math.isnan(hold_rad) else hold_rad
    if _leg_cost(dx, dy, hold_rad, terms) > most + 1e-6:
        return False
    if not fits(way_m[i, 0], way_m[i, 1], yaw, ground, body):
        return False
    cos, sin = math.cos(yaw), math.sin(yaw)
    move = (cos * dx + sin * dy, cos * dy - sin * dx, 0.0)
    # A corner less is worth a little way.
    pose = (way_m[i, 0], way_m[i, 1], yaw)
    return sweep_cost(pose, move, ground, body, terms) <= 1.005 * most + 1e-6


@njit(cache=True, nogil=True)
def _push(tree: Tree, size: int, key: float, node: int) -> None:
    """Put a node into the binary heap of so many; among equal keys the older node comes first."""
    keys, nodes = tree.heap_keys, tree.heap_nodes
    i = size
    while i > 0:
        up = (i - 1) // 2
        if keys[up] < key or (keys[up] == key and nodes[up] < node):
            break
        keys[i], nodes[i] = keys[up], nodes[up]
        i = up
    keys[i], nodes[i] = key, node


@njit(cache=True, nogil=True)
def _pop(tree: Tree, size: int) -> int:
    """Take the first node out of the binary heap of so many."""
    keys, nodes = tree.heap_keys, tree.heap_nodes
    first = int(nodes[0])
    last = size - 1
    key, node = keys[last], nodes[last]
    i = 0
    while True:
        down = 2 * i + 1
        if down >= last:
            break
        right = down + 1
        if right < last and (
            keys[right] < keys[down] or (keys[right] == keys[down] and nodes[right] < nodes[down])
        ):
            down = right
        if key < keys[down] or (key == keys[down] and node < nodes[down]):
            break
        keys[i], nodes[i] = keys[down], nodes[down]
        i = down
    keys[i], nodes[i] = key, node
    return first


@njit(cache=True, nogil=True)
def _slot(tree: Tree, state: int) -> int:
    """Return where a state is in the hash table of open addresses, or where it belongs."""
    mask = int(tree.table.shape[0]) - 1
    slot = ((state * 2654435761) >> 7) & mask
    while tree.table[slot] >= 0 and tree.states[tree.table[slot]] != state:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True)
def _state(pose: tuple[float, float, float], state_m: float) -> int:
    heading = math.floor(pose[2] / CIRCLE * HEADINGS + 0.5) % HEADINGS
    row, column = math.floor(pose[1] / state_m), math.floor(pose[0] / state_m)
    return ((row << 24) + column) * HEADINGS + heading


@njit(cache=True, nogil=True)
def _lead(pose: tuple[float, float, float], to_go: NDArray[np.float32], cell_m: float) -> float:
    """Return the cost to go of the coarse cell under a pose, infinite off the grid."""
    row, column = math.floor(pose[1] / cell_m), math.floor(pose[0] / cell_m)
    if not (0 <= row < to_go.shape[0] and 0 <= column < to_go.shape[1]):
        return np.inf
    return float(to_go[row, column])


@njit(cache=True, nogil=True)
def _snapped(yaw_rad: float, turn_rad: float) -> float:
    """Return the turn to the next of ``HEADINGS`` of the grid, as buildings follow its axes."""
    notch = CIRCLE / HEADINGS
    if turn_rad > 0.0:
        return notch * math.floor(yaw_rad / notch + 1.0 + 1e-6) - yaw_rad
    return notch * math.ceil(yaw_rad / notch - 1.0 - 1e-6) - yaw_rad


@njit(cache=True, nogil=True)
def _branch(
    tree: Tree,
    count: int,
    node: int,
    move: tuple[float, float, float],
    state_m: float,
    ground: Ground,
    body: Body,
    terms: Terms,
) -> bool:
    """Write the node that a move leads to behind so many, if it is the best of its state."""
    pose = (tree.poses[node, 0], tree.poses[node, 1], tree.poses[node, 2])
    there = moved(pose, move, 1.0)
    state = _state(there, state_m)
    slot = _slot(tree, state)
    rival = tree.table[slot]
    if rival >= 0 and tree.costs[rival] <= tree.costs[node] + bare_cost(move, terms):
        return False
    cost = tree.costs[node] + sweep_cost(pose, move, ground, body, terms)
    if cost == np.inf or (rival >= 0 and tree.costs[rival] <= cost):
        return False
    tree.poses[count, 0], tree.poses[count, 1], tree.poses[count, 2] = there
    tree.moves[count, 0], tree.moves[count, 1], tree.moves[count, 2] = move
    tree.costs[count], tree.states[count], tree.parents[count] = cost, state, node
    tree.table[slot] = count
    return True


@njit(cache=True, nogil=True)
def plant(start: tuple[float, float, float], state_m: float, tree: Tree) -> None:
    """Begin a search with the start alone.

    Args:
        start: x, y, yaw; the robot is taken to fit there.
        state_m: Edge of the square of a state.
        tree: Workspace.
    """
    tree.table[:] = -1
    tree.poses[0, 0], tree.poses[0, 1], tree.poses[0, 2] = start
    tree.costs[0], tree.states[0], tree.parents[0] = 0.0, _state(start, state_m), -1
    tree.table[_slot(tree, tree.states[0])] = 0
    tree.heap_keys[0], tree.heap_nodes[0] = 0.0, 0
    nodes, heap, expanded, next_try, best_node, best_count = 1, 1, 0, 1, -1, 0
    counts = tree.counts
    counts[0], counts[1], counts[2] = nodes, heap, expanded
    counts[3], counts[4], counts[5] = next_try, best_node, best_count
    tree.best[0] = np.inf


@njit(cache=True, nogil=True)
def search(
    goal: tuple[float, float, float],
    ground: Ground,
    body: Body,
    terms: Terms,
    primitives: NDArray[np.float64],
    to_go: NDArray[np.float32],
    cell_m: float,
    state_m: float,
    most_nodes: int,
    expansions: int,
    tree: Tree,
    moves: NDArray[np.float64],
) -> int:
    """Look on for moves to a goal with hybrid A*.

    A node is a pose; poses of one square and one of ``HEADINGS`` are one state, of which the
    cheapest stays. The cost to go of a point robot leads the search. Now and then, more often near
    the goal, a direct connection is tried, and the search ends when nothing cheaper can come.

    Args:
        goal: x, y, yaw; NaN where any will do.
        ground: What stands where.
        body: What the robot covers.
        terms: What a move costs.
        primitives: float64, shape ``(m, 3)``, moves to try at every node; a turn on the spot goes
            to the next of ``HEADINGS`` whatever its size.
        to_go: float32, shape ``(rows, columns)``, from each coarse cell; infinite where closed.
        cell_m: Edge of a coarse cell.
        state_m: Edge of the square of a state.
        most_nodes: After which to give up, at most as many as the tree has room for.
        expansions: Nodes to expand before coming back.
        tree: Begun by :func:`plant`, goes on from call to call.
        moves: float64 output, shape ``(most, 3)``.

    Returns:
        How many moves there are, 0 where there is no way, -1 where the nodes did not suffice, -2
        where the search has to go on.
    """
    curve, counts = np.empty((MOST_CURVES, 3)), tree.counts
    best = tree.best[0]
    count, size, expanded, next_try = counts[0], counts[1], counts[2], counts[3]
    last = expanded + expansions
    while size > 0 and tree.heap_keys[0] < best and count + primitives.shape[0] <= most_nodes:
        if expanded >= last:
            counts[0], counts[1], counts[2], counts[3] = count, size, expanded, next_try
            return GOES_ON
        node = _pop(tree, size)
        size -= 1
        if tree.table[_slot(tree, tree.states[node])] != node:
            continue
        expanded += 1
        pose = (tree.poses[node, 0], tree.poses[node, 1], tree.poses[node, 2])
        if expanded >= next_try:
            next_try = expanded + 1 + int(2.0 * min(30.0, _lead(pose, to_go, cell_m)))
            left = best - tree.costs[node]
            pieces, cost = connect(pose, goal, ground, body, terms, left, curve)
            if pieces > 0:
                best = tree.costs[node] + cost
                tree.best[0], counts[4], counts[5] = best, node, pieces
                tree.curve[:pieces] = curve[:pieces]
        for m in range(primitives.shape[0]):
            move = (primitives[m, 0], primitives[m, 1], primitives[m, 2])
            if move[0] == 0.0 and move[1] == 0.0:
                move = (0.0, 0.0, _snapped(pose[2], move[2]))
            lead = _lead(moved(pose, move, 1.0), to_go, cell_m)
            if tree.costs[node] + bare_cost(move, terms) + lead >= best:
                continue
            if _branch(tree, count, node, move, state_m, ground, body, terms):
                _push(tree, size, tree.costs[count] + lead, count)
                size += 1
                count += 1
    if counts[4] < 0:
        return 0 if size == 0 else -1
    return _trace(tree, counts[4], tree.curve[: counts[5]], moves)


@njit(cache=True, nogil=True)
def _trace(tree: Tree, node: int, curve: NDArray[np.float64], moves: NDArray[np.float64]) -> int:
    """Write the moves from the root to a node and on along a curve, and return how many."""
    steps, ancestor = 0, node
    while tree.parents[ancestor] >= 0:
        ancestor = int(tree.parents[ancestor])
        steps += 1
    if steps + curve.shape[0] > moves.shape[0]:
        return -1
    for i in range(steps - 1, -1, -1):
        moves[i] = tree.moves[node]
        node = int(tree.parents[node])
    moves[steps : steps + curve.shape[0]] = curve
    return steps + int(curve.shape[0])


@njit(cache=True, nogil=True)
def split(moves: NDArray[np.float64], spacing_m: float, pieces: NDArray[np.float64]) -> int:
    """Write moves as pieces that are no longer than a spacing.

    Args:
        moves: float64, shape ``(n, 3)``.
        spacing_m: Largest way; and for every radian of turn one metre counts.
        pieces: float64 output, shape ``(most, 3)``; of no rows to count only.

    Returns:
        How many pieces there are.
    """
    count = 0
    for i in range(moves.shape[0]):
        way_m = max(math.hypot(moves[i, 0], moves[i, 1]), abs(moves[i, 2]))
        parts = math.ceil(way_m / spacing_m - 1e-9)
        for _ in range(parts):
            if pieces.shape[0] > 0:
                pieces[count] = moves[i] / parts
            count += 1
    return count


@njit(cache=True, nogil=True)
def merge(moves: NDArray[np.float64]) -> int:
    """Join, in place, moves that go on with the same twist, and drop those that go nowhere.

    Args:
        moves: float64, shape ``(n, 3)``.

    Returns:
        How many remain.
    """
    count = 0
    for i in range(moves.shape[0]):
        u, v, w = moves[i, 0], moves[i, 1], moves[i, 2]
        if max(abs(u), max(abs(v), abs(w))) < 1e-9:
            continue
        if count > 0:
            a, b, c = moves[count - 1, 0], moves[count - 1, 1], moves[count - 1, 2]
            across = max(abs(a * v - b * u), max(abs(b * w - c * v), abs(c * u - a * w)))
            if across < 1e-9 and a * u + b * v + c * w > 0.0:
                moves[count - 1, 0], moves[count - 1, 1], moves[count - 1, 2] = a + u, b + v, c + w
                continue
        moves[count, 0], moves[count, 1], moves[count, 2] = u, v, w
        count += 1
    return count


@njit(cache=True, nogil=True)
def passable(
    start: tuple[float, float, float],
    pieces: NDArray[np.float64],
    ground: Ground,
    body: Body,
    terms: Terms,
    poses: NDArray[np.float64],
    clear: NDArray[np.bool_],
) -> None:
    """Write the poses after each piece of a way, and whether the robot gets there.

    Args:
        start: x, y, yaw.
        pieces: float64, shape ``(n, 3)``, moves.
        ground: What stands where.
        body: What the robot covers.
        terms: Whether it turns on the spot.
        poses: float64 output, shape ``(n + 1, 3)``, the start first.
        clear: bool output, shape ``(n,)``, whether the sweep along each piece touches nothing.
    """
    pose = start
    poses[0] = pose
    for i in range(pieces.shape[0]):
        move = (pieces[i, 0], pieces[i, 1], pieces[i, 2])
        begins = fits(pose[0], pose[1], pose[2], ground, body)
        begins = begins and (terms.pivots or move[0] != 0.0)
        clear[i] = begins and sweep_cost(pose, move, ground, body, terms) < np.inf
        pose = moved(pose, move, 1.0)
        poses[i + 1] = pose


@njit(cache=True, nogil=True)
def narrowest(poses: NDArray[np.float64], ground: Ground) -> int:
    """Return which pose has the least room.

    Args:
        poses: float64, shape ``(n, 3)``.
        ground: What stands where.
    """
    least, where = np.inf, 0
    for i in range(poses.shape[0]):
        clearance = clearance_m(poses[i, 0], poses[i, 1], ground)
        if clearance < least:
            least, where = clearance, i
    return where


@njit(cache=True, nogil=True)
def fits_near(x_m: float, y_m: float, first: int, last: int, ground: Ground, body: Body) -> bool:
    """Return whether the robot fits near a place at any of some of ``FINE_HEADINGS``.

    Args:
        x_m: Of the place.
        y_m: Of the place.
        first: First heading to try.
        last: First heading not to try.
        ground: What stands where.
        body: What the robot covers.
    """
    half_m = 0.5 * ground.resolution_m
    for k in range(first, last):
        for row in range(-NEAR_HALVES, NEAR_HALVES + 1):
            for column in range(-NEAR_HALVES, NEAR_HALVES + 1):
                x, y = x_m + column * half_m, y_m + row * half_m
                if fits(x, y, k * CIRCLE / FINE_HEADINGS, ground, body):
                    return True
    return False


@njit(cache=True, nogil=True)
def centre(way_m: NDArray[np.float64], ground: Ground, cell_m: float) -> None:
    """Move points, in place, to where there is most room in their coarse cells.

    Args:
        way_m: float64, shape ``(n, 2)``, centres of coarse cells.
        ground: What stands where.
        cell_m: Edge of a coarse cell.
    """
    rows, columns = ground.distance_m.shape
    side = int(cell_m / ground.resolution_m + 0.5)
    for i in range(way_m.shape[0]):
        first_row = math.floor(way_m[i, 1] / cell_m) * side
        first_column = math.floor(way_m[i, 0] / cell_m) * side
        most, x, y, equal = -np.inf, 0.0, 0.0, 0
        for row in range(first_row, min(rows, first_row + side)):
            for column in range(first_column, min(columns, first_column + side)):
                here = float(ground.distance_m[row, column])
                if here > most:
                    most, x, y, equal = here, 0.0, 0.0, 0
                if here == most:
                    x, y, equal = x + column + 0.5, y + row + 0.5, equal + 1
        way_m[i, 0], way_m[i, 1] = x / equal * ground.resolution_m, y / equal * ground.resolution_m


@njit(cache=True, nogil=True)
def follow(
    start: tuple[float, float, float],
    moves: NDArray[np.float64],
    spacing_m: float,
    spacing_rad: float,
    poses: NDArray[np.float64],
    reversing: NDArray[np.bool_],
) -> int:
    """Write the poses along moves, evenly spaced on each.

    Args:
        start: x, y, yaw.
        moves: float64, shape ``(n, 3)``.
        spacing_m: Largest way from one pose to the next.
        spacing_rad: Largest turn.
        poses: float64 output, shape ``(most, 3)``, the start first.
        reversing: bool output, shape ``(most,)``, whether a pose is reached backwards.

    Returns:
        How many poses there are; with ``poses`` of no rows, how many there would be.
    """
    count = 1
    room = poses.shape[0] > 0
    if room:
        poses[0] = start
        reversing[0] = False
    pose = start
    for i in range(moves.shape[0]):
        move = (moves[i, 0], moves[i, 1], moves[i, 2])
        way = max(math.hypot(move[0], move[1]) / spacing_m, abs(move[2]) / spacing_rad)
        pieces = math.ceil(way - 1e-9)
        for k in range(1, pieces + 1):
            if room:
                poses[count] = moved(pose, move, k / pieces)
                reversing[count] = move[0] < -1e-9
            count += 1
        pose = moved(pose, move, 1.0)
    return count


@njit(cache=True, nogil=True)
def least_clearance_m(
    poses: NDArray[np.float64], outline_m: NDArray[np.float64], ground: Ground
) -> float:
    """Return how near points of the footprint come to filled cells.

    Args:
        poses: float64, shape ``(n, 3)``.
        outline_m: float64, shape ``(points, 2)``, in the base frame, no farther apart than a cell.
        ground: What stands where.

    Returns:
        Distance in m, right to about a cell, never negative.
    """
    least = np.inf
    reach = 0.0
    for i in range(outline_m.shape[0]):
        reach = max(reach, math.hypot(outline_m[i, 0], outline_m[i, 1]))
    for k in range(poses.shape[0]):
        if clearance_m(poses[k, 0], poses[k, 1], ground) - reach >= least + ground.resolution_m:
            continue
        cos, sin = math.cos(poses[k, 2]), math.sin(poses[k, 2])
        for i in range(outline_m.shape[0]):
            x = poses[k, 0] + cos * outline_m[i, 0] - sin * outline_m[i, 1]
            y = poses[k, 1] + sin * outline_m[i, 0] + cos * outline_m[i, 1]
            least = min(least, clearance_m(x, y, ground) - 0.5 * ground.resolution_m)
    return max(0.0, least)
