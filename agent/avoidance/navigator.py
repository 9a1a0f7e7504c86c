"""From a scan to a command: planner and governor together, without anything else of the agent.

The same object drives in the daemon and in the benchmarks. What it knows of the world around it is
kept in a frame that only the robot's own motion moves, so that a pose that jumps or trembles moves
the goal and never the obstacles.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from agent.avoidance.governor import Governor, StopReason, Verdict
from agent.avoidance.local_grid import LocalGrid, LocalGridParams
from agent.avoidance.motion import MotionLimits, MotionModel
from agent.avoidance.planner import Plan, Planner, PlannerParams
from agent.avoidance.surroundings import LidarMount, Sight
from agent.avoidance.tracks import TrackParams
from agent.geometry.angle import wrap
from agent.geometry.points import moved
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist, moved_by, values
from agent.route.hull import circumscribed_m
from agent.route.path import Goal
from drivers.measurement import Scan, VelocityCommand

STALE_S = 0.3  # a scan older than that says nothing of free space
POSE_GAIN = 0.15  # of a new pose against the one that odometry has carried on
JUMP_M, JUMP_RAD = 0.5, 0.35  # from here on a pose is another one, and not a trembling one
LOST_STEP_S = 0.5  # a longer gap between steps begins anew
FIRST_PERIOD_S = 0.05
TURN_RESERVE = 0.5
DOUBT_M = 1.0  # so near to the robot the planner shuns, as the governor does, what nobody has seen


class BlindSpots(StrEnum):
    """What to make of places that no lidar has seen.

    A robot with a single lidar ahead cannot turn where it stands as long as they count as occupied.
    Whoever sets them free answers for them, as by bumpers, by fences or by a second scanner of the
    base's own safety circuit.
    """

    OCCUPIED = "occupied"
    FREE = "free"


@dataclass(frozen=True, slots=True, kw_only=True)
class NavigatorParams:
    """Everything that can be set.

    Attributes:
        grid: What is remembered of the surroundings.
        planner: Which way is a good one.
        tracks: How to follow what moves.
        blind_spots: What to make of places that no lidar has seen.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    grid: LocalGridParams = field(default_factory=LocalGridParams)
    planner: PlannerParams = field(default_factory=PlannerParams)
    tracks: TrackParams = field(default_factory=TrackParams)
    blind_spots: BlindSpots = BlindSpots.OCCUPIED


