"""Where the pilot is told to be: the truth, the truth with noise, or what the agent finds out."""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist
from agent.localization.place import Place
from agent.mapping.occupancy_grid import OccupancyGrid
from drivers.measurement import Odometry, Scan
from hil.arena.course import Course
from hil.localizer_rig import LIDAR, LocalizerRig, prepare

# From the true pose, the scan, the velocity and the monotonic time to ``map_from_base``.
PoseSource: TypeAlias = Callable[[Pose2, Scan, Twist, int], Pose2]


def true_pose(truth: Pose2, scan: Scan, velocity: Twist, now_ns: int) -> Pose2:
    """Tell the truth."""
    return truth


class NoisyPose:
    """Tells the truth with an error of its own in every cycle.

    Args:
        rng: Source of noise.
        position_m: Standard deviation of x and of y.
        heading_rad: Standard deviation of the heading.
    """

    def __init__(self, rng: np.random.Generator, position_m: float, heading_rad: float) -> None:
        self._rng = rng
        self._sigmas = np.array([position_m, position_m, heading_rad])

    def __call__(self, truth: Pose2, scan: Scan, velocity: Twist, now_ns: int) -> Pose2:
        """Tell a pose near the true one."""
        x_m, y_m, yaw_rad = (self._sigmas * self._rng.standard_normal(3)).tolist()
        return Pose2(truth.x_m + x_m, truth.y_m + y_m, truth.yaw_rad + yaw_rad)


MAP_CELL_M = 0.05
MAP_BORDER_M = 3.0
WHEEL_SCALE = 1.01  # how much farther the odometry is than the truth
SLIP_PER_SQRT_M = 0.01  # standard deviation of its error after a metre, in m


class OwnLocalization:
    """Tells what the agent's localizer makes of scans, odometry and a map of the course.

    Args:
        course: The course; what stands on it is on the map, what moves is not.
        rng: Source of the odometry's errors.
    """

    def __init__(self, course: Course, rng: np.random.Generator) -> None:
        self._rig = LocalizerRig(_map_of(course), course.start)
        self._rng = rng
        self._truth = course.start
        self._odom_from_base = Pose2.identity()

    def __call__(self, truth: Pose2, scan: Scan, velocity: Twist, now_ns: int) -> Pose2:
        """Tell where the localizer believes the robot to be."""
        moved = self._truth.inverse() @ truth
        self._truth = truth
        slip = SLIP_PER_SQRT_M * math.sqrt(moved.distance_m(Pose2.identity()))
        noise_m, noise_rad = (slip * self._rng.standard_normal(2)).tolist()
        told = Pose2(WHEEL_SCALE * moved.x_m + noise_m, moved.y_m, moved.yaw_rad + noise_rad)
        self._odom_from_base = self._odom_from_base @ told
        pose = self._odom_from_base
        self._rig.take(
            Odometry(
                now_ns,
                now_ns,
                pose.x_m,
                pose.y_m,
                pose.yaw_rad,
                velocity.forward_mps,
                velocity.yaw_rate_radps,
            )
        )
        self._rig.take((LIDAR, scan))
        estimate = self._rig.tick(now_ns)
        return truth if estimate is None else estimate.map_from_base


def _map_of(course: Course) -> Place:
    """Draw what stands on a course; raises MapError where nothing does."""
    marks = [course.cylinders[:, :2], course.walls.reshape(-1, 2), [course.goal_m]]
    places_m = np.concatenate([*marks, [[course.start.x_m, course.start.y_m]]])
    low_m = places_m.min(axis=0) - MAP_BORDER_M
    columns, rows = np.ceil((places_m.max(axis=0) + MAP_BORDER_M - low_m) / MAP_CELL_M).astype(int)
    xs = low_m[0] + (np.arange(columns) + 0.5) * MAP_CELL_M
    ys = low_m[1] + (np.arange(rows) + 0.5) * MAP_CELL_M
    cells = np.zeros((rows, columns), np.int8)
    for x_m, y_m, radius_m in course.cylinders:
        away_m = np.hypot(xs[None, :] - x_m, ys[:, None] - y_m)
        cells[np.abs(away_m - radius_m) <= MAP_CELL_M / 2] = 100
    for start_x, start_y, end_x, end_y in course.walls:
        pieces = max(2, math.ceil(math.hypot(end_x - start_x, end_y - start_y) / MAP_CELL_M) * 2)
        line = np.linspace((start_x, start_y), (end_x, end_y), pieces)
        at = np.floor((line - low_m) / MAP_CELL_M).astype(int)
        cells[at[:, 1], at[:, 0]] = 100
    cells.setflags(write=False)
    origin = Pose2(float(low_m[0]), float(low_m[1]), 0.0)
    return prepare(OccupancyGrid(cells, MAP_CELL_M, origin))
