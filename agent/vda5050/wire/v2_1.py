"""VDA 5050 2.1.0: what the internal model knows beyond it, and how that is told without it."""

from agent.vda5050.error_types import IN_2X
from agent.vda5050.wire.difference import (
    Absent,
    Difference,
    Reshaped,
    Tree,
    Words,
    spelled_as_in_1_1,
)

FROM_ROBOT = ("state", "visualization", "connection", "factsheet")
ALL = ("order", "instantActions", *FROM_ROBOT)
ACTIONS = ("order.nodes.actions", "order.edges.actions", "instantActions.actions")


def centiseconds(message: Tree) -> None:
    """Cut the time stamp to ``.ffZ``; it is read with any number of digits."""
    stamp = message["timestamp"]
    whole, point, fraction = stamp.rstrip("Z").partition(".")
    if point and stamp.endswith("Z"):
        message["timestamp"] = f"{whole}.{fraction[:2]:0<2}Z"


def one_list_of_actions(state: Tree) -> None:
    """Report instant actions among the others: ``actionStates`` has both."""
    state["actionStates"] = [*state["actionStates"], *state.pop("instantActionStates", ())]


def coarse_type(error: Tree) -> None:
    """Name the type as 2.x does; one of its names stands for several of 3.0."""
    error["errorType"] = IN_2X.get(error["errorType"], error["errorType"])


HEADER: tuple[Difference, ...] = (Reshaped(section="6.4", places=ALL, outgoing=centiseconds),)

ORDER: tuple[Difference, ...] = (
    Reshaped(section="6.9", places=("instantActions",), incoming=spelled_as_in_1_1),
    Absent(section="6.6.6", places=("order",), field="orderDescription"),
    Absent(
        section="6.6.6",
        places=("order.nodes.nodePosition", "state.nodeStates.nodePosition"),
        field="allowedDeviationEllipse",
    ),
    Absent(section="6.6.6", places=("order.edges.corridor",), field="releaseRequired"),
    Absent(section="6.6.6", places=("order.edges.corridor",), field="releaseLossBehavior"),
    Absent(section="6.6.6", places=ACTIONS, field="retriable"),
    Words(
        section="6.12",
        places=ACTIONS,
        field="blockingType",
        # What nothing may go beside excludes driving as well.
        theirs={"NONE": "NONE", "SOFT": "SOFT", "HARD": "HARD", "SINGLE": "HARD"},
    ),
)

STATE: tuple[Difference, ...] = (
    Reshaped(section="6.9", places=("state",), outgoing=one_list_of_actions),
    *(
        Absent(section="6.10.6", places=("state",), field=field)
        for field in (
            "zoneSets",
            "plannedPath",
            "intermediatePath",
            "zoneRequests",
            "edgeRequests",
            "zoneActionStates",
            "instantActionStates",
        )
    ),
    Words(
        section="6.11",
        places=("state.actionStates", "state.instantActionStates"),
        field="actionStatus",
        # It waits for somebody, and may go on; neither over nor at work.
        theirs={
            word: word
            for word in ("WAITING", "INITIALIZING", "RUNNING", "PAUSED", "FINISHED", "FAILED")
        }
        | {"RETRIABLE": "PAUSED"},
    ),
    Absent(section="6.10.6", places=("state.batteryState",), field="batteryCurrent"),
    Words(
        section="6.10.6",
        places=("state",),
        field="operatingMode",
        # Neither is under the master's control; hands are on the robot in both pairs.
        theirs={
            word: word for word in ("AUTOMATIC", "SEMIAUTOMATIC", "MANUAL", "SERVICE", "TEACHIN")
        }
        | {"STARTUP": "SERVICE", "INTERVENED": "MANUAL"},
    ),
    Reshaped(section="6.6.4", places=("state.errors",), outgoing=coarse_type),
    Words(
        section="6.10.5",
        places=("state.errors",),
        field="errorLevel",
        # Only what a person has to mend at the robot is fatal.
        theirs={
            "WARNING": "WARNING",
            "URGENT": "WARNING",
            "CRITICAL": "WARNING",
            "FATAL": "FATAL",
        },
    ),
    Absent(section="6.10.6", places=("state.errors",), field="errorDescriptionTranslations"),
    Absent(section="6.10.6", places=("state.errors",), field="errorHintTranslations"),
)

VISUALIZATION: tuple[Difference, ...] = tuple(
    Absent(section="6.13", places=("visualization",), field=field)
    for field in ("referenceStateHeaderId", "plannedPath", "intermediatePath")
)

CONNECTION: tuple[Difference, ...] = (
    Words(
        section="6.14",
        places=("connection",),
        field="connectionState",
        # A robot that sleeps takes no order, like one that has left.
        theirs={
            "ONLINE": "ONLINE",
            "OFFLINE": "OFFLINE",
            "HIBERNATING": "OFFLINE",
            "CONNECTIONBROKEN": "CONNECTIONBROKEN",
        },
    ),
)

ARRAY_LENGTHS = "factsheet.protocolLimits.maxArrayLens"
FACTSHEET_ACTIONS = "factsheet.protocolFeatures.agvActions"


def without_zones(action: Tree) -> None:
    """Leave out the scope ZONE."""
    action["actionScopes"] = [scope for scope in action["actionScopes"] if scope != "ZONE"]


FACTSHEET: tuple[Difference, ...] = (
    Absent(section="6.15.1", places=("factsheet.vehicleConfig",), field="batteryCharging"),
    Absent(section="6.15.1", places=("factsheet.typeSpecification",), field="supportedZones"),
    *(
        Absent(section="6.15.1", places=(ARRAY_LENGTHS,), field=field)
        for field in ("zoneSet.zones", "state.instantActionStates", "state.zoneActionStates")
    ),
    Absent(section="6.15.1", places=(FACTSHEET_ACTIONS,), field="pauseAllowed"),
    Absent(section="6.15.1", places=(FACTSHEET_ACTIONS,), field="cancelAllowed"),
    Reshaped(section="6.15.1", places=(FACTSHEET_ACTIONS,), outgoing=without_zones),
    # Optional, and the schema refuses any value: it takes the array itself for one of the words.
    Absent(section="6.15.1", places=(FACTSHEET_ACTIONS,), field="blockingTypes"),
)

DIFFERENCES: tuple[Difference, ...] = (
    *HEADER,
    *ORDER,
    *STATE,
    *VISUALIZATION,
    *CONNECTION,
    *FACTSHEET,
)
