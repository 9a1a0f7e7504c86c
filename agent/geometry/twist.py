"""How fast a body moves, in its own frame."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Twist:
    """Velocity of the base in the base frame (REP-103: x forward, y left, yaw counter-clockwise).

    ``lateral_mps`` is zero for everything but an omnidirectional base.
    """

    forward_mps: float = 0.0
    lateral_mps: float = 0.0
    yaw_rate_radps: float = 0.0
