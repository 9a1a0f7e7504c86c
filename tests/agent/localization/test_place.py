import numpy as np
import pytest

from agent.errors import MapError
from agent.geometry.pose import Pose2
from agent.localization.place import FieldParams, Place
from agent.mapping.occupancy_grid import OccupancyGrid


def place_of(cells: np.ndarray, **params: float) -> Place:
    return Place.prepare(OccupancyGrid(cells, 0.05, Pose2.identity()), FieldParams(**params))


def test_the_likelihood_is_highest_on_walls_and_nothing_is_beside_the_map() -> None:
    cells = np.zeros((40, 30), np.int8)
    cells[10, 5:20] = 100
    pyramid = place_of(cells, levels=4).pyramid
    lowest = pyramid.fields[0]
    assert lowest.shape == (40 + pyramid.margin, 30 + pyramid.margin)
    assert not lowest[: pyramid.margin].any()
    assert not lowest[:, : pyramid.margin].any()
    assert (lowest[10 + pyramid.margin, 5 + pyramid.margin : 20 + pyramid.margin] == 255).all()


@pytest.mark.parametrize("level", range(4))
def test_squares_are_those_with_room_for_the_base(level: int) -> None:
    rng = np.random.default_rng(level)
    cells = np.full((37, 53), -1, np.int8)
    for row, column in rng.integers(0, 37, (12, 2)):
        cells[row, column] = 0
    cells[3, 3] = 100
    place = place_of(cells, levels=4, berth_m=0.0)
    side = 2**level
    expected = {
        (row // side * side, column // side * side) for row, column in np.argwhere(cells == 0)
    }
    assert {tuple(square) for square in place.pyramid.squares(level).tolist()} == expected


def test_a_berth_widens_the_floor_but_not_into_walls() -> None:
    cells = np.full((20, 20), -1, np.int8)
    cells[10, 10] = 0
    cells[10, 11] = 100
    squares = {
        tuple(s) for s in place_of(cells, levels=3, berth_m=0.05).pyramid.squares(0).tolist()
    }
    assert squares == {(10, 10), (9, 10), (11, 10), (10, 9)}


def test_a_map_of_nothing_is_refused() -> None:
    with pytest.raises(MapError, match="no occupied cell"):
        place_of(np.zeros((5, 5), np.int8))
