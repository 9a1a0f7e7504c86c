import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from agent.geometry.polygon import rectangle
from agent.kernels import route as kernels
from agent.kernels.distance import distance_transform
from agent.kernels.route import Body, Ground, Terms
from agent.route.hull import convex_hull
from tests.reference import route_reference

RESOLUTION_M = 0.05
FOOTPRINT = rectangle(0.8, 0.5, 0.1)
WEDGE = convex_hull(np.array([[0.4, 0.0], [-0.3, 0.25], [-0.3, -0.1]]))
TERMS = Terms(0.25, 0.6, 2.0, 0.3, 2.0, 1.5, 0.8, True, False)

grids = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12))
angles = st.floats(-math.pi, math.pi)
moves = st.tuples(st.floats(-1.0, 1.0), st.floats(-0.5, 0.5), st.floats(-2.0, 2.0))


def ground_of(filled: np.ndarray) -> Ground:
    around = np.pad(filled, 1, constant_values=True)
    distance = distance_transform(around, math.inf)[1:-1, 1:-1]
    counts = np.zeros((filled.shape[0], filled.shape[1] + 1), np.int32)
    np.cumsum(filled, axis=1, out=counts[:, 1:])
    distance_m = np.ascontiguousarray(distance) * np.float32(RESOLUTION_M)
    distance_m.setflags(write=False)
    counts.setflags(write=False)
    return Ground(distance_m, counts, RESOLUTION_M)


def body_of(hull: np.ndarray) -> Body:
    reach = float(np.hypot(*hull.T).max())
    return Body(hull, hull, 0.1, reach, np.empty((0, 3)))


def scattered(seed: int, share: float = 0.01, side: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).random((side, side)) < share


@settings(max_examples=200)
@given(st.integers(0, 10_000), st.floats(0.4, 2.6), st.floats(0.4, 2.6), angles, st.booleans())
def test_a_footprint_touches_what_separating_axes_say(seed, x, y, yaw, is_wedge) -> None:
    hull = WEDGE if is_wedge else FOOTPRINT
    filled = scattered(seed)
    expected = route_reference.touches(hull, (x, y, yaw), filled, RESOLUTION_M)
    if expected:
        # What is only grazed may go either way.
        inner = hull * (1.0 - 1e-6)
        assume(route_reference.touches(inner, (x, y, yaw), filled, RESOLUTION_M))
    assert kernels.touches(x, y, yaw, hull, ground_of(filled)) == expected


@given(st.integers(0, 10_000), st.floats(-0.2, 3.2), st.floats(-0.2, 3.2), angles)
def test_where_a_robot_fits_it_touches_nothing(seed, x, y, yaw) -> None:
    filled = scattered(seed, 0.003)
    fits = kernels.fits(x, y, yaw, ground_of(filled), body_of(FOOTPRINT))
    assert fits != route_reference.touches(FOOTPRINT, (x, y, yaw), filled, RESOLUTION_M)


@given(st.tuples(st.floats(-5, 5), st.floats(-5, 5), angles), moves, st.floats(0.0, 1.0))
def test_a_move_is_the_integral_of_its_twist(pose, move, share) -> None:
    expected = route_reference.moved(pose, move, share)
    assert kernels.moved(pose, move, share) == pytest.approx(expected, abs=1e-5)


