"""Who drives: anything that turns a scan into a command, the agent's own navigator first."""

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist
from agent.route.path import Goal
from drivers.measurement import Scan, VelocityCommand
from hil.arena.profile import LENGTH_M, WIDTH_M, Profile


class Pilot(Protocol):
    """Drives one course."""

    def step(
        self,
        scan: Scan,
        pose: Pose2,
        velocity: Twist,
        path: NDArray[np.float64],
        goal: Goal,
        now_ns: int,
    ) -> VelocityCommand:
        """Return the command for the next control cycle.

        Args:
            scan: Of this moment; the lidar is in the robot's middle.
            pose: Where the robot believes to be, ``map_from_base``.
            velocity: Of the robot.
            path: Way to follow in the map frame, shape ``(n, 2)``, may be empty.
            goal: Where to go, in the map frame.
            now_ns: Monotonic time.
        """


PERIOD_NS: Final = 50_000_000

PilotFactory: TypeAlias = Callable[[Profile], Pilot]


def make_navigator(profile: Profile) -> Pilot:
    """Return the agent's own planner and governor, set to a profile."""
    from agent.avoidance.motion import MotionLimits
    from agent.avoidance.navigator import Navigator
    from agent.avoidance.surroundings import LidarMount
    from agent.geometry.polygon import rectangle

    limits = MotionLimits(
        speed_mps=profile.speed_mps,
        yaw_rate_radps=profile.yaw_rate_radps,
        acceleration_mps2=profile.acceleration_mps2,
        deceleration_mps2=profile.deceleration_mps2,
        yaw_acceleration_radps2=profile.yaw_acceleration_radps2,
        yaw_deceleration_radps2=profile.yaw_acceleration_radps2,
        base_latency_s=PERIOD_NS * 1e-9,
    )
    mounts = {"lidar": LidarMount(Pose2.identity())}
    return Navigator(limits, rectangle(LENGTH_M, WIDTH_M), mounts)
