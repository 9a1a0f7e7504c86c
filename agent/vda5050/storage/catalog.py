"""Which maps and zone sets the robot has and which are in use, as the control loop knows it.

VDA 5050 2.1, section 6.7; 3.0, sections 6.3 and 6.4.2. The loop never waits for a disk or a server:
it sends errands to the storage's thread (:mod:`agent.vda5050.storage.worker`) and takes what comes
of them with the next tick's inbox.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from agent.errors import ActionFailed, DuplicateZoneSet, ZoneSetRejected
from agent.localization.place import Place
from agent.mapping.occupancy_grid import OccupancyGrid
from agent.route.route_map import RouteMap
from agent.vda5050.messages import Map, MapStatus, ZoneSet
from agent.vda5050.storage.errand import (
    Begun,
    Done,
    Errand,
    KeepZoneSet,
    Outcome,
    Task,
    Undone,
)
from agent.vda5050.storage.terrain import MapKey, Terrain
from agent.vda5050.zones.zone_book import ZoneBook


class Catalog:
    """The maps on the robot. Of each id at most one is enabled, and only that one is used.

    Attributes:
        places: What localization needs of each enabled map, by its id; always what is in use now.
        routes: The same for the search of ways.
        grids: The enabled maps themselves.
        zones: The zone sets.
    """

    def __init__(
        self,
        enabled: Mapping[MapKey, Terrain],
        others: Iterable[MapKey] = (),
        configured: Iterable[MapKey] = (),
        zones: ZoneBook | None = None,
    ) -> None:
        """Begin with what the robot found at its start.

        Args:
            enabled: The maps in use.
            others: All that are kept, in their order, those in use among them or not.
            configured: Those of either that belong to the configuration.
            zones: The zone sets; left out where the robot takes none.
        """
        self._enabled = {key.map_id: key for key in enabled}
        self._keys = list(dict.fromkeys((*others, *enabled)))
        self._configured = frozenset(configured)
        self._places = {key.map_id: terrain.place for key, terrain in enabled.items()}
        self._routes = {key.map_id: terrain.routes for key, terrain in enabled.items()}
        self._grids = {key.map_id: terrain.place.grid for key, terrain in enabled.items()}
        self.places: Mapping[str, Place] = MappingProxyType(self._places)
        self.routes: Mapping[str, RouteMap] = MappingProxyType(self._routes)
        self.grids: Mapping[str, OccupancyGrid] = MappingProxyType(self._grids)
        self.zones = ZoneBook() if zones is None else zones
        self._takes_zones = zones is not None
        self._reserved: set[MapKey | str] = set()
        self._arriving: dict[int, ZoneSet] = {}
        self._refused: list[ActionFailed] = []
        self._tickets = 0
        self._tasks: list[Task] = []
        self._begun: set[int] = set()
        self._outcomes: dict[int, Done | Undone] = {}
        self._renewed: list[str] = []
        self._rezoned: list[str] = []
        self._states: tuple[Map, ...] | None = None

    @property
    def states(self) -> tuple[Map, ...]:
        """What the state tells of them (section 6.7.2)."""
        if self._states is None:
            self._states = tuple(
                Map(
                    map_id=key.map_id,
                    map_version=key.map_version,
                    map_status=MapStatus.ENABLED if self.is_enabled(key) else MapStatus.DISABLED,
                )
                for key in self._keys
            )
        return self._states

    def holds(self, key: MapKey) -> bool:
        """Whether a map is on the robot."""
        return key in self._keys

    def is_enabled(self, key: MapKey) -> bool:
        """Whether a map is the one of its id that is used."""
        return self._enabled.get(key.map_id) == key

    def is_configured(self, key: MapKey) -> bool:
        """Whether a map belongs to the configuration, so that only a technician deletes it."""
        return key in self._configured

    @contextmanager
    def reserved(self, key: MapKey | str) -> Iterator[None]:
        """Let nobody else fetch, enable or delete a map or a zone set meanwhile.

        Raises:
            ActionFailed: Somebody does already.
        """
        if key in self._reserved:
            raise ActionFailed(f"another action is at work on {key}")
        self._reserved.add(key)
        try:
            yield
        finally:
            self._reserved.discard(key)

    def add(self, key: MapKey) -> None:
        """Count a map that was fetched as one that can be enabled."""
        self._keys.append(key)
        self._states = None

    def enable(self, key: MapKey, terrain: Terrain) -> None:
        """Use a map from now on, in place of the one of its id, all at once."""
        self._enabled[key.map_id] = key
        self._places[key.map_id] = terrain.place
        self._routes[key.map_id] = terrain.routes
        self._grids[key.map_id] = terrain.place.grid
        self._renewed.append(key.map_id)
        self._states = None

    def remove(self, key: MapKey) -> None:
        """Count a map as deleted."""
        self._keys.remove(key)
        self._states = None

    def enable_zones(self, zone_set_id: str, routes: RouteMap | None) -> None:
        """Have a zone set hold from now on, with the ways that it leaves open."""
        map_id = self.zones[zone_set_id].map_id
        self.zones.enable(zone_set_id)
        if routes is not None:
            self._routes[map_id] = routes
        self._rezoned.append(map_id)

    def receive(self, zone_set: ZoneSet) -> None:
        """Take a zone set that the platform sent; it is known once it is kept.

        Raises:
            DuplicateZoneSet: There is one of that id, or it is on its way.
            ZoneSetRejected: The robot cannot take it.
        """
        name = zone_set.zone_set_id
        if not self._takes_zones:
            raise ZoneSetRejected("the robot takes no zone sets", zoneSetId=name)
        self.zones.check(zone_set)
        if any(name == arriving.zone_set_id for arriving in self._arriving.values()):
            raise DuplicateZoneSet(f"zone set {name} is on the robot already", zoneSetId=name)
        self._arriving[self.send(KeepZoneSet(zone_set))] = zone_set

    def take_refused(self) -> tuple[ActionFailed, ...]:
        """Return why zone sets that were received could not be kept, since the last call."""
        refused, self._refused = tuple(self._refused), []
        return refused

    def take_rezoned(self) -> tuple[str, ...]:
        """Return the ids of the maps that have other zones since the last call."""
        rezoned, self._rezoned = tuple(self._rezoned), []
        return rezoned

    def take_renewed(self) -> tuple[str, ...]:
        """Return the ids of the maps that were replaced since the last call."""
        renewed, self._renewed = tuple(self._renewed), []
        return renewed

    def send(self, errand: Errand) -> int:
        """Have something done; returns the ticket for :meth:`take_outcome`."""
        self._tickets += 1
        self._tasks.append(Task(self._tickets, errand))
        return self._tickets

    def take_tasks(self) -> tuple[Task, ...]:
        """Return what is to be done for the loop since the last call."""
        tasks, self._tasks = tuple(self._tasks), []
        return tasks

    def take_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """Take what has come of errands."""
        for outcome in outcomes:
            if isinstance(outcome, Begun):
                self._begun.add(outcome.ticket)
            else:
                self._begun.discard(outcome.ticket)
                self._outcomes[outcome.ticket] = outcome
        for ticket in [ticket for ticket in self._arriving if ticket in self._outcomes]:
            zone_set, over = self._arriving.pop(ticket), self._outcomes.pop(ticket)
            if isinstance(over, Undone):
                error = over.error
                kept = type(error)(error.detail, zoneSetId=zone_set.zone_set_id)
                self._refused.append(kept)
            else:
                self.zones.add(zone_set)

    def take_outcome(self, ticket: int) -> Done | Undone | None:
        """Return what has come of an errand, once; None until it is over."""
        return self._outcomes.pop(ticket, None)

    def is_begun(self, ticket: int) -> bool:
        """Whether an errand is being done, and does not wait its turn."""
        return ticket in self._begun
