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
    wanted: float, present: float, bounds: NDArray[np.float64], axis: int, step_s: float
) -> float:
    """Return what becomes of a control within one step.

    Args:
        wanted: What the base is told.
        present: What it does.
        bounds: float64, shape ``(3, 4)``.
        axis: Which control.
        step_s: Duration of the step.
    """
    wanted = min(bounds[axis, MOST], max(bounds[axis, LEAST], wanted))
    # Away from zero is growth; through zero counts as decline.
    if present > 0.0:
        low, high = present - bounds[axis, DECLINE] * step_s, present + bounds[axis, GROWTH] * step_s
    elif present < 0.0:
        low, high = present - bounds[axis, GROWTH] * step_s, present + bounds[axis, DECLINE] * step_s
    else:
        low, high = -bounds[axis, GROWTH] * step_s, bounds[axis, GROWTH] * step_s
    return min(high, max(low, wanted))


@njit(cache=True, nogil=True)
def bilinear(values: NDArray[np.float32], column: float, row: float) -> float:
    """Return a value between the centres of four cells, at the border that of the nearest.

    Args:
        values: float32, shape ``(rows, columns)``.
        column: Place in cells, from the centre of cell 0.
        row: The same.
    """
    rows, columns = values.shape
    column = min(max(column, 0.0), columns - 1.001)
    row = min(max(row, 0.0), rows - 1.001)
    j, i = int(column), int(row)
    u, v = np.float32(column - j), np.float32(row - i)
    low = values[i, j] + u * (values[i, j + 1] - values[i, j])
    high = values[i + 1, j] + u * (values[i + 1, j + 1] - values[i + 1, j])
    return low + v * (high - low)


@njit(cache=True, nogil=True)
def clearance_m(
    x: float,
    y: float,
    cos: float,
    sin: float,
    discs: NDArray[np.float64],
    distance_m: NDArray[np.float32],
    inverse_resolution: float,
    far_m: float,
) -> float:
    """Return how far a footprint is from the nearest obstacle, at most ``far_m``.

    Args:
        x: Position in the grid's frame.
        y: Position in the grid's frame.
        cos: Of the heading.
        sin: Of the heading.
        discs: float64, shape ``(discs, 3)``: x, y and radius of discs that cover the footprint, the
            first around all of it.
        distance_m: float32, shape ``(rows, columns)``, to the nearest obstacle.
        inverse_resolution: Cells per metre.
        far_m: Larger clearances need not be told apart.
    """
    at_x = x + cos * discs[0, 0] - sin * discs[0, 1]
    at_y = y + sin * discs[0, 0] + cos * discs[0, 1]
    outer = (
        bilinear(distance_m, at_x * inverse_resolution - 0.5, at_y * inverse_resolution - 0.5)
        - discs[0, 2]
    )
    if outer >= far_m:
        return far_m
    least = far_m
    for k in range(1, discs.shape[0]):
        at_x = x + cos * discs[k, 0] - sin * discs[k, 1]
        at_y = y + sin * discs[k, 0] + cos * discs[k, 1]
        least = min(
            least,
            bilinear(distance_m, at_x * inverse_resolution - 0.5, at_y * inverse_resolution - 0.5)
            - discs[k, 2],
        )
    return least


