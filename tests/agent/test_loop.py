import json
import math
from pathlib import Path

import numpy as np
import pytest

from agent.avoidance.governor import StopReason
from agent.errors import BrokerUnavailable
from agent.telemetry.publication import Message
from drivers.errors import PortLost
from drivers.runner import DeviceState, Phase
from tests.agent.robot import Ticker, agent_in, healthy, order, room_scan, still


@pytest.fixture
def ticker(tmp_path: Path) -> Ticker:
    return Ticker(agent_in(tmp_path))


def lost(ticker: Ticker, device: str) -> tuple[DeviceState]:
    return (DeviceState(device, Phase.LOST, ticker.now_ns, PortLost(f"{device}: unplugged")),)


def test_a_healthy_robot_with_an_order_drives(ticker: Ticker) -> None:
    ticker.drive_off()
    ticker.settle(40)  # longer than the least time between two states
    assert ticker.stop_reason is None
    assert ticker.states()[-1]["driving"] is True


def test_without_an_order_it_stands_and_has_no_complaint(ticker: Ticker) -> None:
    ticker.settle()
    assert ticker.outboxes[-1].command.is_stop
    assert ticker.stop_reason is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"base_status": {"e_stop": True}}, StopReason.E_STOP),
        ({"base_status": {"bumper": True}}, StopReason.BUMPER),
        ({"base_status": {"faults": ("overheat",)}}, StopReason.BASE_FAULT),
        ({"devices": "lidar"}, StopReason.NO_SCAN),
        ({"devices": "base"}, StopReason.NO_ODOMETRY),
    ],
)
def test_one_tick_is_enough_to_stop(ticker: Ticker, changes: dict, reason: StopReason) -> None:
    ticker.drive_off()
    if "base_status" in changes:
        changes = {"base_status": healthy(ticker.now_ns, **changes["base_status"])}
    else:
        changes = {"devices": lost(ticker, changes["devices"])}
    assert ticker.tick(**changes).command.is_stop
    assert ticker.stop_reason == reason.value


@pytest.mark.parametrize(
    ("missing", "limit_s", "reason"),
    [("scan", 0.25, StopReason.NO_SCAN), ("odometry", 0.15, StopReason.NO_ODOMETRY)],
)
def test_what_no_longer_comes_stops_the_robot_when_it_is_stale(
    ticker: Ticker, missing: str, limit_s: float, reason: StopReason
) -> None:
    ticker.drive_off()
    empty = {missing: None if missing == "scan" else ()}
    moved = 0
    while not ticker.tick(**empty).command.is_stop:
        moved += 1
        assert moved * 0.02 <= limit_s
    assert ticker.stop_reason == reason.value
    ticker.settle(5)
    assert ticker.stop_reason is None
    assert not ticker.outboxes[-1].command.is_stop


@pytest.mark.parametrize(
    "changes",
    [
        {"missing": 200},
        {"ranges_m": np.full(360, np.nan, np.float32)},
    ],
    ids=["a third of the rays never arrived", "covered"],
)
def test_a_scan_that_saw_too_little_is_no_proof_of_free_space(ticker: Ticker, changes) -> None:
    ticker.drive_off()
    for _ in range(20):
        ticker.tick(scan=room_scan(ticker.now_ns, **changes))
    assert ticker.outboxes[-1].command.is_stop
    assert ticker.stop_reason in (StopReason.NO_SCAN.value, StopReason.NOT_LOCALIZED.value)


def test_a_late_tick_commands_zero_once(ticker: Ticker) -> None:
    ticker.drive_off()
    late = ticker.tick(step_ns=150_000_000)
    assert late.command.is_stop
    assert ticker.stop_reason == StopReason.LATE_LOOP.value
    assert not ticker.tick().command.is_stop


def test_measurements_from_the_future_are_not_current(ticker: Ticker) -> None:
    ticker.drive_off()
    ahead_ns = ticker.now_ns + 5_000_000_000
    ticker.tick(scan=room_scan(ahead_ns), odometry=(still(ticker.now_ns + 15_000_000),))
    assert ticker.outboxes[-1].command.is_stop