@settings(max_examples=80)
@given(st.integers(0, 10_000), angles, moves)
def test_a_sweep_costs_something_finite_exactly_where_it_touches_nothing(seed, yaw, move) -> None:
    filled = scattered(seed, 0.006, 80)
    pose, ground, body = (2.0, 2.0, yaw), ground_of(filled), body_of(FOOTPRINT)
    assume(kernels.fits(*pose, ground, body))
    cost = kernels.sweep_cost(pose, move, ground, body, TERMS)
    way = math.hypot(move[0], move[1]) + abs(move[2]) * body.reach_m
    shares = np.linspace(0.0, 1.0, max(2, math.ceil(way / 0.01)))

    def touched(grown_m: float) -> bool:
        hull = rectangle(0.8 + 2 * grown_m, 0.5 + 2 * grown_m, 0.1)
        poses = [kernels.moved(pose, move, float(share)) for share in shares]
        return any(route_reference.touches(hull, p, filled, RESOLUTION_M) for p in poses)

    # Between two looks of either a corner is off by no more than half of their steps.
    if cost < math.inf:
        assert not touched(-0.015)
        least = kernels.bare_cost(move, TERMS)
        assert least - 1e-9 <= cost <= (1.0 + TERMS.aversion) * least + 1e-9
    else:
        assert touched(0.015)


@given(grids, st.integers(1, 4))
def test_pool_keeps_the_largest(values, side) -> None:
    distance = np.where(values, np.float32(3.0), np.float32(1.0))
    shape = tuple(-(-n // side) for n in distance.shape)
    widest = np.empty(shape, np.float32)
    kernels.pool(distance, side, widest)
    for row, column in np.ndindex(*shape):
        block = distance[row * side : (row + 1) * side, column * side : (column + 1) * side]
        assert widest[row, column] == block.max()


@given(grids, st.data(), st.floats(1.0, 6.0))
def test_filled_cells_are_added_as_if_they_had_always_been_there(filled, data, limit) -> None:
    more = data.draw(arrays(np.bool_, filled.shape))
    distance = distance_transform(filled, limit)
    kernels.add_filled(np.ascontiguousarray(np.argwhere(more)), limit, distance)
    np.testing.assert_allclose(distance, distance_transform(filled | more, limit), rtol=1e-6)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 3), min_size=2, max_size=4), st.floats(0.1, 1.0), st.floats(0.1, 1.0))
def test_a_band_holds_what_lies_beside_its_line(heights, left, right) -> None:
    line = np.column_stack([np.arange(len(heights)) * 1.0, heights])
    room = np.empty((20, 20), np.float32)
    kernels.room_in_band(line, left, right, 0.15, room)
    wrong = 0
    for row, column in np.ndindex(20, 20):
        point = ((column + 0.5) * 0.15, (row + 0.5) * 0.15)
        inside = room[row, column] >= 0.0
        wrong += inside != route_reference.inside_band(point, line, left, right)
    # Distances are kept as float32: a centre on the very edge may fall either way.
    assert wrong <= 2


@settings(max_examples=30)
@given(st.lists(st.floats(0, 3), min_size=2, max_size=4), st.floats(0.1, 1.0), angles)
def test_nothing_outside_a_band_is_nearer_than_its_edge(heights, wide, bearing) -> None:
    line = np.column_stack([np.arange(len(heights)) * 1.0, heights])
    room = np.empty((20, 20), np.float32)
    kernels.room_in_band(line, wide, wide, 0.15, room)
    for row, column in np.argwhere(room > 0.0):
        way = 0.99 * float(room[row, column])
        point = ((column + 0.5) * 0.15, (row + 0.5) * 0.15)
        there = (point[0] + way * math.cos(bearing), point[1] + way * math.sin(bearing))
        assert route_reference.inside_band(there, line, wide, wide)


targets = st.tuples(st.floats(-4, 4), st.floats(-4, 4), angles)


@settings(max_examples=300)
@given(targets, st.floats(0.3, 2.0))
def test_a_reeds_shepp_curve_leads_there_and_is_no_longer_than_one_of_dubins(target, radius):
    terms = TERMS._replace(reverse=1.0, radius_m=radius)
    curve = np.empty((kernels.MOST_CURVES, 3))
    count, cost = kernels.reeds_shepp(*target, terms, curve)
    assert count > 0
    pose = (0.0, 0.0, 0.0)
    for move in curve[:count]:
        assert abs(move[2]) * radius <= abs(move[0]) + 1e-9
        pose = kernels.moved(pose, tuple(move), 1.0)
    assert pose[:2] == pytest.approx(target[:2], abs=1e-6)
    assert math.cos(pose[2] - target[2]) == pytest.approx(1.0, abs=1e-9)
    assert cost == pytest.approx(np.abs(curve[:count, 0]).sum())
    assert math.hypot(*target[:2]) - 1e-6 <= cost
    assert cost <= route_reference.dubins_m(*target, radius) + 1e-6


