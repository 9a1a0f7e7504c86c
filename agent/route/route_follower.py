"""Follows a route of the search, run by run: turns on the spot, stretches ahead, stretches back.

A run ahead is a path for :class:`agent.route.follower.PathFollower`; a run back is one for a robot
that looks the other way.
"""

import math
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from agent.geometry.angle import difference, wrap
from agent.geometry.pose import Pose2
from agent.route.follower import FollowerParams, PathFollower, Proposal
from agent.route.path import Waypoint
from agent.route.route_search import Route

SAME_PLACE_M = 1e-6
TURN_STEP_RAD = 2.8  # of a turn on the spot: near half round its sense would be lost
LEAST_TURN_RAD = 0.1  # a smaller one is taken while rolling
BOW_M = 0.01  # by which the straight legs may miss the route
BEND_MPS = 0.4  # at which the robot looks no farther ahead than an arc allows
RUN_UP_M = 1.0  # before a bend, for slowing down
REVERSE_MPS = 0.3
TURN_ASIDE_M = 0.1  # beside the place of a turn it may as well be made
VIA_TOLERANCE_M = 0.25
VIA_TOLERANCE_RAD = 0.05
FACE_ABOUT = Pose2(0.0, 0.0, math.pi)


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of a route in one sense.

    Attributes:
        first: Index of the route's point at which it begins.
        last: Index of the one at which it ends.
        backwards: Whether it is driven backwards.
        turns: Whether it is a turn on the spot.
    """

    first: int
    last: int
    backwards: bool
    turns: bool


class RouteFollower:
    """Where along a route the robot is, and which twist leads on."""

    def __init__(self, params: FollowerParams, route: Route, target: Waypoint, pose: Pose2) -> None:
        """Begin at the start of a route.

        Args:
            params: How it is driven.
            route: The way.
            target: Waypoint at its end; its speed limit holds all the way.
            pose: ``map_from_base``, near the start.
        """
        self._params = params
        self._route = route
        self._target = target
        self._runs = _runs(route)
        self._at = 0
        self._run = -1
        self._left: list[Waypoint] = []
        self._follower = PathFollower(params)
        self._enter(0, 0, pose)

    @property
    def points_left_m(self) -> NDArray[np.float64]:
        """The rest of the route, shape ``(n, 2)``, in the map frame."""
        return self._route.points_m[self._at :]

    def aside_m(self, pose: Pose2) -> float:
        """Return the distance to the rest of the route."""
        left = self.points_left_m
        return float(np.hypot(left[:, 0] - pose.x_m, left[:, 1] - pose.y_m).min())

    def rejoin(self, pose: Pose2) -> None:
        """Go on where the route is nearest, after another has led."""
        left = self.points_left_m
        self._at += int(np.hypot(left[:, 0] - pose.x_m, left[:, 1] - pose.y_m).argmin())
        at = min(self._at, len(self._route.points_m) - 2)
        run = next((k for k, run in enumerate(self._runs) if run.last > at), len(self._runs) - 1)
        self._enter(run, self._at, pose)

    def step(self, pose: Pose2) -> Proposal:
        """Propose a twist for the present pose; the target is reached with the last run."""
        run = self._runs[self._run]
        proposal = self._follower.step(pose @ FACE_ABOUT if run.backwards else pose, self._left)
        del self._left[: len(proposal.reached)]
        self._note_progress(pose, run)
        if self._left:
            sense = -1.0 if run.backwards else 1.0
            return replace(proposal, forward_mps=sense * proposal.forward_mps, reached=())
        if run is self._runs[-1]:
            return replace(proposal, reached=(self._target.sequence_id,))
        self._enter(self._run + 1, self._runs[self._run + 1].first, pose)
        return Proposal(0.0, 0.0, 0.0, ())

    def _note_progress(self, pose: Pose2, run: Run) -> None:
        ahead = self._route.points_m[self._at : run.last + 1]
        if len(ahead):
            self._at += int(np.hypot(ahead[:, 0] - pose.x_m, ahead[:, 1] - pose.y_m).argmin())

    def _enter(self, run: int, first: int, pose: Pose2) -> None:
        """Begin a run at one of its points."""
        self._run, self._at = run, first
        self._follower.reset()
        self._left = self._waypoints(self._runs[run], first, pose)

    def _waypoints(self, run: Run, first: int, pose: Pose2) -> list[Waypoint]:
        place_m = self._route.points_m[run.last]
        here_m = np.array([pose.x_m, pose.y_m])
        if run.turns and math.dist(here_m, place_m) <= TURN_ASIDE_M:
            # It turns where it stands: for the last centimetres it would have to face about.
            waypoints = self._turn(run, here_m)
            is_last = run is self._runs[-1]
            return [*waypoints[:-1], self._at_target(waypoints[-1])] if is_last else waypoints
        if run.turns:
            waypoints = self._turn(run, place_m)
        elif run.last > first:
            waypoints = self._stretch(run, first)
        else:
            waypoints = []
        if run is not self._runs[-1]:
            return waypoints
        target = self._target
        if run.backwards and target.yaw_rad is not None:
            target = replace(target, yaw_rad=wrap(target.yaw_rad + math.pi))
        slow = waypoints[-1].max_speed_mps if waypoints else self._limit_mps(BEND_MPS)
        return [*waypoints[:-1], replace(target, max_speed_mps=slow)]

    def _at_target(self, last: Waypoint) -> Waypoint:
        """Return the last waypoint of a turn with the heading of the target."""
        yaw_rad, tolerance_rad = self._target.yaw_rad, self._target.tolerance_rad
        if yaw_rad is None:
            return last
        return replace(last, yaw_rad=yaw_rad, tolerance_rad=tolerance_rad)

    def _turn(self, run: Run, place_m: NDArray[np.float64]) -> list[Waypoint]:
        """Return headings on the way of a turn on the spot."""
        yaws = self._route.yaws_rad[run.first : run.last + 1]
        turns = np.cumsum([0.0, *(difference(b, a) for a, b in pairwise(yaws.tolist()))])
        count = max(1, math.ceil(abs(turns[-1]) / TURN_STEP_RAD))
        steps = (np.arange(1, count + 1) / count * turns[-1]).tolist()
        return [self._via(place_m, wrap(float(yaws[0]) + turn), BEND_MPS) for turn in steps]

    def _stretch(self, run: Run, first: int) -> list[Waypoint]:
        """Return the corners of a stretch, slowly through its bends."""
        corners = _corners(self._route.points_m[first : run.last + 1])
        gear_mps = REVERSE_MPS if run.backwards else self._params.speed_mps
        waypoints = []
        for k, (begin, end) in enumerate(pairwise(corners)):
            length_m, is_last = math.dist(begin, end), k == len(corners) - 2
            run_up_m = 0.0 if is_last else RUN_UP_M
            if length_m > run_up_m + RUN_UP_M:
                via = begin + (end - begin) * (1.0 - run_up_m / length_m)
                waypoints.append(self._via(via, None, gear_mps))
                if is_last:
                    break
            waypoints.append(self._via(end, None, min(BEND_MPS, gear_mps)))
        return waypoints

    def _via(
        self, place_m: NDArray[np.float64], yaw_rad: float | None, most_mps: float
    ) -> Waypoint:
        x_m, y_m = place_m.tolist()
        limit_mps = self._limit_mps(most_mps)
        return Waypoint(-1, x_m, y_m, yaw_rad, VIA_TOLERANCE_M, VIA_TOLERANCE_RAD, limit_mps)

    def _limit_mps(self, most_mps: float) -> float:
        limit = self._target.max_speed_mps
        return most_mps if limit is None else min(most_mps, limit)


def _runs(route: Route) -> list[Run]:
    """Cut a route into runs; one that leads nowhere is a turn of nothing."""
    ways = np.hypot(*np.diff(route.points_m, axis=0).T)
    kinds = [
        (bool(back) and way > SAME_PLACE_M, way <= SAME_PLACE_M)
        for back, way in zip(route.reversing[1:].tolist(), ways.tolist(), strict=True)
    ]
    runs, first = [], 0
    for (backwards, turns), group in groupby(kinds):
        last = first + len(list(group))
        yaws = route.yaws_rad
        is_small = turns and abs(difference(float(yaws[last]), float(yaws[first]))) < LEAST_TURN_RAD
        if not is_small:
            runs.append(Run(first, last, backwards, turns))
        first = last
    return runs or [Run(0, len(ways), False, True)]


def _corners(points_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the points of a line that are needed so that no other is farther than a bow from it.

    Douglas and Peucker, "Algorithms for the reduction of the number of points required to represent
    a digitized line", Cartographica 10 (1973).
    """
    kept, stack = {0, len(points_m) - 1}, [(0, len(points_m) - 1)]
    while stack:
        first, last = stack.pop()
        if last - first < 2:
            continue
        begin, way = points_m[first], points_m[last] - points_m[first]
        away = points_m[first + 1 : last] - begin
        length = math.hypot(*way)
        if length > 0.0:
            bow = np.abs(way[0] * away[:, 1] - way[1] * away[:, 0]) / length
        else:
            bow = np.hypot(away[:, 0], away[:, 1])
        k = int(bow.argmax())
        if bow[k] > BOW_M:
            middle = first + 1 + k
            kept.add(middle)
            stack += [(first, middle), (middle, last)]
    return points_m[sorted(kept)]
