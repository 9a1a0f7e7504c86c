import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import DeviceFault, StreamStale
from drivers.kernels import sick_lms2xx as kernels
from drivers.lidar.sick_lms2xx import (
    Other,
    SickLms2xx,
    SickLms2xxCodec,
    SickLms2xxOptions,
    Status,
    Switched,
    telegram,
)
from drivers.measurement import Scan
from tests.drivers.conversation import play
from tests.reference import sick_lms2xx_reference as reference

FINE = Status("V02.10", 0x25, False, 0)
REPLIES = {Status: FINE, Switched: Switched(0)}
TELEGRAMS = st.binary(min_size=1, max_size=40).map(reference.telegram)


def find(data):
    array = np.frombuffer(bytes(data), np.uint8)
    array.setflags(write=False)
    begins, ends = np.zeros(16, "i8"), np.zeros(16, "i8")
    counts = kernels.find_telegrams(array, begins, ends)
    n = counts[0]
    return counts, [bytes(data[b:e]) for b, e in zip(begins[:n], ends[:n], strict=True)]


def scans_of(data, received_ns=0, **options):
    codec = SickLms2xxCodec(SickLms2xxOptions(**options))
    return codec, [event for event in codec.feed(data, received_ns) if isinstance(event, Scan)]


def test_commands_are_as_published(shared):
    vectors = json.loads((shared / "data/vectors/crc16_bases.json").read_text())["sick_lms2xx"]
    for name, data in (
        ("status", b"\x31"),
        ("start_continuous", b"\x20\x24"),
        ("stop_continuous", b"\x20\x25"),
        ("9600", b"\x20\x42"),
        ("38400", b"\x20\x40"),
        ("500k", b"\x20\x48"),
    ):
        assert telegram(data).hex() == vectors[name]
        assert reference.telegram(data, 0).hex() == vectors[name]


@given(st.lists(st.tuples(st.binary(max_size=9), TELEGRAMS), max_size=5), st.data())
def test_telegrams_agree_with_the_reference(parts, data):
    stream = bytearray(b"".join(noise + sound for noise, sound in parts))
    if stream and data.draw(st.booleans()):
        stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    counts, found = find(stream)
    expected, noise, failed, used = reference.find_telegrams(bytes(stream))
    assert found == expected
    assert counts == (len(expected), used, noise, failed)


@given(st.lists(st.integers(0, 65_535), min_size=1, max_size=30), st.integers(13, 16))
def test_values_agree_with_the_reference(values, bits):
    ranges = np.zeros(len(values), "f4")
    data = np.array(values, "<u2").view(np.uint8)
    data.setflags(write=False)
    kernels.decode_values(data, bits, 0.001, ranges)
    expected = [reference.metres(value, bits, 0.001) for value in values]
    np.testing.assert_array_equal(ranges, np.array(expected, "f4"))


@pytest.mark.parametrize(
    ("rays", "first_deg", "duration_ms"),
    [
        (181, -90.0, 180 / 360 * 40 / 3),
        (361, -90.0, 179.5 / 360 * 40 / 3 + 40 / 3),
        (101, -50.0, 100 / 360 * 40 / 3),
        (201, -50.0, 99.5 / 360 * 40 / 3 + 40 / 3),
        (401, -50.0, 99.75 / 360 * 40 / 3 + 40),
    ],
)
def test_a_scan_lies_where_and_when_it_was_measured(rays, first_deg, duration_ms):
    block = reference.scan([1000 + i for i in range(rays)])
    codec, (scan,) = scans_of(block, 10**9, baud=500_000)
    assert scan.angles_rad.size == rays
    assert np.degrees(scan.angles_rad[[0, -1]]) == pytest.approx([first_deg, -first_deg], abs=1e-4)
    assert scan.ranges_m[[0, -1]] == pytest.approx([1.0, (999 + rays) / 1000])
    assert scan.offsets_s[0] == 0.0
    assert scan.offsets_s.max() * 1000 == pytest.approx(duration_ms, rel=1e-5)
    last_ns = scan.stamp_ns + round(float(scan.offsets_s.max()) * 1e9)
    assert last_ns == pytest.approx(10**9 - len(block) * 20_000, abs=2)
    assert (codec.stats.scans, codec.stats.frames, codec.stats.skipped_bytes) == (1, 1, 0)


