"""Slamtec RPLIDAR: standard and express scan.

Source: Slamtec, "RPLIDAR Series Laser Range Scanner, Interface Protocol and Application Notes",
v2.x. A request is ``A5 command [length payload xor]``; an answer is a descriptor
``A5 5A, u32 length | mode << 30, u8 type`` followed by one payload or by a stream of them.
"""

import struct
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from drivers.checksum import xor8
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
    Step,
    Wait,
)
from drivers.errors import DeviceFault
from drivers.framing import ByteWindow
from drivers.kernels import (
    CAPSULE_BYTES,
    CAPSULE_SAMPLES,
    STANDARD_NODE_BYTES,
    decode_capsule,
    decode_standard_nodes,
    find_capsules,
)
from drivers.lidar.revolution import RevolutionAssembler

BITS_PER_BYTE = 10
DESCRIPTOR = b"\xa5\x5a"
DESCRIPTOR_BYTES = 7
BATCH = 512
MOST_QUESTIONS = 5
EXPRESS_QUALITY = 47  # express capsules carry none; the maker's SDK reports this for a return
S_AND_C_SERIES = 6  # high nibble of the model from which on the motor is set in rpm


class Request(IntEnum):
    """Command bytes."""

    STOP = 0x25
    SCAN = 0x20
    GET_INFO = 0x50
    GET_HEALTH = 0x52
    GET_SAMPLERATE = 0x59
    EXPRESS_SCAN = 0x82
    MOTOR_SPEED = 0xA8
    MOTOR_PWM = 0xF0
    GET_ACC_BOARD_FLAG = 0xFF


class Answer(IntEnum):
    """Answer types."""

    INFO = 0x04
    HEALTH = 0x06
    SAMPLERATE = 0x15
    STANDARD = 0x81
    EXPRESS = 0x82
    ACC_BOARD = 0xFF


ANSWER_BYTES = {Answer.INFO: 20, Answer.HEALTH: 3, Answer.SAMPLERATE: 4, Answer.ACC_BOARD: 4}
STREAM_BYTES = {Answer.STANDARD: STANDARD_NODE_BYTES, Answer.EXPRESS: CAPSULE_BYTES}


@dataclass(frozen=True, slots=True)
class Info(Reply):
    """GET_INFO: the data plate."""

    model: int
    firmware: str
    hardware: int
    serial: str


@dataclass(frozen=True, slots=True)
class Health(Reply):
    """GET_HEALTH: status 0 good, 1 warning, 2 error."""

    status: int
    error: int


@dataclass(frozen=True, slots=True)
class SampleRate(Reply):
    """GET_SAMPLERATE: time of one sample in the two modes, in us."""

    standard_us: int
    express_us: int


@dataclass(frozen=True, slots=True)
class AccessoryBoard(Reply):
    """GET_ACC_BOARD_FLAG: whether the motor is driven by PWM."""

    has_pwm: bool


@dataclass(frozen=True, slots=True)
class Streaming(Reply):
    """The descriptor that opens a stream of measurements."""

    answer: Answer


def request(command: Request, payload: bytes = b"") -> bytes:
    """Return a request; commands with bit 7 set carry payload and checksum."""
    if not command & 0x80:
        return bytes([0xA5, command])
    frame = bytes([0xA5, command, len(payload)]) + payload
    return frame + bytes([xor8(frame)])


