"""A robot among discs and walls, in closed loop: exact rays, exact contact, a base that is late.

Everything is written from the definitions and shares nothing with what it tests but the types that
go in and out. The base takes each command after its latency, goes over to it axis by axis at its
own limits, and is looked at every 5 ms.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.avoidance.governor import Governor, Verdict
from agent.avoidance.local_grid import LocalGrid, LocalGridParams
from agent.avoidance.motion import MotionLimits
from agent.avoidance.surroundings import LidarMount, Sight
from agent.avoidance.tracks import TrackParams
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist
from drivers.measurement import Scan

STEP_NS = 5_000_000
STEP_S = STEP_NS * 1e-9
START_NS = 1_000_000_000
REST = (0.0, 0.0, 0.0)
MIDDLE = Pose2(0.0, 0.0, 0.0)
USUAL = MotionLimits()
BOX = tuple(map(tuple, rectangle(0.7, 0.5).tolist()))

State = tuple[float, float, float]  # pose x, y, yaw or twist forward, left, turn


# Geometry


def polygon_gap_m(points: NDArray[np.float64], polygon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of points, shape ``(..., 2)``, from a polygon's outline, negative inside."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    edge = end - start
    off = points[..., None, :] - start
    share = np.clip((off * edge).sum(-1) / (edge * edge).sum(-1), 0.0, 1.0)
    nearest = np.hypot(*np.moveaxis(off - share[..., None] * edge, -1, 0)).min(-1)
    above = start[:, 1] > points[..., None, 1], end[:, 1] > points[..., None, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        cut = start[:, 0] + edge[:, 0] * off[..., 1] / edge[:, 1]
    inside = ((above[0] != above[1]) & (points[..., None, 0] < cut)).sum(-1) % 2 == 1
    return np.where(inside, -nearest, nearest)


def in_frames(points: NDArray[np.float64], poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points, shape ``(n, 2)``, seen from poses, shape ``(k, 3)``: shape ``(k, n, 2)``."""
    off = points[None, :, :] - poses[:, None, :2]
    cos, sin = np.cos(poses[:, 2])[:, None], np.sin(poses[:, 2])[:, None]
    return np.stack(
        (cos * off[..., 0] + sin * off[..., 1], cos * off[..., 1] - sin * off[..., 0]), axis=-1
    )


