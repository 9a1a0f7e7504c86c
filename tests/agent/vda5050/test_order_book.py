"""Acceptance, rejection and progress of orders, by the rules of VDA 5050 2.1 section 6.6."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agent.errors import OrderRejected, RecordInvalid
from agent.telemetry.publication import Message
from agent.vda5050.messages import OperatingMode
from agent.vda5050.order_book import MOST_NODES, OrderBook
from agent.vda5050.reading import read_ahead, read_already
from agent.vda5050.record_text import RecordText
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
    assert caught.value.rejection_type == "START_NODE_OUT_OF_RANGE"


def test_after_the_platform_said_where_it_stands_an_update_begins_there() -> None:
    book = book_with(order(2), 2)
    book.stand_on("n9")
    assert (book.last_node_id, book.last_node_sequence_id) == ("n9", 2)
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
    assert book.waypoints == ()
    assert [node.sequence_id for node in book.node_states] == [4, 6]  # until the robot stands
    with pytest.raises(OrderRejected, match="not finished"):
        book.receive(encode(order(2, order_id="B")), situation())
    book.clear()
    assert book.idle
    assert book.edge_states == ()
    assert (book.order_id, book.last_node_id) == ("A", "n1")
    assert not book.cancel()
    with pytest.raises(OrderRejected) as caught:
        book.receive(encode(order(2, update_id=1, start=1)), situation(2.0))
    assert caught.value.rejection_type == "ORDER_UPDATE_FOLLOWING_CANCEL"
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
OUT_OF_RANGE = "START_NODE_OUT_OF_RANGE"
UNSUPPORTED, ACTION_REFUSED = "UNSUPPORTED_PARAMETER", "INVALID_ORDER_ACTION"
UNUSABLE = [
    (change("nodes.1.actions", ACTION), ACTION_REFUSED, {"actionId": "a1", "nodeId": "n1"}),
    (change("edges.0.actions", ACTION), ACTION_REFUSED, {"actionId": "a1", "edgeId": "n0->n1"}),
    (
        change(
            "edges.0.corridor",
            {"leftWidth": 1, "rightWidth": 0.1, "corridorRefPoint": "CONTOUR"},
        ),
        UNSUPPORTED,
        {"field": "edge.corridor"},
    ),
    (change("edges.0.orientation", math.pi), UNSUPPORTED, {"field": "edge.orientation"}),
    (change("edges.0.maxSpeed", 0), UNSUPPORTED, {"field": "edge.maxSpeed"}),
    (change("edges.0.maxHeight", 0.5), UNSUPPORTED, {"field": "edge.maxHeight"}),
    (change("edges.0.minHeight", 0.5), UNSUPPORTED, {"field": "edge.minHeight"}),
    (change("edges.0.direction", "left"), UNSUPPORTED, {"field": "edge.direction"}),
    (change("edges.0.maxRotationSpeed", 0), UNSUPPORTED, {"field": "edge.maxRotationSpeed"}),
    (change("nodes.1.nodePosition", ...), UNSUPPORTED, {"field": "node.nodePosition"}),
    (change("zoneSetId", "z"), UNSUPPORTED, {"field": "zoneSetId"}),
    (
        change("nodes.2.nodePosition.mapId", "attic"),
        "UNKNOWN_MAP_ID",
        {"nodeId": "n2", "mapId": "attic"},
    ),
    (change("nodes.2.nodePosition.x", 9999.0), "NO_ROUTE_TO_TARGET", {"nodeId": "n2"}),
]


@pytest.mark.parametrize("spoil", MALFORMED)
def test_a_malformed_order_is_rejected(spoil: Callable[[Tree], None]) -> None:
    tree = order(3)
    spoil(tree)
    book = OrderBook(IDENTITY, MAPS)
    with pytest.raises(OrderRejected) as caught:
        book.receive(encode(tree), situation())
    assert caught.value.rejection_type == "VALIDATION_FAILURE"
    assert caught.value.context["topic"] == "order"
    assert book.idle
    assert book.order_id == ""


@pytest.mark.parametrize("payload", [b"", b"no json", b"[]", b"\xff\xfe", b"[" * 10_000, b"null"])
def test_garbage_is_rejected(payload: bytes) -> None:
    with pytest.raises(OrderRejected) as caught:
        OrderBook(IDENTITY, MAPS).receive(payload, situation())
    assert caught.value.rejection_type == "VALIDATION_FAILURE"


def test_a_malformed_order_is_named_as_far_as_it_can_be_read() -> None:
    tree = order(2)
    del tree["nodes"]
    with pytest.raises(OrderRejected, match="nodes: Field required") as caught:
        OrderBook(IDENTITY, MAPS).receive(encode(tree), situation())
    references = {"topic": "order", "headerId": "7", "orderId": "A", "orderUpdateId": "0"}
    assert caught.value.context == references | {"field": "nodes"}


@pytest.mark.parametrize(("spoil", "expected", "references"), UNUSABLE)
def test_what_the_robot_cannot_do_is_rejected(
    spoil: Callable[[Tree], None], expected: str, references: dict[str, str]
) -> None:
    tree = order(3)
    spoil(tree)
    book = OrderBook(IDENTITY, MAPS, height_m=1.0, width_m=0.6)
    with pytest.raises(OrderRejected) as caught:
        book.receive(encode(tree), situation())
    assert caught.value.rejection_type == expected
    assert caught.value.context.items() >= references.items()
    assert caught.value.context["orderId"] == "A"
    assert book.idle


def bent(**changes: Any) -> Tree:
    """An order whose first edge is an arc from n0 to n1, 2 m ahead."""
    tree = order(3)
    tree["edges"][0]["trajectory"] = {
        "degree": 2,
        "knotVector": [0, 0, 0, 1, 1, 1],
        "controlPoints": [{"x": 0, "y": 0}, {"x": 1, "y": 1, "weight": 2.0}, {"x": 2, "y": 0}],
    } | changes
    return tree


def test_a_trajectory_is_the_way_to_its_end_node() -> None:
    bend, straight = book_with(bent()).waypoints
    assert bend.line_m is not None
    assert bend.line_m[0] == pytest.approx([0, 0])
    assert bend.line_m[-1] == pytest.approx([2, 0])
    assert bend.line_m[:, 1].max() == pytest.approx(2 / 3, abs=0.005)
    assert straight.line_m is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"knotVector": [0, 0, 0, 1, 1]}, "knots"),
        ({"knotVector": [0, 0, 0.5, 0.2, 1, 1]}, "knots fall"),
        ({"controlPoints": [{"x": 0, "y": 0}, {"x": 2, "y": 0}]}, "too few"),
        ({"controlPoints": [{"x": 0, "y": 0}, {"x": 1, "y": 0}, {"x": 3, "y": 0}]}, "end at"),
        ({"controlPoints": [{"x": 0, "y": 1}, {"x": 1, "y": 0}, {"x": 2, "y": 0}]}, "begin at"),
    ],
)
def test_a_trajectory_that_makes_no_way_is_rejected(changes: Tree, why: str) -> None:
    with pytest.raises(OrderRejected, match=why) as caught:
        book_with(bent(**changes))
    assert caught.value.rejection_type == "UNSUPPORTED_PARAMETER"
    assert caught.value.context["field"] == "edge.trajectory"


def test_an_ellipse_says_what_counts_as_near() -> None:
    tree = order(2)
    tree["version"] = "3.0.0"
    for node in tree["nodes"]:
        node["nodePosition"]["allowedDeviationXY"] = {"a": 2.0, "b": 0.5, "theta": math.pi / 2}
    far = situation(0.0, 1.5)
    book = OrderBook(replace(IDENTITY, version="3.0.0"), MAPS)
    book.receive(encode(tree), far)
    (waypoint,) = book.waypoints
    assert waypoint.is_near(2.0, 1.9)
    assert not waypoint.is_near(2.6, 0.0)
    aside = OrderBook(replace(IDENTITY, version="3.0.0"), MAPS)
    with pytest.raises(OrderRejected, match="m from the first node"):
        aside.receive(encode(tree), situation(1.5, 0.0))


def test_a_global_orientation_is_met_where_it_is_the_way_ahead() -> None:
    tree = order(2)
    tree["edges"][0] |= {"orientation": 0.02, "orientationType": "GLOBAL", "maxRotationSpeed": 0.4}
    assert book_with(tree).waypoints[0].max_yaw_rate_radps == 0.4
    tree["edges"][0]["orientation"] = 1.0
    with pytest.raises(OrderRejected, match="orientation cannot be met"):
        book_with(tree)


@pytest.mark.parametrize("mode", list(OperatingMode))
def test_orders_are_taken_in_modes_that_the_standard_names(mode: OperatingMode) -> None:
    book = OrderBook(IDENTITY, MAPS)
    at = situation(operating_mode=mode)
    if mode in ("AUTOMATIC", "SEMIAUTOMATIC", "INTERVENED"):
        book.receive(encode(order(2)), at)
        assert not book.idle
        return
    with pytest.raises(OrderRejected) as caught:
        book.receive(encode(order(2)), at)
    assert caught.value.rejection_type == "MOBILE_ROBOT_NOT_AVAILABLE"


def in_3(tree: Tree) -> Tree:
    return tree | {"version": "3.0.0"}


def book_of_3(tree: Tree) -> OrderBook:
    book = OrderBook(replace(IDENTITY, version="3.0.0"), MAPS)
    book.receive(encode(in_3(tree)), situation())
    return book


def test_in_3_the_same_update_with_another_content_is_an_error() -> None:
    book = book_of_3(order(2, 4))
    book.receive(encode(in_3(order(2, 4)) | {"headerId": 8}), situation())
    before = book.record
    with pytest.raises(OrderRejected) as caught:
        book.receive(encode(in_3(order(3, 4))), situation())
    assert caught.value.rejection_type == "SAME_ORDER_UPDATE_ID"
    assert book.record == before


def test_in_3_an_order_begins_with_update_0() -> None:
    with pytest.raises(OrderRejected, match="not 0") as caught:
        book_of_3(order(2, update_id=3))
    assert caught.value.context["field"] == "orderUpdateId"


def act(action_id: str) -> list[Tree]:
    return [{"actionType": "wink", "actionId": action_id, "blockingType": "NONE"}]


def acting(tree: Tree) -> Tree:
    """Give every element an action that is named after it."""
    for element in (*tree["nodes"], *tree["edges"]):
        element["actions"] = act(f"{element['sequenceId']}")
    return tree


def busy_book(tree: Tree) -> OrderBook:
    book = OrderBook(IDENTITY, MAPS, action_problem=lambda action, place: None)
    book.receive(encode(acting(tree)), situation())
    return book


def came(book: OrderBook) -> list[int]:
    return [element.sequence_id for element in book.arrivals()]


def test_elements_arrive_once_and_in_sequence() -> None:
    book = busy_book(order(3, 4))
    assert came(book) == [0, 1]
    assert came(book) == []
    assert [(a.action_id, s) for a, s in book.actions()] == [(str(s), s) for s in range(1, 7)]
    book.reach(4)  # past node 2, which it rolled through in the same tick
    assert came(book) == [2, 3, 4]
    assert [s for _, s in book.actions()] == [5, 6]
    assert not book.idle
    book.receive(encode(acting(order(2, update_id=1, start=2))), situation(4.0))
    assert came(book) == [5]  # the stitching node and its action do not come again
    book.reach(6)
    assert came(book) == [6]
    assert book.actions() == ()


def test_an_edge_is_entered_no_sooner_than_its_start_is_reached() -> None:
    tree = order(2)
    tree["nodes"][0]["nodePosition"]["theta"] = 1.0
    book = busy_book(tree)
    assert came(book) == []
    book.reach(0)
    assert came(book) == [0, 1]


def test_a_cancelled_order_arrives_nowhere() -> None:
    book = busy_book(order(3))
    assert book.cancel()
    assert came(book) == []
    assert book.actions() == ()
    assert not book.cancel()
    assert book.cancel(acting=True)


def test_an_action_id_is_used_once() -> None:
    tree = order(2)
    tree["nodes"][0]["actions"] = tree["nodes"][1]["actions"] = act("a")
    with pytest.raises(OrderRejected, match="used twice"):
        OrderBook(IDENTITY, MAPS, action_problem=lambda a, p: None).receive(
            encode(tree), situation()
        )


def test_an_action_that_it_cannot_perform_is_rejected_with_the_reason() -> None:
    book = OrderBook(IDENTITY, MAPS, action_problem=lambda action, place: "the fork is too short")
    with pytest.raises(OrderRejected, match="the fork is too short") as caught:
        book.receive(encode(acting(order(2))), situation())
    assert caught.value.rejection_type == "INVALID_ORDER_ACTION"


def test_a_snapshot_is_json_and_all_that_there_is() -> None:
    book = busy_book(bent() | {"orderUpdateId": 3})
    book.reach(2)
    tree = json.loads(book.record.text(RecordText()))
    again = OrderBook(IDENTITY, MAPS, action_problem=lambda action, place: None)
    again.restore(tree)
    assert again.record == book.record
    assert again.waypoints == book.waypoints
    assert again.node_states == book.node_states
    assert again.actions() == book.actions()
    assert came(again) == came(book) == [0, 1, 2, 3]
    again.receive(encode(acting(order(2)) | {"orderUpdateId": 3}), situation())
    assert ids(again) == [4]


@pytest.mark.parametrize(
    "tree", [None, [], {"order_id": 3}, {"nodes": [{}]}, {"surprise": 1}, {"last_node": ["a"]}]
)
def test_a_snapshot_that_is_none_changes_nothing(tree: object) -> None:
    book = book_with(order(3))
    before = book.record
    with pytest.raises(RecordInvalid, match="order record"):
        book.restore(tree)
    assert book.record == before


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
        (order(3), (), order(2, order_id="B"), situation(), "OTHER_ORDER_ACTIVE"),
        (order(2, 3), (2,), order(2, order_id="B"), situation(), "OTHER_ORDER_ACTIVE"),
        (order(2), (2,), order(2, order_id="B"), situation(acting=True), "OTHER_ORDER_ACTIVE"),
        (order(2), (2,), order(2, order_id="B"), situation(2.0), OUT_OF_RANGE),
        (order(2), (2,), order(2, order_id="B"), situation(localized=False), OUT_OF_RANGE),
        (order(2), (2,), order(2, order_id="B"), situation(estimate=None), OUT_OF_RANGE),
        (order(2), (2,), order(2, order_id="B", start=1), situation(2.0), "VALIDATION_FAILURE"),
        (order(3, update_id=5), (), order(3, update_id=4), situation(), "OUTDATED_ORDER_UPDATE"),
        (order(3), (), order(2, update_id=1), situation(), "orderUpdateError"),
        (order(3), (), order(2, update_id=1, start=1), situation(), "orderUpdateError"),
        (order(2), (2,), order(2, update_id=1), situation(2.0), "orderUpdateError"),
        (order(2), (2,), order(2, update_id=1, start=2), situation(2.0), "orderUpdateError"),
        (order(1), (), order(MOST_NODES + 1, order_id="B"), situation(), "INSUFFICIENT_MEMORY"),
        (order(3), (), order(MOST_NODES, update_id=1, start=2), situation(), "INSUFFICIENT_MEMORY"),
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


def test_an_order_read_by_another_thread_is_taken_as_it_is() -> None:
    payload = encode(order(3))
    ahead, behind = OrderBook(IDENTITY, MAPS), book_with(order(3))
    message = read_ahead(Message("order", payload, 0), ahead.preparation)
    read = read_already(message)
    assert read is not None
    assert read.is_sound
    ahead.receive(payload, situation(), read)
    assert ahead.record == behind.record
    assert message == Message("order", payload, 0)


@pytest.mark.parametrize(
    "message", [Message("order", b"{", 0), Message("instantActions", b"{}", 0)]
)
def test_what_cannot_be_read_ahead_is_left_to_the_loop(message: Message) -> None:
    assert read_ahead(message, OrderBook(IDENTITY, MAPS).preparation) is message
    assert read_already(message) is None
