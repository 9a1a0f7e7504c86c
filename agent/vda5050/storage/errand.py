"""What the control loop has the storage do, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from agent.errors import ActionFailed
from agent.mapping.occupancy_grid import OccupancyGrid
from agent.vda5050.messages import ZoneSet
from agent.vda5050.storage.terrain import MapKey


@dataclass(frozen=True, slots=True)
class FetchMap:
    """Fetch a map, look it over and keep it."""

    key: MapKey
    link: str
    checksum: str | None


@dataclass(frozen=True, slots=True)
class PrepareMap:
    """Read a map that is kept and make it ready; the outcome's value is a ``Terrain``.

    Attributes:
        key: The map.
        zone_set: What holds on it, None for no zones.
    """

    key: MapKey
    zone_set: ZoneSet | None = None


@dataclass(frozen=True, slots=True)
class EnableMap:
    """Write down that a map is the one of its id to be used from the next start on."""

    key: MapKey


@dataclass(frozen=True, slots=True)
class RemoveMap:
    """Delete a map that is kept."""

    key: MapKey


@dataclass(frozen=True, slots=True)
class FetchZoneSet:
    """Fetch a zone set; the outcome's value is the ``ZoneSet``, which is not kept yet."""

    link: str
    checksum: str | None


@dataclass(frozen=True, slots=True)
class KeepZoneSet:
    """Keep a zone set."""

    zone_set: ZoneSet


@dataclass(frozen=True, slots=True, eq=False)
class PrepareZones:
    """Find the ways of a map that zones leave open; the outcome's value is a ``RouteMap``."""

    grid: OccupancyGrid
    zone_set: ZoneSet


@dataclass(frozen=True, slots=True)
class EnableZoneSet:
    """Write down that a zone set is the one of its map to hold from the next start on."""

    zone_set: ZoneSet


@dataclass(frozen=True, slots=True)
class RemoveZoneSet:
    """Delete a zone set that is kept."""

    zone_set_id: str


@dataclass(frozen=True, slots=True)
class ReplaceCertificates:
    """Fetch new certificates, and connect with them.

    Attributes:
        links: By the keys of ``[broker]``.
    """

    links: Mapping[str, str]


Errand: TypeAlias = (
    FetchMap
    | PrepareMap
    | EnableMap
    | RemoveMap
    | FetchZoneSet
    | KeepZoneSet
    | PrepareZones
    | EnableZoneSet
    | RemoveZoneSet
    | ReplaceCertificates
)


@dataclass(frozen=True, slots=True)
class Task:
    """An errand with the number by which its outcome is known."""

    ticket: int
    errand: Errand


@dataclass(frozen=True, slots=True)
class Begun:
    """The errand is being done."""

    ticket: int


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """It is done; with what it was to give."""

    ticket: int
    value: object = None


@dataclass(frozen=True, slots=True)
class Undone:
    """It could not be done."""

    ticket: int
    error: ActionFailed


Outcome: TypeAlias = Begun | Done | Undone
