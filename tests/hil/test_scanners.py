import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.plant.plant import LidarParameters, Plant, RobotParameters
from hil.plant.world import Disc, Pose, World, standing
from hil.scanners import MountedLidar, body_ranges_m

LENGTH_M, WIDTH_M = 0.9, 0.6
CLEAN = {"noise_m": 0.0, "noise_per_m": 0.0, "dropout": 0.0}
REAR = LidarParameters(base_from_lidar=Pose(-0.5, 0.0, math.pi), **CLEAN)


def plant() -> Plant:
    cells = np.zeros((400, 400), dtype=bool)
    cells[[0, -1], :] = cells[:, [0, -1]] = True
    front = LidarParameters(base_from_lidar=Pose(0.5, 0.0, 0.0), **CLEAN)
    return Plant(World(cells, 0.05, 0.0, 0.0), RobotParameters(lidar=front), Pose(10, 10, 0), 1)


def look(lidar, now_ns: int, *bearings_deg: float) -> list[float]:
    stamps_ns = np.full(len(bearings_deg), now_ns, np.int64)
    return lidar(stamps_ns, np.radians(np.array(bearings_deg))).tolist()


def test_each_lidar_looks_from_its_own_place_and_moves_along():
    robot = plant()
    front, rear = MountedLidar(robot, robot.robot.lidar), MountedLidar(robot, REAR)
    robot.world.add(standing("post", Disc(0.5), Pose(13.0, 10.0, 0.0)))
    assert look(front, 0, 0.0) == pytest.approx([2.0], abs=1e-6)
    (behind_m,) = look(rear, 0, 0.0)
    robot.wheels.set_wheel_speeds(5.0, 5.0)
    robot.advance(2_000_000_000)
    moved_m = robot.truth.pose.x_m - 10.0
    assert moved_m > 0.5
    assert look(front, 2_000_000_000, 0.0) == pytest.approx([2.0 - moved_m], abs=1e-6)
    assert look(rear, 2_000_000_000, 0.0) == pytest.approx([behind_m + moved_m], abs=1e-6)


def test_the_robot_stands_in_its_own_way():
    rear = MountedLidar(plant(), REAR)
    # 5 cm behind the robot: straight ahead of it is too near to be seen, aslant it is not.
    assert math.isnan(look(rear, 0, 180.0)[0])
    assert look(rear, 0, 105.0) == pytest.approx([0.05 / math.sin(math.radians(15.0))], abs=1e-6)
    assert look(rear, 0, 90.0)[0] > 5.0


@given(st.floats(-2.0, 2.0), st.floats(-2.0, 2.0), st.floats(-3.1, 3.1), st.floats(-3.1, 3.1))
def test_where_a_ray_meets_the_outline(x_m, y_m, yaw_rad, bearing_rad):
    mount = Pose(x_m, y_m, yaw_rad)
    (range_m,) = body_ranges_m(np.array([bearing_rad]), mount, LENGTH_M, WIDTH_M)
    steps_m = np.arange(0.0, 5.0, 0.01)
    heading = yaw_rad + bearing_rad
    along_x_m = np.abs(x_m + steps_m * math.cos(heading)) - LENGTH_M / 2
    along_y_m = np.abs(y_m + steps_m * math.sin(heading)) - WIDTH_M / 2
    inside_m = np.maximum(along_x_m, along_y_m)
    if inside_m[0] <= 0.0:
        assert math.isnan(range_m)
    elif inside_m.min() < -0.01:
        assert range_m == pytest.approx(steps_m[np.argmax(inside_m < 0.0)], abs=0.011)
    elif inside_m.min() > 0.011:
        assert math.isnan(range_m)
