"""The path that an order asks for, as the follower sees it."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.route.nurbs import Nurbs


@dataclass(frozen=True, slots=True)
class Corridor:
    """How far the robot's origin may leave the straight line of an edge.

    Attributes:
        left_m: To the left, seen in the direction of the edge.
        right_m: To the right.
    """

    left_m: float
    right_m: float


@dataclass(frozen=True, slots=True)
class Ellipse:
    """How far beside a place still counts as there (VDA 5050 3.0, section 6.6.2.1).

    Attributes:
        a_m: Semi-major axis, above 0.
        b_m: Semi-minor axis, above 0.
        yaw_rad: Turn of the major axis against the map's x axis.
    """

    a_m: float
    b_m: float
    yaw_rad: float

    def holds(self, x_m: float, y_m: float) -> bool:
        """Whether an offset along the map's axes lies within."""
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        along_m, across_m = x_m * cos + y_m * sin, y_m * cos - x_m * sin
        return math.hypot(along_m / self.a_m, across_m / self.b_m) <= 1.0


@dataclass(frozen=True, slots=True)
class Waypoint:
    """A place the robot must pass or end at, in the map frame.

    Attributes:
        sequence_id: Identifies the waypoint to whoever asked for it.
        x_m: Position.
        y_m: Position.
        yaw_rad: Heading to reach it with, None where any will do.
        tolerance_m: How far beside it still counts as reached.
        tolerance_rad: How far off ``yaw_rad`` still counts as reached.
        max_speed_mps: Speed limit on the way to it, None for the robot's own.
        corridor: In which the robot may go around obstacles on the way to it, None for nowhere.
        ellipse: What takes the place of the circle of ``tolerance_m``, which lies inside it.
        max_yaw_rate_radps: Limit on turning on the way to it, None for the robot's own.
        curve: The way to it, None for a straight line.
    """

    sequence_id: int
    x_m: float
    y_m: float
    yaw_rad: float | None
    tolerance_m: float
    tolerance_rad: float
    max_speed_mps: float | None = None
    corridor: Corridor | None = None
    ellipse: Ellipse | None = None
    max_yaw_rate_radps: float | None = None
    curve: Nurbs | None = field(default=None, compare=False)

    @property
    def line_m(self) -> NDArray[np.float64] | None:
        """The way to it as straight pieces, shape ``(n, 2)``, None for a straight line."""
        return None if self.curve is None else self.curve.line_m

    def way_m(self, begin_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the way to it from where its edge begins, shape ``(n, 2)``."""
        if self.curve is None:
            return np.array([begin_m, (self.x_m, self.y_m)])
        return np.concatenate((self.curve.line_m, [[self.x_m, self.y_m]]))

    def is_near(self, x_m: float, y_m: float) -> bool:
        """Whether a place of the map is near enough to count as this one."""
        aside = x_m - self.x_m, y_m - self.y_m
        if self.ellipse is not None:
            return self.ellipse.holds(*aside)
        return math.hypot(*aside) <= self.tolerance_m


@dataclass(frozen=True, slots=True)
class Goal:
    """Where the robot shall come to rest, in the map frame.

    Attributes:
        x_m: Position.
        y_m: Position.
        yaw_rad: Heading to stand with, None where any will do.
        tolerance_m: How far beside it still counts as reached.
        tolerance_rad: How far off ``yaw_rad`` still counts as reached.
    """

    x_m: float
    y_m: float
    yaw_rad: float | None = None
    tolerance_m: float = 0.05
    tolerance_rad: float = 0.05
