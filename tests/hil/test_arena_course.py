import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geometry.pose import Pose2
from hil.arena.campaign import selected
from hil.arena.course_file import read_dynamic, read_static
from hil.arena.passage import find_passage
from hil.arena.result import score, summarize
from hil.errors import BenchError
from tests.hil.arena_courses import course, row_of_cylinders, walker
from tests.hil.test_arena_trial import Straight, run


def test_walker_follows_its_key_frames_and_begins_anew():
    runs = walker((0, 1, 2), (2, 5, 2), (3, 5, 0))
    moments = np.array([0.0, 1.0, 2.0, 2.5, 3.0, 4.0, 3 * 7 + 2.5])
    expected = [[1, 2], [3, 2], [5, 2], [5, 1], [1, 2], [3, 2], [5, 1]]
    np.testing.assert_allclose(runs.at(moments), expected, atol=1e-9)
    assert runs.jumps_between(2.9, 3.1) and not runs.jumps_between(1.0, 2.9)
    assert not walker((0, 1, 1), (1, 2, 2), (2, 1, 1)).jumps_between(1.9, 2.1)


@given(moment=st.floats(0.0, 500.0), loops=st.integers(1, 20))
def test_walker_is_where_it_was_a_loop_ago(moment, loops):
    runs = walker((0, 0, 0), (1.5, 3, 1), (4.0, -2, 2), (7.25, 0, 0))
    now, then = runs.at(np.array([moment, moment + 7.25 * loops]))
    np.testing.assert_allclose(now, then, atol=1e-9)


@pytest.mark.parametrize(
    "frames",
    [[(0, 1, 1)], [(1, 0, 0), (2, 0, 0)], [(0, 0, 0), (0, 1, 1)], [(0, 0, 0), (1, math.nan, 0)]],
)
def test_key_frames_out_of_order_are_refused(frames):
    with pytest.raises(BenchError):
        walker(*frames)


@pytest.mark.parametrize(
    "change",
    [
        {"goal_m": (math.inf, 0.0)},
        {"path_length_m": 0.0},
        {"limit_s": -1.0},
        {"cylinders": np.array([[1.0, 1.0, 0.0]])},
        {"walls": np.array([[0.0, 0.0, math.nan, 1.0]])},
    ],
)
def test_impossible_courses_are_refused(change):
    with pytest.raises(BenchError):
        course(**change)


def test_obstacles_are_named_in_the_order_of_the_kernels():
    full = course(walls=np.ones((2, 4)), cylinders=np.ones((3, 3)))
    assert [full.obstacle_name(number) for number in (0, 1, 2, 4, 5)] == [
        "wall 0",
        "wall 1",
        "cylinder 0",
        "cylinder 2",
        "walker 0",
    ]


def test_score_at_its_corners():
    ten = course(path_length_m=20.0)
    assert ten.best_time_s == 10.0
    assert score(ten, success=True, time_s=1.0) == 0.5
    assert score(ten, success=True, time_s=20.0) == 0.5
    assert score(ten, success=True, time_s=40.0) == 0.25
    assert score(ten, success=True, time_s=80.0) == 0.125
    assert score(ten, success=True, time_s=100.0) == 0.125
    assert score(ten, success=False, time_s=20.0) == 0.0


def test_summary_counts_each_kind_of_end():
    comes = walker((0, 5, 0), (5, -5, 0), (10, 5, 0))
    results = [
        run(course(), Straight(1.0)),
        run(course(limit_s=1.0), Straight(0.0)),
        run(course(walkers=(comes,)), Straight(0.0)),
        run(course(cylinders=row_of_cylinders(3.0)), Straight(1.0)),
    ]
    summary = summarize(results)
    assert (summary.runs, summary.success_share, summary.contact_share) == (4, 0.25, 0.5)
    assert summary.hit_by == 1
    assert summary.mean_score == 0.125
    assert summary.mean_time_s == results[0].time_s
    assert summary.clearance_m == 0.0
    assert summary.pilot_ms is None
    assert summary.unstoppable_cycles == sum(result.unstoppable_cycles for result in results)
    assert summarize(results[:1]).clearance_m is None


