"""What every driver owes the runner, as checks that run on any installed driver.

A check is a function of a :class:`Subject`; it returns nothing, or raises ``ContractBroken`` and
says what was expected. The bytes come from a capture of a session on the real device, handshake
included, or from the emulator that is registered under the driver's name; the checks that pull
plugs need the emulator. Everything that is drawn is drawn from a seed.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from drivers import registry
from drivers.capture import Direction, read_capture
from drivers.driver import CodecStats, Event, Expect, Flush, PortSpec, Send, Wait
from drivers.errors import DeviceFault, DriverError, HaulierError, PortLost, PortUnavailable
from drivers.measurement import BaseStatus, Odometry, Scan, VelocityCommand
from drivers.port import BytePort, MemoryPort
from drivers.runner import DeviceRunner, DeviceState, Output, Phase
from hil.emulator import registry as emulators
from hil.emulator.device import Emulator
from hil.errors import BenchError, ContractBroken
from hil.plant.plant import LidarParameters, Plant, RobotParameters
from hil.plant.world import Pose, World

MS: Final = 1_000_000
STEP_MS: Final = 4
SESSION_MS: Final = 2_400
SESSION_BYTES: Final = 40_000
TRIALS: Final = 5
MEASUREMENTS: Final = 3
OWN_FAULT: Final = "health"
STALL_MS: Final = 700
RUN_MS: Final = 1_200
MOST_HELD: Final = 6
FLIPS: Final = 16
STAMP_ROUNDING_NS: Final = 4

Measurement: TypeAlias = Scan | Odometry | BaseStatus


def require(condition: object, text: str) -> None:
    """Raise ContractBroken with the text unless the condition holds."""
    if not condition:
        raise ContractBroken(text)


@dataclass(frozen=True)
class Subject:
    """A driver under test, and where its bytes come from.

    Attributes:
        name: Of the driver.
        driver: Its class.
        emulator: Class of the emulated device, None where there is none.
        capture: A session with the real device, None for the emulator's.
        seed: Of everything that is drawn.
    """

    name: str
    driver: Any
    emulator: Any = None
    capture: Path | None = None
    seed: int = 1

    @property
    def is_base(self) -> bool:
        """Whether it drives a base."""
        return hasattr(self.driver, "command")

    @property
    def is_checksummed(self) -> bool:
        """Whether its frames carry a check; a class without one says ``checksummed = False``."""
        return bool(getattr(self.driver, "checksummed", not self.is_base))

    def build(self) -> Any:
        """Return a new driver with its default options."""
        return self.driver(TypeAdapter(self.driver.options).validate_python({}))

    def bench(self) -> "PlugBench":
        """Return the driver on its emulated device, in a hall."""
        return PlugBench(self)

    def rng(self) -> np.random.Generator:
        """Return a generator that draws the same in every run."""
        return np.random.default_rng(self.seed)

    @cached_property
    def session(self) -> bytes:
        """What the device sent in one session, from the handshake on, or the first part of it."""
        if self.capture is not None:
            chunks = read_capture(self.capture)
            received = [chunk.data for chunk in chunks if chunk.direction is Direction.RECEIVED]
            return b"".join(received)[:SESSION_BYTES]
        bench = self.bench()
        bench.run(SESSION_MS, lambda outputs: len(bench.received) >= SESSION_BYTES)
        return bytes(bench.received[:SESSION_BYTES])


def subject_named(name: str, capture: Path | None = None) -> Subject:
    """Return an installed driver with the emulator of its name, if there is one.

    Raises:
        DriverUnknown: No driver has that name.
        BenchError: There is neither a capture nor an emulator, or the emulator does not load.
    """
    driver = registry.load(name)
    emulator = emulators.load(name) if name in emulators.targets() else None
    if emulator is None and capture is None:
        raise BenchError(f"driver {name} has no emulator: name a capture of a session with it")
    return Subject(name, driver, emulator, capture)


class PlugBench:
    """One runner and one emulated device, a few simulated milliseconds at a time, with a plug.

    Attributes:
        emulator: The device.
        received: Every byte that reached the host.
        openings: How often the port was opened or found missing.
        reads: The host takes part; while False it is stalled.
        hold_ms: The line delivers in lumps of this many milliseconds, 1 for at once.
    """

    def __init__(self, subject: Subject) -> None:
        cells = np.zeros((200, 240), dtype=np.bool_)
        cells[[0, -1], :] = cells[:, [0, -1]] = True
        robot = RobotParameters(lidar=LidarParameters(base_from_lidar=Pose(0.0, 0.0, 0.0)))
        self._plant = Plant(World(cells, 0.05, 0.0, 0.0), robot, Pose(6.0, 5.0, 0.0), subject.seed)
        source = self._plant.wheels if subject.is_base else self._plant.lidar_ranges
        self.emulator: Emulator = subject.emulator(source, subject.rng())
        self.runner = DeviceRunner(subject.name, subject.build(), self._open)
        self.received = bytearray()
        self.openings = 0
        self.reads = True
        self.hold_ms = 1
        self.now_ns = 0
        self._held = bytearray()
        self._device_end: BytePort | None = None
        self._plugged = True

    def _open(self, spec: PortSpec) -> BytePort:
        self.openings += 1
        if not self._plugged:
            raise PortUnavailable("device: no such device node", port="device")
        self._device_end, host_end = MemoryPort.pair()
        return host_end

    def plug(self, is_in: bool) -> None:
        """Push the plug in or pull it."""
        self._plugged = is_in
        if not is_in and self._device_end is not None:
            self._device_end.close()

    def run(
        self, duration_ms: int, until: Callable[[Sequence[Output]], bool] = lambda outputs: False
    ) -> list[Output]:
        """Let time pass, at most until something has happened, and return what came out."""
        outputs: list[Output] = []
        for _ in range(0, duration_ms, STEP_MS):
            self.now_ns += STEP_MS * MS
            self._plant.advance(self.now_ns)
            self._move_bytes()
            if self.reads:
                outputs += self.runner.service(self.now_ns)
            if until(outputs):
                break
        return outputs

    def _move_bytes(self) -> None:
        self._held += self.emulator.transmit(self.now_ns)
        if self._device_end is None or not self._plugged:
            self._held.clear()
            return
        # A runner that gave up cut the line.
        with suppress(PortLost):
            if told := self._device_end.read():
                self.emulator.receive(told, self.now_ns)
            if self.now_ns // MS % self.hold_ms < STEP_MS:
                self._device_end.write(bytes(self._held))
                self.received += self._held
                self._held.clear()


def feed(
    driver: Any, stream: bytes, cuts: Iterable[int] = (), begin_ns: int = 10**9
) -> list[Event]:
    """Feed a stream cut into chunks; each byte arrives when it does at the line rate."""
    byte_ns = 10e9 / driver.spec.baud
    ends = sorted({*(cut for cut in cuts if 0 < cut < len(stream)), len(stream)})
    events: list[Event] = []
    begin = 0
    for end in ends:
        events += driver.codec.feed(stream[begin:end], begin_ns + round(end * byte_ns))
        begin = end
    return events


def every(size: int, stream: bytes) -> range:
    """Return the cuts of a stream into chunks of one size."""
    return range(0, len(stream), size)


def measurements(outputs: Sequence[Any]) -> list[Measurement]:
    """Return what was measured, without replies and transitions."""
    return [output for output in outputs if isinstance(output, Scan | Odometry | BaseStatus)]


def is_alike(one: Any, other: Any) -> bool:
    """Return whether two events are equal, but for the rounding of stamps to nanoseconds."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.shape == other.shape and np.allclose(one, other, atol=1e-5, equal_nan=True)
    if isinstance(one, float):
        return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6) or one != one
    if is_dataclass(one):
        return all(
            abs(getattr(one, field.name) - getattr(other, field.name)) <= STAMP_ROUNDING_NS
            if field.name.endswith("_ns")
            else is_alike(getattr(one, field.name), getattr(other, field.name))
            for field in fields(one)
        )
    return bool(one == other)


