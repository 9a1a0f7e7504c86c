"""Clouds of points in the plane, shape ``(n, 2)``, x and y in m."""

import math

import numpy as np
from numpy.typing import NDArray

from agent.geometry.pose import Pose2


def moved(parent_from_child: Pose2, points_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take points of the child frame to the parent frame.

    Args:
        parent_from_child: The transform.
        points_m: Shape ``(n, 2)``.
    """
    # Written out instead of a matrix product: BLAS may round differently elsewhere.
    cos, sin = math.cos(parent_from_child.yaw_rad), math.sin(parent_from_child.yaw_rad)
    x_m, y_m = points_m[:, 0], points_m[:, 1]
    return np.column_stack(
        [
            parent_from_child.x_m + cos * x_m - sin * y_m,
            parent_from_child.y_m + sin * x_m + cos * y_m,
        ]
    )


def thinned(points: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Return at most so many rows of an array, evenly picked from the first to the last."""
    if len(points) <= most:
        return points
    return points[np.linspace(0, len(points) - 1, most).astype(np.intp)]
