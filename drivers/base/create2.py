"""iRobot Create 2 and Roomba of the 600 series, Open Interface.

Source: iRobot, "Create 2 Open Interface Specification based on the Roomba 600", 2018. The robot
streams the packets that were asked for every 15 ms: ``13h count (id data)* sum``, where all bytes
add up to 0; numbers are big-endian.

The robot has no watchdog: it goes on with the last command for ever. Motion ends by a stop, which
the runner sends at its beat whenever there is no valid command, and when the service ends. Should
the host itself die, safe mode ends it at a cliff, when a wheel drops or when the charger is plugged
in, and nothing else does: such a robot needs a switch that cuts its power.
"""

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt, Le

from drivers.base.differential import DifferentialOdometry, wheel_speeds_mps
from drivers.base.status import StatusPacer
from drivers.device_clock import DeviceClock
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

BAUD = 115_200
BITS_PER_BYTE = 10
BYTE_NS = BITS_PER_BYTE * 1e9 / BAUD
STREAM_PERIOD_NS = 15_000_000
STREAM_HEADER = 0x13
FRAME_COUNTER_WRAP = 1 << 16
ENCODER_BITS = 16
LONGEST_SILENCE_MS = 500
STATUS_EVERY = 7

COUNTS_PER_TURN = 508.8
WHEEL_DIAMETER_M = 0.072
COUNTS_PER_M = COUNTS_PER_TURN / (math.pi * WHEEL_DIAMETER_M)
TRACK_WIDTH_M = 0.235
MM_PER_M = 1000.0


class Opcode(IntEnum):
    """Commands that this driver sends."""

    START = 128
    SAFE = 131
    FULL = 132
    DRIVE_DIRECT = 145
    STREAM = 148
    PAUSE_RESUME = 150


class Packet(IntEnum):
    """Sensor packets that are streamed, in this order."""

    BUMPS_AND_WHEEL_DROPS = 7
    CLIFF_LEFT = 9
    CLIFF_FRONT_LEFT = 10
    CLIFF_FRONT_RIGHT = 11
    CLIFF_RIGHT = 12
    OVERCURRENTS = 14
    CHARGING_STATE = 21
    VOLTAGE = 22
    MODE = 35
    LEFT_COUNTS = 43
    RIGHT_COUNTS = 44
    LEFT_CURRENT = 54
    RIGHT_CURRENT = 55


# Two-byte packets among 7 to 58; all others have one byte.
TWO_BYTES = {19, 20, 22, 23, *range(25, 32), 33, *range(39, 45), *range(46, 52), *range(54, 58)}
FIRST_PACKET, LAST_PACKET = 7, 58
STREAM_BYTES = sum(2 + (packet in TWO_BYTES) for packet in Packet)
FRAME_BYTES = STREAM_BYTES + 3

BUMPS = 0x03
WHEEL_DROPS = {
    0x08: "left wheel dropped: set the robot on its wheels",
    0x04: "right wheel dropped: set the robot on its wheels",
}
OVERCURRENTS = {
    0x10: "left motor draws too much: look for what blocks the wheel",
    0x08: "right motor draws too much: look for what blocks the wheel",
}
CLIFFS = {
    Packet.CLIFF_LEFT: "cliff at the left: turn the robot away from the edge",
    Packet.CLIFF_FRONT_LEFT: "cliff at the front left: push the robot back from the edge",
    Packet.CLIFF_FRONT_RIGHT: "cliff at the front right: push the robot back from the edge",
    Packet.CLIFF_RIGHT: "cliff at the right: turn the robot away from the edge",
}
CHARGING_FAULT = 5
CHARGING_FAULT_TEXT = "charging fault: clean the contacts, look at the battery"


class Mode(IntEnum):
    """Modes of the Open Interface; the motors obey in the last two."""

    OFF = 0
    PASSIVE = 1
    SAFE = 2
    FULL = 3


