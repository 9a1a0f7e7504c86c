"""SICK LMS200, LMS211, LMS221, LMS291.

Source: SICK, "Definition of telegrams between the user interface and LMS or LMI systems via RS 422
/ RS 232", version 05.00. The device powers up at 9600 bit/s unless it was set otherwise for good;
the driver finds it there and raises the rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

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
    Wait,
)
from drivers.errors import DeviceFault, StreamStale
from drivers.framing import ByteWindow
from drivers.kernels.sick_lms2xx import CRC_BYTES, HEAD_BYTES, decode_values, find_telegrams
from drivers.measurement import Scan

BITS_PER_BYTE = 10
BATCH = 32
POWER_UP_BAUD = 9_600
MIRROR_HZ = 75.0
UNITS_M = (0.01, 0.001)
# Number of values -> field of view and resolution in degrees, as the device can be set.
SWEEPS = {181: (180, 1.0), 361: (180, 0.5), 101: (100, 1.0), 201: (100, 0.5), 401: (100, 0.25)}
BAUD_MODES = {9_600: 0x42, 19_200: 0x41, 38_400: 0x40, 500_000: 0x48}
CONTINUOUS = 0x24
ON_REQUEST = 0x25
SEVERITIES = ("no error", "info", "warning", "error", "fatal error")
WORST_THAT_GOES_ON = 2
POLLUTED = 0x80


@dataclass(frozen=True, slots=True)
class Switched(Reply):
    """A0: the operating mode was changed (0), or not."""

    result: int


@dataclass(frozen=True, slots=True)
class Status(Reply):
    """B1: software, operating mode, whether there is an error, and the status byte."""

    software: str
    mode: int
    has_error: bool
    flags: int


@dataclass(frozen=True, slots=True)
class Other(Reply):
    """An answer nobody waits for."""

    code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SickLms2xxOptions:
    """Options of the LMS2xx driver.

    Attributes:
        baud: Line rate to work at; 500000 needs an RS-422 adapter that can.
        range_bits: Bits of a value that are distance: 13 for 8 m and 80 m, 14 for 16 m, 15 for
            32 m, 16 where no fields are told, as the measuring mode is set in the device.
        min_range_m: Nearer returns are dropped: the robot's own body.
        max_range_m: Farther returns are dropped.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    baud: Literal[9600, 19200, 38400, 500000] = 38_400
    range_bits: Annotated[int, Ge(13), Le(16)] = 13
    min_range_m: Annotated[float, Ge(0), Le(5)] = 0.05
    max_range_m: Annotated[float, Gt(0), Le(100)] = 80.0


def checksum(data: bytes) -> int:
    """Return the CRC-16 of a telegram; see :func:`drivers.kernels.sick_lms2xx.find_telegrams`."""
    crc = before = 0
    for byte in data:
        crc = (crc & 0x7FFF) << 1 ^ (0x8005 if crc & 0x8000 else 0) ^ (byte | before << 8)
        before = byte
    return crc


def telegram(data: bytes) -> bytes:
    """Return a telegram to the device with address 0."""
    body = bytes([0x02, 0x00]) + len(data).to_bytes(2, "little") + data
    return body + checksum(body).to_bytes(2, "little")


class _Sweep:
    """What is the same in all scans of one resolution."""

    def __init__(self, field_deg: int, resolution_deg: float, shift_deg: float) -> None:
        rays = round(field_deg / resolution_deg) + 1
        degrees = np.arange(rays) * resolution_deg + shift_deg
        # Finer than a degree is made of several turns of the mirror, each a little later.
        turns = round(1.0 / resolution_deg)
        offsets_s = (degrees / 360.0 + np.arange(rays) % turns) / MIRROR_HZ
        self.angles_rad = np.radians(degrees - field_deg / 2).astype(np.float32)
        self.offsets_s = (offsets_s - offsets_s.min()).astype(np.float32)
        self.last_ns = round(float(self.offsets_s.max()) * 1e9)
        self.angles_rad.setflags(write=False)
        self.offsets_s.setflags(write=False)