@given(targets)
def test_the_way_back_and_the_mirrored_way_are_as_long(target) -> None:
    terms = TERMS._replace(reverse=1.0)
    curve = np.empty((kernels.MOST_CURVES, 3))
    x, y, yaw = target
    cos, sin = math.cos(yaw), math.sin(yaw)
    back = (-cos * x - sin * y, sin * x - cos * y, -yaw)
    lengths = [kernels.reeds_shepp(*end, terms, curve)[1] for end in (target, back, (x, -y, -yaw))]
    assert lengths == pytest.approx([lengths[0]] * 3, abs=1e-6)


@given(targets)
def test_who_may_not_reverse_gets_a_curve_without_it(target) -> None:
    curve = np.empty((kernels.MOST_CURVES, 3))
    count, cost = kernels.reeds_shepp(*target, TERMS._replace(reverse=math.inf), curve)
    if count > 0:
        assert (curve[:count, 0] >= -1e-6).all()
        assert cost == pytest.approx(curve[:count, 0].sum(), abs=1e-6)


@given(st.lists(moves, max_size=6), st.floats(0.05, 0.5))
def test_splitting_and_merging_lead_to_the_same_place(some, spacing) -> None:
    whole = np.array(some, np.float64).reshape(-1, 3)
    pieces = np.empty((kernels.split(whole, spacing, whole[:0]), 3))
    assert kernels.split(whole, spacing, pieces) == len(pieces)
    joined = pieces.copy()
    joined = joined[: kernels.merge(joined)]
    ends = []
    for run in (whole, pieces, joined):
        pose = (0.0, 0.0, 0.0)
        for move in run:
            pose = kernels.moved(pose, tuple(move), 1.0)
        ends.append(pose)
    assert ends[1] == pytest.approx(ends[0], abs=1e-6)
    assert ends[2] == pytest.approx(ends[0], abs=1e-6)
    assert len(joined) <= len(whole)


@given(st.lists(moves, min_size=1, max_size=4))
def test_a_followed_way_is_evenly_spaced_and_ends_where_it_should(some) -> None:
    way = np.array(some)
    start = (1.0, 2.0, 0.3)
    count = kernels.follow(start, way, 0.05, 0.1, np.empty((0, 3)), np.empty(0, np.bool_))
    poses, reversing = np.empty((count, 3)), np.empty(count, np.bool_)
    assert kernels.follow(start, way, 0.05, 0.1, poses, reversing) == count
    end = start
    for move in way:
        end = kernels.moved(end, tuple(move), 1.0)
    assert poses[-1] == pytest.approx(end, abs=1e-9)
    changes = np.diff(poses, axis=0)
    if len(changes):
        assert np.hypot(changes[:, 0], changes[:, 1]).max() <= 0.05 + 1e-9
        assert np.abs(changes[:, 2]).max() <= 0.1 + 1e-9


def test_a_pulled_way_has_only_the_corners_that_it_needs() -> None:
    filled = np.zeros((80, 80), np.bool_)
    filled[30:50, 0:50] = True
    ground, body = ground_of(filled), body_of(rectangle(0.2, 0.2))
    down = [(0.5, y) for y in np.arange(0.5, 0.9, 0.1)]
    across = [(x, 0.9) for x in np.arange(0.5, 3.2, 0.1)]
    up = [(3.2, y) for y in np.arange(0.9, 3.5, 0.1)]
    way = np.array(down + across + up)
    terms = TERMS._replace(closed_m=0.1, wide_m=0.3)
    kept = np.empty(len(way), np.int64)
    count = kernels.pull(way, ground, body, terms, math.nan, kept)
    assert (kept[0], kept[count - 1]) == (0, len(way) - 1)
    assert (np.diff(kept[:count]) > 0).all()
    assert count <= 4


