"""Plain twins of agent.kernels.route, and what a route must keep, written from the definitions."""

import heapq
import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def placed(polygon: NDArray[np.float64], x: float, y: float, yaw: float) -> NDArray[np.float64]:
    cos, sin = math.cos(yaw), math.sin(yaw)
    return polygon @ np.array([[cos, sin], [-sin, cos]]) + (x, y)


def overlaps(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Separating axes: two convex polygons are apart if they are so along a normal of an edge."""
    for polygon in (one, other):
        for edge in np.roll(polygon, -1, axis=0) - polygon:
            normal = np.array([-edge[1], edge[0]])
            a, b = one @ normal, other @ normal
            if a.max() < b.min() or b.max() < a.min():
                return False
    return True


def touches(
    polygon: NDArray[np.float64],
    pose: tuple[float, float, float],
    filled: NDArray[np.bool_],
    resolution: float,
) -> bool:
    """Every filled cell as a square, and the outside of the grid."""
    outline = placed(polygon, *pose)
    rows, columns = filled.shape
    low, high = outline.min(axis=0), outline.max(axis=0)
    if low.min() < 0.0 or high[0] >= columns * resolution or high[1] >= rows * resolution:
        return True
    unit = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    first, last = np.floor(low / resolution).astype(int), np.floor(high / resolution).astype(int)
    for row, column in np.argwhere(filled[first[1] : last[1] + 1, first[0] : last[0] + 1]):
        square = (unit + np.array([column + first[0], row + first[1]])) * resolution
        if overlaps(outline, square):
            return True
    return False


def moved(
    pose: tuple[float, float, float], move: tuple[float, float, float], share: float = 1.0
) -> tuple[float, float, float]:
    """Integrate the twist in small steps (midpoint rule)."""
    x, y, yaw = pose
    steps = 2000
    for _ in range(steps):
        u, v, w = (value * share / steps for value in move)
        middle = yaw + w / 2
        x += math.cos(middle) * u - math.sin(middle) * v
        y += math.sin(middle) * u + math.cos(middle) * v
        yaw += w
    return x, y, yaw


def along(poses: NDArray[np.float64], reach: float, step: float) -> NDArray[np.float64]:
    """Poses in between, so that no point within a reach of the base moves farther than a step."""
    result = [poses[:1]]
    for one, other in pairwise(poses):
        change = other - one
        change[2] = (change[2] + math.pi) % math.tau - math.pi
        way = math.hypot(change[0], change[1]) + abs(change[2]) * reach
        pieces = max(1, math.ceil(way / step))
        result.append(one + change * np.linspace(0.0, 1.0, pieces + 1)[1:, None])
    return np.concatenate(result)


def inside_band(
    point: tuple[float, float], line: NDArray[np.float64], left: float, right: float
) -> bool:
    """By the nearest segment; of two that are equally near the one that the point is abeam of."""
    best = (math.inf, 0.0)
    for a, b in pairwise(line):
        edge, to = b - a, np.array(point) - a
        t = min(1.0, max(0.0, float(to @ edge / (edge @ edge))))
        away = float(np.linalg.norm(to - t * edge))
        cross = float(edge[0] * to[1] - edge[1] * to[0]) / float(np.linalg.norm(edge))
        if away < best[0] - 1e-6 or (abs(away - best[0]) <= 1e-6 and abs(cross) > abs(best[1])):
            best = (away, cross)
    return best[0] <= (left if best[1] >= 0.0 else right)


def shortest_m(
    open_cells: NDArray[np.bool_], start: tuple[int, int], goal: tuple[int, int], resolution: float
) -> float:
    """Dijkstra over 32 neighbours, whose directions are at most 1 % longer than any other."""
    steps = [
        (row, column)
        for row in range(-3, 4)
        for column in range(-3, 4)
        if math.gcd(row, column) == 1
    ]
    least = {start: 0.0}
    queue = [(0.0, start)]
    while queue:
        cost, cell = heapq.heappop(queue)
        if cell == goal:
            return cost * resolution
        if cost > least[cell]:
            continue
        for d_row, d_column in steps:
            there = (cell[0] + d_row, cell[1] + d_column)
            if not (0 <= there[0] < open_cells.shape[0] and 0 <= there[1] < open_cells.shape[1]):
                continue
            if not open_cells[there]:
                continue
            dearer = cost + math.hypot(d_row, d_column)
            if dearer < least.get(there, math.inf):
                least[there] = dearer
                heapq.heappush(queue, (dearer, there))
    return math.inf


def dubins_m(x: float, y: float, yaw: float, radius: float) -> float:
    """Shortest arc, line, arc without reversing, from the tangents of the circles at both ends."""
    best = math.inf
    for first in (1, -1):
        for last in (1, -1):
            begin = np.array([0.0, first * radius])
            end = np.array([x - last * radius * math.sin(yaw), y + last * radius * math.cos(yaw)])
            d = end - begin
            distance, bearing = math.hypot(*d), math.atan2(d[1], d[0])
            if first == last:
                line, heading = distance, bearing
            elif distance >= 2.0 * radius:
                line = math.sqrt(distance**2 - 4.0 * radius**2)
                heading = bearing + first * math.asin(2.0 * radius / distance)
            else:
                continue
            arcs = (first * heading) % math.tau + (last * (yaw - heading)) % math.tau
            best = min(best, line + radius * arcs)
    return best
