import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.geometry.pose import Pose2
from hil.arena.lidar import BEAMS, PlanarLidar
from hil.plant import arena_kernels as kernels
from tests.examples import examples
from tests.reference import arena_reference as reference

HALF_SIZE = (0.23, 0.21)
STEP_S = 0.005
NO_WALLS, NO_DISCS = np.empty((0, 4)), np.empty((0, 3))
NOWHERE = np.array([1e6, 1e6, 1.0])
HAIR = 1e-8

coordinate = st.floats(-3.0, 3.0)
angle = st.floats(-math.pi, math.pi)
seeds = st.integers(0, 100_000)


def scattered(seed, walls=4, discs=25):
    rng = np.random.default_rng(seed)
    places = rng.uniform(-4.0, 4.0, (discs, 2))
    return (
        rng.uniform(-4.0, 4.0, (walls, 4)),
        np.column_stack((places, rng.uniform(0.02, 0.5, discs))),
    )


def frozen(table):
    """Read-only, as those of a course are; a kernel is compiled anew for what is not."""
    table = table.copy()
    table.setflags(write=False)
    return table


def cast(walls, discs, pose, bearings, reach=30.0):
    ranges = np.empty(bearings.size)
    kernels.cast_beams(frozen(walls), discs, *pose, bearings, reach, ranges)
    return ranges


@settings(max_examples=examples(60))
@given(seed=seeds, x=coordinate, y=coordinate, yaw=st.floats(-20.0, 20.0))
def test_beams_see_what_comparing_each_with_every_obstacle_sees(seed, x, y, yaw):
    walls, discs = scattered(seed)
    bearings = np.linspace(-0.75 * math.pi, 0.75 * math.pi, 61)
    measured = np.nan_to_num(cast(walls, discs, (x, y, yaw), bearings, 3.5), nan=math.inf)
    for bearing, value in zip(bearings, measured, strict=True):
        # A beam that grazes may go either way by rounding: it must lie between its neighbours.
        near = [
            reference.beam_m(walls, discs, x, y, yaw + bearing + hair)
            for hair in (-HAIR, 0.0, HAIR)
        ]
        near = [math.inf if length > 3.5 + 1e-6 else length for length in near]
        assert min(near) - 1e-6 <= value <= max(near) + 1e-6 or abs(min(near) - 3.5) < 1e-5


@settings(max_examples=examples(50))
@given(seed=seeds, turn=angle)
def test_a_full_circle_of_beams_misses_nothing_at_its_seam(seed, turn):
    walls, discs = scattered(seed)
    discs = discs[np.hypot(discs[:, 0], discs[:, 1]) > discs[:, 2]]
    bearings = np.linspace(-math.pi, math.pi, 73)
    ahead = cast(walls, discs, (0.0, 0.0, 0.0), bearings)
    turned = cast(walls, discs, (0.0, 0.0, math.tau), bearings)
    np.testing.assert_allclose(ahead, turned, atol=1e-6)
    assert ahead[0] == pytest.approx(ahead[-1], abs=1e-6, nan_ok=True)


def test_beams_are_evenly_spread_over_270_degrees_and_nothing_is_nan():
    lidar = PlanarLidar(np.random.default_rng(0))
    disc = np.array([[31.0, 0.0, 0.5], [0.0, 2.0, 0.5]])
    scan = lidar.scan(NO_WALLS, disc, Pose2(0.0, 0.0, 0.0), 7)
    assert scan.angles_rad.size == BEAMS == 720
    assert np.diff(scan.angles_rad.astype(float)) == pytest.approx(
        math.radians(270) / 719, rel=1e-3
    )
    assert (scan.angles_rad[0], scan.angles_rad[-1]) == pytest.approx((-2.35619449, 2.35619449))
    assert not scan.ranges_m.flags.writeable
    seen = np.isfinite(scan.ranges_m)
    assert np.nanmin(scan.ranges_m) == pytest.approx(1.5, abs=1e-4)
    assert np.abs(scan.angles_rad[seen] - math.pi / 2).max() < math.asin(0.25) + 0.01
    nearer = lidar.scan(NO_WALLS, disc - [[1.0, 0, 0], [0, 0, 0]], Pose2(0.0, 0.0, 0.0), 7)
    assert nearer.ranges_m[359:361] == pytest.approx(29.5, abs=0.01)


@settings(max_examples=examples(200))
@given(x=coordinate, y=coordinate, yaw=angle, radius=st.floats(0.02, 0.6))
def test_distance_to_a_disc_is_exact(x, y, yaw, radius):
    state = np.array([0.7, -0.4, yaw, 0.0, 0.0])
    disc = np.array([[x, y, radius]])
    gap, number = kernels.clearance(frozen(NO_WALLS), frozen(disc), NO_DISCS, state, *HALF_SIZE)
    assert gap == pytest.approx(reference.disc_gap_m(state, HALF_SIZE, disc[0]), abs=1e-9)
    assert number == 0