def require_alike(events: Sequence[Event], expected: Sequence[Event], what: str) -> None:
    """Raise ContractBroken unless both are the same events in the same order."""
    names, twins = ([type(event).__name__ for event in side] for side in (events, expected))
    require(names == twins, f"{what}: {len(names)} events in place of {len(twins)}, or others")
    for event, twin in zip(events, expected, strict=True):
        require(is_alike(event, twin), f"{what}: a {type(event).__name__} differs")


def check_plate(subject: Subject) -> None:
    """It says what it is, for which devices, and how its port is opened."""
    driver = subject.build()
    require(subject.driver.name == subject.name, f"it is registered as {subject.name}")
    require((subject.driver.__doc__ or "").strip(), "the class has no docstring: what devices?")
    require(isinstance(driver.spec, PortSpec), "spec is no PortSpec")
    require(isinstance(driver.codec.stats, CodecStats), "codec.stats are no CodecStats")
    require(0.0 < driver.stale_after_s <= 5.0, "stale_after_s is not in (0, 5]")
    for poll in driver.polls:
        require(poll.period_s >= 0.005 and poll.data, "a poll is empty or faster than 5 ms")


def check_options(subject: Subject) -> None:
    """Every option has a default and bounds, and nothing else is taken."""
    adapter = TypeAdapter(subject.driver.options)
    options: Any = adapter.validate_python({})
    _require_refused(adapter, {"no_such_option": 1}, "an option that does not exist")
    for name, schema in adapter.json_schema().get("properties", {}).items():
        _require_refused(adapter, {name: {"not": "a value"}}, f"a table for {name}")
        if schema.get("type") in ("number", "integer") and "enum" not in schema:
            bounds = {"minimum", "exclusiveMinimum"}, {"maximum", "exclusiveMaximum"}
            require(all(side & set(schema) for side in bounds), f"{name} lacks a bound")
            _require_refused(adapter, {name: 1e30}, f"1e30 for {name}")
    require(replace(options) == options, "options do not compare by value")
    name = fields(options)[0].name
    try:
        setattr(options, name, getattr(options, name))
    except AttributeError:
        return
    raise ContractBroken("options are not frozen")


