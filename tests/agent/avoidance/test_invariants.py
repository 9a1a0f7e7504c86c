"""What planner and governor together must hold, whatever the planner wants.

One class for each invariant, in their usual order. How many drives in closed loop and how many
single decisions are tried for each follows from the profile of hypothesis; or
``HAULIER_INVARIANT_EXAMPLES`` sets the number of drives, and ten times as many decisions.
"""

import dataclasses
import math
import os
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, example, given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from agent.avoidance.governor import CREEP, LEAST_HOLD_S, SWEEP_STEP_M, Governor, StopReason
from agent.avoidance.local_grid import LocalGrid, LocalGridParams
from agent.avoidance.motion import Drive, MotionLimits, MotionModel
from agent.avoidance.navigator import STALE_S, Navigator
from agent.avoidance.surroundings import LidarMount, Sight
from agent.avoidance.tracks import TrackParams
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist, values
from agent.mailbox import Mailbox
from agent.route.path import Goal
from agent.streams import ODOMETRY
from drivers.base.roboteq import Roboteq, RoboteqOptions
from drivers.measurement import BaseStatus, Scan, VelocityCommand
from tests.agent.avoidance import arena
from tests.agent.avoidance.arena import Base, Case, Lidar, World
from tests.agent.room import LIDAR, RAYS, TICK_NS, Robot, agent_in, scan
from tests.drivers.bench import MS, MemoryBench, build_base, build_plant
from tests.examples import examples

ALMOST_M = 0.003  # what is as near from the start may be grazed while the base sets off
EXAMPLES = os.environ.get("HAULIER_INVARIANT_EXAMPLES")
FOOTPRINT = rectangle(0.7, 0.5)
NOTHING = np.empty((0, 2))
NOW_NS = 100_000_000_000