@dataclass(frozen=True, slots=True, kw_only=True)
class RplidarOptions:
    """Options of the RPLIDAR driver.

    Attributes:
        baud: A1, A2M8 115200; A2M12, A3, S1 256000; C1 460800; S2, S3 1000000.
        mode: Express gives about twice the samples of standard; very old firmware lacks it.
        motor_pwm: Duty of the motor, where an accessory board drives it.
        motor_rpm: Speed of the motor, where the device regulates it (S and C series).
        min_range_m: Nearer returns are dropped: the robot's own body.
        max_range_m: Farther returns are dropped.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    baud: Annotated[int, Ge(9600), Le(3_000_000)] = 115_200
    mode: Literal["express", "standard"] = "express"
    motor_pwm: Annotated[int, Gt(0), Le(1023)] = 660
    motor_rpm: Annotated[int, Gt(0), Le(1200)] = 600
    min_range_m: Annotated[float, Ge(0), Le(5)] = 0.10
    max_range_m: Annotated[float, Gt(0), Le(50)] = 16.0


class RplidarCodec:
    """Decodes answers and measurement streams; see :class:`drivers.driver.Codec`."""

    def __init__(self, options: RplidarOptions) -> None:
        byte_ns = BITS_PER_BYTE * 1e9 / options.baud
        self.stats = CodecStats()
        self._window = ByteWindow(byte_ns)
        self._frame_ns = {answer: round(size * byte_ns) for answer, size in STREAM_BYTES.items()}
        self._assembler = RevolutionAssembler(self.stats, options.min_range_m, options.max_range_m)
        self._stream: Answer | None = None
        self._torn = False
        self._capsule: tuple[NDArray[np.uint8], int] | None = None

    def set_sample_time(self, sample_us: int) -> None:
        """Set the time of one sample, as the device reported it for the mode."""
        self._assembler.sample_ns = sample_us * 1000

    def note_sent(self, data: bytes, sent_ns: int) -> None:
        """See :class:`drivers.driver.Codec`; a stream answers to nobody."""

    def reset(self) -> None:
        """See :class:`drivers.driver.Codec`."""
        self._window.clear()
        self._assembler.clear()
        self._stream = None
        self._torn = False
        self._capsule = None

    def feed(self, data: bytes, received_ns: int) -> Sequence[Event]:
        """See :class:`drivers.driver.Codec`."""
        self.stats.received_bytes += len(data)
        self._window.append(data, received_ns)
        events: list[Event] = []
        while self._stream is None and (reply := self._next_reply()) is not None:
            events.append(reply)
        if self._stream is Answer.STANDARD:
            self._decode_standard(events)
        elif self._stream is Answer.EXPRESS:
            self._decode_express(events)
        return events

    def _next_reply(self) -> Reply | None:
        """Take the next answer off the window, skipping whatever is none."""
        while True:
            pending = self._window.pending.tobytes()
            at = pending.find(DESCRIPTOR)
            if at < 0:
                # The last byte may be the first half of a descriptor.
                self._skip(len(pending) - pending.endswith(DESCRIPTOR[:1]))
                return None
            self._skip(at)
            pending = pending[at:]
            if len(pending) < DESCRIPTOR_BYTES:
                return None
            word, kind = struct.unpack_from("<IB", pending, 2)
            length, streams = word & 0x3FFF_FFFF, word >> 30 == 1
            if streams and STREAM_BYTES.get(kind) == length:
                self._window.consume(DESCRIPTOR_BYTES)
                self._stream = Answer(kind)
                return Streaming(self._stream)
            if streams or ANSWER_BYTES.get(kind) != length:
                self._skip(1)
                continue
            if len(pending) < DESCRIPTOR_BYTES + length:
                return None
            self._window.consume(DESCRIPTOR_BYTES + length)
            self.stats.frames += 1
            reply = _parse_answer(Answer(kind), pending[DESCRIPTOR_BYTES:])
            self.stats.warnings += isinstance(reply, Health) and reply.status == 1
            return reply

    def _skip(self, count: int) -> None:
        self._window.consume(count)
        self.stats.skipped_bytes += count

    def _count(self, frames: int, skipped: int, bad: int) -> None:
        self.stats.frames += frames
        self.stats.skipped_bytes += skipped
        self.stats.bad_checksums += bad

    def _adjoining(self, begins: NDArray[np.int64], size: int, consumed: int) -> NDArray[np.bool_]:
        """Return which frames begin right behind their predecessor; each other one is a gap."""
        ends = begins + size
        before = np.concatenate(([-1 if self._torn else 0], ends))
        adjoining: NDArray[np.bool_] = begins == before[:-1]
        self.stats.gaps += int(np.count_nonzero(~adjoining))
        self._torn = consumed > max(int(before[-1]), 0) or (self._torn and not begins.size)
        return adjoining

    def _decode_standard(self, events: list[Event]) -> None:
        ends, starts = np.empty(BATCH, np.int64), np.empty(BATCH, np.bool_)
        angles, ranges = np.empty(BATCH), np.empty(BATCH)
        quality = np.empty(BATCH, np.uint8)
        while True:
            frames, consumed, skipped, bad = decode_standard_nodes(
                self._window.pending, ends, starts, angles, ranges, quality
            )
            self._count(frames, skipped, bad)
            self._adjoining(ends[:frames] - STANDARD_NODE_BYTES, STANDARD_NODE_BYTES, consumed)
            begin = 0
            for start in [*np.nonzero(starts[:frames])[0], frames]:
                if start > begin:
                    self._add_nodes(slice(begin, start), ends, angles, ranges, quality)
                if start < frames:
                    received_ns = self._window.arrival_ns(int(ends[start]))
                    if scan := self._assembler.begin_revolution(received_ns):
                        events.append(scan)
                begin = int(start)
            self._window.consume(consumed)
            if frames < BATCH:
                return

    def _add_nodes(
        self,
        run: slice,
        ends: NDArray[np.int64],
        angles_rad: NDArray[np.float64],
        ranges_m: NDArray[np.float64],
        quality: NDArray[np.uint8],
    ) -> None:
        taken_ns = self._window.arrival_ns(int(ends[run][-1])) - self._frame_ns[Answer.STANDARD]
        self._assembler.add(
            angles_rad[run].copy(), ranges_m[run].copy(), quality[run].copy(), taken_ns
        )

    def _decode_express(self, events: list[Event]) -> None:
        begins = np.empty(BATCH, np.int64)
        while True:
            frames, consumed, skipped, bad = find_capsules(self._window.pending, begins)
            self._count(frames, skipped, bad)
            adjoining = self._adjoining(begins[:frames], CAPSULE_BYTES, consumed)
            for begin, adjoins in zip(begins[:frames], adjoining, strict=True):
                end = int(begin) + CAPSULE_BYTES
                arrival_ns = self._window.arrival_ns(end)
                capsule = self._window.pending[begin:end]
                # A capsule whose successor was lost cannot be decoded.
                if self._capsule is not None and adjoins:
                    self._take_capsule(*self._capsule, capsule, arrival_ns, events)
                self._capsule = (capsule, arrival_ns)
            self._window.consume(consumed)
            if frames < BATCH:
                return

    def _take_capsule(
        self,
        capsule: NDArray[np.uint8],
        arrival_ns: int,
        following: NDArray[np.uint8],
        received_ns: int,
        events: list[Event],
    ) -> None:
        """Decode a capsule with its successor and cut it at the encoder's zero mark."""
        angles, ranges = np.empty(CAPSULE_SAMPLES), np.empty(CAPSULE_SAMPLES)
        before_mark = decode_capsule(capsule, following, angles, ranges)
        cut = before_mark or CAPSULE_SAMPLES
        quality = np.where(np.isnan(ranges), 0, EXPRESS_QUALITY).astype(np.uint8)
        taken_ns = arrival_ns - self._frame_ns[Answer.EXPRESS]
        before_ns = taken_ns - (CAPSULE_SAMPLES - cut) * self._assembler.sample_ns
        self._assembler.add(angles[:cut], ranges[:cut], quality[:cut], before_ns)
        if before_mark:
            if scan := self._assembler.begin_revolution(received_ns):
                events.append(scan)
            self._assembler.add(angles[cut:], ranges[cut:], quality[cut:], taken_ns)


