"""LDROBOT LD06, LD19 and STL-27L.

Source: LDROBOT, "LD06 development manual" v2.3: the device takes no commands and sends frames of
twelve samples, 10 revolutions a second, from power-up on.
"""

import struct
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from hil.emulator.device import RangeSource
from hil.emulator.head import RotatingHead, StampArray
from hil.emulator.uart import UartTransmitter
from hil.errors import BenchError

_FRAME_SAMPLES: Final = 12
_FULL_TURN_CDEG: Final = 36_000
_CLOCK_WRAP_MS: Final = 30_000
_INTENSITY: Final = 200
_CRC_POLYNOMIAL: Final = 0x4D


def crc8(data: bytes) -> int:
    """Return the check byte of a frame: polynomial 4D, nothing reflected, from 0."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ _CRC_POLYNOMIAL if crc & 0x80 else crc << 1) & 0xFF
    return crc


@dataclass(frozen=True, slots=True, kw_only=True)
class Ld06Model:
    """A model's figures; the defaults are those of an LD06.

    Attributes:
        baud: Line rate.
        samples_per_s: Rate of measurement, whatever the speed of the head.
        revolution_hz: Speed of the head.
        spin_up_s: Time from standstill to that speed.
        max_range_m: Farther returns do not come back.
    """

    baud: int = 230_400
    samples_per_s: int = 4_500
    revolution_hz: float = 10.0
    spin_up_s: float = 1.0
    max_range_m: float = 12.0


class Ld06Emulator:
    """An LD06 on its serial line; it is powered when the bench first looks at it.

    Args:
        ranges: What it looks at.
        rng: Of line faults.
        model: Which device.
    """

    name: ClassVar[str] = "ld06"
    fault_kinds: ClassVar[tuple[str, ...]] = ("mute", "garbage", "motor")

    def __init__(
        self, ranges: RangeSource, rng: np.random.Generator, model: Ld06Model | None = None
    ) -> None:
        self.model = model or Ld06Model()
        self.line = UartTransmitter(self.model.baud, 512, rng)
        self.commands_received = 0
        self._ranges = ranges
        self._head = RotatingHead(self.model.revolution_hz / self.model.spin_up_s)
        self._powered_ns: int | None = None
        self._samples = 0

    def receive(self, data: bytes, now_ns: int) -> None:
        """Ignore bytes: the device has no receiver."""

    def transmit(self, now_ns: int) -> bytes:
        """Return what left the line; see :class:`hil.emulator.device.Emulator`."""
        powered_ns = self._power_up(now_ns)
        settled_ns = self._head.settled_ns
        if self._head.target_hz > 0.0 and now_ns < settled_ns:
            # Frames begin when the head turns steadily.
            self._samples = self._due(settled_ns) // _FRAME_SAMPLES * _FRAME_SAMPLES
            return self.line.sent(now_ns)
        while self._taken_ns(self._samples + _FRAME_SAMPLES) <= now_ns:
            first = self._samples
            stamps_ns = np.array([self._taken_ns(first + i) for i in range(_FRAME_SAMPLES)])
            self._samples += _FRAME_SAMPLES
            frame = self._frame(stamps_ns, powered_ns)
            self.line.send(frame, self._taken_ns(self._samples))
        return self.line.sent(now_ns)

    def set_fault(self, kind: str, active: bool, now_ns: int) -> None:
        """Switch a fault.

        ``mute``: nothing reaches the line. ``garbage``: one byte in fifty is random. ``motor``:
        the head is blocked; frames go on, all at one angle and with speed 0.
        """
        self._power_up(now_ns)
        match kind:
            case "mute":
                self.line.muted = active
            case "garbage":
                self.line.garbage_rate = 0.02 if active else 0.0
            case "motor":
                self._head.set_speed(0.0 if active else self.model.revolution_hz, now_ns)
            case _:
                raise BenchError(f"an {self.name} has no fault named {kind}")

    def _power_up(self, now_ns: int) -> int:
        if self._powered_ns is None:
            self._powered_ns = now_ns
            self._head.set_speed(self.model.revolution_hz, now_ns)
        return self._powered_ns

    def _taken_ns(self, sample: int) -> int:
        return (self._powered_ns or 0) + sample * 1_000_000_000 // self.model.samples_per_s

    def _due(self, now_ns: int) -> int:
        return (now_ns - (self._powered_ns or 0)) * self.model.samples_per_s // 1_000_000_000

    def _frame(self, stamps_ns: StampArray, powered_ns: int) -> bytes:
        """Return a frame; its rays are cast where a decoder will place them."""
        phases = self._head.phases(stamps_ns)
        start_cdeg, end_cdeg = (int(phases[i] % 1.0 * _FULL_TURN_CDEG) for i in (0, -1))
        span_cdeg = (end_cdeg - start_cdeg) % _FULL_TURN_CDEG
        angles_cdeg = start_cdeg + span_cdeg * np.arange(_FRAME_SAMPLES) / (_FRAME_SAMPLES - 1)
        ranges_m = self._ranges(stamps_ns, -np.radians(angles_cdeg / 100.0))
        seen = ranges_m <= self.model.max_range_m
        samples = np.zeros(_FRAME_SAMPLES, np.dtype([("mm", "<u2"), ("intensity", "u1")]))
        samples["mm"] = np.where(seen, np.rint(ranges_m * 1000.0), 0)
        samples["intensity"] = np.where(seen, _INTENSITY, 0)
        turns = phases[-1] - phases[0]
        speed_dps = round(360e9 * turns / (stamps_ns[-1] - stamps_ns[0]))
        stamp_ms = (int(stamps_ns[-1]) - powered_ns) // 1_000_000 % _CLOCK_WRAP_MS
        body = struct.pack("<2BHH", 0x54, 0x2C, speed_dps, start_cdeg) + samples.tobytes()
        body += struct.pack("<HH", end_cdeg, stamp_ms)
        return body + bytes([crc8(body)])
