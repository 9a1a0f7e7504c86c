import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base.roboclaw import (
    Acknowledge,
    Command,
    Identification,
    Roboclaw,
    RoboclawCodec,
    RoboclawOptions,
    Watchdog,
)
from drivers.checksum import crc16_xmodem
from drivers.errors import DeviceFault
from drivers.measurement import BaseStatus, Odometry, VelocityCommand
from drivers.runner import Phase
from hil.emulator.roboclaw import RoboclawEmulator, RoboclawModel
from tests.drivers.bench import MemoryBench, build_plant
from tests.drivers.conversation import play

MS = 1_000_000
BYTE_NS = 10e9 / 38_400
REPLIES = {
    Acknowledge: Acknowledge(),
    Identification: Identification("USB Roboclaw 2x15a v4.1.34"),
    Watchdog: Watchdog(300),
}


def reply(command, data):
    return data + crc16_xmodem(bytes((0x80, command)) + data).to_bytes(2, "big")


def counts(left, right):
    return reply(78, b"".join((v % 2**32).to_bytes(4, "big") for v in (left, right)))


def status(bits, size=4):
    return reply(90, bits.to_bytes(size, "big"))


def asked(*commands, **options):
    codec = RoboclawCodec(RoboclawOptions(**options))
    for command in commands:
        codec.expect(command)
    return codec


def go(forward_mps, yaw_rate_radps):
    return VelocityCommand(forward_mps, yaw_rate_radps, 2**62)


def test_golden_frames(shared):
    vectors = (shared / "data/vectors/crc16_bases.json").read_text()
    golden = json.loads(vectors)["roboclaw"]
    assert crc16_xmodem(b"\xff") == golden["published"]["crc of FF"]
    assert crc16_xmodem(b"123456789") == 0x31C3
    # A wheel of one metre around, with a thousand counts on it.
    driver = Roboclaw(RoboclawOptions(counts_per_revolution=1000, wheel_radius_m=0.5 / math.pi))
    assert driver.command(go(0.0, -4.0)).hex() == golden["speed_m1m2_1000_-1000"]
    assert driver.polls[2].data[:2].hex() == golden["read_main_batt"]["tx"]
    codec = asked(24, 90)
    assert codec.feed(bytes.fromhex(golden["read_main_batt"]["rx_24.2V"]), 0) == []
    (found,) = codec.feed(status(0), 0)
    assert found.battery_v == 24.2
    assert codec.feed(bytes.fromhex(golden["ack"]), 0) == [Acknowledge()]


def test_counts_become_odometry_stamped_before_their_reply_was_sent():
    codec = asked(78, 78)
    (first,) = codec.feed(counts(-1, 1), 1000 * MS)
    assert (first.x_m, first.yaw_rad, first.forward_mps) == (0.0, 0.0, 0.0)
    assert (first.received_ns, first.stamp_ns) == (1000 * MS, 1000 * MS - round(10 * BYTE_NS))
    (second,) = codec.feed(counts(-101, -99), 1020 * MS)
    assert second.x_m == pytest.approx(-100 / 4096 * math.tau * 0.1)


@pytest.mark.parametrize("sign", [1, -1])
def test_counters_wrap_both_ways(sign):
    codec = asked(*[78] * 3)
    codec.feed(counts(sign * (2**31 - 30), sign * -40), 0)
    (found,) = codec.feed(counts(sign * (2**31 + 30), sign * 20), 20 * MS)
    assert found.x_m == pytest.approx(sign * 60 / 4096 * math.tau * 0.1)
    (found,) = codec.feed(counts(sign * (2**31 - 30), sign * -40), 40 * MS)
    assert found.x_m == pytest.approx(0.0)


def test_a_reply_that_begins_like_an_acknowledgement_is_a_reply():
    codec = asked(78)
    (acknowledged, odometry) = codec.feed(b"\xff" + counts(-1, -1), 0)
    assert (acknowledged, type(odometry)) == (Acknowledge(), Odometry)


