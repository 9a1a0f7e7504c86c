import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ConfigError, RouteNotFound
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.mapping.map_file import load_map
from agent.mapping.occupancy_grid import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from agent.route.path import Goal
from agent.route.route_map import Band, RouteMap
from agent.route.route_search import (
    Mobility,
    Obstruction,
    Route,
    RouteSearch,
    RouteSearchParams,
)
from tests.reference import route_reference

RESOLUTION_M = 0.05
STEP_M = 0.02
FOOTPRINT = rectangle(0.9, 0.5, 0.1)
MOBILITIES = {
    "differential": Mobility(),
    "car": Mobility(turning_radius_m=0.7),
    "omni": Mobility(sideways=True),
}
SEARCHES = {
    name: RouteSearch(RouteSearchParams(), FOOTPRINT, mobility)
    for name, mobility in MOBILITIES.items()
}


def grid_of(filled: np.ndarray, origin: Pose2 = Pose2.identity()) -> OccupancyGrid:  # noqa: B008
    return OccupancyGrid(np.where(filled, OCCUPIED, FREE).astype(np.int8), RESOLUTION_M, origin)


def hall(width_m: float = 8.0, height_m: float = 6.0) -> np.ndarray:
    filled = np.zeros((round(height_m / RESOLUTION_M), round(width_m / RESOLUTION_M)), np.bool_)
    filled[:2] = filled[-2:] = True
    filled[:, :2] = filled[:, -2:] = True
    return filled


def put(filled: np.ndarray, left: float, bottom: float, right: float, top: float) -> np.ndarray:
    x0, y0, x1, y1 = (round(edge / RESOLUTION_M) for edge in (left, bottom, right, top))
    filled[y0:y1, x0:x1] = True
    return filled


def furnished(seed: int) -> np.ndarray:
    """A hall with a few boxes and perhaps a wall with a gap in it."""
    rng = np.random.default_rng(seed)
    filled = hall()
    for _ in range(rng.integers(0, 8)):
        left, bottom = rng.uniform(0.0, 7.0), rng.uniform(0.0, 5.0)
        put(filled, left, bottom, left + rng.uniform(0.05, 1.5), bottom + rng.uniform(0.05, 1.5))
    if rng.random() < 0.5:
        at, gap = rng.uniform(2.0, 6.0), rng.uniform(0.3, 5.0)
        wall = put(np.zeros_like(filled), at, 0.0, at + 0.1, 6.0)
        wall[round(gap / RESOLUTION_M) :][: round(rng.uniform(0.6, 1.2) / RESOLUTION_M)] = False
        filled |= wall
    return filled


def standing(filled: np.ndarray, rng: np.random.Generator) -> Pose2 | None:
    for _ in range(50):
        pose = Pose2(rng.uniform(0.5, 7.5), rng.uniform(0.5, 5.5), rng.uniform(-3.1, 3.1))
        wide = rectangle(1.05, 0.65, 0.1)
        place = (pose.x_m, pose.y_m, pose.yaw_rad)
        if not route_reference.touches(wide, place, filled, RESOLUTION_M):
            return pose
    return None


def poses_of(route: Route) -> np.ndarray:
    return np.column_stack([route.points_m, route.yaws_rad])


def assert_clear(route: Route, filled: np.ndarray) -> None:
    reach = float(np.hypot(*FOOTPRINT.T).max())
    for pose in route_reference.along(poses_of(route), reach, STEP_M):
        place = tuple(float(value) for value in pose)
        assert not route_reference.touches(FOOTPRINT, place, filled, RESOLUTION_M), place


def assert_drivable(route: Route, mobility: Mobility) -> None:
    """No step goes sideways unless the base can, and a car bends no tighter than it can."""
    poses = poses_of(route)
    change = np.diff(poses, axis=0)
    turn = (change[:, 2] + math.pi) % math.tau - math.pi
    middle = poses[:-1, 2] + turn / 2
    ahead = np.cos(middle) * change[:, 0] + np.sin(middle) * change[:, 1]
    left = np.cos(middle) * change[:, 1] - np.sin(middle) * change[:, 0]
    way = np.hypot(ahead, left)
    if not mobility.sideways:
        assert np.abs(left).max(initial=0.0) < 1e-6
        moving = way > 1e-9
        np.testing.assert_array_equal(route.reversing[1:][moving], ahead[moving] < 0.0)
    if mobility.turning_radius_m > 0.0:
        assert (np.abs(turn) * mobility.turning_radius_m <= 1.01 * way + 1e-9).all()


