"""Compiled physics of an obstacle course: a planar lidar, exact contact, braking, a way in time.

The robot is a rectangle about the origin of its frame. Tables hold one obstacle a row, in the frame
of the course:

* ``walls``, shape ``(walls, 4)``: x, y of one end and of the other (m);
* ``discs``, shape ``(discs, 3)``: x, y and radius (m).

The state of the robot is float64, shape ``(5,)``: x, y (m), yaw (rad), speed (m/s), yaw rate
(rad/s). Its limits are float64, shape ``(3,)``: acceleration, deceleration (m/s2), yaw acceleration
(rad/s2). Obstacles are numbered walls first, then discs, then walkers.
"""

import math
from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

NOTHING = -1


@njit(cache=True, nogil=True)
def cast_beams(
    walls: FloatArray,
    discs: FloatArray,
    x_m: float,
    y_m: float,
    yaw_rad: float,
    bearings_rad: FloatArray,
    max_range_m: float,
    ranges_m: FloatArray,
) -> None:
    """Cast the beams of a lidar; NaN where nothing is within reach, 0 from inside a disc.

    Each obstacle is compared only with the beams of the sector that it covers.

    Args:
        walls: float64, see the module.
        discs: float64, see the module.
        x_m: Place of the lidar.
        y_m: Place of the lidar.
        yaw_rad: Heading of the lidar.
        bearings_rad: float64, shape ``(beams,)``, from the lidar's x axis, increasing, in
            [-pi, pi].
        max_range_m: Reach of the lidar.
        ranges_m: float64, shape ``(beams,)``, written.
    """
    ranges_m[:] = math.inf
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    for i in range(walls.shape[0]):
        _cast_wall(walls[i], x_m, y_m, yaw_rad, bearings_rad, ranges_m)
    for i in range(discs.shape[0]):
        to_x, to_y, radius = discs[i, 0] - x_m, discs[i, 1] - y_m, discs[i, 2]
        distance = math.hypot(to_x, to_y)
        if distance <= radius:
            ranges_m[:] = 0.0
        elif distance - radius <= max_range_m:
            bearing = math.atan2(cos * to_y - sin * to_x, cos * to_x + sin * to_y)
            half = math.asin(radius / distance)
            for turn in range(-1, 2):
                middle = bearing + turn * math.tau
                first, last = _sector(bearings_rad, middle - half, middle + half)
                for k in range(first, last):
                    off = bearings_rad[k] - middle
                    aside = distance * math.sin(off)
                    chord = radius * radius - aside * aside
                    if chord >= 0.0:
                        reach = distance * math.cos(off) - math.sqrt(chord)
                        ranges_m[k] = min(ranges_m[k], reach)
    for k in range(ranges_m.size):
        if ranges_m[k] > max_range_m:
            ranges_m[k] = math.nan


@njit(cache=True, nogil=True)
def _sector(bearings_rad: FloatArray, start_rad: float, end_rad: float) -> tuple[int, int]:
    """Return first and behind-last beam of a sector, one more at each side against rounding."""
    if end_rad < bearings_rad[0] or start_rad > bearings_rad[-1]:
        return 0, 0
    first = int(np.searchsorted(bearings_rad, start_rad)) - 1
    last = int(np.searchsorted(bearings_rad, end_rad)) + 1
    return max(first, 0), min(last, bearings_rad.size)


@njit(cache=True, nogil=True)
def _cast_wall(
    wall: FloatArray,
    x_m: float,
    y_m: float,
    yaw_rad: float,
    bearings_rad: FloatArray,
    ranges_m: FloatArray,
) -> None:
    """Shorten the beams that meet a wall."""
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    from_x, from_y, to_x, to_y = wall[0] - x_m, wall[1] - y_m, wall[2] - x_m, wall[3] - y_m
    ax, ay = cos * from_x + sin * from_y, cos * from_y - sin * from_x
    bx, by = cos * to_x + sin * to_y, cos * to_y - sin * to_x
    start = math.atan2(ay, ax)
    width = (math.atan2(by, bx) - start + math.pi) % math.tau - math.pi
    if width < 0.0:
        start, width = start + width, -width
    edge_x, edge_y = bx - ax, by - ay
    for turn in range(-1, 2):
        from_rad = start + turn * math.tau
        first, last = _sector(bearings_rad, from_rad, from_rad + width)
        for k in range(first, last):
            dx, dy = math.cos(bearings_rad[k]), math.sin(bearings_rad[k])
            cross = dx * edge_y - dy * edge_x
            if cross == 0.0:
                continue
            along = (ax * edge_y - ay * edge_x) / cross
            share = (ax * dy - ay * dx) / cross
            if along >= 0.0 and 0.0 <= share <= 1.0:
                ranges_m[k] = min(ranges_m[k], along)


