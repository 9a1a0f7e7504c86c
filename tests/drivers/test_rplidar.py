import math

import numpy as np
import pytest

from drivers.driver import Flush, Send, Wait
from drivers.errors import DeviceFault
from drivers.lidar.rplidar import (
    AccessoryBoard,
    Answer,
    Configuration,
    Health,
    Info,
    Key,
    Request,
    Rplidar,
    RplidarCodec,
    RplidarOptions,
    SampleRate,
    Streaming,
    request,
)
from drivers.measurement import Scan
from tests.drivers.conversation import play
from tests.reference.rplidar_reference import capsule, node

US = 1000
BYTE_NS = 10 * US  # at 1 Mbaud
STANDARD = bytes.fromhex("a55a0500004081")
EXPRESS = bytes.fromhex("a55a5400004082")
A1_REPLIES = {
    Info: Info(0x18, "1.29", 7, "00"),
    Health: Health(0, 0),
    SampleRate: SampleRate(508, 254),
    Streaming: Streaming(Answer.EXPRESS),
}


def build(mode="express", sample_us=500, **options):
    codec = RplidarCodec(RplidarOptions(baud=1_000_000, mode=mode, **options))
    codec.set_sample_time(sample_us)
    return codec


def feed(codec, data, received_ns=0):
    return list(codec.feed(data, received_ns))


def scans_of(codec, stream, received_ns=0):
    return [event for event in feed(codec, stream, received_ns) if isinstance(event, Scan)]


def turn(rays=360, mm=2000.0, start=True):
    """A revolution of standard nodes, as a device turns: clockwise from zero."""
    return [node(start and i == 0, 15, i * 360.0 / rays, mm) for i in range(rays)]


def capsules(count, step_deg=24.0, mm=2000, first_deg=12.0):
    return [capsule((first_deg + i * step_deg) % 360.0, [(mm, 0)] * 32) for i in range(count)]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (request(Request.STOP), "a525"),
        (request(Request.SCAN), "a520"),
        (request(Request.GET_INFO), "a550"),
        (request(Request.GET_HEALTH), "a552"),
        (request(Request.GET_SAMPLERATE), "a559"),
        (request(Request.EXPRESS_SCAN, bytes(5)), "a58205000000000022"),
        (request(Request.MOTOR_PWM, b"\x94\x02"), "a5f0029402c1"),
        (request(Request.MOTOR_SPEED, b"\x58\x02"), "a5a802580255"),
        (request(Request.GET_ACC_BOARD_FLAG, bytes(4)), "a5ff04000000005e"),
    ],
)
def test_requests_are_as_published(frame, expected):
    assert frame.hex() == expected


@pytest.mark.parametrize(
    ("frame", "reply"),
    [
        (
            "a55a1400000004 18 1d 01 07 000102030405060708090a0b0c0d0e0f",
            Info(0x18, "1.29", 7, "000102030405060708090a0b0c0d0e0f"),
        ),
        ("a55a0300000006 02 0180", Health(2, 0x8001)),
        ("a55a0400000015 fc01 fe00", SampleRate(508, 254)),
        ("a55a04000000ff 01000000", AccessoryBoard(True)),
        ("a55a0500004081", Streaming(Answer.STANDARD)),
        ("a55a5400004082", Streaming(Answer.EXPRESS)),
    ],
)
@pytest.mark.parametrize(
    "noise", [b"", b"\xa5", b"\xa5\x5a\xa5", b"RP LIDAR System.\r\n", b"\xa5\x5a\x05\0\0\x40\x82"]
)
def test_answers_are_found_behind_noise(frame, reply, noise):
    codec = build()
    assert feed(codec, noise + bytes.fromhex(frame)) == [reply]
    assert codec.stats.skipped_bytes == len(noise)


