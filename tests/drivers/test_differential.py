import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base.differential import DifferentialOdometry, wrap_difference

MS = 1_000_000
PER_METRE = 10_000.0
TRACK_M = 0.5


def build(max_wheel_mps=2.0, bits=32):
    return DifferentialOdometry(PER_METRE, TRACK_M, max_wheel_mps, bits)


def drive(odometry, counts, step_ms=20):
    return [
        odometry.update(pair, i * step_ms * MS, i * step_ms * MS) for i, pair in enumerate(counts)
    ]


@given(st.sampled_from([8, 16, 32]), st.integers(), st.data())
def test_a_difference_survives_the_wrap(bits, start, data):
    half = 1 << (bits - 1)
    way = data.draw(st.integers(-half, half - 1))
    mask = (1 << bits) - 1
    assert wrap_difference((start + way) & mask, start & mask, bits) == way


def test_published_wraps():
    assert wrap_difference(-(2**31), 2**31 - 1, 32) == 1
    assert wrap_difference(5, 65_530, 16) == 11


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-300, 300), st.integers(-300, 300))
def test_odometry_does_not_depend_on_where_the_counters_stand(zero, left, right):
    def path(start):
        signed = [
            tuple((start + i * step + 2**31) % 2**32 - 2**31 for step in (left, right))
            for i in range(10)
        ]
        return drive(build(), signed)

    assert path(zero) == path(0)


def test_straight():
    last = drive(build(), [(i * 100, i * 100) for i in range(51)])[-1]
    assert (last.x_m, last.y_m, last.yaw_rad) == pytest.approx((0.5, 0.0, 0.0))
    assert (last.forward_mps, last.yaw_rate_radps) == pytest.approx((0.5, 0.0))


def test_turning_on_the_spot():
    quarter = math.pi / 2 * TRACK_M / 2 * PER_METRE
    last = drive(build(), [(round(-quarter * i / 40), round(quarter * i / 40)) for i in range(41)])[
        -1
    ]
    assert math.hypot(last.x_m, last.y_m) < 1e-3
    assert last.yaw_rad == pytest.approx(math.pi / 2, abs=1e-3)
    assert last.yaw_rate_radps == pytest.approx(math.pi / 2 / 0.8, abs=1e-2)


@pytest.mark.parametrize("steps", [20, 400])
def test_a_circle_closes_whatever_the_step(steps):
    radius_m = 0.4
    left, right = (math.tau * (radius_m + side * TRACK_M / 2) * PER_METRE for side in (-1, 1))
    counts = [(round(left * i / steps), round(right * i / steps)) for i in range(steps + 1)]
    last = drive(build(), counts, step_ms=8000 // steps)[-1]
    assert math.hypot(last.x_m, last.y_m) < 1e-3
    assert math.remainder(last.yaw_rad, math.tau) == pytest.approx(0.0, abs=1e-3)


def test_heading_stays_in_its_range():
    for odometry in drive(build(), [(-i * 300, i * 300) for i in range(200)]):
        assert -math.pi <= odometry.yaw_rad < math.pi


def test_a_damaged_count_is_left_out():
    counts = [(i * 100, i * 100) for i in range(10)]
    damaged = [*counts[:4], (90_400, 400), *counts[5:]]
    found = drive(build(), damaged)
    assert [i for i, odometry in enumerate(found) if odometry is None] == [4]
    assert found[-1].x_m == pytest.approx(0.09)


def test_a_reset_counter_is_a_new_zero():
    counts = [(50_000 + i * 100, 50_000 + i * 100) for i in range(5)]
    found = drive(build(), [*counts, (0, 0), (100, 100), (200, 200), (300, 300)])
    assert found[5:7] == [None, None]
    assert found[7].x_m == pytest.approx(0.04)
    assert found[8].x_m == pytest.approx(0.05)


def test_forgotten_counts_keep_the_pose():
    odometry = build()
    drive(odometry, [(i * 100, i * 100) for i in range(5)])
    odometry.forget_counts()
    found = odometry.update((77_000, -5_000), 1000 * MS, 1000 * MS)
    assert (found.x_m, found.forward_mps) == (pytest.approx(0.04), 0.0)


def test_speed_is_measured_over_several_polls():
    odometry = build()
    found = [odometry.update((i * 100, i * 100), i * 20 * MS, 0) for i in range(5)]
    late = odometry.update((500, 500), (5 * 20 + 6) * MS, 0)
    assert found[-1].forward_mps == pytest.approx(0.5)
    assert abs(late.forward_mps - 0.5) < 0.06


def test_two_counts_at_one_time_give_no_speed():
    odometry = build()
    odometry.update((0, 0), 0, 0)
    assert odometry.update((10, 10), 0, 0).forward_mps == 0.0
