"""Errors of the agent, beside those of the devices in :mod:`drivers.errors`.

::

    HaulierError
     └─ AgentError
         ├─ ConfigError         the configuration is wrong; the service does not restart on it
         ├─ MapError            the map cannot be read or makes no sense
         ├─ LocalizationLost    the robot does not know where it is
         ├─ LocalizationOdd     it knows, but something about it is strange
         ├─ LoopLate            the control loop came late
         ├─ OrderRejected       an order of the platform cannot be accepted
         ├─ ZoneSetRejected     a zone set of the platform cannot be taken
         ├─ ZoneViolated        the robot is in a zone that it must not be in
         ├─ ReleaseLost         the robot is in a zone whose release was taken back
         ├─ OutsideOfCorridor   the robot left the corridor of its edge
         ├─ OrderInterrupted    an order could not go on after the robot was switched off
         ├─ RecordInvalid       what was written to disk cannot be read again
         ├─ MessageInvalid      a message of the platform cannot be read
         ├─ ActionFailed        an action of an order did not succeed
         │   ├─ NoOrderToCancel     there was no order to cancel
         │   ├─ PoseNotSet          the robot did not take a pose that it was told
         │   ├─ DownloadFailed      a file could not be fetched, or is not what it should be
         │   ├─ CertificateRefused  the broker does not take a new certificate
         │   ├─ DuplicateMap        the robot has that version of the map already
         │   ├─ DuplicateZoneSet    the robot has a zone set of that id already
         │   ├─ StorageFull         there is no room on the robot for what was sent
         │   └─ ActionUnsupported   the robot cannot perform it
         ├─ BrokerUnavailable   the shared platform cannot be reached
         │   ├─ BrokerUntrusted     nothing proves that the broker is the plant's
         │   ├─ BrokerMisnamed      its certificate is for another name
         │   ├─ BrokerOutdated      its certificate is not valid now
         │   ├─ BrokerRevoked       its certificate was revoked
         │   ├─ RobotRefused        the broker does not let the robot in
         │   └─ CredentialsInvalid  the robot's own password or certificate cannot be used
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


class LoopLate(AgentError):
    """The control loop came late; the robot stood for that moment, and goes on."""

    code = "LOOP_LATE"
    vda_type = "controlLoopLate"
    level = Level.WARNING
    hint = "See what else runs on the robot's computer (systemd-cgtop), and if it is too hot."


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


class ZoneSetRejected(AgentError):
    """A zone set cannot be taken; those at hand go on (VDA 5050 3.0, section 6.4).

    Example scenarios: a zone type that the factsheet does not name, a polygon that crosses itself.
    """

    code = "ZONE_SET_REJECTED"
    vda_type = "unsupportedParameter"
    level = Level.WARNING
    hint = "Compare the zone with the reason given and with supportedZones of the factsheet."


class ZoneViolated(AgentError):
    """The robot stands in a BLOCKED zone, and stays there (VDA 5050 3.0, section 6.4.1.1)."""

    code = "ZONE_VIOLATED"
    vda_type = "blockedZoneViolation"
    level = Level.WARNING
    hint = "Move the robot out of the zone by hand, or enable a zone set without it."


class ReleaseLost(AgentError):
    """The release of the zone that the robot is in was taken back (VDA 5050 3.0, section 6.9)."""

    code = "RELEASE_LOST"
    vda_type = "releaseLost"
    level = Level.WARNING
    hint = "Grant the request that the robot has stated anew, or move it out of the zone."


class OutsideOfCorridor(AgentError):
    """The robot has left the corridor of its edge (VDA 5050 2.1, section 6.6.5; 3.0, 6.1.5).

    Example scenarios: it was pushed, the wheels slipped, localization had to be set right.
    """

    code = "OUTSIDE_OF_CORRIDOR"
    vda_type = "outsideOfCorridor"
    level = Level.WARNING
    hint = "Cancel the order and send one that begins where the robot stands, or push it back."


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


class DownloadFailed(ActionFailed):
    """A file that the platform named could not be fetched, or is not what it should be.

    Example scenarios: the server cannot be reached, the checksum differs, the link leads to where
    the configuration allows nothing to be fetched from, the file holds no map.
    """

    code = "DOWNLOAD_FAILED"
    vda_type = "downloadFailed"
    hint = (
        "Open the link from the robot's network, compare the checksum with the file, and see that "
        "[storage] allow has the server."
    )


class CertificateRefused(ActionFailed):
    """No line to the broker came about with a new certificate; the old one is back in use."""

    code = "CERTIFICATE_REFUSED"
    vda_type = "certificateRefused"
    hint = "Compare the new certificate with what the broker trusts, and its names and dates."


class DuplicateMap(ActionFailed):
    """downloadMap named a version of a map that is on the robot (VDA 5050 2.1, section 6.7.3)."""

    code = "DUPLICATE_MAP"
    vda_type = "duplicateMap"
    hint = "Delete the map on the robot first (deleteMap), or give the new one another mapVersion."


class DuplicateZoneSet(ActionFailed):
    """A zone set came whose id is on the robot already (VDA 5050 3.0, section 6.4.2)."""

    code = "DUPLICATE_ZONE_SET"
    vda_type = "duplicateZoneSet"
    hint = "Give a changed zone set another zoneSetId, or delete the one on the robot first."


class StorageFull(ActionFailed):
    """There is no room for what the platform sent (VDA 5050 2.1, section 6.7.5)."""

    code = "STORAGE_FULL"
    vda_type = "insufficientMemory"
    hint = "Delete maps that are not in use (deleteMap), or raise the limits in [storage]."


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


class BrokerUntrusted(BrokerUnavailable):
    """Nothing proves that what answers is the plant's broker; the robot sends it nothing.

    Example scenarios: the certificate is self-signed, another authority signed it, the list of
    revoked certificates is missing or too old.
    """

    code = "BROKER_UNTRUSTED"
    vda_type = "brokerUntrusted"
    hint = (
        "Put the certificate of the authority that signed the broker's into [broker] ca_file, and "
        "its present list of revoked ones into crl_file. If both are right, someone else answers."
    )


class BrokerMisnamed(BrokerUntrusted):
    """The broker's certificate is for another name than the one it is addressed by."""

    code = "BROKER_MISNAMED"
    vda_type = "brokerUntrusted"
    hint = (
        "Write a name into [broker] host that the certificate lists, or have one issued that lists "
        "the name in use (subjectAltName)."
    )


