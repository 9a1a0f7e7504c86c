import argparse
import json
import math
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.arena.campaign import Campaign
from hil.arena.lidar import PlanarLidar
from hil.arena.profile import AMR, LENGTH_M, WIDTH_M
from hil.arena.warehouse import KINDS, LIMIT_S, courses_named, make_course, pacing
from hil.cli import warehouse
from hil.errors import BenchError
from hil.plant.arena_kernels import clearance
from tests.examples import examples
from tests.hil.arena_courses import Homing

HALF_SIZE = (LENGTH_M / 2.0, WIDTH_M / 2.0)
CELL_M = 0.05
SEEDS = st.integers(0, 10_000)


def distances_m(course, xs_m, ys_m):
    """How far what stands is from the middles of cells, shape (rows, columns)."""
    points = np.stack(np.meshgrid(xs_m, ys_m), axis=-1)
    nearest_m = np.full(points.shape[:2], np.inf)
    for wall in course.walls:
        start, way = wall[:2], wall[2:] - wall[:2]
        length2 = float(way @ way)
        share = np.clip((points - start) @ way / length2, 0.0, 1.0)
        away = points - start - share[..., None] * way
        nearest_m = np.minimum(nearest_m, np.hypot(away[..., 0], away[..., 1]))
    for x_m, y_m, radius_m in course.cylinders:
        away_m = np.hypot(points[..., 0] - x_m, points[..., 1] - y_m) - radius_m
        nearest_m = np.minimum(nearest_m, away_m)
    return nearest_m


def way_length_m(course, keep_m):
    """Length of a way that a disc has from start to goal, None where it has none."""
    marks = np.vstack((course.walls.reshape(-1, 2), [course.goal_m]))
    low, high = marks.min(axis=0), marks.max(axis=0)
    xs_m = np.arange(low[0], high[0], CELL_M)
    # Where an aisle is open at an end, there is no way round outside.
    ys_m = np.arange(low[1], high[1], CELL_M)
    free = distances_m(course, xs_m, ys_m) > keep_m
    at = int((course.start.y_m - low[1]) / CELL_M), int((course.start.x_m - low[0]) / CELL_M)
    steps = np.full(free.shape, -1)
    steps[at] = 0
    queue = deque([at])
    while queue:
        row, column = queue.popleft()
        away_m = math.hypot(xs_m[column] - course.goal_m[0], ys_m[row] - course.goal_m[1])
        if away_m <= 1.0:
            return float(steps[row, column] * CELL_M)
        for near in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
            inside = 0 <= near[0] < len(ys_m) and 0 <= near[1] < len(xs_m)
            if inside and free[near] and steps[near] < 0:
                steps[near] = steps[row, column] + 1
                queue.append(near)
    return None


