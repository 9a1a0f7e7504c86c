import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.avoidance.surroundings import LidarMount, Surroundings
from agent.geometry.pose import Pose2
from drivers.measurement import Scan

HERE = Pose2.identity()
coordinates = st.floats(-5.0, 5.0)
angles = st.floats(-3.1, 3.1)
poses = st.builds(Pose2, coordinates, coordinates, angles)


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
    around = Surroundings({"front": LidarMount(front), "rear": LidarMount(rear)})
    point = (x_m, y_m)
    around.see("rear", scan_to(point, before @ rear, 40), before)
    around.see("front", scan_to(point, now @ front, 90), now)
    expected = now.inverse().transform(*point)
    assert around.points_m == pytest.approx(np.array([expected, expected]), abs=1e-4)
    assert around.oldest_ns == 40
    assert (around.stamp_ns("front"), around.stamp_ns("rear")) == (90, 40)


def test_a_newer_scan_replaces_the_older_one_of_its_own_lidar_only():
    around = Surroundings({name: LidarMount(HERE) for name in ("front", "rear")})
    around.see("front", scan_of([0.0], [1.0], 10), HERE)
    assert around.stamp_ns("rear") is None
    around.see("rear", scan_of([0.0], [2.0], 20), HERE)
    around.see("front", scan_of([0.0], [3.0], 30), HERE)
    assert sorted(around.points_m[:, 0]) == [2.0, 3.0]
    assert around.oldest_ns == 20


def test_one_lidar_is_as_old_as_itself():
    around = Surroundings({"front": LidarMount(HERE)})
    assert around.points_m.shape == (0, 2)
    around.see("front", scan_of([0.0, 1.0], [math.nan, 1.0], 10), Pose2(5.0, 5.0, 1.0))
    assert around.points_m == pytest.approx(np.array([[math.cos(1.0), math.sin(1.0)]]))
    assert around.oldest_ns == 10


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
