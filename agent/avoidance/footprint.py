"""What the robot covers of the ground."""

import math

import numpy as np
from numpy.typing import NDArray

from agent.kernels.clearance import signed_distance_m

COVER_STEP_M = 0.01


def disc_cover(polygon: NDArray[np.float64], slack_m: float) -> NDArray[np.float64]:
    """Return discs inside a polygon whose union comes within a slack of its whole outline.

    The distance of a few discs from a distance field is looked up far sooner than that of a
    polygon. They are picked greedily, those that cover most of what is left first (Chvatal, "A
    Greedy Heuristic for the Set-Covering Problem", 1979); mirrored ones together, so that a
    symmetric robot has a symmetric cover.

    Args:
        polygon: Shape ``(corners, 2)``, in the base frame.
        slack_m: How far a point of the outline may be from the nearest disc.

    Returns:
        Shape ``(discs, 3)``: x, y and radius; the first is around the whole polygon.
    """
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    center = 0.5 * (low + high)
    around = float(np.hypot(*(polygon - center).T).max())
    outline = _outline(polygon)
    step = max(COVER_STEP_M, float((high - low).max()) / 60.0)
    half = np.ceil((high - low) / 2 / step).astype(int)
    xs = center[0] + step * np.arange(-half[0], half[0] + 1)
    ys = center[1] + step * np.arange(-half[1], half[1] + 1)
    grid = np.array([(x, y) for x in xs for y in ys])
    radii = np.array([-float(signed_distance_m(x, y, polygon)) for x, y in grid])
    inside = np.flatnonzero(radii > slack_m)
    twins = _twins(grid, inside, len(ys), center[1])
    grid, radii = grid[inside], radii[inside]
    away = np.hypot(grid[:, None, 0] - outline[None, :, 0], grid[:, None, 1] - outline[None, :, 1])
    covers = away <= radii[:, None] + slack_m
    pairs = covers | covers[twins]
    left = np.ones(len(outline), np.bool_)
    discs = [(center[0], center[1], around)]
    while left.any():
        gains = (pairs & left).sum(axis=1)
        best = int(gains.argmax())
        if gains[best] == 0:
            break
        for index in sorted({best, int(twins[best])}):
            discs.append((grid[index, 0], grid[index, 1], radii[index]))
        left &= ~pairs[best]
    return np.array(discs)


def _twins(
    grid: NDArray[np.float64], inside: NDArray[np.int64], columns: int, middle_m: float
) -> NDArray[np.int64]:
    """Return which of the places inside is nearest to the mirror image of each of them.

    On the grid that is the image itself, unless it lies outside.
    """
    rank = np.full(len(grid), -1)
    rank[inside] = np.arange(len(inside))
    twins: NDArray[np.int64] = rank[inside + columns - 1 - 2 * (inside % columns)]
    for alone in np.flatnonzero(twins < 0):
        x_m, y_m = grid[inside[alone]]
        away = np.hypot(grid[inside, 0] - x_m, grid[inside, 1] - (2.0 * middle_m - y_m))
        twins[alone] = np.argmin(away)
    return twins


def _outline(polygon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points along the outline, the corners among them."""
    points = []
    for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        pieces = max(1, math.ceil(math.dist(start, end) / COVER_STEP_M))
        points.append(
            start + np.linspace(0.0, 1.0, pieces, endpoint=False)[:, None] * (end - start)
        )
    return np.concatenate(points)