class SickLms2xxCodec:
    """Decodes telegrams; see :class:`drivers.driver.Codec`."""

    def __init__(self, options: SickLms2xxOptions) -> None:
        self._byte_ns = BITS_PER_BYTE * 1e9 / options.baud
        self.stats = CodecStats()
        self._options = options
        self._window = ByteWindow(self._byte_ns)
        self._sweeps: dict[tuple[int, int], _Sweep] = {}
        self._begins = np.empty(BATCH, np.int64)
        self._ends = np.empty(BATCH, np.int64)

    def note_sent(self, data: bytes, sent_ns: int) -> None:
        """See :class:`drivers.driver.Codec`; a stream answers to nobody."""

    def reset(self) -> None:
        """See :class:`drivers.driver.Codec`."""
        self._window.clear()

    def feed(self, data: bytes, received_ns: int) -> Sequence[Event]:
        """See :class:`drivers.driver.Codec`."""
        self.stats.received_bytes += len(data)
        self._window.append(data, received_ns)
        events: list[Event] = []
        while True:
            pending = self._window.pending
            frames, consumed, skipped, bad = find_telegrams(pending, self._begins, self._ends)
            self.stats.frames += frames
            self.stats.skipped_bytes += skipped
            self.stats.bad_checksums += bad
            for begin, end in zip(self._begins[:frames], self._ends[:frames], strict=True):
                arrival_ns = self._window.arrival_ns(int(end) + CRC_BYTES)
                if event := self._decode(pending[begin:end], arrival_ns):
                    events.append(event)
            self._window.consume(consumed)
            if frames < BATCH:
                return events

    def _decode(self, data: NDArray[np.uint8], arrival_ns: int) -> Event | None:
        code, flags = int(data[0]), int(data[-1])
        if code == 0xB0 and data.size >= 4:
            return self._decode_scan(data, flags, arrival_ns)
        if code == 0xA0 and data.size >= 2:
            return Switched(int(data[1]))
        if code == 0xB1 and data.size >= 11:
            software = data[1:8].tobytes().decode("latin-1").strip("\0 ")
            return Status(software, int(data[8]), bool(data[9]), flags)
        return Other(code)

    def _decode_scan(self, data: NDArray[np.uint8], flags: int, arrival_ns: int) -> Scan | None:
        """Decode a scan; one that the device itself does not believe in is only counted."""
        head = int(data[1]) | int(data[2]) << 8
        count, unit = head & 0x3FF, head >> 14
        self.stats.warnings += flags & POLLUTED > 0
        sweep = self._sweep(count, head)
        believed = flags & 0x7 <= WORST_THAT_GOES_ON
        if sweep is None or not believed or unit >= len(UNITS_M) or data.size != 2 * count + 4:
            self.stats.short_scans += 1
            return None
        ranges_m = np.empty(count, np.float32)
        decode_values(data[3:-1], self._options.range_bits, UNITS_M[unit], ranges_m)
        with np.errstate(invalid="ignore"):
            outside = (ranges_m < self._options.min_range_m) | (
                ranges_m > self._options.max_range_m
            )
        ranges_m[outside] = np.nan
        ranges_m.setflags(write=False)
        quality = np.zeros(count, np.uint8)
        quality.setflags(write=False)
        self.stats.scans += 1
        wire_ns = round((data.size + HEAD_BYTES + CRC_BYTES) * self._byte_ns)
        return Scan(
            stamp_ns=arrival_ns - wire_ns - sweep.last_ns,
            received_ns=arrival_ns,
            angles_rad=sweep.angles_rad,
            ranges_m=ranges_m,
            offsets_s=sweep.offsets_s,
            quality=quality,
        )

    def _sweep(self, count: int, head: int) -> _Sweep | None:
        """Return the rays of a scan by their number; part of a finer one, they are shifted."""
        part = head >> 11 & 3 if head & 0x2000 else 0
        if count not in SWEEPS and count + 1 not in SWEEPS:
            return None
        if (count, part) not in self._sweeps:
            whole = count if count in SWEEPS else count + 1
            field_deg, resolution_deg = SWEEPS[whole]
            sweep = _Sweep(field_deg, resolution_deg, 0.25 * part)
            if count != whole:
                # The last ray of a shifted part would lie beyond the field of view.
                sweep.angles_rad, sweep.offsets_s = sweep.angles_rad[:-1], sweep.offsets_s[:-1]
            self._sweeps[(count, part)] = sweep
        return self._sweeps[(count, part)]


class SickLms2xx:
    """SICK LMS200, LMS211, LMS221 and LMS291."""

    name: ClassVar[str] = "sick_lms2xx"
    options: ClassVar[type[SickLms2xxOptions]] = SickLms2xxOptions

    def __init__(self, options: SickLms2xxOptions) -> None:
        self._options = options
        self.spec = PortSpec(baud=options.baud)
        self.codec = SickLms2xxCodec(options)
        self.polls: tuple[Poll, ...] = ()
        self.stale_after_s = 2.0

    def start(self) -> Handshake:
        """Stop what runs, read the status, and start the stream; raise the line rate before.

        The port is opened at the rate to work at and, should nobody answer there, at the rate of
        a device that was just powered up, in turns.

        Raises:
            DeviceFault: The device reports an error, or refuses.
            StreamStale: It was found at the rate of power-up, and listens at the other one now.
        """
        works_at, found_at = self._options.baud, self.spec.baud
        self.spec = PortSpec(baud=POWER_UP_BAUD if found_at == works_at else works_at)
        yield Send(telegram(bytes([0x20, ON_REQUEST])))
        yield Wait(0.2)
        yield Flush()
        if found_at != works_at:
            yield Send(telegram(bytes([0x20, BAUD_MODES[works_at]])))
            yield Expect(Switched, 3.0, "no answer at 9600 bit/s, the rate of power-up, either")
            raise StreamStale(f"sick_lms2xx: found at {found_at} bit/s, goes on at {works_at}")
        yield Send(telegram(b"\x31"))
        status = yield Expect(Status, 3.0, f"no answer to the status request at {works_at} bit/s")
        self.spec = PortSpec(baud=works_at)
        if isinstance(status, Status) and (status.has_error or status.flags & 7 >= 3):
            raise DeviceFault(f"sick_lms2xx with software {status.software} {_complaint(status)}")
        yield Send(telegram(bytes([0x20, CONTINUOUS])))
        switched = yield Expect(Switched, 3.0, "no answer to the request for scans")
        if isinstance(switched, Switched) and switched.result != 0:
            raise DeviceFault(
                f"sick_lms2xx refuses to send scans, result {switched.result}: power it off and on"
            )

    def stop(self) -> Handshake:
        """Stop the stream."""
        yield Send(telegram(bytes([0x20, ON_REQUEST])))


def _complaint(status: Status) -> str:
    severity = SEVERITIES[min(status.flags & 7, len(SEVERITIES) - 1)]
    dirt = "; its window is dirty: clean it" if status.flags & POLLUTED else ""
    return f"reports {severity}{dirt}; read its error memory with the maker's tool"