def test_points_are_centred_in_a_gap_of_even_and_odd_width() -> None:
    for width in (6, 7):
        filled = np.ones((20, 20), np.bool_)
        filled[:, 6 : 6 + width] = False
        way = np.array([[(6 + width / 2) * RESOLUTION_M - 0.02, 0.55]])
        way[0, 0] = (math.floor(way[0, 0] / 0.1) + 0.5) * 0.1
        kernels.centre(way, ground_of(filled), 0.1)
        assert way[0, 0] == pytest.approx((6 + width / 2) * RESOLUTION_M, abs=0.026)


def search(
    filled: np.ndarray, start, goal, nodes: int = 20_000, expansions: int = 1_000_000
) -> np.ndarray | int:
    ground, body = ground_of(filled), body_of(FOOTPRINT)
    tree = kernels.Tree(
        np.empty((nodes, 3)), np.empty((nodes, 3)), np.empty(nodes), np.empty(nodes, np.int64),
        np.empty(nodes, np.int32), np.empty(nodes), np.empty(nodes, np.int32),
        np.empty(1 << (2 * nodes - 1).bit_length(), np.int32), np.zeros(6, np.int64),
        np.empty(1), np.empty((kernels.MOST_CURVES, 3)),
    )  # fmt: skip
    notch = math.tau / kernels.HEADINGS
    primitives = np.array([[0.2, 0, 0], [-0.2, 0, 0], [0.2, 0, notch], [0.2, 0, -notch],
                           [0, 0, notch], [0, 0, -notch]])  # fmt: skip
    to_go = np.zeros((filled.shape[0] // 2, filled.shape[1] // 2), np.float32)
    moves = np.empty((nodes, 3))
    kernels.plant(start, 0.1, tree)
    terms = (goal, ground, body, TERMS, primitives, to_go, 0.1, 0.1, nodes, expansions)
    while (count := kernels.search(*terms, tree, moves)) == kernels.GOES_ON:
        pass
    return moves[:count] if count > 0 else count


def wall_with_a_door() -> np.ndarray:
    filled = np.zeros((60, 80), np.bool_)
    filled[:, 38:41] = True
    filled[10:24, 38:41] = False
    return filled


def test_the_search_threads_a_door_and_ends_on_the_goal() -> None:
    start, goal = (0.8, 2.2, 0.0), (3.2, 2.2, math.pi / 2)
    found = search(wall_with_a_door(), start, goal)
    ground, body = ground_of(wall_with_a_door()), body_of(FOOTPRINT)
    assert kernels.route_cost(start, found, ground, body, TERMS, math.inf) < math.inf
    pose = start
    for move in found:
        pose = kernels.moved(pose, tuple(move), 1.0)
    assert pose[:2] == pytest.approx(goal[:2], abs=1e-6)
    assert math.cos(pose[2] - goal[2]) == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_array_equal(found, search(wall_with_a_door(), start, goal))
    in_slices = search(wall_with_a_door(), start, goal, expansions=7)
    np.testing.assert_array_equal(found, in_slices)


def test_the_search_tells_no_way_from_too_few_nodes() -> None:
    closed = wall_with_a_door()
    closed[:, 38:41] = True
    start, goal = (0.8, 2.2, 0.0), (3.2, 2.2, 0.0)
    assert search(closed, start, goal, 200_000) == 0
    assert search(closed, start, goal, 300) == -1


def test_facing_about_on_the_spot_takes_three_arcs_of_a_sixth() -> None:
    curve = np.empty((kernels.MOST_CURVES, 3))
    count, cost = kernels.reeds_shepp(0.0, 0.0, math.pi, TERMS._replace(reverse=1.0), curve)
    assert (count, cost) == (3, pytest.approx(math.pi * TERMS.radius_m))
