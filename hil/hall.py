"""The bench's factory hall: dock, racks, machine islands, assembly lines, and the lanes between.

The plan is fixed, what fills it is drawn from a seed: sizes and places of machines, pallets in
the racks, goods on the floor. Everything that is drawn stays inside its bay, so that the lanes
keep their width with every seed, and no two places in the hall look the same.
"""

import heapq
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.geometry.pose import Pose2
from agent.mapping.map_file import write_map
from agent.mapping.occupancy_grid import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from hil.errors import BenchError

LENGTH_M: Final = 64.0
WIDTH_M: Final = 44.0
RESOLUTION_M: Final = 0.05
LANE_CLEARANCE_M: Final = 1.15
"""From the middle of every lane: 0.6 m beside a robot of 0.9 x 0.6 m, whichever way it turns."""

_MARGIN_M: Final = 1.0
_WALL_M: Final = 0.3
_QUARTER: Final = math.pi / 2


class _Area(NamedTuple):
    """A rectangle of the floor plan."""

    left_m: float
    bottom_m: float
    right_m: float
    top_m: float


# Rack rows run along x; the aisles between them are lanes.
_RACK_ROWS: Final = (
    _Area(5.2, 4.9, 28.4, 6.1),
    _Area(5.2, 9.5, 27.1, 11.9),
    _Area(5.2, 15.3, 28.9, 17.7),
    _Area(5.2, 21.1, 25.8, 23.4),
)
_MACHINE_BAYS: Final = (
    _Area(33.4, 4.2, 42.6, 8.6),
    _Area(33.4, 11.6, 42.6, 16.4),
    _Area(33.4, 19.4, 42.6, 23.8),
    _Area(46.0, 11.6, 51.9, 16.4),
    _Area(54.9, 13.4, 60.2, 16.4),
    _Area(46.0, 19.4, 52.1, 23.8),
    _Area(55.6, 19.4, 60.2, 23.8),
)
_ASSEMBLY_LINES: Final = (
    _Area(4.6, 30.2, 24.2, 33.2),
    _Area(27.4, 30.2, 41.0, 33.2),
    _Area(44.2, 30.2, 58.8, 33.2),
    _Area(6.8, 36.4, 27.6, 39.6),
    _Area(30.8, 36.4, 59.4, 39.6),
)
_OFFICE: Final = _Area(47.4, 0.0, 64.0, 8.6)
_DOCK_DOORS_M: Final = (7.2, 13.4, 18.1, 26.6)
_PILASTERS_M: Final = (3.7, 11.9, 17.3, 27.8, 34.4, 45.1, 50.7, 61.2)
_COLUMN_PITCH_M: Final = 7.7
_COLUMN_ROWS_M: Final = (10.7, 16.5, 24.6, 29.1, 38.0)

_LANES_Y_M: Final = {
    "south": (2.5, 2.5, 44.3),
    "aisle-1": (7.8, 2.5, 31.2),
    "aisle-2": (13.6, 2.5, 31.2),
    "aisle-3": (19.4, 2.5, 31.2),
    "mill": (10.1, 31.2, 62.1),
    "press": (17.9, 31.2, 62.1),
    "main": (26.8, 2.5, 62.1),
    "line": (34.8, 2.5, 62.1),
    "north": (41.6, 2.5, 62.1),
}
_LANES_X_M: Final = {
    "west": (2.5, 2.5, 41.6),
    "middle": (31.2, 2.5, 26.8),
    "island": (44.3, 2.5, 26.8),
    "lab": (53.6, 10.1, 26.8),
    "east": (62.1, 10.1, 41.6),
    "gap-1": (25.8, 26.8, 34.8),
    "gap-2": (42.6, 26.8, 34.8),
    "gap-3": (29.2, 34.8, 41.6),
}
# Name, lane, place along the lane, heading.
_STATIONS: Final = (
    ("dock-1", "south", 7.2, -_QUARTER),
    ("dock-2", "south", 13.4, -_QUARTER),
    ("dock-3", "south", 18.1, -_QUARTER),
    ("charger-1", "south", 36.2, 0.0),
    ("charger-2", "south", 39.4, 0.0),
    ("rack-1", "aisle-1", 12.4, 0.0),
    ("rack-2", "aisle-2", 20.7, math.pi),
    ("rack-3", "aisle-3", 9.3, 0.0),
    ("mill-1", "mill", 38.3, math.pi),
    ("mill-2", "mill", 57.7, 0.0),
    ("press-1", "press", 36.9, 0.0),
    ("press-2", "press", 48.8, math.pi),
    ("line-1", "line", 9.8, 0.0),
    ("line-2", "line", 20.4, 0.0),
    ("line-3", "line", 36.7, 0.0),
    ("line-4", "line", 52.3, 0.0),
    ("kitting", "main", 14.6, 0.0),
    ("inspection", "north", 17.2, math.pi),
    ("packing", "north", 47.5, math.pi),
)


