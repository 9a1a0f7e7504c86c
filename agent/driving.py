"""How the waypoints of an order become a command.

On the line of an edge the follower leads, and the protective field keeps its polite distance. Where
something stands on the line and the edge has a corridor (VDA 5050 2.1, section 6.6.5), the planner
takes over and leads around it inside the corridor, until the line is free again. The governor has
the last word on either.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

import numpy as np
from numpy.typing import NDArray

from agent.avoidance.fields import Fields
from agent.avoidance.governor import StopReason, Verdict
from agent.avoidance.navigator import Navigator
from agent.avoidance.planner import sampled
from agent.avoidance.protective_field import ProtectiveField
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist, values
from agent.route.follower import PathFollower, Proposal
from agent.route.path import Goal, Waypoint
from drivers.measurement import Scan

FENCE_STEP_M = 0.1
BLOCKED_NS = 10_000_000_000
BACK_ON_LINE_M = 0.15  # how near the line must be before the follower leads again


@dataclass(frozen=True, slots=True)
class Driven:
    """What came of a step.

    Attributes:
        verdict: What goes to the base, and why.
        reached: ``sequence_id`` of each waypoint that was reached, in order.
    """

    verdict: Verdict
    reached: tuple[int, ...] = ()


class Driving:
    """Joins follower, fields, planner and governor."""

    def __init__(
        self,
        follower: PathFollower,
        field: ProtectiveField,
        fields: Fields,
        navigator: Navigator,
    ) -> None:
        self._follower = follower
        self._field = field
        self._fields = fields
        self._navigator = navigator
        self._start_m = np.zeros(2)
        self._next_id: int | None = None
        self._around = False
        self._moved_ns: int | None = None
        self._now_ns = 0

    @property
    def navigator(self) -> Navigator:
        """Planner, governor and what they see."""
        return self._navigator

    @property
    def field_violated(self) -> bool:
        """Whether an obstacle stands in the protective field, or in another that stops."""
        return self._field.violated or bool(self._fields.stopped_by)

    @property
    def is_blocked(self) -> bool:
        """Whether obstacles have let the robot go nowhere for a while."""
        return self._moved_ns is not None and self._now_ns - self._moved_ns >= BLOCKED_NS

    def reset(self) -> None:
        """Take the way from the present pose, as after a new order or a new pose."""
        self._follower.reset()
        self._next_id = None
        self._around = False
        self._moved_ns = None

    def see(self, lidar: str, scan: Scan, odom_from_base: Pose2, velocity: Twist) -> None:
        """Take a scan that is proof of free space."""
        self._navigator.see(lidar, scan, odom_from_base, velocity)

    def stop(self, now_ns: int, reason: StopReason | None, culprit: str = "") -> Verdict:
        """Stand."""
        self._moved_ns = None
        return self._navigator.stop(now_ns, reason, culprit)

    def step(
        self,
        map_from_base: Pose2,
        odom_from_base: Pose2,
        velocity: Twist,
        waypoints: Sequence[Waypoint],
        period_s: float,
        now_ns: int,
        measured_ns: int,
    ) -> Driven:
        """Drive on towards the waypoints.

        Args:
            map_from_base: Where the robot is.
            odom_from_base: Where the odometry has it.
            velocity: Measured.
            waypoints: All that are still to be reached, next one first.
            period_s: Time since the last step.
            now_ns: Monotonic time.
            measured_ns: When places and velocity were measured.
        """
        self._now_ns = now_ns
        self._navigator.place(odom_from_base, map_from_base)
        proposal = self._follower.step(map_from_base, waypoints)
        left = waypoints[len(proposal.reached) :]
        if not left:
            self.reset()
            return Driven(self._navigator.stop(now_ns, None), proposal.reached)
        self._begin_leg(map_from_base, waypoints, len(proposal.reached))
        seen_m = self._navigator.sight.returns(odom_from_base)
        self._field.see(seen_m)
        share = self._field.limit(
            proposal.forward_mps, proposal.yaw_rate_radps, proposal.remaining_m
        )
        self._choose(share, proposal, map_from_base, left[0])
        if self._around:
            wanted = self._way_around(velocity, left, now_ns, measured_ns)
        elif self._field.violated:
            return Driven(self._stand_before_obstacle(now_ns), proposal.reached)
        else:
            wanted = Twist(proposal.forward_mps * share, 0.0, proposal.yaw_rate_radps * share)
        calm = self._fields.limit(seen_m, wanted, velocity)
        if self._fields.stopped_by:
            return Driven(self._stand_before_obstacle(now_ns), proposal.reached)
        wanted = Twist(*(calm * value for value in values(wanted)))
        verdict = self._navigator.govern(wanted, velocity, period_s, now_ns, measured_ns)
        self._note_progress(verdict, now_ns)
        return Driven(verdict, proposal.reached)

    def _begin_leg(self, pose: Pose2, waypoints: Sequence[Waypoint], reached: int) -> None:
        """Note where the edge to the next waypoint begins."""
        next_id = waypoints[reached].sequence_id
        if self._next_id == next_id:
            return
        passed = waypoints[reached - 1] if reached else None
        here = (pose.x_m, pose.y_m) if passed is None else (passed.x_m, passed.y_m)
        self._start_m, self._next_id = np.array(here), next_id

    def _choose(self, share: float, proposal: Proposal, pose: Pose2, target: Waypoint) -> None:
        """Leave the line where it is blocked and may be left; return to it once it is free."""
        if target.corridor is None:
            self._around = False
        elif not self._around:
            self._around = share < 1.0 and proposal.forward_mps > 0.0
        else:
            way = np.array([target.x_m, target.y_m]) - self._start_m
            offset = np.array([pose.x_m, pose.y_m]) - self._start_m
            length = max(1e-6, math.hypot(*way))
            aside_m = abs(way[0] * offset[1] - way[1] * offset[0]) / length
            is_free = share == 1.0 and proposal.forward_mps > 0.0
            self._around = not (is_free and aside_m < BACK_ON_LINE_M)

    def _way_around(
        self, velocity: Twist, left: Sequence[Waypoint], now_ns: int, measured_ns: int
    ) -> Twist:
        """Plan inside the corridors of the edges ahead."""
        legs = list(takewhile(lambda waypoint: waypoint.corridor is not None, left))
        points_m = np.array([self._start_m, *((w.x_m, w.y_m) for w in legs)])
        end = legs[-1]
        goal = Goal(end.x_m, end.y_m, end.yaw_rad, end.tolerance_m, end.tolerance_rad)
        limit = legs[0].max_speed_mps
        speed_mps = self._follower.speed_mps if limit is None else limit
        return self._navigator.plan(
            sampled(points_m, 0.5),
            goal,
            velocity,
            now_ns,
            min(speed_mps, self._follower.speed_mps),
            _fence(points_m, legs),
            measured_ns,
        )

    def _stand_before_obstacle(self, now_ns: int) -> Verdict:
        verdict = self._navigator.stop(now_ns, StopReason.OBSTACLE)
        self._note_progress(verdict, now_ns)
        return verdict

    def _note_progress(self, verdict: Verdict, now_ns: int) -> None:
        if self._moved_ns is None or verdict.reason is not StopReason.OBSTACLE:
            self._moved_ns = now_ns


def _fence(points_m: NDArray[np.float64], legs: Sequence[Waypoint]) -> NDArray[np.float64]:
    """Return the corridors of legs as discs: x, y and radius, shape ``(discs, 3)``.

    A corridor that is wider on one side is one around a line that lies farther to that side.
    """
    parts = []
    for (start, end), leg in zip(pairwise(points_m), legs, strict=True):
        corridor = leg.corridor
        way = end - start
        length = math.hypot(*way)
        if corridor is None or length == 0.0:
            continue
        to_left = np.array([-way[1], way[0]]) / length
        shift = 0.5 * (corridor.left_m - corridor.right_m) * to_left
        line = sampled(np.array([start, end]) + shift, FENCE_STEP_M)
        radius = 0.5 * (corridor.left_m + corridor.right_m) + FENCE_STEP_M / 2
        parts.append(np.column_stack((line, np.full(len(line), radius))))
    return np.concatenate([np.empty((0, 3)), *parts])
