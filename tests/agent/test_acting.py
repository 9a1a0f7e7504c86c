"""Orders with actions, driven by the whole agent in a small room."""

import math
from itertools import pairwise
from typing import Any

import pytest

from agent.avoidance.governor import StopReason
from agent.telemetry.publication import Message
from agent.vda5050.messages import Factsheet, decode
from tests.agent.room import TOML, Robot, agent_in
from tests.agent.vda5050.orders import encode, order

CARRIER = TOML.replace(
    "width_m = 0.6\n",
    "width_m = 0.6\nmax_load_kg = 100.0\n\n"
    "[robot.loaded]\nlength_m = 1.2\nwidth_m = 0.9\n\n"
    "[charging]\nvoltage_v = 27.0\npatience_s = 1.0\n",
)


@pytest.fixture
def robot(tmp_path) -> Robot:
    return Robot(agent_in(tmp_path, CARRIER)).start()


def action(kind: str, name: str, blocking: str = "HARD", **parameters: Any) -> dict[str, Any]:
    given = [{"key": key, "value": value} for key, value in parameters.items()]
    tree = {"actionType": kind, "actionId": name, "blockingType": blocking}
    return tree | ({"actionParameters": given} if given else {})


def waits(name: str, blocking: str = "HARD") -> dict[str, Any]:
    return action("waitForTrigger", name, blocking, triggerType="FLEET_CONTROL")


def send(robot: Robot, **actions: list[dict[str, Any]]) -> None:
    """Send an order along x with a node every 1.5 m; actions by the id of their node or edge."""
    tree = order(4, spacing_m=1.5)
    for place in (*tree["nodes"], *tree["edges"]):
        place["actions"] = actions.get(place.get("nodeId") or place["edgeId"][:2].replace("n", "e"))
        place["actions"] = place["actions"] or []
    robot.tick(messages=(Message("order", encode(tree), robot.now_ns),))


def at_once(robot: Robot, *actions: dict[str, Any]) -> None:
    header = {k: v for k, v in order(1).items() if k not in ("nodes", "edges")}
    payload = encode(header | {"actions": list(actions)})
    robot.tick(messages=(Message("instantActions", payload, robot.now_ns),))


def statuses(robot: Robot) -> dict[str, str]:
    robot.run(0.6)
    return {a.action_id: str(a.action_status) for a in robot.state.action_states}


def speeds(robot: Robot, since: int) -> list[float]:
    return [outbox.command.forward_mps for outbox in robot.outboxes[since:]]


def test_it_stops_on_the_node_whose_action_needs_it_and_on_no_other(robot: Robot) -> None:
    send(robot, n1=[waits("a", "NONE")], n2=[waits("b")])
    begun = len(robot.outboxes)
    robot.run(8.0)
    assert math.dist((robot.pose.x_m, robot.pose.y_m), (3.0, 0.0)) < 0.05
    first, *_, last = [i for i, v in enumerate(speeds(robot, begun)) if v > 0.05]
    assert min(speeds(robot, begun)[first:last]) > 0.05, "it stopped on the way"
    assert statuses(robot) == {"a": "RUNNING", "b": "WAITING"}
    assert robot.stop_reason == StopReason.ACTION
    assert not {e.error_type for e in robot.state.errors}
    at_once(robot, action("trigger", "t1", "NONE"))
    assert statuses(robot) == {"a": "FINISHED", "b": "RUNNING", "t1": "FINISHED"}
    assert robot.events("order.finished") == []
    robot.tick(acknowledged=True)
    robot.run(1.0)
    assert statuses(robot)["b"] == "RUNNING", "nobody at the robot is asked"
    at_once(robot, action("trigger", "t2", "NONE"))
    robot.arrive(10.0)
    assert math.dist((robot.pose.x_m, robot.pose.y_m), (4.5, 0.0)) < 0.1
    assert robot.events("order.finished") == [{"order_id": "A"}]
    assert [e["status"] for e in robot.events("action.changed") if e["action_id"] == "b"] == [
        "RUNNING", "FINISHED"
    ]  # fmt: skip


