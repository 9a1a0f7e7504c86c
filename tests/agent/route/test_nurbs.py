"""Curves of trajectories against their definition, and the lines that stand for them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.route.nurbs import CHORD_ERROR_M, CurveInvalid, Nurbs
from tests.reference.nurbs import point

ROOT = math.sqrt(0.5)


@st.composite
def curves(draw: st.DrawFn):  # type: ignore[no-untyped-def]
    degree = draw(st.integers(1, 4))
    count = draw(st.integers(degree + 1, degree + 5))
    coordinate = st.floats(-20.0, 20.0)
    control = draw(st.lists(st.tuples(coordinate, coordinate), min_size=count, max_size=count))
    weights = draw(st.lists(st.floats(0.1, 10.0), min_size=count, max_size=count))
    inner = sorted(
        draw(st.lists(st.integers(1, 19), min_size=count - degree - 1, max_size=count - degree - 1))
    )
    if any(inner.count(k) > degree for k in inner):
        inner = list(range(1, len(inner) + 1))
    knots = [0.0] * (degree + 1) + [k / 20 for k in inner] + [1.0] * (degree + 1)
    return degree, knots, control, weights


def curve(degree: int, knots: list[float], control: list, weights: list[float]) -> Nurbs:
    return Nurbs(degree, np.array(knots), np.array(control, float), np.array(weights, float))


@settings(max_examples=60, deadline=None)
@given(curves(), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5))
def test_points_are_those_of_the_definition(numbers, parameters) -> None:  # type: ignore[no-untyped-def]
    found = curve(*numbers).points_m(np.array(parameters))
    expected = [point(*numbers, u) for u in parameters]
    assert np.allclose(found, expected, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(curves())
def test_the_line_misses_the_curve_by_no_more_than_the_chord_error(numbers) -> None:  # type: ignore[no-untyped-def]
    nurbs = curve(*numbers)
    line = nurbs.line_m
    for at in nurbs.points_m(np.linspace(0.0, 1.0, 400)):
        way, off = np.diff(line, axis=0), at - line[:-1]
        square = np.maximum((way**2).sum(axis=1), 1e-12)
        share = np.clip((off * way).sum(axis=1) / square, 0.0, 1.0)
        assert np.hypot(*(off - share[:, None] * way).T).min() <= CHORD_ERROR_M
    assert np.allclose(line[[0, -1]], nurbs.ends_m)
    assert np.allclose(nurbs.ends_m, [numbers[2][0], numbers[2][-1]])


def test_weights_make_a_quarter_of_a_circle() -> None:
    quarter = curve(2, [0, 0, 0, 1, 1, 1], [(3, 0), (3, 3), (0, 3)], [1, ROOT, 1])
    assert np.hypot(*quarter.points_m(np.linspace(0, 1, 50)).T) == pytest.approx(3.0)
    assert 10 <= len(quarter.line_m) <= 60
    length_m = np.hypot(*np.diff(quarter.line_m, axis=0).T).sum()
    assert length_m == pytest.approx(1.5 * math.pi, rel=1e-3)


@pytest.mark.parametrize(
    ("degree", "knots", "count", "weight", "why"),
    [
        (2, [0, 0, 0, 1, 1], 3, 1.0, "knots, not control points"),
        (2, [0, 0, 1, 1], 2, 1.0, "too few"),
        (0, [0, 1, 1], 2, 1.0, "degree is 0"),
        (11, [0] * 12 + [1] * 12, 12, 1.0, "degree is 11"),
        (1, [0, 0, 1, 0.5, 1], 3, 1.0, "fall"),
        (1, [0.5] * 5, 3, 1.0, "nothing of the curve"),
        (1, [0, 0, 0.5, 0.5, 1, 1], 4, 1.0, "torn"),
        (1, [0, 0, 1, 1], 2, 0.0, "weight"),
    ],
)
def test_numbers_that_make_no_curve(
    degree: int, knots: list[float], count: int, weight: float, why: str
) -> None:
    control = [(float(i), 0.0) for i in range(count)]
    with pytest.raises(CurveInvalid, match=why):
        curve(degree, knots, control, [weight] * count)
