"""What a device measured and what it is told, in SI units and REP-103 axes.

These types are the only ones that cross from ``drivers`` to the agent. Arrays are contiguous,
one-dimensional and read-only; a lidar ray that saw nothing is NaN, never zero and never "far".
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float32]
ByteArray: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """One revolution (or sweep) of a planar lidar, in the lidar's own frame.

    Rays are sorted by angle, counter-clockwise; all arrays have shape ``(rays,)``.

    Attributes:
        stamp_ns: Monotonic host time at which the ray with the smallest offset was measured.
        received_ns: Monotonic host time at which the last byte of the scan arrived.
        angles_rad: Bearing of each ray from the lidar's x axis, in [-pi, pi).
        ranges_m: Distance along each ray; NaN where nothing came back.
        offsets_s: Time of each ray after ``stamp_ns``, for de-skewing.
        quality: The maker's return strength, 0 where there is none.
        missing: Rays that the device measured but that never arrived intact.
    """

    stamp_ns: int
    received_ns: int
    angles_rad: FloatArray
    ranges_m: FloatArray
    offsets_s: FloatArray
    quality: ByteArray
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Odometry:
    """Where the wheels say the base has gone: ``odom_from_base`` and its rate (REP-105).

    The pose is integrated from absolute encoder counts, so a lost sample costs nothing.
    """

    stamp_ns: int
    received_ns: int
    x_m: float
    y_m: float
    yaw_rad: float
    forward_mps: float
    yaw_rate_radps: float


@dataclass(frozen=True, slots=True)
class BaseStatus:
    """Health of the base as its controller reports it.

    Attributes:
        stamp_ns: Monotonic host time of the newest report in this status.
        battery_v: Traction battery voltage, NaN while unknown.
        motor_currents_a: One current per motor channel, empty while unknown.
        e_stop: The emergency stop is active; the base will not move.
        bumper: A contact sensor is pressed.
        faults: Named faults from the controller's own registers, empty when healthy.
    """

    stamp_ns: int
    battery_v: float
    motor_currents_a: tuple[float, ...]
    e_stop: bool
    bumper: bool
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VelocityCommand:
    """What the base shall do, until ``valid_until_ns`` and not a moment longer."""

    forward_mps: float
    yaw_rate_radps: float
    valid_until_ns: int
    lateral_mps: float = 0.0

    @property
    def is_stop(self) -> bool:
        """Whether this command asks for standstill."""
        return self.forward_mps == self.lateral_mps == self.yaw_rate_radps == 0.0
