"""A picture of a drive: map, way, scan, obstacle."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from agent.mapping.occupancy_grid import OccupancyGrid
from hil.plant.world import Box, Pose

Points: TypeAlias = Sequence[tuple[float, float]]

PIXELS_PER_M = 24
OCCUPIED_COLOR = (60, 60, 66)
UNKNOWN_COLOR = (214, 216, 220)
FREE_COLOR = (255, 255, 255)
ROUTE_COLOR = (190, 205, 232)
TRUE_COLOR = (27, 94, 178)
ESTIMATE_COLOR = (235, 126, 20)
SCAN_COLOR = (210, 30, 45)
OBSTACLE_COLOR = (190, 60, 160)
TEXT_COLOR = (30, 30, 30)


@dataclass(slots=True)
class Drawing:
    """What goes on the picture, all in the map frame.

    Attributes:
        grid: The map.
        route: The way that was ordered.
        true_path: Where the robot really drove.
        estimated_path: Where it believed to drive.
        scan: Points of one scan.
        scan_pose: Where the robot was at that scan.
        obstacle: What stood in the way, and where.
        labels: Names of places.
        caption: One line below.
    """

    grid: OccupancyGrid
    route: Points = ()
    true_path: Points = ()
    estimated_path: Points = ()
    scan: Points = ()
    scan_pose: Pose | None = None
    obstacle: tuple[Box, Pose] | None = None
    labels: dict[str, tuple[float, float]] = field(default_factory=dict)
    caption: str = ""


def draw(drawing: Drawing, path: Path) -> None:
    """Draw and write a PNG."""
    canvas = _Canvas(drawing.grid)
    canvas.line(drawing.route, ROUTE_COLOR, 9)
    if drawing.obstacle is not None:
        canvas.box(*drawing.obstacle, OBSTACLE_COLOR)
    canvas.line(drawing.true_path, TRUE_COLOR, 4)
    canvas.line(drawing.estimated_path, ESTIMATE_COLOR, 2)
    canvas.dots(drawing.scan, SCAN_COLOR)
    if drawing.scan_pose is not None:
        canvas.box(Box(0.9, 0.6), drawing.scan_pose, TRUE_COLOR)
    for name, place in drawing.labels.items():
        canvas.text(name, place)
    legend = (
        ("ordered route", ROUTE_COLOR),
        ("true path", TRUE_COLOR),
        ("estimated path", ESTIMATE_COLOR),
        ("scan while waiting", SCAN_COLOR),
        ("unexpected obstacle", OBSTACLE_COLOR),
    )
    canvas.legend(legend, drawing.caption)
    canvas.image.save(path)


class _Canvas:
    """An image in map coordinates."""

    def __init__(self, grid: OccupancyGrid) -> None:
        colors = np.full((*grid.cells.shape, 3), UNKNOWN_COLOR, np.uint8)
        colors[grid.free] = FREE_COLOR
        colors[grid.occupied] = OCCUPIED_COLOR
        scale = PIXELS_PER_M * grid.resolution_m
        size = (round(grid.columns * scale), round(grid.rows * scale))
        # Row 0 of the grid is its lower edge, row 0 of an image its upper one.
        plain = Image.fromarray(colors[::-1])
        self.image = plain.resize(size, Image.Resampling.NEAREST)
        self._draw = ImageDraw.Draw(self.image)
        self._grid_from_map = grid.map_from_grid.inverse()

    def _pixel(self, x_m: float, y_m: float) -> tuple[float, float]:
        grid_x_m, grid_y_m = self._grid_from_map.transform(x_m, y_m)
        return grid_x_m * PIXELS_PER_M, self.image.height - grid_y_m * PIXELS_PER_M

    def line(self, points: Points, color: tuple[int, int, int], width: int) -> None:
        if len(points) > 1:
            pixels = [self._pixel(*point) for point in points]
            self._draw.line(pixels, fill=color, width=width, joint="curve")

    def dots(self, points: Points, color: tuple[int, int, int]) -> None:
        for point in points:
            x, y = self._pixel(*point)
            self._draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=color)

    def box(self, box: Box, pose: Pose, color: tuple[int, int, int]) -> None:
        cos, sin = math.cos(pose.yaw_rad), math.sin(pose.yaw_rad)
        corners = []
        for along, across in ((1, 1), (1, -1), (-1, -1), (-1, 1)):
            x_m, y_m = along * box.length_m / 2, across * box.width_m / 2
            corners.append(
                self._pixel(pose.x_m + cos * x_m - sin * y_m, pose.y_m + sin * x_m + cos * y_m)
            )
        self._draw.polygon(corners, outline=color, fill=(*color, 255), width=2)

    def text(self, text: str, place: tuple[float, float]) -> None:
        x, y = self._pixel(*place)
        self._draw.ellipse((x - 5, y - 5, x + 5, y + 5), outline=TEXT_COLOR, width=2)
        self._draw.text((x + 9, y - 22), text, fill=TEXT_COLOR, font_size=18)

    def legend(self, entries: Sequence[tuple[str, tuple[int, int, int]]], caption: str) -> None:
        """Put colours and caption below the map, where they hide nothing."""
        whole = Image.new("RGB", (self.image.width, self.image.height + 70), FREE_COLOR)
        whole.paste(self.image)
        draw = ImageDraw.Draw(whole)
        x, y = 16.0, self.image.height + 10
        for name, color in entries:
            draw.rectangle((x, y + 4, x + 26, y + 18), fill=color)
            draw.text((x + 34, y), name, fill=TEXT_COLOR, font_size=18)
            x += 60 + draw.textlength(name, font_size=18)
        draw.text((16, y + 30), caption, fill=TEXT_COLOR, font_size=18)
        self.image = whole
