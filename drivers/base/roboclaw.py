"""RoboClaw two-channel motor controllers, packet serial with CRC16.

Source: Basicmicro, "RoboClaw Series User Manual" v5.7, sections "Packet serial", "Advanced packet
serial" and "Encoder functions"; for older firmware the edition of Ion Motion Control, "90 - Read
Status".

A request is ``address command data crc``, a query has no CRC. An order is answered by a single FF,
a query by data and a CRC over address, command and data. A reply says neither where it begins nor
what it answers: the CRC tells both, for the queries that are open.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, NamedTuple

from annotated_types import Ge, Le, MultipleOf

from drivers.base.differential import (
    DifferentialOdometry,
    RoundTrip,
    WheelOptions,
    wheel_speeds_mps,
)
from drivers.checksum import crc16_xmodem
from drivers.driver import (
    CodecStats,
    Event,
    Expect,
    Flush,
    Handshake,
    Poll,
    PortSpec,
    Reply,
    Send,
    Wait,
)
from drivers.errors import DeviceFault
from drivers.framing import ByteWindow
from drivers.measurement import BaseStatus, VelocityCommand

BITS_PER_BYTE = 10
ENCODER_BITS = 32
TIMEOUT_STEP_MS = 100
CRC_BYTES = 2
ACKNOWLEDGED = 0xFF
VERSION_END = b"\n\0"
LONGEST_VERSION = 48
LONGEST_REPLY = LONGEST_VERSION + CRC_BYTES
MOST_OPEN_QUERIES = 16


class Command(IntEnum):
    """Commands that this driver sends."""

    SET_TIMEOUT = 14
    READ_TIMEOUT = 15
    READ_VERSION = 21
    READ_BATTERY = 24
    DRIVE_SPEEDS = 37
    READ_CURRENTS = 49
    READ_ENCODERS = 78
    READ_STATUS = 90


# Bytes of data in each reply. The status has two in older firmware, and other bits.
OLD_STATUS_BYTES, STATUS_BYTES = 2, 4
REPLY_BYTES = {
    Command.READ_TIMEOUT: (1,),
    Command.READ_BATTERY: (2,),
    Command.READ_STATUS: (OLD_STATUS_BYTES, STATUS_BYTES),
    Command.READ_CURRENTS: (4,),
    Command.READ_ENCODERS: (8,),
    Command.READ_VERSION: (),
}


class StatusBits(NamedTuple):
    """What the bits of a status mean; the motors stand still on every fault.

    Attributes:
        e_stop: The emergency stop, no fault but a state of its own.
        faults: Words, and what to do.
        warnings: Everything the controller reports and goes on.
    """

    e_stop: int
    faults: dict[int, str]
    warnings: int


HOT = "too hot: let it cool, clear its fan"
STATUS = {
    OLD_STATUS_BYTES: StatusBits(
        0x0004,
        {
            0x0008: f"controller {HOT}",
            0x0010: f"second sensor {HOT}",
            0x0020: "main voltage too high: check charger and braking resistor",
            0x0040: "logic voltage too high: check its supply",
            0x0080: "logic voltage too low: check its supply",
            0x0100: "driver of motor 1 failed: check motor and wiring",
            0x0200: "driver of motor 2 failed: check motor and wiring",
        },
        0x3C03,
    ),
    STATUS_BYTES: StatusBits(
        0x0001,
        {
            0x0002: f"controller {HOT}",
            0x0004: f"second sensor {HOT}",
            0x0008: "main voltage too high: check charger and braking resistor",
            0x0010: "logic voltage too high: check its supply",
            0x0020: "logic voltage too low: check its supply",
            0x0040: "driver of motor 1 failed: check motor and wiring",
            0x0080: "driver of motor 2 failed: check motor and wiring",
            0x0100: "motor 1 misses its speed: check load and velocity tuning",
            0x0200: "motor 2 misses its speed: check load and velocity tuning",
            0x0400: "motor 1 misses its position: check load and position tuning",
            0x0800: "motor 2 misses its position: check load and position tuning",
            0x1000: "motor 1 draws too much: look for what blocks it",
            0x2000: "motor 2 draws too much: look for what blocks it",
            0x4000: "main voltage too low: charge the battery",
        },
        0xF33F_8000,
    ),
}


@dataclass(frozen=True, slots=True)
class Acknowledge(Reply):
    """FF: an order arrived intact."""


@dataclass(frozen=True, slots=True)
class Identification(Reply):
    """Answer to 21: model and firmware."""

    text: str


@dataclass(frozen=True, slots=True)
class Watchdog(Reply):
    """Answer to 15: time without a byte after which the controller stops by itself."""

    timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoboclawOptions(WheelOptions):
    """Options of the RoboClaw driver, beside those of its wheels.

    Attributes:
        baud: As set in the controller; USB takes any.
        address: Of packet serial, 80h to 87h.
        watchdog_ms: Time without a byte after which the controller stops by itself.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    baud: Annotated[int, Ge(2400), Le(3_000_000)] = 38_400
    address: Annotated[int, Ge(0x80), Le(0x87)] = 0x80
    watchdog_ms: Annotated[int, Ge(100), Le(1000), MultipleOf(TIMEOUT_STEP_MS)] = 300