class Node(NamedTuple):
    """A place on a lane, in the map frame."""

    x_m: float
    y_m: float


@dataclass(frozen=True, slots=True)
class RouteGraph:
    """Lanes of the hall: named nodes, and edges that may be driven both ways."""

    nodes: dict[str, Node]
    edges: tuple[tuple[str, str], ...]

    def length_m(self, start: str, end: str) -> float:
        """Return the distance between two nodes."""
        from_node, to_node = self.nodes[start], self.nodes[end]
        return math.hypot(to_node.x_m - from_node.x_m, to_node.y_m - from_node.y_m)

    def route(self, start: str, end: str) -> list[str]:
        """Return the nodes of the shortest way, both ends included (Dijkstra 1959).

        Raises:
            BenchError: There is no such node, or no way.
        """
        for name in (start, end):
            if name not in self.nodes:
                raise BenchError(f"the hall has no node named {name}")
        neighbours: dict[str, list[str]] = {name: [] for name in self.nodes}
        for one, other in self.edges:
            neighbours[one].append(other)
            neighbours[other].append(one)
        came_from: dict[str, str] = {}
        frontier = [(0.0, start, start)]
        while frontier:
            distance_m, node, previous = heapq.heappop(frontier)
            if node in came_from:
                continue
            came_from[node] = previous
            if node == end:
                return _walk_back(came_from, start, end)
            for neighbour in neighbours[node]:
                if neighbour not in came_from:
                    reach_m = distance_m + self.length_m(node, neighbour)
                    heapq.heappush(frontier, (reach_m, neighbour, node))
        raise BenchError(f"there is no way from {start} to {end}")


def _walk_back(came_from: dict[str, str], start: str, end: str) -> list[str]:
    way = [end]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return way[::-1]


@dataclass(frozen=True, slots=True, eq=False)
class Hall:
    """A hall.

    Attributes:
        grid: Its map, 5 cm cells; the interior's lower left corner is the map's origin.
        stations: ``map_from_base`` of a robot that serves the station; each is a node as well.
        graph: Its lanes.
    """

    grid: OccupancyGrid
    stations: dict[str, Pose2]
    graph: RouteGraph

    def write(self, directory: Path) -> Path:
        """Write ``hall.yaml`` and ``hall.pgm`` and return the path of the former.

        Raises:
            MapError: The directory cannot be written.
        """
        path = directory / "hall.yaml"
        write_map(path, self.grid)
        return path


def build_hall(seed: int = 1) -> Hall:
    """Draw a hall; the same seed draws the same hall."""
    drawing = _Drawing(np.random.default_rng(seed))
    drawing.draw()
    graph, stations = _lanes()
    drawing.raise_columns(graph)
    map_from_grid = Pose2(-_MARGIN_M, -_MARGIN_M, 0.0)
    return Hall(OccupancyGrid(drawing.cells, RESOLUTION_M, map_from_grid), stations, graph)


