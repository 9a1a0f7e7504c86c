"""The messages of VDA 5050 as pydantic models: one internal model for all versions.

It has the shape and the names of 2.1.0, in Python's spelling, and what 3.0 knows beyond it; the
sections named here are those of 2.1 unless they say 3.0. Every message is read and written in the
version that its header names, by way of :mod:`agent.vda5050.wire`. Unknown fields are tolerated (a
newer minor version may add some), unknown enum values and wrong types are not. Optional fields that
are unset are left out of the JSON, never sent as null (section 6.1.1).
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, ClassVar, Self, TypedDict, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import from_json, to_json

from agent.errors import MessageInvalid
from agent.vda5050.identity import Identity
from agent.vda5050.wire.difference import Location
from agent.vda5050.wire.version import WordRefused, version_of

UINT32 = 2**32
MOST_PROBLEMS = 3  # of a message that breaks many rules, the first few say enough
ANGLE_LIMIT = math.pi + 1e-3  # masters round pi up


def _whole(value: object) -> object:
    """Return a whole number as an integer; 2.x types some as float64 that count things."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


UInt32 = Annotated[int, Field(ge=0, lt=UINT32)]
Degree = Annotated[int, Field(ge=1, lt=UINT32), BeforeValidator(_whole)]
Percent = Annotated[int, Field(ge=0, le=100), BeforeValidator(_whole)]
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
    """What every message starts with (section 6.4).

    Attributes:
        topic: Last level of the topic that the message goes over.
        long_arrays: Arrays that may have a thousand members, by their names, and what these are.
    """

    topic: ClassVar[str]
    long_arrays: ClassVar[Mapping[str, type["_Object"]]] = MappingProxyType({})
    header_id: UInt32
    timestamp: Timestamp
    version: str
    manufacturer: str
    serial_number: str

    def encode(self) -> bytes:
        """Return the message as UTF-8 JSON of the version that its header names.

        Optional fields are left out where unset.
        """
        tree = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        version_of(self.version).outgoing(self.topic, tree)
        return to_json(tree)


# Section 6.14


class ConnectionState(StrEnum):
    """Whether robot and broker are joined."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    HIBERNATING = "HIBERNATING"
    CONNECTIONBROKEN = "CONNECTIONBROKEN"


class Connection(Header):
    """Message on the topic ``connection``."""

    topic = "connection"

    connection_state: ConnectionState


# Sections 6.6.6 and 6.9


class BlockingType(StrEnum):
    """What else may go on beside an action (section 6.12; SINGLE: 3.0, section 6.2.2)."""

    NONE = "NONE"
    SOFT = "SOFT"
    SINGLE = "SINGLE"
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
    retriable: bool | None = None


class InitPosition(_Object):
    """Parameters of the action ``initPosition`` (section 6.8.1)."""

    x: float
    y: float
    theta: Angle
    map_id: str
    last_node_id: str


class Ellipse(_Object):
    """How far beside a node is on it (3.0, section 6.6.2.1).

    Attributes:
        a: Semi-major axis in m.
        b: Semi-minor axis in m.
        theta: Turn of the major axis against the map's x axis, in rad.
    """

    a: NotNegative
    b: NotNegative
    theta: Angle

    def holds(self, x: float, y: float) -> bool:
        """Whether an offset from the node, in m along the map's axes, lies within."""
        along = x * math.cos(self.theta) + y * math.sin(self.theta)
        across = y * math.cos(self.theta) - x * math.sin(self.theta)
        return (along * self.b) ** 2 + (across * self.a) ** 2 <= (self.a * self.b) ** 2


class NodePosition(_Object):
    """Where a node is, in the map frame.

    Where 3.0 gives an ellipse, ``allowed_deviation_xy`` is the radius of the circle inside it.
    """

    x: float
    y: float
    map_id: str
    theta: Angle | None = None
    allowed_deviation_xy: NotNegative | None = Field(None, alias="allowedDeviationXY")
    allowed_deviation_ellipse: Ellipse | None = None
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
    degree: Degree = 1


class CorridorRefPoint(StrEnum):
    """What must stay inside a corridor."""

    KINEMATICCENTER = "KINEMATICCENTER"
    CONTOUR = "CONTOUR"


class ReleaseLossBehavior(StrEnum):
    """What to do in a corridor whose release is lost (3.0, section 7.3)."""

    STOP = "STOP"
    RETURN = "RETURN"


