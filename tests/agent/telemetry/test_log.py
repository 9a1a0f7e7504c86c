import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from agent.telemetry import log
from agent.telemetry.log import EVENTS
from drivers.runner import Phase

AGENT = Path(log.__file__).parents[1]
METHODS = {"debug", "info", "warning", "error", "critical", "_log"}
NAME = re.compile(r"[a-z]+\.[a-z_]+")


def logged() -> dict[str, set[str]]:
    """Return event -> modules that log it, straight or by way of the outbox."""
    found: dict[str, set[str]] = {}
    for path in AGENT.rglob("*.py"):
        for name in _names(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(name, set()).add(path.name)
    return found


def _names(tree: ast.AST) -> Iterator[str]:
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args):
            continue
        if call.func.attr in METHODS and "log" in ast.unparse(call.func):
            yield from _values(call.args[0], tree)


def _values(node: ast.AST, tree: ast.AST) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(name)):
            yield name
        case ast.IfExp(body=body, orelse=orelse):
            yield from (*_values(body, tree), *_values(orelse, tree))
        case ast.JoinedStr(values=[ast.Constant(value="device."), _]):
            yield from (f"device.{phase}" for phase in Phase)
        case ast.Name(id=variable):
            for other in ast.walk(tree):
                if isinstance(other, ast.Assign) and ast.unparse(other.targets[0]) == variable:
                    yield from _values(other.value, tree)


def test_every_event_that_is_logged_is_in_the_closed_list():
    unknown = {name: where for name, where in logged().items() if name not in EVENTS}
    assert unknown == {}


def test_every_event_of_the_list_is_logged_somewhere():
    assert EVENTS.keys() - logged().keys() == set()


@pytest.mark.parametrize("name", EVENTS)
def test_names_are_noun_and_verb_and_explained(name):
    assert NAME.fullmatch(name)
    assert EVENTS[name]


@pytest.fixture
def configured() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("level", "priority"), [("info", 6), ("warning", 4), ("error", 3), ("critical", 2)]
)
def test_lines_for_the_journal(configured, capfd, level, priority):
    log.configure(console=False)
    getattr(structlog.get_logger().bind(port=1883), level)("broker.lost", reason='a "quoted"\none')
    (line,) = capfd.readouterr().err.splitlines()
    prefix, text = line[:3], line[3:]
    assert prefix == f"<{priority}>"
    entry = json.loads(text)
    assert (entry["event"], entry["level"], entry["port"]) == ("broker.lost", level, 1883)
    assert entry["reason"] == 'a "quoted"\none'
    assert entry["timestamp"].endswith("Z")


def test_debug_is_silent(configured, capfd):
    log.configure(console=False)
    structlog.get_logger().debug("broker.lost")
    assert capfd.readouterr().err == ""


def test_the_journal_keeps_the_traceback_of_what_ended_the_daemon(configured, capfd):
    log.configure(console=False)
    try:
        raise ZeroDivisionError("of all things")
    except ZeroDivisionError:
        structlog.get_logger().error("agent.failed", exc_info=True)
    (line,) = capfd.readouterr().err.splitlines()
    assert "test_log.py" in json.loads(line[3:])["exception"]


def test_a_terminal_gets_words(configured, capfd):
    log.configure(console=True)
    structlog.get_logger().info("broker.connected", port=1883)
    line = capfd.readouterr().err
    assert "broker.connected" in line
    assert not line.startswith("<")
