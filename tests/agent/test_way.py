"""Orders whose lines the map does not leave free, through the whole agent."""

import math

import pytest

from agent.avoidance.governor import StopReason
from agent.errors import RouteNotFound, WayBlocked
from agent.main import complaints
from agent.route.route_search import Obstruction
from agent.telemetry.publication import Message
from tests.agent.room import TOML, Robot, agent_in
from tests.agent.vda5050.orders import encode, order


def order_to(robot: Robot, x_m: float, y_m: float) -> Message:
    tree = order(2)
    tree["nodes"][1]["nodePosition"] |= {"x": x_m, "y": y_m}
    return Message("order", encode(tree), robot.now_ns)


@pytest.fixture
def robot(tmp_path) -> Robot:
    return Robot(agent_in(tmp_path)).start()


def test_behind_a_box_it_gets_on_a_route(robot) -> None:
    robot.tick(messages=(order_to(robot, 7.2, -2.3),))
    assert robot.stop_reason == StopReason.ROUTE_SEARCH
    robot.arrive(25.0)
    assert robot.agent.status(robot.now_ns)["order"]["idle"]
    assert math.dist((robot.pose.x_m, robot.pose.y_m), (7.2, -2.3)) < 0.15
    assert robot.events("motion.stopped")[0] == {"reason": "looks for a route"}


def test_an_order_into_a_box_cannot_be_driven_and_everybody_is_told(robot) -> None:
    robot.tick(messages=(order_to(robot, 4.0, 2.6),))
    robot.run(1.5)
    assert robot.outboxes[-1].command.is_stop
    assert robot.stop_reason == StopReason.NO_ROUTE
    (error,) = robot.state.errors
    assert error.error_type == RouteNotFound.vda_type
    assert error.error_hint == RouteNotFound.hint
    assert error.error_description == Obstruction.GOAL_BLOCKED
    references = {r.reference_key: r.reference_value for r in error.error_references}
    assert references["orderId"] == "A"
    assert (references["nodeId"], references["edgeId"]) == ("n1", "n0->n1")
    status = robot.agent.status(robot.now_ns)
    assert status["way_error"]["code"] == RouteNotFound.code
    assert f"way: {RouteNotFound.code}: {Obstruction.GOAL_BLOCKED}" in complaints(status)
    cancel = {"actionType": "cancelOrder", "actionId": "c", "blockingType": "HARD"}
    head = {key: order(2)[key] for key in ("headerId", "timestamp", "version", "manufacturer")}
    message = encode({**head, "serialNumber": "R1", "actions": [cancel]})
    robot.tick(messages=(Message("instantActions", message, robot.now_ns),))
    robot.run(1.0)
    assert robot.stop_reason is None
    assert robot.agent.status(robot.now_ns)["way_error"] is None
    assert robot.state.errors == []


def test_a_blocked_line_is_kept_and_reported_with_its_edge(tmp_path) -> None:
    text = TOML + "\n[driving]\npatience_s = 2.0\n"
    robot = Robot(agent_in(tmp_path, text)).start().drive()
    robot.obstacle = ((4.0, -0.5, 4.0, 0.5),)
    robot.run(6.0)
    assert robot.stop_reason == StopReason.OBSTACLE
    assert abs(robot.pose.y_m) < 0.05
    (error,) = robot.state.errors
    assert error.error_type == WayBlocked.vda_type
    assert {"n0->n1", "n1"} <= {r.reference_value for r in error.error_references}


def test_a_line_may_be_left_by_configuration(tmp_path) -> None:
    text = TOML + '\n[driving]\nblocked_line = "leave"\npatience_s = 1.0\n'
    robot = Robot(agent_in(tmp_path, text)).start().drive()
    robot.obstacle = ((3.0, -0.5, 3.0, 0.5),)
    robot.arrive(25.0)
    assert math.dist((robot.pose.x_m, robot.pose.y_m), (5.0, 0.0)) < 0.1
    assert robot.state.errors == []
