import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base.create2 import (
    BYTE_NS,
    COUNTS_PER_M,
    FRAME_BYTES,
    TWO_BYTES,
    Create2,
    Create2Codec,
    Create2Options,
    Mode,
    Packet,
    Streaming,
    packets,
)
from drivers.errors import DeviceFault
from drivers.measurement import BaseStatus, Odometry, VelocityCommand
from drivers.runner import Phase
from hil.emulator.create2 import DRIVE, Create2Emulator, Create2Model
from hil.plant.plant import LidarParameters, Plant, RobotParameters
from hil.plant.world import Pose, World
from tests.drivers.bench import MemoryBench
from tests.drivers.conversation import play

MS = 1_000_000
STOP = "83 91 0000 0000"


def frame(**values):
    given = {Packet.MODE: 2, Packet.VOLTAGE: 15_900}
    given |= {Packet[name.upper()]: value for name, value in values.items()}
    content = b"".join(
        bytes((packet,)) + (given.get(packet, 0) % 65536).to_bytes(1 + (packet in TWO_BYTES), "big")
        for packet in Packet
    )
    data = bytes((0x13, len(content))) + content
    return data + bytes((-sum(data) & 0xFF,))


def feed(data, codec=None, received_ns=1000 * MS):
    return list((codec or Create2Codec(Create2Options())).feed(data, received_ns))


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def go(forward_mps, yaw_rate_radps):
    return VelocityCommand(forward_mps, yaw_rate_radps, 2**62)


def test_golden_frames(shared):
    golden = json.loads((shared / "data/vectors/irobot_oi.json").read_text())
    accepted, refused = (bytes(item["bytes"]) for item in golden["stream"])
    assert packets(accepted) == {29: 537, 13: 0}
    assert packets(refused) == {}
    drive = golden["drive_direct_example"]
    right, left = drive["decoded"]["right_mm_s"] / 1000, drive["decoded"]["left_mm_s"] / 1000
    command = go((left + right) / 2, (right - left) / 0.235)
    assert Create2(Create2Options()).command(command) == bytes(drive["bytes"])


def test_counts_become_odometry():
    codec = Create2Codec(Create2Options())
    begun, first, _ = feed(frame(), codec, 1000 * MS)
    assert begun == Streaming(Mode.SAFE)
    wire_ns = round(FRAME_BYTES * BYTE_NS)
    assert (first.stamp_ns, first.received_ns) == (1000 * MS - wire_ns, 1000 * MS)
    (second,) = feed(frame(left_counts=15, right_counts=15), codec, 1015 * MS)
    assert second.x_m == pytest.approx(15 / COUNTS_PER_M)
    # Frames that bunched up on arrival are still 15 ms apart.
    found = of(Odometry, feed(frame(left_counts=20, right_counts=20) * 3, codec, 1060 * MS))
    assert [event.stamp_ns for event in found] == [
        pytest.approx(second.stamp_ns + beat * 15 * MS, abs=MS) for beat in (1, 2, 3)
    ]


@pytest.mark.parametrize(("old", "new", "steps"), [(65535, 5, 6), (5, 65535, -6)])
def test_encoders_wrap_both_ways(old, new, steps):
    codec = Create2Codec(Create2Options())
    feed(frame(left_counts=old, right_counts=old), codec, 0)
    (found,) = of(Odometry, feed(frame(left_counts=new, right_counts=new), codec, 15 * MS))
    assert found.x_m == pytest.approx(steps / COUNTS_PER_M)


@pytest.mark.parametrize(
    ("values", "e_stop", "bumper", "words"),
    [
        ({}, False, False, []),
        ({"mode": 3}, False, False, []),
        ({"mode": 1}, True, False, []),
        ({"bumps_and_wheel_drops": 1}, False, True, []),
        ({"bumps_and_wheel_drops": 2}, False, True, []),
        ({"bumps_and_wheel_drops": 8, "mode": 1}, True, False, ["left wheel dropped"]),
        ({"bumps_and_wheel_drops": 7}, False, True, ["right wheel dropped"]),
        (
            {"cliff_left": 1, "cliff_right": 1},
            False,
            False,
            ["cliff at the left", "cliff at the r"],
        ),
        ({"cliff_front_left": 1}, False, False, ["cliff at the front left"]),
        ({"cliff_front_right": 1}, False, False, ["cliff at the front right"]),
        ({"overcurrents": 0x18}, False, False, ["left motor", "right motor"]),
        ({"overcurrents": 0x05}, False, False, []),
        ({"charging_state": 5}, False, False, ["charging fault"]),
        ({"charging_state": 2}, False, False, []),
    ],
)
def test_flags_have_words(values, e_stop, bumper, words):
    (status,) = of(BaseStatus, feed(frame(**values, left_current=150, right_current=-20)))
    assert (status.e_stop, status.bumper, status.battery_v) == (e_stop, bumper, 15.9)
    assert status.motor_currents_a == (0.15, -0.02)
    assert len(status.faults) == len(words)
    for text, word in zip(status.faults, words, strict=True):
        assert text.startswith(word)
        assert ": " in text, "a fault says what to do"


