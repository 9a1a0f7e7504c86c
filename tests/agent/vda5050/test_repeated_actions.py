"""Instant actions whose ids come again: repeated messages, and masters that number badly.

The client of the PyPI package vda5050-sdk calls every pause ``pause``, every cancelOrder
``cancel-order`` and every stateRequest ``state-request``.
"""

import json
from dataclasses import replace
from typing import Any

import pytest

from agent.vda5050.instant_actions import InstantActionRunner
from agent.vda5050.order_book import OrderBook
from agent.vda5050.record_text import RecordText
from tests.agent.vda5050.orders import IDENTITY, MAPS, encode, order, situation


class Master:
    def __init__(self) -> None:
        self.book = OrderBook(IDENTITY, MAPS)
        self.runner = InstantActionRunner(IDENTITY)
        self.count = 0

    def send(self, kind: str, name: str, **parameters: Any) -> bytes:
        self.count += 1
        given = [{"key": key, "value": value} for key, value in parameters.items()]
        action = {
            "actionType": kind,
            "actionId": name,
            "blockingType": "NONE",
            "actionParameters": given,
        }
        head = {k: v for k, v in order(1).items() if k not in ("nodes", "edges")}
        payload = encode(head | {"headerId": self.count, "actions": [action]})
        self.runner.receive(payload, self.book)
        return payload

    def status(self, name: str) -> str:
        self.runner.order_actions.advance(situation(), self.book)
        self.runner.advance(situation(), self.book)
        return next(str(s.action_status) for s in self.runner.states if s.action_id == name)


@pytest.fixture
def master() -> Master:
    return Master()


def test_every_request_of_a_state_is_heard(master: Master) -> None:
    master.send("stateRequest", "state-request")
    master.send("stateRequest", "state-request")
    assert master.runner.state_requests == 2


def test_the_same_message_twice_is_one(master: Master) -> None:
    payload = master.send("stateRequest", "state-request")
    master.runner.receive(payload, master.book)
    assert master.runner.state_requests == 1


def test_a_pause_may_come_again_by_the_same_id(master: Master) -> None:
    for _ in range(2):
        paused = master.send("startPause", "pause")
        assert master.runner.order_actions.paused
        assert master.status("pause") == "FINISHED"
        master.send("stopPause", "resume")
        assert not master.runner.order_actions.paused
        master.runner.receive(paused, master.book)  # late, as with QoS 1
        assert not master.runner.order_actions.paused


def test_a_pause_that_is_repeated_changes_nothing(master: Master) -> None:
    master.send("startPause", "pause")
    master.send("startPause", "pause")
    assert master.status("pause") == "FINISHED"
    master.send("startPause", "pause")
    assert [str(s.action_status) for s in master.runner.states] == ["FINISHED"]


def test_a_cancel_may_come_again_for_the_next_order(master: Master) -> None:
    master.book.receive(encode(order(3)), situation())
    master.send("cancelOrder", "cancel-order")
    assert master.status("cancel-order") == "FINISHED"
    master.send("cancelOrder", "cancel-order")  # again, as its answer was missed
    assert master.status("cancel-order") == "FINISHED"
    master.book.receive(encode(order(3, order_id="B")), situation())
    master.send("cancelOrder", "cancel-order")
    assert master.book.record.cancelled
    assert master.status("cancel-order") == "FINISHED"


def test_another_pose_by_the_same_id_is_another_request(master: Master) -> None:
    where = {"x": 0.0, "y": 0.0, "theta": 0.0, "mapId": "hall", "lastNodeId": "n0"}
    master.send("initPosition", "initPosition", **where | {"theta": "north"})
    assert master.status("initPosition") == "FAILED"
    assert master.runner.errors
    master.send("initPosition", "initPosition", **where | {"theta": "north"})
    assert master.runner.take_pose_requests() == ()
    master.send("initPosition", "initPosition", **where)
    (request,) = master.runner.take_pose_requests()
    assert request.map_id == "hall"
    assert master.runner.errors == ()


def switched_off_and_on(master: Master) -> None:
    texts = RecordText()
    saved = [json.loads(record.text(texts)) for record in master.runner.record]
    master.runner = InstantActionRunner(IDENTITY)
    master.runner.restore(saved)


def test_what_came_of_them_survives_a_power_cut(master: Master) -> None:
    again = master.send("stateRequest", "s")
    master.send("startPause", "p")
    where = {"x": 0.0, "y": 0.0, "theta": 0.0, "mapId": "hall", "lastNodeId": "n0"}
    master.send("initPosition", "i", **where)
    switched_off_and_on(master)
    assert [(s.action_id, str(s.action_status)) for s in master.runner.states] == [
        ("s", "FINISHED"),
        ("p", "RUNNING"),
        ("i", "FAILED"),  # nobody knows what has come of it
    ]
    (error,) = master.runner.errors
    assert "restart" in error.detail
    assert master.status("p") == "FINISHED"
    master.runner.receive(again, master.book)
    assert master.runner.state_requests == 0


@pytest.mark.parametrize("broken", [{"state": {}}, {"action": {}}, {"stamp": None}])
def test_broken_records_change_nothing(master: Master, broken: dict[str, Any]) -> None:
    master.send("stateRequest", "s")
    (record,) = master.runner.record
    saved = json.loads(record.text(RecordText())) | broken
    with pytest.raises((ValueError, TypeError)):
        master.runner.restore([saved])
    assert master.runner.record == (record,)


def test_in_3_0_states_stay_until_they_are_cleared(master: Master) -> None:
    master.runner = InstantActionRunner(replace(IDENTITY, version="3.0.0"))
    master.send("stateRequest", "s")
    master.book.receive(encode(order(2)), situation())
    assert master.status("s") == "FINISHED"
    master.send("clearInstantActions", "c")
    assert [s.action_id for s in master.runner.states] == ["c"]