def static_file(path, **changes):
    arrays = {
        "world_id": np.array([3, 8], np.int32),
        "cylinders": np.array([[1, 2, 0.1], [3, 4, 0.2], [5, 6, 0.3]], np.float32),
        "cylinder_offset": np.array([0, 1, 3], np.int32),
        "path": np.array([[0, 1], [0, 2], [1, 1]], np.float32),
        "path_offset": np.array([0, 2, 3], np.int32),
        "path_length_m": np.array([7.0, 8.0]),
        "start": np.array([0.0, 0.0, 1.57]),
        "goal": np.array([0.0, 9.0]),
    } | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def dynamic_file(path, **changes):
    document = {
        "radius_m": 0.4,
        "start": [11, 0, 3.14],
        "goal": [-9, 0],
        "repeat": True,
        "libs": {
            "slow": {"duration": 4, "keyframes": [[0, 0, 3], [4, 4, 3]]},
            "fast": {"duration": 2, "keyframes": [[0, 0, 5], [1, 1, 5], [2, 0, 5]]},
        },
        "worlds": [["slow"], ["fast", "slow"]],
    } | changes
    path.write_text(json.dumps(document))
    return path


def test_static_set_is_read(tmp_path):
    first, second = read_static(static_file(tmp_path / "set.npz"))
    assert (first.name, second.name) == ("3", "8")
    assert second.start == Pose2(0.0, 0.0, 1.57) and second.goal_m == (0.0, 9.0)
    np.testing.assert_allclose(second.cylinders, [[3, 4, 0.2], [5, 6, 0.3]], rtol=1e-6)
    assert first.reference_path_m.tolist() == [[0, 0], [0, 1], [0, 2], [0, 9]]
    assert (first.path_length_m, second.path_length_m, first.limit_s) == (7.0, 8.0, 100.0)


def test_dynamic_set_is_read(tmp_path):
    first, second = read_dynamic(dynamic_file(tmp_path / "set.json"))
    assert (first.name, second.name) == ("0", "1")
    assert (second.best_time_s, second.limit_s) == (10.0, 60.0)
    np.testing.assert_allclose(
        second.walkers_at(np.array([0.5, 6.5])),
        [[[0.5, 5, 0.4], [0.5, 3, 0.4]], [[0.5, 5, 0.4], [2.5, 3, 0.4]]],
    )


@pytest.mark.parametrize(
    "change",
    [
        {"goal": None},
        {"goal": np.zeros(3)},
        {"path_length_m": np.array([7.0])},
        {"cylinders": np.zeros(4)},
        {"world_id": np.array(1)},
    ],
)
def test_a_broken_static_set_is_one_clear_error(tmp_path, change):
    with pytest.raises(BenchError, match=r"set.npz is no set of static courses"):
        read_static(static_file(tmp_path / "set.npz", **change))


@pytest.mark.parametrize(
    "change",
    [
        {"worlds": [["unknown"]]},
        {"start": [1, 2]},
        {"libs": {"slow": {"keyframes": [[0, 1], [1, 2]]}}},
        {"libs": []},
        {"radius_m": "wide"},
    ],
)
def test_a_broken_dynamic_set_is_one_clear_error(tmp_path, change):
    with pytest.raises(BenchError, match=r"set.json is no set of dynamic courses"):
        read_dynamic(dynamic_file(tmp_path / "set.json", **change))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"[1, 2", b"\xff\xfe\x00"])