class _Drawing:
    """The hall's cells and the pencil."""

    def __init__(self, rng: np.random.Generator) -> None:
        rows = round((WIDTH_M + 2 * _MARGIN_M) / RESOLUTION_M)
        cols = round((LENGTH_M + 2 * _MARGIN_M) / RESOLUTION_M)
        self.cells: NDArray[np.int8] = np.full((rows, cols), UNKNOWN, dtype=np.int8)
        self._rng = rng

    def draw(self) -> None:
        self._walls()
        self._office()
        for row in _RACK_ROWS:
            self._rack(row)
        for bay in _MACHINE_BAYS:
            self._machines(bay)
        for line in _ASSEMBLY_LINES:
            self._assembly_line(line)

    def raise_columns(self, graph: RouteGraph) -> None:
        """Put up the columns of the roof wherever no lane passes."""
        half_m = 0.25
        for x_m in np.arange(_COLUMN_PITCH_M, LENGTH_M - 1.0, _COLUMN_PITCH_M).tolist():
            for y_m in _COLUMN_ROWS_M:
                reach_m = min(_distance_m(graph, edge, x_m, y_m) for edge in graph.edges)
                if reach_m > LANE_CLEARANCE_M + 1.5 * half_m:
                    column = (x_m - half_m, y_m - half_m, x_m + half_m, y_m + half_m)
                    self._fill(_Area(*column))

    def _fill(self, area: _Area, value: int = OCCUPIED) -> None:
        left, bottom, right, top = (round((edge_m + _MARGIN_M) / RESOLUTION_M) for edge_m in area)
        self.cells[bottom:top, left:right] = value

    def _outline(self, area: _Area, thickness_m: float) -> None:
        left_m, bottom_m, right_m, top_m = area
        self._fill(_Area(left_m, bottom_m, right_m, bottom_m + thickness_m))
        self._fill(_Area(left_m, top_m - thickness_m, right_m, top_m))
        self._fill(_Area(left_m, bottom_m, left_m + thickness_m, top_m))
        self._fill(_Area(right_m - thickness_m, bottom_m, right_m, top_m))

    def _walls(self) -> None:
        self._fill(_Area(-_WALL_M, -_WALL_M, LENGTH_M + _WALL_M, WIDTH_M + _WALL_M))
        self._fill(_Area(0.0, 0.0, LENGTH_M, WIDTH_M), FREE)
        for x_m in _PILASTERS_M:
            depth_m = self._rng.uniform(0.25, 0.6)
            self._fill(_Area(x_m - 0.3, WIDTH_M - depth_m, x_m + 0.3, WIDTH_M))
        for y_m in (5.6, 11.2, 23.9, 30.8, 38.3):
            depth_m = self._rng.uniform(0.2, 0.6)
            self._fill(_Area(0.0, y_m - 0.4, depth_m, y_m + 0.4))
            self._fill(_Area(LENGTH_M - depth_m / 2, y_m + 1.7, LENGTH_M, y_m + 2.3))
        # A dock door is a recess in the wall between two bumpers.
        for x_m in _DOCK_DOORS_M:
            half_m = self._rng.uniform(1.2, 1.6)
            self._fill(_Area(x_m - half_m, -_WALL_M + 0.1, x_m + half_m, 0.0), FREE)
            self._fill(_Area(x_m - half_m - 0.3, 0.0, x_m - half_m, 0.5))
            self._fill(_Area(x_m + half_m, 0.0, x_m + half_m + 0.3, 0.35))

    def _office(self) -> None:
        self._outline(_OFFICE, 0.2)
        left_m, bottom_m, right_m, top_m = _OFFICE
        for x_m in (52.6, 57.9):
            self._fill(_Area(x_m, bottom_m, x_m + 0.15, top_m))
        # Doors, one of them open to a room that can be looked into.
        self._fill(_Area(49.0, top_m - 0.2, 50.1, top_m), FREE)
        self._fill(_Area(59.3, top_m - 0.1, 60.4, top_m), FREE)
        self._fill(_Area(left_m, 3.1, left_m + 0.1, 4.4), FREE)
        self._fill(_Area(right_m - 2.2, 2.0, right_m - 0.9, 3.3))

    def _rack(self, row: _Area) -> None:
        """Draw uprights every 2.8 m and, between them, the pallets that stand on the floor."""
        posts_m = np.arange(row.left_m, row.right_m - 0.1, 2.8).tolist()
        for x_m in posts_m:
            for y_m in (row.bottom_m, 0.5 * (row.bottom_m + row.top_m), row.top_m - 0.1):
                self._fill(_Area(x_m, y_m, x_m + 0.1, y_m + 0.1))
        for left_m, right_m in pairwise(posts_m):
            for bottom_m, top_m in self._rack_sides(row):
                slots_m = np.linspace(left_m + 0.15, right_m - 0.05, 4).tolist()
                for slot_left_m, slot_right_m in pairwise(slots_m):
                    if self._rng.random() < 0.72:
                        inset_m = self._rng.uniform(0.02, 0.25)
                        pallet = (slot_left_m, bottom_m + inset_m, slot_right_m - 0.1, top_m)
                        self._fill(_Area(*pallet))
        self._fill(_Area(row.right_m - 0.15, row.bottom_m, row.right_m, row.top_m))

    def _rack_sides(self, row: _Area) -> tuple[tuple[float, float], ...]:
        if row.top_m - row.bottom_m < 2.0:
            return ((row.bottom_m, row.top_m - 0.1),)
        middle_m = 0.5 * (row.bottom_m + row.top_m)
        return (row.bottom_m, middle_m - 0.1), (middle_m + 0.1, row.top_m - 0.05)

    def _machines(self, bay: _Area) -> None:
        """Fill a bay with machines of drawn sizes, and a cabinet or a crate beside each."""
        left_m = bay.left_m + self._rng.uniform(0.0, 0.6)
        while left_m < bay.right_m - 1.2:
            right_m = min(left_m + self._rng.uniform(1.4, 3.6), bay.right_m)
            bottom_m = bay.bottom_m + self._rng.uniform(0.0, 1.2)
            top_m = bay.top_m - self._rng.uniform(0.0, 1.2)
            if self._rng.random() < 0.5:
                self._fill(_Area(left_m, bottom_m, right_m, top_m))
            else:
                self._outline(_Area(left_m, bottom_m, right_m, top_m), 0.1)
                notch_m = self._rng.uniform(0.3, 0.8)
                self._fill(_Area(left_m, bottom_m, right_m, bottom_m + notch_m))
            crate_m = self._rng.uniform(0.3, 0.7)
            self._fill(_Area(right_m - crate_m, bay.bottom_m, right_m, bay.bottom_m + crate_m))
            left_m = right_m + self._rng.uniform(0.5, 1.3)

    def _assembly_line(self, line: _Area) -> None:
        """Draw a conveyor with work places of drawn sizes on both sides."""
        middle_m = 0.5 * (line.bottom_m + line.top_m)
        self._fill(_Area(line.left_m, middle_m - 0.35, line.right_m, middle_m + 0.35))
        for bottom_m, top_m in ((line.bottom_m, middle_m - 0.35), (middle_m + 0.35, line.top_m)):
            left_m = line.left_m + self._rng.uniform(0.2, 1.5)
            while left_m < line.right_m - 1.0:
                right_m = min(left_m + self._rng.uniform(0.6, 2.2), line.right_m)
                depth_m = self._rng.uniform(0.4, 1.0) * (top_m - bottom_m)
                if bottom_m < middle_m - 0.35:
                    self._fill(_Area(left_m, top_m - depth_m, right_m, top_m))
                else:
                    self._fill(_Area(left_m, bottom_m, right_m, bottom_m + depth_m))
                left_m = right_m + self._rng.uniform(0.8, 2.6)


