"""The messages of VDA 5050 2.1.0 as pydantic models.

Names are those of the standard in Python's spelling; the JSON has the standard's camelCase. Unknown
fields are tolerated (a newer minor version may add some), unknown enum values and wrong types are
not. Optional fields that are unset are left out of the JSON, never sent as null (section 6.1.1).
"""

import math
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, TypedDict, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from agent.errors import MessageInvalid
from agent.vda5050.identity import Identity

UINT32 = 2**32
MOST_PROBLEMS = 3  # of a message that breaks many rules, the first few say enough
ANGLE_LIMIT = math.pi + 1e-3  # masters round pi up

UInt32 = Annotated[int, Field(ge=0, lt=UINT32)]
Angle = Annotated[float, Field(ge=-ANGLE_LIMIT, le=ANGLE_LIMIT)]
NotNegative = Annotated[float, Field(ge=0)]
Timestamp = Annotated[
    str,
    Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)$"),
]


class _Object(BaseModel):
    """A JSON object of the standard."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        strict=True,
        frozen=True,
        allow_inf_nan=False,  # section 6.1.4
    )


class Header(_Object):
    """What every message starts with (section 6.4)."""

    header_id: UInt32
    timestamp: Timestamp
    version: str
    manufacturer: str
    serial_number: str

    def encode(self) -> bytes:
        """Return the message as UTF-8 JSON, optional fields left out where unset."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


# Section 6.14


class ConnectionState(StrEnum):
    """Whether robot and broker are joined."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    CONNECTIONBROKEN = "CONNECTIONBROKEN"


class Connection(Header):
    """Message on the topic ``connection``."""

    connection_state: ConnectionState


# Sections 6.6.6 and 6.9


class BlockingType(StrEnum):
    """What else may go on beside an action (section 6.12)."""

    NONE = "NONE"
    SOFT = "SOFT"
    HARD = "HARD"


class ActionParameter(_Object):
    """One argument of an action (section 7.2)."""

    key: str
    value: JsonValue


class Action(_Object):
    """Something to do on a node, on an edge or at once."""

    action_type: str
    action_id: str
    blocking_type: BlockingType
    action_description: str | None = None
    action_parameters: list[ActionParameter] | None = None


class InitPosition(_Object):
    """Parameters of the action ``initPosition`` (section 6.8.1)."""

    x: float
    y: float
    theta: Angle
    map_id: str
    last_node_id: str


class NodePosition(_Object):
    """Where a node is, in the map frame."""

    x: float
    y: float
    map_id: str
    theta: Angle | None = None
    allowed_deviation_xy: NotNegative | None = Field(None, alias="allowedDeviationXY")
    allowed_deviation_theta: Annotated[float, Field(ge=0, le=ANGLE_LIMIT)] | None = None
    map_description: str | None = None


class Node(_Object):
    """A place to pass or to end at."""

    node_id: str
    sequence_id: UInt32
    released: bool
    actions: list[Action]
    node_position: NodePosition | None = None
    node_description: str | None = None


class ControlPoint(_Object):
    """A control point of a NURBS."""

    x: float
    y: float
    weight: NotNegative = 1.0


class Trajectory(_Object):
    """A NURBS curve from an edge's start to its end."""

    knot_vector: list[Annotated[float, Field(ge=0, le=1)]]
    control_points: list[ControlPoint]
    degree: Annotated[float, Field(ge=1)] = 1.0


class CorridorRefPoint(StrEnum):
    """What must stay inside a corridor."""

    KINEMATICCENTER = "KINEMATICCENTER"
    CONTOUR = "CONTOUR"


class Corridor(_Object):
    """How far beside an edge's trajectory the robot may go (section 6.6.5)."""

    left_width: NotNegative
    right_width: NotNegative
    corridor_ref_point: CorridorRefPoint | None = None


class OrientationType(StrEnum):
    """What an edge's orientation refers to."""

    GLOBAL = "GLOBAL"
    TANGENTIAL = "TANGENTIAL"


class Edge(_Object):
    """The way from one node to the next."""

    edge_id: str
    sequence_id: UInt32
    released: bool
    start_node_id: str
    end_node_id: str
    actions: list[Action]
    edge_description: str | None = None
    max_speed: float | None = None
    max_height: float | None = None
    min_height: float | None = None
    orientation: Angle | None = None
    orientation_type: OrientationType | None = None
    direction: str | None = None
    rotation_allowed: bool | None = None
    max_rotation_speed: float | None = None
    length: float | None = None
    trajectory: Trajectory | None = None
    corridor: Corridor | None = None


