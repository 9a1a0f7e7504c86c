"""A ray through a grid in small steps."""

import math

import numpy as np


def first_surface_m(
    occupied: np.ndarray,
    resolution_m: float,
    origin_m: tuple[float, float],
    heading_rad: float,
    reach_m: float,
) -> float:
    """Way until the ray is in an occupied cell or off the grid, in fiftieths of a cell."""
    step_m = resolution_m / 50
    for index in range(int(reach_m / step_m)):
        way_m = index * step_m
        column = math.floor((origin_m[0] + way_m * math.cos(heading_rad)) / resolution_m)
        row = math.floor((origin_m[1] + way_m * math.sin(heading_rad)) / resolution_m)
        if not (0 <= row < occupied.shape[0] and 0 <= column < occupied.shape[1]):
            return reach_m
        if occupied[row, column]:
            return way_m
    return reach_m
