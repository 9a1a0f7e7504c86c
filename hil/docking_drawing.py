"""A picture of a docking."""

import math
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from agent.docking.carrier import Section
from agent.docking.manoeuvre import Phase
from agent.geometry.pose import Pose2
from hil.docking_bench import (
    CARRIER_LENGTH_M,
    CARRIER_WIDTH_M,
    EXPECTED,
    ROBOT_LENGTH_M,
    ROBOT_WIDTH_M,
    TICK_NS,
    DockingOutcome,
    DockingRecord,
    FloatArray,
)
from hil.errors import BenchError
from hil.picture import (
    ESTIMATE_COLOR,
    FREE_COLOR,
    OBSTACLE_COLOR,
    OCCUPIED_COLOR,
    ROUTE_COLOR,
    SCAN_COLOR,
    TEXT_COLOR,
    TRUE_COLOR,
)
from hil.plant.world import Disc, Pose, place, rectangle

Color: TypeAlias = tuple[int, int, int]

_PIXELS_PER_M: Final = 240
_LOW_M, _HIGH_M = np.array((-3.6, -2.0)), np.array((1.6, 2.0))
_CAPTION_PX: Final = 60
_FONT_PX: Final = 16
_OUTLINE_EVERY_S: Final = 2.0
_PHASE_COLORS: Final = {
    Phase.SEARCHING: OCCUPIED_COLOR,
    Phase.ALIGNING: ESTIMATE_COLOR,
    Phase.APPROACHING: TRUE_COLOR,
    Phase.FINAL: SCAN_COLOR,
}


def draw(outcome: DockingOutcome, record: DockingRecord, path: Path) -> None:
    """Write a PNG: carrier and expectation, the way in by its phases, the last scan, people.

    Args:
        outcome: How the docking ended.
        record: What happened.
        path: The file.

    Raises:
        BenchError: The file cannot be written.
    """
    canvas = _Canvas()
    canvas.polygon(_carrier_corners(EXPECTED), ROUTE_COLOR, 2)
    canvas.polygon(_carrier_corners(record.setting.world_from_carrier), OCCUPIED_COLOR, 1)
    _draw_legs(canvas, record)
    _draw_walkers(canvas, record)
    canvas.dots(record.points_m, OBSTACLE_COLOR)
    _draw_way(canvas, record)
    canvas.caption(_caption(outcome))
    try:
        canvas.image.save(path, format="PNG")
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror or error}") from error


def _carrier_corners(world_from_carrier: Pose2) -> FloatArray:
    outline = rectangle(CARRIER_LENGTH_M / 2, CARRIER_WIDTH_M / 2)
    pose = world_from_carrier
    return place(outline, Pose(pose.x_m, pose.y_m, pose.yaw_rad))


def _draw_legs(canvas: "_Canvas", record: DockingRecord) -> None:
    carrier_pose = record.setting.world_from_carrier
    for leg in record.setting.carrier.legs:
        x_m, y_m = carrier_pose.transform(leg.x_m, leg.y_m)
        half_m = leg.width_m / 2
        if leg.section is Section.ROUND:
            canvas.circle((x_m, y_m), half_m, OCCUPIED_COLOR, filled=True)
        else:
            square = place(rectangle(half_m, half_m), Pose(x_m, y_m, carrier_pose.yaw_rad))
            canvas.polygon(square, OCCUPIED_COLOR, 1, filled=True)


def _draw_walkers(canvas: "_Canvas", record: DockingRecord) -> None:
    for walker in record.setting.walkers:
        way = np.array([waypoint.pose[:2] for waypoint in walker.waypoints])
        canvas.line(way, OBSTACLE_COLOR, 1)
        if isinstance(walker.shape, Disc):
            canvas.circle(tuple(way[0].tolist()), walker.shape.radius_m, OBSTACLE_COLOR)


def _draw_way(canvas: "_Canvas", record: DockingRecord) -> None:
    outline = rectangle(ROBOT_LENGTH_M / 2, ROBOT_WIDTH_M / 2)
    way = np.array([pose[:2] for pose in record.true_path])
    for number in range(1, len(way)):
        color = _PHASE_COLORS.get(record.phases[number], SCAN_COLOR)
        canvas.line(way[number - 1 : number + 1], color, 3)
    for number in range(0, len(way), round(_OUTLINE_EVERY_S * 1e9 / TICK_NS)):
        canvas.polygon(place(outline, record.true_path[number]), ROUTE_COLOR, 1)
    canvas.polygon(place(outline, record.true_path[-1]), TRUE_COLOR, 3)


def _caption(outcome: DockingOutcome) -> str:
    ended = outcome.reason or outcome.phase
    touched = f", touched {outcome.contact}" if outcome.contact else ""
    return (
        f"run {outcome.run}: {ended} after {outcome.time_s:.1f} s, attempt {outcome.attempts}"
        f"{touched}; off by {1000 * outcome.along_m:.1f} mm along, "
        f"{1000 * outcome.lateral_m:.1f} mm across, {math.degrees(outcome.yaw_rad):.2f} deg"
    )


class _Canvas:
    """An image of the place around the carrier, with a caption below."""

    def __init__(self) -> None:
        width, self._height = np.ceil((_HIGH_M - _LOW_M) * _PIXELS_PER_M).astype(int).tolist()
        self.image = Image.new("RGB", (width, self._height + _CAPTION_PX), FREE_COLOR)
        self._draw = ImageDraw.Draw(self.image)

    def _pixels(self, points_m: FloatArray) -> list[tuple[float, float]]:
        scaled = (points_m - _LOW_M) * _PIXELS_PER_M
        return [(x, self._height - y) for x, y in scaled.tolist()]

    def line(self, points_m: FloatArray, color: Color, width: int) -> None:
        self._draw.line(self._pixels(points_m), fill=color, width=width)

    def dots(self, points_m: FloatArray, color: Color) -> None:
        inside = ((points_m > _LOW_M) & (points_m < _HIGH_M)).all(axis=1)
        for x, y in self._pixels(points_m[inside]):
            self._draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=color)

    def polygon(
        self, corners_m: FloatArray, color: Color, width: int, *, filled: bool = False
    ) -> None:
        fill = color if filled else None
        self._draw.polygon(self._pixels(corners_m), fill=fill, outline=color, width=width)

    def circle(
        self, middle_m: tuple[float, ...], radius_m: float, color: Color, *, filled: bool = False
    ) -> None:
        ((x, y),) = self._pixels(np.array([middle_m]))
        radius = radius_m * _PIXELS_PER_M
        box = (x - radius, y - radius, x + radius, y + radius)
        self._draw.ellipse(box, fill=color if filled else None, outline=color, width=2)

    def caption(self, text: str) -> None:
        below = (0, self._height, self.image.width, self.image.height)
        self._draw.rectangle(below, fill=FREE_COLOR)
        self._draw.text((12, self._height + 4), text, fill=TEXT_COLOR, font_size=_FONT_PX)
        x = 12.0
        for phase, color in _PHASE_COLORS.items():
            self._draw.rectangle((x, self._height + 34, x + 26, self._height + 48), fill=color)
            self._draw.text((x + 34, self._height + 31), phase, fill=TEXT_COLOR, font_size=_FONT_PX)
            x += 60 + self._draw.textlength(phase, font_size=_FONT_PX)