class BrokerOutdated(BrokerUntrusted):
    """The broker's certificate has expired, or is not valid yet."""

    code = "BROKER_OUTDATED"
    vda_type = "brokerUntrusted"
    hint = "Compare the robot's clock with the real time (date); renew the broker's certificate."


class BrokerRevoked(BrokerUntrusted):
    """The authority has revoked the certificate that the broker shows."""

    code = "BROKER_REVOKED"
    vda_type = "brokerUntrusted"
    hint = (
        "Find out why it was revoked before anything else: its key may be in other hands. Then "
        "give the broker a new certificate."
    )


class RobotRefused(BrokerUnavailable):
    """The broker does not let the robot in, or not do what it must.

    Example scenarios: unknown user, wrong password, the robot's certificate has expired or was
    revoked, the broker's access list leaves out a topic.
    """

    code = "ROBOT_REFUSED"
    vda_type = "brokerRefusesRobot"
    hint = (
        "Compare user, password, client id and certificate in [broker] with the robot's account at "
        "the broker, and what the account may do with the robot's topics."
    )


class CredentialsInvalid(BrokerUnavailable):
    """The robot's own password, key or certificate cannot be used any more.

    Example scenarios: a rotation left a key beside the certificate of another, a file was removed.
    """

    code = "CREDENTIALS_INVALID"
    vda_type = "credentialsInvalid"
    hint = (
        "Correct the file that the text names, certificate and key together; the agent reads them "
        "again by itself."
    )


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
