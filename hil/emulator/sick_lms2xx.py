"""SICK LMS2xx, an LMS200 unless told otherwise.

Source: SICK, "Definition of telegrams between the user interface and LMS or LMI systems via RS 422
/ RS 232", version 05.00.
"""

import struct
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from hil.emulator.device import RangeSource
from hil.emulator.uart import UartTransmitter
from hil.errors import BenchError

_ACK: Final = b"\x06"
_NAK: Final = b"\x15"
_LONGEST: Final = 1_000
_CONTINUOUS: Final = 0x24
_ON_REQUEST: Final = 0x25
_BAUDS: Final = {0x42: 9_600, 0x41: 19_200, 0x40: 38_400, 0x48: 500_000}
_UNITS_M: Final = (0.01, 0.001)
_LONGEST_DISTANCE: Final = 0x1FF6
_NOTHING: Final = 0x1FFF
_REPLY_DELAY_NS: Final = 2_000_000
_MIRROR_NS: Final = 1_000_000_000 // 75
_SELF_TEST: Final = 0x03
_POLLUTED: Final = 0x80
_STATUS_BYTES: Final = 152


@dataclass(frozen=True, slots=True, kw_only=True)
class SickLms2xxModel:
    """A model and how it is set; the defaults are those of an LMS200.

    Attributes:
        type_text: As told on request.
        software: Version of seven characters.
        baud: Line rate at power-up.
        field_deg: Field of view, 180 or 100.
        resolution_deg: 1, 0.5 or 0.25; the last one with 100 degrees only.
        unit: 0 cm, 1 mm.
    """

    type_text: str = "LMS200;30106 "
    software: str = "V02.10 "
    baud: int = 38_400
    field_deg: int = 180
    resolution_deg: float = 0.5
    unit: int = 1


def checksum(data: bytes) -> int:
    """Return the CRC-16 over a telegram: polynomial 8005, two bytes into each step."""
    crc, before = 0, 0
    for byte in data:
        carry = crc & 0x8000
        crc = (crc << 1) & 0xFFFF
        if carry:
            crc ^= 0x8005
        crc ^= before << 8 | byte
        before = byte
    return crc


