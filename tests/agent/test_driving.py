"""Waypoints, follower, planner and governor in closed loop, in a hall of points."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from agent.avoidance.fields import FieldKind, FieldParams, Fields
from agent.avoidance.governor import StopReason
from agent.avoidance.motion import MotionLimits
from agent.avoidance.navigator import Navigator
from agent.avoidance.protective_field import ProtectiveField, ProtectiveFieldParams
from agent.avoidance.surroundings import LidarMount
from agent.driving import Driving, DrivingParams, OffLine
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist, moved_by
from agent.kernels.clearance import signed_distance_m
from agent.mapping.occupancy_grid import FREE, OCCUPIED, OccupancyGrid
from agent.route.course import Course
from agent.route.follower import FollowerParams
from agent.route.path import Corridor, Waypoint
from agent.route.route_map import RouteMap
from agent.route.route_search import Mobility, Obstruction, RouteSearch, RouteSearchParams
from agent.route.wayfinder import Wayfinder
from drivers.measurement import Scan

TICK_NS = 20_000_000
SCAN_TICKS = 5
FOOTPRINT = rectangle(0.7, 0.5)
LIMITS = MotionLimits()
BEARINGS = np.linspace(-math.pi, math.pi, 720, endpoint=False).astype(np.float32)
REACH_M = 12.0
RESOLUTION_M = 0.05
HALL = (-4.0, -8.0, 16.0, 8.0)  # left, bottom, right and top of the map
Box = tuple[float, float, float, float]


def hall_with(walls: tuple[Box, ...]) -> RouteMap:
    left, bottom, right, top = HALL
    shape = round((top - bottom) / RESOLUTION_M), round((right - left) / RESOLUTION_M)
    cells = np.full(shape, FREE, np.int8)
    for x0, y0, x1, y1 in walls:
        first, last = (
            (round((y - bottom) / RESOLUTION_M), round((x - left) / RESOLUTION_M))
            for x, y in ((x0, y0), (x1, y1))
        )
        cells[first[0] : last[0], first[1] : last[1]] = OCCUPIED
    return RouteMap.prepare(OccupancyGrid(cells, RESOLUTION_M, Pose2(left, bottom, 0.0)))


def discs_of(wall: Box) -> list[tuple[float, float, float]]:
    """The faces of a wall as a lidar sees them."""
    x0, y0, x1, y1 = wall
    radius = 0.5 * min(x1 - x0, y1 - y0)
    xs = np.arange(x0 + radius, x1 - radius + 1e-6, radius)
    ys = np.arange(y0 + radius, y1 - radius + 1e-6, radius)
    return [(float(x), float(y), radius) for x in xs for y in ys]


def waypoint(sequence_id: int, x_m: float, corridor: Corridor | None = None) -> Waypoint:
    return Waypoint(sequence_id, x_m, 0.0, None, 0.3, 0.1, None, corridor)


@dataclass
class Robot:
    """A robot that does at once what it is told, among discs: x, y and radius."""

    discs: list[tuple[float, float, float]]
    waypoints: list[Waypoint]
    pose: Pose2 = field(default_factory=Pose2.identity)
    twist: Twist = field(default_factory=Twist)
    ticks: int = 0
    aside_m: float = 0.0
    least_m: float = math.inf
    fields: tuple[FieldParams, ...] = ()
    walls: tuple[Box, ...] = ()
    params: DrivingParams = DrivingParams()  # noqa: RUF009
    reasons: set[StopReason | None] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.discs = [*self.discs, *(disc for wall in self.walls for disc in discs_of(wall))]
        search = RouteSearch(RouteSearchParams(), FOOTPRINT, Mobility())
        course = Course(
            FollowerParams(), Wayfinder(search, {"hall": hall_with(self.walls)}, "hall")
        )
        mounts = {"lidar": LidarMount(Pose2.identity())}
        field_ = ProtectiveField(ProtectiveFieldParams(), FOOTPRINT, LIMITS.deceleration_mps2)
        navigator = Navigator(LIMITS, FOOTPRINT, mounts)
        fields = Fields(self.fields, FOOTPRINT)
        self.driving = Driving(course, field_, fields, navigator, self.params)

    def scan(self, now_ns: int) -> Scan:
        ranges = np.full(BEARINGS.size, np.nan)
        bearings = BEARINGS + self.pose.yaw_rad
        ux, uy = np.cos(bearings), np.sin(bearings)
        for x_m, y_m, radius_m in self.discs:
            dx, dy = x_m - self.pose.x_m, y_m - self.pose.y_m
            along = dx * ux + dy * uy
            chord = along**2 - (dx * dx + dy * dy - radius_m**2)
            hit = (chord > 0.0) & (along > 0.0)
            depth = along - np.sqrt(np.maximum(chord, 0.0))
            ranges[hit] = np.fmin(ranges[hit], depth[hit])
        ranges[ranges > REACH_M] = np.nan
        zeros = np.zeros(BEARINGS.size, np.float32)
        arrays = (BEARINGS.copy(), ranges.astype(np.float32), zeros, zeros.astype(np.uint8))
        for array in arrays:
            array.setflags(write=False)
        return Scan(now_ns, now_ns, *arrays)

    def run(self, limit_s: float) -> "Robot":
        for _ in range(round(limit_s / (TICK_NS * 1e-9))):
            now_ns = self.ticks * TICK_NS
            if self.ticks % SCAN_TICKS == 0:
                self.driving.see("lidar", self.scan(now_ns), self.pose, self.twist)
            period_s = TICK_NS * 1e-9
            driven = self.driving.step(
                self.pose, self.pose, self.twist, self.waypoints, period_s, now_ns, now_ns
            )
            self.verdict = driven.verdict
            self.reasons.add(driven.verdict.reason)
            self.waypoints = [w for w in self.waypoints if w.sequence_id not in driven.reached]
            command = driven.verdict.command
            self.twist = Twist(command.forward_mps, 0.0, command.yaw_rate_radps)
            self.pose = self.pose @ moved_by(self.twist, period_s)
            self.aside_m = max(self.aside_m, abs(self.pose.y_m))
            self.least_m = min(self.least_m, self.clearance_m())
            self.ticks += 1
            if not self.waypoints:
                break
        return self

    def clearance_m(self) -> float:
        base_from_map = self.pose.inverse()
        return min(
            (
                signed_distance_m(*base_from_map.transform(x_m, y_m), FOOTPRINT) - radius_m
                for x_m, y_m, radius_m in self.discs
            ),
            default=math.inf,
        )


PALLET = [(3.0, -0.2, 0.25), (3.0, 0.2, 0.25)]


def test_without_a_corridor_the_robot_stands_before_what_blocks_the_line() -> None:
    robot = Robot(PALLET, [waypoint(2, 6.0)]).run(20.0)
    assert robot.verdict.reason is StopReason.OBSTACLE
    assert robot.driving.field_violated
    assert robot.driving.is_blocked
    assert robot.pose.x_m < 3.0 - 0.25 - 0.35 - 0.4
    assert robot.aside_m < 0.02


def test_in_a_corridor_it_goes_around_and_comes_back_to_the_line() -> None:
    corridor = Corridor(1.6, 1.6)
    robot = Robot(PALLET, [waypoint(2, 6.0, corridor), waypoint(4, 8.0, corridor)]).run(40.0)
    assert robot.waypoints == []
    assert abs(robot.pose.y_m) < 0.05
    assert 0.5 < robot.aside_m < 1.6
    assert robot.least_m > LIMITS.margin_m - 0.01


@pytest.mark.parametrize(("corridor", "side"), [((1.6, 0.0), 1.0), ((0.0, 1.6), -1.0)])
def test_it_goes_around_on_the_side_where_the_corridor_is(
    corridor: tuple[float, float], side: float
) -> None:
    robot = Robot(PALLET, [waypoint(2, 6.0, Corridor(*corridor))])
    while robot.pose.x_m < 3.0 and robot.ticks < 2000:
        robot.run(0.1)
    assert side * robot.pose.y_m > 0.4
    assert robot.run(30.0).waypoints == []


def test_a_corridor_that_is_too_narrow_is_not_left() -> None:
    robot = Robot(PALLET, [waypoint(2, 6.0, Corridor(0.3, 0.3))]).run(15.0)
    assert robot.waypoints
    assert robot.aside_m < 0.3 + 0.1
    assert robot.least_m > LIMITS.margin_m - 0.01


def test_a_free_line_is_followed_exactly_although_there_is_a_corridor() -> None:
    robot = Robot([(3.0, 1.5, 0.2)], [waypoint(2, 6.0, Corridor(1.0, 1.0))]).run(20.0)
    assert robot.waypoints == []
    assert robot.aside_m < 0.02


def test_configured_fields_slow_and_stop() -> None:
    beside = [(3.0, 0.6, 0.2)]
    slow = FieldParams(name="slow", ahead_m=1.0, beside_m=0.4, speed_mps=0.2)
    robot = Robot(beside, [waypoint(2, 6.0)], fields=(slow,))
    while robot.pose.x_m < 2.5:
        robot.run(0.1)
    assert robot.twist.forward_mps == pytest.approx(0.2, abs=0.01)
    stop = FieldParams(name="stop", kind=FieldKind.STOP, ahead_m=1.0, beside_m=0.4)
    robot = Robot(beside, [waypoint(2, 6.0)], fields=(stop,)).run(8.0)
    assert robot.verdict.reason is StopReason.OBSTACLE
    assert robot.driving.field_violated
    assert robot.pose.x_m < 3.0 - 0.2 - 0.35 - 0.8


def test_nothing_left_to_reach_is_a_stop_without_a_reason() -> None:
    robot = Robot([], [])
    robot.run(0.1)
    assert robot.verdict.command.is_stop
    assert robot.verdict.reason is None


WALL = (3.0, -4.0, 3.3, 2.0)


def test_where_the_line_crosses_a_wall_it_goes_around() -> None:
    robot = Robot([], [waypoint(2, 6.0), waypoint(4, 8.0)], walls=(WALL,))
    robot.run(0.02)
    assert robot.verdict.reason is StopReason.ROUTE_SEARCH
    robot.run(60.0)
    assert robot.waypoints == []
    assert abs(robot.pose.y_m) < 0.05
    assert robot.aside_m > 2.0
    assert robot.least_m > LIMITS.margin_m - 0.01
    assert robot.reasons <= {None, StopReason.ROUTE_SEARCH}


def test_a_search_takes_as_many_steps_each_time() -> None:
    """Its slices are told by counts and not by clocks, so that a replay does the same."""
    steps, paths = [], []
    for _ in range(2):
        robot = Robot([], [waypoint(2, 6.0)], walls=(WALL,))
        while robot.run(0.02).verdict.reason is StopReason.ROUTE_SEARCH:
            assert robot.ticks < 50
        steps.append(robot.ticks)
        paths.append(robot.driving.planned_path_m)
    assert steps[0] == steps[1] > 3
    np.testing.assert_array_equal(*paths)


def test_where_no_way_leads_it_stands_and_says_so() -> None:
    closed = (3.0, -8.0, 3.3, 8.0)
    robot = Robot([], [waypoint(2, 6.0)], walls=(closed,), params=DrivingParams(patience_s=1.0))
    robot.run(3.0)
    assert robot.verdict.reason is StopReason.NO_ROUTE
    assert robot.driving.obstruction == Obstruction.NO_WAY
    assert robot.pose == Pose2.identity()
    assert len(robot.driving.planned_path_m) == 0
    # It looks again at times, and does not say otherwise meanwhile.
    assert robot.reasons == {StopReason.ROUTE_SEARCH, StopReason.NO_ROUTE}
    robot.waypoints = []
    robot.run(0.1)
    assert robot.driving.obstruction is None


def test_a_corridor_bounds_the_route() -> None:
    wide, narrow = Corridor(4.0, 0.5), Corridor(1.5, 1.5)
    robot = Robot([], [waypoint(2, 6.0, wide)], walls=(WALL,)).run(60.0)
    assert robot.waypoints == []
    assert 2.0 < robot.aside_m < 4.0
    robot = Robot([], [waypoint(2, 6.0, narrow)], walls=(WALL,)).run(4.0)
    assert robot.driving.obstruction == Obstruction.CORRIDOR_TOO_NARROW


def test_only_the_leg_through_a_wall_becomes_a_route() -> None:
    robot = Robot([], [waypoint(2, 1.5), waypoint(4, 6.0), waypoint(6, 8.0)], walls=(WALL,))
    while robot.pose.x_m < 1.4:
        robot.run(0.02)
        assert abs(robot.pose.y_m) < 0.02
        np.testing.assert_allclose(robot.driving.planned_path_m[1:], [[1.5, 0.0]])
    while robot.waypoints[0].sequence_id != 6:
        robot.run(0.02)
    assert robot.aside_m > 2.0
    robot.aside_m = 0.0
    assert robot.run(20.0).waypoints == []
    assert robot.aside_m < 0.05


def test_the_planned_path_is_what_is_driven() -> None:
    robot = Robot([], [waypoint(2, 6.0), waypoint(4, 8.0)], walls=(WALL,))
    while robot.run(0.02).twist == Twist():
        pass
    planned = robot.driving.planned_path_m
    driven = []
    while len(robot.waypoints) == 2:
        robot.run(0.1)
        driven.append((robot.pose.x_m, robot.pose.y_m))
    away = np.hypot(*(np.array(driven)[:, None, :] - planned[None, :, :]).transpose(2, 0, 1))
    assert away.min(axis=1).max() < 0.1
    assert planned[-1] == pytest.approx((6.0, 0.0), abs=1e-6)


def test_a_line_that_may_be_left_is_left_after_a_while() -> None:
    params = DrivingParams(blocked_line=OffLine.LEAVE, patience_s=2.0)
    robot = Robot(PALLET, [waypoint(2, 6.0)], params=params).run(4.0)
    assert robot.reasons >= {StopReason.OBSTACLE}
    assert robot.aside_m < 0.02
    robot.run(30.0)
    assert robot.waypoints == []
    assert robot.aside_m > 0.5
    assert robot.least_m > LIMITS.margin_m - 0.01


@pytest.mark.slow
def test_what_blocks_a_route_is_gone_around_or_backed_away_from() -> None:
    """The passage beside the wall is closed by something that the map does not know."""
    other = (3.0, 4.0, 3.3, 8.0)
    stopper = [(3.15, y, 0.15) for y in np.arange(2.2, 4.0, 0.2)]
    params = DrivingParams(patience_s=2.0)
    second = (3.0, -8.0, 3.3, -5.5)
    robot = Robot(stopper, [waypoint(2, 6.0)], walls=(WALL, other, second), params=params)
    robot.run(80.0)
    assert robot.waypoints == []
    assert robot.least_m > LIMITS.margin_m - 0.01


@pytest.mark.slow
def test_it_counts_as_blocked_only_where_no_other_way_is_found() -> None:
    other = (3.0, 4.0, 3.3, 8.0)
    lower = (3.0, -8.0, 3.3, -4.0)
    stopper = [(3.15, y, 0.15) for y in np.arange(2.2, 4.0, 0.2)]
    params = DrivingParams(patience_s=2.0)
    robot = Robot(stopper, [waypoint(2, 6.0)], walls=(WALL, other, lower), params=params)
    while not robot.driving.is_blocked:
        robot.run(0.1)
        assert robot.ticks < 2500
    assert robot.aside_m > 1.5
    assert robot.pose.x_m < 3.0
    robot.discs = [disc for disc in robot.discs if disc not in stopper]
    assert robot.run(40.0).waypoints == []
    assert not robot.driving.is_blocked


@pytest.mark.slow
def test_out_of_a_dead_end_it_backs() -> None:
    alley = ((-0.6, 0.35, 1.2, 0.5), (-0.6, -0.5, 1.2, -0.35), (0.6, -0.5, 0.75, 0.5))
    goal = Waypoint(2, -3.0, 2.0, 0.0, 0.3, 0.1)
    robot = Robot([], [goal], walls=alley)
    while robot.run(0.02).twist.forward_mps == 0.0:
        pass
    assert robot.twist.forward_mps < 0.0
    robot.run(40.0)
    assert robot.waypoints == []
    assert math.dist((robot.pose.x_m, robot.pose.y_m), (-3.0, 2.0)) < 0.1
    assert abs(robot.pose.yaw_rad) < 0.1
    assert robot.least_m > LIMITS.margin_m - 0.01


def test_a_stop_from_outside_begins_the_search_anew() -> None:
    robot = Robot([], [waypoint(2, 6.0)], walls=(WALL,)).run(0.04)
    assert robot.verdict.reason is StopReason.ROUTE_SEARCH
    robot.driving.stop(robot.ticks * TICK_NS, StopReason.E_STOP)
    robot.pose = Pose2(4.5, 3.0, 0.0)
    robot.run(0.02)
    # From its new place it gets there straight.
    assert robot.verdict.reason is not StopReason.ROUTE_SEARCH
    np.testing.assert_allclose(robot.driving.planned_path_m, [[4.5, 3.0], [6.0, 0.0]])
