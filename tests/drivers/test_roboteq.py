import math

import pytest

from drivers.base.roboteq import (
    Acknowledge,
    Identification,
    Roboteq,
    RoboteqCodec,
    RoboteqOptions,
    Watchdog,
)
from drivers.errors import DeviceFault
from drivers.measurement import BaseStatus, Odometry, VelocityCommand
from tests.drivers.conversation import play

MS = 1_000_000
REPLIES = {
    Acknowledge: Acknowledge(True),
    Identification: Identification("Roboteq v2.0"),
    Watchdog: Watchdog(100),
}


def feed(data, **options):
    codec = RoboteqCodec(RoboteqOptions(**options))
    return list(codec.feed(data, 1000 * MS)), codec


def go(forward_mps, yaw_rate_radps):
    return VelocityCommand(forward_mps, yaw_rate_radps, 2**62)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b"+\r", Acknowledge(True)),
        (b"-\r", Acknowledge(False)),
        (
            b"FID=Roboteq v1.6 RCB500 05/01/2016\r",
            Identification("Roboteq v1.6 RCB500 05/01/2016"),
        ),
        (b"RWD=250\r", Watchdog(250)),
    ],
)
def test_replies(line, event):
    assert feed(line)[0] == [event]


def test_counts_become_odometry_stamped_before_their_line_was_sent():
    ((first,), codec) = feed(b"C=-1:1\r")
    assert isinstance(first, Odometry)
    assert (first.x_m, first.yaw_rad, first.forward_mps) == (0.0, 0.0, 0.0)
    assert first.received_ns == 1000 * MS
    assert first.stamp_ns == 1000 * MS - round(7 * 10e9 / 115_200)
    (second,) = codec.feed(b"C=-101:-99\r", 1020 * MS)
    assert second.x_m == pytest.approx(-100 / 4096 * math.tau * 0.1)


def test_a_reply_that_waited_to_be_read_is_dated_by_its_question():
    codec = RoboteqCodec(RoboteqOptions())
    stamps = []
    for asked_ms, read_ms in ((100, 103), (120, 122), (140, 240), (260, 263)):
        codec.note_sent(b"?C\r", asked_ms * MS)
        codec.note_sent(b"?V\r?BA\r", (read_ms - 1) * MS)
        (found,) = codec.feed(b"C=0:0\r", read_ms * MS)
        stamps.append(found.stamp_ns)
        assert found.received_ns == read_ms * MS
    wire_ns = round(6 * 10e9 / 115_200)
    expected = [103 * MS - wire_ns, *((asked + 2) * MS - wire_ns for asked in (120, 140, 260))]
    assert stamps == expected


@pytest.mark.parametrize(
    ("options", "yaw_sign", "way_sign"),
    [
        ({}, 1, 1),
        ({"left_channel": 2}, -1, 1),
        ({"invert_left": True, "invert_right": True}, -1, -1),
        ({"left_channel": 2, "invert_left": True, "invert_right": True}, 1, -1),
    ],
)
def test_channels_and_directions_are_the_same_for_counts_and_commands(options, yaw_sign, way_sign):
    _, codec = feed(b"C=0:0\r", **options)
    (found,) = codec.feed(b"C=50:150\r", 1020 * MS)
    assert math.copysign(1, found.yaw_rad) == yaw_sign
    assert math.copysign(1, found.x_m) == way_sign
    sent = Roboteq(RoboteqOptions(**options)).command(go(way_sign * 0.5, yaw_sign * 0.4))
    first, second = map(int, sent.split()[1:])
    assert 0 < first < second


def test_status_combines_what_was_reported_last():
    events, _ = feed(b"V=135:243:4980\rBA=12:-7\rFS=1\rFF=0\r")
    (status,) = events
    assert isinstance(status, BaseStatus)
    assert (status.battery_v, status.motor_currents_a) == (24.3, (1.2, -0.7))
    assert (status.e_stop, status.bumper, status.faults) == (False, False, ())


