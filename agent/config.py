"""The configuration: one TOML file, checked as a whole before anything starts.

Order of precedence: built-in default, the file, ``HAULIER_SECTION__KEY`` in the environment. The
parameter classes belong to the modules that use them; this module only nests them, so a limit is
written once, beside what it limits.
"""

import dataclasses
import difflib
import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from agent.avoidance.fields import FieldParams
from agent.avoidance.motion import MotionLimits
from agent.avoidance.navigator import NavigatorParams
from agent.avoidance.protective_field import ProtectiveFieldParams
from agent.avoidance.surroundings import LidarMount
from agent.driving import DrivingParams
from agent.errors import ConfigError
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.localization.params import LocalizationParams
from agent.loop import BASE
from agent.route.follower import FollowerParams
from agent.route.route_search import RouteSearchParams
from agent.telemetry.access import BrokerParams
from agent.telemetry.credentials import located
from agent.telemetry.history import HistoryParams
from agent.telemetry.platform import Wish, objections
from agent.vda5050.actions.charging import ChargingParams
from agent.vda5050.actions.docking import CarrierParams
from agent.vda5050.datasheet import Datasheet
from agent.vda5050.order_memory import Resume
from agent.vda5050.storage.params import StorageParams
from agent.vda5050.topics import FROM_ROBOT
from agent.vda5050.wire.version import VERSIONS, speaks, version_of
from drivers import registry
from drivers.errors import DriverError

DEFAULT_PATH = Path("/etc/haulier/haulier.toml")
ENVIRONMENT_PREFIX = "HAULIER_"
LIDAR_NAME = re.compile(r"[a-z][a-z0-9_]{0,15}")
LIDAR = "lidar"

Angle = Annotated[float, Ge(-3.15), Le(3.15)]


class Section(BaseModel):
    """A table of the file; a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LoadedSection(Section):
    """What the robot measures with a load on it."""

    length_m: Annotated[float, Gt(0), Le(10)]
    width_m: Annotated[float, Gt(0), Le(5)]
    center_x_m: Annotated[float, Ge(-5), Le(5)] = 0.0

    @property
    def corners_m(self) -> tuple[tuple[float, float], ...]:
        """The outline, x and y of each corner."""
        corners = rectangle(self.length_m, self.width_m, self.center_x_m)
        return tuple((float(x), float(y)) for x, y in corners)


class RobotSection(Section):
    """Who the robot is and what it measures."""

    manufacturer: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9_.:-]+$")]
    serial_number: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9_.:-]+$")]
    topic_prefix: Annotated[
        str | None,
        Field(
            pattern=r"^[^#+]+$",
            description="what topics begin with; by version uagv/v2 or vda5050/v3 without it",
        ),
    ] = None
    series: str = "haulier"
    length_m: Annotated[float, Gt(0), Le(10)]
    width_m: Annotated[float, Gt(0), Le(5)]
    height_m: Annotated[float, Gt(0), Le(5)] = 0.4
    center_x_m: Annotated[float, Ge(-5), Le(5)] = 0.0
    max_load_kg: Annotated[float, Ge(0), Le(100_000)] = 0.0
    battery_empty_v: Annotated[float, Gt(0), Le(1000)] = 22.0
    battery_full_v: Annotated[float, Gt(0), Le(1000)] = 27.0
    loaded: LoadedSection | None = None

    @model_validator(mode="after")
    def _voltages_rise(self) -> "RobotSection":
        if self.battery_full_v <= self.battery_empty_v:
            raise ValueError(
                f"battery_full_v ({self.battery_full_v}) must be above "
                f"battery_empty_v ({self.battery_empty_v})"
            )
        return self

    @model_validator(mode="after")
    def _carries_what_it_is_loaded_with(self) -> "RobotSection":
        if self.loaded is not None and self.max_load_kg == 0.0:
            raise ValueError("loaded: it carries nothing, max_load_kg is 0")
        return self


class MapSection(Section):
    """A map; its id is the section's name."""

    file: Path
    version: Annotated[
        str,
        Field(min_length=1, description="mapVersion, told apart from those that are downloaded"),
    ] = "1"


