"""Released nodes are rolled through while the base grows under way (2.1, section 6.6.2)."""

from pathlib import Path
from typing import Any

import pytest

from agent.geometry.pose import Pose2
from agent.route.follower import FollowerParams, PathFollower
from agent.telemetry.publication import Message
from agent.vda5050.order_book import OrderBook
from tests.agent.room import Robot, agent_in
from tests.agent.vda5050.orders import IDENTITY, MAPS, encode, order, situation

NODES = 60
PIECE = 5


def pieces(spacing_m: float, max_speed_mps: float) -> list[dict[str, Any]]:
    """An order of sixty nodes: the first eleven, then five more with each update."""
    sent = []
    for update_id, end in enumerate(range(2 * PIECE + 1, NODES + PIECE, PIECE)):
        start = 0 if update_id == 0 else end - PIECE - 1
        last, total = min(end, NODES), min(end + PIECE, NODES)
        tree = order(
            last - start, total - start, update_id=update_id, start=start, spacing_m=spacing_m
        )
        for edge in tree["edges"]:
            edge["maxSpeed"] = max_speed_mps
        sent.append(tree)
    return sent


def test_the_agent_rolls_through_sixty_streamed_nodes(tmp_path: Path) -> None:
    speed_mps, spacing_m = 0.5, 0.11
    robot = Robot(agent_in(tmp_path)).start()
    waiting = pieces(spacing_m, speed_mps)
    speeds = []
    for _ in range(1500):
        status = robot.agent.status(robot.now_ns)["order"]
        messages: tuple[Message, ...] = ()
        if waiting and (not status["order_id"] or status["nodes_left"] <= PIECE + 2):
            messages = (Message("order", encode(waiting.pop(0)), robot.now_ns),)
        robot.tick(messages=messages)
        if 0.5 < robot.pose.x_m < spacing_m * (NODES - 1) - 0.5:
            speeds.append(robot.twist[0])
        if not waiting and status["idle"]:
            break
    accepted = [event["order_update_id"] for event in robot.events("order.accepted")]
    assert accepted == list(range(len(pieces(spacing_m, speed_mps))))
    assert robot.events("order.rejected") == []
    names = [event["node_id"] for event in robot.events("node.reached")]
    assert names == [f"n{i}" for i in range(1, NODES)]
    assert robot.pose.x_m == pytest.approx(spacing_m * (NODES - 1), abs=0.1)
    assert len(speeds) > 100
    assert min(speeds) >= 0.8 * speed_mps


@pytest.mark.parametrize("delay_ticks", [0, 25])
def test_the_base_is_asked_for_early_enough_at_full_speed(delay_ticks: int) -> None:
    """Updates come some time after ``newBaseRequest``, as from a master that takes its time."""
    period_s, spacing_m = 0.02, 2.0
    book, follower = OrderBook(IDENTITY, MAPS), PathFollower(FollowerParams())
    waiting = pieces(spacing_m, 1.0)
    x_m, speed_mps, speeds, reached, due = 0.0, 0.0, [], [], None
    book.receive(encode(waiting.pop(0)), situation())
    for tick in range(10_000):
        pose = Pose2(x_m, 0.0, 0.0)
        if due is None and waiting and book.new_base_request(pose):
            due = tick + delay_ticks
        if due is not None and tick >= due:
            book.receive(encode(waiting.pop(0)), situation(x_m))
            due = None
        proposal = follower.step(pose, book.waypoints)
        for sequence_id in proposal.reached:
            book.reach(sequence_id)
            reached.append(sequence_id)
        if book.idle:
            break
        speed_mps += min(0.8 * period_s, max(-1.0 * period_s, proposal.forward_mps - speed_mps))
        x_m += speed_mps * period_s
        if 1.0 < x_m < spacing_m * (NODES - 1) - 1.0:
            speeds.append(speed_mps)
    assert reached == list(range(2, 2 * NODES, 2))
    assert book.order_update_id == len(pieces(spacing_m, 1.0)) - 1
    assert min(speeds) >= 0.8
