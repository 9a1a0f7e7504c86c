"""Plain twins of agent.kernels.segments and agent.kernels.tracking, written from the papers."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def joints(
    points: Array, origin: Array, break_angle_rad: float, range_sigma_m: float, sigmas: float
) -> list[bool]:
    """Breakpoint detection of Borges and Aldon (2004); no ray is missing."""
    joined = []
    for i in range(len(points)):
        before, here = points[i - 1] - origin, points[i] - origin
        cosine = np.dot(before, here) / np.linalg.norm(before) / np.linalg.norm(here)
        step = math.acos(min(1.0, max(-1.0, cosine)))
        reach = np.linalg.norm(before) * math.sin(step) / math.sin(break_angle_rad - step)
        joined.append(bool(np.linalg.norm(here - before) <= reach + sigmas * range_sigma_m))
    return joined


def convex_pieces(points: Array, first: int, last: int, depth_m: float) -> list[tuple[int, int]]:
    """Iterative end-point fit of one unbroken run, to one side only; ends excluded."""
    chord = points[last - 1] - points[first]
    inner = points[first + 1 : last - 1] - points[first]
    if not len(inner) or not np.linalg.norm(chord):
        return [(first, last)]
    behind = (chord[1] * inner[:, 0] - chord[0] * inner[:, 1]) / np.linalg.norm(chord)
    if behind.max() <= depth_m:
        return [(first, last)]
    cut = first + 2 + int(behind.argmax())
    return convex_pieces(points, first, cut, depth_m) + convex_pieces(points, cut, last, depth_m)


def algebraic_circle(points: Array) -> tuple[float, float, float]:
    """Taubin's fit as the generalized eigenproblem that his paper states."""
    mean = points.mean(axis=0)
    x, y = (points - mean).T
    rows = np.column_stack([x * x + y * y, x, y, np.ones_like(x)])
    moments = rows.T @ rows / len(x)
    z = float((x * x + y * y).mean())
    norm = np.array([[4 * z, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0.0]])
    # The constraint is singular: solve for the inverse of the eigenvalue, take its largest.
    values, vectors = np.linalg.eig(np.linalg.solve(moments, norm))
    a, b, c, d = np.real(vectors[:, np.argmax(np.real(values))])
    radius = math.sqrt(b * b + c * c - 4 * a * d) / abs(2 * a)
    return -b / (2 * a) + mean[0], -c / (2 * a) + mean[1], radius


def circle_cost(
    points: Array, circle: Array, radius_m: float, radius_sigma_m: float, sigma_m: float
) -> float:
    """What the geometric fit with a prior minimizes, at a given noise."""
    misses = np.hypot(points[:, 0] - circle[0], points[:, 1] - circle[1]) - circle[2]
    return float((misses**2).sum() / sigma_m**2 + ((circle[2] - radius_m) / radius_sigma_m) ** 2)


def free_m(points: Array, bearings: Array, origin: Array, bearing: float, margin_m: float) -> float:
    """How far a closed scan without missing rays saw free space along one bearing.

    Up to the nearer of the two returns beside it less a margin, and not through a cone that holds
    the margin's disc around a return, measured at its nearest.
    """
    ranges = np.hypot(*(points - origin).T)
    after = int(np.searchsorted(bearings, bearing)) % len(bearings)
    free = min(ranges[after], ranges[after - 1]) - margin_m
    away = np.abs((bearing - bearings + math.pi) % math.tau - math.pi)
    near = away < np.arcsin(np.minimum(1.0, margin_m / ranges))
    return max(0.0, min([free, *(ranges[near] - margin_m)]))


def advance(
    state: Array, covariance: Array, step_s: float, acceleration_psd: float, size_psd: float
) -> tuple[Array, Array]:
    """Bar-Shalom, Li and Kirubarajan (2001), section 6.2.2, with matrices."""
    transition = np.eye(5)
    transition[0, 2] = transition[1, 3] = step_s
    noise = np.zeros((5, 5))
    for axis in (0, 1):
        block = np.ix_((axis, axis + 2), (axis, axis + 2))
        noise[block] = acceleration_psd * np.array(
            [[step_s**3 / 3, step_s**2 / 2], [step_s**2 / 2, step_s]]
        )
    noise[4, 4] = size_psd * step_s
    return transition @ state, transition @ covariance @ transition.T + noise


def correct(state: Array, covariance: Array, measured: Array, spread: Array) -> tuple[Array, Array]:
    """Kalman's correction in Joseph's form."""
    seen = np.zeros((3, 5))
    seen[0, 0] = seen[1, 1] = seen[2, 4] = 1.0
    gain = covariance @ seen.T @ np.linalg.inv(seen @ covariance @ seen.T + spread)
    rest = np.eye(5) - gain @ seen
    return (
        state + gain @ (measured - seen @ state),
        rest @ covariance @ rest.T + gain @ spread @ gain.T,
    )


def associate(costs: Array, gate: float) -> list[int]:
    """Greedy pairs of the lowest costs below a gate; -1 for a row without a partner."""
    pairs = [-1] * costs.shape[0]
    for row, column in sorted(np.ndindex(*costs.shape), key=lambda at: (costs[at], at)):
        if costs[row, column] < gate and pairs[row] < 0 and column not in pairs:
            pairs[row] = column
    return pairs
