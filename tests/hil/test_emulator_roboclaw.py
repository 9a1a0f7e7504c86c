import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.checksum import crc16_xmodem
from hil.emulator.roboclaw import RoboclawEmulator, RoboclawModel
from hil.errors import BenchError
from tests.hil.motors import Motors

MS = 1_000_000
QPPS = 2 * np.pi / 4096


def qpps(motors):
    return tuple(round(speed / QPPS, 3) for speed in motors.speeds)


@pytest.fixture
def motors():
    return Motors()


@pytest.fixture
def controller(motors):
    return RoboclawEmulator(motors, np.random.default_rng(1))


def order(command, form="", *values, address=0x80):
    packet = bytes((address, command)) + struct.pack(f">{form}", *values)
    return packet + crc16_xmodem(packet).to_bytes(2, "big")


def tell(controller, data, now_ns=0):
    controller.receive(data, now_ns)
    return controller.transmit(now_ns + 40 * MS)


def ask(controller, command, now_ns=0):
    """Return the data of a query's reply, its CRC checked."""
    said = tell(controller, bytes((0x80, command)), now_ns)
    assert crc16_xmodem(bytes((0x80, command)) + said[:-2]) == int.from_bytes(said[-2:], "big")
    return said[:-2]


@pytest.mark.parametrize(
    ("command", "data"),
    [
        (15, "00"),
        (16, "fffffffe 00"),
        (17, "00000003 00"),
        (18, "00000000 00"),
        (21, b"USB Roboclaw 2x15a v4.1.34\n\0".hex()),
        (24, "00fc"),
        (25, "0032"),
        (47, "80 80"),
        (48, "0000 0000"),
        (49, "0000 0000"),
        (55, "00010000 00008000 00000000 00003555"),
        (59, "003c 0154 00"),
        (75, "00 00 00 00 00"),
        (78, "fffffffe 00000003"),
        (82, "0138"),
        (90, "00000000"),
        (91, "00 00"),
        (99, "0003"),
        (202, "55"),
    ],
)
def test_queries(controller, motors, command, data):
    motors.counts = (-2, 3)
    assert ask(controller, command) == bytes.fromhex(data)


def test_old_firmware_says_less(motors):
    controller = RoboclawEmulator(
        motors, np.random.default_rng(1), RoboclawModel(old_firmware=True)
    )
    assert ask(controller, 90) == b"\0\0"
    assert ask(controller, 59) == bytes.fromhex("003c0154")
    controller.set_fault("estop", True, 0)
    assert ask(controller, 90, 50 * MS) == b"\0\4"
    assert tell(controller, order(57, "HH", 180, 300), 100 * MS) == b"\xff"
    assert tell(controller, order(68, "I", 1000), 150 * MS) == b"\xff"


@pytest.mark.parametrize(
    ("command", "form", "values", "speeds"),
    [
        (0, "B", (127,), (13653, 0)),
        (5, "B", (127,), (0, -13653)),
        (6, "B", (64,), (0, 0)),
        (32, "h", (-32767,), (-13653, 0)),
        (34, "hh", (0, 32767), (0, 13653)),
        (35, "i", (1000,), (1000, 0)),
        (36, "i", (-1000,), (0, -1000)),
        (37, "ii", (1000, -1000), (1000, -1000)),
        (40, "Iii", (500, 1000, -1000), (1000, -1000)),
        (50, "IiIi", (500, 1000, 500, -1000), (1000, -1000)),
        (54, "hIhI", (32767, 1, -32767, 1), (13653, -13653)),
    ],
)
def test_orders_turn_the_wheels_and_are_acknowledged(
    controller, motors, command, form, values, speeds
):
    assert tell(controller, order(command, form, *values)) == b"\xff"
    assert qpps(motors) == speeds


def test_what_is_damaged_or_for_another_is_not_answered(controller, motors):
    packet = order(37, "ii", 1000, 1000)
    for spoilt in (packet[:-1] + b"\0", packet[:5] + b"\x01" + packet[6:], b"\x80\xfa", b"\x90"):
        assert tell(controller, spoilt) == b""
        assert tell(controller, order(37, "ii", 1000, 1000, address=0x81), 20 * MS) == b""
    assert motors.speeds == (0.0, 0.0)
    assert ask(controller, 15, 100 * MS) == b"\0"


