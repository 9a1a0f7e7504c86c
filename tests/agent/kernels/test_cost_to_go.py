import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agent.kernels.cost_to_go import close_off, descend, fence_in, propagate, settle, travel_cost
from tests.reference import cost_to_go_reference as reference

SHAPE = (9, 11)
CELL_M = 0.1
FAR = 1e9

costs = arrays(np.float32, SHAPE, elements=st.sampled_from([1.0, 1.5, 4.0, 60.0]))
places = st.tuples(st.integers(0, SHAPE[0] - 1), st.integers(0, SHAPE[1] - 1))
sources = st.lists(st.tuples(places, st.floats(0.0, 30.0)), min_size=1, max_size=5)


def spread(cost: np.ndarray, begin: np.ndarray, here=(0, 0), beyond: float = FAR) -> np.ndarray:
    to_go = begin.copy()
    entries = np.empty((8 * cost.size, 2), np.int32)
    propagate(cost, CELL_M, here, beyond, to_go, entries, np.empty(256, np.int32))
    return to_go


def begin_at(seeds: list[tuple[tuple[int, int], float]]) -> np.ndarray:
    begin = np.full(SHAPE, np.inf, np.float32)
    for place, value in seeds:
        begin[place] = min(begin[place], value)
    return begin


@given(costs, sources)
def test_every_cell_has_the_least_cost(cost, seeds) -> None:
    begin = begin_at(seeds)
    assert spread(cost, begin) == pytest.approx(
        reference.propagate(cost, CELL_M, begin), rel=1e-4, abs=1e-4
    )


@given(costs, places, st.integers(1, 40))
def test_spreading_in_slices_comes_to_the_same(cost, place, most) -> None:
    begin = begin_at([(place, 0.0)])
    to_go, calls = begin.copy(), 1
    queue = (
        np.empty((8 * cost.size, 2), np.int32), np.full(256, -1, np.int32),
        np.zeros(4, np.int64), np.full(1, np.inf),
    )  # fmt: skip
    source = np.array([place[0] * SHAPE[1] + place[1]])
    while not settle(cost, CELL_M, (0, 0), np.inf, to_go, source, *queue, most):
        calls += 1
    np.testing.assert_array_equal(to_go, spread(cost, begin))
    assert calls >= cost.size // most


@given(costs, sources, places, st.floats(0.0, 3.0))
def test_what_matters_is_exact_and_the_rest_not_less(cost, seeds, here, beyond) -> None:
    begin = begin_at(seeds)
    exact = reference.propagate(cost, CELL_M, begin)
    found = spread(cost, begin, here, beyond)
    enough = exact[here] + beyond
    matters = exact < enough - 1e-3
    assert found[matters] == pytest.approx(exact[matters], rel=1e-4, abs=1e-4)
    assert (found[~matters] >= min(enough, exact[~matters].min(initial=np.inf)) - 1e-2).all()


@given(costs, places, places)
def test_the_way_down_ends_at_the_source(cost, source, start) -> None:
    to_go = spread(cost, begin_at([(source, 0.0)]))
    way = np.empty((200, 2))
    x, y = (start[1] + 0.5) * CELL_M, (start[0] + 0.5) * CELL_M
    count = descend(to_go, (0.0, 0.0), CELL_M, x, y, way)
    cells = np.floor(way[:count] / CELL_M).astype(int)
    values = to_go[cells[:, 1], cells[:, 0]]
    assert (np.diff(values) < 0.0).all()
    assert tuple(cells[-1, ::-1]) == source
    assert descend(to_go, (0.0, 0.0), CELL_M, -1.0, 0.0, way) == 0


@given(arrays(np.float32, (6, 8), elements=st.floats(0, 1, width=32)))
def test_a_cell_costs_what_its_widest_place_does(distance) -> None:
    cost = np.empty((3, 4), np.float32)
    travel_cost(distance, 0.3, 0.7, 5.0, 60.0, cost)
    widest = distance.reshape(3, 2, 4, 2).max(axis=(1, 3))
    expected = np.where(
        widest < 0.3, 60.0, 1.0 + 5.0 * np.clip((0.7 - widest) / 0.4, 0.0, None) ** 2
    )
    assert cost == pytest.approx(expected, rel=1e-4)


@given(st.lists(st.tuples(st.floats(-1, 2), st.floats(-1, 2), st.floats(0.05, 0.6)), max_size=4))
def test_discs_are_closed_or_all_outside_of_them(discs) -> None:
    fenced, closed = np.ones(SHAPE, np.float32), np.ones(SHAPE, np.float32)
    table = np.array(discs).reshape(-1, 3)
    fence_in((0.0, 0.0), CELL_M, table, 60.0, np.empty(SHAPE, np.bool_), fenced)
    close_off((0.0, 0.0), CELL_M, table, 60.0, np.empty(SHAPE, np.bool_), closed)
    rows, columns = np.indices(SHAPE)
    xs, ys = (columns + 0.5) * CELL_M, (rows + 0.5) * CELL_M
    away = [np.hypot(xs - x, ys - y) - radius for x, y, radius in discs]
    nearest = np.min(away, axis=0) if away else np.full(SHAPE, np.inf)
    assert (fenced[nearest < -1e-6] == 1.0).all()
    assert (fenced[nearest > 1e-6] == 60.0).all()
    assert (closed[nearest < -1e-6] == 60.0).all()
    assert (closed[nearest > 1e-6] == 1.0).all()