@njit(cache=True, nogil=True)
def roll_out(
    controls: NDArray[np.float32],
    nominal: NDArray[np.float32],
    noise: NDArray[np.float32],
    spread: NDArray[np.float64],
    state: NDArray[np.float64],
    car: bool,
    bounds: NDArray[np.float64],
    step_s: float,
    discs: NDArray[np.float64],
    origin_m: tuple[float, float],
    distance_m: NDArray[np.float32],
    resolution_m: float,
    to_go: NDArray[np.float32],
    coarse_m: float,
    margins_m: tuple[float, float],
    moving: NDArray[np.float64],
    weights: NDArray[np.float64],
    costs: NDArray[np.float64],
) -> None:
    """Drive every sampled sequence of controls in thought, and add up its cost.

    Args:
        controls: float32 output, shape ``(samples, steps, 3)``: nominal and noise, within bounds.
        nominal: float32, shape ``(steps, 3)``.
        noise: float32, shape ``(samples, steps, 3)``, of unit variance.
        spread: float64, shape ``(3,)``, standard deviation of each control.
        state: float64, shape ``(6,)``: x, y, heading, and the controls in force.
        car: Whether the turn is a curvature.
        bounds: float64, shape ``(3, 4)``, of the controls.
        step_s: Duration of a step.
        discs: Cover of the footprint, see :func:`clearance_m`.
        origin_m: Lower left corner of both grids.
        distance_m: float32, shape ``(rows, columns)``, to the nearest obstacle.
        resolution_m: Side of its cells.
        to_go: float32, shape ``(rows', columns')``, cost to go.
        coarse_m: Side of its cells.
        margins_m: Clearance below which it counts as contact, and from which on it costs nothing.
        moving: float64, shape ``(objects, 6)``: x, y, vx, vy, radius, and the distance to keep from
            it, at the moment of the state.
        weights: float64, shape ``(7,)``.
        costs: float64 output, shape ``(samples,)``.
    """
    samples, steps = noise.shape[0], noise.shape[1]
    inverse_resolution = 1.0 / resolution_m
    inverse_coarse = 1.0 / coarse_m
    hard_m, soft_m = margins_m
    start_x, start_y = state[0] - origin_m[0], state[1] - origin_m[1]
    start_cos, start_sin = math.cos(state[2]), math.sin(state[2])
    objects = moving.shape[0]
    # Who stands closer than that already may leave.
    start_clearance = clearance_m(
        start_x, start_y, start_cos, start_sin, discs, distance_m, inverse_resolution, soft_m
    )
    hard_m = min(hard_m, start_clearance - 0.005)
    for sample in range(samples):
        x, y, cos, sin = start_x, start_y, start_cos, start_sin
        forward, lateral, turn = state[3], state[4], state[5]
        cost, last = 0.0, 0.0
        for step in range(steps):
            before_forward, before_turn = forward, turn
            for axis in range(3):
                wanted = nominal[step, axis] + spread[axis] * noise[sample, step, axis]
                controls[sample, step, axis] = min(
                    bounds[axis, MOST], max(bounds[axis, LEAST], wanted)
                )
            forward = limited(controls[sample, step, 0], forward, bounds, 0, step_s)
            if bounds[1, MOST] > 0.0:
                lateral = limited(controls[sample, step, 1], lateral, bounds, 1, step_s)
            turn = limited(controls[sample, step, 2], turn, bounds, 2, step_s)
            half = 0.5 * step_s * (turn * forward if car else turn)
            # Heading in the middle of the step, then at its end; the series is good to 1e-6.
            square = half * half
            turn_cos = 1.0 - square * (0.5 - square * (1.0 / 24.0))
            turn_sin = half * (1.0 - square * (1.0 / 6.0 - square * (1.0 / 120.0)))
            cos, sin = cos * turn_cos - sin * turn_sin, sin * turn_cos + cos * turn_sin
            x += step_s * (forward * cos - lateral * sin)
            y += step_s * (forward * sin + lateral * cos)
            cos, sin = cos * turn_cos - sin * turn_sin, sin * turn_cos + cos * turn_sin

            clear = clearance_m(x, y, cos, sin, discs, distance_m, inverse_resolution, soft_m)
            if clear < hard_m:
                # The sooner the worse; and it goes no farther.
                cost += weights[CONTACT] * (1.0 + (steps - step) / steps)
                last = bilinear(to_go, x * inverse_coarse - 0.5, y * inverse_coarse - 0.5)
                cost += weights[TO_GO] * last * (steps - step) * step_s
                break
            if clear < soft_m:
                tight = (soft_m - clear) / (soft_m - margins_m[0])
                cost += weights[CLEARANCE] * step_s * tight * tight * (0.2 + abs(forward))
            for k in range(objects):
                t_s = (step + 1) * step_s
                dx = moving[k, 0] + moving[k, 2] * t_s - origin_m[0] - x
                dy = moving[k, 1] + moving[k, 3] * t_s - origin_m[1] - y
                gap = _gap_m(cos * dx + sin * dy, cos * dy - sin * dx, discs) - moving[k, 4]
                if gap < moving[k, 5]:
                    # Prediction grows worse with time, and so does the fear of it.
                    near = min(1.5, (moving[k, 5] - gap) / moving[k, 5])
                    cost += weights[MOVING] * step_s * near * near / (1.0 + t_s)
                    if gap < margins_m[0]:
                        cost += weights[MOVING] * step_s * 4.0 / (1.0 + t_s)
            bend = turn - before_turn
            push = forward - before_forward
            cost += weights[SMOOTHNESS] * (bend * bend + push * push)
            if forward < 0.0:
                cost -= weights[BACKWARDS] * step_s * forward
            if step % TO_GO_STRIDE == TO_GO_STRIDE - 1 or step == steps - 1:
                last = bilinear(to_go, x * inverse_coarse - 0.5, y * inverse_coarse - 0.5)
                cost += weights[TO_GO] * last * step_s * TO_GO_STRIDE
        costs[sample] = cost + weights[AT_END] * last


@njit(cache=True, nogil=True)
def _gap_m(x: float, y: float, discs: NDArray[np.float64]) -> float:
    """Return the distance of a point of the base frame from a footprint's cover."""
    outer = math.hypot(x - discs[0, 0], y - discs[0, 1]) - discs[0, 2]
    if outer > 0.5 or discs.shape[0] == 1:
        return outer
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
        controls: float32, shape ``(samples, steps, 3)``.
        costs: float64, shape ``(samples,)``.
        temperature: Cost by which a sample counts less by a factor of e.
        mean: float32 output, shape ``(steps, 3)``.
    """
    samples, steps, axes = controls.shape
    least = costs.min()
    total = 0.0
    sums = np.zeros((steps, axes))
    for sample in range(samples):
        weight = math.exp(-(costs[sample] - least) / temperature)
        if weight < 1e-6:
            continue
        total += weight
        for step in range(steps):
            for axis in range(axes):
                sums[step, axis] += weight * controls[sample, step, axis]
    for step in range(steps):
        for axis in range(axes):
            mean[step, axis] = sums[step, axis] / total


@njit(cache=True, nogil=True)
def pursue(
    way_m: NDArray[np.float64],
    state: NDArray[np.float64],
    speed_mps: float,
    lookahead_m: float,
    car: bool,
    bounds: NDArray[np.float64],
    step_s: float,
    controls: NDArray[np.float32],
) -> None:
    """Write the controls of a pure pursuit along a way (Coulter 1992), turning on the spot if asked.

    Args:
        way_m: float64, shape ``(points, 2)``, at least one.
        state: float64, shape ``(6,)``: x, y, heading, and the controls in force.
        speed_mps: Where the way is straight and long.
        lookahead_m: How far along the way to steer for.
        car: Whether the turn is a curvature.
        bounds: float64, shape ``(3, 4)``, of the controls.
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
