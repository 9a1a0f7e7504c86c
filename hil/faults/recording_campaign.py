"""Faults made in a recording: the localizer meets them in real scans."""

import math
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np

from agent.evaluation.carmen import CarmenLog
from agent.evaluation.localization import LEAST_TICKS, MOST_TICKS, measurements
from agent.evaluation.trajectory import StampedPose
from agent.geometry.pose import Pose2
from agent.localization.estimate import PoseEstimate
from agent.localization.place import Place
from agent.mapping.occupancy_grid import OccupancyGrid
from drivers.measurement import Odometry
from hil.buildings import factory, map_of
from hil.errors import BenchError
from hil.faults import FAULTS
from hil.faults import recording as edit
from hil.faults.criteria import CRITERIA
from hil.faults.rearrangement import double_map, rearrange_map
from hil.faults.recording import Recording
from hil.faults.verdict import Outcome, Trace
from hil.localizer_rig import LIDAR, LocalizerRig, prepare
from hil.plant.journey import TICK_NS

BEFORE_SCANS: Final = 40
AFTER_SCANS: Final = 120

_SETTLING_SCANS: Final = 10
_KIDNAP_M: Final = 3.0
_SLIP_M: Final = 0.6
_ATTEMPTS: Final = 1000


class _Case(NamedTuple):
    """One run before it is played; the moment of the fault is that of a scan of the recording."""

    recording: Recording
    place: Place
    start: Pose2 | None
    moment: int | None
    on_map: bool = True


class RecordingCampaign:
    """Runs of faults on windows of a recording; each is a function of seed, fault and number."""

    def __init__(
        self, recording: Recording, grid: OccupancyGrid, seed: int, braking_mps2: float
    ) -> None:
        """Prepare for runs.

        Args:
            recording: The recording, with its truth.
            grid: Map of the building it was made in.
            seed: Of windows and faults.
            braking_mps2: Deceleration to reckon the way of braking with: a recording goes on.

        Raises:
            BenchError: The recording is too short.
            MapError: Nothing is on the map.
        """
        if len(recording.log.scans) < BEFORE_SCANS + AFTER_SCANS:
            raise BenchError(f"the log has fewer than {BEFORE_SCANS + AFTER_SCANS} scans")
        self._recording = recording
        self._grid = grid
        self._place = prepare(grid)
        self._doubled: Place | None = None
        self._wrong: tuple[OccupancyGrid, Place] | None = None
        self._seed = seed
        self._braking_mps2 = braking_mps2
        self._cases: dict[str, Callable[[np.random.Generator], _Case]] = {
            "none": self._calm,
            "kidnapping": self._kidnapping,
            "slip": self._slip,
            "cover": self._cover,
            "frozen": self._frozen,
            "wrong-map": self._wrong_map,
            "symmetric": self._symmetric,
            "changed-hall": self._changed_hall,
            "crowd": self._crowd,
        }

    def run(self, fault: str, number: int) -> Outcome:
        """Play one run of a fault of ``FAULTS`` and judge it; "none" plays all."""
        rng = np.random.default_rng([self._seed, FAULTS.index(fault), number])
        trace, moment_s = _play(self._cases[fault](rng))
        return CRITERIA[fault].judge(trace, moment_s, self._braking_mps2)

    def _window(self, rng: np.random.Generator) -> tuple[int, int]:
        """Draw the first scan of a window, where the truth is known, and that of the fault."""
        scans, truth = len(self._recording.log.scans), self._recording.truth
        last = scans - BEFORE_SCANS - AFTER_SCANS
        known = [i for i in range(last + 1) if truth[i] is not None]
        if not known:
            raise BenchError("the reference covers no part of the log that is long enough")
        first = int(rng.choice(known))
        return first, first + BEFORE_SCANS

    def _case(self, edited: Recording, first: int, at: int) -> _Case:
        window = edited.window(first, at + AFTER_SCANS)
        return _Case(window, self._place, window.truth[0], at - first)

    def _calm(self, rng: np.random.Generator) -> _Case:
        truth = self._recording.truth
        first = next(i for i, pose in enumerate(truth) if pose is not None)
        window = self._recording.window(first, len(truth))
        return _Case(window, self._place, window.truth[0], None)

    def _kidnapping(self, rng: np.random.Generator) -> _Case:
        truth = self._recording.truth
        for _ in range(_ATTEMPTS):
            first, at = self._window(rng)
            to = int(rng.integers(at + 1, len(truth)))
            lifted, put_down = truth[at], truth[to]
            if lifted and put_down and lifted.distance_m(put_down) >= _KIDNAP_M:
                # The first scan after the lift is the first that shows another place.
                edited = edit.kidnap(self._recording, at, to)
                return self._case(edited, first, at + 1)
        raise BenchError(f"no two places of the recording are {_KIDNAP_M} m apart")

    def _slip(self, rng: np.random.Generator) -> _Case:
        first, at = self._window(rng)
        scans, travelled_m = self._recording.log.scans, self._recording.travelled_m
        end = next(
            (i for i in range(at + 1, len(scans)) if travelled_m[i] >= travelled_m[at] + _SLIP_M),
            len(scans) - 1,
        )
        from_s, until_s = scans[at].stamp_s, scans[end].stamp_s
        match int(rng.integers(3)):
            case 0:
                edited = edit.slide(self._recording, from_s, until_s)
            case 1:
                forward_m = rng.uniform(_SLIP_M, 2.0 * _SLIP_M)
                edited = edit.spin(self._recording, from_s, until_s, forward_m, 0.0)
            case _:
                turn_rad = rng.choice((-1.0, 1.0)) * rng.uniform(0.3, 0.8)
                edited = edit.spin(self._recording, from_s, until_s, 0.0, turn_rad)
        return self._case(edited, first, at)

    def _cover(self, rng: np.random.Generator) -> _Case:
        first, at = self._window(rng)
        near_m = 0.1 if rng.random() < 0.5 else math.nan
        start_rad, share = rng.uniform(-math.pi, math.pi), rng.uniform(0.5, 1.0)
        edited = edit.cover(self._recording, self._stamp_s(at), start_rad, share, near_m)
        return self._case(edited, first, at)

    def _frozen(self, rng: np.random.Generator) -> _Case:
        first, at = self._window(rng)
        return self._case(edit.freeze(self._recording, self._stamp_s(at)), first, at)

    def _crowd(self, rng: np.random.Generator) -> _Case:
        first, at = self._window(rng)
        share = rng.uniform(0.2, 0.4)
        edited = edit.occlude(self._recording, self._stamp_s(at), share, rng)
        return self._case(edited, first, at)

    def _changed_hall(self, rng: np.random.Generator) -> _Case:
        first, at = self._window(rng)
        changed = rearrange_map(self._grid, rng.uniform(0.3, 0.6), rng)
        window = self._recording.window(first, at + AFTER_SCANS)
        return _Case(window, prepare(changed), window.truth[0], _SETTLING_SCANS)

    def _wrong_map(self, rng: np.random.Generator) -> _Case:
        if self._wrong is None:
            grid = map_of(factory(np.random.default_rng(self._seed)).plan)
            self._wrong = grid, prepare(grid)
        grid, wrong = self._wrong
        first, at = self._window(rng)
        row, column = rng.choice(np.argwhere(grid.free)).tolist()
        told = Pose2(*grid.center_m(row, column), rng.uniform(-math.pi, math.pi))
        start = told if rng.random() < 0.5 else None
        return _Case(self._recording.window(first, at + AFTER_SCANS), wrong, start, None, False)

    def _symmetric(self, rng: np.random.Generator) -> _Case:
        if self._doubled is None:
            self._doubled = prepare(double_map(self._grid))
        first, at = self._window(rng)
        window = self._recording.window(first, at + AFTER_SCANS)
        return _Case(window, self._doubled, None, None, False)

    def _stamp_s(self, at: int) -> float:
        return self._recording.log.scans[at].stamp_s


