"""Orders as a master makes them: from a list of places to nodes and edges (2.1, section 6.6.1)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agent.vda5050.messages import Edge, Node, NodePosition


@dataclass(frozen=True, slots=True)
class Station:
    """A node of an order, in the map frame.

    Attributes:
        x_m: Position.
        y_m: Position.
        yaw_rad: Heading to arrive with, None where any will do.
        node_id: Its name; made from its place in the order where empty.
        deviation_m: ``allowedDeviationXY``, None to leave it to the robot.
        max_speed_mps: Limit on the way to it, None for the robot's own.
    """

    x_m: float
    y_m: float
    yaw_rad: float | None = None
    node_id: str = ""
    deviation_m: float | None = None
    max_speed_mps: float | None = None


def graph(stations: Sequence[Station], map_id: str) -> tuple[list[Node], list[Edge]]:
    """Return the nodes of a new order and the edges between them, none of them released."""
    nodes = [_node(station, index, map_id) for index, station in enumerate(stations)]
    edges = [
        _edge(start, end, station.max_speed_mps)
        for start, end, station in zip(nodes[:-1], nodes[1:], stations[1:], strict=True)
    ]
    return nodes, edges


def _node(station: Station, index: int, map_id: str) -> Node:
    return Node(
        node_id=station.node_id or f"n{index}",
        sequence_id=2 * index,
        released=False,
        actions=[],
        node_position=NodePosition(
            x=station.x_m,
            y=station.y_m,
            theta=None if station.yaw_rad is None else math.remainder(station.yaw_rad, math.tau),
            allowed_deviation_xy=station.deviation_m,
            map_id=map_id,
        ),
    )


def _edge(start: Node, end: Node, max_speed_mps: float | None) -> Edge:
    return Edge(
        edge_id=f"{start.node_id}->{end.node_id}",
        sequence_id=end.sequence_id - 1,
        released=False,
        start_node_id=start.node_id,
        end_node_id=end.node_id,
        actions=[],
        max_speed=max_speed_mps,
    )
