import math

import numpy as np
import pytest

from hil.errors import BenchError
from hil.plant.track import Track

CORNER = [(0.0, 0.0), (10.0, 0.0), (10.0, 8.0)]


def test_ends_and_straights_are_where_the_waypoints_say():
    track = Track(CORNER)
    assert track.pose(0.0) == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)
    assert track.pose(track.length_m) == pytest.approx((10.0, 8.0, math.pi / 2), abs=1e-6)
    assert track.pose(5.0) == pytest.approx((5.0, 0.0, 0.0), abs=1e-6)


def test_corner_is_rounded_without_a_jump_of_heading_or_curvature():
    track = Track(CORNER, rounding_m=2.0)
    along = np.arange(0.0, track.length_m, 0.01)
    x, y, yaw = track.poses(along)
    assert np.hypot(x - 10.0, y).min() == pytest.approx(2.0 * math.sqrt(2.0) / 6.0, abs=0.02)
    turns = np.diff(yaw) / 0.01
    assert turns.max() < 3.0
    assert np.abs(np.diff(turns)).max() < 0.06
    np.testing.assert_allclose(np.hypot(np.diff(x), np.diff(y)), 0.01, atol=1e-6)


def test_speed_can_be_braked_to_everywhere_and_bends_are_slow():
    track = Track(CORNER)
    along, speeds = track.speeds_mps(1.5, 0.6, 0.8)
    assert speeds[0] == pytest.approx(1.5)
    curvature = np.abs(np.gradient(track.poses(along)[2], along))
    assert (np.square(speeds) * curvature).max() <= 0.6 + 1e-6
    assert (np.diff(np.square(speeds)) / np.diff(along)).min() >= -2 * 0.8 - 1e-6
    assert speeds.min() < 0.8


@pytest.mark.parametrize("waypoints", [[(0.0, 0.0)], [(0.0, 0.0), (0.0, 0.0), (1.0, 0.0)]])
def test_no_way_is_no_track(waypoints):
    with pytest.raises(BenchError):
        Track(waypoints)