class Order(Header):
    """Message on the topic ``order`` (section 6.6.6)."""

    order_id: str
    order_update_id: UInt32
    nodes: list[Node]
    edges: list[Edge]
    zone_set_id: str | None = None


class InstantActions(Header):
    """Message on the topic ``instantActions`` (section 6.9).

    A widespread master calls the array ``instantActions``, as version 1.1 of the standard did.
    """

    actions: list[Action] = Field(
        validation_alias=AliasChoices("actions", "instantActions"), serialization_alias="actions"
    )


# Sections 6.10.6 and 6.13


class MapStatus(StrEnum):
    """Whether a map on the robot is in use."""

    ENABLED = "ENABLED"
    DISABLED = "DISABLED"


class Map(_Object):
    """A map stored on the robot."""

    map_id: str
    map_version: str
    map_status: MapStatus
    map_description: str | None = None


class NodeState(_Object):
    """A node still to be reached."""

    node_id: str
    sequence_id: UInt32
    released: bool
    node_description: str | None = None
    node_position: NodePosition | None = None


class EdgeState(_Object):
    """An edge still to be driven."""

    edge_id: str
    sequence_id: UInt32
    released: bool
    edge_description: str | None = None
    trajectory: Trajectory | None = None


class AgvPosition(_Object):
    """Where the robot is, in the map frame."""

    x: float
    y: float
    theta: Angle
    map_id: str
    position_initialized: bool
    localization_score: Annotated[float, Field(ge=0, le=1)] | None = None
    deviation_range: NotNegative | None = None
    map_description: str | None = None


class Velocity(_Object):
    """How the robot moves, in its own frame."""

    vx: float | None = None
    vy: float | None = None
    omega: float | None = None


class ActionStatus(StrEnum):
    """Where in its life an action is (section 6.11); the schema forgot PAUSED."""

    WAITING = "WAITING"
    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"


class ActionState(_Object):
    """How an action is getting on."""

    action_id: str
    action_status: ActionStatus
    action_type: str | None = None
    action_description: str | None = None
    result_description: str | None = None


class BatteryState(_Object):
    """The traction battery; charge in percent."""

    battery_charge: float
    charging: bool
    battery_voltage: float | None = None
    battery_health: float | None = None
    reach: float | None = None


class OperatingMode(StrEnum):
    """Who is in control of the robot (section 6.10.6, table 1)."""

    AUTOMATIC = "AUTOMATIC"
    SEMIAUTOMATIC = "SEMIAUTOMATIC"
    MANUAL = "MANUAL"
    SERVICE = "SERVICE"
    TEACHIN = "TEACHIN"


class ErrorLevel(StrEnum):
    """Whether the robot can go on by itself."""

    WARNING = "WARNING"
    FATAL = "FATAL"


class Reference(_Object):
    """What an error or an information is about (section 7.1)."""

    reference_key: str
    reference_value: str


class Error(_Object):
    """An error that is active."""

    error_type: str
    error_level: ErrorLevel
    error_references: list[Reference] | None = None
    error_description: str | None = None
    error_hint: str | None = None


class InfoLevel(StrEnum):
    """Whom an information is for."""

    INFO = "INFO"
    DEBUG = "DEBUG"


class Information(_Object):
    """Something to show; no master acts on it (section 6.10.4)."""

    info_type: str
    info_level: InfoLevel
    info_references: list[Reference] | None = None
    info_description: str | None = None


class EStop(StrEnum):
    """How an emergency stop has to be acknowledged."""

    AUTOACK = "AUTOACK"
    MANUAL = "MANUAL"
    REMOTE = "REMOTE"
    NONE = "NONE"


class SafetyState(_Object):
    """Emergency stop and protective field."""

    e_stop: EStop
    field_violation: bool


class BoundingBoxReference(_Object):
    """Where on the robot a load's bounding box stands."""

    x: float
    y: float
    z: float
    theta: float | None = None


class LoadDimensions(_Object):
    """Size of a load's bounding box."""

    length: float
    width: float
    height: float | None = None