class Corridor(_Object):
    """How far beside an edge's trajectory the robot may go (section 6.6.5).

    With ``release_required`` it may do so only after asking (3.0, section 6.6.10).
    """

    left_width: NotNegative
    right_width: NotNegative
    corridor_ref_point: CorridorRefPoint | None = None
    release_required: bool | None = None
    release_loss_behavior: ReleaseLossBehavior | None = None


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

    topic = "order"
    long_arrays = MappingProxyType({"nodes": Node, "edges": Edge})

    order_id: str
    order_update_id: UInt32
    nodes: list[Node]
    edges: list[Edge]
    order_description: str | None = None
    zone_set_id: str | None = None


class InstantActions(Header):
    """Message on the topic ``instantActions`` (section 6.9)."""

    topic = "instantActions"

    actions: list[Action]


# 3.0, sections 6.9 and 7.5


class GrantType(StrEnum):
    """What the master says to a request."""

    GRANTED = "GRANTED"
    QUEUED = "QUEUED"
    REVOKED = "REVOKED"
    REJECTED = "REJECTED"


class Response(_Object):
    """Answer to a zone request or an edge request of the state."""

    request_id: str
    grant_type: GrantType
    lease_expiry: Timestamp | None = None


class Responses(Header):
    """Message on the topic ``responses``."""

    topic = "responses"
    responses: list[Response]


# 3.0, sections 6.4.1 and 7.6


class ZoneType(StrEnum):
    """What a zone asks of a robot in it."""

    BLOCKED = "BLOCKED"
    LINE_GUIDED = "LINE_GUIDED"
    RELEASE = "RELEASE"
    COORDINATED_REPLANNING = "COORDINATED_REPLANNING"
    SPEED_LIMIT = "SPEED_LIMIT"
    ACTION = "ACTION"
    PRIORITY = "PRIORITY"
    PENALTY = "PENALTY"
    DIRECTED = "DIRECTED"
    BIDIRECTED = "BIDIRECTED"


class ZoneReleaseLoss(StrEnum):
    """What to do in a RELEASE zone whose release is lost."""

    STOP = "STOP"
    CONTINUE = "CONTINUE"
    EVACUATE = "EVACUATE"


class DirectedLimitation(StrEnum):
    """How strictly a zone's direction of travel is meant."""

    SOFT = "SOFT"
    RESTRICTED = "RESTRICTED"
    STRICT = "STRICT"


class BidirectedLimitation(StrEnum):
    """How strictly a zone's pair of directions is meant."""

    SOFT = "SOFT"
    RESTRICTED = "RESTRICTED"


class ZoneAction(_Object):
    """An action of a zone; the robot makes its id."""

    action_type: str
    blocking_type: BlockingType
    action_description: str | None = None
    action_parameters: list[ActionParameter] | None = None
    retriable: bool | None = None


class Vertex(_Object):
    """A corner of a zone, in the map frame."""

    x: float
    y: float


Factor = Annotated[float, Field(ge=0, le=1)]

# Without releaseLossBehavior the robot stops (3.0, section 6.4.1.1), so it is not in here.
ZONE_PARAMETERS = {
    ZoneType.SPEED_LIMIT: ("maximum_speed",),
    ZoneType.ACTION: ("entry_actions", "during_actions", "exit_actions"),
    ZoneType.PRIORITY: ("priority_factor",),
    ZoneType.PENALTY: ("penalty_factor",),
    ZoneType.DIRECTED: ("direction", "directed_limitation"),
    ZoneType.BIDIRECTED: ("direction", "bidirected_limitation"),
}


class Zone(_Object):
    """A polygon, counter-clockwise, in which a rule holds."""

    zone_id: str
    zone_type: ZoneType
    vertices: Annotated[list[Vertex], Field(min_length=3)]
    zone_descriptor: str | None = None
    maximum_speed: NotNegative | None = None
    entry_actions: list[ZoneAction] | None = None
    during_actions: list[ZoneAction] | None = None
    exit_actions: list[ZoneAction] | None = None
    release_loss_behavior: ZoneReleaseLoss | None = None
    priority_factor: Factor | None = None
    penalty_factor: Factor | None = None
    direction: float | None = None
    directed_limitation: DirectedLimitation | None = None
    bidirected_limitation: BidirectedLimitation | None = None

    @model_validator(mode="after")
    def _has_its_parameters(self) -> Self:
        for name in ZONE_PARAMETERS.get(self.zone_type, ()):
            if getattr(self, name) is None:
                raise ValueError(f"a zone of type {self.zone_type} needs {to_camel(name)}")
        return self


