"""The governor by itself: whatever is asked for, what passes can be stopped."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.avoidance.governor import COMMAND_LIFETIME_NS, Governor, StopReason
from agent.avoidance.motion import MotionLimits
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist, moved_by
from agent.kernels.clearance import signed_distance_m
from tests.examples import examples

LIMITS = MotionLimits(speed_mps=1.5, yaw_rate_radps=1.5)
FOOTPRINT = rectangle(0.9, 0.6)
CYCLE_S = 0.05
STEP_S = 0.005

coordinates = st.floats(-3.0, 3.0)
Points = list[tuple[float, float]]
obstacle_lists = st.lists(st.tuples(coordinates, coordinates), max_size=10)
twists = st.builds(Twist, st.floats(-2.0, 2.0), st.just(0.0), st.floats(-2.0, 2.0))
Planner = Callable[[int], Twist]


def governor_seeing(points: Points, limits: MotionLimits = LIMITS) -> Governor:
    governor = Governor(limits, FOOTPRINT)
    governor.see(np.array(points, np.float64).reshape(-1, 2), 0)
    return governor


def clearance_m(points: np.ndarray, poses: list[Pose2]) -> float:
    """Return the distance of the nearest point from the footprint, not positive inside."""
    x, y, yaw = np.array([(pose.x_m, pose.y_m, pose.yaw_rad) for pose in poses]).T[:, :, None]
    dx, dy = points[:, 0] - x, points[:, 1] - y
    ahead, aside = np.cos(yaw) * dx + np.sin(yaw) * dy, np.cos(yaw) * dy - np.sin(yaw) * dx
    beyond = np.abs(np.stack((ahead, aside), axis=-1)) - FOOTPRINT.max(axis=0)
    outside = np.hypot(*np.moveaxis(np.maximum(beyond, 0.0), -1, 0))
    return float(np.where(outside > 0.0, outside, beyond.max(axis=-1)).min(initial=math.inf))


class Base:
    """A base that obeys after its latency, within its limits."""

    def __init__(self) -> None:
        self.pose, self.forward, self.turn = Pose2.identity(), 0.0, 0.0

    def copy(self) -> "Base":
        twin = Base()
        twin.pose, twin.forward, twin.turn = self.pose, self.forward, self.turn
        return twin

    def drive(self, command: Twist, time_s: float, points: np.ndarray) -> float:
        """Return the least clearance on the way."""
        poses = []
        for _ in range(round(time_s / STEP_S)):
            self.forward = toward(self.forward, command.forward_mps, (0.8, 1.0))
            self.turn = toward(self.turn, command.yaw_rate_radps, (1.5, 2.0))
            self.pose = self.pose @ moved_by(Twist(self.forward, 0.0, self.turn), STEP_S)
            poses.append(self.pose)
        return clearance_m(points, poses)


def toward(present: float, wanted: float, rates: tuple[float, float]) -> float:
    slowing = present * (wanted - present) < 0.0
    most = STEP_S * rates[1 if slowing else 0]
    return present + min(most, max(-most, wanted - present))


PLANNERS: dict[str, Callable[[np.random.Generator], Planner]] = {
    "always full speed": lambda rng: lambda k: Twist(9.0, 0.0, 0.0),
    "always backwards": lambda rng: lambda k: Twist(-9.0, 0.0, 0.3),
    "spinning": lambda rng: lambda k: Twist(0.0, 0.0, 9.0),
    "wild": lambda rng: lambda k: Twist(*(rng.normal(0.0, 2.0, 3) * (1.0, 0.0, 1.0)).tolist()),
    "to and fro": lambda rng: lambda k: Twist(3.0 if k // 30 % 2 else -3.0, 0.0, 1.0),
}


@pytest.mark.parametrize("name", PLANNERS)
@settings(deadline=None, max_examples=examples(6))
@given(seed=st.integers(0, 10_000))
def test_no_planner_gets_the_robot_to_touch_what_it_sees(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-2.5, 2.5, (int(rng.integers(1, 25)), 2))
    points = points[[signed_distance_m(x, y, FOOTPRINT) > 0.1 for x, y in points]]
    planner, base = PLANNERS[name](rng), Base()
    governor, pending = Governor(LIMITS, FOOTPRINT), Twist()
    for k in range(60):
        base_from_world = base.pose.inverse()
        seen = np.array([base_from_world.transform(x, y) for x, y in points]).reshape(-1, 2)
        now_ns = round(k * CYCLE_S * 1e9)
        governor.see(seen, now_ns)
        present = Twist(base.forward, 0.0, base.turn)
        command = governor.govern(planner(k), present, CYCLE_S, now_ns).command
        assert base.drive(pending, LIMITS.base_latency_s, points) > 0.0
        # From then on, full braking ends before anything is touched.
        if k % 3 == 0:
            assert base.copy().drive(Twist(), 2.5, points) > 0.0
        pending = Twist(command.forward_mps, 0.0, command.yaw_rate_radps)


@given(obstacle_lists, twists, twists, st.floats(0.001, 0.1))
def test_never_faster_than_asked_nor_than_allowed(
    points: Points, wanted: Twist, present: Twist, period_s: float
) -> None:
    command = governor_seeing(points).govern(wanted, present, period_s, 0).command
    assert abs(command.forward_mps) <= min(abs(wanted.forward_mps), LIMITS.speed_mps) + 1e-12
    assert abs(command.yaw_rate_radps) <= (
        min(abs(wanted.yaw_rate_radps), LIMITS.yaw_rate_radps) + 1e-12
    )
    assert abs(command.forward_mps) <= LIMITS.acceleration_mps2 * period_s + 1e-12
    assert abs(command.yaw_rate_radps) <= LIMITS.yaw_acceleration_radps2 * period_s + 1e-12


@given(obstacle_lists, st.tuples(coordinates, coordinates), twists)
def test_another_obstacle_never_raises_the_speed(
    points: Points, extra: tuple[float, float], wanted: Twist
) -> None:
    before = governor_seeing(points).govern(wanted, Twist(), 10.0, 0).command
    after = governor_seeing([*points, extra]).govern(wanted, Twist(), 10.0, 0).command
    assert abs(after.forward_mps) <= abs(before.forward_mps) + 1e-12


@given(obstacle_lists, twists, st.floats(0.1, 1.0))
def test_a_lower_limit_never_raises_the_speed(points: Points, wanted: Twist, share: float) -> None:
    lower = MotionLimits(speed_mps=share * LIMITS.speed_mps, yaw_rate_radps=LIMITS.yaw_rate_radps)
    before = governor_seeing([]).govern(wanted, Twist(), 10.0, 0).command
    after = governor_seeing(points, lower).govern(wanted, Twist(), 10.0, 0).command
    assert abs(after.forward_mps) <= min(abs(before.forward_mps), lower.speed_mps) + 1e-12


@given(obstacle_lists, twists, twists)
def test_a_mirrored_world_mirrors_the_command(
    points: Points, wanted: Twist, present: Twist
) -> None:
    def mirror(twist: Twist) -> Twist:
        return Twist(twist.forward_mps, 0.0, -twist.yaw_rate_radps)

    plain = governor_seeing(points).govern(wanted, present, 10.0, 0).command
    mirrored = governor_seeing([(x, -y) for x, y in points])
    image = mirrored.govern(mirror(wanted), mirror(present), 10.0, 0).command
    assert image.forward_mps == pytest.approx(plain.forward_mps, abs=0.05)
    assert image.yaw_rate_radps == pytest.approx(-plain.yaw_rate_radps, abs=0.05)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_command_that_is_no_number_means_stop(bad: float) -> None:
    for twist in (Twist(bad), Twist(0.0, bad), Twist(0.0, 0.0, bad)):
        for wanted, present in ((twist, Twist()), (Twist(), twist)):
            verdict = governor_seeing([]).govern(wanted, present, 0.02, 0)
            assert verdict.command.is_stop
            assert verdict.reason is StopReason.BAD_COMMAND


def test_without_a_scan_nothing_moves() -> None:
    verdict = Governor(LIMITS, FOOTPRINT).govern(Twist(1.0), Twist(), 0.02, 0)
    assert verdict.command.is_stop
    assert verdict.reason is StopReason.NO_SCAN


def test_a_wall_ahead_stops_and_says_so_but_lets_back_off() -> None:
    wall = [(0.48, y / 20) for y in range(-8, 9)]
    ahead = governor_seeing(wall).govern(Twist(1.0), Twist(), 1.0, 0)
    assert ahead.command.is_stop
    assert ahead.reason is StopReason.OBSTACLE
    back = governor_seeing(wall).govern(Twist(-0.2), Twist(), 1.0, 0)
    assert back.command.forward_mps == pytest.approx(-0.2)


def test_what_comes_towards_the_robot_slows_it_although_it_is_far() -> None:
    def speed(velocity: float) -> float:
        governor = Governor(LIMITS, FOOTPRINT)
        governor.see(np.empty((0, 2)), 0, np.array([[3.0, 0.0, velocity, 0.0, 0.3]]))
        return governor.govern(Twist(1.5), Twist(1.2), 1.0, 0).command.forward_mps

    assert speed(0.0) == pytest.approx(1.5 if LIMITS.acceleration_mps2 > 1.5 else 0.8)
    assert speed(-1.9) < 0.5 * speed(0.0)


def test_commands_expire() -> None:
    verdict = governor_seeing([]).govern(Twist(0.5), Twist(), 1.0, 7)
    assert verdict.command.valid_until_ns == 7 + COMMAND_LIFETIME_NS