class Load(_Object):
    """A load on the robot."""

    load_id: str | None = None
    load_type: str | None = None
    load_position: str | None = None
    bounding_box_reference: BoundingBoxReference | None = None
    load_dimensions: LoadDimensions | None = None
    weight: NotNegative | None = None


class State(Header):
    """Message on the topic ``state``."""

    order_id: str
    order_update_id: UInt32
    last_node_id: str
    last_node_sequence_id: UInt32
    node_states: list[NodeState]
    edge_states: list[EdgeState]
    driving: bool
    action_states: list[ActionState]
    battery_state: BatteryState
    operating_mode: OperatingMode
    errors: list[Error]
    safety_state: SafetyState
    maps: list[Map] | None = None
    zone_set_id: str | None = None
    agv_position: AgvPosition | None = None
    velocity: Velocity | None = None
    loads: list[Load] | None = None
    paused: bool | None = None
    new_base_request: bool | None = None
    distance_since_last_node: float | None = None
    information: list[Information] | None = None


class Visualization(Header):
    """Message on the topic ``visualization``."""

    agv_position: AgvPosition | None = None
    velocity: Velocity | None = None


# Section 6.15.1


class Kinematic(StrEnum):
    """How the robot is driven and steered."""

    DIFF = "DIFF"
    OMNI = "OMNI"
    THREEWHEEL = "THREEWHEEL"


class AgvClass(StrEnum):
    """What the robot carries with."""

    FORKLIFT = "FORKLIFT"
    CONVEYOR = "CONVEYOR"
    TUGGER = "TUGGER"
    CARRIER = "CARRIER"


class LocalizationType(StrEnum):
    """What the robot finds its position by."""

    NATURAL = "NATURAL"
    REFLECTOR = "REFLECTOR"
    RFID = "RFID"
    DMC = "DMC"
    SPOT = "SPOT"
    GRID = "GRID"


class NavigationType(StrEnum):
    """Who decides the way from node to node."""

    PHYSICAL_LINE_GUIDED = "PHYSICAL_LINE_GUIDED"
    VIRTUAL_LINE_GUIDED = "VIRTUAL_LINE_GUIDED"
    AUTONOMOUS = "AUTONOMOUS"


class TypeSpecification(_Object):
    """Class and capabilities of the robot."""

    series_name: str
    agv_kinematic: Kinematic
    agv_class: AgvClass
    max_load_mass: NotNegative
    localization_types: list[LocalizationType]
    navigation_types: list[NavigationType]
    series_description: str | None = None


class PhysicalParameters(_Object):
    """Basic physical properties."""

    speed_min: float
    speed_max: float
    acceleration_max: float
    deceleration_max: float
    height_max: float
    width: float
    length: float
    height_min: float | None = None
    angular_speed_min: float | None = None
    angular_speed_max: float | None = None


class MaxStringLens(_Object):
    """Longest strings the robot takes; a limit left out does not exist."""

    msg_len: int | None = None
    topic_serial_len: int | None = None
    topic_elem_len: int | None = None
    id_len: int | None = None
    id_numerical_only: bool | None = None
    enum_len: int | None = None
    load_id_len: int | None = None


class MaxArrayLens(_Object):
    """Longest arrays the robot takes and sends; a limit left out does not exist."""

    order_nodes: int | None = Field(None, alias="order.nodes")
    order_edges: int | None = Field(None, alias="order.edges")
    instant_actions: int | None = None
    state_action_states: int | None = Field(None, alias="state.actionStates")
    state_errors: int | None = Field(None, alias="state.errors")


class Timing(_Object):
    """Intervals in seconds."""

    min_order_interval: NotNegative
    min_state_interval: NotNegative
    default_state_interval: NotNegative | None = None
    visualization_interval: NotNegative | None = None


class ProtocolLimits(_Object):
    """Limits of the communication."""

    max_string_lens: MaxStringLens
    max_array_lens: MaxArrayLens
    timing: Timing


class Support(StrEnum):
    """How an optional parameter is dealt with."""

    SUPPORTED = "SUPPORTED"
    REQUIRED = "REQUIRED"


class OptionalParameter(_Object):
    """An optional parameter that the robot understands."""

    parameter: str
    support: Support
    description: str | None = None


class ActionScope(StrEnum):
    """Where an action may be used."""

    INSTANT = "INSTANT"
    NODE = "NODE"
    EDGE = "EDGE"


