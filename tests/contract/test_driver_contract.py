"""What every driver owes the runner, ours and those of other makers.

Run over every driver that is installed. The wire bytes come from a capture of a session on the
real device (``drivers.capture``), handshake included, named ``<driver>.capture`` in the folder that
``HAULIER_CAPTURES`` names; our own drivers fall back to the emulated devices.
"""

import math
import os
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from drivers import registry
from drivers.capture import Direction, read_capture
from drivers.driver import CodecStats, Expect, Flush, PortSpec, Reply, Send, Wait
from drivers.errors import DriverError
from drivers.measurement import BaseStatus, Odometry, Scan, VelocityCommand
from tests.drivers.bench import MemoryBench, build_base, build_lidar, build_plant

DRIVERS = registry.available()
BASES = [info for info in DRIVERS if info.kind == "base"]
EMULATORS = {"rplidar": build_lidar, "roboteq": build_base}
FEW = settings(max_examples=10)
every_driver = pytest.mark.parametrize("info", DRIVERS, ids=lambda info: info.name)
every_base = pytest.mark.parametrize("info", BASES, ids=lambda info: info.name)
RECORDED = {}


def build(info):
    """Return a new driver with its default options."""
    driver = registry.load(info.name)
    return driver(TypeAdapter(driver.options).validate_python({}))


def record(info):
    """Return what the device sent in one session, from the handshake on."""
    if info.name not in RECORDED:
        folder = os.environ.get("HAULIER_CAPTURES")
        path = Path(folder or ".") / f"{info.name}.capture"
        if folder and path.exists():
            chunks = read_capture(path)
            received = [chunk.data for chunk in chunks if chunk.direction is Direction.RECEIVED]
            RECORDED[info.name] = b"".join(received)
        elif info.name in EMULATORS:
            plant = build_plant()
            bench = MemoryBench(build(info), EMULATORS[info.name](plant), plant)
            bench.run(1700)
            RECORDED[info.name] = bytes(bench.received)
        else:
            pytest.skip(f"no {info.name}.capture in HAULIER_CAPTURES")
    return RECORDED[info.name]


def feed(driver, stream, cuts=(), first_byte=0):
    """Feed a stream cut into chunks; each byte arrives when it does at the line rate."""
    byte_ns = 10e9 / driver.spec.baud
    ends = sorted({*(cut for cut in cuts if 0 < cut < len(stream)), len(stream)})
    events, begin = [], 0
    for end in ends:
        received_ns = 10**9 + round((first_byte + end) * byte_ns)
        events += driver.codec.feed(stream[begin:end], received_ns)
        begin = end
    return events