def test_an_obstacle_ahead_stops_and_shows_as_a_field_violation(ticker: Ticker) -> None:
    ticker.drive_off()
    blocked = room_scan(0).ranges_m.copy()
    blocked[170:190] = 0.9
    ticker.tick(scan=room_scan(ticker.now_ns + 10_000_000, ranges_m=blocked))
    assert ticker.outboxes[-1].command.is_stop
    assert ticker.stop_reason == StopReason.OBSTACLE.value
    for _ in range(40):
        ticker.tick(scan=room_scan(ticker.now_ns + 10_000_000, ranges_m=blocked))
    assert ticker.states()[-1]["safetyState"]["fieldViolation"] is True


def test_a_wrong_place_is_noticed_and_stops_the_robot(ticker: Ticker) -> None:
    ticker.drive_off()
    nonsense = np.tile([0.7, 3.1, 1.3], 120).astype(np.float32)
    for _ in range(200):
        ticker.tick(scan=room_scan(ticker.now_ns + 10_000_000, ranges_m=nonsense))
        if ticker.stop_reason == StopReason.NOT_LOCALIZED.value:
            break
    assert ticker.outboxes[-1].command.is_stop
    assert ticker.stop_reason == StopReason.NOT_LOCALIZED.value
    ticker.settle(40)
    assert any(
        error["errorType"] == "localizationLost"
        for state in ticker.states()
        for error in state["errors"]
    )


def test_the_platform_learns_which_device_is_lost(ticker: Ticker) -> None:
    ticker.settle()
    ticker.tick(devices=lost(ticker, "lidar"))
    ticker.settle(40)
    errors = ticker.states()[-1]["errors"]
    assert [error["errorType"] for error in errors] == ["deviceLost"]
    assert "lidar" in errors[0]["errorDescription"]
    status = ticker.agent.status(ticker.now_ns)["devices"]["lidar"]
    assert status["phase"] == "lost"
    assert status["since_s"] == pytest.approx(0.82, abs=0.03)


def events(ticker: Ticker) -> list[str]:
    return [event.name for outbox in ticker.outboxes for event in outbox.events]


def test_orders_are_accepted_rejected_and_cancelled_aloud(ticker: Ticker) -> None:
    ticker.settle()
    ticker.tick(messages=(order((7.0, 4.0)),))
    ticker.tick(messages=(order((1.0, 1.0), order_id="o2"), Message("order", b"{", 0)))
    assert "order.accepted" in events(ticker)
    assert events(ticker).count("order.rejected") + events(ticker).count("message.refused") == 2
    cancel = (
        b'{"headerId":1,"timestamp":"2026-01-01T00:00:00.00Z","version":"2.1.0",'
        b'"manufacturer":"acme","serialNumber":"r1","actions":'
        b'[{"actionType":"cancelOrder","actionId":"c1","blockingType":"HARD"}]}'
    )
    ticker.tick(messages=(Message("instantActions", cancel, 0),))
    assert "order.cancelled" in events(ticker)
    ticker.settle()
    assert ticker.outboxes[-1].command.is_stop
    assert ticker.agent.status(ticker.now_ns)["order"]["idle"]


def test_every_transition_is_logged_once(ticker: Ticker) -> None:
    ticker.drive_off()
    ticker.tick(devices=lost(ticker, "lidar"))
    ticker.settle(50)
    assert events(ticker).count("device.lost") == 1
    assert events(ticker).count("motion.stopped") == 2  # at the start, and now


def test_a_state_is_due_when_the_broker_is_back(ticker: Ticker) -> None:
    ticker.settle(100)
    before = len(ticker.states())
    ticker.tick(broker=BrokerUnavailable("gone"))
    ticker.settle(30)
    assert len(ticker.states()) > before


def test_the_same_inboxes_give_the_same_outboxes_bit_for_bit(tmp_path: Path) -> None:
    def run(name: str) -> list[tuple]:
        directory = tmp_path / name
        directory.mkdir()
        ticker = Ticker(agent_in(directory))
        ticker.drive_off()
        ticker.tick(devices=lost(ticker, "lidar"))
        ticker.settle()
        return [
            (
                outbox.command,
                None if outbox.estimate is None else outbox.estimate.map_from_base,
                outbox.publications,
                outbox.events,
            )
            for outbox in ticker.outboxes
        ]

    assert run("one") == run("two")


def test_status_is_plain_json_without_nan(ticker: Ticker) -> None:
    ticker.settle()
    json.dumps(ticker.agent.status(ticker.now_ns), allow_nan=False)
    points = ticker.agent.scan_points()
    assert len(points) == 360
    assert all(-0.1 < x < 10.1 and -0.1 < y < 10.1 for x, y in points)
    assert not math.isnan(points[0][0])
