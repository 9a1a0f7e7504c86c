"""The path that an order asks for, as the follower sees it."""

from dataclasses import dataclass


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
    """

    sequence_id: int
    x_m: float
    y_m: float
    yaw_rad: float | None
    tolerance_m: float
    tolerance_rad: float
    max_speed_mps: float | None = None
    corridor: Corridor | None = None


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
