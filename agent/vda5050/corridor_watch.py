"""Whether the robot is inside the corridor of its edge (2.1, section 6.6.5; 3.0, section 6.1.5)."""

import numpy as np
from numpy.typing import NDArray

from agent.geometry.pose import Pose2
from agent.route.path import Waypoint

# What the planner's fence, made of discs, and the localization of a moving robot may be off.
SLACK_M = 0.15


def breach_m(pose: Pose2, begin_m: NDArray[np.float64], target: Waypoint) -> float:
    """Return how far beyond the boundary of its corridor the robot is, 0 inside.

    On the nodes at either end, and beyond them, their own deviation holds.

    Args:
        pose: ``map_from_base``.
        begin_m: Shape ``(2,)``, where the edge begins.
        target: Where it leads, and its corridor.
    """
    corridor = target.corridor
    if corridor is None:
        return 0.0
    way_m, here_m = target.way_m(begin_m), np.array([pose.x_m, pose.y_m])
    begins, ways = way_m[:-1], np.diff(way_m, axis=0)
    offs = here_m - begins
    squares = np.maximum(np.einsum("ij,ij->i", ways, ways), 1e-12)
    shares = np.clip(np.einsum("ij,ij->i", offs, ways) / squares, 0.0, 1.0)
    rests = offs - shares[:, None] * ways
    nearest = int(np.hypot(rests[:, 0], rests[:, 1]).argmin())
    is_before = nearest == 0 and shares[0] == 0.0
    is_beyond = nearest == len(shares) - 1 and shares[-1] == 1.0
    near_ends = min(np.hypot(*(here_m - way_m[0])), np.hypot(*(here_m - way_m[-1])))
    if is_before or is_beyond or near_ends <= target.tolerance_m:
        return 0.0
    way, rest = ways[nearest], rests[nearest]
    is_left = way[0] * rest[1] - way[1] * rest[0] > 0.0
    allowed_m = corridor.left_m if is_left else corridor.right_m
    aside_m = float(np.hypot(*rest))
    return aside_m - allowed_m if aside_m > allowed_m + SLACK_M else 0.0
