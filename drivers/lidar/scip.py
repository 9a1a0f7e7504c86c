"""Hokuyo URG, UBG, UHG, UTM and UST with SCIP 2.0.

Source: Hokuyo, "Communication protocol specification for SCIP 2.0" (C-42-03320B). Commands and
replies are lines of text; a reply is the command's echo, a status with its sum, what was asked for,
and an empty line. Angles count counter-clockwise; a scan's time stamp is that of the passage
through the rear.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from drivers.device_clock import DeviceClock
from drivers.driver import (
    CodecStats,
    Event,
    Expect,
    Flush,
    Handshake,
    Poll,
    PortSpec,
    Reply,
    Send,
    Wait,
)
from drivers.errors import DeviceFault
from drivers.framing import ByteWindow
from drivers.kernels.scip import (
    DISTANCE_CHARACTERS,
    FIRST_CHARACTER,
    LAST_CHARACTER,
    LINE_CHARACTERS,
    decode_scan,
)
from drivers.measurement import Scan

BITS_PER_BYTE = 10
USB_BAUD = 10_000_000  # a full-speed USB link moves about a million bytes a second
CLOCK_TICK_NS = 1_000_000
CLOCK_WRAP = 1 << 24
END_OF_REPLY = b"\n\n"
LONGEST_REPLY = 32_768
MOST_STEPS = 4_096
TROUBLE = re.compile(r"malfunction|abnormal|trouble|fail|unstable|(?<!no )error", re.IGNORECASE)

REFUSALS = {
    "01": "the first step is no number",
    "02": "the last step is no number",
    "04": "the last step is out of range",
    "05": "the last step lies before the first",
    "0A": "it cannot make a reply: restart it",
    "0B": "its buffer is full: restart it",
    "0E": "it does not know the command: is it a SCIP 2.0 device?",
    "0I": "it waits for a firmware update: restart it, or finish the update with the maker's tool",
    "10": "its laser is off",
}


@dataclass(frozen=True, slots=True)
class Parameters(Reply):
    """PP: the data plate, in mm, steps and revolutions per minute."""

    model: str
    nearest_mm: int
    farthest_mm: int
    steps_per_turn: int
    first_step: int
    last_step: int
    front_step: int
    rpm: int


@dataclass(frozen=True, slots=True)
class Condition(Reply):
    """II: what the device says of itself."""

    text: str


@dataclass(frozen=True, slots=True)
class Protocol(Reply):
    """SCIP2.0: the answer of a device that speaks it now, or did all along."""

    status: str


@dataclass(frozen=True, slots=True)
class Laser(Reply):
    """BM: 00 switched on, 01 cannot be, 02 was on."""

    status: str


@dataclass(frozen=True, slots=True)
class Started(Reply):
    """MD, ME: 00 the scans follow, else why they do not."""

    status: str


class Sweep(NamedTuple):
    """How a scan is asked for, and what is the same in all of them."""

    echo: bytes
    with_intensity: bool
    nearest_mm: int
    farthest_mm: int
    angles_rad: NDArray[np.float32]
    offsets_s: NDArray[np.float32]
    first_ns: int  # from the passage through the rear to the first ray
    last_ns: int
    period_ns: int
    block_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScipOptions:
    """Options of the SCIP driver.

    Attributes:
        link: How the device is wired.
        baud: Line rate of a serial link, as it is set in the device; USB has none.
        mode: Scans as a stream (MD, ME), or asked for one by one (GD, GE).
        intensity: Ask for the strength of the returns too; not every model has it.
        period_s: Time between two requests where scans are asked for one by one.
        min_range_m: Nearer returns are dropped: the robot's own body.
        max_range_m: Farther returns are dropped.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    link: Literal["usb", "serial"] = "usb"
    baud: Annotated[int, Ge(9600), Le(3_000_000)] = 115_200
    mode: Literal["stream", "single"] = "stream"
    intensity: bool = False
    period_s: Annotated[float, Ge(0.025), Le(1)] = 0.1
    min_range_m: Annotated[float, Ge(0), Le(5)] = 0.06
    max_range_m: Annotated[float, Gt(0), Le(60)] = 30.0

    @property
    def line_baud(self) -> int:
        """The rate at which bytes come."""
        return USB_BAUD if self.link == "usb" else self.baud


