"""Where the pilot is told to be: the truth, or the truth with noise."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist
from drivers.measurement import Scan

# From the true pose, the scan, the velocity and the monotonic time to ``map_from_base``.
PoseSource: TypeAlias = Callable[[Pose2, Scan, Twist, int], Pose2]


def true_pose(truth: Pose2, scan: Scan, velocity: Twist, now_ns: int) -> Pose2:
    """Tell the truth."""
    return truth


class NoisyPose:
    """Tells the truth with an error of its own in every cycle.

    Args:
        rng: Source of noise.
        position_m: Standard deviation of x and of y.
        heading_rad: Standard deviation of the heading.
    """

    def __init__(self, rng: np.random.Generator, position_m: float, heading_rad: float) -> None:
        self._rng = rng
        self._sigmas = np.array([position_m, position_m, heading_rad])

    def __call__(self, truth: Pose2, scan: Scan, velocity: Twist, now_ns: int) -> Pose2:
        """Tell a pose near the true one."""
        x_m, y_m, yaw_rad = (self._sigmas * self._rng.standard_normal(3)).tolist()
        return Pose2(truth.x_m + x_m, truth.y_m + y_m, truth.yaw_rad + yaw_rad)
