"""Docking under load carriers on the plant, again and again, against the truth.

The robot measures 0.7 m by 0.5 m and drives with slip and wheels of unequal wear; its commands take
60 ms to the wheels. The carrier measures 1.2 m by 0.8 m over four legs, of another section and
width each time, and stands elsewhere than expected. A lidar of 10 Hz sees all around or 270 degrees
with 360, 720 or 1000 rays a turn, while two people walk by.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.avoidance.governor import StopReason
from agent.avoidance.motion import MotionLimits
from agent.avoidance.navigator import Navigator
from agent.avoidance.surroundings import LidarMount
from agent.docking.carrier import Carrier, Leg, Section
from agent.docking.detection import CarrierDetector, DetectorParams, Returns
from agent.docking.manoeuvre import Docking, DockingParams, DockingStep, DriveLimits, Phase
from agent.docking.track import CarrierTrack
from agent.geometry.points import moved
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist
from agent.localization.deskew import deskew
from agent.localization.odometry_history import OdometryHistory
from drivers.base.differential import DifferentialOdometry
from drivers.measurement import Odometry, Scan, VelocityCommand
from hil.errors import BenchError
from hil.plant.plant import LidarParameters, Plant, RobotParameters
from hil.plant.robot import DriveParameters
from hil.plant.world import Box, Disc, Obstacle, Pose, TimedPose, World, standing

FloatArray: TypeAlias = NDArray[np.float64]

TICK_NS: Final = 20_000_000
REVOLUTION_NS: Final = 100_000_000
LATENCY_TICKS: Final = 3
AFTER_TICKS: Final = 25
P95_M, P95_RAD = 0.01, math.radians(0.5)
MOST_M, MOST_RAD = 0.015, math.radians(0.8)
ROBOT_LENGTH_M, ROBOT_WIDTH_M = 0.7, 0.5
CARRIER_LENGTH_M, CARRIER_WIDTH_M = 1.2, 0.8
LIDAR: Final = "lidar"
LIMITS: Final = MotionLimits(
    speed_mps=0.8, deceleration_mps2=0.5, yaw_deceleration_radps2=1.0, base_latency_s=0.06
)
EXPECTED: Final = Pose2(0.0, 0.0, 0.0)
DRIVE: Final = DriveParameters(
    track_m=0.4, left_scale=1.003, right_scale=0.998, slip_m_per_sqrt_m=0.003
)


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """One docking to be made.

    Attributes:
        seed: Of slip and noise.
        carrier: What stands there.
        world_from_carrier: Where it really stands.
        start: Where the robot stands first, in the frame in which the carrier is expected at the
            origin.
        rays: Of the lidar.
        view_rad: Its field of view.
        noise_m: Standard deviation of a range.
        walkers: People who walk by.
    """

    seed: int
    carrier: Carrier
    world_from_carrier: Pose2
    start: Pose2
    rays: int
    view_rad: float
    noise_m: float
    walkers: tuple[Obstacle, ...]


@dataclass(frozen=True, slots=True)
class DockingOutcome:
    """How one docking ended, errors against the truth in the end frame.

    Attributes:
        run: Its number.
        phase: In which it ended.
        reason: Why it was given up.
        along_m: Error along the axis.
        lateral_m: Error across it.
        yaw_rad: Error of heading.
        time_s: Until the robot said that it is done.
        attempts: How often it drove in.
        contact: What it touched.
        rays: Of the lidar.
        view_rad: Its field of view.
    """

    run: int
    phase: Phase
    reason: str | None
    along_m: float
    lateral_m: float
    yaw_rad: float
    time_s: float
    attempts: int
    contact: str | None
    rays: int
    view_rad: float

    @property
    def position_m(self) -> float:
        """Distance from the end pose."""
        return math.hypot(self.along_m, self.lateral_m)

    @property
    def badness(self) -> float:
        """How bad, to compare: touched, then given up, then inexact."""
        inexact = self.position_m / MOST_M + abs(self.yaw_rad) / MOST_RAD
        return 1e6 * (self.contact is not None) + 1e3 * (self.phase is Phase.FAILED) + inexact


@dataclass(slots=True, eq=False)
class DockingRecord:
    """One docking for the eye.

    Attributes:
        setting: What was to be done.
        true_path: Where the robot drove, a pose a tick.
        phases: What it was about, one a tick.
        points_m: The newest scan in the frame of the world, shape ``(points, 2)``.
    """

    setting: Setting
    true_path: list[Pose] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    points_m: FloatArray = field(default_factory=lambda: np.empty((0, 2)))


def draw_setting(seed: int, run: int, noise_m: float) -> Setting:
    """Draw a docking: carrier, start, lidar, people."""
    rng = np.random.default_rng([seed, run])
    off = rng.uniform((-0.2, -0.2, -math.radians(10.0)), (0.2, 0.2, math.radians(10.0)))
    away_m, aside_m = rng.uniform(1.5, 3.0), rng.uniform(-0.5, 0.5)
    start = Pose2(-away_m, aside_m, rng.uniform(-math.radians(30.0), math.radians(30.0)))
    return Setting(
        seed=int(rng.integers(2**31)),
        carrier=_draw_carrier(rng),
        world_from_carrier=EXPECTED @ Pose2(*off.tolist()),
        start=start,
        rays=int(rng.choice((360, 720, 1000))),
        view_rad=math.radians(float(rng.choice((270.0, 360.0)))),
        noise_m=noise_m,
        walkers=_draw_walkers(rng, away_m),
    )


def _draw_carrier(rng: np.random.Generator) -> Carrier:
    width_m = float(rng.uniform(0.03, 0.08))
    section = Section(str(rng.choice([*Section])))
    x_m, y_m = 0.5 * (CARRIER_LENGTH_M - width_m), 0.5 * (CARRIER_WIDTH_M - width_m)
    return Carrier(
        legs=tuple(
            Leg(x_m=along * x_m, y_m=across * y_m, width_m=width_m, section=section)
            for along in (-1, 1)
            for across in (-1, 1)
        )
    )


def _draw_walkers(rng: np.random.Generator, away_m: float) -> tuple[Obstacle, ...]:
    """Draw one who walks along the carrier, and one who crosses behind it or far ahead of it."""
    side = float(rng.choice((-1.0, 1.0)))
    y_m = side * rng.uniform(1.3, 1.8)
    along = ((-3.5, y_m), (3.0, y_m + 0.2 * side))
    # Between robot and carrier there is room to cross only at first, and from far away.
    x_m = rng.uniform(-1.3, -1.2) if away_m > 2.75 else rng.uniform(1.2, 1.8)
    across = ((x_m, -2.0 * side), (x_m, 2.0 * side))
    walkers = []
    for number, (start, end) in enumerate((along, across)):
        begins_s = float(rng.uniform(0.0, 10.0)) if number == 0 or x_m > 0.0 else 0.0
        lasts_s = math.dist(start, end) / float(rng.uniform(0.8, 1.4))
        way = tuple(
            TimedPose(round(at_s * 1e9), Pose(*place, 0.0))
            for at_s, place in ((begins_s, start), (begins_s + lasts_s, end))
        )
        shape = Disc(float(rng.uniform(0.2, 0.3)))
        walkers.append(Obstacle(f"walker {number}", shape, way))
    return tuple(walkers)


def _hall() -> World:
    """Return a room of 12 m by 9 m with some things along its walls."""
    cells = np.zeros((180, 240), np.bool_)
    cells[:2], cells[-2:], cells[:, :2], cells[:, -2:] = True, True, True, True
    cells[20:40, 100:150] = True
    cells[140:160, 60:75] = True
    cells[145:150, 170:200] = True
    return World(cells, 0.05, -6.0, -4.5)


def _world(setting: Setting) -> World:
    world = _hall()
    for number, leg in enumerate(setting.carrier.legs):
        x_m, y_m = setting.world_from_carrier.transform(leg.x_m, leg.y_m)
        round_ = leg.section is Section.ROUND
        shape = Disc(leg.width_m / 2) if round_ else Box(leg.width_m, leg.width_m)
        pose = Pose(x_m, y_m, setting.world_from_carrier.yaw_rad)
        world.add(standing(f"leg {number}", shape, pose))
    for walker in setting.walkers:
        world.add(walker)
    return world


class _Robot:
    """Plant, wheels and lidar of one run, as the agent's drivers would tell of them."""

    def __init__(self, setting: Setting) -> None:
        self.lidar = LidarParameters(
            base_from_lidar=Pose(0.25, 0.0, 0.0),
            min_range_m=0.1,
            noise_m=setting.noise_m,
            noise_per_m=0.0,
        )
        parameters = RobotParameters(
            length_m=ROBOT_LENGTH_M, width_m=ROBOT_WIDTH_M, drive=DRIVE, lidar=self.lidar
        )
        start = Pose(setting.start.x_m, setting.start.y_m, setting.start.yaw_rad)
        self.plant = Plant(_world(setting), parameters, start, setting.seed)
        per_m = DRIVE.counts_per_turn / (math.tau * DRIVE.wheel_radius_m)
        self._odometry = DifferentialOdometry(per_m, DRIVE.track_m, DRIVE.max_speed_mps, 32)
        step_rad = math.tau / setting.rays
        numbers = np.arange(round(setting.view_rad / step_rad), dtype=np.float64)
        self._bearings_rad = (numbers - 0.5 * (numbers.size - 1)) * step_rad
        self._offsets_ns = (numbers / setting.rays * REVOLUTION_NS).astype(np.int64)
        self._commands: deque[tuple[float, float]] = deque([(0.0, 0.0)] * LATENCY_TICKS)

    def command(self, forward_mps: float, yaw_rate_radps: float) -> None:
        """Send a command; the wheels obey the one of some ticks ago."""
        self._commands.append((forward_mps, yaw_rate_radps))
        forward_mps, yaw_rate_radps = self._commands.popleft()
        half_mps = 0.5 * DRIVE.track_m * yaw_rate_radps
        radius_m = DRIVE.wheel_radius_m
        self.plant.wheels.set_wheel_speeds(
            (forward_mps - half_mps) / radius_m, (forward_mps + half_mps) / radius_m
        )

    def odometry(self, now_ns: int) -> Odometry | None:
        """Return what the encoders say."""
        return self._odometry.update(self.plant.wheels.encoder_counts(), now_ns, now_ns)

    def scan(self, now_ns: int) -> Scan:
        """Return the revolution that has just ended."""
        stamp_ns = now_ns - REVOLUTION_NS
        ranges_m = self.plant.lidar_ranges(stamp_ns + self._offsets_ns, self._bearings_rad)
        return Scan(
            stamp_ns=stamp_ns,
            received_ns=now_ns,
            angles_rad=self._bearings_rad.astype(np.float32),
            ranges_m=ranges_m.astype(np.float32),
            offsets_s=(self._offsets_ns * 1e-9).astype(np.float32),
            quality=np.zeros(ranges_m.size, np.uint8),
        )


