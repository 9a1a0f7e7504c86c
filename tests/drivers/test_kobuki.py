import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base.kobuki import (
    BYTE_NS,
    TICKS_PER_M,
    Command,
    Feedback,
    Kobuki,
    KobukiCodec,
    KobukiOptions,
    Version,
    encode,
    sub_payloads,
)
from drivers.checksum import xor8
from drivers.measurement import BaseStatus, Odometry, VelocityCommand
from drivers.runner import Phase
from hil.emulator.kobuki import DRIVE, KobukiEmulator, KobukiModel
from hil.plant.plant import LidarParameters, Plant, RobotParameters
from hil.plant.world import Pose, World
from tests.drivers.bench import MemoryBench
from tests.drivers.conversation import play

MS = 1_000_000


def frame(*parts):
    payload = b"".join(bytes((id_, len(data))) + data for id_, data in parts)
    body = bytes((len(payload),)) + payload
    return b"\xaa\x55" + body + bytes((xor8(body),))


def basic(ms=0, left=0, right=0, bumpers=0, drops=0, cliffs=0, battery=162, overcurrents=0):
    counts = left % 65536, right % 65536
    fields = (ms % 65536, bumpers, drops, cliffs, *counts, 0, 0, 0, 0, battery, overcurrents)
    return (1, struct.pack("<HBBBHHbbBBBB", *fields))


def feed(data, codec=None, received_ns=1000 * MS):
    return list((codec or KobukiCodec(KobukiOptions())).feed(data, received_ns))


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def go(forward_mps, yaw_rate_radps):
    return VelocityCommand(forward_mps, yaw_rate_radps, 2**62)


def test_golden_frames(shared):
    golden = json.loads((shared / "data/vectors/kobuki.json").read_text())
    turn, dock, stop, request = (bytes.fromhex(item["hex"]) for item in golden["frames"])
    radius_m, speed_mps = -0.1, 0.1
    yaw_rate_radps = speed_mps / (radius_m - 0.115)
    assert Kobuki(KobukiOptions()).command(go(radius_m * yaw_rate_radps, yaw_rate_radps)) == turn
    assert Kobuki(KobukiOptions()).command(None) == stop
    assert encode(Command.REQUEST_EXTRA, b"\x0b\0") == request
    assert list(sub_payloads(dock)) == [(3, b"\x04\0\0")]
    sound = frame(basic(), (3, bytes(3)), (4, bytes(7)), (5, bytes(6)), (6, bytes(2)))
    for start in golden["malformed_examples_in_the_wild"]:
        codec = KobukiCodec(KobukiOptions())
        feed(bytes.fromhex(start), codec)
        assert of(Odometry, feed(sound * 3, codec)), "a torn frame costs only itself"


def test_counts_become_odometry_dated_by_the_base():
    codec = KobukiCodec(KobukiOptions())
    wire_ns = round(21 * BYTE_NS)
    (first,) = of(Odometry, feed(frame(basic(65530)), codec, 1000 * MS))
    assert (first.stamp_ns, first.received_ns) == (1000 * MS - wire_ns, 1000 * MS)
    # 20 ms later by the base's clock, which wrapped, and 40 ms later here.
    (second,) = of(Odometry, feed(frame(basic(14, 117, 117)), codec, 1040 * MS))
    assert second.stamp_ns == first.stamp_ns + 20 * MS
    assert second.x_m == pytest.approx(117 / TICKS_PER_M)


@pytest.mark.parametrize("sign", [1, -1])
def test_encoders_wrap_both_ways(sign):
    codec = KobukiCodec(KobukiOptions())
    feed(frame(basic(0, 65535 * (sign > 0), 5)), codec, 0)
    (found,) = of(Odometry, feed(frame(basic(20, -1 + sign * 100, 5)), codec, 20 * MS))
    travelled = sign * 100 + (-1 if sign < 0 else 0)
    assert found.x_m == pytest.approx(travelled / TICKS_PER_M / 2, abs=1e-4)
    (back,) = of(Odometry, feed(frame(basic(40, 65535 * (sign > 0), 5)), codec, 40 * MS))
    assert back.x_m == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("flags", "bumper", "words"),
    [
        ({}, False, []),
        ({"bumpers": 1}, True, []),
        ({"bumpers": 2}, True, []),
        ({"bumpers": 4}, True, []),
        ({"cliffs": 5}, False, ["cliff at the left", "cliff at the right"]),
        ({"cliffs": 2}, False, ["cliff ahead"]),
        ({"drops": 3}, False, ["left wheel dropped", "right wheel dropped"]),
        ({"overcurrents": 2}, False, ["right motor draws"]),
    ],
)
def test_flags_have_words(flags, bumper, words):
    (status,) = of(BaseStatus, feed(frame(basic(**flags), (6, b"\x0a\x14"))))
    assert (status.bumper, status.e_stop, status.battery_v) == (bumper, False, 16.2)
    assert status.motor_currents_a == (0.1, 0.2)
    assert [text.startswith(word) for text, word in zip(status.faults, words, strict=True)] == [
        True
    ] * len(words)
    assert all(": " in text for text in status.faults), "a fault says what to do"


