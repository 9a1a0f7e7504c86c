"""Sums and maxima over fields, from the definitions."""

import math

import numpy as np


def pooled(field: np.ndarray, side: int) -> np.ndarray:
    """Maximum over the square of cells that begins at each cell."""
    rows, columns = field.shape
    return np.array(
        [[field[r : r + side, c : c + side].max() for c in range(columns)] for r in range(rows)]
    )


def score(field: np.ndarray, cells: np.ndarray, row: int, column: int) -> int:
    """Sum of a field, 0 outside, over cells relative to a base."""
    total = 0
    for dr, dc in cells:
        r, c = row + dr, column + dc
        if 0 <= r < field.shape[0] and 0 <= c < field.shape[1]:
            total += int(field[r, c])
    return total


def turned(points_m: np.ndarray, yaw_rad: float, resolution_m: float) -> np.ndarray:
    """Points at a heading, rounded half up to rows and columns."""
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    rows = (sin * points_m[:, 0] + cos * points_m[:, 1]) / resolution_m
    columns = (cos * points_m[:, 0] - sin * points_m[:, 1]) / resolution_m
    return np.floor(np.column_stack([rows, columns]) + 0.5).astype(np.int32)