def character_sum(text: bytes) -> int:
    """Return the sum character of a line."""
    return (sum(text) & 0x3F) + FIRST_CHARACTER


def plan_sweep(parameters: Parameters, options: ScipOptions) -> Sweep | None:
    """Return how to ask a device for all it sees, None where its parameters cannot be."""
    turn, front = parameters.steps_per_turn, parameters.front_step
    first, last = parameters.first_step, parameters.last_step
    sound = turn > 0 and 0 <= first < last < MOST_STEPS and parameters.rpm > 0
    if not sound or 2 * (front - first) > turn or 2 * (last - front) >= turn:
        return None
    command = {"stream": "M", "single": "G"}[options.mode] + ("E" if options.intensity else "D")
    angles_rad = (np.arange(first, last + 1) - front) * (math.tau / turn)
    turn_s = 60.0 / parameters.rpm
    offsets_s = np.arange(last - first + 1) * (turn_s / turn)
    first_ns = round((angles_rad[0] + math.pi) / math.tau * turn_s * 1e9)
    echo = f"{command}{first:04d}{last:04d}01".encode("ascii")
    values = angles_rad.size * (2 if options.intensity else 1)
    return Sweep(
        echo=echo if options.mode == "single" else echo + b"0",
        with_intensity=options.intensity,
        nearest_mm=max(parameters.nearest_mm, round(options.min_range_m * 1000)),
        farthest_mm=min(parameters.farthest_mm, round(options.max_range_m * 1000)),
        angles_rad=_frozen(angles_rad.astype(np.float32)),
        offsets_s=_frozen(offsets_s.astype(np.float32)),
        first_ns=first_ns,
        last_ns=first_ns + round(float(offsets_s[-1]) * 1e9),
        period_ns=round(turn_s * 1e9),
        block_bytes=len(_head(echo, options)) + 6 + _data_bytes(values) + 1,
    )


def _head(echo: bytes, options: ScipOptions) -> bytes:
    return echo + (b"\n00P\n" if options.mode == "single" else b"000\n99b\n")


