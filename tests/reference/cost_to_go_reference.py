"""Dijkstra's algorithm with a heap, as in the textbook."""

import heapq
import math

import numpy as np


def propagate(cost: np.ndarray, resolution_m: float, to_go: np.ndarray) -> np.ndarray:
    """Return the least cost from every cell to one that has a finite cost on entry."""
    best = to_go.astype(float).copy()
    queue = [(float(best[at]), at) for at in np.ndindex(*best.shape) if best[at] < np.inf]
    heapq.heapify(queue)
    rows, columns = best.shape
    while queue:
        here, (row, column) = heapq.heappop(queue)
        if here > best[row, column]:
            continue
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                to = row + i, column + j
                if (i, j) == (0, 0) or not (0 <= to[0] < rows and 0 <= to[1] < columns):
                    continue
                price = 0.5 * (cost[row, column] + cost[to])
                there = here + resolution_m * math.hypot(i, j) * price
                if there < best[to] - 1e-12:
                    best[to] = there
                    heapq.heappush(queue, (there, to))
    return best
