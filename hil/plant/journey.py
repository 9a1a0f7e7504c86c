"""A drive along a track as lidar and wheels tell it, and as it truly was.

No bytes, no clock, no driver: one call is one tick of the odometry. What happens to the robot on
the way (it is carried off, its wheels slip, its lidar is covered) is set from outside between two
ticks.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from drivers.measurement import Odometry, Scan
from hil.errors import BenchError
from hil.plant import kernels
from hil.plant.floor_plan import SurveyedWorld
from hil.plant.robot import roll
from hil.plant.track import Track
from hil.plant.world import Pose

FloatArray: TypeAlias = NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)
Measurement: TypeAlias = Odometry | tuple[str, Scan]

TICK_NS: Final = 20_000_000
_TICK_S: Final = TICK_NS * 1e-9
_SUBSTEPS: Final = 10
_HISTORY_TICKS: Final = 50
_STOP_WITHIN_M: Final = 0.002
_CREEP_MPS: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast the robot drives.

    Attributes:
        speed_mps: On the straight.
        acceleration_mps2: While it gets faster.
        deceleration_mps2: While it gets slower, and when it is told to stop.
        lateral_mps2: In bends.
    """

    speed_mps: float = 1.0
    acceleration_mps2: float = 0.8
    deceleration_mps2: float = 1.0
    lateral_mps2: float = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class SpinningLidar:
    """A lidar in the robot's middle that measures one ray after the other, counter-clockwise.

    Attributes:
        name: The lidar's name.
        rays: In one revolution.
        revolution_ns: Time of one, a whole number of ticks.
        min_range_m: Shorter ranges are not measured.
        max_range_m: Nor are longer ones.
        noise_m: Standard deviation of a range.
        dropout: Share of rays that do not come back for no reason.
    """

    name: str = "lidar"
    rays: int = 360
    revolution_ns: int = 100_000_000
    min_range_m: float = 0.05
    max_range_m: float = 16.0
    noise_m: float = 0.01
    dropout: float = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelErrors:
    """Errors of the odometry, as standard deviations.

    Attributes:
        forward_scale: Of the constant scale error of the way (tyre wear, load).
        turn_scale: Of the constant scale error of turning.
        forward_m_per_sqrt_m: Of the way after one metre, growing with the root of the distance.
        turn_rad_per_sqrt_m: Of the heading after one metre, growing the same way.
        turn_rad_per_sqrt_rad: Of the heading after turning by one radian.
    """

    forward_scale: float = 0.01
    turn_scale: float = 0.02
    forward_m_per_sqrt_m: float = 0.01
    turn_rad_per_sqrt_m: float = 0.005
    turn_rad_per_sqrt_rad: float = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """How ground and wheels disagree; the wheels are told to go 1 m when the track says so.

    Attributes:
        ground_share: How far the robot comes: 0 when its wheels spin.
        wheel_share: How far the wheels turn: 0 when they slide, locked.
        wheel_turn_rad_per_m: Turn the wheels report and the robot does not make.
    """

    ground_share: float = 1.0
    wheel_share: float = 1.0
    wheel_turn_rad_per_m: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """Something on the lidar's window.

    Attributes:
        start_rad: Where it begins, counter-clockwise in the lidar's frame.
        share: Share of the revolution that it covers.
        near_m: What the covered rays measure, NaN for nothing.
    """

    start_rad: float
    share: float
    near_m: float = math.nan


GRIP: Final = Slip()


