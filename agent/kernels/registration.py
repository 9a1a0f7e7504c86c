"""Scan to map: normal equations on a distance field, the descent along them, and a lattice search.

Poses are ``(x, y, yaw)`` in the *grid* frame, so that the heading of the grid on the map costs
nothing here; points are ends of rays in the base frame, shape ``(m, 2)``.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agent.kernels.search import bound, rotate_to_cells

CONVERGED = 1e-4  # step in m and rad; a tenth of a millimetre


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
        distance_m: float32, distance field.
        resolution_m: Edge of a cell.
        kernel_m: Width ``k`` of the kernel.
        hessian: float64 output, shape ``(3, 3)``, sum of ``w J^T J``.
        gradient: float64 output, shape ``(3,)``, sum of ``w J^T r``.
    """
    scale = 1.0 / resolution_m
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    kernel_squared = kernel_m * kernel_m
    # Scalars instead of small arrays: the loop is the hottest of the whole agent.
    hxx = hxy = hxt = hyy = hyt = htt = 0.0
    gx = gy = gt = 0.0
    for j in range(points_m.shape[0]):
        dx = cos * points_m[j, 0] - sin * points_m[j, 1]
        dy = sin * points_m[j, 0] + cos * points_m[j, 1]
        inside, r, slope_u, slope_v = interpolate(
            distance_m, (pose[0] + dx) * scale, (pose[1] + dy) * scale
        )
        if not inside:
            continue
        jx, jy = slope_u * scale, slope_v * scale
        jt = jy * dx - jx * dy
        w = kernel_squared / (kernel_squared + r * r)
        w *= w
        gx += w * jx * r
        gy += w * jy * r
        gt += w * jt * r
        hxx += w * jx * jx
        hxy += w * jx * jy
        hxt += w * jx * jt
        hyy += w * jy * jy
        hyt += w * jy * jt
        htt += w * jt * jt
    hessian[0, 0], hessian[0, 1], hessian[0, 2] = hxx, hxy, hxt
    hessian[1, 0], hessian[1, 1], hessian[1, 2] = hxy, hyy, hyt
    hessian[2, 0], hessian[2, 1], hessian[2, 2] = hxt, hyt, htt
    gradient[0], gradient[1], gradient[2] = gx, gy, gt