def test_other_files_are_one_clear_error(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    for read in (read_static, read_dynamic):
        with pytest.raises(BenchError, match="other"):
            read(path)


def test_a_file_of_one_array_or_none_is_one_clear_error(tmp_path):
    np.save(tmp_path / "lone.npy", np.ones(3))
    with pytest.raises(BenchError, match="one array only"):
        read_static(tmp_path / "lone.npy")
    for read in (read_static, read_dynamic):
        with pytest.raises(BenchError, match="No such file"):
            read(tmp_path / "missing")


def test_courses_are_chosen_like_a_slice():
    five = [course(name=str(number)) for number in range(5)]
    assert [chosen.name for chosen in selected(five, "1:3")] == ["1", "2"]
    assert len(selected(five, ":")) == 5
    assert [chosen.name for chosen in selected(five, "4:")] == ["4"]
    for span in ("", "3", "a:b", "-1:2", "3:3", "4:2", "0:6", "1:2:3"):
        with pytest.raises(BenchError):
            selected(five, span)


def test_passage_of_an_open_course_is_as_long_as_the_way():
    far = walker((0, -10, -10), (1, -10, -9), (2, -10, -10))
    frame = walker((0, 10, 10), (1, 10, 10))
    open_field = course(start=Pose2(8.0, 0, 0), goal_m=(-8.0, 0.0), walkers=(far, frame))
    passage = find_passage(open_field, 2.0)
    assert passage.inscribed_s == passage.circumscribed_s == pytest.approx(15.0 / 2.0, abs=0.21)


def test_passage_waits_for_a_gate_and_depends_on_width():
    # Three discs close the only way; the middle one is away from 3 s to 6 s.
    gate = [walker((0, 0, y), (9, 0, y), radius_m=0.5) for y in (-1.0, 1.0)]
    leaf = walker((0, 0, 0), (3, 0, 0), (3.1, 4, 9), (6, 4, 9), (6.1, 0, 0), (60, 0, 0))
    frame = walker((0, -3, -1), (30, 3, 1), (60, -3, -1), radius_m=1e-6)
    gated = course(start=Pose2(2.0, 0, 0), goal_m=(-2.0, 0.0), walkers=(*gate, leaf), limit_s=12.0)
    # The leaf's way widens the field, so the gate is prolonged to its borders.
    borders = [walker((0, 0, y), (9, 0, y), radius_m=0.5) for y in np.arange(2.0, 9.1, 1.0)]
    closed = course(
        start=Pose2(2.0, 0, 0),
        goal_m=(-2.0, 0.0),
        walkers=(*gate, leaf, *borders),
        limit_s=12.0,
    )
    assert find_passage(gated, 2.0).inscribed_s < 3.0, "it goes around"
    passage = find_passage(closed, 2.0)
    assert passage.inscribed_s > 3.0
    assert passage.inscribed_s <= passage.circumscribed_s < 6.0
    shut = course(
        start=Pose2(2.0, 0, 0),
        goal_m=(-2.0, 0.0),
        walkers=(*gate, walker((0, 0, 0), (60, 0, 0)), frame),
        limit_s=12.0,
    )
    assert find_passage(shut, 2.0).inscribed_s is None


def test_passage_is_of_moving_discs_only():
    with pytest.raises(BenchError, match="moving discs only"):
        find_passage(course(cylinders=row_of_cylinders(3.0)), 2.0)


def test_the_real_sets_are_whole(shared):
    folder = shared / "data" / "barn"
    if not folder.is_dir():
        pytest.skip("no benchmark worlds")
    static, dynamic = read_static(folder / "static.npz"), read_dynamic(folder / "dynamic.json")
    assert (len(static), len(dynamic)) == (200, 30)
    for one in static:
        legs = np.diff(one.reference_path_m, axis=0)
        assert np.hypot(*legs.T).sum() == pytest.approx(one.path_length_m, rel=1e-5)
    for one in [*static[::40], *dynamic[::10]]:
        result = run(one, Straight(0.5))
        assert result.clearance_m < 5.0
        assert result.cycles > 20
