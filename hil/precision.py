"""How precise the pose is: standing at stations, and driving fast, against the plant's truth.

The hall is that of :func:`hil.buildings.factory`, its map that of a perfect survey with 5 cm
cells, the lidar of the plant's defaults: 360 rays, 10 Hz, 16 m, 1 cm of noise.
"""

import math
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.geometry.pose import Pose2
from agent.localization.place import Place
from drivers.measurement import Odometry
from hil.buildings import Building, factory, map_of
from hil.faults.clutter import strew
from hil.localizer_rig import LocalizerRig, prepare
from hil.plant.floor_plan import SurveyedWorld
from hil.plant.journey import Journey, Measurement, Pace
from hil.plant.world import Pose

FloatArray: TypeAlias = NDArray[np.float64]

APPROACH_M: Final = 4.0
DWELL_S: Final = 3.0
SETTLING_S: Final = 3.0
"""From the start pose, which is told a little wrong, to the first error that counts."""

CHI_SQUARED_95: Final = 7.815
"""Of three degrees of freedom: 95 % of the normalised errors of an honest filter are below."""

_START_OFF_M: Final = 0.05
_START_OFF_RAD: Final = 0.02


@dataclass(frozen=True, slots=True)
class StationPrecision:
    """Repeatability of the pose at stations.

    Attributes:
        covered: Share of the scan that things stop which are not on the map, at least.
        arrivals: How many times the robot came to stand.
        unlocalized: Arrivals at which no pose was claimed; left out of the rest.
        repeatability_m: Three standard deviations about the mean of each station, of the worse of
            the two axes along and across the robot.
        repeatability_rad: The same for the heading.
        bias_m: Mean over the stations of how far the mean pose is off.
        worst_m: The largest error of a single arrival.
    """

    covered: float
    arrivals: int
    unlocalized: int
    repeatability_m: float
    repeatability_rad: float
    bias_m: float
    worst_m: float


@dataclass(frozen=True, slots=True)
class DrivingPrecision:
    """Errors while driving.

    Attributes:
        deskewed: Whether the localizer knew when each ray was measured.
        speed_mps: Top speed.
        driven_m: How far the robot drove.
        claimed_share: Share of the time in which the pose was claimed.
        position_rmse_m: Root mean square of the distance to the truth.
        position_max_m: Its maximum.
        heading_rmse_rad: Root mean square of the error of heading.
        nees: Mean normalised estimation error squared; 3 for an honest covariance (Bar-Shalom, Li
            and Kirubarajan, "Estimation with Applications to Tracking and Navigation", 5.4.2).
        nees_inside: Share of the normalised errors below the bound of 95 %.
    """

    deskewed: bool
    speed_mps: float
    driven_m: float
    claimed_share: float
    position_rmse_m: float
    position_max_m: float
    heading_rmse_rad: float
    nees: float
    nees_inside: float


def measure_stations(seed: int, arrivals: int, covered: float) -> StationPrecision:
    """Drive up to each station of a hall again and again, each time from a pose slightly off.

    Args:
        seed: Of hall, noise and clutter.
        arrivals: At each station.
        covered: Share of the scan to be covered by things that are not on the map and that are
            others at each arrival.

    Raises:
        BenchError: Not so many rays can be covered.
    """
    building = factory(np.random.default_rng(seed))
    known = prepare(map_of(building.plan))
    deviations, biases_m, worst_m, unlocalized = [], [], 0.0, 0
    for station, at_m in enumerate(building.stations_m):
        errors = []
        for arrival in range(arrivals):
            rng = np.random.default_rng([seed, station, arrival, round(1000 * covered)])
            error = _arrive(building, known, at_m, covered, rng)
            if error is None:
                unlocalized += 1
            else:
                errors.append(error)
        if errors:
            mean = np.mean(errors, axis=0)
            deviations.extend(np.array(errors) - mean)
            biases_m.append(math.hypot(mean[0], mean[1]))
            worst_m = max(worst_m, *(math.hypot(error[0], error[1]) for error in errors))
    spread = np.full(3, math.nan)
    degrees = len(deviations) - len(biases_m)
    if degrees > 0:
        spread = 3.0 * np.sqrt(np.square(deviations).sum(axis=0) / degrees)
    return StationPrecision(
        covered=covered,
        arrivals=arrivals * len(building.stations_m),
        unlocalized=unlocalized,
        repeatability_m=float(spread[:2].max()),
        repeatability_rad=float(spread[2]),
        bias_m=float(np.mean(biases_m)) if biases_m else math.nan,
        worst_m=worst_m,
    )


