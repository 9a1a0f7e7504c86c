import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.driver import Expect, Flush
from drivers.errors import DeviceFault
from drivers.kernels import ld06 as kernels
from drivers.lidar.ld06 import Ld06, Ld06Codec, Ld06Options, Turning
from drivers.measurement import Scan
from tests.drivers.conversation import play
from tests.reference.ld06_reference import find_frames, frame

SAMPLE_NS = 222_222
FRAME_NS = 12 * SAMPLE_NS
WIRE_NS = round(47 * 10e9 / 230_400)
MANUAL = (
    "542c6808ab7ee000e4dc00e2d900e5d500e3d300e4d000e9cd00e4ca00e2c700e9c500e5c200e5c000e5be823a1a50"
)
SAMPLES = st.tuples(st.integers(0, 65_535), st.integers(0, 255))
FRAMES = st.builds(
    frame,
    st.floats(0, 359.99),
    st.floats(0, 359.99),
    st.lists(SAMPLES, min_size=12, max_size=12),
    st.integers(0, 29_999),
)


def decode(data, room=64):
    array = np.frombuffer(bytes(data), np.uint8)
    array.setflags(write=False)
    ends, heads, cuts = np.zeros(room, "i8"), np.zeros((room, 4), "i8"), np.zeros(room, "i8")
    angles, ranges = np.zeros((room, 12)), np.zeros((room, 12))
    quality = np.zeros((room, 12), "u1")
    counts = kernels.decode_frames(array, ends, heads, cuts, angles, ranges, quality)
    n = counts[0]
    return counts, ends[:n], heads[:n], cuts[:n], angles[:n], ranges[:n], quality[:n]


