"""Reading and writing of the messages of VDA 5050 2.1.0."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import SimulatedClock
from agent.errors import MessageInvalid
from agent.vda5050.connection import ConnectionReport
from agent.vda5050.identity import Identity
from agent.vda5050.messages import (
    UINT32,
    Connection,
    HeaderCounter,
    InstantActions,
    MaxArrayLens,
    NodePosition,
    Order,
    decode,
    timestamp,
)
from agent.vda5050.topics import FROM_ROBOT, address, name_of, to_robot
from tests.agent.vda5050.orders import IDENTITY, encode, order

HEADER = {
    "headerId": 1,
    "timestamp": "2026-01-01T00:00:00.12Z",
    "version": "2.0.0",
    "manufacturer": "acme",
    "serialNumber": "R1",
}
ACTION = {"actionType": "stateRequest", "actionId": "1", "blockingType": "NONE"}


def test_an_order_survives_the_round_trip() -> None:
    tree = order(3, 5)
    assert json.loads(decode(Order, encode(tree)).encode()) == tree


def test_names_that_camel_case_alone_would_miss() -> None:
    position = NodePosition(x=0.0, y=0.0, map_id="m", allowed_deviation_xy=0.5)
    assert '"allowedDeviationXY":0.5' in position.model_dump_json(by_alias=True)
    limits = MaxArrayLens(order_nodes=3).model_dump(by_alias=True, exclude_none=True)
    assert limits == {"order.nodes": 3}


def test_unset_fields_are_left_out() -> None:
    assert b"null" not in decode(Order, encode(order(2))).encode()


@pytest.mark.parametrize("key", ["actions", "instantActions"])
def test_both_spellings_of_instant_actions(key: str) -> None:
    message = decode(InstantActions, encode(HEADER | {key: [ACTION]}))
    assert message.actions[0].action_type == "stateRequest"
    assert "actions" in json.loads(message.encode())


@pytest.mark.parametrize("value", [[1], True, 2.5, "text", {"a": [1]}])
def test_action_parameters_take_any_json(value: object) -> None:
    action = ACTION | {"actionParameters": [{"key": "k", "value": value}]}
    message = decode(InstantActions, encode(HEADER | {"actions": [action]}))
    parameters = message.actions[0].action_parameters
    assert parameters is not None
    assert parameters[0].value == value


@pytest.mark.parametrize(
    "stamp", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123456Z", "2026-01-01T02:00:00+02:00"]
)
def test_time_stamps_as_masters_write_them(stamp: str) -> None:
    tree = HEADER | {"timestamp": stamp, "connectionState": "ONLINE"}
    assert decode(Connection, encode(tree)).timestamp == stamp


@pytest.mark.parametrize(
    "spoiled",
    [
        {"connectionState": "online"},
        {"connectionState": "CONNECTION_BROKEN"},
        {"headerId": "1"},
        {"headerId": True},
        {"headerId": -1},
        {"timestamp": 1_767_225_600},
        {"timestamp": "01.01.2026"},
        {"version": None},
    ],
)
def test_wrong_types_and_values_are_refused(spoiled: dict[str, object]) -> None:
    with pytest.raises(MessageInvalid) as caught:
        decode(Connection, encode(HEADER | {"connectionState": "ONLINE"} | spoiled))
    assert caught.value.context["field"] == next(iter(spoiled))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(payload: bytes) -> None:
    with pytest.raises(MessageInvalid):
        decode(Connection, payload)


def test_time_stamps_have_milliseconds() -> None:
    assert timestamp(1_767_225_600_000_000_000) == "2026-01-01T00:00:00.000Z"
    assert timestamp(1_767_225_600_999_999_999) == "2026-01-01T00:00:00.999Z"


def test_header_ids_count_per_topic_and_wrap() -> None:
    headers = HeaderCounter(IDENTITY)
    assert [headers.next("state", 0)["header_id"] for _ in range(3)] == [0, 1, 2]
    assert headers.next("order", 0)["header_id"] == 0
    headers._next["state"] = UINT32 - 1
    assert headers.next("state", 0)["header_id"] == UINT32 - 1
    assert headers.next("state", 0)["header_id"] == 0


def test_topics_are_addressed_and_parsed() -> None:
    identity = Identity("acme", "R1", topic_prefix="site/uagv/v2")
    assert address(identity, "state") == "site/uagv/v2/acme/R1/state"
    assert name_of(identity, "site/uagv/v2/acme/R1/order") == "order"
    for foreign in ("site/uagv/v2/acme/R2/order", "uagv/v2/acme/R1/order", "order", ""):
        assert name_of(identity, foreign) is None
    assert name_of(identity, "site/uagv/v2/acme/R1/gossip") is None
    assert set(FROM_ROBOT) == {"state", "visualization", "connection", "factsheet"}
    assert tuple(to_robot(identity)) == ("order", "instantActions")


def test_connection_messages_are_retained_and_acknowledged() -> None:
    report = ConnectionReport(IDENTITY, SimulatedClock())
    sent = [report.will(), report.online(), report.offline()]
    assert [(p.topic, p.qos, p.retain) for p in sent] == [("connection", 1, True)] * 3
    states = [json.loads(p.payload) for p in sent]
    assert [s["connectionState"] for s in states] == ["CONNECTIONBROKEN", "ONLINE", "OFFLINE"]
    assert [s["headerId"] for s in states] == [0, 1, 2]
