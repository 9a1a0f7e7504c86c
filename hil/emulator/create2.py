"""iRobot Create 2: commands of one opcode and its data, sensor packets on request or as a stream.

Source: iRobot, "Create 2 Open Interface Specification based on the Roomba 600", 2018.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from hil.emulator.device import WheelActuator
from hil.emulator.uart import UartTransmitter
from hil.errors import BenchError
from hil.plant.robot import DriveParameters

BAUD: Final = 115_200
# The plant's wheels as the robot has them: 508.8 counts a turn, which here are a whole number.
DRIVE: Final = DriveParameters(
    track_m=0.235, wheel_radius_m=0.036, counts_per_turn=509, max_speed_mps=0.5
)

_REPLY_DELAY_NS: Final = 1_000_000
_STREAM_PERIOD_NS: Final = 15_000_000
_STREAM_HEADER: Final = 0x13
_OFF, _PASSIVE, _SAFE, _FULL = range(4)
_MM_PER_M: Final = 1000.0
_TOP_MMPS: Final = 500
_FULL_PWM: Final = 255
_STRAIGHT: Final = (0x7FFF, -0x8000)
_CLOCKWISE, _COUNTER_CLOCKWISE = -1, 1

_BUMP_BOTH: Final = 0x03
_DROP_BOTH: Final = 0x0C
_LEFT_OVERCURRENT: Final = 0x10
_FLOOR_SIGNAL, _CLIFF_SIGNAL = 2400, 30
_IDLE_MA: Final = -180
_WHEEL_MA: Final = 90
_STALL_MA: Final = 1500
_CAPACITY_MAH, _CHARGE_MAH = 2696, 2110
_TEMPERATURE_C: Final = 27
_NO_IR: Final = 0
_BANNER: Final = (
    b"bl-start\r\nSTR730\r\nbootloader id: #x47175347 4C636FFF\r\n"
    b"bootloader info rev: #xF000\r\nbootloader rev: #x0001\r\n2007-05-14-1715-L\r\n"
)

# Bytes of data behind each opcode; songs and lists tell their own length.
_DATA_BYTES: Final = {
    7: 0,
    128: 0,
    129: 1,
    130: 0,
    131: 0,
    132: 0,
    133: 0,
    134: 0,
    135: 0,
    136: 0,
    137: 4,
    138: 1,
    139: 3,
    141: 1,
    142: 1,
    143: 0,
    144: 3,
    145: 4,
    146: 4,
    150: 1,
    162: 2,
    163: 4,
    164: 4,
    165: 1,
    167: 15,
    168: 3,
    173: 0,
}
_SONG, _STREAM, _QUERY_LIST = 140, 148, 149
_GROUPS: Final = {
    0: range(7, 27),
    1: range(7, 17),
    2: range(17, 21),
    3: range(21, 27),
    4: range(27, 35),
    5: range(35, 43),
    6: range(7, 43),
    100: range(7, 59),
    101: range(43, 59),
    106: range(46, 52),
    107: range(54, 59),
}
_TWO_BYTES: Final = frozenset(
    (19, 20, 22, 23, 33, *range(25, 32), *range(39, 45), *range(46, 52), *range(54, 58))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Create2Model:
    """How the robot is.

    Attributes:
        battery_v: Voltage.
        counts: Left and right encoder count at power-up.
    """

    battery_v: float = 15.9
    counts: tuple[int, int] = (0, 0)


class Create2Emulator:
    """A Create 2 on its serial line, switched on.

    Args:
        wheels: The motors; their encoders count as those of ``DRIVE`` do.
        rng: Of line faults.
        model: How it is.
    """

    name: ClassVar[str] = "create2"
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
        self, wheels: WheelActuator, rng: np.random.Generator, model: Create2Model | None = None
    ) -> None:
        self.model = model or Create2Model()
        self.line = UartTransmitter(BAUD, 512, rng)
        self.commands_received = 0
        self.mode = _OFF
        self.display = "    "
        self.songs: dict[int, bytes] = {}
        self._wheels = wheels
        self._inbox = bytearray()
        self._requested = (0, 0)
        self._velocity = (0, 0)
        self._streamed: tuple[int, ...] = ()
        self._is_streaming = False
        self._next_ns = 0
        self._bumps = self._wheel_drops = self._overcurrents = 0
        self._cliff = False
        self._song = 0
        self._travelled_mm = 0.0
        self._turned_deg = 0.0

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take commands; see :class:`hil.emulator.device.Emulator`."""
        self._inbox += data
        while self._inbox and (size := self._command_size()) is not None:
            command = bytes(self._inbox[:size])
            del self._inbox[:size]
            self._obey(command[0], command[1:], now_ns)
            self._guard()

    def transmit(self, now_ns: int) -> bytes:
        """Return what left the line; see :class:`hil.emulator.device.Emulator`."""
        self._guard()
        while self._is_streaming and self._next_ns <= now_ns:
            self.line.send(self._frame(), self._next_ns)
            self._next_ns += _STREAM_PERIOD_NS
        return self.line.sent(now_ns)

    def set_fault(self, kind: str, active: bool, now_ns: int) -> None:
        """Switch a fault.

        ``mute``: nothing reaches the line. ``garbage``: one byte in fifty is random. ``bumper``:
        pressed on both sides. ``cliff``: nothing under the left sensor. ``wheel_drop``: the robot
        is lifted. ``overcurrent``: the left motor works against something.
        """
        match kind:
            case "mute":
                self.line.muted = active
            case "garbage":
                self.line.garbage_rate = 0.02 if active else 0.0
            case "bumper":
                self._bumps = _BUMP_BOTH * active
            case "cliff":
                self._cliff = active
            case "wheel_drop":
                self._wheel_drops = _DROP_BOTH * active
            case "overcurrent":
                self._overcurrents = _LEFT_OVERCURRENT * active
            case _:
                raise BenchError(f"a {self.name} has no fault named {kind}")
        self._guard()

    def _guard(self) -> None:
        """Leave safe mode at an edge that the robot drives towards, or when it is lifted."""
        left, right = self._requested
        if self.mode == _SAFE and (self._wheel_drops or (self._cliff and left + right > 0)):
            self._enter(_PASSIVE)

    def _enter(self, mode: int) -> None:
        self.mode = mode
        if mode in (_OFF, _PASSIVE):
            self._drive(0, 0)
        self._is_streaming &= mode != _OFF

    def _command_size(self) -> int | None:
        """Return the length of the command at the front, None while it is incomplete."""
        opcode = self._inbox[0]
        size = 1 + _DATA_BYTES.get(opcode, 0)
        if opcode in (_STREAM, _QUERY_LIST, _SONG):
            at = 2 if opcode == _SONG else 1
            if len(self._inbox) <= at:
                return None
            size = at + 1 + self._inbox[at] * (2 if opcode == _SONG else 1)
        return size if len(self._inbox) >= size else None

    def _obey(self, opcode: int, data: bytes, now_ns: int) -> None:
        if opcode == 128 and self.mode == _OFF:
            self._enter(_PASSIVE)
        elif opcode == 7:
            self._enter(_OFF)
            self.line.send(_BANNER, now_ns + _REPLY_DELAY_NS)
        elif self.mode == _OFF or (opcode not in _DATA_BYTES and opcode not in _LISTS):
            return
        elif opcode in _MODES:
            self._enter(_MODES[opcode])
        elif opcode in (142, _STREAM, _QUERY_LIST, 150):
            self._report(opcode, data, now_ns)
        elif self.mode in (_SAFE, _FULL):
            self._act(opcode, data)
        self.commands_received += 1

    def _report(self, opcode: int, data: bytes, now_ns: int) -> None:
        """Execute the commands that make the robot send something."""
        match opcode:
            case 142:
                self.line.send(self._packets(data), now_ns + _REPLY_DELAY_NS)
            case 149:
                self.line.send(self._packets(data[1:]), now_ns + _REPLY_DELAY_NS)
            case 148:
                self._streamed = tuple(data[1:])
                self._is_streaming = bool(self._streamed)
                self._next_ns = now_ns + _STREAM_PERIOD_NS
            case 150:
                begins = bool(data[0]) and not self._is_streaming
                self._is_streaming = bool(data[0] and self._streamed)
                self._next_ns = now_ns + _STREAM_PERIOD_NS if begins else self._next_ns

    def _act(self, opcode: int, data: bytes) -> None:
        """Execute the commands that move or show something; LED, brushes and clock are accepted."""
        if opcode in (137, 145, 146):
            first, second = _signed(data[:2]), _signed(data[2:])
        match opcode:
            case 137:
                self._drive_radius(first, second)
            case 145:
                self._drive(second, first)
            case 146:
                self._drive(*(round(pwm / _FULL_PWM * _TOP_MMPS) for pwm in (second, first)))
            case 164:
                self.display = data.decode("ascii", errors="replace")
            case 140:
                self.songs[data[0]] = data[2:]
            case 141:
                self._song = data[0]

    def _drive_radius(self, velocity_mmps: int, radius_mm: int) -> None:
        velocity = max(min(velocity_mmps, _TOP_MMPS), -_TOP_MMPS)
        if radius_mm in _STRAIGHT or radius_mm == 0:
            left = right = float(velocity)
        elif radius_mm in (_CLOCKWISE, _COUNTER_CLOCKWISE):
            left, right = -radius_mm * velocity, radius_mm * velocity
        else:
            share = DRIVE.track_m * _MM_PER_M / 2.0 / radius_mm
            left, right = velocity * (1.0 - share), velocity * (1.0 + share)
        self._drive(round(left), round(right))
        self._velocity = velocity, radius_mm

    def _drive(self, left_mmps: int, right_mmps: int) -> None:
        left, right = (max(min(mmps, _TOP_MMPS), -_TOP_MMPS) for mmps in (left_mmps, right_mmps))
        self._requested, self._velocity = (left, right), (0, 0)
        per_radps = DRIVE.wheel_radius_m * _MM_PER_M
        self._wheels.set_wheel_speeds(left / per_radps, right / per_radps)

    def _frame(self) -> bytes:
        content = b"".join(
            bytes((packet,)) + self._packets(bytes((packet,))) for packet in self._streamed
        )
        frame = bytes((_STREAM_HEADER, len(content) & 0xFF)) + content
        return frame + bytes((-sum(frame) & 0xFF,))

    def _packets(self, ids: bytes) -> bytes:
        """Return the data of packets and groups of packets; an unknown id has none."""
        data = b""
        for id_ in ids:
            for packet in _GROUPS.get(id_, (id_,)):
                if 7 <= packet <= 58:
                    value = self._values.get(packet, _nothing)(self)
                    size = 1 + (packet in _TWO_BYTES)
                    data += (value % (1 << 8 * size)).to_bytes(size, "big")
        return data

    def _counts(self) -> tuple[int, int]:
        left, right = self._wheels.encoder_counts()
        return self.model.counts[0] + left, self.model.counts[1] + right

    def _distance_mm(self) -> int:
        """Return the way since it was last asked for."""
        way_mm = sum(self._wheels.encoder_counts()) / 2.0 * _MM_PER_COUNT
        since_mm = round(way_mm - self._travelled_mm)
        self._travelled_mm += since_mm
        return since_mm

    def _angle_deg(self) -> int:
        """Return the turn since it was last asked for, counter-clockwise."""
        left, right = self._wheels.encoder_counts()
        turn_deg = math.degrees((right - left) * _MM_PER_COUNT / (DRIVE.track_m * _MM_PER_M))
        since_deg = round(turn_deg - self._turned_deg)
        self._turned_deg += since_deg
        return since_deg

    def _current_ma(self) -> int:
        return _IDLE_MA - self._wheel_ma(0) - self._wheel_ma(1)

    def _wheel_ma(self, wheel: int) -> int:
        if wheel == 0 and self._overcurrents:
            return _STALL_MA
        return _WHEEL_MA if self._wheels.wheel_speeds_radps()[wheel] else 0

    _values: ClassVar[dict[int, Callable[["Create2Emulator"], int]]] = {
        7: lambda self: self._bumps | self._wheel_drops,
        9: lambda self: self._cliff,
        14: lambda self: self._overcurrents,
        17: lambda self: _NO_IR,
        19: _distance_mm,
        20: _angle_deg,
        22: lambda self: round(1000.0 * self.model.battery_v),
        23: _current_ma,
        24: lambda self: _TEMPERATURE_C,
        25: lambda self: _CHARGE_MAH,
        26: lambda self: _CAPACITY_MAH,
        28: lambda self: _CLIFF_SIGNAL if self._cliff else _FLOOR_SIGNAL,
        29: lambda self: _FLOOR_SIGNAL,
        30: lambda self: _FLOOR_SIGNAL,
        31: lambda self: _FLOOR_SIGNAL,
        35: lambda self: self.mode,
        36: lambda self: self._song,
        38: lambda self: len(self._streamed),
        39: lambda self: self._velocity[0],
        40: lambda self: self._velocity[1],
        41: lambda self: self._requested[1],
        42: lambda self: self._requested[0],
        43: lambda self: self._counts()[0],
        44: lambda self: self._counts()[1],
        54: lambda self: self._wheel_ma(0),
        55: lambda self: self._wheel_ma(1),
        58: lambda self: int(any(self._wheels.wheel_speeds_radps())),
    }


_MODES: Final = {
    128: _PASSIVE,
    130: _SAFE,
    131: _SAFE,
    132: _FULL,
    133: _PASSIVE,
    134: _PASSIVE,
    135: _PASSIVE,
    136: _PASSIVE,
    143: _PASSIVE,
    173: _OFF,
}
_LISTS: Final = (_SONG, _STREAM, _QUERY_LIST)
_MM_PER_COUNT: Final = math.tau * DRIVE.wheel_radius_m * _MM_PER_M / DRIVE.counts_per_turn


def _nothing(_: Create2Emulator) -> int:
    """Return the value of packets that say nothing here: walls, dirt, buttons, light."""
    return 0


def _signed(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)
