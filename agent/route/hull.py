"""Convex outlines of what the robot covers of the ground, shape ``(corners, 2)``, base frame."""

import math

import numpy as np
from numpy.typing import NDArray

from agent.errors import ConfigError
from agent.kernels.clearance import signed_distance_m


def inscribed_m(hull: NDArray[np.float64]) -> float:
    """Return the radius of the largest circle about the base inside a hull."""
    return max(0.0, -float(signed_distance_m(0.0, 0.0, hull)))


def circumscribed_m(hull: NDArray[np.float64]) -> float:
    """Return the radius of the smallest circle about the base that holds a hull."""
    return float(np.hypot(hull[:, 0], hull[:, 1]).max())


def convex_hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the convex hull, counter-clockwise, with corners only, read-only.

    Andrew, "Another efficient algorithm for convex hulls in two dimensions", Information Processing
    Letters 9 (1979).

    Raises:
        ConfigError: The points span no area.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ConfigError("a footprint needs finite corners, x and y of each")
    ordered = sorted({(float(x), float(y)) for x, y in points})

    def chain(run: list[tuple[float, float]]) -> list[tuple[float, float]]:
        hull: list[tuple[float, float]] = []
        for x, y in run:
            while len(hull) > 1:
                (ax, ay), (bx, by) = hull[-2:]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 1e-12:
                    break
                hull.pop()
            hull.append((x, y))
        return hull[:-1]

    corners = chain(ordered) + chain(ordered[::-1])
    if len(corners) < 3:
        raise ConfigError("a footprint needs three corners or more that span an area")
    hull = np.array(corners)
    hull.setflags(write=False)
    return hull


def inflated(hull: NDArray[np.float64], margin_m: float) -> NDArray[np.float64]:
    """Return a convex polygon that holds all within a margin of another.

    It is the Minkowski sum with an octagon around the circle of that radius.
    """
    angles = math.pi / 8 + math.pi / 4 * np.arange(8)
    corner_m = margin_m / math.cos(math.pi / 8)
    octagon = corner_m * np.column_stack([np.cos(angles), np.sin(angles)])
    return convex_hull((hull[:, None, :] + octagon[None, :, :]).reshape(-1, 2))
