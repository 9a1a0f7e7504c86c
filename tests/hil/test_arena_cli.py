import argparse
import json

import numpy as np
import pytest

from hil.arena.drawing import draw
from hil.arena.report import COLUMNS, line, summary_text
from hil.arena.result import summarize
from hil.cli import barn, dynamic
from hil.errors import BenchError
from tests.hil.arena_courses import Straight, course, row_of_cylinders, walker
from tests.hil.test_arena_course import dynamic_file, static_file
from tests.hil.test_arena_trial import run


def call(verb, *words):
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    return verb.run(parser.parse_args([str(word) for word in words]))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--worlds", "0:9"], "there are courses 0:2, not 0:9"),
        (["--worlds", "two"], "chosen as A:B"),
        (["--profile", "lorry"], "no profile lorry, only jackal and amr"),
    ],
)
def test_wrong_options_are_one_clear_error(tmp_path, words, complaint):
    with pytest.raises(BenchError, match=complaint):
        call(barn, static_file(tmp_path / "set.npz"), *words)
    with pytest.raises(BenchError, match=complaint):
        call(dynamic, dynamic_file(tmp_path / "set.json"), *words)


@pytest.mark.parametrize(
    "words",
    [["--pose-noise", "0.1"], ["--pose-noise", "0.1,x"], ["--range-noise", "-1"], ["--seed", "-1"]],
)
def test_words_that_are_no_numbers_end_the_command_line(tmp_path, words, capsys):
    with pytest.raises(SystemExit) as ended:
        call(barn, tmp_path / "set.npz", *words)
    assert ended.value.code == 2
    assert "not" in capsys.readouterr().err


def drives():
    comes = walker((0, 5, 0), (5, -5, 0), (10, 5, 0))
    courses = [
        course(),
        course(walkers=(comes,)),
        course(cylinders=row_of_cylinders(3.0), walls=np.array([[-1.0, 1.0, 5.0, 1.0]])),
    ]
    speeds_mps = (1.0, 0.0, 1.0)
    return [
        (where, run(where, Straight(speed)))
        for where, speed in zip(courses, speeds_mps, strict=True)
    ]


def test_lines_and_summary_say_what_happened():
    results = [result for _, result in drives()]
    arrived, driven_into, drove = map(line, results)
    assert COLUMNS.split()[:2] == ["course", "result"]
    assert arrived.split()[:2] == ["test", "goal"]
    assert driven_into.endswith("walker 0 at 0.00 m/s, drove in")
    assert "contact" in drove and drove.endswith("at 1.00 m/s")
    text = summary_text(summarize(results))
    assert "33.3% of 3" in text and "66.7%, 1 of them driven in" in text
    json.dumps([result.as_row() for result in results])


def test_each_drive_can_be_drawn(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for number, (where, result) in enumerate(drives()):
        draw(where, result, 2.0, tmp_path / f"{number}.png")
        with image.open(tmp_path / f"{number}.png") as picture:
            assert min(picture.size) > 100
            assert len(picture.getcolors(100_000)) > 5
    with pytest.raises(BenchError, match="No such file"):
        draw(where, result, 2.0, tmp_path / "missing" / "0.png")


def test_verbs_drive_with_the_navigator(tmp_path, capsys):
    pytest.importorskip("agent.avoidance.navigator")
    changes = {"cylinders": np.array([[1, 2, 0.1], [3, 4, 0.2], [5, 6, 0.3]], np.float32)}
    static = static_file(tmp_path / "set.npz", goal=np.array([0.0, 4.0]), **changes)
    noise = ("--range-noise", "0.01", "--pose-noise", "0.01,0.01", "--seed", "5")
    plots = tmp_path / "plots"
    assert call(barn, static, *noise, "--plot", plots, "--with-path", "--profile", "amr") == 0
    output = capsys.readouterr().out
    assert "success" in output and len(list(plots.iterdir())) == 2
    assert call(barn, static, "--worlds", "1:2", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["course"] for row in document["courses"]] == ["8"]
    assert document["courses"][0]["pilot_ms"]["p99"] > 0.0
    assert document["summary"]["runs"] == 1
    moving = dynamic_file(tmp_path / "set.json", start=[3, 0, 3.14], goal=[-2, 0])
    assert call(dynamic, moving, "--feasible", "--worlds", ":1", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["courses"][0]["earliest"]["inscribed_s"] == pytest.approx(2.0, abs=0.21)
    assert call(dynamic, moving, "--feasible", "--worlds", ":1") == 0
    assert "a way exists in 1, none in 0, of 1" in capsys.readouterr().out
