"""The obstacle course, slowly: textbook geometry in the frame of the course, no pruning."""

import math
from itertools import product

import numpy as np


def corners(state, half_length_m, half_width_m):
    """Corners of the robot, counter-clockwise."""
    x, y, yaw = state[:3]
    ahead = np.array([math.cos(yaw), math.sin(yaw)])
    left = np.array([-ahead[1], ahead[0]])
    return [
        np.array([x, y]) + a * half_length_m * ahead + b * half_width_m * left
        for a, b in ((1, -1), (1, 1), (-1, 1), (-1, -1))
    ]


def beam_m(walls, discs, x, y, angle_rad):
    """Distance to the first obstacle, inf without one."""
    direction, start = np.array([math.cos(angle_rad), math.sin(angle_rad)]), np.array([x, y])
    nearest = math.inf
    for cx, cy, radius in discs:
        # |s d - c|^2 = r^2, solved for s.
        half_b = direction @ (start - (cx, cy))
        c = (x - cx) ** 2 + (y - cy) ** 2 - radius**2
        if c <= 0.0:
            return 0.0
        if half_b < 0.0 and half_b**2 >= c:
            nearest = min(nearest, -half_b - math.sqrt(half_b**2 - c))
    for wall in walls:
        a, b = np.array(wall[:2]), np.array(wall[2:])
        matrix = np.column_stack((direction, a - b))
        if abs(np.linalg.det(matrix)) > 1e-12:
            length, share = np.linalg.solve(matrix, a - start)
            if length >= 0.0 and 0.0 <= share <= 1.0:
                nearest = min(nearest, length)
    return nearest


def point_to_segment_m(point, a, b):
    """Distance of a point from a segment."""
    edge = b - a
    length_squared = edge @ edge
    share = np.clip((point - a) @ edge / length_squared, 0.0, 1.0) if length_squared else 0.0
    return math.hypot(*(a + share * edge - point))


def contains(outline, point):
    """Whether a convex outline, counter-clockwise, holds a point."""
    return all(
        (b - a)[0] * (point - a)[1] - (b - a)[1] * (point - a)[0] >= 0.0
        for a, b in zip(outline, outline[1:] + outline[:1], strict=True)
    )


def crosses(a, b, c, d):
    """Whether two segments cross."""

    def side(p, q, r):
        return (q - p)[0] * (r - p)[1] - (q - p)[1] * (r - p)[0]

    return side(a, b, c) * side(a, b, d) < 0.0 and side(c, d, a) * side(c, d, b) < 0.0


def disc_gap_m(state, half_size, disc):
    """Distance of the robot from a disc, minus the radius where it holds the disc's middle."""
    outline, middle = corners(state, *half_size), np.array(disc[:2])
    if contains(outline, middle):
        return -disc[2]
    sides = zip(outline, outline[1:] + outline[:1], strict=True)
    return min(point_to_segment_m(middle, a, b) for a, b in sides) - disc[2]


def wall_gap_m(state, half_size, wall):
    """Distance of the robot from a wall, 0 where they touch."""
    outline, ends = corners(state, *half_size), (np.array(wall[:2]), np.array(wall[2:]))
    sides = list(zip(outline, outline[1:] + outline[:1], strict=True))
    if any(contains(outline, end) for end in ends) or any(crosses(*side, *ends) for side in sides):
        return 0.0
    return min(
        *(point_to_segment_m(corner, *ends) for corner in outline),
        *(point_to_segment_m(end, *side) for end, side in product(ends, sides)),
    )


def ramp(start, target, faster, slower, after_s):
    """Speed after a time on the way to a target; who reverses comes to rest first."""
    if start * target < 0.0:
        rest_s = abs(start) / slower
        if after_s <= rest_s:
            return start - math.copysign(slower * after_s, start)
        return ramp(0.0, target, faster, slower, after_s - rest_s)
    rate = faster if abs(target) > abs(start) else slower
    return start + min(max(target - start, -rate * after_s), rate * after_s)


def driven(state, target, limits, duration_s, steps=600):
    """State after a time on one command, by the midpoint rule in very short steps."""
    x, y, yaw, speed, yaw_rate = state
    step_s = duration_s / steps
    for k in range(steps):
        middle_s = (k + 0.5) * step_s
        v = ramp(speed, target[0], limits[0], limits[1], middle_s)
        w = ramp(yaw_rate, target[1], limits[2], limits[2], middle_s)
        heading = yaw + 0.5 * w * step_s
        x, y, yaw = (
            x + v * step_s * math.cos(heading),
            y + v * step_s * math.sin(heading),
            (yaw + w * step_s),
        )
    return np.array(
        [
            x,
            y,
            yaw,
            ramp(speed, target[0], limits[0], limits[1], duration_s),
            ramp(yaw_rate, target[1], limits[2], limits[2], duration_s),
        ]
    )


def braked(state, limits, shares):
    """States on the way of a full braking that keeps the arc, by the circle's own formula."""
    x, y, yaw, speed, yaw_rate = state
    braking_s = max(abs(speed) / limits[1], abs(yaw_rate) / limits[2])
    for share in shares:
        # Both speeds fall linearly: the way is the integral, a parabola in time.
        seconds = braking_s * (share - 0.5 * share**2)
        turn, way = yaw_rate * seconds, speed * seconds
        if abs(turn) > 1e-9:
            radius = way / turn
            ahead, left = radius * math.sin(turn), radius * (1.0 - math.cos(turn))
        else:
            ahead, left = way, 0.0
        cos, sin = math.cos(yaw), math.sin(yaw)
        yield np.array([x + cos * ahead - sin * left, y + sin * ahead + cos * left, yaw + turn])


def earliest_arrival(places_m, reaches_m, samples, moves, cell_m, origin_m, start, at_goal):
    """Set after set of the cells that can be reached, each move sampled in time."""
    reached = {tuple(start)}
    for step in range((len(places_m) - 1) // samples):
        following = set()
        for (row, column), (up, right) in product(reached, moves):
            cell = (row + up, column + right)
            if not (0 <= cell[0] < at_goal.shape[0] and 0 <= cell[1] < at_goal.shape[1]):
                continue
            clear = True
            for k in range(samples + 1):
                at = np.array([column + right * k / samples, row + up * k / samples]) * cell_m
                off = places_m[step * samples + k] - (origin_m + at)
                clear = clear and bool((np.hypot(off[:, 0], off[:, 1]) >= reaches_m).all())
            if clear:
                following.add(cell)
        if any(at_goal[cell] for cell in following):
            return step + 1
        reached = following
    return -1
