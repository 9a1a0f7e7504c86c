"""Odometry motion model: how far the wheels may be off.

Thrun, Burgard, Fox, "Probabilistic Robotics" (2005), section 5.4, table 5.6.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from agent.geometry.angle import difference, wrap
from agent.geometry.pose import Pose2
from agent.kernels.motion import propagate

STRAIGHT_BELOW_M = 0.01  # the direction of a shorter way is noise


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionParams:
    """Noise of the odometry; the alphas are those of the literature, as variances.

    Attributes:
        rotation_noise_from_rotation: "alpha1", rad² per rad².
        rotation_noise_from_translation: "alpha2", rad² per m².
        translation_noise_from_translation: "alpha3", m² per m².
        translation_noise_from_rotation: "alpha4", m² per rad².
        rotation_noise_rad: Standard deviation added to every step.
        translation_noise_m: Standard deviation added to every step.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    rotation_noise_from_rotation: Annotated[float, Ge(0)] = 0.01
    rotation_noise_from_translation: Annotated[float, Ge(0)] = 0.004
    translation_noise_from_translation: Annotated[float, Ge(0)] = 0.01
    translation_noise_from_rotation: Annotated[float, Ge(0)] = 0.01
    rotation_noise_rad: Annotated[float, Ge(0)] = 0.005
    translation_noise_m: Annotated[float, Ge(0)] = 0.01


class OdometryMotionModel:
    """Moves particles as the wheels say, spread as far as the wheels may be wrong."""

    def __init__(self, params: MotionParams) -> None:
        self._params = params

    def apply(
        self,
        poses: NDArray[np.float64],
        before_from_after: Pose2,
        generator: np.random.Generator,
    ) -> None:
        """Move particles in place.

        Args:
            poses: Shape ``(n, 3)``: x, y (m), yaw (rad).
            before_from_after: Motion of the base since the last call, from odometry.
            generator: Source of the noise.
        """
        parts = decompose(before_from_after)
        propagate(poses, *parts, self.stddevs(*parts), generator)

    def stddevs(
        self, turn_rad: float, distance_m: float, final_turn_rad: float
    ) -> tuple[float, float, float]:
        """Return the noise of the three parts of a motion, table 5.6, lines 5 to 7."""
        p = self._params
        # Driving backwards is no half turn there and back.
        turn_rad = min(abs(turn_rad), math.pi - abs(turn_rad))
        final_turn_rad = min(abs(final_turn_rad), math.pi - abs(final_turn_rad))
        line = p.rotation_noise_from_translation * distance_m**2
        floor = p.rotation_noise_rad**2 / 2
        return (
            math.sqrt(p.rotation_noise_from_rotation * turn_rad**2 + line + floor),
            math.sqrt(
                p.translation_noise_from_translation * distance_m**2
                + p.translation_noise_from_rotation * (turn_rad**2 + final_turn_rad**2)
                + p.translation_noise_m**2
            ),
            math.sqrt(p.rotation_noise_from_rotation * final_turn_rad**2 + line + floor),
        )


def decompose(before_from_after: Pose2) -> tuple[float, float, float]:
    """Split a motion into a turn, a straight line and a turn, table 5.6, lines 2 to 4."""
    distance_m = math.hypot(before_from_after.x_m, before_from_after.y_m)
    if distance_m < STRAIGHT_BELOW_M:
        return 0.0, distance_m, before_from_after.yaw_rad
    turn_rad = math.atan2(before_from_after.y_m, before_from_after.x_m)
    return wrap(turn_rad), distance_m, difference(before_from_after.yaw_rad, turn_rad)