def measure_driving(
    seed: int, runs: int, duration_s: float, speed_mps: float, *, deskewed: bool
) -> DrivingPrecision:
    """Drive rounds of a hall, beginning elsewhere each time.

    Args:
        seed: Of hall and noise.
        runs: How many drives.
        duration_s: Of each.
        speed_mps: Top speed.
        deskewed: Whether the localizer is told the time of each ray; if not, every ray counts as
            measured in the middle of the revolution, the best single moment there is.
    """
    building = factory(np.random.default_rng(seed))
    known = prepare(map_of(building.plan))
    drives = [
        _drive(building, known, np.random.default_rng([seed, run]), duration_s, speed_mps, deskewed)
        for run in range(runs)
    ]
    errors = np.concatenate([errors for errors, _, _ in drives])
    nees = np.concatenate([nees for _, nees, _ in drives])
    distances_m = np.hypot(errors[:, 0], errors[:, 1])
    return DrivingPrecision(
        deskewed=deskewed,
        speed_mps=speed_mps,
        driven_m=sum(driven_m for _, _, driven_m in drives),
        claimed_share=float(np.mean(errors[:, 3])),
        position_rmse_m=float(np.sqrt(np.mean(np.square(distances_m)))),
        position_max_m=float(distances_m.max()),
        heading_rmse_rad=float(np.sqrt(np.mean(np.square(errors[:, 2])))),
        nees=float(nees.mean()),
        nees_inside=float((nees <= CHI_SQUARED_95).mean()),
    )


def _arrive(
    building: Building, known: Place, at_m: float, covered: float, rng: np.random.Generator
) -> FloatArray | None:
    """Return the error of the pose, seen from the robot, after it has come to stand."""
    world = SurveyedWorld(building.plan)
    if covered > 0.0:
        strew(world, building.track.pose(at_m), building.track, covered, rng)
    journey = Journey(
        world,
        building.track,
        rng,
        pace=Pace(speed_mps=0.8),
        start_m=at_m - APPROACH_M,
        stops=[(at_m, DWELL_S + 1.0)],
    )
    rig = LocalizerRig(known, _told(journey, rng))
    while not journey.standing or journey.along_m < at_m - 1.0:
        _tick(journey, rig)
    until_ns = journey.now_ns + round(DWELL_S * 1e9)
    while journey.now_ns < until_ns:
        _tick(journey, rig)
    estimate = rig.tick(journey.now_ns)
    if estimate is None or not estimate.localized:
        return None
    return _error(estimate.map_from_base, journey.pose)


def _drive(
    building: Building,
    known: Place,
    rng: np.random.Generator,
    duration_s: float,
    speed_mps: float,
    deskewed: bool,
) -> tuple[FloatArray, FloatArray, float]:
    """Return errors with a column for claims, shape ``(n, 4)``, normalised errors, and the way."""
    start_m = rng.uniform(0.0, building.lap_m)
    pace = Pace(speed_mps=speed_mps)
    journey = Journey(SurveyedWorld(building.plan), building.track, rng, pace=pace, start_m=start_m)
    rig = LocalizerRig(known, _told(journey, rng))
    errors, nees = [], []
    while journey.now_ns < duration_s * 1e9 and not journey.arrived:
        for measurement in journey.step():
            rig.take(measurement if deskewed else _flattened(measurement))
        estimate = rig.tick(journey.now_ns)
        if estimate is None or journey.now_ns < SETTLING_S * 1e9:
            continue
        error = _error(estimate.map_from_base, journey.pose)
        errors.append((*error, float(estimate.localized)))
        nees.append(_normalised(error, journey.pose.yaw_rad, estimate.covariance))
    return np.array(errors), np.array(nees), journey.travelled_m


def _tick(journey: Journey, rig: LocalizerRig) -> None:
    for measurement in journey.step():
        rig.take(measurement)
    rig.tick(journey.now_ns)


def _told(journey: Journey, rng: np.random.Generator) -> Pose2:
    """Return the robot's pose as somebody tells it: nearly right."""
    off = rng.normal(0.0, (_START_OFF_M, _START_OFF_M, _START_OFF_RAD)).tolist()
    return _as_pose2(journey.pose) @ Pose2(*off)


def _flattened(measurement: Measurement) -> Measurement:
    """Return a scan as if all its rays had been measured at once."""
    if isinstance(measurement, Odometry):
        return measurement
    name, scan = measurement
    middle_ns = (scan.received_ns - scan.stamp_ns) // 2
    none = np.zeros_like(scan.offsets_s)
    none.setflags(write=False)
    return name, replace(scan, stamp_ns=scan.stamp_ns + middle_ns, offsets_s=none)


def _error(pose: Pose2, truth: Pose) -> FloatArray:
    off = _as_pose2(truth).inverse() @ pose
    return np.array([off.x_m, off.y_m, off.yaw_rad])


def _normalised(error: FloatArray, yaw_rad: float, covariance: FloatArray) -> float:
    """Return the squared error, seen from the robot, in units of a covariance on the map."""
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    on_map = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]) @ error
    return float(on_map @ np.linalg.solve(covariance, on_map))


def _as_pose2(pose: Pose) -> Pose2:
    return Pose2(*pose) @ Pose2.identity()
