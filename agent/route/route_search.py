"""The way over the map where an order leaves it to the robot.

A route is looked for in three steps, each of which checks the footprint swept along every move:

1. a direct connection (turn, go straight, turn; or a curve of Reeds and Shepp);
2. for robots that turn on the spot, the least cost to go of a point (Dijkstra over the grid), pulled
   straight, with arcs in the corners; this is the way in nearly every hall, and takes milliseconds;
3. hybrid A* over positions and headings, led by the same cost to go, where the orientation of the
   footprint decides whether it gets through, and always for a car.

The cheaper of 1 and 2 is taken, else what 3 finds after it has been shortened.
"""

import itertools
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar, NamedTuple, Self

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from agent.errors import AgentError, ConfigError
from agent.geometry.angle import wrap
from agent.geometry.points import moved
from agent.geometry.pose import Pose2
from agent.kernels import route as kernels
from agent.kernels.clearance import signed_distance_m
from agent.kernels.cost_to_go import descend, propagate
from agent.kernels.distance import distance_transform
from agent.kernels.route import Body, Ground, Terms
from agent.mapping.occupancy_grid import OccupancyGrid
from agent.route.path import Goal
from drivers.errors import Level

COARSE_CELL_M = 0.1  # of the grid on which the cost to go is worked out
BUCKETS = 256  # times nine tenths of a coarse cell: dearer than any step over it
PULLS = 3  # times that the way is pulled straight
PULL_SPACING_M = 0.25
STRIDE_M = 0.2  # of the moves of hybrid A*; farther than the diagonal of a coarse cell
FEWEST_NODES = 1024
BENDS = (1.0, 0.6, 0.35, 0.2, 0.1)  # shares of the largest radius that are tried in a corner
SHARPEST_BEND_RAD = 2.6  # sharper corners are turned on the spot
SPACING_RAD = 0.1
NO_POINTS = np.empty((0, 2))

Triple = tuple[float, float, float]


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


class RouteNotFound(AgentError):
    """There is no way that the robot could take.

    Example scenarios: the goal stands in a wall of the map, a pallet blocks the aisle, the corridor
    of the edge is narrower than the robot.
    """

    code = "ROUTE_NOT_FOUND"
    vda_type = "noRouteError"
    level = Level.WARNING
    hint = (
        "Clear the way, or compare goal, corridor and map with the hall; the text says which of "
        "them is in the way."
    )

    def __init__(self, obstruction: Obstruction) -> None:
        super().__init__(obstruction.value)
        self.obstruction = obstruction


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
    most_nodes: Annotated[int, Ge(FEWEST_NODES), Le(4_000_000)] = 120_000


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
class Corridor:
    """A band that must not be left (VDA 5050 2.1, section 6.6.5).

    Attributes:
        line_m: Shape ``(n, 2)``, its middle from start to end, in the map frame.
        left_m: Width to the left of the line.
        right_m: Width to the right.
        contour: Whether the whole footprint has to stay inside, or only the base.
    """

    line_m: NDArray[np.float64]
    left_m: float
    right_m: float
    contour: bool = False


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


@dataclass(frozen=True, slots=True, eq=False)
class RouteMap:
    """A map made ready for the search; what is unknown or outside counts as occupied.

    Attributes:
        filled: bool, shape ``(rows, columns)``, read-only, cells that are not known to be free.
        ground: Distances to these and their counts.
        grid_from_map: Takes poses of the map frame to the frame of the cells.
    """

    filled: NDArray[np.bool_]
    ground: Ground
    grid_from_map: Pose2

    @classmethod
    def prepare(cls, grid: OccupancyGrid) -> Self:
        """Work out the distances of a map, once."""
        filled = ~grid.free
        around = np.pad(filled, 1, constant_values=True)
        distance = distance_transform(around, math.inf)[1:-1, 1:-1]
        ground = _ground(distance * np.float32(grid.resolution_m), filled, grid.resolution_m)
        filled.setflags(write=False)
        return cls(filled, ground, grid.map_from_grid.inverse())


class Task(NamedTuple):
    """A question to the search, in the frame of the grid; headings NaN where any will do."""

    start: Triple
    goal: Triple
    ground: Ground
    body: Body


