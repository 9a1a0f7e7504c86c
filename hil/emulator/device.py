"""What every emulated device is to the bench, and what the bench is to an emulated device."""

from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from hil.emulator.uart import UartTransmitter


class Emulator(Protocol):
    """A device at the other end of a serial line: bytes and times in, bytes out, no I/O.

    Attributes:
        name: Of the maker's protocol.
        fault_kinds: What :meth:`set_fault` understands.
        line: The device's transmitter, with its counters.
        commands_received: Well-formed requests so far.
    """

    name: ClassVar[str]
    fault_kinds: ClassVar[tuple[str, ...]]
    line: UartTransmitter
    commands_received: int

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take bytes that arrived at the device, in any chunks."""

    def transmit(self, now_ns: int) -> bytes:
        """Return every byte that has left the device since the last call."""

    def set_fault(self, kind: str, active: bool, now_ns: int) -> None:
        """Switch a fault on or off; raises BenchError for one the device does not have."""


class RangeSource(Protocol):
    """What a lidar looks at."""

    def __call__(
        self, stamps_ns: NDArray[np.int64], bearings_rad: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the range of each ray in m, NaN for none; all arrays ``(rays,)``, not empty.

        Bearings count counter-clockwise from the lidar's x axis; stamps are monotonic times.
        """


class WheelActuator(Protocol):
    """The two motors behind a controller; left is channel 1, right channel 2."""

    def set_wheel_speeds(self, left_radps: float, right_radps: float) -> None:
        """Set the speeds to reach."""

    def wheel_speeds_radps(self) -> tuple[float, float]:
        """Return the speeds reached."""

    def encoder_counts(self) -> tuple[int, int]:
        """Return counts since power-up, unbounded."""

    def set_brake(self, engaged: bool) -> None:
        """Engage or release the emergency brake."""