class Found(NamedTuple):
    """A reply at the front of the pending bytes, or none there (``size`` 0).

    Attributes:
        command: What it answers.
        size: Its length in bytes, CRC included.
    """

    command: int
    size: int


NOTHING = Found(0, 0)


class OpenQuery(NamedTuple):
    """A query that has not been answered."""

    command: int
    sent_ns: int | None


class RoboclawCodec:
    """Decodes replies; see :class:`drivers.driver.Codec`.

    As long as nothing is missing, a reply is what the oldest open query asks for. After a byte that
    fits nothing a CRC alone proves too little, because it is tried at every byte: then a reply
    counts only when another one follows it. Where nobody says what was sent, as in a bare
    recording, every query is open.
    """

    def __init__(self, options: RoboclawOptions) -> None:
        self.stats = CodecStats()
        self._options = options
        self._byte_ns = BITS_PER_BYTE * 1e9 / options.baud
        self._window = ByteWindow(self._byte_ns)
        self._odometry = DifferentialOdometry(
            options.counts_per_metre, options.track_width_m, options.max_wheel_mps, ENCODER_BITS
        )
        self._round_trip = RoundTrip()
        self._battery_v = math.nan
        self._currents_a: tuple[float, ...] = ()
        self._warnings = 0
        self._queries: deque[OpenQuery] = deque(maxlen=MOST_OPEN_QUERIES)
        self._knows_queries = False
        self._status_sizes: tuple[int, ...] = REPLY_BYTES[Command.READ_STATUS]
        self._lost = False
        self._consumed = 0
        self._sighted: tuple[int, int] | None = None

    def note_sent(self, data: bytes, sent_ns: int) -> None:
        """See :class:`drivers.driver.Codec`; the data are queries."""
        for address, command in zip(data[::2], data[1::2], strict=False):
            if address == self._options.address and command in REPLY_BYTES:
                self.expect(command, sent_ns)

    def expect(self, command: int, sent_ns: int | None = None) -> None:
        """Have a query answered, sent at a time that may be unknown."""
        self._knows_queries = True
        self._queries.append(OpenQuery(command, sent_ns))

    def reset(self) -> None:
        """See :class:`drivers.driver.Codec`; the counters get a new zero."""
        self._consumed += self._window.pending.size
        self._window.clear()
        self._odometry.forget_counts()
        self._queries.clear()
        self._status_sizes = REPLY_BYTES[Command.READ_STATUS]
        self._lost = False
        self._sighted = None

    def feed(self, data: bytes, received_ns: int) -> Sequence[Event]:
        """See :class:`drivers.driver.Codec`."""
        self.stats.received_bytes += len(data)
        self._window.append(data, received_ns)
        pending = self._window.pending.tobytes()
        events: list[Event] = []
        at = 0
        while at < len(pending):
            found = self._find(pending, at, self._candidates())
            if found is not None and found.size and self._lost:
                found = self._confirmed(found, pending, at)
            if found is None:
                break
            if found.size:
                event = self._interpret(found, pending, at)
            else:
                event = self._pass_over(pending[at])
            at += max(found.size, 1)
            if event is not None:
                events.append(event)
        self._window.consume(at)
        self._consumed += at
        return events

    def _candidates(self) -> Iterable[int]:
        """Return what may be answered next, the likeliest first."""
        if not self._knows_queries:
            return REPLY_BYTES
        return dict.fromkeys(query.command for query in self._queries)

    def _find(self, pending: bytes, at: int, candidates: Iterable[int]) -> Found | None:
        """Return the reply that begins at an offset, None while more bytes decide."""
        data = pending[at : at + LONGEST_REPLY]
        for command in candidates:
            asked = crc16_xmodem(bytes((self._options.address, command)))
            for size in self._sizes(command, data):
                if len(data) < size + CRC_BYTES:
                    return None
                crc = int.from_bytes(data[size : size + CRC_BYTES], "big")
                if crc16_xmodem(data[:size], asked) == crc:
                    return Found(command, size + CRC_BYTES)
        return NOTHING

    def _sizes(self, command: int, data: bytes) -> tuple[int, ...]:
        """Return the lengths that the data of a reply may have, shortest first."""
        if command == Command.READ_STATUS:
            return self._status_sizes
        if command != Command.READ_VERSION:
            return REPLY_BYTES[Command(command)]
        head = data[:LONGEST_VERSION]
        end = head.find(VERSION_END)
        if end >= 0:
            return (end + len(VERSION_END),)
        text = head.removesuffix(VERSION_END[:1])
        return (LONGEST_VERSION,) if text.isascii() and text.decode().isprintable() else ()

    def _confirmed(self, found: Found, pending: bytes, at: int) -> Found | None:
        """Return the reply if another one follows, behind any number of acknowledgements."""
        at += found.size
        self._arrival_ns(at)
        while at < len(pending):
            following = self._find(pending, at, REPLY_BYTES)
            if following is None or following.size:
                return found if following else None
            if pending[at] != ACKNOWLEDGED:
                return NOTHING
            at += 1
        return None

    def _arrival_ns(self, end: int) -> int:
        """Return when a reply that ends at an offset arrived, as known when it was first seen."""
        place = self._consumed + end
        if self._sighted is None or self._sighted[0] != place:
            self._sighted = place, self._window.arrival_ns(end)
        return self._sighted[1]

    def _pass_over(self, byte: int) -> Event | None:
        """Take a byte that begins no reply: an acknowledgement, or noise."""
        if byte == ACKNOWLEDGED and not self._lost:
            return Acknowledge()
        self.stats.skipped_bytes += 1
        self.stats.bad_checksums += not self._lost
        self._lost = True
        return None

    def _interpret(self, found: Found, pending: bytes, at: int) -> Event | None:
        """Turn a reply into an event, or into state for the next status."""
        received_ns = self._arrival_ns(at + found.size)
        stamp_ns = received_ns - round(found.size * self._byte_ns)
        self._lost = False
        self.stats.frames += 1
        asked_ns = self._answered(found.command)
        value = pending[at : at + found.size - CRC_BYTES]
        match found.command:
            case Command.READ_ENCODERS:
                stamp_ns = self._round_trip.bounded_ns(asked_ns, stamp_ns)
                return self._count(value, stamp_ns, received_ns)
            case Command.READ_STATUS:
                self._status_sizes = (len(value),)
                return self._status(value, stamp_ns)
            case Command.READ_BATTERY:
                self._battery_v = int.from_bytes(value, "big") / 10.0
            case Command.READ_CURRENTS:
                self._currents_a = tuple(current / 100.0 for current in _signed(value, 2))
            case Command.READ_TIMEOUT:
                return Watchdog(value[0] * TIMEOUT_STEP_MS)
            case Command.READ_VERSION:
                return Identification(
                    value.removesuffix(VERSION_END).decode("ascii", errors="replace")
                )
        return None

    def _answered(self, command: int) -> int | None:
        """Close a query and return when it was sent; older ones will not be answered any more."""
        while self._queries:
            query = self._queries.popleft()
            if query.command == command:
                return query.sent_ns
            self.stats.gaps += 1
        return None

    def _count(self, value: bytes, stamp_ns: int, received_ns: int) -> Event | None:
        first, second = _signed(value, 4)
        counts = self._options.wheels(first, second)
        odometry = self._odometry.update(counts, stamp_ns, received_ns)
        self.stats.gaps += odometry is None
        return odometry

    def _status(self, value: bytes, stamp_ns: int) -> BaseStatus:
        bits, flags = STATUS[len(value)], int.from_bytes(value, "big")
        self.stats.warnings += (flags & bits.warnings & ~self._warnings).bit_count()
        self._warnings = flags & bits.warnings
        faults = tuple(text for bit, text in bits.faults.items() if flags & bit)
        e_stop = bool(flags & bits.e_stop)
        return BaseStatus(
            stamp_ns, self._battery_v, self._currents_a, e_stop, bumper=False, faults=faults
        )


