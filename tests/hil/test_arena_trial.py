import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.geometry.pose import Pose2
from drivers.measurement import VelocityCommand
from hil.arena.campaign import Campaign
from hil.arena.lidar import PlanarLidar
from hil.arena.profile import AMR, JACKAL
from hil.arena.trial import Trial
from hil.errors import BenchError
from tests.hil.arena_courses import (
    LIFETIME_NS,
    Homing,
    Straight,
    course,
    row_of_cylinders,
    walker,
)

PERIOD_S = 0.05


def run(where, pilot, profile=JACKAL, **options):
    lidar = PlanarLidar(np.random.default_rng(0))
    return Trial(where, profile, lambda given: pilot, lidar, **options).run()


def test_straight_driver_arrives_in_an_empty_course():
    result = run(course(), Straight(1.0))
    assert result.success and result.contact is None
    assert result.driven_m == pytest.approx(5.0, abs=0.006)
    assert result.clearance_m == math.inf
    # One cycle of latency and the ramp come before the clock; 4.9 m of 5 m are on it.
    assert result.time_s == pytest.approx(4.9, abs=0.01)
    assert result.score == pytest.approx(0.5)
    assert result.unstoppable_cycles == 0
    assert result.trajectory.states[0].tolist() == [0, 0, 0, 0, 0]
    assert result.trajectory.states[-1, 0] == pytest.approx(5.0, abs=0.006)
    assert len(result.trajectory.times_s) == result.cycles + 1
    assert not result.pilot_ms.size


def test_straight_driver_hits_a_row_of_cylinders():
    result = run(course(cylinders=row_of_cylinders(3.0)), Straight(1.0))
    assert not result.success and result.score == 0.0
    assert result.contact.obstacle.startswith("cylinder ")
    assert result.contact.closing_mps == pytest.approx(1.0, abs=0.01)
    assert not result.contact.hit_by and not result.contact.jumped
    assert result.clearance_m == 0.0
    # Both cylinders beside the middle are within the robot's width: it touches at their apex.
    assert result.driven_m == pytest.approx(3.0 - 0.075 - 0.23, abs=0.006)


@pytest.mark.parametrize("forward_mps", [-1.0, 1.0])
def test_wall_is_hit_with_whichever_side_goes_ahead(forward_mps):
    wall = np.array([[math.copysign(2.0, forward_mps), -1.0, math.copysign(2.0, forward_mps), 1.0]])
    result = run(course(walls=wall), Straight(forward_mps))
    assert result.contact.obstacle == "wall 0"
    assert result.contact.closing_mps == pytest.approx(1.0, abs=0.01)
    assert result.driven_m == pytest.approx(2.0 - 0.23, abs=0.006)


def test_corner_of_a_turning_robot_closes_in():
    # The corners reach 0.311 m from the middle, the sides 0.21 m.
    wall = np.array([[-1.0, 0.28, 1.0, 0.28]])
    result = run(course(walls=wall), Straight(0.0, 1.0))
    assert result.contact.obstacle == "wall 0"
    assert 0.1 < result.contact.closing_mps < 0.32
    assert result.driven_m == 0.0


def test_full_speed_at_a_wall_is_unstoppable_only_at_the_end():
    wall = np.array([[4.0, -1.0, 4.0, 1.0]])
    fast = run(course(walls=wall), Straight(1.5), AMR)
    # Braking takes 0.75 m, of which the robot drives some cycles of 75 mm; one more is latency.
    assert fast.contact and fast.unstoppable_cycles == pytest.approx(0.75 / 0.075 + 1, abs=1)
    slow = run(course(walls=wall, limit_s=15.0), Homing(0.2), AMR)
    assert slow.unstoppable_cycles == 0


def test_who_comes_to_rest_before_an_obstacle_was_never_unstoppable():
    class Stops(Straight):
        def step(self, scan, pose, velocity, path, goal, now_ns):
            super().step(scan, pose, velocity, path, goal, now_ns)
            speed = 1.5 if pose.x_m < 2.0 else 0.0
            return VelocityCommand(speed, 0.0, now_ns + LIFETIME_NS)

    stands_m = 2.0 + 2 * 1.5 * PERIOD_S + 0.75 + 0.23
    result = run(course(walls=np.array([[stands_m, -1, stands_m, 1]])), Stops(0.0), AMR)
    assert result.contact is None and not result.success
    assert result.unstoppable_cycles == 0
    assert 0.0 < result.clearance_m < 0.1


