"""What has been seen around the robot lately, in a frame that only odometry moves."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from agent.geometry.points import moved
from agent.geometry.pose import Pose2
from agent.kernels.local_grid import (
    NEVER,
    doubtful_points,
    integrate_rays,
    mark_seen,
    occupied_points,
    roll,
    splat_distance,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalGridParams:
    """Size and memory of the grid.

    Attributes:
        size_m: Side of the window around the robot.
        resolution_m: Side of a cell.
        memory_s: How long what is out of sight is remembered.
        free_reach_m: How far a ray that does not come back is taken to have seen nothing.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    size_m: Annotated[float, Gt(1), Le(60)] = 16.0
    resolution_m: Annotated[float, Gt(0), Le(0.2)] = 0.05
    memory_s: Annotated[float, Gt(0)] = 30.0
    free_reach_m: Annotated[float, Ge(0)] = 6.0


class LocalGrid:
    """A window of cells that follows the robot; all coordinates are in the odometry frame."""

    def __init__(self, params: LocalGridParams, distance_limit_m: float) -> None:
        """Begin with nothing seen; distances to obstacles are exact up to the limit."""
        self._params = params
        self.distance_limit_m = distance_limit_m
        cells = 4 * round(params.size_m / params.resolution_m / 4)
        self._cells = cells
        self._corner = (-cells // 2, -cells // 2)
        self._belief = np.zeros((cells, cells), np.int8)
        self._point_m = np.zeros((cells, cells, 2), np.float32)
        self._hit_ms = np.full((cells, cells), NEVER, np.int32)
        self._seen_ms = np.full((cells, cells), NEVER, np.int32)
        # Room for all cells: what is left out would count as free.
        self._points_m = np.empty((cells * cells, 2))
        self._doubtful_m = np.empty((cells * cells, 2))
        self._count = 0
        self.distance_m = np.full((cells, cells), distance_limit_m, np.float32)

    @property
    def cells(self) -> int:
        """How many cells there are in a row, and rows; a multiple of four."""
        return self._cells

    @property
    def resolution_m(self) -> float:
        """Side of a cell."""
        return self._params.resolution_m

    @property
    def origin_m(self) -> tuple[float, float]:
        """Lower left corner of the window."""
        return self._corner[0] * self.resolution_m, self._corner[1] * self.resolution_m

    @property
    def points_m(self) -> NDArray[np.float64]:
        """Where the last measurement took obstacles to be, shape ``(points, 2)``."""
        return self._points_m[: self._count]

    def clear(self) -> None:
        """Forget everything, as when odometry has jumped."""
        self._belief[:] = 0
        self._hit_ms[:] = self._seen_ms[:] = NEVER
        self._count = 0

    def follow(self, odom_from_base: Pose2) -> None:
        """Keep the robot near the middle of the window."""
        resolution_m, half = self.resolution_m, self._cells // 2
        wanted = (
            round(odom_from_base.x_m / resolution_m) - half,
            round(odom_from_base.y_m / resolution_m) - half,
        )
        right, up = wanted[0] - self._corner[0], wanted[1] - self._corner[1]
        if max(abs(right), abs(up)) * resolution_m < 1.0:
            return
        # By an even number, so that coarse cells stay where they are.
        right, up = 2 * (right // 2), 2 * (up // 2)
        roll(up, right, self._belief, self._point_m, self._hit_ms, self._seen_ms)
        self._corner = (self._corner[0] + right, self._corner[1] + up)

    def see(
        self,
        odom_from_base: Pose2,
        eye_m: tuple[float, float],
        ends_m: NDArray[np.float64],
        hits: NDArray[np.bool_],
        now_ms: int,
    ) -> None:
        """Take the rays of a scan.

        Args:
            odom_from_base: Where the base was.
            eye_m: The lidar on the base.
            ends_m: Shape ``(rays, 2)``, where the rays end, in the base frame.
            hits: Shape ``(rays,)``, whether there is something.
            now_ms: When.
        """
        integrate_rays(
            self.origin_m,
            self.resolution_m,
            odom_from_base.transform(*eye_m),
            moved(odom_from_base, ends_m),
            hits,
            now_ms,
            self._belief,
            self._point_m,
            self._hit_ms,
            self._seen_ms,
        )

    def stand(self, odom_from_base: Pose2, footprint: NDArray[np.float64], now_ms: int) -> None:
        """Take the place where the robot itself stands for free.

        Args:
            odom_from_base: Where the base is.
            footprint: Shape ``(corners, 2)``, in the base frame.
            now_ms: When.
        """
        polygon = moved(odom_from_base, footprint)
        mark_seen(self.origin_m, self.resolution_m, polygon, now_ms, self._belief, self._seen_ms)

    def measure(
        self,
        now_ms: int,
        moving: NDArray[np.float64],
        place_m: tuple[float, float],
        doubt_m: float,
    ) -> None:
        """Work out the distances to what stands; what moves is left to whoever predicts it.

        Args:
            now_ms: When.
            moving: Shape ``(objects, 5)`` or wider: x, y, vx, vy and radius.
            place_m: Where the base is.
            doubt_m: How far around it what has not been seen counts as standing there; farther off
                it will have been seen before the robot gets there.
        """
        since_ms = now_ms - round(self._params.memory_s * 1e3)
        self._count = occupied_points(
            self._belief, self._point_m, self._hit_ms, since_ms, moving, self._points_m
        )
        unseen_m = self._around(place_m, doubt_m, since_ms, hits=False)
        self._points_m[self._count : self._count + len(unseen_m)] = unseen_m
        self._count += len(unseen_m)
        splat_distance(
            self.origin_m,
            self.resolution_m,
            self.points_m,
            self.distance_limit_m,
            self.distance_m,
        )

    @property
    def free_reach_m(self) -> float:
        """How far a ray that does not come back is taken to have seen nothing."""
        return self._params.free_reach_m

    def hits_near(
        self, x_m: float, y_m: float, radius_m: float, now_ms: int
    ) -> NDArray[np.float64]:
        """Return what is occupied near a place, shape ``(points, 2)``."""
        since_ms = now_ms - round(self._params.memory_s * 1e3)
        return self._around((x_m, y_m), radius_m, since_ms, hits=True)

    def unseen_near(
        self, x_m: float, y_m: float, radius_m: float, now_ms: int
    ) -> NDArray[np.float64]:
        """Return the centres of cells near a place that nobody has seen, ``(points, 2)``."""
        since_ms = now_ms - round(self._params.memory_s * 1e3)
        return self._around((x_m, y_m), radius_m, since_ms, hits=False)

    def _around(
        self, place_m: tuple[float, float], radius_m: float, since_ms: int, *, hits: bool
    ) -> NDArray[np.float64]:
        count = doubtful_points(
            self.origin_m,
            self.resolution_m,
            place_m,
            radius_m,
            since_ms,
            self._belief,
            self._point_m,
            self._seen_ms,
            hits,
            self._doubtful_m,
        )
        return self._doubtful_m[:count]
