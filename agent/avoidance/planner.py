"""The local planner: sampling model predictive control towards where the way leads.

Every cycle the cost to go is spread over the local grid from the goal, or from where the path
leaves it, through all that is not known to be blocked. A few plain plans are made (the one of the
last cycle, pursuit of the way downhill at several speeds, backing off, standing), the cheapest is
taken for the mean of many samples, and the samples are blended (MPPI, see
:mod:`agent.kernels.rollout`). The samples are always the same ones, drawn once and in mirrored
pairs, so that the same input gives the same command and the mirrored one the mirrored command.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from agent.avoidance.footprint import disc_cover
from agent.avoidance.impasses import Impasses
from agent.avoidance.local_grid import LocalGrid
from agent.avoidance.motion import MotionLimits, MotionModel, control_bounds
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist
from agent.kernels.cost_to_go import close_off, descend, fence_in, propagate, travel_cost
from agent.kernels.local_grid import splat_distance
from agent.kernels.rollout import WEIGHTS, blend, pursue, roll_out
from agent.route.hull import inscribed_m

SEED = 20_260_101  # of the samples, which are drawn once
PURSUIT_SHARES = (1.0, 0.7, 0.4)  # of the speed limit
BUCKETS = 2048
ARRIVAL_M = 0.8
BEYOND = 6.0  # m of open way; a plan does not lead farther from the goal than that
COVER_SLACK_M = 0.02
BACK_SPEED, BACK_TURN = 0.6, 0.5  # shares of the limits
RETREAT_S = 2.0
SHARED_M = 3.0  # what moves nearer than that is waited for
STEERS_MPS = 0.05  # below it a yaw rate says nothing of how a car steers


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerParams:
    """Horizon, samples and what is to be avoided.

    Attributes:
        steps: Of the horizon.
        step_s: Duration of a step.
        samples: How many motions are tried at a time.
        iterations: How many times, each around the best that was found before.
        knots: Over how many support points the noise of a sample is spread.
        spread: Standard deviation of the samples as a share of the range of each control.
        temperature: Cost by which a sample counts less by a factor of e.
        margin_m: Clearance below which a plan counts as contact.
        comfort_m: Clearance from which on nearness costs nothing.
        moving_margin_m: Distance to keep from what moves.
        aversion: What a metre costs more where the way is only just wide enough.
        closed_cost: What a metre costs where the footprint does not fit.
        adherence: What a metre costs more beside the path.
        adherence_m: How far beside it that is fully so.
        to_go: Weight of the cost to go, along the plan.
        at_end: Weight of the cost to go, at its end.
        clearance: Weight of nearness.
        contact: Cost of contact.
        smoothness: Weight of changes of speed.
        backwards: Cost of a metre backwards.
        moving: Weight of nearness to what moves.
        lookahead_m: Of the pursuit.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    steps: Annotated[int, Ge(4), Le(200)] = 56
    step_s: Annotated[float, Gt(0), Le(0.5)] = 0.05
    samples: Annotated[int, Ge(2), Le(20_000)] = 800
    iterations: Annotated[int, Ge(1), Le(10)] = 2
    knots: Annotated[int, Ge(1), Le(50)] = 7
    spread: Annotated[float, Gt(0), Le(1)] = 0.25
    temperature: Annotated[float, Gt(0)] = 0.15
    margin_m: Annotated[float, Ge(0), Le(1)] = 0.08
    comfort_m: Annotated[float, Gt(0), Le(2)] = 0.20
    moving_margin_m: Annotated[float, Gt(0), Le(3)] = 0.8
    aversion: Annotated[float, Ge(0)] = 6.0
    closed_cost: Annotated[float, Gt(1)] = 60.0
    adherence: Annotated[float, Ge(0)] = 0.5
    adherence_m: Annotated[float, Gt(0)] = 1.0
    to_go: Annotated[float, Ge(0)] = 1.0
    at_end: Annotated[float, Ge(0)] = 3.0
    clearance: Annotated[float, Ge(0)] = 1.5
    contact: Annotated[float, Gt(0)] = 30.0
    smoothness: Annotated[float, Ge(0)] = 0.02
    backwards: Annotated[float, Ge(0)] = 4.0
    moving: Annotated[float, Ge(0)] = 60.0
    lookahead_m: Annotated[float, Gt(0)] = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What the planner would like to do.

    Attributes:
        twist: In the first step.
        controls: float32, shape ``(steps, 3)``, the whole plan.
        cost: Of it.
        to_go: Cost to go from where the robot is, in m of open way.
    """

    twist: Twist
    controls: NDArray[np.float32]
    cost: float
    to_go: float


class Planner:
    """Keeps the last plan; everything else comes in with each cycle."""

    def __init__(
        self,
        params: PlannerParams,
        limits: MotionLimits,
        model: MotionModel,
        footprint: NDArray[np.float64],
        cells: int,
    ) -> None:
        self._params = p = params
        self._limits = limits
        self._car = model.is_car
        self._bounds = control_bounds(limits, model).astype(np.float32)
        self._impasses = Impasses()
        self.take_shape(footprint)
        self._noise = _noise(p.samples, p.steps, p.knots)
        self._spread = np.float32(p.spread) * (self._bounds[:, 1] - self._bounds[:, 0])
        self._controls = np.empty((p.steps, 3, p.samples), np.float32)
        self._costs = np.empty(p.samples)
        self._still = np.zeros((p.steps, 3), np.float32)
        self._unit = np.ones(3, np.float32)
        coarse = cells // 2
        self._cost = np.empty((coarse, coarse), np.float32)
        self._aside_m = np.empty((coarse, coarse), np.float32)
        self._inside = np.empty((coarse, coarse), np.bool_)
        self._to_go = np.empty((coarse, coarse), np.float32)
        self._queue = np.empty((8 * coarse * coarse, 2), np.int32)
        self._buckets = np.empty(BUCKETS, np.int32)
        self._way = np.empty((400, 2))
        self._weights = np.empty(WEIGHTS)
        self._weights[:] = (
            p.to_go,
            p.at_end,
            p.clearance,
            p.contact,
            p.smoothness,
            p.backwards,
            p.moving,
        )
        self._last = np.zeros((p.steps, 3), np.float32)
        self._retreat_s = 0.0
        self._target_m: NDArray[np.float64] | None = None

    def take_shape(self, footprint: NDArray[np.float64]) -> None:
        """Plan for another footprint from now on, ``(corners, 2)``, as with a load on board."""
        self._discs = disc_cover(footprint, COVER_SLACK_M).astype(np.float32)
        self._open_m = inscribed_m(footprint) + self._params.margin_m
        self.wide_m = float(self._discs[0, 2]) + self._params.comfort_m
        self._impasses.clear()

    def reset(self) -> None:
        """Forget the last plan."""
        self._last[:] = 0.0
        self._retreat_s = 0.0
        self._impasses.reset()

    def spread_cost(
        self,
        grid: LocalGrid,
        odom_from_base: Pose2,
        way_m: NDArray[np.float64],
        fence: NDArray[np.float64] | None = None,
    ) -> None:
        """Work out the cost to go over the grid.

        Args:
            grid: With its distances measured.
            odom_from_base: Where the robot is.
            way_m: Shape ``(points, 2)``, the way that is left, or only its end; in the odometry
                frame. It is left where it is blocked, and preferred where it is not.
            fence: Shape ``(discs, 3)``: x, y and radius, outside of which the base must not go;
                everywhere without it.
        """
        p = self._params
        coarse_m = 2.0 * grid.resolution_m
        travel_cost(
            grid.distance_m, self._open_m, self.wide_m, p.aversion, p.closed_cost, self._cost
        )
        if len(way_m) > 1:
            splat_distance(
                grid.origin_m, coarse_m, sampled(way_m, coarse_m), p.adherence_m, self._aside_m
            )
            self._cost += p.adherence * (self._aside_m / np.float32(p.adherence_m))
        if fence is None:
            impasses_m = self._impasses.discs_m
            close_off(grid.origin_m, coarse_m, impasses_m, p.closed_cost, self._inside, self._cost)
        else:
            # Between a fence and a place where it does not get through, the robot stays inside.
            fence_in(grid.origin_m, coarse_m, fence, p.closed_cost, self._inside, self._cost)
        self._to_go[:] = np.inf
        cells = self._to_go.shape[0]
        at = np.floor((way_m - np.array(grid.origin_m)) / coarse_m).astype(np.int64)
        inside = ((at >= 0) & (at < cells)).all(axis=1)
        # The way is followed as far as it stays in the window.
        end = len(way_m) - 1 if inside.all() else max(0, int(np.argmin(inside)) - 1)
        self._target_m = way_m[end] if inside[end] else None
        if inside[end]:
            self._begin_at(way_m[end], at[end], grid)
        else:
            self._enter_from(way_m[end], grid)
        here = (
            int((odom_from_base.y_m - grid.origin_m[1]) / coarse_m),
            int((odom_from_base.x_m - grid.origin_m[0]) / coarse_m),
        )
        propagate(self._cost, coarse_m, here, BEYOND, self._to_go, self._queue, self._buckets)

    def _begin_at(
        self, target_m: NDArray[np.float64], cell: NDArray[np.int64], grid: LocalGrid
    ) -> None:
        """Begin with the exact distances around a target, which is in no cell's middle."""
        coarse_m, cells = 2.0 * grid.resolution_m, self._to_go.shape[0]
        columns, rows = (
            np.arange(max(0, cell[axis] - 2), min(cells, cell[axis] + 3)) for axis in (0, 1)
        )
        dx = grid.origin_m[0] + coarse_m * (columns + 0.5) - target_m[0]
        dy = grid.origin_m[1] + coarse_m * (rows + 0.5) - target_m[1]
        around = np.ix_(rows, columns)
        self._to_go[around] = np.hypot(dx[None, :], dy[:, None]) * self._cost[around]

    def _enter_from(self, target_m: NDArray[np.float64], grid: LocalGrid) -> None:
        """Begin at all cells of the border, by the straight way from there to a target outside."""
        coarse_m, cells = 2.0 * grid.resolution_m, self._to_go.shape[0]
        away_m = coarse_m * (np.arange(cells) + 0.5)
        dx, dy = (grid.origin_m[axis] + away_m - target_m[axis] for axis in (0, 1))
        for edge in (0, -1):
            self._to_go[edge] = np.minimum(self._to_go[edge], np.hypot(dx, dy[edge]))
            self._to_go[:, edge] = np.minimum(self._to_go[:, edge], np.hypot(dx[edge], dy))

    def plan(
        self,
        grid: LocalGrid,
        odom_from_base: Pose2,
        twist: Twist,
        speed_mps: float,
        moving: NDArray[np.float64],
        shift_s: float,
    ) -> Plan:
        """Plan from where the robot will be when the command acts.

        Args:
            grid: With its distances measured.
            odom_from_base: Where the robot will be.
            twist: How fast it will be.
            speed_mps: Speed limit.
            moving: Shape ``(objects, 5)`` or wider: x, y, vx, vy and radius at that moment, in the
                odometry frame.
            shift_s: How much later that is than for the last plan.
        """
        scene = self._scene(grid, odom_from_base, twist, speed_mps, moving)
        if (arrival := self._arrival(scene)) is not None:
            return arrival
        self._note_impasse(scene, shift_s)
        if (retreat := self._retreat(scene, shift_s)) is not None:
            return retreat
        candidates = list(self._candidates(scene, shift_s))
        costs = self._costs_of(candidates, scene)
        first = int(costs.argmin())
        self._last, cost = candidates[first], float(costs[first])
        for _ in range(self._params.iterations):
            self._last, cost = self._improved(self._last, cost, scene)
        return Plan(self._first_twist(), self._last, cost, self._to_go_at(scene))

    def _note_impasse(self, scene: "_Scene", shift_s: float) -> None:
        """Remember the narrowest place ahead where the robot stands although nothing moves near."""
        x_m, y_m, yaw_rad = (float(value) for value in scene.state[:3])
        near = np.hypot(scene.moving[:, 0] - x_m, scene.moving[:, 1] - y_m) < SHARED_M
        if scene.bounds[0, 1] < STEERS_MPS or near.any():
            self._impasses.reset()
        if not self._impasses.is_stuck(Pose2(x_m, y_m, yaw_rad), shift_s):
            return
        origin_m, coarse_m = scene.grid.origin_m, 2.0 * scene.grid.resolution_m
        way_m = self._way[: descend(self._to_go, origin_m, coarse_m, x_m, y_m, self._way)]
        at = np.floor((way_m - np.array(origin_m)) / coarse_m).astype(np.int64)
        self._retreat_s = RETREAT_S if self._car else 0.0
        self._impasses.remember(way_m, self._cost[at[:, 1], at[:, 0]].astype(np.float64))

    def _retreat(self, scene: "_Scene", shift_s: float) -> Plan | None:
        """Return how a car that is stuck backs off for a while: it cannot turn where it stands.

        Within the horizon that never pays, as it ends farther from the goal.
        """
        self._retreat_s -= shift_s
        if self._retreat_s <= 0.0 or not (ways := list(self._retreats(scene))):
            return None
        costs = self._costs_of(ways, scene)
        best = int(costs.argmin())
        if costs[best] >= self._params.contact:
            return None
        self._last = ways[best]
        return Plan(self._first_twist(), self._last, float(costs[best]), self._to_go_at(scene))

    def _improved(
        self, nominal: NDArray[np.float32], cost: float, scene: "_Scene"
    ) -> tuple[NDArray[np.float32], float]:
        """Sample around a plan, and return the best plan that is known then, and its cost."""
        self._roll_out(scene, nominal, self._noise, self._spread, self._controls, self._costs)
        mean = np.empty_like(nominal)
        blend(self._controls, self._costs, self._params.temperature, mean)
        # A mean may fall between two ways around; the best of what was tried does not.
        least = int(self._costs.argmin())
        tried = (mean, nominal, self._controls[:, :, least].copy())
        costs = (self._cost_of(mean, scene), cost, float(self._costs[least]))
        cheapest = int(np.argmin(costs))
        return tried[cheapest], costs[cheapest]

    def _scene(
        self,
        grid: LocalGrid,
        pose: Pose2,
        twist: Twist,
        speed_mps: float,
        moving: NDArray[np.float64],
    ) -> "_Scene":
        bounds = self._bounds.copy()
        bounds[0, 1] = min(bounds[0, 1], max(speed_mps, 0.0))
        bounds[0, 0] = max(bounds[0, 0], -max(speed_mps, 0.0))
        turn = twist.yaw_rate_radps
        if self._car:
            forward = twist.forward_mps
            turn = turn / forward if abs(forward) > STEERS_MPS else float(self._last[0, 2])
        state = np.array(
            [pose.x_m, pose.y_m, pose.yaw_rad, twist.forward_mps, twist.lateral_mps, turn]
        )
        objects = np.empty((len(moving), 6), np.float32)
        objects[:, :5] = moving[:, :5]
        objects[:, 5] = self._params.moving_margin_m
        return _Scene(grid, state, bounds, objects)

    def _roll_out(
        self,
        scene: "_Scene",
        nominal: NDArray[np.float32],
        noise: NDArray[np.float32],
        spread: NDArray[np.float32],
        controls: NDArray[np.float32],
        costs: NDArray[np.float64],
    ) -> None:
        p, grid = self._params, scene.grid
        roll_out(
            controls,
            nominal,
            noise,
            spread,
            scene.state,
            self._car,
            scene.bounds,
            p.step_s,
            self._discs,
            grid.origin_m,
            grid.distance_m,
            grid.resolution_m,
            self._to_go,
            2.0 * grid.resolution_m,
            (p.margin_m, p.comfort_m),
            scene.moving,
            self._weights,
            costs,
        )

    def _costs_of(
        self, plans: Sequence[NDArray[np.float32]], scene: "_Scene"
    ) -> NDArray[np.float64]:
        """Return what plans cost: they are driven as samples around standing."""
        samples = np.stack(plans, axis=-1)
        costs = np.empty(len(plans))
        self._roll_out(scene, self._still, samples, self._unit, np.empty_like(samples), costs)
        return costs

    def _cost_of(self, controls: NDArray[np.float32], scene: "_Scene") -> float:
        return float(self._costs_of((controls,), scene)[0])

    def _arrival(self, scene: "_Scene") -> Plan | None:
        """Return the straight way to a target that is near, if nothing stands or comes in it.

        The last centimetres are worth too little for samples to be drawn to them.
        """
        target_m = self._target_m
        if target_m is None or math.dist(target_m, scene.state[:2]) > ARRIVAL_M:
            return None
        controls = self._pursuit(target_m[None, :], scene, 1.0)
        cost = self._cost_of(controls, scene)
        if cost >= self._params.contact:
            return None
        self._last = controls
        return Plan(self._first_twist(), controls, cost, self._to_go_at(scene))

    def _pursuit(
        self, way_m: NDArray[np.float64], scene: "_Scene", share: float
    ) -> NDArray[np.float32]:
        p, controls = self._params, np.empty_like(self._last)
        speed_mps = share * float(scene.bounds[0, 1])
        pursue(
            way_m,
            scene.state,
            speed_mps,
            p.lookahead_m,
            self._car,
            scene.bounds,
            p.step_s,
            controls,
        )
        return controls

    def _candidates(self, scene: "_Scene", shift_s: float) -> Iterator[NDArray[np.float32]]:
        """Yield plain plans: the last one, pursuit at several speeds, standing, backing off."""
        p = self._params
        shift = min(p.steps, max(0, round(shift_s / p.step_s)))
        yield np.concatenate((self._last[shift:], np.repeat(self._last[-1:], shift, axis=0)))
        coarse_m = 2.0 * scene.grid.resolution_m
        origin_m = scene.grid.origin_m
        x_m, y_m = float(scene.state[0]), float(scene.state[1])
        count = descend(self._to_go, origin_m, coarse_m, x_m, y_m, self._way)
        if count and self._target_m is not None:
            self._way[count - 1] = self._target_m
        if count:
            for share in PURSUIT_SHARES:
                yield self._pursuit(self._way[:count], scene, share)
        yield np.zeros_like(self._last)
        yield from self._retreats(scene)

    def _retreats(self, scene: "_Scene") -> Iterator[NDArray[np.float32]]:
        """Yield ways of backing off, none where the robot may not reverse."""
        bounds = scene.bounds
        if bounds[0, 0] < 0.0:
            for turn in (0.0, BACK_TURN, -BACK_TURN):
                controls = np.zeros_like(self._last)
                controls[:, 0] = BACK_SPEED * bounds[0, 0]
                controls[:, 2] = turn * bounds[2, 1]
                yield controls

    def _first_twist(self) -> Twist:
        forward, lateral, turn = (float(value) for value in self._last[0])
        return Twist(forward, lateral, turn * forward if self._car else turn)

    def _to_go_at(self, scene: "_Scene") -> float:
        at = (scene.state[:2] - np.array(scene.grid.origin_m)) / (2.0 * scene.grid.resolution_m)
        column, row = np.clip(at, 0, len(self._to_go) - 1).astype(int)
        return float(self._to_go[row, column])


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """What a cycle is planned in: the grid, the state, the bounds and what moves."""

    grid: LocalGrid
    state: NDArray[np.float64]
    bounds: NDArray[np.float32]
    moving: NDArray[np.float32]


