"""A short drive in thought, so that every kernel of avoidance is compiled before the first scan."""

from collections.abc import Iterator

import numpy as np

from agent.avoidance.motion import MotionLimits
from agent.avoidance.navigator import Navigator
from agent.avoidance.surroundings import LidarMount
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist
from agent.route.path import Goal
from drivers.measurement import Scan

PERIOD_NS = 100_000_000
RAYS = 360
WALL_M, BODY_M, BODY_MPS = 4.0, 0.4, 1.0
NOISES_M = (0.0, 0.03)  # a noisy lidar is smoothed
STEPS = 12
TURNED = (3, 6)  # steps in which another twist is asked for, and a fence is drawn


def rehearse() -> Iterator[str]:
    """Drive past a body that crosses a room, by a quiet lidar and by a noisy one.

    Yields:
        What is ready once it is.
    """
    for noise_m in NOISES_M:
        navigator = Navigator(
            MotionLimits(), rectangle(0.8, 0.6), {"lidar": LidarMount(Pose2.identity())}
        )
        for step in range(STEPS):
            now_ns = step * PERIOD_NS
            velocity = Twist(0.3, 0.0, 0.1)
            path = np.array([[0.0, 0.0], [1.0, 0.0]]) if step in TURNED else np.empty((0, 2))
            navigator.step(
                _scan(now_ns, noise_m), Pose2.identity(), velocity, path, Goal(3.0, 0.5), now_ns
            )
            if step in TURNED:
                fence = np.array([[0.0, 0.0, 1.0]])
                later_ns = now_ns + PERIOD_NS // 2
                navigator.plan(path, Goal(3.0, 0.5), velocity, later_ns, 0.5, fence)
    yield "avoidance"


def _scan(now_ns: int, noise_m: float) -> Scan:
    angles = np.linspace(-np.pi, np.pi, RAYS, endpoint=False).astype(np.float32)
    ranges = np.full(RAYS, WALL_M, np.float32)
    center = np.array([2.0, -2.0 + BODY_MPS * now_ns * 1e-9])
    along = center[0] * np.cos(angles) + center[1] * np.sin(angles)
    chord = BODY_M**2 - (center @ center - along**2)
    hit = (chord > 0.0) & (along > 0.0)
    ranges[hit] = (along - np.sqrt(np.maximum(chord, 0.0)))[hit]
    ranges += np.float32(noise_m) * np.sin(np.arange(RAYS) * 1.9).astype(np.float32)
    arrays = (angles, ranges, np.zeros(RAYS, np.float32), np.zeros(RAYS, np.uint8))
    for array in arrays:
        array.setflags(write=False)
    return Scan(now_ns, now_ns, *arrays)