def assert_joins(route: Route, start: Pose2, goal: Goal) -> None:
    assert tuple(route.points_m[0]) == pytest.approx((start.x_m, start.y_m), abs=1e-6)
    assert math.cos(route.yaws_rad[0] - start.yaw_rad) == pytest.approx(1.0)
    assert tuple(route.points_m[-1]) == pytest.approx((goal.x_m, goal.y_m), abs=1e-6)
    if goal.yaw_rad is not None:
        assert math.cos(route.yaws_rad[-1] - goal.yaw_rad) == pytest.approx(1.0)


@pytest.mark.parametrize("name", MOBILITIES)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 100_000), st.booleans())
def test_a_route_is_clear_drivable_and_leads_from_start_to_goal(name, seed, any_yaw) -> None:
    filled = furnished(seed)
    rng = np.random.default_rng(seed + 1)
    start, end = standing(filled, rng), standing(filled, rng)
    if start is None or end is None:
        return
    goal = Goal(end.x_m, end.y_m, None if any_yaw else end.yaw_rad)
    try:
        route = SEARCHES[name].find(RouteMap.prepare(grid_of(filled)), start, goal)
    except RouteNotFound as error:
        assert error.obstruction in (Obstruction.NO_WAY, Obstruction.GAVE_UP)
        return
    assert_joins(route, start, goal)
    assert_clear(route, filled)
    assert_drivable(route, MOBILITIES[name])
    steps = np.hypot(*np.diff(route.points_m, axis=0).T)
    assert route.length_m == pytest.approx(steps.sum(), rel=0.01, abs=1e-6)
    assert route.length_m >= math.dist(route.points_m[0], route.points_m[-1]) - 1e-6


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 100_000))
def test_where_a_disc_around_the_robot_gets_through_there_is_a_route(seed) -> None:
    filled = furnished(seed)
    rng = np.random.default_rng(seed + 1)
    start, end = standing(filled, rng), standing(filled, rng)
    if start is None or end is None:
        return
    route_map = RouteMap.prepare(grid_of(filled))
    radius = float(np.hypot(*FOOTPRINT.T).max()) + RouteSearchParams().needed_clearance_m
    room = route_map.ground.distance_m > radius + 2 * RESOLUTION_M
    cells = [tuple(int(v / RESOLUTION_M) for v in (p.y_m, p.x_m)) for p in (start, end)]
    if not (room[cells[0]] and room[cells[1]]):
        return
    shortest = route_reference.shortest_m(room, *cells, RESOLUTION_M)
    if shortest < math.inf:
        route = SEARCHES["differential"].find(route_map, start, Goal(end.x_m, end.y_m))
        assert route.length_m <= 1.3 * shortest + 0.1


@pytest.mark.parametrize("seed", range(6))
def test_a_round_robot_in_the_open_goes_nearly_the_shortest_way(seed) -> None:
    filled = put(put(hall(), 2.0, 0.0, 2.6, 3.5), 4.8, 2.2, 5.4, 6.0)
    octagon = np.column_stack([f(math.tau * np.arange(8) / 8) for f in (np.cos, np.sin)]) * 0.3
    params = RouteSearchParams(wanted_clearance_m=0.06, turn_cost_m=0.0)
    search = RouteSearch(params, octagon, Mobility())
    route_map = RouteMap.prepare(grid_of(filled))
    rng = np.random.default_rng(seed)
    start = Pose2(rng.uniform(0.6, 1.5), rng.uniform(0.6, 5.4), 0.0)
    goal = Goal(rng.uniform(6.2, 7.4), rng.uniform(0.6, 5.4))
    room = route_map.ground.distance_m >= 0.35
    cells = [tuple(int(v / RESOLUTION_M) for v in (p.y_m, p.x_m)) for p in (start, goal)]
    shortest = route_reference.shortest_m(room, *cells, RESOLUTION_M)
    assert search.find(route_map, start, goal).length_m <= 1.05 * shortest


@pytest.mark.parametrize("name", MOBILITIES)
@pytest.mark.parametrize("seed", range(8))
def test_a_mirrored_map_has_a_route_as_long(name, seed) -> None:
    filled = furnished(seed)
    rng = np.random.default_rng(seed)
    start, end = standing(filled, rng), standing(filled, rng)
    if start is None or end is None:
        return
    height_m = filled.shape[0] * RESOLUTION_M

    def length(sign: float) -> float:
        def flip(y_m: float) -> float:
            return y_m if sign > 0 else height_m - y_m

        there = Goal(end.x_m, flip(end.y_m), sign * end.yaw_rad)
        here = Pose2(start.x_m, flip(start.y_m), sign * start.yaw_rad)
        grid = grid_of(filled if sign > 0 else filled[::-1])
        try:
            return SEARCHES[name].find(RouteMap.prepare(grid), here, there).length_m
        except RouteNotFound:
            return math.inf

    assert length(-1.0) == pytest.approx(length(1.0), rel=0.03, abs=0.05)


