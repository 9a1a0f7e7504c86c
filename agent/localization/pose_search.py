"""Where on a map a scan may have been taken, with nothing else known.

Exhaustive branch and bound over all free places and headings (Hess, Kohler, Rapp, Andor, ICRA
2016), cut into slices so that the control loop can afford it, and ending in a list of places that
are worth a closer look rather than in a single winner: one scan cannot tell look-alikes apart.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray

from agent.geometry.angle import difference
from agent.geometry.points import thinned
from agent.geometry.pose import Pose2
from agent.kernels import search
from agent.localization.place import Place

LEAF_LEVEL = 1  # squares of 2 x 2 cells are near enough for the matcher to finish
ROOT_LEVEL_NEARBY = 3  # of a window, which coarser squares would only blur


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchParams:
    """Search of the whole map, or of a window.

    Attributes:
        rays: How many rays of the scan are used, evenly picked.
        heading_step_rad: Distance of headings; a ray of 10 m then ends at most 0.17 m off.
        keep: Share of the best score down to which other places are kept.
        least_score: Mean likelihood of the rays below which a place is not kept.
        places: Most places that are kept.
        apart_m: Places nearer than this, and of similar heading, are one.
        apart_rad: What a similar heading is.
        slice_nodes: Nodes per call of :meth:`PoseSearch.advance`: about 4 ms.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    rays: Annotated[int, Ge(20), Le(1000)] = 72
    heading_step_rad: Annotated[float, Gt(0), Le(0.2)] = math.radians(2.0)
    keep: Annotated[float, Gt(0), Lt(1)] = 0.90
    least_score: Annotated[float, Gt(0), Lt(1)] = 0.3
    places: Annotated[int, Ge(2), Le(64)] = 12
    apart_m: Annotated[float, Gt(0)] = 0.4
    apart_rad: Annotated[float, Gt(0)] = 0.2
    slice_nodes: Annotated[int, Ge(100)] = 18_000


@dataclass(frozen=True, slots=True)
class Window:
    """A part of all poses: a circle on the map and a range of headings.

    Attributes:
        centre: ``grid_from_base``.
        radius_m: Of the circle.
        turn_rad: Largest difference of heading to either side.
    """

    centre: Pose2
    radius_m: float
    turn_rad: float


class PoseSearch:
    """One search under way. Calls of :meth:`advance` end it; then :meth:`places` has the result."""

    def __init__(
        self,
        place: Place,
        params: SearchParams,
        points_m: NDArray[np.float64],
        window: Window | None = None,
    ) -> None:
        """Begin.

        Args:
            place: The map.
            params: Of the search.
            points_m: Shape ``(m, 2)``, ends of the scan's rays in the base frame.
            window: Where to search; everywhere without one.
        """
        self._place = place
        self._params = params
        self._pyramid = pyramid = place.pyramid
        resolution_m = place.grid.resolution_m
        rays_m = thinned(points_m, params.rays)
        turn = round(math.tau / params.heading_step_rad)
        headings = np.arange(turn)
        self._root_level = pyramid.levels - 1
        if window is not None:
            self._root_level = min(ROOT_LEVEL_NEARBY, self._root_level)
            reach = math.ceil(window.turn_rad / math.tau * turn)
            middle = round(window.centre.yaw_rad / math.tau * turn)
            headings = np.arange(middle - reach, middle + reach + 1)
        self._yaws_rad = headings.astype(np.float64) * (math.tau / turn)
        self._cells = np.empty((len(headings), len(rays_m), 2), np.int32)
        search.rotate_to_cells(rays_m, self._yaws_rad, resolution_m, self._cells)
        self._squares = pyramid.squares(self._root_level)
        if window is not None:
            self._squares = self._squares[self._within(window)]
        roots = len(self._squares) * len(headings)
        self._bounds = np.empty(roots, np.int32)
        self._order = np.empty(roots, np.int32)
        self._bounded = 0
        self._sorted = False
        self._near = (
            round(params.apart_m / resolution_m),
            round(params.apart_rad / math.tau * turn),
            turn,
        )
        self._full_score = 255 * len(rays_m)
        self._stack = np.empty((4 * pyramid.levels + 4, 5), np.int32)
        self._peaks = np.zeros((params.places, 4), np.int32)
        self._progress = np.zeros(5, np.int64)

    def _within(self, window: Window) -> NDArray[np.bool_]:
        half = 2.0**self._root_level / 2
        resolution_m = self._place.grid.resolution_m
        centres_m = (self._squares + half) * resolution_m
        apart_m = np.hypot(centres_m[:, 1] - window.centre.x_m, centres_m[:, 0] - window.centre.y_m)
        near: NDArray[np.bool_] = apart_m <= window.radius_m + half * resolution_m * math.sqrt(2)
        return near

    def advance(self) -> bool:
        """Do one slice of the work.

        Returns:
            Whether the search is over.
        """
        p, pyramid = self._params, self._pyramid
        budget = p.slice_nodes
        if self._bounded < len(self._bounds):
            end = min(self._bounded + budget, len(self._bounds))
            search.bound_roots(
                pyramid.fields[self._root_level],
                pyramid.margin,
                self._cells,
                self._squares,
                self._bounded,
                end,
                self._bounds,
            )
            budget -= end - self._bounded
            self._bounded = end
            if budget <= 0:
                return False
        if not self._sorted:
            search.sort_descending(self._bounds, self._full_score, self._order)
            self._sorted = True
        return bool(
            search.descend(
                pyramid.fields,
                pyramid.margin,
                self._cells,
                self._squares,
                self._bounds,
                self._order,
                pyramid.free,
                pyramid.free_begins,
                pyramid.free_columns,
                (self._root_level, LEAF_LEVEL),
                self._near,
                p.keep,
                int(p.least_score * self._full_score),
                budget,
                self._stack,
                self._peaks,
                self._progress,
            )
        )

    def finish(self) -> None:
        """Do all the work that is left, for windows, which are small."""
        while not self.advance():
            pass

    def places(self) -> list[Pose2]:
        """Return the places found, ``grid_from_base``, the best first."""
        found = self._peaks[: self._progress[search.PEAKS]]
        found = found[np.argsort(-found[:, 0], kind="stable")]
        half, resolution_m = 2.0**LEAF_LEVEL / 2, self._place.grid.resolution_m
        return [
            Pose2(
                float((column + half) * resolution_m),
                float((row + half) * resolution_m),
                difference(float(self._yaws_rad[heading]), 0.0),
            )
            for _, row, column, heading in found
        ]
