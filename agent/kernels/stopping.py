"""Where a robot is until it has come to rest, and what it would touch on the way."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agent.kernels.clearance import signed_distance_m

SHORTEST_STEP_S, LONGEST_STEP_S = 0.001, 0.05
# Where the robot stands something may be almost touched: there steps are short, and grow.
FINEST_M, GROWTH = 0.001, 0.1
STANDSTILL = 1e-6  # m/s or rad/s


@njit(cache=True, nogil=True)
def stopping_poses(
    present: NDArray[np.float64],
    pending: NDArray[np.float64],
    command: NDArray[np.float64],
    hold_s: float,
    acceleration: NDArray[np.float64],
    deceleration: NDArray[np.float64],
    together: bool,
    radius_m: float,
    step_m: float,
    poses: NDArray[np.float64],
) -> int:
    """Write the poses of a robot that takes a command, holds it and then brakes to rest.

    Until the command acts the robot does what it was told before. Then each axis goes over to the
    command as fast as it can, and after the time to hold it brakes: either each axis as hard as it
    can, or all together so that the arc is kept. Steps are so short that no point of the footprint
    moves farther than ``step_m`` in one, and much less at the beginning.

    Args:
        present: float64, shape ``(3,)``: forward, left (m/s) and yaw rate (rad/s) now.
        pending: float64, shape ``(commands, 4)``, the same of the commands before, still to take
            effect, and for how long from now each is in force; the last until the command acts.
        command: float64, shape ``(3,)``, the same of the command.
        hold_s: Time for which it acts before braking begins.
        acceleration: float64, shape ``(3,)``, of each axis.
        deceleration: float64, shape ``(3,)``, of each axis.
        together: Whether braking keeps the arc.
        radius_m: Of the circle about the base that holds the footprint.
        step_m: Largest way of a point of the footprint in a step.
        poses: float64 output, shape ``(most, 4)``: x, y, yaw from the present pose, and the time.

    Returns:
        How many poses there are, the present one not among them.
    """
    # So hard can a corner be pushed while a step lasts.
    gain = max(acceleration[0], acceleration[1], deceleration[0], deceleration[1])
    gain += max(acceleration[2], deceleration[2]) * radius_m
    twist, before = present.copy(), np.empty(3)
    x, y, yaw, t_s, way_m = 0.0, 0.0, 0.0, 0.0, 0.0
    brake_s, share, fastest = 0.0, 1.0, np.zeros(3)
    count, stage, react_s = 0, 0, 0.0
    if pending.shape[0] > 0:
        react_s = pending[-1, 3]
    while count < poses.shape[0]:
        before[:] = twist
        corner_mps = math.hypot(twist[0], twist[1]) + abs(twist[2]) * radius_m
        fine_m = min(step_m, FINEST_M + GROWTH * way_m)
        root = math.sqrt(corner_mps * corner_mps + 4.0 * gain * fine_m)
        step_s = 0.5 * (root - corner_mps) / gain
        step_s = min(LONGEST_STEP_S, max(SHORTEST_STEP_S, step_s))
        if t_s < react_s + hold_s:
            while stage < pending.shape[0] and t_s >= pending[stage, 3]:
                stage += 1
            waits = stage < pending.shape[0]
            target = pending[stage, :3] if waits else command
            end_s = pending[stage, 3] if waits else react_s + hold_s
            step_s = min(step_s, end_s - t_s + 1e-9)
            _approach(target, acceleration, deceleration, step_s, twist)
        elif not together:
            if not _brake_each(deceleration, step_s, twist):
                break
        else:
            if brake_s == 0.0:
                fastest[:] = twist
                brake_s = np.abs(twist / deceleration).max()
            share -= step_s / max(brake_s, step_s)
            twist[:] = max(0.0, share) * fastest
            if share <= 0.0:
                break
        # Speeds change evenly within a step.
        before[:] = 0.5 * (before + twist)
        middle = yaw + 0.5 * step_s * before[2]
        cos, sin = math.cos(middle), math.sin(middle)
        x += step_s * (before[0] * cos - before[1] * sin)
        y += step_s * (before[0] * sin + before[1] * cos)
        yaw += step_s * before[2]
        t_s += step_s
        way_m += step_s * (math.hypot(before[0], before[1]) + abs(before[2]) * radius_m)
        poses[count, 0], poses[count, 1], poses[count, 2], poses[count, 3] = x, y, yaw, t_s
        count += 1
    return count


@njit(cache=True, nogil=True)
def _approach(
    target: NDArray[np.float64],
    acceleration: NDArray[np.float64],
    deceleration: NDArray[np.float64],
    step_s: float,
    twist: NDArray[np.float64],
) -> None:
    """Change each axis towards a target as fast as it can in a step."""
    for axis in range(3):
        change = target[axis] - twist[axis]
        slowing = twist[axis] * change < 0.0
        most = step_s * (deceleration[axis] if slowing else acceleration[axis])
        twist[axis] += min(most, max(-most, change))


@njit(cache=True, nogil=True)
def _brake_each(
    deceleration: NDArray[np.float64], step_s: float, twist: NDArray[np.float64]
) -> bool:
    """Slow each axis as hard as it can be in a step, and return whether one had still to be."""
    moving = False
    for axis in range(3):
        most = step_s * deceleration[axis]
        twist[axis] -= min(most, max(-most, twist[axis]))
        moving = moving or abs(twist[axis]) > STANDSTILL
    return moving


@njit(cache=True, nogil=True)
def allowed_gap_m(gap_m: float, margin_m: float) -> float:
    """Return how near a point may come that has a gap now.

    A robot that stands inside the margin can still leave, and drive along a wall as well as
    rounding lets it.

    Args:
        gap_m: From the footprint, at present.
        margin_m: Clearance to keep.
    """
    return min(margin_m, gap_m - 1e-6)


@njit(cache=True, nogil=True)
def least_slack_m(
    poses: NDArray[np.float64],
    polygon: NDArray[np.float64],
    radius_m: float,
    margin_m: float,
    points_m: NDArray[np.float64],
    moving: NDArray[np.float64],
    age_s: float,
) -> float:
    """Return by how much a footprint keeps its margin on the way, negative where it does not.

    A point that lies inside the margin from the start asks only that it comes no nearer, see
    :func:`allowed_gap_m`.

    Args:
        poses: float64, shape ``(poses, 4)``, see :func:`stopping_poses`.
        polygon: float64, shape ``(corners, 2)``, footprint in the base frame.
        radius_m: Of the circle about the base that holds it.
        margin_m: Clearance to keep.
        points_m: float64, shape ``(points, 2)``, what stands, in the base frame.
        moving: float64, shape ``(objects, 5)``: x, y, vx, vy and radius of discs in the frame of
            the present base.
        age_s: How long ago the discs were there.
    """
    slack = margin_m
    reach = radius_m + margin_m
    near = _along_the_way(poses, reach, points_m)
    cos_sin = np.empty((poses.shape[0], 2))
    if near.shape[0] > 0:
        for k in range(poses.shape[0]):
            cos_sin[k, 0], cos_sin[k, 1] = math.cos(poses[k, 2]), math.sin(poses[k, 2])
    for p in near:
        px, py = points_m[p, 0], points_m[p, 1]
        allowed = math.inf
        for k in range(poses.shape[0]):
            dx, dy = px - poses[k, 0], py - poses[k, 1]
            if dx * dx + dy * dy >= reach * reach:
                continue
            if allowed == math.inf:
                allowed = allowed_gap_m(signed_distance_m(px, py, polygon), margin_m)
            cos, sin = cos_sin[k, 0], cos_sin[k, 1]
            gap = signed_distance_m(cos * dx + sin * dy, cos * dy - sin * dx, polygon)
            slack = min(slack, gap - allowed)
            if slack < 0.0:
                return slack
    for k in range(poses.shape[0]):
        cos, sin = math.cos(poses[k, 2]), math.sin(poses[k, 2])
        for i in range(moving.shape[0]):
            t_s = age_s + poses[k, 3]
            dx = moving[i, 0] + t_s * moving[i, 2] - poses[k, 0]
            dy = moving[i, 1] + t_s * moving[i, 3] - poses[k, 1]
            reach = radius_m + moving[i, 4] + margin_m
            if dx * dx + dy * dy < reach * reach:
                gap = signed_distance_m(cos * dx + sin * dy, cos * dy - sin * dx, polygon)
                slack = min(slack, gap - moving[i, 4] - margin_m)
    return slack


@njit(cache=True, nogil=True)
def _along_the_way(
    poses: NDArray[np.float64], reach_m: float, points_m: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the numbers of the points that are no farther than a reach from the box around poses.

    The box of each axis alone: what is beyond it is out of reach of every pose.
    """
    near = np.empty(points_m.shape[0], np.int64)
    if poses.shape[0] == 0:
        return near[:0]
    low_x, high_x = poses[:, 0].min() - reach_m, poses[:, 0].max() + reach_m
    low_y, high_y = poses[:, 1].min() - reach_m, poses[:, 1].max() + reach_m
    count = 0
    for i in range(points_m.shape[0]):
        x, y = points_m[i, 0], points_m[i, 1]
        if low_x <= x <= high_x and low_y <= y <= high_y:
            near[count] = i
            count += 1
    return near[:count]