def test_the_same_question_has_the_same_answer() -> None:
    filled = put(put(hall(), 3.0, 0.0, 3.5, 4.0), 5.0, 2.0, 5.5, 6.0)
    route_map = RouteMap.prepare(grid_of(filled))
    start, goal = Pose2(1.0, 1.0, 0.0), Goal(7.0, 5.0, 1.0)
    one, other = (SEARCHES["differential"].find(route_map, start, goal) for _ in range(2))
    np.testing.assert_array_equal(poses_of(one), poses_of(other))


def test_a_route_does_not_depend_on_where_the_grid_lies_on_the_map() -> None:
    filled = put(hall(), 3.0, 0.0, 3.5, 4.0)
    origin = Pose2(-20.0, 7.0, 0.6)
    start, goal = Pose2(1.5, 1.5, 1.0), Goal(6.0, 1.5, -1.0)
    plain = SEARCHES["differential"].find(RouteMap.prepare(grid_of(filled)), start, goal)
    end = origin @ Pose2(goal.x_m, goal.y_m, goal.yaw_rad or 0.0)
    shifted = SEARCHES["differential"].find(
        RouteMap.prepare(grid_of(filled, origin)),
        origin @ start,
        Goal(end.x_m, end.y_m, end.yaw_rad),
    )
    assert shifted.length_m == pytest.approx(plain.length_m, rel=1e-3)
    expected = [origin.transform(*point) for point in plain.points_m]
    np.testing.assert_allclose(shifted.points_m, expected, atol=0.02)


def test_a_narrow_door_is_threaded_between_rooms() -> None:
    filled = put(put(hall(), 4.0, 0.0, 4.15, 2.6), 4.0, 3.3, 4.15, 6.0)
    route_map = RouteMap.prepare(grid_of(filled))
    start, goal = Pose2(3.2, 1.2, math.pi / 2), Goal(5.0, 5.0, math.pi / 2)
    for name, search in SEARCHES.items():
        route = search.find(route_map, start, goal)
        assert_clear(route, filled)
        assert_drivable(route, MOBILITIES[name])
        assert 0.0 < route.min_clearance_m < 0.15


def test_a_bay_is_entered_head_on_and_left_backwards() -> None:
    filled = put(put(hall(), 2.0, 0.0, 3.0, 2.0), 3.75, 0.0, 6.0, 2.0)
    route_map = RouteMap.prepare(grid_of(filled))
    outside, bay = Pose2(5.0, 4.0, 0.0), Pose2(3.375, 0.9, -math.pi / 2)
    search = SEARCHES["differential"]
    entering = search.find(route_map, outside, Goal(bay.x_m, bay.y_m, bay.yaw_rad))
    assert not entering.reversing[-10:].any()
    leaving = search.find(route_map, bay, Goal(outside.x_m, outside.y_m, outside.yaw_rad))
    assert leaving.reversing[1:10].all()
    assert_clear(leaving, filled)


def test_who_may_not_reverse_does_not() -> None:
    search = RouteSearch(
        RouteSearchParams(), FOOTPRINT, Mobility(turning_radius_m=0.7, backwards=False)
    )
    route_map = RouteMap.prepare(grid_of(hall()))
    route = search.find(route_map, Pose2(4.0, 3.0, 0.0), Goal(2.5, 3.0, 0.0))
    assert not route.reversing.any()


def test_an_omnidirectional_robot_slides_aside() -> None:
    route_map = RouteMap.prepare(grid_of(hall()))
    route = SEARCHES["omni"].find(route_map, Pose2(3.0, 2.0, 0.0), Goal(3.0, 2.6, 0.0))
    assert route.length_m == pytest.approx(0.6)
    assert np.abs(route.yaws_rad).max() < 1e-9


