import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.plant.robot import DifferentialDrive, DriveParameters, roll
from hil.plant.world import Pose

speed = st.floats(-25.0, 25.0)


def drive(**parameters):
    return DifferentialDrive(DriveParameters(**parameters), np.random.default_rng(1))


@given(st.lists(st.tuples(speed, speed, st.booleans()), min_size=1, max_size=30))
def test_wheels_never_exceed_their_limits(commands):
    wheels = drive(max_speed_mps=1.5, acceleration_mps2=0.8, deceleration_mps2=1.6, brake_mps2=3.0)
    for left, right, braked in commands:
        wheels.set_wheel_speeds(left, right)
        wheels.set_brake(braked)
        before = wheels.speeds_mps
        wheels.step(0.05)
        for was, now in zip(before, wheels.speeds_mps, strict=True):
            assert abs(now) <= 1.5 + 1e-12
            assert was * now >= 0.0, "a wheel passes through standstill"
            if abs(now) > abs(was):
                assert abs(now - was) <= 0.8 * 0.05 + 1e-12
            else:
                assert abs(now - was) <= (3.0 if braked else 1.6) * 0.05 + 1e-12


def test_time_to_speed_and_to_standstill():
    wheels = drive(acceleration_mps2=1.0, deceleration_mps2=2.0)
    wheels.set_wheel_speeds(10.0, 10.0)
    travelled = sum(wheels.step(0.001)[0] for _ in range(1000))
    assert wheels.speeds_mps == pytest.approx((1.0, 1.0))
    assert travelled == pytest.approx(0.5)
    wheels.set_wheel_speeds(0.0, 0.0)
    assert sum(wheels.step(0.001)[1] for _ in range(500)) == pytest.approx(0.25)
    assert wheels.speeds_mps == pytest.approx((0.0, 0.0), abs=1e-12)


@given(st.floats(-3, 3), st.floats(-3, 3), st.integers(1, 20))
def test_an_arc_is_exact_however_it_is_cut(left, right, pieces):
    whole = roll(Pose(1.0, 2.0, 0.5), left, right, 0.5)
    pose = Pose(1.0, 2.0, 0.5)
    for _ in range(pieces):
        pose = roll(pose, left / pieces, right / pieces, 0.5)
    assert pose == pytest.approx(whole, abs=1e-7)


def test_a_quarter_turn_on_a_known_circle():
    pose = roll(Pose(0.0, 0.0, 0.0), 0.5 * math.pi * 0.75, 0.5 * math.pi * 1.25, 0.5)
    assert pose == pytest.approx((1.0, 1.0, math.pi / 2))


@given(st.lists(st.tuples(speed, speed), min_size=1, max_size=20))
def test_encoders_round_what_was_rolled_and_lose_nothing(commands):
    wheels = drive(counts_per_turn=512)
    left_m = right_m = 0.0
    for left, right in commands:
        wheels.set_wheel_speeds(left, right)
        step_left, step_right = wheels.step(0.02)
        left_m, right_m = left_m + step_left, right_m + step_right
    per_m = 512 / (math.tau * 0.1)
    for count, rolled_m in zip(wheels.encoder_counts(), (left_m, right_m), strict=True):
        assert isinstance(count, int)
        assert -1e-6 <= rolled_m * per_m - count <= 1.0 + 1e-6


def test_slip_and_scale_move_the_robot_but_not_the_encoder():
    true, nominal = drive(left_scale=1.02, slip_m_per_sqrt_m=0.01), drive()
    ways = []
    for wheels in (true, nominal):
        wheels.set_wheel_speeds(10.0, 10.0)
        ways.append(np.sum([wheels.step(0.001) for _ in range(20_000)], axis=0))
    assert true.encoder_counts() == nominal.encoder_counts()
    error = ways[0] - ways[1]
    assert error[0] == pytest.approx(0.02 * ways[1][0], abs=4 * 0.01 * math.sqrt(ways[1][0]))
    assert 1e-6 < abs(error[1]) < 4 * 0.01 * math.sqrt(ways[1][1])
