"""Errors of the agent, beside those of the devices in :mod:`drivers.errors`.

::

    HaulierError
     └─ AgentError
         ├─ ConfigError         the configuration is wrong; the service does not restart on it
         ├─ MapError            the map cannot be read or makes no sense
         ├─ LocalizationLost    the robot does not know where it is
         ├─ LocalizationOdd     it knows, but something about it is strange
         ├─ OrderRejected       an order of the platform cannot be accepted
         ├─ OrderInterrupted    an order could not go on after the robot was switched off
         ├─ RecordInvalid       what was written to disk cannot be read again
         ├─ MessageInvalid      a message of the platform cannot be read
         ├─ ActionFailed        an action of an order did not succeed
         │   ├─ NoOrderToCancel     there was no order to cancel
         │   ├─ PoseNotSet          the robot did not take a pose that it was told
         │   └─ ActionUnsupported   the robot cannot perform it
         ├─ BrokerUnavailable   the shared platform cannot be reached
         ├─ DaemonUnreachable   the command line finds no daemon to talk to
         ├─ DaemonRunning       a second daemon was started for the same robot
         └─ LogError            a recorded log or a trajectory cannot be read
"""

from drivers.errors import HaulierError, Level


class AgentError(HaulierError):
    """Base of everything that goes wrong in the agent itself."""

    code = "AGENT_ERROR"


class ConfigError(AgentError):
    """The configuration cannot be used.

    Example scenarios: unknown key, value out of bounds, file missing.
    """

    code = "CONFIG_INVALID"
    vda_type = "configurationError"
    hint = "Run 'haulier config check' and correct the key that it names."
    exit_code = 78


class MapError(AgentError):
    """The map cannot be used.

    Example scenarios: the image is cut short, the yaml names no resolution, the start pose lies
    outside the map.
    """

    code = "MAP_INVALID"
    vda_type = "mapError"
    hint = "Copy the map again (yaml and image together) or re-export it from the map tool."
    exit_code = 65


class LocalizationLost(AgentError):
    """The pose on the map can no longer be trusted; the robot stands still."""

    code = "LOCALIZATION_LOST"
    vda_type = "localizationLost"
    hint = (
        "Check that the lidars are clean and uncovered. The robot searches by itself; tell it "
        "where it is with 'haulier pose set', or with the platform's initPosition."
    )


class LocalizationOdd(AgentError):
    """The pose can be used, but what the lidars and the wheels say is strange.

    Example scenarios: the wheels slip, the robot is in a crowd, the hall was rearranged.
    """

    code = "LOCALIZATION_ODD"
    vda_type = "localizationWarning"
    level = Level.WARNING
    hint = (
        "The robot goes on. If it stays: look at tyres and floor, clear the surroundings of the "
        "robot, or record the map anew if the hall has changed."
    )


class RouteNotFound(AgentError):
    """There is no way that the robot could take.

    Example scenarios: the goal stands in a wall of the map, a pallet blocks the aisle, the corridor
    of the edge is narrower than the robot.
    """

    code = "ROUTE_NOT_FOUND"
    vda_type = "noRouteError"
    level = Level.WARNING
    hint = (
        "Clear the way, or compare goal, corridor and map with the hall; the text says which of "
        "them is in the way."
    )

    def __init__(self, obstruction: str, **context: str) -> None:
        super().__init__(obstruction, **context)
        self.obstruction = obstruction


class WayBlocked(AgentError):
    """Obstacles have let the robot go nowhere for a while; it goes on once they leave.

    Example scenarios: a pallet was put down in the aisle, a truck is parked on the edge, the
    corridor is too narrow for a way around.
    """

    code = "WAY_BLOCKED"
    vda_type = "wayBlocked"
    level = Level.WARNING
    hint = (
        "Clear the way; the robot goes on by itself. If there is nothing, clean the lidars. The "
        "master may send an update that leads around it, or an edge with a wider corridor."
    )


class OrderRejected(AgentError):
    """An order cannot be accepted; the order at hand, if any, goes on."""

    code = "ORDER_REJECTED"
    vda_type = "orderError"
    level = Level.WARNING
    hint = "Compare the order with the reason given; the robot keeps what it had."

    def __init__(self, detail: str, *, vda_type: str = "orderError", **context: str) -> None:
        super().__init__(detail, **context)
        self.rejection_type = vda_type


class OrderInterrupted(AgentError):
    """An order was under way when the robot was switched off, and does not go on.

    Example scenarios: the robot was moved meanwhile, the configuration says so.
    """

    code = "ORDER_INTERRUPTED"
    vda_type = "orderInterrupted"
    level = Level.WARNING
    hint = "Look at where the robot stands and what it carries, then send it a new order."


class RecordInvalid(AgentError):
    """What the robot wrote to disk about its order cannot be read; it starts without."""

    code = "RECORD_INVALID"
    vda_type = "orderRecordInvalid"
    level = Level.WARNING
    hint = "Check the disk; the file was put aside for a look. Send the order again under a new id."


class MessageInvalid(AgentError):
    """A message of the platform cannot be read; it is dropped.

    Example scenarios: not JSON, a required field missing, an unknown enum value.
    """

    code = "MESSAGE_INVALID"
    vda_type = "validationError"
    level = Level.WARNING
    hint = "Validate the message that the master control sends against the standard's schema."


class ActionFailed(AgentError):
    """An action did not succeed."""

    code = "ACTION_FAILED"
    vda_type = "actionFailed"
    level = Level.WARNING
    hint = "Read the action's result description in the state message."


class NoOrderToCancel(ActionFailed):
    """cancelOrder came while there was no order (VDA 5050 2.1, section 6.6.3.2)."""

    code = "NO_ORDER_TO_CANCEL"
    vda_type = "noOrderToCancel"
    hint = "Nothing to do: the robot has no order, or it was finished or cancelled before."


class PoseNotSet(ActionFailed):
    """The robot did not take a pose that it was told (VDA 5050 2.1, initPosition).

    Example scenarios: there is no such map, the pose lies outside it, an order is active, or the
    surroundings do not look as they should there.
    """

    code = "POSE_NOT_SET"
    vda_type = "initPositionFailed"
    hint = "Compare pose and map with where the robot really stands, heading included; then repeat."


class ActionUnsupported(ActionFailed):
    """An action this robot cannot perform."""

    code = "ACTION_UNSUPPORTED"
    vda_type = "actionError"
    hint = "Send only the actions that the robot's factsheet names."


class BrokerUnavailable(AgentError):
    """The broker of the shared platform cannot be reached; the robot finishes what it has."""

    code = "BROKER_UNAVAILABLE"
    vda_type = "brokerUnavailable"
    level = Level.WARNING
    hint = (
        "Check the network, the broker's address and port and the credentials in [broker]; the "
        "agent keeps trying by itself."
    )
    exit_code = 69


class DaemonUnreachable(AgentError):
    """The command line finds no daemon to talk to."""

    code = "DAEMON_UNREACHABLE"
    hint = (
        "Check that the service runs (systemctl status haulier), that --socket names the socket "
        "in [local], and that you are in the group that owns it."
    )
    exit_code = 69


class DaemonRunning(AgentError):
    """A second daemon was started for the same robot."""

    code = "DAEMON_RUNNING"
    hint = "Stop the other one first (systemctl stop haulier)."
    exit_code = 69


class LogError(AgentError):
    """A recorded log or a trajectory cannot be read.

    Example scenarios: the file is missing, a line is cut short, a number is no number.
    """

    code = "LOG_INVALID"
    vda_type = "logError"
    hint = "Check that the file is complete and of the format named; the text says which line."
    exit_code = 65
