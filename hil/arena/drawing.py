"""A picture of a drive through a course."""

import math
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from hil.arena.course import GOAL_RADIUS_M, Course, FloatArray
from hil.arena.profile import LENGTH_M, WIDTH_M
from hil.arena.result import RunResult
from hil.errors import BenchError
from hil.picture import (
    FREE_COLOR,
    OBSTACLE_COLOR,
    OCCUPIED_COLOR,
    ROUTE_COLOR,
    SCAN_COLOR,
    TEXT_COLOR,
    TRUE_COLOR,
)
from hil.plant.world import Pose, place, rectangle

Color: TypeAlias = tuple[int, int, int]

_LONGER_SIDE_PX = 1100
_MARGIN_M = 0.5
_CAPTION_PX = 56
_TRAIL_S = 2.0
_FONT_PX = 16


def draw(course: Course, result: RunResult, top_speed_mps: float, path: Path) -> None:
    """Write a PNG: the course, and the way from slow in blue to fast in red.

    The robot's outline is drawn every second. What moves is drawn where it was at the end, with
    its way in the two seconds before.

    Args:
        course: The course.
        result: The drive.
        top_speed_mps: Speed of the reddest part.
        path: The file.

    Raises:
        BenchError: The file cannot be written.
    """
    canvas = _Canvas(_bounds(course, result))
    _draw_course(canvas, course, float(result.trajectory.times_s[-1]))
    _draw_way(canvas, result, top_speed_mps)
    canvas.caption(_caption(result), top_speed_mps)
    try:
        canvas.image.save(path, format="PNG")
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror or error}") from error


def _bounds(course: Course, result: RunResult) -> FloatArray:
    """Return lower left and upper right of what is drawn, shape ``(2, 2)``."""
    points = np.vstack(
        [
            result.trajectory.states[:, :2],
            np.array(course.goal_m) - GOAL_RADIUS_M,
            np.array(course.goal_m) + GOAL_RADIUS_M,
            course.walls.reshape(-1, 2),
            course.cylinders[:, :2],
            *(walker.places_m for walker in course.walkers),
        ]
    )
    return np.stack([points.min(axis=0) - _MARGIN_M, points.max(axis=0) + _MARGIN_M])


def _draw_course(canvas: "_Canvas", course: Course, end_s: float) -> None:
    canvas.line(course.reference_path_m, ROUTE_COLOR, 3)
    canvas.circle(course.goal_m, GOAL_RADIUS_M, None, TRUE_COLOR)
    for wall in course.walls:
        canvas.line(wall.reshape(2, 2), OCCUPIED_COLOR, 3)
    for x_m, y_m, radius_m in course.cylinders.tolist():
        canvas.circle((x_m, y_m), radius_m, OCCUPIED_COLOR, OCCUPIED_COLOR)
    moments_s = np.linspace(max(end_s - _TRAIL_S, 0.0), end_s, 41)
    trails = course.walkers_at(moments_s)
    for number, walker in enumerate(course.walkers):
        x_m, y_m, radius_m = trails[-1, number].tolist()
        jumps = [walker.jumps_between(start_s, end_s) for start_s in moments_s.tolist()]
        canvas.line(trails[sum(jumps) :, number, :2], OBSTACLE_COLOR, 2)
        canvas.circle((x_m, y_m), radius_m, None, OBSTACLE_COLOR)


def _draw_way(canvas: "_Canvas", result: RunResult, top_speed_mps: float) -> None:
    times_s, states = result.trajectory.times_s, result.trajectory.states
    for before, after in pairwise(states):
        color = _speed_color(abs(float(after[3])) / top_speed_mps)
        canvas.line(np.stack([before[:2], after[:2]]), color, 3)
    outline = rectangle(LENGTH_M / 2.0, WIDTH_M / 2.0)
    for second in range(math.floor(times_s[-1]) + 1):
        x_m, y_m, yaw_rad, *_ = states[np.searchsorted(times_s, second)].tolist()
        canvas.polygon(place(outline, Pose(x_m, y_m, yaw_rad)), TRUE_COLOR, 1)
    last = Pose(*states[-1, :3].tolist())
    canvas.polygon(place(outline, last), SCAN_COLOR if result.contact else TRUE_COLOR, 3)


def _caption(result: RunResult) -> str:
    if result.success:
        outcome = f"at the goal after {result.time_s:.2f} s, score {result.score:.3f}"
    elif result.contact:
        outcome = f"touched {result.contact.obstacle} at {result.contact.closing_mps:.2f} m/s"
    else:
        outcome = "too late"
    return f"course {result.course}: {outcome}"


def _speed_color(share: float) -> Color:
    """From blue at 0 over violet to red at 1."""
    mixed = (1.0 - min(share, 1.0)) * np.array(TRUE_COLOR) + min(share, 1.0) * np.array(SCAN_COLOR)
    red, green, blue = np.rint(mixed).astype(int).tolist()
    return red, green, blue


class _Canvas:
    """An image in the frame of a course, with a caption below."""

    def __init__(self, bounds_m: FloatArray) -> None:
        self._low_m = bounds_m[0]
        size_m = bounds_m[1] - bounds_m[0]
        self._scale = _LONGER_SIDE_PX / float(size_m.max())
        width, self._height = np.ceil(size_m * self._scale).astype(int).tolist()
        size = (max(width, 480), self._height + _CAPTION_PX)
        self.image = Image.new("RGB", size, FREE_COLOR)
        self._draw = ImageDraw.Draw(self.image)

    def _pixels(self, points_m: FloatArray) -> list[tuple[float, float]]:
        scaled = (points_m - self._low_m) * self._scale
        return [(x, self._height - y) for x, y in scaled.tolist()]

    def line(self, points_m: FloatArray, color: Color, width: int) -> None:
        if len(points_m) > 1:
            self._draw.line(self._pixels(points_m), fill=color, width=width)

    def polygon(self, corners_m: FloatArray, color: Color, width: int) -> None:
        self._draw.polygon(self._pixels(corners_m), outline=color, width=width)

    def circle(
        self, middle_m: tuple[float, float], radius_m: float, fill: Color | None, outline: Color
    ) -> None:
        ((x, y),) = self._pixels(np.array([middle_m]))
        radius = radius_m * self._scale
        box = (x - radius, y - radius, x + radius, y + radius)
        self._draw.ellipse(box, fill=fill, outline=outline, width=2)

    def caption(self, text: str, top_speed_mps: float) -> None:
        self._draw.text((12, self._height + 4), text, fill=TEXT_COLOR, font_size=_FONT_PX)
        y = self._height + 30
        for x in range(100):
            self._draw.line((12 + x, y, 12 + x, y + 14), fill=_speed_color(x / 100.0))
        scale = f"0 to {top_speed_mps:.1f} m/s"
        self._draw.text((122, y - 3), scale, fill=TEXT_COLOR, font_size=_FONT_PX)
