"""Rays, slowly: every border that a ray crosses is listed, then the cells between are looked up."""

import math
from itertools import pairwise

import numpy as np


def grid_range_m(cells, resolution_m, origin, start, angle_rad, max_range_m):
    """Distance to the first occupied cell, inf if there is none within reach."""
    rows, cols = cells.shape
    dx, dy = math.cos(angle_rad), math.sin(angle_rad)
    crossings = {0.0, max_range_m}
    for position, direction, low, count in (
        (start[0], dx, origin[0], cols),
        (start[1], dy, origin[1], rows),
    ):
        if abs(direction) > 1e-12:
            borders = low + resolution_m * np.arange(count + 1)
            crossings.update(((borders - position) / direction).tolist())
    ordered = sorted(length for length in crossings if 0.0 <= length <= max_range_m)
    for near, far in pairwise(ordered):
        if far - near < 1e-9:
            continue
        middle = 0.5 * (near + far)
        col = math.floor((start[0] + middle * dx - origin[0]) / resolution_m)
        row = math.floor((start[1] + middle * dy - origin[1]) / resolution_m)
        if 0 <= row < rows and 0 <= col < cols and cells[row, col]:
            return near
    return math.inf


def polygon_range_m(corners, start, angle_rad):
    """Distance to a closed outline from outside it, by the intersection with each edge."""
    direction = np.array([math.cos(angle_rad), math.sin(angle_rad)])
    nearest = math.inf
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        matrix = np.column_stack((direction, a - b))
        if abs(np.linalg.det(matrix)) < 1e-12:
            continue
        length, along = np.linalg.solve(matrix, a - np.asarray(start))
        if length >= 0.0 and 0.0 <= along <= 1.0:
            nearest = min(nearest, length)
    return nearest


def disc_range_m(center, radius_m, start, angle_rad):
    """Distance to a disc from outside it, by the roots of the quadratic equation."""
    dx, dy = math.cos(angle_rad), math.sin(angle_rad)
    ox, oy = start[0] - center[0], start[1] - center[1]
    roots = np.roots([1.0, 2.0 * (ox * dx + oy * dy), ox * ox + oy * oy - radius_m**2])
    real = [root.real for root in roots if abs(root.imag) < 1e-12 and root.real >= 0.0]
    return min(real, default=math.inf)
