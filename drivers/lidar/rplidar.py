"""Slamtec RPLIDAR: standard scan, and the scans in capsules.

Source: Slamtec, "RPLIDAR Series Laser Range Scanner, Interface Protocol and Application Notes",
v2.x. A request is ``A5 command [length payload xor]``; an answer is a descriptor
``A5 5A, u32 length | mode << 30, u8 type`` followed by one payload or by a stream of them.
"""

import struct
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, MinLen
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
    STANDARD_NODE_BYTES,
    decode_capsules,
    decode_standard_nodes,
    find_capsules,
)
from drivers.lidar.revolution import RevolutionAssembler

BITS_PER_BYTE = 10
DESCRIPTOR = b"\xa5\x5a"
DESCRIPTOR_BYTES = 7
BATCH = 512
MOST_QUESTIONS = 5
S_AND_C_SERIES = 6  # high nibble of the model from which on the motor is set in rpm


class Request(IntEnum):
    """Command bytes."""

    STOP = 0x25
    SCAN = 0x20
    GET_INFO = 0x50
    GET_HEALTH = 0x52
    GET_SAMPLERATE = 0x59
    EXPRESS_SCAN = 0x82
    GET_LIDAR_CONF = 0x84
    MOTOR_SPEED = 0xA8
    MOTOR_PWM = 0xF0
    GET_ACC_BOARD_FLAG = 0xFF


class Key(IntEnum):
    """What GET_LIDAR_CONF is asked for; all but the first and the typical mode, of a mode."""

    MODE_COUNT = 0x70
    SAMPLE_TIME = 0x71
    ANSWER_TYPE = 0x75
    TYPICAL_MODE = 0x7C
    MODE_NAME = 0x7F


class Answer(IntEnum):
    """Answer types."""

    INFO = 0x04
    HEALTH = 0x06
    SAMPLERATE = 0x15
    CONF = 0x20
    STANDARD = 0x81
    EXPRESS = 0x82
    ULTRA = 0x84
    DENSE = 0x85
    ULTRA_DENSE = 0x86
    ACC_BOARD = 0xFF


