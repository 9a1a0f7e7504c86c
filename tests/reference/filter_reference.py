"""Motion and resampling of particles, as printed in Probabilistic Robotics."""

import math

import numpy as np


def propagate(
    poses: np.ndarray,
    turn_rad: float,
    distance_m: float,
    final_turn_rad: float,
    stddevs: tuple[float, float, float],
    generator: np.random.Generator,
) -> np.ndarray:
    """Table 5.6, lines 5 to 10."""
    moved = []
    for x, y, yaw in poses:
        turn, distance, final_turn = np.array(
            [turn_rad, distance_m, final_turn_rad]
        ) + generator.standard_normal(3) * np.array(stddevs)
        moved.append(
            (
                x + distance * math.cos(yaw + turn),
                y + distance * math.sin(yaw + turn),
                yaw + turn + final_turn,
            )
        )
    return np.array(moved)


def low_variance(poses: np.ndarray, weights: np.ndarray, start: float, count: int) -> np.ndarray:
    """Table 4.4: particle whose share of the cumulative weight holds each comb tooth."""
    cumulative = np.cumsum(weights)
    targets = (start + np.arange(count)) / count
    return poses[np.minimum(np.searchsorted(cumulative, targets), len(poses) - 1)]
