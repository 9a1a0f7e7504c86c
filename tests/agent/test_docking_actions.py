"""Actions at a carrier that the lidar knows, by orders, with the whole agent in a small room."""

import math

import pytest

from agent.errors import ConfigError
from agent.geometry.pose import Pose2
from tests.agent.room import TOML, Robot, agent_in
from tests.agent.test_acting import CARRIER, action, at_once, send, statuses, waits

LEGS = [(x, y) for x in (-0.6, 0.6) for y in (-0.5, 0.5)]
WIDTH_M = 0.06
TABLES = (
    "\n[carrier.trolley]\nexpected = [2.2, 0.0, 0.0]\nlegs = [\n"
    + "".join(f"  {{{{ x_m = {x}, y_m = {y}, width_m = {WIDTH_M} }}}},\n" for x, y in LEGS)
    + "]\n"
)
LOADED = CARRIER.replace("length_m = 1.2\nwidth_m = 0.9", "length_m = 1.3\nwidth_m = 1.1")
TRUTH = Pose2(3.75, 0.05, math.radians(3.0))  # node n1 is at 1.5 m: a bit off what is expected


def walls(world_from_carrier: Pose2) -> tuple[tuple[float, float, float, float], ...]:
    """Return the sides of the legs as segments."""
    half, sides = WIDTH_M / 2, []
    for x, y in LEGS:
        corners = [(x - half, y - half), (x + half, y - half), (x + half, y + half),
                   (x - half, y + half)]  # fmt: skip
        points = [world_from_carrier.transform(*corner) for corner in corners]
        sides += [(*a, *b) for a, b in zip(points, points[1:] + points[:1], strict=True)]
    return tuple(sides)


@pytest.fixture
def robot(tmp_path) -> Robot:
    robot = Robot(agent_in(tmp_path, LOADED + TABLES)).start()
    robot.obstacle = walls(TRUTH)
    return robot


def off(robot: Robot) -> Pose2:
    return TRUTH.inverse() @ robot.pose


def run_until(robot: Robot, name: str, seconds: float) -> str:
    for _ in range(round(50 * seconds)):
        robot.tick()
        status = robot.agent.status(robot.now_ns)["order"]["actions"][name]
        if status in ("FINISHED", "FAILED"):
            break
    return status


def test_an_order_docks_under_a_carrier_takes_it_and_leaves_it(robot: Robot) -> None:
    pick = action("pick", "p", "HARD", stationType="trolley", loadId="T7")
    drop = action("drop", "d", "HARD")
    look = action("detectObject", "o", "HARD", objectType="trolley")
    send(robot, n1=[look, pick, waits("w"), drop])
    assert run_until(robot, "o", 10.0) == "FINISHED"
    assert run_until(robot, "p", 60.0) == "FINISHED", robot.agent.status(robot.now_ns)
    (event,) = robot.events("load.changed")
    assert event == {"loads": 1}
    robot.run(0.6)
    (load,) = robot.state.loads
    assert (load.load_id, load.load_type) == ("T7", "trolley")
    assert math.hypot(off(robot).x_m, off(robot).y_m) < 0.015
    at_once(robot, action("trigger", "t", "NONE"))
    assert run_until(robot, "d", 40.0) == "FINISHED"
    assert off(robot).x_m < -1.4
    results = {a.action_id: a.result_description for a in robot.state.action_states}
    assert results["o"].startswith("x 2.")
    assert "deg off" in results["p"]


def test_fine_positioning_ends_at_the_end_pose(robot: Robot) -> None:
    send(robot, n1=[action("finePositioning", "f", "SOFT")])
    assert run_until(robot, "f", 60.0) == "FINISHED"
    assert math.hypot(off(robot).x_m, off(robot).y_m) < 0.015
    assert abs(off(robot).yaw_rad) < math.radians(1.0)
    assert robot.state.loads == []


def test_a_pause_stops_a_docking_and_a_cancel_ends_it(robot: Robot) -> None:
    send(robot, n1=[action("pick", "p")])
    while off(robot).x_m < -1.8:
        robot.run(0.5)
    at_once(robot, action("startPause", "s", "NONE"))
    robot.run(1.0)
    here = robot.pose
    assert statuses(robot)["p"] == "PAUSED"
    assert robot.pose == here
    at_once(robot, action("stopPause", "t", "NONE"))
    robot.run(3.0)
    assert robot.pose != here
    at_once(robot, action("cancelOrder", "c", "NONE"))
    robot.run(1.0)
    assert statuses(robot) == {"p": "FAILED", "s": "FINISHED", "t": "FINISHED", "c": "FINISHED"}
    assert robot.outboxes[-1].command.is_stop


def test_what_is_not_there_is_not_found(robot: Robot) -> None:
    robot.obstacle = ()
    send(robot, n1=[action("detectObject", "o"), action("pick", "p")])
    assert run_until(robot, "p", 40.0) == "FAILED"
    assert statuses(robot) == {"o": "FAILED", "p": "FAILED"}
    assert len(robot.state.errors) == 2
    assert robot.state.loads == []


def test_an_unknown_carrier_is_refused(robot: Robot) -> None:
    send(robot, n1=[action("pick", "p", stationType="shelf")])
    (event,) = robot.events("order.rejected")
    assert "no carrier shelf; known: trolley" in event["reason"]


def test_a_carrier_too_narrow_for_the_robot_is_a_wrong_configuration(tmp_path) -> None:
    narrow = TABLES.replace("y_m = -0.5", "y_m = -0.3").replace("y_m = 0.5", "y_m = 0.3")
    with pytest.raises(ConfigError, match=r"carrier\.trolley: there is no way"):
        agent_in(tmp_path, LOADED + narrow)


def test_without_a_load_only_positioning_is_offered(tmp_path) -> None:
    robot = Robot(agent_in(tmp_path, TOML + TABLES)).start()
    send(robot, n1=[action("pick", "p")])
    assert robot.events("order.rejected")
    send(robot, n1=[action("finePositioning", "f")])
    assert robot.events("order.accepted")
