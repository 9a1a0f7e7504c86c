"""Motion of particles by noisy odometry."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def propagate(
    poses: NDArray[np.float64],
    turn_rad: float,
    distance_m: float,
    final_turn_rad: float,
    stddevs: tuple[float, float, float],
    generator: np.random.Generator,
) -> None:
    """Move each pose by a turn, a straight line and a turn, each with its own noise, in place.

    Thrun, Burgard, Fox, "Probabilistic Robotics" (2005), table 5.6, lines 5 to 10.

    Args:
        poses: float64, shape ``(n, 3)``, x, y, yaw; yaw is left unwrapped.
        turn_rad: First turn, towards where the base went.
        distance_m: Length of the line, negative when reversing.
        final_turn_rad: Second turn, to the final heading.
        stddevs: Noise of the three, in their order.
        generator: ``numpy.random.Generator``, drawn from three times per pose.
    """
    for i in range(poses.shape[0]):
        turn = turn_rad + stddevs[0] * generator.standard_normal()
        distance = distance_m + stddevs[1] * generator.standard_normal()
        final_turn = final_turn_rad + stddevs[2] * generator.standard_normal()
        heading = poses[i, 2] + turn
        poses[i, 0] += distance * math.cos(heading)
        poses[i, 1] += distance * math.sin(heading)
        poses[i, 2] = heading + final_turn