@njit(cache=True, nogil=True)
def solve(
    matrix: NDArray[np.float64], right: NDArray[np.float64], solution: NDArray[np.float64]
) -> None:
    """Solve a small system with a symmetric positive definite matrix by Cholesky's decomposition.

    numba's own solver needs SciPy at run time, which a robot has no other use for.

    Args:
        matrix: float64, shape ``(n, n)``.
        right: float64, shape ``(n,)``.
        solution: float64 output, shape ``(n,)``.
    """
    n = matrix.shape[0]
    factor = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            factor[i, j] = math.sqrt(total) if i == j else total / factor[j, j]
    for i in range(n):
        solution[i] = right[i]
        for k in range(i):
            solution[i] -= factor[i, k] * solution[k]
        solution[i] /= factor[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            solution[i] -= factor[k, i] * solution[k]
        solution[i] /= factor[i, i]


@njit(cache=True, nogil=True)
def register(
    pose: NDArray[np.float64],
    points_m: NDArray[np.float64],
    distance_m: NDArray[np.float32],
    resolution_m: float,
    ray_information: float,
    kernels_m: NDArray[np.float64],
    prior: NDArray[np.float64],
    prior_information: NDArray[np.float64],
    tail: float,
    hessian: NDArray[np.float64],
) -> float:
    """Descend to the pose that a scan and a prior agree on, in place.

    Minimizes ``c sum_i rho(d(T p_i)) + (nu + 3)/2 log(1 + (T - T0)^T P^-1 (T - T0) / nu)`` by
    Gauss-Newton with reweighting: the kernel ``rho`` tightens from step to step (graduated
    non-convexity), and the prior is Student's t, so that a slipping wheel is overruled by a clear
    scan while odometry still holds a direction that the scan says nothing about.

    Args:
        pose: float64, shape ``(3,)``, start and result, ``grid_from_base``.
        points_m: float64, shape ``(m, 2)``, ends of rays in the base frame.
        distance_m: float32, distance field.
        resolution_m: Edge of a cell.
        ray_information: ``c``: 1/m² that one ray contributes.
        kernels_m: float64, shape ``(steps,)``, width of the kernel in each step.
        prior: float64, shape ``(3,)``, ``T0``.
        prior_information: float64, shape ``(3, 3)``, ``P^-1``.
        tail: Degrees of freedom ``nu`` of the prior.
        hessian: float64 output, shape ``(3, 3)``, sum of ``w J^T J`` over the rays at the result.

    Returns:
        Squared Mahalanobis distance of the result from the prior.
    """
    information, gradient = np.empty((3, 3)), np.empty(3)
    offset, pull, move = np.empty(3), np.empty(3), np.empty(3)
    steps = kernels_m.shape[0]
    for step in range(steps + 1):
        kernel_m = kernels_m[min(step, steps - 1)]
        normal_equations(pose, points_m, distance_m, resolution_m, kernel_m, hessian, gradient)
        if step == steps:
            break
        for a in range(3):
            offset[a] = pose[a] - prior[a]
        far = 0.0
        for a in range(3):
            pull[a] = 0.0
            for b in range(3):
                pull[a] += prior_information[a, b] * offset[b]
            far += pull[a] * offset[a]
        weight = (tail + 3.0) / (tail + far)
        for a in range(3):
            gradient[a] = ray_information * gradient[a] + weight * pull[a]
            for b in range(3):
                information[a, b] = (
                    ray_information * hessian[a, b] + weight * prior_information[a, b]
                )
        solve(information, gradient, move)
        largest = 0.0
        for a in range(3):
            pose[a] -= move[a]
            largest = max(largest, abs(move[a]))
        if largest < CONVERGED and kernel_m == kernels_m[steps - 1]:
            break
    far = 0.0
    for a in range(3):
        for b in range(3):
            far += (pose[a] - prior[a]) * prior_information[a, b] * (pose[b] - prior[b])
    return far


@njit(cache=True, nogil=True)
def correlate(
    centre: NDArray[np.float64],
    half_widths: tuple[int, int, int],
    steps: tuple[int, float],
    points_m: NDArray[np.float64],
    field: NDArray[np.uint8],
    margin: int,
    resolution_m: float,
    scale: float,
    prior_information: NDArray[np.float64],
    tail: float,
    poses: NDArray[np.float64],
    scores: NDArray[np.float64],
) -> int:
    """Score a lattice of poses around a prediction and return its highest peaks.

    Olson, "Real-Time Correlative Scan Matching", ICRA 2009, with the prior of :func:`register`.

    Args:
        centre: float64, shape ``(3,)``, the prediction, ``grid_from_base``.
        half_widths: Steps to either side along x, y and yaw.
        steps: Distance between lattice poses in cells and rad.
        points_m: float64, shape ``(m, 2)``, ends of rays in the base frame.
        field: uint8, shape ``(margin + rows, margin + columns)``, 255 on an occupied cell.
        margin: Cells that the field has before row 0 and column 0.
        resolution_m: Edge of a cell.
        scale: Log-likelihood of one unit of the field.
        prior_information: float64, shape ``(3, 3)``, inverse covariance of the prediction.
        tail: Degrees of freedom of the prior.
        poses: float64 output, shape ``(k, 3)``, peaks that do not touch one another.
        scores: float64 output, shape ``(k,)``, their log-likelihoods, descending.

    Returns:
        How many peaks there are.
    """
    nx, ny, nt = half_widths
    stride, step_rad = steps
    step_m = stride * resolution_m
    lattice = np.empty((2 * nt + 1, 2 * nx + 1, 2 * ny + 1))
    yaws_rad = centre[2] + (np.arange(2 * nt + 1) - nt) * step_rad
    cells = np.empty((2 * nt + 1, points_m.shape[0], 2), np.int32)
    rotate_to_cells(points_m, yaws_rad, resolution_m, cells)
    row, column = math.floor(centre[1] / resolution_m), math.floor(centre[0] / resolution_m)
    offset = np.empty(3)
    for k in range(2 * nt + 1):
        offset[2] = yaws_rad[k] - centre[2]
        for i in range(2 * nx + 1):
            offset[0] = (i - nx) * step_m
            for j in range(2 * ny + 1):
                offset[1] = (j - ny) * step_m
                far = 0.0
                for a in range(3):
                    for b in range(3):
                        far += offset[a] * prior_information[a, b] * offset[b]
                score = bound(
                    field, margin, cells[k], row + (j - ny) * stride, column + (i - nx) * stride
                )
                lattice[k, i, j] = scale * score - 0.5 * (tail + 3.0) * math.log(1.0 + far / tail)
    return _peaks(centre, half_widths, (step_m, step_rad), lattice, poses, scores)


@njit(cache=True, nogil=True)
def _peaks(
    centre: NDArray[np.float64],
    half_widths: tuple[int, int, int],
    steps: tuple[float, float],
    lattice: NDArray[np.float64],
    poses: NDArray[np.float64],
    scores: NDArray[np.float64],
) -> int:
    """Take the highest entry and blank its neighbours, again and again."""
    nt, nx, ny = lattice.shape
    most = len(poses)
    for found in range(most):
        best, at = -np.inf, (0, 0, 0)
        for k in range(nt):
            for i in range(nx):
                for j in range(ny):
                    if lattice[k, i, j] > best:
                        best, at = lattice[k, i, j], (k, i, j)
        if best == -np.inf:
            return found
        k, i, j = at
        poses[found, 0] = centre[0] + (i - half_widths[0]) * steps[0]
        poses[found, 1] = centre[1] + (j - half_widths[1]) * steps[0]
        poses[found, 2] = centre[2] + (k - half_widths[2]) * steps[1]
        scores[found] = best
        lattice[max(0, k - 1) : k + 2, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2] = -np.inf
    return most
