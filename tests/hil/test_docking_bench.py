import argparse
import json
import math

import numpy as np
import pytest

from agent.docking.manoeuvre import DockingParams, Phase
from hil.cli import docking
from hil.docking_bench import DockingBench, draw_setting, summarize
from hil.errors import BenchError


@pytest.fixture(scope="module")
def dockings():
    return list(DockingBench(7).run(3))


def test_dockings_are_exact_and_touch_nothing(dockings) -> None:
    summary = summarize([outcome for outcome, _ in dockings])
    assert summary.passed
    assert summary.done == summary.runs == 3
    assert summary.position_m.max < 0.01


def test_the_error_is_that_of_the_robot_and_not_of_its_belief(dockings) -> None:
    for outcome, record in dockings:
        end, carrier = record.true_path[-1], record.setting.world_from_carrier
        apart_m = math.hypot(end.x_m - carrier.x_m, end.y_m - carrier.y_m)
        assert apart_m == pytest.approx(outcome.position_m, abs=1e-9)
        assert record.phases[-1] is outcome.phase is Phase.DONE


def test_the_same_seed_gives_the_same_docking(dockings) -> None:
    again, _ = DockingBench(7).dock(0, draw_setting(7, 0, 0.01))
    assert again == dockings[0][0]


def test_settings_cover_what_was_asked_for() -> None:
    settings = [draw_setting(1, run, 0.01) for run in range(60)]
    starts = [setting.start for setting in settings]
    assert all(1.5 <= -start.x_m <= 3.0 and abs(start.y_m) <= 0.5 for start in starts)
    assert max(abs(math.degrees(start.yaw_rad)) for start in starts) > 25.0
    assert {setting.rays for setting in settings} == {360, 720, 1000}
    assert {round(math.degrees(setting.view_rad)) for setting in settings} == {270, 360}
    assert all(len(setting.walkers) == 2 for setting in settings)
    offs = np.array([setting.world_from_carrier.x_m for setting in settings])
    assert np.abs(offs).max() <= 0.2 and np.ptp(offs) > 0.3


def test_a_docking_given_up_is_never_passed() -> None:
    params = DockingParams(duration_s=1.0)
    outcome, _ = DockingBench(7, params=params).dock(0, draw_setting(7, 0, 0.01))
    assert outcome.phase is Phase.FAILED
    assert outcome.reason
    summary = summarize([outcome])
    assert not summary.passed
    assert math.isnan(summary.position_m.mean)


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    docking.configure(parser)
    return parser.parse_args(arguments)


def test_the_verb_prints_and_draws(capsys, tmp_path) -> None:
    picture = tmp_path / "docking.png"
    options = parsed("--runs", "1", "--seed", "7", "--json", "--plot", str(picture))
    assert docking.run(options) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["summary"]["passed"] is True
    assert len(document["runs"]) == 1
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def driven(monkeypatch, dockings):
    """The verb shows what was driven already."""
    monkeypatch.setattr(DockingBench, "run", lambda bench, runs: iter(dockings[:runs]))


def test_the_verb_prints_a_table(driven, capsys) -> None:
    assert docking.run(parsed("--runs", "1", "--seed", "7")) == 0
    assert "1 of 1 done" in capsys.readouterr().out


def test_a_picture_that_cannot_be_written_is_an_error(driven, tmp_path) -> None:
    options = parsed("--runs", "1", "--seed", "7", "--plot", str(tmp_path / "no" / "x.png"))
    with pytest.raises(BenchError):
        docking.run(options)


@pytest.mark.parametrize("arguments", [("--runs", "0"), ("--noise", "-1"), ("--seed", "x")])
def test_nonsense_is_refused(arguments, capsys) -> None:
    with pytest.raises(SystemExit):
        parsed(*arguments)
    capsys.readouterr()