@njit(cache=True, nogil=True)
def disc_gap_m(
    x_m: float, y_m: float, half_length_m: float, half_width_m: float, radius_m: float
) -> float:
    """Return the distance of a disc, its middle in the robot's frame, from the robot.

    Negative where they share area.
    """
    beyond_x = max(abs(x_m) - half_length_m, 0.0)
    beyond_y = max(abs(y_m) - half_width_m, 0.0)
    return math.hypot(beyond_x, beyond_y) - radius_m


@njit(cache=True, nogil=True)
def wall_gap_m(
    ax: float, ay: float, bx: float, by: float, half_length_m: float, half_width_m: float
) -> float:
    """Return the distance of a wall, its ends in the robot's frame, from the robot, 0 in it."""
    edge_x, edge_y = bx - ax, by - ay
    enter, leave = 0.0, 1.0
    for position, direction, half in ((ax, edge_x, half_length_m), (ay, edge_y, half_width_m)):
        if direction == 0.0:
            if abs(position) > half:
                enter = math.inf
        else:
            near, far = (-half - position) / direction, (half - position) / direction
            enter, leave = max(enter, min(near, far)), min(leave, max(near, far))
    if enter <= leave:
        return 0.0
    gap = min(
        disc_gap_m(ax, ay, half_length_m, half_width_m, 0.0),
        disc_gap_m(bx, by, half_length_m, half_width_m, 0.0),
    )
    length_squared = edge_x * edge_x + edge_y * edge_y
    for corner_x in (-half_length_m, half_length_m):
        for corner_y in (-half_width_m, half_width_m):
            share = 0.0
            if length_squared > 0.0:
                share = ((corner_x - ax) * edge_x + (corner_y - ay) * edge_y) / length_squared
                share = min(max(share, 0.0), 1.0)
            off_x, off_y = ax + share * edge_x - corner_x, ay + share * edge_y - corner_y
            gap = min(gap, math.hypot(off_x, off_y))
    return gap


@njit(cache=True, nogil=True)
def clearance(
    walls: FloatArray,
    discs: FloatArray,
    walkers: FloatArray,
    state: FloatArray,
    half_length_m: float,
    half_width_m: float,
) -> tuple[float, int]:
    """Return the distance from the robot to what is nearest, and the number of that.

    Args:
        walls: float64, see the module.
        discs: float64, see the module.
        walkers: float64, discs too.
        state: float64, of the robot.
        half_length_m: Of the robot.
        half_width_m: Of the robot.

    Returns:
        Distance in m, 0 or less where they touch, inf where there is nothing; number of the
        obstacle, ``NOTHING`` where there is none.
    """
    cos, sin = math.cos(state[2]), math.sin(state[2])
    gap, nearest = math.inf, NOTHING
    for i in range(walls.shape[0]):
        ax, ay = walls[i, 0] - state[0], walls[i, 1] - state[1]
        bx, by = walls[i, 2] - state[0], walls[i, 3] - state[1]
        wall_gap = wall_gap_m(
            cos * ax + sin * ay,
            cos * ay - sin * ax,
            cos * bx + sin * by,
            cos * by - sin * bx,
            half_length_m,
            half_width_m,
        )
        if wall_gap < gap:
            gap, nearest = wall_gap, i
    disc_gap, disc = _nearest_disc(discs, state, half_length_m, half_width_m, gap)
    if disc != NOTHING:
        gap, nearest = disc_gap, walls.shape[0] + disc
    walker_gap, walker = _nearest_disc(walkers, state, half_length_m, half_width_m, gap)
    if walker != NOTHING:
        gap, nearest = walker_gap, walls.shape[0] + discs.shape[0] + walker
    return gap, nearest


@njit(cache=True, nogil=True)
def _nearest_disc(
    discs: FloatArray, state: FloatArray, half_length_m: float, half_width_m: float, within_m: float
) -> tuple[float, int]:
    """Return distance and number of the disc nearest to the robot, if any is nearer than that."""
    cos, sin = math.cos(state[2]), math.sin(state[2])
    circumradius = math.hypot(half_length_m, half_width_m)
    gap, nearest = within_m, NOTHING
    for i in range(discs.shape[0]):
        to_x, to_y = discs[i, 0] - state[0], discs[i, 1] - state[1]
        # Nothing whose middle is beyond the bound can be nearer than the nearest so far.
        bound = gap + circumradius + discs[i, 2]
        if bound < 0.0 or to_x * to_x + to_y * to_y > bound * bound:
            continue
        disc_gap = disc_gap_m(
            cos * to_x + sin * to_y,
            cos * to_y - sin * to_x,
            half_length_m,
            half_width_m,
            discs[i, 2],
        )
        if disc_gap < gap:
            gap, nearest = disc_gap, i
    return gap, nearest


