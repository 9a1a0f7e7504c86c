"""What all lidars see around the robot, as obstacle points at one moment.

Lidars turn at their own pace, so their newest scans are of different moments. The points of each
are taken along with the odometry to the moment of the newest; the union counts as being as old as
its oldest scan, so that what may have moved meanwhile is allowed for.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agent.geometry.points import moved
from agent.geometry.pose import Pose2
from agent.kernels.clearance import scan_points_m
from drivers.measurement import Scan


@dataclass(frozen=True, slots=True)
class LidarMount:
    """How a lidar is built into the robot.

    Attributes:
        base_from_lidar: Where it is mounted.
        mask: Sectors in which it sees the robot itself: from and to in rad, counter-clockwise, in
            the lidar's own frame.
    """

    base_from_lidar: Pose2
    mask: tuple[tuple[float, float], ...] = ()

    def unmasked(self, scan: Scan) -> Scan:
        """Return the scan without the rays that see the robot itself."""
        if not self.mask:
            return scan
        kept = np.ones(scan.angles_rad.size, np.bool_)
        for start_rad, end_rad in self.mask:
            width_rad = (end_rad - start_rad) % math.tau
            kept &= (scan.angles_rad.astype(np.float64) - start_rad) % math.tau > width_rad
        arrays = {
            name: getattr(scan, name)[kept]
            for name in ("angles_rad", "ranges_m", "offsets_s", "quality")
        }
        for array in arrays.values():
            array.setflags(write=False)
        return replace(scan, **arrays)


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """The points of one scan, in the base frame of its moment."""

    stamp_ns: int
    odom_from_base: Pose2
    points_m: NDArray[np.float64]


class Surroundings:
    """The newest scan of each lidar, joined."""

    def __init__(self, mounts: Mapping[str, LidarMount]) -> None:
        self._mounts = mounts
        self._views: dict[str, _View] = {}
        self.points_m: NDArray[np.float64] = np.empty((0, 2))

    def see(self, lidar: str, scan: Scan, odom_from_base: Pose2) -> None:
        """Take the newest scan of a lidar in place of its last one.

        Args:
            lidar: Which one.
            scan: What it saw of the world.
            odom_from_base: Where the base was at the scan's stamp.
        """
        mount = self._mounts[lidar].base_from_lidar
        points_m = scan_points_m(
            scan.angles_rad, scan.ranges_m, mount.x_m, mount.y_m, mount.yaw_rad
        )
        self._views[lidar] = _View(scan.stamp_ns, odom_from_base, points_m)
        self.points_m = self._joined()

    def stamp_ns(self, lidar: str) -> int | None:
        """Return when the newest scan of a lidar was measured, None before the first."""
        view = self._views.get(lidar)
        return None if view is None else view.stamp_ns

    @property
    def oldest_ns(self) -> int:
        """When the oldest scan among the joined ones was measured; there must be one."""
        return min(view.stamp_ns for view in self._views.values())

    def _joined(self) -> NDArray[np.float64]:
        newest = max(self._views.values(), key=lambda view: view.stamp_ns)
        base_from_odom = newest.odom_from_base.inverse()
        return np.concatenate(
            [
                view.points_m
                if view is newest
                else moved(base_from_odom @ view.odom_from_base, view.points_m)
                for view in self._views.values()
            ]
        )
