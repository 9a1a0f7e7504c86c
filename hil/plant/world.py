"""What stands and moves around the robot: an occupancy grid, discs and boxes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hil.errors import BenchError
from hil.plant import kernels

FloatArray: TypeAlias = NDArray[np.float64]

_NO_DISCS = np.empty((0, 5))
_NO_BOXES = np.empty((0, 7))


class Pose(NamedTuple):
    """A pose in the frame of the world; yaw counter-clockwise, not wrapped."""

    x_m: float
    y_m: float
    yaw_rad: float


class TimedPose(NamedTuple):
    """Where an obstacle is at one moment of monotonic time."""

    stamp_ns: int
    pose: Pose


@dataclass(frozen=True, slots=True)
class Disc:
    """A round obstacle: a person, a post, a barrel."""

    radius_m: float


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangular obstacle, its length along its own x axis: a pallet, a truck."""

    length_m: float
    width_m: float


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A disc or box that stands, or runs straight from way-point to way-point.

    Attributes:
        name: Unique in the world.
        shape: Its outline.
        waypoints: At least one, in order of time; it waits at the first before its time and
            stays at the last after it.
        appears_ns: When it comes into the world.
        disappears_ns: When it is gone again, None for never.
    """

    name: str
    shape: Disc | Box
    waypoints: tuple[TimedPose, ...]
    appears_ns: int = 0
    disappears_ns: int | None = None

    def __post_init__(self) -> None:
        stamps = [waypoint.stamp_ns for waypoint in self.waypoints]
        if not stamps or any(later <= earlier for earlier, later in pairwise(stamps)):
            raise BenchError(f"way-points of obstacle {self.name} are missing or out of order")

    def motion_at(self, now_ns: int) -> tuple[Pose, float, float] | None:
        """Return pose and velocity (vx, vy in m/s), None while it is not in the world."""
        gone = self.disappears_ns is not None and now_ns >= self.disappears_ns
        if now_ns < self.appears_ns or gone:
            return None
        if now_ns <= self.waypoints[0].stamp_ns:
            return self.waypoints[0].pose, 0.0, 0.0
        for (from_ns, start), (to_ns, end) in pairwise(self.waypoints):
            if now_ns < to_ns:
                duration_s = (to_ns - from_ns) * 1e-9
                part = (now_ns - from_ns) / (to_ns - from_ns)
                dx, dy = end.x_m - start.x_m, end.y_m - start.y_m
                turn = math.remainder(end.yaw_rad - start.yaw_rad, math.tau)
                pose = Pose(
                    start.x_m + part * dx, start.y_m + part * dy, start.yaw_rad + part * turn
                )
                return pose, dx / duration_s, dy / duration_s
        return self.waypoints[-1].pose, 0.0, 0.0


def standing(name: str, shape: Disc | Box, pose: Pose, appears_ns: int = 0) -> Obstacle:
    """Return an obstacle that does not move."""
    return Obstacle(name, shape, (TimedPose(0, pose),), appears_ns)


@dataclass(frozen=True, slots=True, eq=False)
class ObstacleTable:
    """All obstacles of one moment as the kernels take them."""

    discs: FloatArray
    boxes: FloatArray
    disc_names: tuple[str, ...] = ()
    box_names: tuple[str, ...] = ()


_EMPTY_TABLE = ObstacleTable(_NO_DISCS, _NO_BOXES)


@dataclass(slots=True, eq=False)
class World:
    """The hall: fixed cells and obstacles that come, move and go.

    Attributes:
        cells: bool, shape ``(rows, cols)``, row 0 at the bottom, True where occupied.
        resolution_m: Side of a cell.
        origin_x_m: Lower left corner of cell (0, 0).
        origin_y_m: Lower left corner of cell (0, 0).
    """

    cells: NDArray[np.bool_]
    resolution_m: float
    origin_x_m: float
    origin_y_m: float
    _obstacles: dict[str, Obstacle] = field(default_factory=dict)
    _square: FloatArray = field(default_factory=lambda: np.empty((4, 2)))

    def __post_init__(self) -> None:
        self.cells = np.ascontiguousarray(self.cells, dtype=np.bool_)

    @property
    def obstacle_names(self) -> Iterable[str]:
        """Names of all obstacles, whether they are in the world at the moment or not."""
        return self._obstacles.keys()

    def add(self, obstacle: Obstacle) -> None:
        """Take an obstacle in; raises BenchError when its name is taken."""
        if obstacle.name in self._obstacles:
            raise BenchError(f"an obstacle named {obstacle.name} is there already")
        self._obstacles[obstacle.name] = obstacle

    def remove(self, name: str) -> None:
        """Take an obstacle out; raises BenchError when there is none of this name."""
        if self._obstacles.pop(name, None) is None:
            raise BenchError(f"there is no obstacle named {name}")

    def obstacles_at(self, now_ns: int) -> ObstacleTable:
        """Return the obstacles that are in the world at a moment."""
        if not self._obstacles:
            return _EMPTY_TABLE
        discs: list[tuple[float, ...]] = []
        boxes: list[tuple[float, ...]] = []
        disc_names: list[str] = []
        box_names: list[str] = []
        for obstacle in self._obstacles.values():
            motion = obstacle.motion_at(now_ns)
            if motion is None:
                continue
            (x_m, y_m, yaw_rad), vx_mps, vy_mps = motion
            match obstacle.shape:
                case Disc(radius_m):
                    discs.append((x_m, y_m, vx_mps, vy_mps, radius_m))
                    disc_names.append(obstacle.name)
                case Box(length_m, width_m):
                    half = (length_m / 2, width_m / 2)
                    boxes.append((x_m, y_m, vx_mps, vy_mps, yaw_rad, *half))
                    box_names.append(obstacle.name)
        return ObstacleTable(
            np.array(discs) if discs else _NO_DISCS,
            np.array(boxes) if boxes else _NO_BOXES,
            tuple(disc_names),
            tuple(box_names),
        )

    def contact(self, outline: FloatArray, now_ns: int) -> str | None:
        """Return what a convex outline touches: an obstacle's name, ``"wall"``, or None.

        Args:
            outline: Corners in the frame of the world, counter-clockwise, shape ``(corners, 2)``.
            now_ns: Monotonic time, for the obstacles.
        """
        if kernels.overlaps_cells(
            self.cells, self.resolution_m, self.origin_x_m, self.origin_y_m, outline, self._square
        ):
            return "wall"
        table = self.obstacles_at(now_ns)
        for name, (x_m, y_m, _, _, radius_m) in zip(table.disc_names, table.discs, strict=True):
            if kernels.disc_overlaps(outline, x_m, y_m, radius_m):
                return name
        for name, box in zip(table.box_names, table.boxes, strict=True):
            x_m, y_m, _, _, yaw_rad, half_length_m, half_width_m = box.tolist()
            corners = place(rectangle(half_length_m, half_width_m), Pose(x_m, y_m, yaw_rad))
            if kernels.polygons_overlap(outline, corners):
                return name
        return None


def rectangle(half_length_m: float, half_width_m: float) -> FloatArray:
    """Return the corners of a rectangle around the origin, counter-clockwise."""
    a, b = half_length_m, half_width_m
    return np.array([[a, -b], [a, b], [-a, b], [-a, -b]])


def place(outline: FloatArray, pose: Pose) -> FloatArray:
    """Return an outline given in its own frame, shape ``(corners, 2)``, in that of the world."""
    placed = np.empty_like(outline)
    kernels.place(outline, pose.x_m, pose.y_m, pose.yaw_rad, placed)
    return placed
