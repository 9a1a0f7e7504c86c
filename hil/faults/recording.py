"""Edits of recordings: the faults that real logs do not have, made in real data.

All functions are pure: they return another recording, and leave everything outside the fault as
it was, the continuity of the odometry included.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.evaluation.carmen import CarmenLog, CarmenOdometry, CarmenScan
from agent.evaluation.trajectory import PAIR_TOLERANCE_S, StampedPose, nearest
from agent.geometry.pose import Pose2
from drivers.measurement import FloatArray
from hil.errors import BenchError

CHAIN_M: Final = 1.0
"""Way over which odometry carries the reference to scans that it leaves out."""

_CARRY_S: Final = 0.5
_SWAY_RAD: Final = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A log and what was true while it was made.

    Attributes:
        log: Scans and odometry, both in order of time.
        truth: ``map_from_base`` at each scan, None where it is not known.
        travelled_m: How far the robot had driven at each scan.
    """

    log: CarmenLog
    truth: tuple[Pose2 | None, ...]
    travelled_m: tuple[float, ...]

    @classmethod
    def of(cls, log: CarmenLog, reference: Sequence[StampedPose]) -> "Recording":
        """Join a log and a reference trajectory, sorted by time.

        Raises:
            BenchError: The reference covers no scan of the log.
        """
        scans = tuple(sorted(log.scans, key=lambda scan: scan.stamp_s))
        odometry = tuple(sorted(log.odometry, key=lambda sample: sample.stamp_s))
        steps = (before.odom.distance_m(after.odom) for before, after in pairwise(scans))
        travelled_m = tuple(accumulate(steps, initial=0.0))
        stamps = [stamped.stamp_s for stamped in reference]
        known = [_reference_at(scan.stamp_s, stamps, reference) for scan in scans]
        if not any(known):
            raise BenchError("the reference trajectory covers no scan of the log")
        truth = _chained(scans, known, travelled_m)
        return cls(CarmenLog(scans, odometry, log.unknown_lines), truth, travelled_m)

    def window(self, first: int, end: int) -> "Recording":
        """Return the scans ``first`` to ``end`` (not included) and the odometry between them."""
        scans = self.log.scans[first:end]
        from_s, to_s = scans[0].stamp_s, scans[-1].stamp_s
        odometry = tuple(o for o in self.log.odometry if from_s <= o.stamp_s <= to_s)
        log = CarmenLog(scans, odometry, self.log.unknown_lines)
        return Recording(log, self.truth[first:end], self.travelled_m[first:end])


def kidnap(recording: Recording, at: int, to: int) -> Recording:
    """Cut out what lies between two scans: the robot is carried, and its wheels know nothing.

    Args:
        recording: The recording.
        at: The last scan before the robot is lifted.
        to: The first after it is put down, ``to > at``.
    """
    scans, odometry = recording.log.scans, recording.log.odometry
    lifted, put_down = scans[at], scans[to]
    earlier_s = put_down.stamp_s - lifted.stamp_s - _CARRY_S
    new_from_old = lifted.odom @ put_down.odom.inverse()
    later = [
        replace(scan, stamp_s=scan.stamp_s - earlier_s, odom=new_from_old @ scan.odom)
        for scan in scans[to:]
    ]
    samples = [o for o in odometry if o.stamp_s <= lifted.stamp_s]
    samples += [
        replace(o, stamp_s=o.stamp_s - earlier_s, odom=new_from_old @ o.odom)
        for o in odometry
        if o.stamp_s > put_down.stamp_s
    ]
    carried_m = recording.travelled_m[to] - recording.travelled_m[at]
    return Recording(
        CarmenLog((*scans[: at + 1], *later), tuple(samples), recording.log.unknown_lines),
        recording.truth[: at + 1] + recording.truth[to:],
        recording.travelled_m[: at + 1] + tuple(m - carried_m for m in recording.travelled_m[to:]),
    )


def spin(
    recording: Recording, from_s: float, until_s: float, forward_m: float, turn_rad: float
) -> Recording:
    """Add way and turn that the wheels made and the robot did not, evenly between two times."""
    duration_s = until_s - from_s

    def spun(before_s: float, after_s: float, step: Pose2) -> Pose2:
        share = (min(after_s, until_s) - max(before_s, from_s)) / duration_s
        if share <= 0.0:
            return step
        return step @ Pose2(share * forward_m, 0.0, share * turn_rad)

    return _with_steps(recording, spun)


def slide(recording: Recording, from_s: float, until_s: float) -> Recording:
    """Lock the wheels between two times while the robot goes on."""

    def locked(before_s: float, after_s: float, step: Pose2) -> Pose2:
        return Pose2.identity() if from_s < after_s <= until_s else step

    return _with_steps(recording, locked)