class StartSection(Section):
    """Where the robot wakes up."""

    map: Annotated[str | None, Field(description="id of the map; may be left out with one")] = None
    pose: Annotated[
        tuple[float, float, float] | None,
        Field(description="x (m), y (m), yaw (rad); without it the robot searches the whole map"),
    ] = None

    @property
    def map_from_base(self) -> Pose2 | None:
        """The start pose, None where the robot is to find it."""
        return None if self.pose is None else Pose2(*self.pose)


class DeviceSection(Section):
    """A device on a serial port; ``options`` belong to its driver."""

    driver: Annotated[str, Field(min_length=1)]
    port: Annotated[str, Field(min_length=1)]
    options: dict[str, Any] = {}

    def build(self, path: str) -> Any:
        """Return the driver with its options.

        Args:
            path: The section's name, which begins with the kind of device: ``lidar.front``,
                ``base``.

        Raises:
            ConfigError: There is no such driver, or it is one for another kind of device, or it
                does not take these options.
        """
        try:
            driver = registry.load(self.driver)
        except DriverError as error:
            raise ConfigError(f"{path}.driver: {error.detail}") from error
        kind = BASE if hasattr(driver, "command") else LIDAR
        if kind != path.partition(".")[0]:
            raise ConfigError(f"{path}.driver: {self.driver} is the driver of a {kind}")
        adapter: TypeAdapter[Any] = TypeAdapter(driver.options)
        try:
            return driver(adapter.validate_python(self.options))
        except ValidationError as error:
            raise ConfigError(_explain(error, adapter.json_schema(), f"{path}.options.")) from error


class LidarSection(DeviceSection):
    """A lidar, where it is mounted, and where it sees nothing but the robot itself."""

    mount: Annotated[
        tuple[float, float, float],
        Field(description="position on the base: x (m), y (m), yaw (rad)"),
    ] = (0.0, 0.0, 0.0)
    mask: Annotated[
        tuple[tuple[Angle, Angle], ...],
        Field(
            description="sectors in which it sees the robot itself: from and to (rad), "
            "counter-clockwise, in the lidar's own frame"
        ),
    ] = ()

    @property
    def as_mounted(self) -> LidarMount:
        """How it is built into the robot."""
        return LidarMount(Pose2(*self.mount), self.mask)


class LocalSection(Section):
    """The command line's door into the daemon."""

    socket: Path = Path("/run/haulier/haulier.sock")


class TopicSection(Section):
    """How messages on a topic travel; what is left out is as the standard says."""

    qos: Annotated[int | None, Ge(0), Le(2)] = None
    retain: Annotated[bool | None, Field(description="of topics that the robot publishes")] = None


class PlatformSection(Section):
    """How the robot speaks VDA 5050."""

    version: Annotated[
        str,
        Field(
            pattern=r"^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$",
            description="exact text of every header's version: 2.0.x, 2.1.x or 3.0.x",
        ),
    ] = "2.1.0"
    minimum_state_interval_s: Annotated[float, Ge(0.05), Le(10)] = 0.5
    state_period_s: Annotated[float, Ge(0.5), Lt(30)] = 25.0
    visualization_interval_s: Annotated[float, Ge(0.05), Le(30)] = 0.2
    topics: dict[str, TopicSection] = {}

    @model_validator(mode="after")
    def _is_spoken(self) -> "PlatformSection":
        if not speaks(self.version):
            known = ", ".join(version.name for version in VERSIONS)
            raise ValueError(f"version {self.version} is not spoken; known: {known}")
        if self.state_period_s < self.minimum_state_interval_s:
            raise ValueError("state_period_s is below minimum_state_interval_s")
        known_topics = (*FROM_ROBOT, *version_of(self.version).to_robot)
        for name, section in self.topics.items():
            if name not in known_topics:
                raise ValueError(f"there is no topic {name}; known: {', '.join(known_topics)}")
            if name not in FROM_ROBOT and section.retain is not None:
                raise ValueError(f"topics.{name}.retain: the master publishes it")
        return self


