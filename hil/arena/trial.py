"""One drive through one course, by the protocol of the BARN Challenge.

Success is to bring the robot's middle within 1 m of the goal in time and without any contact. The
clock starts once the robot is 0.1 m from its start. Control runs at 20 Hz, and a command acts in
the cycle after that in which it was computed.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.clock import Clock
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist
from agent.route.path import Goal
from drivers.measurement import Scan, VelocityCommand
from hil.arena.course import GOAL_RADIUS_M, Course, FloatArray
from hil.arena.lidar import PlanarLidar
from hil.arena.pilot import PERIOD_NS, Pilot, PilotFactory
from hil.arena.pose_source import PoseSource, true_pose
from hil.arena.profile import LENGTH_M, WIDTH_M, Profile
from hil.arena.result import Contact, RunResult, Trajectory, score
from hil.errors import BenchError
from hil.plant import arena_kernels as kernels

CLOCK_STARTS_M: Final = 0.1
STANDING_MPS: Final = 0.1

_SUBSTEPS: Final = 10
_SUBSTEP_NS: Final = PERIOD_NS // _SUBSTEPS
_SUBSTEP_S: Final = _SUBSTEP_NS * 1e-9
_HALF_SIZE: Final = (LENGTH_M / 2.0, WIDTH_M / 2.0)
_NO_PATH: Final = np.empty((0, 2))


class Trial:
    """A robot at the start of a course; ``run`` drives it to the end.

    Args:
        course: Where to drive.
        profile: What the robot can do.
        make_pilot: Makes who drives.
        lidar: The robot's lidar.
        pose_source: Where the pilot is told to be.
        path: Way that the pilot is given, shape ``(n, 2)``.
        clock: Measures the pilot's time, None for not at all; nothing else depends on it.

    Raises:
        BenchError: Something touches the robot at the start.
    """

    def __init__(
        self,
        course: Course,
        profile: Profile,
        make_pilot: PilotFactory,
        lidar: PlanarLidar,
        *,
        pose_source: PoseSource = true_pose,
        path: FloatArray = _NO_PATH,
        clock: Clock | None = None,
    ) -> None:
        self._course = course
        self._profile = profile
        self._pilot: Pilot = make_pilot(profile)
        self._lidar = lidar
        self._pose_source = pose_source
        self._path = path
        self._clock = clock
        start = course.start
        self._now_ns = 0
        self._state = np.array([start.x_m, start.y_m, start.yaw_rad, 0.0, 0.0])
        self._in_force = VelocityCommand(0.0, 0.0, 0)
        self._started_ns: int | None = None
        self._driven_m = 0.0
        self._unstoppable = 0
        self._pilot_ms: list[float] = []
        self._states = [self._state]
        self._stamps_ns = [0]
        walkers = course.walkers_at(np.zeros(1))[0]
        self._clearance_m, nearest = kernels.clearance(
            course.walls, course.cylinders, walkers, self._state, *_HALF_SIZE
        )
        if self._clearance_m <= 0.0:
            touched = course.obstacle_name(nearest)
            raise BenchError(f"course {course.name} begins in contact with {touched}")

    def run(self) -> RunResult:
        """Drive until goal, contact or the limit of time.

        Raises:
            BenchError: The pilot commands something that is no number.
        """
        contact, success, cycles = None, False, 0
        limit_ns = round(self._course.limit_s * 1e9)
        while contact is None and not success and self._clock_ns() < limit_ns:
            command = self._control()
            contact = self._drive()
            success = contact is None and self._at_goal() and self._clock_ns() <= limit_ns
            self._in_force = command
            cycles += 1
        time_s = self._clock_ns() / 1e9
        return RunResult(
            course=self._course.name,
            success=success,
            contact=contact,
            time_s=time_s,
            score=score(self._course, success=success, time_s=time_s),
            driven_m=self._driven_m,
            clearance_m=max(self._clearance_m, 0.0),
            cycles=cycles,
            unstoppable_cycles=self._unstoppable,
            pilot_ms=np.array(self._pilot_ms),
            trajectory=Trajectory(np.array(self._stamps_ns) / 1e9, np.array(self._states)),
        )

    def _clock_ns(self) -> int:
        """Time by the protocol's clock; a robot that never starts is held to the limit as well."""
        return self._now_ns - (self._started_ns or 0)

    def _at_goal(self) -> bool:
        goal_x_m, goal_y_m = self._course.goal_m
        distance_m = math.hypot(goal_x_m - self._state[0], goal_y_m - self._state[1])
        return distance_m <= GOAL_RADIUS_M

    def _control(self) -> VelocityCommand:
        """Let the pilot see, and return what it commands for the next cycle."""
        course = self._course
        walkers = course.walkers_at(np.array([self._now_ns / 1e9]))[0]
        discs = np.concatenate((course.cylinders, walkers))
        self._unstoppable += kernels.braking_touches(
            self._state, self._targets(), self._profile.limits, _SUBSTEP_S, course.walls, discs,
            *_HALF_SIZE,
        )  # fmt: skip
        x_m, y_m, yaw_rad, forward_mps, yaw_rate_radps = self._state.tolist()
        truth = Pose2(x_m, y_m, math.remainder(yaw_rad, math.tau))
        velocity = Twist(forward_mps, 0.0, yaw_rate_radps)
        scan = self._lidar.scan(course.walls, discs, truth, self._now_ns)
        pose = self._pose_source(truth, scan, velocity, self._now_ns)
        command = self._timed_step(scan, pose, velocity)
        if not (math.isfinite(command.forward_mps) and math.isfinite(command.yaw_rate_radps)):
            raise BenchError(f"the pilot commands {command}, which is no motion")
        return command

    def _timed_step(self, scan: Scan, pose: Pose2, velocity: Twist) -> VelocityCommand:
        goal = Goal(*self._course.goal_m)
        began_ns = self._clock.now_ns() if self._clock else 0
        command = self._pilot.step(scan, pose, velocity, self._path, goal, self._now_ns)
        if self._clock:
            self._pilot_ms.append((self._clock.now_ns() - began_ns) * 1e-6)
        return command

    def _ends_ns(self) -> NDArray[np.int64]:
        """Return when the sub-steps of this cycle end."""
        return self._now_ns + _SUBSTEP_NS * np.arange(1, _SUBSTEPS + 1)

    def _targets(self) -> FloatArray:
        """Return what the command in force asks for in each sub-step, as far as it is possible."""
        command = self._in_force
        top = np.array([self._profile.speed_mps, self._profile.yaw_rate_radps])
        target = np.clip([command.forward_mps, command.yaw_rate_radps], -top, top)
        return np.outer(self._ends_ns() <= command.valid_until_ns, target)

    def _drive(self) -> Contact | None:
        """Drive one cycle on the command in force, and return what was touched."""
        course = self._course
        ends_ns = self._ends_ns()
        track = np.empty((_SUBSTEPS, 5))
        goal = np.array([*course.goal_m, GOAL_RADIUS_M])
        walkers = course.walkers_at(ends_ns / 1e9)
        steps, least_m, touched = kernels.drive(
            self._state, self._targets(), self._profile.limits, _SUBSTEP_S, course.walls,
            course.cylinders, walkers, *_HALF_SIZE, goal, track,
        )  # fmt: skip
        before = np.vstack((self._state, track[:steps]))
        self._driven_m += float(np.abs(before[1:, 3] + before[:-1, 3]).sum()) * _SUBSTEP_S / 2.0
        self._clearance_m = min(self._clearance_m, least_m)
        self._start_clock(track[:steps], ends_ns)
        self._now_ns = int(ends_ns[steps - 1])
        self._state = track[steps - 1].copy()
        self._states.append(self._state)
        self._stamps_ns.append(self._now_ns)
        if touched == kernels.NOTHING:
            return None
        return self._contact(touched, before[-2], walkers[steps - 1])

    def _start_clock(self, track: FloatArray, ends_ns: NDArray[np.int64]) -> None:
        start = self._course.start
        if self._started_ns is None:
            away_m = np.hypot(track[:, 0] - start.x_m, track[:, 1] - start.y_m)
            if (away_m >= CLOCK_STARTS_M).any():
                self._started_ns = int(ends_ns[np.argmax(away_m >= CLOCK_STARTS_M)])

    def _contact(self, touched: int, before: FloatArray, walkers: FloatArray) -> Contact:
        """Describe a contact.

        Args:
            touched: Number of the obstacle.
            before: State of the robot just before.
            walkers: What moves, at the contact.
        """
        course = self._course
        discs = np.concatenate((course.cylinders, walkers))
        if touched < len(course.walls):
            ours_m, theirs_m = _nearest_of_wall(course.walls[touched], before)
        else:
            theirs_m = _in_base(discs[touched - len(course.walls), :2], before)
            ours_m = np.clip(theirs_m, np.negative(_HALF_SIZE), _HALF_SIZE)
        closing_mps = _closing_mps(ours_m, theirs_m, self._state)
        walker = touched - len(course.walls) - len(course.cylinders)
        jumped = walker >= 0 and course.walkers[walker].jumps_between(
            (self._now_ns - _SUBSTEP_NS) / 1e9, self._now_ns / 1e9
        )
        return Contact(
            time_s=self._now_ns / 1e9,
            obstacle=course.obstacle_name(touched),
            closing_mps=closing_mps,
            hit_by=walker >= 0 and closing_mps < STANDING_MPS,
            jumped=jumped,
        )


