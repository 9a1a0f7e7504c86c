import dataclasses
import math

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from agent.errors import MapError
from agent.geometry.pose import Pose2
from agent.localization.deskew import deskew
from agent.localization.localizer import LocalizationParams, Localizer
from agent.localization.odometry_history import OdometryHistory
from agent.localization.particle_filter import Spread
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
START = Pose2(*map(float, POSES[0]))
START_ERROR = Pose2(0.1, -0.1, 0.05)
STRANGERS = [
    (9.0, 6.9, 9.6, 7.3), (14.0, 5.6, 14.5, 6.1), (22.0, 13.4, 22.6, 13.8),
    (5.2, 9.4, 5.7, 9.9), (20.0, 9.6, 20.6, 10.1),
]  # fmt: skip


def localizer_at(start: Pose2, grid=GRID, seed: int = 0) -> Localizer:
    rng = np.random.default_rng(seed)
    return Localizer(grid, LocalizationParams(), BASE_FROM_LIDAR, start, rng)


def follow(run: Run, localizer: Localizer) -> list[tuple[int, float, float, bool]]:
    """Feed a run; return stamp, error in m, error in rad and verdict at each odometry."""
    track = []
    for measurement in run:
        if isinstance(measurement, Scan):
            localizer.add_scan(measurement)
            continue
        localizer.add_odometry(measurement)
        estimate = localizer.estimate(measurement.stamp_ns)
        assert estimate is not None
        truth = run.truth[estimate.stamp_ns]
        turn = abs(math.remainder(estimate.map_from_base.yaw_rad - truth.yaw_rad, math.tau))
        track.append(
            (estimate.stamp_ns, estimate.map_from_base.distance_m(truth), turn, estimate.localized)
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
    assert localizer.counters.scans_used == (len(POSES) - 1) // (ODOMETRY_HZ // 10)


def poses_of(seed: int) -> list[Pose2]:
    localizer = localizer_at(START, seed=seed)
    poses = []
    for measurement in Run(POSES[:300]):
        if isinstance(measurement, Odometry):
            localizer.add_odometry(measurement)
        else:
            localizer.add_scan(measurement)
        estimate = localizer.estimate(measurement.stamp_ns)
        assert estimate is not None
        poses.append(estimate.map_from_base)
    return poses


def test_the_same_seed_gives_the_same_poses_bit_for_bit() -> None:
    assert poses_of(5) == poses_of(5)
    assert poses_of(5) != poses_of(6)


def test_standing_still_moves_neither_pose_nor_cloud() -> None:
    localizer = localizer_at(START)
    follow(Run(np.repeat(POSES[:1], 100, axis=0)), localizer)
    before = localizer.estimate(0)
    updates = localizer.counters.updates
    run = Run(np.repeat(POSES[:1], 2000, axis=0), seed=1)
    for measurement in run:
        shift = {"stamp_ns": measurement.stamp_ns + 10**10}
        measurement = dataclasses.replace(measurement, **shift)
        if isinstance(measurement, Odometry):
            localizer.add_odometry(measurement)
        else:
            assert localizer.add_scan(measurement)
    after = localizer.estimate(measurement.stamp_ns)
    assert before is not None
    assert after is not None
    assert after.map_from_base == before.map_from_base
    np.testing.assert_array_equal(after.covariance, before.covariance)
    assert localizer.counters.updates == updates
    assert after.localized
    assert after.score > 0.9


def test_a_wrong_place_is_never_called_localized() -> None:
    localizer = localizer_at(Pose2(23.0, 10.7, 0.7))
    assert not any(row[3] for row in follow(Run(POSES[:300]), localizer))
    estimate = localizer.estimate(0)
    assert estimate is not None
    assert "fits the map by" in estimate.reason


def test_a_covered_lidar_ends_localization_and_a_reset_restores_it() -> None:
    localizer = localizer_at(START)
    follow(Run(POSES[:100]), localizer)
    run = Run(POSES)
    dark = [dataclasses.replace(m, ranges_m=np.full_like(m.ranges_m, 0.3))
            if isinstance(m, Scan) and m.stamp_ns < 6 * 10**9 else m for m in run]  # fmt: skip
    for measurement in dark:
        if measurement.stamp_ns < 2 * 10**9:
            continue
        if isinstance(measurement, Odometry):
            localizer.add_odometry(measurement)
        else:
            localizer.add_scan(measurement)
        if isinstance(measurement, Odometry) and measurement.stamp_ns == 6 * 10**9:
            estimate = localizer.estimate(measurement.stamp_ns)
            assert estimate is not None
            assert not estimate.localized
            localizer.reset(run.truth[measurement.stamp_ns], Spread())
    estimate = localizer.estimate(measurement.stamp_ns)
    assert estimate is not None
    assert estimate.localized
    assert estimate.map_from_base.distance_m(run.truth[estimate.stamp_ns]) < 0.05


def test_inputs_that_cannot_be_used_are_counted() -> None:
    localizer = localizer_at(START)
    assert localizer.estimate(0) is None
    scans = [m for m in Run(POSES[:50]) if isinstance(m, Scan)]
    assert not localizer.add_scan(scans[0])
    for k in range(20):
        localizer.add_odometry(Odometry(k * 20_000_000, 0, 1.0, 2.0, 0.5, 0.0, 0.0))
    localizer.add_odometry(Odometry(0, 0, 1.0, 2.0, 0.5, 0.0, 0.0))
    localizer.add_odometry(Odometry(10**9, 0, math.nan, 2.0, 0.5, 0.0, 0.0))
    assert localizer.add_scan(scans[1])
    assert not localizer.add_scan(scans[1])
    assert not localizer.add_scan(scans[0])
    empty = dataclasses.replace(scans[2], ranges_m=np.full_like(scans[2].ranges_m, np.nan))
    assert not localizer.add_scan(empty)
    counters = localizer.counters
    assert counters.scans_without_odometry == 1
    assert counters.scans_out_of_order == 2
    assert counters.scans_sparse == 1
    assert counters.scans_used == 1
    assert counters.odometry_out_of_order == 1
    assert counters.odometry_invalid == 1


def test_a_restart_of_the_base_does_not_lose_the_robot() -> None:
    localizer = localizer_at(START)
    run = Run(POSES[:400])
    for measurement in run:
        if isinstance(measurement, Scan):
            localizer.add_scan(measurement)
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
    params = adapter.validate_python({"filter": {"particles": 800}})
    assert params.filter.particles == 800
    assert params.motion == LocalizationParams().motion
    for wrong in ({"filter": {"particles": 0}}, {"filter": {"particle": 800}}, {"speed": 1}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)
