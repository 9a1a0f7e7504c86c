"""The schema of events, and what of the loop's doings becomes one."""

import json
import math
from typing import Any

import jsonschema
import pytest

from agent.cli import main
from agent.mailbox import LogEvent
from agent.telemetry import events
from agent.telemetry.events import Event, EventWriter, Lost, Motion
from agent.telemetry.historian import TRANSITIONS, Historian, loss_drafter
from agent.telemetry.journal import Cause, Draft, Loss
from agent.telemetry.log import EVENTS

WRITER = EventWriter("acme", "R1", "boot")
UTC_NS = 1_767_225_600_123_456_789
STATUS: dict[str, Any] = {
    "pose": {
        "map_id": "hall",
        "x_m": 1.23456,
        "y_m": 2.0,
        "yaw_rad": 0.5,
        "stddev_m": 0.01,
        "stddev_yaw_rad": math.nan,
        "score": 0.9,
        "localized": True,
    },
    "command": {
        "forward_mps": 0.5,
        "yaw_rate_radps": 0.0,
        "slowed": False,
        "stop_reason": None,
    },
    "wheels": {"forward_mps": 0.49, "yaw_rate_radps": 0.01},
    "battery": {"voltage_v": 24.5, "charge": 0.5},
    "faults": [],
}
TOLD = ("action", "device", "load", "motion", "node", "pose", "search", "stop")


class Notebook:
    """Keeps drafts, and reads them as the journal's thread makes them."""

    def __init__(self, motion_interval_s: float = 0.2) -> None:
        self.drafts: list[Draft] = []
        self.historian = Historian(
            WRITER,
            self.drafts.append,
            motion_interval_s=motion_interval_s,
            statistics_interval_s=10.0,
            loop=lambda: {"cycles": 7, "overruns": 1, "work_p99_ms": 3.2},
            devices={"lidar.front": lambda: {"frames": 12, "gaps": 0}},
        )

    def read(self) -> list[Event]:
        drafts, self.drafts[:] = list(self.drafts), []
        payloads = [draft(n) for n, draft in enumerate(drafts, 1)]
        validator = jsonschema.Draft202012Validator(events.schema())
        for payload in payloads:
            validator.validate(json.loads(payload))
        return [events.read(payload) for payload in payloads]

    def kinds(self) -> list[str]:
        return [event.event.kind for event in self.read()]


def test_an_event_reads_as_it_was_written() -> None:
    payload = WRITER.write(Motion(x_m=1.5, localized=True), UTC_NS, 42, 7)
    tree = json.loads(payload)
    assert tree["time"] == "2026-01-01T00:00:00.123456Z"
    assert (tree["sequence"], tree["boot_id"], tree["monotonic_ns"]) == (7, "boot", 42)
    assert events.read(payload).event == Motion(x_m=1.5, localized=True)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_know_are_left_out(number: float) -> None:
    payload = WRITER.write(Motion(x_m=number), UTC_NS, 1, 1)
    assert "x_m" not in json.loads(payload)["event"]


def test_readers_pass_over_what_a_later_version_adds() -> None:
    tree = json.loads(WRITER.write(Motion(), UTC_NS, 1, 1))
    tree["later"] = tree["event"]["later"] = 1
    assert events.read(json.dumps(tree).encode()).event == Motion()


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"sequence": 1}', b"\xff"])
def test_what_is_no_event_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        events.read(payload)


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["telemetry", "schema"]) == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))
    assert main(["telemetry", "schema", "--markdown"]) == 0
    text = capsys.readouterr().out
    for kind in ("motion", "order", "lost", "loop_timing"):
        assert f"## `{kind}`" in text
    assert "| `boot_id` | string |" in text


def test_each_field_is_explained() -> None:
    for name, definition in events.schema()["$defs"].items():
        for field, schema in definition.get("properties", {}).items():
            assert field in ("kind", "change", "phase") or schema.get("description"), (name, field)


def test_what_the_robot_does_is_told() -> None:
    assert TRANSITIONS.keys() <= EVENTS.keys()
    assert {name for name in EVENTS if name.startswith(TOLD)} <= TRANSITIONS.keys()


@pytest.mark.parametrize("name", TRANSITIONS)
def test_each_transition_makes_an_event(name: str) -> None:
    fields: dict[str, Any] = {
        "device": "base", "code": "PORT_LOST", "reason": "why", "hint": "h", "score": 0.5,
        "order_id": "o", "order_update_id": 1, "node_id": "n", "action_id": "a", "status": "FAILED",
        "action_type": "t", "result": "r", "loads": 1, "topic": "order", "count": 3, "places": 2,
        "map_id": "hall", "by": "x", "stopped_s": 1.5,
    }  # fmt: skip
    notebook = Notebook()
    notebook.historian.observe(STATUS, [LogEvent(name, "info", fields)], UTC_NS, 1)
    first = notebook.read()[0].event
    assert isinstance(first, TRANSITIONS[name][0])
    assert TRANSITIONS[name][1].items() <= first.model_dump().items()


def test_motion_and_statistics_at_their_rates() -> None:
    notebook = Notebook(motion_interval_s=0.2)
    for cycle in range(500):
        notebook.historian.observe(STATUS, (), UTC_NS, 1 + cycle * 20_000_000)
    kinds = notebook.kinds()
    assert kinds.count("motion") == 50
    assert kinds.count("battery") == kinds.count("loop_timing") == 1
    assert kinds.count("device_statistics") == 1


def test_motion_says_where_the_robot_is_and_what_it_does() -> None:
    notebook = Notebook()
    notebook.historian.observe(STATUS, (), UTC_NS, 1)
    motion = notebook.read()[0].event
    assert isinstance(motion, Motion)
    assert (motion.x_m, motion.map_id, motion.localized) == (1.2346, "hall", True)
    assert (motion.forward_mps, motion.command_forward_mps) == (0.49, 0.5)
    assert motion.stddev_yaw_rad is None


def test_a_robot_that_knows_nothing_yet_says_so() -> None:
    notebook = Notebook()
    bare = STATUS | {"pose": None, "wheels": None, "battery": None}
    notebook.historian.observe(bare, (), UTC_NS, 1)
    motion = notebook.read()[0].event
    assert isinstance(motion, Motion)
    assert motion.x_m is None
    assert not motion.localized


def test_faults_are_raised_and_cleared_once() -> None:
    notebook = Notebook(motion_interval_s=3600.0)
    fault = {"code": "STREAM_STALE", "about": "lidar.front", "detail": "no current scan"}
    reworded = fault | {"detail": "still none"}
    for cycle, faults in enumerate(([fault], [fault], [reworded], [], [])):
        notebook.historian.observe(STATUS | {"faults": faults}, (), UTC_NS, 1 + cycle)
    told = [e.event for e in notebook.read() if e.event.kind == "fault"]
    assert [(f.change, f.code, f.about, f.detail) for f in told] == [  # type: ignore[union-attr]
        ("raised", "STREAM_STALE", "lidar.front", "no current scan"),
        ("cleared", "STREAM_STALE", "lidar.front", None),
    ]


def test_the_agent_and_losses_are_told() -> None:
    notebook = Notebook()
    notebook.historian.tell_agent("started", "1.2.3", UTC_NS, 5)
    assert notebook.kinds() == ["agent"]
    told = loss_drafter(WRITER, lambda: UTC_NS, lambda: 9)(Loss(3, 7, Cause.SIZE))(8)
    assert events.read(told).event == Lost(first=3, last=7, cause=Cause.SIZE)
    assert events.read(told).sequence == 8
