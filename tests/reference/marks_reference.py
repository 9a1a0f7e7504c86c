"""Plain twins of agent.kernels.marks: rays cast into shapes, slopes by differences."""

import math

import numpy as np
from numpy.typing import NDArray

from agent.kernels.marks import DISC, PLATE

STEP = 1e-6


def _turned(angle: float) -> NDArray[np.float64]:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s], [s, c]])


def surface_residual_m(pose, mark, point, origin) -> float:
    """Distance of a point in front of the surface that its ray meets, in the mark's frame."""
    rotation = _turned(pose[2]) @ _turned(mark[2])
    middle = np.asarray(pose[:2]) + _turned(pose[2]) @ mark[:2]
    eye, end = rotation.T @ (origin - middle), rotation.T @ (point - middle)
    ray = (end - eye) / np.linalg.norm(end - eye)
    half, kind = mark[3], int(mark[4])
    if kind == PLATE:
        return float(end[0])
    if kind == DISC:
        nearest = eye - (eye @ ray) * ray
        aside = np.linalg.norm(nearest)
        if aside >= half:
            return float(end @ nearest / aside - half)
        normal = (nearest - math.sqrt(half**2 - aside**2) * ray) / half
        return float(end @ normal - half)
    # Of the faces turned to the ray, it enters the square through the one it meets last.
    faces = [np.array(n, float) for n in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    met = [((half - n @ eye) / (n @ ray), n) for n in faces if n @ ray < -1e-9]
    normal = max(met, key=lambda entry: entry[0])[1]
    return float(end @ normal - half)


def bearing_residual_m(pose, mark, bearing, origin) -> float:
    """How far left of a bearing the middle between a mark's edges is."""
    middle = np.asarray(pose[:2]) + _turned(pose[2]) @ mark[:2] - origin
    half, kind = mark[3], int(mark[4])
    at = math.atan2(middle[1], middle[0])
    if kind != DISC:
        depths = (0.0,) if kind == PLATE else (-half, half)
        rotation = _turned(pose[2] + mark[2])
        corners = [middle + rotation @ (x, y) for x in depths for y in (-half, half)]
        angles = [math.remainder(math.atan2(y, x) - at, math.tau) for x, y in corners]
        at += 0.5 * (min(angles) + max(angles))
    return float(np.linalg.norm(middle)) * math.sin(at - bearing)


def slope(residual, pose) -> NDArray[np.float64]:
    """Central differences of a residual by the pose."""
    columns = []
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = STEP
        columns.append((residual(pose + step) - residual(pose - step)) / (2 * STEP))
    return np.array(columns)
