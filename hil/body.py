"""What stands behind the emulated devices: the plant, or a log that is played."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hil.emulator.device import WheelActuator
from hil.plant.plant import Truth


class Body(Protocol):
    """A robot as its devices feel it."""

    @property
    def wheels(self) -> WheelActuator:
        """The motors."""

    @property
    def truth(self) -> Truth:
        """Where the robot is now."""

    def advance(self, to_ns: int) -> None:
        """Let time pass up to a monotonic time."""

    def lidar_ranges(
        self, stamps_ns: NDArray[np.int64], bearings_rad: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return what the lidar measures; see :class:`hil.emulator.device.RangeSource`."""