def test_a_change_is_told_at_once_and_the_rest_now_and_then():
    codec = KobukiCodec(KobukiOptions())
    told = []
    for beat in range(20):
        events = feed(frame(basic(20 * beat, bumpers=beat == 7)), codec, beat * 20 * MS)
        told += [beat] * len(of(BaseStatus, events))
    assert told == [0, 5, 7, 8, 13, 18]


def test_versions():
    events = feed(frame((10, bytes((4, 0, 1, 0))), (11, bytes((0, 2, 1, 0)))))
    assert events == [Version(Feedback.HARDWARE, "1.0.4"), Version(Feedback.FIRMWARE, "1.2.0")]


def recording():
    parts = [(3, bytes(3)), (4, bytes(7)), (5, b"\xaa\x55" * 3), (6, b"\x0a\x0a"), (16, bytes(16))]
    return [frame(basic(20 * beat, 40 * beat, 44 * beat), *parts) for beat in range(12)]


def positions(frames):
    codec = KobukiCodec(KobukiOptions())
    events, at = [], 0
    for data in frames:
        at += len(data)
        events += codec.feed(data, 10**9 + round(at * BYTE_NS))
    return events, codec.stats


def test_a_flipped_bit_never_gives_a_value():
    frames = recording()
    clean, _ = positions(frames)
    good = {(event.x_m, event.y_m, event.yaw_rad) for event in of(Odometry, clean)}
    for bit in range(8 * len(frames[4])):
        flipped = bytearray(frames[4])
        flipped[bit // 8] ^= 1 << bit % 8
        events, stats = positions([*frames[:4], bytes(flipped), *frames[5:]])
        odometry = of(Odometry, events)
        assert len(odometry) == len(good) - 1
        assert odometry[-1].x_m == pytest.approx(clean[-1].x_m, abs=1e-3)
        for event in odometry[:4]:
            assert (event.x_m, event.y_m, event.yaw_rad) in good
        assert {(e.bumper, e.faults, e.battery_v) for e in of(BaseStatus, events)} == {
            (False, (), 16.2)
        }
        assert stats.skipped_bytes == len(flipped)


@settings(max_examples=50)
@given(st.lists(st.integers(1, 90), max_size=30), st.binary(max_size=60))
def test_any_chunking_gives_the_same_events(sizes, noise):
    stream = b"".join(recording()[:4]) + noise + b"".join(recording()[4:])
    whole, whole_stats = positions([stream[at : at + 1] for at in range(len(stream))])
    cuts, at = [], 0
    for size in [*sizes, len(stream)]:
        cuts.append(stream[at : at + size])
        at += size
    events, stats = positions(cuts)
    assert [type(event) for event in events] == [type(event) for event in whole]
    assert stats == whole_stats
    for one, other in zip(of(Odometry, events), of(Odometry, whole), strict=True):
        assert one.x_m == other.x_m
        assert abs(one.stamp_ns - other.stamp_ns) <= 4


@given(st.lists(st.binary(max_size=200) | st.just(b"\xaa\x55\x11\x01\x0f"), max_size=10))
def test_no_bytes_raise(chunks):
    codec = KobukiCodec(KobukiOptions())
    for beat, chunk in enumerate(chunks):
        codec.feed(chunk, beat * MS)
    assert codec.stats.skipped_bytes <= codec.stats.received_bytes == sum(map(len, chunks))


@pytest.mark.parametrize(
    ("command", "speed", "radius"),
    [
        (None, 0, 0),
        (go(0.0, 0.0), 0, 0),
        (go(0.3, 0.0), 300, 0),
        (go(-0.3, 0.0), -300, 0),
        (go(0.3, 1e-9), 300, 0),
        (go(0.0, 1.0), 115, 1),
        (go(0.0, -1.0), -115, 1),
        (go(0.001, 1.0), 115, 1),
        (go(0.3, 1.0), 415, 300),
        (go(0.3, -1.0), 415, -300),
        (go(-0.3, 1.0), -415, -300),
        (go(-0.3, -1.0), -415, 300),
        (go(9.0, 0.0), 700, 0),
        (go(0.0, 99.0), 700, 1),
    ],
)
def test_commands_are_the_outer_wheel_and_the_radius(command, speed, radius):
    ((id_, data),) = sub_payloads(Kobuki(KobukiOptions()).command(command))
    assert (id_, struct.unpack("<hh", data)) == (1, (speed, radius))


def test_the_handshake_stops_and_asks_for_the_version():
    version = Version(Feedback.FIRMWARE, "1.2.0")
    sent = play(Kobuki(KobukiOptions()).start(), {Version: version})
    assert [data.hex() for data in sent] == ["aa550601040000000003", "aa5504090203000c"]


def bench(**model):
    cells = np.zeros((200, 240), dtype=bool)
    cells[[0, -1], :] = cells[:, [0, -1]] = True
    lidar = LidarParameters(base_from_lidar=Pose(0, 0, 0))
    robot = RobotParameters(length_m=0.35, width_m=0.35, drive=DRIVE, lidar=lidar)
    plant = Plant(World(cells, 0.05, 0.0, 0.0), robot, Pose(6.0, 5.0, 0.0), 1)
    emulator = KobukiEmulator(plant.wheels, np.random.default_rng(1), KobukiModel(**model))
    return MemoryBench(Kobuki(KobukiOptions()), emulator, plant)


def outputs_of(kind, outputs):
    return [output for _, output in outputs if isinstance(output, kind)]


@pytest.mark.parametrize(("speed", "turn"), [(0.3, 0.4), (-0.3, 0.4), (0.0, -1.0), (0.4, 0.0)])
def test_it_drives_and_knows_where_it_is(speed, turn):
    rig = bench(start_ms=64_000)
    rig.run(300)
    assert rig.runner.state.phase is Phase.STREAMING
    rig.runner.submit(go(speed, turn))
    outputs = rig.run(3000)
    truth, last = rig.plant.truth, outputs_of(Odometry, outputs)[-1]
    assert last.x_m == pytest.approx(truth.pose.x_m - 6.0, abs=0.02)
    assert last.y_m == pytest.approx(truth.pose.y_m - 5.0, abs=0.02)
    assert math.remainder(last.yaw_rad - truth.pose.yaw_rad, math.tau) == pytest.approx(0, abs=0.05)
    assert last.forward_mps == pytest.approx(speed, abs=0.01)
    assert last.yaw_rate_radps == pytest.approx(turn, abs=0.02)
    stats = rig.runner.driver.codec.stats
    assert (stats.skipped_bytes, stats.bad_checksums, stats.gaps) == (0, 0, 0)


def test_bumper_cliff_and_lift_are_told_within_a_frame_or_two():
    rig = bench()
    rig.run(500)
    for kind in ("bumper", "cliff", "wheel_drop", "overcurrent"):
        rig.emulator.set_fault(kind, True, rig.now_ns)
        told = outputs_of(BaseStatus, rig.run(50))
        assert (told[-1].bumper, bool(told[-1].faults)) == (kind == "bumper", kind != "bumper")
        rig.emulator.set_fault(kind, False, rig.now_ns)
        assert outputs_of(BaseStatus, rig.run(50))[-1].faults == ()


def test_the_base_stops_by_itself_after_600_ms():
    rig = bench()
    rig.run(300)
    rig.runner.submit(go(0.4, 0.0))
    rig.run(1500)
    rig.unplug()
    speeds = []
    for _ in range(1200):
        rig.now_ns += MS
        rig.plant.advance(rig.now_ns)
        rig.emulator.transmit(rig.now_ns)
        speeds.append(rig.plant.truth.forward_mps)
    assert speeds[550] == pytest.approx(0.4, abs=0.01)
    assert speeds[-1] == 0.0


def test_it_comes_back_and_keeps_the_pose():
    rig = bench()
    rig.run(300)
    rig.runner.submit(go(0.4, 0.0))
    before = outputs_of(Odometry, rig.run(1500))[-1]
    rig.unplug()
    rig.run(1000)
    rig.plugged = True
    after = outputs_of(Odometry, rig.run(2000))
    assert rig.runner.state.phase is Phase.STREAMING
    assert after[0].x_m == pytest.approx(before.x_m, abs=1e-9)
