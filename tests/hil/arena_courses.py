"""Small courses and scripted pilots for the tests of the arena."""

import math

import numpy as np

from agent.geometry.pose import Pose2
from drivers.measurement import VelocityCommand
from hil.arena.course import Course, Walker

LIFETIME_NS = 100_000_000


def course(**changes):
    """A straight way of 5 m to the goal's circle, with nothing in it."""
    standard = {
        "name": "test",
        "start": Pose2(0.0, 0.0, 0.0),
        "goal_m": (6.0, 0.0),
        "path_length_m": 6.0,
        "limit_s": 20.0,
    }
    return Course(**(standard | changes))


def walker(*frames, radius_m=0.5):
    """A moving disc from key frames t, x, y."""
    table = np.array(frames, dtype=float)
    return Walker(radius_m, table[:, 0].copy(), table[:, 1:].copy())


def row_of_cylinders(x_m):
    """A wall of cylinders across the way."""
    ys_m = np.arange(-2.0, 2.01, 0.1)
    return np.column_stack((np.full(ys_m.size, x_m), ys_m, np.full(ys_m.size, 0.075)))


class Straight:
    """Always commands the same, and keeps what it was shown."""

    def __init__(self, forward_mps, yaw_rate_radps=0.0):
        self.command = (forward_mps, yaw_rate_radps)
        self.seen = []

    def step(self, scan, pose, velocity, path, goal, now_ns):
        self.seen.append((scan, pose, velocity, path, goal, now_ns))
        return VelocityCommand(*self.command, now_ns + LIFETIME_NS)


class Homing:
    """Turns towards the goal and slows down before what it sees ahead."""

    def __init__(self, forward_mps):
        self.forward_mps = forward_mps

    def step(self, scan, pose, velocity, path, goal, now_ns):
        aside = math.atan2(goal.y_m - pose.y_m, goal.x_m - pose.x_m) - pose.yaw_rad
        ahead = scan.ranges_m[np.abs(scan.angles_rad) < 0.3]
        free_m = np.nanmin(ahead) if np.isfinite(ahead).any() else 30.0
        speed = min(self.forward_mps, float(free_m))
        return VelocityCommand(speed, math.remainder(aside, math.tau), now_ns + LIFETIME_NS)
