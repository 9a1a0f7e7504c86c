"""A hall with racks and pillars, a robot that drives through it, and what its sensors see."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.geometry.angle import wrap
from agent.geometry.pose import Pose2
from agent.mapping.occupancy_grid import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from drivers.measurement import Odometry, Scan

RESOLUTION_M = 0.05
ODOMETRY_HZ = 50
SCAN_HZ = 10
RAYS = 400
SPEED_MPS = 1.0
TURN_RADPS = 1.0

LENGTH_M, WIDTH_M = 40.0, 20.0
RACKS = [(x, y, x + 8.0, y + 1.2) for x in (6.0, 18.0, 28.0) for y in (4.0, 8.0, 12.0, 16.0)]
PILLARS = [(x, y, x + 0.4, y + 0.4) for x in (3.0, 16.0, 26.8) for y in (2.0, 10.0, 17.8)]
ROUTE = [(2.0, 6.5), (16.0, 6.5), (16.0, 14.3), (27.5, 14.3), (27.5, 10.7), (4.5, 10.7), (4.5, 6.5)]


# Walls in the middle of cells, so that drawing them shifts nothing.
BASE_FROM_LIDAR = Pose2(0.25, 0.05, 0.3)
ALIGNED = Pose2(-1.025, -1.025, 0.0)
TURNED = Pose2(14.0, -24.0, 0.7)


def rectangles() -> list[tuple[float, float, float, float]]:
    return [(0.0, 0.0, LENGTH_M, WIDTH_M), *RACKS, *PILLARS]


def segments(boxes: Sequence[tuple[float, float, float, float]]) -> np.ndarray:
    """Edges as ``(n, 4)``: x1, y1, x2, y2."""
    edges = []
    for x1, y1, x2, y2 in boxes:
        corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
        edges += [(*a, *b) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)]
    return np.array(edges)


def hall_grid(map_from_grid: Pose2 = ALIGNED) -> OccupancyGrid:
    """Map of the hall; whatever the grid's pose, the map frame stays that of the hall."""
    # Large enough that the hall fits whichever way the grid is turned.
    corners = [(x, y) for x in (0.0, LENGTH_M) for y in (0.0, WIDTH_M)]
    grid_from_map = map_from_grid.inverse()
    extent = np.array([grid_from_map.transform(*corner) for corner in corners]).max(axis=0) + 1.0
    columns, rows = np.ceil(extent / RESOLUTION_M).astype(int)
    cells = np.full((rows, columns), UNKNOWN, np.int8)
    row, column = np.mgrid[0:rows, 0:columns]
    gx, gy = (column + 0.5) * RESOLUTION_M, (row + 0.5) * RESOLUTION_M
    cos, sin = math.cos(map_from_grid.yaw_rad), math.sin(map_from_grid.yaw_rad)
    x, y = map_from_grid.x_m + cos * gx - sin * gy, map_from_grid.y_m + sin * gx + cos * gy
    cells[(x > 0) & (x < LENGTH_M) & (y > 0) & (y < WIDTH_M)] = FREE
    for x1, y1, x2, y2 in segments(rectangles()):
        for share in np.linspace(0.0, 1.0, 4 * int(math.hypot(x2 - x1, y2 - y1) / RESOLUTION_M)):
            px, py = grid_from_map.transform(x1 + share * (x2 - x1), y1 + share * (y2 - y1))
            cells[math.floor(py / RESOLUTION_M), math.floor(px / RESOLUTION_M)] = OCCUPIED
    return OccupancyGrid(cells, RESOLUTION_M, map_from_grid)


