"""The floor of a zone, against points that are drawn one by one (3.0, sections 6.4.1 and 7.6)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geometry.pose import Pose2
from agent.mapping.occupancy_grid import FREE, OccupancyGrid
from agent.vda5050.messages import Vertex, Zone, ZoneType
from agent.vda5050.paths import trajectory_of
from agent.vda5050.zones.area import Area, cross, distances_m, encloses, is_simple

METRES = st.floats(-5.0, 5.0)
POINT = st.tuples(METRES, METRES)


def star(radii: list[float], center: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """A simple polygon around a center, one corner per radius."""
    turns = np.arange(len(radii)) * math.tau / len(radii)
    return np.array(center) + np.array(radii)[:, None] * np.column_stack(
        (np.cos(turns), np.sin(turns))
    )


STARS = st.lists(st.floats(0.2, 4.0), min_size=3, max_size=9).map(star)


def area(corners: np.ndarray) -> Area:
    vertices = [Vertex(x=float(x), y=float(y)) for x, y in corners]
    return Area("s", Zone(zone_id="z", zone_type=ZoneType.BLOCKED, vertices=vertices))


def turns_around(polygon: np.ndarray, point: tuple[float, float]) -> bool:
    """Winding number by the sum of angles under which the sides are seen."""
    away = polygon - np.array(point)
    angles = np.arctan2(away[:, 1], away[:, 0])
    steps = np.remainder(np.diff(np.append(angles, angles[0])) + math.pi, math.tau) - math.pi
    return abs(steps.sum()) > math.pi


@given(STARS, POINT)
def test_inside_is_what_the_outline_turns_around(polygon, point):
    closed = np.vstack((polygon, polygon[:1]))
    if distances_m(np.array([point]), closed)[0] > 1e-6:
        assert bool(encloses(polygon, np.array([point]))[0]) == turns_around(polygon, point)


@given(STARS, POINT, st.floats(-3.0, 3.0))
def test_a_contour_touches_where_any_of_its_floor_is_inside(polygon, place, yaw_rad):
    corners = np.array([(0.45, -0.3), (0.45, 0.3), (-0.45, 0.3), (-0.45, -0.3)])
    pose = Pose2(*place, yaw_rad)
    outline = np.array([pose.transform(*corner) for corner in corners])
    x, y = np.meshgrid(np.linspace(-0.45, 0.45, 19), np.linspace(-0.3, 0.3, 13))
    floor = np.array([pose.transform(*p) for p in np.column_stack((x.ravel(), y.ravel()))])
    touched = bool(area(polygon).touched_by(outline[None])[0])
    if encloses(polygon, floor).any():
        assert touched
    closed = np.vstack((polygon, polygon[:1]))
    if touched and not encloses(polygon, floor).any():
        # What the points of the floor have missed is a narrow corner of the zone.
        assert distances_m(floor, closed).min() < 0.06


@given(POINT, POINT, POINT)
def test_distances_are_the_least_to_any_point_of_the_line(point, begin, end):
    line = np.array([begin, end])
    along = np.linspace(line[0], line[1], 2001)
    least = np.hypot(*(along - np.array(point)).T).min()
    assert distances_m(np.array([point]), line)[0] == pytest.approx(least, abs=0.01)


def test_a_polygon_that_crosses_itself_or_covers_nothing_is_none():
    square = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
    assert is_simple(square)
    assert is_simple(square[::-1])
    assert not is_simple(square[[0, 2, 1, 3]])
    assert not is_simple(np.array([(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]))


def test_outlines_that_only_meet_do_not_cross():
    square = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
    assert not cross(square[None] + np.array([1.0, 0.0]), square).any()
    assert cross(square[None] + np.array([0.9, 0.1]), square).all()


@given(STARS, st.floats(-3.0, 3.0))
def test_every_cell_that_the_zone_cuts_is_a_wall(polygon, yaw_rad):
    grid = OccupancyGrid(np.full((60, 50), FREE, np.int8), 0.1, Pose2(-2.0, -2.5, yaw_rad))
    walls = area(polygon).with_walls(grid) != FREE
    rows, columns = np.nonzero(~walls)
    centers = np.column_stack((columns + 0.5, rows + 0.5)) * 0.1
    open_m = np.array([grid.map_from_grid.transform(*center) for center in centers])
    if len(open_m):
        assert not encloses(polygon, open_m.reshape(-1, 2)).any()
    covered = np.argwhere(walls)
    for row, column in covered[:: max(1, len(covered) // 20)]:
        center = np.array([grid.map_from_grid.transform((column + 0.5) * 0.1, (row + 0.5) * 0.1)])
        closed = np.vstack((polygon, polygon[:1]))
        assert encloses(polygon, center)[0] or distances_m(center, closed)[0] < 0.08


@given(st.lists(POINT, min_size=2, max_size=12))
def test_a_way_is_told_as_a_curve_that_keeps_to_it(points):
    line = np.array(points)
    told = trajectory_of(line)
    control = np.array([(point.x, point.y) for point in told.control_points])
    assert len(told.knot_vector) == len(control) + 2
    assert told.knot_vector == sorted(told.knot_vector)
    assert (told.knot_vector[0], told.knot_vector[-1]) == (0.0, 1.0)
    assert distances_m(line, control).max() <= 0.022
    assert control[0] == pytest.approx(line[0], abs=1e-3)
    assert control[-1] == pytest.approx(line[-1], abs=1e-3)
