"""From a scan to a command: planner and governor together, without anything else of the agent.

The same object drives in the daemon and in the benchmarks. What it knows of the world around it is
kept in a frame that only the robot's own motion moves, so that a pose that jumps or trembles moves
the goal and never the obstacles.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from agent.avoidance.footprint import circumscribed_radius_m
from agent.avoidance.governor import Governor, StopReason, Verdict
from agent.avoidance.local_grid import LocalGrid, LocalGridParams
from agent.avoidance.motion import MotionLimits, MotionModel
from agent.avoidance.planner import Plan, Planner, PlannerParams
from agent.avoidance.surroundings import LidarMount, Sight
from agent.avoidance.tracks import TrackParams
from agent.geometry.angle import wrap
from agent.geometry.points import moved
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist
from agent.route.path import Goal
from drivers.measurement import Scan, VelocityCommand

STALE_S = 0.3  # a scan older than that says nothing of free space
POSE_GAIN = 0.15  # of a new pose against the one that odometry has carried on
JUMP_M, JUMP_RAD = 0.5, 0.35  # from here on a pose is another one, and not a trembling one
LOST_STEP_S = 0.5  # a longer gap between steps begins anew
AHEAD_M = 0.1  # spacing of the targets on a path


@dataclass(frozen=True, slots=True, kw_only=True)
class NavigatorParams:
    """Everything that can be set."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    grid: LocalGridParams = field(default_factory=LocalGridParams)
    planner: PlannerParams = field(default_factory=PlannerParams)
    tracks: TrackParams = field(default_factory=TrackParams)


