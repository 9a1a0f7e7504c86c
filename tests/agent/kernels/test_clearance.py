import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.geometry.polygon import rectangle
from agent.kernels.clearance import free_time_s, scan_points_m, signed_distance_m
from tests.reference import clearance_reference

FOOTPRINT = rectangle(0.9, 0.6)
L_SHAPE = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [1.0, 1.0], [1.0, 2.0], [0.0, 2.0]])
STEP_M = 0.02

coordinates = st.floats(-3.0, 3.0)
points = st.lists(st.tuples(coordinates, coordinates), max_size=12).map(
    lambda p: np.array(p, np.float64).reshape(-1, 2)
)
twists = st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))


@pytest.mark.parametrize("polygon", [FOOTPRINT, L_SHAPE], ids=["rectangle", "L"])
@given(x=coordinates, y=coordinates)
def test_signed_distance_agrees_with_the_reference(polygon, x: float, y: float) -> None:
    expected = clearance_reference.signed_distance_m(x, y, polygon)
    assume(abs(expected) > 1e-9)
    assert signed_distance_m(x, y, polygon) == pytest.approx(expected, abs=1e-9)


@given(points, twists)
def test_nothing_is_touched_within_the_free_time(obstacles, twist) -> None:
    margin = 0.1
    assume(clearance_reference.clearance_m(obstacles, FOOTPRINT, twist, 0.0) > margin)
    free = free_time_s(obstacles, FOOTPRINT, margin, *twist, 3.0, STEP_M)
    for time_s in np.linspace(0.0, free, 40):
        clearance = clearance_reference.clearance_m(obstacles, FOOTPRINT, twist, time_s)
        assert clearance > margin - STEP_M - 1e-3


@given(points, twists)
def test_what_ends_the_free_time_is_really_touched(obstacles, twist) -> None:
    margin = 0.1
    assume(clearance_reference.clearance_m(obstacles, FOOTPRINT, twist, 0.0) > margin)
    free = free_time_s(obstacles, FOOTPRINT, margin, *twist, 3.0, STEP_M)
    if free < 3.0:
        corner_mps = abs(twist[0]) + abs(twist[1]) * math.hypot(0.45, 0.3)
        soon = free + 2.0 * STEP_M / corner_mps
        assert clearance_reference.clearance_m(obstacles, FOOTPRINT, twist, soon) < margin + STEP_M


@given(points, st.tuples(coordinates, coordinates), twists)
def test_another_point_never_lengthens_the_free_time(obstacles, extra, twist) -> None:
    more = np.vstack([obstacles, [extra]])
    before = free_time_s(obstacles, FOOTPRINT, 0.1, *twist, 3.0, STEP_M)
    assert free_time_s(more, FOOTPRINT, 0.1, *twist, 3.0, STEP_M) <= before


def test_a_point_in_the_margin_blocks_towards_but_not_away() -> None:
    touching = np.array([[0.50, 0.0]])
    assert free_time_s(touching, FOOTPRINT, 0.1, 0.5, 0.0, 2.0, STEP_M) < 0.05
    assert free_time_s(touching, FOOTPRINT, 0.1, -0.5, 0.0, 2.0, STEP_M) == 2.0


def test_scan_points_are_in_the_base_frame_and_skip_what_saw_nothing() -> None:
    angles = np.array([0.0, math.pi / 2], np.float32)
    ranges = np.array([2.0, np.nan], np.float32)
    for array in (angles, ranges):
        array.setflags(write=False)  # as in a scan
    found = scan_points_m(angles, ranges, 0.3, 0.1, math.pi / 2)
    np.testing.assert_allclose(found, [[0.3, 2.1]], atol=1e-6)
