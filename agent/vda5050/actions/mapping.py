"""downloadMap, enableMap and deleteMap (2.1, sections 6.7 and 6.8; 3.0, sections 6.2.3 and 6.3)."""

from agent.errors import ActionFailed, DuplicateMap
from agent.vda5050.actions.errands import ErrandHandler, Procedure
from agent.vda5050.actions.registry import ActionKind, Parameter, text_of
from agent.vda5050.messages import Action, ActionScope, ValueType
from agent.vda5050.situation import Situation
from agent.vda5050.storage.catalog import Catalog
from agent.vda5050.storage.errand import EnableMap, FetchMap, PrepareMap, RemoveMap
from agent.vda5050.storage.terrain import MapKey, Terrain

_TEXT = (ValueType.STRING,)
MAP_PARAMETERS = (Parameter("mapId", _TEXT), Parameter("mapVersion", _TEXT))


def download_map(catalog: Catalog, action: Action) -> Procedure:
    """Fetch a map and keep it; what is on the robot stays as it is (section 6.7.3)."""
    key = _key(action)
    if catalog.holds(key):
        raise DuplicateMap(f"map {key} is on the robot already", **key.references)
    with catalog.reserved(key):
        link = text_of(action, "mapDownloadLink") or ""
        yield FetchMap(key, link, text_of(action, "mapHash"))
        catalog.add(key)
    return f"map {key} can be enabled"


def enable_map(catalog: Catalog, action: Action) -> Procedure:
    """Use a map in place of the one of its id (section 6.7.4).

    The robot goes on where it believes to be: all versions share one frame.
    """
    key = _known(catalog, action)
    if catalog.is_enabled(key):
        return f"map {key} is in use already"
    with catalog.reserved(key):
        zone_set = catalog.zones.in_force(key.map_id)
        answer = yield PrepareMap(key, zone_set)
        while catalog.zones.in_force(key.map_id) is not zone_set:
            zone_set = catalog.zones.in_force(key.map_id)
            answer = yield PrepareMap(key, zone_set)
        terrain = answer.value
        if not isinstance(terrain, Terrain):
            raise TypeError(f"no terrain, but {terrain!r}")
        if problem := _conflict(key, terrain, answer.situation):
            raise ActionFailed(problem)
        catalog.enable(key, terrain)
        try:
            yield EnableMap(key)
        except ActionFailed as error:
            detail = f"map {key} is in use, but only until the next start: {error.detail}"
            raise type(error)(detail) from error
    return f"map {key} is in use"


def delete_map(catalog: Catalog, action: Action) -> Procedure:
    """Delete a map that is not in use (section 6.7.5)."""
    key = _known(catalog, action)
    if catalog.is_enabled(key):
        raise ActionFailed(f"map {key} is in use; enable another version first")
    if catalog.is_configured(key):
        raise ActionFailed(f"map {key} belongs to the robot's configuration")
    with catalog.reserved(key):
        yield RemoveMap(key)
        catalog.remove(key)
    return f"map {key} is deleted"


def mapping_kinds(catalog: Catalog) -> tuple[ActionKind, ...]:
    """Return the actions of a robot that keeps maps of the platform."""
    link = (Parameter("mapDownloadLink", _TEXT), Parameter("mapHash", _TEXT, is_optional=True))
    return (
        ActionKind(
            action_type="downloadMap",
            description="Fetches a zip or tar archive of a ROS map_server yaml and its image.",
            scopes=(ActionScope.INSTANT,),
            build=lambda: ErrandHandler(catalog, download_map),
            parameters=(*MAP_PARAMETERS, *link),
            result="what can be done with the map now",
            pause_allowed=False,
            cancel_allowed=False,
        ),
        ActionKind(
            action_type="enableMap",
            description="Uses a map in place of the one of its id; the robot has to stand on it.",
            scopes=(ActionScope.INSTANT, ActionScope.NODE),
            build=lambda: ErrandHandler(catalog, enable_map),
            parameters=MAP_PARAMETERS,
            result="what became of the map",
            pause_allowed=False,
            cancel_allowed=False,
            stands_alone=True,
            repeatable=True,
        ),
        ActionKind(
            action_type="deleteMap",
            description="Deletes a map that is not in use and was downloaded.",
            scopes=(ActionScope.INSTANT,),
            build=lambda: ErrandHandler(catalog, delete_map),
            parameters=MAP_PARAMETERS,
            result="what became of the map",
            pause_allowed=False,
            cancel_allowed=False,
        ),
    )


def _key(action: Action) -> MapKey:
    return MapKey(text_of(action, "mapId") or "", text_of(action, "mapVersion") or "")


def _known(catalog: Catalog, action: Action) -> MapKey:
    key = _key(action)
    if not catalog.holds(key):
        raise ActionFailed(f"there is no map {key}")
    return key


def _conflict(key: MapKey, terrain: Terrain, situation: Situation) -> str | None:
    """Return why the map under the robot cannot be replaced now."""
    estimate = situation.estimate
    if key.map_id != situation.map_id:
        return None
    if situation.driving:
        return f"the robot is driving on map {key.map_id}; pause it, or wait until it stands"
    if estimate is None:
        return "the robot has no pose yet that it could take to another map"
    pose = estimate.map_from_base
    if not terrain.place.grid.contains(pose.x_m, pose.y_m):
        return f"the robot stands at ({pose.x_m:.2f}, {pose.y_m:.2f}), outside map {key}"
    return None