def turns(count, first_ms=0, mm=2000, first_deg=0.37):
    """Frames of a steady head, 0.8 degrees a sample, 450 samples a turn."""
    frames = []
    for i in range(count * 450 // 12):
        start_deg = first_deg + i * 9.6
        stamp_ms = (first_ms + (i + 1) * FRAME_NS // 1_000_000) % 30_000
        frames.append(frame(start_deg % 360, (start_deg + 8.8) % 360, [(mm, 9)] * 12, stamp_ms))
    return frames


def scans_of(codec, frames, late_ns=lambda i: 0):
    """Feed frames as they arrive, each at its time plus a delay."""
    events = []
    for i, data in enumerate(frames):
        events += codec.feed(data, (i + 1) * FRAME_NS + WIRE_NS + late_ns(i))
    return [event for event in events if isinstance(event, Scan)]


def test_the_frame_of_the_manual():
    counts, _, heads, cuts, angles, ranges, quality = decode(bytes.fromhex(MANUAL))
    assert counts == (1, 47, 0, 0)
    assert heads[0].tolist() == [2152, 32_427, 33_470, 6714]
    assert cuts[0] == 12
    assert np.degrees(-angles[0, [0, -1]]) == pytest.approx([324.27, 334.70])
    assert (ranges[0, 0], quality[0, 0]) == (0.224, 228)
    assert (ranges[0, -1], quality[0, -1]) == (0.192, 229)


def test_all_golden_frames(shared):
    for vector in json.loads((shared / "data/vectors/ld06_ld19.json").read_text())["frames"]:
        counts, _, heads, _, _, ranges, quality = decode(bytes.fromhex(vector["hex"]))
        assert counts == (1, 47, 0, 0)
        keys = ("speed_deg_s", "start_angle_cdeg", "end_angle_cdeg", "timestamp_ms")
        assert heads[0].tolist() == [vector[key] for key in keys]
        expected = vector["points_mm_intensity"]
        assert np.nan_to_num(ranges[0] * 1000).round().tolist() == [mm for mm, _ in expected]
        assert quality[0].tolist() == [strength for _, strength in expected]


@given(st.lists(st.tuples(st.binary(max_size=9), FRAMES), max_size=5), st.data())
def test_frames_agree_with_the_reference(parts, data):
    stream = bytearray(b"".join(noise + sound for noise, sound in parts))
    if stream and data.draw(st.booleans()):
        stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    counts, ends, heads, _, angles, ranges, quality = decode(stream)
    frames, noise, failed = find_frames(bytes(stream))
    assert counts == (len(frames), 47 * len(frames) + noise, noise, failed)
    assert ends.tolist() == [found.offset + 47 for found in frames]
    for i, found in enumerate(frames):
        assert heads[i, 0] == found.speed_dps
        assert heads[i, 3] == found.stamp_ms
        degrees, mm, strength = zip(*found.points, strict=True)
        np.testing.assert_allclose(np.degrees(-angles[i]), degrees, atol=1e-9)
        np.testing.assert_array_equal(np.nan_to_num(ranges[i]), np.array(mm) / 1000.0)
        assert quality[i].tolist() == list(strength)


def test_a_revolution_becomes_a_scan_in_device_time():
    scans = scans_of(Ld06Codec(Ld06Options()), turns(5))
    assert [scan.angles_rad.size for scan in scans] == [450] * 3
    assert [scan.missing for scan in scans] == [0] * 3
    for i, scan in enumerate(scans):
        first = int(np.argmin(scan.offsets_s))
        assert scan.angles_rad[first] == pytest.approx(math.radians(-0.37 % -0.8), abs=0.014)
        assert np.all(scan.ranges_m == 2.0)
        turn_ns = 450 * SAMPLE_NS
        assert scan.stamp_ns == pytest.approx((i + 1) * turn_ns, abs=1_500_000)
        assert scan.offsets_s.max() == pytest.approx(449 * SAMPLE_NS * 1e-9)


@pytest.mark.parametrize("lost", range(48, 75))
def test_a_lost_frame_costs_its_rays_and_nothing_else(lost):
    codec = Ld06Codec(Ld06Options())
    frames = turns(5)
    whole = scans_of(Ld06Codec(Ld06Options()), frames)
    times = list(range(len(frames)))
    del frames[lost], times[lost]
    events = []
    for i, data in zip(times, frames, strict=True):
        events += codec.feed(data, (i + 1) * FRAME_NS + WIRE_NS)
    scans = [event for event in events if isinstance(event, Scan)]
    assert len(scans) == len(whole)
    assert sum(450 - scan.angles_rad.size for scan in scans) == 12
    assert sum(scan.missing for scan in scans) == 12
    assert codec.stats.gaps == 1
    for scan, complete in zip(scans, whole, strict=True):
        assert scan.stamp_ns == pytest.approx(complete.stamp_ns, abs=3_000_000)
        # The rays behind the hole keep their times.
        assert scan.offsets_s.max() == pytest.approx(complete.offsets_s.max(), abs=0.0027)


def test_a_lost_turn_is_no_scan_of_two_halves():
    codec = Ld06Codec(Ld06Options())
    frames = turns(6)
    events = []
    for i, data in enumerate(frames):
        # A little more than a whole turn is lost, so that the angle hardly shows it.
        if not 60 <= i < 60 + 38:
            events += codec.feed(data, (i + 1) * FRAME_NS + WIRE_NS)
    scans = [event for event in events if isinstance(event, Scan)]
    assert codec.stats.short_scans == 1
    assert all(scan.offsets_s.max() < 0.101 for scan in scans)


def test_a_late_reader_does_not_shift_the_stamps():
    def late_ns(i):
        return 40_000_000 if 100 < i < 160 else 0

    prompt = scans_of(Ld06Codec(Ld06Options()), turns(20))
    late = scans_of(Ld06Codec(Ld06Options()), turns(20), late_ns)
    assert len(prompt) == len(late) == 18
    shifts = [scan.stamp_ns - twin.stamp_ns for scan, twin in zip(late, prompt, strict=True)]
    assert max(map(abs, shifts)) < 300_000


def test_the_wrap_of_the_device_clock_is_not_seen():
    scans = scans_of(Ld06Codec(Ld06Options()), turns(8, first_ms=29_600))
    assert np.diff([scan.stamp_ns for scan in scans]) == pytest.approx(450 * SAMPLE_NS, abs=1e6)


def test_no_returns_and_returns_out_of_range_are_nan():
    for mm in (0, 30, 13_000):
        scan = scans_of(Ld06Codec(Ld06Options()), turns(3, mm=mm))[0]
        assert np.isnan(scan.ranges_m).all()


def test_a_head_that_stands_still_does_not_fill_the_memory():
    codec = Ld06Codec(Ld06Options())
    still = frame(10.0, 10.0, [(0, 0)] * 12, speed_dps=0)
    assert scans_of(codec, [*turns(1), *[still * 100] * 90]) == []
    assert codec._assembler._collected < 60_000


@pytest.mark.parametrize("model", ["ld06", "stl27l"])
def test_the_handshake_waits_for_a_turning_head(model):
    driver = Ld06(Ld06Options(model=model))
    assert driver.spec.baud == {"ld06": 230_400, "stl27l": 921_600}[model]
    steps = driver.start()
    assert isinstance(next(steps), Flush)
    assert isinstance(next(steps), Expect)
    steps.close()
    assert play(driver.start(), {Turning: Turning(3600)}) == []
    assert list(driver.stop()) == []
    with pytest.raises(DeviceFault, match=rf"{model}: the head turns at 0 deg/s"):
        play(driver.start(), {Turning: Turning(0)})
