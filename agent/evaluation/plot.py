"""A picture of a trajectory over its map."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agent.errors import LogError
from agent.evaluation.localization import Evaluation
from agent.evaluation.trajectory import StampedPose
from agent.geometry.pose import Pose2
from agent.mapping.occupancy_grid import UNKNOWN, OccupancyGrid

UNKNOWN_GREY, FREE_GREY, OCCUPIED_GREY = 225, 255, 70
REFERENCE = (60, 160, 75)
LOCALIZED = (30, 95, 200)
LOST = (215, 40, 40)


def plot(
    path: Path,
    grid: OccupancyGrid,
    evaluation: Evaluation,
    reference: Sequence[StampedPose] | None,
) -> None:
    """Draw a PNG: the reference in green, the way in blue, and in red where it was lost.

    Args:
        path: The file.
        grid: The map.
        evaluation: Trajectory and health.
        reference: The truth, if there is one.

    Raises:
        LogError: Pillow is missing, or the file cannot be written.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise LogError("--plot needs Pillow: install haulier[maps]") from error
    shades = np.full(grid.cells.shape, OCCUPIED_GREY, np.uint8)
    shades[grid.free] = FREE_GREY
    shades[grid.cells == UNKNOWN] = UNKNOWN_GREY
    picture = Image.fromarray(shades[::-1]).convert("RGB")
    pen = ImageDraw.Draw(picture)

    def pixel(pose: Pose2) -> tuple[float, float]:
        x_m, y_m = grid.map_from_grid.inverse().transform(pose.x_m, pose.y_m)
        return x_m / grid.resolution_m, grid.rows - y_m / grid.resolution_m

    for stamped in reference or ():
        x, y = pixel(stamped.pose)
        pen.ellipse((x - 2, y - 2, x + 2, y + 2), outline=REFERENCE)
    way = [pixel(stamped.pose) for stamped in evaluation.trajectory]
    for start, end, is_good in zip(way, way[1:], evaluation.localized[1:], strict=False):
        pen.line((start, end), fill=LOCALIZED if is_good else LOST)
    for transition in evaluation.transitions:
        x, y = pixel(transition.pose)
        color = LOCALIZED if transition.localized else LOST
        pen.rectangle((x - 4, y - 4, x + 4, y + 4), outline=color)
    try:
        picture.save(path, format="PNG")
    except OSError as error:
        raise LogError(f"{path}: {error.strerror or error}") from error