def test_a_revolution_of_nodes_becomes_a_scan():
    codec = build("standard")
    nodes = turn()
    nodes[90] = node(False, 0, 90.0, 0.0)
    stream = STANDARD + b"".join([*nodes, node(True, 15, 0.0, 2000.0)])
    (scan,) = scans_of(codec, stream, len(stream) * BYTE_NS)
    assert scan.angles_rad.shape == scan.ranges_m.shape == scan.offsets_s.shape == (360,)
    assert np.all(np.diff(scan.angles_rad) > 0)
    assert scan.angles_rad[0] >= -np.float32(np.pi)
    assert scan.angles_rad[-1] < np.pi
    right = int(np.argmin(np.abs(scan.angles_rad + np.pi / 2)))
    assert math.isnan(scan.ranges_m[right])
    assert scan.quality[right] == 0
    assert scan.offsets_s[right] == pytest.approx(90 * 500e-6)
    assert np.nanmax(np.abs(scan.ranges_m - 2.0)) == 0.0
    assert scan.received_ns == len(stream) * BYTE_NS
    assert scan.missing == 0
    for array in (scan.angles_rad, scan.ranges_m, scan.offsets_s, scan.quality):
        assert array.flags.c_contiguous
        assert not array.flags.writeable
    assert (codec.stats.scans, codec.stats.frames) == (1, 361)


def test_the_part_before_the_first_start_is_no_scan():
    stream = b"".join([*turn(start=False)[200:], *turn(), *turn()])
    assert len(scans_of(build("standard"), STANDARD + stream)) == 1


@pytest.mark.parametrize("mm", [50.0, 16_100.0])
def test_returns_out_of_range_are_none(mm):
    stream = b"".join(turn(mm=mm) + turn())
    (scan,) = scans_of(build("standard"), STANDARD + stream)
    assert np.isnan(scan.ranges_m).all()


def test_a_revolution_of_capsules_becomes_a_scan():
    codec = build()
    stream = EXPRESS + b"".join(capsules(46))
    scans = scans_of(codec, stream)
    assert [scan.angles_rad.size for scan in scans] == [480, 480]
    for scan in scans:
        assert np.all(np.diff(scan.angles_rad) > 0)
        assert set(scan.quality.tolist()) == {47}
        # Clockwise on the device: the earliest ray is at zero, the next one below it.
        first = int(np.argmin(scan.offsets_s))
        assert scan.angles_rad[first] == pytest.approx(0.0, abs=1e-6)
        assert scan.angles_rad[first - 1] == pytest.approx(-math.tau / 480, abs=1e-5)


@pytest.mark.parametrize("first_deg", [0.0, 0.25, 0.5, 0.734375, 0.75, 1.0, 12.0, 23.25, 23.5])
def test_no_revolution_is_lost_wherever_the_zero_mark_falls(first_deg):
    """Above all not where it falls between two capsules: below 0.75 degrees here."""
    codec = build()
    scans = scans_of(codec, EXPRESS + b"".join(capsules(15 * 8 + 1, first_deg=first_deg)))
    assert [scan.angles_rad.size for scan in scans] == [480] * 7
    assert codec.stats.short_scans == 0


@pytest.mark.parametrize("lost", range(15, 32))
def test_a_lost_capsule_costs_its_rays_and_nothing_else(lost):
    codec = build()
    sent = capsules(62)
    whole = scans_of(build(), EXPRESS + b"".join(sent))
    torn = bytearray(sent[lost])
    torn[40] ^= 0x10
    sent[lost] = bytes(torn)
    scans = scans_of(codec, EXPRESS + b"".join(sent))
    assert codec.stats.bad_checksums == 1
    assert (codec.stats.skipped_bytes, codec.stats.gaps) == (84, 1)
    for scan in scans:
        assert scan.angles_rad.size <= 480
        assert np.all(np.diff(scan.angles_rad) > 0)
    assert len(whole) - len(scans) <= 1
    missing = sum(480 - scan.angles_rad.size for scan in scans) + 480 * (len(whole) - len(scans))
    assert missing >= 32
    assert all(scan.missing in (480 - scan.angles_rad.size, 0) for scan in scans)


def test_a_lost_start_does_not_merge_two_revolutions():
    codec = build("standard")
    feed(codec, STANDARD)
    frames = [*turn(), *turn(mm=3000.0)[1:], *turn(), *turn()]
    scans = [
        scan
        for i, frame in enumerate(frames)
        for scan in scans_of(codec, frame, 1_000_000 + i * 500 * US)
    ]
    assert len(scans) == 2
    merged, good = scans
    assert merged.angles_rad.size in (359, 360)
    assert np.median(merged.ranges_m) == 3.0
    assert good.angles_rad.size == 360
    assert np.ptp(merged.offsets_s) < 0.181
    # Both are stamped by the earliest sample they hold.
    rays = (good.stamp_ns - merged.stamp_ns) / (500 * US)
    assert rays == pytest.approx(merged.angles_rad.size, abs=1)


