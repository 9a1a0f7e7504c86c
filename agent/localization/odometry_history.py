"""The last seconds of odometry, for the pose at the moment of any ray."""

import math
from collections import deque
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from agent.geometry.angle import difference
from agent.geometry.pose import Pose2
from drivers.measurement import Odometry

DURATION_S = 5.0
EXTRAPOLATION_S = 0.1  # beyond it the twist of the newest sample says nothing any more
JUMP_WITHIN_S = 0.2  # no base moves a metre in this time: its counters restarted
JUMP_M = 1.0
CAPACITY = 2000


class Intake(Enum):
    """What became of a sample of odometry."""

    ADDED = auto()
    OUT_OF_ORDER = auto()
    INVALID = auto()
    JUMPED = auto()


class OdometryHistory:
    """Odometry in order of time, made continuous.

    A base whose controller restarts counts from zero again. Such a jump is taken out, so the poses
    here are those of the base's own odom frame up to the first jump, and continuous ever after.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[int, float, float, float]] = deque(maxlen=CAPACITY)
        self._odom_from_reported = Pose2.identity()
        self._newest: Odometry | None = None

    def add(self, odometry: Odometry) -> Intake:
        """Take one sample; only ``ADDED`` and ``JUMPED`` ones are kept."""
        if not all(
            map(
                math.isfinite,
                (
                    odometry.x_m,
                    odometry.y_m,
                    odometry.yaw_rad,
                    odometry.forward_mps,
                    odometry.yaw_rate_radps,
                ),
            )
        ):
            return Intake.INVALID
        reported = Pose2(odometry.x_m, odometry.y_m, odometry.yaw_rad)
        intake = Intake.ADDED
        if self._newest is not None:
            age_ns = odometry.stamp_ns - self._newest.stamp_ns
            if age_ns <= 0:
                return Intake.OUT_OF_ORDER
            before = Pose2(self._newest.x_m, self._newest.y_m, self._newest.yaw_rad)
            if age_ns * 1e-9 < JUMP_WITHIN_S and reported.distance_m(before) > JUMP_M:
                intake = Intake.JUMPED
                self._odom_from_reported = self._newest_pose() @ reported.inverse()
        pose = self._odom_from_reported @ reported
        yaw_rad = pose.yaw_rad
        if self._samples:  # unwrapped, so that headings can be interpolated as numbers
            last_yaw_rad = self._samples[-1][3]
            yaw_rad = last_yaw_rad + difference(pose.yaw_rad, last_yaw_rad)
        self._samples.append((odometry.stamp_ns, pose.x_m, pose.y_m, yaw_rad))
        self._newest = odometry
        self._forget(odometry.stamp_ns - int(DURATION_S * 1e9))
        return intake

    def newest(self) -> tuple[int, Pose2] | None:
        """Return stamp and ``odom_from_base`` of the newest sample, ``None`` before the first."""
        return (self._samples[-1][0], self._newest_pose()) if self._samples else None

    def at(self, stamp_ns: int) -> Pose2 | None:
        """Return ``odom_from_base`` at a moment, ``None`` if the history does not cover it."""
        if not self._samples or self._newest is None:
            return None
        latest_ns = self._newest.stamp_ns + int(EXTRAPOLATION_S * 1e9)
        if not self._samples[0][0] <= stamp_ns <= latest_ns:
            return None
        x_m, y_m, yaw_rad = self.trace(stamp_ns, np.zeros(1))[0]
        return Pose2(float(x_m), float(y_m), float(yaw_rad)) @ Pose2.identity()

    def trace(self, stamp_ns: int, offsets_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the poses at moments after a stamp.

        Args:
            stamp_ns: A moment for which :meth:`at` has an answer.
            offsets_s: Shape ``(n,)``, times after it. Where they run past the newest sample, the
                base is taken to go on with its last twist for a short while and then to stand.

        Returns:
            Shape ``(n, 3)``: x, y (m) and unwrapped yaw (rad) in the odom frame.
        """
        first = len(self._samples) - 1
        while first > 0 and self._samples[first][0] > stamp_ns:
            first -= 1
        known = [self._samples[i] for i in range(first, len(self._samples))]
        known.append(self._extrapolated())
        times_s = np.array([(sample[0] - stamp_ns) * 1e-9 for sample in known])
        poses = np.array([sample[1:] for sample in known])
        return np.stack([np.interp(offsets_s, times_s, axis) for axis in poses.T], axis=1)

    def _newest_pose(self) -> Pose2:
        _, x_m, y_m, yaw_rad = self._samples[-1]
        return Pose2(x_m, y_m, yaw_rad) @ Pose2.identity()

    def _extrapolated(self) -> tuple[int, float, float, float]:
        stamp_ns, x_m, y_m, yaw_rad = self._samples[-1]
        if self._newest is None:
            return stamp_ns, x_m, y_m, yaw_rad
        distance_m = self._newest.forward_mps * EXTRAPOLATION_S
        turn_rad = self._newest.yaw_rate_radps * EXTRAPOLATION_S
        heading_rad = yaw_rad + turn_rad / 2
        return (
            stamp_ns + int(EXTRAPOLATION_S * 1e9),
            x_m + distance_m * math.cos(heading_rad),
            y_m + distance_m * math.sin(heading_rad),
            yaw_rad + turn_rad,
        )

    def _forget(self, before_ns: int) -> None:
        # Two samples always stay: with one scan per metre they are further apart than the history.
        while len(self._samples) > 2 and self._samples[1][0] <= before_ns:
            self._samples.popleft()