class ZoneSet(_Object):
    """The zones of a map."""

    map_id: str
    zone_set_id: str
    zones: list[Zone]
    zone_set_descriptor: str | None = None


class ZoneSetTransfer(Header):
    """Message on the topic ``zoneSet``."""

    topic = "zoneSet"
    zone_set: ZoneSet


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


class ZoneSetState(_Object):
    """A zone set stored on the robot (3.0, section 6.4.2)."""

    zone_set_id: str
    map_id: str
    zone_set_status: MapStatus


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


class PlannedPath(_Object):
    """Where the robot means to go within its order (3.0, section 6.8)."""

    trajectory: Trajectory
    traversed_nodes: list[str] | None = None


class PathPoint(_Object):
    """A place on the way, and when the robot expects to be there."""

    x: float
    y: float
    eta: Timestamp
    theta: Angle | None = None


class IntermediatePath(_Object):
    """Where the robot goes as far as it can see (3.0, section 6.8)."""

    polyline: list[PathPoint]


class RequestStatus(StrEnum):
    """Where in its life a request is (3.0, section 6.9)."""

    REQUESTED = "REQUESTED"
    GRANTED = "GRANTED"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"


class ZoneRequestType(StrEnum):
    """What of a zone is asked for."""

    ACCESS = "ACCESS"
    REPLANNING = "REPLANNING"


class ZoneRequest(_Object):
    """A request to enter a zone or to replan in it (3.0, section 6.4.3)."""

    request_id: str
    request_type: ZoneRequestType
    zone_id: str
    zone_set_id: str
    request_status: RequestStatus
    trajectory: Trajectory | None = None


class EdgeRequestType(StrEnum):
    """What of an edge is asked for."""

    CORRIDOR = "CORRIDOR"


class EdgeRequest(_Object):
    """A request to use an edge's corridor (3.0, section 6.6.10)."""

    request_id: str
    request_type: EdgeRequestType
    edge_id: str
    sequence_id: UInt32
    request_status: RequestStatus


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
    """Where in its life an action is (section 6.11; RETRIABLE: 3.0, section 6.6.9)."""

    WAITING = "WAITING"
    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    RETRIABLE = "RETRIABLE"
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
    """The traction battery; charge and health in percent, reach in m, current in A."""

    battery_charge: Annotated[float, Field(ge=0, le=100)]
    charging: bool
    battery_voltage: float | None = None
    battery_current: float | None = None
    battery_health: Percent | None = None
    reach: UInt32 | None = None


class OperatingMode(StrEnum):
    """Who is in control of the robot (section 6.10.6, table 1; 3.0, section 6.6.6)."""

    STARTUP = "STARTUP"
    AUTOMATIC = "AUTOMATIC"
    SEMIAUTOMATIC = "SEMIAUTOMATIC"
    INTERVENED = "INTERVENED"
    MANUAL = "MANUAL"
    SERVICE = "SERVICE"
    TEACHIN = "TEACHIN"


class ErrorLevel(StrEnum):
    """Whether the robot can go on by itself (section 6.10.5; 3.0, section 6.6.5.1)."""

    WARNING = "WARNING"
    URGENT = "URGENT"
    CRITICAL = "CRITICAL"
    FATAL = "FATAL"


class Reference(_Object):
    """What an error or an information is about (section 7.1)."""

    reference_key: str
    reference_value: str


class Translation(_Object):
    """A text in another language, named by ISO 639-1 (3.0, section 6.6.5.3)."""

    translation_key: str
    translation_value: str


class Error(_Object):
    """An error that is active."""

    error_type: str
    error_level: ErrorLevel
    error_references: list[Reference] | None = None
    error_description: str | None = None
    error_hint: str | None = None
    error_description_translations: list[Translation] | None = None
    error_hint_translations: list[Translation] | None = None


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

    length: NotNegative
    width: NotNegative
    height: NotNegative | None = None


class Load(_Object):
    """A load on the robot."""

    load_id: str | None = None
    load_type: str | None = None
    load_position: str | None = None
    bounding_box_reference: BoundingBoxReference | None = None
    load_dimensions: LoadDimensions | None = None
    weight: NotNegative | None = None


class State(Header):
    """Message on the topic ``state``; up to 2.1 ``action_states`` has the instant ones as well."""

    topic = "state"

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
    instant_action_states: list[ActionState] = []
    zone_action_states: list[ActionState] | None = None
    zone_sets: list[ZoneSetState] | None = None
    zone_requests: list[ZoneRequest] | None = None
    edge_requests: list[EdgeRequest] | None = None
    planned_path: PlannedPath | None = None
    intermediate_path: IntermediatePath | None = None


