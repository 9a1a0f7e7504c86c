import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import DeviceFault
from drivers.kernels import sick_s300 as kernels
from drivers.lidar.sick_s300 import Heard, SickS300, SickS300Codec, SickS300Options
from drivers.measurement import Scan
from tests.drivers.conversation import play
from tests.reference import sick_s300_reference as reference
from tests.reference.sick_s300_reference import MEASURING, NEW, OLD, telegram

MS = 1_000_000
WIRE_NS = 1108 * 20_000
TELEGRAMS = st.builds(
    telegram,
    st.lists(st.integers(0, 65_535), max_size=20),
    st.integers(0, 2**32 - 1),
    st.integers(0, 1),
    st.sampled_from([0xAAAA, 0xBBBB, 0xCCCC]),
    st.sampled_from([OLD, NEW, MEASURING]),
    st.sampled_from([7, 8]),
)


def find(data):
    array = np.frombuffer(bytes(data), np.uint8)
    array.setflags(write=False)
    begins, ends = np.zeros(16, "i8"), np.zeros(16, "i8")
    counts = kernels.find_telegrams(array, begins, ends)
    return counts, begins[: counts[0]].tolist(), ends[: counts[0]].tolist()


def feed(codec, data, received_ns=10**9):
    return list(codec.feed(data, received_ns))


def scan_of(codec, data, received_ns=10**9):
    scans = [event for event in feed(codec, data, received_ns) if isinstance(event, Scan)]
    return scans[0] if scans else None


def test_the_golden_telegram(shared):
    vectors = json.loads((shared / "data/vectors/crc16_bases.json").read_text())["sick_s300"]
    assert hex(reference.crc16(b"123456789")) == vectors["check_123456789"]
    data = bytes.fromhex(
        vectors["old_protocol_3_points (synthetic, header layout accepted by cob_sick_s300)"]
    )
    assert telegram([212, 214, 215], number=1) == data
    heard, scan = feed(SickS300Codec(SickS300Options()), data)
    assert heard == Heard(False, False)
    assert scan.ranges_m == pytest.approx([2.12, 2.14, 2.15])
    assert np.degrees(scan.angles_rad) == pytest.approx([-0.5, 0.0, 0.5])


@settings(max_examples=60)
@given(st.lists(st.tuples(st.binary(max_size=9), TELEGRAMS), max_size=5), st.data())
def test_telegrams_agree_with_the_reference(parts, data):
    stream = bytearray(b"".join(noise + sound for noise, sound in parts))
    if stream and data.draw(st.booleans()):
        stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    counts, begins, ends = find(stream)
    expected, noise, failed, used = reference.find_telegrams(bytes(stream))
    assert begins == [found.offset for found in expected]
    assert counts == (len(expected), used, noise, failed)
    for found, end in zip(expected, ends, strict=True):
        assert end - found.offset == 26 + 2 * len(found.values)


@given(st.lists(st.integers(0, 65_535), min_size=1, max_size=30))
def test_values_agree_with_the_reference(values):
    ranges, quality = np.zeros(len(values), "f4"), np.zeros(len(values), "u1")
    data = np.array(values, "<u2").view(np.uint8)
    data.setflags(write=False)
    kernels.decode_values(data, ranges, quality)
    np.testing.assert_array_equal(ranges, np.array([reference.metres(v) for v in values], "f4"))
    assert quality.tolist() == [255 if value & 0x2000 else 0 for value in values]


@pytest.mark.parametrize("layout", [OLD, NEW, MEASURING])
@pytest.mark.parametrize("address", [7, 8])
def test_a_scan_of_every_layout_lies_where_it_was_measured(layout, address):
    values = [100 + i for i in range(541)]
    values[7] = 0xE000 | 500
    block = telegram(values, 3, layout=layout, address=address)
    assert len(block) == 1108
    codec = SickS300Codec(SickS300Options())
    scan = scan_of(codec, block)
    assert scan.angles_rad.shape == (541,)
    assert np.degrees(scan.angles_rad[[0, 270, 540]]) == pytest.approx([-135.0, 0.0, 135.0])
    assert scan.ranges_m[[0, 7, 540]] == pytest.approx([1.0, 5.0, 6.4])
    assert np.flatnonzero(scan.quality).tolist() == [7]
    # Three quarters of a turn of 40 ms.
    assert scan.offsets_s[-1] == pytest.approx(0.03)
    assert scan.stamp_ns == pytest.approx(10**9 - WIRE_NS - 30 * MS, abs=1000)
    assert (codec.stats.scans, codec.stats.frames, codec.stats.skipped_bytes) == (1, 1, 0)


def stamps(late_ns, numbers=range(100), first=0):
    codec = SickS300Codec(SickS300Options())
    found = []
    for i in numbers:
        block = telegram([200] * 541, (first + i) % 2**32)
        found.append(scan_of(codec, block, 10**9 + i * 40 * MS + late_ns(i)).stamp_ns)
    return codec, np.array(found)


def test_the_scan_number_is_the_devices_clock():
    _, prompt = stamps(lambda i: 0)
    _, late = stamps(lambda i: 25 * MS if 40 <= i < 60 else 0)
    assert np.abs(late - prompt).max() < 1000
    assert np.diff(prompt) == pytest.approx(40 * MS, abs=10)


def test_a_lost_scan_is_counted_and_shifts_nothing():
    numbers = [i for i in range(60) if i not in (20, 21, 30)]
    codec, found = stamps(lambda i: 0, numbers, first=2**32 - 25)
    assert codec.stats.gaps == 2
    steps = np.diff(found)
    assert sorted(set(np.rint(steps / MS).astype(int))) == [40, 80, 120]


@pytest.mark.parametrize(
    ("block", "heard"),
    [
        (telegram([200] * 541, status=1), Heard(True, False)),
        (telegram([0x4004] * 541), Heard(False, True)),
    ],
)
def test_a_scanner_that_does_not_measure_gives_no_scan(block, heard):
    codec = SickS300Codec(SickS300Options())
    assert feed(codec, block) == [heard]
    assert codec.stats.warnings == 1
    with pytest.raises(DeviceFault, match=r"sick_s300 is (locked out|in standby)"):
        play(SickS300(SickS300Options()).start(), {Heard: heard})


@pytest.mark.parametrize("kind", [0xAAAA, 0xCCCC])
def test_inputs_and_reflectors_are_no_scan(kind):
    codec = SickS300Codec(SickS300Options())
    assert feed(codec, telegram([5] * 9, kind=kind)) == [Heard(False, False)]
    assert codec.stats.warnings == 0


@pytest.mark.parametrize(
    "noise", [b"", b"\0", bytes(7), b"\0\0\0\0\0\0\x02\x20", b"\xff\x07\x02\x01"]
)
def test_a_scan_is_found_behind_noise(noise):
    codec = SickS300Codec(SickS300Options())
    assert scan_of(codec, noise + telegram([200] * 541)) is not None
    assert codec.stats.skipped_bytes == len(noise)


def test_every_flipped_bit_is_seen():
    block = telegram([200 + i for i in range(541)])
    for at in [*range(4, 24), *range(24, len(block), 97), len(block) - 1]:
        for bit in range(8):
            damaged = bytearray(block)
            damaged[at] ^= 1 << bit
            assert scan_of(SickS300Codec(SickS300Options()), bytes(damaged) + bytes(3000)) is None


def test_there_is_nothing_to_say():
    driver = SickS300(SickS300Options())
    assert driver.spec.baud == 500_000
    assert play(driver.start(), {Heard: Heard(False, False)}) == []
    assert list(driver.stop()) == []
