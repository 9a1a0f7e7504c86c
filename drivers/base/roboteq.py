"""Roboteq two-channel motor controllers, ASCII serial protocol.

Source: Roboteq, "Advanced Digital Motor Controllers User Manual", v2.0, "Serial (RS232/RS485/USB)
operation" and "Commands reference". A line ends with CR; a query ``?C`` is answered by
``C=left:right``, a command ``!M`` by ``+`` or ``-``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le

from drivers.base.differential import (
    DifferentialOdometry,
    RoundTrip,
    WheelOptions,
    wheel_speeds_mps,
)
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
from drivers.kernels import MOST_VALUES, decode_replies
from drivers.measurement import BaseStatus, VelocityCommand

BITS_PER_BYTE = 10
ENCODER_BITS = 32
BATCH = 64
FULL_COMMAND = 1000
E_STOP_BIT = 0x10
POWER_OFF_BIT = 0x08

# ?FF, "Query fault flags"; the emergency stop (10h) is no fault but a state of its own.
FAULTS = {
    0x01: "overheat",
    0x02: "overvoltage",
    0x04: "undervoltage",
    0x08: "short circuit",
    0x20: "sensor or setup fault",
    0x40: "MOSFET failure",
    0x80: "default configuration loaded",
}
COUNT_QUERY = b"?C\r"
ACCEPTED, REJECTED = ord("+"), ord("-")
ECHOED = (b"!", b"?", b"^", b"~", b"#", b"")


class Name(IntEnum):
    """Names of replies, packed the way the kernel packs them: ASCII, first character highest."""

    COUNTS = int.from_bytes(b"C", "big")
    VOLTS = int.from_bytes(b"V", "big")
    BATTERY_AMPS = int.from_bytes(b"BA", "big")
    FAULTS = int.from_bytes(b"FF", "big")
    STATUS = int.from_bytes(b"FS", "big")
    WATCHDOG = int.from_bytes(b"RWD", "big")


@dataclass(frozen=True, slots=True)
class Acknowledge(Reply):
    """``+`` or ``-``: a command was accepted or rejected."""

    accepted: bool


@dataclass(frozen=True, slots=True)
class Identification(Reply):
    """``FID=``: model and firmware."""

    text: str


@dataclass(frozen=True, slots=True)
class Watchdog(Reply):
    """``RWD=``: time without a command after which the controller stops by itself."""

    timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoboteqOptions(WheelOptions):
    """Options of the Roboteq driver, beside those of its wheels.

    ``max_wheel_rpm`` is the speed of the wheel at command 1000 (MXRPM over the gear ratio).

    Attributes:
        baud: 115200 unless the controller was told otherwise.
        command: ``M`` sets both channels in one line; ``G`` one each, for controllers of a kind
            that mixes channels.
        watchdog_ms: Time without a command after which the controller stops by itself. The governor
            counts on 100 ms.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    baud: Annotated[int, Ge(9600), Le(3_000_000)] = 115_200
    command: Literal["M", "G"] = "M"
    watchdog_ms: Annotated[int, Ge(50), Le(1000)] = 100


