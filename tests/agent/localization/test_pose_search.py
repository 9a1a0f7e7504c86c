import math
from dataclasses import replace

import numpy as np
import pytest

from agent.geometry.pose import Pose2
from agent.localization.deskew import deskew
from agent.localization.odometry_history import OdometryHistory
from agent.localization.params import LocalizationParams
from agent.localization.place import Place
from agent.localization.pose_search import PoseSearch, SearchParams, Window
from agent.mapping.occupancy_grid import OccupancyGrid
from drivers.measurement import Odometry, Scan
from tests.reference.hall import BASE_FROM_LIDAR, ROUTE, Run, drive, hall_grid

PLACE = Place.prepare(hall_grid(), LocalizationParams().map)
POSES = drive(ROUTE)


def seen_at(index: int) -> tuple[np.ndarray, Pose2]:
    """What the lidar sees there, and ``grid_from_base``."""
    run = Run(np.repeat(POSES[index : index + 1], 12, axis=0))
    history = OdometryHistory()
    for measurement in run:
        if isinstance(measurement, Odometry):
            history.add(measurement)
        elif isinstance(measurement, Scan):
            points_m = deskew(
                measurement, history, BASE_FROM_LIDAR, min_range_m=0.1, max_range_m=30.0
            )
            truth = Pose2(*map(float, POSES[index]))
            return points_m, PLACE.grid.map_from_grid.inverse() @ truth
    raise AssertionError


def is_near(pose: Pose2, truth: Pose2) -> bool:
    turn = math.remainder(pose.yaw_rad - truth.yaw_rad, math.tau)
    return pose.distance_m(truth) < 0.3 and abs(turn) < 0.1


@pytest.mark.parametrize("index", [0, 400, 900, 1500, 2200])
def test_the_place_is_among_those_found(index: int) -> None:
    points_m, truth = seen_at(index)
    search = PoseSearch(PLACE, SearchParams(), points_m)
    search.finish()
    places = search.places()
    assert 1 <= len(places) <= SearchParams().places
    assert any(is_near(place, truth) for place in places)


def test_slices_change_nothing() -> None:
    points_m, _ = seen_at(700)
    whole = PoseSearch(PLACE, SearchParams(), points_m)
    whole.finish()
    sliced = PoseSearch(PLACE, replace(SearchParams(), slice_nodes=1000), points_m)
    slices = 1
    while not sliced.advance():
        slices += 1
    assert slices > 5
    assert sliced.places() == whole.places()


def test_a_window_keeps_the_search_near() -> None:
    points_m, truth = seen_at(700)
    window = Window(truth @ Pose2(0.5, -0.4, 0.2), 1.0, 0.4)
    search = PoseSearch(PLACE, SearchParams(), points_m, window)
    search.finish()
    assert any(is_near(place, truth) for place in search.places())
    assert all(place.distance_m(window.centre) < 1.6 for place in search.places())


def test_a_symmetric_room_has_two_answers() -> None:
    cells = np.zeros((100, 160), np.int8)
    cells[[0, -1]] = 100
    cells[:, [0, -1]] = 100
    place = Place.prepare(OccupancyGrid(cells, 0.05, Pose2.identity()), LocalizationParams().map)
    rows, columns = np.nonzero(cells == 100)
    truth = Pose2(2.51, 1.51, 0.0)  # off the half cells, where rounding is a toss
    points_m = (np.column_stack([columns, rows]) + 0.5) * 0.05 - (truth.x_m, truth.y_m)
    search = PoseSearch(place, SearchParams(), points_m)
    search.finish()
    twin = Pose2(8.0 - truth.x_m, 5.0 - truth.y_m, math.pi)
    for answer in (truth, twin):
        assert any(is_near(found, answer) for found in search.places())