def drives(thorough: int) -> settings:
    """Settings of tests in closed loop; only a long run has time for a least example."""
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    return settings(
        max_examples=int(EXAMPLES or examples(thorough)),
        deadline=None,
        phases=(*phases, Phase.shrink) if EXAMPLES else phases,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def decisions(thorough: int = 100) -> settings:
    """Settings of tests of single decisions."""
    return settings(
        max_examples=10 * int(EXAMPLES) if EXAMPLES else examples(thorough), deadline=None
    )


def twist_of(command: VelocityCommand) -> tuple[float, float, float]:
    return command.forward_mps, command.lateral_mps, command.yaw_rate_radps


def governor_at(limits: MotionLimits, twist: Twist) -> Governor:
    """A governor whose last commands, up to a second ago, were a twist; some cannot be reached."""
    governor = Governor(limits, FOOTPRINT)
    governor.see(NOTHING, 0)
    for seconds in range(20, 0, -1):
        governor.govern(twist, Twist(), 1.0, NOW_NS - seconds * 1000 * MS)
    return governor


shares = st.floats(-1.0, 1.0)
wild = st.floats(-1e6, 1e6) | st.sampled_from((math.nan, math.inf, -math.inf))
any_limits = arena.limits()
periods = st.sampled_from((0.02, 0.025, 0.04, 0.05, 0.1))
coordinates = st.floats(-3.0, 3.0)
points = st.lists(st.tuples(coordinates, coordinates), max_size=8)


@dataclasses.dataclass(frozen=True)
class Decision:
    """A robot on its way, and what it is asked to do next."""

    limits: MotionLimits
    present: Twist
    wanted: Twist
    points: list[tuple[float, float]]
    period_s: float
    moving: tuple[tuple[float, float, float, float, float], ...] = ()

    def taken(self, **changes) -> tuple[float, float, float]:
        """What the governor makes of it."""
        return twist_of(self.verdict(**changes).command)

    def verdict(self, **changes):
        one = dataclasses.replace(self, **changes)
        governor = governor_at(one.limits, one.present)
        if not np.allclose(values(governor.command), values(one.present)):
            reject()
        governor.see(
            np.array(one.points).reshape(-1, 2), NOW_NS, np.array(one.moving).reshape(-1, 5)
        )
        return governor.govern(one.wanted, one.present, one.period_s, NOW_NS)


@st.composite
def decisions_of(draw, bounds=any_limits, ask: float = 2.0, sideways: bool = True) -> Decision:
    limits = draw(bounds)
    fastest = (limits.speed_mps, limits.speed_mps * sideways, limits.yaw_rate_radps)
    present = Twist(*(draw(shares) * most for most in fastest))
    wanted = Twist(*(ask * draw(shares) * most for most in fastest))
    return Decision(limits, present, wanted, draw(points), draw(periods))


def walls_ahead(distance_m: float) -> World:
    """A wall across the way, so far from the base."""
    return World(walls=((distance_m, -2.0, distance_m, 2.0),))


def gap_to_points_m(poses, footprint, obstacles) -> NDArray[np.float64]:
    """Least distance at each pose."""
    gaps = arena.polygon_gap_m(arena.in_frames(obstacles, poses), footprint)
    return gaps.min(-1, initial=math.inf)


class Test1ThisCycleAndLatencyAndFullBrakingStayClear:
    @drives(8)
    @given(arena.cases())
    def test_nothing_that_stands_is_ever_touched(self, case):
        kept = arena.record(case)
        assert kept.contact_s is None, kept
        assert kept.doomed_s is None, kept

    @pytest.mark.parametrize("planner", [arena.full_speed, arena.stuttering])
    @pytest.mark.parametrize("latency_s", [0.06, 0.3])
    def test_nor_while_several_commands_are_under_way(self, planner, latency_s):
        """The base is as late as several cycles are long."""
        limits = MotionLimits(
            base_latency_s=latency_s, acceleration_mps2=2.0, deceleration_mps2=3.0
        )
        case = Case(walls_ahead(2.5), planner, limits, period_ns=20 * MS, duration_s=8.0)
        kept = arena.record(case)
        assert kept.contact_s is None, kept
        assert kept.doomed_s is None, kept

    @pytest.mark.parametrize("period_ms", [20, 50])
    def test_nor_if_the_loop_dies_and_the_last_command_runs_out(self, period_ms):
        """The base holds a command for as long as it is valid."""
        case = Case(
            walls_ahead(2.5),
            arena.full_speed,
            period_ns=period_ms * MS,
            duration_s=4.0,
            punctual=False,
        )
        kept = arena.record(case)
        assert kept.contact_s is None, kept
        assert kept.doomed_s is None, kept

    @pytest.mark.parametrize("planner", [arena.full_speed, arena.stuttering])
    @pytest.mark.parametrize("age_ms", [20, 60, ODOMETRY.stale_after_ns // MS])
    def test_nor_with_odometry_as_old_as_the_loop_accepts_it(self, planner, age_ms):
        case = Case(
            walls_ahead(2.5),
            planner,
            period_ns=20 * MS,
            duration_s=8.0,
            odometry_latency_ns=age_ms * MS,
        )
        kept = arena.record(case)
        assert kept.contact_s is None, kept
        assert kept.doomed_s is None, kept

    @drives(4)
    @given(
        arena.cases(
            (arena.full_speed,),
            world=walls_ahead(1.5),
            footprint=tuple(map(tuple, FOOTPRINT.tolist())),
            lidars=(Lidar(),),
            duration_s=6.0,
        )
    )
    def test_most_of_the_margin_is_kept_before_a_wall(self, case):
        kept = arena.record(case)
        assert kept.least_m > case.limits.margin_m - SWEEP_STEP_M

    @decisions(150)
    @given(decisions_of(), st.floats(-math.pi, math.pi), st.floats(0.0, 4.0))
    def test_what_passes_can_be_stopped(self, decision, bearing, away):
        """A body stands somewhere; the base brakes on the arc, or each axis for itself."""
        post = (away * math.cos(bearing), away * math.sin(bearing))
        decision = dataclasses.replace(decision, points=[*decision.points, post])
        self.check(decision)

    @decisions(60)
    @given(
        decisions_of(
            st.builds(
                MotionLimits,
                speed_mps=st.floats(0.1, 5.0),
                yaw_rate_radps=st.floats(0.1, 6.0),
                acceleration_mps2=st.floats(0.3, 10.0),
                deceleration_mps2=st.floats(0.3, 10.0),
                yaw_acceleration_radps2=st.floats(0.3, 30.0),
                yaw_deceleration_radps2=st.floats(0.3, 30.0),
                lateral_acceleration_mps2=st.floats(0.1, 30.0),
                margin_m=st.floats(0.04, 0.3),
                base_latency_s=st.integers(1, 200).map(lambda n: n * arena.STEP_S),
            ),
            sideways=False,
        ),
        st.floats(0.0, 1.0),
        st.booleans(),
    )
    def test_what_passes_can_be_stopped_by_every_base_that_can_be_configured(
        self, decision, share, on_the_arc
    ):
        """A body stands where a corner would come by on the way to rest."""
        base = self.base_after(decision.limits, decision.present, decision.taken(points=[]))
        until_ns = base.now_ns + round(decision.period_s * 1e9)
        way = (base.braked_on_the_arc if on_the_arc else base.braked)(until_ns)
        bodies = np.array([Pose2(*pose).transform(*c) for pose in way[::4] for c in FOOTPRINT])
        bodies = bodies.reshape(-1, 2)
        stopped = self.base_after(decision.limits, decision.present, (0.0, 0.0, 0.0))
        bodies = bodies[self.gaps_m(np.zeros((1, 3)), bodies) > ALMOST_M]
        for doomed in stopped.brakings(NOW_NS):
            bodies = bodies[self.gaps_m(doomed[::4], bodies) > ALMOST_M]
        if len(bodies):
            body = bodies[int(share * (len(bodies) - 1))]
            self.check_stops(dataclasses.replace(decision, points=[tuple(body.tolist())]))

    def gaps_m(self, poses, bodies) -> NDArray[np.float64]:
        """Least distance of each body on a way."""
        gaps = arena.polygon_gap_m(arena.in_frames(bodies, poses), FOOTPRINT)
        return gaps.min(0, initial=math.inf)

    @pytest.mark.slow
    def test_a_way_to_rest_longer_than_the_poses_that_are_kept_of_it(self):
        limits = MotionLimits(speed_mps=3.0, deceleration_mps2=0.5)
        case = Case(
            walls_ahead(16.0), arena.full_speed, limits, lidars=(Lidar(reach_m=20.0),),
            duration_s=10.0, grid_m=40.0, period_ns=100 * MS,
        )  # fmt: skip
        kept = arena.record(case)
        assert kept.contact_s is None, kept
        assert kept.doomed_s is None, kept

    def test_on_the_arc_the_base_brakes_only_as_hard_as_its_turn_can_be_braked(self):
        limits = MotionLimits(
            yaw_rate_radps=0.5, deceleration_mps2=2.0, yaw_deceleration_radps2=0.2
        )
        twist = Twist(1.0, 0.0, 0.5)
        self.check_stops(Decision(limits, twist, twist, [(1.25, 0.44)], 0.05))

    def check(self, decision):
        obstacles = np.array(decision.points).reshape(-1, 2)
        assume(gap_to_points_m(np.zeros((1, 3)), FOOTPRINT, obstacles)[0] > ALMOST_M)
        self.check_stops(decision)

    def check_stops(self, decision):
        obstacles = np.array(decision.points).reshape(-1, 2)
        verdict = decision.verdict()
        if verdict.reason is not None:
            return
        base = self.base_after(decision.limits, decision.present, twist_of(verdict.command))
        until_ns = base.now_ns + round(decision.period_s * 1e9)
        for way in base.brakings(until_ns):
            assert gap_to_points_m(way, FOOTPRINT, obstacles).min() > 0.0

    def base_after(self, limits, present, command) -> Base:
        """A base that was told its present twist before, and now the command."""
        base = Base(limits, (0.0, 0.0, 0.0), NOW_NS, values(present), [(0, values(present))])
        base.command(command, NOW_NS)
        return base

    def test_all_that_can_matter_is_within_reach(self):
        for latency_s in (0.06, 0.3, 1.0):
            limits = MotionLimits(speed_mps=2.0, base_latency_s=latency_s)
            ways = Base(limits, (0.0, 0.0, 0.0), NOW_NS, (2.0, 0.0, 0.0), [(0, (2.0, 0.0, 0.0))])
            way = ways.braked(NOW_NS + 100_000_000)
            corner_m = way[-1, 0] + math.hypot(0.35, 0.25)
            assert Governor(limits, FOOTPRINT).reach_m(0.0) >= corner_m, latency_s


class Test2UnknownCountsAsOccupied:
    BLIND = (math.radians(270.0), math.pi)

    @drives(4)
    @given(
        arena.cases(
            (arena.full_reverse, arena.spinning, arena.bending, arena.fickle, arena.alternating,
             arena.erratic),
            scan_latency_ns=0,
        ),
        st.sampled_from(BLIND),
        st.sampled_from((0.0, math.pi / 2, math.pi)),
    )  # fmt: skip
    @example(Case(World(), arena.full_reverse, MotionLimits(speed_mps=2.0)), math.pi, 0.0)
    @example(Case(World(), arena.spinning, MotionLimits(speed_mps=2.0)), math.pi, 0.0)
    def test_what_no_ray_has_come_near_is_not_driven_over(self, case, view_rad, yaw_rad):
        lidar = Lidar(Pose2(0.1, 0.0, yaw_rad), rays=180, view_rad=view_rad, reach_m=3.0)
        case = dataclasses.replace(case, lidars=(lidar,))
        axis = np.arange(-3.5, 3.51, 0.1)
        lattice = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        here = arena.polygon_gap_m(lattice, case.polygon)
        unknown, reach_m = lattice[here > 0.1], float(np.hypot(*case.polygon.T).max())
        for cycle in arena.drive(case):
            for lidar, pose, seen in cycle.scans:
                unknown = unknown[self.away_from_rays_m(unknown, lidar, pose, seen) > 0.12]
            for poses in (cycle.poses, *cycle.braked):
                x, y, _ = poses[-1]
                way_m = np.hypot(poses[:, 0] - x, poses[:, 1] - y).max()
                near = unknown[np.hypot(unknown[:, 0] - x, unknown[:, 1] - y) < way_m + reach_m]
                assert gap_to_points_m(poses[7::8], case.polygon, near).min(initial=1.0) > 0.0

    @pytest.mark.parametrize(("resolution_m", "reach_m"), [(0.05, 1.5), (0.05, 5.0), (0.02, 2.0)])
    def test_however_much_of_it_there_is(self, resolution_m, reach_m):
        """A slit of a view, and the unknown all around it."""
        grid = LocalGrid(LocalGridParams(size_m=12.0, resolution_m=resolution_m), 1.0)
        mounts = {"lidar": LidarMount(Pose2.identity())}
        sight = Sight(mounts, grid, FOOTPRINT, TrackParams())
        bearings = np.linspace(-0.2, 0.2, 90)
        sight.see("lidar", scan_of([3.0] * 90, NOW_NS, bearings), Pose2.identity(), Twist())
        unseen_m = sight.dangers(Pose2.identity(), reach_m, NOW_NS).unseen_m
        for bearing in np.linspace(0.5, math.tau - 0.5, 40):
            place = (reach_m - 0.15) * np.array((math.cos(bearing), math.sin(bearing)))
            assert np.hypot(*(unseen_m - place).T).min() < 2.0 * resolution_m, bearing

    def test_a_wall_behind_that_was_never_seen_is_not_hit(self):
        """Long ways to rest, so that there is much that has not been seen."""
        limits = MotionLimits(speed_mps=1.8, deceleration_mps2=0.4)
        wall = World(walls=((-1.2, -2.0, -1.2, -0.1),))
        to_the_left = (Lidar(Pose2(0.0, 0.0, math.pi / 2), view_rad=math.pi),)
        kept = arena.record(Case(wall, arena.full_reverse, limits, lidars=to_the_left))
        assert kept.contact_s is None, kept
        assert kept.doomed_s is None, kept

    def away_from_rays_m(self, places, lidar: Lidar, pose, seen: Scan) -> NDArray[np.float64]:
        """Distance of each place from the nearest ray of a scan."""
        eye = Pose2(*pose) @ lidar.mount
        bearings = seen.angles_rad.astype(float) + eye.yaw_rad
        ranges = np.where(np.isnan(seen.ranges_m), lidar.reach_m, seen.ranges_m).astype(float)
        dx, dy = places[:, :1] - eye.x_m, places[:, 1:] - eye.y_m
        along = np.clip(dx * np.cos(bearings) + dy * np.sin(bearings), 0.0, ranges)
        aside = np.hypot(dx - along * np.cos(bearings), dy - along * np.sin(bearings))
        return aside.min(-1, initial=math.inf)


class Test3SpeedIsWithinWhatIsSeen:
    @decisions()
    @given(any_limits, st.floats(0.1, 6.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0), periods)
    def test_before_a_wall(self, limits, away_m, now, ask, period_s):
        """v t + v^2 / 2 a fits into what is left of the margin on."""
        wall = [(away_m + 0.35, y / 20) for y in range(-8, 9)]
        speeds = (Twist(now * limits.speed_mps), Twist(ask * limits.speed_mps))
        decision = Decision(limits, *speeds, wall, period_s)
        verdict = decision.verdict()
        v = verdict.command.forward_mps
        assume(v >= speeds[0].forward_mps)  # or the base is slower than it was told
        react_s = limits.base_latency_s
        rise_s = (v - speeds[0].forward_mps) / limits.acceleration_mps2
        before_m = speeds[0].forward_mps * react_s
        rising_m = 0.5 * (v + speeds[0].forward_mps) * rise_s
        held_m = v * (max(period_s, LEAST_HOLD_S) - rise_s)
        braking_m = v * v / (2.0 * limits.deceleration_mps2)
        way_m = before_m + rising_m + held_m + braking_m
        assert v <= CREEP or way_m <= max(0.0, away_m - limits.margin_m) + SWEEP_STEP_M / 2

    @drives(8)
    @given(
        any_limits,
        st.sampled_from((1.5, 2.0, 3.0)),
        st.sampled_from((arena.full_speed, arena.bending, arena.stuttering)),
    )
    def test_where_the_lidar_sees_no_farther(self, limits, reach_m, planner):
        case = Case(World(), planner, limits, lidars=(Lidar(reach_m=reach_m),))
        eyes = np.empty((0, 2))
        for cycle in arena.drive(case):
            eyes = np.array([*eyes, *(pose[:2] for _, pose, _ in cycle.scans)])
            for poses in cycle.braked:
                away_m = arena.in_frames(eyes, poses[7::8])[:, :, None] - case.polygon
                nearest_m = np.hypot(away_m[..., 0], away_m[..., 1]).min(1)
                assert nearest_m.max(initial=0.0) <= reach_m + 0.05  # a cell of the grid

    def test_a_corner_is_turned_no_faster_than_one_sees_around_it(self):
        """Behind the end of a wall somebody may stand, and in one of two worlds does."""
        wall = (0.9, -3.0, 0.9, -0.55)
        reached = []
        for discs in ((), ((1.35, -0.75, 0.3),)):
            case = Case(
                World(discs, (wall,)), arena.homing if discs else arena.bending,
                MotionLimits(speed_mps=1.5, yaw_rate_radps=1.5), duration_s=5.0,
            )  # fmt: skip
            kept = arena.record(case)
            reached.append(kept.way_m)
            assert kept.contact_s is None
            assert kept.doomed_s is None
        assert reached[0] > 0.1


def scan_of(ranges_m, stamp_ns: int, bearings=None) -> Scan:
    count = len(ranges_m)
    if bearings is None:
        bearings = ((np.arange(count) + 0.5) / count - 0.5) * math.tau
    arrays = [np.array(a, np.float32) for a in (bearings, ranges_m, np.zeros(count))]
    arrays.append(np.zeros(count, np.uint8))
    for array in arrays:
        array.setflags(write=False)
    return Scan(stamp_ns, stamp_ns, *arrays)


class Under:
    """A navigator on its way through an open hall."""

    GOAL = Goal(4.0, 0.3)
    PERIOD_NS = 50_000_000

    def __init__(self, world: World, **more) -> None:
        self.world = world
        self.navigator = Navigator(
            MotionLimits(), FOOTPRINT, {"lidar": LidarMount(Pose2.identity())}, **more
        )
        self.now_ns = NOW_NS
        self.pose = Pose2.identity()
        self.velocity = Twist()

    def step(self, **changes) -> VelocityCommand:
        lidar = Lidar(reach_m=12.0)
        rng = np.random.default_rng(0)
        at = dataclasses.astuple(self.pose)
        given_ = {
            "scan": lidar.scan(self.world, at, self.now_ns, rng),
            "pose": self.pose,
            "velocity": self.velocity,
            "path": NOTHING,
            "goal": self.GOAL,
            "now_ns": self.now_ns,
        }
        command = self.navigator.step(**(given_ | changes))
        base = Base(MotionLimits(), at, self.now_ns, values(self.velocity))
        base.queue.append((0, twist_of(command)))
        base.advance(self.now_ns + self.PERIOD_NS)
        self.now_ns = base.now_ns
        self.pose, self.velocity = Pose2(*base.pose), Twist(*base.twist)
        return command

    def moving(self) -> "Under":
        for _ in range(8):
            command = self.step()
        assert command.forward_mps > 0.1
        return self


# Nothing of it lies on the border between two cells.
HALL = World(
    walls=(
        (-2.02, -3.02, 6.02, -3.02),
        (6.02, -3.02, 6.02, 3.02),
        (6.02, 3.02, -2.02, 3.02),
        (-2.02, 3.02, -2.02, -3.02),
    )
)


class Test4WhatIsOldOrNoNumberMeansZero:
    @pytest.fixture
    def under(self) -> Under:
        return Under(HALL).moving()

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("field", ["x_m", "y_m", "yaw_rad"])
    def test_a_pose_that_is_no_number(self, under, field, bad):
        pose = dataclasses.replace(under.pose, **{field: bad})
        assert under.step(pose=pose).is_stop
        assert not under.step().is_stop

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("field", ["forward_mps", "lateral_mps", "yaw_rate_radps"])
    def test_a_velocity_that_is_no_number(self, under, field, bad):
        velocity = dataclasses.replace(under.velocity, **{field: bad})
        assert under.step(velocity=velocity).is_stop
        assert not under.step().is_stop

    @pytest.mark.parametrize("back_ns", [0, 1, 50_000_000, 10**9])
    def test_time_that_does_not_advance(self, under, back_ns):
        before_ns = under.now_ns - under.PERIOD_NS
        assert under.step(now_ns=before_ns - back_ns).is_stop
        assert under.navigator.verdict.reason is StopReason.LATE_LOOP

    def test_a_loop_that_was_away(self, under):
        under.now_ns += 600_000_000
        assert under.step().is_stop

    @pytest.mark.parametrize("scans", [None, {}], ids=["none", "of no lidar"])
    def test_a_scan_that_stays_away(self, under, scans):
        last_ns = under.now_ns - under.PERIOD_NS
        while under.now_ns - last_ns <= STALE_S * 1e9:
            under.step(scan=scans)
        assert under.step(scan=scans).is_stop
        assert under.navigator.verdict.reason is StopReason.NO_SCAN

    @pytest.mark.parametrize("shift_ns", [-400_000_000, 10_000_000], ids=["old", "of the future"])
    def test_a_scan_of_another_time(self, shift_ns):
        under = Under(HALL)
        for _ in range(8):
            assert under.step(scan=scan_of([2.9] * 360, under.now_ns + shift_ns)).is_stop
            assert under.navigator.verdict.reason is StopReason.NO_SCAN

    @decisions()
    @given(
        decisions_of(),
        st.sampled_from((math.nan, math.inf, -math.inf)),
        st.sampled_from(("forward_mps", "lateral_mps", "yaw_rate_radps")),
        st.sampled_from(("wanted", "present")),
    )
    def test_the_governor_takes_nothing_that_is_no_number(self, decision, bad, field, which):
        governor = governor_at(decision.limits, decision.present)
        twists = {"wanted": decision.wanted, "present": decision.present}
        twists[which] = dataclasses.replace(twists[which], **{field: bad})
        verdict = governor.govern(twists["wanted"], twists["present"], decision.period_s, NOW_NS)
        assert verdict.command.is_stop
        assert verdict.reason is StopReason.BAD_COMMAND

    @pytest.mark.parametrize("period_s", [-0.02, -10.0, math.nan])
    def test_the_governor_takes_no_time_that_runs_backwards(self, period_s):
        for wanted in (Twist(1.0), Twist(-1.0), Twist(0.0, 0.0, 1.0)):
            governor = governor_at(MotionLimits(), Twist())
            assert governor.govern(wanted, Twist(), period_s, NOW_NS).command.is_stop

    @pytest.mark.parametrize("age_s", [ODOMETRY.stale_after_s + 0.01, 0.5, 30.0, -0.05])
    def test_odometry_of_another_time(self, robot, age_s):
        robot.odometry_of = lambda odometry: dataclasses.replace(
            odometry, stamp_ns=odometry.stamp_ns - round(age_s * 1e9)
        )
        assert robot.tick().command.is_stop
        assert robot.stop_reason == StopReason.NO_ODOMETRY

    def test_a_clock_that_runs_backwards(self, robot):
        robot.tick()
        for _ in range(20):
            assert robot.tick(period_ns=-TICK_NS).command.is_stop


@pytest.fixture
def robot(tmp_path) -> Robot:
    """An agent that drives an order."""
    return Robot(agent_in(tmp_path)).start().drive()


class Test5ALostPoseStops:
    def test_and_is_an_error(self, robot):
        rng = np.random.default_rng(3)
        robot.scan_of = lambda stamp_ns, ranges: scan(stamp_ns, rng.uniform(1.0, 8.0, RAYS))
        robot.run(5.0)
        lost = [o for o in robot.outboxes if o.estimate is not None and not o.estimate.localized]
        assert len(lost) > 25
        assert all(outbox.command.is_stop for outbox in lost)
        errors = {error.error_type: error.error_level for error in robot.state.errors}
        assert "localizationLost" in errors
        assert not robot.state.agv_position.position_initialized

    def test_a_stop_leaves_the_ramp_to_the_base(self):
        """Zero at once, and what the drive makes of it is its guaranteed deceleration."""
        limits = MotionLimits()
        base = Base(limits, (0.0, 0.0, 0.0), NOW_NS, (1.0, 0.0, 0.0), [(0, (1.0, 0.0, 0.0))])
        command = Governor(limits, FOOTPRINT).stop(NOW_NS, StopReason.NOT_LOCALIZED).command
        base.command(twist_of(command), NOW_NS)
        speeds = []
        for _ in range(240):
            base.advance(base.now_ns + arena.STEP_NS)
            speeds.append(base.twist[0])
        steps = -np.diff(speeds) / arena.STEP_S
        assert steps.max() <= limits.deceleration_mps2 + 1e-6
        assert speeds[-1] == 0.0


class Test6WithoutNewCommandsTheDriveStops:
    @settings(max_examples=4, deadline=None)
    @given(st.integers(20, 700), st.floats(0.1, 0.8))
    def test_what_expires_is_replaced_by_a_stop(self, lifetime_ms, speed_mps):
        plant = build_plant()
        bench = MemoryBench(Roboteq(RoboteqOptions()), build_base(plant), plant)
        bench.run(300)
        command = VelocityCommand(speed_mps, 0.0, bench.now_ns + lifetime_ms * MS)
        bench.runner.submit(command)
        bench.run(lifetime_ms)
        expired_ns = command.valid_until_ns + Roboteq(RoboteqOptions()).command_period_s * 1e9
        bench.run(1200)
        sent = b"".join(data for at_ns, data in bench.sent if at_ns > expired_ns + 2 * MS)
        motors = {line for line in sent.split(b"\r") if line.startswith(b"!")}
        assert motors == {b"!M 0 0"}
        assert abs(plant.truth.forward_mps) < 1e-3

    def test_a_dead_host_is_stopped_by_the_watchdog_of_the_drive(self):
        plant = build_plant()
        bench = MemoryBench(Roboteq(RoboteqOptions()), build_base(plant), plant)
        bench.run(300)
        bench.runner.submit(VelocityCommand(0.5, 0.0, 2**62))
        bench.run(1000)
        assert plant.truth.forward_mps > 0.4
        for _ in range(1500):
            bench.now_ns += MS
            plant.advance(bench.now_ns)
            bench.emulator.transmit(bench.now_ns)
        assert abs(plant.truth.forward_mps) < 1e-3


class Test7EmergencyStopAndBumperLatch:
    def test_no_motion_without_acknowledgement(self, robot):
        """Random presses, releases and acknowledgements, against three lines of a model."""
        rng = np.random.default_rng(11)
        latched, moved, held = False, 0, 0
        pressed = {"e_stop": False, "bumper": False}
        for tick in range(1500):
            if rng.random() < 0.02:
                pressed = {"e_stop": bool(rng.random() < 0.2), "bumper": bool(rng.random() < 0.2)}
            acknowledged = bool(rng.random() < 0.03)
            status = dataclasses.replace(robot.status, stamp_ns=robot.now_ns, **pressed)
            latched = any(pressed.values()) or (latched and not acknowledged)
            outbox = robot.tick(base_status=status, acknowledged=acknowledged)
            if latched:
                assert outbox.command.is_stop, tick
            moved += not outbox.command.is_stop
            held += latched and not any(pressed.values())
        assert moved > 20
        assert held > 20

    @pytest.mark.parametrize("press", [{"e_stop": True}, {"bumper": True}])
    def test_a_press_between_two_ticks_is_not_overlooked(self, robot, press):
        """As after a late tick: pressed and released before the loop looks."""
        mailbox = Mailbox((LIDAR,))
        healthy = dataclasses.replace(robot.status, stamp_ns=robot.now_ns)
        mailbox.put("base", dataclasses.replace(healthy, **press))
        mailbox.put("base", healthy)
        arrived: BaseStatus | None = mailbox.drain(0).base_status
        assert robot.tick(base_status=arrived).command.is_stop
        assert robot.tick().command.is_stop


class Test8LimitsHoldForAnyInput:
    @decisions()
    @given(
        any_limits,
        st.lists(st.tuples(st.tuples(*[wild] * 3), points, periods), min_size=1, max_size=6),
    )
    def test_speeds_and_their_changes(self, limits, asks):
        governor = Governor(limits, FOOTPRINT)
        fastest = np.array((limits.speed_mps, limits.speed_mps, limits.yaw_rate_radps))
        up = np.array((*(limits.acceleration_mps2,) * 2, limits.yaw_acceleration_radps2))
        down = np.array((*(limits.deceleration_mps2,) * 2, limits.yaw_deceleration_radps2))
        last = np.zeros(3)
        for wanted, obstacles, period_s in asks:
            governor.see(np.array(obstacles).reshape(-1, 2), NOW_NS)
            verdict = governor.govern(Twist(*wanted), Twist(*last.tolist()), period_s, NOW_NS)
            command = np.array(twist_of(verdict.command))
            assert (np.abs(command) <= fastest + 1e-12).all()
            push_mps2 = math.hypot(command[0], command[1]) * abs(command[2])
            assert push_mps2 <= limits.lateral_acceleration_mps2 + 1e-9
            if not verdict.command.is_stop:
                change = np.abs(command - last)
                assert (change <= period_s * np.maximum(up, down) + 1e-9).all()
                gained = np.abs(command) - np.abs(last)
                assert (gained <= period_s * up + 1e-9).all() or (command * last < 0.0).any()
            last = command

    @decisions()
    @given(decisions_of(sideways=False))
    @example(
        # It shall slow down to a crawl in a tight bend, and cannot be that slow at once.
        Decision(MotionLimits(), Twist(1.0), Twist(0.1, 0.0, 1.0), [], 0.02)
    )
    def test_of_a_base_that_steers_too(self, decision):
        limits = decision.limits
        governor = Governor(limits, FOOTPRINT, steers=True)
        governor.see(np.array(decision.points).reshape(-1, 2), NOW_NS)
        last = Twist()
        for wanted in (decision.present, decision.wanted):
            command = governor.govern(wanted, last, 0.5, NOW_NS).command
            last = Twist(*twist_of(command))
            assert abs(command.forward_mps) <= limits.speed_mps + 1e-12
            assert abs(command.yaw_rate_radps) <= limits.yaw_rate_radps + 1e-12
            push_mps2 = abs(command.forward_mps * command.yaw_rate_radps)
            assert push_mps2 <= limits.lateral_acceleration_mps2 + 1e-9

    @pytest.mark.parametrize("huge", [1e308, -1e308])
    def test_nothing_is_too_fast_to_be_slowed(self, huge):
        for wanted in (Twist(huge), Twist(0.5, 0.0, huge)):
            governor = governor_at(MotionLimits(speed_mps=0.5, yaw_rate_radps=0.5), Twist())
            command = governor.govern(wanted, Twist(), 0.05, NOW_NS).command
            assert (np.abs(twist_of(command)) <= 0.1).all()

    @decisions(200)
    @given(decisions_of(), st.floats(0.1, 1.0), st.sampled_from(("speed_mps", "yaw_rate_radps")))
    def test_a_lower_limit_never_raises_speed(self, decision, share, field):
        """From standstill; up to the resolution of shares, and what is too slow to be driven."""
        decision = dataclasses.replace(decision, present=Twist(), period_s=5.0)
        lower = dataclasses.replace(
            decision.limits, **{field: share * getattr(decision.limits, field)}
        )
        before, after = decision.taken(), decision.taken(limits=lower)
        limits = decision.limits
        fastest = (limits.speed_mps, limits.speed_mps, limits.yaw_rate_radps)
        for slow, fast, most in zip(after, before, fastest, strict=True):
            assert abs(slow) <= abs(fast) + most / 32 + CREEP


class Test9AnotherObstacleNeverRaisesTheSpeed:
    @decisions(200)
    @given(decisions_of(), st.tuples(coordinates, coordinates))
    def test_a_point(self, decision, extra):
        before = decision.taken()
        after = decision.taken(points=[*decision.points, extra])
        for slow, fast in zip(after, before, strict=True):
            assert abs(slow) <= abs(fast) + 1e-12

    @decisions(200)
    @given(
        decisions_of(),
        st.tuples(
            coordinates, coordinates, st.floats(-2.0, 2.0), st.floats(-2.0, 2.0),
            st.floats(0.05, 0.5),
        ),
    )  # fmt: skip
    def test_something_that_moves(self, decision, walker):
        before, after = decision.taken(), decision.taken(moving=(walker,))
        for slow, fast in zip(after, before, strict=True):
            assert abs(slow) <= abs(fast) + 1e-12


class Test10StoppingIsAlwaysAdmissible:
    @decisions()
    @given(decisions_of())
    def test_and_the_output_never_faster_than_the_input(self, decision):
        """Or than the last command slowed down as fast as the base can."""
        limits = decision.limits
        down = (*(limits.deceleration_mps2,) * 2, limits.yaw_deceleration_radps2)
        passed = decision.taken()
        pairs = zip(passed, values(decision.wanted), values(decision.present), down, strict=True)
        for out, asked, last, rate in pairs:
            assert abs(out) <= max(abs(asked), abs(last) - rate * decision.period_s) + 1e-12
            assert out * asked >= 0.0 or out * last > 0.0

    @decisions()
    @given(decisions_of())
    def test_stop_is_never_refused(self, decision):
        halted = decision.taken(wanted=Twist())
        for out, last in zip(halted, values(decision.present), strict=True):
            assert abs(out) <= abs(last) + 1e-12
            assert out * last >= 0.0
        governor = governor_at(decision.limits, decision.present)
        assert governor.stop(NOW_NS, None).command.is_stop
        assert governor.command == Twist()


class Test11SameInputSameOutput:
    @drives(3)
    @given(arena.cases(duration_s=1.5))
    def test_of_the_governor(self, case):
        one, other = (
            [
                (twist_of(c.verdict.command), c.verdict.reason)
                for c in arena.drive(case, brake=False)
            ]
            for _ in range(2)
        )
        assert one == other

    def test_of_the_navigator(self):
        drives_ = []
        for _ in range(2):
            under = Under(World(((2.0, 0.2, 0.3), (3.0, -0.8, 0.4)), HALL.walls))
            drives_.append([twist_of(under.step()) for _ in range(25)])
        assert drives_[0] == drives_[1]
        assert max(abs(forward) for forward, _, _ in drives_[0]) > 0.1

    def test_in_bounded_time(self):
        """The worst there is: as many points as there can be, none of them near enough to end."""
        limits = MotionLimits(speed_mps=2.0, deceleration_mps2=0.5, yaw_rate_radps=2.0)
        rng = np.random.default_rng(1)
        away, bearing = rng.uniform(0.6, 5.0, 20_000), rng.uniform(-math.pi, math.pi, 20_000)
        cloud = np.column_stack((away * np.cos(bearing), away * np.sin(bearing)))
        spent = []
        for _ in range(7):
            governor = governor_at(limits, Twist(2.0, 0.0, 2.0))
            governor.see(cloud, NOW_NS)
            start_s = time.thread_time()
            governor.govern(Twist(2.0, 0.0, 2.0), Twist(2.0, 0.0, 2.0), 0.02, NOW_NS)
            spent.append(time.thread_time() - start_s)
        assert np.median(spent) < 0.1

    def test_in_bounded_time_after_a_long_stop(self):
        """What was sent long ago is of no interest any more."""
        governor = Governor(MotionLimits(), FOOTPRINT)
        governor.see(NOTHING, 0)
        for tick in range(30_000):
            governor.stop(tick * TICK_NS, None)
        start_s = time.thread_time()
        governor.govern(Twist(1.0), Twist(), 0.02, 30_000 * TICK_NS)
        assert time.thread_time() - start_s < 0.1

    def test_in_bounded_memory_while_it_stands(self):
        governor = Governor(MotionLimits(), FOOTPRINT)
        tracemalloc.start()
        for tick in range(5_000):
            governor.stop(tick * TICK_NS, None)
        grown_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert grown_bytes < 100_000


class Test12InsideTheMarginClearanceOnlyGrows:
    ALLOWED_M = 1e-3  # the same that keeps rounding from blocking a motion along a wall

    @decisions(150)
    @given(
        decisions_of(st.just(MotionLimits(margin_m=0.1))),
        st.floats(0.0, math.tau),
        st.floats(0.005, 0.09),
    )
    def test_at_once(self, decision, bearing, gap_m):
        """From standstill, with something that near to the outline."""
        post = self.beside_outline(bearing, gap_m)
        decision = dataclasses.replace(decision, points=[post], present=Twist())
        verdict = decision.verdict()
        command = twist_of(verdict.command)
        if not any(command):
            return
        base = Base(decision.limits, (0.0, 0.0, 0.0), NOW_NS)
        base.command(command, NOW_NS)
        way = base.braked(NOW_NS + round(decision.period_s * 1e9))
        gaps = gap_to_points_m(way, FOOTPRINT, np.array([post]))
        begin = gap_to_points_m(np.zeros((1, 3)), FOOTPRINT, np.array([post]))[0]
        assert gaps.min() >= min(begin, 0.1) - self.ALLOWED_M - 1e-4

    @pytest.mark.parametrize("planner", [arena.sneaking, arena.full_speed, arena.stuttering])
    @pytest.mark.parametrize("period_ms", [20, 50])
    def test_nor_little_by_little(self, planner, period_ms):
        case = Case(walls_ahead(0.40), planner, period_ns=period_ms * MS, duration_s=15.0)
        kept = arena.record(case)
        assert kept.least_m > 0.05 - 2 * self.ALLOWED_M

    @pytest.mark.parametrize("speed_radps", [0.015, -0.015])
    def test_nor_turning(self, speed_radps):
        world = World(walls=((-2.0, 0.29, 2.0, 0.29),))
        case = Case(world, lambda _: Twist(0.0, 0.0, speed_radps), duration_s=15.0)
        assert arena.record(case).least_m > 0.04 - 2 * self.ALLOWED_M

    @pytest.mark.parametrize("gap_m", [0.002, 0.03, 0.055])
    def test_it_may_always_leave(self, gap_m):
        wall = [(0.35 + gap_m, y / 20) for y in range(-8, 9)]
        governor = governor_at(MotionLimits(), Twist())
        governor.see(np.array(wall), NOW_NS)
        back = governor.govern(Twist(-0.3), Twist(), 0.5, NOW_NS)
        assert back.command.forward_mps == pytest.approx(-0.3)
        governor.stop(NOW_NS, None)
        assert governor.govern(Twist(0.3), Twist(), 0.5, NOW_NS).command.is_stop

    def beside_outline(self, bearing: float, gap_m: float) -> tuple[float, float]:
        """A point at a distance from the outline, in a direction from the middle."""
        low, high = 0.0, 2.0
        for _ in range(60):
            middle = 0.5 * (low + high)
            at = np.array([[middle * math.cos(bearing), middle * math.sin(bearing)]])
            if arena.polygon_gap_m(at, FOOTPRINT)[0] < gap_m:
                low = middle
            else:
                high = middle
        return low * math.cos(bearing), low * math.sin(bearing)


def mirrored(twist: Twist) -> Twist:
    return Twist(twist.forward_mps, -twist.lateral_mps, -twist.yaw_rate_radps)


class Test13AMirroredWorldMirrorsTheCommand:
    @decisions(200)
    @given(decisions_of())
    def test_of_the_governor_exactly(self, decision):
        plain = decision.taken()
        mirror = decision.taken(
            points=[(x, -y) for x, y in decision.points],
            present=mirrored(decision.present),
            wanted=mirrored(decision.wanted),
        )
        assert mirror == values(mirrored(Twist(*plain)))

    @pytest.mark.parametrize("drive", Drive)
    @pytest.mark.parametrize("seed", range(4))
    def test_of_the_planner(self, drive, seed):
        """Off the borders between cells, which belong to one side.

        No closer than that: a cell remembers the first of its hits more firmly than the last, and
        in the mirrored scan the rays come the other way round.
        """
        rng = np.random.default_rng(seed)
        count, turn, aside_m = rng.integers(0, 5), rng.uniform(-0.2, 0.2), rng.uniform(0.1, 1.0)
        discs = [rng.uniform((0.8, -2.0, 0.1), (3.5, 2.0, 0.4)) for _ in range(count)]
        clear = tuple(tuple(d) for d in discs if math.hypot(d[0], d[1]) - d[2] > 0.6)
        plans = []
        for sign in (1.0, -1.0):
            world = World(clear, HALL.walls)
            under = Under(world if sign > 0 else world.mirrored(), model=MotionModel(drive=drive))
            navigator, velocity = under.navigator, Twist(0.2, 0.0, sign * turn)
            pose = Pose2(0.013, sign * 0.017, sign * 0.02)
            at = dataclasses.astuple(pose)
            seen = Lidar(rays=720).scan(under.world, at, NOW_NS, rng)
            navigator.see("lidar", seen, pose, velocity)
            navigator.place(pose, pose)
            goal = Goal(4.03, sign * aside_m)
            plans.append(navigator.plan(NOTHING, goal, velocity, NOW_NS))
        assert values(plans[1]) == pytest.approx(values(mirrored(plans[0])), abs=5e-3)
