"""Kobuki mobile base: a frame every 20 ms from power-up on, commands in frames of the same form.

Source: Yujin Robot, "Kobuki Documentation", "Serial Protocol".
"""

import math
import struct
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from hil.emulator.device import WheelActuator
from hil.emulator.uart import UartTransmitter
from hil.errors import BenchError
from hil.plant.robot import DriveParameters

BAUD: Final = 115_200
# The plant's wheels as the base has them: 2578.33 ticks a turn, which here are a whole number.
DRIVE: Final = DriveParameters(
    track_m=0.230, wheel_radius_m=0.035, counts_per_turn=2578, max_speed_mps=0.7
)

_HEADER: Final = b"\xaa\x55"
_PERIOD_NS: Final = 20_000_000
_TIMEOUT_NS: Final = 600_000_000
_MS: Final = 1_000_000
_TRACK_MM: Final = 230.0
_MM_PER_M: Final = 1000.0
_STRAIGHT, _IN_PLACE = 0, 1
_GYRO_SAMPLES: Final = 2
_GYRO_DPS: Final = 0.00875
_DEFAULT_GAIN: Final = (0, 100_000, 100, 2000)
_RIGHT_BUMPER, _CENTRE_BUMPER, _LEFT_BUMPER = 0x01, 0x02, 0x04
_LEFT_CLIFF: Final = 0x04
_BOTH_WHEELS: Final = 0x03
_LEFT_OVERCURRENT: Final = 0x01
_FLOOR_ADC, _CLIFF_ADC = 1800, 250
_HARDWARE_FLAG, _FIRMWARE_FLAG, _UDID_FLAG = 0x01, 0x02, 0x08
_IDLE_10MA: Final = 12
_STALL_10MA: Final = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class KobukiModel:
    """How the base is built.

    Attributes:
        hardware: Version: major, minor, patch.
        firmware: The same.
        udid: Unique device id, three words.
        battery_v: Voltage.
        start_ms: Time since power-up when the emulation begins; it wraps at 65536.
    """

    hardware: tuple[int, int, int] = (1, 0, 4)
    firmware: tuple[int, int, int] = (1, 2, 0)
    udid: tuple[int, int, int] = (0x0039_0031, 0x3336_4715, 0x0731_3234)
    battery_v: float = 16.2
    start_ms: int = 0