class _Run:
    """Plant and agent in lock-step, until the robot says that it is done or gives up."""

    def __init__(self, setting: Setting, params: DockingParams) -> None:
        self.robot = _Robot(setting)
        self.record = DockingRecord(setting)
        self._history = OdometryHistory()
        detector = CarrierDetector(setting.carrier, DetectorParams(range_sigma_m=setting.noise_m))
        # The odometry begins at zero where the robot stands, and the order knows no better.
        self._track = CarrierTrack(detector, setting.start.inverse() @ EXPECTED)
        footprint = rectangle(ROBOT_LENGTH_M, ROBOT_WIDTH_M)
        self._params = params
        self._docking = Docking(params, DriveLimits(), footprint, setting.carrier.outline_m)
        mount = LidarMount(Pose2(*self.robot.lidar.base_from_lidar))
        self._navigator = Navigator(LIMITS, footprint, {LIDAR: mount})
        self.now_ns = 0

    def tick(self) -> DockingStep:
        """Let 20 ms pass."""
        self.now_ns += TICK_NS
        self.robot.plant.advance(self.now_ns)
        odometry = self.robot.odometry(self.now_ns)
        if odometry is None:
            raise BenchError("the wheels turned faster than they can")
        self._history.add(odometry)
        stamp_ns = self.now_ns - REVOLUTION_NS
        odom_from_base = self._history.at(stamp_ns)
        velocity = Twist(odometry.forward_mps, 0.0, odometry.yaw_rate_radps)
        if self.now_ns % REVOLUTION_NS == 0 and odom_from_base is not None:
            scan = self.robot.scan(self.now_ns)
            self._see(scan, odom_from_base)
            self._navigator.see(LIDAR, scan, odom_from_base, velocity)
        newest = Pose2(odometry.x_m, odometry.y_m, odometry.yaw_rad)
        step = self._docking.step(self._track, newest, self.now_ns)
        command = self._govern(step.twist, velocity, newest)
        self.robot.command(command.forward_mps, command.yaw_rate_radps)
        self.record.true_path.append(self.robot.plant.truth.pose)
        self.record.phases.append(step.phase)
        return step

    def _govern(self, wanted: Twist, velocity: Twist, here: Pose2) -> VelocityCommand:
        """Let the governor have the last word, as in the daemon."""
        self._navigator.place(here, here)
        if self._navigator.sight.oldest_ns is None:
            return self._navigator.stop(self.now_ns, StopReason.NO_SCAN).command
        return self._navigator.govern(
            wanted, velocity, TICK_NS * 1e-9, self.now_ns, margin_m=self._params.least_margin_m
        ).command

    def _see(self, scan: Scan, odom_from_base: Pose2) -> None:
        lidar = self.robot.lidar
        mount = Pose2(*lidar.base_from_lidar)
        limits = {"min_range_m": lidar.min_range_m, "max_range_m": lidar.max_range_m}
        points_m = deskew(scan, self._history, mount, **limits)
        seen = (scan.ranges_m >= lidar.min_range_m) & (scan.ranges_m <= lidar.max_range_m)
        rays = np.flatnonzero(seen)
        eye_m = (mount.x_m, mount.y_m)
        returns = Returns(points_m, scan.quality[rays], rays, scan.ranges_m.size, eye_m)
        self._track.see(returns, odom_from_base, scan.stamp_ns)
        self.record.points_m = moved(Pose2(*self.record.true_path[-1]), points_m)