class ValueType(StrEnum):
    """What the value of a parameter is."""

    BOOL = "BOOL"
    NUMBER = "NUMBER"
    INTEGER = "INTEGER"
    FLOAT = "FLOAT"
    STRING = "STRING"
    OBJECT = "OBJECT"
    ARRAY = "ARRAY"


class ParameterDefinition(_Object):
    """A parameter that an action takes."""

    key: str
    value_data_type: ValueType
    description: str | None = None
    is_optional: bool | None = None


class AgvAction(_Object):
    """An action that the robot can perform."""

    action_type: str
    action_scopes: list[ActionScope]
    action_description: str | None = None
    action_parameters: list[ParameterDefinition] | None = None
    result_description: str | None = None


class ProtocolFeatures(_Object):
    """What of the protocol the robot understands."""

    optional_parameters: list[OptionalParameter]
    agv_actions: list[AgvAction]


class PolygonPoint(_Object):
    """A corner, in the robot's frame."""

    x: float
    y: float


class Envelope2d(_Object):
    """An outline of the robot seen from above."""

    set: str
    polygon_points: list[PolygonPoint]
    description: str | None = None


class AgvGeometry(_Object):
    """Shape of the robot."""

    envelopes_2d: list[Envelope2d] | None = Field(None, alias="envelopes2d")


class LoadSpecification(_Object):
    """Loads the robot can handle; without load positions it has no device to handle them."""

    load_positions: list[str] | None = None


class Factsheet(Header):
    """Message on the topic ``factsheet``."""

    type_specification: TypeSpecification
    physical_parameters: PhysicalParameters
    protocol_limits: ProtocolLimits
    protocol_features: ProtocolFeatures
    agv_geometry: AgvGeometry
    load_specification: LoadSpecification


class HeaderFields(TypedDict):
    """The keyword arguments of a :class:`Header`."""

    header_id: int
    timestamp: str
    version: str
    manufacturer: str
    serial_number: str


class HeaderCounter:
    """Numbers the messages of one sender, per topic (section 6.4)."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._next: dict[str, int] = {}

    def next(self, topic: str, utc_ns: int) -> HeaderFields:
        """Return the header of the next message on a topic."""
        header_id = self._next.get(topic, 0)
        self._next[topic] = (header_id + 1) % UINT32
        return HeaderFields(
            header_id=header_id,
            timestamp=timestamp(utc_ns),
            version=self._identity.version,
            manufacturer=self._identity.manufacturer,
            serial_number=self._identity.serial_number,
        )


def timestamp(utc_ns: int) -> str:
    """Return wall-clock time as ISO 8601 with milliseconds, such as 2026-01-01T00:00:00.000Z."""
    seconds, rest_ns = divmod(utc_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest_ns // 1_000_000:03d}Z"


M = TypeVar("M", bound=Header)
P = TypeVar("P", bound=_Object)


def decode(model: type[M], payload: bytes) -> M:
    """Read a message.

    Raises:
        MessageInvalid: It is not JSON or breaks the standard; the text names the fields.
    """
    try:
        return model.model_validate_json(payload, by_alias=True, by_name=False)
    except ValidationError as error:
        problems, field = _problems(error)
        raise MessageInvalid(
            f"the {model.__name__} message breaks the standard: {problems}",
            **({"field": field} if field else {}),
        ) from error


def read_parameters(model: type[P], action: Action) -> P:
    """Read the parameters of an action; those it does not know are tolerated.

    Raises:
        MessageInvalid: One is missing or breaks the standard; the text names it.
    """
    given = {parameter.key: parameter.value for parameter in action.action_parameters or ()}
    try:
        return model.model_validate(given, by_alias=True, by_name=False)
    except ValidationError as error:
        problems, field = _problems(error)
        raise MessageInvalid(f"{action.action_type}: {problems}", field=field) from error


def _problems(error: ValidationError) -> tuple[str, str]:
    """Return the first few broken rules in words, and the path of the first."""
    problems = error.errors(include_url=False)
    shown = "; ".join(
        ": ".join(filter(None, (_path(problem["loc"]), problem["msg"])))
        for problem in problems[:MOST_PROBLEMS]
    )
    more = len(problems) - MOST_PROBLEMS
    rest = f"; and {more} more" if more > 0 else ""
    return shown + rest, _path(problems[0]["loc"])


def _path(location: tuple[int | str, ...]) -> str:
    """Return where in a message something is, such as ``nodes[2].nodePosition.x``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")
