import math

import numpy as np
import pytest

from hil.buildings import CLEARANCE_M, corridor, factory, map_of, twin_ends
from hil.faults.rearrangement import double_map, rearrange, rearrange_map
from hil.plant.floor_plan import distances_m


def rng(seed=1):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def hall():
    return factory(rng())


@pytest.mark.parametrize("draw", [factory, corridor, twin_ends])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_tour_is_free_on_the_map(draw, seed):
    building = draw(rng(seed))
    grid = map_of(building.plan)
    cells = [grid.cell_at(x, y) for x, y in building.track.points_m[::50].tolist()]
    assert all(grid.free[cell] for cell in cells)
    for outline in [building.plan.boundary, *(solid.outline for solid in building.plan.solids)]:
        off = building.track.points_m[::50]
        edge_m = np.hypot(*(off[:, None] - outline[None]).transpose(2, 0, 1)).min()
        assert edge_m >= CLEARANCE_M


def test_same_generator_same_hall(hall):
    np.testing.assert_array_equal(hall.plan.surfaces, factory(rng()).plan.surfaces)
    assert len(hall.plan.surfaces) != len(factory(rng(2)).plan.surfaces)
    assert len(hall.plan.surfaces) > 300


def test_rounds_pass_the_same_places(hall):
    here, there = (hall.track.pose(m) for m in (hall.lap_m * 0.4, hall.lap_m * 1.4))
    assert math.hypot(here.x_m - there.x_m, here.y_m - there.y_m) < 1.0


def test_corridor_is_its_own_twin_on_the_map():
    cells = map_of(corridor(rng()).plan).cells
    np.testing.assert_array_equal(cells, cells[::-1, ::-1])


def test_twins_differ_in_the_niche_only():
    building = twin_ends(rng())
    grid = map_of(building.plan)
    differ = grid.occupied != grid.occupied[::-1, ::-1]
    rows, columns = np.nonzero(differ)
    places = np.array([grid.center_m(r, c) for r, c in zip(rows, columns, strict=True)])
    assert 40 < differ.sum() < 400
    assert np.abs(places).max() < 4.0


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_rearranged_hall_keeps_the_track_open_and_what_is_fixed(hall, share):
    changed = rearrange(hall.plan, hall.track, share, rng(5))
    fixed = [id(solid) for solid in hall.plan.solids if not solid.movable]
    kept = {id(solid) for solid in changed.solids}
    assert kept.issuperset(fixed)
    movable = len(hall.plan.solids) - len(fixed)
    stayed = sum(id(s) in kept for s in hall.plan.solids if s.movable)
    # A third of those that change stay and get company.
    assert stayed / movable == pytest.approx(1.0 - share * 2 / 3, abs=0.15)
    points = hall.track.points_m[::50]
    assert all(distances_m(s.outline, points).min() >= CLEARANCE_M for s in changed.solids)


def test_rearranged_map_differs_in_about_the_share(hall):
    grid = map_of(hall.plan)
    same = rearrange_map(grid, 0.0, rng(5))
    np.testing.assert_array_equal(same.cells, grid.cells)
    half = rearrange_map(grid, 0.5, rng(5))
    gone = (grid.occupied & ~half.occupied).sum() / grid.occupied.sum()
    assert 0.2 < gone < 0.5
    assert (half.occupied & ~grid.occupied).any()


def test_doubled_map_holds_the_building_twice(hall):
    grid = map_of(hall.plan)
    doubled = double_map(grid)
    np.testing.assert_array_equal(doubled.cells, doubled.cells[::-1, ::-1])
    np.testing.assert_array_equal(doubled.cells[:, : grid.columns], grid.cells)