@settings(max_examples=examples(5), deadline=None)
@given(seed=SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_course_has_a_way_for_the_robot_and_follows_from_its_seed(kind, seed):
    course = make_course(kind, 3, seed)
    assert course.name == f"{kind}-3" and course.limit_s == LIMIT_S
    # A disc as wide as the robot, with 0.1 m to both sides, less what a grid may take away.
    assert way_length_m(course, WIDTH_M / 2.0 + 0.07) is not None
    walkers = course.walkers_at(np.zeros(1))[0]
    state = np.array([course.start.x_m, course.start.y_m, course.start.yaw_rad, 0.0, 0.0])
    assert clearance(course.walls, course.cylinders, walkers, state, *HALF_SIZE)[0] > 0.1
    again = make_course(kind, 3, seed)
    np.testing.assert_array_equal(course.walls, again.walls)
    assert course.start == again.start
    assert not np.array_equal(course.walls, make_course(kind, 4, seed).walls)


@settings(max_examples=examples(10), deadline=None)
@given(seed=SEEDS)
def test_dead_end_is_closed_out_of_sight_and_makes_the_way_longer(seed):
    course = make_course("deadend", 0, seed)
    (closing,) = np.flatnonzero(
        (course.walls[:, 1] == course.walls[:, 3]) & (course.walls[:, 0] == -course.walls[:, 2])
    )
    without = np.delete(course.walls, closing, axis=0)
    lidar = PlanarLidar(np.random.default_rng(0))
    seen, open_seen = (
        lidar.scan(walls, course.cylinders, course.start, 0).ranges_m
        for walls in (course.walls, without)
    )
    np.testing.assert_array_equal(seen, open_seen)
    # By cells a way is as long as its parts along both axes.
    assert way_length_m(course, WIDTH_M / 2.0 + 0.1) > 0.8 * course.path_length_m


@settings(max_examples=examples(20), deadline=None)
@given(seed=SEEDS)
def test_people_leave_free_width_along_one_side(seed):
    course = make_course("people", 0, seed)
    half_m = float(course.walls[0, 1])
    discs = course.walkers_at(np.arange(0.0, LIMIT_S, 0.1)).reshape(-1, 3)
    left_m = half_m - (discs[:, 1] + discs[:, 2]).max()
    right_m = half_m + (discs[:, 1] - discs[:, 2]).min()
    assert max(left_m, right_m) >= WIDTH_M + 0.6
    assert min(left_m, right_m) > 0.0
    assert 2 <= len(course.walkers) <= 6


@given(
    share=st.integers(0, 100).map(lambda part: part / 100),
    speed_mps=st.floats(0.5, 1.5),
    moment_s=st.floats(0.0, 60.0),
)
def test_pacing_keeps_its_speed_and_never_jumps(share, speed_mps, moment_s):
    ends = np.array([[0.0, 1.0], [8.0, 2.0]])
    walker = pacing(0.3, ends, speed_mps, share)
    np.testing.assert_allclose(walker.at(np.zeros(1))[0], ends[0] + share * (ends[1] - ends[0]))
    step_s = 0.01
    track = walker.at(moment_s + step_s * np.arange(200))
    strides_m = np.hypot(*np.diff(track, axis=0).T)
    assert strides_m.max() <= speed_mps * step_s * 1.001
    # It turns at most once within two seconds.
    assert np.sum(strides_m < speed_mps * step_s * 0.999) <= 2
    assert not walker.jumps_between(moment_s, moment_s + 100.0)


def test_somebody_is_at_the_crossing_when_the_robot_gets_there():
    hidden = 0
    for course in courses_named("crossing", 20, 1):
        lidar = PlanarLidar(np.random.default_rng(0))
        first = course.walkers_at(np.zeros(1))[0][:1]
        ranges_m = [
            lidar.scan(course.walls, discs, course.start, 0).ranges_m
            for discs in (course.cylinders, np.vstack((course.cylinders, first)))
        ]
        hidden += np.array_equal(*ranges_m, equal_nan=True)
        heights_m = course.walkers_at(np.arange(4.0, 10.0, 0.1))[:, 0, 1]
        assert np.abs(heights_m).min() < 1.7
    assert hidden >= 15


def test_course_that_brakes_for_nothing_but_walls_ends_in_a_contact_or_too_late():
    campaign = Campaign(profile=AMR, make_pilot=lambda given: Homing(1.0))
    (result,) = campaign.run([make_course("deadend", 0, 1)])
    assert not result.success


@pytest.mark.parametrize("name", ["lorry", "door-x", "door-", "-3"])
def test_wrong_names_are_one_clear_error(name):
    with pytest.raises(BenchError, match="kind"):
        courses_named(name, 2, 1)


def call(*words):
    parser = argparse.ArgumentParser()
    warehouse.configure(parser)
    return warehouse.run(parser.parse_args([str(word) for word in words]))


def test_verb_drives_and_sums_up_by_kind(tmp_path, capsys):
    plots = tmp_path / "plots"
    pytest.importorskip("PIL")
    assert call("--only", "door-1", "--plot", plots) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[-2].split()[:2] == ["kind", "runs"]
    assert table[-1].split()[:3] == ["door", "1", "100.0%"]
    assert [path.name for path in plots.iterdir()] == ["course-door-1.png"]
    assert call("--only", "door", "--runs", "1", "--seed", "2", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["course"] for row in document["courses"]] == ["door-0"]
    assert document["kinds"]["door"]["runs"] == 1
