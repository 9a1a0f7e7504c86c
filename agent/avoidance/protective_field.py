"""Stops the robot at a distance from whatever stands on its way, and waits for it to leave.

The governor prevents contact; this keeps the polite distance that people beside the robot expect.
"""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Gt, Le
from numpy.typing import NDArray

from agent.avoidance.governor import SWEEP_STEP_M
from agent.kernels.clearance import free_time_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectiveFieldParams:
    """Shape of the field ahead of the footprint."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    standoff_m: Annotated[float, Gt(0), Le(5)] = 0.5
    side_margin_m: Annotated[float, Gt(0), Le(1)] = 0.10
    release_m: Annotated[float, Gt(0), Le(5)] = 0.25


class ProtectiveField:
    """The footprint swept along the way ahead; occupied means stand, with hysteresis."""

    def __init__(
        self,
        params: ProtectiveFieldParams,
        footprint: NDArray[np.float64],
        deceleration_mps2: float,
    ) -> None:
        self._params = params
        self.take_shape(footprint)
        self._deceleration_mps2 = deceleration_mps2
        self._points_m = np.empty((0, 2))
        self.violated = False

    def take_shape(self, footprint: NDArray[np.float64]) -> None:
        """Lie around another footprint, ``(corners, 2)``, as with a load on board."""
        self._footprint = footprint

    def see(self, points_m: NDArray[np.float64]) -> None:
        """Take what the lidars saw, in the base frame, shape ``(points, 2)``."""
        self._points_m = points_m

    def limit(self, forward_mps: float, yaw_rate_radps: float, remaining_m: float) -> float:
        """Return the share in [0, 1] of a proposed twist that the field allows.

        Args:
            forward_mps: Proposed speed; the field lies in its direction.
            yaw_rate_radps: Proposed turn rate.
            remaining_m: Way left to go; nothing beyond it matters.
        """
        if forward_mps == 0.0:
            self.violated = False
            return 1.0
        params = self._params
        braking_m = forward_mps * forward_mps / (2.0 * self._deceleration_mps2)
        standoff_m = params.standoff_m + (params.release_m if self.violated else 0.0)
        # The way ahead is needed, and beyond the goal only what the footprint itself fills.
        look_m = min(braking_m + standoff_m, remaining_m + params.side_margin_m)
        free_m = abs(forward_mps) * float(
            free_time_s(
                self._points_m,
                self._footprint,
                params.side_margin_m,
                forward_mps,
                yaw_rate_radps,
                look_m / abs(forward_mps),
                SWEEP_STEP_M,
            )
        )
        if free_m >= look_m - 1e-9:
            self.violated = False
            return 1.0
        self.violated = free_m <= standoff_m
        if self.violated:
            return 0.0
        allowed_mps = math.sqrt(2.0 * self._deceleration_mps2 * (free_m - standoff_m))
        return min(1.0, allowed_mps / abs(forward_mps))
