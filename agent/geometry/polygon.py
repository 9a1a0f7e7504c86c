"""Polygons as arrays of corners, shape ``(corners, 2)``, in order along the outline."""

import numpy as np
from numpy.typing import NDArray


def rectangle(length_m: float, width_m: float, center_x_m: float = 0.0) -> NDArray[np.float64]:
    """Return the corners of a rectangle along x, counter-clockwise, read-only."""
    front, rear = center_x_m + length_m / 2, center_x_m - length_m / 2
    half = width_m / 2
    corners = np.array([[front, -half], [front, half], [rear, half], [rear, -half]])
    corners.setflags(write=False)
    return corners
