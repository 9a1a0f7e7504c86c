"""A map made ready: to be localized on, and to be driven on within its zones."""

from dataclasses import dataclass
from typing import NamedTuple, Self

from agent.localization.place import FieldParams, Place
from agent.mapping.occupancy_grid import OccupancyGrid
from agent.route.route_map import RouteMap
from agent.vda5050.messages import ZoneSet, ZoneType
from agent.vda5050.zones.zone_book import areas_of


class MapKey(NamedTuple):
    """What tells one map from all others (VDA 5050 2.1, section 6.7.1)."""

    map_id: str
    map_version: str

    @property
    def references(self) -> dict[str, str]:
        """What an error about it refers to (3.0, section 6.6.5.4)."""
        return {"mapId": self.map_id, "mapVersion": self.map_version}

    def __str__(self) -> str:
        return f"{self.map_id}, version {self.map_version}"


@dataclass(frozen=True, slots=True, eq=False)
class Terrain:
    """What the robot computes from a map once, which takes seconds on a large one.

    Attributes:
        place: For localization.
        routes: For the search of ways.
    """

    place: Place
    routes: RouteMap

    @classmethod
    def prepare(
        cls, grid: OccupancyGrid, params: FieldParams, zone_set: ZoneSet | None = None
    ) -> Self:
        """Compute both.

        Args:
            grid: The map.
            params: What localization needs.
            zone_set: What closes parts of it for driving.

        Raises:
            MapError: Nothing on the map is occupied.
        """
        return cls.of(Place.prepare(grid, params), zone_set)

    @classmethod
    def of(cls, place: Place, zone_set: ZoneSet | None = None) -> Self:
        """Compute what is missing."""
        return cls(place, open_ways(place.grid, zone_set))


def open_ways(grid: OccupancyGrid, zone_set: ZoneSet | None) -> RouteMap:
    """Return where routes may lead: on no BLOCKED zone (3.0, section 6.4.1.1)."""
    blocked = () if zone_set is None else areas_of(zone_set, ZoneType.BLOCKED)
    for area in blocked:
        grid = OccupancyGrid(area.with_walls(grid), grid.resolution_m, grid.map_from_grid)
    return RouteMap.prepare(grid)
