"""downloadZoneSet, enableZoneSet and deleteZoneSet (3.0, sections 6.2.3 and 6.4.2)."""

from agent.errors import ActionFailed, DuplicateZoneSet, ZoneSetRejected
from agent.route.route_map import RouteMap
from agent.vda5050.actions.errands import ErrandHandler, Procedure
from agent.vda5050.actions.registry import ActionKind, Parameter, text_of
from agent.vda5050.messages import Action, ActionScope, ValueType, ZoneSet
from agent.vda5050.storage.catalog import Catalog
from agent.vda5050.storage.errand import (
    EnableZoneSet,
    FetchZoneSet,
    KeepZoneSet,
    PrepareZones,
    RemoveZoneSet,
)

_TEXT = (ValueType.STRING,)
ZONE_SET = Parameter("zoneSetId", _TEXT)


def download_zone_set(catalog: Catalog, action: Action) -> Procedure:
    """Fetch a zone set and keep it; none that holds is changed."""
    name = _name(action)
    if name in catalog.zones:
        raise DuplicateZoneSet(f"zone set {name} is on the robot already", zoneSetId=name)
    with catalog.reserved(name):
        link = text_of(action, "zoneSetDownloadLink") or ""
        answer = yield FetchZoneSet(link, text_of(action, "zoneSetHash"))
        zone_set = answer.value
        if not isinstance(zone_set, ZoneSet):
            raise TypeError(f"no zone set, but {zone_set!r}")
        if zone_set.zone_set_id != name:
            raise ActionFailed(f"the file holds the zone set {zone_set.zone_set_id}")
        try:
            catalog.zones.check(zone_set)
        except ZoneSetRejected as error:
            raise ActionFailed(error.detail, **error.context) from error
        yield KeepZoneSet(zone_set)
        catalog.zones.add(zone_set)
    return f"zone set {name} can be enabled"


def enable_zone_set(catalog: Catalog, action: Action) -> Procedure:
    """Have a zone set hold in place of the one of its map."""
    name = _known(catalog, action)
    if catalog.zones.is_enabled(name):
        return f"zone set {name} holds already"
    with catalog.reserved(name):
        zone_set = catalog.zones[name]
        grid, routes = catalog.grids.get(zone_set.map_id), None
        while grid is not None:
            answer = yield PrepareZones(grid, zone_set)
            routes = answer.value if isinstance(answer.value, RouteMap) else None
            if catalog.grids.get(zone_set.map_id) is grid:
                break
            grid = catalog.grids.get(zone_set.map_id)
        catalog.enable_zones(name, routes)
        try:
            yield EnableZoneSet(zone_set)
        except ActionFailed as error:
            detail = f"zone set {name} holds, but only until the next start: {error.detail}"
            raise type(error)(detail) from error
    return f"zone set {name} holds"


def delete_zone_set(catalog: Catalog, action: Action) -> Procedure:
    """Delete a zone set that does not hold."""
    name = _known(catalog, action)
    if catalog.zones.is_enabled(name):
        raise ActionFailed(f"zone set {name} holds; enable another one of its map first")
    with catalog.reserved(name):
        yield RemoveZoneSet(name)
        catalog.zones.remove(name)
    return f"zone set {name} is deleted"


def zoning_kinds(catalog: Catalog) -> tuple[ActionKind, ...]:
    """Return the actions of a robot that obeys zones."""
    link = (Parameter("zoneSetDownloadLink", _TEXT), Parameter("zoneSetHash", _TEXT, True))
    return (
        ActionKind(
            action_type="downloadZoneSet",
            description="Fetches a zone set as JSON, as the topic zoneSet has it.",
            scopes=(ActionScope.INSTANT,),
            build=lambda: ErrandHandler(catalog, download_zone_set),
            parameters=(ZONE_SET, *link),
            result="what can be done with the zone set now",
            pause_allowed=False,
            cancel_allowed=False,
        ),
        ActionKind(
            action_type="enableZoneSet",
            description="Has a zone set hold in place of the one of its map.",
            scopes=(ActionScope.INSTANT, ActionScope.NODE),
            build=lambda: ErrandHandler(catalog, enable_zone_set),
            parameters=(ZONE_SET,),
            result="what became of the zone set",
            pause_allowed=False,
            cancel_allowed=False,
            repeatable=True,
        ),
        ActionKind(
            action_type="deleteZoneSet",
            description="Deletes a zone set that does not hold.",
            scopes=(ActionScope.INSTANT,),
            build=lambda: ErrandHandler(catalog, delete_zone_set),
            parameters=(ZONE_SET,),
            result="what became of the zone set",
            pause_allowed=False,
            cancel_allowed=False,
        ),
    )


def _name(action: Action) -> str:
    return text_of(action, "zoneSetId") or ""


def _known(catalog: Catalog, action: Action) -> str:
    name = _name(action)
    if name not in catalog.zones:
        raise ActionFailed(f"there is no zone set {name}")
    return name