ANSWER_BYTES = {Answer.INFO: 20, Answer.HEALTH: 3, Answer.SAMPLERATE: 4, Answer.ACC_BOARD: 4}
CONF_KEY_BYTES, LONGEST_CONF = 4, 68
STREAM_BYTES = {
    Answer.STANDARD: STANDARD_NODE_BYTES,
    Answer.EXPRESS: 84,
    Answer.ULTRA: 132,
    Answer.DENSE: 84,
    Answer.ULTRA_DENSE: 170,
}
CAPSULE_SAMPLES = {
    Answer.EXPRESS: 32,
    Answer.ULTRA: 96,
    Answer.DENSE: 40,
    Answer.ULTRA_DENSE: 64,
}


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
class Configuration(Reply):
    """GET_LIDAR_CONF: the key that was asked for, and what it holds."""

    key: int
    value: bytes


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
        mode: ``auto`` for what the device itself calls typical, ``standard``, ``express`` (what
            firmware before 1.24 has beside it), or a mode by the device's name for it, such as
            ``Boost``, ``Sensitivity``, ``Stability`` or ``DenseBoost``.
        motor_pwm: Duty of the motor, where an accessory board drives it.
        motor_rpm: Speed of the motor, where the device regulates it (S and C series).
        min_range_m: Nearer returns are dropped: the robot's own body.
        max_range_m: Farther returns are dropped.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    baud: Annotated[int, Ge(9600), Le(3_000_000)] = 115_200
    mode: Annotated[str, MinLen(1)] = "auto"
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
        self._holds = False

    def set_sample_time(self, sample_us: float) -> None:
        """Set the time of one sample, as the device reported it for the mode."""
        self._assembler.sample_ns = round(sample_us * 1000)

    def note_sent(self, data: bytes, sent_ns: int) -> None:
        """See :class:`drivers.driver.Codec`; a stream answers to nobody."""

    def reset(self) -> None:
        """See :class:`drivers.driver.Codec`."""
        self._window.clear()
        self._assembler.clear()
        self._stream = None
        self._torn = False
        self._holds = False

    def feed(self, data: bytes, received_ns: int) -> Sequence[Event]:
        """See :class:`drivers.driver.Codec`."""
        self.stats.received_bytes += len(data)
        self._window.append(data, received_ns)
        events: list[Event] = []
        while self._stream is None and (reply := self._next_reply()) is not None:
            events.append(reply)
        if self._stream is Answer.STANDARD:
            self._decode_standard(events)
        elif self._stream is not None:
            self._decode_capsules(self._stream, events)
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
            is_known = ANSWER_BYTES.get(kind) == length or (
                kind == Answer.CONF and CONF_KEY_BYTES <= length <= LONGEST_CONF
            )
            if streams or not is_known:
                self._skip(1)
                continue
            if len(pending) < DESCRIPTOR_BYTES + length:
                return None
            self._window.consume(DESCRIPTOR_BYTES + length)
            self.stats.frames += 1
            payload = pending[DESCRIPTOR_BYTES : DESCRIPTOR_BYTES + length]
            reply = _parse_answer(Answer(kind), payload)
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

    def _decode_capsules(self, answer: Answer, events: list[Event]) -> None:
        """Decode capsules with their successors; the last one waits in the window for its own."""
        size, samples = STREAM_BYTES[answer], CAPSULE_SAMPLES[answer]
        begins = np.empty(BATCH, np.int64)
        while True:
            pending = self._window.pending
            frames, consumed, skipped, bad = find_capsules(pending, begins, size)
            self._count_capsules(begins[:frames], size, skipped, bad)
            angles, ranges = np.empty((frames, samples)), np.empty((frames, samples))
            quality, marks = np.empty((frames, samples), np.uint8), np.empty(frames, np.int64)
            decode_capsules(
                int(answer), pending, begins[:frames], size, angles, ranges, quality, marks
            )
            for k in np.flatnonzero(marks >= 0).tolist():
                end = int(begins[k]) + size
                taken_ns = self._window.arrival_ns(end) - self._frame_ns[answer]
                received_ns = self._window.arrival_ns(end + size)
                cut = int(marks[k]) or samples
                before_ns = taken_ns - (samples - cut) * self._assembler.sample_ns
                self._assembler.add(angles[k, :cut], ranges[k, :cut], quality[k, :cut], before_ns)
                if marks[k]:
                    if scan := self._assembler.begin_revolution(received_ns):
                        events.append(scan)
                    self._assembler.add(
                        angles[k, cut:], ranges[k, cut:], quality[k, cut:], taken_ns
                    )
            self._holds = frames > 0 and consumed == begins[frames - 1] + size
            self._torn = not self._holds and (consumed > 0 or self._torn)
            self._window.consume(consumed - size if self._holds else consumed)
            if frames < BATCH:
                return

    def _count_capsules(self, begins: NDArray[np.int64], size: int, skipped: int, bad: int) -> None:
        """Count what is new: the first capsule was seen before if one was held back."""
        fresh = begins[1:] if self._holds else begins
        self._count(fresh.size, skipped, bad)
        ends = np.concatenate(([size if self._holds else -1 if self._torn else 0], fresh + size))
        self.stats.gaps += int(np.count_nonzero(fresh != ends[:-1]))


def _parse_answer(answer: Answer, payload: bytes) -> Reply:
    match answer:
        case Answer.INFO:
            model, minor, major, hardware = payload[:4]
            return Info(model, f"{major}.{minor}", hardware, payload[4:20].hex())
        case Answer.HEALTH:
            return Health(*struct.unpack_from("<BH", payload))
        case Answer.SAMPLERATE:
            return SampleRate(*struct.unpack_from("<2H", payload))
        case Answer.CONF:
            (key,) = struct.unpack_from("<I", payload)
            return Configuration(key, payload[CONF_KEY_BYTES:])
        case _:
            return AccessoryBoard(bool(payload[0] & 1))


