"""Fields around the robot that slow or stop it, switched by its speed and by its load.

Like those of a safety scanner, each field is a rectangle around the outline, longer in the
direction of travel; but here they only make for calm traffic, the scanner stays in charge. Of all
that are switched on the most restrictive wins, and slowing keeps the curvature.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from agent.geometry.twist import Twist

STANDING_MPS = 0.02


class FieldKind(StrEnum):
    """What happens while something is in a field."""

    SLOW = "slow"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldParams:
    """A field, and when it is switched on.

    Attributes:
        name: What messages call it.
        kind: What it does.
        ahead_m: How far it reaches beyond the outline in the direction of travel.
        beside_m: How far to either side.
        behind_m: How far against the direction of travel.
        speed_mps: To which speed a slow field slows.
        above_mps: It is on from this speed on.
        below_mps: It is on below this speed.
        loaded: It is on only with a load, or only without one; either way if left out.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    name: str
    kind: FieldKind = FieldKind.SLOW
    ahead_m: Annotated[float, Ge(0), Le(20)]
    beside_m: Annotated[float, Ge(0), Le(5)] = 0.1
    behind_m: Annotated[float, Ge(0), Le(20)] = 0.0
    speed_mps: Annotated[float, Gt(0), Le(5)] = 0.3
    above_mps: Annotated[float, Ge(0), Le(5)] = 0.0
    below_mps: Annotated[float, Gt(0), Le(100)] = 100.0
    loaded: bool | None = None

    def is_on(self, speed_mps: float, loaded: bool) -> bool:
        """Return whether the field is switched on."""
        fits = self.loaded is None or self.loaded == loaded
        return fits and self.above_mps <= speed_mps < self.below_mps


class Fields:
    """All fields of a robot; without any, nothing is slowed."""

    def __init__(self, params: Sequence[FieldParams], footprint: NDArray[np.float64]) -> None:
        """Set fields up around a footprint of shape ``(corners, 2)``."""
        self._params = tuple(params)
        self.stopped_by = ""
        self.take_shape(footprint)

    def take_shape(self, footprint: NDArray[np.float64]) -> None:
        """Lie around another footprint, ``(corners, 2)``, as with a load on board."""
        self._low_m, self._high_m = footprint.min(axis=0), footprint.max(axis=0)

    def limit(
        self, points_m: NDArray[np.float64], wanted: Twist, present: Twist, loaded: bool = False
    ) -> float:
        """Return the share in [0, 1] of a proposed twist that the fields allow.

        A robot that stands may turn on the spot: a field lies in the direction of travel, and who
        is not allowed to turn away never gets out of it.

        Args:
            points_m: Shape ``(points, 2)``, what the lidars see, in the base frame.
            wanted: Proposed twist.
            present: Of the base, measured; it switches the fields.
            loaded: Whether the robot carries something.
        """
        self.stopped_by = ""
        if abs(wanted.forward_mps) < STANDING_MPS and abs(wanted.lateral_mps) < STANDING_MPS:
            return 1.0
        speed_mps = math.hypot(present.forward_mps, present.lateral_mps)
        wanted_mps = math.hypot(wanted.forward_mps, wanted.lateral_mps)
        share = 1.0
        for field in self._params:
            if not (field.is_on(speed_mps, loaded) and self._holds(field, wanted, points_m)):
                continue
            if field.kind is FieldKind.STOP:
                share, self.stopped_by = 0.0, field.name
            else:
                share = min(share, field.speed_mps / wanted_mps)
        return share

    def _holds(self, field: FieldParams, wanted: Twist, points_m: NDArray[np.float64]) -> bool:
        """Whether a point lies in a field."""
        forwards = wanted.forward_mps >= 0.0
        front_m, back_m = (
            (field.ahead_m, field.behind_m) if forwards else (field.behind_m, field.ahead_m)
        )
        x, y = points_m[:, 0], points_m[:, 1]
        inside = (x > self._low_m[0] - back_m) & (x < self._high_m[0] + front_m)
        inside &= (y > self._low_m[1] - field.beside_m) & (y < self._high_m[1] + field.beside_m)
        return bool(inside.any())