@settings(max_examples=examples(300))
@given(
    ends=st.tuples(coordinate, coordinate, coordinate, coordinate), yaw=angle, short=st.booleans()
)
def test_distance_to_a_wall_is_exact(ends, yaw, short):
    state = np.array([0.2, 0.1, yaw, 0.0, 0.0])
    wall = np.array(ends)
    if short:
        wall[2:] = wall[:2] + 0.1 * (wall[2:] - wall[:2])
    gap, number = kernels.clearance(
        frozen(wall[None]), frozen(NO_DISCS), NO_DISCS, state, *HALF_SIZE
    )
    assert gap == pytest.approx(reference.wall_gap_m(state, HALF_SIZE, wall), abs=1e-7)
    assert number == 0


@settings(max_examples=examples(100))
@given(seed=seeds, x=coordinate, y=coordinate, yaw=angle)
def test_the_nearest_of_all_is_found_and_numbered_in_order(seed, x, y, yaw):
    walls, discs = scattered(seed)
    state = np.array([x, y, yaw, 0.0, 0.0])
    gap, number = kernels.clearance(frozen(walls), frozen(discs[:9]), discs[9:], state, *HALF_SIZE)
    gaps = [reference.wall_gap_m(state, HALF_SIZE, wall) for wall in walls]
    gaps += [reference.disc_gap_m(state, HALF_SIZE, disc) for disc in discs]
    assert gap == pytest.approx(min(gaps), abs=1e-9)
    assert gaps[number] == pytest.approx(min(gaps), abs=1e-9)


def test_nothing_is_infinitely_far():
    state = np.zeros(5)
    found = kernels.clearance(frozen(NO_WALLS), frozen(NO_DISCS), NO_DISCS, state, *HALF_SIZE)
    assert found == (math.inf, kernels.NOTHING)


def drive(state, target, limits, steps, walls=NO_WALLS, discs=NO_DISCS, goal=NOWHERE):
    track = np.empty((steps, 5))
    targets = np.tile(np.array(target, dtype=float), (steps, 1))
    walkers = np.empty((steps, 0, 3))
    found = kernels.drive(
        np.array(state, dtype=float), targets, np.array(limits, dtype=float), STEP_S,
        frozen(walls), frozen(discs), walkers, *HALF_SIZE, goal, track,
    )  # fmt: skip
    return track[: found[0]], *found[1:]


@settings(max_examples=examples(40))
@given(
    speed=st.floats(-2.0, 2.0),
    yaw_rate=st.floats(-4.0, 4.0),
    target=st.tuples(st.floats(-2.0, 2.0), st.floats(-4.0, 4.0)),
    yaw=angle,
)
def test_drive_follows_the_equations_of_motion(speed, yaw_rate, target, yaw):
    limits = (1.0, 1.5, 3.0)
    track, *_ = drive((1.0, 2.0, yaw, speed, yaw_rate), target, limits, 60)
    expected = reference.driven((1.0, 2.0, yaw, speed, yaw_rate), target, limits, 60 * STEP_S)
    # Coming to rest and reversing is rounded to sub-steps, and so is the end of a ramp.
    reverses = speed * target[0] < 0.0 or yaw_rate * target[1] < 0.0
    np.testing.assert_allclose(track[-1, :3], expected[:3], atol=5e-3 if reverses else 2e-4)
    np.testing.assert_allclose(track[-1, 3:], expected[3:], atol=0.02)


def test_a_constant_twist_is_a_circle():
    track, *_ = drive((0.0, 0.0, 0.0, 1.0, 2.0), (1.0, 2.0), (9.0, 9.0, 9.0), 200)
    np.testing.assert_allclose(np.hypot(track[:, 0], track[:, 1] - 0.5), 0.5, atol=1e-12)
    assert track[-1, 2] == pytest.approx(2.0)


@settings(max_examples=examples(100))
@given(targets=st.lists(st.tuples(st.floats(-2, 2), st.floats(-4, 4)), min_size=20, max_size=40))
def test_no_sequence_of_commands_breaks_the_limits_of_motion(targets):
    limits = np.array([1.0, 1.5, 3.0])
    track = np.empty((len(targets), 5))
    walkers = np.empty((len(targets), 0, 3))
    kernels.drive(
        np.zeros(5), np.array(targets), limits, STEP_S, frozen(NO_WALLS), frozen(NO_DISCS), walkers,
        *HALF_SIZE, NOWHERE, track,
    )  # fmt: skip
    speeds = np.concatenate(([0.0], track[:, 3]))
    faster = np.diff(np.abs(speeds))
    assert faster.max() <= 1.0 * STEP_S + 1e-12
    assert faster.min() >= -1.5 * STEP_S - 1e-12
    assert (speeds[1:] * speeds[:-1] >= 0.0).all(), "it comes to rest before it reverses"
    assert np.abs(np.diff(track[:, 4])).max(initial=0.0) <= 3.0 * STEP_S + 1e-12


