"""What comes into a tick and what leaves it."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from agent.errors import BrokerUnavailable
from agent.localization.estimate import PoseEstimate
from agent.positioning import PoseRequest
from agent.telemetry.publication import Message, Publication
from agent.vda5050.storage.errand import Outcome, Task
from drivers.driver import Event
from drivers.measurement import BaseStatus, Odometry, Scan, VelocityCommand
from drivers.runner import DeviceState

MOST_MESSAGES = 64  # a master sends a few a minute; more than this between two ticks is a flood
MOST_ODOMETRY = 256  # five seconds of 50 Hz

Value: TypeAlias = int | float | str | bool | None


@dataclass(frozen=True, slots=True)
class Inbox:
    """Everything that arrived since the last tick; with ``now_ns`` the only input of the agent.

    Attributes:
        utc_ns: Wall-clock time, for stamps on messages.
        scans: Newest scan of each lidar that gave one, with its name, in the order of the lidars in
            the configuration.
        odometry: All odometry samples, oldest first.
        base_status: Newest status of the base, if any arrived.
        devices: Transitions of the devices, oldest first.
        messages: Messages of the platform, oldest first.
        pose_requests: What people at the robot ask of localization, oldest first.
        stored: What has come of what the storage was to do, oldest first.
        acknowledged: Somebody at the robot says that it may drive again.
        broker: Why the platform cannot be reached, None while it can.
        kept: How many snapshots of the order would survive a power cut by now, of those that were
            to be kept so far; None where none is.
        dropped: Scans, odometry samples and messages that were replaced or refused unread.
    """

    utc_ns: int
    scans: tuple[tuple[str, Scan], ...] = ()
    odometry: tuple[Odometry, ...] = ()
    base_status: BaseStatus | None = None
    devices: tuple[DeviceState, ...] = ()
    messages: tuple[Message, ...] = ()
    pose_requests: tuple[PoseRequest, ...] = ()
    stored: tuple[Outcome, ...] = ()
    acknowledged: bool = False
    broker: BrokerUnavailable | None = None
    dropped: int = 0
    kept: int | None = None


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A transition worth a line in the journal; ``name`` is in ``telemetry.log.EVENTS``."""

    name: str
    level: Literal["info", "warning", "error"]
    fields: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Outbox:
    """Everything that a tick decided.

    Attributes:
        command: For the base.
        estimate: Where the robot is.
        publications: For the platform.
        events: For the log.
        tasks: For the storage.
        releases_base: The base is to be told that an emergency stop is over.
        hibernates: The platform is to be told that the robot sleeps, and not that it is there.
        shuts_down: The agent is to end, as the platform wants.
    """

    command: VelocityCommand
    estimate: PoseEstimate | None
    publications: tuple[Publication, ...]
    events: tuple[LogEvent, ...]
    tasks: tuple[Task, ...] = ()
    releases_base: bool = False
    hibernates: bool = False
    shuts_down: bool = False


class Mailbox:
    """Joins the I/O threads to the control loop: they put, the loop drains, nobody waits."""

    def __init__(self, lidars: Sequence[str]) -> None:
        """Begin empty.

        Args:
            lidars: Names of the lidars, in the order in which their scans are to be handed over.
        """
        self._lock = threading.Lock()
        self._lidars = tuple(lidars)
        self._scans: dict[str, Scan] = {}
        self._odometry: deque[Odometry] = deque(maxlen=MOST_ODOMETRY)
        self._base_status: BaseStatus | None = None
        self._devices: list[DeviceState] = []
        self._messages: deque[Message] = deque()
        self._pose_requests: list[PoseRequest] = []
        self._stored: list[Outcome] = []
        self._acknowledged = False
        self._dropped = 0

    def put(self, device: str, event: Event | DeviceState) -> None:
        """Take what the runner of a device produced."""
        with self._lock:
            match event:
                case Scan():
                    self._dropped += device in self._scans
                    self._scans[device] = event
                case Odometry():
                    self._dropped += len(self._odometry) == MOST_ODOMETRY
                    self._odometry.append(event)
                case BaseStatus():
                    self._base_status = _with_presses(event, self._base_status)
                case DeviceState():
                    self._devices.append(event)

    def put_message(self, message: Message) -> None:
        """Take a message of the platform; in a flood the newest are refused, and counted."""
        with self._lock:
            if len(self._messages) < MOST_MESSAGES:
                self._messages.append(message)
            else:
                self._dropped += 1

    def put_pose_request(self, request: PoseRequest) -> bool:
        """Take a request of the local socket; returns False in a flood, when it is refused."""
        with self._lock:
            taken = len(self._pose_requests) < MOST_MESSAGES
            if taken:
                self._pose_requests.append(request)
        return taken

    def put_stored(self, outcome: Outcome) -> None:
        """Take what has come of something that the storage was to do."""
        with self._lock:
            self._stored.append(outcome)

    def put_acknowledgement(self) -> None:
        """Take note that somebody at the robot says that it may drive again."""
        with self._lock:
            self._acknowledged = True

    def drain(self, utc_ns: int, broker: BrokerUnavailable | None = None) -> Inbox:
        """Return all that arrived and start anew."""
        with self._lock:
            inbox = Inbox(
                utc_ns,
                tuple((name, self._scans[name]) for name in self._lidars if name in self._scans),
                tuple(self._odometry),
                self._base_status,
                tuple(self._devices),
                tuple(self._messages),
                tuple(self._pose_requests),
                tuple(self._stored),
                self._acknowledged,
                broker,
                self._dropped,
            )
            self._base_status = None
            self._acknowledged = False
            for taken in (
                self._scans,
                self._odometry,
                self._devices,
                self._messages,
                self._pose_requests,
                self._stored,
            ):
                taken.clear()
            self._dropped = 0
        return inbox


def _with_presses(status: BaseStatus, unread: BaseStatus | None) -> BaseStatus:
    """Return a status with what was pressed in one that nobody has read."""
    if unread is None:
        return status
    return replace(
        status, e_stop=status.e_stop or unread.e_stop, bumper=status.bumper or unread.bumper
    )