def cast(origins: np.ndarray, angles_rad: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Distance along each ray, shape ``(rays,)``, to the nearest edge; infinite if none."""
    dx, dy = np.cos(angles_rad)[:, None], np.sin(angles_rad)[:, None]
    ex, ey = (edges[:, 2] - edges[:, 0])[None], (edges[:, 3] - edges[:, 1])[None]
    ox, oy = edges[None, :, 0] - origins[:, :1], edges[None, :, 1] - origins[:, 1:2]
    with np.errstate(divide="ignore", invalid="ignore"):
        cross = dx * ey - dy * ex
        along = (ox * ey - oy * ex) / cross
        across = (ox * dy - oy * dx) / cross
        hit = (np.abs(cross) > 1e-12) & (along > 0) & (across >= 0) & (across <= 1)
        return np.where(hit, along, np.inf).min(axis=1)


def drive(route: Sequence[tuple[float, float]]) -> np.ndarray:
    """True poses at the rate of the odometry, shape ``(n, 3)``, with a pause at each corner."""
    (x, y), poses = route[0], []
    yaw = math.atan2(route[1][1] - y, route[1][0] - x)
    poses += [(x, y, yaw)] * ODOMETRY_HZ
    for next_x, next_y in route[1:]:
        target = math.atan2(next_y - y, next_x - x)
        turn = wrap(target - yaw)
        steps = math.ceil(abs(turn) / TURN_RADPS * ODOMETRY_HZ)
        poses += [(x, y, yaw + turn * k / steps) for k in range(1, steps + 1)]
        yaw = yaw + turn
        steps = math.ceil(math.hypot(next_x - x, next_y - y) / SPEED_MPS * ODOMETRY_HZ)
        poses += [
            (x + (next_x - x) * k / steps, y + (next_y - y) * k / steps, yaw)
            for k in range(1, steps + 1)
        ]
        x, y = next_x, next_y
        poses += [(x, y, yaw)] * (ODOMETRY_HZ // 2)
    return np.array(poses)


@dataclass
class Run:
    """A drive; iterating gives measurements in the order of their arrival.

    Attributes:
        poses: Truth, shape ``(n, 3)``, one per sample of odometry.
        scale: What the wheels report of a metre driven.
        drift_radpm: Heading that the wheels gain on a metre.
        slips: Samples at which the wheels report 6 cm and 1.5 degrees that were not driven.
        strangers: Boxes that are not on the map.
    """

    poses: np.ndarray
    base_from_lidar: Pose2 = BASE_FROM_LIDAR
    max_range_m: float = 12.0
    noise_m: float = 0.01
    scale: float = 1.02
    drift_radpm: float = 0.01
    slips: Sequence[int] = ()
    strangers: Sequence[tuple[float, float, float, float]] = ()
    seed: int = 0
    truth: dict[int, Pose2] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Odometry | Scan]:
        rng = np.random.default_rng(self.seed)
        edges = segments([*rectangles(), *self.strangers])
        odom = Pose2(3.0, -2.0, 1.0)
        per_scan = ODOMETRY_HZ // SCAN_HZ
        period_ns = 1_000_000_000 // ODOMETRY_HZ
        for k in range(len(self.poses)):
            if k:
                before, now = Pose2(*self.poses[k - 1]), Pose2(*self.poses[k])
                step = before.inverse() @ now
                way = math.hypot(step.x_m, step.y_m)
                yaw = step.yaw_rad * 0.99 + self.drift_radpm * way
                slip = (0.06, 0.026) if k in self.slips else (0.0, 0.0)
                odom = odom @ Pose2(step.x_m * self.scale + slip[0], step.y_m, yaw + slip[1])
            stamp_ns = k * period_ns
            self.truth[stamp_ns] = Pose2(*self.poses[k]) @ Pose2.identity()
            yield Odometry(stamp_ns, stamp_ns, odom.x_m, odom.y_m, odom.yaw_rad, 0.0, 0.0)
            if k >= per_scan and k % per_scan == 0:
                yield self._scan(k - per_scan, k, edges, rng)

    def _scan(self, first: int, last: int, edges: np.ndarray, rng: np.random.Generator) -> Scan:
        angles_rad = -np.pi + np.arange(RAYS) * (2.0 * np.pi / RAYS)
        share = np.arange(RAYS) / RAYS
        index = np.arange(first, last + 1)
        base = np.stack(
            [np.interp(first + share * (last - first), index, axis[first : last + 1])
             for axis in self.poses.T], axis=1,
        )  # fmt: skip
        mount = self.base_from_lidar
        cos, sin = np.cos(base[:, 2]), np.sin(base[:, 2])
        origins = base[:, :2] + np.stack(
            [cos * mount.x_m - sin * mount.y_m, sin * mount.x_m + cos * mount.y_m], axis=1
        )
        ranges_m = cast(origins, angles_rad + base[:, 2] + mount.yaw_rad, edges)
        ranges_m += rng.normal(0.0, self.noise_m, RAYS)
        ranges_m[ranges_m > self.max_range_m] = np.nan
        ranges_m[rng.random(RAYS) < 0.02] = np.nan
        stamp_ns = first * (1_000_000_000 // ODOMETRY_HZ)
        return Scan(
            stamp_ns=stamp_ns,
            received_ns=last * (1_000_000_000 // ODOMETRY_HZ),
            angles_rad=angles_rad.astype(np.float32),
            ranges_m=ranges_m.astype(np.float32),
            offsets_s=(share / SCAN_HZ).astype(np.float32),
            quality=np.full(RAYS, 200, np.uint8),
        )