def test_the_order_is_over_once_its_actions_are(robot: Robot) -> None:
    send(robot, n3=[waits("a")])
    robot.run(12.0)
    assert robot.state.node_states == []
    assert statuses(robot) == {"a": "RUNNING"}
    assert robot.events("order.finished") == []
    robot.tick(messages=(robot.order(orderId="B"),))
    assert robot.events("order.rejected")
    at_once(robot, action("trigger", "t", "NONE"))
    robot.run(0.2)
    assert robot.events("order.finished") == [{"order_id": "A"}]


def test_it_does_not_move_before_the_actions_of_its_first_node_are_over(robot: Robot) -> None:
    send(robot, n0=[waits("a", "SOFT")])
    begun = len(robot.outboxes)
    robot.run(2.0)
    assert set(speeds(robot, begun - 1)) == {0.0}
    at_once(robot, action("trigger", "t", "NONE"))
    robot.run(2.0)
    assert robot.twist[0] > 0.3


def test_a_pause_stops_between_nodes_and_is_resumed(robot: Robot) -> None:
    robot.drive()
    at_once(robot, action("startPause", "p1", "NONE"))
    assert robot.agent.status(robot.now_ns)["order"]["paused"]
    robot.run(2.0)
    assert robot.outboxes[-1].command.is_stop
    assert robot.stop_reason == StopReason.PAUSED
    assert robot.state.paused
    assert statuses(robot) == {"p1": "FINISHED"}
    assert robot.state.node_states
    at_once(robot, action("stopPause", "p2", "NONE"))
    robot.arrive(15.0)
    assert not robot.state.paused
    assert math.dist((robot.pose.x_m, robot.pose.y_m), (5.0, 0.0)) < 0.1


def test_a_cancel_gives_up_actions_too(robot: Robot) -> None:
    send(robot, n0=[waits("a")], n2=[waits("b")])
    robot.run(0.5)
    at_once(robot, action("cancelOrder", "c", "NONE"))
    assert statuses(robot) == {"a": "FAILED", "b": "FAILED", "c": "FINISHED"}
    assert robot.events("order.cancelled")
    assert robot.events("order.finished") == []
    assert robot.state.errors == []
    robot.tick(messages=(robot.order(orderId="B"),))
    assert robot.events("order.accepted")[-1]["order_id"] == "B"


def test_a_cancel_of_another_order_fails(robot: Robot) -> None:
    send(robot, n0=[waits("a")])
    at_once(robot, action("cancelOrder", "c", "NONE", orderId="B"))
    assert statuses(robot) == {"a": "RUNNING", "c": "FAILED"}
    assert [e.error_type for e in robot.state.errors] == ["noOrderToCancel"]


def test_an_order_without_way_left_is_cancelled_by_its_actions_alone(robot: Robot) -> None:
    send(robot, n3=[waits("a")])
    robot.run(12.0)
    at_once(robot, action("cancelOrder", "c", "NONE"))
    assert statuses(robot) == {"a": "FAILED", "c": "FINISHED"}
    at_once(robot, action("cancelOrder", "d", "NONE"))
    assert statuses(robot)["d"] == "FAILED"


@pytest.mark.parametrize("part", ["_navigator", "_course", "_field", "_fields"])
def test_a_load_changes_the_robots_shape(robot: Robot, monkeypatch, part: str) -> None:
    shapes = []
    shaped = getattr(robot.agent._driving, part)
    take_shape = shaped.take_shape
    monkeypatch.setattr(shaped, "take_shape", lambda f: (shapes.append(f), take_shape(f)))
    send(robot, n1=[action("pick", "p", loadId="L1")], n2=[action("drop", "d", loadId="L1")])
    robot.run(5.0)
    assert statuses(robot)["p"] == "FINISHED"
    (load,) = robot.state.loads
    assert (load.load_id, load.load_position) == ("L1", "deck")
    robot.arrive(20.0)
    robot.run(0.6)
    assert robot.state.loads == []
    widths = [float(f[:, 1].max() - f[:, 1].min()) for f in shapes]
    assert widths == pytest.approx([0.9, 0.6])
    assert [e["loads"] for e in robot.events("load.changed")] == [1, 0]


