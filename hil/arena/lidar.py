"""The planar lidar of the protocol, in the robot's middle; a scan is taken at one moment."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.geometry.pose import Pose2
from drivers.measurement import Scan
from hil.arena.course import FloatArray
from hil.plant.arena_kernels import cast_beams

BEAMS: Final = 720
FIELD_OF_VIEW_RAD: Final = math.radians(270.0)
REACH_M: Final = 30.0


class PlanarLidar:
    """720 beams over 270 degrees, the first and the last at its ends.

    Args:
        rng: Source of noise.
        noise_m: Standard deviation of a range.
    """

    def __init__(self, rng: np.random.Generator, noise_m: float = 0.0) -> None:
        self._rng = rng
        self._noise_m = noise_m
        half_rad = FIELD_OF_VIEW_RAD / 2.0
        self._bearings_rad = np.linspace(-half_rad, half_rad, BEAMS)
        self._angles_rad = _frozen(self._bearings_rad.astype(np.float32))
        self._offsets_s = _frozen(np.zeros(BEAMS, np.float32))
        self._quality: NDArray[np.uint8] = np.zeros(BEAMS, np.uint8)
        self._quality.setflags(write=False)

    def scan(self, walls: FloatArray, discs: FloatArray, pose: Pose2, now_ns: int) -> Scan:
        """Measure.

        Args:
            walls: Shape ``(walls, 4)``: x, y of both ends.
            discs: Shape ``(discs, 3)``: x, y, radius.
            pose: Of the robot.
            now_ns: Monotonic time.
        """
        ranges_m = np.empty(BEAMS)
        cast_beams(
            walls, discs, pose.x_m, pose.y_m, pose.yaw_rad, self._bearings_rad, REACH_M, ranges_m
        )
        if self._noise_m > 0.0:
            noisy_m = ranges_m + self._noise_m * self._rng.standard_normal(BEAMS)
            ranges_m = np.maximum(noisy_m, 0.0)
        return Scan(
            stamp_ns=now_ns,
            received_ns=now_ns,
            angles_rad=self._angles_rad,
            ranges_m=_frozen(ranges_m.astype(np.float32)),
            offsets_s=self._offsets_s,
            quality=self._quality,
        )


def _frozen(array: NDArray[np.float32]) -> NDArray[np.float32]:
    array.setflags(write=False)
    return array
