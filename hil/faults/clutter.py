"""Things that are not on the map, between the lidar and what is."""

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hil.buildings import is_clear
from hil.errors import BenchError
from hil.plant.floor_plan import SurveyedWorld, block
from hil.plant.track import Track
from hil.plant.world import Disc, Pose, standing

FloatArray: TypeAlias = NDArray[np.float64]

_HIDDEN_BY_M: Final = 0.1
_DISTANCE_M: Final = (1.0, 4.0)
_CLEARANCE_M: Final = 0.5
_MOST_THINGS: Final = 200
_RAYS: Final = 720
_REACH_M: Final = 16.0


def strew(
    world: SurveyedWorld, pose: Pose, track: Track, share: float, rng: np.random.Generator
) -> None:
    """Put things into the world until they stop a share of the rays from a pose.

    Args:
        world: Where to.
        pose: Where the lidar stands.
        track: A way to keep clear.
        share: Share of the full circle.
        rng: Source of places and sizes.

    Raises:
        BenchError: There is no room for as many.
    """
    bare = _panorama(world, pose)
    for _ in range(_MOST_THINGS):
        if _hidden_share(bare, _panorama(world, pose)) >= share:
            return
        bearing, range_m = rng.uniform(-math.pi, math.pi), rng.uniform(*_DISTANCE_M)
        radius_m = rng.uniform(0.15, 0.4)
        at = Pose(
            pose.x_m + range_m * math.cos(bearing), pose.y_m + range_m * math.sin(bearing), 0.0
        )
        room = block(at, 2.0 * radius_m, 2.0 * radius_m)
        if is_clear(room, track, _CLEARANCE_M):
            name = f"thing-{len(list(world.obstacles.obstacle_names))}"
            world.obstacles.add(standing(name, Disc(radius_m), at))
    raise BenchError(f"{share:.0%} of the scan cannot be covered here")


def _panorama(world: SurveyedWorld, pose: Pose) -> FloatArray:
    poses = np.repeat(np.array(pose)[:, None], _RAYS, axis=1)
    bearings = np.linspace(0.0, math.tau, _RAYS, endpoint=False)
    return world.ranges_m(poses, bearings, np.zeros(_RAYS, np.int64), _REACH_M)


def _hidden_share(bare: FloatArray, ranges_m: FloatArray) -> float:
    return float((np.nan_to_num(bare, nan=math.inf) - ranges_m > _HIDDEN_BY_M).mean())
