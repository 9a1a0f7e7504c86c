"""Scans against a field over the map: weights of particles, normal equations, agreement.

A field is float32 of shape ``(rows, columns)``; poses are ``(x, y, yaw)`` in the *grid* frame, so
that the heading of the grid on the map costs nothing here. All lengths share the unit of
``resolution_m``.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def log_weights(
    poses: NDArray[np.float64],
    points_m: NDArray[np.float64],
    log_field: NDArray[np.float32],
    log_outside: float,
    resolution_m: float,
    evidence: float,
    log_weight: NDArray[np.float64],
) -> None:
    """Add the tempered log-likelihood of a scan to the log-weight of each pose.

    Thrun, Burgard, Fox, "Probabilistic Robotics" (2005), table 6.3, in the log domain.

    Args:
        poses: float64, shape ``(n, 3)``, ``grid_from_base``.
        points_m: float64, shape ``(m, 2)``, ends of rays in the base frame.
        log_field: Log-likelihood of a ray that ends in a cell.
        log_outside: The same for a ray that ends outside the grid.
        resolution_m: Edge of a cell.
        evidence: Exponent below one, because neighbouring rays are not independent.
        log_weight: float64, shape ``(n,)``, added to.
    """
    rows, columns = log_field.shape
    scale = 1.0 / resolution_m
    for i in range(poses.shape[0]):
        cos, sin = math.cos(poses[i, 2]) * scale, math.sin(poses[i, 2]) * scale
        x, y = poses[i, 0] * scale, poses[i, 1] * scale
        total = 0.0
        for j in range(points_m.shape[0]):
            px, py = points_m[j, 0], points_m[j, 1]
            column = math.floor(x + cos * px - sin * py)
            row = math.floor(y + sin * px + cos * py)
            if 0 <= row < rows and 0 <= column < columns:
                total += float(log_field[row, column])
            else:
                total += log_outside
        log_weight[i] += evidence * total


@njit(cache=True, nogil=True)
def interpolate(field: NDArray[np.float32], u: float, v: float) -> tuple[bool, float, float, float]:
    """Return a field and its slope between the centres of four cells.

    Args:
        field: float32, shape ``(rows, columns)``.
        u: Position along x in cells, 0 at the outer edge of column 0.
        v: Position along y in cells, 0 at the outer edge of row 0.

    Returns:
        ``(inside, value, d value / du, d value / dv)``; not inside beyond the outermost centres.
    """
    rows, columns = field.shape
    u -= 0.5
    v -= 0.5
    column, row = math.floor(u), math.floor(v)
    if column < 0 or row < 0 or column + 1 >= columns or row + 1 >= rows:
        return False, 0.0, 0.0, 0.0
    a, b = u - column, v - row
    # In a kernel float() keeps float32, and so would the differences.
    f00 = np.float64(field[row, column])
    f01 = np.float64(field[row, column + 1])
    f10 = np.float64(field[row + 1, column])
    f11 = np.float64(field[row + 1, column + 1])
    low, high = f00 + a * (f01 - f00), f10 + a * (f11 - f10)
    slope_u = (1.0 - b) * (f01 - f00) + b * (f11 - f10)
    return True, low + b * (high - low), slope_u, high - low


@njit(cache=True, nogil=True)
def normal_equations(
    pose: NDArray[np.float64],
    points_m: NDArray[np.float64],
    distance_m: NDArray[np.float32],
    resolution_m: float,
    kernel_m: float,
    hessian: NDArray[np.float64],
    gradient: NDArray[np.float64],
) -> None:
    """Linearize the robust sum of squared distances between a scan and the map.

    Each point is a residual ``r`` = distance to the nearest occupied cell, weighted by Geman and
    McClure's kernel ``(k^2 / (k^2 + r^2))^2``, so that what is not on the map has no pull.

    Args:
        pose: float64, shape ``(3,)``, ``grid_from_base``.
        points_m: float64, shape ``(m, 2)``, ends of rays in the base frame.
        distance_m: Distance field.
        resolution_m: Edge of a cell.
        kernel_m: Width ``k`` of the kernel.
        hessian: float64 output, shape ``(3, 3)``, sum of ``w J^T J``.
        gradient: float64 output, shape ``(3,)``, sum of ``w J^T r``.
    """
    hessian[:] = 0.0
    gradient[:] = 0.0
    scale = 1.0 / resolution_m
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    kernel_squared = kernel_m * kernel_m
    jacobian = np.empty(3)
    for j in range(points_m.shape[0]):
        dx = cos * points_m[j, 0] - sin * points_m[j, 1]
        dy = sin * points_m[j, 0] + cos * points_m[j, 1]
        inside, r, slope_u, slope_v = interpolate(
            distance_m, (pose[0] + dx) * scale, (pose[1] + dy) * scale
        )
        if not inside:
            continue
        jacobian[0] = slope_u * scale
        jacobian[1] = slope_v * scale
        jacobian[2] = jacobian[1] * dx - jacobian[0] * dy
        w = kernel_squared / (kernel_squared + r * r)
        w *= w
        for a in range(3):
            gradient[a] += w * jacobian[a] * r
            for b in range(3):
                hessian[a, b] += w * jacobian[a] * jacobian[b]


@njit(cache=True, nogil=True)
def inlier_share(
    pose: NDArray[np.float64],
    points_m: NDArray[np.float64],
    distance_m: NDArray[np.float32],
    resolution_m: float,
    tolerance_m: float,
) -> float:
    """Return the share of points that end within a tolerance of an occupied cell.

    Args:
        pose: float64, shape ``(3,)``, ``grid_from_base``.
        points_m: float64, shape ``(m, 2)``, ends of rays in the base frame.
        distance_m: Distance field.
        resolution_m: Edge of a cell.
        tolerance_m: How far from the cell a ray may end.

    Returns:
        Share in [0, 1]; 0 for no points.
    """
    count = len(points_m)
    if count == 0:
        return 0.0
    scale = 1.0 / resolution_m
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    inliers = 0
    for j in range(count):
        dx = cos * points_m[j, 0] - sin * points_m[j, 1]
        dy = sin * points_m[j, 0] + cos * points_m[j, 1]
        inside, r, _, _ = interpolate(distance_m, (pose[0] + dx) * scale, (pose[1] + dy) * scale)
        if inside and r <= tolerance_m:
            inliers += 1
    return inliers / count
