"""The way over the map where an order leaves it to the robot.

A route is looked for in steps, each of which checks the footprint swept along every move:

1. a direct connection: turn, go straight, turn; slide; or a curve of Reeds and Shepp;
2. for robots that turn on the spot, the cheapest way of a point over the grid (Dijkstra), pulled
   straight, with arcs in the corners;
3. where the footprint does not get through on that way, hybrid A* over positions and headings on
   a stretch of a few metres; if it fails there too, the place is closed and 2 tried again;
4. hybrid A* all the way, and always for a car; then shortened by direct connections.

The first two take milliseconds and are enough in nearly every hall. Hybrid A* instead of a lattice,
because start and goal are poses of docks and doors that lie on no lattice.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from agent.errors import ConfigError, RouteNotFound
from agent.geometry.angle import wrap
from agent.geometry.points import moved
from agent.geometry.pose import Pose2
from agent.kernels import route as kernels
from agent.kernels.route import Body, Terms, Tree
from agent.route.guide import Guide
from agent.route.hull import circumscribed_m, convex_hull, inflated, inscribed_m
from agent.route.legs import (
    Problem,
    Triple,
    densified,
    holding_heading,
    looking_ahead,
    merged,
    rounded,
    shortened,
)
from agent.route.path import Goal
from agent.route.route_map import Band, RouteMap
from agent.route.work import Task, Work

STRIDE_M = 0.2  # of the moves of hybrid A*; farther than the diagonal of a state
STATE_M = 0.1
FINE_STRIDE_M, FINE_STATE_M = 0.1, 0.05  # where a stretch has to be threaded
FINE_NODES = 24_000
THREAD_M = 1.5  # way before and after the place where the footprint does not get through
PIECE_M = 0.1  # in which that place is looked for
DETOURS = 6  # places that are closed before all is searched
SPACING_RAD = 0.1
SLICE_HEADINGS = 16  # that are tried at a narrow place, in a slice of work
SLICE_EXPANSIONS = 100  # of hybrid A*, in a slice of work
NO_POINTS = np.empty((0, 2))
NEAR_CELLS = sorted(
    ((row / 2, column / 2) for row in range(-2, 3) for column in range(-2, 3)),
    key=lambda cell: math.hypot(*cell),
)


class Obstruction(StrEnum):
    """Why there is no route."""

    START_OFF_MAP = "the start lies outside the map"
    GOAL_OFF_MAP = "the goal lies outside the map"
    START_BLOCKED = "something stands where the robot is"
    GOAL_BLOCKED = "the robot does not fit at the goal"
    OUTSIDE_CORRIDOR = "start or goal lies outside the corridor"
    CORRIDOR_TOO_NARROW = "there is a way, but none inside the corridor"
    NO_WAY = "there is no way that the robot fits through"
    GAVE_UP = "the search took too long"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSearchParams:
    """What a good route is.

    Attributes:
        needed_clearance_m: Room around the footprint without which there is no way.
        wanted_clearance_m: Room beside it from which on more is no better.
        narrowness_cost: What a metre costs more where there is just the room that is needed.
        turn_cost_m: What a radian on the spot costs, in metres.
        reverse_cost: What a metre backwards costs.
        sideways_cost: What a metre sideways costs.
        bend_radius_m: Largest radius that is given to a corner.
        docking_m: How near to start and goal the robot may come closer to things than the needed
            clearance, if it could not stand there otherwise.
        detour_m: How far beyond the box around start and goal to search.
        spacing_m: From one point of the route to the next.
        most_nodes: Of hybrid A*, which bounds time (some microseconds each) and memory.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    needed_clearance_m: Annotated[float, Ge(0.01), Le(1)] = 0.05
    wanted_clearance_m: Annotated[float, Gt(0), Le(3)] = 0.4
    narrowness_cost: Annotated[float, Ge(0), Le(20)] = 2.0
    turn_cost_m: Annotated[float, Ge(0), Le(10)] = 0.3
    reverse_cost: Annotated[float, Ge(1), Le(100)] = 2.0
    sideways_cost: Annotated[float, Ge(1), Le(100)] = 1.5
    bend_radius_m: Annotated[float, Gt(0.05), Le(5)] = 0.8
    docking_m: Annotated[float, Ge(0), Le(5)] = 1.0
    detour_m: Annotated[float, Gt(0)] = 40.0
    spacing_m: Annotated[float, Gt(0), Le(0.5)] = 0.05
    most_nodes: Annotated[int, Ge(1024), Le(4_000_000)] = 120_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Mobility:
    """Which moves a base can make.

    Attributes:
        turning_radius_m: Least radius of a car-like base, 0 where it turns on the spot.
        sideways: Whether it moves in any direction.
        backwards: Whether it may reverse.
    """

    turning_radius_m: float = 0.0
    sideways: bool = False
    backwards: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """A way that the footprint fits through, in the map frame.

    A turn on the spot is several poses at one place.

    Attributes:
        points_m: Shape ``(n, 2)``, where the base goes, from start to goal.
        yaws_rad: Shape ``(n,)``, its heading there.
        reversing: Shape ``(n,)``, whether it gets there backwards.
        length_m: Of the way.
        min_clearance_m: How near the footprint comes to anything, right to about a cell.
    """

    points_m: NDArray[np.float64]
    yaws_rad: NDArray[np.float64]
    reversing: NDArray[np.bool_]
    length_m: float
    min_clearance_m: float


