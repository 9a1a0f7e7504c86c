"""That no error of the product, wherever it is defined, is unknown to ``haulier explain``."""

import ast
import re
from pathlib import Path

import pytest

from agent.cli import main
from agent.cli.explain import _learn, codes
from drivers.errors import Level

ROOT = Path(__file__).parents[2]
SOURCES = [path for name in ("agent", "drivers", "hil") for path in (ROOT / name).rglob("*.py")]


def defined() -> dict[str, Path]:
    """Return every class in the sources that descends from HaulierError, found by its bases."""
    bases: dict[str, list[str]] = {}
    where: dict[str, Path] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [ast.unparse(base).rsplit(".", 1)[-1] for base in node.bases]
                where[node.name] = path
    errors = {"HaulierError"}
    while more := {n for n, b in bases.items() if n not in errors and errors.intersection(b)}:
        errors |= more
    return {name: where[name] for name in errors}


_learn()
ERRORS = codes()
DEFINED = defined()


def test_explain_knows_every_error_of_the_sources():
    assert {error.__name__ for error in ERRORS.values()} >= DEFINED.keys()


@pytest.mark.parametrize("name", sorted(DEFINED))
def test_errors_live_where_they_are_looked_for(name):
    assert DEFINED[name].name == "errors.py"


@pytest.mark.parametrize("code", sorted(ERRORS))
def test_every_code_can_be_explained(code, capsys):
    error = ERRORS[code]
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", code)
    assert isinstance(error.level, Level)
    assert error.exit_code in (1, 65, 69, 70, 78)
    assert main(["explain", code.lower()]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{code}: ")
    for part in (error.vda_type, str(error.level), error.hint, str(error.exit_code)):
        assert part in text


def test_all_are_listed(capsys):
    assert main(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(ERRORS)
    assert len({len(line) - len(line.split(maxsplit=1)[1]) for line in lines}) == 1, "not aligned"
    assert all(line.endswith((".", "?")) for line in lines)


def test_a_misspelt_code_is_guessed(capsys):
    assert main(["explain", "PORT_LOSS"]) == 2
    assert "did you mean PORT_LOST?" in capsys.readouterr().err
