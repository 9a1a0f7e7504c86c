"""What the base can do, and how it moves."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray


class Drive(StrEnum):
    """Kinds of bases."""

    DIFFERENTIAL = "differential"
    CAR = "car"
    OMNIDIRECTIONAL = "omnidirectional"


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionModel:
    """How the base moves.

    Attributes:
        drive: Its kind.
        turning_radius_m: Least radius of a car-like base.
        steering_rate_per_ms: How fast its curvature can change, in 1/m per second.
        reverse_mps: How fast it may drive backwards, 0 where it may not.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    drive: Drive = Drive.DIFFERENTIAL
    turning_radius_m: Annotated[float, Gt(0), Le(20)] = 1.5
    steering_rate_per_ms: Annotated[float, Gt(0), Le(20)] = 1.0
    reverse_mps: Annotated[float, Ge(0), Le(5)] = 0.5

    @property
    def is_car(self) -> bool:
        """Whether it cannot turn on the spot."""
        return self.drive is Drive.CAR


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionLimits:
    """What the base can do and what it is allowed to do.

    ``deceleration_mps2`` and ``yaw_deceleration_radps2`` are promises about the base: the distance
    the governor keeps free is computed from them. ``lateral_acceleration_mps2`` is what a bend may
    push the load aside.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    speed_mps: Annotated[float, Gt(0), Le(5)] = 1.0
    yaw_rate_radps: Annotated[float, Gt(0), Le(6)] = 1.0
    acceleration_mps2: Annotated[float, Gt(0), Le(10)] = 0.8
    deceleration_mps2: Annotated[float, Gt(0), Le(10)] = 1.0
    yaw_acceleration_radps2: Annotated[float, Gt(0), Le(30)] = 1.5
    yaw_deceleration_radps2: Annotated[float, Gt(0), Le(30)] = 2.0
    lateral_acceleration_mps2: Annotated[float, Gt(0), Le(30)] = 4.0
    margin_m: Annotated[float, Gt(0), Le(1)] = 0.06
    base_latency_s: Annotated[float, Gt(0), Le(1)] = 0.06


def control_bounds(limits: MotionLimits, model: MotionModel) -> NDArray[np.float64]:
    """Return the bounds of the controls as the rollouts take them.

    Returns:
        Shape ``(3, 4)``: least, most, growth and decline per second of the forward speed, the speed
        to the left, and the turn, which of a car is the curvature.
    """
    speed = limits.speed_mps
    reverse = min(model.reverse_mps, speed)
    forward = (-reverse, speed, limits.acceleration_mps2, limits.deceleration_mps2)
    lateral = (0.0, 0.0, limits.acceleration_mps2, limits.deceleration_mps2)
    if model.drive is Drive.OMNIDIRECTIONAL:
        lateral = (-0.5 * speed, 0.5 * speed, *lateral[2:])
    turn = (
        -limits.yaw_rate_radps,
        limits.yaw_rate_radps,
        limits.yaw_acceleration_radps2,
        limits.yaw_deceleration_radps2,
    )
    if model.is_car:
        bend, rate = 1.0 / model.turning_radius_m, model.steering_rate_per_ms
        turn = (-bend, bend, rate, rate)
    return np.array([forward, lateral, turn])
