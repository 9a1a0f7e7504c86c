"""What comes into a tick and what leaves it."""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agent.errors import BrokerUnavailable
from agent.localization.estimate import PoseEstimate
from agent.telemetry.publication import Message, Publication
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
        scan: Newest scan, if any arrived.
        odometry: All odometry samples, oldest first.
        base_status: Newest status of the base, if any arrived.
        devices: Transitions of the devices, oldest first.
        messages: Messages of the platform, oldest first.
        broker: Why the platform cannot be reached, None while it can.
        dropped: Scans, odometry samples and messages that were replaced or refused unread.
    """

    utc_ns: int
    scan: Scan | None = None
    odometry: tuple[Odometry, ...] = ()
    base_status: BaseStatus | None = None
    devices: tuple[DeviceState, ...] = ()
    messages: tuple[Message, ...] = ()
    broker: BrokerUnavailable | None = None
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A transition worth a line in the journal; ``name`` is in ``telemetry.log.EVENTS``."""

    name: str
    level: Literal["info", "warning", "error"]
    fields: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Outbox:
    """Everything that a tick decided."""

    command: VelocityCommand
    estimate: PoseEstimate | None
    publications: tuple[Publication, ...]
    events: tuple[LogEvent, ...]


class Mailbox:
    """Joins the I/O threads to the control loop: they put, the loop drains, nobody waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scan: Scan | None = None
        self._odometry: deque[Odometry] = deque(maxlen=MOST_ODOMETRY)
        self._base_status: BaseStatus | None = None
        self._devices: list[DeviceState] = []
        self._messages: deque[Message] = deque()
        self._dropped = 0

    def put(self, device: str, event: Event | DeviceState) -> None:
        """Take what a device runner produced."""
        del device  # a DeviceState names itself; one lidar and one base need no other address
        with self._lock:
            match event:
                case Scan():
                    self._dropped += self._scan is not None
                    self._scan = event
                case Odometry():
                    self._dropped += len(self._odometry) == MOST_ODOMETRY
                    self._odometry.append(event)
                case BaseStatus():
                    self._base_status = event
                case DeviceState():
                    self._devices.append(event)

    def put_message(self, message: Message) -> None:
        """Take a message of the platform; in a flood the newest are refused, and counted."""
        with self._lock:
            if len(self._messages) < MOST_MESSAGES:
                self._messages.append(message)
            else:
                self._dropped += 1

    def drain(self, utc_ns: int, broker: BrokerUnavailable | None = None) -> Inbox:
        """Return all that arrived and start anew."""
        with self._lock:
            inbox = Inbox(
                utc_ns,
                self._scan,
                tuple(self._odometry),
                self._base_status,
                tuple(self._devices),
                tuple(self._messages),
                broker,
                self._dropped,
            )
            self._scan = self._base_status = None
            self._odometry.clear()
            self._devices.clear()
            self._messages.clear()
            self._dropped = 0
        return inbox