def test_a_reply_that_waited_to_be_read_is_dated_by_its_question():
    codec = RoboclawCodec(RoboclawOptions())
    stamps = []
    for asked_ms, read_ms in ((100, 105), (120, 124), (140, 240), (260, 265)):
        codec.note_sent(b"\x80\x4e", asked_ms * MS)
        (found,) = codec.feed(counts(0, 0), read_ms * MS)
        stamps.append(found.stamp_ns)
    wire_ns = round(10 * BYTE_NS)
    assert stamps == [105 * MS - wire_ns, *((at + 4) * MS - wire_ns for at in (120, 140, 260))]


@pytest.mark.parametrize(
    ("bits", "size", "e_stop", "faults", "warnings"),
    [
        (0, 4, False, [], 0),
        (0x0000_0001, 4, True, [], 0),
        (0x0000_0040, 4, False, ["driver of motor 1"], 0),
        (0x0000_1002, 4, False, ["controller too hot", "motor 1 draws"], 0),
        (0x0008_0000, 4, False, [], 1),
        (0x00C0_0000, 4, False, [], 0),
        (0x0004, 2, True, [], 0),
        (0x0001, 2, False, [], 1),
        (0x0208, 2, False, ["controller too hot", "driver of motor 2"], 0),
        (0xC000, 2, False, [], 0),
    ],
)
def test_status_of_both_generations(bits, size, e_stop, faults, warnings):
    codec = asked(90, 90)
    (found,) = codec.feed(status(bits, size), 0)
    assert isinstance(found, BaseStatus)
    assert (found.e_stop, found.bumper) == (e_stop, False)
    assert len(found.faults) == len(faults)
    for text, begin in zip(found.faults, faults, strict=True):
        assert text.startswith(begin)
        assert ": " in text, "a fault says what to do"
    codec.feed(status(bits, size), 20 * MS)
    assert codec.stats.warnings == warnings, "a warning that stays is one warning"


def test_currents_and_voltage_join_the_status():
    codec = asked(24, 49, 90)
    data = reply(24, b"\x00\xf2") + reply(49, b"\x00\x7b\xff\xf6") + status(0)
    (found,) = codec.feed(data, 0)
    assert (found.battery_v, found.motor_currents_a) == (24.2, (1.23, -0.1))


def session():
    """Queries with their replies, acknowledgements between them, as a driving robot has them."""
    parts = [([Command.READ_VERSION], reply(21, b"USB Roboclaw 2x15a v4.1.34\n\0"))]
    parts += [([], b"\xff"), ([Command.READ_TIMEOUT], reply(15, b"\x03"))]
    for beat in range(12):
        parts += [([], b"\xff"), ([Command.READ_ENCODERS], counts(beat * 40 - 200, beat * -7))]
        if beat % 4 == 0:
            parts.append(([Command.READ_STATUS], status(0)))
            queries = [Command.READ_BATTERY, Command.READ_CURRENTS]
            parts.append((queries, reply(24, b"\x00\xf2") + reply(49, b"\x00\x10\xff\xf0")))
    return parts


def told(parts):
    """Feed a session with its queries noted; the reply to each comes 4 ms later."""
    codec = RoboclawCodec(RoboclawOptions())
    events = []
    for beat, (queries, data) in enumerate(parts):
        for query in queries:
            codec.expect(query)
        events += codec.feed(data, (beat * 8 + 4) * MS)
    return events, codec


def values(events):
    """What was measured, without stamps and without the speeds that follow from them."""
    return {
        (event.x_m, event.y_m, event.yaw_rad)
        if isinstance(event, Odometry)
        else (event.battery_v, event.motor_currents_a, event.e_stop, event.faults)
        for event in events
        if isinstance(event, Odometry | BaseStatus)
    }


