import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.kernels import tracking
from tests.reference import segments_reference as reference

HERE = np.zeros(2)
MARGIN_M = 0.1

seeds = st.integers(0, 2**32 - 1)
steps_s = st.floats(0.0, 1.0)


def tracks_of(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    roots = rng.normal(0.0, 0.3, (count, 5, 5))
    covariances = roots @ roots.transpose(0, 2, 1) + 1e-3 * np.eye(5)
    return rng.normal(0.0, 1.0, (count, 5)), covariances


def bodies_of(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    roots = rng.normal(0.0, 0.1, (count, 2, 3, 3))
    spreads = roots @ roots.transpose(0, 1, 3, 2) + 1e-4 * np.eye(3)
    return rng.normal(0.0, 1.0, (count, 2, 3)), spreads


def around(ranges) -> tuple[np.ndarray, np.ndarray]:
    bearings = np.linspace(-math.pi, math.pi, len(ranges), endpoint=False) + 1e-9
    return np.column_stack([ranges * np.cos(bearings), ranges * np.sin(bearings)]), bearings


@given(seeds, st.integers(1, 8), steps_s)
def test_prediction_agrees_with_the_matrices(seed: int, count: int, step_s: float) -> None:
    states, covariances = tracks_of(np.random.default_rng(seed), count)
    expected = [
        reference.advance(state, covariance, step_s, 0.3, 0.01)
        for state, covariance in zip(states, covariances, strict=True)
    ]
    tracking.advance(states, covariances, step_s, 0.3, 0.01)
    for found_state, found_covariance, (state, covariance) in zip(
        states, covariances, expected, strict=True
    ):
        assert found_state == pytest.approx(state)
        assert found_covariance == pytest.approx(covariance)


@given(seeds, st.booleans())
def test_correction_agrees_with_the_matrices(seed: int, as_disc: bool) -> None:
    rng = np.random.default_rng(seed)
    states, covariances = tracks_of(rng, 1)
    _, spreads = bodies_of(rng, 1)
    # Near enough to be no surprise, which has a test of its own.
    measured = np.tile(states[0, [0, 1, 4]], (1, 2, 1)) + rng.normal(0.0, 0.01, (1, 2, 3))
    kind = int(as_disc)
    state, covariance = reference.correct(
        states[0], covariances[0], measured[0, kind], spreads[0, kind]
    )
    tracking.correct(
        states, covariances, np.array([as_disc]), np.array([0]), measured, spreads, 0.1, 100.0
    )
    assert states[0] == pytest.approx(state, abs=1e-9)
    assert covariances[0] == pytest.approx(covariance, abs=1e-9)


def test_a_track_without_a_piece_is_left_alone() -> None:
    rng = np.random.default_rng(1)
    states, covariances = tracks_of(rng, 2)
    before = states.copy(), covariances.copy()
    none = np.full(2, tracking.NONE)
    tracking.correct(states, covariances, none > 0, none, *bodies_of(rng, 1), 0.1, 2.5)
    assert np.array_equal(states, before[0])
    assert np.array_equal(covariances, before[1])


def test_a_surprise_frees_the_velocity_which_is_bounded() -> None:
    states = np.array([[0.0, 0.0, 1.0, 0.0, 0.5]])
    covariances = np.diag([1e-4, 1e-4, 1e-3, 1e-3, 1e-3])[np.newaxis].copy()
    spreads = np.tile(1e-4 * np.eye(3), (1, 2, 1, 1))
    as_disc, pairs = np.array([True]), np.array([0])
    measured = np.array([[[0.0, 0.0, 0.5], [-0.1, 0.0, 0.5]]])
    tracking.correct(states, covariances, as_disc, pairs, measured, spreads, 0.05, 2.5)
    assert states[0, 2] < 0.0
    assert math.sqrt(covariances[0, 2, 2]) > 0.2
    measured[0, 1, 0] = -5.0
    tracking.correct(states, covariances, as_disc, pairs, measured, spreads, 0.05, 2.5)
    assert math.hypot(states[0, 2], states[0, 3]) <= 2.5 + 1e-9


@given(seeds, st.integers(0, 8), st.integers(0, 8))
def test_pairs_are_the_likeliest_first(seed: int, tracks: int, pieces: int) -> None:
    rng = np.random.default_rng(seed)
    states, covariances = tracks_of(rng, tracks)
    measured, spreads = bodies_of(rng, pieces)
    as_disc = rng.random(tracks) < 0.5
    rows = [tracking.X, tracking.Y, tracking.SIZE]
    slack = np.diag([0.1**2, 0.1**2, tracking.SIZE_SLACK_M**2])
    costs = np.empty((tracks, pieces))
    for t, k in np.ndindex(tracks, pieces):
        miss = measured[k, int(as_disc[t])] - states[t, rows]
        spread = covariances[t][np.ix_(rows, rows)] + spreads[k, int(as_disc[t])] + slack
        costs[t, k] = miss @ np.linalg.solve(spread, miss)
    found = tracking.associate(states, covariances, as_disc, measured, spreads, 0.1)
    assert found.tolist() == reference.associate(costs, tracking.GATE)


@settings(max_examples=20)
@given(seeds)
def test_free_space_ends_a_margin_before_everything_seen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ranges = np.repeat(rng.uniform(0.3, 6.0, 30), 24)
    points, bearings = around(ranges)
    profile = tracking.free_profile(points, np.arange(720), 720, HERE, MARGIN_M, 8.0)
    for b in range(0, tracking.BINS, 29):
        bearing = (b + 0.5) / tracking.BINS * math.tau - math.pi
        # At an edge a bin to either side decides: bins have a width, and a coarse arc tangent.
        half = math.pi / tracking.BINS
        allowed = [
            reference.free_m(points, bearings, HERE, bearing + shift, MARGIN_M)
            for shift in np.linspace(-3.0 * half, 3.0 * half, 7)
        ]
        assert min(allowed) - 1e-5 <= profile[b] <= max(allowed) + 1e-5


def test_nothing_is_known_where_nothing_was_measured() -> None:
    points, _ = around(np.full(720, 3.0))
    front = np.arange(90, 630)
    profile = tracking.free_profile(points[front], front - 90, 540, HERE, MARGIN_M, 8.0)
    behind = tracking.bin_of(-1.0, 0.0)
    assert profile[behind - 170 : behind + 1].tolist() == [0.0] * 171
    assert profile[tracking.bin_of(1.0, 0.0)] == pytest.approx(2.9)


def test_a_ray_without_a_return_has_seen_free_space() -> None:
    points, _ = around(np.full(720, 3.0))
    seen = np.r_[0:300, 420:720]
    known = tracking.free_profile(points[seen], seen, 720, HERE, MARGIN_M, 8.0)
    unknown = tracking.free_profile(points[seen], np.arange(600), 600, HERE, MARGIN_M, 8.0)
    ahead = tracking.bin_of(1.0, 0.0)
    assert known[ahead] == pytest.approx(7.9)
    assert unknown[ahead] == 0.0
    lone = np.arange(350, 370)
    alone = tracking.free_profile(points[lone], lone, 720, HERE, MARGIN_M, 8.0)
    assert alone[tracking.bin_of(0.0, 1.0)] == pytest.approx(7.9)
    assert alone[tracking.bin_of(0.0, -1.0)] == pytest.approx(7.9)


@given(st.floats(-math.pi, math.pi), st.floats(1e-3, 1e3))
def test_bins_go_around_in_even_steps(bearing: float, far: float) -> None:
    found = tracking.bin_of(far * math.cos(bearing), far * math.sin(bearing))
    expected = (bearing + math.pi) / math.tau * tracking.BINS
    away = abs(found + 0.5 - expected)
    assert min(away, tracking.BINS - away) < 0.5 + math.radians(0.09) / math.tau * tracking.BINS


def test_an_empty_scan_has_seen_nothing() -> None:
    none = np.empty((0, 2))
    assert not tracking.free_profile(none, np.arange(0), 720, HERE, MARGIN_M, 8.0).any()


def test_contact_leaves_no_free_space() -> None:
    points, _ = around(np.full(720, 3.0))
    points[360] *= 0.02
    assert not tracking.free_profile(points, np.arange(720), 720, HERE, MARGIN_M, 8.0).any()


def test_points_of_a_track_in_free_space_are_counted() -> None:
    points, _ = around(np.full(720, 3.0))
    profile = tracking.free_profile(points, np.arange(720), 720, HERE, MARGIN_M, 8.0)
    there = np.array([[2.0, 0.0], [0.0, 2.5], [0.0, 2.95], [-4.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    labels = np.array([3, 7, 7, 3, tracking.NONE, 5])
    free, total = tracking.in_free_space(there, labels, np.array([3, 7]), profile, HERE)
    assert (free.tolist(), total.tolist()) == ([1, 1], [2, 2])


def test_points_are_labelled_with_the_tracks_of_their_pieces() -> None:
    labels = np.full(7, tracking.NONE, np.int64)
    pieces = np.array([[0, 2], [2, 3], [4, 7]])
    tracking.label(np.array([11, 12, 13]), np.array([2, tracking.NONE, 0]), pieces, labels)
    assert labels.tolist() == [13, 13, tracking.NONE, tracking.NONE, 11, 11, 11]
