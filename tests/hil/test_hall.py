import math
from itertools import combinations, pairwise

import numpy as np
import pytest

from agent.mapping.map_file import load_map
from hil.errors import BenchError
from hil.hall import LANE_CLEARANCE_M, build_hall

SEEDS = (1, 2, 3, 17)


@pytest.fixture(scope="module", params=SEEDS)
def hall(request):
    return build_hall(request.param)


@pytest.fixture(scope="module")
def walls_m(hall):
    rows, cols = np.nonzero(hall.grid.occupied)
    corner, side = hall.grid.map_from_grid, hall.grid.resolution_m
    return np.column_stack((corner.x_m + (cols + 0.5) * side, corner.y_m + (rows + 0.5) * side))


def test_size_and_resolution(hall):
    assert hall.grid.resolution_m == 0.05
    inside = hall.grid.free.sum() + hall.grid.occupied.sum()
    assert inside * 0.05**2 >= 60 * 40
    assert 0.04 < hall.grid.occupied.mean() < 0.25


def test_same_seed_same_hall_other_seed_other_hall(hall):
    halls = [build_hall(seed).grid.cells for seed in SEEDS]
    assert any(np.array_equal(hall.grid.cells, cells) for cells in halls)
    assert not any(np.array_equal(one, other) for one, other in combinations(halls, 2))


def test_hall_is_not_symmetric(hall):
    occupied = hall.grid.occupied[20:-20, 20:-20]
    for mirrored in (occupied[::-1], occupied[:, ::-1], occupied[::-1, ::-1]):
        shared = (occupied & mirrored).sum() / occupied.sum()
        assert shared < 0.6


def test_lanes_keep_their_clearance(hall, walls_m):
    half_diagonal_of_cell = 0.05 * math.sqrt(0.5)
    for one, other in hall.graph.edges:
        a, b = np.array(hall.graph.nodes[one]), np.array(hall.graph.nodes[other])
        along = np.clip((walls_m - a) @ (b - a) / ((b - a) @ (b - a)), 0.0, 1.0)
        away = np.linalg.norm(walls_m - a - along[:, None] * (b - a), axis=1).min()
        assert away - half_diagonal_of_cell >= LANE_CLEARANCE_M, (one, other)


def test_clearance_is_what_a_robot_needs_to_turn():
    assert math.hypot(0.45, 0.3) + 0.6 <= LANE_CLEARANCE_M


def test_every_station_reaches_every_other_along_edges(hall):
    edges = {frozenset(edge) for edge in hall.graph.edges}
    for start, end in combinations(hall.stations, 2):
        way = hall.graph.route(start, end)
        assert way[0] == start
        assert way[-1] == end
        assert all(frozenset(step) in edges for step in pairwise(way))


def test_shortest_way_agrees_with_floyd_and_warshall():
    graph = build_hall(1).graph
    names = list(graph.nodes)
    lengths = np.full((len(names), len(names)), np.inf)
    np.fill_diagonal(lengths, 0.0)
    for one, other in graph.edges:
        i, j = names.index(one), names.index(other)
        lengths[i, j] = lengths[j, i] = graph.length_m(one, other)
    for k in range(len(names)):
        lengths = np.minimum(lengths, lengths[:, [k]] + lengths[[k], :])
    for start, end in combinations(names[::3], 2):
        way = graph.route(start, end)
        length = sum(graph.length_m(a, b) for a, b in pairwise(way))
        assert length == pytest.approx(lengths[names.index(start), names.index(end)])


def test_stations_are_nodes_and_unknown_nodes_are_errors(hall):
    for name, pose in hall.stations.items():
        assert hall.graph.nodes[name] == (pose.x_m, pose.y_m)
    with pytest.raises(BenchError, match="no node named moon"):
        hall.graph.route("dock-1", "moon")


def test_written_map_reads_back(hall, tmp_path):
    read = load_map(hall.write(tmp_path))
    np.testing.assert_array_equal(read.cells, hall.grid.cells)
    assert read.map_from_grid == hall.grid.map_from_grid
