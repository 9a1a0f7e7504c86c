"""One robot in one world, as they really are."""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hil.errors import BenchError
from hil.plant import kernels
from hil.plant.robot import DifferentialDrive, DriveParameters, roll
from hil.plant.world import FloatArray, Pose, World, place, rectangle

_STEP_NS: Final = 1_000_000
_STEP_S: Final = _STEP_NS * 1e-9
_STEPS_PER_CONTACT_CHECK: Final = 5
_HISTORY_STEPS: Final = 2048


_FRONT: Final = Pose(0.3, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LidarParameters:
    """The lidar's place on the robot and the limits of its eyes.

    Attributes:
        base_from_lidar: Where it is mounted.
        min_range_m: Nearer than this it sees nothing.
        max_range_m: Farther than this it sees nothing.
        noise_m: Standard deviation of a range at distance 0.
        noise_per_m: What each metre of distance adds to it.
        dropout: Probability that a ray that hits comes back empty.
    """

    base_from_lidar: Pose = _FRONT
    min_range_m: float = 0.15
    max_range_m: float = 16.0
    noise_m: float = 0.003
    noise_per_m: float = 0.003
    dropout: float = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotParameters:
    """The robot: outline, drive and lidar.

    Attributes:
        length_m: Of the rectangular outline, whose middle is the base frame.
        width_m: Of the outline.
        drive: Its wheels and motors.
        lidar: Its eyes.
    """

    length_m: float = 0.9
    width_m: float = 0.6
    drive: DriveParameters = field(default_factory=DriveParameters)
    lidar: LidarParameters = field(default_factory=LidarParameters)


@dataclass(frozen=True, slots=True)
class Contact:
    """The first time that the robot touched something, or something touched the robot."""

    stamp_ns: int
    pose: Pose
    with_what: str


@dataclass(frozen=True, slots=True)
class Truth:
    """Where the robot really is.

    Attributes:
        stamp_ns: Monotonic time.
        pose: ``world_from_base``.
        forward_mps: Over the wheels' rims.
        yaw_rate_radps: Over the wheels' rims.
        distance_m: Way of the base since the start.
        contact: The first contact, None as long as there was none.
    """

    stamp_ns: int
    pose: Pose
    forward_mps: float
    yaw_rate_radps: float
    distance_m: float
    contact: Contact | None


class _PoseHistory:
    """The newest poses, one a step, to look back in time between them."""

    def __init__(self, stamp_ns: int, pose: Pose) -> None:
        # Twice the room, so that the newest stretch is contiguous and moved once a lap.
        self._stamps_ns = np.zeros(2 * _HISTORY_STEPS, dtype=np.int64)
        self._poses = np.zeros((3, 2 * _HISTORY_STEPS))
        self._end = 0
        self.append(stamp_ns, pose)

    def append(self, stamp_ns: int, pose: Pose) -> None:
        if self._end == self._stamps_ns.size:
            self._stamps_ns[:_HISTORY_STEPS] = self._stamps_ns[_HISTORY_STEPS:]
            self._poses[:, :_HISTORY_STEPS] = self._poses[:, _HISTORY_STEPS:]
            self._end = _HISTORY_STEPS
        self._stamps_ns[self._end] = stamp_ns
        self._poses[:, self._end] = pose
        self._end += 1

    def at(self, stamps_ns: NDArray[np.int64]) -> FloatArray:
        """Return x, y and yaw at each stamp, shape ``(3, rays)``."""
        poses = np.empty((3, stamps_ns.size))
        kernels.interpolate_poses(self._stamps_ns, self._poses, self._end, stamps_ns, poses)
        return poses


class Plant:
    """Steps the physics at 1 kHz and lets the lidar look at the world.

    The same world, parameters, seed, commands and times give the same floats.

    Args:
        world: What is around the robot.
        robot: The robot.
        start: Where it stands at ``start_ns``; raises BenchError when that is inside something.
        seed: Of slip and range noise, which have independent streams.
        start_ns: Monotonic time at which the plant begins.
    """

    def __init__(
        self, world: World, robot: RobotParameters, start: Pose, seed: int, start_ns: int = 0
    ) -> None:
        slip_seed, range_seed = np.random.SeedSequence(seed).spawn(2)
        self.world = world
        self.robot = robot
        self.wheels = DifferentialDrive(robot.drive, np.random.default_rng(slip_seed))
        self._range_rng = np.random.default_rng(range_seed)
        self._outline = rectangle(robot.length_m / 2, robot.width_m / 2)
        self._now_ns = start_ns
        self._pose = start
        self._clear_pose = start
        self._steps = 0
        self._distance_m = 0.0
        self._clear_distance_m = 0.0
        self._contact: Contact | None = None
        self._history = _PoseHistory(start_ns, start)
        with_what = world.contact(place(self._outline, start), start_ns)
        if with_what is not None:
            raise BenchError(
                f"the start pose ({start.x_m:.2f}, {start.y_m:.2f}) touches: {with_what}"
            )

    @property
    def truth(self) -> Truth:
        """Where the robot is now."""
        left_mps, right_mps = self.wheels.speeds_mps
        return Truth(
            self._now_ns,
            self._pose,
            0.5 * (left_mps + right_mps),
            (right_mps - left_mps) / self.robot.drive.track_m,
            self._distance_m,
            self._contact,
        )

    def advance(self, to_ns: int) -> None:
        """Step the physics up to a time; what is left over after whole steps comes next time."""
        while self._now_ns + _STEP_NS <= to_ns:
            self._now_ns += _STEP_NS
            self._step()

    def lidar_ranges(
        self,
        stamps_ns: NDArray[np.int64],
        bearings_rad: FloatArray,
        lidar: LidarParameters | None = None,
    ) -> NDArray[np.float64]:
        """Return what the lidar measures, each ray from where the lidar was at its own time.

        Args:
            stamps_ns: Monotonic time of each ray, within the last two seconds.
            bearings_rad: Direction of each ray from the lidar's x axis, counter-clockwise.
            lidar: Which one; the robot's own without it.

        Returns:
            Ranges in m with noise, NaN where nothing came back, shape ``(rays,)``.
        """
        lidar = lidar or self.robot.lidar
        ranges = self.true_ranges(stamps_ns, bearings_rad, lidar)
        sigmas = lidar.noise_m + lidar.noise_per_m * ranges
        ranges += sigmas * self._range_rng.standard_normal(ranges.size)
        ranges[self._range_rng.random(ranges.size) < lidar.dropout] = math.nan
        ranges[(ranges < lidar.min_range_m) | (ranges > lidar.max_range_m)] = math.nan
        return ranges

    def true_ranges(
        self,
        stamps_ns: NDArray[np.int64],
        bearings_rad: FloatArray,
        lidar: LidarParameters | None = None,
    ) -> NDArray[np.float64]:
        """Return the ranges without noise; arguments as for :meth:`lidar_ranges`."""
        xs, ys, yaws = self._history.at(stamps_ns)
        cos, sin = np.cos(yaws), np.sin(yaws)
        lidar = lidar or self.robot.lidar
        mount = lidar.base_from_lidar
        table = self.world.obstacles_at(int(stamps_ns[0]))
        ranges = np.empty(bearings_rad.size)
        kernels.cast_rays(
            self.world.cells,
            self.world.resolution_m,
            self.world.origin_x_m,
            self.world.origin_y_m,
            xs + cos * mount.x_m - sin * mount.y_m,
            ys + sin * mount.x_m + cos * mount.y_m,
            yaws + mount.yaw_rad + bearings_rad,
            (stamps_ns - stamps_ns[0]) * 1e-9,
            table.discs,
            table.boxes,
            lidar.max_range_m,
            ranges,
        )
        return ranges

    def _step(self) -> None:
        if not self.wheels.at_rest:
            left_m, right_m = self.wheels.step(_STEP_S)
            moved = roll(self._pose, left_m, right_m, self.robot.drive.track_m)
            self._distance_m += math.hypot(moved.x_m - self._pose.x_m, moved.y_m - self._pose.y_m)
            self._pose = moved
        self._steps += 1
        if self._steps % _STEPS_PER_CONTACT_CHECK == 0:
            self._check_contact()
        self._history.append(self._now_ns, self._pose)

    def _check_contact(self) -> None:
        with_what = self.world.contact(place(self._outline, self._pose), self._now_ns)
        if with_what is None:
            self._clear_pose, self._clear_distance_m = self._pose, self._distance_m
            return
        if self._contact is None:
            self._contact = Contact(self._now_ns, self._pose, with_what)
        # What stands in the way holds the robot while its wheels spin. A robot that was run
        # into may move: it is in contact where it stood, too.
        if self.world.contact(place(self._outline, self._clear_pose), self._now_ns) is None:
            self._pose, self._distance_m = self._clear_pose, self._clear_distance_m
        else:
            self._clear_pose, self._clear_distance_m = self._pose, self._distance_m
