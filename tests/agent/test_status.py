import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.status import LABEL, _lines, _wrapped, duration
from agent.main import activity, complaints
from drivers.errors import PortLost
from drivers.runner import DeviceState, Phase
from tests.agent.room import Robot, agent_in


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (61.0, "1 min 1 s"),
        (3599.6, "1 h 0 min"),
        (3 * 3600 + 20 * 60, "3 h 20 min"),
        (3 * 86_400 + 7200, "3 d 2 h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@given(st.floats(0, 1e8))
def test_no_unit_overflows(seconds):
    for count, unit in re.findall(r"([\d.]+) (s|min|h)\b", duration(seconds)):
        assert float(count) < {"s": 60, "min": 60, "h": 48}[unit]


@given(st.text("ab -/.", min_size=1), st.integers(20, 90))
def test_wrapping_keeps_the_words_and_the_column(text, width):
    lines = _wrapped("lidar", text, width).splitlines() or ["lidar"]
    assert lines[0].startswith("lidar")
    assert " ".join(line[LABEL:] for line in lines).split() == text.split()
    assert all(line[:LABEL].isspace() for line in lines[1:])


def told(robot: Robot) -> dict:
    """The status as the daemon completes it."""
    status = robot.agent.status(robot.now_ns)
    return status | {
        "robot": "R1", "version": "0.1.0", "codecs": {}, "loop": {"cycles": 0},
        "broker": {
            "host": "broker", "port": 1883, "connected": True, "connected_s": 4000.0,
            "sent": 3, "skipped": 1, "received": 2,
        },
        "complaints": complaints(status),
    }  # fmt: skip


def test_it_can_be_shown_before_anything_is_known(tmp_path):
    shown = dict(_lines(told(Robot(agent_in(tmp_path)))))
    assert shown["pose"] == "unknown, no odometry yet"
    assert shown["battery"] == "unknown"
    assert shown["order"] == "none yet, idle"
    assert shown["broker"] == ("broker:1883 connected for 1 h 6 min; 3 sent, 1 skipped, 2 received")
    assert shown["!"] == "not localized: no scan yet"


def test_what_is_wrong_is_said_with_reason_and_time(tmp_path):
    robot = Robot(agent_in(tmp_path)).start().drive()
    assert complaints(robot.agent.status(robot.now_ns)) == []
    assert activity(robot.agent.status(robot.now_ns)["order"]) == "order A, nodes left: 1"
    lost = DeviceState("lidar", Phase.LOST, robot.now_ns, PortLost("ttyUSB0: unplugged"))
    robot.tick(devices=(lost,))
    robot.run(2.0)
    lines = list(_lines(told(robot)))
    assert ("lidar", "lost for 2.0 s") in lines
    assert ("", "PORT_LOST: ttyUSB0: unplugged") in lines
    assert ("!", "lidar lost for 2.0 s: PORT_LOST: ttyUSB0: unplugged") in lines
    assert ("!", "standing: no current scan for 2.0 s") in lines
