"""Driving up to or under a load carrier so that the base comes to rest exactly at the end pose.

Everything is told in the end frame: its origin is the end pose, x points along the last way in, so
that the base comes from negative x. The way in is a straight line. On it the turn is fed back from
lateral error and heading so that the error decays over the way driven, whatever the speed:
critically damped, as Kanayama et al., "A stable tracking control method for an autonomous mobile
robot", ICRA 1990, linearized and with the way in place of time.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from agent.docking.track import CarrierTrack
from agent.errors import ConfigError
from agent.geometry.angle import wrap
from agent.geometry.points import moved
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist
from agent.kernels.clearance import signed_distance_m

FloatArray = NDArray[np.float64]

STANDSTILL = Twist()
FORESEEN_POSES = 12
ARRIVED_M = 0.03  # at the align point, from where the way in is corrected anyway
FACED_RAD = math.radians(1.5)
DRIVE_OFF_RAD = math.radians(8.0)  # more turn to go is made on the spot
ASTRAY_RAD = math.radians(35.0)
EASY_SHARE = 0.7
CREEP_MPS, CREEP_RADPS = 0.012, 0.03  # slower, wheels of a heavy robot stick
SPEED_PER_M, RATE_PER_RAD = 1.2, 1.5  # of the last bit, so that latency cannot overshoot


class Phase(StrEnum):
    """Where a docking is."""

    SEARCHING = "searching"
    ALIGNING = "aligning"
    APPROACHING = "approaching"
    FINAL = "final"
    DONE = "done"
    FAILED = "failed"


class Failure(StrEnum):
    """Why a docking was given up."""

    NOT_FOUND = "no carrier found where one is expected"
    LOST = "carrier no longer seen"
    OFF_AXIS = "the lateral error could not be corrected in the allowed attempts"
    TOO_LONG = "did not reach the end pose in time"


@dataclass(frozen=True, slots=True, kw_only=True)
class DockingParams:
    """How to dock.

    Attributes:
        carrier_from_end: The end pose of the base in the carrier's frame.
        align_m: How far before the end pose the base gets onto the axis.
        retreat_m: How far it backs off before another attempt.
        attempts: How often it may drive in.
        speed_mps: On the way to the axis and in.
        final_mps: On the last bit.
        final_m: How long the last bit is.
        turn_radps: On the spot.
        settling_m: Way over which the lateral error decays by the factor e.
        margin_m: What the footprint keeps of the carrier's marks on the way in.
        least_margin_m: What the governor insists on meanwhile, of anything it sees.
        tolerance_m: Error along the axis that is left as it is.
        lateral_tolerance_m: Lateral error at the end pose that asks for another attempt.
        tolerance_rad: Error of heading that is left as it is.
        dwell_s: How long the standing base looks before it judges its error.
        blind_s: How long it drives without seeing the carrier.
        blind_m: How far it drives without seeing the carrier.
        patience_s: How long it stands without seeing the carrier before it gives up.
        duration_s: How long the whole may take.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    carrier_from_end: Pose2 = field(default_factory=Pose2.identity)
    align_m: Annotated[float, Gt(0), Le(5)] = 1.6
    retreat_m: Annotated[float, Gt(0), Le(5)] = 1.0
    attempts: Annotated[int, Ge(1), Le(20)] = 4
    speed_mps: Annotated[float, Gt(0), Le(1)] = 0.3
    final_mps: Annotated[float, Gt(0), Le(0.5)] = 0.1
    final_m: Annotated[float, Gt(0), Le(2)] = 0.4
    turn_radps: Annotated[float, Gt(0), Le(2)] = 0.6
    settling_m: Annotated[float, Gt(0), Le(1)] = 0.18
    margin_m: Annotated[float, Gt(0), Le(0.2)] = 0.03
    least_margin_m: Annotated[float, Gt(0), Le(0.2)] = 0.01
    tolerance_m: Annotated[float, Gt(0), Le(0.05)] = 0.003
    lateral_tolerance_m: Annotated[float, Gt(0), Le(0.05)] = 0.006
    tolerance_rad: Annotated[float, Gt(0), Le(0.1)] = math.radians(0.15)
    dwell_s: Annotated[float, Gt(0), Le(10)] = 1.0
    blind_s: Annotated[float, Gt(0), Le(30)] = 5.0
    blind_m: Annotated[float, Gt(0), Le(2)] = 0.3
    patience_s: Annotated[float, Gt(0), Le(300)] = 10.0
    duration_s: Annotated[float, Gt(0), Le(600)] = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveLimits:
    """What the base can do.

    Attributes:
        deceleration_mps2: While it brakes.
        yaw_deceleration_radps2: While it stops to turn.
        yaw_rate_radps: At most.
        latency_s: From a command until the base obeys.
    """

    deceleration_mps2: float = 0.5
    yaw_deceleration_radps2: float = 1.0
    yaw_rate_radps: float = 1.0
    latency_s: float = 0.06