class Navigator:
    """Drives to a goal, or along a path to it, past whatever stands or moves there.

    Whoever has odometry of its own calls ``see``, ``place``, ``plan`` and ``govern``; ``step`` does
    it all from measured speeds.

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
        self._beyond_m = params.planner.comfort_m + params.grid.resolution_m
        self._grid = LocalGrid(params.grid, circumscribed_m(footprint) + self._beyond_m)
        shuns_unseen = params.blind_spots is BlindSpots.OCCUPIED
        self._doubt_m = DOUBT_M if shuns_unseen else 0.0
        self.sight = Sight(lidars, self._grid, footprint, params.tracks, shuns_unseen=shuns_unseen)
        self._planner = Planner(params.planner, limits, model, footprint, self._grid.cells)
        self._replan_ns = round(params.planner.step_s * 1e9)
        self._governor = Governor(limits, footprint, steers=model.is_car)
        self._lidar = next(iter(lidars))
        self._turns_on_the_spot = not model.is_car
        self._odom_from_base = Pose2.identity()
        self._map_from_odom: Pose2 | None = None
        self._now_ns: int | None = None
        self._velocity = Twist()
        self._planned_ns: int | None = None
        self.last_plan: Plan | None = None
        self.verdict: Verdict = self._governor.stop(0, None)

    def step(
        self,
        scan: Scan | Mapping[str, Scan] | None,
        pose: Pose2,
        velocity: Twist,
        path: NDArray[np.float64] | None,
        goal: Goal,
        now_ns: int,
    ) -> VelocityCommand:
        """Return what the base shall do until the next step; ``verdict`` says why.

        Args:
            scan: The newest scan, or the newest of each lidar by name; ``None`` or one that was
                given before where there is no new one.
            pose: ``map_from_base``.
            velocity: Of the base, measured.
            path: Shape ``(points, 2)``, in the map frame, way to the goal; without one the way is
                searched for.
            goal: Where to come to rest.
            now_ns: Monotonic time.
        """
        numbers = (pose.x_m, pose.y_m, pose.yaw_rad, goal.x_m, goal.y_m, *values(velocity))
        if not all(map(math.isfinite, numbers)):
            return self.stop(now_ns, StopReason.BAD_COMMAND).command
        period_s = self._carry_on(velocity, now_ns)
        if period_s is None:
            return self.stop(now_ns, StopReason.LATE_LOOP).command
        scans = {self._lidar: scan} if isinstance(scan, Scan) else scan or {}
        for name, newest in scans.items():
            if newest.stamp_ns <= now_ns:
                self.see(name, newest, self._odom_from_base, velocity)
        self.place(self._odom_from_base, pose)
        seen_ns = self.sight.oldest_ns
        if seen_ns is None or now_ns - seen_ns > STALE_S * 1e9:
            return self.stop(now_ns, StopReason.NO_SCAN).command
        if is_there(pose, goal if self._turns_on_the_spot else replace(goal, yaw_rad=None)):
            return self.stop(now_ns, None).command
        way = np.empty((0, 2)) if path is None else np.asarray(path, np.float64).reshape(-1, 2)
        wanted = self.plan(way, goal, velocity, now_ns)
        return self.govern(wanted, velocity, period_s, now_ns).command

    def take_shape(self, footprint: NDArray[np.float64]) -> None:
        """Drive with another footprint from now on, as with a load on board.

        Args:
            footprint: Shape ``(corners, 2)``, in the base frame.
        """
        self._grid.distance_limit_m = circumscribed_m(footprint) + self._beyond_m
        self.sight.take_shape(footprint)
        self._planner.take_shape(footprint)
        self._governor.take_shape(footprint)

    def see(self, lidar: str, scan: Scan, odom_from_base: Pose2, velocity: Twist) -> None:
        """Take a scan; see :meth:`agent.avoidance.surroundings.Sight.see`."""
        self.sight.see(lidar, scan, odom_from_base, velocity)

    def place(self, odom_from_base: Pose2, map_from_base: Pose2) -> None:
        """Take where the robot is now; the map follows slowly, or at once where it jumps."""
        self._odom_from_base = odom_from_base
        told = map_from_base @ odom_from_base.inverse()
        if self._map_from_odom is None:
            self._map_from_odom = told
            return
        expected = self._map_from_odom @ odom_from_base
        if not expected.is_near(map_from_base, JUMP_M, JUMP_RAD):
            self._map_from_odom = told
            return
        # Mixed where the robot is: far from there, at the frame's origin, headings weigh too much.
        mixed = expected.interpolate(map_from_base, POSE_GAIN)
        self._map_from_odom = mixed @ odom_from_base.inverse()

    def plan(
        self,
        path: NDArray[np.float64],
        goal: Goal,
        velocity: Twist,
        now_ns: int,
        speed_mps: float = math.inf,
        fence: NDArray[np.float64] | None = None,
        measured_ns: int | None = None,
    ) -> Twist:
        """Return the twist that leads on, from where the robot will be when the command acts.

        At the goal it turns on the spot to the heading that is asked for; a car-like base arrives
        with the heading that it has.

        Args:
            path: As for :meth:`step`.
            goal: Where to come to rest.
            velocity: Of the base, measured.
            now_ns: Monotonic time.
            speed_mps: Speed limit.
            fence: Shape ``(discs, 3)``: x, y and radius, in the map frame, outside of which the
                base must not go; everywhere without it.
            measured_ns: When velocity and place were measured; now, if not given.
        """
        if self._turns_on_the_spot and self._is_at(goal):
            return self._turn_to(goal)
        plan, planned_ns = self.last_plan, self._planned_ns
        if plan is not None and planned_ns is not None:
            age_ns = now_ns - planned_ns
            if 0 < age_ns < 0.8 * self._replan_ns:
                return plan.twist
        shift_s = 0.0 if planned_ns is None else (now_ns - planned_ns) * 1e-9
        age_s = 0.0 if measured_ns is None else (now_ns - measured_ns) * 1e-9
        latency_s = age_s + self._limits.base_latency_s
        after = self._after(velocity, latency_s)
        start = self._odom_from_base @ moved_by(_mean(velocity, after), latency_s)
        moving = self.sight.moving(now_ns + round(self._limits.base_latency_s * 1e9))
        here = (self._odom_from_base.x_m, self._odom_from_base.y_m)
        self._grid.measure(self.sight.newest_ms, moving, here, self._doubt_m)
        odom_from_map = (self._map_from_odom or Pose2.identity()).inverse()
        way_m = moved(odom_from_map, self._way_left(path, goal))
        if fence is not None:
            fence = np.column_stack((moved(odom_from_map, fence[:, :2]), fence[:, 2]))
        self._planner.spread_cost(self._grid, self._odom_from_base, way_m, fence)
        speed_mps = min(speed_mps, self._limits.speed_mps)
        plan = self._planner.plan(self._grid, start, after, speed_mps, moving, shift_s)
        self.last_plan, self._planned_ns = plan, now_ns
        return plan.twist

    def govern(
        self,
        wanted: Twist,
        velocity: Twist,
        period_s: float,
        now_ns: int,
        measured_ns: int | None = None,
        margin_m: float | None = None,
    ) -> Verdict:
        """Pass, slow or refuse a twist; see :meth:`agent.avoidance.governor.Governor.govern`.

        Args:
            wanted: Proposed twist.
            velocity: Of the base, measured.
            period_s: Time since the last verdict.
            now_ns: Monotonic time.
            measured_ns: When velocity and place were measured; now, if not given.
            margin_m: Clearance to keep; that of the limits, if not given.
        """
        measured_ns = now_ns if measured_ns is None else measured_ns
        reach_m = self._governor.reach_m((now_ns - measured_ns) * 1e-9)
        dangers = self.sight.dangers(self._odom_from_base, reach_m, measured_ns)
        self._governor.see(dangers.points_m, measured_ns, dangers.moving, dangers.unseen_m)
        self.verdict = self._governor.govern(
            wanted, velocity, period_s, now_ns, measured_ns, margin_m
        )
        return self.verdict

    def stop(self, now_ns: int, reason: StopReason | None, culprit: str = "") -> Verdict:
        """Command standstill."""
        self._planner.reset()
        self.last_plan = self._planned_ns = None
        self.verdict = self._governor.stop(now_ns, reason, culprit)
        return self.verdict

    def _carry_on(self, velocity: Twist, now_ns: int) -> float | None:
        """Carry the robot on by its own speed; ``None`` where time makes no sense."""
        before_ns, self._now_ns = self._now_ns, now_ns
        before, self._velocity = self._velocity, velocity
        if before_ns is None:
            return FIRST_PERIOD_S
        period_s = (now_ns - before_ns) * 1e-9
        if not 0.0 < period_s <= LOST_STEP_S:
            self._grid.clear()
            self.sight.reset()
            return None
        self._odom_from_base = self._odom_from_base @ moved_by(_mean(before, velocity), period_s)
        return period_s

    def _is_at(self, goal: Goal) -> bool:
        here = self._map_from_base
        return math.hypot(goal.x_m - here.x_m, goal.y_m - here.y_m) <= goal.tolerance_m

    def _turn_to(self, goal: Goal) -> Twist:
        """Turn no faster than that the base comes to rest at the heading, with some reserve."""
        self._planner.reset()
        self.last_plan = self._planned_ns = None
        if goal.yaw_rad is None:
            return Twist()
        error = wrap(goal.yaw_rad - self._map_from_base.yaw_rad)
        ahead = abs(error) - 0.5 * goal.tolerance_rad
        rate = TURN_RESERVE * math.sqrt(
            2.0 * self._limits.yaw_deceleration_radps2 * max(0.0, ahead)
        )
        return Twist(0.0, 0.0, math.copysign(min(rate, self._limits.yaw_rate_radps), error))

    @property
    def _map_from_base(self) -> Pose2:
        return (self._map_from_odom or Pose2.identity()) @ self._odom_from_base

    def _way_left(self, path: NDArray[np.float64], goal: Goal) -> NDArray[np.float64]:
        """Return the path from where the robot is abreast of it, and the goal, in the map frame."""
        end = np.array([[goal.x_m, goal.y_m]])
        if not len(path):
            return end
        here = self._map_from_base
        nearest = int(np.hypot(path[:, 0] - here.x_m, path[:, 1] - here.y_m).argmin())
        return np.concatenate((path[nearest:], end))

    def _after(self, velocity: Twist, latency_s: float) -> Twist:
        """Return the speed that the last command will have brought about."""
        limits, pending = self._limits, self._governor.command
        most_mps = latency_s * max(limits.acceleration_mps2, limits.deceleration_mps2)
        most_radps = latency_s * max(limits.yaw_acceleration_radps2, limits.yaw_deceleration_radps2)
        return Twist(
            *(
                a + min(most, max(-most, b - a))
                for a, b, most in zip(
                    values(velocity),
                    values(pending),
                    (most_mps, most_mps, most_radps),
                    strict=True,
                )
            )
        )


def is_there(pose: Pose2, goal: Goal) -> bool:
    """Return whether a pose is within the tolerances of a goal."""
    near = math.hypot(goal.x_m - pose.x_m, goal.y_m - pose.y_m) <= goal.tolerance_m
    return near and (
        goal.yaw_rad is None or abs(wrap(goal.yaw_rad - pose.yaw_rad)) <= goal.tolerance_rad
    )


def _mean(one: Twist, other: Twist) -> Twist:
    return Twist(*(0.5 * (a + b) for a, b in zip(values(one), values(other), strict=True)))
