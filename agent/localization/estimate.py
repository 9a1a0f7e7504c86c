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
        map_from_base: The pose.
        covariance: Shape ``(3, 3)`` over x, y (m) and yaw (rad), in the map frame, read-only.
        score: Share in [0, 1] of the usable rays of the newest scan that end within 0.10 m of an
            occupied cell of the map.
        localized: Whether the pose may be used to drive.
        reason: Why it may not, empty when it may.
    """

    stamp_ns: int
    map_from_base: Pose2
    covariance: NDArray[np.float64]
    score: float
    localized: bool
    reason: str = ""
