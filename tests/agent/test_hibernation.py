"""startHibernation, stopHibernation and shutdown (3.0, sections 6.2.3.1 and 6.2.3.2)."""

from pathlib import Path
from typing import Any

import pytest

from agent.clock import SimulatedClock
from agent.telemetry.publication import Message
from agent.vda5050.connection import ConnectionReport
from agent.vda5050.messages import ActionState, Connection, decode
from tests.agent.room import TOML, Robot, agent_in
from tests.agent.vda5050.orders import IDENTITY, encode, order


class Resting(Robot):
    """A robot that is sent instant actions."""

    version = "3.0.0"

    def ask(self, action_type: str, name: str, seconds: float = 0.7, **parameters: str) -> None:
        header = {k: v for k, v in order(1).items() if k not in ("nodes", "edges")}
        given = [{"key": key, "value": value} for key, value in parameters.items()]
        action = {
            "actionType": action_type,
            "actionId": name,
            "blockingType": "NONE",
            "actionParameters": given,
        }
        tree = header | {"version": self.version, "actions": [action]}
        self.tick(messages=(Message("instantActions", encode(tree), self.now_ns),))
        self.run(seconds)

    def order(self, **changes: Any) -> Message:
        return super().order(**({"version": self.version} | changes))

    def told(self, name: str) -> ActionState:
        states = (*self.state.action_states, *self.state.instant_action_states)
        return next(state for state in states if state.action_id == name)

    def published(self, seconds: float) -> list[str]:
        """Topics of what is sent within a time."""
        before = len(self.outboxes)
        self.run(seconds)
        return [p.topic for outbox in self.outboxes[before:] for p in outbox.publications]

    @property
    def sleeps(self) -> bool:
        return self.outboxes[-1].hibernates


@pytest.fixture
def robot(tmp_path: Path) -> Resting:
    robot = Resting(agent_in(tmp_path, TOML + '\n[vda5050]\nversion = "3.0.0"\n'))
    robot.start()
    return robot


@pytest.mark.slow
def test_the_order_is_cleared_and_the_robot_falls_silent(robot: Resting) -> None:
    robot.drive()
    robot.ask("startHibernation", "sleep", seconds=3.0)
    assert robot.twist == (0.0, 0.0)
    assert robot.sleeps
    state = robot.state
    assert robot.told("sleep").action_status == "FINISHED"
    assert (state.order_id, state.node_states, state.edge_states) == ("A", [], [])
    assert robot.published(31.0) == [], "not even the state that is due after 30 s"


def test_it_hears_nothing_but_that_it_shall_wake_up(robot: Resting) -> None:
    robot.ask("startHibernation", "sleep")
    robot.tick(messages=(robot.order(),))
    robot.ask("stateRequest", "state")
    robot.ask("shutdown", "off")
    assert robot.published(2.0) == []
    robot.ask("stopHibernation", "wake")
    assert not robot.sleeps
    assert robot.told("wake").action_status == "FINISHED"
    assert robot.state.order_id == ""
    assert "visualization" in robot.published(1.0)
    robot.tick(messages=(robot.order(),))
    robot.run(1.5)
    assert robot.twist[0] > 0.5


def test_it_wakes_up_at_the_time_that_was_set(robot: Resting) -> None:
    robot.ask("startHibernation", "sleep", wakeUpTime="2026-01-01T00:00:08.000Z")
    slept_s = robot.now_ns * 1e-9
    assert robot.sleeps
    while robot.sleeps:
        robot.tick()
    assert robot.now_ns * 1e-9 == pytest.approx(8.0, abs=0.05)
    assert slept_s < 6.0
    assert "state" in robot.published(0.1) or robot.state.header_id > 1


def test_a_time_that_is_none_is_refused(robot: Resting) -> None:
    robot.ask("startHibernation", "sleep", wakeUpTime="tomorrow")
    assert not robot.sleeps
    assert robot.told("sleep").action_status == "FAILED"
    assert "wakeUpTime" in (robot.told("sleep").result_description or "")


def test_a_robot_that_is_awake_may_be_woken_up(robot: Resting) -> None:
    robot.ask("stopHibernation", "wake")
    assert robot.told("wake").action_status == "FINISHED"


def test_an_idle_robot_is_shut_down_once_the_platform_knows(robot: Resting) -> None:
    robot.ask("shutdown", "off")
    first = next(i for i, outbox in enumerate(robot.outboxes) if outbox.shuts_down)
    told = [p for outbox in robot.outboxes[: first + 1] for p in outbox.publications]
    assert [p.topic for p in told if b'"off"' in p.payload and b"FINISHED" in p.payload]


def test_a_robot_with_an_order_is_not_shut_down(robot: Resting) -> None:
    robot.drive()
    robot.ask("shutdown", "off")
    assert robot.told("off").action_status == "FAILED"
    assert not any(outbox.shuts_down for outbox in robot.outboxes)
    assert robot.twist[0] > 0.5


def test_2_1_has_no_such_actions(tmp_path: Path) -> None:
    robot = Resting(agent_in(tmp_path))
    robot.version = "2.1.0"
    robot.start()
    for action in ("startHibernation", "stopHibernation", "shutdown"):
        robot.ask(action, action)
        assert robot.told(action).action_status == "FAILED"


def test_the_connection_says_that_the_robot_hibernates_6_5() -> None:
    report = ConnectionReport(IDENTITY, SimulatedClock())
    states = []
    for sleeps in (False, True, True, False):
        report.hibernates = sleeps
        states.append(decode(Connection, report.online().payload).connection_state)
    # 2.x has no word for it but OFFLINE.
    assert states == ["ONLINE", "OFFLINE", "OFFLINE", "ONLINE"]
