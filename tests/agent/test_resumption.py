"""A power cut in the middle of an edge: the robot comes back stopped, goes on, or says why not."""

import json
from pathlib import Path

import pytest

from agent.geometry.pose import Pose2
from agent.main import restore_order
from agent.order_store import OrderStore
from agent.telemetry.publication import Message
from tests.agent.room import TOML, Robot, agent_in
from tests.agent.vda5050.orders import encode, order


def interrupted(tmp_path: Path, text: str = TOML) -> tuple[Robot, dict]:
    """A robot switched off on its way from n0 to n1, and what it had kept."""
    robot = Robot(agent_in(tmp_path, text)).start()
    robot.drive()
    kept = robot.agent.memory.news()
    assert kept is not None
    assert robot.agent.memory.news() is None
    return robot, json.loads(kept())


def switched_on(before: Robot, kept: dict, tmp_path: Path, text: str = TOML) -> Robot:
    """The same robot with a new agent, standing where it was."""
    pose = before.pose
    start = f"pose = [{pose.x_m:.3f}, {pose.y_m:.3f}, {pose.yaw_rad:.3f}]"
    agent = agent_in(tmp_path, text.replace("pose = [0.0, 0.0, 0.0]", start))
    agent.memory.restore(kept)
    robot = Robot(agent)
    robot.pose = pose
    return robot


def test_it_goes_on_where_it_stood_once_it_knows_where_that_is(tmp_path: Path) -> None:
    before, kept = interrupted(tmp_path)
    robot = switched_on(before, kept, tmp_path)
    first = robot.tick()
    assert first.command.is_stop
    robot.start()
    assert robot.events("order.resumed") == [{"order_id": "A"}]
    robot.arrive(20.0)
    assert robot.pose.x_m == pytest.approx(5.0, abs=0.1)
    assert robot.agent.status(robot.now_ns)["order"]["last_node_id"] == "n1"
    robot.tick(messages=(Message("order", encode(order(2, spacing_m=5.0)), robot.now_ns),))
    robot.run(1.0)
    assert robot.events("order.accepted") == []
    assert robot.twist == (0.0, 0.0)


def test_by_policy_it_fails_and_says_so(tmp_path: Path) -> None:
    text = TOML + '\n[order]\nresume = "fail"\n'
    before, kept = interrupted(tmp_path, text)
    robot = switched_on(before, kept, tmp_path, text).start()
    (event,) = robot.events("order.interrupted")
    assert event["order_id"] == "A"
    assert robot.agent.status(robot.now_ns)["order"]["idle"]
    assert robot.twist == (0.0, 0.0)
    assert "orderInterrupted" in {error.error_type for error in robot.state.errors}


def test_a_robot_that_was_moved_does_not_go_on(tmp_path: Path) -> None:
    before, kept = interrupted(tmp_path)
    before.pose = Pose2(before.pose.x_m, before.pose.y_m - 1.6, 0.0)
    robot = switched_on(before, kept, tmp_path).start()
    (event,) = robot.events("order.interrupted")
    assert "beside its way" in str(event["reason"])
    robot.run(1.0)
    assert robot.twist == (0.0, 0.0)


def test_nothing_is_kept_to_go_on_with_after_a_finished_order(tmp_path: Path) -> None:
    robot = Robot(agent_in(tmp_path)).start().drive()
    robot.arrive(20.0)
    kept = robot.agent.memory.news()
    assert kept is not None
    again = switched_on(robot, json.loads(kept()), tmp_path)
    assert not again.agent.memory.pending
    assert again.agent.status(0)["order"]["order_id"] == "A"


def test_the_daemon_takes_up_what_its_store_kept(tmp_path: Path) -> None:
    _, kept = interrupted(tmp_path)
    store = OrderStore(tmp_path / "state" / "order.json")
    store.keep(lambda: json.dumps(kept).encode())
    store.close()
    store.run()
    agent = agent_in(tmp_path)
    assert restore_order(agent.memory, store) is None
    assert agent.memory.pending
    assert agent.status(0)["order"]["order_id"] == "A"


@pytest.mark.parametrize("content", ["torn", '{"order": {"order_id": 3}, "actions": {}}', "{}"])
def test_the_daemon_starts_without_what_it_cannot_read(tmp_path: Path, content: str) -> None:
    path = tmp_path / "state" / "order.json"
    if content == "torn":
        path.parent.mkdir()
        path.write_text(content)
    else:
        store = OrderStore(path)
        store.keep(content.encode)
        store.close()
        store.run()
    agent = agent_in(tmp_path)
    refused = restore_order(agent.memory, OrderStore(path))
    assert refused is not None
    assert not agent.memory.pending
    assert agent.status(0)["order"]["idle"]
    assert not path.exists()
    assert path.with_name("order.json.bad").exists()


def test_a_curve_is_driven_and_its_corridor_asked_for(tmp_path: Path) -> None:
    robot = Robot(agent_in(tmp_path, TOML + '\n[vda5050]\nversion = "3.0.0"\n')).start()
    tree = order(2, spacing_m=5.0) | {"version": "3.0.0"}
    tree["edges"][0] |= {
        "trajectory": {
            "degree": 2,
            "knotVector": [0, 0, 0, 1, 1, 1],
            "controlPoints": [
                {"x": x, "y": y, "weight": 1.0} for x, y in ((0, 0), (2.5, 1), (5, 0))
            ],
        },
        "corridor": {
            "leftWidth": 1.0,
            "rightWidth": 0.5,
            "corridorReferencePoint": "KINEMATIC_CENTER",
            "releaseRequired": True,
            "releaseLossBehavior": "STOP",
        },
    }
    robot.tick(messages=(Message("order", encode(tree), robot.now_ns),))
    robot.run(0.6)
    (request,) = robot.state.edge_requests or ()
    assert (request.edge_id, request.request_status) == ("n0->n1", "REQUESTED")
    aside = []
    while not robot.agent.status(robot.now_ns)["order"]["idle"]:
        robot.tick()
        share = min(1.0, max(0.0, robot.pose.x_m / 5.0))
        aside.append(abs(robot.pose.y_m - 2.0 * share * (1.0 - share)))
        assert robot.ticks < 1000
    # It sets out 0.38 rad off the curve, which it does not turn for on the spot.
    assert max(aside) < 0.08
    assert robot.pose.x_m == pytest.approx(5.0, abs=0.1)
