"""Buildings to measure localization in, with their tours, stations and maps.

What fills them is drawn from a generator and lies at arbitrary offsets and angles, and each
building as a whole is turned against its map, as no robot begins a map parallel to a wall.
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.geometry.pose import Pose2
from agent.mapping.occupancy_grid import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from hil.plant.floor_plan import FloorPlan, Solid, block, distances_m
from hil.plant.track import Track
from hil.plant.world import Pose, place

RESOLUTION_M: Final = 0.05
CLEARANCE_M: Final = 0.7
"""From the middle of a tour to anything solid."""

_MOST_SKEW_RAD: Final = math.radians(4.0)


@dataclass(frozen=True, slots=True, eq=False)
class Building:
    """A building.

    Attributes:
        plan: What stands in it.
        track: A tour of it.
        lap_m: Length of one round of the tour, after which it passes the same places again.
        stations_m: Places on the first round where the robot serves.
        twin_about: The point about which half a turn takes the building's ends to each other.
    """

    plan: FloorPlan
    track: Track
    lap_m: float
    stations_m: tuple[float, ...] = ()
    twin_about: tuple[float, float] | None = field(default=None)


def map_of(plan: FloorPlan, resolution_m: float = RESOLUTION_M) -> OccupancyGrid:
    """Return the map that a perfect survey of a plan makes."""
    raster = plan.rasterized(resolution_m)
    cells = np.full(raster.occupied.shape, UNKNOWN, np.int8)
    cells[raster.free] = FREE
    cells[raster.occupied] = OCCUPIED
    return OccupancyGrid(cells, resolution_m, Pose2(raster.origin_x_m, raster.origin_y_m, 0.0))


def is_clear(solid: Solid, track: Track, clearance_m: float = CLEARANCE_M) -> bool:
    """Return whether a robot on the track passes a solid."""
    return float(distances_m(solid.outline, track.points_m[::20]).min()) >= clearance_m


def factory(rng: np.random.Generator) -> Building:
    """Draw a hall of 40 x 26 m: racks, machines, crates, columns and cabinets along the walls."""
    skew_rad = rng.uniform(-_MOST_SKEW_RAD, _MOST_SKEW_RAD)
    corners = _jittered(
        [(0, 0), (34, 0), (40, 5), (40, 26), (11, 26), (11, 25.4), (7, 25.4), (7, 26), (0, 26)], rng
    )
    solids = [*_racks(5.0, 5.0, rng), *_racks(5.2, 9.0, rng), *_racks(22.3, 18.7, rng)]
    solids += [*_machines(22.0, 6.0, rng), *_machines(22.2, 9.6, rng), *_machines(5.0, 16.3, rng)]
    solids += [*_machines(5.4, 20.2, rng), *_crates(22.0, 15.2, rng)]
    solids += [block(Pose(x, y, 0.0), 0.4, 0.4) for x in (11.6, 28.9) for y in (7.1, 18.2)]
    solids += _cabinets(rng)
    round_m = [(3, 3), (37, 3), (37, 13), (20, 13), (20, 23), (3, 23)]
    stations_m = (9.3, 22.7, 47.1, 61.4, 84.6, 101.2)
    return _building(corners, solids, [*round_m * 3, round_m[0]], skew_rad, stations_m)


def corridor(rng: np.random.Generator, length_m: float = 60.0) -> Building:
    """Draw a corridor of 2.4 m without any feature between its two ends, which are alike."""
    half_m, side_m = length_m / 2, 1.2
    corners = np.array([(-half_m, -side_m), (half_m, -side_m), (half_m, side_m), (-half_m, side_m)])
    skew_rad = rng.uniform(-_MOST_SKEW_RAD, _MOST_SKEW_RAD)
    way = [(2.0 - half_m, 0.0), (half_m - 2.0, 0.0)]
    return _building(corners, [], way, skew_rad, twin_about=(0.0, 0.0))


def twin_ends(rng: np.random.Generator) -> Building:
    """Draw two rooms that are alike, a corridor between them, and a niche that tells them apart.

    Half a turn about the middle takes one room to the other, furniture and all; only the niche,
    beside the corridor's middle, has no twin.
    """
    half_m, side_m, depth_m, room_m = 14.0, 1.2, 8.4, 3.9
    west = [(-half_m, side_m), (-half_m, room_m), (-half_m - depth_m, room_m)]
    west += [(-half_m - depth_m, -room_m), (-half_m, -room_m), (-half_m, -side_m)]
    niche = [(2.8, side_m), (2.8, side_m + 0.9), (0.9, side_m + 0.9), (0.9, side_m)]
    corners = np.array([*west, *((-x, -y) for x, y in west), *niche])
    furniture = []
    for x_m, y_m in ((-20.9, 2.6), (-20.4, -2.5), (-17.0, -2.9), (-16.2, 2.8)):
        pose = Pose(x_m, y_m, rng.uniform(-0.6, 0.6))
        furniture.append(block(pose, rng.uniform(0.5, 1.6), rng.uniform(0.4, 0.9)))
    half_turn = Pose(0.0, 0.0, math.pi)
    furniture += [Solid(place(solid.outline, half_turn)) for solid in furniture]
    skew_rad = rng.uniform(-_MOST_SKEW_RAD, _MOST_SKEW_RAD)
    way = [(-half_m - 5.2, 0.0), (half_m + 5.2, 0.0)]
    return _building(corners, furniture, way, skew_rad, twin_about=(0.0, 0.0))


def _building(
    corners: NDArray[np.float64],
    solids: list[Solid],
    way: list[tuple[float, float]],
    skew_rad: float,
    stations_m: tuple[float, ...] = (),
    twin_about: tuple[float, float] | None = None,
) -> Building:
    """Turn all by the skew and leave out what stands in the way."""
    plan = FloorPlan(corners, tuple(solids)).turned(skew_rad)
    cos, sin = math.cos(skew_rad), math.sin(skew_rad)
    track = Track([(cos * x - sin * y, sin * x + cos * y) for x, y in way])
    clear = tuple(solid for solid in plan.solids if is_clear(solid, track))
    rounds = max(1, way.count(way[0]) - 1)
    lap_m = track.length_m / rounds
    return Building(FloorPlan(plan.boundary, clear), track, lap_m, stations_m, twin_about)


def _jittered(corners: list[tuple[float, float]], rng: np.random.Generator) -> NDArray[np.float64]:
    """Move each corner by up to 3 cm: walls are neither straight to the centimetre nor square."""
    return np.array(corners, dtype=np.float64) + rng.uniform(-0.03, 0.03, (len(corners), 2))


def _racks(left_m: float, bottom_m: float, rng: np.random.Generator) -> list[Solid]:
    """Draw a row of 12.5 m: posts every 2.7 m, and pallets between them, never quite square."""
    solids = []
    for bay in range(5):
        post_m = left_m + 2.7 * bay
        for depth_m in (0.0, 1.05):
            solids.append(block(Pose(post_m, bottom_m + depth_m, 0.0), 0.1, 0.1))
        for slot in range(3 if bay < 4 else 0):
            if rng.random() < 0.7:
                x_m = post_m + 0.47 + 0.86 * slot
                y_m = bottom_m + rng.uniform(0.45, 0.62)
                pose = Pose(x_m, y_m, rng.uniform(-0.06, 0.06))
                solids.append(block(pose, 0.8, rng.uniform(0.8, 1.2), movable=True))
    return solids


def _machines(left_m: float, middle_m: float, rng: np.random.Generator) -> list[Solid]:
    """Draw a row of machines of drawn sizes, half of them oblique."""
    solids, x_m = [], left_m
    while x_m < left_m + 11.0:
        length_m, width_m = rng.uniform(1.0, 2.8), rng.uniform(0.8, 1.9)
        oblique = rng.random() < 0.5
        yaw_rad = rng.uniform(-0.8, 0.8) if oblique else rng.uniform(-0.02, 0.02)
        pose = Pose(x_m + length_m / 2, middle_m + rng.uniform(-0.5, 0.5), yaw_rad)
        solids.append(block(pose, length_m, width_m, movable=True))
        x_m += length_m + rng.uniform(0.5, 1.4)
    return solids


def _crates(left_m: float, bottom_m: float, rng: np.random.Generator) -> list[Solid]:
    solids = []
    for index in range(10):
        x_m = left_m + 1.3 * index + rng.uniform(-0.2, 0.2)
        pose = Pose(x_m, bottom_m + rng.uniform(0.0, 1.6), rng.uniform(-math.pi, math.pi))
        solids.append(block(pose, rng.uniform(0.4, 0.9), rng.uniform(0.4, 0.7), movable=True))
    return solids


def _cabinets(rng: np.random.Generator) -> list[Solid]:
    """Draw what stands along the walls, at places that no two walls have in common."""
    solids = []
    for x_m in np.cumsum(rng.uniform(2.0, 5.0, 9)).tolist():
        depth_m = rng.uniform(0.3, 1.0)
        solids.append(
            block(Pose(x_m, depth_m / 2, 0.0), rng.uniform(0.5, 1.6), depth_m, movable=True)
        )
    for x_m in (12.5 + np.cumsum(rng.uniform(2.0, 5.0, 7))).tolist():
        depth_m = rng.uniform(0.3, 1.0)
        pose = Pose(x_m, 26.0 - depth_m / 2, 0.0)
        solids.append(block(pose, rng.uniform(0.5, 1.6), depth_m, movable=True))
    for y_m in np.cumsum(rng.uniform(2.5, 6.0, 4)).tolist():
        depth_m = rng.uniform(0.3, 1.0)
        solids.append(
            block(Pose(depth_m / 2, y_m, 0.0), depth_m, rng.uniform(0.5, 1.6), movable=True)
        )
        pose = Pose(40.0 - depth_m / 2, y_m + 5.3, 0.0)
        solids.append(block(pose, depth_m, rng.uniform(0.5, 1.6), movable=True))
    return solids
