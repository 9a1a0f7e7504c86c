import math

import numpy as np
import pytest

from hil.errors import BenchError
from hil.plant.plant import LidarParameters, Plant, RobotParameters
from hil.plant.robot import DriveParameters
from hil.plant.world import Box, Disc, Obstacle, Pose, TimedPose, World, standing

MIDDLE = Pose(5.0, 4.0, 0.0)
CLEAN = LidarParameters(noise_m=0.0, noise_per_m=0.0, dropout=0.0, base_from_lidar=Pose(0, 0, 0))


def room():
    cells = np.zeros((200, 400), dtype=bool)
    cells[[0, -1], :] = cells[:, [0, -1]] = True
    return World(cells, 0.05, -1.0, -1.0)


def plant(world=None, start=MIDDLE, seed=1, **robot):
    return Plant(world or room(), RobotParameters(**robot), start, seed)


def drive(body, left_mps, right_mps, from_ns, to_ns):
    body.wheels.set_wheel_speeds(left_mps / 0.1, right_mps / 0.1)
    for now_ns in range(from_ns, to_ns + 1, 10_000_000):
        body.advance(now_ns)


def test_same_inputs_give_the_same_floats():
    runs = []
    for _ in range(2):
        body = plant(drive=DriveParameters(slip_m_per_sqrt_m=0.01))
        drive(body, 0.8, 1.0, 0, 3_000_000_000)
        stamps = np.arange(2_900_000_000, 3_000_000_000, 1_000_000)
        runs.append((body.truth, body.lidar_ranges(stamps, np.linspace(-3, 3, 100)).tobytes()))
    assert runs[0] == runs[1]


def test_the_size_of_the_steps_of_the_caller_does_not_matter():
    poses = []
    for step in (1_000_000, 7_000_000, 50_000_000):
        body = plant(drive=DriveParameters(slip_m_per_sqrt_m=0.01))
        body.wheels.set_wheel_speeds(9.0, 11.0)
        for now_ns in range(0, 2_100_000_001, step):
            body.advance(now_ns)
        body.advance(2_100_000_000)
        poses.append(body.truth.pose)
    assert poses[0] == poses[1] == poses[2]


def test_each_ray_starts_where_the_lidar_was_at_its_time():
    body = plant(lidar=CLEAN)
    drive(body, 1.0, 1.0, 0, 3_000_000_000)
    stamps = np.array([2_000_000_000, 2_500_000_000, 3_000_000_000])
    ranges = body.lidar_ranges(stamps, np.zeros(3))
    assert np.diff(ranges) == pytest.approx([-0.5, -0.5], abs=1e-6)


def test_lidar_mount_turns_and_shifts_the_rays():
    lidar = LidarParameters(
        base_from_lidar=Pose(0.4, 0.0, math.pi / 2), noise_m=0, noise_per_m=0, dropout=0
    )
    body = plant(lidar=lidar)
    body.advance(10_000_000)
    ahead = body.lidar_ranges(np.array([10_000_000]), np.array([-math.pi / 2]))
    assert ahead[0] == pytest.approx(18.95 - 5.4, abs=1e-6)


def test_noise_and_dropouts_have_the_size_asked_for():
    body = plant(lidar=LidarParameters(noise_m=0.01, noise_per_m=0.0, dropout=0.1))
    body.advance(10_000_000)
    stamps = np.full(20_000, 10_000_000)
    ranges = body.lidar_ranges(stamps, np.full(20_000, math.pi / 2))
    assert np.isnan(ranges).mean() == pytest.approx(0.1, abs=0.01)
    assert np.nanstd(ranges) == pytest.approx(0.01, rel=0.05)


def test_wall_stops_the_robot_and_the_first_contact_is_kept():
    body = plant(start=Pose(17.0, 4.0, 0.0))
    drive(body, 1.0, 1.0, 0, 4_000_000_000)
    contact = body.truth.contact
    assert contact is not None
    assert contact.with_what == "wall"
    assert contact.pose.x_m == pytest.approx(18.95 - 0.45, abs=0.02)
    assert body.truth.pose.x_m <= 18.5 + 1e-9
    assert body.truth.distance_m == pytest.approx(1.5, abs=0.02)
    drive(body, -1.0, -1.0, 4_000_000_000, 8_000_000_000)
    assert body.truth.pose.x_m < 17.5, "it can leave again"
    assert body.truth.contact == contact


def test_obstacle_that_runs_into_the_robot_counts_and_does_not_freeze_it():
    world = room()
    path = (TimedPose(0, Pose(9.0, 4.0, 0.0)), TimedPose(2_000_000_000, Pose(5.3, 4.0, 0.0)))
    world.add(Obstacle("cart", Disc(0.3), path))
    body = plant(world)
    body.advance(3_000_000_000)
    assert body.truth.contact.with_what == "cart"
    drive(body, -0.5, -0.5, 3_000_000_000, 5_000_000_000)
    assert body.truth.pose.x_m < 4.7


def test_obstacles_come_move_turn_and_go():
    path = (TimedPose(1_000, Pose(0.0, 0.0, 3.0)), TimedPose(2_000, Pose(2.0, 0.0, -3.0)))
    obstacle = Obstacle("cart", Box(1.0, 0.5), path, appears_ns=500, disappears_ns=3_000)
    assert obstacle.motion_at(499) is None
    assert obstacle.motion_at(3_000) is None
    assert obstacle.motion_at(600) == (Pose(0.0, 0.0, 3.0), 0.0, 0.0)
    pose, vx, vy = obstacle.motion_at(1_500)
    assert pose == pytest.approx((1.0, 0.0, math.pi))
    assert (vx, vy) == pytest.approx((2e6, 0.0))
    assert obstacle.motion_at(2_500)[0] == path[1].pose


def test_misuse_is_a_bench_error():
    world = room()
    world.add(standing("post", Disc(0.2), Pose(5.0, 4.0, 0.0)))
    with pytest.raises(BenchError, match="named post"):
        world.add(standing("post", Disc(0.2), Pose(1.0, 1.0, 0.0)))
    with pytest.raises(BenchError, match="touches: post"):
        plant(world)
    world.remove("post")
    with pytest.raises(BenchError, match="named post"):
        world.remove("post")
    with pytest.raises(BenchError, match="touches: wall"):
        plant(world, start=Pose(-0.9, 4.0, 0.0))
    with pytest.raises(BenchError, match="out of order"):
        Obstacle("x", Disc(1.0), (TimedPose(2, Pose(0, 0, 0)), TimedPose(1, Pose(0, 0, 0))))