def _require_refused(adapter: TypeAdapter[Any], options: dict[str, Any], what: str) -> None:
    try:
        adapter.validate_python(options)
    except ValidationError:
        return
    raise ContractBroken(f"the options accept {what}")


def check_handshake(subject: Subject) -> None:
    """Starting is made of steps, waits for a proof, and ends even when nobody answers."""
    require(subject.build().codec is not subject.build().codec, "two drivers share a codec")
    steps = subject.build().start()
    answer, proofs = None, 0
    try:
        for _ in range(1000):
            step = steps.send(answer)
            require(isinstance(step, Send | Expect | Wait | Flush), f"{step!r} is no step")
            if isinstance(step, Wait):
                require(0.0 <= step.duration_s <= 5.0, "a wait is longer than 5 s")
            elif isinstance(step, Expect):
                proofs += 1
                require(0.0 < step.timeout_s <= 10.0, "an answer may take longer than 10 s")
                require(step.silence, "a silence has no name")
    except StopIteration:
        require(proofs, "nothing in the handshake proves that the device is there")
        return
    except DriverError:
        return
    raise ContractBroken("the handshake does not end")


def check_stop(subject: Subject) -> None:
    """Stopping waits for no answer; it may be all that is heard."""
    for step in subject.build().stop():
        require(isinstance(step, Send | Wait), f"stopping needs {step!r}")


