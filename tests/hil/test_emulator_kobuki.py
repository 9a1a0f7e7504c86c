import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base.kobuki import Command, encode, frame_size, sub_payloads
from hil.emulator.kobuki import DRIVE, KobukiEmulator, KobukiModel
from hil.errors import BenchError
from tests.hil.motors import Motors

MS = 1_000_000


def mmps(motors):
    return motors.rims_mmps(DRIVE.wheel_radius_m)


@pytest.fixture
def motors():
    return Motors()


@pytest.fixture
def base(motors):
    return KobukiEmulator(motors, np.random.default_rng(1))


def frames(base, until_ms, from_ms=0):
    """Return the sub-payloads of each frame that leaves the base."""
    data = b"".join(base.transmit(now_ms * MS) for now_ms in range(from_ms, until_ms))
    found, at = [], 0
    while size := frame_size(data, at):
        found.append(dict(sub_payloads(data[at : at + size])))
        at += size
    return found


def test_it_streams_every_20_ms_frames_of_77_bytes_of_payload(base, motors):
    motors.counts = (-1, 65536 + 7)
    motors.speeds = (1.0, -1.0)
    data = b"".join(base.transmit(now_ms * MS) for now_ms in range(101))
    assert data.startswith(bytes.fromhex("aa554d010f"))
    assert len(data) >= 5 * 81
    first = dict(sub_payloads(data[:81]))
    assert list(first) == [1, 3, 4, 5, 6, 13, 16]
    assert first[1][:9] == bytes.fromhex("0000 00 00 00 ffff 0700")
    stamps = [sent[1][:2] for sent in frames(base, 200, 101)]
    assert [int.from_bytes(stamp, "little") for stamp in stamps[:2]] == [100, 120]


@pytest.mark.parametrize(
    ("speed", "radius", "left", "right"),
    [
        (0, 0, 0, 0),
        (300, 0, 300, 300),
        (115, 1, -115, 115),
        (415, 300, 185, 415),
        (415, -300, 415, 185),
        (-415, 300, -185, -415),
        (100, 57, -33.721, 100),
    ],
)
def test_base_control_turns_the_wheels(base, motors, speed, radius, left, right):
    base.receive(encode(Command.BASE_CONTROL, struct.pack("<hh", speed, radius)), 0)
    assert mmps(motors) == (left, right)


def test_it_stops_by_itself_after_600_ms(base, motors):
    base.receive(encode(Command.BASE_CONTROL, struct.pack("<hh", 300, 0)), 0)
    base.transmit(600 * MS)
    assert mmps(motors) == (300, 300)
    base.receive(encode(Command.REQUEST_EXTRA, b"\x02\0"), 600 * MS)
    base.transmit(601 * MS)
    assert mmps(motors) == (0, 0), "only a velocity command feeds the watchdog"


def test_requests_are_answered_once(base):
    base.receive(encode(Command.REQUEST_EXTRA, b"\x0b\0"), 0)
    answered, *others = frames(base, 100)
    model = KobukiModel()
    assert answered[10] == bytes((*model.hardware[::-1], 0))
    assert answered[11] == bytes((*model.firmware[::-1], 0))
    assert answered[19] == struct.pack("<III", *model.udid)
    assert not any(10 in other or 11 in other or 19 in other for other in others)


def test_several_commands_share_a_frame(base, motors):
    gain = struct.pack("<BIII", 1, 5, 6, 7)
    parts = ((1, struct.pack("<hh", 200, 0)), (12, b"\xf1\x05"), (13, gain), (14, b"\0"))
    payload = b"".join(bytes((id_, len(data))) + data for id_, data in parts)
    body = bytes((len(payload),)) + payload
    checksum = 0
    for byte in body:
        checksum ^= byte
    base.receive(b"\xaa\x55" + body + bytes((checksum,)), 0)
    assert (mmps(motors), base.outputs, base.commands_received) == ((200, 200), 0x05F1, 4)
    assert frames(base, 40)[0][21] == gain


def test_what_is_damaged_does_nothing(base, motors):
    command = encode(Command.BASE_CONTROL, struct.pack("<hh", 300, 0))
    base.receive(command[:-1] + b"\0", 0)
    base.receive(b"\xaa\xaa\x55\x00" + command[1:], 0)
    assert motors.speeds == (0.0, 0.0)
    base.receive(b"\xaa" + command, 0)
    assert mmps(motors) == (300, 300)


@pytest.mark.parametrize(
    ("kind", "at", "bits"),
    [("bumper", 2, 2), ("cliff", 4, 4), ("wheel_drop", 3, 3), ("overcurrent", 14, 1)],
)
def test_faults_show_in_the_basic_sensor_data(base, kind, at, bits):
    base.set_fault(kind, True, 0)
    assert frames(base, 30)[0][1][at] == bits
    base.set_fault(kind, False, 30 * MS)
    assert frames(base, 90, 30)[-1][1][at] == 0
    with pytest.raises(BenchError, match="no fault named flood"):
        base.set_fault("flood", True, 0)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_are_taken(chunks):
    base = KobukiEmulator(Motors(), np.random.default_rng(1))
    for chunk in chunks:
        base.receive(chunk, 0)
    base.receive(bytes(300), 0)
    base.receive(encode(Command.BASE_CONTROL, struct.pack("<hh", 300, 0)), 0)
    assert mmps(base._wheels) == (300, 300)
