"""How the waypoints of an order become a command.

On the line of an edge, or on a route where the map leaves no line, the follower leads, and the
protective field keeps its polite distance. Where something stands on the way that the map does not
know, and the way may be left, the planner takes over and leads around it until the way is free
again. An edge with a corridor may be left inside the corridor, one without must be kept (VDA 5050
2.1, section 6.6.5); a route of the robot's own is no line of anybody's. Where that does not help
for a while, another way is searched, backing off included, before the way counts as blocked. The
governor has the last word on all of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise, takewhile
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Gt, Le
from numpy.typing import NDArray

from agent.avoidance.fields import Fields
from agent.avoidance.governor import StopReason, Verdict
from agent.avoidance.navigator import Navigator, is_there
from agent.avoidance.planner import sampled
from agent.avoidance.protective_field import ProtectiveField
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist, values
from agent.route.course import Course, ways_m
from agent.route.follower import Proposal
from agent.route.path import Corridor, Goal, Waypoint
from drivers.measurement import Scan

FENCE_STEP_M = 0.1
BACK_ON_LINE_M = 0.15  # how near the way must be before the follower leads again
NEAR_GOAL_M = 0.1  # to which the planner goes, so that the follower finds its way from there
ROUTE_BERTH_M = 1.0  # how far the planner may leave a route where no corridor says
ROUTE_STRIDE = 10  # points of a route from one that the planner gets to the next
STANDSTILL = 0.01  # m/s or rad/s
PROGRESS_M = 0.25  # a robot that does not get so far gets nowhere
REFUSED_NS = 1_000_000_000  # then the planner finds a way out of what the governor refuses


class OffLine(StrEnum):
    """What to do where something stands on an edge that has no corridor."""

    WAIT = "wait"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivingParams:
    """What to do about obstacles that the map does not know.

    Attributes:
        blocked_line: What to do on an edge without a corridor: ``wait`` keeps to its line, as the
            standard has it, until the obstacle leaves; ``leave`` drives around it over the map.
        patience_s: How long obstacles may let the robot go nowhere before it looks for another way,
            or says that the way is blocked.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    blocked_line: OffLine = OffLine.WAIT
    patience_s: Annotated[float, Gt(0), Le(3600)] = 10.0


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
    """Joins course, fields, planner and governor."""

    def __init__(
        self,
        course: Course,
        field: ProtectiveField,
        fields: Fields,
        navigator: Navigator,
        params: DrivingParams,
    ) -> None:
        self._course = course
        self._field = field
        self._fields = fields
        self._navigator = navigator
        self._params = params
        self._patience_ns = round(params.patience_s * 1e9)
        self._around = self._is_loaded = False
        self._map_from_base = Pose2.identity()
        self._stuck_at: Pose2 | None = None
        self._stuck_ns = self._searched_ns = 0
        self._has_searched = self._gave_up = False

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
        """Whether obstacles let the robot go nowhere, and it knows no other way."""
        return self._gave_up or (self._has_searched and self._course.no_way_around)

    @property
    def obstruction(self) -> str | None:
        """Why there is no way to the next waypoint on the map, None where there is one."""
        return self._course.obstruction

    @property
    def planned_path_m(self) -> NDArray[np.float64]:
        """The way that is being driven, from here on, shape ``(n, 2)``, in the map frame.

        It is empty without an order, and while there is no way yet.
        """
        way_m = self._course.way_m
        if not len(way_m):
            return way_m
        here_m = [[self._map_from_base.x_m, self._map_from_base.y_m]]
        return np.concatenate((here_m, way_m[1:]))

    def carry(self, footprint: NDArray[np.float64], *, is_loaded: bool) -> None:
        """Drive with another outline, and with the fields of a robot that is loaded or is not.

        Args:
            footprint: Shape ``(corners, 2)``, in the base frame.
            is_loaded: Whether something is on the robot.
        """
        self._is_loaded = is_loaded
        for part in (self._course, self._field, self._fields, self._navigator):
            part.take_shape(footprint)

    def reset(self) -> None:
        """Take the way from the present pose, as after a new order or a new pose."""
        self._course.reset()
        self._around = False
        self._note_free()

    def enter(self, map_id: str) -> None:
        """Go on on another map."""
        self._course.enter(map_id)
        self.reset()

    def see(self, lidar: str, scan: Scan, odom_from_base: Pose2, velocity: Twist) -> None:
        """Take a scan that is proof of free space."""
        self._navigator.see(lidar, scan, odom_from_base, velocity)

    def stop(self, now_ns: int, reason: StopReason | None, culprit: str = "") -> Verdict:
        """Stand."""
        self._course.interrupt()
        self._note_free()
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
        self._map_from_base = map_from_base
        self._navigator.place(odom_from_base, map_from_base)
        if not waypoints:
            self.reset()
            return Driven(self._navigator.stop(now_ns, None))
        if self._around:
            self._course.rejoin(map_from_base)
        proposal = self._course.step(map_from_base, waypoints)
        if proposal is None:
            return Driven(self._stand_without_way(now_ns))
        if self._around and not proposal.reached and self._is_close_enough(velocity):
            proposal = self._course.arrive()
        left = waypoints[len(proposal.reached) :]
        if not left:
            self.reset()
            return Driven(self._navigator.stop(now_ns, None), proposal.reached)
        if not self._course.ahead:
            self._around = False
            return Driven(self._navigator.stop(now_ns, None), proposal.reached)
        seen_m = self._navigator.sight.returns(odom_from_base)
        wanted = self._wanted(proposal, left[0], velocity, seen_m, (now_ns, measured_ns))
        if wanted is None:
            verdict = self._navigator.stop(now_ns, StopReason.OBSTACLE)
        else:
            verdict = self._navigator.govern(wanted, velocity, period_s, now_ns, measured_ns)
        if self._around and verdict.command.is_stop:
            verdict = replace(verdict, reason=verdict.reason or StopReason.OBSTACLE)
        self._note_progress(verdict, odom_from_base, now_ns)
        self._recover(left[0], seen_m, now_ns)
        return Driven(verdict, proposal.reached)

    def follow(
        self,
        wanted: Twist,
        margin_m: float | None,
        map_from_base: Pose2,
        odom_from_base: Pose2,
        velocity: Twist,
        period_s: float,
        now_ns: int,
        measured_ns: int,
    ) -> Verdict:
        """Move as an action wants, not along the way; fields and governor hold as ever.

        Args:
            wanted: Twist that the action proposes.
            margin_m: Clearance to keep; the governor's own where it is ``None``.
            map_from_base: Where the robot is.
            odom_from_base: Where the odometry has it.
            velocity: Measured.
            period_s: Time since the last step.
            now_ns: Monotonic time.
            measured_ns: When places and velocity were measured.
        """
        self._map_from_base = map_from_base
        self._navigator.place(odom_from_base, map_from_base)
        self._course.interrupt()
        self._note_free()
        seen_m = self._navigator.sight.returns(odom_from_base)
        calm = self._fields.limit(seen_m, wanted, velocity, self._is_loaded)
        if self._fields.stopped_by:
            return self._navigator.stop(now_ns, StopReason.OBSTACLE)
        calmed = Twist(*(calm * value for value in values(wanted)))
        return self._navigator.govern(calmed, velocity, period_s, now_ns, measured_ns, margin_m)

    def _wanted(
        self,
        proposal: Proposal,
        target: Waypoint,
        velocity: Twist,
        seen_m: NDArray[np.float64],
        times_ns: tuple[int, int],
    ) -> Twist | None:
        """Return the twist that leads on, None where a field lets the robot stand."""
        self._field.see(seen_m)
        share = self._field.limit(
            proposal.forward_mps, proposal.yaw_rate_radps, proposal.remaining_m
        )
        self._choose(share, proposal, target, times_ns[0])
        if self._around:
            wanted = self._way_around(target, velocity, *times_ns)
        elif self._field.violated:
            return None
        else:
            wanted = Twist(proposal.forward_mps * share, 0.0, proposal.yaw_rate_radps * share)
        calm = self._fields.limit(seen_m, wanted, velocity, self._is_loaded)
        if self._fields.stopped_by:
            return None
        return Twist(*(calm * value for value in values(wanted)))

    def _choose(self, share: float, proposal: Proposal, target: Waypoint, now_ns: int) -> None:
        """Leave the way where it is blocked and may be left; return to it once it is free."""
        is_refused = self._stuck_at is not None and now_ns - self._stuck_ns >= REFUSED_NS
        if target.corridor is None and not self._course.on_route:
            self._around = False
        elif not self._around:
            self._around = is_refused or (share < 1.0 and proposal.forward_mps != 0.0)
        else:
            is_free = share == 1.0 and proposal.forward_mps != 0.0
            is_beside = self._course.aside_m(self._map_from_base) >= BACK_ON_LINE_M
            self._around = not is_free or is_beside

    def _is_close_enough(self, velocity: Twist) -> bool:
        """Whether the planner has come as near to the end of the way as what stands there allows.

        That is within the deviation that the node allows, or the planner would go on.
        """
        speeds = map(abs, values(velocity))
        if len(self._course.ahead) != 1 or any(speed > STANDSTILL for speed in speeds):
            return False
        return is_there(self._map_from_base, _goal(self._course.ahead[0]))

    def _way_around(
        self, target: Waypoint, velocity: Twist, now_ns: int, measured_ns: int
    ) -> Twist:
        """Plan inside the corridors of the edges ahead, or near the route."""
        course = self._course
        if course.on_route:
            legs, way_m = [target], course.way_m[::ROUTE_STRIDE]
            discs = np.column_stack((way_m, np.full(len(way_m), ROUTE_BERTH_M)))
        else:
            legs = list(takewhile(lambda waypoint: waypoint.corridor is not None, course.ahead))
            way_m = sampled(ways_m(course.edge_from_m, legs), 0.5)
            discs = np.empty((0, 3))
        if target.corridor is not None:
            discs = _fence(course.edge_from_m, legs)
        goal = _goal(legs[-1])
        limit = target.max_speed_mps
        speed_mps = course.speed_mps if limit is None else min(limit, course.speed_mps)
        return self._navigator.plan(way_m, goal, velocity, now_ns, speed_mps, discs, measured_ns)

    def _stand_without_way(self, now_ns: int) -> Verdict:
        """Stand while a route is searched, or where there is none; then search again at times."""
        self._around = False
        self._stuck_ns = now_ns
        if self._course.obstruction is None:
            self._searched_ns = now_ns
            return self._navigator.stop(now_ns, StopReason.ROUTE_SEARCH)
        if not self._course.searching and now_ns - self._searched_ns >= self._patience_ns:
            self._searched_ns = now_ns
            self._course.search(self._map_from_base, np.empty((0, 2)))
        return self._navigator.stop(now_ns, StopReason.NO_ROUTE)

    def _note_free(self) -> None:
        self._stuck_at = None
        self._has_searched = self._gave_up = False

    def _note_progress(self, verdict: Verdict, here: Pose2, now_ns: int) -> None:
        """Note since when obstacles have let the robot go nowhere."""
        is_hindered = verdict.reason in (StopReason.OBSTACLE, StopReason.UNSEEN) or self._around
        if self._stuck_at is None or here.distance_m(self._stuck_at) > PROGRESS_M:
            self._note_free()
            self._stuck_at, self._stuck_ns = here, now_ns
        elif not is_hindered:
            self._stuck_ns = now_ns
            # On a route it may be turning once more towards what blocks it.
            self._gave_up = self._gave_up and self._course.on_route

    def _recover(self, target: Waypoint, seen_m: NDArray[np.float64], now_ns: int) -> None:
        """Once patience is over, look for another way, and only then count as blocked."""
        if now_ns - self._stuck_ns < self._patience_ns:
            return
        may_leave = target.corridor is not None or self._course.on_route
        if not may_leave and self._params.blocked_line is OffLine.WAIT:
            self._gave_up = True
            return
        # A way that was found and led nowhere is none.
        self._gave_up = self._has_searched
        self._has_searched, self._stuck_ns = True, now_ns
        self._course.search(self._map_from_base, seen_m)


