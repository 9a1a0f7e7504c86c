"""Roboteq two-channel motor controller, ASCII serial protocol, in closed-loop speed mode.

Source: Roboteq, "Advanced Digital Motor Controllers User Manual", v2.0, sections "Serial (RS232/
USB) Operation" and "Commands Reference".
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from hil.emulator.device import WheelActuator
from hil.emulator.uart import UartTransmitter
from hil.errors import BenchError

_REPLY_DELAY_NS: Final = 1_000_000
_LONGEST_LINE: Final = 64
_HISTORY_LENGTH: Final = 32

_COUNTER_QUERIES: Final = ("C", "CR")
_FULL_COMMAND: Final = 1000
_RPM_PER_RADPS: Final = 60.0 / math.tau

_FAULT_OVERHEAT: Final = 0x01
_FAULT_UNDERVOLTAGE: Final = 0x04
_FAULT_EMERGENCY_STOP: Final = 0x10
_MOTOR_STALLED: Final = 0x02
_STATUS_SERIAL_MODE: Final = 0x01
_STATUS_POWER_OFF: Final = 0x08
_STATUS_STALL: Final = 0x10

_IDLE_A: Final = 0.8
_A_PER_RADPS: Final = 0.12
_STALL_A: Final = 40.0
_LOGIC_A: Final = 0.3
_LOGIC_DV: Final = 135
_LOGIC_MV: Final = 4980


@dataclass(frozen=True, slots=True, kw_only=True)
class RoboteqModel:
    """How the controller is built and configured.

    Attributes:
        firmware: What ``?FID`` answers.
        baud: Line rate.
        max_rpm: Wheel speed of command 1000 (``MXRPM``).
        pulses_per_turn: Encoder pulses a turn (``EPPR``); it counts four edges of each.
        watchdog_ms: ``RWD`` at power-up.
        echo: Whether it echoes at power-up (``ECHOF`` 0).
        battery_v: Voltage without load.
        battery_ohm: Resistance of battery and leads.
    """

    firmware: str = "Roboteq v2.0 HDC2460 03/28/2019"
    baud: int = 115_200
    max_rpm: int = 200
    pulses_per_turn: int = 1024
    watchdog_ms: int = 1000
    echo: bool = True
    battery_v: float = 25.2
    battery_ohm: float = 0.02


class RoboteqEmulator:
    """A Roboteq controller on its serial line, with two motors behind it.

    Args:
        wheels: The motors, left on channel 1 and right on channel 2.
        rng: Of line faults.
        model: How it is built and configured.
    """

    name: ClassVar[str] = "roboteq"
    fault_kinds: ClassVar[tuple[str, ...]] = (
        "mute",
        "garbage",
        "encoder",
        "estop",
        "overheat",
        "undervoltage",
        "stall",
    )

    def __init__(
        self, wheels: WheelActuator, rng: np.random.Generator, model: RoboteqModel | None = None
    ) -> None:
        self.model = model or RoboteqModel()
        self.line = UartTransmitter(self.model.baud, 1024, rng)
        self.commands_received = 0
        self._wheels = wheels
        self._parameters = {
            "RWD": [self.model.watchdog_ms],
            "ECHOF": [0 if self.model.echo else 1],
            "MXRPM": [self.model.max_rpm] * 2,
            "EPPR": [self.model.pulses_per_turn] * 2,
        }
        self._rpms = [0.0, 0.0]
        self._count_zeros = [0, 0]
        self._count_reads = [0, 0]
        self._refreshed_ns: int | None = None
        self._watchdog_tripped = False
        self._software_stop = False
        self._encoder_off = False
        self._button_pressed = False
        self._overheated = False
        self._undervolted = False
        self._stalled = False
        self._inbox = bytearray()
        self._history: deque[str] = deque(maxlen=_HISTORY_LENGTH)
        self._repeat_ns = 0
        self._next_repeat_ns = 0
        self._next_query = 0

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take command bytes; see :class:`hil.emulator.device.Emulator`."""
        self._watch(now_ns)
        for byte in data:
            character = bytes([byte])
            if self._parameters["ECHOF"][0] == 0:
                self.line.send(character, now_ns)
            if character == b"\r":
                text = self._inbox.decode("ascii", errors="replace").strip()
                self._inbox.clear()
                if text:
                    self._execute(text, now_ns)
            elif character != b"\n" and len(self._inbox) < _LONGEST_LINE:
                self._inbox += character

    def transmit(self, now_ns: int) -> bytes:
        """Return what left the line; see :class:`hil.emulator.device.Emulator`."""
        self._watch(now_ns)
        while self._repeat_ns > 0 and self._next_repeat_ns <= now_ns and self._history:
            query = self._history[self._next_query % len(self._history)]
            self._next_query += 1
            self._say(self._answer(query) or "-", self._next_repeat_ns)
            self._next_repeat_ns += self._repeat_ns
        return self.line.sent(now_ns)

    def set_fault(self, kind: str, active: bool, now_ns: int) -> None:
        """Switch a fault.

        ``mute``: nothing reaches the line. ``garbage``: one byte in fifty is random. ``encoder``:
        the encoder input is off, so that questions for counts are refused. ``estop``:
        the button; releasing it leaves the stop latched until ``!MG``. ``overheat``,
        ``undervoltage``, ``stall``: the power stage shuts down while it lasts.
        """
        match kind:
            case "mute":
                self.line.muted = active
            case "garbage":
                self.line.garbage_rate = 0.02 if active else 0.0
            case "encoder":
                self._encoder_off = active
            case "estop":
                self._button_pressed = active
                self._software_stop = True
            case "overheat":
                self._overheated = active
            case "undervoltage":
                self._undervolted = active
            case "stall":
                self._stalled = active
            case _:
                raise BenchError(f"a {self.name} has no fault named {kind}")
        self._drive()

    @property
    def _powered_off(self) -> bool:
        return self._software_stop or self._overheated or self._undervolted or self._stalled

    def _drive(self) -> None:
        self._wheels.set_brake(self._software_stop)
        if self._powered_off or self._watchdog_tripped:
            self._wheels.set_wheel_speeds(0.0, 0.0)
        else:
            left_rpm, right_rpm = self._rpms
            self._wheels.set_wheel_speeds(left_rpm / _RPM_PER_RADPS, right_rpm / _RPM_PER_RADPS)

    def _watch(self, now_ns: int) -> None:
        """Stop the motors when no command came in time; what they were told is kept."""
        limit_ns = self._parameters["RWD"][0] * 1_000_000
        if self._refreshed_ns is None or limit_ns == 0 or self._watchdog_tripped:
            return
        if now_ns - self._refreshed_ns > limit_ns:
            self._watchdog_tripped = True
            self._drive()

    def _say(self, text: str, ready_ns: int) -> None:
        self.line.send(text.encode("ascii") + b"\r", ready_ns)

    def _execute(self, text: str, now_ns: int) -> None:
        reply: str | None
        match text[0]:
            case "!":
                reply = "+" if self._command(text[1:], now_ns) else "-"
            case "?":
                reply = self._answer(text[1:])
                if reply is not None:
                    self._history.append(text[1:])
            case "^":
                reply = "+" if self._configure(text[1:]) else "-"
            case "~":
                reply = self._parameter(text[1:])
            case "#":
                reply = "+" if self._repeat(text[1:].strip().upper(), now_ns) else "-"
            case _:
                reply = None
        self.commands_received += reply not in (None, "-")
        self._say(reply or "-", now_ns + _REPLY_DELAY_NS)

    def _command(self, text: str, now_ns: int) -> bool:
        name, values = _parse(text)
        if name is None or not self._apply(name, values):
            return False
        self._refreshed_ns = now_ns
        # A stop by the watchdog ends with any command, and the motors do again what they were
        # told before it: the trap that the manual warns of.
        self._watchdog_tripped = False
        self._drive()
        return True

    def _apply(self, name: str, values: tuple[int, ...]) -> bool:
        match name, values:
            case "G", (1 | 2 as channel, value):
                self._rpms[channel - 1] = self._rpm_of(channel, value)
            case "M", (left, right):
                self._rpms = [self._rpm_of(1, left), self._rpm_of(2, right)]
            case "S", (1 | 2 as channel, rpm):
                limit = self._parameters["MXRPM"][channel - 1]
                self._rpms[channel - 1] = float(min(max(rpm, -limit), limit))
            case "EX", ():
                self._software_stop = True
            case "MG", ():
                self._software_stop = self._button_pressed
            case "C", (1 | 2 as channel, value):
                counts = self._wheels.encoder_counts()
                self._count_zeros[channel - 1] = counts[channel - 1] - value
            case _:
                return False
        if name == "EX":
            self._rpms = [0.0, 0.0]
        return True

    def _rpm_of(self, channel: int, value: int) -> float:
        limited = min(max(value, -_FULL_COMMAND), _FULL_COMMAND)
        return limited / _FULL_COMMAND * self._parameters["MXRPM"][channel - 1]

    def _configure(self, text: str) -> bool:
        name, values = _parse(text)
        current = self._parameters.get(name or "")
        if current is None:
            return False
        if len(current) == 1 and len(values) == 1 and values[0] >= 0:
            current[0] = values[0]
        elif len(current) == 2 and len(values) == 2 and values[0] in (1, 2) and values[1] > 0:
            current[values[0] - 1] = values[1]
        else:
            return False
        return True

    def _parameter(self, text: str) -> str | None:
        name, values = _parse(text)
        current = self._parameters.get(name or "")
        return None if current is None else _listed(f"{name}", tuple(current), values)

    def _repeat(self, text: str, now_ns: int) -> bool:
        if text == "C":
            self._history.clear()
            self._repeat_ns = 0
        elif text == "":
            self._repeat_ns = 0
        elif text.isdigit() and int(text) > 0:
            self._repeat_ns = int(text) * 1_000_000
            self._next_repeat_ns = now_ns + self._repeat_ns
            self._next_query = 0
        else:
            return False
        return True

    def _answer(self, text: str) -> str | None:
        name, values = _parse(text)
        if name == "FID" and not values:
            return f"FID={self.model.firmware}"
        if self._encoder_off and name in _COUNTER_QUERIES:
            return None
        query = self._queries.get(name or "")
        return None if query is None else _listed(f"{name}", query(self), values)

    def _counts(self) -> tuple[int, int]:
        left, right = self._wheels.encoder_counts()
        return _signed_32(left - self._count_zeros[0]), _signed_32(right - self._count_zeros[1])

    def _counts_since_read(self) -> tuple[int, int]:
        now = self._wheels.encoder_counts()
        since = (now[0] - self._count_reads[0], now[1] - self._count_reads[1])
        self._count_reads = list(now)
        return since

    def _speeds_rpm(self) -> tuple[int, int]:
        left_radps, right_radps = self._wheels.wheel_speeds_radps()
        return round(left_radps * _RPM_PER_RADPS), round(right_radps * _RPM_PER_RADPS)

    def _currents_a(self) -> tuple[float, float]:
        left_radps, right_radps = self._wheels.wheel_speeds_radps()
        return self._current_a(left_radps, 0), self._current_a(right_radps, 1)

    def _current_a(self, speed_radps: float, channel: int) -> float:
        if self._stalled and self._rpms[channel] != 0.0:
            return _STALL_A
        return 0.0 if speed_radps == 0.0 else _IDLE_A + _A_PER_RADPS * abs(speed_radps)

    def _volts(self) -> tuple[int, ...]:
        drawn_a = sum(self._currents_a()) + _LOGIC_A
        empty_v = 0.75 * self.model.battery_v if self._undervolted else self.model.battery_v
        return _LOGIC_DV, round(10.0 * (empty_v - drawn_a * self.model.battery_ohm)), _LOGIC_MV

    def _battery_currents(self) -> tuple[int, ...]:
        return tuple(round(10.0 * (current_a + _LOGIC_A / 2)) for current_a in self._currents_a())

    def _motor_currents(self) -> tuple[int, ...]:
        return tuple(round(10.0 * current_a) for current_a in self._currents_a())

    def _commands(self) -> tuple[int, ...]:
        limits = self._parameters["MXRPM"]
        return tuple(
            round(_FULL_COMMAND * rpm / limit)
            for rpm, limit in zip(self._rpms, limits, strict=True)
        )

    def _temperatures(self) -> tuple[int, ...]:
        channel = 92 if self._overheated else 29
        return 31, channel, channel

    def _faults(self) -> tuple[int, ...]:
        return (
            _FAULT_OVERHEAT * self._overheated
            | _FAULT_UNDERVOLTAGE * self._undervolted
            | _FAULT_EMERGENCY_STOP * self._software_stop,
        )

    def _motor_flags(self) -> tuple[int, ...]:
        return (_MOTOR_STALLED * self._stalled,) * 2

    def _status(self) -> tuple[int, ...]:
        return (
            _STATUS_SERIAL_MODE
            | _STATUS_POWER_OFF * self._powered_off
            | _STATUS_STALL * self._stalled,
        )

    _queries: ClassVar[dict[str, Callable[["RoboteqEmulator"], tuple[int, ...]]]] = {
        "C": _counts,
        "CR": _counts_since_read,
        "S": _speeds_rpm,
        "BA": _battery_currents,
        "A": _motor_currents,
        "V": _volts,
        "T": _temperatures,
        "FF": _faults,
        "FM": _motor_flags,
        "FS": _status,
        "M": _commands,
    }


def _parse(text: str) -> tuple[str | None, tuple[int, ...]]:
    """Split ``G 1 500`` into name and numbers; the name is None when that is not what it is."""
    name, *words = text.upper().split() or [""]
    if not name.isalpha():
        return None, ()
    try:
        return name, tuple(int(word) for word in words)
    except ValueError:
        return None, ()


def _listed(name: str, values: tuple[int, ...], channel: tuple[int, ...]) -> str | None:
    """Return ``name=value`` of one channel, or of all without an argument."""
    match channel:
        case ():
            return f"{name}={':'.join(map(str, values))}"
        case (index,) if 1 <= index <= len(values):
            return f"{name}={values[index - 1]}"
        case _:
            return None


def _signed_32(value: int) -> int:
    return (value + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000