class RouteSearch:
    """Finds routes for one robot. It holds the workspace of the search: one search at a time."""

    def __init__(
        self, params: RouteSearchParams, footprint: NDArray[np.float64], mobility: Mobility
    ) -> None:
        """Prepare the search.

        Args:
            params: What a good route is.
            footprint: Shape ``(corners, 2)``, in the base frame. A concave one is taken as its
                convex hull.
            mobility: Which moves the base can make.

        Raises:
            ConfigError: The footprint covers no area, or the turning radius is no length.
        """
        radius_m = mobility.turning_radius_m
        if not (math.isfinite(radius_m) and radius_m >= 0.0):
            raise ConfigError(f"the turning radius must be 0 or more, not {radius_m}")
        self._params = params
        self._mobility = mobility
        self._thread_m = THREAD_M if radius_m == 0.0 else max(THREAD_M, 1.5 * radius_m)
        self._tree = _tree(max(params.most_nodes, FINE_NODES))
        self.take_shape(footprint)

    def take_shape(self, footprint: NDArray[np.float64]) -> None:
        """Find ways for another footprint from now on, as with a load on board.

        A search that was begun before must not be gone on with.

        Args:
            footprint: Shape ``(corners, 2)``, in the base frame.

        Raises:
            ConfigError: The footprint covers no area.
        """
        params, mobility = self._params, self._mobility
        radius_m = mobility.turning_radius_m
        self._footprint = convex_hull(footprint)
        # Between two looks a point of the footprint is never farther off than half a step.
        least_m = 0.5 * kernels.SWEEP_STEP_M
        self._bare_hull = inflated(self._footprint, least_m)
        self._hull = inflated(self._footprint, max(params.needed_clearance_m, least_m))
        closed_m = inscribed_m(self._hull)
        wanted_m = inscribed_m(self._footprint) + params.wanted_clearance_m
        self._terms = Terms(
            closed_m=closed_m,
            wide_m=max(wanted_m, closed_m + 0.01),
            aversion=params.narrowness_cost,
            turn_m=params.turn_cost_m,
            reverse=params.reverse_cost if mobility.backwards else math.inf,
            sideways=params.sideways_cost,
            radius_m=float(radius_m) if radius_m > 0.0 else params.bend_radius_m,
            pivots=radius_m == 0.0,
            slides=mobility.sideways,
        )

    def find(
        self,
        route_map: RouteMap,
        start: Pose2,
        goal: Goal,
        blocked_m: NDArray[np.float64] = NO_POINTS,
        corridor: Band | None = None,
    ) -> Route:
        """Find a route at once; see :meth:`begin`."""
        return self.begin(route_map, start, goal, blocked_m, corridor).finish()

    def begin(
        self,
        route_map: RouteMap,
        start: Pose2,
        goal: Goal,
        blocked_m: NDArray[np.float64] = NO_POINTS,
        corridor: Band | None = None,
    ) -> Task[Route]:
        """Begin to look for a route; one that was begun before must not be gone on with.

        Args:
            route_map: The map.
            start: ``map_from_base`` now.
            goal: Where to come to rest.
            blocked_m: Shape ``(k, 2)``, what stands in the way besides, in the map frame; the cell
                of each point counts as occupied.
            corridor: Band that must not be left.

        Returns:
            The task; advancing it raises :class:`RouteNotFound`, which says why, where there is no
            route.
        """
        return Task(self._found(route_map, start, goal, blocked_m, corridor))

    def is_line_free(self, route_map: RouteMap, start: Pose2, goal: Goal) -> bool:
        """Return whether a robot that turns on the spot gets to a goal by going straight.

        Args:
            route_map: The map.
            start: ``map_from_base`` now.
            goal: Where to come to rest.

        Raises:
            RouteNotFound: The robot can never stand at the start or at the goal.
        """
        problem = self._problem(route_map, route_map, start, goal)
        here, there = problem.start, problem.goal
        way_m = math.dist(here[:2], there[:2])
        bearing = math.atan2(there[1] - here[1], there[0] - here[0]) if way_m > 1e-9 else here[2]
        last = 0.0 if math.isnan(there[2]) else wrap(there[2] - bearing)
        turn = wrap(bearing - here[2])
        moves = np.array([[0.0, 0.0, turn], [way_m, 0.0, 0.0], [0.0, 0.0, last]])
        return problem.cost(here, moves) < math.inf

    def _found(
        self,
        route_map: RouteMap,
        start: Pose2,
        goal: Goal,
        blocked_m: NDArray[np.float64],
        corridor: Band | None,
    ) -> Work[Route]:
        reach_m = circumscribed_m(self._hull)
        limit_m = max(self._terms.wide_m, reach_m) + 0.5
        open_map = yield from route_map.with_points(blocked_m, limit_m)
        allowed_map = open_map
        if corridor is not None:
            allowed_map = yield from open_map.within(corridor, reach_m)
        problem = self._problem(allowed_map, open_map, start, goal)
        try:
            moves = yield from self._moves(problem, allowed_map)
        except RouteNotFound as error:
            if corridor is None or error.obstruction is not Obstruction.NO_WAY:
                raise
            open_problem = self._problem(open_map, open_map, start, goal)
            open_guide = yield from self._guide(open_problem, open_map)
            if open_guide.reaches(open_problem.start):
                raise RouteNotFound(Obstruction.CORRIDOR_TOO_NARROW) from error
            raise
        return self._route(allowed_map, problem, moves)

    def _problem(
        self, allowed_map: RouteMap, open_map: RouteMap, start: Pose2, goal: Goal
    ) -> Problem:
        """Put the problem in the frame of the cells.

        Raises:
            RouteNotFound: The robot can never stand at the start or at the goal.
        """
        if not _is_finite(start.x_m, start.y_m, start.yaw_rad):
            raise RouteNotFound(Obstruction.START_OFF_MAP)
        if not _is_finite(goal.x_m, goal.y_m, goal.yaw_rad or 0.0):
            raise RouteNotFound(Obstruction.GOAL_OFF_MAP)
        here = allowed_map.grid_from_map @ start
        there = allowed_map.grid_from_map @ Pose2(goal.x_m, goal.y_m, goal.yaw_rad or 0.0)
        begin = (here.x_m, here.y_m, here.yaw_rad)
        end = (there.x_m, there.y_m, math.nan if goal.yaw_rad is None else there.yaw_rad)
        if not open_map.contains(*_carried(begin, allowed_map, open_map)[:2]):
            raise RouteNotFound(Obstruction.START_OFF_MAP)
        if not open_map.contains(*_carried(end, allowed_map, open_map)[:2]):
            raise RouteNotFound(Obstruction.GOAL_OFF_MAP)
        docks = []
        places: list[Triple] = []
        for place, blocked in (
            (begin, Obstruction.START_BLOCKED),
            (end, Obstruction.GOAL_BLOCKED),
        ):
            if self._stands(place, allowed_map, self._hull):
                places.append(place)
                continue
            near = self._near(place, allowed_map)
            if near is None:
                carried = _carried(place, allowed_map, open_map)
                outside = self._stands(carried, open_map, self._bare_hull)
                raise RouteNotFound(Obstruction.OUTSIDE_CORRIDOR if outside else blocked)
            places.append(near)
            docks.append((*near[:2], self._params.docking_m))
        begin, end = places
        body = Body(
            self._hull,
            self._bare_hull,
            inscribed_m(self._bare_hull),
            circumscribed_m(self._hull),
            np.array(docks, np.float64).reshape(-1, 3),
        )
        return Problem(begin, end, allowed_map.ground, body, self._terms)

    def _near(self, place: Triple, route_map: RouteMap) -> Triple | None:
        """Return a place no farther than a cell where the bare footprint fits, the nearest one.

        Whoever stands at a dock overlaps what the map has there by what pose and cells are rough.
        """
        x_m, y_m, yaw_rad = place
        for row, column in NEAR_CELLS:
            shift_x_m, shift_y_m = column * route_map.resolution_m, row * route_map.resolution_m
            near = (x_m + shift_x_m, y_m + shift_y_m, yaw_rad)
            if self._stands(near, route_map, self._bare_hull):
                return near
        return None

    def _stands(self, place: Triple, route_map: RouteMap, hull: NDArray[np.float64]) -> bool:
        """Return whether a footprint fits at a place, at any heading where none is given."""
        x_m, y_m, yaw_rad = place
        ground = route_map.ground
        if kernels.clearance_m(x_m, y_m, ground) < 0.0:
            return False
        if not math.isnan(yaw_rad):
            return not kernels.touches(x_m, y_m, yaw_rad, hull, ground)
        yaws = math.tau / kernels.HEADINGS * np.arange(kernels.HEADINGS)
        return not all(kernels.touches(x_m, y_m, float(yaw), hull, ground) for yaw in yaws)

    def _guide(self, problem: Problem, route_map: RouteMap) -> Work[Guide]:
        return (
            yield from Guide.work_out(
                problem, route_map.widest_m, route_map.coarse_m, self._params.detour_m
            )
        )

    def _moves(self, problem: Problem, route_map: RouteMap) -> Work[NDArray[np.float64]]:
        """Return the moves of a route.

        Raises:
            RouteNotFound: There is none.
        """
        best = problem.connection(problem.start, problem.goal)
        yield 1.0
        least = math.inf if best is None else problem.cost(problem.start, best)
        if best is not None and least <= 1.01 * math.dist(problem.start[:2], problem.goal[:2]):
            return best
        guide = yield from self._guide(problem, route_map)
        if not guide.reaches(problem.start):
            if best is not None:
                return best
            raise RouteNotFound(Obstruction.NO_WAY)
        for moves in (yield from self._guided(problem, guide)):
            cost = problem.cost(problem.start, moves, least)
            if cost < least:
                best, least = moves, cost
        if best is not None:
            return best
        stride_m = max(STRIDE_M, 0.0 if problem.terms.pivots else 0.15 * problem.terms.radius_m)
        most = self._params.most_nodes
        moves = yield from self._searched(problem, guide, stride_m, STATE_M, most)
        return (yield from shortened(problem, moves))

    def _guided(self, problem: Problem, guide: Guide) -> Work[list[NDArray[np.float64]]]:
        """Return ways along the guide: the heading kept, and looking ahead, threaded if need be."""
        ways = []
        if problem.terms.slides:
            ways.append((yield from holding_heading(problem, guide.way_m(problem))))
        for _ in range(DETOURS):
            moves, gap = yield from self._threaded(problem, guide)
            if gap is None:
                return [*ways, moves]
            guide = yield from guide.around(
                gap, problem.terms.closed_m, problem, self._params.detour_m
            )
            if not guide.reaches(problem.start):
                break
        return ways

    def _threaded(
        self, problem: Problem, guide: Guide
    ) -> Work[tuple[NDArray[np.float64], Triple | None]]:
        """Return the way along the guide, and where the footprint does not get through, if so.

        Where the way of straight legs touches something, the stretch around that place is searched
        for moves that do not.
        """
        moves = yield from looking_ahead(problem, guide.way_m(problem))
        pieces = np.empty((kernels.split(moves, PIECE_M, moves[:0]), 3))
        kernels.split(moves, PIECE_M, pieces)
        count = len(pieces)
        poses, clear = np.empty((count + 1, 3)), np.empty(count, np.bool_)
        kernels.passable(
            problem.start, pieces, problem.ground, problem.body, problem.terms, poses, clear
        )
        yield 1.0
        if clear.all():
            return moves, None
        reach = round(self._thread_m / PIECE_M)
        # A clear pose in a slot between two bad places is one to aim at; if that is not to be had,
        # both are threaded at once.
        close, far = (_stretches(~clear, apart, reach) for apart in (reach // 4, 2 * reach))
        for _, bad, _ in close:
            place = _triple(poses[bad][kernels.narrowest(poses[bad], problem.ground)])
            if not (yield from _fits_near(problem, place)):
                return moves, place
        gap = close[0][1].start
        for stretches in (close, far) if close != far else (close,):
            parts, done = [], 0
            for begin, bad, end in stretches:
                goal = problem.goal if end == count else _triple(poses[end])
                stretch = problem._replace(start=_triple(poses[begin]), goal=goal)
                found = yield from self._thread(stretch, guide)
                if found is None:
                    gap = (bad.start + bad.stop) // 2
                    break
                parts += [pieces[done:begin], (yield from shortened(stretch, found))]
                done = end
            else:
                parts.append(pieces[done:])
                joined = merged(np.concatenate(parts))
                return (yield from rounded(problem, joined)), None
        return moves, _triple(poses[gap])

    def _thread(self, stretch: Problem, guide: Guide) -> Work[NDArray[np.float64] | None]:
        """Return moves through a narrow stretch, None where none are found soon."""
        near = yield from guide.nearby(stretch, self._thread_m)
        fine = (FINE_STRIDE_M, FINE_STATE_M, FINE_NODES)
        try:
            return (yield from self._searched(stretch, near, *fine))
        except RouteNotFound:
            return None

    def _searched(
        self, problem: Problem, guide: Guide, stride_m: float, state_m: float, most_nodes: int
    ) -> Work[NDArray[np.float64]]:
        """Return what hybrid A* finds.

        Raises:
            RouteNotFound: Nothing, or not in time.
        """
        moves = np.empty((most_nodes, 3))
        primitives = _primitives(problem.terms, stride_m)
        kernels.plant(problem.start, state_m, self._tree)
        while True:
            count = kernels.search(
                problem.goal, problem.ground, problem.body, problem.terms, primitives,
                guide.to_go, guide.cell_m, state_m, most_nodes, SLICE_EXPANSIONS, self._tree, moves,
            )  # fmt: skip
            if count != kernels.GOES_ON:
                break
            yield 1.0
        if count <= 0:
            raise RouteNotFound(Obstruction.NO_WAY if count == 0 else Obstruction.GAVE_UP)
        return moves[:count]

    def _route(self, route_map: RouteMap, problem: Problem, moves: NDArray[np.float64]) -> Route:
        spacing = (self._params.spacing_m, SPACING_RAD)
        none = np.empty((0, 3)), np.empty(0, np.bool_)
        count = kernels.follow(problem.start, moves, *spacing, *none)
        poses, reversing = np.empty((count, 3)), np.empty(count, np.bool_)
        kernels.follow(problem.start, moves, *spacing, poses, reversing)
        outline = np.vstack([self._footprint, self._footprint[:1]])
        outline_m = densified(outline, route_map.resolution_m)
        map_from_grid = route_map.grid_from_map.inverse()
        points_m = moved(map_from_grid, poses[:, :2])
        yaws_rad = np.array([wrap(yaw + map_from_grid.yaw_rad) for yaw in poses[:, 2].tolist()])
        for array in (points_m, yaws_rad, reversing):
            array.setflags(write=False)
        return Route(
            points_m,
            yaws_rad,
            reversing,
            float(np.hypot(moves[:, 0], moves[:, 1]).sum()),
            float(kernels.least_clearance_m(poses, outline_m, route_map.ground)),
        )


def _tree(nodes: int) -> Tree:
    return Tree(
        poses=np.empty((nodes, 3)),
        moves=np.empty((nodes, 3)),
        costs=np.empty(nodes),
        states=np.empty(nodes, np.int64),
        parents=np.empty(nodes, np.int32),
        heap_keys=np.empty(nodes),
        heap_nodes=np.empty(nodes, np.int32),
        table=np.empty(1 << (2 * nodes - 1).bit_length(), np.int32),
        counts=np.zeros(6, np.int64),
        best=np.empty(1),
        curve=np.empty((kernels.MOST_CURVES, 3)),
    )


def _carried(place: Triple, part: RouteMap, whole: RouteMap) -> Triple:
    """Return the place on the whole map of one on a part of it."""
    whole_from_part = whole.grid_from_map @ part.grid_from_map.inverse()
    there = whole_from_part @ Pose2(*place[:2], 0.0)
    return there.x_m, there.y_m, place[2] + whole_from_part.yaw_rad


def _is_finite(*values: float) -> bool:
    return all(map(math.isfinite, values))


def _triple(pose: NDArray[np.float64]) -> Triple:
    return float(pose[0]), float(pose[1]), float(pose[2])


def _fits_near(problem: Problem, place: Triple) -> Work[bool]:
    """Return whether the robot fits near a place at any heading."""
    for first in range(0, kernels.FINE_HEADINGS, SLICE_HEADINGS):
        headings = (first, first + SLICE_HEADINGS)
        if kernels.fits_near(*place[:2], *headings, problem.ground, problem.body):
            return True
        yield 1.0
    return False


def _stretches(bad: NDArray[np.bool_], apart: int, reach: int) -> list[tuple[int, slice, int]]:
    """Return stretches around what is bad, joined where there is less than ``apart`` between.

    Each begins and ends ``reach`` off what is bad, or midway to the next.

    Returns:
        Of each where it begins, its bad part, and where it ends.
    """
    runs: list[tuple[int, int]] = []
    for index in np.flatnonzero(bad).tolist():
        if runs and index - runs[-1][1] < apart:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    borders = [0, *((one[1] + other[0]) // 2 for one, other in pairwise(runs)), len(bad)]
    return [
        (max(low, first - reach), slice(first, last + 1), min(high, last + reach))
        for (first, last), (low, high) in zip(runs, pairwise(borders), strict=True)
    ]


def _primitives(terms: Terms, stride_m: float) -> NDArray[np.float64]:
    """Return the moves that hybrid A* tries at every node, shape ``(m, 3)``."""
    notch = math.tau / kernels.HEADINGS
    bend = notch if terms.pivots else stride_m / terms.radius_m
    # The gentle bends are for leaving a wall that the robot stands along: its rear swings out.
    turns = [0.0, bend, -bend, 0.25 * bend, -0.25 * bend]
    moves = [(stride_m, 0.0, turn) for turn in turns]
    if math.isfinite(terms.reverse):
        moves += [(-stride_m, 0.0, turn) for turn in turns]
    if terms.pivots:
        moves += [(0.0, 0.0, notch), (0.0, 0.0, -notch)]
    if terms.slides:
        moves += [(0.0, stride_m, 0.0), (0.0, -stride_m, 0.0)]
    return np.array(moves)
