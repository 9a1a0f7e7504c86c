"""RoboClaw two-channel motor controller, packet serial with CRC16, in closed-loop speed mode.

Source: Basicmicro, "RoboClaw Series User Manual" v5.7, sections "Packet serial", "Advanced packet
serial", "Encoder functions" and "Advanced motor control".
"""

import math
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

import numpy as np

from hil.emulator.device import WheelActuator
from hil.emulator.uart import UartTransmitter
from hil.errors import BenchError

_REPLY_DELAY_NS: Final = 500_000
_GAP_NS: Final = 10_000_000  # a packet that pauses for longer is forgotten
_CRC_BYTES: Final = 2
_POLYNOMIAL: Final = 0x1021
_ACKNOWLEDGE: Final = b"\xff"
_KEY: Final = 0xE22E_AB7A

_FULL_DUTY: Final = 32_767
_HALF_7BIT: Final = 64
_FULL_7BIT: Final = 127
_MOST_QUEUED: Final = 64

_E_STOP: Final = 0x0000_0001
_OVERHEAT: Final = 0x0000_0002
_DRIVER_FAULT: Final = 0x0000_0040
_VOLTAGE_LOW_WARNING: Final = 0x0008_0000
# The same in firmware whose status has two bytes.
_OLD_BITS: Final = {
    _E_STOP: 0x0004,
    _OVERHEAT: 0x0008,
    _DRIVER_FAULT: 0x0100,
    _VOLTAGE_LOW_WARNING: 0x0800,
}
_LOCK_AUTOMATIC, _LOCK_SOFTWARE = 0x55, 0xAA

_IDLE_A: Final = 0.4
_A_PER_RADPS: Final = 0.12
_LOGIC_A: Final = 0.2
_LOGIC_DV: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RoboclawModel:
    """How the controller is built and configured.

    Attributes:
        firmware: What the version query answers.
        old_firmware: Status in two bytes, settings of fewer bytes.
        baud: Line rate.
        address: Of packet serial.
        max_qpps: Encoder counts per second at full duty.
        counts_per_turn: Encoder counts in one turn of the wheel.
        timeout_ms: Serial timeout at power-up, 0 for none.
        e_stop_lock: How an emergency stop ends: 55h when the button is released, AAh by command
            200, 0 only when the power is cut.
        battery_v: Voltage without load.
        battery_ohm: Resistance of battery and leads.
    """

    firmware: str = "USB Roboclaw 2x15a v4.1.34"
    old_firmware: bool = False
    baud: int = 38_400
    address: int = 0x80
    max_qpps: int = 13_653
    counts_per_turn: int = 4096
    timeout_ms: int = 0
    e_stop_lock: int = _LOCK_AUTOMATIC
    battery_v: float = 25.2
    battery_ohm: float = 0.02


class Setting(NamedTuple):
    """Values that one command sets and another reads.

    Attributes:
        set_command: Sets all of them.
        get_command: Reads them.
        form: Of the values in a packet, as for ``struct``.
        defaults: At power-up.
        order: In which they are read, where it is another one.
    """

    set_command: int
    get_command: int
    form: str
    defaults: tuple[int, ...]
    order: tuple[int, ...] = ()


_VELOCITY_PID: Final = (0, 0x10000, 0x8000, 13_653)
_POSITION_PID: Final = (0, 0, 0, 0, 0, 0, 0)
_SETTINGS: Final = (
    Setting(28, 55, "IIII", _VELOCITY_PID, (1, 2, 0, 3)),
    Setting(29, 56, "IIII", _VELOCITY_PID, (1, 2, 0, 3)),
    Setting(57, 59, "HHB", (60, 340, 0)),
    Setting(58, 60, "HH", (30, 60)),
    Setting(61, 63, "IIIIIii", _POSITION_PID, (1, 2, 0, 3, 4, 5, 6)),
    Setting(62, 64, "IIIIIii", _POSITION_PID, (1, 2, 0, 3, 4, 5, 6)),
    Setting(74, 75, "BBBBB", (0, 0, 0, 0, 0)),
    Setting(98, 99, "H", (0x0003,)),
    Setting(109, 110, "HH", (0, 0)),
    Setting(112, 113, "HH", (0, 0)),
    Setting(115, 116, "BB", (0, 0)),
    Setting(133, 135, "II", (3000, 0)),
    Setting(134, 136, "II", (3000, 0)),
    Setting(148, 149, "BB", (0, 0)),
)
# The forms that older firmware has in place of those above, by the command that sets.
_OLD_FORMS: Final = {57: "HH", 74: "BBB"}


