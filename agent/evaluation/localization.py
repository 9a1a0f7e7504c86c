"""Localization on a recording: the localizer of the daemon, fed from a log."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from agent.clock import Clock
from agent.evaluation.carmen import CarmenLog, CarmenScan
from agent.evaluation.trajectory import StampedPose
from agent.geometry.pose import Pose2
from agent.localization.localizer import LocalizationParams, Localizer, LocalizerCounters
from agent.mapping.occupancy_grid import OccupancyGrid
from drivers.measurement import Odometry, Scan


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the localizer made of a log.

    Attributes:
        trajectory: Pose at each scan that was used.
        scores: Score of each of these scans.
        localized_share: Share of these scans after which the pose was good to drive with.
        median_update_ms: Median time of taking in a scan that updated the filter.
        p95_update_ms: 95th percentile of the same.
        counters: The localizer's own account.
    """

    trajectory: tuple[StampedPose, ...]
    scores: tuple[float, ...]
    localized_share: float
    median_update_ms: float
    p95_update_ms: float
    counters: LocalizerCounters


def evaluate(
    log: CarmenLog,
    grid: OccupancyGrid,
    init: Pose2,
    params: LocalizationParams,
    seed: int,
    clock: Clock,
) -> Evaluation:
    """Run the localizer over a log.

    Args:
        log: The recording.
        grid: The map.
        init: ``map_from_base`` at the first scan.
        params: Parameters, the same as in the daemon.
        seed: Of the random generator.
        clock: To measure the time of updates; nothing else depends on it.

    Raises:
        MapError: The map cannot be localized against, or the start lies outside it.
    """
    generator = np.random.default_rng(seed)
    localizer = Localizer(grid, params, Pose2.identity(), init, generator)
    trajectory: list[StampedPose] = []
    scores: list[float] = []
    update_ms: list[float] = []
    localized = 0
    epoch_s = log.scans[0].stamp_s
    for measurement in measurements(log, epoch_s):
        if isinstance(measurement, Odometry):
            localizer.add_odometry(measurement)
            continue
        updates = localizer.counters.updates
        begin_ns = clock.now_ns()
        used = localizer.add_scan(measurement)
        end_ns = clock.now_ns()
        estimate = localizer.estimate(measurement.stamp_ns)
        if not used or estimate is None:
            continue
        if localizer.counters.updates > updates:
            update_ms.append((end_ns - begin_ns) * 1e-6)
        stamp_s = epoch_s + estimate.stamp_ns * 1e-9
        trajectory.append(StampedPose(stamp_s, estimate.map_from_base))
        scores.append(estimate.score)
        localized += estimate.localized
    return Evaluation(
        trajectory=tuple(trajectory),
        scores=tuple(scores),
        localized_share=localized / max(1, len(trajectory)),
        median_update_ms=float(np.median(update_ms)) if update_ms else 0.0,
        p95_update_ms=float(np.percentile(update_ms, 95)) if update_ms else 0.0,
        counters=localizer.counters,
    )


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