def sampled(line_m: NDArray[np.float64], step_m: float) -> NDArray[np.float64]:
    """Return points along a line, its corners among them, no farther apart than a step."""
    parts = []
    for start, end in pairwise(line_m):
        pieces = max(1, math.ceil(math.dist(start, end) / step_m))
        shares = np.linspace(0.0, 1.0, pieces, endpoint=False)
        parts.append(start + shares[:, None] * (end - start))
    return np.concatenate([*parts, line_m[-1:]])


def _noise(samples: int, steps: int, knots: int) -> NDArray[np.float32]:
    """Draw samples of unit variance, linear between knots, each with its mirror image.

    Returns:
        float32, shape ``(steps, 3, samples)``; mirrored are the speed to the left and the turn.
    """
    rng = np.random.default_rng(SEED)
    half = (samples + 1) // 2
    values = rng.standard_normal((half, knots + 1, 3))
    at = np.linspace(0.0, knots, steps)
    low = np.minimum(at.astype(int), knots - 1)
    part = (at - low)[None, :, None]
    drawn = (1.0 - part) * values[:, low] + part * values[:, low + 1]
    mirrored = drawn * np.array([1.0, -1.0, -1.0])
    paired = np.stack((drawn, mirrored), axis=1).reshape(2 * half, steps, 3)[:samples]
    noise: NDArray[np.float32] = np.ascontiguousarray(paired.transpose(1, 2, 0), np.float32)
    return noise