@dataclass(frozen=True, slots=True)
class Streaming(Reply):
    """The first frame after a connect: the robot is there, and in this mode."""

    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Create2Options:
    """Options of the Create 2 driver; its wheels and its line rate are what they are.

    Attributes:
        mode: In ``safe`` the robot stops by itself at a cliff, when a wheel drops and when the
            charger is plugged in; in ``full`` it never does.
        max_speed_mps: Top speed of a wheel; the robot itself does 0.5 m/s.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    mode: Literal["safe", "full"] = "safe"
    max_speed_mps: Annotated[float, Gt(0), Le(0.5)] = 0.5


class Create2Codec:
    """Decodes the stream; see :class:`drivers.driver.Codec`.

    The stream carries no time, but it has a beat: frames are counted, and the count is the clock
    for as long as none is lost.
    """

    def __init__(self, options: Create2Options) -> None:
        self.stats = CodecStats()
        self._window = ByteWindow(BYTE_NS)
        self._clock = DeviceClock(STREAM_PERIOD_NS, FRAME_COUNTER_WRAP)
        self._odometry = DifferentialOdometry(
            COUNTS_PER_M, TRACK_WIDTH_M, options.max_speed_mps, ENCODER_BITS
        )
        self._pacer = StatusPacer(STATUS_EVERY)
        self._frame = 0
        self._streams = False

    def note_sent(self, data: bytes, sent_ns: int) -> None:
        """See :class:`drivers.driver.Codec`; nothing is polled."""

    def reset(self) -> None:
        """See :class:`drivers.driver.Codec`; the counters get a new zero."""
        self._window.clear()
        self._clock.reset()
        self._odometry.forget_counts()
        self._pacer.reset()
        self._streams = False

    def feed(self, data: bytes, received_ns: int) -> Sequence[Event]:
        """See :class:`drivers.driver.Codec`."""
        self.stats.received_bytes += len(data)
        self._window.append(data, received_ns)
        pending = self._window.pending.tobytes()
        events: list[Event] = []
        at = 0
        while at < len(pending):
            is_begin = begins_frame(pending, at)
            if is_begin and len(pending) - at < FRAME_BYTES:
                break
            values = packets(pending[at : at + FRAME_BYTES]) if is_begin else {}
            if tuple(values) == tuple(Packet):
                self.stats.frames += 1
                at += FRAME_BYTES
                events += self._measure(values, self._window.arrival_ns(at))
            else:
                self.stats.skipped_bytes += 1
                self.stats.bad_checksums += is_begin
                self._clock.reset()
                at += 1
        self._window.consume(at)
        return events

    def _measure(self, values: dict[int, int], received_ns: int) -> Iterator[Event]:
        """Turn one frame into events."""
        if not self._streams:
            self._streams = True
            yield Streaming(values[Packet.MODE])
        sent_ns = received_ns - round(FRAME_BYTES * BYTE_NS)
        self._frame = (self._frame + 1) % FRAME_COUNTER_WRAP
        stamp_ns = min(self._clock.host_ns(self._frame, sent_ns), sent_ns)
        counts = values[Packet.LEFT_COUNTS], values[Packet.RIGHT_COUNTS]
        odometry = self._odometry.update(counts, stamp_ns, received_ns)
        if odometry is None:
            self.stats.gaps += 1
        else:
            yield odometry
        status = _status(values, stamp_ns)
        if self._pacer.is_due(status):
            yield status


def _status(values: dict[int, int], stamp_ns: int) -> BaseStatus:
    """Return how the robot is; out of safe and full mode its motors are off."""
    bumps_and_drops, overcurrents = (
        values[Packet.BUMPS_AND_WHEEL_DROPS],
        values[Packet.OVERCURRENTS],
    )
    faults = [text for packet, text in CLIFFS.items() if values[packet]]
    faults += [text for bit, text in WHEEL_DROPS.items() if bumps_and_drops & bit]
    faults += [text for bit, text in OVERCURRENTS.items() if overcurrents & bit]
    if values[Packet.CHARGING_STATE] == CHARGING_FAULT:
        faults.append(CHARGING_FAULT_TEXT)
    return BaseStatus(
        stamp_ns,
        values[Packet.VOLTAGE] / 1000.0,
        (_signed(values[Packet.LEFT_CURRENT]), _signed(values[Packet.RIGHT_CURRENT])),
        e_stop=values[Packet.MODE] not in (Mode.SAFE, Mode.FULL),
        bumper=bool(bumps_and_drops & BUMPS),
        faults=tuple(faults),
    )


def _signed(milliampere: int) -> float:
    """Return a current of 16 bit two's complement in A."""
    return (milliampere - (milliampere >> 15 << 16)) / 1000.0


