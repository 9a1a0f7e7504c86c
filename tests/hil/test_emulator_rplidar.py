import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.emulator.rplidar import MotorControl, RplidarEmulator, RplidarModel
from hil.errors import BenchError
from tests.reference.rplidar_reference import express_points, standard_points

MS = 1_000_000
SCAN = bytes.fromhex("a520")
EXPRESS = bytes.fromhex("a58205000000000022")
STOP = bytes.fromhex("a525")


def room_m(bearings):
    """A rectangle 6 x 4 m around the lidar, which is out of its middle."""
    x, y = np.cos(bearings), np.sin(bearings)
    with np.errstate(divide="ignore"):
        along_x = np.where(x > 0, 4.0 / x, -2.0 / x)
        along_y = np.where(y > 0, 1.5 / y, -2.5 / y)
    return np.minimum(np.abs(along_x), np.abs(along_y))


def room(stamps_ns, bearings):
    assert stamps_ns.shape == bearings.shape
    return room_m(bearings)


def device(ranges=room, **options):
    return RplidarEmulator(ranges, np.random.default_rng(1), **options)


def run(lidar, from_ns, to_ns, step_ns=2 * MS):
    return b"".join(lidar.transmit(now_ns) for now_ns in range(from_ns, to_ns + 1, step_ns))


def ask(request, lidar=None, now_ns=0):
    lidar = lidar or device()
    lidar.receive(bytes.fromhex(request), now_ns)
    return run(lidar, now_ns, now_ns + 30 * MS).hex()


def test_replies_byte_by_byte():
    serial = RplidarModel().serial.hex()
    assert ask("a550") == "a55a1400000004" + "181d0107" + serial
    assert ask("a552") == "a55a0300000006" + "000000"
    assert ask("a559") == "a55a0400000015" + "f401fa00"
    assert ask("a5ff04000000005e") == "a55a04000000ff" + "00000000"


def conf(payload):
    frame = bytes([0xA5, 0x84, len(payload)]) + payload
    check = 0
    for byte in frame:
        check ^= byte
    return (frame + bytes([check])).hex()


@pytest.mark.parametrize(
    ("key", "mode", "value"),
    [
        (0x70, None, "0200"),
        (0x7C, None, "0100"),
        (0x01, None, "58029402"),
        (0x71, 0, "00f40100"),
        (0x71, 1, "00fa0000"),
        (0x74, 1, "00100000"),
        (0x75, 0, "81"),
        (0x75, 1, "82"),
        (0x7F, 0, b"Standard\0".hex()),
        (0x7F, 1, b"Express\0".hex()),
    ],
)
@pytest.mark.parametrize("reserved", [b"", bytes(32)])
def test_configuration_keys(key, mode, value, reserved):
    mode_bytes = b"" if mode is None else mode.to_bytes(2, "little")
    reply = ask(conf(key.to_bytes(4, "little") + mode_bytes + reserved))
    data = f"{key:02x}000000" + value
    assert reply == f"a55a{len(data) // 2:02x}00000020" + data


def test_unknown_keys_and_modes_are_met_with_silence():
    assert ask(conf(bytes.fromhex("99000000"))) == ""
    assert ask(conf(bytes.fromhex("710000000700"))) == ""
    assert ask("a58205090000000022") == "", "bad checksum"


@given(st.binary(max_size=30))
def test_requests_are_found_behind_any_rubbish(rubbish):
    lidar = device()
    lidar.receive(rubbish.replace(b"\xa5", b""), 0)
    lidar.receive(b"\xa5", 0)
    lidar.receive(b"\x52", 0)
    assert run(lidar, 0, 30 * MS).hex() == "a55a0300000006000000"


def test_reset_answers_with_its_banner_and_nothing_before():
    lidar = device()
    lidar.receive(SCAN, 0)
    run(lidar, 0, 1500 * MS)
    lidar.receive(bytes.fromhex("a540"), 1500 * MS)
    lidar.receive(bytes.fromhex("a552"), 1600 * MS)
    assert run(lidar, 1500 * MS, 2170 * MS) == b""
    banner = run(lidar, 2172 * MS, 2300 * MS)
    assert banner == b"RP LIDAR System.\r\nFirmware Ver 1.29 - rtm, HW Ver 7\r\nModel: 18\r\n"
    assert len(banner) == 64


def test_measurement_waits_for_the_motor():
    lidar = device()
    lidar.receive(SCAN, 0)
    assert run(lidar, 0, 998 * MS).hex() == "a55a0500004081"
    assert len(run(lidar, 1000 * MS, 1100 * MS)) > 900


def stream(request, descriptor, lidar, duration_ms=1000):
    run(lidar, 0, 1200 * MS)
    lidar.receive(request, 1200 * MS)
    data = run(lidar, 1200 * MS, (1200 + duration_ms) * MS)
    assert data[:7].hex() == descriptor
    return data[7:]


def check_points(points, tolerance_m):
    measured = [point for point in points if point.distance_m > 0]
    bearings = np.radians([-point.angle_deg for point in measured])
    distances = np.array([point.distance_m for point in measured])
    np.testing.assert_allclose(distances, room_m(bearings), atol=tolerance_m)


def test_standard_nodes_lie_on_the_walls():
    data = stream(SCAN, "a55a0500004081", device())
    points = standard_points(data)
    assert len(points) == pytest.approx(2000, abs=10)
    check_points(points, 0.000_2)
    starts = [i for i, point in enumerate(points) if point.start]
    assert np.diff(starts).tolist() == [200] * (len(starts) - 1)
    assert all(350.0 < points[i].angle_deg < 360.0 for i in starts)


