"""Sampling of motions over a short horizon, and what each would cost.

Model predictive path integral control: Williams, Aldrich and Theodorou, "Model Predictive Path
Integral Control: From Theory to Parallel Computation", Journal of Guidance, Control, and Dynamics
40 (2017), 344-357.

A *control* is what the base is told in one step: forward speed, speed to the left and turn, which
is the yaw rate, or for a car-like base the curvature. A sequence of controls has shape
``(steps, 3)``.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

FORWARD, LATERAL, TURN = 0, 1, 2
# Columns of ``bounds``: least, most, fastest growth and fastest decline of a control per second.
LEAST, MOST, GROWTH, DECLINE = 0, 1, 2, 3
# Rows of ``weights``.
TO_GO, AT_END, CLEARANCE, CONTACT, SMOOTHNESS, BACKWARDS, MOVING = 0, 1, 2, 3, 4, 5, 6
WEIGHTS = 7
TO_GO_STRIDE = 4  # steps from one look at the cost to go to the next


@njit(cache=True, nogil=True)
def limited(
    wanted: float, present: float, bounds: NDArray[np.float32], axis: int, step_s: float
) -> float:
    """Return what becomes of a control within one step.

    Args:
        wanted: What the base is told.
        present: What it does.
        bounds: float32, shape ``(3, 4)``.
        axis: Which control.
        step_s: Duration of the step.
    """
    wanted = min(bounds[axis, MOST], max(bounds[axis, LEAST], wanted))
    growth, decline = step_s * bounds[axis, GROWTH], step_s * bounds[axis, DECLINE]
    # Away from zero is growth, and so is what lies beyond it.
    high = present + growth if present >= 0.0 else min(present + decline, growth)
    low = present - growth if present <= 0.0 else max(present - decline, -growth)
    return float(min(high, max(low, wanted)))


@njit(cache=True, nogil=True)
def bilinear(values: NDArray[np.float32], x: np.float32, y: np.float32) -> np.float32:
    """Return a value between the centres of four cells, at the border that of the nearest.

    Args:
        values: float32, shape ``(rows, columns)``.
        x: Place in cells, from the lower left corner of cell 0.
        y: The same.
    """
    rows, columns = values.shape
    half = np.float32(0.5)
    x = min(max(x - half, np.float32(0.0)), np.float32(columns - 1.001))
    y = min(max(y - half, np.float32(0.0)), np.float32(rows - 1.001))
    j, i = np.uint32(x), np.uint32(y)
    u, v = x - np.float32(j), y - np.float32(i)
    one = np.uint32(1)
    low = values[i, j] + u * (values[i, j + one] - values[i, j])
    high = values[i + one, j] + u * (values[i + one, j + one] - values[i + one, j])
    return np.float32(low + v * (high - low))


@njit(cache=True, nogil=True)
def clearance_m(
    x: np.float32,
    y: np.float32,
    cos: np.float32,
    sin: np.float32,
    discs: NDArray[np.float32],
    distance_m: NDArray[np.float32],
    per_metre: np.float32,
    far_m: np.float32,
) -> np.float32:
    """Return how far a footprint is from the nearest obstacle, at most ``far_m``.

    Args:
        x: Position in the grid's frame.
        y: Position in the grid's frame.
        cos: Of the heading.
        sin: Of the heading.
        discs: float32, shape ``(discs, 3)``: x, y and radius of discs that cover the footprint, the
            first around all of it.
        distance_m: float32, shape ``(rows, columns)``, to the nearest obstacle.
        per_metre: Cells per metre.
        far_m: Larger clearances need not be told apart.
    """
    rows, columns = distance_m.shape
    # Within a cell, distances differ from that of its centre by half its diagonal at most.
    half_diagonal = np.float32(0.7072) / per_metre
    last_column, last_row = np.float32(columns - 1), np.float32(rows - 1)
    zero, least = np.float32(0.0), far_m
    for k in range(1, discs.shape[0]):
        at_x = (x + cos * discs[k, 0] - sin * discs[k, 1]) * per_metre
        at_y = (y + sin * discs[k, 0] + cos * discs[k, 1]) * per_metre
        column = np.uint32(min(max(at_x, zero), last_column))
        row = np.uint32(min(max(at_y, zero), last_row))
        if distance_m[row, column] - discs[k, 2] - half_diagonal < least:
            least = min(least, bilinear(distance_m, at_x, at_y) - discs[k, 2])
    return least


@njit(cache=True, nogil=True)
def drive_step(
    step: int,
    nominal: NDArray[np.float32],
    noise: NDArray[np.float32],
    spread: NDArray[np.float32],
    bounds: NDArray[np.float32],
    car: bool,
    step_s: np.float32,
    controls: NDArray[np.float32],
    states: NDArray[np.float32],
    effort: NDArray[np.float32],
) -> None:
    """Move all samples on by one step; free of branches, so that it is done eight at a time.

    Args:
        step: Which.
        nominal: float32, shape ``(steps, 3)``.
        noise: float32, shape ``(steps, 3, samples)``, of unit variance.
        spread: float32, shape ``(3,)``, standard deviation of each control.
        bounds: float32, shape ``(3, 4)``, of the controls.
        car: Whether the turn is a curvature.
        step_s: Duration of a step.
        controls: float32 output, shape ``(steps, 3, samples)``, within bounds.
        states: float32, shape ``(7, samples)``, updated: x, y, cosine and sine of the heading,
            forward speed, speed to the left, turn.
        effort: float32, shape ``(samples,)``, sum of the squared changes of speeds, updated.
    """
    half_step, one = np.float32(0.5) * step_s, np.float32(1.0)
    sixth, tenth = np.float32(1.0 / 6.0), np.float32(1.0 / 24.0)
    for axis in range(3):
        mean, sigma = nominal[step, axis], spread[axis]
        least, most = bounds[axis, LEAST], bounds[axis, MOST]
        growth, decline = bounds[axis, GROWTH] * step_s, bounds[axis, DECLINE] * step_s
        speeds = states[4 + axis]
        for i in range(speeds.shape[0]):
            wanted = min(most, max(least, mean + sigma * noise[step, axis, i]))
            controls[step, axis, i] = wanted
            present = speeds[i]
            # Away from zero is growth, and so is what lies beyond it.
            high = present + growth if present >= 0 else min(present + decline, growth)
            low = present - growth if present <= 0 else max(present - decline, -growth)
            speed = min(high, max(low, wanted))
            effort[i] += (speed - present) * (speed - present)
            speeds[i] = speed
    for i in range(states.shape[1]):
        half = half_step * states[6, i]
        if car:
            half *= states[4, i]
        # Heading in the middle of the step, then at its end; the series is good to 1e-6.
        square = half * half
        turn_cos = one - square * (np.float32(0.5) - square * tenth)
        turn_sin = half * (one - square * sixth)
        cos = states[2, i] * turn_cos - states[3, i] * turn_sin
        sin = states[3, i] * turn_cos + states[2, i] * turn_sin
        states[0, i] += step_s * (states[4, i] * cos - states[5, i] * sin)
        states[1, i] += step_s * (states[4, i] * sin + states[5, i] * cos)
        states[2, i] = cos * turn_cos - sin * turn_sin
        states[3, i] = sin * turn_cos + cos * turn_sin


@njit(cache=True, nogil=True)
def _cells_around(
    states: NDArray[np.float32],
    disc: NDArray[np.float32],
    rows: int,
    columns: int,
    per_metre: np.float32,
    cells: NDArray[np.int32],
) -> None:
    """Write in which cell the middle of the disc around each footprint lies, by its flat index."""
    xs, ys, cosines, sines = states[0], states[1], states[2], states[3]
    last_column, last_row = np.float32(columns - 1), np.float32(rows - 1)
    ahead, aside, zero, wide = disc[0], disc[1], np.float32(0.0), np.int32(columns)
    for i in range(cells.shape[0]):
        x = xs[i] + cosines[i] * ahead - sines[i] * aside
        y = ys[i] + sines[i] * ahead + cosines[i] * aside
        column = np.int32(min(max(x * per_metre, zero), last_column))
        cells[i] = np.int32(min(max(y * per_metre, zero), last_row)) * wide + column


@njit(cache=True, nogil=True)
def _clearances_m(
    places: NDArray[np.float32],
    discs: NDArray[np.float32],
    distance_m: NDArray[np.float32],
    per_metre: np.float32,
    work: NDArray[np.float32],
    cells: NDArray[np.int32],
    clear_m: NDArray[np.float32],
) -> None:
    """Write for many footprints what :func:`clearance_m` returns for one.

    Disc by disc, and in several passes: only what looks values up goes footprint by footprint, all
    the rest is done many at a time.

    Args:
        places: float32, shape ``(4, most)``: x, y, cosine and sine of the headings.
        discs: As for :func:`clearance_m`.
        distance_m: As there.
        per_metre: As there.
        work: float32 workspace, shape ``(5, most)``.
        cells: int32 workspace, shape ``(2, most)``.
        clear_m: float32, shape ``(count,)``, of which the first ``count`` places are; on entry the
            clearance from which on they need not be told apart.
    """
    count, (rows, columns) = clear_m.shape[0], distance_m.shape
    flat, one, wide = distance_m.ravel(), np.uint32(1), np.int32(columns)
    half_diagonal = np.float32(0.7072) / per_metre
    last_column, last_row = np.float32(columns - 1), np.float32(rows - 1)
    right, top = np.float32(columns - 1.001), np.float32(rows - 1.001)
    zero, half = np.float32(0.0), np.float32(0.5)
    xs, ys, cosines, sines = places[0], places[1], places[2], places[3]
    us, vs, nearest, lows, highs = work[0], work[1], work[2], work[3], work[4]
    inside, corners = cells[0], cells[1]
    for k in range(1, discs.shape[0]):
        ahead, aside, radius = discs[k, 0], discs[k, 1], discs[k, 2]
        for i in range(count):
            us[i] = (xs[i] + cosines[i] * ahead - sines[i] * aside) * per_metre
        for i in range(count):
            vs[i] = (ys[i] + sines[i] * ahead + cosines[i] * aside) * per_metre
        for i in range(count):
            column = np.int32(min(max(us[i], zero), last_column))
            inside[i] = np.int32(min(max(vs[i], zero), last_row)) * wide + column
        for i in range(count):
            u, v = min(max(us[i] - half, zero), right), min(max(vs[i] - half, zero), top)
            column, row = np.int32(u), np.int32(v)
            us[i], vs[i] = u - np.float32(column), v - np.float32(row)
            corners[i] = row * wide + column
        for i in range(count):
            u, at, above = us[i], np.uint32(corners[i]), np.uint32(corners[i] + wide)
            nearest[i] = flat[np.uint32(inside[i])]
            lows[i] = flat[at] + u * (flat[at + one] - flat[at])
            highs[i] = flat[above] + u * (flat[above + one] - flat[above])
        for i in range(count):
            least = clear_m[i]
            fine = lows[i] + vs[i] * (highs[i] - lows[i]) - radius
            clear_m[i] = min(least, fine) if nearest[i] - radius - half_diagonal < least else least


@njit(cache=True, nogil=True)
def _narrow_places(
    states: NDArray[np.float32],
    alive: NDArray[np.bool_],
    soft_m: np.float32,
    discs: NDArray[np.float32],
    distance_m: NDArray[np.float32],
    per_metre: np.float32,
    work: NDArray[np.float32],
    cells: NDArray[np.int32],
    near: NDArray[np.int64],
    clear_m: NDArray[np.float32],
) -> int:
    """Write which samples may be nearer to an obstacle than ``soft_m``, and how near.

    Args:
        states: As for :func:`drive_step`.
        alive: Shape ``(samples,)``; the others are left out.
        soft_m: Clearances from here on need not be told apart.
        discs: As for :func:`clearance_m`.
        distance_m: As there.
        per_metre: As there.
        work: float32 workspace, shape ``(9, samples)``.
        cells: int32 workspace, shape ``(2, samples)``.
        near: int64 output, shape ``(samples,)``, numbers of the samples.
        clear_m: float32 output, shape ``(samples,)``, their clearances.

    Returns:
        How many there are.
    """
    places, around, flat = work[:4], cells[0], distance_m.ravel()
    rows, columns = distance_m.shape
    # Within a cell, distances differ from that of its centre by half its diagonal at most.
    outer_m = discs[0, 2] + np.float32(0.7072) / per_metre
    _cells_around(states, discs[0], rows, columns, per_metre, around)
    count = 0
    for i in range(around.shape[0]):
        if flat[np.uint32(around[i])] - outer_m < soft_m and alive[i]:
            near[count] = i
            for axis in range(4):
                places[axis, count] = states[axis, i]
            count += 1
    clear_m[:count] = soft_m
    _clearances_m(places, discs, distance_m, per_metre, work[4:], cells, clear_m[:count])
    return count


@njit(cache=True, nogil=True)
def roll_out(
    controls: NDArray[np.float32],
    nominal: NDArray[np.float32],
    noise: NDArray[np.float32],
    spread: NDArray[np.float32],
    state: NDArray[np.float64],
    car: bool,
    bounds: NDArray[np.float32],
    step_s: float,
    discs: NDArray[np.float32],
    origin_m: tuple[float, float],
    distance_m: NDArray[np.float32],
    resolution_m: float,
    to_go: NDArray[np.float32],
    coarse_m: float,
    margins_m: tuple[float, float],
    moving: NDArray[np.float32],
    weights: NDArray[np.float64],
    costs: NDArray[np.float64],
) -> None:
    """Drive every sampled sequence of controls in thought, and add up its cost.

    Args:
        controls: float32 output, shape ``(steps, 3, samples)``, within bounds.
        nominal: float32, shape ``(steps, 3)``.
        noise: float32, shape ``(steps, 3, samples)``, of unit variance.
        spread: float32, shape ``(3,)``, standard deviation of each control.
        state: float64, shape ``(6,)``: x, y, heading, and the controls in force.
        car: Whether the turn is a curvature.
        bounds: float32, shape ``(3, 4)``, of the controls.
        step_s: Duration of a step.
        discs: Cover of the footprint, see :func:`clearance_m`.
        origin_m: Lower left corner of both grids.
        distance_m: float32, shape ``(rows, columns)``, to the nearest obstacle.
        resolution_m: Side of its cells.
        to_go: float32, shape ``(rows', columns')``, cost to go.
        coarse_m: Side of its cells.
        margins_m: Clearance below which it counts as contact, and from which on it costs nothing.
        moving: float32, shape ``(objects, 6)``: x, y, vx, vy, radius, and the distance to keep from
            it, at the moment of the state.
        weights: float64, shape ``(7,)``.
        costs: float64 output, shape ``(samples,)``.
    """
    steps, samples = noise.shape[0], noise.shape[2]
    per_metre, per_coarse = np.float32(1.0 / resolution_m), np.float32(1.0 / coarse_m)
    step = np.float32(step_s)
    states = np.empty((7, samples), np.float32)
    states[0], states[1] = state[0] - origin_m[0], state[1] - origin_m[1]
    states[2], states[3] = math.cos(state[2]), math.sin(state[2])
    for axis in range(3):
        states[4 + axis] = state[3 + axis]
    effort = np.zeros(samples, np.float32)
    alive = np.ones(samples, np.bool_)
    last, backwards = np.zeros(samples, np.float32), np.zeros(samples, np.float32)
    near, clear_m = np.empty(samples, np.int64), np.empty(samples, np.float32)
    work, cells = np.empty((9, samples), np.float32), np.empty((2, samples), np.int32)
    costs[:] = 0.0
    soft_m = np.float32(margins_m[1])
    # Who stands closer than the margin already may leave.
    start_m = clearance_m(
        states[0, 0], states[1, 0], states[2, 0], states[3, 0], discs, distance_m, per_metre, soft_m
    )
    hard_m = min(np.float32(margins_m[0]), start_m - np.float32(0.005))
    span = soft_m - np.float32(margins_m[0])
    for k in range(steps):
        drive_step(k, nominal, noise, spread, bounds, car, step, controls, states, effort)
        count = _narrow_places(
            states, alive, soft_m, discs, distance_m, per_metre, work, cells, near, clear_m
        )
        for n in range(count):
            i, clear = near[n], clear_m[n]
            if clear >= soft_m:
                continue
            x, y = states[0, i], states[1, i]
            if clear < hard_m:
                # The sooner the worse; and it goes no farther.
                alive[i] = False
                last[i] = bilinear(to_go, x * per_coarse, y * per_coarse)
                costs[i] += weights[CONTACT] * (1.0 + (steps - k) / steps)
                costs[i] += weights[TO_GO] * last[i] * (steps - k) * step_s
            else:
                tight = (soft_m - clear) / span
                costs[i] += weights[CLEARANCE] * step_s * tight * tight * (0.2 + abs(states[4, i]))
        for i in range(samples):
            if alive[i]:
                backwards[i] += max(np.float32(0.0), -states[4, i])
        if k % TO_GO_STRIDE == TO_GO_STRIDE - 1 or k == steps - 1:
            for i in range(samples):
                if alive[i]:
                    x, y = states[0, i], states[1, i]
                    last[i] = bilinear(to_go, x * per_coarse, y * per_coarse)
                    costs[i] += weights[TO_GO] * last[i] * step_s * TO_GO_STRIDE
        t_s = np.float32((k + 1) * step_s)
        # Prediction grows worse with time, and so does the fear of it.
        fear = weights[MOVING] * step_s / (1.0 + t_s)
        for j in range(moving.shape[0]):
            _fear(moving[j], t_s, fear, origin_m, margins_m[0], discs, states, alive, costs)
    for i in range(samples):
        costs[i] += weights[SMOOTHNESS] * effort[i] + weights[AT_END] * last[i]
        costs[i] += weights[BACKWARDS] * step_s * backwards[i]


@njit(cache=True, nogil=True)
def _fear(
    mover: NDArray[np.float32],
    t_s: np.float32,
    fear: float,
    origin_m: tuple[float, float],
    contact_m: float,
    discs: NDArray[np.float32],
    states: NDArray[np.float32],
    alive: NDArray[np.bool_],
    costs: NDArray[np.float64],
) -> None:
    """Add what it costs to be near something that moves at a moment of the horizon."""
    at_x = mover[0] + mover[2] * t_s - np.float32(origin_m[0])
    at_y = mover[1] + mover[3] * t_s - np.float32(origin_m[1])
    keep_m = mover[5]
    reach_m = discs[0, 2] + abs(discs[0, 0]) + abs(discs[0, 1]) + mover[4] + keep_m
    for i in range(states.shape[1]):
        dx, dy = at_x - states[0, i], at_y - states[1, i]
        if dx * dx + dy * dy > reach_m * reach_m or not alive[i]:
            continue
        cos, sin = states[2, i], states[3, i]
        gap = _gap_m(cos * dx + sin * dy, cos * dy - sin * dx, discs) - mover[4]
        if gap < keep_m:
            near = min(1.5, (keep_m - gap) / keep_m)
            costs[i] += fear * near * near
            if gap < contact_m:
                costs[i] += 4.0 * fear


@njit(cache=True, nogil=True)
def _gap_m(x: float, y: float, discs: NDArray[np.float32]) -> float:
    """Return the distance of a point of the base frame from a footprint's cover."""
    outer = math.hypot(x - discs[0, 0], y - discs[0, 1]) - discs[0, 2]
    if outer > 0.5 or discs.shape[0] == 1:
        return float(outer)
    least = math.inf
    for k in range(1, discs.shape[0]):
        least = min(least, math.hypot(x - discs[k, 0], y - discs[k, 1]) - discs[k, 2])
    return least