class OrderSection(Section):
    """What an order gets where it does not say."""

    deviation_m: Annotated[float, Gt(0), Le(5)] = 0.3
    deviation_rad: Annotated[float, Gt(0), Le(math.pi)] = 0.1
    store: Annotated[
        Path | None,
        Field(description="file that the order is kept in over a power cut; empty for none"),
    ] = None
    resume: Annotated[
        Resume, Field(description="what becomes of an order that a power cut interrupted")
    ] = Resume.RESUME

    @field_validator("store", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value


class Config(Section):
    """The whole file."""

    robot: RobotSection
    map: dict[str, MapSection]
    lidar: dict[str, LidarSection]
    base: DeviceSection
    broker: BrokerParams
    start: StartSection = StartSection()
    localization: LocalizationParams = LocalizationParams()
    follower: FollowerParams = FollowerParams()
    field: ProtectiveFieldParams = ProtectiveFieldParams()
    fields: tuple[FieldParams, ...] = ()
    motion: MotionLimits = MotionLimits()
    avoidance: NavigatorParams = NavigatorParams()
    driving: DrivingParams = DrivingParams()
    route: RouteSearchParams = RouteSearchParams()
    order: OrderSection = OrderSection()
    vda5050: PlatformSection = PlatformSection()
    charging: ChargingParams | None = None
    factsheet: Datasheet = Datasheet()
    carrier: dict[str, CarrierParams] = {}
    storage: Annotated[
        StorageParams | None, Field(description="maps of the platform; none are taken without it")
    ] = None
    history: HistoryParams = HistoryParams()
    local: LocalSection = LocalSection()

    @field_validator("history", mode="before")
    @classmethod
    def _no_journal_is_none(cls, value: Any) -> Any:
        is_none = isinstance(value, dict) and value.get("journal") == ""
        return {**value, "journal": None} if is_none else value

    @field_validator("map", mode="before")
    @classmethod
    def _maps_have_ids(cls, value: Any) -> Any:
        if isinstance(value, dict) and not all(isinstance(t, dict) for t in value.values()):
            raise ValueError(
                "every map is a table of its own, named by its id: write [map.hall] in place of "
                "[map], and the start pose into [start] as pose"
            )
        return _not_empty(value, "map", "hall")

    @field_validator("lidar", mode="before")
    @classmethod
    def _lidars_have_names(cls, value: Any) -> Any:
        if isinstance(value, dict) and not all(isinstance(t, dict) for t in value.values()):
            raise ValueError(
                "every lidar is a table of its own, with a name: write [lidar.front] in place of "
                "[lidar], and [lidar.front.options] in place of [lidar.options]"
            )
        for name in value if isinstance(value, dict) else ():
            if not LIDAR_NAME.fullmatch(name):
                raise ValueError(f"{name!r}: a name has up to 16 of a-z, 0-9 and _, a letter first")
        return _not_empty(value, "lidar", "front")

    @model_validator(mode="after")
    def _ports_differ(self) -> "Config":
        found: dict[str, str] = {}
        for name, device in self.devices.items():
            if device.port in found:
                raise ValueError(
                    f"{found[device.port]}.port and {name}.port are both {device.port}"
                )
            found[device.port] = name
        return self

    @model_validator(mode="after")
    def _broker_takes_it(self) -> "Config":
        if found := list(objections(self.broker, self._wishes())):
            raise ValueError("; ".join(found))
        return self

    def _wishes(self) -> list[Wish]:
        """Return what is asked of the broker on each topic; what the standard alone asks may go."""
        robot, version = self.robot, version_of(self.vda5050.version)
        base = (
            f"{robot.topic_prefix or version.topic_prefix}/{robot.manufacturer}"
            f"/{robot.serial_number}"
        )
        wishes = []
        for name in (*FROM_ROBOT, *version.to_robot):
            asked = self.vda5050.topics.get(name, TopicSection())
            is_received = name not in FROM_ROBOT
            wishes.append(
                Wish(f"{base}/{name}", asked.qos or 0, bool(asked.retain), is_received=is_received)
            )
        return wishes

    @model_validator(mode="after")
    def _starts_on_a_map(self) -> "Config":
        known = ", ".join(self.map)
        if self.start.map is None and len(self.map) > 1:
            raise ValueError(f"start.map: missing; on which map does the robot wake up: {known}?")
        if self.start.map is not None and self.start.map not in self.map:
            raise ValueError(f"start.map: there is no map {self.start.map}; known: {known}")
        return self

    @property
    def devices(self) -> dict[str, DeviceSection]:
        """All devices by the path of their section, which is also their name."""
        lidars = {f"{LIDAR}.{name}": lidar for name, lidar in self.lidar.items()}
        return {**lidars, BASE: self.base}

    @property
    def mounts(self) -> dict[str, LidarMount]:
        """How the lidars are built in, by the names of the devices."""
        return {f"{LIDAR}.{name}": lidar.as_mounted for name, lidar in self.lidar.items()}

    @property
    def start_map(self) -> str:
        """Id of the map on which the robot wakes up."""
        return next(iter(self.map)) if self.start.map is None else self.start.map

    def resolved(self, directory: Path) -> "Config":
        """Return the same with all relative file names taken from a directory."""
        broker = {key: located(file, directory) for key, file in self.broker.files.items()}
        return self.model_copy(
            update={
                "map": {
                    map_id: section.model_copy(update={"file": directory / section.file})
                    for map_id, section in self.map.items()
                },
                "local": self.local.model_copy(update={"socket": directory / self.local.socket}),
                "order": self.order
                if self.order.store is None
                else self.order.model_copy(update={"store": directory / self.order.store}),
                "storage": None if self.storage is None else self.storage.within(directory),
                "broker": dataclasses.replace(self.broker, **broker),  # type: ignore[arg-type]
                "history": self.history.within(directory),
            }
        )


def load(path: Path, environment: Mapping[str, str] | None = None) -> Config:
    """Read and check a configuration.

    Relative file names in it are taken from the directory of the configuration file.

    Raises:
        ConfigError: The file cannot be read, is not TOML, or breaks a rule; the message names the
            key with its full path.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    origins = _overlay(tree, os.environ if environment is None else environment)
    _require_finite(tree, path)
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        reasons = _explain(error, Config.model_json_schema(), origins=origins)
        raise ConfigError(f"{path}: {reasons}") from error
    return config.resolved(path.parent)


def _overlay(tree: dict[str, Any], environment: Mapping[str, str]) -> dict[str, str]:
    """Put ``HAULIER_BROKER__PORT=1884`` over ``[broker] port``.

    Returns:
        Path of each key that was set so -> name of the variable.
    """
    origins = {}
    for name, text in environment.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or "__" not in name:
            continue
        *sections, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        table = tree
        for section in sections:
            # A map's id may have capitals, which the name of a variable cannot tell.
            section = next((known for known in table if known.lower() == section), section)
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{name}: {section} is not a section")
        table[key] = _scalar(text)
        origins[".".join([*sections, key])] = name
    return origins


def _not_empty(value: Any, section: str, example: str) -> Any:
    if value == {}:
        raise ValueError(f"there is none; write at least [{section}.{example}]")
    return value


def _require_finite(value: Any, path: Path, *keys: str) -> None:
    """Refuse the numbers inf and nan of TOML: nothing here can be either."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{path}: {'.'.join(keys)}: {value} is not a finite number")
    children: dict[Any, Any] = dict(enumerate(value)) if isinstance(value, list) else {}
    for key, child in (value if isinstance(value, dict) else children).items():
        _require_finite(child, path, *keys, str(key))


