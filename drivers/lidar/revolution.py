"""Collects the samples of a spinning lidar into whole revolutions."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from drivers.driver import CodecStats
from drivers.measurement import Scan

GAP_STEPS = 2.5  # neighbouring rays farther apart than this many steps miss rays between them
Number = TypeVar("Number", bound=np.generic)
MOST_SAMPLES = 50_000  # more than any device takes in a revolution
LONGEST_TURN = 1.5  # what turns farther than this many turns lost a start of revolution
LEAST_SHARE = 0.5  # with fewer of a revolution's rays it is dropped as short


@dataclass(slots=True)
class _Samples:
    """Consecutive samples: columns, when the last of them was taken, and what is lost before."""

    angles_rad: NDArray[np.float64]
    ranges_m: NDArray[np.float64]
    quality: NDArray[np.uint8]
    taken_ns: int
    lost: int


class RevolutionAssembler:
    """Cuts a stream of samples into scans.

    A sample's own time is known only through the arrival of the bytes that carry it, and those
    bunch up when the reader was late. All samples of a revolution are equally spaced in time, so
    the earliest start that any of them implies is the one with the least delay: the minimum filter
    of one-way clock synchronization, over one revolution.

    Args:
        stats: Where scans and short scans are counted.
        min_range_m: Nearer returns are no returns: the robot's own body.
        max_range_m: Farther returns are no returns.
        device_timed: The times come from the device's own clock, so that they scatter by its
            resolution and are not delayed: the mean start is taken in place of the earliest.
        losses_told: Whoever adds samples knows how many are lost; else the holes are counted.
    """

    def __init__(
        self,
        stats: CodecStats,
        min_range_m: float,
        max_range_m: float,
        device_timed: bool = False,
        losses_told: bool = False,
    ) -> None:
        self._stats = stats
        self._min_range_m = min_range_m
        self._max_range_m = max_range_m
        self._device_timed = device_timed
        self._losses_told = losses_told
        self._parts: list[_Samples] = []
        self._collected = 0
        self._synchronized = False
        self.sample_ns = 0

    def clear(self) -> None:
        """Forget the revolution being collected, and wait for the start of the next."""
        self._parts.clear()
        self._collected = 0
        self._synchronized = False

    def add(
        self,
        angles_rad: NDArray[np.float64],
        ranges_m: NDArray[np.float64],
        quality: NDArray[np.uint8],
        taken_ns: int,
        lost: int = 0,
    ) -> None:
        """Add consecutive samples of the current revolution, the last one taken at ``taken_ns``.

        ``lost`` samples between them and their predecessors are known to be missing.
        """
        if self._synchronized and angles_rad.size:
            self._parts.append(_Samples(angles_rad, ranges_m, quality, taken_ns, lost))
            self._collected += angles_rad.size
        if self._collected > MOST_SAMPLES:
            # The head stands still, or the starts of revolution never arrive.
            self.clear()

    def begin_revolution(self, received_ns: int) -> Scan | None:
        """Start a revolution and return the one that ended, unless it was partial or short."""
        scan = self._assemble(received_ns) if self._parts else None
        self._parts.clear()
        self._collected = 0
        self._synchronized = True
        return scan

    def _assemble(self, received_ns: int) -> Scan | None:
        angles = np.concatenate([part.angles_rad for part in self._parts])
        ranges = np.concatenate([part.ranges_m for part in self._parts])
        quality = np.concatenate([part.quality for part in self._parts])
        places = self._places()
        first = _first_of_last_turn(angles)
        angles, ranges, quality = angles[first:], ranges[first:], quality[first:]
        places = places[first:]
        wrapped = ((angles + np.pi) % (2.0 * np.pi) - np.pi).astype(np.float32)
        # Rounding to single precision may land on +pi, which is outside [-pi, pi).
        wrapped[wrapped >= np.float32(np.pi)] = np.float32(-np.pi)
        order = np.argsort(wrapped, kind="stable")
        if self._losses_told:
            missing = sum(part.lost for part in self._parts)
        else:
            missing = _missing_rays(wrapped[order])
        if angles.size < LEAST_SHARE * (angles.size + missing):
            self._stats.short_scans += 1
            return None
        self._stats.scans += 1
        with np.errstate(invalid="ignore"):
            outside = (ranges < self._min_range_m) | (ranges > self._max_range_m)
        ranges[outside] = np.nan
        offsets_s = (places - places[0]) * (self.sample_ns * 1e-9)
        return Scan(
            stamp_ns=self._start_ns() + int(places[0]) * self.sample_ns,
            received_ns=received_ns,
            angles_rad=_frozen(wrapped[order]),
            ranges_m=_frozen(ranges[order].astype(np.float32)),
            offsets_s=_frozen(offsets_s[order].astype(np.float32)),
            quality=_frozen(quality[order]),
            missing=missing,
        )

    def _places(self) -> NDArray[np.int64]:
        """Return the place of each sample in the revolution, those that were lost counted."""
        sizes = np.array([part.angles_rad.size for part in self._parts])
        lost = np.array([part.lost for part in self._parts])
        lost[0] = 0
        places: NDArray[np.int64] = np.arange(sizes.sum()) + np.repeat(np.cumsum(lost), sizes)
        return places

    def _start_ns(self) -> int:
        """Return the time of the first sample: by the part delayed least, or by all of them."""
        starts, place = [], -1
        for i, part in enumerate(self._parts):
            place += part.angles_rad.size + (part.lost if i else 0)
            starts.append(part.taken_ns - place * self.sample_ns)
        return sum(starts) // len(starts) if self._device_timed else min(starts)


def _first_of_last_turn(angles_rad: NDArray[np.float64]) -> int:
    """Return where the last turn begins, 0 but for two turns whose dividing sample was lost."""
    steps = (np.diff(angles_rad) + np.pi) % (2.0 * np.pi) - np.pi
    to_go = np.abs(np.sum(steps) - np.cumsum(steps, dtype=np.float64))
    if to_go.size == 0 or to_go[0] < LONGEST_TURN * 2.0 * np.pi:
        return 0
    return int(np.argmax(to_go < 2.0 * np.pi)) + 1


def _missing_rays(angles_rad: NDArray[np.float32]) -> int:
    """Return how many rays fit into the holes of a sorted revolution, the wrap-around included."""
    if angles_rad.size < 2:
        return 0
    steps = np.diff(angles_rad, append=angles_rad[0] + 2.0 * np.pi)
    typical = float(np.median(steps))
    if typical <= 0.0:
        return 0
    holes = steps[steps > GAP_STEPS * typical]
    return int(np.sum(np.round(holes / typical) - 1.0))


def _frozen(array: NDArray[Number]) -> NDArray[Number]:
    array.setflags(write=False)
    return array
