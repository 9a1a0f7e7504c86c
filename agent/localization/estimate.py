"""The result of localization."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.geometry.pose import Pose2


@dataclass(frozen=True, slots=True, eq=False)
class PoseEstimate:
    """Where the robot is believed to be.

    Attributes:
        stamp_ns: Monotonic time that the pose refers to.
        map_from_base: The most likely pose; the middle of the map while nothing is known.
        covariance: Shape ``(3, 3)`` over x, y (m) and yaw (rad), in the map frame, read-only.
        score: How far the pose is to be believed, in [0, 1]: the share of rays of the newest scan
            that the map explains, out of those that it ought to explain (a ray that a person cuts
            short is not one), times the probability that no other place explains them better.
        localized: Whether the pose may be used to drive.
        reason: Why it may not, empty when it may.
        warning: What is odd although it may, empty when nothing is.
    """

    stamp_ns: int
    map_from_base: Pose2
    covariance: NDArray[np.float64]
    score: float
    localized: bool
    reason: str = ""
    warning: str = ""