class RouteSearch:
    """Finds routes for one robot."""

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
        hull = _convex_hull(footprint)
        radius_m = mobility.turning_radius_m
        if not (math.isfinite(radius_m) and radius_m >= 0.0):
            raise ConfigError(f"the turning radius must be 0 or more, not {radius_m}")
        self._params = params
        self._footprint = hull
        # Between two looks a point of the footprint is never farther off than half a step.
        self._bare_hull = _inflated(hull, 0.5 * kernels.SWEEP_STEP_M)
        self._hull = _inflated(hull, max(params.needed_clearance_m, 0.5 * kernels.SWEEP_STEP_M))
        self._pivots = radius_m == 0.0
        side_m = _inscribed_m(self._hull)
        self._terms = Terms(
            closed_m=side_m,
            wide_m=max(_inscribed_m(hull) + params.wanted_clearance_m, side_m + 0.01),
            aversion=params.narrowness_cost,
            turn_m=params.turn_cost_m,
            reverse=params.reverse_cost if mobility.backwards else math.inf,
            sideways=params.sideways_cost,
            radius_m=params.bend_radius_m if self._pivots else radius_m,
            pivots=self._pivots,
            slides=mobility.sideways,
        )
        self._primitives = _primitives(self._terms)
        nodes = 1 << (2 * params.most_nodes - 1).bit_length()
        self._table = np.empty(nodes, np.int32)

    def find(
        self,
        route_map: RouteMap,
        start: Pose2,
        goal: Goal,
        blocked_m: NDArray[np.float64] = NO_POINTS,
        corridor: Corridor | None = None,
    ) -> Route:
        """Find a route.

        Args:
            route_map: The map.
            start: ``map_from_base`` now.
            goal: Where to come to rest.
            blocked_m: Shape ``(k, 2)``, what stands in the way besides, in the map frame; the cell
                of each point counts as occupied.
            corridor: Band that must not be left.

        Raises:
            RouteNotFound: There is none; the error says why.
        """
        open_ground = _with_points(route_map, blocked_m, self._limit_m())
        ground = open_ground
        if corridor is not None:
            ground = self._with_corridor(route_map, open_ground, corridor)
        task = self._task(route_map, start, goal, ground, open_ground)
        moves = self._moves(task, open_ground)
        return self._route(route_map, task, moves, open_ground)

    def _limit_m(self) -> float:
        """Return how far off an obstacle can matter."""
        return max(self._terms.wide_m, _circumscribed_m(self._hull)) + 0.5

    def _task(
        self,
        route_map: RouteMap,
        start: Pose2,
        goal: Goal,
        ground: Ground,
        open_ground: Ground,
    ) -> Task:
        """Put the question, or find out why it cannot be answered.

        Raises:
            RouteNotFound: Start or goal is impossible.
        """
        grid_from_map = route_map.grid_from_map
        here = grid_from_map @ start
        there = grid_from_map @ Pose2(goal.x_m, goal.y_m, goal.yaw_rad or 0.0)
        begin = (here.x_m, here.y_m, here.yaw_rad)
        end = (there.x_m, there.y_m, math.nan if goal.yaw_rad is None else there.yaw_rad)
        for place, reason in (
            (begin, Obstruction.START_OFF_MAP),
            (end, Obstruction.GOAL_OFF_MAP),
        ):
            if not all(map(math.isfinite, place[:2])) or not _is_on(ground, place):
                raise RouteNotFound(reason)
        docks = []
        for place, reason in (
            (begin, Obstruction.START_BLOCKED),
            (end, Obstruction.GOAL_BLOCKED),
        ):
            if not self._stands(place, ground, self._hull):
                if not self._stands(place, ground, self._bare_hull):
                    outside = self._stands(place, open_ground, self._bare_hull)
                    raise RouteNotFound(Obstruction.OUTSIDE_CORRIDOR if outside else reason)
                docks.append((place[0], place[1], self._params.docking_m))
        return Task(begin, end, ground, self._body(docks))

    def _body(self, docks: list[Triple]) -> Body:
        return Body(
            self._hull,
            self._bare_hull,
            _inscribed_m(self._bare_hull),
            _circumscribed_m(self._hull),
            np.array(docks, np.float64).reshape(-1, 3),
        )

    def _stands(self, place: Triple, ground: Ground, hull: NDArray[np.float64]) -> bool:
        """Return whether a footprint fits at a place, at any heading where none is given."""
        if kernels.clearance_m(place[0], place[1], ground) < 0.0:
            return False
        headings = kernels.HEADINGS if math.isnan(place[2]) else 1
        first = 0.0 if math.isnan(place[2]) else place[2]
        return any(
            not kernels.touches(place[0], place[1], first + math.tau * k / headings, hull, ground)
            for k in range(headings)
        )

    def _moves(self, task: Task, open_ground: Ground) -> NDArray[np.float64]:
        """Return the moves of a route.

        Raises:
            RouteNotFound: There is none.
        """
        best, least = self._connection(task, math.inf)
        distance_m = math.dist(task.start[:2], task.goal[:2])
        if best is not None and least <= 1.01 * distance_m:
            return best
        guide = self._guide(task)
        if guide is None:
            if best is not None:
                return best
            raise RouteNotFound(self._why(task, open_ground))
        if self._pivots:
            for moves in self._pulled(task, guide):
                cost = self._cost(task, task.start, moves, least)
                if cost < least:
                    best, least = moves, cost
        if best is not None:
            return best
        return self._shortened(task, self._searched(task, guide, open_ground))

    def _why(self, task: Task, open_ground: Ground) -> Obstruction:
        """Return whether the corridor is to blame that there is no way."""
        if open_ground is not task.ground and self._guide(task._replace(ground=open_ground)):
            return Obstruction.CORRIDOR_TOO_NARROW
        return Obstruction.NO_WAY

    def _connection(self, task: Task, most: float) -> tuple[NDArray[np.float64] | None, float]:
        moves = np.empty((kernels.MOST_CURVES, 3))
        count, cost = kernels.connect(
            task.start, task.goal, task.ground, task.body, self._terms, most, moves
        )
        return (moves[:count], cost) if count > 0 else (None, math.inf)

    def _cost(self, task: Task, pose: Triple, moves: NDArray[np.float64], most: float) -> float:
        return float(kernels.route_cost(pose, moves, task.ground, task.body, self._terms, most))

    def _guide(self, task: Task) -> "Guide | None":
        """Return the cost to go of a point robot, None where it cannot get from start to goal."""
        guide = Guide.work_out(task, self._terms, self._params.detour_m)
        return guide if math.isfinite(guide.at(task.start)) else None

    def _pulled(self, task: Task, guide: "Guide") -> list[NDArray[np.float64]]:
        """Return ways of straight legs: looking ahead, and, sideways, with the heading kept."""
        found = [self._legs(task, self._taut(task, guide, math.nan))]
        if self._terms.slides:
            held = self._taut(task, guide, task.start[2])
            found.append(_slides(task, held))
        return found

    def _taut(self, task: Task, guide: "Guide", hold_rad: float) -> NDArray[np.float64]:
        """Return the corners of the cheapest way of straight legs, shape ``(n, 2)``."""
        way_m = guide.way_m(task)
        for _ in range(PULLS):
            kept = np.empty(len(way_m), np.int64)
            count = kernels.pull(way_m, task.ground, task.body, self._terms, hold_rad, kept)
            corners = way_m[kept[:count]]
            way_m = _densified(corners, PULL_SPACING_M)
        return corners

    def _legs(self, task: Task, corners: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return moves along straight legs, with an arc in each corner where it fits."""
        steps = np.diff(corners, axis=0)
        lengths = np.hypot(steps[:, 0], steps[:, 1])
        steps, lengths = steps[lengths > 1e-6], lengths[lengths > 1e-6]
        bearings = np.arctan2(steps[:, 1], steps[:, 0])
        yaw = task.start[2]
        moves = []
        for bearing, length in zip(bearings, lengths, strict=True):
            moves += [(0.0, 0.0, wrap(float(bearing) - yaw)), (float(length), 0.0, 0.0)]
            yaw = float(bearing)
        if not math.isnan(task.goal[2]):
            moves.append((0.0, 0.0, wrap(task.goal[2] - yaw)))
        return self._rounded(task, np.array(moves, np.float64).reshape(-1, 3))

    def _rounded(self, task: Task, moves: NDArray[np.float64]) -> NDArray[np.float64]:
        """Replace turns on the spot between straight legs by arcs where that is no dearer."""
        result: list[NDArray[np.float64]] = []
        pose = task.start
        rest = moves.copy()
        k = 0
        while k < len(rest):
            if 0 < k < len(rest) - 1 and _is_corner(rest[k - 1 : k + 2]):
                bent = self._bent(task, pose, moves[k - 1 : k + 2], rest[k - 1, 0])
                if bent is not None:
                    # The leg before is in the result already, and gives up what the arc takes.
                    cut_m = rest[k - 1, 0] - bent[0, 0]
                    result[-1] = bent[0]
                    pose = kernels.moved(pose, (-cut_m, 0.0, 0.0), 1.0)
                    result.append(bent[1])
                    pose = kernels.moved(pose, tuple(bent[1]), 1.0)
                    rest[k + 1, 0] -= cut_m
                    k += 1
                    continue
            result.append(rest[k])
            pose = kernels.moved(pose, tuple(rest[k]), 1.0)
            k += 1
        return np.array(result, np.float64).reshape(-1, 3)

    def _bent(
        self, task: Task, corner: Triple, moves: NDArray[np.float64], left_m: float
    ) -> NDArray[np.float64] | None:
        """Return a leg and an arc in place of a leg and a turn, the widest that is not dearer.

        Args:
            task: The question.
            corner: Pose at the end of the first leg.
            moves: Shape ``(3, 3)``: leg, turn and leg, as they were before any was shortened.
            left_m: What is left of the first leg.
        """
        turn = float(moves[1, 2])
        sense = math.copysign(1.0, moves[0, 0])
        half = math.tan(0.5 * abs(turn))
        most_m = min(abs(left_m), 0.5 * abs(float(moves[2, 0])))
        for share in BENDS:
            radius_m = share * self._terms.radius_m
            cut_m = radius_m * half
            if cut_m > most_m:
                continue
            begin = kernels.moved(corner, (-sense * cut_m, 0.0, 0.0), 1.0)
            cut = sense * cut_m
            arc = np.array([[sense * radius_m * abs(turn), 0.0, turn]])
            sharp = np.array([[cut, 0.0, 0.0], moves[1], [cut, 0.0, 0.0]])
            dearest = self._cost(task, begin, sharp, math.inf)
            if self._cost(task, begin, arc, dearest) < dearest:
                return np.array([[left_m - cut, 0.0, 0.0], arc[0]])
        return None

    def _searched(self, task: Task, guide: "Guide", open_ground: Ground) -> NDArray[np.float64]:
        """Return what hybrid A* finds.

        Raises:
            RouteNotFound: Nothing, or not in time.
        """
        moves = np.empty((self._params.most_nodes, 3))
        count, _ = kernels.search(
            task.start, task.goal, task.ground, task.body, self._terms, self._primitives,
            guide.to_go, guide.cell_m, self._table, moves,
        )  # fmt: skip
        if count < 0:
            raise RouteNotFound(Obstruction.GAVE_UP)
        if count == 0:
            inside = open_ground is not task.ground
            raise RouteNotFound(Obstruction.CORRIDOR_TOO_NARROW if inside else Obstruction.NO_WAY)
        return moves[:count]

    def _shortened(self, task: Task, moves: NDArray[np.float64]) -> NDArray[np.float64]:
        """Replace stretches of moves by direct connections that cost less, and round corners."""
        curve = np.empty((kernels.MOST_CURVES, 3))
        for _ in range(PULLS):
            poses = [task.start]
            spent = [0.0]
            for move in moves:
                cost = self._cost(task, poses[-1], move[None], math.inf)
                spent.append(spent[-1] + cost)
                poses.append(kernels.moved(poses[-1], tuple(move), 1.0))
            result: list[NDArray[np.float64]] = []
            i, last = 0, len(moves)
            while i < last:
                # From far to near, so that the longest stretch is taken that can be.
                stride = last - i
                while stride > 1:
                    j = i + stride
                    count, _ = kernels.connect(
                        poses[i], poses[j], task.ground, task.body, self._terms,
                        spent[j] - spent[i] - 1e-6, curve,
                    )  # fmt: skip
                    if count > 0:
                        break
                    stride = stride * 3 // 4
                if stride > 1:
                    result.extend(curve[:count].copy())
                else:
                    stride = 1
                    result.append(moves[i])
                i += stride
            shorter = _merged(np.array(result))
            if len(shorter) == len(moves) and np.array_equal(shorter, moves):
                break
            moves = shorter
        return self._rounded(task, moves) if self._pivots else moves

    def _route(
        self,
        route_map: RouteMap,
        task: Task,
        moves: NDArray[np.float64],
        open_ground: Ground,
    ) -> Route:
        spacing = (self._params.spacing_m, SPACING_RAD)
        none = np.empty((0, 3)), np.empty(0, np.bool_)
        count = kernels.follow(task.start, moves, *spacing, *none)
        poses, reversing = np.empty((count, 3)), np.empty(count, np.bool_)
        kernels.follow(task.start, moves, *spacing, poses, reversing)
        outline_m = _densified(
            np.vstack([self._footprint, self._footprint[:1]]), open_ground.resolution_m
        )
        map_from_grid = route_map.grid_from_map.inverse()
        points_m = moved(map_from_grid, poses[:, :2])
        yaws_rad = np.array([wrap(yaw + map_from_grid.yaw_rad) for yaw in poses[:, 2]])
        for array in (points_m, yaws_rad, reversing):
            array.setflags(write=False)
        return Route(
            points_m,
            yaws_rad,
            reversing,
            float(np.hypot(moves[:, 0], moves[:, 1]).sum()),
            float(kernels.least_clearance_m(poses, outline_m, open_ground)),
        )

    def _with_corridor(self, route_map: RouteMap, ground: Ground, corridor: Corridor) -> Ground:
        """Return the ground of a band: beyond it the base, or the whole robot, must not be."""
        line_m = moved(route_map.grid_from_map, np.asarray(corridor.line_m, np.float64))
        inside = np.empty(route_map.filled.shape, np.bool_)
        kernels.inside_band(line_m, corridor.left_m, corridor.right_m, ground.resolution_m, inside)
        window = _window(inside)
        distance_m = np.full(inside.shape, np.float32(-1.0))
        if window is None:
            return _ground(distance_m, ~inside, ground.resolution_m)
        edge_m = distance_transform(np.pad(~inside[window], 1, constant_values=True), math.inf)
        edge_m = edge_m[1:-1, 1:-1] * np.float32(ground.resolution_m)
        within = inside[window]
        filled = np.diff(ground.filled, axis=1) > 0
        if corridor.contour:
            filled |= ~inside
        else:
            edge_m += np.float32(_circumscribed_m(self._hull) + 2.0 * ground.resolution_m)
        distance_m[window] = np.where(
            within, np.minimum(ground.distance_m[window], edge_m), np.float32(-1.0)
        )
        return _ground(distance_m, filled, ground.resolution_m)


@dataclass(frozen=True, slots=True, eq=False)
class Guide:
    """What it costs a point to get to the goal.

    Attributes:
        to_go: float32, shape ``(rows, columns)``, infinite where it cannot.
        cell_m: Edge of a cell.
    """

    to_go: NDArray[np.float32]
    cell_m: float

    @classmethod
    def work_out(cls, task: Task, terms: Terms, detour_m: float) -> Self:
        """Spread the cost from the goal.

        Args:
            task: The question.
            terms: What a metre costs.
            detour_m: How far beyond the box around start and goal to go.
        """
        ground = task.ground
        side = max(1, round(COARSE_CELL_M / ground.resolution_m))
        cell_m = side * ground.resolution_m
        rows, columns = ground.distance_m.shape
        shape = (-(-rows // side), -(-columns // side))
        widest_m, prices = np.empty(shape, np.float32), np.empty(shape, np.float32)
        kernels.pool(ground.distance_m, side, widest_m)
        # The widest place of a cell may be half a diagonal off its centre.
        kernels.price_of_cells(widest_m, terms, prices)
        _open_docks(prices, widest_m, cell_m, task.body, terms)
        _close_beyond(prices, cell_m, task, detour_m)
        to_go = np.full(shape, np.inf, np.float32)
        to_go[int(task.goal[1] / cell_m), int(task.goal[0] / cell_m)] = 0.0
        waiting = np.empty((8 * prices.size, 2), np.int32)
        propagate(prices, cell_m, to_go, waiting, np.empty(BUCKETS, np.int32))
        return cls(to_go, cell_m)

    def at(self, place: Triple) -> float:
        """Return the cost to go from a place."""
        return float(self.to_go[int(place[1] / self.cell_m), int(place[0] / self.cell_m)])

    def way_m(self, task: Task) -> NDArray[np.float64]:
        """Return the way of steepest descent from start to goal, shape ``(n, 2)``."""
        cells_m = np.empty((self.to_go.size, 2))
        count = descend(self.to_go, (0.0, 0.0), self.cell_m, *task.start[:2], cells_m)
        return np.vstack([task.start[:2], cells_m[1 : max(1, count - 1)], task.goal[:2]])


def _open_docks(
    prices: NDArray[np.float32],
    widest_m: NDArray[np.float32],
    cell_m: float,
    body: Body,
    terms: Terms,
) -> None:
    """Open the cells near docks in which the bare footprint may fit."""
    ys = (np.arange(prices.shape[0]) + 0.5) * cell_m
    xs = (np.arange(prices.shape[1]) + 0.5) * cell_m
    for x_m, y_m, radius_m in body.docks:
        rows = slice(*np.searchsorted(ys, (y_m - radius_m - cell_m, y_m + radius_m + cell_m)))
        columns = slice(*np.searchsorted(xs, (x_m - radius_m - cell_m, x_m + radius_m + cell_m)))
        maybe = widest_m[rows, columns] >= body.inscribed_m - cell_m
        shut = prices[rows, columns] == np.inf
        prices[rows, columns][maybe & shut] = 1.0 + terms.aversion


def _close_beyond(prices: NDArray[np.float32], cell_m: float, task: Task, detour_m: float) -> None:
    """Close what is farther than a detour from the box around start and goal."""
    for axis, extent in ((1, prices.shape[0]), (0, prices.shape[1])):
        ends = (task.start[axis], task.goal[axis])
        low = max(0, math.floor((min(ends) - detour_m) / cell_m))
        high = min(extent, math.ceil((max(ends) + detour_m) / cell_m))
        lines = prices if axis == 1 else prices.T
        lines[:low] = np.inf
        lines[high:] = np.inf


def _primitives(terms: Terms) -> NDArray[np.float64]:
    """Return the moves that hybrid A* tries, shape ``(m, 3)``."""
    notch = math.tau / kernels.HEADINGS
    stride = STRIDE_M if terms.pivots else min(max(STRIDE_M, terms.radius_m * notch), 0.6)
    bend = notch if terms.pivots else stride / terms.radius_m
    moves = [(stride, 0.0, turn) for turn in (0.0, bend, -bend)]
    if not terms.pivots:
        moves += [(stride, 0.0, 0.5 * bend), (stride, 0.0, -0.5 * bend)]
    if math.isfinite(terms.reverse):
        moves += [(-ahead, 0.0, turn) for ahead, _, turn in moves]
    if terms.pivots:
        moves += [(0.0, 0.0, notch), (0.0, 0.0, -notch)]
    if terms.slides:
        moves += [(0.0, stride, 0.0), (0.0, -stride, 0.0)]
    return np.array(moves)


def _slides(task: Task, corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return moves along straight legs at the heading of the start, with the turn at the end."""
    yaw = task.start[2]
    steps = np.diff(corners, axis=0)
    cos, sin = math.cos(yaw), math.sin(yaw)
    ahead, left = cos * steps[:, 0] + sin * steps[:, 1], cos * steps[:, 1] - sin * steps[:, 0]
    turn = 0.0 if math.isnan(task.goal[2]) else wrap(task.goal[2] - yaw)
    return np.vstack([np.column_stack([ahead, left, np.zeros(len(steps))]), [0.0, 0.0, turn]])


def _is_corner(moves: NDArray[np.float64]) -> bool:
    """Whether three moves are a leg, a turn on the spot and a leg in the same sense."""
    (first, _, bend), (ahead, left, turn), (last, _, curl) = moves
    return bool(
        bend == curl == ahead == left == 0.0
        and (moves[:, 1] == 0.0).all()
        and first * last > 0.0
        and 1e-6 < abs(turn) < SHARPEST_BEND_RAD
    )


def _merged(moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Join moves that go on in the same way, and drop those that go nowhere."""
    result: list[NDArray[np.float64]] = []
    for move in moves:
        if np.abs(move).max() < 1e-9:
            continue
        if result:
            last = result[-1]
            whole = last + move
            # Parallel and of the same sense: the same twist, held for longer.
            cross = np.abs(np.cross(last, move)).max()
            if cross < 1e-9 and float(last @ move) > 0.0:
                result[-1] = whole
                continue
        result.append(move)
    return np.array(result).reshape(-1, 3)


def _densified(corners: NDArray[np.float64], spacing_m: float) -> NDArray[np.float64]:
    """Return points along a line through corners, these among them."""
    points = [corners[:1]]
    for begin, end in itertools.pairwise(corners):
        pieces = max(1, math.ceil(math.dist(begin, end) / spacing_m))
        points.append(begin + (end - begin) * np.linspace(0.0, 1.0, pieces + 1)[1:, None])
    return np.concatenate(points)


def _ground(
    distance_m: NDArray[np.float32], filled: NDArray[np.bool_], resolution_m: float
) -> Ground:
    counts = np.zeros((filled.shape[0], filled.shape[1] + 1), np.int32)
    np.cumsum(filled, axis=1, out=counts[:, 1:])
    distance_m = np.ascontiguousarray(distance_m)
    distance_m.setflags(write=False)
    counts.setflags(write=False)
    return Ground(distance_m, counts, resolution_m)


def _with_points(route_map: RouteMap, points_m: NDArray[np.float64], limit_m: float) -> Ground:
    """Return the ground of a map with the cells under points filled."""
    ground = route_map.ground
    points = moved(route_map.grid_from_map, points_m[np.isfinite(points_m).all(axis=1)])
    cells = np.floor(points[:, ::-1] / ground.resolution_m).astype(np.int64)
    cells = cells[(cells >= 0).all(axis=1) & (cells < route_map.filled.shape).all(axis=1)]
    cells = np.unique(cells, axis=0)
    cells = cells[~route_map.filled[cells[:, 0], cells[:, 1]]]
    if len(cells) == 0:
        return ground
    rows = np.unique(cells[:, 0])
    counts = ground.filled.copy()
    filled = route_map.filled[rows]
    filled[np.searchsorted(rows, cells[:, 0]), cells[:, 1]] = True
    counts[rows, 1:] = np.cumsum(filled, axis=1)
    limit = limit_m / ground.resolution_m
    distance = np.minimum(ground.distance_m, np.float32(limit_m)) / np.float32(ground.resolution_m)
    kernels.add_filled(cells, limit, distance)
    distance_m = distance * np.float32(ground.resolution_m)
    distance_m.setflags(write=False)
    counts.setflags(write=False)
    return Ground(distance_m, counts, ground.resolution_m)


def _window(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Return the box that holds what is marked, None where nothing is."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _is_on(ground: Ground, place: Triple) -> bool:
    rows, columns = ground.distance_m.shape
    return (
        0.0 <= place[0] < columns * ground.resolution_m
        and 0.0 <= place[1] < rows * ground.resolution_m
    )


def _inscribed_m(hull: NDArray[np.float64]) -> float:
    return max(0.0, -float(signed_distance_m(0.0, 0.0, hull)))


def _circumscribed_m(hull: NDArray[np.float64]) -> float:
    return float(np.hypot(hull[:, 0], hull[:, 1]).max())


def _convex_hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the convex hull, counter-clockwise, with corners only.

    Andrew, "Another efficient algorithm for convex hulls in two dimensions", Information Processing
    Letters 9 (1979).

    Raises:
        ConfigError: The points span no area.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ConfigError("a footprint needs finite corners, x and y of each")
    ordered = sorted({(float(x), float(y)) for x, y in points})

    def chain(run: list[tuple[float, float]]) -> list[tuple[float, float]]:
        hull: list[tuple[float, float]] = []
        for x, y in run:
            while len(hull) > 1:
                (ax, ay), (bx, by) = hull[-2:]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 1e-12:
                    break
                hull.pop()
            hull.append((x, y))
        return hull[:-1]

    corners = chain(ordered) + chain(ordered[::-1])
    if len(corners) < 3:
        raise ConfigError("a footprint needs three corners or more that span an area")
    return np.array(corners)


def _inflated(hull: NDArray[np.float64], margin_m: float) -> NDArray[np.float64]:
    """Return a convex polygon that holds all within a margin of another.

    It is the Minkowski sum with an octagon around the circle of that radius.
    """
    angles = math.pi / 8 + math.pi / 4 * np.arange(8)
    corner_m = margin_m / math.cos(math.pi / 8)
    octagon = corner_m * np.column_stack([np.cos(angles), np.sin(angles)])
    return _convex_hull((hull[:, None, :] + octagon[None, :, :]).reshape(-1, 2))
