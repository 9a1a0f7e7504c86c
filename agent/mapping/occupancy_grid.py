"""Occupancy grid: which parts of the plant are free, occupied or unknown."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.errors import MapError
from agent.geometry.pose import Pose2

FREE = 0
OCCUPIED = 100
UNKNOWN = -1

# Percentages of graded maps that count as free or occupied: map_server's trinary thresholds.
FREE_BELOW = 19.6
OCCUPIED_ABOVE = 65


@dataclass(frozen=True, slots=True, eq=False)
class OccupancyGrid:
    """A map of square cells.

    Cell ``(row, column)`` covers ``[column, column + 1) x [row, row + 1)`` times the resolution
    along x and y of the grid frame, which lies anywhere and at any heading on the map.

    Attributes:
        cells: int8, shape ``(rows, columns)``, read-only; row 0 has the lowest y. Occupancy in
            percent, ``UNKNOWN`` where nothing was ever seen.
        resolution_m: Edge of a cell.
        map_from_grid: Pose of the outer corner of cell ``(0, 0)``.

    Raises:
        MapError: The array is not a non-empty int8 grid, or a number is not finite or positive.
    """

    cells: NDArray[np.int8]
    resolution_m: float
    map_from_grid: Pose2

    def __post_init__(self) -> None:
        if self.cells.ndim != 2 or self.cells.dtype != np.int8 or self.cells.size == 0:
            raise MapError(
                "a map needs cells of int8 in rows and columns, not "
                f"{self.cells.dtype} of shape {self.cells.shape}"
            )
        if not (math.isfinite(self.resolution_m) and self.resolution_m > 0.0):
            raise MapError(f"the resolution must be a positive length, not {self.resolution_m}")
        origin = self.map_from_grid
        if not all(map(math.isfinite, (origin.x_m, origin.y_m, origin.yaw_rad))):
            raise MapError(f"the origin must be finite, not {origin}")
        cells = np.array(self.cells, order="C")
        cells.setflags(write=False)
        object.__setattr__(self, "cells", cells)

    @property
    def rows(self) -> int:
        """Cells along y of the grid frame."""
        return int(self.cells.shape[0])

    @property
    def columns(self) -> int:
        """Cells along x of the grid frame."""
        return int(self.cells.shape[1])

    @property
    def occupied(self) -> NDArray[np.bool_]:
        """Mask of cells that hold something, shape ``(rows, columns)``."""
        return self.cells > OCCUPIED_ABOVE

    @property
    def free(self) -> NDArray[np.bool_]:
        """Mask of cells known to be empty, shape ``(rows, columns)``."""
        return (self.cells >= FREE) & (self.cells < FREE_BELOW)

    def cell_at(self, x_m: float, y_m: float) -> tuple[int, int]:
        """Return ``(row, column)`` of the cell under a point of the map, inside or not."""
        along_x_m, along_y_m = self.map_from_grid.inverse().transform(x_m, y_m)
        return math.floor(along_y_m / self.resolution_m), math.floor(along_x_m / self.resolution_m)

    def center_m(self, row: int, column: int) -> tuple[float, float]:
        """Return the centre of a cell in the map frame."""
        return self.map_from_grid.transform(
            (column + 0.5) * self.resolution_m, (row + 0.5) * self.resolution_m
        )

    def contains(self, x_m: float, y_m: float) -> bool:
        """Return whether a point of the map frame lies on the grid."""
        row, column = self.cell_at(x_m, y_m)
        return 0 <= row < self.rows and 0 <= column < self.columns
