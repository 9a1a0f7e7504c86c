"""The configuration: one TOML file, checked as a whole before anything starts.

Order of precedence: built-in default, the file, ``HAULIER_SECTION__KEY`` in the environment. The
parameter classes belong to the modules that use them; this module only nests them, so a limit is
written once, beside what it limits.
"""

import dataclasses
import difflib
import math
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from agent.avoidance.governor import MotionLimits
from agent.avoidance.protective_field import ProtectiveFieldParams
from agent.errors import ConfigError
from agent.geometry.pose import Pose2
from agent.localization.localizer import LocalizationParams
from agent.route.follower import FollowerParams
from agent.telemetry.broker import BrokerParams
from drivers import registry
from drivers.errors import DriverError

DEFAULT_PATH = Path("/etc/haulier/haulier.toml")
ENVIRONMENT_PREFIX = "HAULIER_"


class Section(BaseModel):
    """A table of the file; a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RobotSection(Section):
    """Who the robot is and what it measures."""

    manufacturer: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9_.:-]+$")]
    serial_number: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9_.:-]+$")]
    topic_prefix: Annotated[str, Field(pattern=r"^[^#+]+$")] = "uagv/v2"
    series: str = "haulier"
    length_m: Annotated[float, Gt(0), Le(10)]
    width_m: Annotated[float, Gt(0), Le(5)]
    height_m: Annotated[float, Gt(0), Le(5)] = 0.4
    center_x_m: Annotated[float, Ge(-5), Le(5)] = 0.0
    max_load_kg: Annotated[float, Ge(0), Le(100_000)] = 0.0
    battery_empty_v: Annotated[float, Gt(0), Le(1000)] = 22.0
    battery_full_v: Annotated[float, Gt(0), Le(1000)] = 27.0

    @model_validator(mode="after")
    def _voltages_rise(self) -> "RobotSection":
        if self.battery_full_v <= self.battery_empty_v:
            raise ValueError(
                f"battery_full_v ({self.battery_full_v}) must be above "
                f"battery_empty_v ({self.battery_empty_v})"
            )
        return self


class MapSection(Section):
    """The map and where on it the robot wakes up."""

    file: Path
    id: Annotated[str, Field(min_length=1)]
    start_pose: Annotated[tuple[float, float, float], Field(description="x (m), y (m), yaw (rad)")]

    @property
    def map_from_base(self) -> Pose2:
        """The start pose."""
        return Pose2(*self.start_pose)


class DeviceSection(Section):
    """A device on a serial port; ``options`` belong to its driver."""

    driver: Annotated[str, Field(min_length=1)]
    port: Annotated[str, Field(min_length=1)]
    options: dict[str, Any] = {}

    def build(self, path: str) -> Any:
        """Return the driver with its options.

        Args:
            path: The kind of device, ``lidar`` or ``base``, which is also the section's name.

        Raises:
            ConfigError: There is no such driver, or it is one for another kind of device, or it
                does not take these options.
        """
        try:
            driver = registry.load(self.driver)
        except DriverError as error:
            raise ConfigError(f"{path}.driver: {error.detail}") from error
        kind = "base" if hasattr(driver, "command") else "lidar"
        if kind != path:
            raise ConfigError(f"{path}.driver: {self.driver} is the driver of a {kind}")
        adapter: TypeAdapter[Any] = TypeAdapter(driver.options)
        try:
            return driver(adapter.validate_python(self.options))
        except ValidationError as error:
            raise ConfigError(_explain(error, adapter.json_schema(), f"{path}.options.")) from error


class LidarSection(DeviceSection):
    """The lidar and where it is mounted."""

    mount: Annotated[
        tuple[float, float, float],
        Field(description="position on the base: x (m), y (m), yaw (rad)"),
    ] = (0.0, 0.0, 0.0)

    @property
    def base_from_lidar(self) -> Pose2:
        """The mount as a transform."""
        return Pose2(*self.mount)


class LocalSection(Section):
    """The command line's door into the daemon."""

    socket: Path = Path("/run/haulier/haulier.sock")


class OrderSection(Section):
    """What an order gets where it does not say."""

    deviation_m: Annotated[float, Gt(0), Le(5)] = 0.3
    deviation_rad: Annotated[float, Gt(0), Le(math.pi)] = 0.1


class Config(Section):
    """The whole file."""

    robot: RobotSection
    map: MapSection
    lidar: LidarSection
    base: DeviceSection
    broker: BrokerParams
    seed: Annotated[int, Ge(0)] = 0
    localization: LocalizationParams = LocalizationParams()
    follower: FollowerParams = FollowerParams()
    field: ProtectiveFieldParams = ProtectiveFieldParams()
    motion: MotionLimits = MotionLimits()
    order: OrderSection = OrderSection()
    local: LocalSection = LocalSection()

    @model_validator(mode="after")
    def _ports_differ(self) -> "Config":
        if self.lidar.port == self.base.port:
            raise ValueError(f"lidar.port and base.port are both {self.lidar.port}")
        return self

    def resolved(self, directory: Path) -> "Config":
        """Return the same with all relative file names taken from a directory."""
        files = ("password_file", "ca_file", "certificate_file", "key_file")
        named = {name: getattr(self.broker, name) for name in files}
        broker = {name: directory / file for name, file in named.items() if file is not None}
        return self.model_copy(
            update={
                "map": self.map.model_copy(update={"file": directory / self.map.file}),
                "local": self.local.model_copy(update={"socket": directory / self.local.socket}),
                "broker": dataclasses.replace(self.broker, **broker),
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
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{name}: {section} is not a section")
        table[key] = _scalar(text)
        origins[".".join([*sections, key])] = name
    return origins


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
        node = node.get("properties", {}).get(part, {}) if part else node
        for choice in (node, *node.get("allOf", []), *node.get("anyOf", [])):
            if "$ref" in choice:
                node = schema["$defs"][choice["$ref"].rsplit("/", 1)[-1]]
                break
    return sorted(node.get("properties", {}))
