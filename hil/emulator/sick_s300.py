"""SICK S300 with continuous data output on RS-422.

Source: SICK, "Telegram listing S3000 / S300, RS 422 data output": one telegram a scan, from
power-up on; nothing is received.
"""

import struct
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from hil.emulator.device import RangeSource
from hil.emulator.uart import UartTransmitter
from hil.errors import BenchError

_FIRST_FIELD: Final = 0x1111
_MEASUREMENT: Final = 0xBBBB
_NOTHING_CM: Final = 0x1FFF
_STANDBY: Final = 0x4004
_LOCKED: Final = 1
_RUN_UP_NS: Final = 500_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SickS300Model:
    """How the scanner is set.

    Attributes:
        baud: Line rate.
        scan_hz: Turns of the head per second.
        field_deg: Field of view.
        resolution_deg: Angle between two rays.
        address: 7, or 8 for a guest.
        version: Protocol version: 0x0102 of old devices, 0x0103 of new ones.
        has_measuring_field: The size of a new telegram leaves out its checksum and version.
        range_m: Farther returns do not come back.
    """

    baud: int = 500_000
    scan_hz: int = 25
    field_deg: float = 270.0
    resolution_deg: float = 0.5
    address: int = 7
    version: int = 0x0102
    has_measuring_field: bool = False
    range_m: float = 30.0


def checksum(data: bytes) -> int:
    """Return the CRC-16 of a telegram from byte 4 on: polynomial 1021, from FFFF."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


class SickS300Emulator:
    """An S300 on its line; it is powered when the bench first looks at it.

    Args:
        ranges: What it looks at.
        rng: Of line faults.
        model: How it is set.
    """

    name: ClassVar[str] = "sick_s300"
    view_deg: ClassVar[float] = 270.0
    fault_kinds: ClassVar[tuple[str, ...]] = ("mute", "garbage", "health", "standby")

    def __init__(
        self, ranges: RangeSource, rng: np.random.Generator, model: SickS300Model | None = None
    ) -> None:
        self.model = model or SickS300Model()
        self.line = UartTransmitter(self.model.baud, 4096, rng)
        self.commands_received = 0
        self._ranges = ranges
        self._turn_ns = 1_000_000_000 // self.model.scan_hz
        self._powered_ns: int | None = None
        self._scan_number = 0
        self._is_locked = False
        self._is_standby = False

    def receive(self, data: bytes, now_ns: int) -> None:
        """Ignore bytes: the output has no receiver."""

    def transmit(self, now_ns: int) -> bytes:
        """Return what left the line; see :class:`hil.emulator.device.Emulator`."""
        if self._powered_ns is None:
            self._powered_ns = now_ns
        sweep_ns = round(self.model.field_deg / 360.0 * self._turn_ns)
        while True:
            start_ns = self._powered_ns + _RUN_UP_NS + self._scan_number * self._turn_ns
            if start_ns + sweep_ns > now_ns:
                return self.line.sent(now_ns)
            self._scan_number += 1
            self.line.send(self._telegram(start_ns), start_ns + sweep_ns)

    def set_fault(self, kind: str, active: bool, now_ns: int) -> None:
        """Switch a fault.

        ``mute``: nothing reaches the line. ``garbage``: one byte in fifty is random. ``health``:
        the scanner is locked out. ``standby``: it does not measure.
        """
        match kind:
            case "mute":
                self.line.muted = active
            case "garbage":
                self.line.garbage_rate = 0.02 if active else 0.0
            case "health":
                self._is_locked = active
            case "standby":
                self._is_standby = active
            case _:
                raise BenchError(f"an {self.name} has no fault named {kind}")

    def _telegram(self, start_ns: int) -> bytes:
        """Return a telegram; the head turns counter-clockwise."""
        model = self.model
        rays = round(model.field_deg / model.resolution_deg) + 1
        degrees = np.arange(rays) * model.resolution_deg
        stamps_ns = start_ns + np.rint(degrees / 360.0 * self._turn_ns).astype(np.int64)
        ranges_m = self._ranges(stamps_ns, np.radians(degrees - model.field_deg / 2))
        seen = (ranges_m > 0.0) & (ranges_m <= model.range_m)
        values = np.where(seen, np.rint(np.nan_to_num(ranges_m) * 100.0), _NOTHING_CM)
        values = np.full(rays, _STANDBY) if self._is_standby else values
        status = _LOCKED if self._is_locked else 0
        number = self._scan_number - 1
        body = struct.pack(
            "<HHIHHH", model.version, status, number, number & 0xFFFF, _MEASUREMENT, _FIRST_FIELD
        )
        body += values.astype("<u2").tobytes()
        # What the size counts differs; see the driver's kernel.
        counted = len(body) + 2 + (2 if model.version == 0x0103 else 6)
        if model.has_measuring_field:
            counted = len(body) - 2
        head = struct.pack(">HHBB", 0, counted // 2, 0xFF, model.address)
        return bytes(4) + head + body + struct.pack("<H", checksum(head + body))