@njit(cache=True, nogil=True)
def blend(
    controls: NDArray[np.float32],
    costs: NDArray[np.float64],
    temperature: float,
    mean: NDArray[np.float32],
) -> None:
    """Write the mean of the sampled controls, each weighted by how little it costs.

    Args:
        controls: float32, shape ``(steps, 3, samples)``.
        costs: float64, shape ``(samples,)``.
        temperature: Cost by which a sample counts less by a factor of e.
        mean: float32 output, shape ``(steps, 3)``.
    """
    steps, axes, samples = controls.shape
    least = costs.min()
    weights, chosen = np.empty(samples), np.empty(samples, np.int64)
    count, total = 0, 0.0
    for sample in range(samples):
        weight = math.exp(-(costs[sample] - least) / temperature)
        if weight >= 1e-6:
            weights[count], chosen[count] = weight, sample
            total += weight
            count += 1
    for step in range(steps):
        for axis in range(axes):
            accumulated = 0.0
            for i in range(count):
                accumulated += weights[i] * controls[step, axis, chosen[i]]
            mean[step, axis] = accumulated / total


@njit(cache=True, nogil=True)
def pursue(
    way_m: NDArray[np.float64],
    state: NDArray[np.float64],
    speed_mps: float,
    lookahead_m: float,
    car: bool,
    bounds: NDArray[np.float32],
    step_s: float,
    controls: NDArray[np.float32],
) -> None:
    """Write the controls of a pure pursuit along a way (Coulter 1992).

    Args:
        way_m: float64, shape ``(points, 2)``, at least one.
        state: float64, shape ``(6,)``: x, y, heading, and the controls in force.
        speed_mps: Where the way is straight and long.
        lookahead_m: How far along the way to steer for.
        car: Whether the turn is a curvature.
        bounds: float32, shape ``(3, 4)``, of the controls.
        step_s: Duration of a step.
        controls: float32 output, shape ``(steps, 3)``.
    """
    points = way_m.shape[0]
    x, y, yaw = state[0], state[1], state[2]
    forward, turn = state[3], state[5]
    at = 0
    end_x, end_y = way_m[points - 1, 0], way_m[points - 1, 1]
    for step in range(controls.shape[0]):
        # The nearest point only ever moves on, so that loops of the way are not cut.
        nearest = math.hypot(way_m[at, 0] - x, way_m[at, 1] - y)
        while at + 1 < points:
            following = math.hypot(way_m[at + 1, 0] - x, way_m[at + 1, 1] - y)
            if following > nearest:
                break
            nearest, at = following, at + 1
        carrot = at
        while carrot + 1 < points:
            if math.hypot(way_m[carrot, 0] - x, way_m[carrot, 1] - y) >= lookahead_m:
                break
            carrot += 1
        dx, dy = way_m[carrot, 0] - x, way_m[carrot, 1] - y
        chord = math.hypot(dx, dy)
        error = math.atan2(dy, dx) - yaw if chord > 0.02 else 0.0
        error = math.atan2(math.sin(error), math.cos(error))
        remaining = math.hypot(end_x - x, end_y - y)
        fast = min(speed_mps, math.sqrt(2.0 * 0.5 * bounds[0, DECLINE] * remaining))
        curvature = 2.0 * math.sin(error) / max(chord, 0.1)
        if abs(error) > 0.9 and not car:
            wanted_forward = 0.0
            wanted_turn = math.copysign(min(bounds[2, MOST], 2.5 * abs(error)), error)
        elif car:
            wanted_forward = fast if abs(error) < 1.8 else -0.5 * fast
            wanted_turn = math.copysign(
                min(bounds[2, MOST], abs(curvature)), curvature * wanted_forward
            )
        else:
            wanted_forward = fast / (1.0 + 0.6 * abs(curvature))
            wanted_turn = min(bounds[2, MOST], max(bounds[2, LEAST], wanted_forward * curvature))
        controls[step, 0] = wanted_forward
        controls[step, 1] = 0.0
        controls[step, 2] = wanted_turn
        forward = limited(wanted_forward, forward, bounds, 0, step_s)
        turn = limited(wanted_turn, turn, bounds, 2, step_s)
        rate = turn * forward if car else turn
        yaw += 0.5 * step_s * rate
        x += step_s * forward * math.cos(yaw)
        y += step_s * forward * math.sin(yaw)
        yaw += 0.5 * step_s * rate
