import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.avoidance.governor import COMMAND_LIFETIME_NS, Governor, MotionLimits, StopReason
from agent.geometry.polygon import rectangle
from tests.reference.clearance_reference import clearance_m

LIMITS = MotionLimits(speed_mps=1.5, yaw_rate_radps=1.5)
FOOTPRINT = rectangle(0.9, 0.6)
AGE_NS = 150_000_000

coordinates = st.floats(-3.0, 3.0)
obstacle_lists = st.lists(st.tuples(coordinates, coordinates), max_size=10)
twists = st.tuples(st.floats(-2.0, 2.0), st.floats(-2.0, 2.0))


def governor_seeing(points: list[tuple[float, float]]) -> Governor:
    governor = Governor(LIMITS, FOOTPRINT)
    governor.see(np.array(points, np.float64).reshape(-1, 2), 0)
    return governor


@given(obstacle_lists, twists)
def test_whatever_passes_can_be_stopped_before_the_footprint_touches(points, twist) -> None:
    obstacles = np.array(points).reshape(-1, 2)
    if clearance_m(obstacles, FOOTPRINT, (0.0, 0.0), 0.0) <= LIMITS.margin_m:
        return
    command = governor_seeing(points).govern(*twist, 10.0, AGE_NS).command
    v, w = command.forward_mps, command.yaw_rate_radps
    brake_s = max(abs(v) / LIMITS.deceleration_mps2, abs(w) / LIMITS.yaw_deceleration_radps2)
    travelled_s = AGE_NS * 1e-9 + LIMITS.base_latency_s + brake_s / 2
    for time_s in np.linspace(0.0, travelled_s, 25):
        assert clearance_m(obstacles, FOOTPRINT, (v, w), time_s) > 0.0


@given(obstacle_lists, twists, st.floats(0.001, 0.1))
def test_never_faster_than_asked_nor_than_allowed(points, twist, period_s) -> None:
    command = governor_seeing(points).govern(*twist, period_s, AGE_NS).command
    assert abs(command.forward_mps) <= min(abs(twist[0]), LIMITS.speed_mps) + 1e-12
    assert abs(command.yaw_rate_radps) <= min(abs(twist[1]), LIMITS.yaw_rate_radps) + 1e-12
    assert abs(command.forward_mps) <= LIMITS.acceleration_mps2 * period_s + 1e-12
    assert abs(command.yaw_rate_radps) <= LIMITS.yaw_acceleration_radps2 * period_s + 1e-12


@given(obstacle_lists, st.tuples(coordinates, coordinates), twists)
def test_another_obstacle_never_raises_the_speed(points, extra, twist) -> None:
    before = governor_seeing(points).govern(*twist, 10.0, AGE_NS).command
    after = governor_seeing([*points, extra]).govern(*twist, 10.0, AGE_NS).command
    assert abs(after.forward_mps) <= abs(before.forward_mps) + 1e-12


@given(obstacle_lists, twists)
def test_a_mirrored_world_mirrors_the_command(points, twist) -> None:
    plain = governor_seeing(points).govern(*twist, 10.0, AGE_NS).command
    mirrored = governor_seeing([(x, -y) for x, y in points])
    mirror = mirrored.govern(twist[0], -twist[1], 10.0, AGE_NS).command
    assert mirror.forward_mps == pytest.approx(plain.forward_mps, abs=0.02)
    assert mirror.yaw_rate_radps == pytest.approx(-plain.yaw_rate_radps, abs=0.02)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_command_that_is_no_number_means_stop(bad: float) -> None:
    for twist in ((bad, 0.0), (0.0, bad)):
        verdict = governor_seeing([]).govern(*twist, 0.02, AGE_NS)
        assert verdict.command.is_stop
        assert verdict.reason is StopReason.BAD_COMMAND


def test_without_a_scan_nothing_moves() -> None:
    verdict = Governor(LIMITS, FOOTPRINT).govern(1.0, 0.0, 0.02, 0)
    assert verdict.command.is_stop
    assert verdict.reason is StopReason.NO_SCAN


def test_a_wall_ahead_stops_and_says_so_but_lets_back_off() -> None:
    wall = [(0.50, y / 20) for y in range(-8, 9)]
    ahead = governor_seeing(wall).govern(1.0, 0.0, 1.0, AGE_NS)
    assert ahead.command.is_stop
    assert ahead.reason is StopReason.OBSTACLE
    back = governor_seeing(wall).govern(-0.2, 0.0, 1.0, AGE_NS)
    assert back.command.forward_mps == pytest.approx(-0.2)


def test_commands_expire() -> None:
    assert governor_seeing([]).govern(0.5, 0.0, 1.0, 7).command.valid_until_ns == (
        7 + COMMAND_LIFETIME_NS
    )
