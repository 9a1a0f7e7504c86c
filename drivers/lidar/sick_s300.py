"""SICK S300 and S3000 safety laser scanners, continuous data output.

Source: SICK, "Telegram listing S3000 / S300, RS 422 data output", and operating instructions S300.
The device takes no commands: it sends a telegram for each scan, as set with the maker's tool.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from drivers.device_clock import DeviceClock
from drivers.driver import CodecStats, Event, Expect, Flush, Handshake, Poll, PortSpec, Reply
from drivers.errors import DeviceFault
from drivers.framing import ByteWindow
from drivers.kernels.sick_s300 import HEAD_BYTES, MOST_RAYS, decode_values, find_telegrams
from drivers.measurement import Scan

BITS_PER_BYTE = 10
BATCH = 16
CRC_BYTES = 2
MEASUREMENT = b"\xbb\xbb"
STANDBY = b"\x04\x40"
SCAN_NUMBER_WRAP = 1 << 32
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Heard(Reply):
    """The first telegram after a connect: the device is there, and whether it measures."""

    is_locked: bool
    is_standby: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SickS300Options:
    """Options of the S300 driver.

    Attributes:
        baud: Line rate, as set in the device.
        resolution_deg: Angle between two rays.
        scan_hz: Scans per second; the head turns this often.
        min_range_m: Nearer returns are dropped: the robot's own body.
        max_range_m: Farther returns are dropped.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    baud: Annotated[int, Ge(9600), Le(500_000)] = 500_000
    resolution_deg: Annotated[float, Ge(0.25), Le(1)] = 0.5
    scan_hz: Annotated[float, Ge(5), Le(50)] = 25.0
    min_range_m: Annotated[float, Ge(0), Le(5)] = 0.05
    max_range_m: Annotated[float, Gt(0), Le(80)] = 30.0


class SickS300Codec:
    """Decodes telegrams; see :class:`drivers.driver.Codec`."""

    def __init__(self, options: SickS300Options) -> None:
        self._byte_ns = BITS_PER_BYTE * 1e9 / options.baud
        self.stats = CodecStats()
        self._options = options
        self._window = ByteWindow(self._byte_ns)
        self._turn_ns = round(NS_PER_S / options.scan_hz)
        # The scan number is the device's clock: it ticks with each turn of the head.
        self._clock = DeviceClock(self._turn_ns, SCAN_NUMBER_WRAP, late_ns=self._turn_ns // 4)
        self._is_known = False
        self._scan_number: int | None = None
        self._begins = np.empty(BATCH, np.int64)
        self._ends = np.empty(BATCH, np.int64)

    def note_sent(self, data: bytes, sent_ns: int) -> None:
        """See :class:`drivers.driver.Codec`; the device takes nothing."""

    def reset(self) -> None:
        """See :class:`drivers.driver.Codec`."""
        self._window.clear()
        self._clock.reset()
        self._is_known = False
        self._scan_number = None

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
                self._take(pending[begin:end], self._window.arrival_ns(int(end)), events)
            self._window.consume(consumed)
            if frames < BATCH:
                return events

    def _take(self, telegram: NDArray[np.uint8], arrival_ns: int, events: list[Event]) -> None:
        """Decode one telegram; one without measurement proves only that the device is there."""
        head = telegram[:HEAD_BYTES].tobytes()
        status, scan_number = struct.unpack_from("<HI", head, 12)
        values = telegram[HEAD_BYTES:-CRC_BYTES]
        is_standby = values.size > 0 and values.tobytes() == STANDBY * (values.size // 2)
        if not self._is_known:
            self._is_known = True
            events.append(Heard(status != 0, is_standby))
        if self._scan_number is not None:
            self.stats.gaps += (scan_number - self._scan_number) % SCAN_NUMBER_WRAP > 1
        self._scan_number = scan_number
        if head[20:22] != MEASUREMENT:
            return
        rays = values.size // 2
        if status != 0 or is_standby or not 0 < rays <= MOST_RAYS:
            self.stats.warnings += 1
            return
        events.append(self._scan(values, rays, scan_number, telegram.size, arrival_ns))
        self.stats.scans += 1

    def _scan(
        self, values: NDArray[np.uint8], rays: int, number: int, size: int, arrival_ns: int
    ) -> Scan:
        ranges_m, quality = np.empty(rays, np.float32), np.empty(rays, np.uint8)
        decode_values(values, ranges_m, quality)
        with np.errstate(invalid="ignore"):
            outside = (ranges_m < self._options.min_range_m) | (
                ranges_m > self._options.max_range_m
            )
        ranges_m[outside] = np.nan
        degrees = (np.arange(rays) - (rays - 1) / 2) * self._options.resolution_deg
        angles_rad = np.radians(degrees).astype(np.float32)
        offsets_s = (np.arange(rays) * self._options.resolution_deg / 360.0) / self._options.scan_hz
        last_ns = round(float(offsets_s[-1]) * 1e9)
        for column in (angles_rad, ranges_m, quality):
            column.setflags(write=False)
        sent_ns = arrival_ns - round(size * self._byte_ns)
        return Scan(
            stamp_ns=self._clock.host_ns(number, sent_ns) - last_ns,
            received_ns=arrival_ns,
            angles_rad=angles_rad,
            ranges_m=ranges_m,
            offsets_s=_frozen(offsets_s.astype(np.float32)),
            quality=quality,
        )


def _frozen(array: NDArray[np.float32]) -> NDArray[np.float32]:
    array.setflags(write=False)
    return array


class SickS300:
    """SICK S300 and S3000 with continuous data output."""

    name: ClassVar[str] = "sick_s300"
    options: ClassVar[type[SickS300Options]] = SickS300Options

    def __init__(self, options: SickS300Options) -> None:
        self.spec = PortSpec(baud=options.baud)
        self.codec = SickS300Codec(options)
        self.polls: tuple[Poll, ...] = ()
        self.stale_after_s = 1.0

    def start(self) -> Handshake:
        """Wait for a telegram; there is nothing to say to this device.

        Raises:
            DeviceFault: It is locked or does not measure.
        """
        yield Flush()
        heard = yield Expect(Heard, 2.0, "no telegram with a sound checksum")
        if isinstance(heard, Heard) and heard.is_locked:
            raise DeviceFault(
                "sick_s300 is locked out: read the cause on its display, clear it, and power the "
                "scanner off and on"
            )
        if isinstance(heard, Heard) and heard.is_standby:
            raise DeviceFault(
                "sick_s300 is in standby and measures nothing: its monitoring case must not be "
                "that of standby, and its standby input must be off"
            )

    def stop(self) -> Handshake:
        """Do nothing: the device knows no commands, and it must go on guarding."""
        yield from ()