def _side(a: NDArray[np.float64], b: NDArray[np.float64], p: NDArray[np.float64]):
    return (b[..., 0] - a[..., 0]) * (p[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (
        p[..., 0] - a[..., 0]
    )


Disc = tuple[float, float, float]
Wall = tuple[float, float, float, float]


@dataclass(frozen=True)
class World:
    """What stands: discs (x, y, radius) and walls (x, y of both ends)."""

    discs: tuple[tuple[float, float, float], ...] = ()
    walls: tuple[tuple[float, float, float, float], ...] = ()

    def mirrored(self) -> "World":
        return World(
            tuple((x, -y, r) for x, y, r in self.discs),
            tuple((ax, -ay, bx, -by) for ax, ay, bx, by in self.walls),
        )

    def ranges_m(self, eye: Pose2, bearings: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance along each ray to the first thing, inf without one."""
        ux, uy = np.cos(bearings + eye.yaw_rad), np.sin(bearings + eye.yaw_rad)
        nearest = np.full(bearings.size, np.inf)
        for x, y, radius in self.discs:
            dx, dy = x - eye.x_m, y - eye.y_m
            along = dx * ux + dy * uy
            chord = along**2 - (dx * dx + dy * dy - radius**2)
            depth = along - np.sqrt(np.maximum(chord, 0.0))
            hit = (chord >= 0.0) & (depth >= 0.0)
            nearest[hit] = np.minimum(nearest[hit], depth[hit])
        for ax, ay, bx, by in self.walls:
            ex, ey = bx - ax, by - ay
            dx, dy = ax - eye.x_m, ay - eye.y_m
            with np.errstate(divide="ignore", invalid="ignore"):
                cross = ux * ey - uy * ex
                length = (dx * ey - dy * ex) / cross
                share = (dx * uy - dy * ux) / cross
            hit = (length >= 0.0) & (share >= 0.0) & (share <= 1.0)
            nearest[hit] = np.minimum(nearest[hit], length[hit])
        return nearest

    def gap_m(self, poses: NDArray[np.float64], footprint: NDArray[np.float64]):
        """Least distance between the footprint at each pose and anything, negative in contact."""
        gap = np.full(len(poses), np.inf)
        if self.discs:
            discs = np.array(self.discs)
            centres = in_frames(discs[:, :2], poses)
            gap = np.minimum(gap, (polygon_gap_m(centres, footprint) - discs[:, 2]).min(-1))
        for wall in self.walls:
            ends = in_frames(np.array(wall).reshape(2, 2), poses)
            a, b = ends[:, None, 0], ends[:, None, 1]
            edge = b - a
            off = footprint[None] - a
            share = np.clip((off * edge).sum(-1) / (edge * edge).sum(-1), 0.0, 1.0)
            corners = np.hypot(*np.moveaxis(off - share[..., None] * edge, -1, 0)).min(-1)
            c, d = footprint[None], np.roll(footprint, -1, axis=0)[None]
            crosses = (_side(a, b, c) * _side(a, b, d) < 0.0) & (
                _side(c, d, a) * _side(c, d, b) < 0.0
            )
            away = np.minimum(corners, polygon_gap_m(ends, footprint).min(-1))
            gap = np.minimum(gap, np.where(crosses.any(-1), -1.0, away))
        return gap


# The base


def _ramps(
    now: NDArray[np.float64],
    target: NDArray[np.float64],
    faster: NDArray[np.float64],
    slower: NDArray[np.float64],
    times_s: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Speeds of axes after times, shape ``(times, axes)``; who reverses comes to rest first."""
    reverses = now * target < 0.0
    rest_s = np.where(reverses, np.abs(now) / slower, 0.0)
    before_s = np.minimum(times_s[:, None], rest_s)
    after_s = times_s[:, None] - before_s
    now = now - reverses * np.copysign(slower, now) * before_s
    now[after_s * reverses > 0.0] = 0.0
    most = after_s * np.where(np.abs(target) > np.abs(now), faster, slower)
    return now + np.minimum(np.maximum(target - now, -most), most)


def _track(pose: State, twists: NDArray[np.float64], time_s: float) -> NDArray[np.float64]:
    """Poses at the ends of arcs, one after the other, each of a constant twist and a time."""
    forward, left, turn = time_s * twists.T
    half = 0.5 * turn
    chord = np.divide(np.sin(half), half, out=np.ones_like(half), where=np.abs(half) > 1e-9)
    yaw = pose[2] + np.cumsum(turn)
    cos, sin = chord * np.cos(yaw - half), chord * np.sin(yaw - half)
    x = pose[0] + np.cumsum(cos * forward - sin * left)
    y = pose[1] + np.cumsum(sin * forward + cos * left)
    return np.array((x, y, yaw)).T


@dataclass
class Base:
    """Takes each command after its latency, and each axis follows at its own limits."""

    limits: MotionLimits
    pose: State
    now_ns: int = START_NS
    twist: State = REST
    queue: list[tuple[int, State]] = field(default_factory=list)

    def copy(self) -> "Base":
        return replace(self, queue=list(self.queue))

    def command(self, twist: State, at_ns: int) -> None:
        """Acts after the latency, rounded down to a step."""
        latency_ns = round(self.limits.base_latency_s * 1e9)
        self.queue.append((at_ns + latency_ns, twist))

    def advance(self, until_ns: int) -> NDArray[np.float64]:
        """Poses on the way, one each step, shape ``(steps, 3)``."""
        twists = [np.empty((0, 3))]
        while self.now_ns < until_ns:
            twists.append(self._follow(until_ns))
        poses = _track(self.pose, np.concatenate(twists), STEP_S)
        if len(poses):
            self.pose = tuple(poses[-1].tolist())
        return poses

    def braked(self, at_ns: int) -> NDArray[np.float64]:
        """Poses until it stands, if it is told to stop at a moment and nothing else after."""
        return self.brakings(at_ns)[0]

    def braked_on_the_arc(self, at_ns: int) -> NDArray[np.float64]:
        """The same, but all axes brake together, each at most at its own limit."""
        return self.brakings(at_ns)[1]

    def brakings(self, at_ns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Both of it."""
        twin = self.copy()
        twin.command(REST, at_ns)
        react = twin.advance(twin.queue[-1][0])
        braking_s = twin._braking_s()
        steps = math.ceil(braking_s / STEP_S)
        shares = 1.0 - (np.arange(steps) + 0.5) / max(1, steps)
        twists = shares[:, None] * np.array(twin.twist)
        arc = _track(twin.pose, twists, braking_s / max(1, steps))
        rest = twin.advance(twin.now_ns + (steps + 1) * STEP_NS)
        return np.concatenate((react, rest)), np.concatenate((react, arc))

    def _braking_s(self) -> float:
        """Time until all axes stand."""
        return max(abs(v) / a for v, a in zip(self.twist, self._decelerations(), strict=True))

    def _decelerations(self) -> State:
        limits = self.limits
        return (
            limits.deceleration_mps2,
            limits.deceleration_mps2,
            limits.yaw_deceleration_radps2,
        )

    def _follow(self, until_ns: int) -> NDArray[np.float64]:
        """Mean twist of each step until the next command acts, at most until a moment."""
        limits, queue = self.limits, self.queue
        while len(queue) > 1 and queue[1][0] <= self.now_ns:
            queue.pop(0)
        acts = bool(queue) and queue[0][0] <= self.now_ns
        for at_ns, _ in queue[acts : acts + 1]:
            until_ns = min(until_ns, at_ns)
        steps = -((self.now_ns - until_ns) // STEP_NS)
        faster = (limits.acceleration_mps2,) * 2 + (limits.yaw_acceleration_radps2,)
        target = queue[0][1] if acts else REST
        speeds = (self.twist, target, faster, self._decelerations())
        twists = _ramps(*map(np.array, speeds), STEP_S * np.arange(steps + 1))
        self.twist = tuple(twists[-1].tolist())
        self.now_ns += steps * STEP_NS
        return 0.5 * (twists[1:] + twists[:-1])


# The lidar


@dataclass(frozen=True)
class Lidar:
    """A lidar that measures everything at one moment.

    ``dropped`` is the share of rays that come back as nothing, ``lost`` that of rays that never
    arrive; what is beyond ``reach_m`` comes back as nothing.
    """

    mount: Pose2 = MIDDLE
    rays: int = 360
    view_rad: float = math.tau
    noise_m: float = 0.0
    dropped: float = 0.0
    lost: float = 0.0
    reach_m: float = 12.0

    def bearings(self) -> NDArray[np.float64]:
        """Never one straight ahead, which would run on the border between two cells."""
        return ((np.arange(self.rays) + 0.5) / self.rays - 0.5) * self.view_rad

    def scan(self, world: World, pose: State, stamp_ns: int, rng: np.random.Generator) -> Scan:
        bearings = self.bearings()
        ranges = world.ranges_m(Pose2(*pose) @ self.mount, bearings)
        ranges = ranges + self.noise_m * rng.standard_normal(self.rays).clip(-3.0, 3.0)
        ranges[(ranges > self.reach_m) | (rng.random(self.rays) < self.dropped)] = np.nan
        kept = rng.random(self.rays) >= self.lost
        bearings, ranges = bearings[kept], np.maximum(ranges[kept], 0.01)
        zeros = np.zeros(len(ranges), np.float32)
        arrays = (
            bearings.astype(np.float32), ranges.astype(np.float32), zeros, zeros.astype(np.uint8),
        )  # fmt: skip
        for array in arrays:
            array.setflags(write=False)
        return Scan(stamp_ns, stamp_ns, *arrays, int((~kept).sum()))


# Who proposes


@dataclass(frozen=True)
class Situation:
    """What an adversary may know: all."""

    world: World
    pose: State
    twist: State
    limits: MotionLimits
    cycle: int
    rng: np.random.Generator


Planner = Callable[[Situation], Twist]


def full_speed(situation: Situation) -> Twist:
    return Twist(situation.limits.speed_mps, 0.0, 0.0)


def full_reverse(situation: Situation) -> Twist:
    return Twist(-situation.limits.speed_mps, 0.0, 0.0)


def bending(situation: Situation) -> Twist:
    limits = situation.limits
    return Twist(limits.speed_mps, 0.0, limits.yaw_rate_radps)


def spinning(situation: Situation) -> Twist:
    return Twist(0.0, 0.0, situation.limits.yaw_rate_radps)


def erratic(situation: Situation) -> Twist:
    """Other than the limits allow, too, and sideways."""
    limits, rng = situation.limits, situation.rng
    forward, left, turn = rng.uniform(-2.0, 2.0, 3)
    return Twist(forward * limits.speed_mps, left * limits.speed_mps, turn * limits.yaw_rate_radps)


def fickle(situation: Situation) -> Twist:
    """A random motion for half a second, then another one."""
    limits = situation.limits
    rng = np.random.default_rng(situation.cycle // 8 + 1)
    forward, turn = rng.uniform(-1.0, 1.0, 2)
    return Twist(forward * limits.speed_mps, 0.0, turn * limits.yaw_rate_radps)


def alternating(situation: Situation) -> Twist:
    sign = 1.0 if situation.cycle // 12 % 2 == 0 else -1.0
    return Twist(sign * situation.limits.speed_mps, 0.0, 0.0)


def stuttering(situation: Situation) -> Twist:
    """Full speed and standstill by turns."""
    return full_speed(situation) if situation.cycle % 3 else Twist()


def broken(situation: Situation) -> Twist:
    bad = (math.nan, math.inf, -math.inf)[situation.cycle % 3]
    if situation.cycle % 4 == 3:
        return Twist(bad, 0.0, 0.0) if situation.cycle % 8 == 3 else Twist(0.1, 0.0, bad)
    return full_speed(situation)


def homing(situation: Situation) -> Twist:
    """Straight at the nearest thing, as a differential drive can, whichever end is nearer."""
    nearest = _nearest(situation)
    limits = situation.limits
    if nearest is None:
        return full_speed(situation)
    bearing = math.atan2(nearest[1], nearest[0])
    sign = 1.0 if abs(bearing) < math.pi / 2 else -1.0
    bearing = math.remainder(bearing, math.pi)
    turn = min(1.0, max(-1.0, 3.0 * bearing)) * limits.yaw_rate_radps
    return Twist(sign * limits.speed_mps, 0.0, turn)


def ramming(situation: Situation) -> Twist:
    """Straight at the nearest thing, sideways where need be."""
    nearest = _nearest(situation)
    if nearest is None:
        return full_speed(situation)
    scale = situation.limits.speed_mps / max(1e-6, math.hypot(*nearest))
    return Twist(scale * nearest[0], scale * nearest[1], 0.0)


def sneaking(situation: Situation) -> Twist:
    """The same, so slowly that it hardly counts as motion."""
    nearest = _nearest(situation)
    if nearest is None:
        return full_speed(situation)
    scale = 0.01 / max(1e-6, math.hypot(*nearest))
    return Twist(scale * nearest[0], scale * nearest[1], 0.0)


def _nearest(situation: Situation) -> tuple[float, float] | None:
    """The point of anything that is nearest to the base, in its frame."""
    x, y, yaw = situation.pose
    found = []
    for cx, cy, radius in situation.world.discs:
        away = max(1e-9, math.hypot(cx - x, cy - y))
        found.append((x + (cx - x) * (1 - radius / away), y + (cy - y) * (1 - radius / away)))
    for ax, ay, bx, by in situation.world.walls:
        ex, ey = bx - ax, by - ay
        share = ((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey)
        share = min(1.0, max(0.0, share))
        found.append((ax + share * ex, ay + share * ey))
    if not found:
        return None
    px, py = min(found, key=lambda p: math.hypot(p[0] - x, p[1] - y))
    cos, sin = math.cos(yaw), math.sin(yaw)
    return cos * (px - x) + sin * (py - y), cos * (py - y) - sin * (px - x)


PLANNERS: tuple[Planner, ...] = (
    full_speed, full_reverse, bending, spinning, erratic, fickle, alternating, stuttering, broken,
    homing, ramming, sneaking,
)  # fmt: skip


# The loop


@dataclass(frozen=True)
class Case:
    """A robot, what it sees with, where it stands and who drives it.

    Times are multiples of ``STEP_NS``, so that nothing happens between two looks. Whether the
    robot can be stopped is asked of a stop in the next cycle, or of one that takes the place of a
    command that ran out because there was no next cycle: then the loop is not ``punctual``.
    """

    world: World
    planner: Planner
    limits: MotionLimits = USUAL
    footprint: tuple[tuple[float, float], ...] = BOX
    lidars: tuple[Lidar, ...] = (Lidar(),)
    period_ns: int = 50_000_000
    scan_period_ns: int = 100_000_000
    scan_latency_ns: int = 0
    odometry_latency_ns: int = 0
    duration_s: float = 3.0
    seed: int = 0
    grid_m: float = 12.0
    punctual: bool = True

    @property
    def polygon(self) -> NDArray[np.float64]:
        corners = np.array(self.footprint)
        corners.setflags(write=False)
        return corners


@dataclass(frozen=True)
class Cycle:
    """What happened in one: before the command, the command, and until the next one."""

    now_ns: int
    pose: State
    twist: State
    wanted: Twist
    verdict: Verdict
    poses: NDArray[np.float64]
    braked: tuple[NDArray[np.float64], ...]
    scans: tuple[tuple[Lidar, State, Scan], ...]


def drive(case: Case, brake: bool = True) -> Iterator[Cycle]:
    """Let a planner and the governor drive, cycle by cycle.

    Args:
        case: Everything.
        brake: Whether to work out, each cycle, how the base would come to rest.
    """
    polygon, rng = case.polygon, np.random.default_rng(case.seed)
    mounts = {str(n): LidarMount(lidar.mount) for n, lidar in enumerate(case.lidars)}
    free_reach_m = min(6.0, *(lidar.reach_m for lidar in case.lidars))
    grid = LocalGrid(LocalGridParams(size_m=case.grid_m, free_reach_m=free_reach_m), 1.0)
    sight = Sight(mounts, grid, polygon, TrackParams())
    governor = Governor(case.limits, polygon)
    base = Base(case.limits, (0.0, 0.0, 0.0))
    under_way: list[tuple[int, Lidar, str, State, State, Scan]] = []
    cycles = round(case.duration_s * 1e9 / case.period_ns)
    next_scan_ns = START_NS
    known = [(START_NS, base.pose, base.twist)]
    for number in range(cycles):
        now_ns = base.now_ns
        if now_ns >= next_scan_ns:
            next_scan_ns = now_ns + case.scan_period_ns
            for name, lidar in zip(mounts, case.lidars, strict=True):
                scan = lidar.scan(case.world, base.pose, now_ns, rng)
                due_ns = now_ns + case.scan_latency_ns
                under_way.append((due_ns, lidar, name, base.pose, base.twist, scan))
        arrived = []
        while under_way and under_way[0][0] <= now_ns:
            _, lidar, name, pose, twist, scan = under_way.pop(0)
            sight.see(name, scan, Pose2(*pose), Twist(*twist))
            arrived.append((lidar, pose, scan))
        known.append((now_ns, base.pose, base.twist))
        while len(known) > 1 and known[1][0] <= now_ns - case.odometry_latency_ns:
            known.pop(0)
        measured_ns, pose, twist = known[0]
        measured_pose, measured_twist = Pose2(*pose), Twist(*twist)
        situation = Situation(case.world, base.pose, base.twist, case.limits, number, rng)
        wanted = case.planner(situation)
        if sight.oldest_ns is None:
            verdict = governor.stop(now_ns, None)
        else:
            reach_m = governor.reach_m((now_ns - measured_ns) * 1e-9)
            dangers = sight.dangers(measured_pose, reach_m, measured_ns)
            governor.see(dangers.points_m, measured_ns, dangers.moving, dangers.unseen_m)
            period_s = case.period_ns * 1e-9
            verdict = governor.govern(wanted, measured_twist, period_s, now_ns, measured_ns)
        command = verdict.command
        base.command((command.forward_mps, command.lateral_mps, command.yaw_rate_radps), now_ns)
        until_ns = now_ns + case.period_ns
        braked: tuple[NDArray[np.float64], ...] = ()
        if brake and (any(base.twist) or not command.is_stop):
            stop_ns = until_ns if case.punctual else command.valid_until_ns
            braked = base.brakings(stop_ns)
            if command.is_stop:
                # Of one that stops already it is known that it brakes each axis for itself.
                braked = braked[:1]
        pose, twist = base.pose, base.twist
        poses = base.advance(until_ns)
        yield Cycle(now_ns, pose, twist, wanted, verdict, poses, braked, tuple(arrived))


@dataclass
class Record:
    """How a drive went.

    Attributes:
        cycles: How many there were.
        contact_s: When something was touched first.
        doomed_s: When it was clear first that something would be, however the base brakes.
        least_m: Least clearance.
        way_m: Of the robot's middle.
    """

    cycles: int = 0
    contact_s: float | None = None
    doomed_s: float | None = None
    least_m: float = math.inf
    way_m: float = 0.0


def record(case: Case) -> Record:
    """Drive until the first contact, or the end."""
    kept = Record()
    for cycle in drive(case):
        kept.cycles += 1
        seconds = (cycle.now_ns - START_NS) * 1e-9
        for poses in cycle.braked:
            gap_m = float(case.world.gap_m(poses[3::4], case.polygon).min(initial=math.inf))
            if gap_m <= 0.0 and kept.doomed_s is None:
                kept.doomed_s = seconds
        gap_m = float(case.world.gap_m(cycle.poses, case.polygon).min())
        kept.least_m = min(kept.least_m, gap_m)
        places = np.vstack((cycle.pose, cycle.poses))[:, :2]
        kept.way_m += float(np.hypot(*np.diff(places, axis=0).T).sum())
        if gap_m <= 0.0:
            kept.contact_s = seconds
            break
    return kept


# What hypothesis draws


def _rounded(low: float, high: float, digits: int = 2) -> st.SearchStrategy[float]:
    """Short numbers, that read well in a minimal example."""
    scale = 10**digits
    return st.integers(math.ceil(low * scale), math.floor(high * scale)).map(lambda n: n / scale)


def limits() -> st.SearchStrategy[MotionLimits]:
    """Bases as they are built; the margin covers what sparse rays leave open."""
    return st.builds(
        MotionLimits,
        speed_mps=_rounded(0.2, 2.0, 1),
        yaw_rate_radps=_rounded(0.3, 2.0, 1),
        acceleration_mps2=_rounded(0.3, 3.0, 1),
        deceleration_mps2=_rounded(0.4, 3.0, 1),
        yaw_acceleration_radps2=_rounded(0.5, 6.0, 1),
        yaw_deceleration_radps2=_rounded(0.5, 6.0, 1),
        lateral_acceleration_mps2=_rounded(0.1, 4.0, 1),
        margin_m=_rounded(0.05, 0.15),
        base_latency_s=st.integers(1, 60).map(lambda n: n * STEP_S),
    )


def footprints() -> st.SearchStrategy[tuple[tuple[float, float], ...]]:
    """Rectangles, and a box with a narrower front."""

    def corners(length: float, width: float, shift: float, narrow: float):
        polygon = rectangle(length, width, shift * length)
        if narrow == 1.0:
            return tuple(map(tuple, polygon.tolist()))
        x, y = polygon[0, 0], width / 2
        rear = polygon[2, 0]
        waist = x - 0.3 * length
        front = narrow * y
        return ((x, -front), (x, front), (waist, y), (rear, y), (rear, -y), (waist, -y))

    return st.builds(
        corners, _rounded(0.4, 1.2), _rounded(0.3, 0.8), _rounded(-0.3, 0.3),
        st.sampled_from((1.0, 0.6, 0.3)),
    )  # fmt: skip


def lidars(count: int = 2) -> st.SearchStrategy[tuple[Lidar, ...]]:
    """Of every kind: sparse and dense, noisy, with gaps, on the middle or on a corner."""
    mounts = st.builds(Pose2, _rounded(-0.2, 0.2), _rounded(-0.1, 0.1), _rounded(-3.1, 3.1, 1))
    one = st.builds(
        Lidar,
        mount=st.just(MIDDLE) | mounts,
        rays=st.sampled_from((360, 720, 180, 1080)),
        view_rad=st.sampled_from((math.tau, math.radians(270.0), math.pi)),
        noise_m=st.sampled_from((0.0, 0.003, 0.01)),
        dropped=st.sampled_from((0.0, 0.05, 0.2)),
        lost=st.sampled_from((0.0, 0.05, 0.2)),
        reach_m=st.sampled_from((12.0, 4.0)),
    )
    return st.lists(one, min_size=1, max_size=count).map(tuple)


def worlds(clear_m: float = 0.0) -> st.SearchStrategy[World]:
    """Discs, single walls and corridors; nothing thinner than what rays cannot miss."""
    places = _rounded(-4.0, 4.0, 1)
    discs = st.lists(st.tuples(places, places, _rounded(0.11, 0.6)), max_size=8).map(tuple)
    walls = st.lists(
        st.tuples(places, places, places, places).filter(lambda w: math.dist(w[:2], w[2:]) > 0.3),
        max_size=4,
    ).map(tuple)

    def corridor(width: float, angle: float, aside: float):
        cos, sin = math.cos(angle), math.sin(angle)
        return tuple(
            (-4 * cos - o * sin, -4 * sin + o * cos, 4 * cos - o * sin, 4 * sin + o * cos)
            for o in (aside + width / 2, aside - width / 2)
        )

    corridors = st.builds(corridor, _rounded(0.8, 3.0, 1), _rounded(-3.0, 3.0, 1),
                          _rounded(-0.4, 0.4, 1))  # fmt: skip
    return st.builds(_with_posts, discs, walls) | st.builds(World, discs, corridors)


def _with_posts(discs: tuple[Disc, ...], walls: tuple[Wall, ...]) -> World:
    """Walls have no thickness: seen end on they fit between two rays, so each ends in posts."""
    return World((*discs, *(post for wall in walls for post in _posts(wall))), walls)


def _posts(wall: Wall) -> tuple[Disc, Disc]:
    return (*wall[:2], 0.11), (*wall[2:], 0.11)


@st.composite
def cases(draw, planners: tuple[Planner, ...] = PLANNERS, **fixed) -> Case:
    """Robots that do not begin in contact."""
    world, footprint = draw(worlds()), draw(footprints())
    here = np.zeros((1, 3))
    clear = World(
        tuple(d for d in world.discs if World((d,)).gap_m(here, np.array(footprint))[0] > 0.02),
        tuple(
            w
            for w in world.walls
            if World(_posts(w), (w,)).gap_m(here, np.array(footprint))[0] > 0.02
        ),
    )
    drawn = {
        "planner": draw(st.sampled_from(planners)),
        "limits": draw(limits()),
        "lidars": draw(lidars()),
        "period_ns": draw(st.sampled_from((50, 20, 25, 40, 100))) * 1_000_000,
        "scan_period_ns": draw(st.sampled_from((100, 50, 200))) * 1_000_000,
        "scan_latency_ns": draw(st.sampled_from((0, 40, 100))) * 1_000_000,
        "odometry_latency_ns": draw(st.sampled_from((0, 20, 60, 150))) * 1_000_000,
        "seed": draw(st.integers(0, 1000)),
    }
    return Case(**({"world": clear, "footprint": footprint} | drawn | fixed))