@njit(cache=True, nogil=True)
def _ramped(now: float, target: float, faster: float, slower: float) -> float:
    """Return a speed after one step towards its target; who reverses stops first."""
    if now * target < 0.0:
        target, change = 0.0, slower
    elif abs(target) > abs(now):
        change = faster
    else:
        change = slower
    return now + min(max(target - now, -change), change)


@njit(cache=True, nogil=True)
def _roll(state: FloatArray, speed: float, yaw_rate: float, step_s: float) -> None:
    """Move to a new speed in one step: exactly along the arc of the mean speeds."""
    turn = 0.5 * (state[4] + yaw_rate) * step_s
    chord = 0.5 * (state[3] + speed) * step_s
    # The chord of an arc has length 2 r sin(turn / 2) and points half the turn ahead.
    half = 0.5 * turn
    if abs(half) > 1e-9:
        chord *= math.sin(half) / half
    state[0] += chord * math.cos(state[2] + half)
    state[1] += chord * math.sin(state[2] + half)
    state[2] += turn
    state[3], state[4] = speed, yaw_rate


@njit(cache=True, nogil=True)
def drive(
    state: FloatArray,
    targets: FloatArray,
    limits: FloatArray,
    step_s: float,
    walls: FloatArray,
    discs: FloatArray,
    walkers: FloatArray,
    half_length_m: float,
    half_width_m: float,
    goal: FloatArray,
    track: FloatArray,
) -> tuple[int, float, int]:
    """Drive one control cycle, until it ends, the robot touches something or is at the goal.

    Args:
        state: float64, at the beginning.
        targets: float64, shape ``(steps, 2)``, commanded speed and yaw rate in each step.
        limits: float64, see the module.
        step_s: Duration of a step.
        walls: float64, see the module.
        discs: float64, see the module.
        walkers: float64, shape ``(steps, walkers, 3)``: discs at the end of each step.
        half_length_m: Of the robot.
        half_width_m: Of the robot.
        goal: float64, shape ``(3,)``: x, y and radius (m).
        track: float64, shape ``(steps, 5)``, written: the state after each step.

    Returns:
        Steps driven; least clearance in m after any of them; number of the obstacle that the robot
        touched, ``NOTHING`` if it did not.
    """
    now = state.copy()
    least = math.inf
    for k in range(targets.shape[0]):
        speed = _ramped(now[3], targets[k, 0], limits[0] * step_s, limits[1] * step_s)
        yaw_rate = _ramped(now[4], targets[k, 1], limits[2] * step_s, limits[2] * step_s)
        _roll(now, speed, yaw_rate, step_s)
        track[k] = now
        gap, nearest = clearance(walls, discs, walkers[k], now, half_length_m, half_width_m)
        least = min(least, gap)
        if gap <= 0.0:
            return k + 1, least, nearest
        if math.hypot(goal[0] - now[0], goal[1] - now[1]) <= goal[2]:
            return k + 1, least, NOTHING
    return targets.shape[0], least, NOTHING


@njit(cache=True, nogil=True)
def braking_touches(
    state: FloatArray,
    targets: FloatArray,
    limits: FloatArray,
    step_s: float,
    walls: FloatArray,
    discs: FloatArray,
    half_length_m: float,
    half_width_m: float,
) -> bool:
    """Whether the robot touches something if it brakes fully once the present cycle has ended.

    It follows the commands of the cycle, then both speeds go to zero together, as fast as the
    limits let the slower of them, so that the arc is kept.

    Args:
        state: float64, of the robot.
        targets: float64, shape ``(steps, 2)``, commanded speed and yaw rate in each step of the
            cycle.
        limits: float64, see the module.
        step_s: Duration of a step, and resolution of the sweep.
        walls: float64, see the module.
        discs: float64, see the module, all obstacles where they are now.
        half_length_m: Of the robot.
        half_width_m: Of the robot.
    """
    fastest = max(abs(state[3]), np.abs(targets[:, 0]).max())
    quickest = max(abs(state[4]), np.abs(targets[:, 1]).max())
    longest_s = step_s * len(targets) + max(fastest / limits[1], quickest / limits[2])
    reach = fastest * longest_s + math.hypot(half_length_m, half_width_m)
    near = np.empty_like(discs)
    count = 0
    for i in range(discs.shape[0]):
        if math.hypot(discs[i, 0] - state[0], discs[i, 1] - state[1]) <= reach + discs[i, 2]:
            near[count] = discs[i]
            count += 1
    near = near[:count]
    now = state.copy()
    for k in range(targets.shape[0]):
        speed = _ramped(now[3], targets[k, 0], limits[0] * step_s, limits[1] * step_s)
        yaw_rate = _ramped(now[4], targets[k, 1], limits[2] * step_s, limits[2] * step_s)
        _roll(now, speed, yaw_rate, step_s)
        if clearance(walls, near, near[:0], now, half_length_m, half_width_m)[0] <= 0.0:
            return True
    from_speed, from_yaw_rate = now[3], now[4]
    braking_s = max(abs(from_speed) / limits[1], abs(from_yaw_rate) / limits[2])
    steps = math.ceil(braking_s / step_s)
    for k in range(1, steps + 1):
        share = 1.0 - k / steps
        _roll(now, share * from_speed, share * from_yaw_rate, braking_s / steps)
        if clearance(walls, near, near[:0], now, half_length_m, half_width_m)[0] <= 0.0:
            return True
    return False