class DockingBench:
    """Makes dockings.

    Args:
        seed: Of everything.
        noise_m: Standard deviation of a range.
        params: How to dock.
    """

    def __init__(
        self, seed: int, noise_m: float = 0.01, params: DockingParams | None = None
    ) -> None:
        self._seed = seed
        self._noise_m = noise_m
        self._params = params or DockingParams()

    def run(self, runs: int) -> Iterator[tuple[DockingOutcome, DockingRecord]]:
        """Make dockings, one after the other."""
        for run in range(runs):
            yield self.dock(run, draw_setting(self._seed, run, self._noise_m))

    def dock(self, number: int, setting: Setting) -> tuple[DockingOutcome, DockingRecord]:
        """Make one docking, and measure where the robot stands in the end."""
        run = _Run(setting, self._params)
        step = run.tick()
        while step.phase not in (Phase.DONE, Phase.FAILED):
            step = run.tick()
        time_s = run.now_ns * 1e-9
        for _ in range(AFTER_TICKS):
            run.tick()
        truth = run.robot.plant.truth
        end = setting.world_from_carrier @ self._params.carrier_from_end
        off = end.inverse() @ Pose2(*truth.pose)
        outcome = DockingOutcome(
            run=number,
            phase=step.phase,
            reason=step.reason,
            along_m=off.x_m,
            lateral_m=off.y_m,
            yaw_rad=off.yaw_rad,
            time_s=time_s,
            attempts=step.attempt,
            contact=truth.contact.with_what if truth.contact else None,
            rays=setting.rays,
            view_rad=setting.view_rad,
        )
        return outcome, run.record


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean, 95th percentile and maximum of absolute values."""

    mean: float
    p95: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Measure values; NaN where there are none."""
        if not values:
            return cls(math.nan, math.nan, math.nan)
        sizes = np.abs(values)
        return cls(float(sizes.mean()), float(np.percentile(sizes, 95.0)), float(sizes.max()))


