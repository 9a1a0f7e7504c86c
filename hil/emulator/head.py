"""What turns in a lidar."""

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
StampArray: TypeAlias = NDArray[np.int64]

# Where the encoder stands at power-up, in turns; no sample falls on its index mark by chance.
_FIRST_PHASE: Final = 0.371_234_5


class RotatingHead:
    """The rotating head of a lidar: the phase of its encoder over time, in turns.

    Args:
        hz_per_s: How fast its motor changes speed.
    """

    def __init__(self, hz_per_s: float) -> None:
        self._hz_per_s = hz_per_s
        self._from_ns = 0
        self._phase = _FIRST_PHASE
        self._speed_hz = 0.0
        self._target_hz = 0.0

    @property
    def target_hz(self) -> float:
        """The speed it runs at or is on its way to."""
        return self._target_hz

    @property
    def settled_ns(self) -> int:
        """When the speed asked for is reached."""
        return self._from_ns + round(self._ramp_s * 1e9)

    @property
    def _ramp_s(self) -> float:
        return abs(self._target_hz - self._speed_hz) / self._hz_per_s

    def set_speed(self, target_hz: float, now_ns: int) -> None:
        """Ask for another speed."""
        after_s = min((now_ns - self._from_ns) * 1e-9, self._ramp_s)
        slope = math.copysign(self._hz_per_s, self._target_hz - self._speed_hz)
        self._phase = float(self.phases(np.array([now_ns]))[0])
        self._speed_hz += slope * after_s
        self._from_ns = now_ns
        self._target_hz = target_hz

    def phases(self, stamps_ns: StampArray) -> FloatArray:
        """Return the phase at each time, none of them before the last change of speed."""
        after_s = (stamps_ns - self._from_ns) * 1e-9
        ramped_s = np.minimum(after_s, self._ramp_s)
        slope = math.copysign(self._hz_per_s, self._target_hz - self._speed_hz)
        ramp = self._speed_hz * ramped_s + 0.5 * slope * ramped_s * ramped_s
        phases: FloatArray = self._phase + ramp + self._target_hz * (after_s - ramped_s)
        return phases
