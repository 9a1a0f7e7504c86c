"""Corridors that have to be asked for (3.0, sections 6.1.5, 6.6.10 and 6.9)."""

from dataclasses import replace
from typing import Any

import pytest

from agent.vda5050.messages import Responses
from agent.vda5050.order_book import OrderBook
from tests.agent.vda5050.orders import IDENTITY, MAPS, encode, order, situation

LEASE = "2026-01-01T00:01:00.000Z"
LEASE_NS = 1_767_225_660_000_000_000


def book_with_corridors(loss: str = "RETURN", count: int = 3) -> OrderBook:
    tree = order(count) | {"version": "3.0.0"}
    for edge in tree["edges"]:
        edge["corridor"] = {
            "leftWidth": 1.0,
            "rightWidth": 0.5,
            "corridorReferencePoint": "KINEMATIC_CENTER",
            "releaseRequired": True,
            "releaseLossBehavior": loss,
        }
    book = OrderBook(replace(IDENTITY, version="3.0.0"), MAPS)
    book.receive(encode(tree), situation())
    return book


def say(book: OrderBook, grant: str, number: int = 0, lease: str | None = None) -> None:
    response: dict[str, Any] = {
        "requestId": book.edge_requests[number].request_id,
        "grantType": grant,
    }
    if lease:
        response["leaseExpiry"] = lease
    header = {
        "headerId": 1,
        "timestamp": "2026-01-01T00:00:00.000Z",
        "version": "3.0.0",
        "manufacturer": "acme",
        "serialNumber": "R1",
    }
    book.answer(Responses.model_validate_json(encode(header | {"responses": [response]})))


def corridors(book: OrderBook) -> list[bool]:
    return [waypoint.corridor is not None for waypoint in book.waypoints]


def test_a_corridor_is_asked_for_and_kept_out_of_until_it_is_granted() -> None:
    book = book_with_corridors()
    assert [(r.edge_id, r.sequence_id, r.request_status) for r in book.edge_requests] == [
        ("n0->n1", 1, "REQUESTED"),
        ("n1->n2", 3, "REQUESTED"),
    ]
    assert corridors(book) == [False, False]
    say(book, "QUEUED")
    assert corridors(book) == [False, False]
    say(book, "GRANTED")
    assert corridors(book) == [True, False]
    assert [r.request_status for r in book.edge_requests] == ["GRANTED", "REQUESTED"]


def test_a_request_is_dropped_with_its_edge_and_with_its_order() -> None:
    book = book_with_corridors()
    book.reach(2)
    assert [r.sequence_id for r in book.edge_requests] == [3]
    book.cancel()
    assert book.edge_requests == ()


def test_a_rejected_request_leaves_the_state() -> None:
    book = book_with_corridors()
    say(book, "REJECTED")
    assert [r.sequence_id for r in book.edge_requests] == [3]
    assert corridors(book) == [False, False]


@pytest.mark.parametrize("loss", ["RETURN", "STOP"])
def test_a_release_that_is_lost_closes_the_corridor(loss: str) -> None:
    book = book_with_corridors(loss)
    say(book, "GRANTED")
    say(book, "REVOKED")
    assert corridors(book) == [False, False]
    assert book.edge_requests[0].request_status == "REVOKED"
    assert bool(book.stretch) is (loss == "RETURN")
    say(book, "GRANTED")
    assert book.stretch
    assert corridors(book) == [True, False]


def test_a_lease_runs_out_unless_it_is_extended() -> None:
    book = book_with_corridors()
    say(book, "GRANTED", lease=LEASE)
    book.expire(LEASE_NS - 1)
    assert corridors(book) == [True, False]
    say(book, "GRANTED", lease="2026-01-01T00:02:00.000Z")
    book.expire(LEASE_NS)
    assert corridors(book) == [True, False]
    book.expire(LEASE_NS + 60_000_000_000)
    assert corridors(book) == [False, False]
    assert book.edge_requests[0].request_status == "EXPIRED"


def test_few_are_asked_for_at_once() -> None:
    assert len(book_with_corridors(count=10).edge_requests) == 4
