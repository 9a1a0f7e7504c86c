"""YDLIDAR triangulating models: X2, X4, G2, G4.

Source: YDLIDAR, "YDLidar SDK communication protocol", and the development manuals of X2, X4, G2 and
G4. Requests are ``A5 command``; an answer is ``A5 5A, u32 length | mode << 30, u8 type`` and a
payload, as of an RPLIDAR; measurements are packets ``AA 55 ...``.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le

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
from drivers.kernels.ydlidar import FULL_TURN_Q6, HEAD_BYTES, decode_packets
from drivers.lidar.revolution import RevolutionAssembler

BITS_PER_BYTE = 10
BATCH = 64
MOST_SAMPLES = 255
DESCRIPTOR = b"\xa5\x5a"
DESCRIPTOR_BYTES = 7
INFO = bytes.fromhex("a55a1400000004")
HEALTH = bytes.fromhex("a55a0300000006")
SCAN = bytes.fromhex("a55a0500004081")
PAYLOAD_BYTES = {INFO: 20, HEALTH: 3, SCAN: 0}


class Request(IntEnum):
    """Command bytes."""

    SCAN = 0x60
    STOP = 0x65
    GET_INFO = 0x90
    GET_HEALTH = 0x91


class Model(NamedTuple):
    """What differs between the devices of this protocol."""

    baud: int
    samples_per_s: int
    has_intensity: bool
    takes_commands: bool


MODELS = {
    "x2": Model(115_200, 3_000, False, False),
    "x4": Model(128_000, 5_000, False, True),
    "g2": Model(230_400, 5_000, True, True),
    "g4": Model(230_400, 9_000, False, True),
}


@dataclass(frozen=True, slots=True)
class Info(Reply):
    """The data plate."""

    model: int
    firmware: str
    hardware: int
    serial: str


@dataclass(frozen=True, slots=True)
class Health(Reply):
    """Status 0 good, 1 warning, 2 error."""

    status: int
    error: int


@dataclass(frozen=True, slots=True)
class Streaming(Reply):
    """Packets follow, or did come where the device takes no commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class YdlidarOptions:
    """Options of the YDLIDAR driver.

    Attributes:
        model: Which device; it sets line rate, sample rate and the kind of samples.
        samples_per_s: Rate of measurement where it was changed in the device; 0 for the model's.
        min_range_m: Nearer returns are dropped: the robot's own body.
        max_range_m: Farther returns are dropped.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    model: Literal["x2", "x4", "g2", "g4"] = "x4"
    samples_per_s: Annotated[int, Ge(0), Le(20_000)] = 0
    min_range_m: Annotated[float, Ge(0), Le(5)] = 0.12
    max_range_m: Annotated[float, Gt(0), Le(50)] = 10.0


class YdlidarCodec:
    """Decodes answers and packets; see :class:`drivers.driver.Codec`."""

    def __init__(self, options: YdlidarOptions) -> None:
        self._model = MODELS[options.model]
        self._byte_ns = BITS_PER_BYTE * 1e9 / self._model.baud
        self._sample_bytes = 3 if self._model.has_intensity else 2
        self.stats = CodecStats()
        self._window = ByteWindow(self._byte_ns)
        self._assembler = RevolutionAssembler(
            self.stats, options.min_range_m, options.max_range_m, losses_told=True
        )
        self._assembler.sample_ns = round(
            1e9 / (options.samples_per_s or self._model.samples_per_s)
        )
        self._streams = False
        self._last_q6: int | None = None
        self._step_q6 = 0.0
        self._ends = np.empty(BATCH, np.int64)
        self._heads = np.empty((BATCH, 3), np.int64)
        self._sizes = np.empty(BATCH, np.int64)
        self._angles_rad = np.empty((BATCH, MOST_SAMPLES))
        self._ranges_m = np.empty((BATCH, MOST_SAMPLES))
        self._quality = np.empty((BATCH, MOST_SAMPLES), np.uint8)

    def note_sent(self, data: bytes, sent_ns: int) -> None:
        """See :class:`drivers.driver.Codec`; a stream answers to nobody."""

    def reset(self) -> None:
        """See :class:`drivers.driver.Codec`."""
        self._window.clear()
        self._assembler.clear()
        self._streams = False
        self._last_q6 = None

    def feed(self, data: bytes, received_ns: int) -> Sequence[Event]:
        """See :class:`drivers.driver.Codec`."""
        self.stats.received_bytes += len(data)
        self._window.append(data, received_ns)
        events: list[Event] = []
        while not self._streams and self._model.takes_commands:
            reply = self._next_reply()
            if reply is None:
                return events
            events.append(reply)
        while self._decode(events) == BATCH:
            pass
        return events

    def _next_reply(self) -> Reply | None:
        """Take the next answer off the window, skipping whatever is none."""
        while True:
            pending = self._window.pending.tobytes()
            at = pending.find(DESCRIPTOR)
            if at < 0:
                # The last byte may be the first half of a descriptor.
                self._skip(len(pending) - pending.endswith(DESCRIPTOR[:1]))
                return None
            self._skip(at)
            head = pending[at : at + DESCRIPTOR_BYTES]
            if len(head) < DESCRIPTOR_BYTES:
                return None
            size = PAYLOAD_BYTES.get(head)
            if size is None:
                self._skip(1)
                continue
            payload = pending[at + DESCRIPTOR_BYTES : at + DESCRIPTOR_BYTES + size]
            if len(payload) < size:
                return None
            self._window.consume(DESCRIPTOR_BYTES + size)
            self.stats.frames += 1
            self._streams = head == SCAN
            return self._parse(head, payload)

    def _parse(self, head: bytes, payload: bytes) -> Reply:
        if head == SCAN:
            return Streaming()
        if head == INFO:
            model, minor, major, hardware = payload[:4]
            return Info(model, f"{major}.{minor}", hardware, payload[4:].hex())
        health = Health(*struct.unpack("<BH", payload))
        self.stats.warnings += health.status == 1
        return health

    def _skip(self, count: int) -> None:
        self._window.consume(count)
        self.stats.skipped_bytes += count

    def _decode(self, events: list[Event]) -> int:
        frames, consumed, skipped, bad = decode_packets(
            self._window.pending,
            self._sample_bytes,
            self._ends,
            self._heads,
            self._sizes,
            self._angles_rad,
            self._ranges_m,
            self._quality,
        )
        self.stats.frames += frames
        self.stats.skipped_bytes += skipped
        self.stats.bad_checksums += bad
        for frame in range(frames):
            self._take(frame, self._window.arrival_ns(int(self._ends[frame])), events)
        self._window.consume(consumed)
        return frames

    def _take(self, frame: int, arrival_ns: int, events: list[Event]) -> None:
        """Add one packet to the revolution; a zero packet begins the next one."""
        kind, first_q6, last_q6 = self._heads[frame].tolist()
        size = int(self._sizes[frame])
        if not self._streams:
            self._streams = True
            events.append(Streaming())
        if size > 1:
            self._step_q6 = (last_q6 - first_q6) % FULL_TURN_Q6 / (size - 1)
        lost = self._lost_samples(first_q6)
        self._last_q6 = last_q6
        if kind & 1 and (scan := self._assembler.begin_revolution(arrival_ns)):
            events.append(scan)
        wire_ns = round((HEAD_BYTES + self._sample_bytes * size) * self._byte_ns)
        self._assembler.add(
            self._angles_rad[frame, :size].copy(),
            self._ranges_m[frame, :size].copy(),
            self._quality[frame, :size].copy(),
            arrival_ns - wire_ns,
            lost,
        )

    def _lost_samples(self, first_q6: int) -> int:
        """Return how many samples are missing between the last packet and this one."""
        if self._last_q6 is None or self._step_q6 == 0.0:
            return 0
        advance_q6 = (first_q6 - self._last_q6) % FULL_TURN_Q6
        # The head never turns back, but the angle of a packet may be rounded back a little.
        if advance_q6 > FULL_TURN_Q6 - 2 * self._step_q6:
            return 0
        lost = max(round(advance_q6 / self._step_q6) - 1, 0)
        self.stats.gaps += lost > 0
        return lost


class Ydlidar:
    """YDLIDAR X2, X4, G2 and G4."""

    name: ClassVar[str] = "ydlidar"
    options: ClassVar[type[YdlidarOptions]] = YdlidarOptions

    def __init__(self, options: YdlidarOptions) -> None:
        self._name = options.model
        self._model = MODELS[options.model]
        # The adapter board drives the motor by DTR.
        self.spec = PortSpec(baud=self._model.baud, dtr=True)
        self.codec = YdlidarCodec(options)
        self.polls: tuple[Poll, ...] = ()
        self.stale_after_s = 1.0

    def start(self) -> Handshake:
        """Stop what runs, read plate and health, and start the stream.

        Raises:
            DeviceFault: The device reports an error.
        """
        if not self._model.takes_commands:
            yield Flush()
            yield Expect(Streaming, 3.0, "no packet with a sound checksum")
            return
        yield Send(request(Request.STOP))
        yield Wait(0.05)
        yield Flush()
        yield Send(request(Request.GET_INFO))
        yield Expect(Info, 1.0, "no answer to GET_INFO")
        yield Send(request(Request.GET_HEALTH))
        health = yield Expect(Health, 1.0, "no answer to GET_HEALTH")
        if isinstance(health, Health) and health.status == 2:
            raise DeviceFault(
                f"ydlidar {self._name} reports error {health.error:#06x}: free its head, check its "
                "supply (5 V, 1 A to start), and power it off and on"
            )
        yield Send(request(Request.SCAN))
        yield Expect(Streaming, 3.0, "no stream after the scan request")

    def stop(self) -> Handshake:
        """Stop the stream; the motor stops with DTR, when the port is closed."""
        if self._model.takes_commands:
            yield Send(request(Request.STOP))


def request(command: Request) -> bytes:
    """Return a request."""
    return bytes([0xA5, command])
