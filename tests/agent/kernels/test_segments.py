import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kernels import segments
from tests.reference import segments_reference as reference

HERE = np.zeros(2)
COUNT = 720
BEARINGS = np.linspace(-math.pi, math.pi, COUNT, endpoint=False)
RAYS = np.arange(COUNT)
BREAK_RAD, SIGMA_M, DEPTH_M = 0.2, 0.01, 0.1

seeds = st.integers(0, 2**32 - 1)


def seen_of(discs, room_m: float = 9.0, bearings=BEARINGS) -> np.ndarray:
    """Ranges from the origin to the nearest of some discs, and to a round room behind them."""
    ranges = np.full(bearings.size, room_m)
    for x, y, radius in discs:
        along = np.cos(bearings) * x + np.sin(bearings) * y
        inside = along**2 - (x * x + y * y - radius**2)
        hit = (inside > 0.0) & (along > 0.0)
        ranges[hit] = np.minimum(ranges[hit], along[hit] - np.sqrt(inside[hit]))
    return ranges


def points_at(ranges, bearings=BEARINGS) -> np.ndarray:
    return np.column_stack([ranges * np.cos(bearings), ranges * np.sin(bearings)])


def described(ranges, rays=RAYS, ray_count=COUNT, bearings=BEARINGS):
    points = points_at(ranges, bearings)
    joined, distances, spacing, closed = segments.joints(points, rays, HERE, BREAK_RAD, SIGMA_M)
    joined[:1] = False
    pieces, bent = segments.convex_pieces(points, joined, DEPTH_M)
    ends = segments.free_ends(pieces, bent, rays, ray_count, distances, closed)
    return pieces, ends, segments.describe(
        points, distances, HERE, pieces, ends, spacing, SIGMA_M, (8.0, 4.0, 1.0)
    )  # fmt: skip


def arc(circle, start_rad, span_rad, count, sigma_m, rng) -> np.ndarray:
    angles = start_rad + np.linspace(0.0, span_rad, count)
    radii = circle[2] + rng.normal(size=count) * sigma_m
    return np.column_stack([circle[0] + radii * np.cos(angles), circle[1] + radii * np.sin(angles)])


@given(seeds)
def test_breaks_agree_with_the_paper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = points_at(np.cumsum(rng.normal(0.0, 0.2, COUNT)) % 5.0 + 1.0)
    joined, distances, spacing, closed = segments.joints(points, RAYS, HERE, BREAK_RAD, SIGMA_M)
    expected = reference.joints(points, HERE, BREAK_RAD, SIGMA_M, segments.NOISE_SIGMAS)
    assert joined.tolist() == expected
    assert distances == pytest.approx(np.hypot(*points.T))
    assert spacing == pytest.approx(math.tau / COUNT)
    assert closed


def test_a_gap_of_rays_parts_even_points_that_are_near() -> None:
    rays = np.delete(RAYS, [100, 101, 102])
    points = points_at(np.full(rays.size, 1.0), BEARINGS[rays])
    joined, _, _, _ = segments.joints(points, rays, HERE, BREAK_RAD, SIGMA_M)
    assert np.flatnonzero(~joined).tolist() == [100]
    rays = np.delete(RAYS, [100, 101])
    points = points_at(np.full(rays.size, 1.0), BEARINGS[rays])
    assert segments.joints(points, rays, HERE, BREAK_RAD, SIGMA_M)[0].all()


def test_a_lidar_that_does_not_look_behind_is_not_closed() -> None:
    front = slice(90, 630)
    points = points_at(np.full(540, 2.0), BEARINGS[front])
    joined, _, _, closed = segments.joints(points, RAYS[:540], HERE, BREAK_RAD, SIGMA_M)
    assert not closed
    assert not joined[0]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_next_to_nothing_has_no_bodies(count: int) -> None:
    assert len(described(np.ones(count), RAYS[:count], COUNT, BEARINGS[:count])[2][0]) == 0