def test_drive_ends_at_the_first_contact_and_reports_the_least_distance():
    wall = np.array([[1.0, -1.0, 1.0, 1.0]])
    track, least, touched = drive((0, 0, 0, 2.0, 0), (2.0, 0.0), (5, 5, 5), 400, walls=wall)
    assert touched == 0 and least == 0.0
    assert 1.0 - 0.23 <= track[-1, 0] < 1.0 - 0.23 + 2.0 * STEP_S + 1e-9
    disc = np.array([[1.0, 0.41, 0.1]])
    track, least, touched = drive((0, 0, 0, 2.0, 0), (2.0, 0.0), (5, 5, 5), 400, discs=disc)
    assert touched == kernels.NOTHING and len(track) == 400
    assert least == pytest.approx(0.1)


def test_drive_ends_at_the_goal():
    goal = np.array([2.0, 0.0, 1.0])
    track, _, touched = drive((0, 0, 0, 2.0, 0), (2.0, 0.0), (5, 5, 5), 400, goal=goal)
    assert touched == kernels.NOTHING
    assert track[-1, 0] == pytest.approx(1.0)


def braking_touches(state, target, limits, walls=NO_WALLS, discs=NO_DISCS):
    targets = np.tile(np.array(target, dtype=float), (10, 1))
    state, limits = np.array(state, dtype=float), np.array(limits)
    return kernels.braking_touches(state, targets, limits, STEP_S, frozen(walls), discs, *HALF_SIZE)


def test_braking_needs_the_latency_and_the_parabola():
    limits = (1.0, 1.5, 3.0)
    # One cycle at 1.5 m/s and then v^2 / 2a, before the front of the robot.
    stands_m = 0.05 * 1.5 + 1.5**2 / (2 * 1.5) + 0.23
    for ahead_m, touches in ((stands_m + 0.005, False), (stands_m - 0.005, True)):
        wall = np.array([[ahead_m, -1.0, ahead_m, 1.0]])
        assert braking_touches((0, 0, 0, 1.5, 0), (1.5, 0.0), limits, walls=wall) is touches
        disc = np.array([[ahead_m + 0.1, 0.0, 0.1]])
        assert braking_touches((0, 0, 0, 1.5, 0), (1.5, 0.0), limits, discs=disc) is touches


def test_a_command_that_accelerates_lengthens_the_way_to_stand():
    wall = np.array([[0.23 + 0.05 + 1 / 3 + 0.01, -1.0, 0.23 + 0.05 + 1 / 3 + 0.01, 1.0]])
    assert not braking_touches((0, 0, 0, 1.0, 0), (1.0, 0.0), (1.0, 1.5, 3.0), walls=wall)
    assert braking_touches((0, 0, 0, 1.0, 0), (1.5, 0.0), (1.0, 1.5, 3.0), walls=wall)


@settings(max_examples=examples(40))
@given(seed=seeds, speed=st.floats(-1.5, 1.5), yaw_rate=st.floats(-1.8, 1.8), yaw=angle)
def test_braking_keeps_the_arc(seed, speed, yaw_rate, yaw):
    limits = (1.0, 1.5, 3.0)
    _, discs = scattered(seed, discs=6)
    discs[:, 2] *= 0.3
    state = np.array([0.0, 0.0, yaw, speed, yaw_rate])
    cycle, least, _ = drive(state, (speed, yaw_rate), limits, 10, discs=discs)
    shares = np.linspace(0.0, 1.0, 150)
    least = min(
        least,
        *(
            reference.disc_gap_m(at, HALF_SIZE, disc)
            for at in reference.braked(cycle[-1], limits, shares)
            for disc in discs
        ),
    )
    # Both look at moments only, and not at the same ones.
    if abs(least) > 5e-3:
        assert braking_touches(state, (speed, yaw_rate), limits, discs=discs) == (least <= 0.0)


MOVES = np.array([[0, 0], [0, 1], [1, 0], [0, -1], [-1, 0]])


@settings(max_examples=examples(30))
@given(seed=seeds)
def test_search_in_time_finds_what_sets_of_cells_find(seed):
    rng = np.random.default_rng(seed)
    steps, samples = 14, 3
    begin, end = rng.uniform(0.0, 1.6, (2, 3, 2))
    shares = np.linspace(0.0, 1.0, steps * samples + 1)[:, None, None]
    places = begin + shares * (end - begin)
    at_goal = np.zeros((8, 9), np.bool_)
    at_goal[7, 8] = True
    problem = (
        places, np.full(3, 0.32), samples, MOVES, 0.2, np.zeros(2), np.array([1, 1]), at_goal
    )  # fmt: skip
    assert kernels.earliest_arrival(*problem) == reference.earliest_arrival(*problem)
