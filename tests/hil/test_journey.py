import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from drivers.measurement import Odometry
from hil.errors import BenchError
from hil.plant.floor_plan import FloorPlan, SurveyedWorld
from hil.plant.journey import TICK_NS, Cover, Journey, Pace, Slip, SpinningLidar, WheelErrors
from hil.plant.track import Track
from tests.reference.hall import cast

ROOM = np.array([(-2.0, -2.0), (22.0, -2.3), (21.7, 12.0), (-2.4, 11.6)])
PERFECT = WheelErrors(
    forward_scale=0,
    turn_scale=0,
    forward_m_per_sqrt_m=0,
    turn_rad_per_sqrt_m=0,
    turn_rad_per_sqrt_rad=0,
)
QUIET = SpinningLidar(noise_m=0.0, dropout=0.0, max_range_m=40.0)


def journey(seed=1, **options):
    track = Track([(0.0, 0.0), (18.0, 0.0), (18.0, 9.0)])
    options = {"errors": PERFECT, "lidar": QUIET} | options
    world = SurveyedWorld(FloorPlan(ROOM, ()))
    return Journey(world, track, np.random.default_rng(seed), **options)


def drive(body, seconds):
    return [m for _ in range(round(seconds * 1e9) // TICK_NS) for m in body.step()]


def odometry(measurements):
    return [m for m in measurements if isinstance(m, Odometry)]


def scans(measurements):
    return [m[1] for m in measurements if not isinstance(m, Odometry)]


def test_measurements_come_in_order_at_their_rates():
    measured = drive(journey(), 4.0)
    assert len(odometry(measured)) == 200
    assert len(scans(measured)) == 40
    times = [m.stamp_ns if isinstance(m, Odometry) else m[1].received_ns for m in measured]
    assert times == sorted(times)
    scan = scans(measured)[7]
    assert scan.received_ns - scan.stamp_ns == 100_000_000
    assert np.all(np.diff(scan.angles_rad) > 0) and np.all(np.diff(scan.offsets_s) > 0)
    assert not scan.ranges_m.flags.writeable


def test_same_seed_same_measurements():
    runs = []
    for seed in (3, 3, 4):
        measured = drive(journey(seed, lidar=None, errors=None), 3.0)
        last = odometry(measured)[-1]
        runs.append((last, scans(measured)[-1].ranges_m.tobytes()))
    assert runs[0] == runs[1] != runs[2]


def test_perfect_wheels_tell_the_truth():
    body = journey()
    last = odometry(drive(body, 25.0))[-1]
    assert body.pose.yaw_rad > 1.0
    assert (last.x_m, last.y_m) == pytest.approx(body.pose[:2], abs=0.01)
    assert last.yaw_rad == pytest.approx(body.pose.yaw_rad, abs=1e-6)
    assert body.travelled_m == pytest.approx(body.along_m)


def test_speed_and_acceleration_stay_within_the_pace():
    body = journey(pace=Pace(speed_mps=1.5, acceleration_mps2=0.8, deceleration_mps2=1.0))
    speeds = [o.forward_mps for o in odometry(drive(body, 30.0))]
    assert max(speeds) == pytest.approx(1.5, abs=1e-6)
    steps = [(after - before) / 0.02 for before, after in pairwise(speeds)]
    assert max(steps) <= 0.8 + 1e-6 and min(steps) >= -1.0 - 1e-6
    assert body.arrived and body.pose[:2] == pytest.approx((18.0, 9.0), abs=0.01)


def test_it_stands_at_stops_and_goes_on():
    body = journey(stops=[(6.0, 2.0)])
    stood = []
    while not body.arrived:
        body.step()
        if body.standing and body.along_m > 1.0 and not body.arrived:
            stood.append(body.along_m)
    assert len(stood) == pytest.approx(100, abs=3)
    assert stood == pytest.approx([6.0] * len(stood), abs=0.01)


def test_each_ray_starts_where_the_lidar_was_at_its_time():
    body = journey(pace=Pace(speed_mps=1.5))
    scan = scans(drive(body, 13.0))[-1]
    stamps = scan.stamp_ns + np.round(scan.offsets_s.astype(float) * 1e9).astype(np.int64)
    x, y, yaw = body.true_poses(stamps)
    assert yaw[-1] - yaw[0] > 0.02  # in the bend
    surfaces = np.hstack((ROOM, np.roll(ROOM, -1, axis=0)))
    expected = cast(np.column_stack((x, y)), yaw + scan.angles_rad, surfaces)
    np.testing.assert_allclose(scan.ranges_m, expected, atol=1e-4)


def test_noise_has_the_size_asked_for():
    clean, noisy = (
        scans(drive(journey(lidar=replace(QUIET, noise_m=noise)), 2.0)) for noise in (0.0, 0.01)
    )
    off = [b.ranges_m - a.ranges_m for a, b in zip(clean, noisy, strict=True)]
    assert np.std(off) == pytest.approx(0.01, rel=0.05)


def test_carried_robot_is_elsewhere_and_its_wheels_know_nothing():
    body = journey()
    before = odometry(drive(body, 5.0))[-1]
    travelled_m = body.travelled_m
    body.carry(15.0)
    first, *_ = drive(body, 0.02)
    assert body.pose.x_m == pytest.approx(15.0, abs=0.05)
    assert math.hypot(first.x_m - before.x_m, first.y_m - before.y_m) < 0.03
    assert body.travelled_m - travelled_m < 0.03


@pytest.mark.parametrize(
    ("slip", "ground_m", "wheels_m"),
    [(Slip(ground_share=0.0), 0.0, 1.0), (Slip(wheel_share=0.0), 1.0, 0.0)],
)
def test_ground_and_wheels_disagree_while_the_robot_slips(slip, ground_m, wheels_m):
    body = journey()
    before = odometry(drive(body, 4.0))[-1]
    at_m = body.pose.x_m
    body.slip = slip
    after = odometry(drive(body, 1.0))[-1]
    assert body.pose.x_m - at_m == pytest.approx(ground_m, abs=0.01)
    assert after.x_m - before.x_m == pytest.approx(wheels_m, abs=0.01)


def test_feigned_turn():
    body = journey()
    drive(body, 4.0)
    body.slip = Slip(wheel_turn_rad_per_m=0.5)
    assert odometry(drive(body, 1.0))[-1].yaw_rad == pytest.approx(0.5, abs=0.01)
    assert body.pose.yaw_rad == pytest.approx(0.0, abs=1e-6)


def test_cover_hides_its_share_of_the_rays():
    body = journey()
    body.cover = Cover(start_rad=3.0, share=0.4, near_m=0.1)
    scan = scans(drive(body, 0.1))[-1]
    near = scan.ranges_m == np.float32(0.1)
    assert near.mean() == pytest.approx(0.4, abs=0.01)
    assert near[0] and not near[len(near) // 2]  # it reaches over the seam at pi
    body.cover = Cover(start_rad=0.0, share=1.0)
    assert np.isnan(scans(drive(body, 0.1))[-1].ranges_m).all()


def test_frozen_lidar_repeats_itself_with_new_stamps():
    body = journey(lidar=SpinningLidar())
    before = scans(drive(body, 5.0))[-1]
    body.frozen = True
    after = scans(drive(body, 1.0))[-1]
    np.testing.assert_array_equal(before.ranges_m, after.ranges_m)
    assert after.stamp_ns > before.stamp_ns


def test_held_robot_brakes_and_stands():
    body = journey(pace=Pace(speed_mps=1.0, deceleration_mps2=2.0))
    drive(body, 5.0)
    at_m = body.travelled_m
    body.held = True
    drive(body, 1.0)
    assert body.standing
    assert body.travelled_m - at_m == pytest.approx(0.25, abs=0.02)
    body.held = False
    drive(body, 1.0)
    assert body.speed_mps > 0.5


def test_revolution_must_fit_the_ticks():
    with pytest.raises(BenchError):
        journey(lidar=SpinningLidar(revolution_ns=90_000_001))
