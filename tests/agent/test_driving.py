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
from agent.driving import Driving
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist, moved_by
from agent.kernels.clearance import signed_distance_m
from agent.route.follower import FollowerParams, PathFollower
from agent.route.path import Corridor, Waypoint
from drivers.measurement import Scan

TICK_NS = 20_000_000
SCAN_TICKS = 5
FOOTPRINT = rectangle(0.7, 0.5)
LIMITS = MotionLimits()
BEARINGS = np.linspace(-math.pi, math.pi, 720, endpoint=False).astype(np.float32)
REACH_M = 12.0


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

    def __post_init__(self) -> None:
        mounts = {"lidar": LidarMount(Pose2.identity())}
        field_ = ProtectiveField(ProtectiveFieldParams(), FOOTPRINT, LIMITS.deceleration_mps2)
        navigator = Navigator(LIMITS, FOOTPRINT, mounts)
        self.driving = Driving(
            PathFollower(FollowerParams()), field_, Fields(self.fields, FOOTPRINT), navigator
        )

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
    robot = Robot(PALLET, [waypoint(2, 6.0, Corridor(0.3, 0.3))]).run(25.0)
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
