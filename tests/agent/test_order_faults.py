"""What stops an order, as the platform is told of it (2.1, section 6.6.5; 3.0, table 9)."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geometry.pose import Pose2
from agent.route.path import Corridor, Waypoint
from agent.vda5050.corridor_watch import SLACK_M, breach_m
from tests.agent.room import TWO_HALLS, Robot, agent_in
from tests.agent.vda5050.orders import order

CORRIDOR = {"leftWidth": 0.8, "rightWidth": 0.4, "corridorRefPoint": "KINEMATICCENTER"}


@pytest.fixture
def robot(tmp_path: Path) -> Robot:
    return Robot(agent_in(tmp_path)).start()


def error_types(robot: Robot) -> list[str]:
    return [error.error_type for error in robot.state.errors]


def waypoint(x_m: float, y_m: float, corridor: Corridor | None) -> Waypoint:
    return Waypoint(2, x_m, y_m, None, 0.3, 0.1, corridor=corridor)


@given(
    st.floats(-3.1, 3.1), st.floats(0.5, 9.5), st.floats(-3.0, 3.0), st.floats(0.0, 2.0),
    st.floats(0.0, 2.0),
)  # fmt: skip
def test_a_breach_is_what_lies_beyond_either_side(turn, along_m, aside_m, left_m, right_m):
    frame = Pose2(4.0, -3.0, turn)
    end, here = frame.transform(10.0, 0.0), frame.transform(along_m, aside_m)
    target = waypoint(*end, Corridor(left_m, right_m))
    breach = breach_m(Pose2(*here, 0.0), np.array([4.0, -3.0]), target)
    beyond_m = aside_m - left_m if aside_m > 0.0 else -aside_m - right_m
    if abs(beyond_m - SLACK_M) > 1e-6:
        assert breach == pytest.approx(beyond_m if beyond_m > SLACK_M else 0.0)
    assert breach_m(Pose2(*here, 0.0), np.array([4.0, -3.0]), waypoint(*end, None)) == 0.0


@pytest.mark.parametrize("place", [(-1.0, 2.0), (11.0, -2.0), (0.1, 0.2), (9.9, -0.2)])
def test_at_the_nodes_and_beyond_them_nothing_is_breached(place):
    target = waypoint(10.0, 0.0, Corridor(0.0, 0.0))
    assert breach_m(Pose2(*place, 0.0), np.zeros(2), target) == 0.0


def test_a_robot_that_is_pushed_out_of_its_corridor_stops_6_6_5(robot: Robot) -> None:
    tree = order(2, spacing_m=6.0)
    tree["edges"][0]["corridor"] = CORRIDOR
    robot.tick(messages=(robot.order(nodes=tree["nodes"], edges=tree["edges"]),))
    robot.run(2.5)
    assert robot.twist[0] > 0.5
    x_m = robot.pose.x_m
    robot.pose = Pose2(x_m, -0.62, robot.pose.yaw_rad)
    robot.run(1.5)
    assert robot.stop_reason == "outside of the corridor"
    assert robot.twist == (0.0, 0.0)
    (error,) = robot.state.errors
    assert error.error_type == "outsideOfCorridor"
    references = {r.reference_key: r.reference_value for r in error.error_references or ()}
    assert references["edgeId"] == "n0->n1"
    robot.pose = Pose2(robot.pose.x_m, -0.1, robot.pose.yaw_rad)
    robot.run(1.5)
    assert error_types(robot) == []
    assert robot.twist[0] > 0.2


def test_before_the_first_pose_the_robot_says_that_it_is_not_localized(tmp_path: Path) -> None:
    robot = Robot(agent_in(tmp_path))
    robot.tick(odometry=(), scans=())
    assert "localizationLost" in error_types(robot)
    robot.start()
    robot.run(0.6)
    assert error_types(robot) == []


def test_a_late_loop_is_told_long_enough_to_be_seen(robot: Robot) -> None:
    robot.drive()
    robot.tick(period_ns=300_000_000)
    robot.run(0.6)
    assert "controlLoopLate" in error_types(robot)
    robot.run(3.0)
    assert error_types(robot) == []


def test_a_covered_lidar_is_not_taken_for_one_that_repeats_itself(robot: Robot) -> None:
    robot.drive()
    plain = robot.scan_of
    robot.scan_of = lambda stamp_ns, ranges: plain(stamp_ns, np.full_like(ranges, math.nan))
    robot.run(3.0)
    reason = robot.estimate.reason
    assert "covered" in reason
    assert "repeats" not in reason


def test_a_pose_is_stated_on_a_node_of_an_elevator_6_8(tmp_path: Path) -> None:
    """At the door of the cellar the robot is told that it is there, and goes on by that map."""
    robot = Robot(agent_in(tmp_path, TWO_HALLS)).start()
    tree = order(3, spacing_m=2.0)
    values = {"x": 2.0, "y": 0.0, "theta": 0.0, "mapId": "cellar", "lastNodeId": "lift"}
    tree["nodes"][1]["actions"] = [
        {
            "actionType": "initPosition",
            "actionId": "down",
            "blockingType": "HARD",
            "actionParameters": [{"key": key, "value": value} for key, value in values.items()],
        }
    ]
    tree["nodes"][2]["nodePosition"]["mapId"] = "cellar"
    robot.tick(messages=(robot.order(nodes=tree["nodes"], edges=tree["edges"]),))
    nodes = []
    for _ in range(100):
        robot.run(0.1)
        if robot.state.last_node_id == "n1":
            robot.hall = "cellar"
        nodes.append(robot.state.last_node_id)
        if nodes[-1] == "n2":
            break
    assert list(dict.fromkeys(nodes)) == ["n0", "n1", "lift", "n2"]
    position = robot.state.agv_position
    assert position is not None
    assert position.map_id == "cellar"
    assert [str(state.action_status) for state in robot.state.action_states] == ["FINISHED"]


@pytest.mark.parametrize("missing", ["theta", "mapId"])
def test_an_incomplete_pose_on_a_node_is_rejected_6_6_4_2(robot: Robot, missing: str) -> None:
    tree = order(2)
    values = {"x": 2.0, "y": 0.0, "theta": 0.0, "mapId": "hall", "lastNodeId": "lift"}
    del values[missing]
    tree["nodes"][1]["actions"] = [
        {
            "actionType": "initPosition",
            "actionId": "down",
            "blockingType": "HARD",
            "actionParameters": [{"key": key, "value": value} for key, value in values.items()],
        }
    ]
    robot.tick(messages=(robot.order(nodes=tree["nodes"], edges=tree["edges"]),))
    robot.run(0.6)
    (error,) = robot.state.errors
    assert missing in (error.error_description or "")
