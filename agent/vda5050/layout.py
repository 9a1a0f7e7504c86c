"""Layouts of a plant in the Layout Interchange Format (LIF 1.0.0): named nodes, and ways between.

A plant's planner exports them for fleet controls; here they give names to places in orders that a
technician sends.
"""

import heapq
import math
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from agent.errors import MapError
from agent.vda5050.itinerary import Station


class _Object(BaseModel):
    """A JSON object of LIF; what is not needed here is not read."""

    model_config = ConfigDict(
        alias_generator=to_camel, strict=True, frozen=True, allow_inf_nan=False
    )


class LayoutPosition(_Object):
    """Where a node is, in m."""

    x: float
    y: float


class NodeOfVehicle(_Object):
    """What a node asks of one type of vehicle."""

    theta: float | None = None


class LayoutNode(_Object):
    """A place that has a name."""

    node_id: str
    node_position: LayoutPosition
    map_id: str | None = None
    vehicle_type_node_properties: list[NodeOfVehicle] = []


class EdgeOfVehicle(_Object):
    """What an edge asks of one type of vehicle."""

    max_speed: float | None = None


class LayoutEdge(_Object):
    """A way from one node to another, and not back."""

    edge_id: str
    start_node_id: str
    end_node_id: str
    vehicle_type_edge_properties: list[EdgeOfVehicle] = []


class _Level(_Object):
    nodes: list[LayoutNode]
    edges: list[LayoutEdge]


class _File(_Object):
    layouts: list[_Level] = Field(min_length=1)


class Layout:
    """The nodes of all levels of a plant and the ways between them."""

    def __init__(self, nodes: Sequence[LayoutNode], edges: Sequence[LayoutEdge]) -> None:
        self._nodes = {node.node_id: node for node in nodes}
        self._ways: dict[str, list[LayoutEdge]] = {}
        for edge in edges:
            if edge.start_node_id in self._nodes and edge.end_node_id in self._nodes:
                self._ways.setdefault(edge.start_node_id, []).append(edge)

    def nearest(self, x_m: float, y_m: float, map_id: str) -> str:
        """Return the node of a map that is nearest to a position.

        Raises:
            MapError: The layout has no node on that map.
        """
        near = [node for node in self._nodes.values() if node.map_id in (None, map_id)]
        if not near:
            raise MapError(f"the layout has no node on map {map_id}")
        return min(
            near, key=lambda n: math.hypot(n.node_position.x - x_m, n.node_position.y - y_m)
        ).node_id

    def way(self, start: str, goals: Sequence[str]) -> list[Station]:
        """Return the shortest way from a node past others to the last of them.

        Args:
            start: Where it begins.
            goals: Nodes to pass, in this order. At the last one the layout's heading is taken.

        Raises:
            MapError: There is no such node, no way to it, or it is on another map.
        """
        edges: list[LayoutEdge] = []
        for here, goal in zip([start, *goals[:-1]], goals, strict=True):
            edges += self._shortest(here, goal)
        stations = [self._station(start, None, is_last=not edges)]
        for index, edge in enumerate(edges):
            stations.append(self._station(edge.end_node_id, edge, is_last=index == len(edges) - 1))
        return stations

    def _shortest(self, start: str, goal: str) -> list[LayoutEdge]:
        """Return the edges from one node to another (Dijkstra 1959), by their straight lengths."""
        for name in (start, goal):
            if name not in self._nodes:
                raise MapError(f"the layout has no node {name}")
        if self._nodes[start].map_id != self._nodes[goal].map_id:
            raise MapError(f"node {goal} is on map {self._nodes[goal].map_id}")
        reached: dict[str, LayoutEdge | None] = {}
        entered: list[LayoutEdge | None] = [None]
        ahead = [(0.0, start, 0)]  # length so far in m, node, and by which of the edges entered
        while ahead and goal not in reached:
            length_m, name, number = heapq.heappop(ahead)
            if name in reached:
                continue
            reached[name] = entered[number]
            for edge in self._ways.get(name, ()):
                heapq.heappush(
                    ahead, (length_m + self._length_m(edge), edge.end_node_id, len(entered))
                )
                entered.append(edge)
        if goal not in reached:
            raise MapError(f"the layout has no way from node {start} to node {goal}")
        edges: list[LayoutEdge] = []
        while (last := reached[goal]) is not None:
            edges.append(last)
            goal = last.start_node_id
        return edges[::-1]

    def _length_m(self, edge: LayoutEdge) -> float:
        start = self._nodes[edge.start_node_id].node_position
        end = self._nodes[edge.end_node_id].node_position
        return math.hypot(end.x - start.x, end.y - start.y)

    def _station(self, name: str, edge: LayoutEdge | None, *, is_last: bool) -> Station:
        node = self._nodes[name]
        headings = [p.theta for p in node.vehicle_type_node_properties if p.theta is not None]
        speeds = [] if edge is None else [p.max_speed for p in edge.vehicle_type_edge_properties]
        return Station(
            node.node_position.x,
            node.node_position.y,
            headings[0] if is_last and headings else None,
            name,
            max_speed_mps=next((speed for speed in speeds if speed is not None), None),
        )


def load_layout(path: Path) -> Layout:
    """Read a LIF file.

    Raises:
        MapError: It cannot be read, or is none.
    """
    try:
        file = _File.model_validate_json(path.read_bytes())
    except OSError as error:
        raise MapError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise MapError(f"{path}: not a LIF layout: {where}: {problem['msg']}") from error
    return Layout(
        [node for level in file.layouts for node in level.nodes],
        [edge for level in file.layouts for edge in level.edges],
    )
