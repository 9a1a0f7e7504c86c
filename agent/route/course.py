"""How the robot gets from waypoint to waypoint: as ordered where the map is free, else on a route.

An edge with a trajectory is a curve, one without a straight line (VDA 5050 2.1, section 6.6.5), and
industrial robots keep to it. Where the map says that the robot does not get through on the line, or
where it starts beside it, a route over the map takes the line's place. Routes are searched while
the robot stands, a slice of the work per step.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from agent.errors import RouteNotFound
from agent.geometry.pose import Pose2
from agent.route.follower import FollowerParams, PathFollower, Proposal
from agent.route.path import Waypoint
from agent.route.route_follower import RouteFollower
from agent.route.route_search import NO_POINTS
from agent.route.wayfinder import Wayfinder

CURVE_STEP_M = 0.25  # from one look at the map to the next along a curve


class Course:
    """Leads along the waypoints of an order."""

    def __init__(self, params: FollowerParams, wayfinder: Wayfinder) -> None:
        """Begin without a waypoint.

        Args:
            params: How lines and routes are driven.
            wayfinder: Knows the map.
        """
        self._params = params
        self._wayfinder = wayfinder
        self._follower = PathFollower(params)
        self._here: Pose2 | None = None
        self._target: Waypoint | None = None
        self._ahead: Sequence[Waypoint] = ()
        self._edge_from_m: NDArray[np.float64] | None = None
        self._route: RouteFollower | None = None
        self._has_way = False
        self._free: dict[tuple[int, int], bool] = {}
        self._blocked_m = NO_POINTS
        self.obstruction: str | None = None
        self.no_way_around = False

    @property
    def speed_mps(self) -> float:
        """Speed on a straight way without a limit of its own."""
        return self._follower.speed_mps

    @property
    def searching(self) -> bool:
        """Whether a route is being searched."""
        return self._wayfinder.searching

    @property
    def on_route(self) -> bool:
        """Whether the way is a route over the map, and not the line of the edge."""
        return self._route is not None

    @property
    def ahead(self) -> Sequence[Waypoint]:
        """The waypoints to which the way is known: those of free lines, or the end of the route."""
        return self._ahead

    @property
    def edge_from_m(self) -> NDArray[np.float64]:
        """Where the edge to the next waypoint begins, shape ``(2,)``."""
        return np.zeros(2) if self._edge_from_m is None else self._edge_from_m

    def reset(self) -> None:
        """Take the way from the present pose, as after a new order or a new pose."""
        self._target = self._edge_from_m = None
        self._free.clear()
        self._forget_way()

    def take_shape(self, footprint: NDArray[np.float64]) -> None:
        """Lead another footprint, ``(corners, 2)``, as with a load on board, by a new way."""
        self._wayfinder.take_shape(footprint)
        self._target = None
        self._free.clear()
        self._forget_way()

    def enter(self, map_id: str) -> None:
        """Go on on another map."""
        self._wayfinder.enter(map_id)
        self.reset()

    def interrupt(self) -> None:
        """Give up a search, as the robot may be moved meanwhile; it begins anew."""
        if self._wayfinder.searching:
            self._target = None
            self._forget_way()

    def step(self, pose: Pose2, waypoints: Sequence[Waypoint]) -> Proposal | None:
        """Propose a twist for the present pose.

        Args:
            pose: ``map_from_base``.
            waypoints: All that are still to be reached, next one first; one or more.

        Returns:
            The proposal; None while a route is searched, or where there is none.
        """
        self._here = pose
        if self._target is None or self._target.sequence_id != waypoints[0].sequence_id:
            self._set_out(pose, waypoints[0])
        if self._wayfinder.searching:
            self._search_on(pose, waypoints[0])
        if self._wayfinder.searching or not self._has_way:
            return None
        if self._route is not None:
            self._ahead = waypoints[:1]
            proposal = self._route.step(pose)
        else:
            self._ahead = self._straight(waypoints)
            proposal = self._follower.step(pose, self._ahead)
        if proposal.reached:
            self._pass(len(proposal.reached))
        return proposal

    def arrive(self) -> Proposal:
        """Count the next waypoint as reached, as the robot gets no nearer."""
        reached = self._ahead[0].sequence_id
        self._pass(1)
        return Proposal(0.0, 0.0, 0.0, (reached,))

    def search(self, pose: Pose2, seen_m: NDArray[np.float64]) -> None:
        """Look for another way to the next waypoint; the one at hand is kept if there is none.

        Args:
            pose: ``map_from_base``.
            seen_m: Shape ``(k, 2)``, what the lidars see, in the base frame. What stood in the way
                before on the same edge is still reckoned with, unless nothing was found then.
        """
        if self._target is None:
            return
        if self.no_way_around:
            self._blocked_m = NO_POINTS
        unmapped_m = self._wayfinder.unmapped(seen_m, pose)
        self._blocked_m = np.concatenate((self._blocked_m, unmapped_m))
        self._wayfinder.begin(pose, self._target, self.edge_from_m, self._blocked_m)

    def rejoin(self, pose: Pose2) -> None:
        """Take up the route where it is nearest, after the planner has led."""
        if self._route is not None:
            self._route.rejoin(pose)

    def aside_m(self, pose: Pose2) -> float:
        """Return how far beside the way a pose is."""
        if self._route is not None:
            return self._route.aside_m(pose)
        if self._target is None:
            return 0.0
        if self._target.line_m is not None:
            return off_line_m(pose, self._target.line_m)
        begin = self.edge_from_m
        way = np.array([self._target.x_m, self._target.y_m]) - begin
        offset = np.array([pose.x_m, pose.y_m]) - begin
        return float(abs(way[0] * offset[1] - way[1] * offset[0])) / max(1e-6, math.hypot(*way))

    @property
    def way_m(self) -> NDArray[np.float64]:
        """The rest of the way as far as it is known, shape ``(n, 2)``, in the map frame."""
        if self._route is not None:
            return self._route.points_left_m
        way_m = ways_m(self.edge_from_m, self._ahead)
        if self._here is None or not self._ahead or self._ahead[0].line_m is None:
            return way_m
        return way_m[_nearest(self._here, self._ahead[0].line_m) :]

    def _forget_way(self) -> None:
        self._wayfinder.give_up()
        self._follower.reset()
        self._route = None
        self._ahead = ()
        self._has_way = False
        self._blocked_m = NO_POINTS
        self.obstruction, self.no_way_around = None, False

    def _set_out(self, pose: Pose2, target: Waypoint) -> None:
        """Begin a leg from where the robot is."""
        self._forget_way()
        self._target = target
        if self._edge_from_m is None:
            self._edge_from_m = np.array([pose.x_m, pose.y_m])
        if _is_at(pose, target) or self._is_free(pose, target):
            self._has_way = True
        else:
            self._wayfinder.begin(pose, target, self.edge_from_m)

    def _search_on(self, pose: Pose2, target: Waypoint) -> None:
        try:
            route = self._wayfinder.advance()
        except RouteNotFound as error:
            self.no_way_around = self._has_way
            self.obstruction = None if self._has_way else error.obstruction
            return
        if route is not None:
            self._route = RouteFollower(self._params, route, target, pose)
            self._has_way, self.obstruction, self.no_way_around = True, None, False

    def _straight(self, waypoints: Sequence[Waypoint]) -> Sequence[Waypoint]:
        """Return the waypoints that free lines lead to; one more line is looked at in each step."""
        count, looked = 1, False
        before_m = tuple(self.edge_from_m)
        for begin, end in pairwise(waypoints):
            free = self._free.get((begin.sequence_id, end.sequence_id))
            if free is None:
                if looked:
                    break
                yaw_rad = math.atan2(begin.y_m - before_m[1], begin.x_m - before_m[0])
                yaw_rad = yaw_rad if begin.yaw_rad is None else begin.yaw_rad
                free = self._is_free(Pose2(begin.x_m, begin.y_m, yaw_rad), end)
                self._free[begin.sequence_id, end.sequence_id] = free
                looked = True
            if not free:
                break
            before_m, count = (begin.x_m, begin.y_m), count + 1
        return waypoints[:count]

    def _is_free(self, start: Pose2, target: Waypoint) -> bool:
        """Whether the map leaves the way to a waypoint free: its line, or all of its curve."""
        if target.line_m is None:
            return self._wayfinder.is_line_free(start, target)
        ahead_m = target.line_m[_nearest(start, target.line_m) + 1 :]
        for x_m, y_m in thinned(ahead_m, CURVE_STEP_M):
            via = replace(target, x_m=float(x_m), y_m=float(y_m), yaw_rad=None)
            if not self._wayfinder.is_line_free(start, via):
                return False
            yaw_rad = math.atan2(via.y_m - start.y_m, via.x_m - start.x_m)
            start = Pose2(via.x_m, via.y_m, yaw_rad)
        return self._wayfinder.is_line_free(start, target)

    def _pass(self, count: int) -> None:
        """Go on from a waypoint: on the next free line, or from where the robot comes to rest."""
        passed, left = self._ahead[count - 1], self._ahead[count:]
        self._edge_from_m = np.array([passed.x_m, passed.y_m])
        self._blocked_m, self.no_way_around = NO_POINTS, False
        self._target, self._ahead = (left[0], left) if left else (None, ())


def _is_at(pose: Pose2, target: Waypoint) -> bool:
    """Whether only the heading is missing, which is for the robot to find out by turning."""
    return math.dist((pose.x_m, pose.y_m), (target.x_m, target.y_m)) <= target.tolerance_m


def ways_m(begin_m: NDArray[np.float64], waypoints: Sequence[Waypoint]) -> NDArray[np.float64]:
    """Return the lines and curves along waypoints as one line, shape ``(n, 2)``."""
    points = [np.empty((0, 2))]
    for waypoint in waypoints:
        way_m = waypoint.way_m(begin_m)
        # Each begins where the last one ended.
        points.append(way_m[1:] if waypoint.curve is None and len(points) > 1 else way_m)
        begin_m = np.array([waypoint.x_m, waypoint.y_m])
    return np.concatenate(points)


def thinned(line_m: NDArray[np.float64], step_m: float) -> NDArray[np.float64]:
    """Return points of a line that are a step or more apart, shape ``(n, 2)``."""
    along = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(line_m, axis=0).T))))[: len(line_m)]
    _, first = np.unique(np.floor(along / step_m), return_index=True)
    return line_m[first]


def _nearest(pose: Pose2, line_m: NDArray[np.float64]) -> int:
    return int(np.hypot(line_m[:, 0] - pose.x_m, line_m[:, 1] - pose.y_m).argmin())


def off_line_m(pose: Pose2, line_m: NDArray[np.float64]) -> float:
    """Return the distance from a line of pieces."""
    begin, way = line_m[:-1], np.diff(line_m, axis=0)
    off = np.array([pose.x_m, pose.y_m]) - begin
    square = np.maximum(np.einsum("ij,ij->i", way, way), 1e-12)
    share = np.clip(np.einsum("ij,ij->i", off, way) / square, 0.0, 1.0)
    return float(np.hypot(*(off - share[:, None] * way).T).min())