def test_parts_of_a_fine_scan_are_shifted():
    for part, rays in ((0, 181), (1, 180), (3, 180)):
        _, (scan,) = scans_of(reference.scan([1000] * rays, part=part))
        assert scan.angles_rad.size == rays
        assert math.degrees(scan.angles_rad[0]) == pytest.approx(-90 + part / 4, abs=1e-4)


def test_centimetres_fields_and_codes():
    values = [100, 0x2000 | 200, 0xE000 | 300, 0x1FF7, 0x1FFE, 0, 0x1FF6, 2]
    _, (scan,) = scans_of(reference.scan(values + [100] * 173, unit=0))
    assert scan.ranges_m[:3] == pytest.approx([1.0, 2.0, 3.0])
    assert np.isnan(scan.ranges_m[3:8]).all()


@pytest.mark.parametrize(
    "block",
    [
        reference.scan([1000] * 77),
        reference.scan([1000] * 181, flags=3),
        reference.scan([1000] * 181, flags=4),
        reference.scan([1000] * 181, unit=2),
        reference.telegram(b"\xb0\xb5\x40" + bytes(10)),
    ],
)
def test_what_cannot_be_believed_is_counted_and_is_no_scan(block):
    codec, scans = scans_of(block)
    assert scans == []
    assert codec.stats.short_scans == 1


def test_a_dirty_window_is_counted():
    codec, scans = scans_of(reference.scan([1000] * 181, flags=0x80))
    assert len(scans) == 1
    assert codec.stats.warnings == 1


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"\xa0\x00\x00", Switched(0)),
        (b"\xa0\x01\x00", Switched(1)),
        (b"\xb1V02.10 \x25\x00" + bytes(140) + b"\x00", FINE),
        (b"\xb1V02.10 \x25\x01" + bytes(140) + b"\x83", Status("V02.10", 0x25, True, 0x83)),
        (b"\x92\x00", Other(0x92)),
    ],
)
@pytest.mark.parametrize("noise", [b"", b"\x06", b"\x02\x80\x05", b"\x15\x02"])
def test_replies_are_found_behind_noise(data, reply, noise):
    codec = SickLms2xxCodec(SickLms2xxOptions())
    assert list(codec.feed(noise + reference.telegram(data) + bytes(600), 0)) == [reply]


def test_every_flipped_bit_is_seen():
    block = reference.scan([1000 + i for i in range(181)])
    for at in range(0, len(block), 7):
        for bit in range(8):
            damaged = bytearray(block)
            damaged[at] ^= 1 << bit
            assert scans_of(bytes(damaged) + bytes(1100))[1] == []


def test_the_handshake_reads_the_status_and_starts():
    driver = SickLms2xx(SickLms2xxOptions(baud=500_000))
    assert driver.spec.baud == 500_000
    sent = [frame.hex() for frame in play(driver.start(), REPLIES)]
    assert sent == ["0200020020253508", "02000100311512", "0200020020243408"]
    assert driver.spec.baud == 500_000
    assert [step.data.hex() for step in driver.stop()] == ["0200020020253508"]


def test_a_device_at_the_rate_of_power_up_is_found_and_switched():
    driver = SickLms2xx(SickLms2xxOptions(baud=500_000))
    # Nobody answers at the rate to work at; the runner closes the handshake and opens again.
    with pytest.raises(AssertionError, match="at 500000 bit/s"):
        play(driver.start(), {})
    assert driver.spec.baud == 9_600
    sent = []
    steps = driver.start()
    with pytest.raises(StreamStale, match="found at 9600 bit/s, goes on at 500000"):
        answer = None
        while True:
            step = steps.send(answer)
            answer = REPLIES.get(getattr(step, "reply", None))
            sent.append(getattr(step, "data", b"").hex())
    assert "0200020020485808" in sent
    assert driver.spec.baud == 500_000
    play(driver.start(), REPLIES)
    assert driver.spec.baud == 500_000


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({Status: Status("V02.10", 0x25, True, 0)}, "V02.10 reports no error; read its error"),
        ({Status: Status("V02.10", 0x25, False, 0x83)}, "reports error; its window is dirty"),
        ({Switched: Switched(1)}, "refuses to send scans, result 1"),
    ],
)
def test_trouble_is_a_fault_with_a_hint(changed, match):
    with pytest.raises(DeviceFault, match=match):
        play(SickLms2xx(SickLms2xxOptions()).start(), REPLIES | changed)
