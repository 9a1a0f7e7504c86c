"""Hokuyo range sensors with SCIP 2.0, a UTM-30LX unless told otherwise.

Source: Hokuyo, "Communication protocol specification for SCIP 2.0" (C-42-03320B).
"""

import math
import re
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from hil.emulator.device import RangeSource
from hil.emulator.uart import UartTransmitter
from hil.errors import BenchError

_LINE_CHARACTERS: Final = 64
_CLOCK_MASK: Final = (1 << 24) - 1
_REPLY_DELAY_NS: Final = 500_000
_FILTER_NS: Final = 500_000
_INTENSITY: Final = 3_000
_LONGEST_COMMAND: Final = 64
_BAUDS: Final = (19_200, 38_400, 57_600, 115_200, 250_000, 500_000, 750_000)
_SCAN: Final = re.compile(r"([GM])([DSE])(\d{4})(\d{4})(\d\d)(?:(\d)(\d\d))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScipModel:
    """A model's data plate; the defaults are those of a UTM-30LX on USB.

    Attributes:
        product: As told by VV.
        model: As told by PP.
        firmware: As told by VV.
        serial: As told by VV.
        nearest_mm: DMIN.
        farthest_mm: DMAX.
        steps_per_turn: ARES.
        first_step: AMIN.
        last_step: AMAX.
        front_step: AFRT.
        rpm: SCAN.
        baud: Line rate; USB moves about a million bytes a second.
        is_usb: Whether line rates mean nothing.
        starts_old: It speaks SCIP 1.1 until it is told to speak 2.0.
    """

    product: str = "SOKUIKI Sensor TOP-URG UTM-30LX"
    model: str = "UTM-30LX(Hokuyo Automatic Co.,Ltd.)"
    firmware: str = "1.18.01(16/Nov./2011)"
    serial: str = "H1202234"
    nearest_mm: int = 23
    farthest_mm: int = 60_000
    steps_per_turn: int = 1_440
    first_step: int = 0
    last_step: int = 1_080
    front_step: int = 540
    rpm: int = 2_400
    baud: int = 10_000_000
    is_usb: bool = True
    starts_old: bool = False


URG_04LX: Final = ScipModel(
    product="SOKUIKI Sensor URG-04LX",
    model="URG-04LX(Hokuyo Automatic Co.,Ltd.)",
    firmware="3.3.00(06/Aug./2008)",
    serial="H0806091",
    nearest_mm=20,
    farthest_mm=5_600,
    steps_per_turn=1_024,
    first_step=44,
    last_step=725,
    front_step=384,
    rpm=600,
    baud=115_200,
    is_usb=False,
    starts_old=True,
)


@dataclass(slots=True)
class _Request:
    """A request for scans that is being served."""

    head: str
    kind: str
    code: str
    first: int
    last: int
    cluster: int
    interval: int
    count: int
    suffix: str
    sweep: int
    left: int


class ScipEmulator:
    """A Hokuyo on its line.

    Args:
        ranges: What it looks at.
        rng: Of line faults.
        model: Which one.
    """

    name: ClassVar[str] = "scip"
    view_deg: ClassVar[float] = 270.0
    fault_kinds: ClassVar[tuple[str, ...]] = ("mute", "garbage", "motor", "health")

    def __init__(
        self, ranges: RangeSource, rng: np.random.Generator, model: ScipModel | None = None
    ) -> None:
        self.model = model or ScipModel()
        self.line = UartTransmitter(self.model.baud, 1 << 16, rng)
        self.commands_received = 0
        self._ranges = ranges
        self._inbox = bytearray()
        self._powered_ns: int | None = None
        self._turn_ns = 60_000_000_000 // self.model.rpm
        self._laser_on = False
        self._adjusts_time = False
        self._speaks_old = self.model.starts_old
        self._trouble = ""
        self._request: _Request | None = None

    def receive(self, data: bytes, now_ns: int) -> None:
        """Take command bytes; see :class:`hil.emulator.device.Emulator`."""
        self._power_up(now_ns)
        for byte in data:
            if byte in b"\r\n":
                line, self._inbox = bytes(self._inbox), bytearray()
                if line:
                    self._serve(line.decode("latin-1"), now_ns)
            elif len(self._inbox) < _LONGEST_COMMAND:
                self._inbox.append(byte)

    def transmit(self, now_ns: int) -> bytes:
        """Return what left the line; see :class:`hil.emulator.device.Emulator`."""
        powered_ns = self._power_up(now_ns)
        while (request := self._request) is not None:
            rear_ns = powered_ns + request.sweep * self._turn_ns
            if rear_ns + self._ray_ns(request.last) + _FILTER_NS > now_ns:
                break
            self._send_scan(request, rear_ns)
        return self.line.sent(now_ns)

    def set_fault(self, kind: str, active: bool, now_ns: int) -> None:
        """Switch a fault.

        ``mute``: nothing reaches the line. ``garbage``: one byte in fifty is random. ``motor``,
        ``health``: scans end with a status of the hardware, and the condition tells of it.
        """
        self._power_up(now_ns)
        match kind:
            case "mute":
                self.line.muted = active
            case "garbage":
                self.line.garbage_rate = 0.02 if active else 0.0
            case "motor" | "health":
                self._trouble = {"motor": "51", "health": "50"}[kind] if active else ""
                if active and self._request is not None:
                    self._answer(self._echo(self._request), self._trouble, now_ns)
                    self._request = None
                self._laser_on = self._laser_on and not active
            case _:
                raise BenchError(f"a {self.name} has no fault named {kind}")

    def _power_up(self, now_ns: int) -> int:
        if self._powered_ns is None:
            self._powered_ns = now_ns
        return self._powered_ns

    def _ray_ns(self, step: int) -> int:
        """Return the time from the passage through the rear to a step."""
        turn = self.model.steps_per_turn
        return round((step - self.model.front_step + turn / 2) / turn * self._turn_ns)

    def _serve(self, line: str, now_ns: int) -> None:
        self.commands_received += 1
        command, _, _ = line.partition(";")
        if self._speaks_old and command not in ("SCIP2.0", "QT"):
            return
        model = self.model
        match command:
            case "SCIP2.0":
                self._answer(line, "00" if self._speaks_old else "0E", now_ns)
                self._speaks_old = False
            case "QT":
                self._request, self._laser_on = None, False
                self._answer(line, "00", now_ns)
            case "RS" | "RT":
                self._request, self._laser_on = None, command == "RT" and self._laser_on
                self._powered_ns = now_ns
                self._answer(line, "00", now_ns)
            case "BM":
                is_on = "02" if self._laser_on else "00"
                self._answer(line, "01" if self._trouble else is_on, now_ns)
                self._laser_on = not self._trouble
            case "VV" | "PP" | "II":
                self._answer(line, "00", now_ns, self._told(command, now_ns))
            case "TM0" | "TM1" | "TM2":
                self._adjust_time(line, command, now_ns)
            case "%ST":
                self._answer(line, "00", now_ns, [_summed(self._state())])
            case "HS0" | "HS1":
                self._answer(line, "00", now_ns)
            case _ if match := _SCAN.fullmatch(command):
                self._begin(line, match, now_ns)
            case _ if re.fullmatch(r"SS\d{6}", command):
                self._set_baud(line, int(command[2:]), now_ns)
            case _ if re.fullmatch(r"CR\d\d", command):
                self._answer(line, "04" if model.is_usb else "00", now_ns)
            case _:
                self._answer(line, "0E", now_ns)

    def _answer(self, echo: str, status: str, now_ns: int, lines: list[str] | None = None) -> None:
        text = "\n".join([echo, _summed(status), *(lines or [])]) + "\n\n"
        self.line.send(text.encode("latin-1"), now_ns + _REPLY_DELAY_NS)

    def _adjust_time(self, line: str, command: str, now_ns: int) -> None:
        """Enter (0), read the clock in (1) or leave (2) the state of time adjustment."""
        refusal = {"TM0": "02", "TM1": "04", "TM2": "03"}[command]
        if self._adjusts_time == (command == "TM0"):
            self._answer(line, refusal, now_ns)
            return
        self._adjusts_time = command != "TM2"
        if command == "TM0":
            self._request, self._laser_on = None, False
        stamp = [_summed(self._stamp(now_ns))] if command == "TM1" else []
        self._answer(line, "00", now_ns, stamp)

    def _state(self) -> str:
        """Return the number of the state, as sensors of the UST and UTM-EW kind tell it."""
        if self._trouble:
            return "900"
        if self._adjusts_time:
            return "002"
        if self._request is not None and self._request.kind == "M":
            return "004"
        return "003" if self._laser_on else "000"

    def _told(self, command: str, now_ns: int) -> list[str]:
        model = self.model
        plate: dict[str, dict[str, object]] = {
            "VV": {
                "VEND": "Hokuyo Automatic Co.,Ltd.",
                "PROD": model.product,
                "FIRM": model.firmware,
                "PROT": "SCIP 2.0",
                "SERI": model.serial,
            },
            "PP": {
                "MODL": model.model,
                "DMIN": model.nearest_mm,
                "DMAX": model.farthest_mm,
                "ARES": model.steps_per_turn,
                "AMIN": model.first_step,
                "AMAX": model.last_step,
                "AFRT": model.front_step,
                "SCAN": model.rpm,
            },
            "II": {
                "MODL": model.model,
                "LASR": "ON" if self._laser_on else "OFF",
                "SCSP": f"Initial({model.rpm}[rpm])<-Default setting by user",
                "MESM": "Measuring" if self._request else "IDLE",
                "SBPS": "USB only" if model.is_usb else f"{self.line.baud}[bps]",
                "TIME": f"{self._clock_ms(now_ns):06X}",
                "STAT": f"Malfunction {self._trouble}" if self._trouble else "Sensor works well.",
            },
        }
        lines = [f"{key}:{value}" for key, value in plate[command].items()]
        return [f"{line};{chr((sum(line.encode()) & 0x3F) + 0x30)}" for line in lines]

    def _clock_ms(self, now_ns: int) -> int:
        return (now_ns - (self._powered_ns or 0)) // 1_000_000 & _CLOCK_MASK

    def _stamp(self, now_ns: int) -> str:
        return _encoded(np.array([self._clock_ms(now_ns)]), 4).decode("ascii")

    def _set_baud(self, line: str, baud: int, now_ns: int) -> None:
        if self.model.is_usb:
            status = "04"
        elif baud not in _BAUDS:
            status = "02"
        else:
            status = "03" if baud == self.line.baud else "00"
        self._answer(line, status, now_ns)
        if status == "00":
            self.line.baud = baud

    def _begin(self, line: str, match: re.Match[str], now_ns: int) -> None:
        """Take a request for scans, or refuse it with the status of the manual."""
        kind, code, first, last, cluster, interval, count = match.groups()
        model = self.model
        steps = (int(first), int(last))
        if (interval is None) != (kind == "G"):
            self._answer(line, "0C", now_ns)
        elif self._trouble:
            self._answer(line, self._trouble, now_ns)
        elif steps[1] > model.last_step:
            self._answer(line, "04", now_ns)
        elif steps[1] < steps[0]:
            self._answer(line, "05", now_ns)
        elif kind == "G" and not self._laser_on:
            self._answer(line, "10", now_ns)
        else:
            if kind == "M":
                self._laser_on = True
                self._answer(line, "00", now_ns)
            since_ns = now_ns - (self._powered_ns or 0)
            total = int(count or 1)
            self._request = _Request(
                head=line[: match.end() - 2] if kind == "M" else line[: match.end()],
                kind=kind,
                code=code,
                first=steps[0],
                last=steps[1],
                cluster=max(int(cluster), 1),
                interval=int(interval or 0),
                count=total,
                suffix=line[match.end() :],
                # The sweep that is under way is of no use: its rays are behind.
                sweep=since_ns // self._turn_ns + 1,
                left=total,
            )

    def _echo(self, request: _Request) -> str:
        left = f"{request.left:02d}" if request.kind == "M" else ""
        return request.head + left + request.suffix

    def _send_scan(self, request: _Request, rear_ns: int) -> None:
        """Send one scan; its rays are cast where a decoder will place them."""
        if request.count:
            request.left -= 1
        steps = np.arange(request.first, request.last + 1)
        turn = self.model.steps_per_turn
        stamps_ns = (
            rear_ns
            + np.array([self._ray_ns(int(steps[0]))])
            + ((steps - steps[0]) * self._turn_ns // turn)
        )
        bearings_rad = ((steps - self.model.front_step) * (math.tau / turn)).astype(np.float64)
        ranges_m = self._ranges(stamps_ns, bearings_rad)
        mm = np.nan_to_num(np.rint(ranges_m * 1000.0)).astype(np.int64)
        mm[(mm < self.model.nearest_mm) | (mm > self.model.farthest_mm)] = 0
        mm = np.array(
            [mm[i : i + request.cluster].min() for i in range(0, mm.size, request.cluster)]
        )
        data = self._values(request, mm)
        status = "99" if request.kind == "M" else "00"
        lines = [_summed(self._stamp(rear_ns))]
        lines += [
            _summed(data[i : i + _LINE_CHARACTERS]) for i in range(0, len(data), _LINE_CHARACTERS)
        ]
        ready_ns = int(stamps_ns[-1]) + _FILTER_NS - _REPLY_DELAY_NS
        self._answer(self._echo(request), status, ready_ns, lines)
        wire_ns = len(data) * 10_000_000_000 // self.line.baud
        # A line that is too slow for every sweep gets every second one, or third.
        request.sweep += max(request.interval + 1, -(-wire_ns // self._turn_ns))
        if request.count and request.left == 0:
            self._request = None

    def _values(self, request: _Request, mm: NDArray[np.int64]) -> str:
        match request.code:
            case "S":
                return _encoded(np.minimum(mm, 4095), 2).decode("ascii")
            case "E":
                pairs = np.stack([mm, np.where(mm > 0, _INTENSITY, 0)], axis=1)
                return _encoded(pairs.ravel(), 3).decode("ascii")
            case _:
                return _encoded(mm, 3).decode("ascii")


def _encoded(values: NDArray[np.int64], characters: int) -> bytes:
    """Return values in six bits a character, the most significant first."""
    shifts = 6 * np.arange(characters - 1, -1, -1)
    return ((values[:, None] >> shifts & 0x3F) + 0x30).astype(np.uint8).tobytes()


def _summed(line: str) -> str:
    return line + chr((sum(line.encode("latin-1")) & 0x3F) + 0x30)