class Navigator:
    """Drives to a goal, or along a path to it, past whatever stands or moves there.

    Args:
        limits: What the base can do, and how much distance is to be kept.
        footprint: Shape ``(corners, 2)``, in the base frame.
        lidars: How each lidar is mounted, by name.
        params: Everything else.
        model: How the base moves.
    """

    def __init__(
        self,
        limits: MotionLimits,
        footprint: NDArray[np.float64],
        lidars: Mapping[str, LidarMount],
        params: NavigatorParams | None = None,
        model: MotionModel | None = None,
    ) -> None:
        params, model = params or NavigatorParams(), model or MotionModel()
        self._limits = limits
        reach_m = circumscribed_radius_m(footprint) + params.planner.comfort_m
        self._grid = LocalGrid(params.grid, reach_m + params.grid.resolution_m)
        self._sight = Sight(lidars, self._grid, footprint, params.tracks)
        self._planner = Planner(params.planner, limits, model, footprint, self._grid.cells)
        self._governor = Governor(limits, footprint)
        self._lidar = next(iter(lidars))
        self._odom_from_base = Pose2.identity()
        self._map_from_odom: Pose2 | None = None
        self._now_ns: int | None = None
        self._velocity = Twist()
        self._planned_ns: int | None = None
        self.plan: Plan | None = None
        self.verdict: Verdict = self._governor.stop(0, None)

    def step(
        self,
        scan: Scan | Mapping[str, Scan] | None,
        pose: Pose2,
        velocity: Twist,
        path: NDArray[np.float64],
        goal: Goal,
        now_ns: int,
    ) -> VelocityCommand:
        """Return what the base shall do until the next step.

        Args:
            scan: The newest scan, or the newest of each lidar by name; ``None`` or one that was
                given before where there is no new one.
            pose: ``map_from_base``.
            velocity: Of the base, measured.
            path: Shape ``(points, 2)``, in the map frame, way to the goal; without points the way
                is searched for.
            goal: Where to come to rest.
            now_ns: Monotonic time.
        """
        self.verdict = self._step(scan, pose, velocity, path, goal, now_ns)
        return self.verdict.command

    def _step(
        self,
        scan: Scan | Mapping[str, Scan] | None,
        pose: Pose2,
        velocity: Twist,
        path: NDArray[np.float64],
        goal: Goal,
        now_ns: int,
    ) -> Verdict:
        numbers = (pose.x_m, pose.y_m, pose.yaw_rad, goal.x_m, goal.y_m, *_values(velocity))
        if not all(map(math.isfinite, numbers)):
            return self._governor.stop(now_ns, StopReason.BAD_COMMAND)
        period_s = self._advance(velocity, now_ns)
        if period_s is None:
            return self._governor.stop(now_ns, StopReason.LATE_LOOP)
        self._correct(pose)
        self._look(scan)
        seen_ns = self._sight.oldest_ns
        if seen_ns is None or not 0 <= now_ns - seen_ns <= STALE_S * 1e9:
            return self._governor.stop(now_ns, StopReason.NO_SCAN)
        if self._is_there(pose, goal):
            self._planner.reset()
            return self._governor.stop(now_ns, None)
        wanted = self._wanted(path, goal, velocity, now_ns, period_s)
        points_m, moving = self._sight.dangers(self._odom_from_base, now_ns)
        self._governor.see(points_m, now_ns, moving)
        return self._governor.govern(wanted, velocity, period_s, now_ns)

    def _advance(self, velocity: Twist, now_ns: int) -> float | None:
        """Carry the robot on by its own speed; ``None`` where time makes no sense."""
        before_ns, self._now_ns = self._now_ns, now_ns
        before, self._velocity = self._velocity, velocity
        if before_ns is None:
            return 0.05
        period_s = (now_ns - before_ns) * 1e-9
        if not 0.0 < period_s <= LOST_STEP_S:
            self._grid.clear()
            self._sight.reset()
            return None
        mean = Twist(*(0.5 * (a + b) for a, b in zip(_values(before), _values(velocity), strict=True)))
        self._odom_from_base = self._odom_from_base @ moved_by(mean, period_s)
        return period_s

    def _correct(self, pose: Pose2) -> None:
        """Follow the pose slowly, or at once where it is another one."""
        told = pose @ self._odom_from_base.inverse()
        if self._map_from_odom is None:
            self._map_from_odom = told
            return
        expected = self._map_from_odom @ self._odom_from_base
        if not expected.is_near(pose, JUMP_M, JUMP_RAD):
            self._map_from_odom = told
            return
        # Where the robot is, not where the frame's far origin is, errors are small.
        mixed = expected.interpolate(pose, POSE_GAIN)
        self._map_from_odom = mixed @ self._odom_from_base.inverse()

    def _look(self, scan: Scan | Mapping[str, Scan] | None) -> None:
        if scan is None:
            return
        scans = {self._lidar: scan} if isinstance(scan, Scan) else scan
        for name, newest in scans.items():
            self._sight.see(name, newest, self._odom_from_base)

    def _is_there(self, pose: Pose2, goal: Goal) -> bool:
        near = math.hypot(goal.x_m - pose.x_m, goal.y_m - pose.y_m) <= goal.tolerance_m
        if not near or goal.yaw_rad is None:
            return near
        return abs(wrap(goal.yaw_rad - pose.yaw_rad)) <= goal.tolerance_rad

    def _wanted(
        self, path: NDArray[np.float64], goal: Goal, velocity: Twist, now_ns: int, period_s: float
    ) -> Twist:
        """Plan from where the robot will be when the command acts."""
        latency_s = self._limits.base_latency_s
        pending = self._governor.command
        after = self._after(velocity, pending, latency_s)
        mean = Twist(*(0.5 * (a + b) for a, b in zip(_values(velocity), _values(after), strict=True)))
        start = self._odom_from_base @ moved_by(mean, latency_s)
        acts_ns = now_ns + round(latency_s * 1e9)
        moving = self._sight.moving(acts_ns)
        self._grid.measure(self._sight.newest_ms, moving)
        self._planner.spread_cost(self._grid, self._targets(path, goal))
        self.plan = self._planner.plan(
            self._grid, start, after, self._limits.speed_mps, moving, period_s
        )
        return self.plan.twist

    def _after(self, velocity: Twist, pending: Twist, latency_s: float) -> Twist:
        """Return the speed that the pending command will have brought about."""
        limits = self._limits
        changes = (
            latency_s * max(limits.acceleration_mps2, limits.deceleration_mps2),
            latency_s * max(limits.acceleration_mps2, limits.deceleration_mps2),
            latency_s * max(limits.yaw_acceleration_radps2, limits.yaw_deceleration_radps2),
        )
        return Twist(
            *(
                a + min(most, max(-most, b - a))
                for a, b, most in zip(_values(velocity), _values(pending), changes, strict=True)
            )
        )

    def _targets(self, path: NDArray[np.float64], goal: Goal) -> NDArray[np.float64]:
        """Return where the cost to go begins, in the odometry frame, and what it is there."""
        if self._map_from_odom is None or not len(path):
            goal_m = self._to_odom(np.array([[goal.x_m, goal.y_m]]))
            return np.column_stack((goal_m, [0.0]))
        points_m = self._to_odom(np.vstack((path, [[goal.x_m, goal.y_m]])))
        left_m = np.hypot(*np.diff(points_m, axis=0).T)[::-1].cumsum()[::-1]
        return np.column_stack((points_m, np.append(left_m, 0.0)))

    def _to_odom(self, points_m: NDArray[np.float64]) -> NDArray[np.float64]:
        map_from_odom = self._map_from_odom or Pose2.identity()
        return moved(map_from_odom.inverse(), points_m)


def moved_by(twist: Twist, time_s: float) -> Pose2:
    """Return where a constant twist takes the base, ``before_from_after``."""
    turn = twist.yaw_rate_radps * time_s
    half = 0.5 * turn
    chord = time_s * (math.sin(half) / half if abs(half) > 1e-9 else 1.0)
    cos, sin = math.cos(half), math.sin(half)
    return Pose2(
        chord * (cos * twist.forward_mps - sin * twist.lateral_mps),
        chord * (sin * twist.forward_mps + cos * twist.lateral_mps),
        wrap(turn),
    )


def _values(twist: Twist) -> tuple[float, float, float]:
    return twist.forward_mps, twist.lateral_mps, twist.yaw_rate_radps
