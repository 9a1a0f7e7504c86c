"""Survival of the fittest particles."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def low_variance(
    poses: NDArray[np.float64],
    weights: NDArray[np.float64],
    start: float,
    survivors: NDArray[np.float64],
) -> None:
    """Draw particles in proportion to their weights with a single random number.

    Thrun, Burgard, Fox, "Probabilistic Robotics" (2005), table 4.4.

    Args:
        poses: float64, shape ``(n, 3)``.
        weights: float64, shape ``(n,)``, with sum one.
        start: The random number, in [0, 1).
        survivors: float64 output, shape ``(m, 3)``.
    """
    count = survivors.shape[0]
    i = 0
    cumulative = weights[0]
    for j in range(count):
        target = (start + j) / count
        while target > cumulative and i < poses.shape[0] - 1:
            i += 1
            cumulative += weights[i]
        survivors[j] = poses[i]
