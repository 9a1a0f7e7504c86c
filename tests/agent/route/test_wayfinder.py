import math

import numpy as np
import pytest

from agent.errors import RouteNotFound
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.mapping.occupancy_grid import FREE, OCCUPIED, OccupancyGrid
from agent.route.path import Corridor, Goal, Waypoint
from agent.route.route_map import RouteMap
from agent.route.route_search import Mobility, Obstruction, Route, RouteSearch, RouteSearchParams
from agent.route.wayfinder import ON_MAP_M, Wayfinder
from agent.route.work import Task, Work

RESOLUTION_M = 0.05
FOOTPRINT = rectangle(0.9, 0.6)


def grid_with(*boxes: tuple[float, float, float, float]) -> OccupancyGrid:
    cells = np.full((160, 200), FREE, np.int8)
    for left, bottom, right, top in boxes:
        x0, y0, x1, y1 = (round(edge / RESOLUTION_M) for edge in (left, bottom, right, top))
        cells[y0:y1, x0:x1] = OCCUPIED
    return OccupancyGrid(cells, RESOLUTION_M, Pose2.identity())


def wayfinder(**maps: OccupancyGrid) -> Wayfinder:
    search = RouteSearch(RouteSearchParams(), FOOTPRINT, Mobility())
    prepared = {name: RouteMap.prepare(grid) for name, grid in maps.items()}
    return Wayfinder(search, prepared, next(iter(maps)))


def to(x_m: float, y_m: float, yaw_rad: float | None = None, **more) -> Waypoint:
    return Waypoint(2, x_m, y_m, yaw_rad, 0.3, 0.1, **more)


def found(finder: Wayfinder) -> Route:
    while (route := finder.advance()) is None:
        assert finder.searching
    assert not finder.searching
    return route


WALL = (5.0, 2.0, 5.2, 8.0)


@pytest.mark.parametrize(
    ("boxes", "start", "target", "is_free"),
    [
        ([], (1.0, 4.0, 0.0), to(9.0, 4.0), True),
        ([WALL], (1.0, 4.0, 0.0), to(9.0, 4.0), False),
        # Beside the line there is just the clearance that is needed, or less.
        ([(5.0, 4.0, 5.2, 8.0)], (1.0, 3.6, 0.0), to(9.0, 3.6), True),
        ([(5.0, 4.0, 5.2, 8.0)], (1.0, 3.68, 0.0), to(9.0, 3.68), False),
        # In a lane that is wide enough for going straight, but not for turning on the spot.
        ([(0.0, 4.4, 10.0, 4.6), (0.0, 3.4, 10.0, 3.6)], (1.0, 4.0, 0.0), to(9.0, 4.0), True),
        ([(0.0, 4.4, 10.0, 4.6), (0.0, 3.4, 10.0, 3.6)], (1.0, 4.0, 1.5), to(9.0, 4.0), False),
        ([(0.0, 4.4, 10.0, 4.6), (0.0, 3.4, 10.0, 3.6)], (1.0, 4.0, 0.0), to(9.0, 4.0, 1.5), False),
        ([WALL], (1.0, 4.0, 0.0), to(5.1, 4.0), False),
        ([], (1.0, 4.0, 0.0), to(12.0, 4.0), False),
    ],
)
def test_whether_a_line_is_free(boxes, start, target, is_free) -> None:
    assert wayfinder(hall=grid_with(*boxes)).is_line_free(Pose2(*start), target) is is_free


def test_a_robot_at_a_dock_may_overlap_what_the_map_has_there() -> None:
    """Nose to the dock: pose and cells are rough, and the robot does stand there."""
    finder = wayfinder(hall=grid_with((5.0, 3.0, 6.0, 5.0)))
    docked = Pose2(5.0 - 0.45 + 0.03, 4.0, 0.0)
    finder.begin(docked, to(1.0, 4.0, math.pi), np.array([docked.x_m, docked.y_m]))
    route = found(finder)
    assert route.reversing[1:8].all()
    assert route.points_m[0] == pytest.approx((docked.x_m, docked.y_m), abs=0.08)
    finder.begin(Pose2(1.0, 4.0, 0.0), to(docked.x_m, docked.y_m, 0.0), np.array([1.0, 4.0]))
    assert found(finder).points_m[-1] == pytest.approx((docked.x_m, docked.y_m), abs=0.08)
    far_inside = Pose2(5.0 - 0.45 + 0.15, 4.0, 0.0)
    finder.begin(far_inside, to(1.0, 4.0), np.array([far_inside.x_m, 4.0]))
    with pytest.raises(RouteNotFound) as caught:
        found(finder)
    assert caught.value.obstruction is Obstruction.START_BLOCKED


