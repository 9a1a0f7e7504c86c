"""Scans against fields, from the definitions."""

import math

import numpy as np


def ends(pose: np.ndarray, points_m: np.ndarray) -> np.ndarray:
    """Points of the base frame in the grid frame."""
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    return points_m @ np.array([[cos, -sin], [sin, cos]]).T + pose[:2]


def bilinear(field: np.ndarray, u: float, v: float) -> float | None:
    """Weighted mean of the four cells whose centres surround (u, v)."""
    column, row = math.floor(u - 0.5), math.floor(v - 0.5)
    a, b = u - 0.5 - column, v - 0.5 - row
    if not (0 <= column < field.shape[1] - 1 and 0 <= row < field.shape[0] - 1):
        return None
    corners = field[row : row + 2, column : column + 2].astype(np.float64)
    return float(np.array([1 - b, b]) @ corners @ np.array([1 - a, a]))


def residuals(
    pose: np.ndarray, points_m: np.ndarray, distance_m: np.ndarray, resolution_m: float
) -> list[float | None]:
    """Distance to the map of each point, None where the field has none."""
    return [
        bilinear(distance_m, x / resolution_m, y / resolution_m) for x, y in ends(pose, points_m)
    ]


def normal_equations(
    pose: np.ndarray,
    points_m: np.ndarray,
    distance_m: np.ndarray,
    resolution_m: float,
    kernel_m: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Newton with numerical derivatives and Geman-McClure weights."""
    hessian, gradient, step = np.zeros((3, 3)), np.zeros(3), 1e-7
    here = residuals(pose, points_m, distance_m, resolution_m)
    moved = [
        (
            residuals(pose + step * axis, points_m, distance_m, resolution_m),
            residuals(pose - step * axis, points_m, distance_m, resolution_m),
        )
        for axis in np.eye(3)
    ]
    for i, r in enumerate(here):
        slopes = [(ahead[i], behind[i]) for ahead, behind in moved]
        if r is None or any(a is None or b is None for a, b in slopes):
            continue
        jacobian = np.array([(a - b) / (2 * step) for a, b in slopes])
        weight = (kernel_m**2 / (kernel_m**2 + r**2)) ** 2
        hessian += weight * np.outer(jacobian, jacobian)
        gradient += weight * jacobian * r
    return hessian, gradient
