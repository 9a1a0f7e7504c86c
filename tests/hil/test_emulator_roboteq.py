import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.emulator.roboteq import RoboteqEmulator, RoboteqModel
from hil.errors import BenchError

MS = 1_000_000
RPM = math.tau / 60


class Motors:
    """Motors without inertia; speeds are what was asked for."""

    def __init__(self):
        self.speeds = (0.0, 0.0)
        self.counts = (0, 0)
        self.braked = False

    def set_wheel_speeds(self, left_radps, right_radps):
        self.speeds = (left_radps, right_radps)

    def wheel_speeds_radps(self):
        return self.speeds

    def encoder_counts(self):
        return self.counts

    def set_brake(self, engaged):
        self.braked = engaged

    @property
    def rpm(self):
        return tuple(round(speed / RPM, 6) for speed in self.speeds)


@pytest.fixture
def motors():
    return Motors()


@pytest.fixture
def controller(motors):
    return RoboteqEmulator(motors, np.random.default_rng(1), RoboteqModel(echo=False))


def ask(controller, text, now_ns=0):
    controller.receive(text.encode("ascii") + b"\r", now_ns)
    return controller.transmit(now_ns + 15 * MS).decode("ascii")


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("?C", "C=-1:1\r"),
        ("?C 2", "C=1\r"),
        ("?c", "C=-1:1\r"),
        ("  ?S   1 ", "S=0\r"),
        ("?S", "S=0:0\r"),
        ("?FF", "FF=0\r"),
        ("?FS", "FS=1\r"),
        ("?FM 1", "FM=0\r"),
        ("?FM", "FM=0:0\r"),
        ("?V", "V=135:252:4980\r"),
        ("?V 2", "V=252\r"),
        ("?BA", "BA=2:2\r"),
        ("?A", "A=0:0\r"),
        ("?T", "T=31:29:29\r"),
        ("?FID", "FID=Roboteq v2.0 HDC2460 03/28/2019\r"),
        ("?M", "M=0:0\r"),
        ("^RWD 2000", "+\r"),
        ("~RWD", "RWD=1000\r"),
        ("~MXRPM 2", "MXRPM=200\r"),
        ("!G 1 500", "+\r"),
        ("!M 100 -100", "+\r"),
        ("bad", "-\r"),
        ("?XYZ", "-\r"),
        ("?C 3", "-\r"),
        ("?C one", "-\r"),
        ("!G 3 100", "-\r"),
        ("!G 1", "-\r"),
        ("^RWD", "-\r"),
        ("^RWD -5", "-\r"),
        ("^NOPE 1", "-\r"),
        ("~NOPE", "-\r"),
        ("# x", "-\r"),
        ("", ""),
    ],
)
def test_replies(controller, motors, text, reply):
    motors.counts = (-1, 1)
    assert ask(controller, text) == reply


def test_echo_is_on_until_told_otherwise(motors):
    controller = RoboteqEmulator(motors, np.random.default_rng(1))
    assert ask(controller, "?S") == "?S\rS=0:0\r"
    assert ask(controller, "^ECHOF 1", 20 * MS) == "^ECHOF 1\r+\r"
    assert ask(controller, "?S", 40 * MS) == "S=0:0\r"


def test_commands_reach_the_right_wheels(controller, motors):
    ask(controller, "!G 1 500")
    ask(controller, "!G 2 -2000", 20 * MS)
    assert motors.rpm == (100.0, -200.0)
    assert ask(controller, "?M", 40 * MS) == "M=500:-1000\r"
    ask(controller, "!S 2 30", 60 * MS)
    assert motors.rpm == (100.0, 30.0)
    assert ask(controller, "?S", 80 * MS) == "S=100:30\r"
    ask(controller, "^MXRPM 1 100", 100 * MS)
    ask(controller, "!M 500 0", 120 * MS)
    assert motors.rpm == (50.0, 0.0)


def test_only_commands_feed_the_watchdog(controller, motors):
    ask(controller, "!G 1 500")
    for now_ms in range(100, 901, 100):
        ask(controller, "?C", now_ms * MS)
    controller.transmit(1000 * MS)
    assert motors.rpm == (100.0, 0.0)
    controller.transmit(1001 * MS)
    assert motors.rpm == (0.0, 0.0)


