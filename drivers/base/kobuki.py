"""Kobuki mobile base (Yujin Robot), the base of TurtleBot 2.

Source: Yujin Robot, "Kobuki Documentation", "Serial Protocol". The base streams every 20 ms from
power-up on: ``AA 55 length payload xor``, where the payload is a row of ``id length data``; numbers
are little-endian. It stops by itself 0.6 s after the last command, which can be neither changed nor
read.
"""

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar

from annotated_types import Gt, Le

from drivers.base.differential import DifferentialOdometry, wheel_speeds_mps
from drivers.base.status import StatusPacer
from drivers.checksum import xor8
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
from drivers.framing import ByteWindow
from drivers.measurement import BaseStatus, VelocityCommand

BAUD = 115_200
BITS_PER_BYTE = 10
BYTE_NS = BITS_PER_BYTE * 1e9 / BAUD
HEADER = b"\xaa\x55"
LEAST_FRAME = 7
ENCODER_BITS = 16
TICK_NS, TICK_WRAP = 1_000_000, 1 << 16
FIRMWARE_TIMEOUT_MS = 600
STATUS_EVERY = 5

TICKS_PER_M = 11_724.41658
TRACK_WIDTH_M = 0.230
MM_PER_M = 1000.0
STRAIGHT, IN_PLACE = 0, 1
LONGEST_RADIUS_MM = 32_767


class Command(IntEnum):
    """Sub-payloads that this driver sends."""

    BASE_CONTROL = 1
    REQUEST_EXTRA = 9


class Feedback(IntEnum):
    """Sub-payloads that this driver reads."""

    BASIC = 1
    CURRENTS = 6
    HARDWARE = 10
    FIRMWARE = 11


REQUEST_HARDWARE, REQUEST_FIRMWARE = 0x01, 0x02

# Time, bumpers, wheel drops, cliffs, encoders, two PWM, buttons, charger, battery, overcurrents.
BASIC = struct.Struct("<HBBBHHbbBBBB")
CURRENTS_BYTES = 2
VERSION_BYTES = 4

CLIFFS = {
    0x04: "cliff at the left: turn the robot away from the edge",
    0x02: "cliff ahead: push the robot back from the edge",
    0x01: "cliff at the right: turn the robot away from the edge",
}
WHEEL_DROPS = {
    0x02: "left wheel dropped: set the robot on its wheels",
    0x01: "right wheel dropped: set the robot on its wheels",
}
OVERCURRENTS = {
    0x01: "left motor draws too much: look for what blocks the wheel",
    0x02: "right motor draws too much: look for what blocks the wheel",
}


@dataclass(frozen=True, slots=True)
class Version(Reply):
    """Firmware or hardware version, as the base sends it on request."""

    part: Feedback
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KobukiOptions:
    """Options of the Kobuki driver; its wheels and its line rate are what they are.

    Attributes:
        max_speed_mps: Top speed of a wheel; the base itself does 0.7 m/s.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    max_speed_mps: Annotated[float, Gt(0), Le(0.7)] = 0.7


class KobukiCodec:
    """Decodes frames; see :class:`drivers.driver.Codec`.

    The checksum is a mere exclusive-or, so a frame must also be filled exactly by its sub-payloads.
    """

    def __init__(self, options: KobukiOptions) -> None:
        self.stats = CodecStats()
        self._window = ByteWindow(BYTE_NS)
        self._clock = DeviceClock(TICK_NS, TICK_WRAP)
        self._odometry = DifferentialOdometry(
            TICKS_PER_M, TRACK_WIDTH_M, options.max_speed_mps, ENCODER_BITS
        )
        self._pacer = StatusPacer(STATUS_EVERY)
        self._currents_a: tuple[float, ...] = ()

    def note_sent(self, data: bytes, sent_ns: int) -> None:
        """See :class:`drivers.driver.Codec`; frames carry their own time."""

    def reset(self) -> None:
        """See :class:`drivers.driver.Codec`; the counters get a new zero."""
        self._window.clear()
        self._clock.reset()
        self._odometry.forget_counts()
        self._pacer.reset()

    def feed(self, data: bytes, received_ns: int) -> Sequence[Event]:
        """See :class:`drivers.driver.Codec`."""
        self.stats.received_bytes += len(data)
        self._window.append(data, received_ns)
        pending = self._window.pending.tobytes()
        events: list[Event] = []
        at = 0
        while (size := frame_size(pending, at)) is not None:
            if size:
                self.stats.frames += 1
                events += self._interpret(pending[at : at + size], at + size)
            else:
                self.stats.skipped_bytes += 1
                self.stats.bad_checksums += pending.startswith(HEADER, at)
            at += max(size, 1)
        self._window.consume(at)
        return events

    def _interpret(self, frame: bytes, end: int) -> Iterator[Event]:
        """Turn the sub-payloads of a frame into events."""
        parts = dict(sub_payloads(frame))
        received_ns = self._window.arrival_ns(end)
        currents = parts.get(Feedback.CURRENTS, b"")
        if len(currents) == CURRENTS_BYTES:
            self._currents_a = tuple(current / 100.0 for current in currents)
        for part in (Feedback.HARDWARE, Feedback.FIRMWARE):
            version = parts.get(part, b"")
            if len(version) == VERSION_BYTES:
                patch, minor, major, _ = version
                yield Version(part, f"{major}.{minor}.{patch}")
        basic = parts.get(Feedback.BASIC, b"")
        if len(basic) == BASIC.size:
            yield from self._measure(basic, received_ns, received_ns - round(len(frame) * BYTE_NS))

    def _measure(self, basic: bytes, received_ns: int, sent_ns: int) -> Iterator[Event]:
        """Read the basic sensor data."""
        ticks, bumpers, drops, cliffs, left, right, *_, battery_dv, overcurrents = BASIC.unpack(
            basic
        )
        stamp_ns = min(self._clock.host_ns(ticks, sent_ns), sent_ns)
        odometry = self._odometry.update((left, right), stamp_ns, received_ns)
        if odometry is None:
            self.stats.gaps += 1
        else:
            yield odometry
        flags = ((CLIFFS, cliffs), (WHEEL_DROPS, drops), (OVERCURRENTS, overcurrents))
        status = BaseStatus(
            stamp_ns,
            battery_dv / 10.0,
            self._currents_a,
            e_stop=False,
            bumper=bumpers != 0,
            faults=tuple(
                text for texts, bits in flags for bit, text in texts.items() if bits & bit
            ),
        )
        if self._pacer.is_due(status):
            yield status


def frame_size(pending: bytes, at: int) -> int | None:
    """Return the length of the frame at an offset, 0 for none, None while more bytes decide."""
    head = pending[at : at + len(HEADER)]
    if head != HEADER[: len(head)]:
        return 0
    if len(pending) - at <= len(HEADER):
        return None
    size = len(HEADER) + 1 + pending[at + len(HEADER)] + 1
    if size < LEAST_FRAME:
        return 0
    if len(pending) - at < size:
        return None
    frame = pending[at : at + size]
    is_sound = (
        xor8(frame[len(HEADER) :]) == 0
        and sum(2 + len(data) for _, data in sub_payloads(frame)) == size - len(HEADER) - 2
    )
    return size if is_sound else 0


def sub_payloads(frame: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield id and data of each sub-payload of a frame, as far as they fit into it."""
    at, end = len(HEADER) + 1, len(frame) - 1
    while at + 2 <= end and (after := at + 2 + frame[at + 1]) <= end:
        yield frame[at], frame[at + 2 : after]
        at = after