def is_alike(one, other):
    """Equal, but for the rounding of stamps to whole nanoseconds."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.shape == other.shape and np.allclose(one, other, atol=1e-5, equal_nan=True)
    if isinstance(one, float):
        return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6) or one != one
    if is_dataclass(one):
        return all(
            abs(getattr(one, field.name) - getattr(other, field.name)) <= 4
            if field.name.endswith("_ns")
            else is_alike(getattr(one, field.name), getattr(other, field.name))
            for field in fields(one)
        )
    return one == other


def assert_alike(events, expected):
    assert [type(event) for event in events] == [type(event) for event in expected]
    for event, twin in zip(events, expected, strict=True):
        assert is_alike(event, twin), (event, twin)


def measurements(events):
    return [event for event in events if not isinstance(event, Reply)]


@every_driver
def test_it_says_what_it_is(info):
    driver = build(info)
    assert type(driver).name == info.name
    assert info.devices, "the class has no docstring: what devices is it for?"
    assert isinstance(driver.spec, PortSpec)
    assert isinstance(driver.codec.stats, CodecStats)
    assert 0.0 < driver.stale_after_s <= 5.0
    for poll in driver.polls:
        assert poll.period_s >= 0.005
        assert poll.data


@every_driver
def test_options_are_checked(info):
    adapter = TypeAdapter(registry.load(info.name).options)
    adapter.validate_python({})
    with pytest.raises(ValidationError, match=r"extra|[Uu]nexpected"):
        adapter.validate_python({"no_such_option": 1})
    for name, schema in adapter.json_schema()["properties"].items():
        if schema.get("type") in ("number", "integer") and "enum" not in schema:
            assert {"minimum", "exclusiveMinimum"} & set(schema), f"{name} has no lower bound"
            assert {"maximum", "exclusiveMaximum"} & set(schema), f"{name} has no upper bound"
            with pytest.raises(ValidationError):
                adapter.validate_python({name: 1e30})
        with pytest.raises(ValidationError):
            adapter.validate_python({name: {"not": "a value"}})


@every_driver
def test_options_are_frozen_and_codecs_are_not_shared(info):
    options = TypeAdapter(registry.load(info.name).options).validate_python({})
    name = fields(options)[0].name
    with pytest.raises(AttributeError):
        setattr(options, name, getattr(options, name))
    assert replace(options) == options
    assert build(info).codec is not build(info).codec


@every_driver
def test_a_handshake_is_steps_and_ends(info):
    """Played with no device at all: nobody answers but where silence is allowed."""
    steps = build(info).start()
    answer, waited = None, 0
    try:
        for _ in range(1000):
            step = steps.send(answer)
            answer = None
            assert isinstance(step, Send | Expect | Wait | Flush)
            if isinstance(step, Send):
                assert isinstance(step.data, bytes)
            elif isinstance(step, Wait):
                assert 0.0 <= step.duration_s <= 5.0
            elif isinstance(step, Expect):
                waited += 1
                assert issubclass(step.reply, Reply)
                assert 0.0 < step.timeout_s <= 10.0
                assert step.silence
        pytest.fail("the handshake does not end")
    except StopIteration:
        assert waited, "nothing in the handshake proves that the device is there"
    except DriverError:
        pass


@every_driver
def test_stopping_needs_no_answer(info):
    steps = list(build(info).stop())
    assert all(isinstance(step, Send | Wait) for step in steps)
    assert [step for step in steps if isinstance(step, Send) and step.data]


@every_driver
def test_a_session_gives_measurements(info):
    driver, stream = build(info), record(info)
    events = feed(driver, stream, range(0, len(stream), 64))
    assert len(measurements(events)) >= 3
    kinds = (Odometry, BaseStatus) if info.kind == "base" else (Scan,)
    assert all(isinstance(event, kinds) for event in measurements(events))
    stamps = [event.received_ns for event in measurements(events) if hasattr(event, "received_ns")]
    assert stamps == sorted(stamps)
    stats = driver.codec.stats
    assert stats.received_bytes == len(stream)
    assert stats.frames > 0
    for event in measurements(events):
        if isinstance(event, Scan):
            assert_scan_is_sound(event)
        elif isinstance(event, Odometry):
            assert event.stamp_ns <= event.received_ns
            assert -math.pi <= event.yaw_rad < math.pi


def assert_scan_is_sound(scan):
    rays = scan.angles_rad.size
    assert rays > 0
    columns = (scan.angles_rad, scan.ranges_m, scan.offsets_s, scan.quality)
    for column, kind in zip(columns, ("f4", "f4", "f4", "u1"), strict=True):
        assert column.shape == (rays,)
        assert column.dtype == np.dtype(kind)
        assert column.flags.c_contiguous
        assert not column.flags.writeable
    assert np.all(np.diff(scan.angles_rad) >= 0.0)
    assert scan.angles_rad[0] >= -np.float32(np.pi)
    assert scan.angles_rad[-1] < np.float32(np.pi)
    assert np.all(np.isnan(scan.ranges_m) | (scan.ranges_m > 0.0))
    assert scan.offsets_s.min() >= 0.0
    assert scan.stamp_ns <= scan.received_ns


@every_driver
def test_the_same_bytes_and_stamps_give_the_same_events(info):
    stream = record(info)
    once, again = (feed(build(info), stream, range(0, len(stream), 100)) for _ in range(2))
    assert_alike(once, again)


@every_driver
@pytest.mark.parametrize("size", [1, 7, 4096, 10**9])
def test_chunk_sizes_do_not_matter(info, size):
    stream = record(info)
    driver, expected = build(info), build(info)
    events = feed(driver, stream, range(0, len(stream), size))
    assert_alike(events, feed(expected, stream, range(0, len(stream), 64)))
    assert driver.codec.stats == expected.codec.stats


@every_driver
@FEW
@given(data=st.data())
def test_chunking_does_not_matter_even_with_noise(info, data):
    stream = bytearray(record(info))
    for at in data.draw(st.lists(st.integers(0, len(stream) - 1), max_size=8)):
        stream[at] = data.draw(st.integers(0, 255))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=60))
    driver, expected = build(info), build(info)
    events = feed(driver, bytes(stream), cuts)
    assert_alike(events, feed(expected, bytes(stream), range(0, len(stream), 64)))
    assert driver.codec.stats == expected.codec.stats


@every_driver
@given(data=st.binary(max_size=40), sent_ns=st.integers(0, 2**62))
def test_what_was_sent_gives_no_event(info, data, sent_ns):
    codec = build(info).codec
    codec.note_sent(data, sent_ns)
    for poll in build(info).polls:
        codec.note_sent(poll.data, sent_ns)
    assert not codec.feed(b"", sent_ns)
    assert codec.stats == CodecStats()


@every_driver
@FEW
@given(noise=st.binary(max_size=3000), size=st.integers(1, 3000))
def test_noise_is_no_error(info, noise, size):
    driver = build(info)
    feed(driver, noise, range(0, len(noise), size))
    stats = driver.codec.stats
    assert stats.received_bytes == len(noise)
    assert stats.skipped_bytes <= len(noise)


@every_driver
@FEW
@given(at=st.floats(0.3, 0.7), noise=st.binary(min_size=1, max_size=300))
def test_it_finds_its_way_back_after_noise(info, at, noise):
    stream = record(info)
    cut = int(at * len(stream))
    clean = measurements(feed(build(info), stream, range(0, len(stream), 64)))
    driver = build(info)
    torn = stream[:cut] + noise + stream[cut:]
    events = measurements(feed(driver, torn, range(0, len(torn), 64)))
    # A noisy moment costs what it hit and what cannot be told without it.
    assert len(clean) - 4 <= len(events) <= len(clean) + 2
    assert type(events[-1]) is type(clean[-1])


@every_driver
@FEW
@given(at=st.floats(0.0, 1.0), noise=st.binary(max_size=50))
def test_reset_forgets_partial_frames_and_keeps_the_counters(info, at, noise):
    stream = record(info)
    driver = build(info)
    feed(driver, stream[: int(at * len(stream))] + noise)
    before = replace(driver.codec.stats)
    driver.codec.reset()
    assert driver.codec.stats == before
    again, fresh = feed(driver, stream), feed(build(info), stream)
    assert [type(event) for event in again] == [type(event) for event in fresh]
    for field in fields(before):
        assert getattr(driver.codec.stats, field.name) >= getattr(before, field.name)


@every_base
def test_no_command_is_a_stop(info):
    driver = build(info)
    assert driver.command(None)
    assert driver.command(None) == driver.command(VelocityCommand(0.0, 0.0, 0))
    assert driver.command(None) != driver.command(VelocityCommand(0.3, 0.0, 0))
    assert any(driver.command(None) in step.data for step in driver.stop() if type(step) is Send)


@every_base
@given(
    forward_mps=st.floats(-1e6, 1e6, allow_nan=False),
    yaw_rate_radps=st.floats(-1e6, 1e6, allow_nan=False),
)
def test_any_command_can_be_encoded(info, forward_mps, yaw_rate_radps):
    driver = build(info)
    command = VelocityCommand(forward_mps, yaw_rate_radps, 0)
    assert driver.command(command) == driver.command(command)
    assert 0 < len(driver.command(command)) < 100


@every_base
def test_the_watchdog_outlives_a_missed_command_and_not_a_dead_host(info):
    driver = build(info)
    assert driver.command_period_s * 1000 * 2 <= driver.watchdog_ms <= 1000
    assert driver.encoder_bits in range(8, 65)


@every_base
def test_motors_are_stopped_before_anything_else(info):
    first = next(step for step in build(info).start() if isinstance(step, Send))
    assert build(info).command(None) in first.data
