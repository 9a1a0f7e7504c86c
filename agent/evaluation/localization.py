"""Localization on a recording: the localizer of the daemon, fed from a log."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from agent.clock import Clock
from agent.evaluation.carmen import CarmenLog, CarmenScan
from agent.evaluation.trajectory import StampedPose
from agent.geometry.pose import Pose2
from agent.localization.localizer import Localizer, LocalizerCounters
from agent.localization.params import LocalizationParams
from agent.localization.place import Place
from agent.streams import TICK
from drivers.measurement import Odometry, Scan

LIDAR = "lidar"
MOST_TICKS = 50  # between two scans of a log; more than a second apart they are a pause
LEAST_TICKS = 5


@dataclass(frozen=True, slots=True)
class Transition:
    """A moment at which the pose became good to drive with, or ceased to be.

    Attributes:
        stamp_s: Time of the log.
        localized: What it became.
        reason: Why it ceased, empty otherwise.
        pose: The estimate at that moment.
    """

    stamp_s: float
    localized: bool
    reason: str
    pose: Pose2


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the localizer made of a log.

    Attributes:
        trajectory: Pose at each scan that was used, from the first on that was good to drive with.
        localized: Whether it was, for each of these.
        scores: Score of each of these.
        transitions: Changes of health, in order of time.
        warnings: Scans after which something was odd although the pose was good.
        update_ms: Time of taking in each scan.
        search_ms: Time of each search of the whole map, all slices together.
        slice_ms: Time of each slice.
        counters: The localizer's own account.
    """

    trajectory: tuple[StampedPose, ...]
    localized: tuple[bool, ...]
    scores: tuple[float, ...]
    transitions: tuple[Transition, ...]
    warnings: int
    update_ms: tuple[float, ...]
    search_ms: tuple[float, ...]
    slice_ms: tuple[float, ...]
    counters: LocalizerCounters

    @property
    def localized_share(self) -> float:
        """Share of the trajectory that was good to drive with."""
        return sum(self.localized) / max(1, len(self.localized))


class Run:
    """One drive of the localizer over a log, scan by scan."""

    def __init__(
        self, place: Place, init: Pose2 | None, params: LocalizationParams, clock: Clock
    ) -> None:
        """Begin.

        Args:
            place: The map.
            init: ``map_from_base`` at the first scan, ``None`` if nothing is known.
            params: Parameters, the same as in the daemon.
            clock: To measure times; nothing else depends on it.

        Raises:
            MapError: The start lies outside the map.
        """
        self.localizer = Localizer(place, params, {LIDAR: Pose2.identity()}, init)
        self._clock = clock
        self._trajectory: list[StampedPose] = []
        self._localized: list[bool] = []
        self._scores: list[float] = []
        self._transitions: list[Transition] = []
        self._warnings = 0
        self._update_ms: list[float] = []
        self._search_ms: list[float] = []
        self._slice_ms: list[float] = []
        self._search_so_far_ms = 0.0
        self._scan_ns: int | None = None

    def take(self, measurement: Odometry | Scan, epoch_s: float) -> bool:
        """Take a measurement; ``epoch_s`` is the time of the log at stamp 0.

        Returns:
            Whether it was a scan that the pose was compared with.
        """
        if isinstance(measurement, Odometry):
            self.localizer.add_odometry(measurement)
            return False
        stamp_ns = measurement.stamp_ns
        self._tick(stamp_ns)
        begin_ns = self._clock.now_ns()
        used = self.localizer.add_scan(LIDAR, measurement)
        took_ms = (self._clock.now_ns() - begin_ns) * 1e-6
        self._scan_ns = stamp_ns
        estimate = self.localizer.estimate(stamp_ns)
        if estimate is None:
            return used
        if used:
            self._update_ms.append(took_ms)
        was_localized = bool(self._transitions) and self._transitions[-1].localized
        stamp_s = epoch_s + estimate.stamp_ns * 1e-9
        if estimate.localized != was_localized:
            self._transitions.append(
                Transition(stamp_s, estimate.localized, estimate.reason, estimate.map_from_base)
            )
        if used and self._transitions:
            self._trajectory.append(StampedPose(stamp_s, estimate.map_from_base))
            self._localized.append(estimate.localized)
            self._scores.append(estimate.score)
            self._warnings += bool(estimate.warning)
        return used

    def finish_search(self) -> float:
        """Let a pending search come to its end, as time does for a robot that stands.

        Returns:
            How long it took in ms, 0 if there was none.
        """
        begin = len(self._search_ms)
        while self.localizer.searching:
            self._advance()
        return sum(self._search_ms[begin:])

    def result(self) -> Evaluation:
        """Return what came of it so far."""
        return Evaluation(
            tuple(self._trajectory),
            tuple(self._localized),
            tuple(self._scores),
            tuple(self._transitions),
            self._warnings,
            tuple(self._update_ms),
            tuple(self._search_ms),
            tuple(self._slice_ms),
            self.localizer.counters,
        )

    def _tick(self, stamp_ns: int) -> None:
        """Let a pending search go on for as many ticks as the daemon would have had."""
        since_s = 0.0 if self._scan_ns is None else (stamp_ns - self._scan_ns) * 1e-9
        for _ in range(min(MOST_TICKS, max(LEAST_TICKS, int(since_s * TICK.rate_hz)))):
            if not self.localizer.searching:
                break
            self._advance()

    def _advance(self) -> None:
        begin_ns = self._clock.now_ns()
        self.localizer.advance()
        took_ms = (self._clock.now_ns() - begin_ns) * 1e-6
        self._slice_ms.append(took_ms)
        self._search_so_far_ms += took_ms
        if not self.localizer.searching:
            self._search_ms.append(self._search_so_far_ms)
            self._search_so_far_ms = 0.0