def _scalar(text: str) -> Any:
    """Read a value as TOML would, and as a plain string where it is not TOML."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(
    error: ValidationError,
    schema: dict[str, Any],
    prefix: str = "",
    origins: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return each broken rule with the key's full path, its origin and the nearest valid key."""
    lines = []
    for problem in error.errors():
        location = [str(part) for part in problem["loc"]]
        path = prefix + ".".join(location)
        if path in origins:
            path += f" (set by {origins[path]})"
        if problem["type"] == "missing":
            lines.append(f"{path}: missing")
        elif problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            known = _keys_at(schema, location[:-1])
            near = difflib.get_close_matches(location[-1], known, n=1)
            guess = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
            lines.append(f"{path}: unknown key{guess}")
        elif problem["type"] == "value_error":
            # A rule over several keys: its text names them, and the input is the whole table.
            lines.append(": ".join(filter(None, (path, str(problem["ctx"]["error"])))))
        else:
            lines.append(f"{path}: {problem['msg']} (got {problem['input']!r})")
    return "; ".join(lines)


def _keys_at(schema: dict[str, Any], location: list[str]) -> list[str]:
    """Return the keys that a JSON schema allows at a place."""
    node = schema
    for part in ["", *location]:
        if part:
            node = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
        for choice in (node, *node.get("allOf", []), *node.get("anyOf", [])):
            if "$ref" in choice:
                node = schema["$defs"][choice["$ref"].rsplit("/", 1)[-1]]
                break
    return sorted(node.get("properties", {}))