def encode(command: Command, data: bytes) -> bytes:
    """Return a frame with one sub-payload."""
    payload = bytes((command, len(data))) + data
    body = bytes((len(payload),)) + payload
    return HEADER + body + bytes((xor8(body),))


class Kobuki:
    """Yujin Robot Kobuki (TurtleBot 2)."""

    name: ClassVar[str] = "kobuki"
    options: ClassVar[type[KobukiOptions]] = KobukiOptions
    encoder_bits: ClassVar[int] = ENCODER_BITS

    def __init__(self, options: KobukiOptions) -> None:
        self._options = options
        self.spec = PortSpec(baud=BAUD)
        self.codec = KobukiCodec(options)
        self.polls: tuple[Poll, ...] = ()
        self.stale_after_s = 0.2
        self.command_period_s = 0.02
        self.watchdog_ms = FIRMWARE_TIMEOUT_MS

    def start(self) -> Handshake:
        """Stop the motors and see that a Kobuki is there: it tells its versions on request."""
        yield Send(self.command(None))
        yield Wait(0.05)
        yield Flush()
        flags = REQUEST_HARDWARE | REQUEST_FIRMWARE
        yield Send(encode(Command.REQUEST_EXTRA, flags.to_bytes(2, "little")))
        yield Expect(Version, 0.5, "no answer to a request of the firmware version")

    def stop(self) -> Handshake:
        """Stop the motors."""
        yield Send(self.command(None))

    def command(self, command: VelocityCommand | None) -> bytes:
        """Encode the speed of the outer wheel and the radius of the way, both in mm.

        A radius of 0 goes straight; 1 turns in place, and the speed is then that of the rim.
        """
        left_mps, right_mps = wheel_speeds_mps(command, TRACK_WIDTH_M, self._options.max_speed_mps)
        spread_mps = right_mps - left_mps
        radius_mm = math.inf
        if spread_mps != 0.0:
            radius_mm = (left_mps + right_mps) / spread_mps * TRACK_WIDTH_M / 2.0 * MM_PER_M
        if abs(radius_mm) > LONGEST_RADIUS_MM:
            speed_mps, radius = (left_mps + right_mps) / 2.0, STRAIGHT
        elif abs(round(radius_mm)) <= IN_PLACE:
            speed_mps, radius = spread_mps / 2.0, IN_PLACE
        else:
            speed_mps, radius = right_mps if radius_mm > 0.0 else left_mps, round(radius_mm)
        return encode(Command.BASE_CONTROL, struct.pack("<hh", round(speed_mps * MM_PER_M), radius))

    def release(self) -> bytes:
        """Nothing: the device drives again as soon as its own stop is over."""
        return b""
