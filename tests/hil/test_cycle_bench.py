import argparse
import dataclasses
import json
import math

import numpy as np
import pytest

from agent.avoidance.navigator import Navigator
from agent.clock import SimulatedClock, SystemClock
from hil import cycle_bench
from hil.arena.campaign import Campaign
from hil.arena.clutter import LENGTH_M, WAY_HALF_M, WIDTH_M, make_clutter
from hil.arena.profile import JACKAL
from hil.cli import cycle
from hil.cycle_bench import EVERYTHING, PHASES, CycleTimes, Spent, Stopwatch, measure, watching
from hil.errors import BenchError
from tests.hil.test_arena_course import static_file

MS = 1_000_000


def call(*words):
    parser = argparse.ArgumentParser()
    cycle.configure(parser)
    return cycle.run(parser.parse_args([str(word) for word in words]))


class Work:
    """Takes time on a clock that moves only when told to."""

    def __init__(self):
        self.clock = SimulatedClock()
        self.stopwatch = Stopwatch(self.clock)

    def lasts(self, duration_ms):
        self.clock.wait_until_ns(self.clock.now_ns() + duration_ms * MS)

    def timed(self, phase, *parts):
        """A function of so many ms, and of calls of others."""

        def work():
            for part in parts:
                self.lasts(part) if isinstance(part, int) else part()
            return phase

        return self.stopwatch.timed(phase, work)

    def spent_ms(self):
        return [{k: v // MS for k, v in spent.items() if v} for spent in self.stopwatch.cycles]


def test_what_a_phase_calls_of_another_counts_for_the_other():
    work = Work()
    tracks = work.timed("tracks", 5)
    governor = work.timed("governor", 1, tracks, 2, tracks)
    with work.stopwatch.cycle():
        work.lasts(100)
        assert work.timed("between", 7, governor, 20, tracks)() == "between"
        work.lasts(100)
    assert work.spent_ms() == [{"tracks": 15, "governor": 3, "between": 27}]


def test_between_two_cycles_nothing_counts():
    work = Work()
    for _ in range(2):
        with work.stopwatch.cycle():
            work.timed("grid", 3)()
        work.timed("grid", 50)()
    assert work.spent_ms() == [{"grid": 3}, {"grid": 3}]


def test_a_phase_that_fails_has_ended():
    work = Work()
    failing = work.stopwatch.timed("grid", lambda: 1 / 0)
    with work.stopwatch.cycle():
        with pytest.raises(ZeroDivisionError):
            failing()
        work.lasts(9)
        work.timed("scan", 4)()
    assert work.spent_ms() == [{"scan": 4}]


def test_the_agent_is_as_before_afterwards():
    methods = {part: getattr(*part) for parts in PHASES.values() for part in parts}
    with pytest.raises(ZeroDivisionError), watching(Stopwatch(SimulatedClock())):
        assert not any(getattr(*part) is method for part, method in methods.items())
        raise ZeroDivisionError
    assert all(getattr(*part) is method for part, method in methods.items())


def test_commands_are_the_same_with_a_stopwatch_and_without(monkeypatch):
    course = dataclasses.replace(make_clutter(0, 1), limit_s=1.5)
    drives, step = [], Navigator.step

    def kept(self, *args):
        command = step(self, *args)
        drives[-1].append(command)
        return command

    monkeypatch.setattr(Navigator, "step", kept)
    for drive in (
        lambda: list(Campaign().run([course])),
        lambda: measure([course], JACKAL, SystemClock()),
    ):
        drives.append([])
        drive()
    assert drives[0] == drives[1]
    assert max(command.forward_mps for command in drives[0]) > 0.5


def test_all_phases_of_all_cycles_are_in_the_sum():
    course = dataclasses.replace(make_clutter(1, 1), limit_s=1.0)
    times = measure([course], JACKAL, SystemClock())
    assert times.drives == 1 and times.cycles >= 20
    assert [*times.phases] == [*PHASES, EVERYTHING]
    assert all(0.0 < s.median_ms <= s.p99_ms <= s.max_ms for s in times.phases.values())
    assert all(0.0 < s.median_ms <= s.max_ms for s in times.references.values())
    *phases, whole = times.phases.values()
    assert max(phase.max_ms for phase in phases) <= whole.max_ms
    assert whole.max_ms <= sum(phase.max_ms for phase in phases)


def test_ratios_are_of_medians():
    times = CycleTimes(
        drives=1,
        cycles=3,
        phases={"grid": Spent.of([2 * MS, 3 * MS, 40 * MS])},
        references={"numpy": Spent.of([4 * MS, 6 * MS, 1 * MS])},
    )
    assert times.ratio("grid", "numpy") == pytest.approx(0.75)
    assert times.phases["grid"].max_ms == pytest.approx(40.0)


def test_verb_prints_a_table_of_drawn_courses(monkeypatch, capsys):
    monkeypatch.setattr(cycle_bench, "Campaign", short_drives(0.5))
    assert call("--drives", 2, "--profile", "amr") == 0
    output = capsys.readouterr().out
    assert "cycles in 2 drives" in output
    rows = {line[:16].strip(): line[16:].split() for line in output.splitlines()[2:]}
    for phase in (*PHASES, EVERYTHING):
        assert len(rows[phase]) == 5, phase
    assert len(rows["numpy"]) == len(rows["open"]) == 3


def test_verb_drives_worlds_from_all_over_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cycle_bench, "Campaign", short_drives(0.5))
    static = static_file(tmp_path / "set.npz")
    assert call("--worlds", static, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["drives"] == 2
    whole = document["phases"][EVERYTHING]["median_ms"]
    ratio = document["ratios"]["numpy"][EVERYTHING]
    assert ratio == pytest.approx(whole / document["references"]["numpy"]["median_ms"])


def short_drives(limit_s):
    """A campaign that ends each drive early."""

    class Short(Campaign):
        def run(self, courses):
            return super().run([dataclasses.replace(c, limit_s=limit_s) for c in courses])

    return Short


@pytest.mark.parametrize(
    ("words", "complaint"),
    [(("--profile", "lorry"), "no profile lorry"), (("--worlds", "missing.npz"), "missing.npz")],
)
def test_wrong_options_are_one_clear_error(words, complaint):
    with pytest.raises(BenchError, match=complaint):
        call(*words)


@pytest.mark.parametrize("number", range(6))
def test_drawn_courses_are_as_dense_as_the_challenge_and_have_a_way(number):
    course = make_clutter(number, 7)
    assert 200 < len(course.cylinders) < 330
    way_m, middles_m = course.reference_path_m, course.cylinders[:, :2]
    assert (np.abs(middles_m) <= (WIDTH_M / 2.0, LENGTH_M)).all()
    away_m = np.hypot(*(way_m[:, None] - middles_m).transpose(2, 0, 1))
    assert away_m.min() > WAY_HALF_M
    assert np.hypot(*np.diff(way_m, axis=0).T).max() < 0.1
    ends = [(course.start.x_m, course.start.y_m), course.goal_m]
    np.testing.assert_allclose(way_m[[0, -1]], ends, atol=1e-9)
    assert 10.0 < course.path_length_m < 13.5
    assert math.isclose(course.start.yaw_rad, math.pi / 2.0)


def test_a_drawn_course_follows_from_number_and_seed():
    one, same, other = make_clutter(3, 5), make_clutter(3, 5), make_clutter(4, 5)
    np.testing.assert_array_equal(one.cylinders, same.cylinders)
    assert not np.array_equal(one.reference_path_m, other.reference_path_m)
    assert not np.array_equal(one.reference_path_m, make_clutter(3, 6).reference_path_m)
