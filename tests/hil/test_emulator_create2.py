import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.emulator.create2 import DRIVE, Create2Emulator, Create2Model
from hil.errors import BenchError
from tests.hil.motors import Motors

MS = 1_000_000
OFF, PASSIVE, SAFE, FULL = range(4)


def mmps(motors):
    return motors.rims_mmps(DRIVE.wheel_radius_m)


@pytest.fixture
def motors():
    return Motors()


@pytest.fixture
def robot(motors):
    robot = Create2Emulator(motors, np.random.default_rng(1), Create2Model(counts=(65535, 7)))
    robot.receive(bytes((128, 131)), 0)
    return robot


def tell(robot, *values, now_ns=0):
    robot.receive(bytes(values), now_ns)
    return robot.transmit(now_ns + 12 * MS)


def test_modes_follow_the_commands(motors):
    robot = Create2Emulator(motors, np.random.default_rng(1))
    modes = []
    for opcode in (131, 128, 145, 131, 132, 128, 130, 133, 132, 143, 131, 173, 132, 7):
        robot.receive(bytes((opcode, *((0,) * 4 if opcode == 145 else ()))), 0)
        modes.append(robot.mode)
    assert modes == [
        OFF,
        PASSIVE,
        PASSIVE,
        SAFE,
        FULL,
        PASSIVE,
        SAFE,
        PASSIVE,
        FULL,
        PASSIVE,
        SAFE,
        OFF,
        OFF,
        OFF,
    ]
    assert robot.transmit(1000 * MS).startswith(b"bl-start\r\n")


@pytest.mark.parametrize(
    ("data", "left", "right"),
    [
        ((145, 0, 200, 0, 100), 100, 200),
        ((145, 255, 56, 1, 244), 500, -200),
        ((146, 0, 255, 255, 1), -500, 500),
        ((137, 0, 200, 0x80, 0), 200, 200),
        ((137, 0, 200, 0x7F, 0xFF), 200, 200),
        ((137, 0, 200, 0, 1), -200, 200),
        ((137, 0, 200, 255, 255), 200, -200),
        ((137, 255, 56, 1, 244), -153, -247),
        ((137, 0x7F, 0, 0x80, 0), 500, 500),
    ],
)
def test_drive_commands(robot, motors, data, left, right):
    tell(robot, *data)
    assert mmps(motors) == (left, right)
    assert tell(robot, 149, 2, 41, 42, now_ns=50 * MS) == (right % 65536).to_bytes(2, "big") + (
        left % 65536
    ).to_bytes(2, "big")
    tell(robot, 128, now_ns=100 * MS)
    assert mmps(motors) == (0, 0)
    tell(robot, *data, now_ns=150 * MS)
    assert mmps(motors) == (0, 0), "in passive mode nothing drives"


def test_there_is_no_watchdog(robot, motors):
    tell(robot, 145, 0, 200, 0, 200)
    robot.transmit(3600 * 1000 * MS)
    assert mmps(motors) == (200, 200)


@pytest.mark.parametrize(
    ("group", "size"),
    [
        (0, 26),
        (1, 10),
        (2, 6),
        (3, 10),
        (4, 14),
        (5, 12),
        (6, 52),
        (100, 80),
        (101, 28),
        (106, 12),
        (107, 9),
        (7, 1),
        (43, 2),
        (58, 1),
        (59, 0),
        (99, 0),
    ],
)
def test_packets_and_groups_have_their_lengths(robot, group, size):
    assert len(tell(robot, 142, group)) == size


def test_everything_has_its_place_in_group_100(robot, shared):
    golden = json.loads((shared / "data/vectors/irobot_oi.json").read_text())
    data = tell(robot, 142, 100)
    assert len(data) == len(golden["group_100_real_looking_80_bytes"]["bytes"])
    assert int.from_bytes(data[17:19], "big") == 15_900
    assert (data[40], data[52:56]) == (SAFE, bytes((255, 255, 0, 7)))


def test_distance_and_angle_are_since_the_last_time(robot, motors):
    motors.counts = (450, 450)
    assert tell(robot, 142, 2)[2:] == bytes((0, 200, 0, 0))
    motors.counts = (250, 650)
    assert tell(robot, 149, 2, 19, 20, now_ns=50 * MS) == bytes((0, 0, 0, 43))


def test_the_stream_comes_every_15_ms_and_adds_up_to_nothing(robot):
    robot.receive(bytes((148, 2, 29, 13)), 0)
    data = b"".join(robot.transmit(now_ms * MS) for now_ms in range(100))
    assert data == bytes((19, 5, 29, 9, 96, 13, 0, 85)) * 6
    tell(robot, 150, 0, now_ns=100 * MS)
    assert robot.transmit(500 * MS) == b""
    tell(robot, 150, 1, now_ns=500 * MS)
    assert len(robot.transmit(550 * MS)) == 3 * 8


@pytest.mark.parametrize(
    ("kind", "packet", "value"),
    [("bumper", 7, 3), ("wheel_drop", 7, 12), ("cliff", 9, 1), ("overcurrent", 14, 16)],
)
def test_faults_show_in_their_packets(robot, motors, kind, packet, value):
    tell(robot, 145, 0, 200, 0, 200)
    robot.set_fault(kind, True, 20 * MS)
    assert tell(robot, 142, packet, now_ns=50 * MS) == bytes((value,))
    stops = kind in ("wheel_drop", "cliff")
    assert (robot.mode, mmps(motors)) == ((PASSIVE, (0, 0)) if stops else (SAFE, (200, 200)))
    robot.set_fault(kind, False, 80 * MS)
    tell(robot, 132, 145, 0, 200, 0, 200, now_ns=80 * MS)
    robot.set_fault(kind, True, 100 * MS)
    assert (robot.mode, mmps(motors)) == (FULL, (200, 200)), "in full mode nothing stops it"


def test_an_edge_may_be_left_backwards(robot, motors):
    robot.set_fault("cliff", True, 0)
    tell(robot, 145, 255, 56, 255, 56)
    assert (robot.mode, mmps(motors)) == (SAFE, (-200, -200))


def test_unknown_fault_is_a_bench_error(robot):
    with pytest.raises(BenchError, match="no fault named flood"):
        robot.set_fault("flood", True, 0)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_are_taken(chunks):
    robot = Create2Emulator(Motors(), np.random.default_rng(1))
    for chunk in chunks:
        robot.receive(chunk, 0)
    robot.receive(bytes(1000), 0)
    robot.receive(bytes((150, 0, 128, 132, 145, 0, 100, 0, 100)), 0)
    assert mmps(robot._wheels) == (100, 100)
