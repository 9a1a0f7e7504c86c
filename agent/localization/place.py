"""A map made ready to be localized on."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from agent.kernels.search import pool_maximum
from agent.mapping.distance_field import DistanceField
from agent.mapping.occupancy_grid import OccupancyGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldParams:
    """Fields that are computed from a map, once.

    Attributes:
        limit_m: Distance from the map beyond which nothing is distinguished.
        hit_stddev_m: Width of the likelihood around surfaces that searches climb.
        levels: Levels of the search pyramid; the coarsest has squares of ``2 ** (levels - 1)``
            cells.
        berth_m: How far beyond the free floor of the map the robot may be, as maps fray.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    limit_m: Annotated[float, Gt(0), Le(10)] = 1.0
    hit_stddev_m: Annotated[float, Gt(0), Le(1)] = 0.15
    levels: Annotated[int, Ge(3), Le(9)] = 7
    berth_m: Annotated[float, Ge(0), Le(1)] = 0.10


@dataclass(frozen=True, slots=True, eq=False)
class SearchPyramid:
    """What branch and bound needs of a map, see :mod:`agent.kernels.search`.

    Attributes:
        fields: uint8, shape ``(levels, margin + rows, margin + columns)``: likelihood of a ray's
            end, each level pooled over squares of ``2 ** level`` cells.
        margin: Cells before row 0 and column 0, into which squares of a higher level reach.
        free: bool, flat: for each level, row by row, whether a square has room for the base.
        free_begins: int64, shape ``(levels,)``, where each level begins in ``free``.
        free_columns: int64, shape ``(levels,)``, squares per row of each level.
    """

    fields: NDArray[np.uint8]
    margin: int
    free: NDArray[np.bool_]
    free_begins: NDArray[np.int64]
    free_columns: NDArray[np.int64]

    @classmethod
    def build(cls, likelihood: NDArray[np.uint8], free: NDArray[np.bool_], levels: int) -> Self:
        """Pool a likelihood and a mask of free cells, both of shape ``(rows, columns)``."""
        rows, columns = likelihood.shape
        margin = 2 ** (levels - 1)
        fields = np.zeros((levels, margin + rows, margin + columns), np.uint8)
        fields[0, margin:, margin:] = likelihood
        for level in range(1, levels):
            pool_maximum(fields[level - 1], 2 ** (level - 1), fields[level])
        squares = np.pad(free, ((0, -rows % margin), (0, -columns % margin)))
        masks = [squares]
        for _ in range(1, levels):
            quarters = squares.reshape(len(squares) // 2, 2, -1, 2)
            squares = quarters[:, 0, :, 0] | quarters[:, 0, :, 1]
            squares = squares | quarters[:, 1, :, 0] | quarters[:, 1, :, 1]
            masks.append(squares)
        begins = np.cumsum([0, *(mask.size for mask in masks[:-1])])
        widths = np.array([mask.shape[1] for mask in masks])
        flat = np.concatenate([mask.ravel() for mask in masks])
        for array in (fields, flat, begins, widths):
            array.setflags(write=False)
        return cls(fields, margin, flat, begins, widths)

    @property
    def levels(self) -> int:
        """How many levels there are."""
        return len(self.fields)

    def squares(self, level: int) -> NDArray[np.int32]:
        """Return first row and column of each square of a level that has room for the base."""
        columns = int(self.free_columns[level])
        end = self.free_begins[level + 1] if level + 1 < self.levels else len(self.free)
        mask = self.free[self.free_begins[level] : end].reshape(-1, columns)
        rows, across = np.nonzero(mask)
        return np.stack([rows, across], axis=1).astype(np.int32) * np.int32(2**level)


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A map with everything that localization computes from it once.

    Attributes:
        grid: The map itself.
        field: Distance to the nearest occupied cell.
        pyramid: For searches; its lowest level is the likelihood of a ray's end.
    """

    grid: OccupancyGrid
    field: DistanceField
    pyramid: SearchPyramid

    @classmethod
    def prepare(cls, grid: OccupancyGrid, params: FieldParams) -> Self:
        """Compute the fields of a map.

        Raises:
            MapError: Nothing on the map is occupied, so that no scan could ever be matched.
        """
        field = DistanceField.from_grid(grid, params.limit_m)
        likelihood = np.exp(-0.5 * np.square(field.distance_m / params.hit_stddev_m))
        room = grid.free
        for _ in range(round(params.berth_m / grid.resolution_m)):
            room = _grown(room)
        pyramid = SearchPyramid.build(
            np.round(255.0 * likelihood).astype(np.uint8),
            room & ~grid.occupied,
            params.levels,
        )
        return cls(grid, field, pyramid)


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask grown by one cell along rows and columns."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown
