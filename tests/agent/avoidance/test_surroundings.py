import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.avoidance.local_grid import LocalGrid, LocalGridParams
from agent.avoidance.surroundings import LidarMount, Sight
from agent.avoidance.tracks import TrackParams
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist, moved_by
from drivers.measurement import Scan

HERE = Pose2.identity()
coordinates = st.floats(-5.0, 5.0)
angles = st.floats(-3.1, 3.1)
poses = st.builds(Pose2, coordinates, coordinates, angles)


STILL = Twist()


def sight_with(mounts: dict[str, LidarMount]) -> Sight:
    grid = LocalGrid(LocalGridParams(size_m=4.0), 0.5)
    return Sight(mounts, grid, rectangle(0.4, 0.2), TrackParams())


def scan_of(angles_rad, ranges_m, stamp_ns: int = 0) -> Scan:
    count = len(angles_rad)
    return Scan(
        stamp_ns, stamp_ns, np.array(angles_rad, np.float32), np.array(ranges_m, np.float32),
        np.linspace(0.0, 0.1, count, dtype=np.float32), np.arange(count, dtype=np.uint8), 3,
    )  # fmt: skip


def scan_to(point: tuple[float, float], world_from_lidar: Pose2, stamp_ns: int) -> Scan:
    """What a lidar sees of a point."""
    x_m, y_m = world_from_lidar.inverse().transform(*point)
    return scan_of([math.atan2(y_m, x_m)], [math.hypot(x_m, y_m)], stamp_ns)


@given(poses, poses, poses, poses, coordinates, coordinates)
def test_what_two_lidars_see_of_a_thing_at_two_moments_is_at_one_place(
    front, rear, before, now, x_m, y_m
):
    around = sight_with({"front": LidarMount(front), "rear": LidarMount(rear)})
    point = (x_m, y_m)
    around.see("rear", scan_to(point, before @ rear, 40), before, STILL)
    around.see("front", scan_to(point, now @ front, 90), now, STILL)
    expected = now.inverse().transform(*point)
    assert around.returns(now) == pytest.approx(np.array([expected, expected]), abs=1e-4)
    assert around.oldest_ns == 40
    assert (around.stamp_ns("front"), around.stamp_ns("rear")) == (90, 40)


def test_a_newer_scan_replaces_the_older_one_of_its_own_lidar_only():
    around = sight_with({name: LidarMount(HERE) for name in ("front", "rear")})
    around.see("front", scan_of([0.0], [1.0], 10), HERE, STILL)
    assert around.stamp_ns("rear") is None
    assert around.oldest_ns is None
    around.see("rear", scan_of([0.0], [2.0], 20), HERE, STILL)
    around.see("front", scan_of([0.0], [3.0], 30), HERE, STILL)
    around.see("front", scan_of([0.0], [9.0], 25), HERE, STILL)
    assert sorted(around.returns(HERE)[:, 0]) == [2.0, 3.0]
    assert around.oldest_ns == 20


@given(st.floats(-2.0, 2.0), st.floats(-2.0, 2.0), st.floats(-2.0, 2.0), poses, st.floats(0.0, 0.2))
def test_a_sweep_is_taken_back_to_its_stamp(forward, lateral, turn, lidar, offset_s):
    velocity = Twist(forward, lateral, turn)
    then = moved_by(velocity, offset_s)
    point = (2.5, -1.5)
    x_m, y_m = (then @ lidar).inverse().transform(*point)
    arrays = ([math.atan2(y_m, x_m)], [math.hypot(x_m, y_m)], [offset_s])
    scan = Scan(0, 0, *(np.array(a, np.float32) for a in arrays), np.zeros(1, np.uint8))
    around = sight_with({"front": LidarMount(lidar)})
    around.see("front", scan, HERE, velocity)
    assert around.returns(HERE) == pytest.approx(np.array([point]), abs=1e-4)


def test_what_has_not_been_seen_is_a_danger_and_what_the_robot_stands_on_is_not():
    around = sight_with({"front": LidarMount(HERE)})
    ahead = np.linspace(-1.5, 1.5, 300)
    around.see("front", scan_of(ahead, np.full(300, 3.0), 1_000_000), HERE, STILL)
    dangers = around.dangers(HERE, 1.0, 1_000_000)
    assert len(dangers.moving) == 0
    assert np.hypot(*dangers.points_m.T).min() > 2.0
    points = dangers.unseen_m
    assert (points[:, 0] < 0.1).all()
    assert (np.abs(points[:, 1]) > 0.1).any()
    assert not ((np.abs(points[:, 0]) < 0.2) & (np.abs(points[:, 1]) < 0.1)).any()
    assert np.hypot(*points.T).max() < 1.0


def test_what_was_seen_is_remembered_out_of_sight():
    around = sight_with({"front": LidarMount(HERE)})
    post = scan_of(np.linspace(-0.5, 0.5, 200), np.full(200, 1.0), 1_000_000)
    around.see("front", post, HERE, STILL)
    turned = Pose2(0.0, 0.0, math.pi)
    far = scan_of(np.linspace(-0.5, 0.5, 200), np.full(200, 1.8), 101_000_000)
    around.see("front", far, turned, STILL)
    points = around.dangers(turned, 1.2, 101_000_000).points_m
    assert np.hypot(points[:, 0] + 1.0, points[:, 1]).min() < 0.03


class TestMask:
    def test_without_one_the_scan_is_left_alone(self):
        scan = scan_of([0.0, 1.0], [1.0, 1.0])
        assert LidarMount(HERE).unmasked(scan) is scan

    def test_a_sector_goes_counter_clockwise_across_the_back_too(self):
        bearings = np.radians([-170.0, -90.0, 0.0, 90.0, 170.0])
        scan = scan_of(bearings, [1.0, 2.0, 3.0, 4.0, 5.0], 7)
        mount = LidarMount(HERE, ((math.radians(160.0), math.radians(-160.0)),))
        kept = mount.unmasked(scan)
        assert list(kept.ranges_m) == [2.0, 3.0, 4.0]
        assert list(kept.quality) == [1, 2, 3]
        assert (kept.stamp_ns, kept.missing) == (7, 3)
        assert not kept.angles_rad.flags.writeable
        other_way = LidarMount(HERE, ((math.radians(-160.0), math.radians(160.0)),))
        assert list(other_way.unmasked(scan).ranges_m) == [1.0, 5.0]

    @given(st.lists(st.tuples(angles, angles), max_size=3), st.lists(angles, max_size=30))
    def test_each_ray_is_kept_or_in_a_sector(self, mask, bearings):
        scan = scan_of(bearings, np.arange(len(bearings)))
        kept = set(LidarMount(HERE, tuple(mask)).unmasked(scan).ranges_m.tolist())
        for i, bearing in enumerate(np.array(bearings, np.float32).tolist()):
            # Turned so that the sector begins at 0, a ray in it lies before the sector's end.
            inside = any((bearing - a) % math.tau <= (b - a) % math.tau for a, b in mask)
            assert (float(i) in kept) != inside
