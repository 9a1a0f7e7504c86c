"""VDA 5050 3.0.0: new names for most of 2.1, and a few things put together otherwise."""

import math
from typing import Any, TypeGuard

from agent.vda5050.error_types import LEVEL_IN_3, predefined_type
from agent.vda5050.wire.difference import (
    Absent,
    Difference,
    Renamed,
    Reshaped,
    Tree,
    Words,
    spelled_as_in_1_1,
)

ORDER_ACTIONS = ("order.nodes.actions", "order.edges.actions")
ZONE_ACTIONS = tuple(f"zoneSet.zoneSet.zones.{when}Actions" for when in ("entry", "during", "exit"))
ACTIONS = (*ORDER_ACTIONS, "instantActions.actions")
ACTION_STATES = ("state.actionStates", "state.instantActionStates", "state.zoneActionStates")
POSITIONS = ("state.agvPosition", "visualization.agvPosition")
TRAJECTORIES = (
    "order.edges.trajectory",
    "state.edgeStates.trajectory",
    "state.plannedPath.trajectory",
    "state.zoneRequests.trajectory",
    "visualization.plannedPath.trajectory",
)


def _renamed(section: str, places: tuple[str, ...], **theirs: str) -> tuple[Renamed, ...]:
    return tuple(
        Renamed(section=section, places=places, ours=ours, theirs=name)
        for ours, name in theirs.items()
    )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


# Section 7.3


def circle_to_ellipse(position: Tree) -> None:
    """Send a radius as an ellipse of two equal axes, and the turn of one within a quarter."""
    radius = position.pop("allowedDeviationXY", None)
    if radius is not None:
        position.setdefault("allowedDeviationEllipse", {"a": radius, "b": radius, "theta": 0.0})
    if ellipse := position.get("allowedDeviationEllipse"):
        ellipse["theta"] = math.remainder(ellipse["theta"], math.pi)


def ellipse_to_circle(position: Tree) -> None:
    """Give the radius beside the ellipse: that of the circle inside it."""
    ellipse = position.get("allowedDeviationEllipse")
    if isinstance(ellipse, dict):
        axes = [axis for axis in (ellipse.get("a"), ellipse.get("b")) if _is_number(axis)]
        if len(axes) == 2:
            position["allowedDeviationXY"] = min(axes)


def rotation_to_be_finished_before(edge: Tree) -> None:
    """Send a rotation that is not allowed on the edge as one to be finished before it."""
    if "rotationAllowed" in edge:
        edge["rotationAllowed"] = not edge["rotationAllowed"]


def rotation_allowed(edge: Tree) -> None:
    """Read the opposite: what need not be reached before may be reached on the edge."""
    if isinstance(edge.get("rotationAllowed"), bool):
        edge["rotationAllowed"] = not edge["rotationAllowed"]


def without_ends(order: Tree) -> None:
    """Leave out the nodes that an edge joins: its place in the sequence tells."""
    for edge in order["edges"]:
        del edge["startNodeId"], edge["endNodeId"]


def ends_of_edges(order: Tree) -> None:
    """Find the nodes that an edge joins by their sequence ids, which are next to its own."""
    nodes, edges = order.get("nodes"), order.get("edges")
    if not isinstance(nodes, list) or not isinstance(edges, list):
        return
    names: dict[Any, Any] = {}
    for node in nodes:
        if isinstance(node, dict) and isinstance(node.get("sequenceId"), int):
            names[node["sequenceId"]] = node.get("nodeId")
    for edge in edges:
        if isinstance(edge, dict):
            sequence_id = edge.get("sequenceId")
            here = sequence_id if isinstance(sequence_id, int) else 0
            for field, neighbour in (("startNodeId", here - 1), ("endNodeId", here + 1)):
                name = names.get(neighbour)
                edge[field] = name if isinstance(name, str) else ""


def uniform_knots(trajectory: Tree) -> None:
    """Write out degree and knots where they are left out: 1, clamped and equally spaced."""
    points, degree = trajectory.get("controlPoints"), trajectory.setdefault("degree", 1)
    if "knotVector" in trajectory or not isinstance(points, list):
        return
    if not isinstance(degree, int) or isinstance(degree, bool) or not 1 <= degree < len(points):
        trajectory["knotVector"] = []
        return
    spans = len(points) - degree
    inner = [index / spans for index in range(1, spans)]
    trajectory["knotVector"] = [0.0] * (degree + 1) + inner + [1.0] * (degree + 1)


