"""Non-uniform rational B-splines, as the trajectories of VDA 5050 describe them.

Evaluated with the algorithm of de Boor on homogeneous coordinates (Piegl and Tiller, "The NURBS
Book", 2nd ed., sections 3.2 and 4.3; VDA 5050 2.1, section 6.6.6, ``trajectory``).
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

CHORD_ERROR_M = 0.005  # by which the sampled line may miss the curve
MOST_DEGREE = 10
MOST_HALVINGS = 12
LEAST_KNOT_SPAN = 1e-9
EIGHTHS = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)

F64 = NDArray[np.float64]


class CurveInvalid(ValueError):
    """The numbers make no curve."""


class Nurbs:
    """A planar curve in the map frame."""

    def __init__(self, degree: int, knots: F64, control_m: F64, weights: F64) -> None:
        """Take the numbers as an order gives them.

        Args:
            degree: 1 for straight pieces, 2 and more for bends.
            knots: Shape ``(control points + degree + 1,)``, not falling.
            control_m: Shape ``(n, 2)``.
            weights: Shape ``(n,)``, above 0.

        Raises:
            CurveInvalid: They make no curve in one piece.
        """
        self._degree = degree
        self._knots = knots
        self._weighted = np.column_stack((control_m * weights[:, None], weights))
        self._check()

    def _check(self) -> None:
        degree, knots, count = self._degree, self._knots, len(self._weighted)
        if not 1 <= degree <= MOST_DEGREE:
            raise CurveInvalid(f"the degree is {degree}, not 1 to {MOST_DEGREE}")
        if count <= degree:
            raise CurveInvalid(f"{count} control points are too few for degree {degree}")
        if len(knots) != count + degree + 1:
            raise CurveInvalid(f"{len(knots)} knots, not control points + degree + 1")
        if not np.isfinite(self._weighted).all() or (self._weighted[:, 2] <= 0.0).any():
            raise CurveInvalid("a weight is not above 0")
        if (np.diff(knots) < 0.0).any():
            raise CurveInvalid("the knots fall")
        if knots[count] - knots[degree] < LEAST_KNOT_SPAN:
            raise CurveInvalid("the knots leave nothing of the curve")
        inner = knots[(knots > knots[degree]) & (knots < knots[count])]
        if inner.size and np.unique(inner, return_counts=True)[1].max() > degree:
            raise CurveInvalid("the curve is torn at a knot")

    def points_m(self, parameters: F64) -> F64:
        """Return points of the curve, shape ``(n, 2)``, for parameters within the knots."""
        degree, knots = self._degree, self._knots
        spans = np.searchsorted(knots, parameters, side="right") - 1
        spans = np.clip(spans, degree, len(self._weighted) - 1)
        column = np.arange(degree + 1)
        points = self._weighted[spans[:, None] - degree + column]
        for level in range(1, degree + 1):
            index = spans[:, None] - degree + column[level:]
            low, high = knots[index], knots[index + degree + 1 - level]
            width = high - low
            # A knot span of nothing adds nothing.
            share = np.where(
                width > 0.0, (parameters[:, None] - low) / np.where(width > 0.0, width, 1.0), 0.0
            )[..., None]
            points[:, level:] = (1.0 - share) * points[:, level - 1 : -1] + share * points[
                :, level:
            ]
        ends: F64 = points[:, -1, :2] / points[:, -1, 2:]
        return ends

    @cached_property
    def ends_m(self) -> F64:
        """Where the curve begins and ends, shape ``(2, 2)``."""
        return self.points_m(self._knots[[self._degree, len(self._weighted)]])

    @cached_property
    def line_m(self) -> F64:
        """The curve as straight pieces that miss it by no more than the chord error, ``(n, 2)``.

        Each piece is halved until points at its eighths lie on it; one of a B-spline has no more
        bends than its degree allows, which is why every knot span begins with that many pieces.
        """
        inside = self._knots[self._degree : len(self._weighted) + 1]
        breaks = np.unique(inside)
        steps = np.arange(self._degree + 1) / (self._degree + 1)
        starts = (breaks[:-1, None] + np.diff(breaks)[:, None] * steps).ravel()
        parameters = np.append(starts, breaks[-1])
        for _ in range(MOST_HALVINGS):
            low, width = parameters[:-1], np.diff(parameters)
            chords = self.points_m(parameters)
            bow, arc, last = np.zeros(len(low)), np.zeros(len(low)), chords[:-1]
            for share in EIGHTHS:
                aside = self.points_m(low + share * width)
                bow = np.maximum(bow, _off_chords_m(aside, chords[:-1], chords[1:]))
                arc, last = arc + np.hypot(*(aside - last).T), aside
            arc += np.hypot(*(chords[1:] - last).T)
            # Where a curve turns back on itself it leaves its chord lengthwise.
            detour = arc - np.hypot(*np.diff(chords, axis=0).T)
            bent = (bow > CHORD_ERROR_M / 2) | (detour > CHORD_ERROR_M / 2)
            if not bent.any():
                break
            parameters = np.sort(np.concatenate((parameters, (low + 0.5 * width)[bent])))
        line = self.points_m(parameters)
        line.setflags(write=False)
        return line


def _off_chords_m(points_m: F64, begin_m: F64, end_m: F64) -> F64:
    """Return the distance of each point from its chord."""
    way, off = end_m - begin_m, points_m - begin_m
    square = np.einsum("ij,ij->i", way, way)
    share = np.einsum("ij,ij->i", off, way) / np.where(square > 0.0, square, 1.0)
    foot = np.clip(share, 0.0, 1.0)[:, None] * way
    distance: F64 = np.hypot(*(off - foot).T)
    return distance