def test_command_acts_exactly_one_cycle_later():
    class Pulse(Straight):
        def step(self, scan, pose, velocity, path, goal, now_ns):
            super().step(scan, pose, velocity, path, goal, now_ns)
            speed = 1.0 if now_ns == 500_000_000 else 0.0
            return VelocityCommand(speed, 0.0, now_ns + LIFETIME_NS)

    result = run(course(limit_s=1.0), Pulse(0.0))
    speeds = result.trajectory.states[:, 3]
    assert (speeds[:12] == 0.0).all(), "nothing moves in the cycle of the command"
    assert speeds[12] == pytest.approx(4.9 * PERIOD_S)
    assert speeds[13] == pytest.approx(0.0)


def test_command_is_not_held_past_its_time():
    class Once(Straight):
        def step(self, scan, pose, velocity, path, goal, now_ns):
            return VelocityCommand(1.0, 0.0, 75_000_000)

    result = run(course(limit_s=1.0), Once(0.0))
    # It acts from 50 ms on and lapses at 75 ms.
    assert result.driven_m == pytest.approx(4.9 * 0.025**2, rel=0.01)
    assert result.trajectory.states[-1, 3] == 0.0


def test_pilot_is_shown_the_present():
    pilot = Straight(1.0, 0.5)
    result = run(course(), pilot, path=np.ones((3, 2)))
    for k, (scan, pose, velocity, path, goal, now_ns) in enumerate(pilot.seen):
        x, y, yaw, forward, yaw_rate = result.trajectory.states[k]
        assert (pose.x_m, pose.y_m) == (x, y)
        assert pose.yaw_rad == pytest.approx(math.remainder(yaw, math.tau))
        assert (velocity.forward_mps, velocity.yaw_rate_radps) == (forward, yaw_rate)
        assert scan.stamp_ns == now_ns == k * 50_000_000
        assert path.shape == (3, 2)
        assert (goal.x_m, goal.y_m) == (6.0, 0.0)


def test_clock_starts_after_a_tenth_of_a_metre_and_the_limit_counts_from_there():
    class Late(Straight):
        def step(self, scan, pose, velocity, path, goal, now_ns):
            speed = 0.1 if now_ns >= 3_000_000_000 else 0.0
            return VelocityCommand(speed, 0.0, now_ns + LIFETIME_NS)

    result = run(course(limit_s=6.0), Late(0.0))
    assert not result.success and result.contact is None and result.score == 0.0
    assert result.time_s == pytest.approx(6.0, abs=PERIOD_S)
    assert result.trajectory.times_s[-1] == pytest.approx(3.05 + 1.0 + 6.0, abs=0.1)


def test_who_never_starts_is_held_to_the_limit():
    result = run(course(limit_s=2.0), Straight(0.0))
    assert not result.success and result.time_s == 2.0 and result.cycles == 40


def test_obstacle_drives_into_a_robot_that_stands():
    comes = walker((0, 5, 0), (5, -5, 0), (10, 5, 0))
    result = run(course(walkers=(comes,)), Straight(0.0))
    assert result.contact.obstacle == "walker 0"
    assert result.contact.hit_by and not result.contact.jumped
    assert result.contact.closing_mps == 0.0
    assert result.contact.time_s == pytest.approx((5 - 0.5 - 0.23) / 2, abs=0.006)


def test_robot_drives_into_an_obstacle_that_comes():
    comes = walker((0, 5, 0), (5, -5, 0), (10, 5, 0))
    result = run(course(walkers=(comes,)), Straight(1.0))
    assert not result.contact.hit_by
    assert result.contact.closing_mps == pytest.approx(1.0, abs=0.01)


def test_obstacle_may_jump_onto_the_robot():
    sideways = walker((0, 0.8, 0.0), (1, 0.8, 5.0))
    result = run(course(walkers=(sideways,)), Straight(0.2))
    assert result.contact.jumped
    assert result.contact.time_s == pytest.approx(1.0, abs=0.006)


def test_start_in_contact_is_an_error_of_the_course():
    with pytest.raises(BenchError, match="begins in contact with cylinder 0"):
        run(course(cylinders=np.array([[0.2, 0.0, 0.1]])), Straight(0.0))