class KobukiEmulator:
    """A Kobuki on its serial line.

    Args:
        wheels: The motors; their encoders count the base's ticks, as those of ``DRIVE`` do.
        rng: Of line faults.
        model: How it is built.
    """

    name: ClassVar[str] = "kobuki"
    drive: ClassVar[DriveParameters] = DRIVE
    fault_kinds: ClassVar[tuple[str, ...]] = (
        "mute",
        "garbage",
        "bumper",
        "cliff",
        "wheel_drop",
        "overcurrent",
    )

    def __init__(
        self, wheels: WheelActuator, rng: np.random.Generator, model: KobukiModel | None = None
    ) -> None:
        self.model = model or KobukiModel()
        self.line = UartTransmitter(BAUD, 512, rng)
        self.commands_received = 0
        self.outputs = 0
        self._wheels = wheels
        self._inbox = bytearray()
        self._next_ns: int | None = None
        self._start_ns = 0
        self._commanded_ns: int | None = None
        self._bumpers = self._cliffs = self._wheel_drops = self._overcurrents = 0
        self._gain = _DEFAULT_GAIN
        self._requested = 0
        self._asked_gain = False
        self._gyro_frame = 0

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take command frames; see :class:`hil.emulator.device.Emulator`."""
        self._inbox += data
        while (size := self._frame_size()) is not None:
            if size:
                self._obey(bytes(self._inbox[3 : size - 1]), now_ns)
            del self._inbox[: max(size, 1)]

    def transmit(self, now_ns: int) -> bytes:
        """Return what left the line; see :class:`hil.emulator.device.Emulator`."""
        if self._next_ns is None:
            self._next_ns = self._start_ns = now_ns
        if self._commanded_ns is not None and now_ns - self._commanded_ns > _TIMEOUT_NS:
            self._commanded_ns = None
            self._wheels.set_wheel_speeds(0.0, 0.0)
        while self._next_ns <= now_ns:
            self.line.send(self._frame(self._next_ns), self._next_ns)
            self._next_ns += _PERIOD_NS
        return self.line.sent(now_ns)

    def set_fault(self, kind: str, active: bool, now_ns: int) -> None:
        """Switch a fault.

        ``mute``: nothing reaches the line. ``garbage``: one byte in fifty is random. ``bumper``:
        the middle one is pressed. ``cliff``: nothing under the left sensor. ``wheel_drop``: the
        robot is lifted. ``overcurrent``: the left motor works against something.
        """
        match kind:
            case "mute":
                self.line.muted = active
            case "garbage":
                self.line.garbage_rate = 0.02 if active else 0.0
            case "bumper":
                self._bumpers = _CENTRE_BUMPER * active
            case "cliff":
                self._cliffs = _LEFT_CLIFF * active
            case "wheel_drop":
                self._wheel_drops = _BOTH_WHEELS * active
            case "overcurrent":
                self._overcurrents = _LEFT_OVERCURRENT * active
            case _:
                raise BenchError(f"a {self.name} has no fault named {kind}")

    def _frame_size(self) -> int | None:
        """Return the length of the frame at the front, 0 for none, None while it is incomplete."""
        if not self._inbox:
            return None
        if self._inbox[0] != _HEADER[0]:
            return 0
        if len(self._inbox) < 3:
            return None
        if self._inbox[1] != _HEADER[1] or self._inbox[2] == 0:
            return 0
        size = self._inbox[2] + 4
        if len(self._inbox) < size:
            return None
        return size if _xor(self._inbox[2:size]) == 0 else 0

    def _obey(self, payload: bytes, now_ns: int) -> None:
        """Take the sub-payloads of a frame; what is unknown or of another length is passed over."""
        at = 0
        while at + 2 <= len(payload) and (end := at + 2 + payload[at + 1]) <= len(payload):
            self._take(payload[at], payload[at + 2 : end], now_ns)
            at = end

    def _take(self, command: int, data: bytes, now_ns: int) -> None:
        match command, len(data):
            case 1, 4:
                self._drive(*struct.unpack("<hh", data))
                self._commanded_ns = now_ns
            case (3, 3) | (4, 1):
                pass  # sounds
            case 9, 2:
                self._requested |= int.from_bytes(data, "little")
            case 12, 2:
                self.outputs = int.from_bytes(data, "little")
            case 13, 13:
                self._gain = struct.unpack("<BIII", data)
            case 14, 1:
                self._asked_gain = True
            case _:
                return
        self.commands_received += 1

    def _drive(self, speed_mmps: int, radius_mm: int) -> None:
        """Turn the speed of the outer wheel and the radius of the way into wheel speeds."""
        left = right = float(speed_mmps)
        if radius_mm == _IN_PLACE:
            left = -left
        elif radius_mm != _STRAIGHT:
            half = _TRACK_MM / 2.0
            inner = speed_mmps * (abs(radius_mm) - half) / (abs(radius_mm) + half)
            left, right = (inner, right) if radius_mm > 0 else (left, inner)
        per_radps = DRIVE.wheel_radius_m * _MM_PER_M
        self._wheels.set_wheel_speeds(left / per_radps, right / per_radps)

    def _frame(self, now_ns: int) -> bytes:
        left, right = self._wheels.encoder_counts()
        milliseconds = self.model.start_ms + (now_ns - self._start_ns) // _MS
        yaw_rate_dps, yaw_cdeg = self._yaw(left, right)
        gyro = round(yaw_rate_dps / _GYRO_DPS)
        left_10ma, right_10ma = self._currents_10ma()
        parts = [
            (1, self._basic(milliseconds % 0x1_0000, left, right)),
            (3, bytes(3)),
            (4, struct.pack("<hh3x", yaw_cdeg, _limited(round(100.0 * yaw_rate_dps)))),
            (5, self._cliff_readings()),
            (6, bytes((left_10ma, right_10ma))),
            (13, self._gyro(_limited(gyro))),
            (16, struct.pack("<H4H6x", 0x4F, 4095, 4095, 4095, 4095)),
        ]
        payload = b"".join(bytes((id_, len(data))) + data for id_, data in parts + self._extras())
        body = bytes((len(payload),)) + payload
        return _HEADER + body + bytes((_xor(body),))

    def _basic(self, milliseconds: int, left: int, right: int) -> bytes:
        return struct.pack(
            "<HBBBHHbbBBBB",
            milliseconds,
            self._bumpers,
            self._wheel_drops,
            self._cliffs,
            left % 0x1_0000,
            right % 0x1_0000,
            *self._duties(),
            0,
            0,
            round(10.0 * self.model.battery_v),
            self._overcurrents,
        )

    def _duties(self) -> tuple[int, int]:
        full_radps = DRIVE.max_speed_mps / DRIVE.wheel_radius_m
        left, right = (round(100.0 * w / full_radps) for w in self._wheels.wheel_speeds_radps())
        return max(min(left, 127), -128), max(min(right, 127), -128)

    def _currents_10ma(self) -> tuple[int, int]:
        left, right = (
            0 if speed_radps == 0.0 else min(round(_IDLE_10MA + abs(speed_radps)), 255)
            for speed_radps in self._wheels.wheel_speeds_radps()
        )
        return _STALL_10MA if self._overcurrents else left, right

    def _cliff_readings(self) -> bytes:
        left = _CLIFF_ADC if self._cliffs else _FLOOR_ADC
        return struct.pack("<HHH", _FLOOR_ADC, _FLOOR_ADC, left)

    def _yaw(self, left: int, right: int) -> tuple[float, int]:
        """Return the rate of turn in degrees per second and the heading in 1/100 degree."""
        radius_m = DRIVE.wheel_radius_m
        left_radps, right_radps = self._wheels.wheel_speeds_radps()
        rate_dps = math.degrees((right_radps - left_radps) * radius_m / DRIVE.track_m)
        way_m = (right - left) / DRIVE.counts_per_turn * math.tau * radius_m
        yaw_deg = math.degrees(way_m / DRIVE.track_m)
        return rate_dps, round(100.0 * ((yaw_deg + 180.0) % 360.0 - 180.0))

    def _gyro(self, rate: int) -> bytes:
        """Return the newest raw samples: x, y and z of each."""
        self._gyro_frame = (self._gyro_frame + _GYRO_SAMPLES) % 0x100
        samples = struct.pack("<hhh", 0, 0, rate) * _GYRO_SAMPLES
        return bytes((self._gyro_frame, 3 * _GYRO_SAMPLES)) + samples

    def _extras(self) -> list[tuple[int, bytes]]:
        """Return what was asked for, once."""
        extras = []
        if self._requested & _HARDWARE_FLAG:
            extras.append((10, _version(self.model.hardware)))
        if self._requested & _FIRMWARE_FLAG:
            extras.append((11, _version(self.model.firmware)))
        if self._requested & _UDID_FLAG:
            extras.append((19, struct.pack("<III", *self.model.udid)))
        if self._asked_gain:
            extras.append((21, struct.pack("<BIII", *self._gain)))
        self._requested, self._asked_gain = 0, False
        return extras


def _version(version: tuple[int, int, int]) -> bytes:
    major, minor, patch = version
    return bytes((patch, minor, major, 0))


def _limited(value: int) -> int:
    return max(min(value, 0x7FFF), -0x8000)


def _xor(data: bytes | bytearray) -> int:
    total = 0
    for byte in data:
        total ^= byte
    return total
