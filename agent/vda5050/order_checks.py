"""Whether an order makes sense, and whether this robot can do it (figure 8, question 1).

Sections without a version are those of VDA 5050 2.1.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pydantic_core import from_json

from agent.errors import MessageInvalid, OrderRejected
from agent.mapping.occupancy_grid import OccupancyGrid
from agent.vda5050.error_types import ErrorType
from agent.vda5050.identity import Identity
from agent.vda5050.messages import Action, Edge, Node, NodePosition, Order, decode
from agent.vda5050.order_path import OrderPath

MOST_NODES = 1000  # at a time; told to the platform in the factsheet

# Why the robot cannot perform an action of a node or an edge, None where it can.
ActionCheck: TypeAlias = Callable[[Action, Node | Edge], str | None]


def no_actions(action: Action, place: Node | Edge) -> str | None:
    """Return that an action is not supported, as for a robot that has none."""
    del place
    return f"action {action.action_type} is not supported"


def read_order(payload: bytes) -> Order:
    """Decode an order (section 6.6.4.1; 3.0, section 6.1.4.1).

    Raises:
        OrderRejected: It is malformed.
    """
    try:
        return decode(Order, payload)
    except MessageInvalid as error:
        raise OrderRejected(
            error.detail,
            vda_type=ErrorType.VALIDATION_FAILURE,
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


def check_addressee(order: Order, identity: Identity) -> None:
    """Reject what is meant for another robot or speaks another major version (section 6.4)."""
    checks = (
        ("manufacturer", order.manufacturer, identity.manufacturer),
        ("serialNumber", order.serial_number, identity.serial_number),
        ("version", order.version.split(".")[0], identity.version.split(".")[0]),
    )
    for field, got, own in checks:
        if got != own:
            detail = f"{field} is {got!r}, not {own!r}"
            raise rejection(order, detail, ErrorType.VALIDATION_FAILURE, field=field)


def check_structure(order: Order) -> None:
    """Check the graph (sections 6.6.1 and 6.6.2; 3.0, sections 6.1.1 and 6.1.2)."""
    nodes, edges = order.nodes, order.edges

    def malformed(detail: str, **references: str) -> OrderRejected:
        return rejection(order, detail, ErrorType.VALIDATION_FAILURE, **references)

    if not order.order_id:
        raise malformed("orderId is empty", field="orderId")
    if len(edges) != len(nodes) - 1:
        raise malformed(f"{len(nodes)} nodes do not go with {len(edges)} edges", field="edges")
    first = nodes[0]
    if first.sequence_id % 2:
        raise malformed("the first node's sequence id is odd", nodeId=first.node_id)
    if not first.released:
        raise malformed("the first node is not released", nodeId=first.node_id)
    for sequence_id, node in enumerate(nodes, first.sequence_id // 2):
        if node.sequence_id != 2 * sequence_id:
            raise malformed("the sequence ids have a gap", nodeId=node.node_id)
    for edge, start, end in zip(edges, nodes[:-1], nodes[1:], strict=True):
        if problem := _edge_problem(edge, start, end):
            raise malformed(problem, edgeId=edge.edge_id)
    if repeated := _repeated_action(order):
        raise malformed(f"the action id {repeated} is used twice", actionId=repeated)


def _edge_problem(edge: Edge, start: Node, end: Node) -> str | None:
    if edge.sequence_id != start.sequence_id + 1:
        return "the sequence ids have a gap"
    if (edge.start_node_id, edge.end_node_id) != (start.node_id, end.node_id):
        return f"the edge does not join node {start.node_id} to node {end.node_id}"
    if edge.released != end.released or (edge.released and not start.released):
        return "the released part is not one piece from the first node"
    return None


def _repeated_action(order: Order) -> str | None:
    """Return an action id that is not unique (section 6.6.6, action)."""
    seen: set[str] = set()
    places: list[Node | Edge] = [*order.nodes, *order.edges]
    for place in places:
        for action in place.actions:
            if action.action_id in seen:
                return action.action_id
            seen.add(action.action_id)
    return None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an order may ask of this robot (section 6.6.4.2; 3.0, sections 6.1.4.2 to 6.1.4.10).

    Attributes:
        maps: All that the robot has, by their id.
        path: Knows which fields of an edge the robot can obey.
        action_problem: Says which actions it can perform.
    """

    maps: Mapping[str, OccupancyGrid]
    path: OrderPath
    action_problem: ActionCheck

    def check(
        self,
        order: Order,
        new_nodes: Sequence[Node],
        start: NodePosition | None,
        *,
        is_sound: bool = False,
    ) -> None:
        """Reject what this robot cannot do or use.

        Args:
            order: The message.
            new_nodes: Its nodes without the one that is known already.
            start: Where the node is from which the first edge leads, None where nobody said.
            is_sound: Actions, and edges but for the first, are known to be what it can do.
        """
        if order.zone_set_id:
            detail = "zones are not supported"
            raise rejection(order, detail, ErrorType.UNSUPPORTED_PARAMETER, field="zoneSetId")
        for node in new_nodes:
            if not is_sound:
                self._check_actions(order, node, nodeId=node.node_id)
            self._check_map(order, node)
        self._check_extent(order, new_nodes)
        count = 1 if is_sound else len(order.edges)
        for edge, end in zip(order.edges[:count], order.nodes[1:], strict=False):
            if not is_sound:
                self._check_actions(order, edge, edgeId=edge.edge_id)
            self._check_edge(order, edge, start, end.node_position)
            start = end.node_position

    def _check_actions(self, order: Order, place: Node | Edge, **reference: str) -> None:
        """3.0, section 6.1.4.3."""
        for action in place.actions:
            if problem := self.action_problem(action, place):
                raise rejection(
                    order,
                    problem,
                    ErrorType.INVALID_ORDER_ACTION,
                    actionId=action.action_id,
                    actionType=action.action_type,
                    **reference,
                )

    def _check_map(self, order: Order, node: Node) -> None:
        """3.0, sections 6.1.4.2 and 6.1.4.10."""
        position, reference = node.node_position, {"nodeId": node.node_id}
        if position is None:
            detail = f"node {node.node_id} has no position"
            field = "node.nodePosition"
            raise rejection(
                order, detail, ErrorType.UNSUPPORTED_PARAMETER, field=field, **reference
            )
        reference["mapId"] = position.map_id
        if position.map_id not in self.maps:
            detail = (
                f"node {node.node_id} is on map {position.map_id}, the robot has "
                f"{', '.join(self.maps)}"
            )
            raise rejection(order, detail, ErrorType.UNKNOWN_MAP_ID, **reference)

    def _check_extent(self, order: Order, new_nodes: Sequence[Node]) -> None:
        """3.0, section 6.1.4.8."""
        inverses = {name: grid.map_from_grid.inverse() for name, grid in self.maps.items()}
        sizes_m = {
            name: (grid.columns * grid.resolution_m, grid.rows * grid.resolution_m)
            for name, grid in self.maps.items()
        }
        frames = {
            name: (math.cos(pose.yaw_rad), math.sin(pose.yaw_rad), pose.x_m, pose.y_m)
            for name, pose in inverses.items()
        }
        for node in new_nodes:
            if (place := node.node_position) is None:
                continue
            cos, sin, origin_x_m, origin_y_m = frames[place.map_id]
            x_m = origin_x_m + cos * place.x - sin * place.y
            y_m = origin_y_m + sin * place.x + cos * place.y
            width_m, height_m = sizes_m[place.map_id]
            if not (0.0 <= x_m < width_m and 0.0 <= y_m < height_m):
                detail = f"node {node.node_id} lies outside map {place.map_id}"
                references = {"nodeId": node.node_id, "mapId": place.map_id}
                raise rejection(order, detail, ErrorType.NO_ROUTE_TO_TARGET, **references)

    def _check_edge(
        self, order: Order, edge: Edge, start: NodePosition | None, end: NodePosition | None
    ) -> None:
        """3.0, section 6.1.4.2."""
        for unusable in self.path.unusable_fields(edge, start, end):
            raise rejection(
                order,
                f"edge {edge.edge_id}: {unusable.field} cannot be met: {unusable.reason}",
                ErrorType.UNSUPPORTED_PARAMETER,
                edgeId=edge.edge_id,
                field=f"edge.{unusable.field}",
            )


def rejection(order: Order, detail: str, vda_type: str, **references: str) -> OrderRejected:
    """Return a rejection with the references of section 7.1 (3.0, section 6.6.5.2)."""
    return OrderRejected(
        f"order {order.order_id} ({order.order_update_id}): {detail}",
        vda_type=vda_type,
        topic="order",
        headerId=str(order.header_id),
        orderId=order.order_id,
        orderUpdateId=str(order.order_update_id),
        **references,
    )
