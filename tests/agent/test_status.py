import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.pose import pose_lines
from agent.cli.status import _lines, _wrapped, duration
from agent.geometry.pose import Pose2
from agent.main import activity, complaints, stated_pose
from drivers.errors import PortLost
from drivers.runner import DeviceState, Phase
from tests.agent.room import LIDAR, REAR_MOUNT, TWO_LIDARS, Robot, agent_in

COLUMN = 13


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
    lines = _wrapped("lidar", text, COLUMN, width).splitlines() or ["lidar"]
    assert lines[0].startswith("lidar")
    assert " ".join(line[COLUMN:] for line in lines).split() == text.split()
    assert all(line[:COLUMN].isspace() for line in lines[1:])


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


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(), st.text()), max_size=4))
def test_only_three_finite_numbers_state_a_pose(words):
    pose = stated_pose(words)
    if pose is not None:
        assert len(words) == 3
        assert math.isfinite(pose.x_m + pose.y_m)
        assert -math.pi <= pose.yaw_rad < math.pi


def test_a_pose_is_told_as_it_was_written():
    assert stated_pose([1, -2.5, 0.5]) == Pose2(1.0, -2.5, 0.5)
    assert stated_pose("123") is None
    assert stated_pose([10**400, 0, 0]) is None


def test_a_pose_in_words(tmp_path):
    robot = Robot(agent_in(tmp_path)).start()
    pose = robot.agent.status(robot.now_ns)["pose"] | {"x_m": 1.0, "y_m": -2.5, "yaw_rad": 0.25}
    first, second = pose_lines(pose)
    assert first == "x 1.000 m, y -2.500 m, yaw 0.250 rad on map hall"
    assert second.startswith("localized; score ")
    odd = pose | {"warning": "the wheels slip", "searching": True}
    assert pose_lines(odd)[2:] == ["searching the whole map", "warning: the wheels slip"]
    lost = pose | {"localized": False, "reason": "2 places fit"}
    assert "not localized: 2 places fit" in pose_lines(lost)[1]


def test_what_is_wrong_is_said_with_reason_and_time(tmp_path):
    agent = agent_in(tmp_path, TWO_LIDARS)
    robot = Robot(agent, {"lidar.rear": REAR_MOUNT}).start().drive()
    assert complaints(robot.agent.status(robot.now_ns)) == []
    assert activity(robot.agent.status(robot.now_ns)["order"]) == "order A, nodes left: 1"
    lost = DeviceState(LIDAR, Phase.LOST, robot.now_ns, PortLost("ttyUSB0: unplugged"))
    robot.tick(devices=(lost,))
    robot.run(2.0)
    lines = list(_lines(told(robot)))
    assert (LIDAR, "lost for 2.0 s") in lines
    assert [label for label, text in lines if text.startswith("streaming")] == [
        "lidar.rear", "base"
    ]  # fmt: skip
    assert ("", "PORT_LOST: ttyUSB0: unplugged") in lines
    assert ("!", "lidar.front lost for 2.0 s: PORT_LOST: ttyUSB0: unplugged") in lines
    assert ("!", "standing: no current scan of lidar.front for 2.0 s") in lines