class SickLms2xxEmulator:
    """An LMS2xx on its line.

    Args:
        ranges: What it looks at.
        rng: Of line faults.
        model: Which one.
    """

    name: ClassVar[str] = "sick_lms2xx"
    view_deg: ClassVar[float] = 180.0
    fault_kinds: ClassVar[tuple[str, ...]] = ("mute", "garbage", "health", "pollution")

    def __init__(
        self, ranges: RangeSource, rng: np.random.Generator, model: SickLms2xxModel | None = None
    ) -> None:
        self.model = model or SickLms2xxModel()
        self.line = UartTransmitter(self.model.baud, 2048, rng)
        self.commands_received = 0
        self._ranges = ranges
        self._inbox = bytearray()
        self._mode = _ON_REQUEST
        self._field_deg = self.model.field_deg
        self._resolution_deg = self.model.resolution_deg
        self._flags = 0
        self._has_error = False
        self._next_ns: int | None = None
        self._is_single = False

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take telegram bytes; see :class:`hil.emulator.device.Emulator`."""
        self._inbox += data
        while (request := self._next_request(now_ns)) is not None:
            self.commands_received += 1
            self._serve(request, now_ns)

    def transmit(self, now_ns: int) -> bytes:
        """Return what left the line; see :class:`hil.emulator.device.Emulator`."""
        while self._next_ns is not None and self._next_ns + self._sweep_ns <= now_ns:
            self._send_scan(self._next_ns)
        return self.line.sent(now_ns)

    def set_fault(self, kind: str, active: bool, now_ns: int) -> None:
        """Switch a fault.

        ``mute``: nothing reaches the line. ``garbage``: one byte in fifty is random. ``health``:
        the self-test fails; telegrams go on with the error in their status. ``pollution``: the
        window is dirty.
        """
        match kind:
            case "mute":
                self.line.muted = active
            case "garbage":
                self.line.garbage_rate = 0.02 if active else 0.0
            case "health":
                self._has_error = active
                self._flags = self._flags & ~0x7 | (_SELF_TEST if active else 0)
            case "pollution":
                self._flags = self._flags & ~_POLLUTED | (_POLLUTED if active else 0)
            case _:
                raise BenchError(f"an {self.name} has no fault named {kind}")

    @property
    def _turns(self) -> int:
        """How many turns of the mirror a scan takes."""
        return round(1.0 / self._resolution_deg)

    @property
    def _sweep_ns(self) -> int:
        """Time from the first ray of a scan to its last."""
        return round((self._turns - 1 + self._field_deg / 360.0) * _MIRROR_NS)

    def _next_request(self, now_ns: int) -> bytes | None:
        """Take one telegram off the inbox; one with a wrong checksum is answered with NAK."""
        inbox = self._inbox
        while len(inbox) >= 4:
            size = inbox[2] | inbox[3] << 8
            if inbox[0] != 0x02 or inbox[1] != 0x00 or not 0 < size <= _LONGEST:
                del inbox[0]
                continue
            if len(inbox) < size + 6:
                return None
            frame = bytes(inbox[: size + 4])
            told = inbox[size + 4] | inbox[size + 5] << 8
            if told != checksum(frame):
                del inbox[0]
                self.line.send(_NAK, now_ns + _REPLY_DELAY_NS)
                continue
            del inbox[: size + 6]
            return frame[4:]
        return None

    def _serve(self, request: bytes, now_ns: int) -> None:
        self.line.send(_ACK, now_ns + _REPLY_DELAY_NS)
        code, arguments = request[0], request[1:]
        match code:
            case 0x10:
                self._mode, self._next_ns = _ON_REQUEST, None
                self.line.baud = self.model.baud
                self._reply(b"\x91", now_ns)
            case 0x20 if arguments:
                self._switch(arguments[0], now_ns)
            case 0x30 if arguments[:1] == b"\x01":
                self._next_ns, self._is_single = now_ns, True
            case 0x31:
                self._reply(b"\xb1" + self._status(), now_ns)
            case 0x3A:
                self._reply(b"\xba" + self.model.type_text.encode("ascii"), now_ns)
            case 0x3B if len(arguments) >= 4:
                field_deg, resolution_cdeg = struct.unpack_from("<2H", arguments)
                self._set_variant(field_deg, resolution_cdeg, now_ns)
            case _:
                self._reply(b"\x92", now_ns)

    def _reply(self, data: bytes, ready_ns: int) -> None:
        data += bytes([self._flags])
        body = struct.pack("<2BH", 0x02, 0x80, len(data)) + data
        frame = body + struct.pack("<H", checksum(body))
        self.line.send(frame, ready_ns + _REPLY_DELAY_NS)

    def _switch(self, mode: int, now_ns: int) -> None:
        """Change the operating mode; a change of the line rate is answered at the old one."""
        if mode not in (_CONTINUOUS, _ON_REQUEST, *_BAUDS):
            self._reply(b"\xa0\x02", now_ns)
            return
        self._reply(b"\xa0\x00", now_ns)
        if mode in _BAUDS:
            self.line.baud = _BAUDS[mode]
            return
        self._mode, self._is_single = mode, False
        self._next_ns = now_ns + 2 * _MIRROR_NS if mode == _CONTINUOUS else None

    def _set_variant(self, field_deg: int, resolution_cdeg: int, now_ns: int) -> None:
        known = {(100, 100), (100, 50), (100, 25), (180, 100), (180, 50)}
        accepted = (field_deg, resolution_cdeg) in known
        if accepted:
            self._field_deg, self._resolution_deg = field_deg, resolution_cdeg / 100.0
        told = struct.pack("<2H", self._field_deg, round(self._resolution_deg * 100))
        self._reply(b"\xbb" + bytes([accepted]) + told, now_ns)

    def _status(self) -> bytes:
        """Return the fields of the status telegram, the last one without the status byte."""
        status = bytearray(_STATUS_BYTES - 2)
        status[0:7] = self.model.software.encode("ascii")
        status[7] = self._mode
        status[8] = self._has_error
        struct.pack_into("<2H", status, 106, self._field_deg, round(self._resolution_deg * 100))
        status[121] = self.model.unit
        return bytes(status)

    def _send_scan(self, start_ns: int) -> None:
        """Send one scan; finer than a degree, it is made of several turns of the mirror."""
        rays = round(self._field_deg / self._resolution_deg) + 1
        degrees = np.arange(rays) * self._resolution_deg
        offsets_ns = (degrees / 360.0 + np.arange(rays) % self._turns) * _MIRROR_NS
        stamps_ns = start_ns + np.rint(offsets_ns).astype(np.int64)
        ranges_m = self._ranges(stamps_ns, np.radians(degrees - self._field_deg / 2))
        values = np.rint(np.nan_to_num(ranges_m) / _UNITS_M[self.model.unit]).astype(np.int64)
        values = np.where((values <= 0) | (values > _LONGEST_DISTANCE), _NOTHING, values)
        head = struct.pack("<BH", 0xB0, rays | self.model.unit << 14)
        data = head + values.astype("<u2").tobytes()
        self._reply(data, start_ns + self._sweep_ns - _REPLY_DELAY_NS)
        if self._is_single:
            self._next_ns = None
            return
        # A slow line gets every second scan, or third.
        wire_ns = (len(data) + 7) * 10_000_000_000 // self.line.baud
        scan_ns = self._turns * _MIRROR_NS
        self._next_ns = start_ns + max(-(-wire_ns // scan_ns), 1) * scan_ns
