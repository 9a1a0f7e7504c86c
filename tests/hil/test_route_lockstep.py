"""The whole robot in lock-step, with an order whose only edge leads through a row of racks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.route.path import Waypoint
from agent.route.route_map import RouteMap
from agent.route.route_search import Mobility, RouteSearch, RouteSearchParams
from agent.route.wayfinder import Wayfinder
from hil.hall import build_hall
from hil.lockstep_rig import LockstepRig
from hil.master_control import Station
from hil.scenario import CORNERS, NODE_DEVIATION_M, ROBOT, Scenario, factory_tour

GOAL = Station(8.0, 7.8, 0.0, "rack-face", deviation_m=NODE_DEVIATION_M)
SEARCHED_NS = 4_500_000_000


def tour_through_the_racks() -> Scenario:
    scenario = factory_tour(1)
    return replace(scenario, stations=(scenario.stations[0], GOAL), scanners=CORNERS)


def crosses_something(scenario: Scenario) -> bool:
    """Whether a point on the straight line of the edge is occupied on the map."""
    here, there = scenario.stations
    grid = RouteMap.prepare(scenario.hall.grid)
    shares = np.linspace(0.0, 1.0, 400)[:, None]
    line = (here.x_m, here.y_m) + shares * np.array([there.x_m - here.x_m, there.y_m - here.y_m])
    cells = [grid.grid_from_map.transform(*point) for point in line.tolist()]
    return any(
        grid.filled[int(y / grid.resolution_m), int(x / grid.resolution_m)] for x, y in cells
    )


@pytest.mark.parametrize("seed", range(1, 5))
def test_along_its_lanes_a_hall_leaves_every_line_free(seed: int) -> None:
    """Where the way of an order is free it stays the line, from whichever side it comes."""
    hall = build_hall(seed)
    search = RouteSearch(RouteSearchParams(), rectangle(ROBOT.length_m, ROBOT.width_m), Mobility())
    finder = Wayfinder(search, {"hall": RouteMap.prepare(hall.grid)}, "hall")
    for edge in hall.graph.edges:
        for here, there in (edge, edge[::-1]):
            begin, end = hall.graph.nodes[here], hall.graph.nodes[there]
            waypoint = Waypoint(2, end.x_m, end.y_m, None, NODE_DEVIATION_M, 0.1)
            for yaw_rad in (0.0, 2.5):
                assert finder.is_line_free(Pose2(begin.x_m, begin.y_m, yaw_rad), waypoint), edge


@pytest.mark.slow
def test_an_edge_through_a_rack_is_driven_on_a_route_and_the_same_way_again(
    tmp_path: Path,
) -> None:
    scenario = tour_through_the_racks()
    assert crosses_something(scenario)
    digests, reasons = [], set()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        rig = LockstepRig(scenario, tmp_path / name)
        while rig.clock.now_ns() < SEARCHED_NS:
            rig.step()
            command = rig.agent.status(rig.clock.now_ns())["command"]
            reasons.add(command["stop_reason"])
        digests.append(rig.run(0.0).digest)
    assert digests[0] == digests[1]
    assert "looks for a route" in reasons
    result = rig.run(60.0)
    assert result.finished
    assert not result.collided
    here, there = scenario.stations
    line_m = float(np.hypot(there.x_m - here.x_m, there.y_m - here.y_m))
    assert line_m < result.distance_m < 3.0 * line_m
    truth = rig.plant.truth.pose
    assert np.hypot(truth.x_m - there.x_m, truth.y_m - there.y_m) < 0.15
