import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.plant import kernels
from hil.plant.world import Pose, place, rectangle
from tests.examples import examples
from tests.reference.raycast_reference import disc_range_m, grid_range_m, polygon_range_m

NO_DISCS, NO_BOXES = np.empty((0, 5)), np.empty((0, 7))
HAIR = 1e-8
NOWHERE = np.zeros((1, 1), dtype=bool)


def cast(start, angle_rad, *, cells=NOWHERE, discs=NO_DISCS, boxes=NO_BOXES, reach=30.0, after=0.0):
    out = np.empty(1)
    x, y, angle, offset = (np.array([v]) for v in (*start, angle_rad, after))
    kernels.cast_rays(cells, 0.25, -2.0, 1.0, x, y, angle, offset, discs, boxes, reach, out)
    return float(out[0])


def test_ray_from_a_border_begins_in_the_cell_it_runs_into():
    cells = np.array([[False, True, False, False]])
    assert math.isnan(cast((-1.5, 1.1), 0.0, cells=cells))
    assert cast((-1.5, 1.1), math.pi, cells=cells) == 0.0
    assert cast((-1.75, 1.1), 0.0, cells=cells) == 0.0


def same(value, expected, reach=30.0):
    if math.isinf(expected) or expected > reach:
        return math.isnan(value)
    return value == pytest.approx(expected, abs=1e-6)


coordinate = st.floats(-4.0, 6.0)
angle = st.floats(-math.pi, math.pi)


@settings(max_examples=examples(200), deadline=None)
@given(seed=st.integers(0, 10_000), x=coordinate, y=coordinate, heading=angle)
def test_ray_meets_the_same_cell_as_the_list_of_all_borders(seed, x, y, heading):
    rng = np.random.default_rng(seed)
    cells = rng.random((14, 19)) < 0.12
    measured = cast((x, y), heading, cells=cells)
    # A ray through a corner may take either side by rounding: one hair aside it must agree.
    assert any(
        same(measured, grid_range_m(cells, 0.25, (-2.0, 1.0), (x + a, y + b), heading + c, 30.0))
        for a, b, c in (
            *product((-HAIR, HAIR), (-HAIR, HAIR), (0,)),
            (0, 0, 0),
            (0, 0, HAIR),
            (0, 0, -HAIR),
        )
    )


@pytest.mark.parametrize("heading", [0.0, math.pi / 2, math.pi, -math.pi / 2])
def test_ray_along_the_axes(heading):
    cells = np.zeros((8, 8), dtype=bool)
    cells[[0, -1], :] = cells[:, [0, -1]] = True
    assert cast((-1.0, 2.0), heading, cells=cells) == pytest.approx(0.75, abs=1e-9)


def test_ray_from_within_an_occupied_cell_has_no_length():
    assert cast((-1.9, 1.1), 0.3, cells=np.ones((2, 2), dtype=bool)) == 0.0


def test_ray_of_limited_reach_sees_nothing_behind_it():
    cells = np.zeros((1, 20), dtype=bool)
    cells[0, 19] = True
    assert cast((-1.9, 1.1), 0.0, cells=cells, reach=4.66) == pytest.approx(4.65)
    assert math.isnan(cast((-1.9, 1.1), 0.0, cells=cells, reach=4.64))


@settings(max_examples=examples(100), deadline=None)
@given(x=coordinate, y=coordinate, heading=angle, turn=angle)
def test_ray_meets_discs_and_boxes_where_geometry_says(x, y, heading, turn):
    disc = np.array([[1.0, 2.0, 0.0, 0.0, 0.5]])
    box = np.array([[3.0, 4.0, 0.0, 0.0, turn, 0.8, 0.3]])
    corners = place(rectangle(0.8, 0.3), Pose(3.0, 4.0, turn))
    if math.hypot(x - 1.0, y - 2.0) > 0.5:
        # A grazing ray may go either way by rounding.
        grazing = abs((1.0 - x) * math.sin(heading) - (2.0 - y) * math.cos(heading))
        if abs(grazing - 0.5) > 1e-6:
            expected = disc_range_m((1.0, 2.0), 0.5, (x, y), heading)
            assert same(cast((x, y), heading, discs=disc), expected)
    if math.hypot(x - 3.0, y - 4.0) > 0.9:
        across = [(corner - (x, y)) @ (-math.sin(heading), math.cos(heading)) for corner in corners]
        if min(abs(value) for value in across) > 1e-6:
            expected = polygon_range_m(corners, (x, y), heading)
            assert same(cast((x, y), heading, boxes=box), expected)