def test_after_the_watchdog_any_command_lets_the_motors_resume(controller, motors):
    ask(controller, "!M 500 500")
    controller.transmit(1500 * MS)
    assert motors.rpm == (0.0, 0.0)
    ask(controller, "?FF", 1600 * MS)
    ask(controller, "!G 3 0", 1650 * MS)
    assert motors.rpm == (0.0, 0.0), "neither a query nor a rejected command wakes it"
    ask(controller, "!G 1 0", 1700 * MS)
    assert motors.rpm == (0.0, 100.0), "channel 2 runs on with what it had"


def test_watchdog_can_be_set_and_switched_off(controller, motors):
    ask(controller, "^RWD 100")
    ask(controller, "!M 500 500", 10 * MS)
    controller.transmit(111 * MS)
    assert motors.rpm == (0.0, 0.0)
    ask(controller, "^RWD 0", 200 * MS)
    ask(controller, "!M 500 500", 220 * MS)
    controller.transmit(10_000 * MS)
    assert motors.rpm == (100.0, 100.0)


def test_emergency_stop_latches_until_released(controller, motors):
    ask(controller, "!M 500 500")
    controller.set_fault("estop", True, 10 * MS)
    assert motors.rpm == (0.0, 0.0)
    assert motors.braked
    assert ask(controller, "?FF", 20 * MS) == "FF=16\r"
    assert ask(controller, "!MG", 40 * MS) == "+\r"
    assert ask(controller, "?FF", 60 * MS) == "FF=16\r", "the button is still pressed"
    controller.set_fault("estop", False, 80 * MS)
    assert ask(controller, "?FF", 80 * MS) == "FF=16\r"
    ask(controller, "!MG", 100 * MS)
    assert ask(controller, "?FF", 120 * MS) == "FF=0\r"
    assert not motors.braked
    ask(controller, "!EX", 140 * MS)
    assert ask(controller, "?FF", 160 * MS) == "FF=16\r"
    ask(controller, "!MG", 180 * MS)
    assert motors.rpm == (0.0, 0.0), "a software stop forgets the command"


@pytest.mark.parametrize(
    ("kind", "query", "reply"),
    [
        ("overheat", "?FF", "FF=1\r"),
        ("undervoltage", "?FF", "FF=4\r"),
        ("stall", "?FM 1", "FM=2\r"),
        ("stall", "?FS", "FS=25\r"),
    ],
)
def test_faults_show_in_the_registers_and_cut_the_power(controller, motors, kind, query, reply):
    ask(controller, "!M 500 500")
    controller.set_fault(kind, True, 20 * MS)
    assert motors.rpm == (0.0, 0.0)
    assert ask(controller, query, 40 * MS) == reply
    controller.set_fault(kind, False, 60 * MS)
    assert motors.rpm == (100.0, 100.0)


def test_unknown_fault_is_a_bench_error(controller):
    with pytest.raises(BenchError, match="no fault named flood"):
        controller.set_fault("flood", True, 0)


def test_counters_wrap_at_32_bit_and_can_be_set(controller, motors):
    motors.counts = (2**31 + 5, -(2**31) - 1)
    assert ask(controller, "?C") == f"C={-(2**31) + 5}:{2**31 - 1}\r"
    ask(controller, "!C 1 100", 20 * MS)
    assert ask(controller, "?C 1", 40 * MS) == "C=100\r"


def test_relative_counts_are_lost_once_read(controller, motors):
    motors.counts = (10, 20)
    assert ask(controller, "?CR") == "CR=10:20\r"
    motors.counts = (15, 20)
    assert ask(controller, "?CR", 20 * MS) == "CR=5:0\r"


def test_queries_repeat_in_turn(controller, motors):
    ask(controller, "?S")
    ask(controller, "?FF", 20 * MS)
    ask(controller, "# 50", 40 * MS)
    said = [controller.transmit(now * MS).decode() for now in range(60, 260, 10)]
    assert "".join(said) == "S=0:0\rFF=0\r" * 2
    ask(controller, "# C", 300 * MS)
    assert controller.transmit(1000 * MS) == b""


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_any_bytes_are_answered_and_never_move_a_stopped_robot(chunks):
    motors = Motors()
    controller = RoboteqEmulator(motors, np.random.default_rng(1), RoboteqModel(echo=False))
    for chunk in chunks:
        controller.receive(chunk.replace(b"!", b"") + b"\r", 0)
    assert motors.speeds == (0.0, 0.0)
    controller.receive(b"\r?C\r", 10**9)
    assert controller.transmit(3 * 10**9).decode().endswith("C=0:0\r")