ORDER: tuple[Difference, ...] = (
    Absent(section="7.3", places=("order",), field="zoneSetId"),
    *_renamed("7.3", ("order.nodes",), nodeDescription="nodeDescriptor"),
    *_renamed(
        "7.3",
        ("order.nodes.nodePosition",),
        allowedDeviationEllipse="allowedDeviationXY",
    ),
    Reshaped(
        section="6.6.2.1",
        places=("order.nodes.nodePosition",),
        outgoing=circle_to_ellipse,
        incoming=ellipse_to_circle,
    ),
    Absent(section="7.3", places=("order.nodes.nodePosition",), field="mapDescription"),
    *_renamed(
        "7.3",
        ("order.edges",),
        edgeDescription="edgeDescriptor",
        maxSpeed="maximumSpeed",
        maxHeight="maximumMobileRobotHeight",
        minHeight="minimumLoadHandlingDeviceHeight",
        rotationAllowed="reachOrientationBeforeEntering",
        maxRotationSpeed="maximumRotationSpeed",
    ),
    # The schema kept the name of 2.1; it is read as well.
    *_renamed("7.3", ("order.edges",), maxRotationSpeed="maxRotationSpeed"),
    Reshaped(
        section="7.3",
        places=("order.edges",),
        outgoing=rotation_to_be_finished_before,
        incoming=rotation_allowed,
    ),
    Reshaped(section="7.3", places=("order",), outgoing=without_ends, incoming=ends_of_edges),
    Reshaped(section="7.3", places=TRAJECTORIES, incoming=uniform_knots),
    *_renamed("7.3", ("order.edges.corridor",), corridorRefPoint="corridorReferencePoint"),
    Words(
        section="7.3",
        places=("order.edges.corridor",),
        field="corridorRefPoint",
        theirs={"KINEMATICCENTER": "KINEMATIC_CENTER", "CONTOUR": "CONTOUR"},
    ),
)

# Sections 6.2 and 7.4


def only_none(action: Tree) -> None:
    """Send NONE: an instant action blocks nothing."""
    action["blockingType"] = "NONE"


PREDEFINED_ACTIONS = {"initPosition": "initializePosition"}

ACTION: tuple[Difference, ...] = (
    Reshaped(section="7.4", places=("instantActions",), incoming=spelled_as_in_1_1),
    *_renamed("7.3", (*ACTIONS, *ZONE_ACTIONS), actionDescription="actionDescriptor"),
    Words(
        section="6.2.3.1",
        places=(
            *ACTIONS,
            *ZONE_ACTIONS,
            *ACTION_STATES,
            "factsheet.protocolFeatures.agvActions",
        ),
        field="actionType",
        theirs=PREDEFINED_ACTIONS,
        closed=False,
    ),
    Reshaped(
        section="6.2.1",
        places=("instantActions.actions",),
        outgoing=only_none,
    ),
    Absent(section="7.4", places=("instantActions.actions",), field="retriable"),
)

# Sections 6.6.5 and 7.8


def predefined(error: Tree) -> None:
    """Name type, level and an edge's fields as 3.0 does."""
    references = error.get("errorReferences", ())
    kind = predefined_type(error["errorType"])
    for reference in references:
        place, _, name = reference["referenceValue"].partition(".")
        if (reference["referenceKey"], place) == ("field", "edge"):
            name = PARAMETERS.get(("order.edges", name), name)
            reference["referenceValue"] = f"edge.{name}"
    error["errorType"] = kind
    error["errorLevel"] = LEVEL_IN_3.get(kind, error["errorLevel"])


STATE: tuple[Difference, ...] = (
    Absent(section="7.8", places=("state",), field="zoneSetId"),
    *_renamed("7.8", ("state.maps",), mapDescription="mapDescriptor"),
    *_renamed("7.8", ("state.nodeStates",), nodeDescription="nodeDescriptor"),
    *(
        Absent(section="7.8", places=("state.nodeStates.nodePosition",), field=field)
        for field in (
            "allowedDeviationXY",
            "allowedDeviationEllipse",
            "allowedDeviationTheta",
            "mapDescription",
        )
    ),
    *_renamed("7.8", ("state.edgeStates",), edgeDescription="edgeDescriptor"),
    *_renamed("7.8", ("state", "visualization"), agvPosition="mobileRobotPosition"),
    *_renamed("7.8", POSITIONS, positionInitialized="localized"),
    Absent(section="7.8", places=POSITIONS, field="mapDescription"),
    *_renamed(
        "7.8",
        ACTION_STATES,
        actionDescription="actionDescriptor",
        resultDescription="actionResult",
    ),
    *_renamed("7.8", ("state",), batteryState="powerSupply"),
    *_renamed("7.8", ("state.batteryState",), batteryCharge="stateOfCharge", reach="range"),
    Words(
        section="6.6.6",
        places=("state",),
        field="operatingMode",
        theirs={
            word: word
            for word in ("STARTUP", "AUTOMATIC", "SEMIAUTOMATIC", "INTERVENED", "MANUAL", "SERVICE")
        }
        | {"TEACHIN": "TEACH_IN"},
    ),
    Reshaped(section="6.6.5.4", places=("state.errors",), outgoing=predefined),
    *_renamed("7.8", ("state.information",), infoDescription="infoDescriptor"),
    *_renamed("7.8", ("state.safetyState",), eStop="activeEmergencyStop"),
    Words(
        section="7.8",
        places=("state.safetyState",),
        field="eStop",
        # One that ends by itself is told by fieldViolation alone.
        theirs={"MANUAL": "MANUAL", "REMOTE": "REMOTE", "NONE": "NONE", "AUTOACK": "NONE"},
    ),
)

