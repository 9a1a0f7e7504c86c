"""Distance field: how far every place on the map is from something solid."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agent.errors import MapError
from agent.geometry.pose import Pose2
from agent.kernels.distance import distance_transform
from agent.mapping.occupancy_grid import OccupancyGrid


@dataclass(frozen=True, slots=True, eq=False)
class DistanceField:
    """Distance from the centre of each cell to that of the nearest occupied one.

    Attributes:
        distance_m: float32, shape ``(rows, columns)``, read-only, cut off at ``limit_m``.
        limit_m: Distance beyond which nothing is distinguished.
        resolution_m: Edge of a cell.
        grid_from_map: Takes poses of the map frame to the frame of the cells.
    """

    distance_m: NDArray[np.float32]
    limit_m: float
    resolution_m: float
    grid_from_map: Pose2

    @classmethod
    def from_grid(cls, grid: OccupancyGrid, limit_m: float) -> Self:
        """Compute the field of a map.

        Args:
            grid: The map.
            limit_m: Distance at which the field is cut off.

        Raises:
            MapError: Nothing on the map is occupied, so that no scan could ever be matched.
        """
        occupied = grid.occupied
        if not occupied.any():
            raise MapError("the map has no occupied cell, nothing to localize against")
        cells = distance_transform(occupied, limit_m / grid.resolution_m)
        distance_m = cells * np.float32(grid.resolution_m)
        distance_m.setflags(write=False)
        return cls(distance_m, limit_m, grid.resolution_m, grid.map_from_grid.inverse())
