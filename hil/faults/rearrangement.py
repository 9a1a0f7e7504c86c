"""A hall that is no longer the one on the map."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.mapping.occupancy_grid import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from hil.buildings import is_clear
from hil.plant.floor_plan import FloorPlan, Solid, block, inside
from hil.plant.track import Track
from hil.plant.world import Pose, place

_TILE_M: Final = 2.0
_SHIFT_M: Final = (0.4, 2.0)
_ATTEMPTS: Final = 20
_GAP_M: Final = 1.0


def rearrange(plan: FloorPlan, track: Track, share: float, rng: np.random.Generator) -> FloorPlan:
    """Change what people can move: of the share, each is carried off, put elsewhere or joined.

    Args:
        plan: The hall.
        track: A way that stays open.
        share: Share of the movable solids that is changed, in [0, 1].
        rng: Source of what happens to which.
    """
    solids: list[Solid] = []
    for solid in plan.solids:
        if not solid.movable or rng.random() >= share:
            solids.append(solid)
            continue
        match int(rng.integers(3)):
            case 0:
                continue
            case 1:
                solids += _moved(solid, track, rng)
            case _:
                solids += [solid, *_added(plan, track, rng)]
    return FloorPlan(plan.boundary, tuple(solids))


def rearrange_map(grid: OccupancyGrid, share: float, rng: np.random.Generator) -> OccupancyGrid:
    """Change a map, for recordings of a hall that has not: tile by tile of 2 m.

    Of the tiles with anything on them the share is changed: cleared, shifted by up to 2 m, or
    joined by a block that was not there.

    Args:
        grid: The map.
        share: Share of the tiles with occupied cells that is changed, in [0, 1].
        rng: Source of what happens to which.
    """
    side = max(1, round(_TILE_M / grid.resolution_m))
    cells = np.array(grid.cells)
    occupied = grid.occupied
    for top in range(0, grid.rows, side):
        for left in range(0, grid.columns, side):
            tile = (slice(top, top + side), slice(left, left + side))
            if occupied[tile].any() and rng.random() < share:
                _change_tile(cells, occupied, tile, grid.resolution_m, rng)
    return OccupancyGrid(cells, grid.resolution_m, grid.map_from_grid)


def double_map(grid: OccupancyGrid) -> OccupancyGrid:
    """Return a map with the building on it twice, the second turned by half a turn.

    No scan tells the two apart: who knows nothing of the start cannot know where he is.
    """
    gap = np.full((grid.rows, round(_GAP_M / grid.resolution_m)), UNKNOWN, np.int8)
    cells = np.hstack((grid.cells, gap, grid.cells[::-1, ::-1]))
    return OccupancyGrid(cells, grid.resolution_m, grid.map_from_grid)


def _moved(solid: Solid, track: Track, rng: np.random.Generator) -> list[Solid]:
    center = solid.outline.mean(axis=0)
    for _ in range(_ATTEMPTS):
        shift = _vector(rng.uniform(*_SHIFT_M), rng) + center
        pose = Pose(float(shift[0]), float(shift[1]), rng.uniform(-math.pi, math.pi))
        moved = Solid(place(solid.outline - center, pose), movable=True)
        if is_clear(moved, track):
            return [moved]
    return []


def _added(plan: FloorPlan, track: Track, rng: np.random.Generator) -> list[Solid]:
    low, high = plan.boundary.min(axis=0), plan.boundary.max(axis=0)
    for _ in range(_ATTEMPTS):
        x_m, y_m = rng.uniform(low, high).tolist()
        pose = Pose(x_m, y_m, rng.uniform(-math.pi, math.pi))
        added = block(pose, rng.uniform(0.5, 1.5), rng.uniform(0.4, 1.2), movable=True)
        within = inside(plan.boundary, added.outline[:, 0], added.outline[:, 1])
        if within.all() and is_clear(added, track):
            return [added]
    return []


def _change_tile(
    cells: NDArray[np.int8],
    occupied: NDArray[np.bool_],
    tile: tuple[slice, slice],
    resolution_m: float,
    rng: np.random.Generator,
) -> None:
    rows, columns = np.nonzero(occupied[tile])
    rows, columns = rows + tile[0].start, columns + tile[1].start
    kind = int(rng.integers(3))
    if kind < 2:
        cells[rows, columns] = FREE
    if kind == 0:
        return
    across, up = (_vector(rng.uniform(*_SHIFT_M), rng) / resolution_m).round().astype(int)
    if kind == 2:
        size = rng.integers(8, 25, 2)
        rows, columns = (axis.ravel() for axis in np.mgrid[0 : size[0], 0 : size[1]])
        rows, columns = rows + tile[0].start, columns + tile[1].start
    rows, columns = rows + up, columns + across
    on_map = (rows >= 0) & (rows < cells.shape[0]) & (columns >= 0) & (columns < cells.shape[1])
    cells[rows[on_map], columns[on_map]] = OCCUPIED


def _vector(length_m: float, rng: np.random.Generator) -> NDArray[np.float64]:
    heading_rad = rng.uniform(-math.pi, math.pi)
    return length_m * np.array([math.cos(heading_rad), math.sin(heading_rad)])