def test_obstacles_are_where_they_are_at_the_time_of_the_ray():
    disc = np.array([[2.0, 0.0, 1.0, 0.0, 0.5]])
    assert cast((0.0, 0.0), 0.0, discs=disc, after=0.25) == pytest.approx(1.75)


@settings(max_examples=examples(150), deadline=None)
@given(x=st.floats(-2, 2), y=st.floats(-2, 2), turn=angle, other_turn=angle)
def test_overlap_of_rectangles_agrees_with_sampled_points(x, y, turn, other_turn):
    first, second = (
        place(rectangle(0.8, 0.4), Pose(0.0, 0.0, turn)),
        place(rectangle(0.5, 0.3), Pose(x, y, other_turn)),
    )
    overlap = kernels.polygons_overlap(first, second)
    assert overlap == kernels.polygons_overlap(second, first)
    u, v = np.meshgrid(np.linspace(-0.5, 0.5, 41), np.linspace(-0.3, 0.3, 41))
    points = place(np.column_stack((u.ravel(), v.ravel())), Pose(x, y, other_turn))
    local = place(points, Pose(0.0, 0.0, -turn))
    inside = (np.abs(local[:, 0]) < 0.8 - 0.03) & (np.abs(local[:, 1]) < 0.4 - 0.03)
    near = (np.abs(local[:, 0]) < 0.8 + 0.03) & (np.abs(local[:, 1]) < 0.4 + 0.03)
    if inside.any():
        assert overlap
    if not near.any():
        assert not overlap


@settings(max_examples=examples(100), deadline=None)
@given(x=st.floats(-2, 2), y=st.floats(-2, 2), turn=angle)
def test_disc_touches_a_rectangle_when_its_middle_is_near_enough(x, y, turn):
    outline = place(rectangle(0.8, 0.4), Pose(0.0, 0.0, turn))
    local = place(np.array([[x, y]]), Pose(0.0, 0.0, -turn))[0]
    distance = math.hypot(max(abs(local[0]) - 0.8, 0.0), max(abs(local[1]) - 0.4, 0.0))
    if abs(distance - 0.3) > 1e-9:
        assert kernels.disc_overlaps(outline, x, y, 0.3) == (distance < 0.3)


def test_contact_with_a_cell_needs_shared_area():
    cells = np.zeros((10, 10), dtype=bool)
    cells[5, 5] = True
    square = np.empty((4, 2))
    outline = np.array([[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [0.0, 0.5]])
    assert not kernels.overlaps_cells(cells, 0.1, 0.0, 0.0, outline, square)
    assert kernels.overlaps_cells(cells, 0.1, 0.0, 0.0, outline + 0.001, square)
    diamond = np.array([[0.55, 0.39], [0.66, 0.5], [0.55, 0.61], [0.44, 0.5]])
    assert kernels.overlaps_cells(cells, 0.1, 0.0, 0.0, diamond, square)
    corner_only = diamond + np.array([0.118, -0.058])
    assert not kernels.overlaps_cells(cells, 0.1, 0.0, 0.0, corner_only, square)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20))
def test_poses_are_interpolated_and_held_at_the_ends(wanted):
    stamps = np.array([100, 200, 400, 999], dtype=np.int64)
    poses = np.array([[0.0, 1.0, 5.0, 9.0], [1.0, 1.0, 2.0, 9.0], [0.0, 0.1, 0.2, 9.0]])
    out = np.empty((3, len(wanted)))
    kernels.interpolate_poses(stamps, poses, 3, np.array(wanted, dtype=np.int64), out)
    for k in range(3):
        np.testing.assert_allclose(out[k], np.interp(wanted, stamps[:3], poses[k, :3]), atol=1e-12)
