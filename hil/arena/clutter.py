"""Courses among cylinders, as dense as those of the BARN Challenge, where no file of them is there.

Shape and size follow Perille et al., "Benchmarking Metric Ground Navigation", SSRR 2020: cells of
0.15 m, a cylinder in each that is filled, start and goal 10 m apart, a wall of cylinders behind the
start and on both sides. What stands in between is drawn cell by cell here, beside a winding way
that is kept free.
"""

import math
from typing import Final

import numpy as np

from agent.geometry.pose import Pose2
from hil.arena.course import Course, FloatArray

CELL_M: Final = 0.15
WIDTH_M: Final = 4.5
LENGTH_M: Final = 9.6
WAY_HALF_M: Final = 0.5  # from the way's middle to the nearest cylinder's
FILLED: Final = 0.2
LIMIT_S: Final = 100.0

_BEND_M: Final = (0.5, 1.2)
_WAVE_M: Final = (5.0, 9.0)
_START_M, _GOAL_M = 3.0, 13.0


def make_clutter(number: int, seed: int) -> Course:
    """Return a course; it follows from the number and the seed alone."""
    rng = np.random.default_rng([seed, number])
    way_m = _way(rng)
    across_m, along_m = (
        (np.arange(round(size / CELL_M)) + 0.5) * CELL_M for size in (WIDTH_M, LENGTH_M)
    )
    x_m, y_m = (axis.ravel() for axis in np.meshgrid(across_m - WIDTH_M / 2.0, along_m))
    border = (np.abs(x_m) > WIDTH_M / 2.0 - CELL_M) | (y_m < CELL_M)
    # Room to stand at the start, as in the challenge.
    filled = border | ((rng.random(x_m.size) < FILLED) & (y_m > _START_M + 1.0))
    beside_m = np.hypot(x_m[:, None] - way_m[:, 0], y_m[:, None] - way_m[:, 1]).min(axis=1)
    kept = filled & (beside_m > WAY_HALF_M)
    steps_m = np.hypot(*np.diff(way_m, axis=0).T)
    return Course(
        name=f"clutter-{number}",
        start=Pose2(0.0, _START_M, math.pi / 2.0),
        goal_m=(0.0, _GOAL_M),
        path_length_m=float(steps_m.sum()),
        limit_s=LIMIT_S,
        reference_path_m=way_m,
        cylinders=np.column_stack((x_m, y_m, np.full(x_m.size, CELL_M / 2.0)))[kept],
    )


def _way(rng: np.random.Generator) -> FloatArray:
    """Return a winding line from start to goal, straight at both ends."""
    y_m = np.arange(_START_M, _GOAL_M + 0.025, 0.05)
    bend_m, wave_m = rng.uniform(*_BEND_M), rng.uniform(*_WAVE_M)
    phase_rad = rng.uniform(0.0, math.tau)
    ends = np.clip(np.minimum(y_m - _START_M, _GOAL_M - y_m) / 2.0, 0.0, 1.0)
    x_m = ends * bend_m * np.sin(math.tau * y_m / wave_m + phase_rad)
    return np.column_stack((x_m, y_m))
