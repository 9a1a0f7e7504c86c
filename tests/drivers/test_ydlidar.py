import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import DeviceFault
from drivers.kernels import ydlidar as kernels
from drivers.lidar.ydlidar import (
    SCAN,
    Health,
    Info,
    Request,
    Streaming,
    Ydlidar,
    YdlidarCodec,
    YdlidarOptions,
    request,
)
from drivers.measurement import Scan
from tests.drivers.conversation import play
from tests.reference.ydlidar_reference import find_packets, packet

SAMPLE_NS = 200_000
PLATE = "a55a1400000004 06 04 01 01 02000108000900010000000000000402"
REPLIES = {Info: Info(6, "1.4", 1, "00"), Health: Health(0, 0), Streaming: Streaming()}


def packets_of(width):
    sample = st.tuples(st.integers(0, 65_535), st.integers(0, 255))
    return st.builds(
        packet,
        st.floats(0, 359.9),
        st.floats(0, 359.9),
        st.lists(sample, min_size=1, max_size=12),
        st.integers(0, 255),
        st.just(width),
    )


def decode(data, width=2, room=16):
    array = np.frombuffer(bytes(data), np.uint8)
    array.setflags(write=False)
    ends, heads, sizes = np.zeros(room, "i8"), np.zeros((room, 3), "i8"), np.zeros(room, "i8")
    angles, ranges = np.zeros((room, 255)), np.zeros((room, 255))
    quality = np.zeros((room, 255), "u1")
    counts = kernels.decode_packets(array, width, ends, heads, sizes, angles, ranges, quality)
    n = counts[0]
    return counts, ends[:n], heads[:n], sizes[:n], angles[:n], ranges[:n], quality[:n]


def turn(word=8000, rays=720, low=0, width=2):
    """A revolution: the zero packet, then packets of 40 samples at most."""
    step_deg = 360.0 / rays
    packets = [packet(0.0, 0.0, [(word, low)], 1, width)]
    for begin in range(1, rays, 40):
        end = min(begin + 40, rays)
        samples = [(word, low)] * (end - begin)
        packets.append(packet(begin * step_deg, (end - 1) * step_deg, samples, 0, width))
    return packets


def streaming(**options):
    codec = YdlidarCodec(YdlidarOptions(**options))
    if codec._model.takes_commands:
        assert list(codec.feed(SCAN, 0)) == [Streaming()]
    return codec


def scans_of(codec, stream, received_ns=0):
    return [event for event in codec.feed(stream, received_ns) if isinstance(event, Scan)]


def test_the_zero_packet_of_the_manual():
    counts, _, heads, sizes, angles, ranges, _ = decode(bytes.fromhex("aa55010153ae53aeab540000"))
    assert counts == (1, 12, 0, 0)
    assert heads[0].tolist() == [1, 0x5729, 0x5729]
    assert sizes[0] == 1
    assert np.degrees(-angles[0, 0]) == pytest.approx(0x5729 / 64)
    assert math.isnan(ranges[0, 0])


def test_the_golden_packet(shared):
    vectors = json.loads((shared / "data/vectors/crc16_bases.json").read_text())
    counts, *_ = decode(bytes.fromhex(vectors["ydlidar_tri"]["zero_packet"]))
    assert counts == (1, 12, 0, 0)


def test_triangulation_turns_a_point_by_its_distance():
    # YDLIDAR, X4 development manual: 1000 mm lies 6.7622 degrees before the encoder's angle.
    _, _, _, _, angles, ranges, _ = decode(packet(215.0, 216.0, [(4000, 0), (0, 0)]))
    assert np.degrees(-angles[0, :2]) == pytest.approx([215.0 - 6.7622, 216.0], abs=1e-4)
    assert ranges[0, 0] == 1.0
    assert math.isnan(ranges[0, 1])