class Visualization(Header):
    """Message on the topic ``visualization``."""

    topic = "visualization"

    agv_position: AgvPosition | None = None
    velocity: Velocity | None = None
    reference_state_header_id: UInt32 = 0
    planned_path: PlannedPath | None = None
    intermediate_path: IntermediatePath | None = None


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
    supported_zones: list[ZoneType] | None = None


class PhysicalParameters(_Object):
    """Basic physical properties."""

    speed_min: NotNegative
    speed_max: NotNegative
    acceleration_max: NotNegative
    deceleration_max: NotNegative
    height_min: NotNegative
    height_max: NotNegative
    width: NotNegative
    length: NotNegative
    angular_speed_min: NotNegative | None = None
    angular_speed_max: NotNegative | None = None


class MaxStringLens(_Object):
    """Longest strings the robot takes; a limit left out does not exist."""

    msg_len: UInt32 | None = None
    topic_serial_len: UInt32 | None = None
    topic_elem_len: UInt32 | None = None
    id_len: UInt32 | None = None
    id_numerical_only: bool | None = None
    enum_len: UInt32 | None = None
    load_id_len: UInt32 | None = None


class MaxArrayLens(_Object):
    """Longest arrays the robot takes and sends; a limit left out does not exist."""

    order_nodes: UInt32 | None = Field(None, alias="order.nodes")
    order_edges: UInt32 | None = Field(None, alias="order.edges")
    node_actions: UInt32 | None = Field(None, alias="node.actions")
    edge_actions: UInt32 | None = Field(None, alias="edge.actions")
    actions_parameters: UInt32 | None = Field(None, alias="actions.actionsParameters")
    instant_actions: UInt32 | None = None
    trajectory_knot_vector: UInt32 | None = Field(None, alias="trajectory.knotVector")
    trajectory_control_points: UInt32 | None = Field(None, alias="trajectory.controlPoints")
    zone_set_zones: UInt32 | None = Field(None, alias="zoneSet.zones")
    state_node_states: UInt32 | None = Field(None, alias="state.nodeStates")
    state_edge_states: UInt32 | None = Field(None, alias="state.edgeStates")
    state_loads: UInt32 | None = Field(None, alias="state.loads")
    state_action_states: UInt32 | None = Field(None, alias="state.actionStates")
    state_instant_action_states: UInt32 | None = Field(None, alias="state.instantActionStates")
    state_zone_action_states: UInt32 | None = Field(None, alias="state.zoneActionStates")
    state_errors: UInt32 | None = Field(None, alias="state.errors")
    state_information: UInt32 | None = Field(None, alias="state.information")
    error_error_references: UInt32 | None = Field(None, alias="error.errorReferences")
    information_info_references: UInt32 | None = Field(None, alias="information.infoReferences")


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
    ZONE = "ZONE"


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
    blocking_types: list[BlockingType] | None = None
    pause_allowed: bool = False
    cancel_allowed: bool = False


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


class Envelope3d(_Object):
    """Where an outline of the robot in space can be had."""

    set: str
    format: str
    url: str | None = None


class WheelType(StrEnum):
    """Kind of a wheel."""

    DRIVE = "DRIVE"
    CASTER = "CASTER"
    FIXED = "FIXED"
    MECANUM = "MECANUM"


class WheelPosition(_Object):
    """Where a wheel is, in the robot's frame."""

    x: float
    y: float
    theta: float | None = None


class WheelDefinition(_Object):
    """A wheel of the robot; lengths in m."""

    type: WheelType
    is_active_driven: bool
    is_active_steered: bool
    position: WheelPosition
    diameter: NotNegative
    width: NotNegative
    center_displacement: float | None = None


class AgvGeometry(_Object):
    """Shape of the robot."""

    wheel_definitions: list[WheelDefinition] | None = None
    envelopes_2d: list[Envelope2d] | None = Field(None, alias="envelopes2d")
    envelopes_3d: list[Envelope3d] | None = Field(None, alias="envelopes3d")


class LoadSet(_Object):
    """A kind of load that the robot can handle; in m, kg, s and what is made of them."""

    set_name: str
    load_type: str
    load_positions: list[str] | None = None
    bounding_box_reference: BoundingBoxReference | None = None
    load_dimensions: LoadDimensions | None = None
    max_weight: NotNegative | None = None
    agv_speed_limit: NotNegative | None = None
    agv_acceleration_limit: NotNegative | None = None
    agv_deceleration_limit: NotNegative | None = None
    pick_time: NotNegative | None = None
    drop_time: NotNegative | None = None
    description: str | None = None