def check_session(subject: Subject) -> None:
    """A session gives sound measurements of the right kind, and all its bytes are accounted for."""
    driver, stream = subject.build(), subject.session
    events = measurements(feed(driver, stream, every(64, stream)))
    require(len(events) >= 3, f"a session of {len(stream)} bytes gave {len(events)} measurements")
    kinds = (Odometry, BaseStatus) if subject.is_base else (Scan,)
    require(all(isinstance(event, kinds) for event in events), "measurements of the wrong kind")
    arrivals = [event.received_ns for event in events if not isinstance(event, BaseStatus)]
    require(arrivals == sorted(arrivals), "received_ns goes backwards")
    stats = driver.codec.stats
    require(stats.received_bytes == len(stream), "received_bytes does not count every byte")
    require(stats.frames > 0, "no frame was counted")
    for event in events:
        if isinstance(event, Scan):
            require_sound_scan(event)
        elif isinstance(event, Odometry):
            require(event.stamp_ns <= event.received_ns, "odometry of the future")
            require(-math.pi <= event.yaw_rad < math.pi, "yaw outside [-pi, pi)")


def require_sound_scan(scan: Scan) -> None:
    """Raise ContractBroken unless a scan keeps what :class:`drivers.measurement.Scan` promises."""
    columns: tuple[tuple[str, NDArray[Any], str], ...] = (
        ("angles_rad", scan.angles_rad, "f4"),
        ("ranges_m", scan.ranges_m, "f4"),
        ("offsets_s", scan.offsets_s, "f4"),
        ("quality", scan.quality, "u1"),
    )
    require(scan.angles_rad.size, "a scan without rays")
    for name, column, kind in columns:
        require(column.shape == scan.angles_rad.shape, f"{name} has a length of its own")
        require(column.dtype == np.dtype(kind), f"{name} is {column.dtype}, not {kind}")
        require(column.flags.c_contiguous, f"{name} is not contiguous")
        require(not column.flags.writeable, f"{name} can be written")
    require(np.all(np.diff(scan.angles_rad) >= 0.0), "rays are not sorted")
    require(scan.angles_rad[0] >= -np.float32(np.pi), "an angle below -pi")
    require(scan.angles_rad[-1] < np.float32(np.pi), "an angle of pi or more")
    require(np.all(np.isnan(scan.ranges_m) | (scan.ranges_m > 0.0)), "a range that is not positive")
    require(scan.offsets_s.min() >= 0.0, "a ray before the scan's stamp")
    require(scan.stamp_ns <= scan.received_ns, "a scan of the future")
    require(scan.missing >= 0, "fewer than no rays missing")


def check_chunking(subject: Subject) -> None:
    """The same bytes and arrival times give the same events, however they are cut."""
    stream, rng = subject.session, subject.rng()
    expected = subject.build()
    events = feed(expected, stream, every(64, stream))
    for size in (64, 7, 4096, len(stream)):
        driver = subject.build()
        require_alike(feed(driver, stream, every(size, stream)), events, f"chunks of {size} bytes")
        require(driver.codec.stats == expected.codec.stats, f"counts, in chunks of {size}")
    head = stream[: 1 << 13]
    require_alike(
        feed(subject.build(), head, every(1, head)), feed(subject.build(), head), "byte by byte"
    )
    for _ in range(TRIALS):
        noisy = _spoiled(stream, rng)
        cuts = rng.integers(0, len(noisy), 60).tolist()
        driver, expected = subject.build(), subject.build()
        events = feed(expected, noisy, every(64, noisy))
        require_alike(feed(driver, noisy, cuts), events, "a noisy stream, cut at random")
        require(driver.codec.stats == expected.codec.stats, "counts of a noisy stream")


def _spoiled(stream: bytes, rng: np.random.Generator) -> bytes:
    """Return the stream with a few bytes replaced."""
    spoiled = np.frombuffer(stream, np.uint8).copy()
    places = rng.integers(0, spoiled.size, 8)
    spoiled[places] = rng.integers(0, 256, places.size)
    return spoiled.tobytes()


