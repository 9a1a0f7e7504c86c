"""Exact Euclidean distance transform of a grid.

Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled Functions", Theory of Computing 8
(2012), 415-428, algorithm 1 along one axis after the other.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def lower_envelope(
    samples: NDArray[np.float64],
    vertices: NDArray[np.int64],
    boundaries: NDArray[np.float64],
    envelope: NDArray[np.float64],
) -> None:
    """Transform one line: ``envelope[q] = min over p of (q - p)^2 + samples[p]``.

    Args:
        samples: float64, shape ``(n,)``; infinite where there is no parabola.
        vertices: int64 workspace, shape ``(n,)``.
        boundaries: float64 workspace, shape ``(n + 1,)``.
        envelope: float64 output, shape ``(n,)``; infinite if every sample is.
    """
    n = samples.shape[0]
    last = -1
    for q in range(n):
        if samples[q] == np.inf:
            continue
        boundary = -np.inf
        while last >= 0:
            p = vertices[last]
            boundary = ((samples[q] + q * q) - (samples[p] + p * p)) / (2.0 * (q - p))
            if boundary > boundaries[last]:
                break
            last -= 1
        if last < 0:
            boundary = -np.inf
        last += 1
        vertices[last] = q
        boundaries[last] = boundary
    if last < 0:
        envelope[:] = np.inf
        return
    boundaries[last + 1] = np.inf
    k = 0
    for q in range(n):
        while boundaries[k + 1] < q:
            k += 1
        p = vertices[k]
        envelope[q] = (q - p) * (q - p) + samples[p]


@njit(cache=True, nogil=True)
def distance_transform(occupied: NDArray[np.bool_], limit: float) -> NDArray[np.float32]:
    """Return the distance from each cell's centre to that of the nearest occupied cell.

    Args:
        occupied: bool, shape ``(rows, columns)``.
        limit: Distance in cells at which the result is cut off.

    Returns:
        float32, shape ``(rows, columns)``, in cells, at most ``limit``.
    """
    rows, columns = occupied.shape
    longest = max(rows, columns)
    samples = np.empty(longest)
    envelope = np.empty(longest)
    vertices = np.empty(longest, np.int64)
    boundaries = np.empty(longest + 1)
    # Along columns the parabolas are 0 or infinite, so two sweeps of counting do the same.
    squared = np.empty((rows, columns))
    for column in range(columns):
        distance = np.inf
        for row in range(rows):
            distance = 0.0 if occupied[row, column] else distance + 1.0
            squared[row, column] = distance
        distance = np.inf
        for row in range(rows - 1, -1, -1):
            distance = 0.0 if occupied[row, column] else distance + 1.0
            nearest = min(distance, squared[row, column])
            squared[row, column] = nearest * nearest
    result = np.empty((rows, columns), np.float32)
    for row in range(rows):
        samples[:columns] = squared[row]
        lower_envelope(samples[:columns], vertices, boundaries, envelope[:columns])
        for column in range(columns):
            result[row, column] = min(limit, math.sqrt(envelope[column]))
    return result