@pytest.mark.parametrize("width", [2, 3])
@settings(max_examples=40)
@given(data=st.data())
def test_packets_agree_with_the_reference(width, data):
    parts = data.draw(st.lists(st.tuples(st.binary(max_size=9), packets_of(width)), max_size=5))
    stream = bytearray(b"".join(noise + sound for noise, sound in parts))
    if stream and data.draw(st.booleans()):
        stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    counts, ends, heads, sizes, angles, ranges, quality = decode(stream, width)
    packets, noise, failed, used = find_packets(bytes(stream), width)
    assert counts == (len(packets), used, noise, failed)
    for i, expected in enumerate(packets):
        size = len(expected.points)
        assert ends[i] == expected.offset + 10 + width * size
        assert (heads[i, 0], sizes[i]) == (expected.kind, size)
        degrees, mm, strengths = zip(*expected.points, strict=True)
        np.testing.assert_allclose(np.degrees(-angles[i, :size]), degrees, atol=1e-9)
        np.testing.assert_array_equal(np.nan_to_num(ranges[i, :size]), np.array(mm) / 1000.0)
        assert quality[i, :size].tolist() == [strength // 4 for strength in strengths]


def test_a_revolution_becomes_a_scan():
    codec = streaming()
    stream = b"".join(turn() + turn() + turn())
    first, second = scans_of(codec, stream)
    for scan in (first, second):
        assert scan.angles_rad.size == 720
        assert np.all(scan.ranges_m == 2.0)
        assert scan.offsets_s.max() == pytest.approx(719 * SAMPLE_NS * 1e-9)
        assert (scan.missing, set(scan.quality)) == (0, {0})
    assert (codec.stats.scans, codec.stats.gaps, codec.stats.skipped_bytes) == (2, 0, 0)


def test_near_and_far_in_one_revolution_miss_nothing():
    """A point near by lies degrees away from its far neighbour; that is no loss."""
    step_deg = 360 / 720
    words = [800 if i // 60 % 2 else 24_000 for i in range(720)]
    packets = [packet(0.0, 0.0, [(words[0], 0)], 1)]
    for begin in range(1, 720, 40):
        part = [(word, 0) for word in words[begin : begin + 40]]
        packets.append(packet(begin * step_deg, (begin + len(part) - 1) * step_deg, part))
    scans = scans_of(streaming(), b"".join(packets + packets + packets))
    assert [scan.missing for scan in scans] == [0, 0]


@pytest.mark.parametrize("lost", range(1, 18))
def test_a_lost_packet_costs_its_rays_and_nothing_else(lost):
    codec = streaming()
    damaged = turn()
    del damaged[lost]
    scans = scans_of(codec, b"".join([*turn(), *damaged, *turn(), *turn()]))
    assert [scan.missing for scan in scans] == [0, 40, 0]
    assert [scan.angles_rad.size for scan in scans] == [720, 680, 720]
    assert scans[1].offsets_s.max() == pytest.approx(719 * SAMPLE_NS * 1e-9)
    assert codec.stats.gaps == 1


def test_a_lost_zero_packet_does_not_merge_two_revolutions():
    codec = streaming()
    scans = scans_of(codec, b"".join([*turn(), *turn(12_000)[1:], *turn(), *turn()]))
    assert len(scans) == 2
    merged, good = scans
    assert merged.angles_rad.size in range(717, 722)
    assert np.median(merged.ranges_m) == 3.0
    assert good.angles_rad.size == 720


def test_intensity_is_ten_bits_wide():
    # 600 = 2 * 256 + 88.
    scan = scans_of(streaming(model="g2"), b"".join(2 * turn(8002, low=88, width=3)))[0]
    assert set(scan.quality) == {150}
    assert np.all(scan.ranges_m == 2.0)


@pytest.mark.parametrize(
    ("frame", "reply"),
    [
        (PLATE, Info(6, "1.4", 1, "02000108000900010000000000000402")),
        ("a55a0300000006 02 0200", Health(2, 2)),
        ("a55a0500004081", Streaming()),
    ],
)
@pytest.mark.parametrize("noise", [b"", b"\xa5", b"\xa5\x5a\xa5", b"\xaa\x55\x01\x01"])
def test_answers_are_found_behind_noise(frame, reply, noise):
    codec = YdlidarCodec(YdlidarOptions())
    assert list(codec.feed(noise + bytes.fromhex(frame), 0)) == [reply]
    assert codec.stats.skipped_bytes == len(noise)


@pytest.mark.parametrize(("status", "warnings"), [(0, 0), (1, 1), (2, 0)])
def test_a_device_that_is_not_well_but_goes_on_is_counted(status, warnings):
    codec = YdlidarCodec(YdlidarOptions())
    codec.feed(bytes.fromhex("a55a0300000006") + bytes([status, 2, 0]), 0)
    assert codec.stats.warnings == warnings


def test_the_handshake():
    driver = Ydlidar(YdlidarOptions())
    assert (driver.spec.baud, driver.spec.dtr) == (128_000, True)
    assert [frame.hex() for frame in play(driver.start(), REPLIES)] == [
        "a565",
        "a590",
        "a591",
        "a560",
    ]
    assert play(driver.stop(), {}) == [request(Request.STOP)]


def test_a_device_without_a_receiver_is_only_listened_to():
    driver = Ydlidar(YdlidarOptions(model="x2"))
    assert play(driver.start(), REPLIES) == []
    assert play(driver.stop(), {}) == []
    events = list(driver.codec.feed(turn()[0], 0))
    assert events == [Streaming()]


def test_an_error_of_the_device_is_a_fault_with_a_hint():
    with pytest.raises(DeviceFault, match="ydlidar x4 reports error 0x0002: free its head"):
        play(Ydlidar(YdlidarOptions()).start(), REPLIES | {Health: Health(2, 2)})
