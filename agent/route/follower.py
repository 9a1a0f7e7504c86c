"""Follows straight legs and curves between waypoints with a differential drive.

Regulated pure pursuit (Macenski et al. 2023, after Coulter 1992): the robot steers for a point a
short way ahead on the path and slows for curvature and for the end. A corner sharper than
``turn_in_place_rad`` is taken by stopping on the waypoint and turning on the spot; at flatter ones
the robot keeps rolling.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from annotated_types import Gt, Le
from numpy.typing import NDArray

from agent.geometry.angle import difference
from agent.geometry.pose import Pose2
from agent.route.path import Waypoint

SHORTEST_LEG_M = 0.05  # below it two waypoints are one place and the leg has no direction
VIA_TOLERANCE_M = 0.5  # beside the points of a curve, which are there to be steered by
MOST_CURVES = 64  # kept as vias
CUT_M = 0.03  # by which a lookahead may cut a bend
HORIZON_RESERVE_M = 1.0  # beyond what braking and looking ahead need


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
        self._curve_of: int | None = None
        self._vias_passed = 0
        self._curves: dict[int, tuple[Waypoint, list[Waypoint]]] = {}

    @property
    def speed_mps(self) -> float:
        """Speed on a straight way without a limit of its own."""
        return self._params.speed_mps

    def reset(self) -> None:
        """Forget the leg being driven, as after a new order or a new pose."""
        self._anchor = None
        self._turning = False
        self._curve_of = None
        self._vias_passed = 0

    def step(self, pose: Pose2, waypoints: Sequence[Waypoint]) -> Proposal:
        """Propose a twist for the present pose.

        Args:
            pose: ``map_from_base``.
            waypoints: All that are still to be reached, next one first.
        """
        here = Vertex(pose.x_m, pose.y_m)
        legs, vias = self._legs(pose, waypoints)
        path = [
            self._anchor or here,
            *(Vertex(w.x_m, w.y_m, w.yaw_rad, w.tolerance_rad) for w in legs),
        ]
        done = 0
        while done < len(legs) and self._is_reached(pose, path, legs[done]):
            done += 1
            path = path[1:]
        ids = self._count(legs[:done], vias[:done])
        if len(path) == 1:
            self.reset()
            return Proposal(0.0, 0.0, 0.0, ids)
        target = legs[done]
        if _along_m(pose, path) <= self._params.arrival_m and not _within(pose, target):
            # Passed it too far aside: aim at it anew from here.
            path[0] = here
        self._anchor = path[0]
        forward, yaw_rate, remaining = self._steer(pose, path, legs[done:])
        return Proposal(forward, yaw_rate, remaining, ids)

    def _legs(
        self, pose: Pose2, waypoints: Sequence[Waypoint]
    ) -> tuple[list[Waypoint], list[bool]]:
        """Return what lies on the way as far as it matters now, and which of it are vias.

        A curve becomes straight legs between points of it, its vias; those passed are left out.
        """
        params = self._params
        reach_m = params.speed_mps**2 / (2.0 * params.deceleration_mps2) + HORIZON_RESERVE_M
        reach_m += max(params.min_lookahead_m, params.lookahead_s * params.speed_mps)
        if waypoints and waypoints[0].sequence_id != self._curve_of:
            self._curve_of, self._vias_passed = waypoints[0].sequence_id, 0
        legs: list[Waypoint] = []
        vias: list[bool] = []
        way_m, last = 0.0, (pose.x_m, pose.y_m)
        for index, waypoint in enumerate(waypoints):
            between = [] if waypoint.curve is None else self._vias(waypoint)
            for leg in (*between[self._vias_passed if index == 0 else 0 :], waypoint):
                if way_m > reach_m:
                    return legs, vias
                legs.append(leg)
                vias.append(leg is not waypoint)
                way_m += math.dist(last, (leg.x_m, leg.y_m))
                last = leg.x_m, leg.y_m
        return legs, vias

    def _count(self, reached: Sequence[Waypoint], vias: Sequence[bool]) -> tuple[int, ...]:
        """Take note of vias passed, and return the ids of the waypoints reached."""
        for is_via in vias:
            self._vias_passed = self._vias_passed + 1 if is_via else 0
        ends = [w for w, is_via in zip(reached, vias, strict=True) if not is_via]
        if ends:
            self._curve_of = None
        return tuple(w.sequence_id for w in ends)

    def _vias(self, waypoint: Waypoint) -> list[Waypoint]:
        """Return the points of a curve to steer by, each with the speed of the bend there."""
        kept = self._curves.get(waypoint.sequence_id)
        if kept is None or kept[0] is not waypoint:
            if len(self._curves) >= MOST_CURVES:
                self._curves.clear()
            kept = waypoint, self._sampled(waypoint)
            self._curves[waypoint.sequence_id] = kept
        return kept[1]

    def _sampled(self, waypoint: Waypoint) -> list[Waypoint]:
        if waypoint.line_m is None:
            return []
        line_m = _apart_m(waypoint.line_m)
        ways = np.diff(line_m, axis=0)
        lengths = np.hypot(*ways.T)
        yaws = np.unwrap(np.arctan2(ways[:, 1], ways[:, 0]))
        bends = np.abs(np.diff(yaws)) / np.maximum(
            SHORTEST_LEG_M, lengths[:-1] / 2 + lengths[1:] / 2
        )
        # A sharp corner is taken by a stop and a turn.
        bends = np.where(np.abs(np.diff(yaws)) > self._params.turn_in_place_rad, 0.0, bends)
        return [
            replace(
                waypoint,
                x_m=float(x_m),
                y_m=float(y_m),
                yaw_rad=None,
                tolerance_m=VIA_TOLERANCE_M,
                ellipse=None,
                curve=None,
                max_speed_mps=self._bend_mps(waypoint, float(bend)),
            )
            for (x_m, y_m), bend in zip(line_m[1:-1], bends, strict=True)
        ]

    def _bend_mps(self, waypoint: Waypoint, bend: float) -> float:
        """Return the speed for a bend: slow enough for its force, and not to look across it."""
        most = self._cruise(waypoint)
        if bend <= 0.0:
            return most
        params = self._params
        looked_m = math.sqrt(8.0 * CUT_M / bend)
        return max(
            params.creep_mps,
            min(
                most,
                math.sqrt(params.lateral_acceleration_mps2 / bend),
                self._most_radps(waypoint) / bend,
                looked_m / params.lookahead_s,
            ),
        )

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
        self, pose: Pose2, path: list[Vertex], legs: Sequence[Waypoint]
    ) -> tuple[float, float, float]:
        """Return speed, turn rate and way to the next stop."""
        params, target = self._params, legs[0]
        along = _along_m(pose, path)
        if along <= params.arrival_m and target.yaw_rad is not None and self._stops_after(path, 0):
            error = difference(target.yaw_rad, pose.yaw_rad)
            return 0.0, self._turn(error, self._most_radps(target)), 0.0
        remaining = max(0.0, along) + self._rolling_m(path)
        carrot_x, carrot_y = self._carrot(pose, path, target)
        error = difference(math.atan2(carrot_y - pose.y_m, carrot_x - pose.x_m), pose.yaw_rad)
        self._turning = abs(error) > (
            params.heading_tolerance_rad if self._turning else params.turn_in_place_rad
        )
        if self._turning:
            return 0.0, self._turn(error, self._most_radps(target)), remaining
        chord = math.hypot(carrot_x - pose.x_m, carrot_y - pose.y_m)
        curvature = 2.0 * math.sin(error) / max(chord, SHORTEST_LEG_M)
        speed = min(
            self._speed(target, curvature, remaining),
            self._slowing_mps(max(0.0, along), path, legs),
        )
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
                self._most_radps(target) / bend,
            )
        return speed

    def _slowing_mps(self, along_m: float, path: list[Vertex], legs: Sequence[Waypoint]) -> float:
        """Return the speed from which every leg ahead is entered at its own limit."""
        most, way_m = math.inf, along_m
        for leg, (begin, end) in zip(legs[1:], pairwise(path[1:]), strict=True):
            limit = self._cruise(leg)
            most = min(most, math.sqrt(limit**2 + 2.0 * self._params.deceleration_mps2 * way_m))
            way_m += _distance_m(begin, end)
        return most

    def _cruise(self, target: Waypoint) -> float:
        limit = target.max_speed_mps
        return self._params.speed_mps if limit is None else min(limit, self._params.speed_mps)

    def _most_radps(self, target: Waypoint) -> float:
        limit = target.max_yaw_rate_radps
        most = self._params.yaw_rate_radps
        return most if limit is None else min(limit, most)

    def _turn(self, error_rad: float, most_radps: float) -> float:
        """Return the turn rate that brings a heading error to rest, with a fifth in reserve."""
        params = self._params
        rate = 0.8 * math.sqrt(2.0 * params.yaw_deceleration_radps2 * abs(error_rad))
        return math.copysign(min(most_radps, rate), error_rad)

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
    return target.is_near(pose.x_m, pose.y_m)


def _apart_m(line_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ends of a line and those of its points between that make legs of some length."""
    kept = [line_m[0]]
    for point in line_m[1:-1]:
        if min(math.dist(point, kept[-1]), math.dist(point, line_m[-1])) >= SHORTEST_LEG_M:
            kept.append(point)
    return np.array([*kept, line_m[-1]])