CONNECTION: tuple[Difference, ...] = (
    Words(
        section="7.7",
        places=("connection",),
        field="connectionState",
        theirs={word: word for word in ("ONLINE", "OFFLINE", "HIBERNATING")}
        | {"CONNECTIONBROKEN": "CONNECTION_BROKEN"},
    ),
)

# Section 7.10

TYPE = "factsheet.typeSpecification"
PHYSICAL = "factsheet.physicalParameters"
LIMITS = "factsheet.protocolLimits"
FEATURES = "factsheet.protocolFeatures"
FACTSHEET_ACTIONS = f"{FEATURES}.agvActions"
GEOMETRY = "factsheet.agvGeometry"

FACTSHEET: tuple[Difference, ...] = (
    *_renamed(
        "7.10",
        ("factsheet",),
        agvGeometry="mobileRobotGeometry",
        vehicleConfig="mobileRobotConfiguration",
    ),
    *_renamed(
        "7.10",
        (TYPE,),
        agvKinematic="mobileRobotKinematics",
        agvClass="mobileRobotClass",
        maxLoadMass="maximumLoadMass",
    ),
    Words(
        section="7.10",
        places=(TYPE,),
        field="agvKinematic",
        theirs={"DIFF": "DIFFERENTIAL", "OMNI": "OMNIDIRECTIONAL", "THREEWHEEL": "THREE_WHEEL"},
        closed=False,
    ),
    Words(
        section="7.10",
        places=(TYPE,),
        field="navigationTypes",
        theirs={"AUTONOMOUS": "FREELY_NAVIGATING"},
        closed=False,
    ),
    *_renamed(
        "7.10",
        (PHYSICAL,),
        speedMin="minimumSpeed",
        speedMax="maximumSpeed",
        angularSpeedMin="minimumAngularSpeed",
        angularSpeedMax="maximumAngularSpeed",
        accelerationMax="maximumAcceleration",
        decelerationMax="maximumDeceleration",
        heightMin="minimumHeight",
        heightMax="maximumHeight",
    ),
    *_renamed(
        "7.10",
        (LIMITS,),
        maxStringLens="maximumStringLengths",
        maxArrayLens="maximumArrayLengths",
    ),
    *_renamed(
        "7.10",
        (f"{LIMITS}.maxStringLens",),
        msgLen="maximumMessageLength",
        topicSerialLen="maximumTopicSerialLength",
        topicElemLen="maximumTopicElementLength",
        idLen="maximumIdLength",
        loadIdLen="maximumLoadIdLength",
    ),
    Absent(section="7.10", places=(f"{LIMITS}.maxStringLens",), field="enumLen"),
    *_renamed(
        "7.10",
        (f"{LIMITS}.timing",),
        minOrderInterval="minimumOrderInterval",
        minStateInterval="minimumStateInterval",
    ),
    *_renamed("7.10", (FEATURES,), agvActions="mobileRobotActions"),
    *_renamed("7.10", (FACTSHEET_ACTIONS,), resultDescription="actionResult"),
    Words(
        section="7.10",
        places=(f"{FACTSHEET_ACTIONS}.actionParameters",),
        field="valueDataType",
        theirs={word: word for word in ("BOOL", "NUMBER", "INTEGER", "STRING", "OBJECT", "ARRAY")}
        | {"FLOAT": "NUMBER"},
    ),
    *_renamed("7.10", (f"{GEOMETRY}.envelopes2d",), set="envelope2dId", polygonPoints="vertices"),
    *_renamed("7.10", (f"{GEOMETRY}.envelopes3d",), set="envelope3dId"),
    *_renamed(
        "7.10",
        ("factsheet.loadSpecification.loadSets",),
        maxWeight="maximumWeight",
        agvSpeedLimit="maximumSpeed",
        agvAccelerationLimit="maximumAcceleration",
        agvDecelerationLimit="maximumDeceleration",
    ),
)


def names_of_parameters(parameter: Tree) -> None:
    """Name an optional parameter of the order as the order does."""
    *path, name = parameter["parameter"].split(".")
    parameter["parameter"] = ".".join([*path, PARAMETERS.get((".".join(path), name), name)])


PARAMETERS = {
    (place, renamed.ours): renamed.theirs
    for renamed in reversed(ORDER)
    if isinstance(renamed, Renamed)
    for place in renamed.places
}

DIFFERENCES: tuple[Difference, ...] = (
    *ORDER,
    *ACTION,
    *STATE,
    *CONNECTION,
    *FACTSHEET,
    Reshaped(
        section="7.10", places=(f"{FEATURES}.optionalParameters",), outgoing=names_of_parameters
    ),
)
