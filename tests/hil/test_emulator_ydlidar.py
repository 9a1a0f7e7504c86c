from itertools import pairwise

import numpy as np
import pytest

from hil.emulator.ydlidar import G2, X2, YdlidarEmulator
from hil.errors import BenchError
from tests.reference.ydlidar_reference import find_packets

MS = 1_000_000


def room(stamps_ns, bearings):
    """An oval, and a door behind which there is nothing."""
    return np.where(np.cos(bearings - 1.0) > 0.99, np.nan, 2.0 + 0.5 * np.cos(bearings))


def device(model=None):
    return YdlidarEmulator(room, np.random.default_rng(1), model)


def run(lidar, from_ms, to_ms, step_ms=2):
    return b"".join(lidar.transmit(now * MS) for now in range(from_ms, to_ms + 1, step_ms))


def ask(lidar, request, now_ms=0):
    lidar.receive(bytes.fromhex(request), now_ms * MS)
    return run(lidar, now_ms, now_ms + 30).hex()


def test_replies_byte_by_byte():
    lidar = device()
    plate = "06040101" + "02000108000900010000000000000402"
    assert ask(lidar, "a590") == "a55a1400000004" + plate
    assert ask(lidar, "a591", 100) == "a55a0300000006" + "000000"
    assert ask(lidar, "a50d", 200) == "a55a0400000004" + "bc020000"
    assert ask(lidar, "a599", 300) == ""
    assert lidar.commands_received == 4


@pytest.mark.parametrize(("model", "width"), [(None, 2), (G2, 3)])
def test_points_lie_on_the_wall(model, width):
    lidar = device(model)
    run(lidar, 0, 1200)
    assert ask(lidar, "a560", 1200)[:14] == "a55a0500004081"
    packets, noise, failed, _ = find_packets(run(lidar, 1232, 3232), width)
    assert failed == 0
    assert noise < 100, "the rest of the packet that was under way"
    points = [point for packet in packets for point in packet.points]
    assert len(points) == pytest.approx(2 * 5000, abs=60)
    angles, mm, strengths = np.array([point for point in points if point.mm > 0]).T
    np.testing.assert_allclose(mm / 1000.0, room(None, -np.radians(angles)), atol=0.002)
    assert set(strengths) == ({600.0} if model else {0.0})
    # The door takes 4.5 %, and its edges differ with the parallax.
    assert 0.04 < 1.0 - mm.size / len(points) < 0.08


def test_zero_packets_begin_the_revolutions():
    lidar = device()
    run(lidar, 0, 1200)
    lidar.receive(b"\xa5\x60", 1200 * MS)
    packets, *_ = find_packets(run(lidar, 1200, 3200)[7:])
    zeros = [i for i, packet in enumerate(packets) if packet.kind & 1]
    assert len(zeros) in (13, 14)
    assert {packets[i].kind for i in zeros} == {70 << 1 | 1}
    assert {len(packets[i].points) for i in zeros} == {1}
    rays = [
        sum(len(packet.points) for packet in packets[begin:end]) for begin, end in pairwise(zeros)
    ]
    assert set(rays) <= {714, 715}


def test_stop_ends_the_stream_at_once_and_health_refuses():
    lidar = device()
    run(lidar, 0, 1200)
    lidar.receive(b"\xa5\x60", 1200 * MS)
    assert len(run(lidar, 1200, 1500)) > 2000
    lidar.receive(b"\xa5\x65", 1500 * MS)
    assert run(lidar, 1502, 1600) == b""
    lidar.set_fault("health", True, 1600 * MS)
    assert ask(lidar, "a591", 1600) == "a55a0300000006020200"
    assert ask(lidar, "a560", 1700) == ""
    with pytest.raises(BenchError, match="no fault named flood"):
        lidar.set_fault("flood", True, 0)


def test_dtr_runs_the_motor():
    lidar = device(X2)
    lidar.set_dtr(False, 0)
    assert run(lidar, 0, 2000) == b""
    lidar.set_dtr(True, 2000 * MS)
    assert len(run(lidar, 2000, 4000)) > 2000
    lidar.set_fault("motor", True, 4000 * MS)
    run(lidar, 4000, 4020)
    assert run(lidar, 4022, 5000) == b""


def test_a_model_without_a_receiver_sends_from_power_up():
    lidar = device(X2)
    run(lidar, 0, 998)
    packets, *_ = find_packets(run(lidar, 1000, 2000))
    assert sum(len(packet.points) for packet in packets) == pytest.approx(3000, abs=60)
    assert ask(lidar, "a565", 2000)
    assert lidar.commands_received == 0


def test_how_often_the_line_is_drained_does_not_change_the_bytes():
    streams = []
    for step_ms in (1, 2, 25):
        lidar = device(X2)
        streams.append(run(lidar, 0, 2500, step_ms))
    assert streams[0] == streams[1]
    # The start of the measurement is seen at the next look, so only what follows may shift.
    assert len(streams[2]) == pytest.approx(len(streams[0]), abs=200)