def own_reference(log: CarmenLog, grid: OccupancyGrid, init: Pose2) -> tuple[StampedPose, ...]:
    """Return what the localizer makes of the log as it is, for logs without a reference.

    Args:
        log: The log.
        grid: Its map.
        init: ``map_from_base`` at the first scan.
    """
    scans = sorted(log.scans, key=lambda scan: scan.stamp_s)
    rig = LocalizerRig(prepare(grid), init)
    return tuple(
        StampedPose(scan.stamp_s, estimate.map_from_base)
        for scan, estimate in zip(scans, _estimates(log, scans[0].stamp_s, rig), strict=True)
        if estimate is not None
    )


def _play(case: _Case) -> tuple[Trace, float]:
    """Play a run and return its trace and the moment of the fault, inf if there is none."""
    recording, trace = case.recording, Trace()
    epoch_s = recording.log.scans[0].stamp_s
    rig = LocalizerRig(case.place, case.start)
    error_m = 0.0 if case.on_map else math.inf
    for index, estimate in enumerate(_estimates(recording.log, epoch_s, rig)):
        truth = recording.truth[index]
        if estimate is None:
            error_m = math.inf
        elif truth is not None and case.on_map:
            error_m = estimate.map_from_base.distance_m(truth)
        trace.add(
            recording.log.scans[index].stamp_s - epoch_s,
            recording.travelled_m[index],
            error_m,
            claimed=estimate is not None and estimate.localized,
            warned=estimate is not None and bool(estimate.warning),
        )
    moment_s = math.inf if case.moment is None else trace.time_s[case.moment]
    return trace, moment_s


def _estimates(log: CarmenLog, epoch_s: float, rig: LocalizerRig) -> Iterator[PoseEstimate | None]:
    """Yield the estimate after each scan; between two the daemon's loop goes on ticking."""
    before_ns = 0
    for measurement in measurements(log, epoch_s):
        if isinstance(measurement, Odometry):
            rig.take(measurement)
            continue
        ticks = (measurement.stamp_ns - before_ns) // TICK_NS
        before_ns = measurement.stamp_ns
        for _ in range(min(max(ticks, LEAST_TICKS), MOST_TICKS) - 1):
            rig.tick(measurement.stamp_ns)
        rig.take((LIDAR, measurement))
        yield rig.tick(measurement.stamp_ns)
