import dataclasses
import math

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from agent.errors import MapError
from agent.geometry.pose import Pose2
from agent.localization.deskew import deskew
from agent.localization.localizer import Localizer
from agent.localization.odometry_history import OdometryHistory
from agent.localization.params import LocalizationParams, Spread
from agent.localization.place import Place
from agent.mapping.occupancy_grid import OccupancyGrid
from drivers.measurement import Odometry, Scan
from tests.reference.hall import (
    ALIGNED,
    BASE_FROM_LIDAR,
    ODOMETRY_HZ,
    ROUTE,
    TURNED,
    Run,
    drive,
    hall_grid,
)

POSES = drive(ROUTE)
GRID = hall_grid()
PLACE = Place.prepare(GRID, LocalizationParams().map)
START = Pose2(*map(float, POSES[0]))
START_ERROR = Pose2(0.1, -0.1, 0.05)
LIDAR = "front"
STRANGERS = [
    (9.0, 6.9, 9.6, 7.3), (14.0, 5.6, 14.5, 6.1), (22.0, 13.4, 22.6, 13.8),
    (5.2, 9.4, 5.7, 9.9), (20.0, 9.6, 20.6, 10.1),
]  # fmt: skip


def localizer_at(start: Pose2 | None, grid=GRID) -> Localizer:
    params = LocalizationParams()
    place = PLACE if grid is GRID else Place.prepare(grid, params.map)
    return Localizer(place, params, {LIDAR: BASE_FROM_LIDAR}, start)


def follow(run, localizer: Localizer, truth=None) -> list[tuple[int, float, float, bool, float]]:
    """Feed a run; return stamp, errors in m and rad, verdict and NEES at each odometry."""
    track = []
    for measurement in run:
        if isinstance(measurement, Scan):
            localizer.add_scan(LIDAR, measurement)
            continue
        localizer.add_odometry(measurement)
        localizer.advance()
        estimate = localizer.estimate(measurement.stamp_ns)
        assert estimate is not None
        pose, real = estimate.map_from_base, (truth or run.truth)[estimate.stamp_ns]
        turn = math.remainder(pose.yaw_rad - real.yaw_rad, math.tau)
        error = np.array([pose.x_m - real.x_m, pose.y_m - real.y_m, turn])
        nees = float(error @ np.linalg.inv(estimate.covariance) @ error)
        track.append(
            (estimate.stamp_ns, pose.distance_m(real), abs(turn), estimate.localized, nees)
        )
    return track


@pytest.mark.parametrize(
    ("run", "pose_of_grid"),
    [
        (Run(POSES), ALIGNED),
        (Run(POSES, seed=1), TURNED),
        (Run(POSES, seed=2, slips=range(200, 4000, 130), strangers=STRANGERS), ALIGNED),
    ],
    ids=["hall", "turned grid", "slips and strangers"],
)
def test_a_drive_through_the_hall_stays_within_centimetres(run: Run, pose_of_grid: Pose2) -> None:
    localizer = localizer_at(START @ START_ERROR, hall_grid(pose_of_grid))
    track = [row for row in follow(run, localizer) if row[0] > 1_000_000_000]
    errors_m, turns_rad = np.array([row[1] for row in track]), np.array([row[2] for row in track])
    assert errors_m.max() < 0.15
    assert np.percentile(errors_m, 95) < 0.03
    assert np.percentile(turns_rad, 95) < 0.01
    assert all(row[3] for row in track)
    # Honest: of three degrees of freedom, neither boastful nor blind to how good it is.
    assert 0.1 < np.mean([row[4] for row in track]) < 6.0
    assert localizer.counters.scans_used == (len(POSES) - 1) // (ODOMETRY_HZ // 10)


def poses_of(start: Pose2 | None) -> list[Pose2]:
    localizer = localizer_at(start)
    poses = []
    for measurement in Run(POSES[:300]):
        if isinstance(measurement, Odometry):
            localizer.add_odometry(measurement)
            localizer.advance()
        else:
            localizer.add_scan(LIDAR, measurement)
        estimate = localizer.estimate(measurement.stamp_ns)
        if estimate is not None:
            poses.append(estimate.map_from_base)
    return poses


@pytest.mark.parametrize("start", [START, None], ids=["told", "global"])
def test_the_same_inputs_give_the_same_poses_bit_for_bit(start: Pose2 | None) -> None:
    assert poses_of(start) == poses_of(start)


def test_standing_still_means_millimetres() -> None:
    localizer = localizer_at(START)
    track = follow(Run(np.repeat(POSES[:1], 500, axis=0)), localizer)
    settled = np.array([row[1] for row in track[200:]])
    assert settled.max() < 0.01
    assert np.ptp(settled) < 0.003
    estimate = localizer.estimate(0)
    assert estimate is not None
    assert estimate.localized
    assert estimate.score > 0.9