def _agreed(
    command: Request, reply: type[Reply], payload: bytes = b"", *, optional: bool = False
) -> Generator[Step, Reply | None, Reply | None]:
    """Ask until two answers in a row agree: answers carry no checksum, and what they say stays.

    A sample time read wrong would put every later scan at a wrong time.

    Returns:
        The answer; None where the question need not be answered, and twice was not.
    """
    before: Reply | None = None
    for asked in range(MOST_QUESTIONS):
        yield Send(request(command, payload))
        answer = yield Expect(reply, 1.0, f"no answer to {command.name}", optional=optional)
        if answer is None and before is None and asked > 0:
            return None
        if answer is not None and answer == before:
            return answer
        before = answer
    raise DeviceFault(f"rplidar answers {command.name} differently each time: noise on the line")


def _configured(key: Key, mode: int | None = None) -> Generator[Step, Reply | None, bytes | None]:
    """Ask for something of the configuration; None where the firmware does not know it."""
    payload = struct.pack("<I", key) + (b"" if mode is None else struct.pack("<H", mode))
    answer = yield from _agreed(Request.GET_LIDAR_CONF, Configuration, payload, optional=True)
    if not isinstance(answer, Configuration):
        return None
    if answer.key != key:
        raise DeviceFault(f"rplidar was asked for {key.name} and answers {answer.key:#x}")
    return answer.value


@dataclass(frozen=True, slots=True)
class ScanMode:
    """A way of scanning: its number, what it answers with, and the time of a sample."""

    number: int
    answer: Answer
    sample_us: float

    @property
    def start(self) -> bytes:
        """The request that starts it."""
        if self.answer is Answer.STANDARD:
            return request(Request.SCAN)
        return request(Request.EXPRESS_SCAN, struct.pack("<BHH", self.number, 0, 0))


def _mode_by_number(number: int) -> Generator[Step, Reply | None, ScanMode]:
    """Ask what a mode is.

    Raises:
        DeviceFault: The device does not tell, or it answers by something that is not known here.
    """
    kind = yield from _configured(Key.ANSWER_TYPE, number)
    time_q8 = yield from _configured(Key.SAMPLE_TIME, number)
    if not kind or time_q8 is None or len(time_q8) < 4:
        raise DeviceFault(f"rplidar does not tell what its mode {number} is")
    if kind[0] not in STREAM_BYTES:
        raise DeviceFault(f"rplidar's mode {number} answers by {kind[0]:#x}, which is unknown")
    return ScanMode(number, Answer(kind[0]), struct.unpack_from("<I", time_q8)[0] / 256.0)


def _mode_by_name(name: str) -> Generator[Step, Reply | None, ScanMode]:
    """Look for a mode by the device's own name for it.

    Raises:
        DeviceFault: It has none of that name.
    """
    count = yield from _configured(Key.MODE_COUNT)
    names = []
    for number in range(struct.unpack_from("<H", count)[0] if count and len(count) >= 2 else 0):
        told = yield from _configured(Key.MODE_NAME, number)
        names.append((told or b"").split(b"\0")[0].decode("latin-1"))
        if names[-1].lower() == name.lower():
            return (yield from _mode_by_number(number))
    raise DeviceFault(f"rplidar has no mode {name!r}; it has: {', '.join(names) or 'no names'}")


class Rplidar:
    """Slamtec RPLIDAR A, S and C series, in any mode that answers by nodes or capsules."""

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
        if isinstance(info, Info):
            yield from self._start_motor(info.model)
        mode = yield from self._choose_mode()
        self.codec.set_sample_time(mode.sample_us)
        yield Send(mode.start)
        yield Expect(Streaming, 3.0, "no stream after the scan request")

    def _choose_mode(self) -> Generator[Step, Reply | None, ScanMode]:
        """Return how to scan: as the options say, or as the device itself thinks best."""
        wanted = self._options.mode.lower()
        if wanted not in ("auto", "standard", "express"):
            return (yield from _mode_by_name(wanted))
        if wanted == "auto":
            typical = yield from _configured(Key.TYPICAL_MODE)
            if typical is not None and len(typical) >= 2:
                return (yield from _mode_by_number(struct.unpack_from("<H", typical)[0]))
        rate = yield from _agreed(Request.GET_SAMPLERATE, SampleRate)
        if not isinstance(rate, SampleRate):
            raise DeviceFault("rplidar does not tell the time of a sample")
        if wanted == "standard":
            return ScanMode(0, Answer.STANDARD, rate.standard_us)
        return ScanMode(0, Answer.EXPRESS, rate.express_us)

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