@njit(cache=True, nogil=True)
def earliest_arrival(
    places_m: FloatArray,
    reaches_m: FloatArray,
    samples: int,
    moves: IntArray,
    cell_m: float,
    origin_m: FloatArray,
    start: IntArray,
    at_goal: BoolArray,
) -> int:
    """Search cells and time for a way among moving discs, breadth first; waiting is a move.

    Args:
        places_m: float64, shape ``(steps * samples + 1, discs, 2)``, middles of the discs.
        reaches_m: float64, shape ``(discs,)``, how near to each the robot's middle may not come.
        samples: How often a move of one step is checked against the discs.
        moves: int64, shape ``(moves, 2)``, what one step can do, rows and columns.
        cell_m: Side of a cell.
        origin_m: float64, shape ``(2,)``, middle of cell (0, 0).
        start: int64, shape ``(2,)``, row and column.
        at_goal: bool, shape ``(rows, columns)``, cells where the way may end.

    Returns:
        Step at which the first of those cells can be reached, -1 if none can.
    """
    rows, columns = at_goal.shape
    longest_m = 0.0
    for j in range(moves.shape[0]):
        longest_m = max(longest_m, cell_m * math.hypot(moves[j, 0], moves[j, 1]))
    reached = np.zeros((rows, columns), np.bool_)
    reached[start[0], start[1]] = True
    near = np.empty(reaches_m.size, np.int64)
    for step in range((places_m.shape[0] - 1) // samples):
        first = step * samples
        during = places_m[first : first + samples + 1]
        following = np.zeros((rows, columns), np.bool_)
        for row in range(rows):
            for column in range(columns):
                if not reached[row, column]:
                    continue
                x, y = origin_m[0] + column * cell_m, origin_m[1] + row * cell_m
                count = _discs_near(during, reaches_m, x, y, longest_m, near)
                for j in range(moves.shape[0]):
                    to_row, to_column = row + moves[j, 0], column + moves[j, 1]
                    outside = to_row < 0 or to_row >= rows or to_column < 0 or to_column >= columns
                    if outside or following[to_row, to_column]:
                        continue
                    dx, dy = moves[j, 1] * cell_m, moves[j, 0] * cell_m
                    if _is_free(during, reaches_m, near[:count], x, y, dx, dy):
                        following[to_row, to_column] = True
                        if at_goal[to_row, to_column]:
                            return step + 1
        reached = following
    return -1


@njit(cache=True, nogil=True)
def _discs_near(
    during: FloatArray, reaches_m: FloatArray, x: float, y: float, within_m: float, near: IntArray
) -> int:
    """Write the numbers of the discs that a move of a length could meet, and return how many."""
    count = 0
    for i in range(reaches_m.size):
        bound = reaches_m[i] + within_m
        for k in range(during.shape[0]):
            dx, dy = during[k, i, 0] - x, during[k, i, 1] - y
            if dx * dx + dy * dy < bound * bound:
                near[count] = i
                count += 1
                break
    return count


@njit(cache=True, nogil=True)
def _is_free(
    during: FloatArray,
    reaches_m: FloatArray,
    near: IntArray,
    x: float,
    y: float,
    dx: float,
    dy: float,
) -> bool:
    """Whether a straight move in one step keeps away from discs, at every sample."""
    last = during.shape[0] - 1
    for k in range(last + 1):
        at_x, at_y = x + dx * k / last, y + dy * k / last
        for i in near:
            off_x, off_y = during[k, i, 0] - at_x, during[k, i, 1] - at_y
            if off_x * off_x + off_y * off_y < reaches_m[i] * reaches_m[i]:
                return False
    return True