def test_there_is_more_room_where_more_is_wanted() -> None:
    route_map = RouteMap.prepare(grid_of(put(hall(), 3.5, 0.0, 4.5, 2.5)))
    start, goal = Pose2(1.5, 1.5, 0.0), Goal(6.5, 1.5)
    least = []
    for wanted in (0.06, 0.8):
        params = RouteSearchParams(wanted_clearance_m=wanted, narrowness_cost=5.0)
        search = RouteSearch(params, FOOTPRINT, Mobility())
        least.append(search.find(route_map, start, goal).min_clearance_m)
    assert least[1] > least[0] + 0.1


def test_a_pallet_seen_in_the_aisle_is_gone_around() -> None:
    filled = hall()
    route_map = RouteMap.prepare(grid_of(filled))
    start, goal = Pose2(1.0, 3.0, 0.0), Goal(7.0, 3.0, 0.0)
    pallet = np.array([(4.0, y) for y in np.arange(2.2, 3.8, 0.02)])
    route = SEARCHES["differential"].find(route_map, start, goal, pallet)
    cells = np.floor(pallet / RESOLUTION_M).astype(int)
    filled[cells[:, 1], cells[:, 0]] = True
    assert_clear(route, filled)
    assert route.length_m > 6.2
    # The map itself is as it was.
    assert SEARCHES["differential"].find(route_map, start, goal).length_m == pytest.approx(6.0)


def failure(
    filled: np.ndarray,
    start: Pose2,
    goal: Goal,
    corridor: Band | None = None,
    blocked_m: np.ndarray = np.empty((0, 2)),  # noqa: B008
) -> Obstruction:
    with pytest.raises(RouteNotFound) as caught:
        SEARCHES["differential"].find(
            RouteMap.prepare(grid_of(filled)), start, goal, blocked_m, corridor
        )
    return caught.value.obstruction


def test_the_error_says_what_is_in_the_way() -> None:
    here, there = Pose2(1.5, 3.0, 0.0), Goal(6.5, 3.0)
    closed = put(hall(), 4.0, 0.0, 4.2, 6.0)
    assert failure(hall(), Pose2(-1.0, 3.0, 0.0), there) is Obstruction.START_OFF_MAP
    assert failure(hall(), Pose2(math.nan, 3.0, 0.0), there) is Obstruction.START_OFF_MAP
    assert failure(hall(), here, Goal(9.0, 3.0)) is Obstruction.GOAL_OFF_MAP
    assert failure(hall(), here, Goal(6.5, math.inf)) is Obstruction.GOAL_OFF_MAP
    assert failure(hall(), Pose2(0.3, 3.0, 0.0), there) is Obstruction.START_BLOCKED
    assert failure(hall(), here, Goal(7.8, 3.0)) is Obstruction.GOAL_BLOCKED
    assert failure(hall(), here, Goal(7.4, 3.0, 0.0)) is Obstruction.GOAL_BLOCKED
    assert failure(closed, here, there) is Obstruction.NO_WAY
    on_it = np.array([[6.5, 3.0]])
    assert failure(hall(), here, there, blocked_m=on_it) is Obstruction.GOAL_BLOCKED


def test_a_gap_wide_enough_for_a_disc_but_not_for_the_footprint_is_no_way() -> None:
    filled = put(put(hall(), 4.0, 0.0, 4.2, 2.7), 4.0, 3.25, 4.2, 6.0)
    assert failure(filled, Pose2(1.5, 3.0, 0.0), Goal(6.5, 3.0)) in (
        Obstruction.NO_WAY, Obstruction.GAVE_UP,
    )  # fmt: skip


def test_a_load_that_does_not_fit_through_the_gap_leaves_no_way_until_it_is_put_down() -> None:
    filled = put(put(hall(), 4.0, 0.0, 4.2, 2.6), 4.0, 3.4, 4.2, 6.0)
    route_map = RouteMap.prepare(grid_of(filled))
    start, goal = Pose2(1.5, 3.0, 0.0), Goal(6.5, 3.0)
    search = RouteSearch(RouteSearchParams(), FOOTPRINT, MOBILITIES["differential"])
    empty = search.find(route_map, start, goal)
    search.take_shape(rectangle(1.0, 0.9, 0.1))
    with pytest.raises(RouteNotFound):
        search.find(route_map, start, goal)
    search.take_shape(FOOTPRINT)
    again = search.find(route_map, start, goal)
    np.testing.assert_array_equal(again.points_m, empty.points_m)