def _data_bytes(values: int) -> int:
    characters = values * DISTANCE_CHARACTERS
    return characters + 2 * -(-characters // LINE_CHARACTERS)


def _frozen(array: NDArray[np.float32]) -> NDArray[np.float32]:
    array.setflags(write=False)
    return array


class ScipCodec:
    """Decodes replies and scans; see :class:`drivers.driver.Codec`."""

    def __init__(self, options: ScipOptions) -> None:
        byte_ns = BITS_PER_BYTE * 1e9 / options.line_baud
        self.stats = CodecStats()
        self._byte_ns = byte_ns
        self._window = ByteWindow(byte_ns)
        self._clock = DeviceClock(CLOCK_TICK_NS, CLOCK_WRAP)
        self._options = options
        self._sweep: Sweep | None = None
        self._taken_ns: int | None = None

    @property
    def sweep(self) -> Sweep | None:
        """What scans look like, by the parameters that the device told last."""
        return self._sweep

    def note_sent(self, data: bytes, sent_ns: int) -> None:
        """See :class:`drivers.driver.Codec`; scans carry stamps of their own."""

    def reset(self) -> None:
        """See :class:`drivers.driver.Codec`; the device is asked again what it can."""
        self._window.clear()
        self._clock.reset()
        self._sweep = None
        self._taken_ns = None

    def feed(self, data: bytes, received_ns: int) -> Sequence[Event]:
        """See :class:`drivers.driver.Codec`."""
        self.stats.received_bytes += len(data)
        self._window.append(data, received_ns)
        events: list[Event] = []
        while True:
            pending = self._window.pending.tobytes()
            end = pending.find(END_OF_REPLY, 0, LONGEST_REPLY)
            if end < 0:
                if len(pending) < LONGEST_REPLY:
                    return events
                self._skip(LONGEST_REPLY // 2)
                continue
            end += len(END_OF_REPLY)
            if event := self._decode(pending[:end], self._window.arrival_ns(end)):
                events.append(event)
            self._window.consume(end)

    def _skip(self, count: int) -> None:
        self._window.consume(count)
        self.stats.skipped_bytes += count

    def _decode(self, block: bytes, arrival_ns: int) -> Event | None:
        """Decode what ends here; a reply whose end was lost may lie before it."""
        if self._sweep is not None and self._sweep.echo in block:
            scan = self._decode_scan(self._sweep, block, arrival_ns)
            if scan is not None:
                return scan
        reply = self._decode_reply(block)
        if reply is None:
            self.stats.skipped_bytes += len(block)
            self.stats.bad_checksums += 1
        return reply

    def _decode_scan(self, sweep: Sweep, block: bytes, arrival_ns: int) -> Scan | None:
        begin = len(block) - sweep.block_bytes
        if begin < 0 or not block.startswith(sweep.echo, begin):
            return None
        status, *_ = block[begin + len(sweep.echo) :].split(b"\n", 1)
        streams = sweep.echo[:1] == b"M"
        status_at = begin + len(sweep.echo) + len(status) + 1
        time_at = status_at + 4
        told = block[status_at:time_at] == (b"99b\n" if streams else b"00P\n")
        stamp_ms = _number(block[time_at : time_at + 6])
        if not told or len(status) != (2 if streams else 0) or stamp_ms is None:
            return None
        ranges_m = np.empty(sweep.angles_rad.size, np.float32)
        quality = np.empty(ranges_m.size, np.uint8)
        data = np.frombuffer(block, np.uint8, len(block) - 1 - time_at - 6, time_at + 6)
        if not decode_scan(
            data, sweep.nearest_mm, sweep.farthest_mm, sweep.with_intensity, ranges_m, quality
        ):
            return None
        self.stats.skipped_bytes += begin
        quality.setflags(write=False)
        rear_ns = self._rear_ns(sweep, stamp_ms, arrival_ns)
        self.stats.frames += 1
        self.stats.scans += 1
        return Scan(
            stamp_ns=rear_ns + sweep.first_ns,
            received_ns=arrival_ns,
            angles_rad=sweep.angles_rad,
            ranges_m=_frozen(ranges_m),
            offsets_s=sweep.offsets_s,
            quality=quality,
        )

    def _rear_ns(self, sweep: Sweep, stamp_ms: int, arrival_ns: int) -> int:
        """Return when the head passed the rear, and count the sweeps that never came."""
        wire_ns = round(sweep.block_bytes * self._byte_ns)
        rear_ns = self._clock.host_ns(stamp_ms, arrival_ns - wire_ns - sweep.last_ns)
        if self._taken_ns is not None and sweep.echo[:1] == b"M":
            self.stats.gaps += rear_ns - self._taken_ns > 1.5 * sweep.period_ns
        self._taken_ns = rear_ns
        return rear_ns

    def _decode_reply(self, block: bytes) -> Reply | None:
        """Decode a reply in text, which may have noise before it."""
        lines = block[: -len(END_OF_REPLY)].split(b"\n")
        for i in range(len(lines) - 1):
            status = lines[i + 1]
            sound = len(status) == 3 and character_sum(status[:2]) == status[2]
            reply = _parse_reply(lines[i], status[:2].decode("latin-1"), lines[i + 2 :])
            if sound and reply is not None:
                if isinstance(reply, Parameters):
                    self._sweep = plan_sweep(reply, self._options)
                self.stats.frames += 1
                self.stats.skipped_bytes += sum(len(line) + 1 for line in lines[:i])
                return reply
        return None


def _number(line: bytes) -> int | None:
    """Return the value of a line of four characters, None where its sum is wrong."""
    if len(line) != 6 or line[4] != character_sum(line[:4]) or line[5:] != b"\n":
        return None
    if not all(FIRST_CHARACTER <= character <= LAST_CHARACTER for character in line[:4]):
        return None
    value = 0
    for character in line[:4]:
        value = value << 6 | character - FIRST_CHARACTER
    return value


@dataclass(frozen=True, slots=True)
class Other(Reply):
    """An answer nobody waits for: QT, VV and what else was asked by hand."""

    echo: str
    status: str


def _parse_reply(echo: bytes, status: str, lines: Sequence[bytes]) -> Reply | None:
    """Return what a sound reply means, None where it is none."""
    name = echo.decode("latin-1")
    if name == "PP":
        return _parse_parameters(_parse_lines(lines))
    if name == "II":
        told = _parse_lines(lines)
        return Condition(told["STAT"]) if "STAT" in told else None
    if name == "SCIP2.0":
        return Protocol(status)
    if name == "BM":
        return Laser(status)
    if re.fullmatch(r"M[DE]\d{13}", name):
        return Started(status) if not lines else None
    if re.fullmatch(r"QT|VV|RS|RT", name) or (re.fullmatch(r"G[DE]\d{10}", name) and not lines):
        return Other(name, status)
    return None


def _parse_lines(lines: Sequence[bytes]) -> dict[str, str]:
    """Return the lines ``KEY:value;sum`` by their key; the sum leaves the semicolon out."""
    told = {}
    for line in lines:
        text, semicolon, check = line[:-2], line[-2:-1], line[-1:]
        if text and semicolon == b";" and check[0] == character_sum(text) and max(text) < 0x80:
            key, _, value = text.decode("ascii").partition(":")
            told[key] = value
    return told


def _parse_parameters(told: dict[str, str]) -> Parameters | None:
    keys = ("DMIN", "DMAX", "ARES", "AMIN", "AMAX", "AFRT", "SCAN")
    numbers = [told.get(key, "") for key in keys]
    if "MODL" not in told or not all(re.fullmatch(r"\d{1,7}", number) for number in numbers):
        return None
    return Parameters(told["MODL"], *map(int, numbers))


class Scip:
    """Hokuyo URG, UBG, UHG, UTM and UST with SCIP 2.0, over USB or a serial line."""

    name: ClassVar[str] = "scip"
    options: ClassVar[type[ScipOptions]] = ScipOptions

    def __init__(self, options: ScipOptions) -> None:
        self._options = options
        self.spec = PortSpec(baud=options.line_baud)
        self.codec = ScipCodec(options)
        # The request for a scan is known once the device has told its range of steps.
        self.polls = [Poll(options.period_s, b"II\n")] if options.mode == "single" else []
        self.stale_after_s = 1.0

    def start(self) -> Handshake:
        """Stop what runs, read plate and condition, switch the laser on and start the scans.

        Raises:
            DeviceFault: The device reports trouble, or refuses.
        """
        yield Send(b"QT\n")
        yield Wait(0.05)
        yield Send(b"SCIP2.0\n")
        yield Wait(0.1)
        yield Flush()
        yield Send(b"PP\n")
        parameters = yield Expect(Parameters, 1.0, "no answer to PP")
        yield Send(b"II\n")
        condition = yield Expect(Condition, 1.0, "no answer to II")
        if isinstance(condition, Condition) and TROUBLE.search(condition.text):
            raise DeviceFault(f"hokuyo reports: {condition.text}")
        yield Send(b"BM\n")
        laser = yield Expect(Laser, 2.0, "no answer to BM")
        if isinstance(laser, Laser) and laser.status not in ("00", "02"):
            raise DeviceFault(f"hokuyo cannot switch its laser on: {meaning(laser.status)}")
        sweep = self.codec.sweep
        if sweep is None:
            raise DeviceFault(f"hokuyo tells what cannot be: {parameters}")
        if self._options.mode == "single":
            self.polls[0] = Poll(self._options.period_s, sweep.echo + b"\n")
            return
        yield Send(sweep.echo + b"00\n")
        started = yield Expect(Started, 2.0, "no answer to the request for scans")
        if isinstance(started, Started) and started.status not in ("00", "99"):
            raise DeviceFault(f"hokuyo sends no scans: {meaning(started.status)}")

    def stop(self) -> Handshake:
        """Stop the scans and switch the laser off."""
        yield Send(b"QT\n")


def meaning(status: str) -> str:
    """Return what a status of a refused command means, and what helps."""
    if status in REFUSALS and status != "01":
        return f"status {status}, {REFUSALS[status]}"
    if status == "01":
        return "status 01, laser malfunction: power it off and on; if it stays, send it to service"
    if status.isdecimal() and 21 <= int(status) <= 49:
        return f"status {status}, it checks itself for an error: wait"
    if status.isdecimal() and 50 <= int(status) <= 97:
        return (
            f"status {status}, trouble with laser or motor: clear what blocks it and power it off "
            "and on; if it stays, send it to service"
        )
    return f"status {status}"
