import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.kernels.clearance import signed_distance_m
from agent.kernels.stopping import (
    allowed_gap_m,
    least_slack_m,
    range_noise_m,
    smooth_ranges,
    stopping_poses,
    within_reach,
)

ACCELERATION, DECELERATION = np.array([0.8, 0.8, 1.5]), np.array([1.0, 1.0, 2.0])
FOOTPRINT = rectangle(0.8, 0.6)
RADIUS_M, STEP_M = 0.5, 0.02
NOTHING = np.empty((0, 5))
twists = st.tuples(st.floats(-1.5, 1.5), st.floats(-0.5, 0.5), st.floats(-1.5, 1.5))


def path(present, pending, command, react_s, hold_s, together) -> np.ndarray:
    poses = np.empty((2000, 4))
    before = np.array([[*pending, react_s]])
    count = stopping_poses(
        np.array(present), before, np.array(command), hold_s, ACCELERATION, DECELERATION,
        together, RADIUS_M, STEP_M, poses,
    )  # fmt: skip
    assert count < len(poses)
    return poses[:count]


@given(st.floats(0.1, 1.5), st.floats(0.0, 0.3), st.floats(0.01, 0.2), st.booleans())
def test_on_a_straight_the_way_is_that_of_the_textbook(speed, react_s, hold_s, together) -> None:
    straight = (speed, 0.0, 0.0)
    way = path(straight, straight, straight, react_s, hold_s, together)
    expected = speed * (react_s + hold_s) + speed * speed / (2.0 * DECELERATION[0])
    assert way[-1, 0] == pytest.approx(expected, abs=0.03)
    assert way[:, 1:3] == pytest.approx(0.0)
    assert (np.diff(way[:, 3]) > 0.0).all()


@settings(deadline=None)
@given(twists, twists, twists, st.booleans())
def test_no_point_of_the_footprint_moves_farther_than_a_step(
    present, pending, command, together
) -> None:
    way = np.vstack(([0.0, 0.0, 0.0, 0.0], path(present, pending, command, 0.05, 0.1, together)))
    moved = np.hypot(np.diff(way[:, 0]), np.diff(way[:, 1]))
    swept = moved + RADIUS_M * np.abs(np.diff(way[:, 2]))
    # One step more than planned while speeds still grow, and steps have a least duration.
    assert swept.max(initial=0.0) < STEP_M + 0.012


def test_what_was_told_before_is_done_one_after_the_other() -> None:
    poses = np.empty((2000, 4))
    before = np.array([[1.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 2.0], [-1.0, 0.0, 0.0, 2.5]])
    count = stopping_poses(
        np.array([1.0, 0.0, 0.0]), before, np.zeros(3), 0.1, np.full(3, 10.0), np.full(3, 10.0),
        False, RADIUS_M, STEP_M, poses,
    )  # fmt: skip
    times, xs = poses[:count, 3], poses[:count, 0]
    assert np.interp([0.5, 1.0, 2.0, 2.5], times, xs) == pytest.approx(
        [0.5, 0.55, 0.55, 0.1], abs=0.05
    )


def test_braking_together_keeps_the_arc() -> None:
    turn = (1.0, 0.0, 0.8)
    way = path(turn, turn, turn, 0.05, 0.05, True)
    centre = np.array([0.0, 1.0 / 0.8])
    assert np.hypot(way[:, 0] - centre[0], way[:, 1] - centre[1]) == pytest.approx(1.25, abs=0.01)