def _parse_answer(answer: Answer, payload: bytes) -> Reply:
    match answer:
        case Answer.INFO:
            model, minor, major, hardware = payload[:4]
            return Info(model, f"{major}.{minor}", hardware, payload[4:20].hex())
        case Answer.HEALTH:
            return Health(*struct.unpack_from("<BH", payload))
        case Answer.SAMPLERATE:
            return SampleRate(*struct.unpack_from("<2H", payload))
        case _:
            return AccessoryBoard(bool(payload[0] & 1))


def _agreed(command: Request, reply: type[Reply]) -> Generator[Step, Reply | None, Reply]:
    """Ask until two answers in a row agree: answers carry no checksum, and what they say stays.

    A sample time read wrong would put every later scan at a wrong time.
    """
    before: Reply | None = None
    for _ in range(MOST_QUESTIONS):
        yield Send(request(command))
        answer = yield Expect(reply, 1.0, f"no answer to {command.name}")
        if answer is not None and answer == before:
            return answer
        before = answer
    raise DeviceFault(f"rplidar answers {command.name} differently each time: noise on the line")


class Rplidar:
    """Slamtec RPLIDAR A, S and C series, standard and express scan."""

    name: ClassVar[str] = "rplidar"
    options: ClassVar[type[RplidarOptions]] = RplidarOptions

    def __init__(self, options: RplidarOptions) -> None:
        self._options = options
        # The A1's motor stands while DTR is asserted.
        self.spec = PortSpec(baud=options.baud, dtr=False)
        self.codec = RplidarCodec(options)
        self.polls: tuple[Poll, ...] = ()
        self.stale_after_s = 1.0
        self._motor_off = b""

    def start(self) -> Handshake:
        """Stop what runs, read plate and health, spin up, and start the stream.

        Raises:
            DeviceFault: The device reports an error, or noise spoils its answers.
        """
        yield Send(request(Request.STOP))
        yield Wait(0.02)
        yield Flush()
        info = yield from _agreed(Request.GET_INFO, Info)
        yield Send(request(Request.GET_HEALTH))
        health = yield Expect(Health, 1.0, "no answer to GET_HEALTH")
        if isinstance(health, Health) and health.status == 2:
            raise DeviceFault(f"rplidar reports error {health.error:#06x}, protection stop")
        rate = yield from _agreed(Request.GET_SAMPLERATE, SampleRate)
        if isinstance(info, Info):
            yield from self._start_motor(info.model)
        express = self._options.mode == "express"
        if isinstance(rate, SampleRate):
            self.codec.set_sample_time(rate.express_us if express else rate.standard_us)
        yield Send(request(Request.EXPRESS_SCAN, bytes(5)) if express else request(Request.SCAN))
        yield Expect(Streaming, 3.0, "no stream after the scan request")

    def _start_motor(self, model: int) -> Handshake:
        if model >> 4 >= S_AND_C_SERIES:
            self._motor_off = request(Request.MOTOR_SPEED, bytes(2))
            rpm = struct.pack("<H", self._options.motor_rpm)
            yield Send(request(Request.MOTOR_SPEED, rpm))
            return
        yield Send(request(Request.GET_ACC_BOARD_FLAG, bytes(4)))
        board = yield Expect(AccessoryBoard, 0.3, "no accessory board", optional=True)
        if isinstance(board, AccessoryBoard) and board.has_pwm:
            self._motor_off = request(Request.MOTOR_PWM, bytes(2))
            yield Send(request(Request.MOTOR_PWM, struct.pack("<H", self._options.motor_pwm)))

    def stop(self) -> Handshake:
        """Stop the stream, and the motor if it was this driver that started it."""
        yield Send(request(Request.STOP))
        yield Wait(0.02)
        if self._motor_off:
            yield Send(self._motor_off)