def check_resync(subject: Subject) -> None:
    """Junk in the stream costs the frame it hits; the next sound frame is found."""
    stream, rng = subject.session, subject.rng()
    clean = subject.build()
    feed(clean, stream, every(64, stream))
    for trial in range(TRIALS):
        cut = int(rng.integers(len(stream) * 3 // 10, len(stream) * 7 // 10))
        size = int(rng.integers(1, 300))
        at = int(rng.integers(0, len(stream) - size))
        # Every other time pieces of frames, which look right for as long as they last.
        junk = stream[at : at + min(size, 40)] if trial % 2 else rng.bytes(size)
        driver = subject.build()
        torn = stream[:cut] + junk + stream[cut:]
        feed(driver, torn, every(64, torn))
        lost = clean.codec.stats.frames - driver.codec.stats.frames
        require(lost <= 1, f"{len(junk)} bytes of junk cost {lost} frames")


def check_any_bytes(subject: Subject) -> None:
    """No bytes raise anything; what is not used is counted."""
    stream, rng = subject.session, subject.rng()
    for trial in range(4 * TRIALS):
        size = int(rng.integers(1, 4000))
        at = int(rng.integers(0, max(len(stream) - size, 1)))
        data = rng.bytes(size) if trial % 2 else _spoiled(stream[at : at + size] * 2, rng)
        require_harmless(subject, data, int(rng.integers(1, 600)))


def require_harmless(subject: Subject, data: bytes, size: int) -> None:
    """Raise ContractBroken unless any bytes can be fed in chunks of any size."""
    driver = subject.build()
    try:
        feed(driver, data, every(size, data))
    except (ArithmeticError, LookupError, TypeError, ValueError, HaulierError) as error:
        raise ContractBroken(f"bytes raised {error!r}: {data[:40].hex()}...") from error
    stats = driver.codec.stats
    require(stats.received_bytes == len(data), "received_bytes does not count every byte")
    require(0 <= stats.skipped_bytes <= len(data), "more bytes skipped than received")


def check_flipped_bits(subject: Subject) -> None:
    """A flipped bit may cost points, never make one."""
    if not subject.is_checksummed or subject.is_base:
        return
    stream, rng = subject.session, subject.rng()
    clean = _points(feed(subject.build(), stream, every(512, stream)))
    for _ in range(FLIPS):
        at, bit = int(rng.integers(0, len(stream))), int(rng.integers(0, 8))
        flipped = bytearray(stream)
        flipped[at] ^= 1 << bit
        points = _points(feed(subject.build(), bytes(flipped), every(512, stream)))
        made = np.count_nonzero(~np.isin(points, clean))
        require(made == 0, f"bit {bit} of byte {at} flipped made {made} points")


def _points(events: Sequence[Event]) -> NDArray[np.uint64]:
    """Return every point as one number: the bits of its angle and of its range."""
    scans = [event for event in events if isinstance(event, Scan)]
    if not scans:
        return np.empty(0, np.uint64)
    angles = np.concatenate([scan.angles_rad for scan in scans]).view(np.uint32)
    ranges = np.concatenate([scan.ranges_m for scan in scans])
    ranges = np.where(np.isnan(ranges), np.float32(0.0), ranges).view(np.uint32)
    points: NDArray[np.uint64] = angles.astype(np.uint64) << np.uint64(32) | ranges
    return points


def check_reset(subject: Subject) -> None:
    """A reset forgets partial frames and keeps the counters."""
    stream, rng = subject.session, subject.rng()
    fresh = feed(subject.build(), stream)
    for _ in range(3):
        driver = subject.build()
        feed(driver, stream[: int(rng.integers(0, len(stream)))] + rng.bytes(20))
        before = replace(driver.codec.stats)
        driver.codec.reset()
        require(driver.codec.stats == before, "a reset changes the counters")
        again = feed(driver, stream)
        kinds = [[type(event) for event in side] for side in (again, fresh)]
        require(kinds[0] == kinds[1], "after a reset the same bytes give other events")


def check_sent(subject: Subject) -> None:
    """Hearing what was sent makes no event and counts nothing."""
    driver = subject.build()
    for data in (b"", b"\0\xff?\r", *(poll.data for poll in driver.polls)):
        driver.codec.note_sent(data, 10**9)
    require(not driver.codec.feed(b"", 10**9), "what was sent gave an event")
    require(driver.codec.stats == CodecStats(), "what was sent was counted")


def check_commands(subject: Subject) -> None:
    """No command is a stop, any command can be encoded, and the watchdog fits the beat."""
    if not subject.is_base:
        return
    driver = subject.build()
    stop = driver.command(None)
    require(stop and stop == driver.command(None), "a stop is not the same bytes each time")
    require(stop == driver.command(VelocityCommand(0.0, 0.0, 0)), "zero speed is no stop")
    require(stop != driver.command(VelocityCommand(0.3, 0.0, 0)), "0.3 m/s is a stop")
    sent = [step.data for step in driver.stop() if isinstance(step, Send)]
    require(any(stop in data for data in sent), "stopping does not stop the motors")
    first = next(step for step in driver.start() if isinstance(step, Send))
    require(stop in first.data, "starting does not stop the motors first")
    for speed in (-1e6, -1.0, -1e-9, 1e-9, 1.0, 1e6):
        for command in (VelocityCommand(speed, 0.0, 0), VelocityCommand(0.1, speed, 0)):
            require(0 < len(driver.command(command)) < 100, f"{command} cannot be encoded")
    require(driver.command_period_s * 2000 <= driver.watchdog_ms <= 1000, "the watchdog's time")
    require(driver.encoder_bits in range(8, 65), "the encoder's bits")


def check_unplug(subject: Subject) -> None:
    """Pulled and pushed in again, it is lost by name and comes back by itself."""
    if subject.emulator is None:
        return
    bench = subject.bench()
    _require_streaming(bench, SESSION_MS, "at first")
    bench.plug(False)
    _require_trouble(bench, 500, "unplugged")
    openings = bench.openings
    bench.run(3000)
    require(2 <= bench.openings - openings <= 10, "an unplugged port is tried too often or seldom")
    bench.plug(True)
    _require_streaming(bench, 8000, "plugged in again")


def check_stall(subject: Subject) -> None:
    """A host that stalled takes the backlog, keeps streaming, and its stamps stay in order."""
    if subject.emulator is None:
        return
    bench = subject.bench()
    outputs = bench.run(SESSION_MS, _is_measuring)
    bench.reads = False
    bench.run(STALL_MS)
    bench.reads = True
    outputs += bench.run(RUN_MS)
    require(bench.runner.state.phase is Phase.STREAMING, f"a stall of {STALL_MS} ms ends it")
    _require_ordered(outputs)


def check_burst(subject: Subject) -> None:
    """Bytes in lumps, as from a USB hub, give the measurements that single ones give."""
    if subject.emulator is None:
        return
    counts = []
    for hold_ms in (1, 100):
        bench = subject.bench()
        bench.run(SESSION_MS, _is_measuring)
        bench.hold_ms = hold_ms
        outputs = bench.run(RUN_MS)
        _require_ordered(outputs)
        kinds = Odometry if subject.is_base else Scan
        counts.append(sum(isinstance(output, kinds) for output in outputs))
    alone, lumped = counts
    require(lumped > 0, "nothing is measured when bytes come in lumps")
    # A base is polled: it answers less often when its answers wait.
    held = subject.is_base or abs(alone - lumped) <= MOST_HELD
    require(held, f"in lumps {lumped} scans, else {alone}")


def check_silence(subject: Subject) -> None:
    """A device that falls silent is noticed by name, and is taken back when it speaks."""
    if subject.emulator is None:
        return
    bench = subject.bench()
    _require_streaming(bench, SESSION_MS, "at first")
    bench.emulator.line.muted = True
    _require_trouble(bench, 6000, "silent")
    bench.emulator.line.muted = False
    _require_streaming(bench, 10_000, "heard again")


def check_wrong_baud(subject: Subject) -> None:
    """What a wrong line rate makes of the bytes is no measurement, no exception, and no end."""
    if subject.emulator is None:
        return
    bench = subject.bench()
    bench.emulator.line.garbage_rate = 1.0
    outputs = bench.run(6000)
    require(not measurements(outputs), "garbage gave measurements")
    require(bench.runner.state.error is not None, "garbage only, and no error")
    bench.emulator.line.garbage_rate = 0.0
    _require_streaming(bench, 10_000, "after garbage")


def check_fault(subject: Subject) -> None:
    """A device that reports a fault of its own is lost by that name, and taken back when well."""
    if subject.emulator is None or OWN_FAULT not in subject.emulator.fault_kinds:
        return
    bench = subject.bench()
    _require_streaming(bench, SESSION_MS, "at first")
    bench.emulator.set_fault(OWN_FAULT, True, bench.now_ns)
    bench.run(15_000, lambda outputs: isinstance(bench.runner.state.error, DeviceFault))
    error = bench.runner.state.error
    require(isinstance(error, DeviceFault), f"a fault of the device shows as {error!r}")
    bench.emulator.set_fault(OWN_FAULT, False, bench.now_ns)
    _require_streaming(bench, 15_000, "well again")


def _require_streaming(bench: PlugBench, within_ms: int, when: str) -> None:
    outputs = bench.run(within_ms, _is_measuring)
    error = bench.runner.state.error
    told = f"{error.code}: {error.detail}" if error else bench.runner.state.phase.value
    require(bench.runner.state.phase is Phase.STREAMING, f"{when}: not streaming ({told})")
    require(measurements(outputs), f"{when}: no measurement in {within_ms} ms")


def _require_trouble(bench: PlugBench, within_ms: int, when: str) -> None:
    lost = _losses(bench.run(within_ms, lambda outputs: bool(_losses(outputs))))
    require(lost, f"{when}: not noticed in {within_ms} ms")
    require(isinstance(lost[0].error, DriverError), f"{when}: without an error")


def _is_measuring(outputs: Sequence[Output]) -> bool:
    return len(measurements(outputs)) >= MEASUREMENTS


def _losses(outputs: Sequence[Output]) -> list[DeviceState]:
    return [
        output
        for output in outputs
        if isinstance(output, DeviceState) and output.phase is Phase.LOST
    ]


def _require_ordered(outputs: Sequence[Output]) -> None:
    events = [output for output in outputs if isinstance(output, Scan | Odometry)]
    arrivals = [event.received_ns for event in events]
    stamps = [event.stamp_ns for event in events]
    require(arrivals == sorted(arrivals), "received_ns goes backwards")
    # Two answers of a base may be as old as the question they answer, a scan is new every time.
    least = 1 if events and isinstance(events[0], Scan) else 0
    require(
        all(after - before >= least for before, after in pairwise(stamps)), "stamp_ns does not grow"
    )
    late = max((event.stamp_ns - event.received_ns for event in events), default=0)
    require(late <= 0, "a stamp lies in the future")


CHECKS: Final[dict[str, Callable[[Subject], None]]] = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_plate,
        check_options,
        check_handshake,
        check_stop,
        check_session,
        check_chunking,
        check_resync,
        check_any_bytes,
        check_flipped_bits,
        check_reset,
        check_sent,
        check_commands,
        check_unplug,
        check_stall,
        check_burst,
        check_silence,
        check_wrong_baud,
        check_fault,
    )
}
