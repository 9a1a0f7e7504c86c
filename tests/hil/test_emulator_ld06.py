from itertools import pairwise

import numpy as np
import pytest

from hil.emulator.ld06 import Ld06Emulator, Ld06Model, crc8
from hil.errors import BenchError
from tests.reference import ld06_reference
from tests.reference.ld06_reference import find_frames

MS = 1_000_000
MANUAL = bytes.fromhex(
    "542c6808ab7ee000e4dc00e2d900e5d500e3d300e4d000e9cd00e4ca00e2c700e9c500e5c200e5c000e5be823a1a50"
)


def wall(stamps_ns, bearings):
    """A wall at x = 3 m, and nothing behind."""
    with np.errstate(divide="ignore"):
        ranges = 3.0 / np.cos(bearings)
    return np.where((ranges > 0) & (ranges < 10), ranges, np.nan)


def device(**model):
    return Ld06Emulator(wall, np.random.default_rng(1), Ld06Model(**model))


def run(lidar, from_ms, to_ms, step_ms=2):
    return b"".join(lidar.transmit(now * MS) for now in range(from_ms, to_ms + 1, step_ms))


def test_the_checksum_is_as_published():
    body = ld06_reference.frame(1.0, 2.0, [(5, 6)] * 12)[:-1]
    assert crc8(body) == ld06_reference.crc8(body)
    assert crc8(MANUAL[:-1]) == MANUAL[-1]


def test_frames_come_from_power_up_at_the_rate_of_the_manual():
    lidar = device()
    run(lidar, 0, 998)
    frames, noise, failed = find_frames(run(lidar, 1000, 3000))
    assert (noise, failed) == (0, 0)
    assert len(frames) == pytest.approx(2 * 4500 / 12, abs=2)
    assert {frame.speed_dps for frame in frames} == {3600}
    stamps = [frame.stamp_ms for frame in frames]
    assert set(np.diff(stamps).tolist()) <= {2, 3}
    for before, after in pairwise(frames):
        assert (after.start_deg - before.end_deg) % 360 == pytest.approx(0.8, abs=0.011)


def test_points_lie_on_the_wall():
    lidar = device()
    run(lidar, 0, 998)
    for frame in find_frames(run(lidar, 1000, 1500))[0]:
        angles, mm, intensity = np.array(frame.points).T
        expected = np.nan_to_num(wall(None, -np.radians(angles)))
        np.testing.assert_allclose(mm / 1000.0, expected, atol=0.000_51)
        assert set(intensity[mm > 0]) <= {200.0}
        assert not intensity[mm == 0].any()


def test_the_clock_wraps_at_thirty_seconds():
    lidar = device(samples_per_s=480, spin_up_s=0.01)
    stamps = [frame.stamp_ms for frame in find_frames(run(lidar, 0, 31_000, 50))[0]]
    assert max(stamps) == pytest.approx(29_987, abs=13)
    assert sum(np.diff(stamps) < 0) == 1


def test_a_blocked_motor_shows_as_speed_zero():
    lidar = device()
    run(lidar, 0, 1500)
    lidar.set_fault("motor", True, 1500 * MS)
    run(lidar, 1502, 2600)
    frames, *_ = find_frames(run(lidar, 2602, 2700))
    assert {frame.speed_dps for frame in frames} == {0}
    lidar.set_fault("motor", False, 2700 * MS)
    run(lidar, 2702, 3700)
    assert {frame.speed_dps for frame in find_frames(run(lidar, 3702, 3800))[0]} <= {3599, 3600}


def test_other_faults():
    lidar = device()
    with pytest.raises(BenchError, match="no fault named flood"):
        lidar.set_fault("flood", True, 0)
    run(lidar, 0, 1500)
    lidar.set_fault("garbage", True, 1500 * MS)
    _, noise, _ = find_frames(run(lidar, 1502, 2500))
    assert noise > 0
    lidar.set_fault("mute", True, 2500 * MS)
    assert run(lidar, 2502, 2600) == b""
    lidar.receive(b"\xa5\x25", 2600 * MS)
    assert lidar.commands_received == 0


def test_how_often_the_line_is_drained_does_not_change_the_bytes():
    coarse, fine = (run(device(), 0, 1500, step) for step in (50, 2))
    assert coarse == fine