@pytest.mark.parametrize("toward", [0.0, 1.6, 3.1, 4.7])
@pytest.mark.parametrize("turn", [0.35, -0.35])
def test_a_start_a_metre_and_20_degrees_wrong_converges(toward: float, turn: float) -> None:
    wrong = Pose2(START.x_m + math.cos(toward), START.y_m + math.sin(toward), START.yaw_rad + turn)
    track = follow(Run(POSES[:150]), localizer_at(wrong))
    assert track[-1][1] < 0.03
    assert track[-1][3]


def test_nothing_known_of_the_start_is_enough() -> None:
    localizer = localizer_at(None)
    estimate = localizer.estimate(0)
    assert estimate is None
    track = follow(Run(POSES), localizer)
    claimed = [row for row in track if row[3]]
    assert claimed
    assert max(row[1] for row in claimed) < 0.15
    assert localizer.counters.searches > 0


def kidnapped(at: int, to: int) -> tuple[list[Odometry | Scan], dict[int, Pose2]]:
    """A drive in which the robot is carried elsewhere, and odometry knows nothing of it."""
    run = Run(np.concatenate([POSES[:at], POSES[to:]]), scale=1.0, drift_radpm=0.0)
    measurements, offset, before = [], Pose2.identity(), None
    for measurement in run:
        if isinstance(measurement, Odometry):
            pose = Pose2(measurement.x_m, measurement.y_m, measurement.yaw_rad)
            if before is not None and measurement.stamp_ns == at * 20_000_000:
                offset = before @ pose.inverse()
            pose = offset @ pose
            before = pose
            measurement = dataclasses.replace(
                measurement, x_m=pose.x_m, y_m=pose.y_m, yaw_rad=pose.yaw_rad
            )
        measurements.append(measurement)
    return measurements, run.truth


def test_a_kidnapped_robot_notices_and_finds_itself() -> None:
    at = 400
    measurements, truth = kidnapped(at, 1500)
    track = follow(measurements, localizer_at(START), truth)
    wrong = [row for row in track if row[0] > at * 20_000_000 and row[3] and row[1] > 0.5]
    assert len(wrong) * 0.02 < 0.5
    assert track[-1][3]
    assert track[-1][1] < 0.1


@pytest.mark.parametrize(
    "start", [START, pytest.param(None, marks=pytest.mark.slow)], ids=["told", "global"]
)
def test_the_map_of_another_hall_is_never_believed(start: Pose2 | None) -> None:
    cells = np.zeros_like(GRID.cells)
    rng = np.random.default_rng(0)
    for row, column in rng.integers(0, 380, (60, 2)):
        cells[row : row + 12, column * 2 : column * 2 + 12] = 100
    other = OccupancyGrid(cells, GRID.resolution_m, GRID.map_from_grid)
    assert not any(row[3] for row in follow(Run(POSES[:600]), localizer_at(start, other)))


def test_a_lidar_that_repeats_its_scan_is_not_believed() -> None:
    run = list(Run(POSES[:400]))
    shown = next(m for m in run if isinstance(m, Scan) and m.stamp_ns > 3 * 10**9)
    frozen = [
        dataclasses.replace(m, ranges_m=shown.ranges_m)
        if isinstance(m, Scan) and m.stamp_ns > shown.stamp_ns
        else m
        for m in run
    ]
    localizer = localizer_at(START)
    follow(frozen, localizer, dict.fromkeys((m.stamp_ns for m in run), START))
    estimate = localizer.estimate(run[-1].stamp_ns)
    assert estimate is not None
    assert not estimate.localized
    assert "repeats" in estimate.reason
    assert localizer.counters.scans_frozen > 0


def test_another_hall_takes_over_where_it_is_told_to() -> None:
    localizer = localizer_at(START)
    follow(Run(POSES[:100]), localizer)
    shift = Pose2(100.0, 50.0, 1.0)
    moved = OccupancyGrid(GRID.cells, GRID.resolution_m, shift @ GRID.map_from_grid)
    upstairs = Place.prepare(moved, LocalizationParams().map)
    with pytest.raises(MapError, match="outside the map"):
        localizer.change_map(upstairs, START, Spread())
    before = localizer.estimate(0)
    assert before is not None
    assert before.localized
    localizer.change_map(upstairs, shift @ START, Spread())
    run = Run(POSES)
    rest = [m for m in run if m.stamp_ns > 100 * 20_000_000][:600]
    follow(rest, localizer, {stamp: shift @ pose for stamp, pose in run.truth.items()})
    estimate = localizer.estimate(rest[-1].stamp_ns)
    assert estimate is not None
    assert estimate.localized
    assert estimate.map_from_base.distance_m(shift @ run.truth[estimate.stamp_ns]) < 0.05