def test_a_retriable_action_waits_for_somebody_to_decide_in_3_0(tmp_path) -> None:
    text = CARRIER + '\n[vda5050]\nversion = "3.0.0"\n'
    robot = Robot(agent_in(tmp_path, text)).start()
    picks = [action("pick", name) | {"retriable": True} for name in ("p", "q")]
    tree = order(2, spacing_m=1.5) | {"version": "3.0.0", "timestamp": "2026-01-01T00:00:00.000Z"}
    tree["nodes"][0]["actions"] = picks
    for edge in tree["edges"]:
        del edge["startNodeId"], edge["endNodeId"]
    robot.tick(messages=(Message("order", encode(tree), robot.now_ns),))
    assert statuses(robot) == {"p": "FINISHED", "q": "RETRIABLE"}
    assert robot.stop_reason == StopReason.ACTION
    assert robot.twist == (0.0, 0.0)
    at_once(robot, action("retry", "r", "NONE", actionId="q"))
    assert statuses(robot)["q"] == "RETRIABLE", "there is still no room"
    at_once(robot, action("skipRetry", "s", "NONE", actionId="q"))
    assert statuses(robot)["q"] == "FAILED"
    told = {a.action_id: str(a.action_status) for a in robot.state.instant_action_states}
    assert told == {"r": "FINISHED", "s": "FINISHED"}
    robot.run(2.0)
    assert robot.twist[0] > 0.1


def test_charging_is_told(robot: Robot) -> None:
    at_once(robot, action("startCharging", "s", "NONE"))
    assert statuses(robot) == {"s": "INITIALIZING"}
    robot.run(1.0)
    assert statuses(robot) == {"s": "FAILED"}, "25 V are not those of a charger"
    assert [e.error_type for e in robot.state.errors] == ["actionFailed"]
    at_once(robot, action("clearInstantActions", "c", "NONE"))
    assert statuses(robot) == {"c": "FINISHED"}
    assert robot.state.errors == []
    assert not robot.state.battery_state.charging


def test_a_report_goes_to_the_journal(robot: Robot) -> None:
    at_once(robot, action("logReport", "l", "NONE", reason="it squeaks"))
    assert statuses(robot) == {"l": "FINISHED"}
    (event,) = robot.events("log.report")
    (state,) = robot.state.action_states
    assert event["report"] == state.result_description
    assert event["reason"] == "it squeaks"
    assert '"localized": true' in event["status"]


@pytest.mark.parametrize("asked", ["levitate", "logReport", "waitForTrigger"])
def test_an_order_with_an_action_it_cannot_perform_is_rejected(robot: Robot, asked: str) -> None:
    send(robot, n1=[action(asked, "a")])
    assert robot.events("order.rejected")
    assert statuses(robot) == {}
    (error,) = robot.state.errors
    references = {r.reference_key: r.reference_value for r in error.error_references or ()}
    assert (references["actionId"], references["nodeId"]) == ("a", "n1")


@pytest.mark.parametrize(
    ("text", "able"),
    [
        (TOML, set()),
        (CARRIER, {"pick", "drop", "startCharging", "stopCharging"}),
    ],
)
def test_the_factsheet_tells_what_it_can_do(tmp_path, text: str, able: set[str]) -> None:
    robot = Robot(agent_in(tmp_path, text)).start()
    sheets = [p.payload for o in robot.outboxes for p in o.publications if p.topic == "factsheet"]
    sheet = decode(Factsheet, sheets[-1])
    told = [a.action_type for a in sheet.protocol_features.agv_actions]
    assert all(a != b for a, b in pairwise(sorted(told)))
    always = {"waitForTrigger", "logReport", "startPause", "cancelOrder"}
    assert set(told) >= always | able
    assert {"pick", "drop", "startCharging", "stopCharging"} & set(told) == able
    assert sheet.load_specification.load_positions == (["deck"] if able else None)
