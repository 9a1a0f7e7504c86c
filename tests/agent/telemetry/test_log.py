import ast
import json
import re
from pathlib import Path

import pytest
import structlog

import agent
from agent.telemetry import log
from drivers.runner import Phase

LOGGERS = {"info", "warning", "error", "debug", "_log"}
EVENT = re.compile(r"[a-z_]+\.[a-z_]+")


def logged_names() -> set[str]:
    """Return the first argument of every logging call in the agent's sources."""
    names = set()
    for path in Path(agent.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in LOGGERS
                and node.args
            ):
                names |= {
                    c.value
                    for c in ast.walk(node.args[0])
                    if isinstance(c, ast.Constant)
                    and isinstance(c.value, str)
                    and EVENT.fullmatch(c.value)
                }
    return names


def test_every_event_is_in_the_closed_list() -> None:
    found = logged_names()
    assert len(found) > 10
    assert found <= set(log.EVENTS)
    assert {f"device.{phase}" for phase in Phase} <= set(log.EVENTS)


def test_events_are_noun_and_verb() -> None:
    assert all(EVENT.fullmatch(name) for name in log.EVENTS)


@pytest.mark.parametrize(
    ("level", "prefix"), [("info", "<6>"), ("warning", "<4>"), ("error", "<3>")]
)
def test_journald_reads_the_priority_and_people_the_event(
    capsys: pytest.CaptureFixture[str], level: str, prefix: str
) -> None:
    log.configure(console=False)
    try:
        getattr(structlog.get_logger(), level)("scan.stale", age_s=0.31)
        line = capsys.readouterr().err
    finally:
        structlog.reset_defaults()
    assert line.startswith(f'{prefix}{{"event": "scan.stale", "level": "{level}"')
    assert json.loads(line[3:])["age_s"] == 0.31