def recording():
    return [
        frame(left_counts=7 * beat, right_counts=0x1313 + 6 * beat, left_current=0x132B)
        for beat in range(10)
    ]


def decoded(chunks):
    codec = Create2Codec(Create2Options())
    events, at = [], 0
    for data in chunks:
        at += len(data)
        events += codec.feed(data, 10**9 + round(at * BYTE_NS))
    return events, codec.stats


def test_a_flipped_bit_never_gives_a_value():
    frames = recording()
    clean, _ = decoded(frames)
    good = {(event.x_m, event.y_m, event.yaw_rad) for event in of(Odometry, clean)}
    for bit in range(8 * FRAME_BYTES):
        flipped = bytearray(frames[4])
        flipped[bit // 8] ^= 1 << bit % 8
        events, stats = decoded([*frames[:4], bytes(flipped), *frames[5:]])
        odometry = of(Odometry, events)
        assert len(odometry) == len(good) - 1
        assert {(e.x_m, e.y_m, e.yaw_rad) for e in odometry[:4]} <= good
        assert odometry[-1].x_m == pytest.approx(of(Odometry, clean)[-1].x_m, abs=1e-3)
        assert {(e.e_stop, e.bumper, e.faults) for e in of(BaseStatus, events)} == {
            (False, False, ())
        }
        assert stats.skipped_bytes == FRAME_BYTES


@settings(max_examples=50)
@given(st.lists(st.integers(1, 90), max_size=30), st.binary(max_size=60))
def test_any_chunking_gives_the_same_events(sizes, noise):
    stream = b"".join(recording()[:4]) + noise + b"".join(recording()[4:])
    whole, whole_stats = decoded([stream[at : at + 1] for at in range(len(stream))])
    cuts, at = [], 0
    for size in [*sizes, len(stream)]:
        cuts.append(stream[at : at + size])
        at += size
    events, stats = decoded(cuts)
    assert [type(event) for event in events] == [type(event) for event in whole]
    assert stats == whole_stats
    for one, other in zip(of(Odometry, events), of(Odometry, whole), strict=True):
        assert one.x_m == other.x_m
        assert abs(one.stamp_ns - other.stamp_ns) <= 4


@given(st.lists(st.binary(max_size=200) | st.just(b"\x13\x2a\x07"), max_size=10))
def test_no_bytes_raise(chunks):
    codec = Create2Codec(Create2Options())
    for beat, chunk in enumerate(chunks):
        codec.feed(chunk, beat * MS)
    assert codec.stats.skipped_bytes <= codec.stats.received_bytes == sum(map(len, chunks))


@given(st.binary(min_size=3, max_size=80))
def test_no_frame_raises(frame):
    assert set(packets(frame)) <= set(range(7, 59))


@pytest.mark.parametrize(
    ("command", "data"),
    [
        (None, STOP),
        (go(0.0, 0.0), STOP),
        (go(0.2, 0.0), "91 00c8 00c8"),
        (go(0.0, 1.0), "91 0076 ff8a"),
        (go(-9.0, 0.0), "91 fe0c fe0c"),
    ],
)
def test_commands_are_wheel_speeds_and_a_stop_takes_control_back(command, data):
    assert Create2(Create2Options()).command(command) == bytes.fromhex(data)


def test_full_mode_is_an_option():
    driver = Create2(Create2Options(mode="full"))
    assert driver.command(None) == bytes.fromhex("84 91 0000 0000")
    sent = play(driver.start(), {Streaming: Streaming(Mode.FULL)})
    assert sent[0] == bytes.fromhex("80 84 91 0000 0000 96 00")
    assert sent[1] == bytes((148, 13, *Packet))


def test_a_robot_that_does_not_let_itself_be_driven_is_a_fault():
    with pytest.raises(DeviceFault, match="create2 stays in mode 1, asked for 2: is it on its"):
        play(Create2(Create2Options()).start(), {Streaming: Streaming(Mode.PASSIVE)})


def test_it_is_left_passive_and_silent():
    sent = play(Create2(Create2Options()).stop(), {})
    assert b"".join(sent) == bytes.fromhex(f"{STOP} 96 00 80")


def bench(**model):
    cells = np.zeros((200, 240), dtype=bool)
    cells[[0, -1], :] = cells[:, [0, -1]] = True
    lidar = LidarParameters(base_from_lidar=Pose(0, 0, 0))
    robot = RobotParameters(length_m=0.34, width_m=0.34, drive=DRIVE, lidar=lidar)
    plant = Plant(World(cells, 0.05, 0.0, 0.0), robot, Pose(6.0, 5.0, 0.0), 1)
    emulator = Create2Emulator(plant.wheels, np.random.default_rng(1), Create2Model(**model))
    return MemoryBench(Create2(Create2Options()), emulator, plant)


def outputs_of(kind, outputs):
    return [output for _, output in outputs if isinstance(output, kind)]


@pytest.mark.parametrize(("speed", "turn"), [(0.3, 0.4), (-0.3, 0.4), (0.0, -1.0)])
def test_it_drives_and_knows_where_it_is(speed, turn):
    rig = bench(counts=(65_000, 500))
    rig.run(500)
    assert rig.runner.state.phase is Phase.STREAMING
    rig.runner.submit(go(speed, turn))
    outputs = rig.run(3000)
    truth, last = rig.plant.truth, outputs_of(Odometry, outputs)[-1]
    assert last.x_m == pytest.approx(truth.pose.x_m - 6.0, abs=0.02)
    assert last.y_m == pytest.approx(truth.pose.y_m - 5.0, abs=0.02)
    assert math.remainder(last.yaw_rad - truth.pose.yaw_rad, math.tau) == pytest.approx(0, abs=0.05)
    assert last.forward_mps == pytest.approx(speed, abs=0.02)
    assert last.yaw_rate_radps == pytest.approx(turn, abs=0.05)
    stats = rig.runner.driver.codec.stats
    assert (stats.skipped_bytes, stats.bad_checksums, stats.gaps) == (0, 0, 0)


def test_at_an_edge_it_stops_by_itself_and_goes_on_only_after_a_stop():
    rig = bench()
    rig.run(500)
    rig.runner.submit(go(0.3, 0.0))
    rig.run(1000)
    rig.emulator.set_fault("cliff", True, rig.now_ns)
    told = outputs_of(BaseStatus, rig.run(1000))[-1]
    assert (told.e_stop, told.faults[0].startswith("cliff at the left")) == (True, True)
    rig.emulator.set_fault("cliff", False, rig.now_ns)
    told = outputs_of(BaseStatus, rig.run(500))[-1]
    assert (told.e_stop, told.faults) == (True, ())
    assert rig.plant.truth.forward_mps == 0.0, "the old command does not move it on"
    rig.runner.submit(go(0.0, 0.0))
    assert not outputs_of(BaseStatus, rig.run(500))[-1].e_stop
    rig.runner.submit(go(0.3, 0.0))
    rig.run(1000)
    assert rig.plant.truth.forward_mps == pytest.approx(0.3, abs=0.01)


def test_bumper_lift_and_overcurrent_are_told_within_a_frame_or_two():
    rig = bench()
    rig.run(500)
    for kind in ("bumper", "wheel_drop", "overcurrent"):
        rig.emulator.set_fault(kind, True, rig.now_ns)
        told = outputs_of(BaseStatus, rig.run(50))
        assert (told[-1].bumper, bool(told[-1].faults)) == (kind == "bumper", kind != "bumper")
        rig.emulator.set_fault(kind, False, rig.now_ns)
        assert outputs_of(BaseStatus, rig.run(50))[-1].faults == ()


def test_motion_ends_with_the_command_and_with_the_service():
    rig = bench()
    rig.run(500)
    rig.runner.submit(VelocityCommand(0.3, 0.0, rig.now_ns + 500 * MS))
    rig.run(450)
    assert rig.plant.truth.forward_mps == pytest.approx(0.3, abs=0.01)
    rig.run(600)
    assert rig.plant.truth.forward_mps == 0.0
    rig.runner.submit(go(0.3, 0.0))
    rig.run(1000)
    rig.emulator.receive(b"".join(play(rig.runner.driver.stop(), {})), rig.now_ns)
    rig.plant.advance(rig.now_ns + 500 * MS)
    assert (rig.plant.truth.forward_mps, rig.emulator.mode) == (0.0, Mode.PASSIVE)


def test_it_comes_back_and_keeps_the_pose():
    rig = bench()
    rig.run(500)
    rig.runner.submit(go(0.3, 0.0))
    before = outputs_of(Odometry, rig.run(1500))[-1]
    rig.unplug()
    rig.run(1000)
    rig.plugged = True
    after = outputs_of(Odometry, rig.run(2000))
    assert rig.runner.state.phase is Phase.STREAMING
    assert after[0].x_m == pytest.approx(before.x_m, abs=1e-9)