def test_a_command_that_is_no_number_is_an_error():
    with pytest.raises(BenchError, match="no motion"):
        run(course(), Straight(math.nan))


@settings(max_examples=25)
@given(
    commands=st.lists(
        st.tuples(st.floats(-1e9, 1e9, allow_nan=False), st.floats(-1e9, 1e9, allow_nan=False)),
        min_size=40,
        max_size=40,
    ),
    profile=st.sampled_from([JACKAL, AMR]),
)
def test_the_drive_keeps_its_limits_whatever_it_is_told(commands, profile):
    class Wild:
        def step(self, scan, pose, velocity, path, goal, now_ns):
            return VelocityCommand(*commands[now_ns // 50_000_000 % 40], now_ns + LIFETIME_NS)

    result = run(course(limit_s=2.0), Wild(), profile)
    speeds, yaw_rates = result.trajectory.states[:, 3], result.trajectory.states[:, 4]
    assert np.abs(speeds).max() <= profile.speed_mps
    assert np.abs(yaw_rates).max() <= profile.yaw_rate_radps
    most = max(profile.acceleration_mps2, profile.deceleration_mps2) * PERIOD_S + 1e-9
    assert np.abs(np.diff(speeds)).max() <= most
    grows = np.diff(np.abs(speeds))
    assert grows.max() <= profile.acceleration_mps2 * PERIOD_S + 1e-9
    assert np.abs(np.diff(yaw_rates)).max() <= profile.yaw_acceleration_radps2 * PERIOD_S + 1e-9


def test_pilot_is_told_the_pose_of_its_source():
    pilot = Straight(0.5)
    elsewhere = Pose2(7.0, 8.0, 0.9)
    told = []

    def source(truth, scan, velocity, now_ns):
        told.append((truth.x_m, scan.stamp_ns, velocity.forward_mps, now_ns))
        return elsewhere

    result = run(course(), pilot, pose_source=source)
    assert result.success
    assert {pose for _, pose, *_ in pilot.seen} == {elsewhere}
    assert [x for x, *_ in told] == result.trajectory.states[:-1, 0].tolist()


def noisy(seed, names=("a", "b")):
    courses = [
        course(name=name, cylinders=row_of_cylinders(5.0), walkers=(walker((0, 3, 3), (4, 3, 9)),))
        for name in names
    ]
    campaign = Campaign(
        make_pilot=lambda profile: Homing(1.0),
        seed=seed,
        range_noise_m=0.02,
        pose_noise=(0.02, 0.01),
    )
    return {result.course: result for result in campaign.run(courses)}


def test_same_seed_same_drive_bit_for_bit():
    one, other = noisy(3), noisy(3)
    for name, result in one.items():
        assert result.as_row() == other[name].as_row()
        for array in ("times_s", "states"):
            expected = getattr(other[name].trajectory, array)
            assert np.array_equal(getattr(result.trajectory, array), expected)
    last = one["a"].trajectory.states[-1]
    assert not np.array_equal(last, one["b"].trajectory.states[-1]), "noise of its own"
    assert not np.array_equal(last, noisy(4)["a"].trajectory.states[-1])
    assert np.array_equal(last, noisy(3, ("a",))["a"].trajectory.states[-1]), "whichever others"


def test_range_noise_has_the_size_asked_for():
    lidar = PlanarLidar(np.random.default_rng(1), 0.03)
    box = np.array([[2, -2, 2, 2], [-2, -2, -2, 2], [-2, 2, 2, 2], [-2, -2, 2, -2]], dtype=float)
    scans = [lidar.scan(box, np.empty((0, 3)), Pose2.identity(), 0).ranges_m for _ in range(20)]
    truth = (
        PlanarLidar(np.random.default_rng(1))
        .scan(box, np.empty((0, 3)), Pose2.identity(), 0)
        .ranges_m
    )
    assert np.std(np.array(scans) - truth) == pytest.approx(0.03, rel=0.05)


def test_pilot_is_timed_by_the_clock_given():
    class Ticks:
        """A clock that moves on by 2 ms whenever it is read."""

        now = 0

        def now_ns(self):
            self.now += 2_000_000
            return self.now

    result = run(course(), Straight(1.0), clock=Ticks())
    assert result.pilot_ms.tolist() == [2.0] * result.cycles
    assert asdict(result.trajectory).keys() == {"times_s", "states"}
