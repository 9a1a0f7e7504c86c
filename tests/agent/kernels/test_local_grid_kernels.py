import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kernels import local_grid as kernels

CELL_M = 0.1
SHAPE = (20, 24)
ORIGIN = (-1.0, -0.5)

xs, ys = st.floats(-0.99, 1.39), st.floats(-0.49, 1.49)
points = st.lists(st.tuples(xs, ys), max_size=8)


class Layers:
    def __init__(self) -> None:
        self.belief = np.zeros(SHAPE, np.int8)
        self.point = np.zeros((*SHAPE, 2), np.float32)
        self.hit = np.full(SHAPE, kernels.NEVER, np.int32)
        self.seen = np.full(SHAPE, kernels.NEVER, np.int32)

    def see(self, eye, ends, hits, now_ms: int) -> None:
        kernels.integrate_rays(
            ORIGIN, CELL_M, eye, np.array(ends, np.float64).reshape(-1, 2),
            np.array(hits, np.bool_), now_ms, self.belief, self.point, self.hit, self.seen,
        )  # fmt: skip

    def occupied(self, since_ms: int = 0, moving=()) -> np.ndarray:
        found = np.empty((1000, 2))
        discs = np.array(moving, np.float64).reshape(-1, 5)
        count = kernels.occupied_points(self.belief, self.point, self.hit, since_ms, discs, found)
        return found[:count]


def cell_of(x: float, y: float) -> tuple[int, int]:
    return int((y - ORIGIN[1]) / CELL_M), int((x - ORIGIN[0]) / CELL_M)


@given(xs, ys, st.lists(st.tuples(xs, ys, st.booleans()), min_size=1, max_size=8))
def test_a_ray_frees_what_it_crosses_and_marks_its_end(x, y, rays) -> None:
    layers = Layers()
    ends, hits = [(a, b) for a, b, _ in rays], [hit for *_, hit in rays]
    layers.see((x, y), ends, hits, 5)
    for (a, b), hit in zip(ends, hits, strict=True):
        row, column = cell_of(a, b)
        if hit:
            assert layers.belief[row, column] == kernels.HIT
            assert layers.hit[row, column] == layers.seen[row, column] == 5
        length = math.hypot(a - x, b - y)
        for part in np.linspace(0.0, 1.0, 30):
            if part * length < length - 2.0 * CELL_M:
                at = cell_of(x + part * (a - x), y + part * (b - y))
                near = layers.seen[max(0, at[0] - 1) : at[0] + 2, max(0, at[1] - 1) : at[1] + 2]
                assert (near == 5).any()
    marked = {cell_of(a, b) for (a, b), hit in zip(ends, hits, strict=True) if hit}
    assert {tuple(at) for at in np.argwhere(layers.belief > 0)} == marked


def test_the_mean_of_the_hits_is_kept_and_a_cell_that_is_seen_through_is_freed() -> None:
    layers = Layers()
    for now in range(1, 40):
        layers.see((-0.9, 0.05), [(0.52 + 0.01 * (-1) ** now, 0.05)], [True], now)
    assert layers.occupied()[0] == pytest.approx((0.52, 0.05), abs=0.005)
    through = 0
    while len(layers.occupied()):
        layers.see((-0.9, 0.05), [(1.3, 0.05)], [False], 40 + through)
        through += 1
    assert 1 < through <= kernels.MOST


def test_what_is_out_of_sight_is_forgotten_in_the_end_and_what_moves_is_left_out() -> None:
    layers = Layers()
    layers.see((0.0, 0.0), [(0.55, 0.55)], [True], 100)
    assert len(layers.occupied(100)) == 1
    assert len(layers.occupied(100, [(0.6, 0.6, 1.0, 0.0, 0.1)])) == 0
    assert len(layers.occupied(101)) == 0
    assert len(layers.occupied(0)) == 0, "forgotten for good"


@given(points, st.integers(-25, 25), st.integers(-25, 25))
def test_rolling_keeps_what_stays_in_the_window(places, up, right) -> None:
    layers = Layers()
    for number, (x, y) in enumerate(places):
        row, column = cell_of(x, y)
        layers.belief[row, column], layers.seen[row, column] = 3, number
        layers.point[row, column] = x, y
    before = (layers.belief.copy(), layers.seen.copy(), layers.point.copy())
    kernels.roll(up, right, layers.belief, layers.point, layers.hit, layers.seen)
    for row in range(SHAPE[0]):
        for column in range(SHAPE[1]):
            source = row + up, column + right
            inside = 0 <= source[0] < SHAPE[0] and 0 <= source[1] < SHAPE[1]
            assert layers.belief[row, column] == (before[0][source] if inside else 0)
            assert layers.seen[row, column] == (before[1][source] if inside else kernels.NEVER)
            if inside:
                assert (layers.point[row, column] == before[2][source]).all()


@given(points, st.floats(0.1, 1.0))
def test_distances_are_those_to_the_nearest_point_up_to_the_limit(places, limit) -> None:
    distance = np.empty(SHAPE, np.float32)
    kernels.splat_distance(
        ORIGIN, CELL_M, np.array(places, np.float64).reshape(-1, 2), limit, distance
    )
    rows, columns = np.indices(SHAPE)
    cx, cy = ORIGIN[0] + (columns + 0.5) * CELL_M, ORIGIN[1] + (rows + 0.5) * CELL_M
    away = [np.hypot(cx - x, cy - y) for x, y in places]
    expected = np.minimum(limit, np.min(away, axis=0)) if away else np.full(SHAPE, limit)
    assert distance == pytest.approx(expected, abs=1e-4)


def test_only_where_something_can_hide_is_the_unseen_doubtful() -> None:
    layers = Layers()
    layers.seen[:] = 7
    layers.seen[5, 5] = layers.seen[10, 10:12] = kernels.NEVER  # slivers
    layers.seen[14:16, 3:5] = kernels.NEVER
    layers.belief[2, 2], layers.point[2, 2] = 5, (-0.77, -0.26)
    found = np.empty((1000, 2))
    count = kernels.doubtful_points(
        ORIGIN, CELL_M, (0.0, 0.5), 5.0, 0, layers.belief, layers.point, layers.seen, True, found
    )
    cells = {cell_of(x, y) for x, y in found[:count]}
    assert cells == {(2, 2)}
    count = kernels.doubtful_points(
        ORIGIN, CELL_M, (0.0, 0.5), 5.0, 0, layers.belief, layers.point, layers.seen, False, found
    )
    cells = {cell_of(x, y) for x, y in found[:count]}
    assert cells == {(14, 3), (14, 4), (15, 3), (15, 4)}


def test_where_the_robot_stands_is_free() -> None:
    layers = Layers()
    layers.belief[:] = 5
    square = np.array([[-0.3, 0.0], [0.3, 0.0], [0.3, 0.4], [-0.3, 0.4]])
    kernels.mark_seen(ORIGIN, CELL_M, square, 9, layers.belief, layers.seen)
    rows, columns = np.indices(SHAPE)
    x, y = ORIGIN[0] + (columns + 0.5) * CELL_M, ORIGIN[1] + (rows + 0.5) * CELL_M
    inside = (np.abs(x) < 0.3) & (y > 0.0) & (y < 0.4)
    assert (layers.belief[inside] == 0).all()
    assert (layers.seen[inside] == 9).all()
    outside = (np.abs(x) > 0.36) | (y < -0.06) | (y > 0.46)
    assert (layers.belief[outside] == 5).all()
