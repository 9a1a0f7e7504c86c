"""Plain twins of agent.kernels.clearance, written from the definitions."""

import math

import numpy as np
from numpy.typing import NDArray


def signed_distance_m(x: float, y: float, polygon: NDArray[np.float64]) -> float:
    """Distance to the outline by projecting on every edge; inside by the winding number."""
    point = np.array([x, y])
    distances, winding = [], 0.0
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        t = np.clip(np.dot(point - a, b - a) / np.dot(b - a, b - a), 0.0, 1.0)
        distances.append(float(np.linalg.norm(point - a - t * (b - a))))
        u, v = a - point, b - point
        winding += math.atan2(u[0] * v[1] - u[1] * v[0], float(np.dot(u, v)))
    nearest = min(distances)
    return -nearest if abs(winding) > math.pi else nearest


def clearance_m(
    points: NDArray[np.float64],
    polygon: NDArray[np.float64],
    twist: tuple[float, float],
    time_s: float,
) -> float:
    """Smallest signed distance of the points to the polygon after a constant twist."""
    v, w = twist
    turn = w * time_s
    if abs(w) > 1e-9:
        x, y = v / w * math.sin(turn), v / w * (1 - math.cos(turn))
    else:
        x, y = v * time_s, 0.0
    c, s = math.cos(turn), math.sin(turn)
    moved = (points - [x, y]) @ np.array([[c, -s], [s, c]])
    return min((signed_distance_m(px, py, polygon) for px, py in moved), default=math.inf)