class LoadSpecification(_Object):
    """Loads the robot can handle; without load positions it has no device to handle them."""

    load_positions: list[str] | None = None
    load_sets: list[LoadSet] | None = None


class VersionInfo(_Object):
    """The version of a part of the robot, such as ``softwareVersion``."""

    key: str
    value: str


class Network(_Object):
    """How the robot is connected."""

    dns_servers: list[str] | None = None
    ntp_servers: list[str] | None = None
    local_ip_address: str | None = None
    netmask: str | None = None
    default_gateway: str | None = None


class BatteryCharging(_Object):
    """When the robot wants to be charged; levels in percent, time in s (3.0, section 7.10)."""

    critical_low_charging_level: Annotated[float, Field(ge=0, le=100)] | None = None
    minimum_desired_charging_level: Annotated[float, Field(ge=0, le=100)] | None = None
    maximum_desired_charging_level: Annotated[float, Field(ge=0, le=100)] | None = None
    minimum_charging_time: UInt32 | None = None


class VehicleConfig(_Object):
    """What is installed on the robot."""

    versions: list[VersionInfo] | None = None
    network: Network | None = None
    battery_charging: BatteryCharging | None = None


class Factsheet(Header):
    """Message on the topic ``factsheet``."""

    topic = "factsheet"

    type_specification: TypeSpecification
    physical_parameters: PhysicalParameters
    protocol_limits: ProtocolLimits
    protocol_features: ProtocolFeatures
    agv_geometry: AgvGeometry
    load_specification: LoadSpecification
    vehicle_config: VehicleConfig | None = None


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
    """Read a message in the version that its header names.

    Raises:
        MessageInvalid: It is not JSON or breaks the standard; the text names the fields, and
            ``field`` of the context the first, in that version's names.
    """
    breach = f"the {model.__name__} message breaks the standard"
    try:
        tree = from_json(payload, allow_inf_nan=False)
    except ValueError as error:
        raise MessageInvalid(f"{breach}: Invalid JSON: {error}") from error
    stated = tree.get("version") if isinstance(tree, dict) else None
    version = version_of(stated if isinstance(stated, str) else "")
    try:
        if isinstance(tree, dict):
            version.incoming(model.topic, tree)
        return _validated(model, tree)
    except WordRefused as error:
        field = _path(error.location)
        raise MessageInvalid(f"{breach}: {field}: {error}", field=field) from error
    except ValidationError as error:
        problems, field = _problems(error, lambda location: version.spelled(model.topic, location))
        raise MessageInvalid(
            f"{breach}: {problems}", **({"field": field} if field else {})
        ) from error


def _validated(model: type[M], tree: object) -> M:
    """Return the message of a tree.

    Long arrays are validated one member after the other, since a thread that validates does not
    let any other one run meanwhile; the control loop would be late for its cycle.

    Raises:
        ValidationError: It breaks the standard.
    """

    def read(kind: type[P], part: object) -> P:
        # Strict about JSON: what came as a text may be an enum's value or a time, but no number.
        return kind.model_validate_json(to_json(part), by_alias=True, by_name=False)

    if isinstance(tree, dict) and all(
        isinstance(tree.get(name), list) for name in model.long_arrays
    ):
        try:
            members = {
                name: [read(member, item) for item in tree[name]]
                for name, member in model.long_arrays.items()
            }
        except ValidationError:  # told below, with its place in the whole message
            members = {}
        if members:
            rest = tree | {name: [] for name in members}
            return read(model, rest).model_copy(update=members)
    return read(model, tree)


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


def _problems(
    error: ValidationError, spelled: Callable[[Location], Location] = tuple
) -> tuple[str, str]:
    """Return the first few broken rules in words, and the path of the first."""
    problems = error.errors(include_url=False)
    shown = "; ".join(
        ": ".join(filter(None, (_path(spelled(problem["loc"])), problem["msg"])))
        for problem in problems[:MOST_PROBLEMS]
    )
    more = len(problems) - MOST_PROBLEMS
    rest = f"; and {more} more" if more > 0 else ""
    return shown + rest, _path(spelled(problems[0]["loc"]))


def _path(location: Location) -> str:
    """Return where in a message something is, such as ``nodes[2].nodePosition.x``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")
