"""How far a footprint can move before it touches a point that the scan has seen."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def signed_distance_m(x_m: float, y_m: float, polygon: NDArray[np.float64]) -> float:
    """Return the distance from a point to a polygon's outline, negative inside.

    Args:
        x_m: Point.
        y_m: Point.
        polygon: float64, shape ``(corners, 2)``, in order along the outline.
    """
    corners = polygon.shape[0]
    nearest_squared = np.inf
    inside = False
    j = corners - 1
    for i in range(corners):
        ax, ay = polygon[j, 0], polygon[j, 1]
        bx, by = polygon[i, 0], polygon[i, 1]
        ex, ey = bx - ax, by - ay
        length_squared = ex * ex + ey * ey
        t = 0.0
        if length_squared > 0.0:
            t = min(1.0, max(0.0, ((x_m - ax) * ex + (y_m - ay) * ey) / length_squared))
        dx, dy = x_m - ax - t * ex, y_m - ay - t * ey
        nearest_squared = min(nearest_squared, dx * dx + dy * dy)
        # Even-odd rule: count the edges that a ray towards +x crosses.
        if (ay > y_m) != (by > y_m) and x_m < (bx - ax) * (y_m - ay) / (by - ay) + ax:
            inside = not inside
        j = i
    distance = math.sqrt(nearest_squared)
    return -distance if inside else distance


@njit(cache=True, nogil=True)
def free_time_s(
    points_m: NDArray[np.float64],
    polygon: NDArray[np.float64],
    margin_m: float,
    forward_mps: float,
    yaw_rate_radps: float,
    horizon_s: float,
    step_m: float,
) -> float:
    """Return how long a constant twist can be held before the footprint meets a point.

    The footprint is swept along the arc of the twist in steps over which none of its corners moves
    farther than ``step_m``. A point that already lies inside the margin blocks only a motion that
    brings it nearer, so that a robot standing close to something can still leave.

    Args:
        points_m: float64, shape ``(points, 2)``, obstacles in the base frame.
        polygon: float64, shape ``(corners, 2)``, footprint in the base frame.
        margin_m: Clearance to keep around the footprint.
        forward_mps: Speed along the base's x axis.
        yaw_rate_radps: Turn rate.
        horizon_s: How far ahead to look.
        step_m: Resolution of the sweep.

    Returns:
        Time in s, ``horizon_s`` where nothing is met.
    """
    radius_m = 0.0
    for i in range(polygon.shape[0]):
        radius_m = max(radius_m, math.hypot(polygon[i, 0], polygon[i, 1]))
    corner_mps = abs(forward_mps) + abs(yaw_rate_radps) * radius_m
    if corner_mps <= 0.0:
        return horizon_s
    steps = max(1, math.ceil(horizon_s * corner_mps / step_m))
    dt_s = horizon_s / steps
    reach_m = radius_m + margin_m + abs(forward_mps) * horizon_s
    first_blocked = steps + 1
    for p in range(points_m.shape[0]):
        px, py = points_m[p, 0], points_m[p, 1]
        if px * px + py * py > reach_m * reach_m:
            continue
        # The allowance keeps rounding from blocking a motion along a wall.
        allowed_m = min(margin_m, signed_distance_m(px, py, polygon) - 1e-3)
        for k in range(1, first_blocked):
            t_s = k * dt_s
            turn = yaw_rate_radps * t_s
            if abs(turn) > 1e-9:
                x = forward_mps / yaw_rate_radps * math.sin(turn)
                y = forward_mps / yaw_rate_radps * (1.0 - math.cos(turn))
            else:
                x, y = forward_mps * t_s, 0.0
            cos, sin = math.cos(turn), math.sin(turn)
            dx, dy = px - x, py - y
            if signed_distance_m(cos * dx + sin * dy, -sin * dx + cos * dy, polygon) < allowed_m:
                first_blocked = k
                break
    if first_blocked > steps:
        return horizon_s
    return (first_blocked - 1) * dt_s


@njit(cache=True, nogil=True)
def scan_points_m(
    angles_rad: NDArray[np.float32],
    ranges_m: NDArray[np.float32],
    mount_x_m: float,
    mount_y_m: float,
    mount_yaw_rad: float,
) -> NDArray[np.float64]:
    """Return the returns of a scan as points in the base frame.

    Args:
        angles_rad: float32, shape ``(rays,)``, bearings in the lidar frame.
        ranges_m: float32, shape ``(rays,)``, NaN where nothing came back.
        mount_x_m: Position of the lidar on the base.
        mount_y_m: Position of the lidar on the base.
        mount_yaw_rad: Heading of the lidar on the base.

    Returns:
        float64, shape ``(returns, 2)``.
    """
    points = np.empty((ranges_m.shape[0], 2), np.float64)
    count = 0
    for i in range(ranges_m.shape[0]):
        distance = float(ranges_m[i])
        if not math.isnan(distance):
            bearing = float(angles_rad[i]) + mount_yaw_rad
            points[count, 0] = mount_x_m + distance * math.cos(bearing)
            points[count, 1] = mount_y_m + distance * math.sin(bearing)
            count += 1
    return points[:count]
