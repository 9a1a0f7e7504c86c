import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agent.kernels import search
from agent.localization.place import SearchPyramid
from tests.examples import examples
from tests.reference import search_reference

fields = arrays(np.uint8, st.tuples(st.integers(1, 11), st.integers(1, 11)))
cell_lists = arrays(
    np.int32, st.tuples(st.integers(1, 6), st.just(2)), elements=st.integers(-12, 12)
)


@given(field=fields, levels=st.integers(1, 3))
def test_pooling_again_and_again_gives_maxima_over_squares(field: np.ndarray, levels: int) -> None:
    pooled = field
    for level in range(levels):
        before, pooled = pooled, np.empty_like(field)
        search.pool_maximum(before, 2**level, pooled)
    assert np.array_equal(pooled, search_reference.pooled(field, 2**levels))


@given(field=fields, cells=cell_lists, row=st.integers(-3, 12), column=st.integers(-3, 12))
def test_a_bound_is_the_sum_over_the_points(field, cells, row: int, column: int) -> None:
    margin = 4
    wide = np.pad(field, ((margin, 0), (margin, 0)))
    wide.setflags(write=False)  # as the pyramid of a map is
    expected = search_reference.score(wide, cells, row + margin, column + margin)
    assert search.bound(wide, margin, cells, row, column) == expected


@given(values=st.lists(st.integers(0, 50), min_size=1, max_size=60))
def test_sorting_is_descending_and_stable(values: list[int]) -> None:
    bounds, order = np.array(values, np.int32), np.empty(len(values), np.int32)
    search.sort_descending(bounds, 50, order)
    assert order.tolist() == sorted(range(len(values)), key=lambda i: -values[i])


@given(
    points=arrays(np.float64, (5, 2), elements=st.floats(-3.0, 3.0)),
    yaws=arrays(np.float64, 3, elements=st.floats(-4.0, 4.0)),
)
def test_turned_points_are_rounded_to_cells(points: np.ndarray, yaws: np.ndarray) -> None:
    cells = np.empty((3, 5, 2), np.int32)
    search.rotate_to_cells(points, yaws, 0.25, cells)
    expected = np.stack([search_reference.turned(points, yaw, 0.25) for yaw in yaws])
    # A point on a cell's border may fall to either side.
    assert np.abs(cells - expected).max() <= 1
    assert (cells == expected).mean() > 0.8 or np.abs(points).min() < 1e-6


def descend(
    field: np.ndarray, free: np.ndarray, cells: np.ndarray, budget: int
) -> tuple[np.ndarray, int]:
    """Search to the single best cell, and return the peaks and the number of calls."""
    levels = 4
    pyramid = SearchPyramid.build(field, free, levels)
    squares = pyramid.squares(levels - 1)
    bounds = np.empty(len(squares) * len(cells), np.int32)
    order = np.empty_like(bounds)
    search.bound_roots(
        pyramid.fields[levels - 1], pyramid.margin, cells, squares, 0, len(bounds), bounds
    )
    search.sort_descending(bounds, 255 * cells.shape[1], order)
    peaks, progress = np.zeros((3, 4), np.int32), np.zeros(5, np.int64)
    stack = np.empty((4 * levels + 4, 5), np.int32)
    calls, done = 0, False
    while not done:
        calls += 1
        done = search.descend(
            pyramid.fields, pyramid.margin, cells, squares, bounds, order, pyramid.free,
            pyramid.free_begins, pyramid.free_columns, (levels - 1, 0), (0, 0, len(cells)),
            0.9, 0, budget, stack, peaks, progress,
        )  # fmt: skip
    return peaks[: progress[search.PEAKS]], calls


@settings(max_examples=examples(60), deadline=None)
@given(
    field=arrays(np.uint8, st.tuples(st.integers(5, 20), st.integers(5, 20))),
    seed=st.integers(0, 1000),
    budget=st.integers(1, 50),
)
def test_descend_finds_what_brute_force_finds(field: np.ndarray, seed: int, budget: int) -> None:
    rng = np.random.default_rng(seed)
    free = rng.random(field.shape) < 0.7
    cells = rng.integers(-6, 7, (4, 5, 2)).astype(np.int32)
    best = max(
        (
            search_reference.score(field, cells[k], int(row), int(column))
            for row, column in np.argwhere(free)
            for k in range(4)
        ),
        default=0,
    )
    peaks, _ = descend(field, free, cells, 10_000)
    assert (peaks[:, 0].max() if len(peaks) else 0) == best
    sliced, _ = descend(field, free, cells, budget)
    assert np.array_equal(sliced, peaks)


def test_a_small_budget_takes_more_calls() -> None:
    rng = np.random.default_rng(0)
    field = rng.integers(0, 256, (40, 40)).astype(np.uint8)
    cells = rng.integers(-6, 7, (4, 5, 2)).astype(np.int32)
    free = np.ones(field.shape, np.bool_)
    assert descend(field, free, cells, 10_000)[1] == 1
    assert descend(field, free, cells, 10)[1] > 1


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_square_is_never_bounded_below_what_is_in_it(level: int) -> None:
    rng = np.random.default_rng(level)
    field = rng.integers(0, 256, (16, 16)).astype(np.uint8)
    pyramid = SearchPyramid.build(field, np.ones(field.shape, np.bool_), 4)
    cells = rng.integers(-9, 10, (6, 2)).astype(np.int32)
    side = 2**level
    for row, column in pyramid.squares(level):
        upper = search.bound(pyramid.fields[level], pyramid.margin, cells, row, column)
        inside = [
            search.bound(pyramid.fields[0], pyramid.margin, cells, row + r, column + c)
            for r in range(side)
            for c in range(side)
        ]
        assert upper >= max(inside)
