"""Whether there is any way through a course of moving discs, known beforehand.

A search in cells and time for a round robot that turns and changes speed at once. With the circle
inside its footprint it finds too much, with the circle around it too little: what the second finds
is a way for the shape of the robot, what the first does not find is none on this grid.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from hil.arena.course import GOAL_RADIUS_M, Course
from hil.arena.profile import LENGTH_M, WIDTH_M
from hil.errors import BenchError
from hil.plant.arena_kernels import earliest_arrival

INSCRIBED_M: Final = min(LENGTH_M, WIDTH_M) / 2.0
CIRCUMSCRIBED_M: Final = math.hypot(LENGTH_M, WIDTH_M) / 2.0

_CELL_M: Final = 0.1
_STEP_S: Final = 0.2
_SAMPLES: Final = 8


@dataclass(frozen=True, slots=True)
class Passage:
    """When the goal could be reached at the earliest, in s from the beginning, None for never.

    Attributes:
        inscribed_s: By the circle inside the footprint.
        circumscribed_s: By the circle around it.
    """

    inscribed_s: float | None
    circumscribed_s: float | None


def find_passage(course: Course, speed_mps: float) -> Passage:
    """Search a course of moving discs only, inside the field in which they move.

    Raises:
        BenchError: The course has something that stands.
    """
    if len(course.walls) or len(course.cylinders) or not course.walkers:
        raise BenchError(f"course {course.name} is none of moving discs only")
    return Passage(
        _arrival_s(course, speed_mps, INSCRIBED_M), _arrival_s(course, speed_mps, CIRCUMSCRIBED_M)
    )


def _arrival_s(course: Course, speed_mps: float, radius_m: float) -> float | None:
    start_m = np.array([course.start.x_m, course.start.y_m])
    field = np.vstack([start_m, course.goal_m, *(walker.places_m for walker in course.walkers)])
    # The start is the middle of a cell.
    before = np.floor((start_m - field.min(axis=0)) / _CELL_M).astype(np.int64)
    after = np.floor((field.max(axis=0) - start_m) / _CELL_M).astype(np.int64)
    origin_m = start_m - before * _CELL_M
    columns, rows = (before + after + 1).tolist()
    xs_m = origin_m[0] + _CELL_M * np.arange(columns)
    ys_m = origin_m[1] + _CELL_M * np.arange(rows)
    goal_x_m, goal_y_m = course.goal_m
    at_goal = np.hypot(xs_m - goal_x_m, ys_m[:, None] - goal_y_m) <= GOAL_RADIUS_M

    steps = round(course.limit_s / _STEP_S)
    moments_s = np.linspace(0.0, steps * _STEP_S, steps * _SAMPLES + 1)
    discs = course.walkers_at(moments_s)
    longest = math.floor(speed_mps * _STEP_S / _CELL_M + 1e-9)
    offsets = np.arange(-longest, longest + 1)
    moves = np.stack(np.meshgrid(offsets, offsets, indexing="ij"), axis=-1).reshape(-1, 2)
    lengths_m = _CELL_M * np.hypot(moves[:, 0], moves[:, 1])
    step = earliest_arrival(
        np.ascontiguousarray(discs[:, :, :2]),
        discs[0, :, 2] + radius_m,
        _SAMPLES,
        moves[lengths_m <= speed_mps * _STEP_S + 1e-9],
        _CELL_M,
        origin_m,
        before[::-1].copy(),
        at_goal,
    )
    return None if step < 0 else round(step * _STEP_S, 6)
