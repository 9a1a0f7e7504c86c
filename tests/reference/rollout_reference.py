"""One sampled motion after the other, in plain Python, without approximations."""

import math

import numpy as np


def bilinear(values: np.ndarray, x: float, y: float) -> float:
    """Return a value between four cell centres; x and y in cells from the grid's corner."""
    rows, columns = values.shape
    x, y = min(max(x - 0.5, 0.0), columns - 1.001), min(max(y - 0.5, 0.0), rows - 1.001)
    j, i = int(x), int(y)
    u, v = x - j, y - i
    low = (1 - u) * values[i, j] + u * values[i, j + 1]
    high = (1 - u) * values[i + 1, j] + u * values[i + 1, j + 1]
    return float((1 - v) * low + v * high)


def limited(wanted: float, present: float, bounds: np.ndarray, step_s: float) -> float:
    """Return what becomes of a control: bounds are least, most, growth and decline."""
    wanted = min(float(bounds[1]), max(float(bounds[0]), wanted))
    grows, declines = step_s * float(bounds[2]), step_s * float(bounds[3])
    if wanted > present:
        most = present + grows if present >= 0 else min(present + declines, grows)
        return min(wanted, most)
    most = present - grows if present <= 0 else max(present - declines, -grows)
    return max(wanted, most)


def poses(controls: np.ndarray, state: np.ndarray, car: bool, bounds: np.ndarray, step_s: float):
    """Yield x, y, yaw and forward speed after each step; controls have shape ``(steps, 3)``."""
    x, y, yaw = (float(v) for v in state[:3])
    speeds = [float(v) for v in state[3:]]
    for control in controls:
        speeds = [
            limited(float(wanted), speed, bound, step_s)
            for wanted, speed, bound in zip(control, speeds, bounds, strict=True)
        ]
        rate = speeds[2] * speeds[0] if car else speeds[2]
        yaw += 0.5 * step_s * rate
        x += step_s * (speeds[0] * math.cos(yaw) - speeds[1] * math.sin(yaw))
        y += step_s * (speeds[0] * math.sin(yaw) + speeds[1] * math.cos(yaw))
        yaw += 0.5 * step_s * rate
        yield x, y, yaw, speeds[0]


def clearance_m(x, y, yaw, discs, distance_m, origin_m, cell_m) -> float:
    """Return the least clearance of the discs but the first."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    return min(
        bilinear(
            distance_m,
            (x + cos * a - sin * b - origin_m[0]) / cell_m,
            (y + sin * a + cos * b - origin_m[1]) / cell_m,
        )
        - radius
        for a, b, radius in discs[1:]
    )