def begins_frame(pending: bytes, at: int) -> bool:
    """Return whether a frame of our stream begins at an offset, as far as bytes are there."""
    return bytes((STREAM_HEADER, STREAM_BYTES)).startswith(pending[at : at + 2])


def packets(frame: bytes) -> dict[int, int]:
    """Return the sensor packets of a stream frame by id, as unsigned numbers.

    Empty where the sum is wrong or the packets do not fill the frame exactly.
    """
    found: dict[int, int] = {}
    at, end = 2, len(frame) - 1
    if sum(frame) & 0xFF or frame[1] != end - 2:
        return {}
    while at < end:
        size = 1 + (frame[at] in TWO_BYTES)
        if not FIRST_PACKET <= frame[at] <= LAST_PACKET or at + 1 + size > end:
            return {}
        found[frame[at]] = int.from_bytes(frame[at + 1 : at + 1 + size], "big")
        at += 1 + size
    return found


class Create2:
    """iRobot Create 2 and Roomba of the 600 series; no watchdog: see the module's text."""

    name: ClassVar[str] = "create2"
    options: ClassVar[type[Create2Options]] = Create2Options
    encoder_bits: ClassVar[int] = ENCODER_BITS

    def __init__(self, options: Create2Options) -> None:
        self._options = options
        self._mode = Mode.SAFE if options.mode == "safe" else Mode.FULL
        self.spec = PortSpec(baud=BAUD)
        self.codec = Create2Codec(options)
        self.polls: tuple[Poll, ...] = ()
        self.stale_after_s = 0.2
        self.command_period_s = 0.02
        # The robot has none; after a silence of half of this the runner sends a stop first.
        self.watchdog_ms = LONGEST_SILENCE_MS

    def start(self) -> Handshake:
        """Take control, stop the motors, and have the sensors streamed.

        Raises:
            DeviceFault: The robot does not let its motors be driven.
        """
        yield Send(bytes((Opcode.START,)) + self.command(None) + bytes((Opcode.PAUSE_RESUME, 0)))
        yield Wait(0.1)
        yield Flush()
        yield Send(bytes((Opcode.STREAM, len(Packet), *Packet)))
        streaming = yield Expect(Streaming, 1.0, "no sensor stream")
        if isinstance(streaming, Streaming) and streaming.mode != self._mode:
            raise DeviceFault(
                f"create2 stays in mode {streaming.mode}, asked for {self._mode}: is it on its "
                "charger, lifted or at an edge?"
            )

    def stop(self) -> Handshake:
        """Stop the motors and the stream, and let the robot sleep and charge by itself."""
        yield Send(self.command(None))
        yield Send(bytes((Opcode.PAUSE_RESUME, 0, Opcode.START)))

    def command(self, command: VelocityCommand | None) -> bytes:
        """Encode wheel speeds in mm/s; a stop also takes control back.

        A robot that stopped by itself has left the mode in which it can be driven. It is taken back
        with a stop only, so that it never moves on by itself with the command that was under way.
        """
        left_mps, right_mps = wheel_speeds_mps(command, TRACK_WIDTH_M, self._options.max_speed_mps)
        left, right = round(left_mps * MM_PER_M), round(right_mps * MM_PER_M)
        drive = struct.pack(">Bhh", Opcode.DRIVE_DIRECT, right, left)
        if left or right:
            return drive
        return bytes((Opcode.SAFE if self._mode is Mode.SAFE else Opcode.FULL,)) + drive

    def release(self) -> bytes:
        """Nothing: the device drives again as soon as its own stop is over."""
        return b""