def test_express_capsules_lie_on_the_walls():
    data = stream(EXPRESS, "a55a5400004082", device())
    assert int.from_bytes(data[2:4], "little") & 0x8000
    assert not int.from_bytes(data[86:88], "little") & 0x8000
    points = express_points(data)
    assert len(points) == pytest.approx(4000, abs=100)
    # A quarter of the last bit of the angle, seen along a wall at a flat angle, and half a mm.
    check_points(points, 0.003)
    wraps = [i for i, point in enumerate(points) if point.start]
    assert np.diff(wraps).tolist() == [400] * (len(wraps) - 1)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=20, max_size=60))
def test_how_often_the_line_is_drained_does_not_change_the_bytes(gaps_ms):
    lidars = [device(), device()]
    for lidar in lidars:
        lidar.transmit(0)
        lidar.receive(EXPRESS, 1000 * MS)
    end = 1000 * MS + sum(gaps_ms) * MS
    times = 1000 * MS + np.cumsum(gaps_ms) * MS
    uneven = b"".join(lidars[0].transmit(int(now)) for now in times)
    assert uneven == run(lidars[1], 1000 * MS, end, MS)


def test_rays_are_cast_at_their_own_times():
    seen = []

    def ranges(stamps_ns, bearings):
        seen.append((stamps_ns, bearings))
        return np.full(bearings.size, np.nan)

    data = stream(EXPRESS, "a55a5400004082", device(ranges), 200)
    assert all(point.distance_m == 0 for point in express_points(data))
    stamps = np.concatenate([stamps_ns for stamps_ns, _ in seen[1::2]])
    assert set(np.diff(stamps).tolist()) == {250_000}
    turned = np.diff(np.concatenate([bearings for _, bearings in seen[1::2]]))
    np.testing.assert_allclose(np.remainder(-turned, math.tau), math.radians(0.9), atol=1e-3)


def test_near_and_far_returns_come_out_of_order_as_they_do_from_a_real_unit():
    def poles(stamps_ns, bearings):
        return np.where(np.sin(20 * bearings) > 0, 0.25, 6.0)

    points = standard_points(stream(SCAN, "a55a0500004081", device(poles)))
    steps = np.diff([point.angle_deg for point in points])
    back = np.mean((steps < 0) & (steps > -180))
    assert 0.02 < back < 0.2


def test_revolutions_are_told_before_their_rays_are_cast():
    told, early = [], []

    def ranges(stamps_ns, bearings):
        if told:
            early.append(int(stamps_ns.max()) - told[-1] >= 100 * MS)
        return np.full(bearings.size, 1.0)

    lidar = device(ranges, on_revolution=lambda index, start_ns: told.append(start_ns))
    points = standard_points(stream(SCAN, "a55a0500004081", lidar))
    assert np.diff(told).tolist() == [100 * MS] * (len(told) - 1)
    assert len(told) == sum(point.start for point in points)
    assert not any(early)


def test_stop_ends_the_stream_at_once():
    lidar = device()
    stream(EXPRESS, "a55a5400004082", lidar, 100)
    lidar.receive(STOP, 1301 * MS)
    assert run(lidar, 1302 * MS, 1400 * MS) == b""


def test_blocked_motor_pauses_and_protection_stop_refuses():
    lidar = device()
    stream(SCAN, "a55a0500004081", lidar, 100)
    lidar.set_fault("motor", True, 1300 * MS)
    run(lidar, 1300 * MS, 1310 * MS)
    assert run(lidar, 1312 * MS, 2500 * MS) == b""
    lidar.set_fault("motor", False, 2500 * MS)
    assert len(run(lidar, 2500 * MS, 4000 * MS)) > 1000
    lidar.set_fault("health", True, 4000 * MS)
    assert ask("a552", lidar, 4001 * MS) == "a55a0300000006" + "020180"
    assert ask("a520", lidar, 4100 * MS) == ""
    with pytest.raises(BenchError, match="no fault named flood"):
        lidar.set_fault("flood", True, 0)


def test_pwm_models_start_and_stop_by_request():
    lidar = device(model=RplidarModel(model=0x28, motor=MotorControl.PWM))
    assert ask("a5ff04000000005e", lidar) == "a55a04000000ff01000000"
    lidar.receive(SCAN, 100 * MS)
    assert len(run(lidar, 100 * MS, 2000 * MS)) == 7
    lidar.receive(bytes.fromhex("a5f0029402c1"), 2000 * MS)
    assert len(run(lidar, 2000 * MS, 3500 * MS)) > 2000
    lidar.receive(bytes.fromhex("a5f00200005 7".replace(" ", "")), 3500 * MS)
    run(lidar, 3500 * MS, 3510 * MS)
    assert run(lidar, 3512 * MS, 5000 * MS) == b""


def test_dtr_holds_the_motor_of_an_a1():
    lidar = device()
    lidar.set_dtr(True, 0)
    lidar.receive(SCAN, 0)
    assert len(run(lidar, 0, 2000 * MS)) == 7
    lidar.set_dtr(False, 2000 * MS)
    assert len(run(lidar, 2000 * MS, 3500 * MS)) > 2000


def test_bytes_per_second_stay_below_the_baud_rate():
    for request, size in ((SCAN, 5 * 2000), (EXPRESS, 84 * 125)):
        lidar = device()
        run(lidar, 0, 1200 * MS)
        lidar.receive(request, 1200 * MS)
        counts = Counter()
        for now_ns in range(1200 * MS, 3200 * MS, MS):
            counts[now_ns // (100 * MS)] += len(lidar.transmit(now_ns))
        assert max(counts.values()) <= 1152 + 1
        assert sum(counts.values()) == pytest.approx(2 * size, rel=0.02)
        assert lidar.line.overrun_bytes == 0
