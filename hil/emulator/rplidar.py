"""Slamtec RPLIDAR, an A1M8 unless told otherwise.

Source: Slamtec, "RPLIDAR Series Laser Range Scanner, Interface Protocol and Application Notes",
v2.x; timing of the RESET banner as measured on an A1M8 with firmware 1.29.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from functools import reduce
from itertools import pairwise
from operator import xor
from typing import ClassVar, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hil.emulator.device import RangeSource
from hil.emulator.head import RotatingHead
from hil.emulator.uart import UartTransmitter
from hil.errors import BenchError

FloatArray: TypeAlias = NDArray[np.float64]
StampArray: TypeAlias = NDArray[np.int64]
RevolutionHook: TypeAlias = Callable[[int, int], None]

_REQUEST_START: Final = 0xA5
_HAS_PAYLOAD: Final = 0x80

_ANSWER_INFO: Final = 0x04
_ANSWER_HEALTH: Final = 0x06
_ANSWER_SAMPLERATE: Final = 0x15
_ANSWER_CONF: Final = 0x20
_ANSWER_STANDARD: Final = 0x81
_ANSWER_EXPRESS: Final = 0x82
_ANSWER_ULTRA: Final = 0x84
_ANSWER_DENSE: Final = 0x85
_ANSWER_ULTRA_DENSE: Final = 0x86
_ANSWER_ACC_BOARD: Final = 0xFF

_CONF_DESIRED_SPEED: Final = 0x01
_CONF_MIN_SPEED: Final = 0x04
_CONF_MAX_SPEED: Final = 0x05
_CONF_MODE_COUNT: Final = 0x70
_CONF_SAMPLE_DURATION: Final = 0x71
_CONF_MAX_DISTANCE: Final = 0x74
_CONF_ANSWER_TYPE: Final = 0x75
_CONF_TYPICAL_MODE: Final = 0x7C
_CONF_MODE_NAME: Final = 0x7F

_STATUS_OK: Final = 0
_STATUS_ERROR: Final = 2
_ERROR_MOTOR_TIMEOUT: Final = 0x8001

_REPLY_DELAY_NS: Final = 1_000_000
_BANNER_DELAY_NS: Final = 671_000_000
_READY_AFTER_BANNER_NS: Final = 4_000_000

# Bytes of a frame, and samples in it.
_FRAMES: Final = {
    _ANSWER_STANDARD: (5, 1),
    _ANSWER_EXPRESS: (84, 32),
    _ANSWER_ULTRA: (132, 96),
    _ANSWER_DENSE: (84, 40),
    _ANSWER_ULTRA_DENSE: (170, 64),
}
_FIRST_CAPSULE: Final = 0x8000
_FULL_TURN_Q6: Final = 360 << 6
_QUALITY: Final = 15

# Triangulation looks past the axis of rotation: what it hits lies this many degrees behind the
# encoder when it is far away, and ahead of that by the parallax when it is near.
_FAR_OFFSET_DEG: Final = 8.0
_EMPTY_OFFSET_DEG: Final = 7.5
_PARALLAX_M: Final = 0.024

# Of the variable scale: from which distance in mm and from which number on, and which power of two.
_SCALES: Final = ((512, 512, 1), (2048, 1280, 2), (4096, 1792, 3), (16_384, 3328, 4))
_NOT_PREDICTED: Final = -512
_ULTRA_MOST_MM: Final = 16_384 + (4095 - 3328 << 4)

_PWM_NOMINAL: Final = 660
_MIN_RPM: Final = 300
_MAX_RPM: Final = 1200


class _Request(IntEnum):
    """Command bytes; those with bit 7 set carry a payload."""

    STOP = 0x25
    RESET = 0x40
    SCAN = 0x20
    FORCE_SCAN = 0x21
    GET_INFO = 0x50
    GET_HEALTH = 0x52
    GET_SAMPLERATE = 0x59
    EXPRESS_SCAN = 0x82
    GET_LIDAR_CONF = 0x84
    MOTOR_SPEED = 0xA8
    MOTOR_PWM = 0xF0
    GET_ACC_BOARD_FLAG = 0xFF


@dataclass(frozen=True, slots=True)
class RplidarMode:
    """A way of scanning.

    Attributes:
        name: As the device calls it.
        answer: Type of what it sends.
        sample_us: Time of a sample.
    """

    name: str
    answer: int
    sample_us: float


class MotorControl(Enum):
    """Who drives the motor of a model."""

    DTR = auto()
    PWM = auto()
    RPM = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class RplidarModel:
    """A model's data plate; the defaults are those of an A1M8.

    Attributes:
        model: Major and sub model, one nibble each.
        firmware: Major, minor.
        hardware: Revision.
        serial: Serial number, 16 bytes.
        baud: Line rate.
        revolution_hz: Nominal speed of the head.
        spin_up_s: Time from standstill to nominal speed.
        standard_sample_us: Time of a sample in the standard mode.
        express_sample_us: Time of a sample in the express mode.
        max_range_m: What it reports as its reach.
        motor: Who drives the motor.
        more_modes: What it has beside standard and express; the last one is its typical mode.
        looks_aside: It measures by triangulation, and so past the axis of rotation.
    """

    model: int = 0x18
    firmware: tuple[int, int] = (1, 29)
    hardware: int = 7
    serial: bytes = bytes.fromhex("c7e0ed93c0ea98c9a5e698f0b33d4317")
    baud: int = 115_200
    revolution_hz: float = 10.0
    spin_up_s: float = 1.0
    standard_sample_us: int = 500
    express_sample_us: int = 250
    max_range_m: int = 16
    motor: MotorControl = MotorControl.DTR
    more_modes: tuple[RplidarMode, ...] = ()
    looks_aside: bool = True

    @property
    def modes(self) -> tuple[RplidarMode, ...]:
        """All ways of scanning by their numbers."""
        return (
            RplidarMode("Standard", _ANSWER_STANDARD, self.standard_sample_us),
            RplidarMode("Express", _ANSWER_EXPRESS, self.express_sample_us),
            *self.more_modes,
        )


A3M1: Final = RplidarModel(
    model=0x31,
    firmware=(1, 26),
    baud=256_000,
    max_range_m=25,
    motor=MotorControl.PWM,
    more_modes=(
        RplidarMode("Boost", _ANSWER_ULTRA, 63.0),
        RplidarMode("Stability", _ANSWER_ULTRA, 100.0),
        RplidarMode("Sensitivity", _ANSWER_ULTRA, 63.0),
    ),
)
S2: Final = RplidarModel(
    model=0x71,
    baud=1_000_000,
    max_range_m=30,
    motor=MotorControl.RPM,
    more_modes=(RplidarMode("DenseBoost", _ANSWER_DENSE, 31.25),),
    looks_aside=False,
)
S3: Final = RplidarModel(
    model=0x81,
    baud=1_000_000,
    max_range_m=40,
    motor=MotorControl.RPM,
    more_modes=(RplidarMode("UltraDense", _ANSWER_ULTRA_DENSE, 31.25),),
    looks_aside=False,
)


@dataclass(slots=True)
class _Stream:
    """A running measurement: what it sends and the time of its next sample."""

    answer: int
    sample_ns: int
    next_ns: int
    first: bool = field(default=True)


class RplidarEmulator:
    """An RPLIDAR on its serial line.

    Args:
        ranges: What it looks at.
        rng: Of line faults.
        model: Which RPLIDAR.
        on_revolution: Told before any ray of a revolution is cast: its index since power-up and
            the monotonic time of its first sample.
    """

    name: ClassVar[str] = "rplidar"
    fault_kinds: ClassVar[tuple[str, ...]] = ("mute", "garbage", "motor", "health")

    def __init__(
        self,
        ranges: RangeSource,
        rng: np.random.Generator,
        model: RplidarModel | None = None,
        on_revolution: RevolutionHook | None = None,
    ) -> None:
        self.model = model or RplidarModel()
        self.line = UartTransmitter(self.model.baud, 512, rng)
        self.commands_received = 0
        self._ranges = ranges
        self._on_revolution = on_revolution
        self._head = RotatingHead(self.model.revolution_hz / self.model.spin_up_s)
        self._wanted_hz = self.model.revolution_hz if self.model.motor is MotorControl.DTR else 0.0
        self._motor_blocked = False
        self._protection_stop = False
        self._revolution: int | None = None
        self._stream: _Stream | None = None
        self._inbox = bytearray()
        self._deaf_until_ns = 0
        self._powered = False

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take request bytes; see :class:`hil.emulator.device.Emulator`."""
        self._power_up(now_ns)
        if now_ns < self._deaf_until_ns:
            return
        self._inbox += data
        while (request := self._next_request()) is not None:
            self.commands_received += 1
            self._serve(*request, now_ns)

    def transmit(self, now_ns: int) -> bytes:
        """Return what left the line; see :class:`hil.emulator.device.Emulator`."""
        self._power_up(now_ns)
        if self._stream is not None:
            self._measure(self._stream, now_ns)
        return self.line.sent(now_ns)

    def set_fault(self, kind: str, active: bool, now_ns: int) -> None:
        """Switch a fault.

        ``mute``: nothing reaches the line. ``garbage``: one byte in fifty is random. ``motor``:
        the head is blocked. ``health``: the device is in protection stop.
        """
        self._power_up(now_ns)
        match kind:
            case "mute":
                self.line.muted = active
            case "garbage":
                self.line.garbage_rate = 0.02 if active else 0.0
            case "motor":
                self._motor_blocked = active
                self._drive_head(now_ns)
            case "health":
                self._protection_stop = active
                if active:
                    self._stop()
            case _:
                raise BenchError(f"an {self.name} has no fault named {kind}")

    def set_dtr(self, asserted: bool, now_ns: int) -> None:
        """Tell the level of DTR, which holds the motor of an A1 while asserted."""
        self._power_up(now_ns)
        if self.model.motor is MotorControl.DTR:
            self._wanted_hz = 0.0 if asserted else self.model.revolution_hz
            self._drive_head(now_ns)

    def _power_up(self, now_ns: int) -> None:
        if not self._powered:
            self._powered = True
            self._drive_head(now_ns)

    def _drive_head(self, now_ns: int) -> None:
        wanted_hz = 0.0 if self._motor_blocked else self._wanted_hz
        if wanted_hz != self._head.target_hz:
            self._head.set_speed(wanted_hz, now_ns)

    def _next_request(self) -> tuple[int, bytes] | None:
        """Take one request off the inbox; a byte that cannot belong to one is dropped alone."""
        inbox = self._inbox
        while len(inbox) >= 2:
            if inbox[0] != _REQUEST_START:
                del inbox[0]
                continue
            command = inbox[1]
            if not command & _HAS_PAYLOAD:
                del inbox[:2]
                return command, b""
            if len(inbox) < 3 or len(inbox) < 4 + inbox[2]:
                return None
            length = 3 + inbox[2]
            frame = bytes(inbox[: length + 1])
            if reduce(xor, frame) != 0:
                del inbox[0]
                continue
            del inbox[: length + 1]
            return command, frame[3:length]
        return None

    def _serve(self, command: int, payload: bytes, now_ns: int) -> None:
        if command in (_Request.MOTOR_PWM, _Request.MOTOR_SPEED):
            self._set_motor(command, payload, now_ns)
            return
        # Any other request ends a running measurement.
        self._stop()
        model = self.model
        major, minor = model.firmware
        match command:
            case _Request.RESET:
                self._reset(now_ns)
            case _Request.SCAN | _Request.FORCE_SCAN:
                self._start(model.modes[0], now_ns)
            case _Request.EXPRESS_SCAN if payload and payload[0] < len(model.modes):
                # Mode 0 is the express mode of clients that know of no others.
                self._start(model.modes[payload[0] or 1], now_ns)
            case _Request.GET_INFO:
                plate = bytes([model.model, minor, major, model.hardware]) + model.serial
                self._reply(_ANSWER_INFO, plate, now_ns)
            case _Request.GET_HEALTH:
                status = _STATUS_ERROR if self._protection_stop else _STATUS_OK
                error = _ERROR_MOTOR_TIMEOUT if self._protection_stop else 0
                self._reply(_ANSWER_HEALTH, struct.pack("<BH", status, error), now_ns)
            case _Request.GET_SAMPLERATE:
                durations = struct.pack("<2H", model.standard_sample_us, model.express_sample_us)
                self._reply(_ANSWER_SAMPLERATE, durations, now_ns)
            case _Request.GET_LIDAR_CONF if len(payload) >= 4:
                self._configuration(payload, now_ns)
            case _Request.GET_ACC_BOARD_FLAG:
                pwm = model.motor is MotorControl.PWM
                self._reply(_ANSWER_ACC_BOARD, struct.pack("<I", pwm), now_ns)

    def _set_motor(self, command: int, payload: bytes, now_ns: int) -> None:
        if len(payload) < 2:
            return
        (value,) = struct.unpack_from("<H", payload)
        nominal_hz = self.model.revolution_hz
        if command == _Request.MOTOR_PWM and self.model.motor is MotorControl.PWM:
            self._wanted_hz = nominal_hz * value / _PWM_NOMINAL
        elif command == _Request.MOTOR_SPEED and self.model.motor is MotorControl.RPM:
            self._wanted_hz = value / 60.0
        self._wanted_hz = min(self._wanted_hz, _MAX_RPM / 60.0)
        self._drive_head(now_ns)

    def _reply(self, answer: int, payload: bytes, now_ns: int) -> None:
        descriptor = struct.pack("<2BIB", 0xA5, 0x5A, len(payload), answer)
        self.line.send(descriptor + payload, now_ns + _REPLY_DELAY_NS)

    def _configuration(self, payload: bytes, now_ns: int) -> None:
        """Answer GET_LIDAR_CONF; a real unit is silent about keys and modes it does not have."""
        (key,) = struct.unpack_from("<I", payload)
        rpm = round(self.model.revolution_hz * 60)
        plain = {
            _CONF_DESIRED_SPEED: struct.pack("<2H", rpm, _PWM_NOMINAL),
            _CONF_MIN_SPEED: struct.pack("<H", _MIN_RPM),
            _CONF_MAX_SPEED: struct.pack("<H", _MAX_RPM),
            _CONF_MODE_COUNT: struct.pack("<H", len(self.model.modes)),
            _CONF_TYPICAL_MODE: struct.pack("<H", len(self.model.modes) - 1),
        }
        value = plain.get(key)
        if value is None and len(payload) >= 6:
            (mode,) = struct.unpack_from("<H", payload, 4)
            value = self._mode_configuration(key, mode)
        if value is not None:
            self._reply(_ANSWER_CONF, payload[:4] + value, now_ns)

    def _mode_configuration(self, key: int, number: int) -> bytes | None:
        model = self.model
        if number >= len(model.modes):
            return None
        mode = model.modes[number]
        return {
            _CONF_SAMPLE_DURATION: struct.pack("<I", round(256 * mode.sample_us)),
            _CONF_MAX_DISTANCE: struct.pack("<I", model.max_range_m << 8),
            _CONF_ANSWER_TYPE: bytes([mode.answer]),
            _CONF_MODE_NAME: mode.name.encode("ascii") + b"\0",
        }.get(key)

    def _stop(self) -> None:
        if self._stream is not None:
            self._stream = None
            self._revolution = None
            self.line.clear()

    def _reset(self, now_ns: int) -> None:
        self.line.clear()
        self._inbox.clear()
        major, minor = self.model.firmware
        banner = (
            f"RP LIDAR System.\r\nFirmware Ver {major}.{minor} - rtm, HW Ver {self.model.hardware}"
            f"\r\nModel: {self.model.model:02x}\r\n"
        )
        self.line.send(banner.encode("ascii"), now_ns + _BANNER_DELAY_NS)
        self._deaf_until_ns = now_ns + _BANNER_DELAY_NS + _READY_AFTER_BANNER_NS

    def _start(self, mode: RplidarMode, now_ns: int) -> None:
        if self._protection_stop:
            return
        size, _ = _FRAMES[mode.answer]
        descriptor = struct.pack("<2BIB", 0xA5, 0x5A, size | 1 << 30, mode.answer)
        self.line.send(descriptor, now_ns + _REPLY_DELAY_NS)
        sample_ns = round(mode.sample_us * 1000)
        self._stream = _Stream(mode.answer, sample_ns, now_ns + 2 * _REPLY_DELAY_NS)

    def _measure(self, stream: _Stream, now_ns: int) -> None:
        """Take every sample that is through the device's filter by now, and queue it."""
        if self._head.target_hz == 0.0 or now_ns < self._head.settled_ns:
            # Measurements begin when the head turns steadily.
            stream.next_ns = max(stream.next_ns, now_ns)
            return
        stream.next_ns = max(stream.next_ns, self._head.settled_ns)
        # A sample is finished half a sample after its middle and filtered for one more.
        filter_ns = stream.sample_ns * 3 // 2
        due = max((now_ns - filter_ns - stream.next_ns) // stream.sample_ns + 1, 0)
        _, size = _FRAMES[stream.answer]
        due -= due % size
        if due == 0:
            return
        stamps_ns = stream.next_ns + stream.sample_ns * np.arange(due + 1, dtype=np.int64)
        stream.next_ns = int(stamps_ns[-1])
        phases = self._head.phases(stamps_ns)
        starts = self._count_revolutions(stamps_ns[:-1], phases[:-1])
        if stream.answer != _ANSWER_STANDARD:
            for i in range(0, due, size):
                ready_ns = int(stamps_ns[i + size - 1]) + filter_ns
                capsule = self._capsule(stamps_ns[i : i + size], phases[i], phases[i + size])
                self.line.send(capsule, ready_ns)
        else:
            nodes = self._nodes(stamps_ns[:-1], phases[:-1], starts)
            for i in range(due):
                self.line.send(nodes[5 * i : 5 * i + 5], int(stamps_ns[i]) + filter_ns)

    def _count_revolutions(self, stamps_ns: StampArray, phases: FloatArray) -> NDArray[np.bool_]:
        """Return which samples are the first of a revolution, and tell whoever wants to know."""
        revolutions = np.floor(phases).astype(np.int64)
        before = self._revolution if self._revolution is not None else int(revolutions[0])
        starts = np.diff(revolutions, prepend=before) > 0
        self._revolution = int(revolutions[-1])
        if self._on_revolution is not None:
            for i in np.flatnonzero(starts).tolist():
                self._on_revolution(int(revolutions[i]), int(stamps_ns[i]))
        return starts

    def _offsets_deg(self, stamps_ns: StampArray, encoder_deg: FloatArray) -> FloatArray:
        """Return how far behind the encoder each measured point lies."""
        if not self.model.looks_aside:
            return np.zeros_like(encoder_deg)
        ranges_m = self._ranges(stamps_ns, np.radians(_FAR_OFFSET_DEG - encoder_deg))
        offsets_deg = _FAR_OFFSET_DEG - np.degrees(_PARALLAX_M / ranges_m)
        return np.where(np.isnan(ranges_m), _EMPTY_OFFSET_DEG, np.maximum(offsets_deg, 0.0))

    def _nodes(self, stamps_ns: StampArray, phases: FloatArray, starts: NDArray[np.bool_]) -> bytes:
        encoder_deg = 360.0 * (phases % 1.0)
        angles_deg = encoder_deg - self._offsets_deg(stamps_ns, encoder_deg)
        angles_q6 = np.floor(angles_deg * 64.0).astype(np.int64) % _FULL_TURN_Q6
        ranges_m = self._ranges(stamps_ns, np.radians(angles_q6 / -64.0))
        distances_q2 = _distances_q2(ranges_m, 1)
        quality = np.where(distances_q2 > 0, _QUALITY, 0)
        nodes = np.empty((stamps_ns.size, 5), dtype=np.uint8)
        nodes[:, 0] = quality << 2 | np.where(starts, 0b01, 0b10)
        nodes[:, 1] = (angles_q6 << 1 | 1) & 0xFF
        nodes[:, 2] = angles_q6 >> 7
        nodes[:, 3] = distances_q2 & 0xFF
        nodes[:, 4] = distances_q2 >> 8
        return nodes.tobytes()

    def _capsule(self, stamps_ns: StampArray, phase: float, next_phase: float) -> bytes:
        """Return one capsule; its rays are cast where a decoder will place them."""
        stream = self._stream
        if stream is None:
            raise BenchError("nothing is being measured")
        start_q6 = math.floor((phase % 1.0) * _FULL_TURN_Q6)
        next_q6 = math.floor((next_phase % 1.0) * _FULL_TURN_Q6)
        span_q6 = (next_q6 - start_q6) % _FULL_TURN_Q6
        samples = stamps_ns.size
        encoder_deg = (start_q6 + span_q6 * np.arange(samples) / samples) / 64.0
        encode = {
            _ANSWER_EXPRESS: self._express_samples,
            _ANSWER_ULTRA: self._ultra_samples,
            _ANSWER_DENSE: self._dense_samples,
            _ANSWER_ULTRA_DENSE: self._ultra_dense_samples,
        }[stream.answer]
        data = encode(stamps_ns, encoder_deg)
        if stream.first:
            stream.first = False
            start_q6 |= _FIRST_CAPSULE
        stamp = b""
        if stream.answer == _ANSWER_ULTRA_DENSE:
            stamp = struct.pack("<IH", int(stamps_ns[0]) // 1000 & 0xFFFF_FFFF, 0)
        body = stamp + struct.pack("<H", start_q6) + data
        checksum = reduce(xor, body)
        return bytes([0xA0 | checksum & 0xF, 0x50 | checksum >> 4]) + body

    def _express_samples(self, stamps_ns: StampArray, encoder_deg: FloatArray) -> bytes:
        offsets_q3 = np.rint(8.0 * self._offsets_deg(stamps_ns, encoder_deg)).astype(np.int64)
        offsets_q3 = np.minimum(offsets_q3, 0x3F)
        ranges_m = self._ranges(stamps_ns, np.radians(offsets_q3 / 8.0 - encoder_deg))
        words = _distances_q2(ranges_m, 4) | offsets_q3 >> 4
        cabins = np.empty((len(words) // 2, 5), dtype=np.uint8)
        cabins[:, 0], cabins[:, 1] = words[::2] & 0xFF, words[::2] >> 8
        cabins[:, 2], cabins[:, 3] = words[1::2] & 0xFF, words[1::2] >> 8
        cabins[:, 4] = (offsets_q3[::2] & 0xF) | (offsets_q3[1::2] & 0xF) << 4
        return cabins.tobytes()

    def _ultra_samples(self, stamps_ns: StampArray, encoder_deg: FloatArray) -> bytes:
        """Return distances in threes: one of variable scale, two by their difference from such.

        The last two would be told by the first of the next capsule, which is not measured yet: they
        are told as no return.
        """
        offsets_deg = self._offsets_deg(stamps_ns, encoder_deg)
        ranges_m = self._ranges(stamps_ns, np.radians(offsets_deg - encoder_deg))
        distances_mm = _whole(ranges_m, 1000.0, _ULTRA_MOST_MM)
        scaled = [_scaled(mm) for mm in distances_mm[::3].tolist()]
        words = []
        for k, (major, major_after) in enumerate(zip(scaled, [*scaled[1:], None], strict=True)):
            base = _unscaled(major)
            near = far = _NOT_PREDICTED
            if major_after is not None:
                after = _unscaled(major_after)
                near = _predicted(int(distances_mm[3 * k + 1]), *(base if base[0] else after))
                far = _predicted(int(distances_mm[3 * k + 2]), *after)
            words.append(major | (near & 0x3FF) << 12 | (far & 0x3FF) << 22)
        return struct.pack(f"<{len(words)}I", *words)

    def _dense_samples(self, stamps_ns: StampArray, encoder_deg: FloatArray) -> bytes:
        ranges_m = self._ranges(stamps_ns, np.radians(-encoder_deg))
        return _whole(ranges_m, 1000.0, 0xFFFF).astype("<u2").tobytes()

    def _ultra_dense_samples(self, stamps_ns: StampArray, encoder_deg: FloatArray) -> bytes:
        """Return 20 bits a sample: distance, the coarser the farther, its scale, and quality."""
        ranges_m = self._ranges(stamps_ns, np.radians(-encoder_deg))
        words = [_ultra_dense_word(mm) for mm in np.nan_to_num(ranges_m * 1000.0).tolist()]
        cabins = bytearray()
        for first, second in zip(words[::2], words[1::2], strict=True):
            cabins += struct.pack(
                "<2HB", first & 0xFFFF, second & 0xFFFF, first >> 16 | second >> 16 << 4
            )
        return bytes(cabins)


def _distances_q2(ranges_m: FloatArray, step: int) -> NDArray[np.int64]:
    """Return quarters of a millimetre, a multiple of ``step``; 0 for what cannot be told."""
    steps = (
        np.rint(np.where(np.isnan(ranges_m), 0.0, ranges_m) * (4000.0 / step)).astype(np.int64)
        * step
    )
    return np.where(steps <= 0xFFFF, steps, 0)


def _whole(ranges_m: FloatArray, per_m: float, most: int) -> NDArray[np.int64]:
    """Return ranges as whole numbers; 0 for what cannot be told."""
    whole = np.rint(np.where(np.isnan(ranges_m), 0.0, ranges_m) * per_m).astype(np.int64)
    return np.where(whole <= most, whole, 0)


def _scaled(distance_mm: int) -> int:
    """Return 12 bits of variable scale: whole mm when near, 16 mm when far."""
    for begins_mm, base, power in reversed(_SCALES):
        if distance_mm >= begins_mm:
            return base + (distance_mm - begins_mm >> power)
    return distance_mm


def _unscaled(scaled: int) -> tuple[int, int]:
    """Return what 12 bits of variable scale stand for in mm, and the power of the scale."""
    for begins_mm, base, power in reversed(_SCALES):
        if scaled >= base:
            return begins_mm + (scaled - base << power), power
    return scaled, 0


def _predicted(distance_mm: int, base_mm: int, power: int) -> int:
    """Return 10 bits of difference; the least number where there is none, or it is too large."""
    difference = distance_mm - base_mm >> power
    return difference if distance_mm > 0 and -511 <= difference <= 510 else _NOT_PREDICTED


def _ultra_dense_word(distance_mm: float) -> int:
    """Return 20 bits: scale, distance in steps of 2 to 5 mm from where it begins, quality."""
    for scale, (begins_mm, ends_mm) in enumerate(pairwise((0, 2046, 8187, 24_567, 65_000))):
        steps = round((distance_mm - begins_mm) / (2 + scale))
        if distance_mm < ends_mm and 0 <= steps < 1 << 10 + scale:
            quality = _QUALITY >> scale if distance_mm > 0.0 else 0
            return scale | steps << 2 | quality << 12 + scale
    return 0