@dataclass(slots=True)
class _Move:
    """What a motor shall do until the next: a speed, and how far at most."""

    speed_qpps: float
    distance: int | None = None
    begin: int | None = None


class _Motor:
    """The queue of moves of one channel."""

    def __init__(self) -> None:
        self.moves: deque[_Move] = deque()

    @property
    def speed_qpps(self) -> float:
        return self.moves[0].speed_qpps if self.moves else 0.0

    @property
    def depth(self) -> int:
        """What the buffer query answers: moves behind the current one, 128 for none at all."""
        return len(self.moves) - 1 if self.moves and self.moves[0].distance is not None else 128

    def drive(self, move: _Move, at_once: bool = True) -> None:
        if at_once or (self.moves and self.moves[-1].distance is None):
            self.moves.clear()
        if len(self.moves) < _MOST_QUEUED:
            self.moves.append(move)

    def advance(self, count: int) -> None:
        """Go on to the next move once the current one went its distance."""
        while self.moves:
            move = self.moves[0]
            if move.begin is None:
                move.begin = count
            if move.distance is None or abs(count - move.begin) < move.distance:
                return
            self.moves.popleft()


class RoboclawEmulator:
    """A RoboClaw on its serial line, with two motors behind it.

    Args:
        wheels: The motors, left on channel 1 and right on channel 2.
        rng: Of line faults.
        model: How it is built and configured.
    """

    name: ClassVar[str] = "roboclaw"
    fault_kinds: ClassVar[tuple[str, ...]] = (
        "mute",
        "garbage",
        "estop",
        "overheat",
        "undervoltage",
        "driver",
    )

    def __init__(
        self, wheels: WheelActuator, rng: np.random.Generator, model: RoboclawModel | None = None
    ) -> None:
        self.model = model or RoboclawModel()
        self.line = UartTransmitter(self.model.baud, 1024, rng)
        self.commands_received = 0
        self._wheels = wheels
        self._motors = (_Motor(), _Motor())
        self._timeout_ms = self.model.timeout_ms
        self._e_stop_lock = self.model.e_stop_lock
        self._settings: dict[int, tuple[int, ...]] = {}
        self._accelerations: dict[int, tuple[int, ...]] = {}
        self._restore_defaults()
        self._count_zeros = [0, 0]
        self._encoder_modes = [0, 0]
        self._heard_ns: int | None = None
        self._inbox = bytearray()
        self._button_pressed = False
        self._e_stop = False
        self._overheated = False
        self._undervolted = False
        self._driver_failed = False
        self._now_ns = 0

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take packets; see :class:`hil.emulator.device.Emulator`."""
        self._watch(now_ns)
        if not data:
            return
        if self._heard_ns is not None and now_ns - self._heard_ns > _GAP_NS:
            self._inbox.clear()
        self._heard_ns = now_ns
        self._inbox += data
        while self._inbox and (taken := self._take(now_ns)):
            del self._inbox[:taken]

    def transmit(self, now_ns: int) -> bytes:
        """Return what left the line; see :class:`hil.emulator.device.Emulator`."""
        self._watch(now_ns)
        return self.line.sent(now_ns)

    def set_fault(self, kind: str, active: bool, now_ns: int) -> None:
        """Switch a fault.

        ``mute``: nothing reaches the line. ``garbage``: one byte in fifty is random. ``estop``:
        the button; what ends the stop depends on the lock. ``overheat``, ``driver``: the power
        stage shuts down while it lasts. ``undervoltage``: the battery sags, which is a warning.
        """
        match kind:
            case "mute":
                self.line.muted = active
            case "garbage":
                self.line.garbage_rate = 0.02 if active else 0.0
            case "estop":
                self._button_pressed = active
                self._e_stop = active or self._e_stop_lock != _LOCK_AUTOMATIC
            case "overheat":
                self._overheated = active
            case "undervoltage":
                self._undervolted = active
            case "driver":
                self._driver_failed = active
            case _:
                raise BenchError(f"a {self.name} has no fault named {kind}")
        self._drive()

    def _restore_defaults(self) -> None:
        self._settings = {setting.set_command: setting.defaults for setting in _SETTINGS}
        accelerations = (655_360,) * (1 if self.model.old_firmware else 2)
        self._accelerations = {68: accelerations, 69: accelerations}

    def _watch(self, now_ns: int) -> None:
        """Stop the motors when no byte came in time; finish moves that went their distance."""
        self._now_ns = now_ns
        limit_ns = self._timeout_ms * 1_000_000
        if limit_ns and self._heard_ns is not None and now_ns - self._heard_ns > limit_ns:
            self._halt()
        for motor, count in zip(self._motors, self._counts(), strict=True):
            motor.advance(count)
        self._drive()

    def _halt(self) -> None:
        for motor in self._motors:
            motor.moves.clear()

    def _drive(self) -> None:
        self._wheels.set_brake(self._e_stop)
        if self._e_stop or self._overheated or self._driver_failed:
            self._halt()
        left_radps, right_radps = (
            motor.speed_qpps * math.tau / self.model.counts_per_turn for motor in self._motors
        )
        self._wheels.set_wheel_speeds(left_radps, right_radps)

    def _take(self, now_ns: int) -> int:
        """Act on the packet at the front and return its length, 0 while it is incomplete."""
        if self._inbox[0] != self.model.address:
            return 1
        if len(self._inbox) < 2:
            return 0
        command = self._inbox[1]
        if (answer := self._answer(command)) is not None:
            packet = bytes(self._inbox[:2]) + answer
            self.line.send(answer + _crc(packet), now_ns + _REPLY_DELAY_NS)
            self.commands_received += 1
            return 2
        form = self._form(command)
        if form is None:
            return 1
        end = 2 + struct.calcsize(form)
        if len(self._inbox) < end + _CRC_BYTES:
            return 0
        packet = bytes(self._inbox[:end])
        if _crc(packet) != self._inbox[end : end + _CRC_BYTES]:
            return 1
        self._execute(command, struct.unpack(form, packet[2:]))
        self._drive()
        self.line.send(_ACKNOWLEDGE, now_ns + _REPLY_DELAY_NS)
        self.commands_received += 1
        return end + _CRC_BYTES

    def _form(self, command: int) -> str | None:
        """Return the form of an order's data, None for a command it does not know."""
        old = self.model.old_firmware
        for setting in _SETTINGS:
            if command == setting.set_command:
                return ">" + (_OLD_FORMS.get(command, setting.form) if old else setting.form)
        if command in self._accelerations:
            return ">I" if old else ">II"
        if command in (80, 94) and not old:
            return ">I"
        form = _ORDERS.get(command)
        return None if form is None else f">{form}"

    def _execute(self, command: int, values: tuple[int, ...]) -> None:
        match command, values:
            case 14, (steps,):
                self._timeout_ms = steps * 100
            case 20, ():
                self._count_zeros = list(self._wheels.encoder_counts())
            case ((22 | 23), (count,)):
                channel = command - 22
                self._count_zeros[channel] = self._wheels.encoder_counts()[channel] - count
            case 80, _ if values in ((), (_KEY,)):
                self._restore_defaults()
            case ((92 | 93), (mode,)):
                self._encoder_modes[command - 92] = mode
            case 200, ():
                self._e_stop &= self._button_pressed or self._e_stop_lock != _LOCK_SOFTWARE
            case 201, (lock,):
                self._e_stop_lock = lock
            case ((68 | 69), _):
                self._accelerations[command] = values
            case _ if command in self._settings:
                self._settings[command] = values
            case _:
                self._move(command, values)

    def _move(self, command: int, values: tuple[int, ...]) -> None:
        """Execute the orders that turn a motor."""
        first, second = self._motors
        match command, values:
            case ((0 | 1 | 4 | 5 | 6 | 7), (power,)):
                self._motors[command in (4, 5, 7)].drive(_Move(self._legacy_qpps(command, power)))
            case 32, (duty,):
                first.drive(_Move(self._duty_qpps(duty)))
            case 33, (duty,):
                second.drive(_Move(self._duty_qpps(duty)))
            case 52, (duty, _):
                first.drive(_Move(self._duty_qpps(duty)))
            case 53, (duty, _):
                second.drive(_Move(self._duty_qpps(duty)))
            case (34, (left, right)) | (54, (left, _, right, _)):
                first.drive(_Move(self._duty_qpps(left)))
                second.drive(_Move(self._duty_qpps(right)))
            case (35, (speed,)) | (38, (_, speed)):
                first.drive(_Move(speed))
            case (36, (speed,)) | (39, (_, speed)):
                second.drive(_Move(speed))
            case (37, (left, right)) | (40, (_, left, right)) | (50, (_, left, _, right)):
                first.drive(_Move(left))
                second.drive(_Move(right))
            case (41, (speed, way, at_once)) | (44, (_, speed, way, at_once)):
                first.drive(_Move(speed, way), bool(at_once))
            case (42, (speed, way, at_once)) | (45, (_, speed, way, at_once)):
                second.drive(_Move(speed, way), bool(at_once))
            case (
                (43, (left, left_way, right, right_way, at_once))
                | (46, (_, left, left_way, right, right_way, at_once))
                | (51, (_, left, left_way, _, right, right_way, at_once))
            ):
                first.drive(_Move(left, left_way), bool(at_once))
                second.drive(_Move(right, right_way), bool(at_once))

    def _duty_qpps(self, duty: int) -> float:
        return duty / _FULL_DUTY * self.model.max_qpps

    def _legacy_qpps(self, command: int, power: int) -> float:
        power = min(power, _FULL_7BIT)
        if command in (6, 7):
            return (power - _HALF_7BIT) / (_HALF_7BIT - 1) * self.model.max_qpps
        return (1 if command in (0, 4) else -1) * power / _FULL_7BIT * self.model.max_qpps

    def _answer(self, command: int) -> bytes | None:
        """Return the data of a query's reply, None for what is no query."""
        query = self._queries.get(command)
        if query is not None:
            return query(self)
        for setting in _SETTINGS:
            if command == setting.get_command:
                old = self.model.old_firmware and _OLD_FORMS.get(setting.set_command)
                form = old or setting.form
                values = self._settings[setting.set_command]
                ordered = [values[i] for i in setting.order] or list(values)
                return struct.pack(f">{form}", *ordered[: len(form)])
        return None

    def _counts(self) -> tuple[int, int]:
        left, right = self._wheels.encoder_counts()
        return left - self._count_zeros[0], right - self._count_zeros[1]

    def _speeds(self) -> tuple[int, int]:
        per_radps = self.model.counts_per_turn / math.tau
        left_radps, right_radps = self._wheels.wheel_speeds_radps()
        return round(left_radps * per_radps), round(right_radps * per_radps)

    def _currents_a(self) -> tuple[float, float]:
        left_radps, right_radps = self._wheels.wheel_speeds_radps()
        return _current_a(left_radps), _current_a(right_radps)

    def _battery_dv(self) -> int:
        drawn_a = sum(self._currents_a()) + _LOGIC_A
        empty_v = 0.75 * self.model.battery_v if self._undervolted else self.model.battery_v
        return round(10.0 * (empty_v - drawn_a * self.model.battery_ohm))

    def _temperature_dc(self) -> int:
        return 1010 if self._overheated else 312

    def _duties(self) -> tuple[int, int]:
        left, right = (
            round(motor.speed_qpps / self.model.max_qpps * _FULL_DUTY) for motor in self._motors
        )
        return left, right

    def _currents_10ma(self) -> tuple[int, int]:
        left_a, right_a = self._currents_a()
        return round(100.0 * left_a), round(100.0 * right_a)

    def _status_bits(self) -> int:
        return (
            _E_STOP * self._e_stop
            | _OVERHEAT * self._overheated
            | _DRIVER_FAULT * self._driver_failed
            | _VOLTAGE_LOW_WARNING * self._undervolted
        )

    def _status(self) -> bytes:
        bits = self._status_bits()
        if not self.model.old_firmware:
            return struct.pack(">I", bits)
        return struct.pack(">H", sum(old for new, old in _OLD_BITS.items() if bits & new))

    def _encoder(self, channel: int) -> bytes:
        backward = self._speeds()[channel] < 0
        return struct.pack(">IB", _wrapped(self._counts()[channel]), backward << 1)

    def _speed(self, channel: int) -> bytes:
        speed = self._speeds()[channel]
        return struct.pack(">IB", _wrapped(speed), speed < 0)

    def _everything(self) -> bytes:
        """Answer command 73, all at once."""
        targets = [round(motor.speed_qpps) for motor in self._motors]
        speeds = self._speeds()
        errors = [target - speed for target, speed in zip(targets, speeds, strict=True)]
        milliseconds = self._now_ns // 1_000_000
        return (
            struct.pack(">II", _wrapped(milliseconds), self._status_bits())
            + struct.pack(">HH", self._temperature_dc(), self._temperature_dc())
            + struct.pack(">HH", self._battery_dv(), _LOGIC_DV)
            + struct.pack(">hhhh", *self._duties(), *self._currents_10ma())
            + struct.pack(">II", *map(_wrapped, self._counts()))
            + struct.pack(">iiii", *targets, *speeds)
            + struct.pack(">HH", *(min(abs(error), 0xFFFF) for error in errors))
            + struct.pack(">HH", 0, 0)
        )

    _queries: ClassVar[dict[int, Callable[["RoboclawEmulator"], bytes]]] = {
        15: lambda self: struct.pack(">B", self._timeout_ms // 100),
        16: lambda self: self._encoder(0),
        17: lambda self: self._encoder(1),
        18: lambda self: self._speed(0),
        19: lambda self: self._speed(1),
        21: lambda self: self.model.firmware.encode("ascii") + b"\n\0",
        24: lambda self: struct.pack(">H", self._battery_dv()),
        25: lambda self: struct.pack(">H", _LOGIC_DV),
        30: lambda self: self._speed(0),
        31: lambda self: self._speed(1),
        47: lambda self: struct.pack(">BB", *(motor.depth for motor in self._motors)),
        48: lambda self: struct.pack(">hh", *self._duties()),
        49: lambda self: struct.pack(">hh", *self._currents_10ma()),
        73: _everything,
        78: lambda self: struct.pack(">II", *map(_wrapped, self._counts())),
        79: lambda self: struct.pack(">ii", *self._speeds()),
        81: lambda self: b"".join(
            struct.pack(">I", value) for side in self._accelerations.values() for value in side
        ),
        82: lambda self: struct.pack(">H", self._temperature_dc()),
        83: lambda self: struct.pack(">H", self._temperature_dc()),
        90: _status,
        91: lambda self: bytes(self._encoder_modes),
        108: lambda self: struct.pack(">ii", *self._speeds()),
        202: lambda self: struct.pack(">B", self._e_stop_lock),
    }


# Orders that are no settings, and the form of their data; 94 and 95 write and read the memory.
_ORDERS: Final = {
    0: "B",
    1: "B",
    4: "B",
    5: "B",
    6: "B",
    7: "B",
    14: "B",
    20: "",
    22: "I",
    23: "I",
    32: "h",
    33: "h",
    34: "hh",
    35: "i",
    36: "i",
    37: "ii",
    38: "Ii",
    39: "Ii",
    40: "Iii",
    41: "iIB",
    42: "iIB",
    43: "iIiIB",
    44: "IiIB",
    45: "IiIB",
    46: "IiIiIB",
    50: "IiIi",
    51: "IiIIiIB",
    52: "hI",
    53: "hI",
    54: "hIhI",
    80: "",
    92: "B",
    93: "B",
    94: "",
    95: "",
    200: "",
    201: "B",
}


def _current_a(speed_radps: float) -> float:
    return 0.0 if speed_radps == 0.0 else _IDLE_A + _A_PER_RADPS * abs(speed_radps)


def _wrapped(value: int) -> int:
    return value % 0x1_0000_0000


def _crc(packet: bytes) -> bytes:
    """Return the CRC as it goes over the line; bit by bit, as the manual has it."""
    crc = 0
    for byte in packet:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (_POLYNOMIAL if crc & 0x8000 else 0)) & 0xFFFF
    return crc.to_bytes(_CRC_BYTES, "big")