@pytest.mark.parametrize(
    ("lines", "e_stop", "faults"),
    [
        (b"FF=2\r", False, ("overvoltage",)),
        (b"FF=69\r", False, ("overheat", "undervoltage", "MOSFET failure")),
        (b"FS=9\rFF=16\r", True, ()),
        (b"FS=9\rFF=0\r", False, ("power stage off",)),
        (b"FS=9\rFF=1\r", False, ("overheat",)),
    ],
)
def test_faults_have_names(lines, e_stop, faults):
    ((status,), _) = feed(lines)
    assert (status.e_stop, status.faults) == (e_stop, faults)
    assert math.isnan(status.battery_v)


@pytest.mark.parametrize(
    "noise", [b"C=12:x\r", b"C=1:2:3\r", b"C=\r", b"C=12\r", b"\xff\xfe\r", b"&s:28:0:1\r", b"C\r"]
)
def test_what_is_no_reply_costs_only_itself(noise):
    events, _ = feed(noise + b"RWD=250\r")
    assert events == [Watchdog(250)]


def test_noise_is_counted_and_echo_is_not():
    _, codec = feed(b"?C\r!M 0 0\r^ECHOF 1\r~RWD\r# C\r\r")
    assert (codec.stats.skipped_bytes, codec.stats.gaps) == (0, 0)
    _, codec = feed(b"\xff\xfeC=1\r")
    assert (codec.stats.skipped_bytes, codec.stats.gaps) == (6, 1)


def test_a_count_no_wheel_can_reach_is_left_out():
    _, codec = feed(b"C=0:0\r")
    assert codec.feed(b"C=9000:0\r", 1020 * MS) == []
    assert codec.stats.gaps == 1
    (found,) = codec.feed(b"C=40:40\r", 1040 * MS)
    assert found.x_m == pytest.approx(40 / 4096 * math.tau * 0.1)


def test_a_reset_codec_takes_a_new_zero_and_keeps_the_pose():
    _, codec = feed(b"C=0:0\r")
    (before,) = codec.feed(b"C=100:100\r", 1020 * MS)
    codec.feed(b"C=2", 1030 * MS)
    codec.reset()
    (after,) = codec.feed(b"C=-70000:5\r", 9000 * MS)
    assert (after.x_m, after.y_m, after.yaw_rad) == (before.x_m, 0.0, 0.0)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (None, b"!M 0 0\r"),
        (go(0.0, 0.0), b"!M 0 0\r"),
        (go(1.0, 0.0), b"!M 477 477\r"),
        (go(0.0, 1.0), b"!M -119 119\r"),
        (go(-99.0, 0.0), b"!M -1000 -1000\r"),
    ],
)
def test_commands_are_thousandths_of_the_top_speed(command, line):
    assert Roboteq(RoboteqOptions()).command(command) == line


def test_too_fast_a_command_keeps_its_curve():
    driver = Roboteq(RoboteqOptions())
    left, right = map(int, driver.command(go(2.0, 2.0)).split()[1:])
    assert right == 1000
    assert left / right == pytest.approx(1.5 / 2.5, abs=1e-3)


def test_single_channel_commands():
    driver = Roboteq(RoboteqOptions(command="G", left_channel=2, invert_right=True))
    assert driver.command(go(1.0, 0.0)) == b"!G 1 -477\r!G 2 477\r"
    assert driver.command(None) == b"!G 1 0\r!G 2 0\r"


def test_the_handshake_stops_silences_and_arms():
    sent = play(Roboteq(RoboteqOptions()).start(), REPLIES)
    assert sent == [b"\r!M 0 0\r", b"^ECHOF 1\r", b"?FID\r", b"^RWD 100\r", b"~RWD\r"]


def test_a_watchdog_that_is_not_kept_is_a_fault():
    with pytest.raises(DeviceFault, match="keeps its watchdog at 1000 ms, asked for 100 ms"):
        play(Roboteq(RoboteqOptions()).start(), REPLIES | {Watchdog: Watchdog(1000)})


def test_a_rejected_order_is_a_fault():
    replies = REPLIES | {Acknowledge: Acknowledge(False)}
    with pytest.raises(DeviceFault, match=r"rejects \^ECHOF 1"):
        play(Roboteq(RoboteqOptions()).start(), replies)
