"""YDLIDAR of the triangulating kind, an X4 unless told otherwise.

Source: YDLIDAR, "YDLidar SDK communication protocol" and the development manuals of X4 and G2.
"""

import struct
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from hil.emulator.device import RangeSource
from hil.emulator.head import FloatArray, RotatingHead, StampArray
from hil.emulator.uart import UartTransmitter
from hil.errors import BenchError

_ANSWER_DEVICE: Final = 0x04
_ANSWER_HEALTH: Final = 0x06
_ANSWER_SCAN: Final = 0x81
_PACKET_SAMPLES: Final = 40
_FULL_TURN_Q6: Final = 360 << 6
_INTENSITY: Final = 600
_REPLY_DELAY_NS: Final = 1_000_000
_ERROR_MOTOR: Final = 0x0002
# Where the laser sits beside the axis, and where its beam crosses the line of sight, in mm.
_OFFSET_MM: Final = 21.8
_CROSSING_MM: Final = 155.3


@dataclass(frozen=True, slots=True, kw_only=True)
class YdlidarModel:
    """A model's data plate; the defaults are those of an X4.

    Attributes:
        model: Its number.
        firmware: Major, minor.
        hardware: Revision.
        serial: Serial number, 16 digits.
        baud: Line rate.
        samples_per_s: Rate of measurement.
        revolution_hz: Speed of the head.
        spin_up_s: Time from standstill to that speed.
        has_intensity: Samples of three bytes.
        takes_commands: It has a receiver; an X2 has none.
    """

    model: int = 6
    firmware: tuple[int, int] = (1, 4)
    hardware: int = 1
    serial: tuple[int, ...] = (2, 0, 1, 8, 0, 9, 0, 1, 0, 0, 0, 0, 0, 0, 4, 2)
    baud: int = 128_000
    samples_per_s: int = 5_000
    revolution_hz: float = 7.0
    spin_up_s: float = 1.0
    has_intensity: bool = False
    takes_commands: bool = True


X2: Final = YdlidarModel(model=4, baud=115_200, samples_per_s=3_000, takes_commands=False)
G2: Final = YdlidarModel(model=13, baud=230_400, has_intensity=True)


