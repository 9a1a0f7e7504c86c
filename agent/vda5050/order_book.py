"""The order at hand: what was accepted, how far it was driven, what may be driven next.

VDA 5050 2.1, sections 6.6.1 to 6.6.4 and figure 8. The base (released) is driven, the horizon is
only reported; an update replaces the horizon and extends the base at its last node.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

from pydantic_core import from_json

from agent.errors import MessageInvalid, OrderRejected
from agent.geometry.angle import difference
from agent.geometry.pose import Pose2
from agent.mapping.occupancy_grid import OccupancyGrid
from agent.route.path import Corridor, Waypoint
from agent.vda5050.identity import Identity
from agent.vda5050.messages import (
    CorridorRefPoint,
    Edge,
    EdgeState,
    Node,
    NodePosition,
    NodeState,
    Order,
    OrientationType,
    decode,
)
from agent.vda5050.situation import Situation

MOST_NODES = 1000  # per order; told to the platform in the factsheet

# Section 6.6.4.2 names the first; 2.1 has no name of its own for a start that is out of reach, and
# "noRouteError" is what masters know it by.
ORDER_ERROR = "orderError"
VALIDATION_ERROR = "validationError"
ORDER_UPDATE_ERROR = "orderUpdateError"
NO_ROUTE_ERROR = "noRouteError"


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
        """
        self._identity = identity
        self._maps = maps
        self._deviation_m = deviation_m
        self._deviation_rad = deviation_rad
        self._base_reserve_m = base_reserve_m
        self._height_m = height_m
        self._width_m = width_m
        self._order_id = ""
        self._order_update_id = 0
        self._cancelled = False
        self._received = 0
        self._last_node: tuple[str, int] = ("", 0)
        self._last_position: NodePosition | None = None
        self._base_end: tuple[str, int] = ("", 0)
        self._keep((), ())

    @property
    def order_id(self) -> str:
        """Order at hand, or the last one; empty before the first (section 6.10.6)."""
        return self._order_id

    @property
    def order_update_id(self) -> int:
        """Newest update of it that was accepted."""
        return self._order_update_id

    @property
    def received(self) -> int:
        """Order messages read so far, whatever became of them."""
        return self._received

    @property
    def last_node_id(self) -> str:
        """Node reached last, empty before the first."""
        return self._last_node[0]

    @property
    def last_node_sequence_id(self) -> int:
        """Sequence id of the node reached last, 0 before the first."""
        return self._last_node[1]

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
        """The waypoints that can be driven on one map, up to where the order leaves it."""
        return self._stretch

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
        return not self._nodes

    def distance_since_last_node_m(self, pose: Pose2, map_id: str) -> float | None:
        """Return the straight distance from the node reached last, None if it is not on the map."""
        position = self._last_position
        if position is None or position.map_id != map_id:
            return None
        return math.hypot(pose.x_m - position.x, pose.y_m - position.y)

    def new_base_request(self, pose: Pose2) -> bool:
        """Whether the base runs low while there is a horizon to release (section 6.10.3)."""
        if all(node.released for node in self._nodes):
            return False
        way_m, x_m, y_m, map_id = 0.0, pose.x_m, pose.y_m, self.map_id
        for waypoint, on_map in zip(self._waypoints, self._map_ids, strict=True):
            if on_map == map_id:  # between two maps the robot is carried, or does not move at all
                way_m += math.hypot(waypoint.x_m - x_m, waypoint.y_m - y_m)
            x_m, y_m, map_id = waypoint.x_m, waypoint.y_m, on_map
        return way_m < self._base_reserve_m

    def receive(self, payload: bytes, situation: Situation) -> None:
        """Take an order or an update of the one at hand; a repeated one changes nothing.

        The questions are those of figure 8, in its order.

        Raises:
            OrderRejected: It cannot be accepted; what was at hand stays as it was.
        """
        self._received += 1
        order = _read(payload)
        _check_addressee(order, self._identity)
        _check_structure(order)
        if order.order_id != self._order_id:
            self._accept_new(order, situation)
        elif order.order_update_id < self._order_update_id:
            # Question 5, section 6.6.4.3.
            raise _rejection(
                order,
                f"the update is older than number {self._order_update_id}, which is at hand",
                ORDER_UPDATE_ERROR,
            )
        elif order.order_update_id > self._order_update_id:
            self._accept_update(order)
        # Question 6: the same order and update again is ignored.

    def reach(self, sequence_id: int) -> None:
        """Count a waypoint, and all before it, as reached (section 6.10.2).

        Raises:
            ValueError: No released node still to be reached has this id.
        """
        if all(waypoint.sequence_id != sequence_id for waypoint in self._waypoints):
            raise ValueError(f"no waypoint {sequence_id} is left")
        node = next(n for n in self._nodes if n.sequence_id == sequence_id)
        self._last_node = (node.node_id, node.sequence_id)
        self._last_position = node.node_position
        self._keep(
            [n for n in self._nodes if n.sequence_id > sequence_id],
            [e for e in self._edges if e.sequence_id > sequence_id],
        )

    def stand_on(self, node_id: str) -> None:
        """Take it that the robot stands on a node, as the platform says (6.8.1, initPosition).

        An update of the order driven last has to begin there now (figure 8, question 8).
        """
        self._last_node = self._base_end = (node_id, 0)
        self._last_position = None

    def cancel(self) -> bool:
        """Give up the order; its ids are kept (section 6.6.3).

        Returns:
            Whether there was anything to give up.
        """
        if self.idle:
            return False
        self._cancelled = True
        self._keep((), ())
        return True

    def _accept_new(self, order: Order, situation: Situation) -> None:
        first = order.nodes[0]
        if not self.idle:  # question 3
            raise _rejection(order, f"order {self._order_id} is not finished", ORDER_ERROR)
        if first.sequence_id != 0:  # section 6.6.2: it starts at 0 with each order
            raise _rejection(
                order,
                f"an order unknown here begins with sequence id {first.sequence_id}, not 0",
                ORDER_ERROR,
                nodeId=first.node_id,
            )
        self._check_capabilities(order, order.nodes)
        heading_met = self._check_start(order, situation)  # question 4
        self._order_id = order.order_id
        self._cancelled = False
        self._take(order, order.nodes)
        if heading_met:
            self.reach(first.sequence_id)

    def _accept_update(self, order: Order) -> None:
        """Stitch an update to the last released node (questions 7 and 8, section 6.6.2)."""
        first = order.nodes[0]
        if self._cancelled:
            raise _rejection(order, "the order was cancelled", ORDER_UPDATE_ERROR)
        if (first.node_id, first.sequence_id) != self._base_end:
            node_id, sequence_id = self._base_end
            raise _rejection(
                order,
                f"the update begins at node {first.node_id} ({first.sequence_id}), but the base "
                f"ends at node {node_id} ({sequence_id})",
                ORDER_UPDATE_ERROR,
                nodeId=first.node_id,
            )
        # The stitching node itself stays as it was first sent.
        self._check_capabilities(order, order.nodes[1:])
        self._take(order, order.nodes[1:])

    def _take(self, order: Order, new_nodes: Sequence[Node]) -> None:
        """Drop the horizon and append what is new."""
        self._order_update_id = order.order_update_id
        self._base_end = next(
            (n.node_id, n.sequence_id) for n in reversed(order.nodes) if n.released
        )
        self._keep(
            [*(n for n in self._nodes if n.released), *new_nodes],
            [*(e for e in self._edges if e.released), *order.edges],
        )

    def _keep(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        self._nodes, self._edges = tuple(nodes), tuple(edges)
        self._node_states = tuple(
            NodeState(node_id=n.node_id, sequence_id=n.sequence_id, released=n.released)
            for n in nodes
        )
        self._edge_states = tuple(
            EdgeState(edge_id=e.edge_id, sequence_id=e.sequence_id, released=e.released)
            for e in edges
        )
        ways = {edge.sequence_id + 1: edge for edge in edges}
        base = [
            (node, node.node_position)
            for node in nodes
            if node.released and node.node_position is not None
        ]
        self._waypoints = tuple(
            self._waypoint(node, position, ways.get(node.sequence_id)) for node, position in base
        )
        self._map_ids = tuple(position.map_id for _, position in base)
        same = sum(1 for _ in takewhile(lambda map_id: map_id == self.map_id, self._map_ids))
        self._stretch = self._waypoints[:same]

    def _waypoint(self, node: Node, position: NodePosition, way: Edge | None) -> Waypoint:
        """A deviation of 0 means the maker's normal tolerance (section 6.6.6)."""
        return Waypoint(
            sequence_id=node.sequence_id,
            x_m=position.x,
            y_m=position.y,
            yaw_rad=position.theta,
            tolerance_m=position.allowed_deviation_xy or self._deviation_m,
            tolerance_rad=position.allowed_deviation_theta or self._deviation_rad,
            max_speed_mps=way.max_speed if way else None,
            corridor=_corridor(way, self._width_m) if way else None,
        )

    def _check_start(self, order: Order, situation: Situation) -> bool:
        """Check that the first node is trivially reachable (section 6.6.1).

        Returns:
            Whether the robot also stands there with the right heading; it can turn on the spot.
        """
        first, estimate = order.nodes[0], situation.estimate
        position = first.node_position
        if position is None or estimate is None or not estimate.localized:
            raise _rejection(
                order, "the robot does not know where it is", NO_ROUTE_ERROR, nodeId=first.node_id
            )
        if position.map_id != situation.map_id:
            raise _rejection(
                order,
                f"the first node is on map {position.map_id}, the robot on {situation.map_id}",
                NO_ROUTE_ERROR,
                nodeId=first.node_id,
                mapId=position.map_id,
            )
        start, pose = self._waypoint(first, position, None), estimate.map_from_base
        distance_m = math.hypot(pose.x_m - start.x_m, pose.y_m - start.y_m)
        if distance_m > start.tolerance_m:
            raise _rejection(
                order,
                f"the robot is {distance_m:.2f} m from the first node, which allows "
                f"{start.tolerance_m:.2f} m",
                NO_ROUTE_ERROR,
                nodeId=first.node_id,
            )
        return (
            start.yaw_rad is None
            or abs(difference(start.yaw_rad, pose.yaw_rad)) <= start.tolerance_rad
        )

    def _check_capabilities(self, order: Order, new_nodes: Sequence[Node]) -> None:
        """Reject what this robot cannot do or use (sections 6.1.1, 6.6.4.2 and 6.7.1)."""
        if len(order.nodes) > MOST_NODES:
            raise _rejection(
                order, f"more than {MOST_NODES} nodes", ORDER_ERROR, field="order.nodes"
            )
        if order.zone_set_id:
            raise _rejection(order, "zones are not supported", ORDER_ERROR, field="zoneSetId")
        for node in new_nodes:
            _check_actions(order, node, nodeId=node.node_id)
            if node.node_position is None:
                raise _rejection(
                    order,
                    f"node {node.node_id} has no position",
                    ORDER_ERROR,
                    nodeId=node.node_id,
                    field="node.nodePosition",
                )
            if problem := self._place_problem(node.node_position):
                raise _rejection(
                    order,
                    f"node {node.node_id} {problem}",
                    ORDER_ERROR,
                    nodeId=node.node_id,
                    mapId=node.node_position.map_id,
                )
        for edge in order.edges:
            _check_actions(order, edge, edgeId=edge.edge_id)
            for field in _unusable_fields(edge, self._height_m, self._width_m):
                raise _rejection(
                    order,
                    f"edge {edge.edge_id}: {field} cannot be met",
                    ORDER_ERROR,
                    edgeId=edge.edge_id,
                    field=f"edge.{field}",
                )

    def _place_problem(self, position: NodePosition) -> str | None:
        grid = self._maps.get(position.map_id)
        if grid is None:
            return f"is on map {position.map_id}, the robot has {', '.join(self._maps)}"
        if not grid.contains(position.x, position.y):
            return f"lies outside map {position.map_id}"
        return None


def _read(payload: bytes) -> Order:
    """Decode an order (figure 8, question 1; section 6.6.4.1)."""
    try:
        return decode(Order, payload)
    except MessageInvalid as error:
        raise OrderRejected(
            error.detail,
            vda_type=VALIDATION_ERROR,
            topic="order",
            **_salvage(payload),
            **error.context,
        ) from error


def _salvage(payload: bytes) -> dict[str, str]:
    """Return what a broken order still says about itself."""
    try:
        tree = from_json(payload)
    except ValueError:
        return {}
    if not isinstance(tree, dict):
        return {}
    return {
        key: str(tree[key])
        for key in ("headerId", "orderId", "orderUpdateId")
        if isinstance(tree.get(key), int | str)
    }


def _check_addressee(order: Order, identity: Identity) -> None:
    """Reject what is meant for another robot or speaks another major version (section 6.4)."""
    checks = (
        ("manufacturer", order.manufacturer, identity.manufacturer),
        ("serialNumber", order.serial_number, identity.serial_number),
        ("version", order.version.split(".")[0], identity.version.split(".")[0]),
    )
    for field, got, own in checks:
        if got != own:
            raise _rejection(
                order, f"{field} is {got!r}, not {own!r}", VALIDATION_ERROR, field=field
            )


def _check_structure(order: Order) -> None:
    """Check the graph (sections 6.6.1 and 6.6.2)."""
    nodes, edges = order.nodes, order.edges
    if not order.order_id:
        raise _rejection(order, "orderId is empty", VALIDATION_ERROR, field="orderId")
    if len(edges) != len(nodes) - 1:
        raise _rejection(
            order,
            f"{len(nodes)} nodes do not go with {len(edges)} edges",
            VALIDATION_ERROR,
            field="edges",
        )
    start = nodes[0].sequence_id
    if start % 2:
        raise _rejection(
            order, "the first node's sequence id is odd", VALIDATION_ERROR, nodeId=nodes[0].node_id
        )
    if not nodes[0].released:
        raise _rejection(
            order, "the first node is not released", VALIDATION_ERROR, nodeId=nodes[0].node_id
        )
    for index, node in enumerate(nodes):
        if node.sequence_id != start + 2 * index:
            raise _rejection(
                order, "the sequence ids have a gap", VALIDATION_ERROR, nodeId=node.node_id
            )
    for index, edge in enumerate(edges):
        if problem := _edge_problem(edge, start + 2 * index + 1, nodes[index], nodes[index + 1]):
            raise _rejection(order, problem, VALIDATION_ERROR, edgeId=edge.edge_id)


def _edge_problem(edge: Edge, sequence_id: int, start: Node, end: Node) -> str | None:
    if edge.sequence_id != sequence_id:
        return "the sequence ids have a gap"
    if (edge.start_node_id, edge.end_node_id) != (start.node_id, end.node_id):
        return f"the edge does not join node {start.node_id} to node {end.node_id}"
    if edge.released != end.released or (edge.released and not start.released):
        return "the released part is not one piece from the first node"
    return None


def _check_actions(order: Order, place: Node | Edge, **reference: str) -> None:
    for action in place.actions:
        raise _rejection(
            order,
            f"action {action.action_type} is not supported",
            ORDER_ERROR,
            actionId=action.action_id,
            actionType=action.action_type,
            **reference,
        )


def _corridor(edge: Edge, width_m: float) -> Corridor | None:
    """Return where the robot's origin may go, by what must stay inside (section 6.6.5)."""
    asked = edge.corridor
    if asked is None:
        return None
    inset_m = width_m / 2 if asked.corridor_ref_point is CorridorRefPoint.CONTOUR else 0.0
    return Corridor(max(0.0, asked.left_width - inset_m), max(0.0, asked.right_width - inset_m))


def _unusable_fields(edge: Edge, height_m: float, width_m: float) -> Iterator[str]:
    """Yield the fields of an edge that this robot cannot obey.

    It drives straight and forwards, turns where the path bends, and has no load handling device.
    """
    turned = edge.orientation is not None and (
        edge.orientation != 0.0 or edge.orientation_type is OrientationType.GLOBAL
    )
    checks = (
        ("trajectory", edge.trajectory is not None),
        ("corridor", _is_too_narrow(edge, width_m)),
        ("direction", edge.direction is not None),
        ("orientation", turned),
        ("maxRotationSpeed", edge.max_rotation_speed is not None),
        ("maxSpeed", edge.max_speed is not None and edge.max_speed <= 0.0),
        ("maxHeight", edge.max_height is not None and edge.max_height < height_m),
        ("minHeight", edge.min_height is not None and edge.min_height > 0.0),
    )
    yield from (field for field, unusable in checks if unusable)


def _is_too_narrow(edge: Edge, width_m: float) -> bool:
    """Whether the robot's contour does not fit into the corridor even on the line itself."""
    asked = edge.corridor
    if asked is None or asked.corridor_ref_point is not CorridorRefPoint.CONTOUR:
        return False
    return min(asked.left_width, asked.right_width) < width_m / 2


def _rejection(order: Order, detail: str, vda_type: str, **references: str) -> OrderRejected:
    """Return a rejection with the references of section 7.1."""
    return OrderRejected(
        f"order {order.order_id} ({order.order_update_id}): {detail}",
        vda_type=vda_type,
        topic="order",
        headerId=str(order.header_id),
        orderId=order.order_id,
        orderUpdateId=str(order.order_update_id),
        **references,
    )
