"""What the robot tells afterwards: the schema of the history lane's events.

One JSON object a message. The envelope says who, when and which; ``event`` says what, and its
``kind`` how the rest of it reads. ``haulier telemetry schema`` prints the JSON Schema, with
``--markdown`` as tables.

Versions: a new kind or a new optional field raises the second number, and whoever reads must pass
over what it does not know; anything else raises the first.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from agent.telemetry.journal import Cause

SCHEMA_VERSION = "1.0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _finite(value: object) -> object:
    """Return None in place of inf and nan, which JSON does not know."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True)


class Motion(_Body):
    """Where the robot is and how it moves, at a configured rate."""

    kind: Literal["motion"] = "motion"
    map_id: str | None = Field(None, description="map that the pose belongs to")
    x_m: Number = Field(None, description="position of the base on the map")
    y_m: Number = Field(None, description="position of the base on the map")
    yaw_rad: Number = Field(None, description="heading, counter-clockwise from the map's x axis")
    stddev_m: Number = Field(None, description="standard deviation of the position")
    stddev_yaw_rad: Number = Field(None, description="standard deviation of the heading")
    score: Number = Field(None, description="how well the scan fits the map, 0 to 1")
    localized: bool = Field(False, description="whether the pose may be used to drive")
    forward_mps: Number = Field(None, description="speed by the wheels")
    yaw_rate_radps: Number = Field(None, description="yaw rate by the wheels")
    command_forward_mps: Number = Field(None, description="speed that the base is told")
    command_yaw_rate_radps: Number = Field(None, description="yaw rate that the base is told")
    slowed: bool = Field(False, description="whether obstacles make it slower than it would go")
    stop_reason: str | None = Field(None, description="why it may not move, if it may not")


class Localization(_Body):
    """The pose was lost, found, told or searched for, or the map changed."""

    kind: Literal["localization"] = "localization"
    change: Literal[
        "lost", "recovered", "set", "refused", "search_begun", "search_ended", "map_changed"
    ]
    map_id: str | None = Field(None, description="map that it is about")
    score: Number = Field(None, description="how well the scan fits the map, 0 to 1")
    reason: str | None = Field(None, description="why, in words")
    places: int | None = Field(None, description="how many places a search found possible")
    by: str | None = Field(None, description="request or action that asked for it")
    x_m: Number = Field(None, description="pose that was told")
    y_m: Number = Field(None, description="pose that was told")
    yaw_rad: Number = Field(None, description="pose that was told")


class Stop(_Body):
    """The robot was not let drive, was let drive again, or a stop was acknowledged."""

    kind: Literal["stop"] = "stop"
    change: Literal["stopped", "resumed", "acknowledged"]
    reason: str | None = Field(None, description="why it may not move")
    stopped_s: Number = Field(None, description="how long it was not let drive")


class Order(_Body):
    """An order came, went on, ended or was refused, or a node of it was reached."""

    kind: Literal["order"] = "order"
    change: Literal[
        "accepted", "rejected", "finished", "resumed", "interrupted", "cancelled", "node_reached"
    ]
    order_id: str | None = Field(None, description="orderId of VDA 5050")
    order_update_id: int | None = Field(None, description="orderUpdateId of VDA 5050")
    node_id: str | None = Field(None, description="node that was reached")
    reason: str | None = Field(None, description="why, in words")


class Action(_Body):
    """An action began, paused or ended."""

    kind: Literal["action"] = "action"
    action_id: str = Field(description="actionId of VDA 5050")
    action_type: str | None = Field(None, description="actionType of VDA 5050")
    status: str = Field(description="actionStatus of VDA 5050")
    result: str | None = Field(None, description="resultDescription of VDA 5050")


class Load(_Body):
    """A load was taken or left."""

    kind: Literal["load"] = "load"
    loads: int = Field(description="how many are on the robot now")


class Fault(_Body):
    """An error began to hold, or no longer holds."""

    kind: Literal["fault"] = "fault"
    change: Literal["raised", "cleared"]
    code: str = Field(description="name of the error, as 'haulier explain' takes it")
    about: str | None = Field(None, description="device, order or map that it is about")
    detail: str | None = Field(None, description="what is wrong, in words")


class Device(_Body):
    """A lidar or the base changed its state."""

    kind: Literal["device"] = "device"
    device: str = Field(description="name of the device, as in the configuration")
    phase: Literal["connecting", "starting", "streaming", "lost"]
    code: str | None = Field(None, description="name of the error that ended it")
    reason: str | None = Field(None, description="why, in words")


class DeviceStatistics(_Body):
    """What a device's line delivered since the start, at a configured interval."""

    kind: Literal["device_statistics"] = "device_statistics"
    device: str = Field(description="name of the device, as in the configuration")
    counters: dict[str, int] = Field(description="frames, skipped bytes, bad checksums and so on")


class Battery(_Body):
    """The battery, at a configured interval."""

    kind: Literal["battery"] = "battery"
    voltage_v: Number = Field(None, description="voltage")
    charge: Number = Field(None, description="state of charge, 0 to 1")