class YdlidarEmulator:
    """A YDLIDAR on its serial line.

    Args:
        ranges: What it looks at.
        rng: Of line faults.
        model: Which one.
    """

    name: ClassVar[str] = "ydlidar"
    fault_kinds: ClassVar[tuple[str, ...]] = ("mute", "garbage", "motor", "health")

    def __init__(
        self, ranges: RangeSource, rng: np.random.Generator, model: YdlidarModel | None = None
    ) -> None:
        self.model = model or YdlidarModel()
        self.line = UartTransmitter(self.model.baud, 1024, rng)
        self.commands_received = 0
        self._ranges = ranges
        self._head = RotatingHead(self.model.revolution_hz / self.model.spin_up_s)
        self._inbox = bytearray()
        self._powered = False
        self._blocked = False
        self._faulty = False
        self._dtr = True
        self._next_ns: int | None = None
        self._stamps_ns: list[int] = []
        self._turn: float | None = None
        self._sample_ns = 1_000_000_000 // self.model.samples_per_s

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take request bytes; see :class:`hil.emulator.device.Emulator`."""
        self._power_up(now_ns)
        if not self.model.takes_commands:
            return
        self._inbox += data
        while len(self._inbox) >= 2:
            if self._inbox[0] != 0xA5:
                del self._inbox[0]
                continue
            command = self._inbox[1]
            del self._inbox[:2]
            self.commands_received += 1
            self._serve(command, now_ns)

    def transmit(self, now_ns: int) -> bytes:
        """Return what left the line; see :class:`hil.emulator.device.Emulator`."""
        self._power_up(now_ns)
        if self._next_ns is not None:
            self._measure(self._next_ns, now_ns)
        return self.line.sent(now_ns)

    def set_fault(self, kind: str, active: bool, now_ns: int) -> None:
        """Switch a fault.

        ``mute``: nothing reaches the line. ``garbage``: one byte in fifty is random. ``motor``:
        the head is blocked. ``health``: the device reports an error and measures nothing.
        """
        self._power_up(now_ns)
        match kind:
            case "mute":
                self.line.muted = active
            case "garbage":
                self.line.garbage_rate = 0.02 if active else 0.0
            case "motor":
                self._blocked = active
                self._drive_head(now_ns)
            case "health":
                self._faulty = active
                if active:
                    self._stop()
            case _:
                raise BenchError(f"a {self.name} has no fault named {kind}")

    def set_dtr(self, asserted: bool, now_ns: int) -> None:
        """Tell the level of DTR, by which the adapter board switches the motor."""
        self._power_up(now_ns)
        self._dtr = asserted
        self._drive_head(now_ns)

    def _power_up(self, now_ns: int) -> None:
        if not self._powered:
            self._powered = True
            self._drive_head(now_ns)
            if not self.model.takes_commands:
                self._next_ns = now_ns

    def _drive_head(self, now_ns: int) -> None:
        wanted_hz = self.model.revolution_hz if self._dtr and not self._blocked else 0.0
        if wanted_hz != self._head.target_hz:
            self._head.set_speed(wanted_hz, now_ns)
            self._begin()

    def _serve(self, command: int, now_ns: int) -> None:
        model = self.model
        match command:
            case 0x60 if not self._faulty:
                self._reply(_ANSWER_SCAN, 5 | 1 << 30, b"", now_ns)
                self._next_ns = now_ns + 2 * _REPLY_DELAY_NS
                self._begin()
            case 0x65 | 0x80:
                self._stop()
            case 0x90:
                major, minor = model.firmware
                plate = bytes([model.model, minor, major, model.hardware, *model.serial])
                self._reply(_ANSWER_DEVICE, len(plate), plate, now_ns)
            case 0x91:
                health = struct.pack("<BH", *((2, _ERROR_MOTOR) if self._faulty else (0, 0)))
                self._reply(_ANSWER_HEALTH, len(health), health, now_ns)
            case 0x0D:
                speed = struct.pack("<I", round(model.revolution_hz * 100))
                self._reply(_ANSWER_DEVICE, len(speed), speed, now_ns)

    def _reply(self, answer: int, length: int, payload: bytes, now_ns: int) -> None:
        descriptor = struct.pack("<2BIB", 0xA5, 0x5A, length, answer)
        self.line.send(descriptor + payload, now_ns + _REPLY_DELAY_NS)

    def _begin(self) -> None:
        """Forget the packet that was being filled."""
        self._stamps_ns.clear()
        self._turn = None

    def _stop(self) -> None:
        self._next_ns = None
        self._begin()
        self.line.clear()

    def _measure(self, next_ns: int, now_ns: int) -> None:
        """Take every sample that is due, and send each packet when it is full."""
        if self._head.target_hz == 0.0 or now_ns < self._head.settled_ns:
            # Measurements begin when the head turns steadily.
            self._next_ns = max(next_ns, now_ns)
            return
        next_ns = max(next_ns, self._head.settled_ns)
        due = max((now_ns - next_ns) // self._sample_ns, 0)
        stamps_ns = next_ns + self._sample_ns * np.arange(due, dtype=np.int64)
        self._next_ns = next_ns + due * self._sample_ns
        if due == 0:
            return
        turns = np.floor(self._head.phases(stamps_ns)).tolist()
        before = turns[0] if self._turn is None else self._turn
        for stamp_ns, turn in zip(stamps_ns.tolist(), turns, strict=True):
            if turn > before:
                self._close_packet(stamp_ns, 0)
                self._stamps_ns = [stamp_ns]
                self._close_packet(stamp_ns + self._sample_ns, 1)
            else:
                self._stamps_ns.append(stamp_ns)
            before = turn
            if len(self._stamps_ns) == _PACKET_SAMPLES:
                self._close_packet(stamp_ns + self._sample_ns, 0)
        self._turn = before

    def _close_packet(self, ready_ns: int, kind: int) -> None:
        if self._stamps_ns:
            stamps_ns = np.array(self._stamps_ns, dtype=np.int64)
            self._stamps_ns = []
            self.line.send(self._packet(stamps_ns, kind), ready_ns)

    def _packet(self, stamps_ns: StampArray, kind: int) -> bytes:
        """Return a packet; its rays are cast where a decoder will place them."""
        phases = self._head.phases(stamps_ns) % 1.0
        first_q6, last_q6 = (int(phases[i] * _FULL_TURN_Q6) for i in (0, -1))
        share = np.arange(stamps_ns.size) / max(stamps_ns.size - 1, 1)
        encoder_deg = (first_q6 + (last_q6 - first_q6) % _FULL_TURN_Q6 * share) / 64.0
        guess_m = self._ranges(stamps_ns, -np.radians(encoder_deg))
        bearings_rad = -np.radians(encoder_deg) - _parallax_rad(guess_m)
        words = _distances_q2(self._ranges(stamps_ns, bearings_rad))
        frequency = round(self.model.revolution_hz * 10) << 1 if kind else 0
        first, last = first_q6 << 1 | 1, last_q6 << 1 | 1
        head = struct.pack("<2H2H", 0x55AA, kind | frequency | stamps_ns.size << 8, first, last)
        samples, checked = self._samples(words)
        check = reduce(xor, [*struct.unpack("<4H", head), *checked])
        return head + struct.pack("<H", check) + samples

    def _samples(self, words: NDArray[np.int64]) -> tuple[bytes, list[int]]:
        """Return the samples and the words that their checksum takes."""
        if not self.model.has_intensity:
            return words.astype("<u2").tobytes(), words.tolist()
        strengths = np.where(words > 0, _INTENSITY, 0)
        words = words & 0xFFFC | strengths >> 8
        samples = np.zeros(words.size, np.dtype([("strength", "u1"), ("word", "<u2")]))
        samples["strength"], samples["word"] = strengths & 0xFF, words
        return samples.tobytes(), [*(strengths & 0xFF).tolist(), *words.tolist()]


def _parallax_rad(ranges_m: FloatArray) -> FloatArray:
    """Return how far beyond the encoder a point lies, 0 for none."""
    mm = np.where(ranges_m > 0, ranges_m * 1000.0, np.nan)
    turned = np.arctan(_OFFSET_MM * (_CROSSING_MM - mm) / (_CROSSING_MM * mm))
    return np.nan_to_num(turned)


def _distances_q2(ranges_m: FloatArray) -> NDArray[np.int64]:
    """Return quarters of a millimetre, 0 for what cannot be told."""
    quarters = np.rint(np.nan_to_num(ranges_m) * 4000.0).astype(np.int64)
    return np.where(quarters <= 0xFFFF, quarters, 0)
