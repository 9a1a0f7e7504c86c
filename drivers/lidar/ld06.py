"""LDROBOT LD06, LD19 and STL-27L.

Source: LDROBOT, "LD06 development manual" v2.3 and "LD19 development manual" v2.5. The device takes
no commands: it sends frames of 47 bytes from power-up on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le

from drivers.device_clock import DeviceClock
from drivers.driver import CodecStats, Event, Expect, Flush, Handshake, Poll, PortSpec, Reply
from drivers.errors import DeviceFault
from drivers.framing import ByteWindow
from drivers.kernels.ld06 import FRAME_BYTES, FRAME_SAMPLES, FULL_TURN_CDEG, decode_frames
from drivers.lidar.revolution import RevolutionAssembler

BITS_PER_BYTE = 10
BATCH = 256
CLOCK_TICK_NS = 1_000_000
CLOCK_WRAP = 30_000
SLOWEST_DPS = 360


class Model(NamedTuple):
    """What differs between the devices of this protocol."""

    baud: int
    samples_per_s: int


MODELS = {
    "ld06": Model(230_400, 4_500),
    "ld19": Model(230_400, 4_500),
    "stl27l": Model(921_600, 21_600),
}


@dataclass(frozen=True, slots=True)
class Turning(Reply):
    """The first frame after a connect: the device is there, and how fast its head turns."""

    speed_dps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ld06Options:
    """Options of the LD06 driver.

    Attributes:
        model: Which device; it sets line rate and sample rate.
        min_range_m: Nearer returns are dropped: the robot's own body.
        max_range_m: Farther returns are dropped.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    model: Literal["ld06", "ld19", "stl27l"] = "ld06"
    min_range_m: Annotated[float, Ge(0), Le(5)] = 0.05
    max_range_m: Annotated[float, Gt(0), Le(50)] = 12.0