@pytest.mark.parametrize("shown_m", [0.05, math.nan], ids=["lens cap", "dark"])
def test_a_covered_lidar_ends_localization_and_light_restores_it(shown_m: float) -> None:
    run = Run(POSES[:500])
    covered = [
        dataclasses.replace(m, ranges_m=np.full_like(m.ranges_m, shown_m))
        if isinstance(m, Scan) and 3 * 10**9 < m.stamp_ns < 6 * 10**9
        else m
        for m in run
    ]
    localizer = localizer_at(START)
    track = follow(covered, localizer, run.truth)
    verdicts = {row[0]: row[3] for row in track}
    assert verdicts[3 * 10**9]
    assert not any(verdicts[k * 10**7] for k in range(340, 600, 2))
    assert track[-1][3]
    assert track[-1][1] < 0.05


def test_inputs_that_cannot_be_used_are_counted() -> None:
    localizer = localizer_at(START)
    assert localizer.estimate(0) is None
    scans = [m for m in Run(POSES[:50]) if isinstance(m, Scan)]
    assert not localizer.add_scan(LIDAR, scans[0])
    for k in range(20):
        localizer.add_odometry(Odometry(k * 20_000_000, 0, 1.0, 2.0, 0.5, 0.0, 0.0))
    localizer.add_odometry(Odometry(0, 0, 1.0, 2.0, 0.5, 0.0, 0.0))
    localizer.add_odometry(Odometry(10**9, 0, math.nan, 2.0, 0.5, 0.0, 0.0))
    assert localizer.add_scan(LIDAR, scans[1])
    assert not localizer.add_scan(LIDAR, scans[1])
    assert not localizer.add_scan(LIDAR, scans[0])
    empty = dataclasses.replace(scans[2], ranges_m=np.full_like(scans[2].ranges_m, np.nan))
    assert not localizer.add_scan(LIDAR, empty)
    counters = localizer.counters
    assert counters.scans_without_odometry == 1
    assert counters.scans_out_of_order == 2
    assert counters.scans_blind == 1
    assert counters.scans_used == 1
    assert counters.odometry_out_of_order == 1
    assert counters.odometry_invalid == 1


def test_a_restart_of_the_base_does_not_lose_the_robot() -> None:
    localizer = localizer_at(START)
    run = Run(POSES[:400])
    for measurement in run:
        if isinstance(measurement, Scan):
            localizer.add_scan(LIDAR, measurement)
            continue
        if measurement.stamp_ns > 4 * 10**9:
            measurement = dataclasses.replace(measurement, x_m=measurement.x_m - 50.0)
        localizer.add_odometry(measurement)
    estimate = localizer.estimate(measurement.stamp_ns)
    assert estimate is not None
    assert localizer.counters.odometry_jumps == 1
    assert estimate.map_from_base.distance_m(run.truth[estimate.stamp_ns]) < 0.05


def test_without_scans_the_pose_follows_the_odometry_and_says_so() -> None:
    localizer = localizer_at(START)
    for k in range(3):
        localizer.add_odometry(Odometry(k, 0, 5.0 + k, 5.0, 0.0, 0.0, 0.0))
    estimate = localizer.estimate(3)
    assert estimate is not None
    assert estimate.map_from_base.x_m == pytest.approx(START.x_m + 2.0)
    assert not estimate.localized


def test_a_start_outside_the_map_is_refused() -> None:
    with pytest.raises(MapError, match="outside the map"):
        localizer_at(Pose2(1000.0, 0.0, 0.0))
    localizer = localizer_at(START)
    with pytest.raises(MapError, match="outside the map"):
        localizer.reset(Pose2(0.0, -500.0, 0.0), Spread())


def test_deskewed_rays_of_a_moving_robot_meet_the_walls() -> None:
    turning = np.stack(
        [np.linspace(3.0, 4.0, 51), np.full(51, 6.5), np.linspace(0.0, 1.5, 51)], axis=1
    )
    run = Run(turning, noise_m=0.0, scale=1.0, drift_radpm=0.0)
    history, residuals_m = OdometryHistory(), {}
    for measurement in run:
        if isinstance(measurement, Odometry):
            history.add(measurement)
            continue
        if measurement.stamp_ns < 3 * 10**8:
            continue
        frozen = dataclasses.replace(measurement, offsets_s=np.zeros_like(measurement.offsets_s))
        for name, scan in (("deskewed", measurement), ("frozen", frozen)):
            points_m = deskew(scan, history, BASE_FROM_LIDAR, min_range_m=0.05, max_range_m=30.0)
            truth = run.truth[scan.stamp_ns]
            world = [truth.transform(x, y) for x, y in points_m]
            south = [y for x, y in world if 7 < x < 13 and 5 < y < 5.5]
            residuals_m.setdefault(name, []).extend(abs(y - 5.2) for y in south)
    assert np.max(residuals_m["deskewed"]) < 0.01
    assert np.max(residuals_m["frozen"]) > 0.05


def test_params_are_checked_when_they_come_from_a_file() -> None:
    adapter = TypeAdapter(LocalizationParams)
    params = adapter.validate_python({"matcher": {"peaks": 5}})
    assert params.matcher.peaks == 5
    assert params.motion == LocalizationParams().motion
    for wrong in ({"matcher": {"peaks": 0}}, {"matcher": {"peak": 5}}, {"speed": 1}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)
