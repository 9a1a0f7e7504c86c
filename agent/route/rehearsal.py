"""Routes through a small hall in thought, so that no search compiles anything while driving."""

from collections.abc import Iterator

import numpy as np

from agent.errors import RouteNotFound
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.mapping.occupancy_grid import FREE, OCCUPIED, OccupancyGrid
from agent.route.path import Goal
from agent.route.route_map import Band, RouteMap
from agent.route.route_search import Mobility, RouteSearch, RouteSearchParams

RESOLUTION_M = 0.05
WALLS = ((60, 0, 64, 60), (60, 75, 64, 120), (0, 84, 30, 88))  # first and last column and row
DOOR, BAY, YARD = Pose2(2.2, 1.0, 1.6), Pose2(0.5, 4.85, 3.1), Goal(5.0, 5.0, 1.6)
PALLET = np.array([[4.0, 2.0], [4.1, 2.0]])


def rehearse() -> Iterator[str]:
    """Search through a door, out of a bay, around a pallet and inside a corridor.

    Yields:
        What is ready once it is.
    """
    cells = np.full((120, 160), FREE, np.int8)
    for left, bottom, right, top in WALLS:
        cells[bottom:top, left:right] = OCCUPIED
    route_map = RouteMap.prepare(OccupancyGrid(cells, RESOLUTION_M, Pose2.identity()))
    search = RouteSearch(RouteSearchParams(most_nodes=4096), rectangle(0.9, 0.6), Mobility())
    corridor = Band(np.array([[1.0, 1.0], [5.0, 5.0]]), 1.0, 1.0)
    search.is_line_free(route_map, DOOR, YARD)
    for start, band in ((DOOR, None), (BAY, None), (DOOR, corridor)):
        try:
            search.find(route_map, start, YARD, PALLET, band)
        except RouteNotFound:
            continue
    yield "route"
