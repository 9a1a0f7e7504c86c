"""Which legs of an order lead straight over the map, and routes for those that do not."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from agent.errors import RouteNotFound
from agent.geometry.points import moved
from agent.geometry.pose import Pose2
from agent.route.path import Goal, Waypoint
from agent.route.route_map import Band, RouteMap
from agent.route.route_search import NO_POINTS, Route, RouteSearch
from agent.route.work import Task

ON_MAP_M = 0.15  # what is seen so near to something of the map is that
NEARBY_M = 10.0  # farther off it is too uncertain where something stands that the lidars see
BAND_SLACK_M = 0.05  # of the cells of a map


class Wayfinder:
    """Looks at the map for whoever drives."""

    def __init__(self, search: RouteSearch, maps: Mapping[str, RouteMap], map_id: str) -> None:
        """Begin on a map.

        Args:
            search: Made for the robot.
            maps: All that the robot has, by their id.
            map_id: Where it is.
        """
        self._search = search
        self._maps = maps
        self._map = maps[map_id]
        self._task: Task[Route] | None = None

    @property
    def searching(self) -> bool:
        """Whether a search is under way."""
        return self._task is not None

    def take_shape(self, footprint: NDArray[np.float64]) -> None:
        """Look for ways for another footprint, ``(corners, 2)``, as with a load on board."""
        self.give_up()
        self._search.take_shape(footprint)

    def enter(self, map_id: str) -> None:
        """Go on on another map."""
        self._map = self._maps[map_id]
        self.give_up()

    def give_up(self) -> None:
        """End the search that is under way, if any."""
        self._task = None

    def is_line_free(self, start: Pose2, target: Waypoint) -> bool:
        """Return whether the robot gets straight to a waypoint, as far as the map knows.

        It turns on the spot, goes straight and turns to the heading that is asked for, with the
        clearance that routes have.

        Args:
            start: ``map_from_base`` at the beginning.
            target: The waypoint.
        """
        try:
            return self._search.is_line_free(self._map, start, _goal(target))
        except RouteNotFound:
            return False

    def unmapped(self, points_m: NDArray[np.float64], map_from_base: Pose2) -> NDArray[np.float64]:
        """Return those of some points that are near and belong to nothing on the map.

        Args:
            points_m: Shape ``(k, 2)``, in the base frame.
            map_from_base: Where the robot is.

        Returns:
            Shape ``(n, 2)``, in the map frame.
        """
        near = points_m[np.hypot(points_m[:, 0], points_m[:, 1]) <= NEARBY_M]
        cells = moved(self._map.grid_from_map @ map_from_base, near) / self._map.resolution_m
        distance_m = self._map.ground.distance_m
        at = np.floor(cells[:, ::-1]).astype(np.int64)
        inside = (at >= 0).all(axis=1) & (at < distance_m.shape).all(axis=1)
        at, near = at[inside], near[inside]
        return moved(map_from_base, near[distance_m[at[:, 0], at[:, 1]] > ON_MAP_M])

    def begin(
        self,
        start: Pose2,
        target: Waypoint,
        edge_from_m: NDArray[np.float64],
        blocked_m: NDArray[np.float64] = NO_POINTS,
    ) -> None:
        """Begin to search for a route.

        Args:
            start: ``map_from_base`` now.
            target: Waypoint at its end; if the edge to it has a corridor it is not left.
            edge_from_m: Shape ``(2,)``, where that edge begins.
            blocked_m: Shape ``(k, 2)``, what stands in the way besides, in the map frame.
        """
        corridor = None
        if target.corridor is not None:
            line_m = np.array([edge_from_m, (target.x_m, target.y_m)])
            left_m = target.corridor.left_m + BAND_SLACK_M
            right_m = target.corridor.right_m + BAND_SLACK_M
            corridor = Band(line_m, left_m, right_m)
        self._task = self._search.begin(self._map, start, _goal(target), blocked_m, corridor)

    def advance(self) -> Route | None:
        """Do a slice of the search.

        Returns:
            The route, None while there is none yet.

        Raises:
            RouteNotFound: There is none.
            ValueError: No search is under way.
        """
        if self._task is None:
            raise ValueError("no search is under way")
        try:
            route = self._task.advance()
        except RouteNotFound:
            self._task = None
            raise
        if route is not None:
            self._task = None
        return route


def _goal(target: Waypoint) -> Goal:
    return Goal(target.x_m, target.y_m, target.yaw_rad)
