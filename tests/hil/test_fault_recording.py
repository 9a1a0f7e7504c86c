import math

import numpy as np
import pytest

from agent.evaluation.carmen import CarmenLog, CarmenOdometry, CarmenScan
from agent.evaluation.trajectory import StampedPose
from agent.geometry.pose import Pose2
from hil.errors import BenchError
from hil.faults.recording import Recording, cover, freeze, kidnap, occlude, slide, spin

MAP_FROM_ODOM = Pose2(5.0, -3.0, 0.7)
SCANS = 60


def odom_at(time_s):
    return Pose2(2.0 * math.sin(0.4 * time_s), 0.8 * time_s, 0.3 * time_s) @ Pose2.identity()


def frozen(values):
    array = np.array(values, np.float32)
    array.setflags(write=False)
    return array


@pytest.fixture
def recording():
    rng = np.random.default_rng(1)
    angles = frozen(np.linspace(-math.pi / 2, math.pi / 2, 180))
    scans = tuple(
        CarmenScan(0.2 * i, angles, frozen(rng.uniform(3.0, 9.0, 180)), odom_at(0.2 * i))
        for i in range(SCANS)
    )
    odometry = tuple(
        CarmenOdometry(0.05 * i, odom_at(0.05 * i), 0.8, 0.3) for i in range(4 * SCANS) if i % 4
    )
    reference = [StampedPose(s.stamp_s, MAP_FROM_ODOM @ s.odom) for s in scans[::2]]
    return Recording.of(CarmenLog(scans, odometry, 0), reference)


def motions(recording, first, last):
    scans = recording.log.scans
    return scans[first].odom.inverse() @ scans[last].odom


def assert_same(a, b):
    assert (a.x_m, a.y_m) == pytest.approx((b.x_m, b.y_m), abs=1e-9)
    assert math.remainder(a.yaw_rad - b.yaw_rad, math.tau) == pytest.approx(0.0, abs=1e-9)


def test_odometry_carries_the_reference_to_scans_close_by(recording):
    for scan, pose in zip(recording.log.scans, recording.truth, strict=True):
        assert_same(pose, MAP_FROM_ODOM @ scan.odom)


def test_far_from_any_reference_nothing_is_known(recording):
    reference = [StampedPose(0.0, MAP_FROM_ODOM @ odom_at(0.0))]
    sparse = Recording.of(recording.log, reference)
    known = [pose is not None for pose in sparse.truth]
    assert known[0] and not known[-1]
    assert all(m <= 1.0 for m, k in zip(sparse.travelled_m, known, strict=True) if k)
    with pytest.raises(BenchError):
        Recording.of(recording.log, [StampedPose(1e6, Pose2.identity())])


def test_kidnapped_robot_sees_another_place_and_its_odometry_goes_on(recording):
    edited = kidnap(recording, 10, 40)
    assert len(edited.log.scans) == len(edited.truth) == SCANS - 29
    assert edited.truth[10].distance_m(edited.truth[11]) > 3.0
    # The wheels did not turn while it was carried, and after it they go on as they did.
    assert_same(motions(edited, 10, 11), Pose2.identity())
    assert_same(motions(edited, 11, 20), motions(recording, 40, 49))
    stamps = [scan.stamp_s for scan in edited.log.scans]
    assert stamps == sorted(stamps) and stamps[11] - stamps[10] == pytest.approx(0.5)
    np.testing.assert_array_equal(edited.log.scans[11].ranges_m, recording.log.scans[40].ranges_m)
    assert edited.travelled_m[11] == pytest.approx(edited.travelled_m[10])
    later = [o for o in edited.log.odometry if o.stamp_s > stamps[11]]
    assert all(earlier.stamp_s < stamps[10] for earlier in edited.log.odometry[: -len(later)])


def test_spinning_wheels_report_way_that_was_not_made(recording):
    edited = spin(recording, 4.0, 6.0, 0.7, 0.0)
    before, after = recording.log.scans, edited.log.scans
    assert_same(after[20].odom, before[20].odom)
    assert_same(motions(edited, 30, 50), motions(recording, 30, 50))
    added = sum(
        (motions(recording, i, i + 1).inverse() @ motions(edited, i, i + 1)).x_m
        for i in range(20, 30)
    )
    assert added == pytest.approx(0.7, rel=0.05)
    assert edited.truth == recording.truth
    turned = spin(recording, 4.0, 6.0, 0.0, 0.5)
    turn = motions(turned, 20, 30).yaw_rad - motions(recording, 20, 30).yaw_rad
    assert turn == pytest.approx(0.5, abs=1e-9)


def test_sliding_wheels_stand_still(recording):
    edited = slide(recording, 4.0, 6.0)
    assert_same(motions(edited, 20, 30), Pose2.identity())
    assert_same(motions(edited, 30, 50), motions(recording, 30, 50))
    assert_same(motions(edited, 0, 20), motions(recording, 0, 20))


@pytest.mark.parametrize("near_m", [0.1, math.nan])
def test_cover_hides_one_stretch_from_its_moment_on(recording, near_m):
    edited = cover(recording, 4.0, 1.0, 0.25, near_m)
    for before, after in zip(recording.log.scans, edited.log.scans, strict=True):
        changed = ~(before.ranges_m == after.ranges_m)
        assert changed.sum() == (45 if after.stamp_s >= 4.0 else 0)
        if changed.any():
            np.testing.assert_array_equal(after.ranges_m[changed], np.float32(near_m))
            # From 1 rad to the last ray, and on from the first.
            assert changed[-1] and changed[0]


def test_frozen_lidar_repeats_its_last_scan(recording):
    edited = freeze(recording, 4.0)
    for scan in edited.log.scans[20:]:
        np.testing.assert_array_equal(scan.ranges_m, recording.log.scans[19].ranges_m)
    assert edited.log.scans[30].odom == recording.log.scans[30].odom


def test_crowd_stands_in_front_of_its_share_of_the_rays(recording):
    edited = occlude(recording, 4.0, 0.3, np.random.default_rng(2))
    for before, after in zip(recording.log.scans, edited.log.scans, strict=True):
        shorter = after.ranges_m < before.ranges_m
        assert shorter.mean() == pytest.approx(0.3 if after.stamp_s >= 4.0 else 0.0, abs=0.02)
        assert (after.ranges_m[shorter] < 3.2).all()
        if shorter.any():  # in clusters, not ray by ray
            assert np.abs(np.diff(shorter.astype(int))).sum() < 16


def test_window_holds_what_lies_between_its_scans(recording):
    window = recording.window(10, 20)
    assert len(window.log.scans) == len(window.truth) == len(window.travelled_m) == 10
    stamps = [o.stamp_s for o in window.log.odometry]
    assert min(stamps) >= window.log.scans[0].stamp_s
    assert max(stamps) <= window.log.scans[-1].stamp_s
