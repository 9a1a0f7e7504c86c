"""What a ray met on its way: the map's surface, something in front of it, or nothing at all."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from agent.kernels.registration import interpolate

HIT, SHORT, THROUGH, RESIDUAL = 0, 1, 2, 3


@njit(cache=True, nogil=True)
def first_surface_m(
    distance_m: NDArray[np.float32],
    resolution_m: float,
    x_m: float,
    y_m: float,
    along_x: float,
    along_y: float,
    reach_m: float,
) -> float:
    """Return how far a ray runs until it enters an occupied cell.

    Sphere tracing on the distance field: Hart, "Sphere tracing", The Visual Computer 12 (1996).

    Args:
        distance_m: float32, distance from each cell's centre to that of an occupied one.
        resolution_m: Edge of a cell.
        x_m: Origin of the ray in the grid frame.
        y_m: Origin of the ray in the grid frame.
        along_x: Direction, of length one.
        along_y: Direction, of length one.
        reach_m: Where to give up.

    Returns:
        The distance; ``reach_m`` where there is no surface, or the ray leaves the grid.
    """
    rows, columns = distance_m.shape
    # Half a diagonal: a ray may be this much nearer to a centre than the cell it is in.
    slack_m = 0.75 * resolution_m
    travelled_m = 0.0
    while travelled_m < reach_m:
        column = math.floor((x_m + along_x * travelled_m) / resolution_m)
        row = math.floor((y_m + along_y * travelled_m) / resolution_m)
        if not (0 <= row < rows and 0 <= column < columns):
            return reach_m
        clear_m = np.float64(distance_m[row, column])
        if clear_m == 0.0:
            return travelled_m
        travelled_m += max(0.5 * resolution_m, clear_m - 2.0 * slack_m)
    return reach_m


@njit(cache=True, nogil=True)
def witness(
    pose: NDArray[np.float64],
    points_m: NDArray[np.float64],
    distance_m: NDArray[np.float32],
    resolution_m: float,
    tolerance_m: float,
    hit_stddev_m: float,
    log_odds: tuple[float, float, float],
    shares: NDArray[np.float64],
) -> float:
    """Ask every ray of a scan whether the robot can be at a pose.

    A ray hits if it ends within a tolerance of a surface of the map. Otherwise it is short if
    nothing on the map stood in its way, a person or a pallet did; or it went through what the map
    says is solid, and nobody can do that: Thrun, Burgard, Fox, "Probabilistic Robotics" (2005),
    section 6.3, keeps the three apart for the same reason.

    Args:
        pose: float64, shape ``(3,)``, ``grid_from_base``.
        points_m: float64, shape ``(m, 2)``, ends of rays in the base frame.
        distance_m: float32, distance field.
        resolution_m: Edge of a cell.
        tolerance_m: How far from the map a hit may end.
        hit_stddev_m: Error of a hit.
        log_odds: Log-likelihood of an arbitrary hit, of a short ray and of one through.
        shares: float64 output, shape ``(4,)``: shares of hits, short rays and rays through, and the
            mean square of the hits' distance from the map in m².

    Returns:
        Mean log-likelihood of a ray, 0 for a perfect scan.
    """
    shares[:] = 0.0
    count = points_m.shape[0]
    if count == 0:
        return 0.0
    floor = math.exp(log_odds[0])
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    total = 0.0
    for j in range(count):
        dx = cos * points_m[j, 0] - sin * points_m[j, 1]
        dy = sin * points_m[j, 0] + cos * points_m[j, 1]
        inside, r, _, _ = interpolate(
            distance_m, (pose[0] + dx) / resolution_m, (pose[1] + dy) / resolution_m
        )
        if inside and r <= tolerance_m:
            shares[HIT] += 1.0
            shares[RESIDUAL] += r * r
            z = r / hit_stddev_m
            total += math.log(floor + (1.0 - floor) * math.exp(-0.5 * z * z))
            continue
        length_m = max(math.hypot(dx, dy), 1e-9)
        free_m = first_surface_m(
            distance_m,
            resolution_m,
            pose[0],
            pose[1],
            dx / length_m,
            dy / length_m,
            length_m,
        )
        kind = SHORT if free_m >= length_m else THROUGH
        shares[kind] += 1.0
        total += log_odds[kind]
    if shares[HIT] > 0.0:
        shares[RESIDUAL] /= shares[HIT]
    for kind in range(3):
        shares[kind] /= count
    return float(total / count)


@njit(cache=True, nogil=True)
def owed_share(
    pose: NDArray[np.float64],
    rays: NDArray[np.float64],
    distance_m: NDArray[np.float32],
    resolution_m: float,
    reach_m: float,
) -> float:
    """Return the share of rays without return that a surface of the map should have returned.

    Args:
        pose: float64, shape ``(3,)``, ``grid_from_base``.
        rays: float64, shape ``(m, 3)``, origin (m) and heading (rad) of each in the base frame.
        distance_m: float32, distance field.
        resolution_m: Edge of a cell.
        reach_m: How near a surface must be to return every ray.
    """
    if rays.shape[0] == 0:
        return 0.0
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    owed = 0
    for j in range(rays.shape[0]):
        x_m = pose[0] + cos * rays[j, 0] - sin * rays[j, 1]
        y_m = pose[1] + sin * rays[j, 0] + cos * rays[j, 1]
        heading = pose[2] + rays[j, 2]
        free_m = first_surface_m(
            distance_m, resolution_m, x_m, y_m, math.cos(heading), math.sin(heading), reach_m
        )
        if free_m < reach_m:
            owed += 1
    return float(owed / rays.shape[0])