@njit(cache=True, nogil=True)
def within_reach(points_m: NDArray[np.float64], reach_m: float, near_m: NDArray[np.float64]) -> int:
    """Collect the points that are nearer to the base than a reach.

    Args:
        points_m: float64, shape ``(points, 2)``.
        reach_m: Largest distance.
        near_m: float64 output, shape ``(points, 2)`` or more.

    Returns:
        How many there are.
    """
    count = 0
    for i in range(points_m.shape[0]):
        x, y = points_m[i, 0], points_m[i, 1]
        if x * x + y * y < reach_m * reach_m:
            near_m[count, 0], near_m[count, 1] = x, y
            count += 1
    return count


@njit(cache=True, nogil=True)
def deskew(
    ends_m: NDArray[np.float64],
    offsets_s: NDArray[np.float32],
    forward_mps: float,
    lateral_mps: float,
    yaw_rate_radps: float,
) -> None:
    """Take the ends of rays from the base frame of their own time to that of time zero.

    Args:
        ends_m: float64, shape ``(rays, 2)``, updated.
        offsets_s: float32, shape ``(rays,)``, time of each ray.
        forward_mps: Constant velocity of the base.
        lateral_mps: The same, to the left.
        yaw_rate_radps: The same, of the heading.
    """
    if forward_mps == 0.0 and lateral_mps == 0.0 and yaw_rate_radps == 0.0:
        return
    for i in range(ends_m.shape[0]):
        t_s = float(offsets_s[i])
        turn = yaw_rate_radps * t_s
        cos, sin = math.cos(turn), math.sin(turn)
        # The chord of the arc, in the direction of the heading half-way.
        half = 0.5 * turn
        half_cos, half_sin = math.cos(half), math.sin(half)
        chord_s = t_s * (half_sin / half if abs(half) > 1e-6 else 1.0)
        along = chord_s * (half_cos * forward_mps - half_sin * lateral_mps)
        across = chord_s * (half_sin * forward_mps + half_cos * lateral_mps)
        x, y = ends_m[i, 0], ends_m[i, 1]
        ends_m[i, 0] = along + cos * x - sin * y
        ends_m[i, 1] = across + sin * x + cos * y