@given(seeds, st.integers(1, 60))
def test_pieces_agree_with_the_end_point_fit_and_cover_the_scan(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    points = points_at(2.0 + np.cumsum(rng.normal(0.0, 0.05, count)), BEARINGS[:count])
    joined = rng.random(count) < 0.95
    joined[0] = False
    pieces, bent = segments.convex_pieces(points, joined, DEPTH_M)
    starts = [*np.flatnonzero(~joined).tolist(), count]
    expected = [
        piece
        for first, last in pairwise(starts)
        for piece in reference.convex_pieces(points, first, last, DEPTH_M)
    ]
    assert [tuple(piece) for piece in pieces.tolist()] == expected
    assert bent[:, 0].tolist() == [first not in starts for first, _ in expected]
    assert bent[:, 1].tolist() == [last not in starts for _, last in expected]


def test_two_discs_that_touch_are_two_bodies_and_one_stays_one() -> None:
    for discs in ([(3.0, 0.5, 0.5), (3.0, -0.5, 0.5)], [(3.0, 0.5, 0.5)]):
        _, _, (_, fits, _, _, is_round) = described(seen_of(discs))
        found = sorted(fits[is_round].tolist())
        assert np.array(found) == pytest.approx(np.array(sorted(discs)), abs=1e-3)


@given(seeds, st.floats(0.5, 6.0), st.integers(3, 80))
def test_algebraic_circle_agrees_with_the_eigenproblem(seed: int, span: float, count: int) -> None:
    rng = np.random.default_rng(seed)
    circle = np.array([*rng.uniform(-5.0, 5.0, 2), rng.uniform(0.1, 1.0)])
    points = arc(circle, rng.uniform(-3, 3), span, count, 0.02 * circle[2], rng)
    found = np.empty(3)
    segments.algebraic_circle(points, found)
    if count == 3:
        # Three points lie on a circle: the matrix of the eigenproblem is singular.
        radii = np.hypot(points[:, 0] - found[0], points[:, 1] - found[1])
        assert radii == pytest.approx(np.full(3, found[2]), rel=1e-5)
    else:
        assert found == pytest.approx(reference.algebraic_circle(points), rel=1e-4, abs=1e-4)


def test_points_on_a_line_have_no_circle() -> None:
    circle = np.zeros(3)
    segments.algebraic_circle(np.column_stack([np.arange(5.0), np.arange(5.0)]), circle)
    assert circle[2] > 1e3
    segments.algebraic_circle(np.ones((4, 2)), circle)
    assert circle[2] == math.inf


@given(seeds, st.floats(1.0, 3.0), st.integers(8, 80))
def test_no_circle_near_the_fit_costs_less(seed: int, span: float, count: int) -> None:
    rng = np.random.default_rng(seed)
    true = np.array([2.0, 1.0, rng.uniform(0.2, 0.8)])
    points = arc(true, rng.uniform(-3, 3), span, count, 0.01, rng)
    fit, covariance = true.copy(), np.empty((3, 3))
    rms = segments.fit_circle(points, fit, 0.4, 0.2, SIGMA_M, covariance)
    shown = (8 * SIGMA_M**2 + count * rms**2) / (8 + count - 3)
    noise = (0.4, 0.2, math.sqrt(max(SIGMA_M**2, shown)))
    least = reference.circle_cost(points, fit, *noise)
    for axis in range(3):
        for step in (-1e-2, 1e-2):
            other = fit.copy()
            other[axis] += step * math.sqrt(covariance[axis, axis])
            assert reference.circle_cost(points, other, *noise) > least - 1e-3


def test_the_covariance_of_a_circle_tells_its_error() -> None:
    rng = np.random.default_rng(3)
    true = np.array([2.0, 1.0, 0.5])
    squares = []
    for _ in range(300):
        points = arc(true, 2.0, 2.5, 40, 0.02, rng)
        fit, covariance = np.empty(3), np.empty((3, 3))
        segments.algebraic_circle(points, fit)
        segments.fit_circle(points, fit, 0.5, 10.0, 0.02, covariance)
        squares.append((fit - true) @ np.linalg.solve(covariance, fit - true))
    assert np.mean(squares) == pytest.approx(3.0, rel=0.2)


@given(st.floats(-2.5, 2.5), st.floats(0.5, 5.0), st.floats(0.1, 0.9))
def test_a_disc_that_is_seen_whole_is_found(bearing: float, gap: float, radius: float) -> None:
    far = gap + radius
    x, y = far * math.cos(bearing), far * math.sin(bearing)
    _, _, (_, discs, _, spreads, is_round) = described(seen_of([(x, y, radius)]))
    best = int(np.hypot(discs[:, 0] - x, discs[:, 1] - y).argmin())
    assert is_round[best]
    assert discs[best] == pytest.approx([x, y, radius], abs=0.03)
    assert (np.linalg.eigvalsh(spreads[best, segments.DISC]) > 0.0).all()


@pytest.mark.parametrize("turn", [0.1, 0.5, 0.8, 1.2])
def test_a_box_is_found_by_its_longer_face(turn: float) -> None:
    x, y = np.linspace(2.0, 0.0, 60), np.linspace(0.0, 0.8, 24)
    outline = np.vstack([np.column_stack([x, 0.0 * x]), np.column_stack([0.0 * y, y])])
    cos, sin = math.cos(turn), math.sin(turn)
    box = np.empty(5)
    rms = segments.fit_corner(outline @ np.array([[cos, sin], [-sin, cos]]), box)
    assert rms < 0.03
    assert box[:2] == pytest.approx([cos, sin], abs=0.05)
    assert math.cos(box[2] - turn) == pytest.approx(-1.0, abs=1e-3)
    assert box[3:] == pytest.approx([2.0, 0.8], abs=0.05)


def test_one_face_of_a_box_has_no_depth() -> None:
    y = np.linspace(-0.7, 0.7, 30)
    box = np.empty(5)
    assert segments.fit_corner(np.column_stack([np.full(30, 3.0), y]), box) < 1e-9
    assert box == pytest.approx([3.0, 0.0, math.pi / 2, 1.4, 0.0], abs=1e-9)


class TestEnds:
    """A disc in front of a wall, and what hides or cuts it."""

    def ends_of(self, ranges, rays=RAYS, ray_count=COUNT, bearings=BEARINGS):
        _, ends, (kept, discs, _, _, _) = described(ranges, rays, ray_count, bearings)
        nearest = np.hypot(discs[:, 0] - 3.0, discs[:, 1]).argmin()
        return ends[kept[nearest]].tolist()

    def test_both_are_free_before_something_farther(self) -> None:
        assert self.ends_of(seen_of([(3.0, 0.0, 0.5)])) == [True, True]

    def test_one_is_not_behind_something_nearer(self) -> None:
        assert self.ends_of(seen_of([(3.0, 0.0, 0.5), (1.5, 0.25, 0.1)])) == [True, False]
        assert self.ends_of(seen_of([(3.0, 0.0, 0.5), (1.5, -0.25, 0.1)])) == [False, True]

    def test_both_are_free_before_rays_without_a_return(self) -> None:
        ranges = seen_of([(3.0, 0.0, 0.5)])
        hit = ranges < 5.0
        assert self.ends_of(ranges[hit], RAYS[hit], COUNT, BEARINGS[hit]) == [True, True]
        assert self.ends_of(ranges[hit], RAYS[: hit.sum()], 0, BEARINGS[hit]) == [False, False]

    def test_the_edge_of_the_field_of_view_is_none(self) -> None:
        seen = BEARINGS > 0.0
        ranges = seen_of([(3.0, 0.0, 0.5)])[seen]
        count = int(seen.sum())
        assert self.ends_of(ranges, RAYS[:count], count, BEARINGS[seen]) == [False, True]


def test_a_wall_and_what_is_far_are_no_bodies() -> None:
    assert len(described(np.full(COUNT, 9.0))[2][0]) == 0
    wall = 2.0 / np.cos(BEARINGS[300:420])
    assert len(described(np.concatenate([np.full(300, 9.0), wall, np.full(300, 9.0)]))[2][0]) == 1
    assert len(described(2.0 * seen_of([(3.9, 0.0, 0.5)], 9.0))[2][0]) == 1
    assert len(described(2.0 * seen_of([(5.0, 0.0, 0.5)], 9.0))[2][0]) == 0