class LoopTiming(_Body):
    """How punctual the control loop is, at a configured interval; percentiles of 80 s."""

    kind: Literal["loop_timing"] = "loop_timing"
    cycles: int = Field(description="cycles since the start")
    overruns: int = Field(description="cycles since the start that ended too late")
    lateness_p50_ms: Number = Field(None, description="how late cycles begin")
    lateness_p99_ms: Number = Field(None, description="how late cycles begin")
    lateness_max_ms: Number = Field(None, description="how late cycles begin")
    work_p50_ms: Number = Field(None, description="how long cycles take")
    work_p99_ms: Number = Field(None, description="how long cycles take")
    work_max_ms: Number = Field(None, description="how long cycles take")


class Dropped(_Body):
    """Something that came was not used."""

    kind: Literal["dropped"] = "dropped"
    topic: str | None = Field(None, description="topic of a message that could not be read")
    reason: str | None = Field(None, description="why it could not")
    count: int | None = Field(None, description="scans, samples and messages replaced unread")


class Agent(_Body):
    """The daemon came up or went down in order; a boot without the latter was cut short."""

    kind: Literal["agent"] = "agent"
    change: Literal["started", "stopped"]
    version: str = Field(description="version of the software")


class Lost(_Body):
    """Records of this robot that nobody will ever get, and why."""

    kind: Literal["lost"] = "lost"
    first: int = Field(description="first sequence number that is missing")
    last: int = Field(description="last sequence number that is missing")
    cause: Cause = Field(
        description="queue: the disk took nothing for too long; size: the journal was full; "
        "damage: bytes on the disk are damaged; content: the record made no sense"
    )


Body = (
    Motion
    | Localization
    | Stop
    | Order
    | Action
    | Load
    | Fault
    | Device
    | DeviceStatistics
    | Battery
    | LoopTiming
    | Dropped
    | Agent
    | Lost
)


class Event(BaseModel):
    """One event of a robot; (manufacturer, serial_number, boot_id, sequence) names it for good."""

    model_config = ConfigDict(frozen=True)

    schema_version: str = Field(description="version of this schema")
    manufacturer: str = Field(description="of the robot")
    serial_number: str = Field(description="of the robot")
    boot_id: str = Field(description="another one each time the daemon starts")
    sequence: int = Field(
        ge=1,
        description="one more with each record of the robot, over all its boots; what was not on "
        "the disk yet when a boot was cut short has its number taken by the next",
    )
    time: datetime = Field(description="UTC; follows each step of the robot's wall clock")
    monotonic_ns: int = Field(description="clock that never steps; comparable within one boot_id")
    event: Body = Field(discriminator="kind", description="what happened")


class EventWriter:
    """Makes events of one boot of one robot.

    Args:
        manufacturer: Of the robot.
        serial_number: Of the robot.
        boot_id: Another one each time.
    """

    def __init__(self, manufacturer: str, serial_number: str, boot_id: str) -> None:
        self._who = {
            "schema_version": SCHEMA_VERSION,
            "manufacturer": manufacturer,
            "serial_number": serial_number,
            "boot_id": boot_id,
        }

    def write(self, body: Body, utc_ns: int, now_ns: int, sequence: int) -> bytes:
        """Return an event as it travels; what a field would say by default is left out.

        Args:
            body: What happened.
            utc_ns: Wall-clock time at which it did.
            now_ns: Monotonic time at which it did.
            sequence: Number of the record.
        """
        event = Event.model_construct(
            _fields_set=None,
            **self._who,
            sequence=sequence,
            time=_EPOCH + timedelta(microseconds=utc_ns // 1000),
            monotonic_ns=now_ns,
            event=body,
        )
        return event.model_dump_json(exclude_none=True).encode()


def read(payload: bytes) -> Event:
    """Return the event of a message.

    Raises:
        ValueError: It is none.
    """
    return Event.model_validate_json(payload)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of an event as it travels."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "version": SCHEMA_VERSION,
        **Event.model_json_schema(),
    }


def reference() -> Iterator[str]:
    """Return the schema line by line as Markdown for people to read."""
    tree = schema()
    yield f"# Events of the history lane, version {SCHEMA_VERSION}"
    yield from _table("Envelope", tree)
    for name, definition in tree["$defs"].items():
        if "kind" in definition.get("properties", {}):
            yield from _table(f"`{definition['properties']['kind']['const']}` ({name})", definition)


def _table(title: str, definition: dict[str, Any]) -> Iterator[str]:
    yield from ("", f"## {title}", "", definition["description"], "")
    yield from ("| field | type | meaning |", "|---|---|---|")
    for name, field in definition["properties"].items():
        if name != "kind":
            yield f"| `{name}` | {_type(field)} | {field.get('description', '')} |"


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "anyOf" in field:
        kinds = [_type(choice) for choice in field["anyOf"] if choice.get("type") != "null"]
        return f"{' or '.join(kinds)}, may be left out"
    if "$ref" in field:
        return str(field["$ref"]).rsplit("/", 1)[-1].lower()
    if "oneOf" in field:
        return "one of the kinds below"
    return str(field.get("format", field.get("type", "")))