@njit(cache=True, nogil=True)
def smooth_ranges(
    angles_rad: NDArray[np.float32],
    ranges_m: NDArray[np.float32],
    half_width_m: float,
    noise_m: float,
    smooth_m: NDArray[np.float32],
) -> None:
    """Average each range over its neighbours on the same surface.

    Args:
        angles_rad: float32, shape ``(rays,)``, ascending.
        ranges_m: float32, shape ``(rays,)``, NaN where nothing came back.
        half_width_m: How far along the surface to average at most, to either side.
        noise_m: Standard deviation of a range; neighbours farther off than four times that are of
            another surface.
        smooth_m: float32 output, shape ``(rays,)``.
    """
    rays = ranges_m.shape[0]
    for i in range(rays):
        centre = float(ranges_m[i])
        if math.isnan(centre):
            smooth_m[i] = np.nan
            continue
        total, count = centre, 1
        half_rad = half_width_m / max(centre, 0.05)
        # As many to either side, or the mean of a slanted surface is pulled along it.
        for k in range(1, 64):
            left, right = i - k, i + k
            if left < 0 or right >= rays:
                break
            if abs(float(angles_rad[right]) - float(angles_rad[i])) > half_rad:
                break
            low, high = float(ranges_m[left]), float(ranges_m[right])
            # The mean of both sides cancels the slant.
            if not abs(0.5 * (low + high) - centre) <= 4.0 * noise_m:
                break
            if not abs(low - high) <= 8.0 * noise_m + half_width_m:
                break
            total += low + high
            count += 2
        smooth_m[i] = total / count


@njit(cache=True, nogil=True)
def range_noise_m(ranges_m: NDArray[np.float32]) -> float:
    """Return the standard deviation of independent errors of the ranges of a scan.

    Of three of them with weights 1, -2, 1, by the median, which edges do not move.

    Args:
        ranges_m: float32, shape ``(rays,)``, NaN where nothing came back.

    Returns:
        In m; NaN where no three neighbours came back.
    """
    bends = np.empty(max(0, ranges_m.shape[0] - 2), np.float32)
    count = 0
    for i in range(bends.shape[0]):
        bend = abs(ranges_m[i] - np.float32(2.0) * ranges_m[i + 1] + ranges_m[i + 2])
        if math.isfinite(bend):
            bends[count] = bend
            count += 1
    if count == 0:
        return math.nan
    half = count // 2
    ordered = np.partition(bends[:count], half)
    median = ordered[half]
    if count % 2 == 0:
        median = np.float32(0.5) * (ordered[:half].max() + median)
    return float(median) / (0.6745 * math.sqrt(6.0))