def _signed(value: bytes, size: int) -> tuple[int, ...]:
    """Split data into signed numbers of one size, highest byte first."""
    return tuple(
        int.from_bytes(value[at : at + size], "big", signed=True)
        for at in range(0, len(value), size)
    )


class Roboclaw:
    """Basicmicro RoboClaw two-channel motor controllers, packet serial with CRC16."""

    name: ClassVar[str] = "roboclaw"
    options: ClassVar[type[RoboclawOptions]] = RoboclawOptions
    encoder_bits: ClassVar[int] = ENCODER_BITS

    def __init__(self, options: RoboclawOptions) -> None:
        self._options = options
        self.spec = PortSpec(baud=options.baud)
        self.codec = RoboclawCodec(options)
        self.polls = (
            Poll(0.02, self._query(Command.READ_ENCODERS)),
            Poll(0.1, self._query(Command.READ_STATUS)),
            Poll(0.5, self._query(Command.READ_BATTERY) + self._query(Command.READ_CURRENTS)),
        )
        self.stale_after_s = 0.5
        self.command_period_s = 0.02
        self.watchdog_ms = options.watchdog_ms

    def start(self) -> Handshake:
        """Stop the motors, see that a RoboClaw is there, arm its watchdog and read it back.

        Raises:
            DeviceFault: The controller keeps another watchdog time.
        """
        # Half a packet of the last host is forgotten by the controller after 10 ms.
        yield Wait(0.02)
        yield Send(self.command(None))
        yield Wait(0.05)
        yield Flush()
        yield self._ask(Command.READ_VERSION)
        yield Expect(Identification, 0.5, "no answer to a query of the version")
        yield Send(self._packet(Command.SET_TIMEOUT, bytes([self.watchdog_ms // TIMEOUT_STEP_MS])))
        yield Expect(Acknowledge, 0.5, "no acknowledgement of the watchdog time")
        yield self._ask(Command.READ_TIMEOUT)
        watchdog = yield Expect(Watchdog, 0.5, "no answer to a query of the watchdog time")
        if isinstance(watchdog, Watchdog) and watchdog.timeout_ms != self.watchdog_ms:
            raise DeviceFault(
                f"roboclaw keeps its watchdog at {watchdog.timeout_ms} ms, "
                f"asked for {self.watchdog_ms} ms"
            )

    def stop(self) -> Handshake:
        """Stop the motors."""
        yield Send(self.command(None))

    def command(self, command: VelocityCommand | None) -> bytes:
        """Encode wheel speeds in encoder counts per second, slowing both wheels alike."""
        options = self._options
        speeds_mps = wheel_speeds_mps(command, options.track_width_m, options.max_wheel_mps)
        left, right = (round(speed_mps * options.counts_per_metre) for speed_mps in speeds_mps)
        speeds = options.channels(left, right)
        data = b"".join(speed.to_bytes(4, "big", signed=True) for speed in speeds)
        return self._packet(Command.DRIVE_SPEEDS, data)

    def release(self) -> bytes:
        """Nothing: the device drives again as soon as its own stop is over."""
        return b""

    def _ask(self, command: Command) -> Send:
        self.codec.expect(command)
        return Send(self._query(command))

    def _query(self, command: Command) -> bytes:
        return bytes((self._options.address, command))

    def _packet(self, command: Command, data: bytes) -> bytes:
        packet = self._query(command) + data
        return packet + crc16_xmodem(packet).to_bytes(CRC_BYTES, "big")