def _in_base(place_m: FloatArray, state: FloatArray) -> FloatArray:
    base_from_map = Pose2(*state[:3].tolist()).inverse()
    return np.array(base_from_map.transform(*place_m.tolist()))


def _nearest_of_wall(wall: FloatArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the points of robot and wall that are nearest to each other, in the robot's frame."""
    ends = np.array([_in_base(wall[:2], state), _in_base(wall[2:], state)])
    half = np.array(_HALF_SIZE)
    pairs = [(np.clip(end, -half, half), end) for end in ends]
    edge = ends[1] - ends[0]
    for corner in half * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]):
        share = np.clip((corner - ends[0]) @ edge / (edge @ edge), 0.0, 1.0)
        pairs.append((corner, ends[0] + share * edge))
    return min(pairs, key=lambda pair: math.hypot(*(pair[1] - pair[0])))


def _closing_mps(ours_m: FloatArray, theirs_m: FloatArray, state: FloatArray) -> float:
    """Return the speed of a point of the robot towards another point, both in its frame."""
    towards = theirs_m - ours_m
    if not towards.any():
        # The other point is within the robot, as after a jump.
        towards = theirs_m
    velocity_mps = state[3] * np.array([1.0, 0.0]) + state[4] * np.array([-ours_m[1], ours_m[0]])
    return float(velocity_mps @ towards / max(math.hypot(*towards), 1e-9))
