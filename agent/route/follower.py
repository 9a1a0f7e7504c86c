"""Follows straight legs between waypoints with a differential drive.

Regulated pure pursuit (Macenski et al. 2023, after Coulter 1992): the robot steers for a point a
short way ahead on the path and slows for curvature and for the end. A corner sharper than
``turn_in_place_rad`` is taken by stopping on the waypoint and turning on the spot; at flatter ones
the robot keeps rolling.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

from annotated_types import Gt, Le

from agent.geometry.angle import difference
from agent.geometry.pose import Pose2
from agent.route.path import Waypoint

SHORTEST_LEG_M = 0.05  # below it two waypoints are one place and the leg has no direction


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerParams:
    """How the path is driven."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    speed_mps: Annotated[float, Gt(0), Le(5)] = 1.0
    yaw_rate_radps: Annotated[float, Gt(0), Le(6)] = 0.8
    deceleration_mps2: Annotated[float, Gt(0), Le(10)] = 0.5
    yaw_deceleration_radps2: Annotated[float, Gt(0), Le(20)] = 0.8
    lateral_acceleration_mps2: Annotated[float, Gt(0), Le(10)] = 0.6
    creep_mps: Annotated[float, Gt(0), Le(0.2)] = 0.03
    lookahead_s: Annotated[float, Gt(0), Le(5)] = 0.9
    min_lookahead_m: Annotated[float, Gt(0), Le(5)] = 0.4
    turn_in_place_rad: Annotated[float, Gt(0), Le(3.2)] = 0.5
    heading_tolerance_rad: Annotated[float, Gt(0), Le(0.5)] = 0.03
    arrival_m: Annotated[float, Gt(0), Le(0.5)] = 0.02


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the follower would like to do.

    Attributes:
        forward_mps: Proposed speed.
        yaw_rate_radps: Proposed turn rate.
        remaining_m: Way left to the next stop.
        reached: ``sequence_id`` of each waypoint that was reached in this step, in order.
    """

    forward_mps: float
    yaw_rate_radps: float
    remaining_m: float
    reached: tuple[int, ...]


class Vertex(NamedTuple):
    """A corner of the path, and the heading to take there, if any."""

    x_m: float
    y_m: float
    yaw_rad: float | None = None
    tolerance_rad: float = 0.0


class PathFollower:
    """Where along its waypoints the robot is, and which twist leads on."""

    def __init__(self, params: FollowerParams) -> None:
        self._params = params
        self._anchor: Vertex | None = None
        self._turning = False

    @property
    def speed_mps(self) -> float:
        """Speed on a straight way without a limit of its own."""
        return self._params.speed_mps

    def reset(self) -> None:
        """Forget the leg being driven, as after a new order or a new pose."""
        self._anchor = None
        self._turning = False

    def step(self, pose: Pose2, waypoints: Sequence[Waypoint]) -> Proposal:
        """Propose a twist for the present pose.

        Args:
            pose: ``map_from_base``.
            waypoints: All that are still to be reached, next one first.
        """
        here = Vertex(pose.x_m, pose.y_m)
        path = [
            self._anchor or here,
            *(Vertex(w.x_m, w.y_m, w.yaw_rad, w.tolerance_rad) for w in waypoints),
        ]
        reached = 0
        while reached < len(waypoints) and self._is_reached(pose, path, waypoints[reached]):
            reached += 1
            path = path[1:]
        ids = tuple(w.sequence_id for w in waypoints[:reached])
        if len(path) == 1:
            self.reset()
            return Proposal(0.0, 0.0, 0.0, ids)
        target = waypoints[reached]
        if _along_m(pose, path) <= self._params.arrival_m and not _within(pose, target):
            # Passed it too far aside: aim at it anew from here.
            path[0] = here
        self._anchor = path[0]
        forward, yaw_rate, remaining = self._steer(pose, path, target)
        return Proposal(forward, yaw_rate, remaining, ids)

    def _is_reached(self, pose: Pose2, path: list[Vertex], target: Waypoint) -> bool:
        """A waypoint to roll through is reached abeam of it, one to stop at when standing on it."""
        if not _within(pose, target):
            return False
        along = _along_m(pose, path)
        if not self._stops_after(path, 0):
            return along <= 0.0
        if along > self._params.arrival_m:
            return False
        if target.yaw_rad is None:
            return True
        tolerance = min(target.tolerance_rad, self._params.heading_tolerance_rad)
        return abs(difference(target.yaw_rad, pose.yaw_rad)) <= tolerance

    def _steer(
        self, pose: Pose2, path: list[Vertex], target: Waypoint
    ) -> tuple[float, float, float]:
        """Return speed, turn rate and way to the next stop."""
        params = self._params
        along = _along_m(pose, path)
        if along <= params.arrival_m and target.yaw_rad is not None and self._stops_after(path, 0):
            return 0.0, self._turn(difference(target.yaw_rad, pose.yaw_rad)), 0.0
        remaining = max(0.0, along) + self._rolling_m(path)
        carrot_x, carrot_y = self._carrot(pose, path, target)
        error = difference(math.atan2(carrot_y - pose.y_m, carrot_x - pose.x_m), pose.yaw_rad)
        self._turning = abs(error) > (
            params.heading_tolerance_rad if self._turning else params.turn_in_place_rad
        )
        if self._turning:
            return 0.0, self._turn(error), remaining
        chord = math.hypot(carrot_x - pose.x_m, carrot_y - pose.y_m)
        curvature = 2.0 * math.sin(error) / max(chord, SHORTEST_LEG_M)
        speed = self._speed(target, curvature, remaining)
        return speed, speed * curvature, remaining

    def _speed(self, target: Waypoint, curvature: float, remaining_m: float) -> float:
        """Return the fastest speed for the edge, for the bend and for stopping in time."""
        params = self._params
        braking = math.sqrt(2.0 * params.deceleration_mps2 * remaining_m)
        speed = min(self._cruise(target), max(params.creep_mps, braking))
        if curvature != 0.0:
            bend = abs(curvature)
            speed = min(
                speed,
                math.sqrt(params.lateral_acceleration_mps2 / bend),
                params.yaw_rate_radps / bend,
            )
        return speed

    def _cruise(self, target: Waypoint) -> float:
        limit = target.max_speed_mps
        return self._params.speed_mps if limit is None else min(limit, self._params.speed_mps)

    def _turn(self, error_rad: float) -> float:
        """Return the turn rate that brings a heading error to rest, with a fifth in reserve."""
        params = self._params
        rate = 0.8 * math.sqrt(2.0 * params.yaw_deceleration_radps2 * abs(error_rad))
        return math.copysign(min(params.yaw_rate_radps, rate), error_rad)

    def _carrot(self, pose: Pose2, path: list[Vertex], target: Waypoint) -> tuple[float, float]:
        """Return the point to steer for: a lookahead along the path.

        Where the robot is to stop it lies on the extension of the leg, so that the heading stays
        defined while the last centimetres are closed.
        """
        params = self._params
        rest = max(params.min_lookahead_m, params.lookahead_s * self._cruise(target))
        rest -= max(0.0, _along_m(pose, path))
        leg = 0
        while rest > 0.0 and not self._stops_after(path, leg):
            length = _distance_m(path[leg + 1], path[leg + 2])
            leg += 1
            rest -= length
        # ``rest`` is now how far beyond the end of the leg (positive) or short of it to aim.
        ux, uy = _direction(path[leg], path[leg + 1])
        return path[leg + 1].x_m + ux * rest, path[leg + 1].y_m + uy * rest

    def _stops_after(self, path: list[Vertex], leg: int) -> bool:
        """Whether the robot comes to rest at the end of a leg.

        It does at the last one, at a sharp corner, and where it has to face another way than the
        one it drives (VDA 5050 2.1, section 6.6.6: a node's theta holds at that node).
        """
        end = path[leg + 1]
        # Waypoints at the same place have no direction between them: look past them.
        before = next((v for v in reversed(path[: leg + 1]) if _apart(v, end)), None)
        after = next((v for v in path[leg + 2 :] if _apart(end, v)), None)
        if after is None:
            return True
        if before is None:
            return end.yaw_rad is not None
        ux, uy = _direction(before, end)
        if end.yaw_rad is not None:
            error = difference(end.yaw_rad, math.atan2(uy, ux))
            if abs(error) > end.tolerance_rad:
                return True
        wx, wy = _direction(end, after)
        return math.atan2(abs(ux * wy - uy * wx), ux * wx + uy * wy) > (
            self._params.turn_in_place_rad
        )

    def _rolling_m(self, path: list[Vertex]) -> float:
        """Return the way from the end of the first leg to where the robot next stops."""
        way, leg = 0.0, 0
        while not self._stops_after(path, leg):
            way += _distance_m(path[leg + 1], path[leg + 2])
            leg += 1
        return way


def _distance_m(start: Vertex, end: Vertex) -> float:
    return math.hypot(end.x_m - start.x_m, end.y_m - start.y_m)


def _apart(start: Vertex, end: Vertex) -> bool:
    return _distance_m(start, end) >= SHORTEST_LEG_M


def _direction(start: Vertex, end: Vertex) -> tuple[float, float]:
    length = _distance_m(start, end)
    if length < SHORTEST_LEG_M:
        return 1.0, 0.0
    return (end.x_m - start.x_m) / length, (end.y_m - start.y_m) / length


def _along_m(pose: Pose2, path: list[Vertex]) -> float:
    """Return the way left along the first leg, negative beyond its end."""
    if not _apart(path[0], path[1]):
        return 0.0
    ux, uy = _direction(path[0], path[1])
    return (path[1].x_m - pose.x_m) * ux + (path[1].y_m - pose.y_m) * uy


def _within(pose: Pose2, target: Waypoint) -> bool:
    return math.dist((pose.x_m, pose.y_m), (target.x_m, target.y_m)) <= target.tolerance_m
