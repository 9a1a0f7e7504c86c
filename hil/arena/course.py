"""An obstacle course: where the robot starts, where it shall go, what stands and moves between."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.geometry.pose import Pose2
from hil.errors import BenchError

FloatArray: TypeAlias = NDArray[np.float64]

GOAL_RADIUS_M = 1.0
OPTIMAL_SPEED_MPS = 2.0


def _nothing(columns: int) -> FloatArray:
    return np.empty((0, columns))


@dataclass(frozen=True, slots=True, eq=False)
class Walker:
    """A disc that runs through key frames, straight between two, and begins again after the last.

    Where the last key frame is not at the place of the first, it jumps.

    Attributes:
        radius_m: Its size.
        times_s: Shape ``(frames,)``, increasing from 0.
        places_m: Shape ``(frames, 2)``.

    Raises:
        BenchError: The key frames are missing, out of order or no numbers.
    """

    radius_m: float
    times_s: FloatArray
    places_m: FloatArray

    def __post_init__(self) -> None:
        times_s, places_m = self.times_s, self.places_m
        fits = times_s.ndim == 1 and times_s.size > 1 and places_m.shape == (times_s.size, 2)
        if not (fits and np.isfinite(times_s).all() and np.isfinite(places_m).all()):
            raise BenchError("key frames must be at least two rows of finite t, x, y")
        if times_s[0] != 0.0 or (np.diff(times_s) <= 0.0).any():
            raise BenchError("the times of key frames must increase from 0")
        if not self.radius_m > 0.0:
            raise BenchError(f"the radius of a moving disc must be positive, not {self.radius_m}")

    def at(self, moments_s: FloatArray) -> FloatArray:
        """Return its middle at moments, shape ``(moments, 2)``."""
        phase_s = np.mod(moments_s, self.times_s[-1])
        return np.stack(
            [np.interp(phase_s, self.times_s, axis) for axis in self.places_m.T], axis=1
        )

    def jumps_between(self, from_s: float, to_s: float) -> bool:
        """Return whether it begins anew between two moments, elsewhere than it was."""
        loop_s = float(self.times_s[-1])
        apart = not np.array_equal(self.places_m[0], self.places_m[-1])
        return apart and from_s // loop_s != to_s // loop_s


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Course:
    """An obstacle course, in a frame of its own that serves as the map frame.

    Tables are copied and made read-only.

    Attributes:
        name: How its set of courses calls it.
        start: First pose of the robot.
        goal_m: Place to reach, x and y.
        path_length_m: Length of the reference path, from which the best time follows.
        limit_s: Time after which the robot has failed.
        reference_path_m: A way from start to goal, shape ``(n, 2)``, empty where none is known.
        walls: Straight surfaces, shape ``(walls, 4)``: x, y of both ends.
        cylinders: Shape ``(cylinders, 3)``: x, y, radius.
        walkers: What moves.

    Raises:
        BenchError: A number is not finite or not positive where it must be.
    """

    name: str
    start: Pose2
    goal_m: tuple[float, float]
    path_length_m: float
    limit_s: float
    reference_path_m: FloatArray = field(default_factory=lambda: _nothing(2))
    walls: FloatArray = field(default_factory=lambda: _nothing(4))
    cylinders: FloatArray = field(default_factory=lambda: _nothing(3))
    walkers: tuple[Walker, ...] = ()

    def __post_init__(self) -> None:
        for name in ("reference_path_m", "walls", "cylinders"):
            table = np.array(getattr(self, name), dtype=np.float64, order="C")
            table.setflags(write=False)
            object.__setattr__(self, name, table)
        scalars = (self.start.x_m, self.start.y_m, self.start.yaw_rad, *self.goal_m)
        tables = (self.reference_path_m, self.walls, self.cylinders)
        if not (np.isfinite(scalars).all() and all(np.isfinite(table).all() for table in tables)):
            raise BenchError(f"course {self.name} has a number that is not finite")
        if not (self.path_length_m > 0.0 and self.limit_s > 0.0):
            raise BenchError(f"course {self.name} has no length or no time")
        if (self.cylinders[:, 2] <= 0.0).any():
            raise BenchError(f"course {self.name} has a cylinder without a radius")

    @property
    def best_time_s(self) -> float:
        """Time for the reference path at the speed of the challenge's robot."""
        return self.path_length_m / OPTIMAL_SPEED_MPS

    def walkers_at(self, moments_s: FloatArray) -> FloatArray:
        """Return what moves as discs x, y, radius, shape ``(moments, walkers, 3)``."""
        discs = np.empty((moments_s.size, len(self.walkers), 3))
        for i, walker in enumerate(self.walkers):
            discs[:, i, :2] = walker.at(moments_s)
            discs[:, i, 2] = walker.radius_m
        return discs

    def obstacle_name(self, number: int) -> str:
        """Return what an obstacle's number, as the kernels count, stands for."""
        for kind, count in (("wall", len(self.walls)), ("cylinder", len(self.cylinders))):
            if number < count:
                return f"{kind} {number}"
            number -= count
        return f"walker {number}"
