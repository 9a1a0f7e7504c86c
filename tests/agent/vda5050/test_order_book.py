"""Acceptance, rejection and progress of orders, by the rules of VDA 5050 2.1 section 6.6."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.errors import OrderRejected
from agent.vda5050.order_book import MOST_NODES, OrderBook
from tests.agent.vda5050.orders import CELLAR, IDENTITY, MAP, MAPS, encode, order, situation

Tree = dict[str, Any]


def book_with(tree: Tree, *reached: int) -> OrderBook:
    book = OrderBook(IDENTITY, MAPS)
    book.receive(encode(tree), situation())
    for sequence_id in reached:
        book.reach(sequence_id)
    return book


def ids(book: OrderBook) -> list[int]:
    return [waypoint.sequence_id for waypoint in book.waypoints]


def test_a_new_book_is_idle_and_empty() -> None:
    book = OrderBook(IDENTITY, MAPS)
    assert book.idle
    assert (book.order_id, book.order_update_id) == ("", 0)
    assert (book.last_node_id, book.last_node_sequence_id) == ("", 0)
    assert book.waypoints == ()
    assert not book.cancel()


def test_the_first_node_counts_as_reached_where_the_robot_stands_on_it() -> None:
    book = book_with(order(3))
    assert ids(book) == [2, 4]
    assert book.last_node_id == "n0"
    assert [e.sequence_id for e in book.edge_states] == [1, 3]


def test_the_first_node_stays_where_its_heading_is_not_met() -> None:
    tree = order(2)
    tree["nodes"][0]["nodePosition"]["theta"] = math.pi / 2
    book = book_with(tree)
    assert ids(book) == [0, 2]
    assert book.last_node_id == ""
    tree["orderId"] = "B"
    turned = OrderBook(IDENTITY, MAPS)
    turned.receive(encode(tree), situation(yaw_rad=math.pi / 2 + 0.05))
    assert ids(turned) == [2]


def test_a_single_node_is_a_whole_order() -> None:
    book = book_with(order(1))
    assert book.idle
    assert book.order_id == "A"


def test_only_released_nodes_are_driven_and_the_horizon_is_reported() -> None:
    book = book_with(order(2, 4))
    assert ids(book) == [2]
    assert [n.released for n in book.node_states] == [True, False, False]
    book.reach(2)
    assert book.waypoints == ()
    assert not book.idle


def test_speed_deviation_and_heading_reach_the_waypoint() -> None:
    tree = order(3)
    tree["edges"][0]["maxSpeed"] = 0.4
    tree["nodes"][1]["nodePosition"] |= {
        "theta": 1.0,
        "allowedDeviationXY": 0.7,
        "allowedDeviationTheta": 0.2,
    }
    tree["nodes"][2]["nodePosition"] |= {"allowedDeviationXY": 0.0, "allowedDeviationTheta": 0.0}
    near, far = book_with(tree).waypoints
    assert (near.yaw_rad, near.tolerance_m, near.tolerance_rad) == (1.0, 0.7, 0.2)
    assert near.max_speed_mps == 0.4
    assert (far.yaw_rad, far.tolerance_m, far.tolerance_rad) == (None, 0.3, 0.1)
    assert far.max_speed_mps is None


def two_halls(released: int = 4, total: int = 4) -> Tree:
    """Half of the order is in the hall, the rest in the cellar."""
    tree = order(released, total)
    for node in tree["nodes"][2:]:
        node["nodePosition"]["mapId"] = CELLAR
    return tree


def test_an_order_over_two_maps_is_driven_map_by_map() -> None:
    book = book_with(two_halls())
    assert ids(book) == [2, 4, 6]
    assert (book.map_id, [w.sequence_id for w in book.stretch]) == (MAP, [2])
    book.reach(2)
    assert (book.map_id, [w.sequence_id for w in book.stretch]) == (CELLAR, [4, 6])
    book.reach(6)
    assert (book.map_id, book.stretch) == (None, ())


def test_a_horizon_on_another_map_waits_for_its_release() -> None:
    book = book_with(two_halls(2, 4))
    book.reach(2)
    assert (book.map_id, book.stretch, book.idle) == (None, (), False)
    update = two_halls()
    update["orderUpdateId"], update["nodes"], update["edges"] = (
        1, update["nodes"][1:], update["edges"][1:],
    )  # fmt: skip
    book.receive(encode(update), situation(2.0))
    assert (book.map_id, [w.sequence_id for w in book.stretch]) == (CELLAR, [4, 6])


def test_the_way_between_two_maps_is_none_on_the_base() -> None:
    tree = two_halls(3, 4)
    tree["nodes"][2]["nodePosition"]["x"] = 9.0
    book = book_with(tree)
    pose = situation(0.5).estimate.map_from_base  # type: ignore[union-attr]
    assert book.new_base_request(pose)
    assert book.distance_since_last_node_m(pose, CELLAR) is None


def test_every_node_must_lie_on_its_map() -> None:
    tree = two_halls()
    tree["nodes"][2]["nodePosition"]["x"] = 9999.0
    with pytest.raises(OrderRejected, match="n2 lies outside map cellar") as caught:
        book_with(tree)
    assert caught.value.context["mapId"] == CELLAR


def test_an_order_begins_on_the_map_that_the_robot_is_on() -> None:
    tree = two_halls()
    with pytest.raises(OrderRejected, match="first node is on map hall") as caught:
        OrderBook(IDENTITY, MAPS).receive(encode(tree), situation(map_id=CELLAR))
    assert caught.value.rejection_type == "noRouteError"


def test_after_the_platform_said_where_it_stands_an_update_begins_there() -> None:
    book = book_with(order(2), 2)
    book.stand_on("n9")
    assert (book.last_node_id, book.last_node_sequence_id) == ("n9", 0)
    with pytest.raises(OrderRejected, match="base ends at node n9"):
        book.receive(encode(order(2, update_id=1, start=1)), situation(2.0))


def test_an_update_replaces_the_horizon_and_extends_the_base() -> None:
    book = book_with(order(2, 4))
    update = order(3, 5, update_id=1, start=1)
    update["nodes"][4]["nodeId"] = update["edges"][3]["endNodeId"] = "elsewhere"
    book.receive(encode(update), situation(1.0))
    assert ids(book) == [2, 4, 6]
    assert [n.node_id for n in book.node_states] == ["n1", "n2", "n3", "n4", "elsewhere"]
    assert [e.sequence_id for e in book.edge_states] == [1, 3, 5, 7, 9]
    assert book.order_update_id == 1


def test_an_update_may_follow_a_finished_base() -> None:
    book = book_with(order(2), 2)
    assert book.idle
    book.receive(encode(order(2, update_id=4, start=1)), situation(2.0))
    assert ids(book) == [4]
    assert [e.sequence_id for e in book.edge_states] == [3]


def test_an_update_may_delete_the_horizon() -> None:
    book = book_with(order(2, 4))
    book.receive(encode(order(1, update_id=1, start=1)), situation(1.0))
    assert ids(book) == [2]
    assert len(book.node_states) == 1


def test_an_update_needs_no_pose() -> None:
    book = book_with(order(2, 3))
    book.receive(encode(order(2, update_id=1, start=1)), situation(localized=False))
    assert ids(book) == [2, 4]


def test_the_same_update_again_is_ignored() -> None:
    book = book_with(order(2, 4))
    before = book.node_states
    book.receive(encode(order(4)), situation())
    assert book.node_states == before
    assert book.received == 2


def test_a_new_order_after_the_last_one() -> None:
    book = book_with(order(2), 2)
    book.receive(encode(order(3, order_id="B", spacing_m=0.1)), situation())
    assert book.order_id == "B"
    assert ids(book) == [2, 4]


def test_cancelling_keeps_the_ids_and_refuses_updates() -> None:
    book = book_with(order(2, 4), 2)
    assert book.cancel()
    assert book.idle
    assert (book.order_id, book.last_node_id) == ("A", "n1")
    assert not book.cancel()
    with pytest.raises(OrderRejected) as caught:
        book.receive(encode(order(2, update_id=1, start=1)), situation(2.0))
    assert caught.value.rejection_type == "orderUpdateError"
    book.receive(encode(order(2, order_id="B")), situation())
    assert ids(book) == [2]


def test_reaching_what_is_not_there_is_a_mistake() -> None:
    book = book_with(order(2, 4))
    for sequence_id in (0, 3, 4):
        with pytest.raises(ValueError, match="no waypoint"):
            book.reach(sequence_id)


def test_the_base_is_asked_for_when_it_runs_low() -> None:
    book = book_with(order(3, 5))
    pose = situation(0.5).estimate.map_from_base  # type: ignore[union-attr]
    near = situation(1.5).estimate.map_from_base  # type: ignore[union-attr]
    assert not book.new_base_request(pose)
    assert book.new_base_request(near)
    assert book.distance_since_last_node_m(near, MAP) == pytest.approx(1.5)
    assert not book_with(order(3)).new_base_request(near)


def change(path: str, value: object) -> Callable[[Tree], None]:
    """Set ``nodes.1.nodePosition.x`` and the like; ``...`` removes it."""

    def apply(tree: Any) -> None:
        *keys, last = [int(k) if k.isdigit() else k for k in path.split(".")]
        for key in keys:
            tree = tree[key]
        if value is ...:
            del tree[last]
        else:
            tree[last] = value

    return apply


ACTION = [{"actionType": "pick", "actionId": "a1", "blockingType": "HARD"}]
NURBS = {"degree": 1, "knotVector": [0, 0, 1, 1], "controlPoints": [{"x": 0, "y": 0}] * 2}

MALFORMED = [
    change("orderId", ...),
    change("orderId", 3),
    change("orderId", ""),
    change("orderUpdateId", "1"),
    change("orderUpdateId", -1),
    change("headerId", 2**32),
    change("timestamp", "yesterday"),
    change("nodes", []),
    change("edges", []),
    change("nodes.0.released", "true"),
    change("nodes.0.released", False),
    change("nodes.1.released", False),
    change("edges.0.released", False),
    change("nodes.0.sequenceId", 1),
    change("nodes.1.sequenceId", 4),
    change("edges.1.sequenceId", 5),
    change("edges.0.endNodeId", "n2"),
    change("nodes.1.actions", ...),
    change("nodes.1.nodePosition.x", float("nan")),
    change("nodes.1.nodePosition.theta", 4.0),
    change("nodes.1.nodePosition.allowedDeviationXY", -0.1),
    change("nodes.1.actions", [{"actionType": "p", "actionId": "a", "blockingType": "hard"}]),
    change("edges.0.orientationType", "global"),
    change("serialNumber", "R2"),
    change("manufacturer", "other"),
    change("version", "3.0.0"),
]
UNUSABLE = [
    (change("nodes.1.actions", ACTION), {"actionId": "a1", "nodeId": "n1"}),
    (change("edges.0.actions", ACTION), {"actionId": "a1", "edgeId": "n0->n1"}),
    (change("edges.0.trajectory", NURBS), {"edgeId": "n0->n1", "field": "edge.trajectory"}),
    (
        change(
            "edges.0.corridor",
            {"leftWidth": 1, "rightWidth": 0.1, "corridorRefPoint": "CONTOUR"},
        ),
        {"field": "edge.corridor"},
    ),
    (change("edges.0.orientation", math.pi), {"field": "edge.orientation"}),
    (change("edges.0.maxSpeed", 0), {"field": "edge.maxSpeed"}),
    (change("edges.0.maxHeight", 0.5), {"field": "edge.maxHeight"}),
    (change("nodes.1.nodePosition", ...), {"nodeId": "n1", "field": "node.nodePosition"}),
    (change("nodes.2.nodePosition.mapId", "attic"), {"nodeId": "n2", "mapId": "attic"}),
    (change("zoneSetId", "z"), {"field": "zoneSetId"}),
]


@pytest.mark.parametrize("spoil", MALFORMED)
def test_a_malformed_order_is_rejected(spoil: Callable[[Tree], None]) -> None:
    tree = order(3)
    spoil(tree)
    book = OrderBook(IDENTITY, MAPS)
    with pytest.raises(OrderRejected) as caught:
        book.receive(encode(tree), situation())
    assert caught.value.rejection_type == "validationError"
    assert caught.value.context["topic"] == "order"
    assert book.idle
    assert book.order_id == ""


@pytest.mark.parametrize("payload", [b"", b"no json", b"[]", b"\xff\xfe", b"[" * 10_000, b"null"])
def test_garbage_is_rejected(payload: bytes) -> None:
    with pytest.raises(OrderRejected) as caught:
        OrderBook(IDENTITY, MAPS).receive(payload, situation())
    assert caught.value.rejection_type == "validationError"


def test_a_malformed_order_is_named_as_far_as_it_can_be_read() -> None:
    tree = order(2)
    del tree["nodes"]
    with pytest.raises(OrderRejected, match="nodes: Field required") as caught:
        OrderBook(IDENTITY, MAPS).receive(encode(tree), situation())
    references = {"topic": "order", "headerId": "7", "orderId": "A", "orderUpdateId": "0"}
    assert caught.value.context == references | {"field": "nodes"}


@pytest.mark.parametrize(("spoil", "references"), UNUSABLE)
def test_what_the_robot_cannot_do_is_rejected(
    spoil: Callable[[Tree], None], references: dict[str, str]
) -> None:
    tree = order(3)
    spoil(tree)
    book = OrderBook(IDENTITY, MAPS, height_m=1.0, width_m=0.6)
    with pytest.raises(OrderRejected) as caught:
        book.receive(encode(tree), situation())
    assert caught.value.rejection_type == "orderError"
    assert caught.value.context.items() >= references.items()
    assert caught.value.context["orderId"] == "A"
    assert book.idle


@pytest.mark.parametrize(
    ("point", "left_m", "right_m"),
    [(None, 1.0, 0.5), ("KINEMATICCENTER", 1.0, 0.5), ("CONTOUR", 0.7, 0.2)],
)
def test_a_corridor_belongs_to_the_way_to_its_end_node(
    point: str | None, left_m: float, right_m: float
) -> None:
    tree = order(3)
    corridor = {"leftWidth": 1.0, "rightWidth": 0.5, "corridorRefPoint": point}
    tree["edges"][1]["corridor"] = {k: v for k, v in corridor.items() if v is not None}
    book = OrderBook(IDENTITY, MAPS, width_m=0.6)
    book.receive(encode(tree), situation())
    by_id = {waypoint.sequence_id: waypoint.corridor for waypoint in book.waypoints}
    assert by_id[2] is None
    given = by_id[4]
    assert given is not None
    assert (given.left_m, given.right_m) == pytest.approx((left_m, right_m))


def test_optional_fields_without_effect_on_this_robot_are_accepted() -> None:
    tree = order(3)
    tree["edges"][0] |= {
        "rotationAllowed": False,
        "length": 2.0,
        "orientation": 0,
        "orientationType": "TANGENTIAL",
        "maxHeight": 2.0,
        "corridor": None,
        "futureField": {"a": 1},
    }
    assert ids(book_with(tree)) == [2, 4]


@pytest.mark.parametrize(
    ("given", "reached", "sent", "at", "expected"),
    [
        (order(3), (), order(2, order_id="B"), situation(), "orderError"),
        (order(2, 3), (2,), order(2, order_id="B"), situation(), "orderError"),
        (order(2), (2,), order(2, order_id="B"), situation(2.0), "noRouteError"),
        (order(2), (2,), order(2, order_id="B"), situation(localized=False), "noRouteError"),
        (order(2), (2,), order(2, order_id="B"), situation(estimate=None), "noRouteError"),
        (order(2), (2,), order(2, order_id="B", start=1), situation(2.0), "orderError"),
        (order(3, update_id=5), (), order(3, update_id=4), situation(), "orderUpdateError"),
        (order(3), (), order(2, update_id=1), situation(), "orderUpdateError"),
        (order(3), (), order(2, update_id=1, start=1), situation(), "orderUpdateError"),
        (order(2), (2,), order(2, update_id=1), situation(2.0), "orderUpdateError"),
        (order(2), (2,), order(2, update_id=1, start=2), situation(2.0), "orderUpdateError"),
        (order(1), (), order(MOST_NODES + 1, order_id="B"), situation(), "orderError"),
    ],
)
def test_what_does_not_fit_is_rejected_and_changes_nothing(
    given: Tree, reached: tuple[int, ...], sent: Tree, at: Any, expected: str
) -> None:
    book = book_with(given, *reached)
    before = (book.order_id, book.order_update_id, book.node_states, book.edge_states)
    with pytest.raises(OrderRejected) as caught:
        book.receive(encode(sent), at)
    assert caught.value.rejection_type == expected
    assert caught.value.context["orderId"] == sent["orderId"]
    assert caught.value.context["orderUpdateId"] == str(sent["orderUpdateId"])
    assert (book.order_id, book.order_update_id, book.node_states, book.edge_states) == before


class Dispatch(RuleBasedStateMachine):
    """A master that extends, repeats, cancels and errs, and a robot that drives what it may."""

    def __init__(self) -> None:
        super().__init__()
        self.book = OrderBook(IDENTITY, MAPS, deviation_m=0.5)
        self.orders = 0
        self.update_id = 0
        self.base: list[int] = []
        self.last_sent: Tree | None = None
        self.cancelled = False
        self.at = 0

    def send(self, tree: Tree) -> None:
        self.book.receive(encode(tree), situation(2.0 * self.at))

    @precondition(lambda self: self.book.idle)
    @rule(released=st.integers(1, 4), horizon=st.integers(0, 3))
    def new_order(self, released: int, horizon: int) -> None:
        self.orders += 1
        self.update_id, self.cancelled, self.at = 0, False, 0
        self.last_sent = order(released, released + horizon, order_id=f"o{self.orders}")
        self.send(self.last_sent)
        self.base = list(range(0, 2 * released, 2))

    @precondition(lambda self: self.base and not self.cancelled)
    @rule(more=st.integers(0, 3), horizon=st.integers(0, 3), step=st.integers(1, 3))
    def update(self, more: int, horizon: int, step: int) -> None:
        self.update_id += step
        end = self.base[-1] // 2
        self.last_sent = order(
            1 + more,
            1 + more + horizon,
            order_id=f"o{self.orders}",
            update_id=self.update_id,
            start=end,
        )
        self.send(self.last_sent)
        self.base += range(2 * end + 2, 2 * (end + more) + 2, 2)

    @precondition(lambda self: self.last_sent is not None)
    @rule()
    def repeat(self) -> None:
        before = (self.book.node_states, self.book.edge_states, self.book.waypoints)
        self.send(self.last_sent or {})
        assert (self.book.node_states, self.book.edge_states, self.book.waypoints) == before

    @precondition(lambda self: self.base and not self.cancelled)
    @rule(wrong=st.integers(0, 8))
    def stitch_elsewhere(self, wrong: int) -> None:
        if 2 * wrong == self.base[-1]:
            return
        before = (self.book.node_states, self.book.order_update_id)
        with pytest.raises(OrderRejected):
            self.send(
                order(2, order_id=f"o{self.orders}", update_id=self.update_id + 1, start=wrong)
            )
        assert (self.book.node_states, self.book.order_update_id) == before

    @precondition(lambda self: self.book.waypoints)
    @rule()
    def drive(self) -> None:
        sequence_id = self.book.waypoints[0].sequence_id
        self.book.reach(sequence_id)
        self.at = sequence_id // 2

    @rule()
    def cancel(self) -> None:
        had_order = not self.book.idle
        assert self.book.cancel() is had_order
        self.cancelled = self.cancelled or had_order

    @invariant()
    def never_drives_past_the_base(self) -> None:
        driven = [waypoint.sequence_id for waypoint in self.book.waypoints]
        rest = [] if self.cancelled else [s for s in self.base if s > 2 * self.at]
        assert driven == rest

    @invariant()
    def sequence_is_contiguous(self) -> None:
        nodes = [n.sequence_id for n in self.book.node_states]
        edges = [e.sequence_id for e in self.book.edge_states]
        assert nodes == [e + 1 for e in edges]
        assert nodes == list(range(nodes[0], nodes[0] + 2 * len(nodes), 2)) if nodes else True

    @invariant()
    def released_before_unreleased(self) -> None:
        flags = [n.released for n in self.book.node_states]
        assert flags == sorted(flags, reverse=True)
        assert flags == [e.released for e in self.book.edge_states]


TestDispatch = Dispatch.TestCase
TestDispatch.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
