import math
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from agent.evaluation.carmen import CarmenLog, CarmenScan, read_carmen
from agent.geometry.angle import difference
from agent.geometry.pose import Pose2
from hil.emulator.rplidar import RplidarEmulator
from hil.plant.robot import DriveParameters, roll
from hil.plant.world import Pose
from hil.player import Player
from tests.reference.rplidar_reference import express_points

MS = 1_000_000
EXPRESS = bytes.fromhex("a58205000000000022")
DRIVE = DriveParameters(max_speed_mps=1.0, track_m=0.5, wheel_radius_m=0.1, counts_per_turn=65_536)
ANGLES = np.radians(np.arange(-90.0, 90.0)).astype(np.float32)


def scan(index, odom):
    ranges = np.full(180, 1.0 + index, dtype=np.float32)
    ranges[:30] = np.nan
    ranges[-30:] = 20.0
    return CarmenScan(100.0 + index, ANGLES, ranges, odom)


def a_log():
    poses = [
        Pose2(1.0, 2.0, 0.3),
        Pose2(1.0, 2.0, 0.3),
        Pose2(1.5, 2.4, 2.9),
        Pose2(1.4, 2.0, -2.8),
        Pose2(1.4, 2.0, 1.0),
        Pose2(1.2, 1.8, 1.0),
    ]
    return CarmenLog(tuple(scan(i, pose) for i, pose in enumerate(poses)), (), 0)


def play(log, limit_s=60.0):
    """Play a log to its end; return the player, what each moment looked like and the stream."""
    player = Player(log, DRIVE)
    lidar = RplidarEmulator(
        player.lidar_ranges, np.random.default_rng(1), None, player.on_revolution
    )
    stream, moments, now_ns = bytearray(), [], 0
    # What is shown last needs one more revolution to get through the line.
    end_ns = limit_s * 1e9
    while now_ns < end_ns:
        if player.finished:
            end_ns = min(end_ns, now_ns + 100 * MS)
        now_ns += 2 * MS
        player.advance(now_ns)
        stream += lidar.transmit(now_ns)
        if now_ns == 1000 * MS:
            lidar.receive(EXPRESS, now_ns)
        moments.append((now_ns, player.truth, player.wheels.encoder_counts()))
    assert player.finished
    return player, moments, bytes(stream[7:])


@pytest.fixture(scope="module")
def played():
    return play(a_log())


def test_every_scan_is_shown_once_in_order(played):
    player, _, _ = played
    assert [shown.index for shown in player.played] == list(range(6))
    assert [shown.log_stamp_s for shown in player.played] == [100.0 + i for i in range(6)]
    gaps = np.diff([shown.shown_ns for shown in player.played])
    assert gaps[0] == 100 * MS, "nothing to drive between the first two"
    assert all(gap % (100 * MS) == 0 and gap >= 200 * MS for gap in gaps[1:])


def test_robot_stands_at_the_scans_pose_while_it_is_shown(played):
    player, moments, _ = played
    for shown, recorded in zip(player.played, a_log().scans, strict=True):
        within = [
            (truth, counts)
            for now_ns, truth, counts in moments
            if shown.shown_ns <= now_ns < shown.shown_ns + 100 * MS
        ]
        assert len({counts for _, counts in within}) == 1
        for truth, _ in within:
            assert truth.pose.x_m == pytest.approx(recorded.odom.x_m, abs=1e-9)
            assert truth.pose.y_m == pytest.approx(recorded.odom.y_m, abs=1e-9)
            assert difference(truth.pose.yaw_rad, recorded.odom.yaw_rad) == pytest.approx(
                0, abs=1e-9
            )


def test_wheels_stay_below_their_speed_and_never_jump(played):
    _, moments, _ = played
    per_m = 65_536 / (math.tau * 0.1)
    counts = np.array([counts for _, _, counts in moments])
    assert np.abs(np.diff(counts, axis=0)).max() <= 1.0 * 0.002 * per_m + 2
    for (_, before, _), (_, after, _) in pairwise(moments):
        assert abs(after.forward_mps) + abs(after.yaw_rate_radps) * 0.25 <= 1.0 + 1e-9
        assert after.distance_m >= before.distance_m - 0.02


def test_encoder_counts_lead_to_the_poses_of_the_log(played):
    player, moments, _ = played
    metres = math.tau * 0.1 / 65_536
    pose = Pose(1.0, 2.0, 0.3)
    expected = {shown.shown_ns: a_log().scans[shown.index].odom for shown in player.played}
    last = (0, 0)
    checked = 0
    for now_ns, _, counts in moments:
        pose = roll(pose, (counts[0] - last[0]) * metres, (counts[1] - last[1]) * metres, 0.5)
        last = counts
        for shown_ns, odom in expected.items():
            if shown_ns <= now_ns < shown_ns + 2 * MS:
                checked += 1
                assert math.hypot(pose.x_m - odom.x_m, pose.y_m - odom.y_m) < 0.002
                assert abs(difference(pose.yaw_rad, odom.yaw_rad)) < 0.002
    assert checked == 6


def test_stream_shows_each_scan_for_one_revolution_and_nothing_else(played):
    _, _, stream = played
    points = express_points(stream)
    distances = np.array([point.distance_m for point in points])
    assert sorted({round(value, 3) for value in distances}) == [0, 1, 2, 3, 4, 5, 6]
    for index in range(6):
        shown = [point for point in points if point.distance_m == 1.0 + index]
        assert len(shown) == pytest.approx(120 * 400 / 360, abs=2)
        for point in shown:
            bearing = -math.remainder(point.angle_deg, 360.0)
            assert -60.6 < bearing < 59.6, "no return beyond the log's field of view and reach"


@pytest.mark.slow
def test_a_recorded_drive_plays():
    shared = os.environ.get("HAULIER_SHARED", str(Path(__file__).parents[3] / "shared"))
    path = Path(shared) / "data" / "carmen" / "aces.log.gz"
    if not path.exists():
        pytest.skip("recordings are not here")
    log = read_carmen(path)
    few = CarmenLog(log.scans[:12], (), 0)
    player, _, stream = play(few, limit_s=120.0)
    assert len(player.played) == 12
    assert any(point.distance_m > 0 for point in express_points(stream))
