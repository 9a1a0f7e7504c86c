"""The last stage before the base: it trusts neither map nor planner, only what the lidars see now.

A command passes if the robot, after the worst latency and at its guaranteed deceleration, comes to
rest before its footprint, swept along the commanded arc, touches a point of a scan. Otherwise the
command is slowed, keeping its curvature, until that holds. Anything unknown means zero.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Gt, Le
from numpy.typing import NDArray

from agent.kernels.clearance import free_time_s
from drivers.measurement import VelocityCommand

SWEEP_STEP_M = 0.02  # finer than the beam spacing of a planar lidar at braking distance
LEAST_SHARE = 0.05  # below it the robot would only creep up to what it must not touch
COMMAND_LIFETIME_NS = 100_000_000  # two missed 20 ms ticks and the jitter of a busy computer


class StopReason(StrEnum):
    """Why the robot stands although something asked it to move."""

    NO_SCAN = "no current scan"
    NO_ODOMETRY = "no current odometry"
    NO_BASE_STATUS = "no current status of the base"
    LATE_LOOP = "control loop late"
    E_STOP = "emergency stop active"
    BUMPER = "bumper pressed"
    BASE_FAULT = "base reports a fault"
    NOT_LOCALIZED = "not localized"
    MAP_CHANGE = "changes to another map"
    OBSTACLE = "obstacle in the protective field"
    BAD_COMMAND = "command is not a number"


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionLimits:
    """What the base can do and what it is allowed to do.

    ``deceleration_mps2`` and ``yaw_deceleration_radps2`` are promises about the base: the distance
    the governor keeps free is computed from them.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    speed_mps: Annotated[float, Gt(0), Le(5)] = 1.0
    yaw_rate_radps: Annotated[float, Gt(0), Le(6)] = 1.0
    acceleration_mps2: Annotated[float, Gt(0), Le(10)] = 0.8
    deceleration_mps2: Annotated[float, Gt(0), Le(10)] = 1.0
    yaw_acceleration_radps2: Annotated[float, Gt(0), Le(20)] = 1.5
    yaw_deceleration_radps2: Annotated[float, Gt(0), Le(20)] = 2.0
    margin_m: Annotated[float, Gt(0), Le(1)] = 0.08
    base_latency_s: Annotated[float, Gt(0), Le(1)] = 0.06


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the governor made of a command.

    Attributes:
        command: What goes to the base.
        reason: Why it is zero although motion was asked for, None when it is not.
        slowed: The command passed, but not at the speed that was asked for.
        culprit: Which device the reason is about, empty where it is about none.
    """

    command: VelocityCommand
    reason: StopReason | None
    slowed: bool
    culprit: str = ""

    @property
    def why(self) -> str | None:
        """The reason in words."""
        if self.reason is None:
            return None
        return f"{self.reason} of {self.culprit}" if self.culprit else self.reason.value


class Governor:
    """Passes only what can still be stopped. Holds the last command, for the slew limits."""

    def __init__(self, limits: MotionLimits, footprint: NDArray[np.float64]) -> None:
        self._limits = limits
        self._footprint = footprint
        self._forward_mps = 0.0
        self._yaw_rate_radps = 0.0
        self._seen_ns: int | None = None
        self._points_m = np.empty((0, 2))

    def see(self, points_m: NDArray[np.float64], stamp_ns: int) -> None:
        """Take what the lidars saw as the only knowledge of free space.

        Args:
            points_m: Shape ``(points, 2)``, all that they saw, in the base frame.
            stamp_ns: When the oldest of it was measured.
        """
        self._points_m = points_m
        self._seen_ns = stamp_ns

    def stop(self, now_ns: int, reason: StopReason | None, culprit: str = "") -> Verdict:
        """Command standstill, which is always admissible."""
        self._forward_mps = self._yaw_rate_radps = 0.0
        command = VelocityCommand(0.0, 0.0, now_ns + COMMAND_LIFETIME_NS)
        return Verdict(command, reason, False, culprit)

    def govern(
        self, forward_mps: float, yaw_rate_radps: float, period_s: float, now_ns: int
    ) -> Verdict:
        """Pass, slow or refuse a proposed twist.

        Args:
            forward_mps: Proposed speed.
            yaw_rate_radps: Proposed turn rate.
            period_s: Time since the last verdict, over which speeds may have changed.
            now_ns: Monotonic time.
        """
        if not (math.isfinite(forward_mps) and math.isfinite(yaw_rate_radps)):
            return self.stop(now_ns, StopReason.BAD_COMMAND)
        if self._seen_ns is None:
            return self.stop(now_ns, StopReason.NO_SCAN)
        forward_mps, yaw_rate_radps = self._within_limits(forward_mps, yaw_rate_radps, period_s)
        age_s = (now_ns - self._seen_ns) * 1e-9
        share = self._stoppable_share(forward_mps, yaw_rate_radps, age_s)
        if share < LEAST_SHARE:
            return self.stop(now_ns, StopReason.OBSTACLE)
        self._forward_mps = forward_mps * share
        self._yaw_rate_radps = yaw_rate_radps * share
        command = VelocityCommand(
            self._forward_mps, self._yaw_rate_radps, now_ns + COMMAND_LIFETIME_NS
        )
        return Verdict(command, None, share < 1.0)

    def _within_limits(
        self, forward_mps: float, yaw_rate_radps: float, period_s: float
    ) -> tuple[float, float]:
        """Clip to the speed limits, keeping curvature, then to the slew limits."""
        limits = self._limits
        excess = max(
            abs(forward_mps) / limits.speed_mps, abs(yaw_rate_radps) / limits.yaw_rate_radps, 1.0
        )
        return (
            _slew(
                self._forward_mps,
                forward_mps / excess,
                limits.acceleration_mps2 * period_s,
                limits.deceleration_mps2 * period_s,
            ),
            _slew(
                self._yaw_rate_radps,
                yaw_rate_radps / excess,
                limits.yaw_acceleration_radps2 * period_s,
                limits.yaw_deceleration_radps2 * period_s,
            ),
        )

    def _stoppable_share(self, forward_mps: float, yaw_rate_radps: float, age_s: float) -> float:
        """Return the largest share in [0, 1] of a twist from which the robot can still stop.

        Scaling the twist by f covers f·t_react + f²·t_brake/2 of the time for which the full twist
        is free; the positive root of that quadratic is the share.
        """
        limits = self._limits
        brake_s = max(
            abs(forward_mps) / limits.deceleration_mps2,
            abs(yaw_rate_radps) / limits.yaw_deceleration_radps2,
        )
        if brake_s == 0.0:
            return 1.0
        react_s = age_s + limits.base_latency_s
        free_s = float(
            free_time_s(
                self._points_m,
                self._footprint,
                limits.margin_m,
                forward_mps,
                yaw_rate_radps,
                react_s + brake_s / 2,
                SWEEP_STEP_M,
            )
        )
        root = math.sqrt(react_s * react_s + 2.0 * brake_s * free_s) - react_s
        return min(1.0, root / brake_s) if free_s < react_s + brake_s / 2 else 1.0


def _slew(current: float, target: float, up: float, down: float) -> float:
    """Return ``current`` moved towards ``target`` by at most ``up``, or ``down`` when slowing."""
    slowing = abs(target) < abs(current) or target * current < 0.0
    step = down if slowing else up
    return current + min(step, max(-step, target - current))