def test_a_flipped_bit_never_gives_a_value():
    parts = session()
    clean_events, clean = told(parts)
    ends = {
        (event.x_m, event.y_m, event.yaw_rad)
        for event in clean_events
        if isinstance(event, Odometry)
    }
    assert len(ends) == 12
    first = min(range(len(parts)), key=lambda i: parts[i][0] != [Command.READ_ENCODERS])
    for at in range(first + 6, first + 12):
        queries, data = parts[at]
        for bit in range(8 * len(data)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            events, codec = told([*parts[:at], (queries, bytes(flipped)), *parts[at + 1 :]])
            for event in events:
                if isinstance(event, BaseStatus):
                    assert (event.e_stop, event.faults) == (False, ())
                    assert event.battery_v in (24.2,) or math.isnan(event.battery_v)
            travelled = [event for event in events if isinstance(event, Odometry)]
            assert len(travelled) >= 11
            # A lost count costs a corner of the way, not a centimetre.
            assert travelled[-1].x_m == pytest.approx(clean_events[-1].x_m, abs=1e-3)
            assert clean.stats.frames - codec.stats.frames <= len(queries) or len(data) == 1


@settings(max_examples=60)
@given(st.lists(st.integers(1, 40), max_size=40), st.booleans(), st.binary(max_size=20))
def test_any_chunking_gives_the_same_events(sizes, knows, noise):
    parts = session()[:14]
    stream = b"".join(data for _, data in parts[:9]) + noise
    stream += b"".join(data for _, data in parts[9:])
    results = []
    for cuts in ([len(stream)], sizes):
        codec = asked(*(query for queries, _ in parts for query in queries)) if knows else asked()
        codec._knows_queries = knows
        events, at = [], 0
        for size in [*cuts, len(stream)]:
            chunk = stream[at : at + size]
            at += len(chunk)
            events += codec.feed(chunk, 10**9 + round(at * BYTE_NS))
        results.append((values(events), [type(event) for event in events], codec.stats))
    assert results[0] == results[1]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([None, 15, 21, 24, 49, 78, 90]), st.binary(max_size=80))))
def test_no_bytes_raise(chunks):
    codec = RoboclawCodec(RoboclawOptions())
    received = 0
    for beat, (query, data) in enumerate(chunks):
        if query is not None:
            codec.note_sent(bytes((0x80, query)), beat * MS)
        codec.feed(data, beat * MS)
        received += len(data)
    assert codec.stats.received_bytes == received
    assert codec.stats.skipped_bytes <= received


@pytest.mark.parametrize("noise", [b"\x00", b"\xff\x00\xff", bytes(range(200)), b"\x80\x4e" * 30])
def test_after_noise_the_next_reply_counts_once_another_confirms_it(noise):
    codec = asked(78)
    codec.feed(counts(0, 0), 0)
    codec.expect(78)
    found = codec.feed(noise + counts(50, 50), 20 * MS)
    assert not [event for event in found if isinstance(event, Odometry)]
    codec.expect(78)
    found = codec.feed(counts(100, 100), 40 * MS)
    assert [event.received_ns for event in found] == [20 * MS, 40 * MS]
    assert codec.stats.skipped_bytes >= len(noise.strip(b"\xff"))


@pytest.mark.parametrize(
    ("command", "speeds"),
    [
        (None, (0, 0)),
        (go(0.0, 0.0), (0, 0)),
        (go(1.0, 0.0), (6519, 6519)),
        (go(0.0, 1.0), (-1630, 1630)),
        (go(-99.0, 0.0), (-13653, -13653)),
    ],
)
def test_commands_are_counts_per_second(command, speeds):
    data = Roboclaw(RoboclawOptions()).command(command)
    assert data[:2] == b"\x80\x25"
    assert tuple(np.frombuffer(data[2:10], ">i4")) == speeds
    assert int.from_bytes(data[10:], "big") == crc16_xmodem(data[:10])


def test_channels_and_directions_are_the_same_for_counts_and_commands():
    options = RoboclawOptions(left_channel=2, invert_right=True, address=0x87)
    data = Roboclaw(options).command(go(0.5, 0.4))
    first, second = np.frombuffer(data[2:10], ">i4")
    assert (data[0], first < 0 < second) == (0x87, True)
    codec = RoboclawCodec(options)
    codec.expect(78)
    codec.expect(78)
    for data in (bytes(8), b"\xff\xff\xff\x6a\0\0\0\x32"):
        crc = crc16_xmodem(b"\x87\x4e" + data).to_bytes(2, "big")
        found = codec.feed(data + crc, 0)[0]
    assert found.x_m > 0.0
    assert found.yaw_rad > 0.0