def evaluate(
    log: CarmenLog,
    place: Place,
    init: Pose2 | None,
    params: LocalizationParams,
    clock: Clock,
) -> Evaluation:
    """Run the localizer over a log; see :class:`Run`."""
    run = Run(place, init, params, clock)
    epoch_s = log.scans[0].stamp_s
    for measurement in measurements(log, epoch_s):
        run.take(measurement, epoch_s)
    return run.result()


def measurements(log: CarmenLog, epoch_s: float) -> Iterator[Odometry | Scan]:
    """Yield a log as the drivers would have delivered it, stamps counted from ``epoch_s``.

    A scan of such a log comes with the odometry of its moment, which goes first. Samples of
    odometry from before the first scan are left out, as ``init`` refers to that scan.
    """
    pending = sorted(
        (sample for sample in log.odometry if sample.stamp_s > epoch_s),
        key=lambda sample: sample.stamp_s,
    )
    taken = 0
    for scan in sorted(log.scans, key=lambda scan: scan.stamp_s):
        while taken < len(pending) and pending[taken].stamp_s <= scan.stamp_s:
            sample = pending[taken]
            if sample.stamp_s < scan.stamp_s:
                stamp_ns = _to_ns(sample.stamp_s - epoch_s)
                yield _odometry(stamp_ns, sample.odom, sample.forward_mps, sample.yaw_rate_radps)
            taken += 1
        stamp_ns = _to_ns(scan.stamp_s - epoch_s)
        yield _odometry(stamp_ns, scan.odom, 0.0, 0.0)
        yield _to_scan(stamp_ns, scan)


def _to_ns(time_s: float) -> int:
    return round(time_s * 1e9)


def _odometry(stamp_ns: int, odom: Pose2, forward_mps: float, yaw_rate_radps: float) -> Odometry:
    return Odometry(
        stamp_ns, stamp_ns, odom.x_m, odom.y_m, odom.yaw_rad, forward_mps, yaw_rate_radps
    )


def _to_scan(stamp_ns: int, scan: CarmenScan) -> Scan:
    return Scan(
        stamp_ns=stamp_ns,
        received_ns=stamp_ns,
        angles_rad=scan.angles_rad,
        ranges_m=scan.ranges_m,
        offsets_s=np.zeros(scan.ranges_m.size, np.float32),
        quality=np.zeros(scan.ranges_m.size, np.uint8),
    )
