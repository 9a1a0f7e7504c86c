"""How fast a body moves, in its own frame: the exponential map of SE(2) and back."""

import math
from dataclasses import dataclass

from agent.geometry.pose import Pose2


@dataclass(frozen=True, slots=True)
class Twist:
    """Velocity of the base in the base frame (REP-103: x forward, y left, yaw counter-clockwise).

    ``lateral_mps`` is zero for everything but an omnidirectional base.
    """

    forward_mps: float = 0.0
    lateral_mps: float = 0.0
    yaw_rate_radps: float = 0.0


def values(twist: Twist) -> tuple[float, float, float]:
    """Return forward, left and turn."""
    return twist.forward_mps, twist.lateral_mps, twist.yaw_rate_radps


def moved_by(twist: Twist, time_s: float) -> Pose2:
    """Return where a constant twist takes a body, ``before_from_after``."""
    half = 0.5 * twist.yaw_rate_radps * time_s
    chord = time_s * _chord(half)
    cos, sin = chord * math.cos(half), chord * math.sin(half)
    return Pose2(
        cos * twist.forward_mps - sin * twist.lateral_mps,
        sin * twist.forward_mps + cos * twist.lateral_mps,
        math.remainder(2.0 * half, math.tau),
    )


def twist_of(before_from_after: Pose2, time_s: float) -> Twist:
    """Return the constant twist that leads to a motion of less than half a turn in a time."""
    half = 0.5 * before_from_after.yaw_rad
    chord = time_s * _chord(half)
    cos, sin = math.cos(half) / chord, math.sin(half) / chord
    x_m, y_m = before_from_after.x_m, before_from_after.y_m
    return Twist(cos * x_m + sin * y_m, cos * y_m - sin * x_m, 2.0 * half / time_s)


def _chord(half_rad: float) -> float:
    """Return the chord of an arc over its length, by half of its angle."""
    return math.sin(half_rad) / half_rad if abs(half_rad) > 1e-9 else 1.0
