"""Global localization from many places of a recording, with nothing else known."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from agent.clock import Clock
from agent.errors import LogError
from agent.evaluation.carmen import CarmenLog, CarmenScan
from agent.evaluation.localization import Run, measurements
from agent.evaluation.trajectory import PAIR_TOLERANCE_S, StampedPose, nearest
from agent.geometry.angle import difference
from agent.geometry.pose import Pose2
from agent.localization.params import LocalizationParams
from agent.localization.place import Place

RIGHT_M = 0.3
RIGHT_RAD = np.radians(5.0)


class Outcome(Enum):
    """What became of a start."""

    AT_ONCE = "at once"
    BY_MOTION = "by motion"
    WRONG = "confidently wrong"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class GlobalStart:
    """One start.

    Attributes:
        scan: Index of the scan it began with, in order of time.
        outcome: What became of it; wrong is a claim more than 0.3 m or 5 degrees off.
        driven_m: Way until the claim, by the odometry.
        search_ms: Time of the first search.
        error_m: Of the claim, NaN without one.
        error_rad: Of the claim, NaN without one.
    """

    scan: int
    outcome: Outcome
    driven_m: float
    search_ms: float
    error_m: float
    error_rad: float


def try_starts(
    log: CarmenLog,
    place: Place,
    reference: Sequence[StampedPose],
    params: LocalizationParams,
    generator: np.random.Generator,
    clock: Clock,
    *,
    starts: int,
    drive_m: float,
) -> tuple[GlobalStart, ...]:
    """Start at scans drawn from those that the reference knows.

    Args:
        log: The recording.
        place: Its map.
        reference: The truth.
        params: Parameters, the same as in the daemon.
        generator: Draws the scans.
        clock: To measure the time of searches.
        starts: How many.
        drive_m: How far to follow the log until a place must have been claimed.

    Raises:
        LogError: The reference knows no scan of the log.
    """
    scans = sorted(log.scans, key=lambda scan: scan.stamp_s)
    truth = _truth(scans, reference)
    if not truth:
        raise LogError("the reference knows no scan of the log")
    known = sorted(truth)
    drawn = generator.choice(len(known), min(starts, len(known)), replace=False)
    return tuple(
        _start(scans, known[index], truth, Run(place, None, params, clock), drive_m)
        for index in drawn.tolist()
    )


def _truth(scans: list[CarmenScan], reference: Sequence[StampedPose]) -> dict[int, Pose2]:
    stamps_s = [scan.stamp_s for scan in scans]
    truth = {}
    for stamped in reference:
        at = nearest(stamps_s, stamped.stamp_s, PAIR_TOLERANCE_S)
        if at is not None:
            truth[at] = stamped.pose
    return truth


def _start(
    scans: list[CarmenScan], first: int, truth: dict[int, Pose2], run: Run, drive_m: float
) -> GlobalStart:
    driven_m, claimed_m, before = 0.0, None, scans[first].odom
    search_ms = float("nan")
    for index in range(first, len(scans)):
        driven_m += before.distance_m(scans[index].odom)
        before = scans[index].odom
        if claimed_m is None and driven_m > drive_m:
            break
        stream = measurements(CarmenLog((scans[index],), (), 0), scans[first].stamp_s)
        for measurement in stream:
            run.take(measurement, scans[first].stamp_s)
        took_ms = run.finish_search()
        search_ms = took_ms if index == first else search_ms
        estimate = run.localizer.estimate(measurement.stamp_ns)
        if estimate is None or not estimate.localized:
            claimed_m = None
            continue
        claimed_m = driven_m if claimed_m is None else claimed_m
        # Between two scans of the reference a claim is taken at its word until the next one.
        if index in truth:
            error_m = estimate.map_from_base.distance_m(truth[index])
            turn_rad = difference(estimate.map_from_base.yaw_rad, truth[index].yaw_rad)
            is_right = error_m <= RIGHT_M and abs(turn_rad) <= RIGHT_RAD
            right = Outcome.AT_ONCE if index == first else Outcome.BY_MOTION
            outcome = right if is_right else Outcome.WRONG
            return GlobalStart(first, outcome, claimed_m, search_ms, error_m, abs(turn_rad))
    nan = float("nan")
    return GlobalStart(first, Outcome.UNDECIDED, driven_m, search_ms, nan, nan)