def test_the_handshake_stops_arms_and_reads_back():
    sent = play(Roboclaw(RoboclawOptions()).start(), REPLIES)
    assert [data[:3].hex() for data in sent] == ["802500", "8015", "800e03", "800f"]


def test_a_watchdog_that_is_not_kept_is_a_fault():
    with pytest.raises(DeviceFault, match="keeps its watchdog at 0 ms, asked for 300 ms"):
        play(Roboclaw(RoboclawOptions()).start(), REPLIES | {Watchdog: Watchdog(0)})


def bench(**model):
    plant = build_plant()
    emulator = RoboclawEmulator(plant.wheels, np.random.default_rng(1), RoboclawModel(**model))
    return MemoryBench(Roboclaw(RoboclawOptions()), emulator, plant)


def of_kind(outputs, kind):
    return [output for _, output in outputs if isinstance(output, kind)]


@pytest.mark.parametrize("old_firmware", [False, True])
def test_it_drives_and_knows_where_it_is(old_firmware):
    rig = bench(old_firmware=old_firmware)
    rig.run(500)
    assert rig.runner.state.phase is Phase.STREAMING
    rig.runner.submit(go(0.5, 0.3))
    outputs = rig.run(3000)
    truth, last = rig.plant.truth, of_kind(outputs, Odometry)[-1]
    assert last.x_m == pytest.approx(truth.pose.x_m - 6.0, abs=0.03)
    assert last.y_m == pytest.approx(truth.pose.y_m - 5.0, abs=0.03)
    assert last.forward_mps == pytest.approx(0.5, abs=0.02)
    assert last.yaw_rate_radps == pytest.approx(0.3, abs=0.05)
    assert of_kind(outputs, BaseStatus)[-1].battery_v == pytest.approx(25.0, abs=0.3)
    assert rig.runner.driver.codec.stats.skipped_bytes == 0
    assert rig.runner.driver.codec.stats.gaps == 0


def test_emergency_stop_and_faults_are_told_and_end_when_they_end():
    rig = bench()
    rig.run(500)
    rig.runner.submit(go(0.5, 0.0))
    rig.run(1500)
    for kind, words in (("estop", None), ("overheat", "controller too hot"), ("driver", "driver")):
        rig.emulator.set_fault(kind, True, rig.now_ns)
        told = of_kind(rig.run(1200), BaseStatus)[-1]
        assert told.e_stop == (kind == "estop")
        assert [text.startswith(words) for text in told.faults] == ([True] if words else [])
        assert rig.plant.truth.forward_mps == pytest.approx(0.0, abs=1e-6)
        rig.emulator.set_fault(kind, False, rig.now_ns)
        told = of_kind(rig.run(600), BaseStatus)[-1]
        assert (told.e_stop, told.faults) == (False, ())


def test_the_controller_stops_when_the_host_dies():
    rig = bench()
    rig.run(500)
    rig.runner.submit(go(0.5, 0.0))
    rig.run(2000)
    assert rig.plant.truth.forward_mps == pytest.approx(0.5, abs=0.02)
    for _ in range(1000):
        rig.now_ns += MS
        rig.plant.advance(rig.now_ns)
        rig.emulator.transmit(rig.now_ns)
    assert rig.plant.truth.forward_mps == 0.0


def test_it_comes_back_and_keeps_the_pose():
    rig = bench()
    rig.run(500)
    rig.runner.submit(go(0.5, 0.0))
    before = of_kind(rig.run(1500), Odometry)[-1]
    rig.unplug()
    rig.run(1000)
    assert rig.runner.state.error is not None
    rig.plugged = True
    after = of_kind(rig.run(3000), Odometry)
    assert rig.runner.state.phase is Phase.STREAMING
    assert after[0].x_m == pytest.approx(before.x_m, abs=1e-9)
