"""The last stage before the base: it trusts neither map nor planner, only what the lidars see now.

A command passes if the robot, after the worst latency and at its guaranteed deceleration, comes to
rest before its footprint, swept along the commanded arc, touches a point of a scan. Otherwise the
command is slowed, keeping its curvature, until that holds. Anything unknown means zero.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

import numpy as np
from numpy.typing import NDArray

from agent.avoidance.motion import MotionLimits
from agent.geometry.twist import Twist
from agent.kernels.stopping import least_slack_m, stopping_poses, within_reach
from agent.route.hull import circumscribed_m
from drivers.measurement import VelocityCommand

SWEEP_STEP_M = 0.02  # finer than the beam spacing of a planar lidar at braking distance
CREEP = 0.02  # m/s or rad/s; below it the robot would only creep up to what it must not touch
LONGEST_HOLD_S = 0.25
HALVINGS = 5
ESCAPE_S = 0.8  # for which a motion must lead away from what braking does not help against
SPARE_POSES = 400
ABSURD = 1e6  # m/s or rad/s
LONG_AGO_NS = -(1 << 62)
MEMORY_NS = 1_000_000_000  # of commands; far beyond latency and age of odometry together
NOTHING_MOVES = np.empty((0, 5))
NO_POINTS = np.empty((0, 2))
COMMAND_LIFETIME_NS = 100_000_000  # two missed 20 ms ticks and the jitter of a busy computer
LEAST_HOLD_S = COMMAND_LIFETIME_NS * 1e-9  # should the loop die, the command runs until then


class StopReason(StrEnum):
    """Why the robot stands although something asked it to move."""

    NO_SCAN = "no current scan"
    COVERED = "lidar covered in the direction of travel"
    NO_ODOMETRY = "no current odometry"
    NO_BASE_STATUS = "no current status of the base"
    LATE_LOOP = "control loop late"
    E_STOP = "emergency stop active"
    BUMPER = "bumper pressed"
    NOT_ACKNOWLEDGED = "emergency stop or bumper not acknowledged"
    BASE_FAULT = "base reports a fault"
    NOT_LOCALIZED = "not localized"
    MAP_CHANGE = "changes to another map"
    ROUTE_SEARCH = "looks for a route"
    NO_ROUTE = "no route to the next node"
    OBSTACLE = "obstacle in the protective field"
    UNSEEN = "no lidar sees where it would move"
    PAUSED = "paused by the platform"
    ACTION = "waits for an action"
    ZONE = "must not go on because of a zone"
    OUT_OF_CORRIDOR = "outside of the corridor"
    BAD_COMMAND = "command is not a number"


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

    def __init__(
        self, limits: MotionLimits, footprint: NDArray[np.float64], *, steers: bool = False
    ) -> None:
        """Begin at rest.

        Args:
            limits: What the base can do.
            footprint: Shape ``(corners, 2)``, in the base frame.
            steers: Whether the base is car-like, so that it turns only as it drives.
        """
        self._limits = limits
        self._margin_m = limits.margin_m
        self._steers = steers
        speeds = (limits.speed_mps, limits.speed_mps, limits.yaw_rate_radps)
        self._fastest = np.array(speeds)
        self._acceleration = np.array(
            (limits.acceleration_mps2, limits.acceleration_mps2, limits.yaw_acceleration_radps2)
        )
        self._deceleration = np.array(
            (limits.deceleration_mps2, limits.deceleration_mps2, limits.yaw_deceleration_radps2)
        )
        self._command = np.zeros(3)
        self._sent: list[tuple[int, NDArray[np.float64]]] = [(LONG_AGO_NS, self._command)]
        self._seen_ns: int | None = None
        self._points_m, self._hits = NO_POINTS, 0
        self._moving = np.empty((0, 5))
        self.take_shape(footprint)

    def take_shape(self, footprint: NDArray[np.float64]) -> None:
        """Keep another footprint clear from now on, as with a load on board.

        Args:
            footprint: Shape ``(corners, 2)``, in the base frame.
        """
        self._footprint = footprint
        self._radius_m = circumscribed_m(footprint)
        longest_s = self._limits.base_latency_s + ESCAPE_S
        longest_s += 0.5 * float((self._fastest / self._deceleration).max())
        corner_mps = self._limits.speed_mps + self._radius_m * self._limits.yaw_rate_radps
        # Steps of the sweep to rest, and as many again where they are short.
        count = SPARE_POSES + 2 * math.ceil(corner_mps * longest_s / SWEEP_STEP_M)
        self._poses = np.empty((count, 4))

    @property
    def command(self) -> Twist:
        """The last command that has passed."""
        return Twist(*(float(value) for value in self._command))

    def reach_m(self, age_s: float) -> float:
        """Return beyond what distance nothing can matter, however fast the robot may be.

        Args:
            age_s: Of the odometry.
        """
        react_s = age_s + self._limits.base_latency_s + LONGEST_HOLD_S
        return self._way_m(self._fastest, react_s)

    def see(
        self,
        points_m: NDArray[np.float64],
        stamp_ns: int,
        moving: NDArray[np.float64] = NOTHING_MOVES,
        unseen_m: NDArray[np.float64] = NO_POINTS,
    ) -> None:
        """Take what the lidars saw as the only knowledge of free space.

        Args:
            points_m: Shape ``(points, 2)``, all that stands in the way, in the base frame of the
                moment for which the next verdict knows the speed.
            stamp_ns: When what moves was where it is told to be.
            moving: Shape ``(objects, 5)``: x, y, vx, vy and radius of what moves, in the same
                frame but by velocities over ground. It can only slow the robot.
            unseen_m: Shape ``(points, 2)``, all that has not been seen; it stands in the way too.
        """
        self._hits = len(points_m)
        self._points_m = np.concatenate((points_m, unseen_m))
        self._seen_ns = stamp_ns
        self._moving = moving

    def stop(self, now_ns: int, reason: StopReason | None, culprit: str = "") -> Verdict:
        """Command standstill, which is always admissible."""
        self._send(np.zeros(3), now_ns)
        command = VelocityCommand(0.0, 0.0, now_ns + COMMAND_LIFETIME_NS)
        return Verdict(command, reason, False, culprit)

    def govern(
        self,
        wanted: Twist,
        present: Twist,
        period_s: float,
        now_ns: int,
        measured_ns: int | None = None,
        margin_m: float | None = None,
    ) -> Verdict:
        """Pass, slow or refuse a proposed twist.

        The way to rest begins when the speed was measured: since then the base has done what it was
        told before.

        Args:
            wanted: Proposed twist.
            present: Of the base, measured.
            period_s: Time since the last verdict, over which speeds may have changed, and until the
                next one.
            now_ns: Monotonic time.
            measured_ns: When the speed was measured, and the base was where :meth:`see` told what
                is around it; now, if not given.
            margin_m: Clearance to keep, as between the legs of a carrier that is docked to; that of
                the limits, if not given.
        """
        measured_ns = now_ns if measured_ns is None else measured_ns
        self._margin_m = self._limits.margin_m if margin_m is None else margin_m
        proposal = _array(wanted)
        if not (np.isfinite(proposal).all() and np.isfinite(_array(present)).all()):
            return self.stop(now_ns, StopReason.BAD_COMMAND)
        if not period_s > 0.0:
            return self.stop(now_ns, StopReason.LATE_LOOP)
        if self._seen_ns is None:
            return self.stop(now_ns, StopReason.NO_SCAN)
        proposal = np.clip(proposal, -ABSURD, ABSURD)
        proposal /= max(1.0, float((np.abs(proposal) / self._fastest).max()))
        push = math.hypot(proposal[0], proposal[1]) * abs(proposal[2])
        proposal /= max(1.0, math.sqrt(push / self._limits.lateral_acceleration_mps2))
        pending = self._pending(measured_ns, now_ns)
        age_s = (measured_ns - self._seen_ns) * 1e-9
        passed, share = self._admissible(proposal, _array(present), pending, period_s, age_s)
        if passed is None or (share < 1.0 and not _moves(passed) and _moves(proposal)):
            reason = self._obstruction(proposal, _array(present), pending, period_s)
            return self.stop(now_ns, reason)
        self._send(passed, now_ns)
        forward, lateral, turn = (float(value) for value in passed)
        command = VelocityCommand(forward, turn, now_ns + COMMAND_LIFETIME_NS, lateral)
        return Verdict(command, None, share < 1.0)

    def _obstruction(
        self,
        proposal: NDArray[np.float64],
        present: NDArray[np.float64],
        pending: NDArray[np.float64],
        period_s: float,
    ) -> StopReason:
        """Return whether something stands in the way of a proposal, or only might."""
        if self._hits == len(self._points_m):
            return StopReason.OBSTACLE
        known, self._points_m = self._points_m, self._points_m[: self._hits]
        passed, _ = self._admissible(proposal, present, pending, period_s, 0.0)
        self._points_m = known
        return StopReason.OBSTACLE if passed is None or not _moves(passed) else StopReason.UNSEEN

    def _admissible(
        self,
        proposal: NDArray[np.float64],
        present: NDArray[np.float64],
        pending: NDArray[np.float64],
        period_s: float,
        age_s: float,
    ) -> tuple[NDArray[np.float64] | None, float]:
        """Return the largest share of a proposal from which the robot can still stop.

        Halving keeps it monotone: a point more can only turn a pass into a refusal, and after a
        refusal only smaller shares are tried.
        """
        # The next cycle brakes, or there is none any more and the command runs out.
        holds_s = (period_s, LEAST_HOLD_S) if period_s < LEAST_HOLD_S else (period_s,)
        near_m = self._near(present, pending, proposal, holds_s[-1])
        # What runs into a robot that brakes must not keep it from getting away, if it can.
        brakes_in_vain = len(self._moving) > 0 and not self._is_clear(
            np.zeros(3), present, pending, holds_s, near_m[:0], self._moving, age_s
        )

        def passes(command: NDArray[np.float64]) -> bool:
            if not brakes_in_vain:
                return self._is_clear(
                    command, present, pending, holds_s, near_m, self._moving, age_s
                )
            return self._is_clear(
                command, present, pending, holds_s, near_m, NOTHING_MOVES, age_s
            ) and self._is_clear(
                command, present, pending, (ESCAPE_S,), near_m[:0], self._moving, age_s
            )

        full = self._slewed(proposal, period_s)
        if passes(full):
            return full, 1.0
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            if passes(self._slewed(middle * proposal, period_s)):
                low = middle
            else:
                high = middle
        slowest = self._slewed(low * proposal, period_s)
        return (slowest, low) if low > 0.0 or passes(slowest) else (None, 0.0)

    def _send(self, command: NDArray[np.float64], now_ns: int) -> None:
        self._command = command
        self._sent.append((now_ns, command))
        while len(self._sent) > 2 and self._sent[1][0] <= now_ns - MEMORY_NS:
            del self._sent[0]

    def _pending(self, measured_ns: int, now_ns: int) -> NDArray[np.float64]:
        """Return what the base has been told and had not done yet, and until when each holds.

        A command acts a latency after it was sent, until the next one does.

        Returns:
            Shape ``(commands, 4)``: the twist, and the time since the speed was measured.
        """
        latency_ns = round(self._limits.base_latency_s * 1e9)
        ends_ns = [*(sent_ns for sent_ns, _ in self._sent[1:]), now_ns]
        rows = [
            (*command, (end_ns + latency_ns - measured_ns) * 1e-9)
            for (_, command), end_ns in zip(self._sent, ends_ns, strict=True)
            if end_ns + latency_ns > measured_ns
        ]
        return np.array(rows, np.float64).reshape(-1, 4)

    def _slewed(self, wanted: NDArray[np.float64], period_s: float) -> NDArray[np.float64]:
        """Return the last command moved towards another as far as the base can follow."""
        change = wanted - self._command
        slowing = (np.abs(wanted) < np.abs(self._command)) | (wanted * self._command < 0.0)
        most = period_s * np.where(slowing, self._deceleration, self._acceleration)
        slewed: NDArray[np.float64] = self._command + np.clip(change, -most, most)
        if self._steers:
            # The wheels stand as the proposal wants them, however fast the robot is by then.
            turn = slewed[0] * wanted[2] / wanted[0] if abs(wanted[0]) > 1e-9 else 0.0
            slewed[2] = min(self._fastest[2], max(-self._fastest[2], turn))
        self._ease(slewed)
        return slewed

    def _ease(self, slewed: NDArray[np.float64]) -> None:
        """Hold back what grows, speed or turn, where both together push too hard."""
        most = self._limits.lateral_acceleration_mps2
        speed_mps, turn_radps = math.hypot(slewed[0], slewed[1]), abs(slewed[2])
        if speed_mps * turn_radps <= most:
            return
        if turn_radps <= abs(self._command[2]) and not self._steers:
            slewed[:2] *= most / (speed_mps * turn_radps)
        else:
            slewed[2] *= most / (speed_mps * turn_radps)

    def _near(
        self,
        present: NDArray[np.float64],
        pending: NDArray[np.float64],
        proposal: NDArray[np.float64],
        hold_s: float,
    ) -> NDArray[np.float64]:
        twists = np.abs(np.vstack((present, proposal, self._command, pending[:, :3])))
        react_s = float(pending[-1, 3]) if len(pending) else 0.0
        reach_m = self._way_m(twists.max(axis=0), react_s + hold_s)
        near_m = np.empty_like(self._points_m)
        return near_m[: within_reach(self._points_m, reach_m, near_m)]

    def _way_m(self, twist: NDArray[np.float64], react_s: float) -> float:
        """Return how far from the base something must be that it is out of reach until rest.

        On the arc the base brakes only as hard as the axis that takes longest.
        """
        speed_mps = math.hypot(twist[0], twist[1])
        brake_s = float((twist / self._deceleration).max())
        around_m = self._radius_m + self._margin_m + SWEEP_STEP_M
        return around_m + speed_mps * (react_s + 0.5 * brake_s)

    def _is_clear(
        self,
        command: NDArray[np.float64],
        present: NDArray[np.float64],
        pending: NDArray[np.float64],
        holds_s: tuple[float, ...],
        points_m: NDArray[np.float64],
        moving: NDArray[np.float64],
        age_s: float,
    ) -> bool:
        """Whether nothing is met, however the base brakes: on the arc, or each axis for itself."""
        for hold_s, together in product(holds_s, (True, False)):
            count = stopping_poses(
                present,
                pending,
                command,
                hold_s,
                self._acceleration,
                self._deceleration,
                together,
                self._radius_m,
                SWEEP_STEP_M,
                self._poses,
            )
            if count == len(self._poses):
                return False  # no rest in sight
            slack = least_slack_m(
                self._poses[:count],
                self._footprint,
                self._radius_m,
                self._margin_m,
                points_m,
                moving,
                age_s,
            )
            if slack < 0.0:
                return False
        return True


def _array(twist: Twist) -> NDArray[np.float64]:
    return np.array((twist.forward_mps, twist.lateral_mps, twist.yaw_rate_radps))


def _moves(twist: NDArray[np.float64]) -> bool:
    return bool(np.abs(twist).max() > CREEP)