def test_a_corridor_is_kept() -> None:
    finder = wayfinder(hall=grid_with(WALL))
    start = Pose2(1.0, 4.0, 0.0)
    begin = np.array([1.0, 4.0])
    finder.begin(start, to(9.0, 4.0, corridor=Corridor(0.5, 3.5)), begin)
    assert found(finder).points_m[:, 1].min() > 0.4
    finder.begin(start, to(9.0, 4.0, corridor=Corridor(3.5, 0.5)), begin)
    with pytest.raises(RouteNotFound) as caught:
        found(finder)
    assert caught.value.obstruction is Obstruction.CORRIDOR_TOO_NARROW
    assert not finder.searching


def test_each_map_has_its_own_ways() -> None:
    finder = wayfinder(hall=grid_with(), cellar=grid_with(WALL))
    start, target = Pose2(1.0, 4.0, 0.0), to(9.0, 4.0)
    assert finder.is_line_free(start, target)
    finder.begin(start, target, np.zeros(2))
    finder.enter("cellar")
    assert not finder.searching
    assert not finder.is_line_free(start, target)


def test_what_is_on_the_map_is_nothing_new() -> None:
    finder = wayfinder(hall=grid_with(WALL))
    pose = Pose2(3.0, 4.0, math.pi / 2)
    ahead = np.array([[0.0, -1.98], [0.0, -1.5], [0.0, -1.5 - ON_MAP_M], [30.0, 0.0], [0.0, 20.0]])
    np.testing.assert_allclose(finder.unmapped(ahead, pose), [[4.5, 4.0], [4.65, 4.0]], atol=1e-9)


def test_what_is_seen_is_gone_around() -> None:
    finder = wayfinder(hall=grid_with())
    pallet = np.array([(5.0, y) for y in np.arange(3.0, 5.0, 0.02)])
    finder.begin(Pose2(1.0, 4.0, 0.0), to(9.0, 4.0), np.array([1.0, 4.0]), pallet)
    route = found(finder)
    beside = np.abs(route.points_m[:, 0] - 5.0) < 0.3
    assert (np.abs(route.points_m[beside, 1] - 4.0) > 1.3).all()


def test_without_a_search_there_is_nothing_to_advance() -> None:
    with pytest.raises(ValueError, match="no search"):
        wayfinder(hall=grid_with()).advance()


def counted(done: list[float], pieces: int) -> Work[str]:
    for _ in range(pieces):
        done.append(0.4)
        yield 0.4
    return "result"


def test_work_is_done_in_slices() -> None:
    done: list[float] = []
    task = Task(counted(done, 7))
    assert task.advance() is None
    assert len(done) == 3
    assert task.advance(0.1) is None
    assert len(done) == 4
    assert task.advance() is None
    assert task.advance() == "result"
    assert Task(counted([], 20)).finish() == "result"


def test_a_search_in_slices_finds_what_one_at_once_finds() -> None:
    grid = grid_with(WALL, (7.0, 0.0, 7.2, 5.0))
    search = RouteSearch(RouteSearchParams(), FOOTPRINT, Mobility())
    route_map = RouteMap.prepare(grid)
    finder = wayfinder(hall=grid)
    start, target = Pose2(1.0, 4.0, 0.3), to(9.0, 4.0, -1.0)
    finder.begin(start, target, np.array([1.0, 4.0]))
    slices, route = 0, None
    while route is None:
        route, slices = finder.advance(), slices + 1
    at_once = search.find(route_map, start, Goal(9.0, 4.0, -1.0))
    np.testing.assert_array_equal(route.points_m, at_once.points_m)
    assert slices > 4