class Ld06Codec:
    """Decodes frames; see :class:`drivers.driver.Codec`."""

    def __init__(self, options: Ld06Options) -> None:
        model = MODELS[options.model]
        byte_ns = BITS_PER_BYTE * 1e9 / model.baud
        self.stats = CodecStats()
        self._window = ByteWindow(byte_ns)
        self._frame_ns = round(FRAME_BYTES * byte_ns)
        self._clock = DeviceClock(CLOCK_TICK_NS, CLOCK_WRAP)
        self._assembler = RevolutionAssembler(
            self.stats, options.min_range_m, options.max_range_m, device_timed=True
        )
        self._assembler.sample_ns = round(1e9 / model.samples_per_s)
        self._end_cdeg: int | None = None
        self._taken_ns = 0
        self._ends = np.empty(BATCH, np.int64)
        self._heads = np.empty((BATCH, 4), np.int64)
        self._cuts = np.empty(BATCH, np.int64)
        self._angles_rad = np.empty((BATCH, FRAME_SAMPLES))
        self._ranges_m = np.empty((BATCH, FRAME_SAMPLES))
        self._quality = np.empty((BATCH, FRAME_SAMPLES), np.uint8)

    def note_sent(self, data: bytes, sent_ns: int) -> None:
        """See :class:`drivers.driver.Codec`; the device takes nothing."""

    def reset(self) -> None:
        """See :class:`drivers.driver.Codec`."""
        self._window.clear()
        self._assembler.clear()
        self._clock.reset()
        self._end_cdeg = None

    def feed(self, data: bytes, received_ns: int) -> Sequence[Event]:
        """See :class:`drivers.driver.Codec`."""
        self.stats.received_bytes += len(data)
        self._window.append(data, received_ns)
        events: list[Event] = []
        while self._decode(events) == BATCH:
            pass
        return events

    def _decode(self, events: list[Event]) -> int:
        frames, consumed, skipped, bad = decode_frames(
            self._window.pending,
            self._ends,
            self._heads,
            self._cuts,
            self._angles_rad,
            self._ranges_m,
            self._quality,
        )
        self.stats.frames += frames
        self.stats.skipped_bytes += skipped
        self.stats.bad_checksums += bad
        for frame in range(frames):
            self._take(frame, self._window.arrival_ns(int(self._ends[frame])), events)
        self._window.consume(consumed)
        return frames

    def _take(self, frame: int, arrival_ns: int, events: list[Event]) -> None:
        """Add one frame to the revolution, cut where the head passes zero."""
        speed_dps, start_cdeg, end_cdeg, stamp_ms = self._heads[frame].tolist()
        taken_ns = self._clock.host_ns(stamp_ms % CLOCK_WRAP, arrival_ns - self._frame_ns)
        lost = 0
        if self._end_cdeg is None:
            events.append(Turning(speed_dps))
        else:
            lost = self._lost_samples(speed_dps, start_cdeg, end_cdeg, taken_ns)
            if start_cdeg < self._end_cdeg:
                self._begin_revolution(arrival_ns, events)
        cut = int(self._cuts[frame])
        before_ns = taken_ns - (FRAME_SAMPLES - cut) * self._assembler.sample_ns
        self._add(frame, slice(0, cut), before_ns, lost)
        if cut < FRAME_SAMPLES:
            self._begin_revolution(arrival_ns, events)
            self._add(frame, slice(cut, FRAME_SAMPLES), taken_ns, 0)
        self._end_cdeg, self._taken_ns = end_cdeg, taken_ns

    def _lost_samples(self, speed_dps: int, start_cdeg: int, end_cdeg: int, taken_ns: int) -> int:
        """Return how many samples are missing before a frame; a turn lost as a whole is dropped."""
        step_cdeg = (end_cdeg - start_cdeg) % FULL_TURN_CDEG / (FRAME_SAMPLES - 1)
        before_cdeg = self._end_cdeg or 0
        advance_cdeg = (start_cdeg - before_cdeg) % FULL_TURN_CDEG
        lost = max(round(advance_cdeg / step_cdeg) - 1, 0) if step_cdeg else 0
        turned_cdeg = 100 * speed_dps * (taken_ns - self._taken_ns) * 1e-9
        if turned_cdeg - advance_cdeg > FULL_TURN_CDEG / 2:
            self._assembler.clear()
            self.stats.short_scans += 1
        self.stats.gaps += lost > 0
        return lost

    def _begin_revolution(self, arrival_ns: int, events: list[Event]) -> None:
        if scan := self._assembler.begin_revolution(arrival_ns):
            events.append(scan)

    def _add(self, frame: int, part: slice, taken_ns: int, lost: int) -> None:
        self._assembler.add(
            self._angles_rad[frame, part].copy(),
            self._ranges_m[frame, part].copy(),
            self._quality[frame, part].copy(),
            taken_ns,
            lost,
        )


class Ld06:
    """LDROBOT LD06, LD19 and STL-27L."""

    name: ClassVar[str] = "ld06"
    options: ClassVar[type[Ld06Options]] = Ld06Options

    def __init__(self, options: Ld06Options) -> None:
        self._model = options.model
        self.spec = PortSpec(baud=MODELS[options.model].baud)
        self.codec = Ld06Codec(options)
        self.polls: tuple[Poll, ...] = ()
        self.stale_after_s = 1.0

    def start(self) -> Handshake:
        """Wait for a frame; there is nothing to say to this device.

        Raises:
            DeviceFault: The head stands still.
        """
        yield Flush()
        turning = yield Expect(Turning, 2.0, "no frame with a sound checksum")
        if isinstance(turning, Turning) and turning.speed_dps < SLOWEST_DPS:
            raise DeviceFault(
                f"{self._model}: the head turns at {turning.speed_dps} deg/s in place of 3600: its "
                "motor is blocked or its supply is weak (5 V, 300 mA to start)"
            )

    def stop(self) -> Handshake:
        """Do nothing: the device knows no commands."""
        yield from ()
