"""What a planar lidar should see of a load carrier's marks, and how far off its points are.

Poses are ``base_from_carrier`` as float64, shape ``(3,)``: x, y (m), yaw (rad). A table of marks is
float64, shape ``(marks, 5)``, in the carrier's frame: x, y, yaw, half of the width, and the kind.
The faces of a square are across its own axes; a plate faces along its own x axis.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

DISC, SQUARE, PLATE = 0, 1, 2
X, Y, YAW, HALF, KIND = 0, 1, 2, 3, 4


@njit(cache=True, nogil=True)
def surface_residuals(
    pose: NDArray[np.float64],
    marks: NDArray[np.float64],
    points_m: NDArray[np.float64],
    owners: NDArray[np.int64],
    origin_m: NDArray[np.float64],
    residuals_m: NDArray[np.float64],
    jacobian: NDArray[np.float64],
    incidence: NDArray[np.float64],
) -> None:
    """Compare points with the surfaces that their rays meet.

    The surface is the one that the ray meets first, not the nearest one: noise along the ray then
    leaves the mean residual at zero, on edges and round flanks too.

    Args:
        pose: float64, shape ``(3,)``, see the module.
        marks: float64, see the module.
        points_m: float64, shape ``(points, 2)``, in the base frame.
        owners: int64, shape ``(points,)``, the mark that each point is on.
        origin_m: float64, shape ``(2,)``, the lidar in the base frame.
        residuals_m: float64 output, shape ``(points,)``, distance in front of the surface, along
            its normal; a ray that passes a mark is compared with its flank.
        jacobian: float64 output, shape ``(points, 3)``, derivatives by the pose.
        incidence: float64 output, shape ``(points,)``, cosine between ray and normal.
    """
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    for j in range(points_m.shape[0]):
        mark = marks[owners[j]]
        qx, qy = points_m[j, 0] - pose[0], points_m[j, 1] - pose[1]
        ux, uy = cos * qx + sin * qy, cos * qy - sin * qx
        qx, qy = origin_m[0] - pose[0], origin_m[1] - pose[1]
        wx, wy = cos * qx + sin * qy, cos * qy - sin * qx
        turn_cos, turn_sin = math.cos(mark[YAW]), math.sin(mark[YAW])
        px, py = ux - mark[X], uy - mark[Y]
        vx, vy = turn_cos * px + turn_sin * py, turn_cos * py - turn_sin * px
        px, py = wx - mark[X], wy - mark[Y]
        ox, oy = turn_cos * px + turn_sin * py, turn_cos * py - turn_sin * px
        dx, dy = vx - ox, vy - oy
        length = max(math.hypot(dx, dy), 1e-9)
        dx, dy = dx / length, dy / length
        nx, ny, offset = _surface(ox, oy, dx, dy, mark[HALF], int(mark[KIND]))
        residuals_m[j] = nx * vx + ny * vy - offset
        incidence[j] = abs(nx * dx + ny * dy)
        cx, cy = turn_cos * nx - turn_sin * ny, turn_sin * nx + turn_cos * ny
        jacobian[j, 0] = -(cos * cx - sin * cy)
        jacobian[j, 1] = -(sin * cx + cos * cy)
        jacobian[j, 2] = cx * uy - cy * ux


@njit(cache=True, nogil=True)
def _surface(
    ox: float, oy: float, dx: float, dy: float, half: float, kind: int
) -> tuple[float, float, float]:
    """Return the normal where a ray enters a mark, and the surface's distance along it."""
    if kind == PLATE:
        return 1.0, 0.0, 0.0
    if kind == SQUARE:
        # Slab method: a ray enters through the face of the slab that it enters last.
        enter_x, enter_y = -math.inf, -math.inf
        if abs(dx) > 1e-9:
            enter_x = (-math.copysign(half, dx) - ox) / dx
        if abs(dy) > 1e-9:
            enter_y = (-math.copysign(half, dy) - oy) / dy
        if enter_x >= enter_y:
            return -math.copysign(1.0, dx), 0.0, half
        return 0.0, -math.copysign(1.0, dy), half
    along = -(ox * dx + oy * dy)
    fx, fy = ox + along * dx, oy + along * dy
    aside = math.hypot(fx, fy)
    if aside >= half:
        return fx / aside, fy / aside, half
    depth = math.sqrt(half * half - aside * aside)
    return (fx - depth * dx) / half, (fy - depth * dy) / half, half


@njit(cache=True, nogil=True)
def bearing_residuals(
    pose: NDArray[np.float64],
    marks: NDArray[np.float64],
    seen: NDArray[np.int64],
    bearings_rad: NDArray[np.float64],
    origin_m: NDArray[np.float64],
    residuals_m: NDArray[np.float64],
    jacobian: NDArray[np.float64],
) -> None:
    """Compare the middle between both edges of marks, as seen, with where it should be.

    Args:
        pose: float64, shape ``(3,)``, see the module.
        marks: float64, see the module.
        seen: int64, shape ``(seen,)``, which marks.
        bearings_rad: float64, shape ``(seen,)``, middle of what is seen of each, about the lidar
            in axes of the base.
        origin_m: float64, shape ``(2,)``, the lidar in the base frame.
        residuals_m: float64 output, shape ``(seen,)``, how far to the left of the bearing the mark
            should be.
        jacobian: float64 output, shape ``(seen, 3)``, derivatives by the pose; the change of the
            outline with the pose is left out.
    """
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    for j in range(seen.shape[0]):
        mark = marks[seen[j]]
        cx, cy = cos * mark[X] - sin * mark[Y], sin * mark[X] + cos * mark[Y]
        rx, ry = pose[0] + cx - origin_m[0], pose[1] + cy - origin_m[1]
        distance = max(math.hypot(rx, ry), 1e-9)
        bearing = math.atan2(ry, rx)
        low, high = 0.0, 0.0
        kind = int(mark[KIND])
        if kind != DISC:
            turn_cos, turn_sin = math.cos(pose[2] + mark[YAW]), math.sin(pose[2] + mark[YAW])
            for corner in range(4):
                ax = mark[HALF] if corner < 2 else -mark[HALF]
                ay = mark[HALF] if corner % 2 == 0 else -mark[HALF]
                if kind == PLATE:
                    ax = 0.0
                ex = rx + turn_cos * ax - turn_sin * ay
                ey = ry + turn_sin * ax + turn_cos * ay
                angle = math.atan2(rx * ey - ry * ex, rx * ex + ry * ey)
                low, high = min(low, angle), max(high, angle)
        middle = bearing + 0.5 * (low + high)
        residuals_m[j] = distance * math.sin(middle - bearings_rad[j])
        left_x, left_y = -ry / distance, rx / distance
        jacobian[j, 0], jacobian[j, 1] = left_x, left_y
        jacobian[j, 2] = -left_x * cy + left_y * cx
