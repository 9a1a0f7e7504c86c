"""What all lidars have seen around the robot, carried along with the odometry.

Lidars turn at their own pace, so their newest scans are of different moments. The returns of each
are taken along to the present moment; together they count as being as old as the oldest scan, so
that what may have moved meanwhile is allowed for. What is out of sight now is remembered in a grid.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agent.avoidance.local_grid import LocalGrid
from agent.avoidance.tracks import ObjectTracker, TrackParams
from agent.geometry.points import moved
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist, values
from agent.kernels.stopping import deskew, range_noise_m, smooth_ranges
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


NOTHING = np.empty((0, 2))
NOISE_MOST_M = 0.05
QUIET_M = 0.004  # a lidar that is no noisier needs no smoothing
SMOOTH_HALF_M = 0.06


@dataclass(frozen=True, slots=True, eq=False)
class Dangers:
    """What the base must not touch, in its frame.

    Attributes:
        points_m: Shape ``(points, 2)``, what the lidars have hit.
        unseen_m: Shape ``(points, 2)``, centres of cells that they have not seen.
        moving: Shape ``(objects, 5)``: x, y, vx, vy and radius of what moves.
    """

    points_m: NDArray[np.float64]
    unseen_m: NDArray[np.float64]
    moving: NDArray[np.float64]


class Sight:
    """What stands and moves around the robot, from scans and odometry alone."""

    def __init__(
        self,
        mounts: Mapping[str, LidarMount],
        grid: LocalGrid,
        footprint: NDArray[np.float64],
        tracks: TrackParams,
        *,
        shuns_unseen: bool = True,
    ) -> None:
        """Begin with nothing seen.

        Args:
            mounts: How each lidar is mounted, by name.
            grid: Where what was seen is remembered.
            footprint: Shape ``(corners, 2)``, in the base frame.
            tracks: How to follow what moves.
            shuns_unseen: Whether what no lidar has seen counts as a danger.
        """
        self._mounts = mounts
        self._shuns_unseen = shuns_unseen
        self._grid = grid
        self._footprint = footprint
        self._trackers = {name: ObjectTracker(tracks) for name in mounts}
        self._stamps_ns: dict[str, int] = {}
        self._returns: dict[str, tuple[Pose2, NDArray[np.float64]]] = {}
        self.newest_ms = 0

    def take_shape(self, footprint: NDArray[np.float64]) -> None:
        """Take the robot to be of another shape from now on, ``(corners, 2)``."""
        self._footprint = footprint

    def reset(self) -> None:
        """Forget everything."""
        for tracker in self._trackers.values():
            tracker.reset()
        self._stamps_ns.clear()
        self._returns.clear()

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest of the lidars' newest scans was taken, ``None`` until each gave one."""
        if len(self._stamps_ns) < len(self._mounts):
            return None
        return min(self._stamps_ns.values())

    def stamp_ns(self, lidar: str) -> int | None:
        """Return when the newest scan of a lidar was measured, ``None`` before the first."""
        return self._stamps_ns.get(lidar)

    def see(self, lidar: str, scan: Scan, odom_from_base: Pose2, velocity: Twist) -> None:
        """Take a scan; one that was seen before is left out.

        Args:
            lidar: Which lidar.
            scan: What it saw.
            odom_from_base: Where the base was at the scan's stamp.
            velocity: Of the base during the scan, by which each ray is taken back to the stamp.
        """
        if scan.stamp_ns <= self._stamps_ns.get(lidar, scan.stamp_ns - 1):
            return
        self._stamps_ns[lidar] = scan.stamp_ns
        mount = self._mounts[lidar]
        seen = mount.unmasked(scan)
        ranges_m = _smoothed(seen)
        back = np.isfinite(ranges_m)
        reach_m = np.where(back, ranges_m, self._grid.free_reach_m).astype(np.float64)
        eye = mount.base_from_lidar
        bearings = seen.angles_rad.astype(np.float64) + eye.yaw_rad
        ends_m = np.column_stack(
            (eye.x_m + reach_m * np.cos(bearings), eye.y_m + reach_m * np.sin(bearings))
        )
        deskew(ends_m, seen.offsets_s, *values(velocity))
        self.newest_ms = scan.stamp_ns // 1_000_000
        self._grid.follow(odom_from_base)
        self._grid.see(odom_from_base, (eye.x_m, eye.y_m), ends_m, back, self.newest_ms)
        self._grid.stand(odom_from_base, self._footprint, self.newest_ms)
        points_m = ends_m[back]
        self._returns[lidar] = (odom_from_base, points_m)
        self._trackers[lidar].update(
            odom_from_base,
            points_m,
            scan.stamp_ns,
            rays=np.flatnonzero(back),
            ray_count=len(back),
            origin_m=(eye.x_m, eye.y_m),
        )

    def moving(self, now_ns: int) -> NDArray[np.float64]:
        """Return what moves: x, y, vx, vy, radius and deviation, in the odometry frame."""
        return np.concatenate([tracker.predict(now_ns) for tracker in self._trackers.values()])

    def returns(self, odom_from_base: Pose2) -> NDArray[np.float64]:
        """Return what the newest scans have hit, shape ``(points, 2)``, in the base frame."""
        base_from_odom = odom_from_base.inverse()
        parts = [moved(base_from_odom @ pose, points) for pose, points in self._returns.values()]
        return np.concatenate([np.empty((0, 2)), *parts])

    def dangers(self, odom_from_base: Pose2, reach_m: float, now_ns: int) -> Dangers:
        """Return what the base must not touch, in its frame.

        Args:
            odom_from_base: Where the base is.
            reach_m: How far around it.
            now_ns: When.
        """
        base_from_odom = odom_from_base.inverse()
        around = (odom_from_base.x_m, odom_from_base.y_m, reach_m, self.newest_ms)
        hits_m = moved(base_from_odom, self._grid.hits_near(*around))
        unseen_m = NOTHING
        if self._shuns_unseen:
            unseen_m = moved(base_from_odom, self._grid.unseen_near(*around))
        moving = self.moving(now_ns)
        turned = np.empty((len(moving), 5))
        cos, sin = math.cos(base_from_odom.yaw_rad), math.sin(base_from_odom.yaw_rad)
        turned[:, :2] = moved(base_from_odom, moving[:, :2])
        turned[:, 2] = cos * moving[:, 2] - sin * moving[:, 3]
        turned[:, 3] = sin * moving[:, 2] + cos * moving[:, 3]
        turned[:, 4] = moving[:, 4]
        return Dangers(np.concatenate((self.returns(odom_from_base), hits_m)), unseen_m, turned)


def _smoothed(scan: Scan) -> NDArray[np.float32]:
    """Return the ranges, averaged along surfaces as far as the lidar's noise asks for it."""
    ranges_m = scan.ranges_m
    if len(ranges_m) < 8:
        return ranges_m
    noise_m = range_noise_m(ranges_m)
    if not noise_m >= QUIET_M:
        return ranges_m
    smooth_m = np.empty_like(ranges_m)
    smooth_ranges(scan.angles_rad, ranges_m, SMOOTH_HALF_M, min(noise_m, NOISE_MOST_M), smooth_m)
    return smooth_m
