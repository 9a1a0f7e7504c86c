"""Angles in radians."""

import math


def wrap(angle_rad: float) -> float:
    """Return the same direction in [-pi, pi)."""
    return (angle_rad + math.pi) % (2.0 * math.pi) - math.pi


def difference(to_rad: float, from_rad: float) -> float:
    """Return the shortest turn that leads from one direction to another, in [-pi, pi)."""
    return wrap(to_rad - from_rad)