def _distance_m(graph: RouteGraph, edge: tuple[str, str], x_m: float, y_m: float) -> float:
    """Return the distance of a point to an edge; lanes run along x or y."""
    one, other = graph.nodes[edge[0]], graph.nodes[edge[1]]
    low_x_m, high_x_m = min(one.x_m, other.x_m), max(one.x_m, other.x_m)
    low_y_m, high_y_m = min(one.y_m, other.y_m), max(one.y_m, other.y_m)
    dx_m = max(low_x_m - x_m, 0.0, x_m - high_x_m)
    dy_m = max(low_y_m - y_m, 0.0, y_m - high_y_m)
    return math.hypot(dx_m, dy_m)


def _lanes() -> tuple[RouteGraph, dict[str, Pose2]]:
    """Cross the lanes with each other, put the stations on them and tie neighbours together."""
    nodes: dict[str, Node] = {}
    stations: dict[str, Pose2] = {}
    along: dict[str, list[tuple[float, str]]] = {name: [] for name in _LANES_Y_M | _LANES_X_M}
    for row, (y_m, west_m, east_m) in _LANES_Y_M.items():
        for column, (x_m, south_m, north_m) in _LANES_X_M.items():
            if west_m <= x_m <= east_m and south_m <= y_m <= north_m:
                name = f"{row}/{column}"
                nodes[name] = Node(x_m, y_m)
                along[row].append((x_m, name))
                along[column].append((y_m, name))
    for name, lane, x_m, yaw_rad in _STATIONS:
        y_m = _LANES_Y_M[lane][0]
        nodes[name] = Node(x_m, y_m)
        stations[name] = Pose2(x_m, y_m, yaw_rad)
        along[lane].append((x_m, name))
    edges = tuple(
        (one, other)
        for places in along.values()
        for (_, one), (_, other) in pairwise(sorted(places))
    )
    return RouteGraph(nodes, edges), stations