def cover(
    recording: Recording, from_s: float, start_rad: float, share: float, near_m: float
) -> Recording:
    """Cover part of the lidar from a time on.

    Args:
        recording: The recording.
        from_s: When it begins.
        start_rad: First covered bearing; from there counter-clockwise.
        share: Share of the rays of a scan that is covered.
        near_m: What covered rays measure, NaN for nothing.
    """

    def covered(scan: CarmenScan) -> FloatArray:
        turn = (scan.angles_rad - start_rad) % math.tau
        order = np.argsort(turn)
        ranges_m = scan.ranges_m.copy()
        ranges_m[order[: round(share * ranges_m.size)]] = near_m
        return ranges_m

    return _with_ranges(recording, from_s, covered)


def freeze(recording: Recording, from_s: float) -> Recording:
    """Repeat the last scan before a time for ever; at least one scan must come before it."""
    last = [scan for scan in recording.log.scans if scan.stamp_s < from_s][-1]
    return _with_ranges(recording, from_s, lambda scan: last.ranges_m)


def occlude(
    recording: Recording, from_s: float, share: float, rng: np.random.Generator
) -> Recording:
    """Let people stand around the robot from a time on.

    Args:
        recording: The recording.
        from_s: When they come.
        share: Share of the rays that they stop.
        rng: Source of where they stand; they sway from scan to scan.
    """
    people = max(1, round(12 * share))
    bearings_rad = rng.uniform(-math.pi, math.pi, people)
    ranges_m = rng.uniform(0.5, 2.5, people)

    def hidden(scan: CarmenScan) -> FloatArray:
        bearings_rad[:] += rng.normal(0.0, _SWAY_RAD, people)
        ranges_m[:] = np.clip(ranges_m + rng.normal(0.0, 0.05, people), 0.4, 3.0)
        angles_rad = scan.angles_rad.astype(np.float64)
        # Bearings are drawn over the full circle and brought to what the lidar sees of it.
        center_rad, width_rad = angles_rad.mean(), np.ptp(angles_rad)
        seen_rad = center_rad + (bearings_rad / math.tau) % 1.0 * width_rad - width_rad / 2
        off_rad = np.abs(angles_rad[:, None] - seen_rad) % width_rad
        off_rad = np.minimum(off_rad, width_rad - off_rad)
        # The nearest rays to any person, as many as the share asks for.
        person = off_rad.argmin(axis=1)
        nearest = np.argsort(off_rad.min(axis=1))[: round(share * angles_rad.size)]
        result = scan.ranges_m.copy()
        body_m = ranges_m[person[nearest]] + rng.normal(0.0, 0.02, nearest.size)
        result[nearest] = np.fmin(result[nearest], body_m)
        return result

    return _with_ranges(recording, from_s, hidden)


def _with_ranges(
    recording: Recording, from_s: float, edit: Callable[[CarmenScan], FloatArray]
) -> Recording:
    scans = tuple(
        replace(scan, ranges_m=_read_only(edit(scan))) if scan.stamp_s >= from_s else scan
        for scan in recording.log.scans
    )
    return replace(recording, log=replace(recording.log, scans=scans))


def _with_steps(recording: Recording, edit: Callable[[float, float, Pose2], Pose2]) -> Recording:
    """Change the motion from each sample of odometry to the next, and integrate it anew."""
    log = recording.log
    samples: list[CarmenScan | CarmenOdometry] = [*log.odometry, *log.scans]
    samples.sort(key=lambda sample: sample.stamp_s)
    before, odom = samples[0], samples[0].odom
    edited: list[CarmenScan | CarmenOdometry] = []
    for sample in samples:
        step = before.odom.inverse() @ sample.odom
        odom = odom @ edit(before.stamp_s, sample.stamp_s, step)
        edited.append(replace(sample, odom=odom))
        before = sample
    scans = tuple(sample for sample in edited if isinstance(sample, CarmenScan))
    odometry = tuple(sample for sample in edited if isinstance(sample, CarmenOdometry))
    return replace(recording, log=CarmenLog(scans, odometry, log.unknown_lines))


def _reference_at(
    stamp_s: float, stamps: Sequence[float], reference: Sequence[StampedPose]
) -> Pose2 | None:
    at = nearest(stamps, stamp_s, PAIR_TOLERANCE_S)
    return None if at is None else reference[at].pose


def _chained(
    scans: Sequence[CarmenScan], known: Sequence[Pose2 | None], travelled_m: Sequence[float]
) -> tuple[Pose2 | None, ...]:
    """Carry known poses by odometry to scans close by that have none."""
    indices = [i for i, pose in enumerate(known) if pose is not None]
    truth: list[Pose2 | None] = []
    for i, scan in enumerate(scans):
        after = bisect_left(indices, i)
        around = [indices[k] for k in (after - 1, after) if 0 <= k < len(indices)]
        nearest = min(around, key=lambda k: abs(travelled_m[k] - travelled_m[i]))
        pose = known[nearest]
        if pose is None or abs(travelled_m[nearest] - travelled_m[i]) > CHAIN_M:
            truth.append(None)
        else:
            truth.append(pose @ scans[nearest].odom.inverse() @ scan.odom)
    return tuple(truth)


def _read_only(ranges_m: NDArray[np.floating]) -> FloatArray:
    result = ranges_m.astype(np.float32)
    result.setflags(write=False)
    return result