class Journey:
    """A robot on its way.

    Attributes:
        slip: How the wheels grip at the moment.
        cover: What covers the lidar at the moment.
        frozen: Whether the lidar sends its last scan again and again.
        held: Whether the robot is told to stop and stand.
        world: Where it drives.
    """

    def __init__(
        self,
        world: SurveyedWorld,
        track: Track,
        rng: np.random.Generator,
        *,
        pace: Pace | None = None,
        lidar: SpinningLidar | None = None,
        errors: WheelErrors | None = None,
        start_m: float = 0.0,
        stops: Sequence[tuple[float, float]] = (),
    ) -> None:
        """Stand at a place of the track, ready to drive to its end.

        Args:
            world: Building and obstacles.
            track: The way.
            rng: Source of noise.
            pace: How it drives.
            lidar: Its lidar.
            errors: Errors of its odometry.
            start_m: Where on the track it stands first.
            stops: Places on the track, in order, and the time in s that it stands at each.

        Raises:
            BenchError: A revolution is no whole number of ticks.
        """
        self.lidar = lidar or SpinningLidar()
        if self.lidar.revolution_ns % TICK_NS:
            raise BenchError(f"a revolution of the lidar must be a multiple of {TICK_NS} ns")
        self.world = world
        self.slip = GRIP
        self.cover: Cover | None = None
        self.frozen = False
        self.held = False
        self._track = track
        self._rng = rng
        self._pace = pace or Pace()
        self._errors = errors or WheelErrors()
        self._speeds = track.speeds_mps(
            self._pace.speed_mps, self._pace.lateral_mps2, self._pace.deceleration_mps2
        )
        scales = 1.0 + rng.standard_normal(2) * (
            self._errors.forward_scale,
            self._errors.turn_scale,
        )
        self._forward_scale, self._turn_scale = scales.tolist()
        self._stops = deque(stop for stop in stops if stop[0] > start_m)
        self._dwell_ns = 0
        self._now_ns = 0
        self._along_m = start_m
        self._command_mps = 0.0
        self._travelled_m = 0.0
        self._odom = Pose(0.0, 0.0, 0.0)
        self._twist = (0.0, 0.0)
        start = track.poses(np.array([start_m]))
        self._stamps: deque[NDArray[np.int64]] = deque([np.zeros(1, np.int64)], _HISTORY_TICKS)
        self._poses: deque[FloatArray] = deque([start], _HISTORY_TICKS)
        self._last_ranges_m: NDArray[np.float32] | None = None
        self._bearings_rad = np.linspace(-math.pi, math.pi, self.lidar.rays, endpoint=False)
        self._offsets_ns = (
            np.arange(self.lidar.rays) * self.lidar.revolution_ns // self.lidar.rays
        ).astype(np.int64)

    @property
    def now_ns(self) -> int:
        """Time of the newest tick; the journey begins at 0."""
        return self._now_ns

    @property
    def pose(self) -> Pose:
        """Where the robot truly is."""
        return Pose(*self._poses[-1][:, -1].tolist())

    @property
    def travelled_m(self) -> float:
        """How far it has truly driven; being carried is not driving."""
        return self._travelled_m

    @property
    def along_m(self) -> float:
        """Where on the track it is."""
        return self._along_m

    @property
    def speed_mps(self) -> float:
        """How fast the track is followed, slip left out."""
        return self._command_mps

    @property
    def standing(self) -> bool:
        """Whether the wheels stand still."""
        return self._command_mps == 0.0

    @property
    def arrived(self) -> bool:
        """Whether it stands at the end of the track."""
        return self.standing and self._along_m >= self._track.length_m - _STOP_WITHIN_M

    def carry(self, to_m: float) -> None:
        """Put the robot down elsewhere on the track; its wheels do not turn."""
        self._along_m = to_m
        while self._stops and self._stops[0][0] <= to_m:
            self._stops.popleft()
        self._stamps.append(np.array([self._now_ns + 1], np.int64))
        self._poses.append(self._track.poses(np.array([to_m])))

    def true_poses(self, stamps_ns: NDArray[np.int64]) -> FloatArray:
        """Return x, y (m) and unwrapped yaw (rad), shape ``(3, n)``, within the last second."""
        stamps = np.concatenate(self._stamps)
        poses = np.ascontiguousarray(np.hstack(self._poses))
        out = np.empty((3, stamps_ns.size))
        kernels.interpolate_poses(stamps, poses, stamps.size, stamps_ns, out)
        return out

    def step(self) -> tuple[Measurement, ...]:
        """Drive for one tick and return what was measured, in order of time."""
        before_mps = self._command_mps
        self._command_mps = self._next_speed_mps()
        self._move(before_mps, self._command_mps)
        odometry = self._odometry()
        if self._now_ns % self.lidar.revolution_ns:
            return (odometry,)
        return odometry, (self.lidar.name, self._scan())

    def _next_speed_mps(self) -> float:
        pace = self._pace
        slowest_mps = max(0.0, self._command_mps - pace.deceleration_mps2 * _TICK_S)
        if self._now_ns < self._dwell_ns or self.held:
            return slowest_mps
        remaining_m = self._next_stop_m() - self._along_m
        if remaining_m <= _STOP_WITHIN_M:
            if self._stops and self._command_mps == 0.0:
                self._dwell_ns = self._now_ns + round(self._stops.popleft()[1] * 1e9)
            return slowest_mps
        allowed_mps = min(
            float(np.interp(self._along_m, *self._speeds)),
            max(_CREEP_MPS, math.sqrt(2.0 * pace.deceleration_mps2 * remaining_m) - _CREEP_MPS),
        )
        fastest_mps = self._command_mps + pace.acceleration_mps2 * _TICK_S
        return min(max(allowed_mps, slowest_mps), fastest_mps)

    def _next_stop_m(self) -> float:
        return self._stops[0][0] if self._stops else self._track.length_m

    def _move(self, before_mps: float, after_mps: float) -> None:
        since_s = _TICK_S / _SUBSTEPS * np.arange(1, _SUBSTEPS + 1)
        ways_m = since_s * (before_mps + 0.5 * (after_mps - before_mps) * since_s / _TICK_S)
        along_m = np.minimum(self._along_m + self.slip.ground_share * ways_m, self._track.length_m)
        poses = self._track.poses(along_m)
        turn_rad = float(poses[2, -1] - self._track.poses(np.array([self._along_m]))[2, 0])
        self._travelled_m += float(along_m[-1]) - self._along_m
        self._along_m = float(along_m[-1])
        self._stamps.append(self._now_ns + (since_s * 1e9).round().astype(np.int64))
        self._poses.append(poses)
        self._now_ns += TICK_NS
        self._turn_wheels(float(ways_m[-1]), turn_rad)

    def _turn_wheels(self, way_m: float, turn_rad: float) -> None:
        errors, slip = self._errors, self.slip
        noises = self._rng.standard_normal(3).tolist()
        forward_m = slip.wheel_share * way_m * self._forward_scale
        forward_m += errors.forward_m_per_sqrt_m * math.sqrt(way_m) * noises[0]
        wheel_turn_rad = slip.wheel_share * turn_rad * self._turn_scale
        wheel_turn_rad += slip.wheel_turn_rad_per_m * way_m
        wheel_turn_rad += errors.turn_rad_per_sqrt_m * math.sqrt(way_m) * noises[1]
        wheel_turn_rad += errors.turn_rad_per_sqrt_rad * math.sqrt(abs(turn_rad)) * noises[2]
        # On a track of 1 m the difference of the wheels' ways is the turn.
        half_m = 0.5 * wheel_turn_rad
        self._odom = roll(self._odom, forward_m - half_m, forward_m + half_m, 1.0)
        self._twist = forward_m / _TICK_S, wheel_turn_rad / _TICK_S

    def _odometry(self) -> Odometry:
        x_m, y_m, yaw_rad = self._odom
        wrapped_rad = math.remainder(yaw_rad, math.tau)
        return Odometry(self._now_ns, self._now_ns, x_m, y_m, wrapped_rad, *self._twist)

    def _scan(self) -> Scan:
        start_ns = self._now_ns - self.lidar.revolution_ns
        if not self.frozen or self._last_ranges_m is None:
            self._last_ranges_m = self._ranges_m(start_ns + self._offsets_ns)
        return Scan(
            stamp_ns=start_ns,
            received_ns=self._now_ns,
            angles_rad=_read_only(self._bearings_rad.astype(np.float32)),
            ranges_m=self._last_ranges_m,
            offsets_s=_read_only((self._offsets_ns * 1e-9).astype(np.float32)),
            quality=_read_only(np.full(self.lidar.rays, 47, np.uint8)),
        )

    def _ranges_m(self, stamps_ns: NDArray[np.int64]) -> NDArray[np.float32]:
        lidar = self.lidar
        poses = self.true_poses(stamps_ns)
        ranges = self.world.ranges_m(poses, self._bearings_rad, stamps_ns, lidar.max_range_m)
        ranges += lidar.noise_m * self._rng.standard_normal(lidar.rays)
        ranges[self._rng.random(lidar.rays) < lidar.dropout] = math.nan
        if self.cover is not None:
            past_rad = (self._bearings_rad - self.cover.start_rad) % math.tau
            ranges[past_rad < self.cover.share * math.tau] = self.cover.near_m
        ranges[(ranges < lidar.min_range_m) | (ranges > lidar.max_range_m)] = math.nan
        return _read_only(ranges.astype(np.float32))


def _read_only(array: NDArray[Number]) -> NDArray[Number]:
    array.setflags(write=False)
    return array
