"""The robots that drive the courses: one body, two sets of limits."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LENGTH_M = 0.46
WIDTH_M = 0.42


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What the differential drive can do; forwards, backwards and to both sides alike.

    Attributes:
        name: The profile's name.
        speed_mps: Top speed.
        acceleration_mps2: While it gets faster.
        deceleration_mps2: While it gets slower.
        yaw_rate_radps: Fastest turn.
        yaw_acceleration_radps2: Of the turn, while it gets faster and slower.
    """

    name: str
    speed_mps: float
    acceleration_mps2: float
    deceleration_mps2: float
    yaw_rate_radps: float
    yaw_acceleration_radps2: float

    @property
    def limits(self) -> NDArray[np.float64]:
        """Limits of change as the kernels take them, shape ``(3,)``."""
        return np.array(
            [self.acceleration_mps2, self.deceleration_mps2, self.yaw_acceleration_radps2]
        )


# The protocol says nothing of how fast the challenge's robot turns; these are the figures that the
# maker's velocity controller is set to.
JACKAL = Profile(
    name="jackal",
    speed_mps=2.0,
    acceleration_mps2=4.9,
    deceleration_mps2=4.9,
    yaw_rate_radps=4.0,
    yaw_acceleration_radps2=25.0,
)
AMR = Profile(
    name="amr",
    speed_mps=1.5,
    acceleration_mps2=1.0,
    deceleration_mps2=1.5,
    yaw_rate_radps=1.8,
    yaw_acceleration_radps2=3.0,
)
PROFILES = {profile.name: profile for profile in (JACKAL, AMR)}