def test_a_packet_may_come_in_pieces_but_must_not_pause(controller, motors):
    packet = order(37, "ii", 1000, 1000)
    for at in range(len(packet)):
        controller.receive(packet[at : at + 1], at * 9 * MS)
    assert qpps(motors) == (1000, 1000)
    controller.receive(packet[:6], 200 * MS)
    assert tell(controller, order(37, "ii", 5, 5), 220 * MS) == b"\xff\xff"
    assert qpps(motors) == (5, 5)


def test_any_byte_feeds_the_watchdog_and_silence_stops(controller, motors):
    tell(controller, order(14, "B", 3))
    assert ask(controller, 15, 50 * MS) == b"\3"
    tell(controller, order(37, "ii", 1000, 1000), 100 * MS)
    for now_ms in range(200, 2000, 200):
        controller.receive(b"\x80\x4e", now_ms * MS)
    assert qpps(motors) == (1000, 1000), "a query keeps the old motion alive: the manual's trap"
    controller.transmit(2200 * MS)
    assert motors.speeds == (0.0, 0.0)
    tell(controller, b"\x80\x4e", 2300 * MS)
    assert motors.speeds == (0.0, 0.0)
    tell(controller, order(35, "i", 10), 2400 * MS)
    assert qpps(motors) == (10, 0)


@pytest.mark.parametrize(
    ("lock", "after_release", "after_reset"),
    [(0x55, 0, 0), (0xAA, 1, 0), (0x00, 1, 1)],
)
def test_an_emergency_stop_ends_as_its_lock_says(motors, lock, after_release, after_reset):
    controller = RoboclawEmulator(motors, np.random.default_rng(1), RoboclawModel(e_stop_lock=lock))
    tell(controller, order(37, "ii", 1000, 1000))
    controller.set_fault("estop", True, 50 * MS)
    assert motors.braked
    assert tell(controller, order(37, "ii", 1000, 1000), 60 * MS) == b"\xff"
    assert motors.speeds == (0.0, 0.0)
    tell(controller, order(200), 110 * MS)
    assert ask(controller, 90, 160 * MS)[-1] == 1, "the button is still pressed"
    controller.set_fault("estop", False, 200 * MS)
    assert ask(controller, 90, 210 * MS)[-1] == after_release
    tell(controller, order(200), 260 * MS)
    assert ask(controller, 90, 310 * MS)[-1] == after_reset
    assert motors.speeds == (0.0, 0.0)


def test_moves_of_a_distance_queue_up(controller, motors):
    tell(controller, order(41, "iIB", 1000, 500, 1))
    tell(controller, order(41, "iIB", -200, 100, 0), 50 * MS)
    assert ask(controller, 47, 100 * MS) == bytes((1, 128))
    motors.counts = (499, 0)
    controller.transmit(150 * MS)
    assert qpps(motors) == (1000, 0)
    motors.counts = (505, 0)
    controller.transmit(200 * MS)
    assert qpps(motors) == (-200, 0)
    assert ask(controller, 47, 250 * MS) == bytes((0, 128))
    motors.counts = (405, 0)
    controller.transmit(300 * MS)
    assert qpps(motors) == (0, 0)


def test_encoders_are_set_reset_and_wrap(controller, motors):
    motors.counts = (2**32 + 5, -1)
    assert ask(controller, 78) == bytes.fromhex("00000005ffffffff")
    tell(controller, order(22, "I", 100), 50 * MS)
    assert ask(controller, 16, 100 * MS) == bytes.fromhex("0000006400")
    tell(controller, order(20), 150 * MS)
    assert ask(controller, 78, 200 * MS) == bytes(8)


@pytest.mark.parametrize(
    ("kind", "bits"), [("overheat", 2), ("driver", 0x40), ("undervoltage", 0x80000)]
)
def test_faults_show_in_the_status(controller, motors, kind, bits):
    tell(controller, order(37, "ii", 1000, 1000))
    controller.set_fault(kind, True, 50 * MS)
    assert int.from_bytes(ask(controller, 90, 100 * MS), "big") == bits
    assert (motors.speeds == (0.0, 0.0)) == (kind != "undervoltage")
    controller.set_fault(kind, False, 150 * MS)
    assert ask(controller, 90, 200 * MS) == bytes(4)


def test_unknown_fault_is_a_bench_error(controller):
    with pytest.raises(BenchError, match="no fault named flood"):
        controller.set_fault("flood", True, 0)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_are_taken_and_the_next_query_is_answered(chunks):
    controller = RoboclawEmulator(Motors(), np.random.default_rng(1))
    for chunk in chunks:
        controller.receive(chunk, 0)
    controller.transmit(10**9)
    assert ask(controller, 15, 2 * 10**9) in (b"\0", bytes((controller._timeout_ms // 100,)))
