"""De-skewing: a lidar turns while the robot drives, so each ray starts from another place."""

import numpy as np
from numpy.typing import NDArray

from agent.geometry.pose import Pose2
from agent.localization.odometry_history import OdometryHistory
from drivers.measurement import Scan


def deskew(
    scan: Scan,
    history: OdometryHistory,
    base_from_lidar: Pose2,
    *,
    min_range_m: float,
    max_range_m: float,
) -> NDArray[np.float64]:
    """Return where the rays of a scan ended, as seen from the base at the scan's stamp.

    Args:
        scan: The scan; rays without return or outside the range limits are left out.
        history: Odometry that covers the scan's stamp.
        base_from_lidar: Where the lidar is mounted.
        min_range_m: Shorter returns are the robot itself.
        max_range_m: Longer returns are not trusted.

    Returns:
        Shape ``(returns, 2)``, x and y in m.
    """
    # A comparison with NaN is false, so rays without return drop out here too.
    usable = (scan.ranges_m >= min_range_m) & (scan.ranges_m <= max_range_m)
    ranges_m = scan.ranges_m[usable].astype(np.float64)
    angles_rad = scan.angles_rad[usable].astype(np.float64) + base_from_lidar.yaw_rad
    x_m = base_from_lidar.x_m + ranges_m * np.cos(angles_rad)
    y_m = base_from_lidar.y_m + ranges_m * np.sin(angles_rad)

    origin = history.trace(scan.stamp_ns, np.zeros(1))[0]
    moved = history.trace(scan.stamp_ns, scan.offsets_s[usable].astype(np.float64)) - origin
    cos, sin = np.cos(moved[:, 2]), np.sin(moved[:, 2])
    ahead_cos, ahead_sin = np.cos(origin[2]), np.sin(origin[2])
    points_m = np.empty((ranges_m.size, 2))
    points_m[:, 0] = ahead_cos * moved[:, 0] + ahead_sin * moved[:, 1] + cos * x_m - sin * y_m
    points_m[:, 1] = -ahead_sin * moved[:, 0] + ahead_cos * moved[:, 1] + sin * x_m + cos * y_m
    return points_m
