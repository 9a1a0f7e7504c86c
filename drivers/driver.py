"""What a driver is: a codec without a port or a clock, and a handshake written down as data.

A maker's module provides a class with the shape of :class:`LidarDriver` or :class:`BaseDriver`.
It never opens a port, starts a thread or reads a clock: :class:`drivers.runner.DeviceRunner` does
that for all of them, so the same driver runs on a UART, on a pty and in memory.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeAlias

from drivers.measurement import BaseStatus, Odometry, Scan, VelocityCommand


class Reply:
    """Base of the answers that matter to a handshake and to nobody else."""

    __slots__ = ()


Event: TypeAlias = Scan | Odometry | BaseStatus | Reply


@dataclass(frozen=True, slots=True)
class Send:
    """Handshake step: write these bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Expect:
    """Handshake step: wait for a reply of this type; it is sent back into the generator.

    Silence for ``timeout_s`` ends the attempt with ``StreamStale(silence)`` unless ``optional``,
    in which case the generator gets None and carries on.
    """

    reply: type[Reply]
    timeout_s: float
    silence: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Handshake step: let this much time pass."""

    duration_s: float


@dataclass(frozen=True, slots=True)
class Flush:
    """Handshake step: forget every byte received so far and reset the codec."""


Step: TypeAlias = Send | Expect | Wait | Flush
Handshake: TypeAlias = Generator[Step, Reply | None, None]


@dataclass(frozen=True, slots=True)
class PortSpec:
    """How the device's port is opened.

    Attributes:
        baud: Line rate in bit/s, 8N1.
        dtr: Level to set on DTR right after opening; None leaves it alone.
        rts: The same for RTS.
    """

    baud: int
    dtr: bool | None = None
    rts: bool | None = None


@dataclass(frozen=True, slots=True)
class Poll:
    """A query that the runner writes every ``period_s`` while the device is streaming."""

    period_s: float
    data: bytes


@dataclass(slots=True)
class CodecStats:
    """What a codec could not use. These only ever grow; a bad frame is a count, not an error.

    ``warnings`` counts how often the device said that it is not well but goes on.
    """

    received_bytes: int = 0
    skipped_bytes: int = 0
    frames: int = 0
    bad_checksums: int = 0
    gaps: int = 0
    scans: int = 0
    short_scans: int = 0
    warnings: int = 0


class Codec(Protocol):
    """Bytes in, events out. Pure: the same bytes and stamps give the same events."""

    stats: CodecStats

    def feed(self, data: bytes, received_ns: int) -> Sequence[Event]:
        """Decode a chunk whose last byte arrived at ``received_ns``; chunking never matters."""

    def note_sent(self, data: bytes, sent_ns: int) -> None:
        """Learn what was written to the device and when, to bound the age of its answer."""

    def reset(self) -> None:
        """Forget any partial frame, as after a reconnect; counters stay."""


class LidarDriver(Protocol):
    """A lidar as the runner sees it."""

    name: ClassVar[str]
    spec: PortSpec
    codec: Codec
    polls: Sequence[Poll]
    stale_after_s: float

    def start(self) -> Handshake:
        """Bring the device to streaming; raises DeviceFault when it reports it cannot."""

    def stop(self) -> Handshake:
        """Leave the device at rest: motor off, stream off."""


class BaseDriver(LidarDriver, Protocol):
    """A base as the runner sees it: a device that also takes commands."""

    command_period_s: float
    watchdog_ms: int
    encoder_bits: int

    def command(self, command: VelocityCommand | None) -> bytes:
        """Encode a command; None means stop."""

    def release(self) -> bytes:
        """Encode that an emergency stop is over, empty where the device needs not be told."""


@dataclass(frozen=True, slots=True)
class DriverInfo:
    """One row of ``haulier driver list``."""

    name: str
    kind: str
    module: str
    devices: str
    distribution: str
    options: tuple[str, ...] = field(default=())
