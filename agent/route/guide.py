"""What it costs a point to get to the goal: it leads the search, and says which way round to go."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agent.kernels import route as kernels
from agent.kernels.cost_to_go import descend, settle
from agent.route.legs import Problem, Triple
from agent.route.work import Work

BUCKETS = 256  # times nine tenths of a coarse cell: wider than the dearest step
NEIGHBOURS = 8
SLICE_ENTRIES = 10_000  # of the queue, that are taken in a slice of work
SLICE_SQUARES = 200_000  # that are priced in a slice of work


@dataclass(frozen=True, slots=True, eq=False)
class Guide:
    """Costs on squares of cells.

    Attributes:
        prices: float32, shape ``(rows, columns)``, of a metre; infinite where the robot does not
            fit at any heading.
        to_go: float32, same shape, cost to the goal; infinite where there is no way.
        cell_m: Edge of a square.
    """

    prices: NDArray[np.float32]
    to_go: NDArray[np.float32]
    cell_m: float

    @classmethod
    def work_out(
        cls, problem: Problem, widest_m: NDArray[np.float32], cell_m: float, detour_m: float
    ) -> Work[Self]:
        """Spread the cost from the goal of a problem.

        Args:
            problem: What is looked for.
            widest_m: float32, shape ``(rows, columns)``, clearance of the squares.
            cell_m: Edge of a square.
            detour_m: How far beyond the box around start and goal to go.
        """
        prices = np.empty(widest_m.shape, np.float32)
        step = max(1, SLICE_SQUARES // widest_m.shape[1])
        for first in range(0, len(prices), step):
            strip = slice(first, first + step)
            kernels.price_of_cells(widest_m[strip], problem.terms, prices[strip])
            yield 1.0
        for x_m, y_m, radius_m in problem.body.docks:
            # The robot may come nearer to things there than elsewhere.
            near = _box((x_m, y_m), (x_m, y_m), radius_m, cell_m)
            maybe = widest_m[near] >= problem.body.inscribed_m - cell_m
            prices[near][maybe & (prices[near] == np.inf)] = 1.0 + problem.terms.aversion
        return (yield from cls._spread(prices, cell_m, problem, detour_m))

    @classmethod
    def _spread(
        cls, prices: NDArray[np.float32], cell_m: float, problem: Problem, detour_m: float
    ) -> Work[Self]:
        near = _box(problem.start, problem.goal, detour_m, cell_m)
        open_prices = np.full(prices.shape, np.inf, np.float32)
        open_prices[near] = prices[near]
        yield 0.5 * prices.size / SLICE_SQUARES
        to_go = np.full(prices.shape, np.inf, np.float32)
        there = int(problem.goal[1] / cell_m), int(problem.goal[0] / cell_m)
        here = int(problem.start[1] / cell_m), int(problem.start[0] / cell_m)
        to_go[there] = 0.0
        yield 0.3 * prices.size / SLICE_SQUARES
        sources = np.array([there[0] * prices.shape[1] + there[1]])
        queue = (
            np.empty((NEIGHBOURS * prices.size, 2), np.int32),
            np.full(BUCKETS, -1, np.int32),
            np.zeros(4, np.int64),
            np.full(1, np.inf),
        )
        while not settle(
            open_prices, cell_m, here, math.inf, to_go, sources, *queue, SLICE_ENTRIES
        ):
            yield 1.0
        return cls(prices, to_go, cell_m)

    def nearby(self, problem: Problem, detour_m: float) -> Work[Self]:
        """Return the guide of a part of the problem at the same prices."""
        return (yield from self._spread(self.prices, self.cell_m, problem, detour_m))

    def around(self, gap: Triple, radius_m: float, problem: Problem, detour_m: float) -> Work[Self]:
        """Return the guide that does not lead through a place any more."""
        prices = self.prices.copy()
        near = _box(gap, gap, radius_m, self.cell_m)
        rows, columns = np.indices(prices[near].shape)
        y_m = (rows + near[0].start + 0.5) * self.cell_m - gap[1]
        x_m = (columns + near[1].start + 0.5) * self.cell_m - gap[0]
        prices[near][np.hypot(x_m, y_m) <= radius_m] = np.inf
        return (yield from self._spread(prices, self.cell_m, problem, detour_m))

    def reaches(self, place: Triple) -> bool:
        """Return whether there is a way for a point from a place."""
        row, column = int(place[1] / self.cell_m), int(place[0] / self.cell_m)
        return bool(self.to_go[row, column] < np.inf)

    def way_m(self, problem: Problem) -> NDArray[np.float64]:
        """Return the way of steepest descent from start to goal, shape ``(n, 2)``."""
        cells_m = np.empty((self.to_go.size, 2))
        count = descend(self.to_go, (0.0, 0.0), self.cell_m, *problem.start[:2], cells_m)
        between_m = cells_m[1 : max(1, count - 1)]
        kernels.centre(between_m, problem.ground, self.cell_m)
        return np.vstack([problem.start[:2], between_m, problem.goal[:2]])


def _box(
    one: tuple[float, ...], other: tuple[float, ...], margin_m: float, cell_m: float
) -> tuple[slice, slice]:
    """Return rows and columns of the box around two places with a margin."""
    ends = []
    for axis in (1, 0):
        low, high = sorted((one[axis], other[axis]))
        first = max(0, math.floor((low - margin_m) / cell_m))
        ends.append(slice(first, max(first, math.ceil((high + margin_m) / cell_m))))
    return ends[0], ends[1]