@dataclass(frozen=True, slots=True)
class DockingSummary:
    """What many dockings came to; errors are those of the ones that were done.

    Attributes:
        runs: How many.
        done: How many the robot said it had done.
        contacts: How many touched anything.
        retried: How many took more than one drive in.
        along_m: Error along the axis.
        lateral_m: Error across it.
        position_m: Distance from the end pose.
        yaw_rad: Error of heading.
        time_s: Until the robot said that it is done.
    """

    runs: int
    done: int
    contacts: int
    retried: int
    along_m: Spread
    lateral_m: Spread
    position_m: Spread
    yaw_rad: Spread
    time_s: Spread

    @property
    def passed(self) -> bool:
        """Whether all were done, untouched, and as exact as it takes."""
        exact = self.position_m.p95 < P95_M and self.yaw_rad.p95 < P95_RAD
        exact &= self.position_m.max < MOST_M and self.yaw_rad.max < MOST_RAD
        return exact and self.done == self.runs and self.contacts == 0


def summarize(outcomes: Sequence[DockingOutcome]) -> DockingSummary:
    """Sum up dockings."""
    done = [outcome for outcome in outcomes if outcome.phase is Phase.DONE]
    return DockingSummary(
        runs=len(outcomes),
        done=len(done),
        contacts=sum(outcome.contact is not None for outcome in outcomes),
        retried=sum(outcome.attempts > 1 for outcome in outcomes),
        along_m=Spread.of([outcome.along_m for outcome in done]),
        lateral_m=Spread.of([outcome.lateral_m for outcome in done]),
        position_m=Spread.of([outcome.position_m for outcome in done]),
        yaw_rad=Spread.of([outcome.yaw_rad for outcome in done]),
        time_s=Spread.of([outcome.time_s for outcome in done]),
    )