def _goal(end: Waypoint) -> Goal:
    near_m = min(end.tolerance_m, NEAR_GOAL_M)
    return Goal(end.x_m, end.y_m, end.yaw_rad, near_m, end.tolerance_rad)


def _fence(begin_m: NDArray[np.float64], legs: Sequence[Waypoint]) -> NDArray[np.float64]:
    """Return the corridors of legs as discs: x, y and radius, shape ``(discs, 3)``.

    A corridor that is wider on one side is one around a line that lies farther to that side.
    """
    parts = []
    for leg in legs:
        line_m, begin_m = leg.way_m(begin_m), np.array([leg.x_m, leg.y_m])
        if leg.corridor is not None:
            parts += [_band(leg.corridor, *piece) for piece in pairwise(line_m)]
    return np.concatenate([np.empty((0, 3)), *parts])


def _band(
    corridor: Corridor, start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    way = end - start
    length = math.hypot(*way)
    if length == 0.0:
        return np.empty((0, 3))
    to_left = np.array([-way[1], way[0]]) / length
    shift = 0.5 * (corridor.left_m - corridor.right_m) * to_left
    line = sampled(np.array([start, end]) + shift, FENCE_STEP_M)
    radius = 0.5 * (corridor.left_m + corridor.right_m) + FENCE_STEP_M / 2
    return np.column_stack((line, np.full(len(line), radius)))
