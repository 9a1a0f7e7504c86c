import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.plant.floor_plan import FloorPlan, SurveyedWorld, block, distances_m, edges, inside
from hil.plant.world import Disc, Pose, standing
from tests.examples import examples

ROOM = np.array([(-4.0, -3.0), (4.0, -3.0), (4.0, 3.0), (-4.0, 3.0)])


def room(*solids):
    return FloorPlan(ROOM, solids)


def sampled_cells(surfaces, resolution_m):
    """Cells under points half a millimetre apart."""
    cells = set()
    for x1, y1, x2, y2 in surfaces.tolist():
        shares = np.linspace(0.0, 1.0, 2 + int(math.hypot(x2 - x1, y2 - y1) / 0.0005))[1:-1]
        points = np.column_stack((x1 + shares * (x2 - x1), y1 + shares * (y2 - y1)))
        cells |= set(map(tuple, np.floor(points / resolution_m).astype(int).tolist()))
    return cells


@settings(max_examples=examples(20))
@given(
    x=st.floats(-2.0, 2.0), y=st.floats(-1.5, 1.5), yaw=st.floats(0.01, 1.5), side=st.floats(0.1, 1)
)
def test_every_cell_that_a_surface_crosses_is_occupied_and_no_other(x, y, yaw, side):
    solid = block(Pose(x, y, yaw), 1.0, side)
    raster = FloorPlan(ROOM + 0.013, (solid,)).rasterized(0.05)
    rows, cols = np.nonzero(raster.occupied)
    low = np.round(np.array([raster.origin_x_m, raster.origin_y_m]) / 0.05).astype(int)
    drawn = set(zip((cols + low[0]).tolist(), (rows + low[1]).tolist(), strict=True))
    expected = sampled_cells(np.vstack((edges(ROOM + 0.013), edges(solid.outline))), 0.05)
    assert expected <= drawn
    # Cells that a surface only clips at a corner may fall between two samples.
    assert len(drawn - expected) <= 4


def test_floor_is_free_and_solids_are_not():
    raster = room(block(Pose(1.0, 0.5, 0.4), 1.0, 0.8)).rasterized(0.05)

    def at(mask, x_m, y_m):
        return mask[int((y_m - raster.origin_y_m) / 0.05), int((x_m - raster.origin_x_m) / 0.05)]

    assert at(raster.free, -2.0, 1.0)
    assert not at(raster.free, 1.0, 0.5) and not at(raster.occupied, 1.0, 0.5)
    assert not at(raster.free, 4.3, 0.0) and not at(raster.occupied, 4.3, 0.0)
    assert not (raster.free & raster.occupied).any()
    assert raster.free.sum() * 0.05**2 == pytest.approx(8 * 6 - 0.8, rel=0.03)


def test_walls_lie_in_the_middle_of_their_cells_on_average():
    plan = room(*(block(Pose(-3 + i, 0.013 * i, 0.1 + 0.2 * i), 0.6, 0.5) for i in range(7)))
    raster = plan.turned(0.03).rasterized(0.05)
    rows, cols = np.nonzero(raster.occupied)
    xs, ys = raster.origin_x_m + (cols + 0.5) * 0.05, raster.origin_y_m + (rows + 0.5) * 0.05
    # Signed distance of the cells along the room's long walls, which the turn takes across cells.
    cos, sin = math.cos(0.03), math.sin(0.03)
    along, up = cos * xs + sin * ys, cos * ys - sin * xs
    for wall_m in (-3.0, 3.0):
        near = (np.abs(up - wall_m) < 0.06) & (np.abs(along) < 3.8)
        assert abs((up[near] - wall_m).mean()) < 0.002


def test_inside_and_distance_of_a_turned_block():
    solid = block(Pose(1.0, 2.0, math.pi / 6), 2.0, 1.0)
    points = np.array([(1.0, 2.0), (1.0 + math.cos(math.pi / 6) * 3, 2.0 + 1.5), (-4.0, 2.0)])
    assert inside(solid.outline, points[:, 0], points[:, 1]).tolist() == [True, False, False]
    distances = distances_m(solid.outline, points)
    assert distances[:2] == pytest.approx([0.0, 2.0])
    assert distances[2] > 3.0


def test_obstacles_hide_walls_and_move():
    world = SurveyedWorld(room())
    poses, stamps = np.zeros((3, 2)), np.zeros(2, np.int64)
    bearings = np.array([0.0, math.pi])
    assert world.ranges_m(poses, bearings, stamps, 16.0) == pytest.approx([4.0, 4.0])
    world.obstacles.add(standing("person", Disc(0.25), Pose(2.0, 0.0, 0.0)))
    assert world.ranges_m(poses, bearings, stamps, 16.0) == pytest.approx([1.75, 4.0])
    world.rebuild(room(block(Pose(-3.0, 0.0, 0.0), 1.0, 1.0)))
    assert world.ranges_m(poses, bearings, stamps, 16.0) == pytest.approx([1.75, 2.5])
    out_of_reach = world.ranges_m(poses, bearings, stamps, 2.0)
    assert math.isnan(out_of_reach[1]) and out_of_reach[0] == pytest.approx(1.75)
