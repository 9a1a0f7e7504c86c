"""The order at hand: what was accepted, how far it was driven, what may be driven next.

VDA 5050 2.1, sections 6.6.1 to 6.6.4 and figure 8; 3.0, sections 6.1.1 to 6.1.4 and figure 8, whose
questions are asked here in its order and by its numbers. The base (released) is driven, the horizon
is only reported; an update replaces the horizon and extends the base at its last node.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from agent.geometry.angle import difference
from agent.geometry.pose import Pose2
from agent.mapping.occupancy_grid import OccupancyGrid
from agent.route.path import Waypoint
from agent.vda5050.corridor_release import CorridorRelease
from agent.vda5050.error_types import ORDER_UPDATE_ERROR, ErrorType
from agent.vda5050.identity import Identity
from agent.vda5050.messages import (
    Action,
    Edge,
    EdgeRequest,
    EdgeState,
    Node,
    NodePosition,
    NodeState,
    OperatingMode,
    Order,
    Responses,
)
from agent.vda5050.order_checks import (
    MOST_NODES,
    ActionCheck,
    Capabilities,
    check_addressee,
    check_structure,
    no_actions,
    read_order,
    rejection,
)
from agent.vda5050.order_path import OrderPath
from agent.vda5050.order_record import OrderRecord
from agent.vda5050.preparation import Preparation, Prepared
from agent.vda5050.situation import Situation
from agent.vda5050.wire.version import numbers

__all__ = ["MOST_NODES", "OrderBook"]

# 3.0, section 6.6.6, table 11: modes in which orders are taken.
TAKES_ORDERS = (OperatingMode.AUTOMATIC, OperatingMode.SEMIAUTOMATIC, OperatingMode.INTERVENED)


class OrderBook:
    """Accepts or rejects orders and keeps track of the one accepted."""

    def __init__(
        self,
        identity: Identity,
        maps: Mapping[str, OccupancyGrid],
        *,
        deviation_m: float = 0.3,
        deviation_rad: float = 0.1,
        base_reserve_m: float = 3.0,
        height_m: float = 0.0,
        width_m: float = 0.0,
        action_problem: ActionCheck = no_actions,
    ) -> None:
        """Start without an order.

        Args:
            identity: The robot that orders must be meant for.
            maps: All that the robot has, by their id.
            deviation_m: How far beside a node counts as reached where the order does not say.
            deviation_rad: The same for a node's heading.
            base_reserve_m: Way left on the base below which the robot asks for more of it.
            height_m: Height of the robot, compared with an edge's ``maxHeight``.
            width_m: Width of the robot, which must fit into an edge's ``corridor``.
            action_problem: Why the robot cannot perform an action of a node or an edge, None where
                it can; without it, it can do none.
        """
        self._identity = identity
        self._base_reserve_m = base_reserve_m
        self._path = OrderPath(
            deviation_m=deviation_m,
            deviation_rad=deviation_rad,
            height_m=height_m,
            width_m=width_m,
        )
        self._capabilities = Capabilities(maps, self._path, action_problem)
        self.preparation = Preparation(self._path, action_problem)
        self._received = 0
        self._record = OrderRecord()
        self._node_states: tuple[NodeState, ...] = ()
        self._edge_states: tuple[EdgeState, ...] = ()
        self._waypoints: tuple[Waypoint, ...] = ()
        self._map_ids: tuple[str, ...] = ()
        self._stretch: tuple[Waypoint, ...] = ()
        self._actions: tuple[tuple[Action, int], ...] = ()
        self._release = CorridorRelease()

    @property
    def order_id(self) -> str:
        """Order at hand, or the last one; empty before the first (section 6.10.6)."""
        return self._record.order_id

    @property
    def order_update_id(self) -> int:
        """Newest update of it that was accepted."""
        return self._record.order_update_id

    @property
    def received(self) -> int:
        """Order messages read so far, whatever became of them."""
        return self._received

    @property
    def last_node_id(self) -> str:
        """Node reached last, empty before the first."""
        return self._record.last_node[0]

    @property
    def last_node_sequence_id(self) -> int:
        """Sequence id of the node reached last, 0 before the first."""
        return self._record.last_node[1]

    @property
    def waypoints(self) -> tuple[Waypoint, ...]:
        """Released nodes still to be reached, next one first."""
        return self._waypoints

    @property
    def map_id(self) -> str | None:
        """Map of the next released node, None where none is left."""
        return self._map_ids[0] if self._map_ids else None

    @property
    def stretch(self) -> tuple[Waypoint, ...]:
        """The waypoints that can be driven on one map, up to where the order leaves it.

        There are none while the release of a corridor is lost that is to be waited for where the
        robot stands (3.0, section 6.6.10).
        """
        edges = self._record.edges
        return () if edges and self._release.must_stop(edges[0]) else self._stretch

    @property
    def edge_requests(self) -> tuple[EdgeRequest, ...]:
        """Corridors of the base that the robot asks to use (3.0, section 6.6.10)."""
        return self._release.requests

    @property
    def node_states(self) -> tuple[NodeState, ...]:
        """Nodes still to be reached, base and horizon (section 6.10.1)."""
        return self._node_states

    @property
    def edge_states(self) -> tuple[EdgeState, ...]:
        """Edges still to be driven, base and horizon (section 6.10.1)."""
        return self._edge_states

    @property
    def idle(self) -> bool:
        """Whether nothing is left to drive or to wait for (figure 8, question 3)."""
        return not self._node_states

    @property
    def record(self) -> OrderRecord:
        """All of this as one value, which changes whenever something of it does."""
        return self._record

    def actions(self) -> tuple[tuple[Action, int], ...]:
        """Return the actions still to come, and the sequence ids of their nodes and edges.

        They are those of base and horizon that were not passed yet, in the order's sequence; an
        edge is passed once its end node is reached (section 6.10.2).
        """
        return self._actions

    def arrivals(self) -> tuple[Node | Edge, ...]:
        """Return the nodes reached and the edges entered since the last call, in sequence.

        A released edge is entered as its start node is reached, or as it is released while the
        robot waits there (section 6.10.2). Each element comes once in its order's life; that of an
        update's first node, which is known already, not again (section 6.6.2).
        """
        arrivals = self._record.arrivals
        if arrivals:
            self._record = replace(self._record, arrivals=())
        return arrivals

    def distance_since_last_node_m(self, pose: Pose2, map_id: str) -> float | None:
        """Return the straight distance from the node reached last, None if it is not on the map."""
        position = self._record.last_position
        if position is None or position.map_id != map_id:
            return None
        return math.hypot(pose.x_m - position.x, pose.y_m - position.y)

    def new_base_request(self, pose: Pose2) -> bool:
        """Whether the base runs low while there is a horizon to release (section 6.10.3)."""
        nodes = self._record.nodes
        if not nodes or nodes[-1].released:
            return False
        way_m, x_m, y_m, map_id = 0.0, pose.x_m, pose.y_m, self.map_id
        for waypoint, on_map in zip(self._waypoints, self._map_ids, strict=True):
            if on_map == map_id:  # between two maps the robot is carried, or does not move at all
                way_m += math.hypot(waypoint.x_m - x_m, waypoint.y_m - y_m)
            if way_m >= self._base_reserve_m:
                return False
            x_m, y_m, map_id = waypoint.x_m, waypoint.y_m, on_map
        return True

    def receive(self, payload: bytes, situation: Situation, read: Prepared | None = None) -> None:
        """Take an order or an update of the one at hand; a repeated one changes nothing.

        Args:
            payload: The message.
            situation: What the robot is about.
            read: The same, where another thread has understood it already, by ``preparation``.

        Raises:
            OrderRejected: It cannot be accepted; what was at hand stays as it was.
        """
        self._received += 1
        prepared = read or self.preparation.prepare(read_order(payload))  # question 1
        order = prepared.order
        check_addressee(order, self._identity)
        if not prepared.is_sound:
            check_structure(order)
        if order.order_id != self.order_id:  # question 2
            self._receive_new(prepared, situation)
        else:
            self._receive_update(prepared, situation)

    def reach(self, sequence_id: int) -> None:
        """Count a waypoint, and all before it, as reached (section 6.10.2).

        Raises:
            ValueError: No released node still to be reached has this id.
        """
        if all(waypoint.sequence_id != sequence_id for waypoint in self._waypoints):
            raise ValueError(f"no waypoint {sequence_id} is left")
        self._pass(sequence_id)

    def stand_on(self, node_id: str) -> None:
        """Take it that the robot stands on a node, as the platform says (6.8.1, initPosition).

        An update of the order driven last has to begin there now (figure 8, question 10); one of an
        order under way begins where its base ends, as ever.
        """
        here = node_id, self.last_node_sequence_id
        base_end = here if self.idle else self._record.base_end
        self._record = replace(self._record, last_node=here, base_end=base_end, last_position=None)

    def cancel(self, *, acting: bool = False) -> bool:
        """Give up the order; its ids are kept (section 6.6.3; 3.0, section 6.6.7).

        What was still ahead is told to the platform until :meth:`clear` (figure 9); before that no
        order is taken.

        Args:
            acting: Whether an action of the order is not over yet.

        Returns:
            Whether there was anything to give up.
        """
        if not acting and (self.idle or self._record.cancelled):
            return False
        told = self._node_states, self._edge_states
        self._take(replace(self._record, cancelled=True, nodes=(), edges=(), arrivals=()))
        self._node_states, self._edge_states = told
        return True

    def clear(self) -> None:
        """Be done with an order that was given up: the robot stands, and its actions are over."""
        if self._record.cancelled:
            self._node_states, self._edge_states = (), ()

    def answer(self, responses: Responses) -> None:
        """Take what the master says to the requests (3.0, section 6.9)."""
        if self._release.answer(responses.responses):
            self._reopen()

    def expire(self, utc_ns: int) -> None:
        """Let releases run out whose time is over (3.0, section 6.9)."""
        if self._release.expire(utc_ns):
            self._reopen()

    def restore(self, saved: object) -> None:
        """Take up an order, as after a power cut.

        Args:
            saved: A :attr:`record` as plain JSON values.

        Raises:
            RecordInvalid: It is none; what was at hand stays as it was.
        """
        self._take(OrderRecord.of_tree(saved))

    def _receive_new(self, prepared: Prepared, situation: Situation) -> None:
        order, first = prepared.order, prepared.order.nodes[0]
        if not self.idle or situation.acting:  # question 3; 3.0, section 6.1.4.6
            detail = f"order {self.order_id} is not finished"
            raise rejection(order, detail, ErrorType.OTHER_ORDER_ACTIVE)
        if _speaks_3(order) and order.order_update_id != 0:  # question 4, which is new in 3.0
            detail = f"an order unknown here begins with update {order.order_update_id}, not 0"
            raise rejection(order, detail, ErrorType.VALIDATION_FAILURE, field="orderUpdateId")
        if first.sequence_id != 0:  # section 6.6.2: it starts at 0 with each order
            detail = f"an order unknown here begins with sequence id {first.sequence_id}, not 0"
            references = {"nodeId": first.node_id}
            raise rejection(order, detail, ErrorType.VALIDATION_FAILURE, **references)
        _check_mode(order, situation)
        _check_size(order, len(order.nodes))
        self._capabilities.check(
            order, order.nodes, first.node_position, is_sound=prepared.is_sound
        )
        heading_met = self._check_start(order, situation)  # question 5
        last = self._record
        self._accept(
            OrderRecord(last_node=last.last_node, last_position=last.last_position),
            prepared,
            order.nodes,
        )
        if heading_met:
            self._pass(first.sequence_id)

    def _receive_update(self, prepared: Prepared, situation: Situation) -> None:
        """Stitch an update to the last released node (section 6.6.2)."""
        order, record = prepared.order, self._record
        first = order.nodes[0]
        if order.order_update_id < record.order_update_id:  # question 6; section 6.6.4.3
            detail = f"the update is older than number {record.order_update_id}, which is at hand"
            raise rejection(order, detail, ErrorType.OUTDATED_ORDER_UPDATE)
        if order.order_update_id == record.order_update_id:  # question 8; 3.0, section 6.1.4.5
            if _speaks_3(order) and prepared.content != record.content:
                detail = "the update is at hand with another content"
                raise rejection(order, detail, ErrorType.SAME_ORDER_UPDATE_ID)
            return
        if record.cancelled:  # question 7; 3.0, section 6.1.3.1
            detail = "the order was cancelled"
            raise rejection(order, detail, ErrorType.ORDER_UPDATE_FOLLOWING_CANCEL)
        if (first.node_id, first.sequence_id) != record.base_end:  # questions 9 and 10
            node_id, sequence_id = record.base_end
            detail = (
                f"the update begins at node {first.node_id} ({first.sequence_id}), but the base "
                f"ends at node {node_id} ({sequence_id})"
            )
            raise rejection(order, detail, ORDER_UPDATE_ERROR, nodeId=first.node_id)
        _check_mode(order, situation)
        base = [node for node in record.nodes if node.released]
        # The stitching node itself stays as it was first sent (2.1, section 6.6.2).
        new_nodes = order.nodes[1:]
        _check_size(order, len(base) + len(new_nodes))
        begin = self._base_end_position(base, first)
        self._capabilities.check(order, new_nodes, begin, is_sound=prepared.is_sound)
        self._accept(record, prepared, new_nodes)

    def _base_end_position(self, base: Sequence[Node], first: Node) -> NodePosition | None:
        """Return where the decision point is: as it was first sent, if it was."""
        known = base[-1].node_position if base else self._record.last_position
        return known or first.node_position

    def _accept(self, record: OrderRecord, prepared: Prepared, new_nodes: Sequence[Node]) -> None:
        """Drop the horizon and append what is new (question 11)."""
        order = prepared.order
        self._take(
            replace(
                record,
                order_id=order.order_id,
                order_update_id=order.order_update_id,
                content=prepared.content,
                base_end=next(
                    (n.node_id, n.sequence_id) for n in reversed(order.nodes) if n.released
                ),
                nodes=(*takewhile(lambda node: node.released, record.nodes), *new_nodes),
                edges=(*takewhile(lambda edge: edge.released, record.edges), *order.edges),
            ),
            prepared,
        )

    def _pass(self, sequence_id: int) -> None:
        """Leave a node and all before it behind."""
        record = self._record
        reached = [n for n in record.nodes if n.sequence_id <= sequence_id]
        left = [e for e in record.edges if e.sequence_id < sequence_id]
        passed: list[Node | Edge] = [*reached, *left]
        node = reached[-1]
        self._record = _entering(
            replace(
                record,
                last_node=(node.node_id, node.sequence_id),
                last_position=node.node_position,
                nodes=record.nodes[len(reached) :],
                edges=record.edges[len(left) :],
                entered=sequence_id,
                arrivals=(
                    *record.arrivals,
                    *sorted(
                        (p for p in passed if p.sequence_id > record.entered), key=_sequence_id
                    ),
                ),
            )
        )
        self._node_states = self._node_states[len(reached) :]
        self._edge_states = self._edge_states[len(left) :]
        self._waypoints = self._waypoints[len(reached) :]
        self._map_ids = self._map_ids[len(reached) :]
        self._actions = tuple(a for a in self._actions if a[1] > sequence_id)
        self._stretch = self._on_this_map()
        self._release.follow(self._record.edges)

    def _reopen(self) -> None:
        """Give the waypoints the corridors that may be used now."""
        ways = {edge.sequence_id + 1: edge for edge in self._record.edges}
        self._waypoints = tuple(
            self._path.with_corridor(w, ways.get(w.sequence_id), self._release)
            for w in self._waypoints
        )
        self._stretch = self._on_this_map()

    def _take(self, record: OrderRecord, prepared: Prepared | None = None) -> None:
        """Make a record the one at hand, with all that follows from it.

        Args:
            record: What is at hand from now on.
            prepared: What is known already of the elements that are new in it.
        """
        # The base of an order does not change, and neither do its states and its waypoints.
        is_same = record.order_id == self._record.order_id
        known = dict(prepared.waypoints) if prepared else {}
        nodes = dict(prepared.node_states) if prepared else {}
        edges = dict(prepared.edge_states) if prepared else {}
        if is_same:
            known |= {waypoint.sequence_id: waypoint for waypoint in self._waypoints}
            nodes |= {state.sequence_id: state for state in self._node_states if state.released}
            edges |= {state.sequence_id: state for state in self._edge_states if state.released}
        self._record = _entering(record)
        if not is_same:
            self._release.clear()
        self._release.follow(record.edges)
        self._node_states = tuple(
            nodes.get(n.sequence_id)
            or NodeState(node_id=n.node_id, sequence_id=n.sequence_id, released=n.released)
            for n in record.nodes
        )
        self._edge_states = tuple(
            edges.get(e.sequence_id)
            or EdgeState(edge_id=e.edge_id, sequence_id=e.sequence_id, released=e.released)
            for e in record.edges
        )
        ways = {edge.sequence_id + 1: edge for edge in record.edges}
        base = [
            (node, node.node_position)
            for node in record.nodes
            if node.released and node.node_position is not None
        ]
        self._waypoints = tuple(
            known.get(node.sequence_id)
            or self._path.waypoint(node, position, ways.get(node.sequence_id), self._release)
            for node, position in base
        )
        self._map_ids = tuple(position.map_id for _, position in base)
        self._stretch = self._on_this_map()
        elements: list[Node | Edge] = [*record.nodes, *record.edges]
        places = sorted(filter(_acts, elements), key=_sequence_id)
        self._actions = tuple(
            (action, place.sequence_id) for place in places for action in place.actions
        )

    def _on_this_map(self) -> tuple[Waypoint, ...]:
        same = sum(1 for _ in takewhile(lambda map_id: map_id == self.map_id, self._map_ids))
        return self._waypoints[:same]

    def _check_start(self, order: Order, situation: Situation) -> bool:
        """Check that the first node is trivially reachable (section 6.6.1; 3.0, 6.1.4.7).

        Returns:
            Whether the robot also stands there with the right heading; it can turn on the spot.
        """
        first, estimate = order.nodes[0], situation.estimate
        position, refused = first.node_position, ErrorType.START_NODE_OUT_OF_RANGE
        references = {"nodeId": first.node_id}
        if position is None or estimate is None or not estimate.localized:
            raise rejection(order, "the robot does not know where it is", refused, **references)
        if position.map_id != situation.map_id:
            detail = f"the first node is on map {position.map_id}, the robot on {situation.map_id}"
            raise rejection(order, detail, refused, **references, mapId=position.map_id)
        start, pose = self._path.waypoint(first, position, None), estimate.map_from_base
        if not start.is_near(pose.x_m, pose.y_m):
            distance_m = math.hypot(pose.x_m - start.x_m, pose.y_m - start.y_m)
            detail = (
                f"the robot is {distance_m:.2f} m from the first node, which allows "
                f"{start.tolerance_m:.2f} m"
            )
            raise rejection(order, detail, refused, **references)
        return (
            start.yaw_rad is None
            or abs(difference(start.yaw_rad, pose.yaw_rad)) <= start.tolerance_rad
        )


def _acts(element: Node | Edge) -> bool:
    return bool(element.actions)


def _sequence_id(element: Node | Edge) -> int:
    return element.sequence_id


def _entering(record: OrderRecord) -> OrderRecord:
    """Return a record with the next edge entered if it is released and its start node reached."""
    if not record.edges:
        return record
    edge, node = record.edges[0], record.nodes[0]
    if not edge.released or edge.sequence_id > node.sequence_id:
        return record
    if edge.sequence_id <= record.entered:
        return record
    return replace(record, entered=edge.sequence_id, arrivals=(*record.arrivals, edge))


def _check_mode(order: Order, situation: Situation) -> None:
    """Section 6.10.6, table 1; 3.0, section 6.1.4.9."""
    if situation.operating_mode not in TAKES_ORDERS:
        detail = f"no orders are taken in mode {situation.operating_mode}"
        raise rejection(order, detail, ErrorType.MOBILE_ROBOT_NOT_AVAILABLE)


def _check_size(order: Order, nodes: int) -> None:
    """3.0, section 6.6.5.4, table 9."""
    if nodes > MOST_NODES:
        detail = f"more than {MOST_NODES} nodes"
        raise rejection(order, detail, ErrorType.INSUFFICIENT_MEMORY, field="order.nodes")


def _speaks_3(order: Order) -> bool:
    return (numbers(order.version) or (0, 0))[0] >= 3
