"""Compiled rays against surfaces: straight segments that lie anywhere, on no grid.

A table of surfaces is float64, shape ``(surfaces, 4)``: x, y of one end and of the other (m).
"""

import math
from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]


@njit(cache=True, nogil=True)
def cast_surfaces(
    surfaces: FloatArray,
    xs_m: FloatArray,
    ys_m: FloatArray,
    angles_rad: FloatArray,
    max_range_m: float,
    ranges_m: FloatArray,
) -> None:
    """Cast rays, each from its own place; NaN where nothing is within reach.

    Args:
        surfaces: float64, see the module; both sides of a surface are seen.
        xs_m: float64, shape ``(rays,)``, where each ray starts, in the frame of the surfaces.
        ys_m: The same for y.
        angles_rad: float64, shape ``(rays,)``, direction of each ray in that frame.
        max_range_m: Reach of the sensor.
        ranges_m: float64, shape ``(rays,)``, written.
    """
    for i in range(angles_rad.size):
        x, y = xs_m[i], ys_m[i]
        dx, dy = math.cos(angles_rad[i]), math.sin(angles_rad[i])
        nearest = math.inf
        for j in range(surfaces.shape[0]):
            to_x, to_y = surfaces[j, 0] - x, surfaces[j, 1] - y
            edge_x, edge_y = surfaces[j, 2] - surfaces[j, 0], surfaces[j, 3] - surfaces[j, 1]
            # Cramer's rule; most surfaces are passed, and those cost no division.
            cross = dx * edge_y - dy * edge_x
            across = to_x * dy - to_y * dx
            if cross < 0.0:
                across = -across
            if cross == 0.0 or across < 0.0 or across > abs(cross):
                continue
            along = (to_x * edge_y - to_y * edge_x) / cross
            if 0.0 <= along < nearest:
                nearest = along
        ranges_m[i] = nearest if nearest <= max_range_m else math.nan