class RoboteqCodec:
    """Decodes replies; see :class:`drivers.driver.Codec`."""

    def __init__(self, options: RoboteqOptions) -> None:
        self.stats = CodecStats()
        self._options = options
        self._byte_ns = BITS_PER_BYTE * 1e9 / options.baud
        self._window = ByteWindow(self._byte_ns)
        self._odometry = DifferentialOdometry(
            options.counts_per_metre,
            options.track_width_m,
            options.max_wheel_mps,
            ENCODER_BITS,
        )
        self._asked_ns: int | None = None
        self._round_trip = RoundTrip()
        self._battery_v = math.nan
        self._currents_a: tuple[float, ...] = ()
        self._power_off = False
        self._begins = np.empty(BATCH, np.int64)
        self._ends = np.empty(BATCH, np.int64)
        self._names = np.empty(BATCH, np.int64)
        self._counts = np.empty(BATCH, np.int64)
        self._values = np.empty((BATCH, MOST_VALUES), np.int64)

    def note_sent(self, data: bytes, sent_ns: int) -> None:
        """See :class:`drivers.driver.Codec`."""
        if data == COUNT_QUERY:
            self._asked_ns = sent_ns

    def reset(self) -> None:
        """See :class:`drivers.driver.Codec`; the counters get a new zero."""
        self._window.clear()
        self._odometry.forget_counts()

    def feed(self, data: bytes, received_ns: int) -> Sequence[Event]:
        """See :class:`drivers.driver.Codec`."""
        self.stats.received_bytes += len(data)
        self._window.append(data, received_ns)
        events: list[Event] = []
        lines = BATCH
        while lines == BATCH:
            lines, consumed, skipped, _ = decode_replies(
                self._window.pending,
                self._begins,
                self._ends,
                self._names,
                self._counts,
                self._values,
            )
            self.stats.skipped_bytes += skipped
            for line in range(lines):
                event = self._interpret(line)
                if event is not None:
                    events.append(event)
            self._window.consume(consumed)
        return events

    def _interpret(self, line: int) -> Event | None:
        """Turn one decoded line into an event, or into state for the next status."""
        begin, end = int(self._begins[line]), int(self._ends[line])
        received_ns = self._window.arrival_ns(end + 1)
        stamp_ns = received_ns - round((end + 1 - begin) * self._byte_ns)
        name, count = int(self._names[line]), int(self._counts[line])
        values = [int(value) for value in self._values[line, : max(count, 0)]]
        if name in (ACCEPTED, REJECTED):
            self.stats.frames += 1
            return Acknowledge(name == ACCEPTED)
        if count < 0:
            return self._interpret_text(self._window.pending[begin:end].tobytes())
        self.stats.frames += 1
        match name, values:
            case (Name.COUNTS, [first, second]):
                return self._count(first, second, stamp_ns, received_ns)
            case (Name.VOLTS, [_, battery_dv, _]):
                self._battery_v = battery_dv / 10.0
            case (Name.BATTERY_AMPS, _):
                self._currents_a = tuple(deciampere / 10.0 for deciampere in values)
            case (Name.STATUS, [flags]):
                self._power_off = bool(flags & POWER_OFF_BIT)
            case (Name.FAULTS, [flags]):
                return self._status(flags, stamp_ns)
            case (Name.WATCHDOG, [timeout_ms]):
                return Watchdog(timeout_ms)
        return None

    def _interpret_text(self, line: bytes) -> Event | None:
        """Identification is text; an echoed command is expected; the rest is noise."""
        if line.startswith(b"FID="):
            self.stats.frames += 1
            return Identification(line[4:].decode("ascii", errors="replace"))
        if line[:1] not in ECHOED:
            self.stats.skipped_bytes += len(line) + 1
            self.stats.gaps += 1
        return None

    def _count(self, first: int, second: int, stamp_ns: int, received_ns: int) -> Event | None:
        counts = self._options.wheels(first, second)
        stamp_ns = self._round_trip.bounded_ns(self._asked_ns, stamp_ns)
        odometry = self._odometry.update(counts, stamp_ns, received_ns)
        self.stats.gaps += odometry is None
        return odometry

    def _status(self, fault_flags: int, stamp_ns: int) -> BaseStatus:
        e_stop = bool(fault_flags & E_STOP_BIT)
        faults = [text for bit, text in FAULTS.items() if fault_flags & bit]
        if self._power_off and not e_stop and not faults:
            faults.append("power stage off")
        return BaseStatus(
            stamp_ns, self._battery_v, self._currents_a, e_stop, bumper=False, faults=tuple(faults)
        )


class Roboteq:
    """Roboteq two-channel motor controllers (SDC, HDC, MDC, ... 2xxx), ASCII protocol."""

    name: ClassVar[str] = "roboteq"
    options: ClassVar[type[RoboteqOptions]] = RoboteqOptions
    encoder_bits: ClassVar[int] = ENCODER_BITS

    def __init__(self, options: RoboteqOptions) -> None:
        self._options = options
        self.spec = PortSpec(baud=options.baud)
        self.codec = RoboteqCodec(options)
        self.polls = (
            Poll(0.02, COUNT_QUERY),
            # The status flags first: the fault flags that follow complete a BaseStatus.
            Poll(0.1, b"?FS\r?FF\r"),
            Poll(0.5, b"?V\r?BA\r"),
        )
        self.stale_after_s = 0.5
        self.command_period_s = 0.02
        self.watchdog_ms = options.watchdog_ms

    def start(self) -> Handshake:
        """Stop the motors, silence the echo, arm the watchdog and read it back.

        Raises:
            DeviceFault: The controller rejects a command, or keeps another watchdog time.
        """
        # An empty line ends whatever half a command the last host left behind.
        yield Send(b"\r" + self.command(None))
        yield Wait(0.05)
        yield Flush()
        yield from self._order(b"^ECHOF 1\r")
        yield Send(b"?FID\r")
        yield Expect(Identification, 0.5, "no answer to ?FID")
        yield from self._order(f"^RWD {self.watchdog_ms}\r".encode())
        yield Send(b"~RWD\r")
        watchdog = yield Expect(Watchdog, 0.5, "no answer to ~RWD")
        if isinstance(watchdog, Watchdog) and watchdog.timeout_ms != self.watchdog_ms:
            raise DeviceFault(
                f"roboteq keeps its watchdog at {watchdog.timeout_ms} ms, "
                f"asked for {self.watchdog_ms} ms"
            )

    def _order(self, line: bytes) -> Handshake:
        yield Send(line)
        answer = yield Expect(Acknowledge, 0.5, f"no answer to {line.decode().strip()}")
        if isinstance(answer, Acknowledge) and not answer.accepted:
            raise DeviceFault(f"roboteq rejects {line.decode().strip()}")

    def stop(self) -> Handshake:
        """Stop the motors."""
        yield Send(self.command(None))

    def command(self, command: VelocityCommand | None) -> bytes:
        """Encode wheel speeds as thousandths of the top speed, slowing both wheels alike."""
        options = self._options
        top_mps = options.max_wheel_mps
        speeds_mps = wheel_speeds_mps(command, options.track_width_m, top_mps)
        left, right = (round(speed_mps * FULL_COMMAND / top_mps) for speed_mps in speeds_mps)
        first, second = options.channels(left, right)
        if options.command == "M":
            return f"!M {first} {second}\r".encode()
        return f"!G 1 {first}\r!G 2 {second}\r".encode()

    def release(self) -> bytes:
        """Encode ``!MG``: without it the stop stays, however long ago the button was let go."""
        return b"!MG\r"