def test_a_short_revolution_is_dropped_and_counted():
    codec = build("standard")
    stream = b"".join([*turn()[:100], *turn(), node(True, 15, 0.0, 1000.0)])
    scans = scans_of(codec, STANDARD + stream)
    assert [scan.angles_rad.size for scan in scans] == [360]
    assert (codec.stats.scans, codec.stats.short_scans) == (1, 1)


def test_missing_rays_are_counted():
    nodes = turn()
    del nodes[100:110]
    stream = STANDARD + b"".join([*nodes, *turn()])
    (scan,) = scans_of(build("standard"), stream)
    assert scan.missing == 10


@pytest.mark.parametrize("mode", ["standard", "express"])
def test_a_late_reader_does_not_shift_the_stamps(mode):
    """A revolution whose first part lay in a buffer is stamped by the part that did not."""
    if mode == "standard":
        frames, size, sample_us = turn() + turn() + turn()[:10], 5, 500
    else:
        frames, size, sample_us = capsules(50), 84, 250
    each_ns = sample_us * US * (32 if mode == "express" else 1)
    wire_ns = size * BYTE_NS
    prompt, late = build(mode, sample_us), build(mode, sample_us)
    found = []
    for codec, delayed in ((prompt, ()), (late, range(3, 9))):
        feed(codec, STANDARD if mode == "standard" else EXPRESS, 0)
        scans, held = [], b""
        for i, frame in enumerate(frames):
            held += frame
            if i % (len(frames) // 3) in delayed:
                continue
            scans += scans_of(codec, held, (i + 1) * each_ns + wire_ns)
            held = b""
        found.append([scan.stamp_ns for scan in scans])
    assert len(found[0]) == 2
    assert found[1] == pytest.approx(found[0], abs=2)


def test_many_capsules_in_one_chunk_are_all_decoded():
    stream = EXPRESS + b"".join(capsules(700))
    assert len(scans_of(build(), stream)) == (700 * 24 - 24 - 348) // 360


def test_reset_forgets_the_stream():
    codec = build("standard")
    scans_of(codec, STANDARD + b"".join(turn()[:200]))
    codec.reset()
    assert feed(codec, b"".join(turn()[200:] + turn())) == []
    stream = b"".join(turn() + turn())
    assert [scan.angles_rad.size for scan in scans_of(codec, STANDARD + stream)] == [360]


def test_the_handshake_stops_first_and_flushes():
    steps = Rplidar(RplidarOptions()).start()
    assert next(steps) == Send(bytes.fromhex("a525"))
    assert isinstance(next(steps), Wait)
    assert isinstance(next(steps), Flush)
    steps.close()


@pytest.mark.parametrize(
    ("replies", "motor", "motor_off"),
    [
        ({}, "a5ff04000000005e", None),
        ({AccessoryBoard: AccessoryBoard(False)}, "a5ff04000000005e", None),
        ({AccessoryBoard: AccessoryBoard(True)}, "a5f0029402c1", "a5f002000057"),
        ({Info: Info(0x61, "1.20", 18, "00")}, "a5a802580255", "a5a80200000f"),
    ],
)
def test_stopping_undoes_what_starting_did(replies, motor, motor_off):
    driver = Rplidar(RplidarOptions(mode="express"))
    sent = [frame.hex() for frame in play(driver.start(), A1_REPLIES | replies)]
    assert sent[:4] == ["a525", "a550", "a550", "a552"]
    assert sent[-4:] == [motor, "a559", "a559", "a58205000000000022"]
    stopped = [frame.hex() for frame in play(driver.stop(), {})]
    assert stopped == ["a525", *([motor_off] if motor_off else [])]


class Noisy(dict):
    """Answers of which the given sample rates are what the line made of the first ones."""

    def __init__(self, *express_us: int) -> None:
        super().__init__(A1_REPLIES)
        self._rates = list(express_us)

    def get(self, reply, default=None):
        if reply is SampleRate and self._rates:
            return SampleRate(500, self._rates.pop(0))
        return super().get(reply, default)


def test_an_answer_spoilt_by_noise_is_asked_for_again():
    driver = Rplidar(RplidarOptions())
    good_us = A1_REPLIES[SampleRate].express_us
    sent = play(driver.start(), Noisy(64_250, good_us, 506))
    assert sent.count(bytes.fromhex("a559")) == 5
    scan = scans_of(driver.codec, EXPRESS + b"".join(capsules(60)))[0]
    assert scan.offsets_s.max() == pytest.approx((scan.offsets_s.size - 1) * good_us * 1e-6)


def test_a_line_on_which_no_two_answers_agree_is_a_fault():
    with pytest.raises(DeviceFault, match="GET_SAMPLERATE differently each time"):
        play(Rplidar(RplidarOptions()).start(), Noisy(1, 2, 3, 4, 5))


def test_standard_mode_asks_for_a_standard_scan():
    assert play(Rplidar(RplidarOptions(mode="standard")).start(), A1_REPLIES)[-1] == b"\xa5\x20"


def test_a_device_in_protection_stop_is_a_fault():
    replies = A1_REPLIES | {Health: Health(2, 0x8001)}
    with pytest.raises(DeviceFault, match="0x8001"):
        play(Rplidar(RplidarOptions()).start(), replies)


@pytest.mark.parametrize(("status", "warnings"), [(0, 0), (1, 1), (2, 0)])
def test_a_device_that_is_not_well_but_goes_on_is_counted(status, warnings):
    codec = build()
    feed(codec, bytes.fromhex("a55a0300000006") + bytes([status, 0x17, 0x00]))
    assert codec.stats.warnings == warnings


def test_dtr_is_released_for_the_motor():
    assert Rplidar(RplidarOptions()).spec.dtr is False


class Configured(dict):
    """Answers of a device that tells of its modes: standard, express, and one more."""

    def __init__(self) -> None:
        super().__init__(A1_REPLIES)
        self._asked = iter(())

    def expect(self, *answers: tuple[Key, bytes]) -> "Configured":
        # Every question is asked until two answers in a row agree.
        self._asked = iter([Configuration(key, value) for key, value in answers for _ in range(2)])
        return self

    def get(self, reply, default=None):
        if reply is Configuration:
            return next(self._asked, None)
        return super().get(reply, default)


BOOST_US = 62.5
OF_BOOST = (
    (Key.ANSWER_TYPE, bytes([Answer.ULTRA])),
    (Key.SAMPLE_TIME, round(256 * BOOST_US).to_bytes(4, "little")),
)


def test_on_its_own_it_scans_as_the_device_thinks_best():
    driver, replies = Rplidar(RplidarOptions()), Configured()
    sent = play(driver.start(), replies.expect((Key.TYPICAL_MODE, b"\x02\0"), *OF_BOOST))
    assert sent[-1] == request(Request.EXPRESS_SCAN, b"\x02\0\0\0\0")
    assert driver.codec._assembler.sample_ns == 62_500
    assert request(Request.GET_SAMPLERATE) not in sent


def test_old_firmware_that_tells_nothing_of_modes_scans_express():
    sent = play(Rplidar(RplidarOptions()).start(), A1_REPLIES)
    assert sent[-1] == request(Request.EXPRESS_SCAN, bytes(5))


def test_a_mode_is_found_by_its_name_whatever_its_case():
    told = [(Key.MODE_NAME, name + b"\0") for name in (b"Standard", b"Express", b"Boost")]
    names = ((Key.MODE_COUNT, b"\x03\0"), *told)
    replies = Configured().expect(*names, *OF_BOOST)
    sent = play(Rplidar(RplidarOptions(mode="boost")).start(), replies)
    assert sent[-1] == request(Request.EXPRESS_SCAN, b"\x02\0\0\0\0")
    with pytest.raises(DeviceFault, match="has no mode 'turbo'; it has: Standard, Express, Boost"):
        play(Rplidar(RplidarOptions(mode="turbo")).start(), Configured().expect(*names))


def test_a_mode_with_an_unknown_answer_is_refused():
    odd = ((Key.TYPICAL_MODE, b"\x04\0"), (Key.ANSWER_TYPE, b"\x8f"), OF_BOOST[1])
    with pytest.raises(DeviceFault, match="answers by 0x8f"):
        play(Rplidar(RplidarOptions()).start(), Configured().expect(*odd))
