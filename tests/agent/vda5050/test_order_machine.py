"""Any run of updates, repetitions, late messages, cancels and restarts keeps to the standard.

A master that extends, repeats, cancels, mixes up and errs; a robot that drives what it may and is
switched off at any moment. The invariants are those of VDA 5050 2.1, sections 6.6 and 6.10.
"""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.errors import OrderRejected
from agent.route.path import Waypoint
from agent.vda5050.order_book import OrderBook
from agent.vda5050.record_text import RecordText
from tests.agent.vda5050.orders import IDENTITY, MAPS, encode, order, situation

Tree = dict[str, Any]


def new_book() -> OrderBook:
    return OrderBook(IDENTITY, MAPS, deviation_m=0.5, action_problem=lambda action, place: None)


def acting(tree: Tree) -> Tree:
    for element in (*tree["nodes"], *tree["edges"]):
        name = f"{tree['orderId']} {element['sequenceId']}"
        element["actions"] = [{"actionType": "wink", "actionId": name, "blockingType": "NONE"}]
    return tree


class Dispatch(RuleBasedStateMachine):
    """The book, and what a master and a passer-by know of it."""

    def __init__(self) -> None:
        super().__init__()
        self.book = new_book()
        self.orders = 0
        self.base: list[int] = []
        self.history: list[Tree] = []
        self.cancelled = False
        self.at = 0
        self.arrived: list[int] = []
        self.seen = ("", 0, 0)
        self.promised: dict[int, Waypoint] = {}

    @property
    def order_id(self) -> str:
        return f"o{self.orders}"

    def send(self, tree: Tree) -> None:
        self.book.receive(encode(tree), situation(2.0 * self.at))
        self.promised |= {w.sequence_id: w for w in self.book.waypoints}

    def refused(self, tree: Tree, *types: str) -> None:
        before = self.book.record
        with pytest.raises(OrderRejected) as caught:
            self.send(tree)
        assert caught.value.rejection_type in types
        assert self.book.record == before

    @precondition(lambda self: self.book.idle)
    @rule(released=st.integers(1, 4), horizon=st.integers(0, 3))
    def new_order(self, released: int, horizon: int) -> None:
        self.orders += 1
        self.cancelled, self.at, self.arrived, self.promised = False, 0, [], {}
        self.history = [acting(order(released, released + horizon, order_id=self.order_id))]
        self.send(self.history[-1])
        self.base = list(range(0, 2 * released, 2))

    @precondition(lambda self: self.base and not self.cancelled)
    @rule(more=st.integers(0, 3), horizon=st.integers(0, 3), step=st.integers(1, 3))
    def update(self, more: int, horizon: int, step: int) -> None:
        end = self.base[-1] // 2
        tree = order(
            1 + more,
            1 + more + horizon,
            order_id=self.order_id,
            update_id=self.book.order_update_id + step,
            start=end,
        )
        self.history.append(acting(tree))
        self.send(tree)
        self.base += range(2 * end + 2, 2 * (end + more) + 2, 2)

    @precondition(lambda self: self.history)
    @rule(data=st.data())
    def message_of_before_comes_again(self, data: st.DataObject) -> None:
        tree = data.draw(st.sampled_from(self.history))
        if tree is not self.history[-1]:
            self.refused(tree, "OUTDATED_ORDER_UPDATE")
            return
        before = self.book.record
        self.send(tree)
        assert self.book.record == before

    @precondition(lambda self: self.base and not self.cancelled)
    @rule(wrong=st.integers(0, 8))
    def stitch_elsewhere(self, wrong: int) -> None:
        if 2 * wrong == self.base[-1]:
            return
        update_id = self.book.order_update_id + 1
        self.refused(
            order(2, order_id=self.order_id, update_id=update_id, start=wrong), "orderUpdateError"
        )

    @precondition(lambda self: self.cancelled)
    @rule()
    def update_after_cancel(self) -> None:
        update_id = self.book.order_update_id + 1
        tree = order(2, order_id=self.order_id, update_id=update_id, start=self.base[-1] // 2)
        self.refused(tree, "ORDER_UPDATE_FOLLOWING_CANCEL")

    @precondition(lambda self: not self.book.idle)
    @rule()
    def another_order(self) -> None:
        self.refused(order(2, order_id="other"), "OTHER_ORDER_ACTIVE")

    @precondition(lambda self: self.book.waypoints)
    @rule(data=st.data())
    def drive(self, data: st.DataObject) -> None:
        sequence_id = data.draw(st.sampled_from(self.book.waypoints)).sequence_id
        self.book.reach(sequence_id)
        self.at = sequence_id // 2

    @rule()
    def look_what_arrived(self) -> None:
        self.arrived += [element.sequence_id for element in self.book.arrivals()]
        assert self.arrived == list(range(len(self.arrived)))
        assert self.book.arrivals() == ()

    @rule()
    def cancel(self) -> None:
        had_order = not self.book.idle and not self.cancelled
        told = self.book.node_states
        assert self.book.cancel() is had_order
        assert self.book.node_states == told
        self.cancelled = self.cancelled or had_order

    @precondition(lambda self: self.cancelled)
    @rule()
    def stand_still(self) -> None:
        self.book.clear()
        assert self.book.idle

    @rule()
    def switch_off_and_on(self) -> None:
        kept = json.loads(self.book.record.text(RecordText()))
        self.book = new_book()
        self.book.restore(kept)

    @invariant()
    def never_drives_past_the_base_nor_anything_twice(self) -> None:
        driven = [waypoint.sequence_id for waypoint in self.book.waypoints]
        rest = [] if self.cancelled else [s for s in self.base if s > 2 * self.at]
        assert driven == rest

    @invariant()
    def base_does_not_change(self) -> None:
        for waypoint in self.book.waypoints:
            assert waypoint == self.promised[waypoint.sequence_id]

    @invariant()
    def states_alternate_and_are_contiguous(self) -> None:
        nodes = [n.sequence_id for n in self.book.node_states]
        edges = [e.sequence_id for e in self.book.edge_states]
        assert nodes == [e + 1 for e in edges]
        assert nodes == list(range(nodes[0], nodes[0] + 2 * len(nodes), 2)) if nodes else True

    @invariant()
    def released_before_unreleased(self) -> None:
        flags = [n.released for n in self.book.node_states]
        assert flags == sorted(flags, reverse=True)
        assert flags == [e.released for e in self.book.edge_states]

    @invariant()
    def ids_never_fall_within_an_order(self) -> None:
        order_id, update_id, sequence_id = self.seen
        book = self.book
        now = (book.order_id, book.order_update_id, book.last_node_sequence_id)
        if book.order_id == order_id:
            assert now[1] >= update_id
            assert now[2] >= sequence_id
        self.seen = now

    @invariant()
    def actions_to_come_are_those_of_the_states(self) -> None:
        states = {s.sequence_id for s in (*self.book.node_states, *self.book.edge_states)}
        states = set() if self.cancelled else states
        assert [s for _, s in self.book.actions()] == sorted(states)


TestDispatch = Dispatch.TestCase
TestDispatch.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
