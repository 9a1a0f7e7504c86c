"""Load carriers and stations by what a planar lidar sees of them: legs, plates, reflectors."""

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Gt, Le
from numpy.typing import NDArray

from agent.errors import ConfigError
from agent.geometry.pose import Pose2
from agent.kernels.marks import DISC, PLATE, SQUARE

FloatArray = NDArray[np.float64]
LEAST_SPACING_M = 0.1  # marks nearer to each other are one to a lidar


class Section(StrEnum):
    """Cross sections of legs."""

    ROUND = "round"
    SQUARE = "square"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A leg or wheel of a carrier, in the carrier's frame.

    Attributes:
        x_m: Its middle.
        y_m: Its middle.
        width_m: Its diameter, or the side of a square along the carrier's axes.
        section: Its shape.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    x_m: float
    y_m: float
    width_m: Annotated[float, Gt(0), Le(0.3)] = 0.05
    section: Section = Section.SQUARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Plate:
    """A flat face of a station or carrier, or a reflector, in the carrier's frame.

    Attributes:
        x_m: Its middle.
        y_m: Its middle.
        facing_rad: Direction of its outward normal.
        length_m: Across the normal.
        bright: It is retro-reflective: only returns of high quality can be of it.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    x_m: float
    y_m: float
    facing_rad: float = math.pi
    length_m: Annotated[float, Gt(0), Le(5)]
    bright: bool = False


@dataclass(frozen=True)
class Carrier:
    """What shall be found: marks that stand still to each other.

    The carrier's frame is free to choose; its x axis usually points the way a robot enters.

    Attributes:
        legs: At least two, unless there are plates.
        plates: One is enough; several may form a V or be reflectors a known spacing apart.

    Raises:
        ConfigError: Too few marks to tell a pose, or two that a lidar cannot tell apart.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    legs: tuple[Leg, ...] = ()
    plates: tuple[Plate, ...] = ()

    def __post_init__(self) -> None:
        if len(self.legs) + 2 * len(self.plates) < 2:
            raise ConfigError("a carrier needs two legs or one plate")
        centres = self.marks[:, :2]
        apart_m = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1))
        apart_m[np.diag_indices(len(centres))] = math.inf
        if not np.isfinite(self.marks).all() or apart_m.min() < LEAST_SPACING_M:
            raise ConfigError(f"marks of a carrier are not {LEAST_SPACING_M} m apart")

    @cached_property
    def marks(self) -> FloatArray:
        """All marks as :mod:`agent.kernels.marks` takes them, legs first; read-only."""
        kinds = {Section.ROUND: DISC, Section.SQUARE: SQUARE}
        rows = [
            (leg.x_m, leg.y_m, 0.0, leg.width_m / 2, float(kinds[leg.section])) for leg in self.legs
        ]
        rows += [
            (plate.x_m, plate.y_m, plate.facing_rad, plate.length_m / 2, float(PLATE))
            for plate in self.plates
        ]
        marks = np.array(rows)
        marks.setflags(write=False)
        return marks

    @cached_property
    def bright(self) -> NDArray[np.bool_]:
        """Which marks are retro-reflective, shape ``(marks,)``."""
        return np.array([False] * len(self.legs) + [plate.bright for plate in self.plates])

    @cached_property
    def outline_m(self) -> FloatArray:
        """Points on the outlines of the marks, shape ``(points, 2)``, in the carrier's frame."""
        points = [_outline_m(mark) for mark in self.marks]
        return np.concatenate(points)

    def belonging(
        self, base_from_carrier: Pose2, points_m: FloatArray, within_m: float
    ) -> NDArray[np.bool_]:
        """Tell which points are on the carrier itself.

        Args:
            base_from_carrier: Where it is.
            points_m: Shape ``(points, 2)``, in the base frame.
            within_m: How far from a mark's surface a point may be.

        Returns:
            Shape ``(points,)``.
        """
        carrier_from_base = base_from_carrier.inverse()
        cos, sin = math.cos(carrier_from_base.yaw_rad), math.sin(carrier_from_base.yaw_rad)
        x_m = carrier_from_base.x_m + cos * points_m[:, 0] - sin * points_m[:, 1]
        y_m = carrier_from_base.y_m + sin * points_m[:, 0] + cos * points_m[:, 1]
        mine = np.zeros(len(points_m), np.bool_)
        for mark_x, mark_y, yaw, half_m, kind in self.marks.tolist():
            cos, sin = math.cos(yaw), math.sin(yaw)
            along = cos * (x_m - mark_x) + sin * (y_m - mark_y)
            across = cos * (y_m - mark_y) - sin * (x_m - mark_x)
            if int(kind) == DISC:
                mine |= np.hypot(along, across) <= half_m + within_m
            else:
                depth_m = 0.0 if int(kind) == PLATE else half_m
                beyond = np.maximum(np.abs(along) - depth_m, 0.0)
                mine |= np.hypot(beyond, np.maximum(np.abs(across) - half_m, 0.0)) <= within_m
        return mine


def _outline_m(mark: FloatArray) -> FloatArray:
    x_m, y_m, yaw, half_m, kind = mark.tolist()
    if int(kind) == DISC:
        turns = np.linspace(0.0, math.tau, 12, endpoint=False)
        return np.column_stack((x_m + half_m * np.cos(turns), y_m + half_m * np.sin(turns)))
    if int(kind) == SQUARE:
        own = half_m * np.array([[1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0]])
    else:
        count = max(2, math.ceil(2.0 * half_m / 0.05))
        own = np.column_stack((np.zeros(count), np.linspace(-half_m, half_m, count)))
    cos, sin = math.cos(yaw), math.sin(yaw)
    return np.column_stack(
        (x_m + cos * own[:, 0] - sin * own[:, 1], y_m + sin * own[:, 0] + cos * own[:, 1])
    )
