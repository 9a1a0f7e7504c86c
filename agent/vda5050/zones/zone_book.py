"""The zone sets on the robot, and which of them hold (3.0, section 6.4.2)."""

from collections.abc import Callable, Iterable, Mapping

from agent.errors import DuplicateZoneSet, ZoneSetRejected
from agent.vda5050.messages import (
    MapStatus,
    Zone,
    ZoneSet,
    ZoneSetState,
    ZoneType,
)
from agent.vda5050.zones.area import Area, is_simple

# The others only weigh ways against each other, or act; what is not in here is rejected.
SUPPORTED = (
    ZoneType.BLOCKED,
    ZoneType.LINE_GUIDED,
    ZoneType.RELEASE,
    ZoneType.COORDINATED_REPLANNING,
    ZoneType.SPEED_LIMIT,
    ZoneType.DIRECTED,
    ZoneType.BIDIRECTED,
)
MOST_ZONES = 500  # of a set; told to the platform in the factsheet


class ZoneBook:
    """Knows the zone sets. Of each map at most one is enabled, and only that one holds."""

    def __init__(self, sets: Iterable[ZoneSet] = (), enabled: Mapping[str, str] | None = None):
        """Begin with what the robot found at its start.

        Args:
            sets: All zone sets that are kept.
            enabled: The id of the one that holds, for each map that has one.
        """
        self._sets = {zone_set.zone_set_id: zone_set for zone_set in sets}
        self._enabled = dict(enabled or {})
        self._areas: dict[str, tuple[Area, ...]] = {}
        for name in self._enabled.values():
            self._note(name)

    @property
    def states(self) -> tuple[ZoneSetState, ...]:
        """What the state tells of them."""
        return tuple(
            ZoneSetState(
                zone_set_id=name,
                map_id=zone_set.map_id,
                zone_set_status=MapStatus.ENABLED if self.is_enabled(name) else MapStatus.DISABLED,
            )
            for name, zone_set in self._sets.items()
        )

    def __getitem__(self, zone_set_id: str) -> ZoneSet:
        """Return a zone set.

        Raises:
            KeyError: There is none of that id.
        """
        return self._sets[zone_set_id]

    def __contains__(self, zone_set_id: str) -> bool:
        """Whether there is a zone set of that id."""
        return zone_set_id in self._sets

    def is_enabled(self, zone_set_id: str) -> bool:
        """Whether a zone set holds."""
        return zone_set_id in self._enabled.values()

    def in_force(self, map_id: str) -> ZoneSet | None:
        """Return the zone set that holds on a map."""
        name = self._enabled.get(map_id)
        return None if name is None else self._sets[name]

    def areas(self, map_id: str) -> tuple[Area, ...]:
        """Return the zones that hold on a map."""
        return self._areas.get(map_id, ())

    def add(self, zone_set: ZoneSet) -> None:
        """Take a zone set, which does not hold yet."""
        self._sets[zone_set.zone_set_id] = zone_set

    def enable(self, zone_set_id: str) -> None:
        """Have a zone set hold in place of the one of its map."""
        self._enabled[self._sets[zone_set_id].map_id] = zone_set_id
        self._note(zone_set_id)

    def remove(self, zone_set_id: str) -> None:
        """Drop a zone set."""
        del self._sets[zone_set_id]

    def check(self, zone_set: ZoneSet) -> None:
        """See whether the robot can take a zone set.

        Raises:
            DuplicateZoneSet: It has one of that id.
            ZoneSetRejected: It breaks the standard, or asks for what the robot cannot do.
        """
        name = zone_set.zone_set_id
        if name in self._sets:
            raise DuplicateZoneSet(f"zone set {name} is on the robot already", zoneSetId=name)
        if len(zone_set.zones) > MOST_ZONES:
            raise ZoneSetRejected(f"more than {MOST_ZONES} zones", zoneSetId=name)
        seen: set[str] = set()
        for zone in zone_set.zones:
            if problem := _problem(zone, name, seen.__contains__):
                detail = f"zone {zone.zone_id}: {problem}"
                raise ZoneSetRejected(detail, zoneSetId=name, zoneId=zone.zone_id)
            seen.add(zone.zone_id)

    def _note(self, zone_set_id: str) -> None:
        zone_set = self._sets[zone_set_id]
        self._areas[zone_set.map_id] = tuple(Area(zone_set_id, zone) for zone in zone_set.zones)


def areas_of(zone_set: ZoneSet, zone_type: ZoneType) -> tuple[Area, ...]:
    """Return the zones of one type."""
    return tuple(
        Area(zone_set.zone_set_id, zone) for zone in zone_set.zones if zone.zone_type is zone_type
    )


def _problem(zone: Zone, zone_set_id: str, is_known: Callable[[str], bool]) -> str | None:
    """Return why a zone cannot be obeyed."""
    if zone.zone_type not in SUPPORTED:
        return f"the robot does not support {zone.zone_type}"
    if is_known(zone.zone_id):
        return "its id is used twice"
    if not is_simple(Area(zone_set_id, zone).corners_m):
        return "its vertices make no simple polygon"
    return None