def test_a_search_that_runs_out_of_nodes_gives_up() -> None:
    filled = put(put(hall(), 4.0, 0.0, 4.2, 2.7), 4.0, 3.3, 4.2, 6.0)
    search = RouteSearch(RouteSearchParams(most_nodes=1024), FOOTPRINT, MOBILITIES["car"])
    with pytest.raises(RouteNotFound) as caught:
        search.find(RouteMap.prepare(grid_of(filled)), Pose2(1.5, 4.8, 0.0), Goal(6.5, 1.2, 0.0))
    assert caught.value.obstruction is Obstruction.GAVE_UP


LINE = np.array([[1.0, 1.5], [4.0, 1.5], [4.0, 4.5], [7.0, 4.5]])


@pytest.mark.parametrize("contour", [False, True])
def test_a_corridor_is_not_left(contour) -> None:
    corridor = Band(LINE, 0.6, 0.8, contour)
    route_map = RouteMap.prepare(grid_of(hall()))
    start, goal = Pose2(1.2, 1.5, 0.0), Goal(6.5, 4.5, 0.0)
    if contour:
        start, goal = Pose2(1.6, 1.5, 0.0), Goal(6.3, 4.5, 0.0)
    route = SEARCHES["differential"].find(route_map, start, goal, corridor=corridor)
    freely = SEARCHES["differential"].find(route_map, start, goal)
    assert route.length_m > 1.02 * freely.length_m
    slack = 0.71 * RESOLUTION_M
    for pose in poses_of(route):
        corners = route_reference.placed(FOOTPRINT, *pose) if contour else pose[None, :2]
        for point in corners:
            assert route_reference.inside_band(tuple(point), LINE, 0.6 + slack, 0.8 + slack)


def test_a_corridor_may_be_missed_or_too_narrow() -> None:
    start, goal = Pose2(1.2, 1.5, 0.0), Goal(6.5, 4.5)
    aside = Band(LINE + np.array([0.0, 0.7]), 0.3, 0.3)
    assert failure(hall(), start, goal, aside) is Obstruction.OUTSIDE_CORRIDOR
    blocked = put(hall(), 3.5, 2.5, 4.5, 3.5)
    assert failure(blocked, start, goal, Band(LINE, 0.4, 0.4)) is (Obstruction.CORRIDOR_TOO_NARROW)


def test_unknown_cells_are_no_way() -> None:
    cells = np.where(hall(), OCCUPIED, FREE).astype(np.int8)
    cells[:, 80:84] = UNKNOWN
    route_map = RouteMap.prepare(OccupancyGrid(cells, RESOLUTION_M, Pose2.identity()))
    with pytest.raises(RouteNotFound):
        SEARCHES["differential"].find(route_map, Pose2(1.5, 3.0, 0.0), Goal(6.5, 3.0))


def test_a_robot_that_stands_close_to_a_wall_can_leave() -> None:
    filled = hall()
    route_map = RouteMap.prepare(grid_of(filled))
    start = Pose2(3.0, 0.1 + 0.25 + 0.04, 0.0)
    route = SEARCHES["differential"].find(route_map, start, Goal(3.0, 4.0, math.pi / 2))
    assert_clear(route, filled)
    assert route.min_clearance_m < RouteSearchParams().needed_clearance_m


@pytest.mark.parametrize(
    "corners", [[(0.0, 0.0), (1.0, 0.0)], [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)], [(0.0, math.nan)]]
)
def test_a_footprint_without_area_is_refused(corners) -> None:
    with pytest.raises(ConfigError, match="footprint"):
        RouteSearch(RouteSearchParams(), np.array(corners), Mobility())


def test_a_negative_turning_radius_is_refused() -> None:
    with pytest.raises(ConfigError, match="turning radius"):
        RouteSearch(RouteSearchParams(), FOOTPRINT, Mobility(turning_radius_m=-1.0))


def test_routes_cross_a_real_warehouse(shared) -> None:
    grid = load_map(shared / "data" / "maps" / "warehouse.yaml")
    route_map = RouteMap.prepare(grid)
    route = SEARCHES["differential"].find(route_map, Pose2(-14.3, 0.8, -2.2), Goal(7.8, -0.7, 2.8))
    assert 22.0 < route.length_m < 24.0
    assert_clear_on(route, ~grid.free, grid)


def assert_clear_on(route: Route, filled: np.ndarray, grid: OccupancyGrid) -> None:
    reach = float(np.hypot(*FOOTPRINT.T).max())
    origin = grid.map_from_grid
    for x, y, yaw in route_reference.along(poses_of(route), reach, STEP_M).tolist():
        place = (x - origin.x_m, y - origin.y_m, yaw)
        assert not route_reference.touches(FOOTPRINT, place, filled, grid.resolution_m)
