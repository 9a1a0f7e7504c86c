"""Lidars anywhere on the plant's robot, which see the robot itself where it is in their way."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hil.plant.plant import LidarParameters, Plant
from hil.plant.world import Pose

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scanner:
    """A lidar of a scenario.

    Attributes:
        parameters: Its place on the robot and the limits of its eyes.
        mask: The sectors in which an integrator would have it ignore the robot itself: from and to
            in rad, counter-clockwise, in its own frame.
    """

    parameters: LidarParameters
    mask: tuple[tuple[float, float], ...] = ()


class MountedLidar:
    """What one lidar measures; a :class:`hil.emulator.device.RangeSource`."""

    def __init__(self, plant: Plant, parameters: LidarParameters) -> None:
        self._plant = plant
        self._parameters = parameters

    def __call__(self, stamps_ns: NDArray[np.int64], bearings_rad: FloatArray) -> FloatArray:
        """Return the range of each ray in m, NaN for none, shape ``(rays,)``."""
        robot, parameters = self._plant.robot, self._parameters
        ranges_m = self._plant.lidar_ranges(stamps_ns, bearings_rad, parameters)
        body_m = body_ranges_m(
            bearings_rad, parameters.base_from_lidar, robot.length_m, robot.width_m
        )
        seen_m = np.fmin(ranges_m, body_m)
        seen_m[body_m < parameters.min_range_m] = math.nan
        return seen_m


def body_ranges_m(
    bearings_rad: FloatArray, base_from_lidar: Pose, length_m: float, width_m: float
) -> FloatArray:
    """Return how far along each ray the robot's own outline begins, NaN where it does not.

    A lidar within the outline stands on top of the robot and sees nothing of it.

    Args:
        bearings_rad: Directions from the lidar's x axis, shape ``(rays,)``.
        base_from_lidar: Where the lidar is mounted.
        length_m: Of the outline, a rectangle around the base frame.
        width_m: Of the outline.
    """
    # Slab method (Kay, Kajiya, SIGGRAPH 1986): where a ray is between both pairs of sides at once.
    headings = bearings_rad + base_from_lidar.yaw_rad
    enters_m = np.full(bearings_rad.size, -math.inf)
    leaves_m = np.full(bearings_rad.size, math.inf)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        for at_m, along, half_m in (
            (base_from_lidar.x_m, np.cos(headings), length_m / 2),
            (base_from_lidar.y_m, np.sin(headings), width_m / 2),
        ):
            one_m, other_m = (-half_m - at_m) / along, (half_m - at_m) / along
            enters_m = np.maximum(enters_m, np.minimum(one_m, other_m))
            leaves_m = np.minimum(leaves_m, np.maximum(one_m, other_m))
    hit = (enters_m > 0.0) & (enters_m <= leaves_m)
    return np.where(hit, enters_m, math.nan)
