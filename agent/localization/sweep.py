"""Several lidars as one: their scans, seen from the base at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.geometry.points import moved
from agent.geometry.pose import Pose2
from agent.localization.deskew import deskew
from agent.localization.odometry_history import OdometryHistory
from drivers.measurement import Scan


@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """What all lidars saw, as seen from the base at a moment.

    Attributes:
        stamp_ns: The moment, that of the newest scan in it.
        odom_from_base: Where the base was then.
        points_m: Shape ``(m, 2)``, ends of rays in the base frame.
        unreturned: Shape ``(k, 3)``, origin (m) and heading (rad), in the base frame, of rays that
            came back from nothing, or from no farther than the robot itself.
        rays: How many rays the lidars cast.
    """

    stamp_ns: int
    odom_from_base: Pose2
    points_m: NDArray[np.float64]
    unreturned: NDArray[np.float64]
    rays: int


class SweepAssembly:
    """Joins the scans of lidars that turn at their own pace.

    A sweep is complete when every lidar has given a scan. One that comes round again before the
    others have come at all closes the sweep without them, so that a dead lidar blinds only itself.
    """

    def __init__(self, lidars: Mapping[str, Pose2], min_range_m: float, max_range_m: float) -> None:
        """Assemble.

        Args:
            lidars: Name of each lidar and where it is mounted, ``base_from_lidar``.
            min_range_m: Shorter returns are the robot itself, or something on the lens.
            max_range_m: Longer returns are not trusted.
        """
        self._lidars = lidars
        self._min_range_m = min_range_m
        self._max_range_m = max_range_m
        self._parts: dict[str, Sweep] = {}

    def add(self, lidar: str, scan: Scan, history: OdometryHistory) -> Sweep | None:
        """Take a scan of a moment that the odometry covers.

        Returns:
            The sweep that is ready now, ``None`` if others are awaited.
        """
        odom_from_base = history.at(scan.stamp_ns)
        if odom_from_base is None:
            return None
        mount = self._lidars[lidar]
        points_m = deskew(
            scan,
            history,
            mount,
            min_range_m=self._min_range_m,
            max_range_m=self._max_range_m,
        )
        headings_rad = scan.angles_rad[~(scan.ranges_m >= self._min_range_m)] + mount.yaw_rad
        unreturned = np.empty((len(headings_rad), 3))
        unreturned[:, 0], unreturned[:, 1], unreturned[:, 2] = mount.x_m, mount.y_m, headings_rad
        part = Sweep(scan.stamp_ns, odom_from_base, points_m, unreturned, scan.ranges_m.size)
        if lidar in self._parts:
            ready = self._join()
            self._parts[lidar] = part
            return ready
        self._parts[lidar] = part
        return self._join() if len(self._parts) == len(self._lidars) else None

    def _join(self) -> Sweep:
        parts, self._parts = list(self._parts.values()), {}
        newest = max(parts, key=lambda part: part.stamp_ns)
        if len(parts) == 1:
            return newest
        moves = [newest.odom_from_base.inverse() @ part.odom_from_base for part in parts]
        pairs = list(zip(moves, parts, strict=True))
        unreturned = [
            np.column_stack(
                [moved(move, part.unreturned[:, :2]), part.unreturned[:, 2] + move.yaw_rad]
            )
            for move, part in pairs
        ]
        return Sweep(
            newest.stamp_ns,
            newest.odom_from_base,
            np.concatenate([moved(move, part.points_m) for move, part in pairs]),
            np.concatenate(unreturned),
            sum(part.rays for part in parts),
        )
