"""A smooth way through a building, and how fast it may be driven."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hil.errors import BenchError
from hil.plant.world import Pose

FloatArray: TypeAlias = NDArray[np.float64]

_SPACING_M: Final = 0.01


class Track:
    """A curve through way-points with continuous curvature, driven with the nose ahead.

    The polyline is averaged twice over a sliding window, which makes it a cubic B-spline in
    effect: corners are rounded within the window on either side, straights stay straight.
    """

    def __init__(self, waypoints_m: Sequence[tuple[float, float]], rounding_m: float = 2.0) -> None:
        """Lay the track.

        Args:
            waypoints_m: At least two, further apart than nothing.
            rounding_m: Way before and after a corner on which it is rounded.

        Raises:
            BenchError: Fewer than two way-points, or two in a row at the same place.
        """
        corners = np.array(waypoints_m, dtype=np.float64)
        if len(corners) < 2 or np.any(np.hypot(*np.diff(corners, axis=0).T) <= 0.0):
            raise BenchError("a track needs two way-points or more, each at another place")
        self._points = _rounded(_sampled(corners), round(rounding_m / _SPACING_M))
        steps = np.diff(self._points, axis=0)
        self._along_m = np.concatenate(([0.0], np.cumsum(np.hypot(*steps.T))))
        headings = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
        middles_m = 0.5 * (self._along_m[1:] + self._along_m[:-1])
        self._yaws_rad = np.interp(self._along_m, middles_m, headings)

    @property
    def length_m(self) -> float:
        """Way from start to end."""
        return float(self._along_m[-1])

    @property
    def points_m(self) -> FloatArray:
        """Places a centimetre apart, shape ``(n, 2)``."""
        return self._points

    def poses(self, along_m: FloatArray) -> FloatArray:
        """Return x, y (m) and unwrapped yaw (rad), shape ``(3, n)``, at ways from the start."""
        x_m = np.interp(along_m, self._along_m, self._points[:, 0])
        y_m = np.interp(along_m, self._along_m, self._points[:, 1])
        return np.stack((x_m, y_m, np.interp(along_m, self._along_m, self._yaws_rad)))

    def pose(self, along_m: float) -> Pose:
        """Return the pose at a way from the start."""
        return Pose(*self.poses(np.array([along_m]))[:, 0].tolist())

    def speeds_mps(
        self, top_mps: float, lateral_mps2: float, deceleration_mps2: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return ways along the track and the speed allowed at each.

        Bends are taken at a limited lateral acceleration, reached by braking in good time.
        """
        curvature = np.abs(np.gradient(self._yaws_rad, self._along_m))
        allowed = np.minimum(top_mps, np.sqrt(lateral_mps2 / np.maximum(curvature, 1e-9)))
        squared = np.square(allowed)
        # v^2 falls by 2 a s on the way s: the lowest line of that slope under all that follow.
        slope = 2.0 * deceleration_mps2 * self._along_m
        reached = np.minimum.accumulate((squared + slope)[::-1])[::-1] - slope
        return self._along_m, np.sqrt(np.minimum(squared, reached))


def _sampled(corners: FloatArray) -> FloatArray:
    lengths_m = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))))
    along_m = np.linspace(0.0, lengths_m[-1], max(2, round(lengths_m[-1] / _SPACING_M) + 1))
    return np.stack([np.interp(along_m, lengths_m, axis) for axis in corners.T], axis=1)


def _rounded(points: FloatArray, window: int) -> FloatArray:
    """Average twice over a window; the ends are prolonged first, so that they stay."""
    window = min(window | 1, (len(points) - 1) | 1)
    half = window // 2
    if half == 0:
        return points
    reach = np.arange(1, 2 * half + 1)[:, None]
    before = points[0] - reach[::-1] * (points[1] - points[0])
    after = points[-1] + reach * (points[-1] - points[-2])
    long = np.concatenate((before, points, after))
    box = np.full(window, 1.0 / window)
    twice = np.convolve(box, box)
    return np.stack([np.convolve(axis, twice, mode="valid") for axis in long.T], axis=1)