@dataclass(frozen=True, slots=True)
class DockingStep:
    """What a docking proposes and where it is.

    Attributes:
        twist: Proposed motion.
        phase: Where the docking is.
        end_from_base: The base in the end frame: what is left is its inverse. ``None`` while the
            carrier is not found.
        attempt: Number of this drive in, from 1.
        failure: Why it was given up.
    """

    twist: Twist
    phase: Phase
    end_from_base: Pose2 | None
    attempt: int
    failure: Failure | None = None

    @property
    def reason(self) -> str | None:
        """Why it was given up, in words."""
        return None if self.failure is None else self.failure.value


class Docking:
    """One manoeuvre with one carrier, from somewhere in front to standstill at the end pose.

    Args:
        params: How to dock.
        limits: What the base can do.
        footprint: Shape ``(corners, 2)``, in the base frame.
        outline_m: Shape ``(points, 2)``, the carrier's marks in its frame.

    Raises:
        ConfigError: From the align point there is no way to the end pose on which the footprint
            keeps its margin of the marks and the lateral error decays.
    """

    def __init__(
        self,
        params: DockingParams,
        limits: DriveLimits,
        footprint: FloatArray,
        outline_m: FloatArray,
    ) -> None:
        self._params = params
        self._limits = limits
        self._footprint = footprint
        self._end_from_carrier = params.carrier_from_end.inverse()
        self._outline_m = moved(self._end_from_carrier, outline_m)
        self._phase = Phase.SEARCHING
        self._failure: Failure | None = None
        self._twist = STANDSTILL
        self._attempt = 1
        self._started_ns: int | None = None
        self._standing_ns: int | None = None
        self._seen_at = Pose2.identity()
        self._seen_ns: int | None = None
        self._noticed_ns = 0
        self._backing = self._facing = self._reversing = False
        for aside_m in (-ARRIVED_M, 0.0, ARRIVED_M):
            if not self._can_enter(Pose2(-params.align_m, aside_m, 0.0)):
                raise ConfigError(
                    f"there is no way for the footprint from {params.align_m} m before the end pose"
                    f" and {aside_m} m beside its axis"
                )

    def step(self, track: CarrierTrack, odom_from_base: Pose2, now_ns: int) -> DockingStep:
        """Return what to do next.

        Args:
            track: Where the carrier is.
            odom_from_base: Where the base is now.
            now_ns: Monotonic time.
        """
        if self._started_ns is None:
            self._started_ns = self._noticed_ns = now_ns
        pose = track.base_from_carrier(odom_from_base)
        end_from_base = None if pose is None else self._end_from_carrier @ pose.inverse()
        if self._phase in (Phase.DONE, Phase.FAILED):
            return self._said(STANDSTILL, end_from_base)
        if (now_ns - self._started_ns) * 1e-9 > self._params.duration_s:
            return self._fail(Failure.TOO_LONG, end_from_base)
        if track.seen_ns != self._seen_ns:
            self._seen_ns, self._seen_at, self._noticed_ns = track.seen_ns, odom_from_base, now_ns
        unseen_s = (now_ns - self._noticed_ns) * 1e-9
        if unseen_s > self._params.patience_s:
            searching = self._phase is Phase.SEARCHING
            return self._fail(Failure.NOT_FOUND if searching else Failure.LOST, end_from_base)
        blind_m = odom_from_base.distance_m(self._seen_at)
        is_blind = unseen_s > self._params.blind_s or blind_m > self._params.blind_m
        if end_from_base is None or is_blind:
            return self._said(STANDSTILL, end_from_base)
        if self._phase is Phase.SEARCHING:
            self._begin(end_from_base)
        twist = self._drive(self._foreseen(end_from_base), now_ns)
        return self._said(twist, end_from_base)

    def _begin(self, pose: Pose2) -> None:
        """Choose where to begin: who is among the marks must leave along the axis first."""
        enters = self._can_enter(pose, EASY_SHARE)
        self._backing = not enters and self._is_among(pose)
        self._enter(Phase.APPROACHING if enters or self._backing else Phase.ALIGNING)

    def _is_among(self, pose: Pose2) -> bool:
        """Whether the base, turning on the spot, would come near a mark."""
        radius_m = float(np.hypot(self._footprint[:, 0], self._footprint[:, 1]).max())
        away_m = np.hypot(self._outline_m[:, 0] - pose.x_m, self._outline_m[:, 1] - pose.y_m)
        return float(away_m.min()) < radius_m + self._params.margin_m

    def _said(self, twist: Twist, end_from_base: Pose2 | None) -> DockingStep:
        self._twist = twist
        return DockingStep(twist, self._phase, end_from_base, self._attempt, self._failure)

    def _fail(self, failure: Failure, end_from_base: Pose2 | None) -> DockingStep:
        self._phase, self._failure = Phase.FAILED, failure
        return self._said(STANDSTILL, end_from_base)

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._facing = False
        self._standing_ns = None

    def _foreseen(self, end_from_base: Pose2) -> Pose2:
        """Return where the base will be once a command of now reaches the wheels."""
        turn = self._twist.yaw_rate_radps * self._limits.latency_s
        way_m = self._twist.forward_mps * self._limits.latency_s
        half = 0.5 * turn
        return end_from_base @ Pose2(way_m * math.cos(half), way_m * math.sin(half), turn)

    def _drive(self, pose: Pose2, now_ns: int) -> Twist:
        match self._phase:
            case Phase.ALIGNING:
                return self._align(pose)
            case Phase.APPROACHING:
                return self._back_off(pose) if self._backing else self._approach(pose)
            case _:
                return self._finish(pose, now_ns)

    def _align(self, pose: Pose2) -> Twist:
        """Turn to the align point, drive there, turn to the axis."""
        to_x_m, to_y_m = -self._params.align_m - pose.x_m, -pose.y_m
        way_m = math.hypot(to_x_m, to_y_m)
        if self._facing or way_m < ARRIVED_M:
            self._facing = True
            if abs(pose.yaw_rad) > FACED_RAD:
                return self._turn(-pose.yaw_rad)
            if self._can_enter(pose):
                self._enter(Phase.APPROACHING)
                return self._approach(pose)
            self._facing = False
            return STANDSTILL
        off_rad = wrap(math.atan2(to_y_m, to_x_m) - pose.yaw_rad)
        if self._twist.forward_mps == 0.0:
            self._reversing = abs(off_rad) > math.pi / 2
        if self._reversing:
            off_rad = wrap(off_rad + math.pi)
        if self._twist.forward_mps != 0.0 and abs(off_rad) > ASTRAY_RAD and way_m < 3.0 * ARRIVED_M:
            self._facing = True
            return self._turn(-pose.yaw_rad)
        if abs(off_rad) > (DRIVE_OFF_RAD if self._twist.forward_mps == 0.0 else ASTRAY_RAD):
            return self._turn(off_rad)
        speed_mps = self._speed_mps(way_m, self._params.speed_mps) * math.cos(off_rad)
        rate = self._bounded(2.0 * off_rad)
        return Twist(-speed_mps if self._reversing else speed_mps, 0.0, rate)

    def _approach(self, pose: Pose2) -> Twist:
        """Drive in along the axis, as long as that leads to the end pose."""
        if self._phase is Phase.APPROACHING and pose.x_m > -self._params.final_m:
            self._enter(Phase.FINAL)
        if not self._can_enter(pose):
            return self._retry(pose)
        final_mps = self._params.final_mps
        if self._phase is Phase.FINAL:
            return self._along(pose, self._speed_mps(max(-pose.x_m, 0.0), final_mps))
        ahead_m = -pose.x_m - self._params.final_m
        braked_mps = math.sqrt(final_mps**2 + self._limits.deceleration_mps2 * ahead_m)
        return self._along(pose, min(self._params.speed_mps, braked_mps))

    def _along(self, pose: Pose2, speed_mps: float) -> Twist:
        """Feed lateral error and heading back into the turn; speeds below zero back off."""
        settling_m = self._params.settling_m
        heading = min(max(pose.yaw_rad, -1.0), 1.0)
        bend = -math.copysign(2.0 / settling_m, speed_mps) * heading
        # Beyond some way aside only the heading towards the axis is held.
        aside_m = min(max(pose.y_m, -settling_m), settling_m)
        bend -= aside_m / settling_m**2
        return Twist(speed_mps, 0.0, self._bounded(bend * speed_mps))

    def _retry(self, pose: Pose2) -> Twist:
        """Begin another attempt, or give up."""
        if self._attempt >= self._params.attempts:
            self._phase, self._failure = Phase.FAILED, Failure.OFF_AXIS
            return STANDSTILL
        self._attempt += 1
        self._backing = self._is_among(pose)
        self._enter(Phase.APPROACHING if self._backing else Phase.ALIGNING)
        return STANDSTILL

    def _back_off(self, pose: Pose2) -> Twist:
        """Leave along the axis: as far as an attempt needs, at most to the align point."""
        enters = self._can_enter(pose, EASY_SHARE)
        ahead_m = pose.x_m + (self._params.retreat_m if enters else self._params.align_m)
        if ahead_m > 0.0:
            return self._along(pose, -self._speed_mps(ahead_m, self._params.final_mps))
        self._backing = False
        self._enter(Phase.APPROACHING if enters else Phase.ALIGNING)
        return STANDSTILL

    def _finish(self, pose: Pose2, now_ns: int) -> Twist:
        """Come to rest, look, and correct what is left."""
        if self._standing_ns is None:
            if -pose.x_m > self._params.tolerance_m * 0.5 and abs(pose.yaw_rad) < ASTRAY_RAD:
                return self._approach(pose)
            self._standing_ns = now_ns
            return STANDSTILL
        if self._twist != STANDSTILL:
            return self._correct(pose, now_ns)
        if (now_ns - self._standing_ns) * 1e-9 < self._params.dwell_s:
            return STANDSTILL
        if abs(pose.y_m) > self._params.lateral_tolerance_m:
            return self._retry(pose)
        if (
            abs(pose.x_m) <= self._params.tolerance_m
            and abs(pose.yaw_rad) <= self._params.tolerance_rad
        ):
            self._phase = Phase.DONE
            return STANDSTILL
        return self._correct(pose, now_ns)

    def _correct(self, pose: Pose2, now_ns: int) -> Twist:
        """Creep along the axis, then turn; stand again once both are within half the tolerance."""
        self._standing_ns = now_ns
        if abs(pose.x_m) > 0.5 * self._params.tolerance_m and self._twist.yaw_rate_radps == 0.0:
            speed_mps = self._speed_mps(abs(pose.x_m), CREEP_MPS)
            return Twist(-math.copysign(speed_mps, pose.x_m), 0.0, 0.0)
        if abs(pose.yaw_rad) > 0.5 * self._params.tolerance_rad:
            return self._turn(-pose.yaw_rad)
        return STANDSTILL

    def _can_enter(self, pose: Pose2, share: float = 1.0) -> bool:
        """Whether the way in from here ends well: lateral error corrected, marks not touched.

        Args:
            pose: Here.
            share: Of the errors that are allowed; a way must be begun with less than it may have
                later, or the next scan would end it.
        """
        way_m = np.linspace(0.0, max(-pose.x_m, 0.0), FORESEEN_POSES)
        settling_m = self._params.settling_m
        slope = pose.yaw_rad + pose.y_m / settling_m
        decay = np.exp(-way_m / settling_m)
        aside_m = (pose.y_m + slope * way_m) * decay
        heading = (slope - (pose.y_m + slope * way_m) / settling_m) * decay
        if abs(float(aside_m[-1])) > share * self._params.lateral_tolerance_m:
            return False
        steepest_rad = float(np.abs(heading).max())
        if abs(pose.y_m) > share * settling_m or steepest_rad > share * ASTRAY_RAD:
            return False
        places = zip((pose.x_m + way_m).tolist(), aside_m.tolist(), heading.tolist(), strict=True)
        return all(self._slack_m(Pose2(*place)) > self._params.margin_m for place in places)

    def _slack_m(self, pose: Pose2) -> float:
        """Return the distance of the footprint from the carrier's marks."""
        marks_m = moved(pose.inverse(), self._outline_m).tolist()
        return min(float(signed_distance_m(x_m, y_m, self._footprint)) for x_m, y_m in marks_m)

    def _speed_mps(self, way_m: float, top_mps: float) -> float:
        """Return the speed from which the base stops in a way, not below a creep."""
        braked = math.sqrt(self._limits.deceleration_mps2 * way_m)
        return max(min(top_mps, braked, SPEED_PER_M * way_m), CREEP_MPS)

    def _turn(self, turn_rad: float) -> Twist:
        """Turn on the spot."""
        braked = math.sqrt(self._limits.yaw_deceleration_radps2 * abs(turn_rad))
        top = min(self._params.turn_radps, self._limits.yaw_rate_radps)
        rate = max(min(top, braked, RATE_PER_RAD * abs(turn_rad)), CREEP_RADPS)
        return Twist(0.0, 0.0, math.copysign(rate, turn_rad))

    def _bounded(self, rate_radps: float) -> float:
        top = min(self._params.turn_radps, self._limits.yaw_rate_radps)
        return min(max(rate_radps, -top), top)
