import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import MapError
from agent.geometry.pose import Pose2
from agent.mapping.distance_field import DistanceField
from agent.mapping.occupancy_grid import OccupancyGrid

coordinates = st.floats(-50.0, 50.0)
origins = st.builds(Pose2, coordinates, coordinates, st.floats(-math.pi, 3.14))
CELLS = np.zeros((7, 11), np.int8)


@given(
    origin=origins,
    resolution_m=st.floats(0.01, 1.0),
    row=st.integers(0, 6),
    column=st.integers(0, 10),
)
def test_the_centre_of_a_cell_lies_in_the_cell(origin, resolution_m, row, column) -> None:
    grid = OccupancyGrid(CELLS, resolution_m, origin)
    center_m = grid.center_m(row, column)
    assert grid.cell_at(*center_m) == (row, column)
    assert grid.contains(*center_m)


def test_row_zero_is_at_the_bottom_and_yaw_turns_the_grid() -> None:
    grid = OccupancyGrid(CELLS, 0.5, Pose2(10.0, 20.0, math.pi / 2))
    assert grid.cell_at(10.0 - 0.75, 20.0 + 2.25) == (1, 4)
    assert not grid.contains(10.1, 20.1)


def test_the_grid_is_a_read_only_copy() -> None:
    cells = CELLS.copy()
    grid = OccupancyGrid(cells, 0.05, Pose2.identity())
    cells[0, 0] = 100
    assert not grid.occupied.any()
    with pytest.raises(ValueError, match="read-only"):
        grid.cells[0, 0] = 1


@pytest.mark.parametrize(
    ("cells", "resolution_m", "origin"),
    [
        (np.zeros((0, 4), np.int8), 0.05, Pose2.identity()),
        (np.zeros(4, np.int8), 0.05, Pose2.identity()),
        (np.zeros((4, 4), np.float64), 0.05, Pose2.identity()),
        (CELLS, 0.0, Pose2.identity()),
        (CELLS, math.nan, Pose2.identity()),
        (CELLS, 0.05, Pose2(math.inf, 0.0, 0.0)),
    ],
)
def test_nonsense_is_refused(cells, resolution_m, origin) -> None:
    with pytest.raises(MapError):
        OccupancyGrid(cells, resolution_m, origin)


def test_the_field_is_in_metres_and_cut_off() -> None:
    cells = CELLS.copy()
    cells[3, 2] = 100
    field = DistanceField.from_grid(OccupancyGrid(cells, 0.5, Pose2.identity()), 2.0)
    assert field.distance_m[3, 2] == 0.0
    assert field.distance_m[4, 3] == pytest.approx(0.5 * math.sqrt(2.0))
    assert field.distance_m[3, 10] == 2.0
    assert field.distance_m.dtype == np.float32


def test_a_map_without_walls_is_refused() -> None:
    with pytest.raises(MapError, match="no occupied cell"):
        DistanceField.from_grid(OccupancyGrid(CELLS, 0.5, Pose2.identity()), 2.0)