@settings(deadline=None)
@given(
    twists,
    st.lists(st.tuples(st.floats(-2.0, 2.0), st.floats(-2.0, 2.0)), max_size=8),
    st.floats(0.01, 0.2),
)
def test_there_is_slack_as_long_as_the_way_keeps_the_margin(twist, points, margin) -> None:
    way = path(twist, twist, twist, 0.05, 0.05, False)
    table = np.array(points, np.float64).reshape(-1, 2)
    found = least_slack_m(way, FOOTPRINT, RADIUS_M, margin, table, NOTHING, 0.0)
    least = margin
    for x, y in points:
        allowed = allowed_gap_m(signed_distance_m(x, y, FOOTPRINT), margin)
        for pose in way:
            at = Pose2(*pose[:3].tolist()).inverse().transform(x, y)
            least = min(least, signed_distance_m(*at, FOOTPRINT) - allowed)
    # What stays beyond the margin need not be told apart.
    assert (found < 0.0) == (least < 0.0) or abs(least) < 1e-9
    assert least - 1e-9 <= found <= margin


def test_inside_the_margin_nothing_may_come_nearer_again_and_again() -> None:
    gap = 0.2
    for _ in range(1000):
        gap = min(gap, allowed_gap_m(gap, 0.1))
    assert 0.098 < gap <= 0.1
    assert allowed_gap_m(0.03, 0.1) == pytest.approx(0.03, abs=2e-6)
    assert allowed_gap_m(-0.2, 0.1) == pytest.approx(-0.2, abs=2e-6)


def test_what_moves_is_met_at_its_time() -> None:
    still = np.array([[0.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 1.0]])
    coming = np.array([[2.0, 0.0, -1.0, 0.0, 0.3]])
    assert least_slack_m(still, FOOTPRINT, RADIUS_M, 0.1, NOTHING[:, :2], coming, 0.0) == 0.1
    slack = least_slack_m(still, FOOTPRINT, RADIUS_M, 0.1, NOTHING[:, :2], coming, 0.5)
    assert slack == pytest.approx(2.0 - 1.5 - 0.4 - 0.3 - 0.1)


def test_noise_is_smoothed_along_a_wall_and_edges_stay() -> None:
    rng = np.random.default_rng(1)
    angles = np.linspace(-1.0, 1.0, 400).astype(np.float32)
    wall = 1.0 / np.cos(angles)
    wall[200:] += 1.0
    noisy = (wall + 0.03 * rng.standard_normal(400)).astype(np.float32)
    noisy[50] = math.nan
    for array in (angles, noisy):
        array.setflags(write=False)  # as in a scan
    smooth = np.empty_like(noisy)
    smooth_ranges(angles, noisy, 0.06, 0.03, smooth)
    assert math.isnan(smooth[50])
    good = np.isfinite(smooth)
    assert np.std((smooth - wall)[good]) < 0.5 * np.std((noisy - wall)[good])
    assert smooth[199] < 1.3
    assert smooth[200] > 1.7


@given(st.integers(0, 2**32 - 1), st.integers(0, 200), st.floats(0.0, 5.0))
def test_what_is_within_reach_is_kept_in_order(seed: int, count: int, reach_m: float) -> None:
    points_m = np.random.default_rng(seed).normal(0.0, 2.0, (count, 2))
    near_m = np.empty_like(points_m)
    found = near_m[: within_reach(points_m, reach_m, near_m)]
    away_m = (points_m**2).sum(axis=1)
    np.testing.assert_array_equal(found, points_m[away_m < reach_m * reach_m])


@given(st.integers(0, 2**32 - 1), st.integers(0, 100), st.floats(0.0, 0.9))
def test_noise_is_that_of_the_median_bend(seed: int, count: int, gone: float) -> None:
    rng = np.random.default_rng(seed)
    ranges_m = rng.uniform(0.1, 10.0, count).astype(np.float32)
    ranges_m[rng.random(count) < gone] = np.nan
    bends = np.abs(np.diff(ranges_m, 2)) if count > 2 else np.empty(0)
    bends = bends[np.isfinite(bends)]
    expected = np.median(bends) / (0.6745 * math.sqrt(6.0)) if len(bends) else math.nan
    assert range_noise_m(ranges_m) == pytest.approx(expected, rel=1e-4, abs=1e-6, nan_ok=True)
