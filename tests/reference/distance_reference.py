"""Distance transform by definition: every cell against every occupied one."""

import numpy as np


def distance_transform(occupied: np.ndarray, limit: float) -> np.ndarray:
    cells = np.argwhere(occupied)
    rows, columns = np.indices(occupied.shape)
    if not len(cells):
        return np.full(occupied.shape, limit)
    squared = (rows[..., None] - cells[:, 0]) ** 2 + (columns[..., None] - cells[:, 1]) ** 2
    return np.minimum(np.sqrt(squared.min(axis=-1)), limit)
