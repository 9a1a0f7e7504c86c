"""YDLIDAR packets written and read from the protocol document's description alone."""

import math
import struct
from typing import NamedTuple


class Point(NamedTuple):
    angle_deg: float  # clockwise, with the correction for triangulation
    mm: float
    strength: int


class Packet(NamedTuple):
    offset: int
    kind: int
    points: list[Point]


def correction_deg(mm: float) -> float:
    return math.degrees(math.atan(21.8 * (155.3 - mm) / (155.3 * mm))) if mm else 0.0


def check(head: bytes, samples: bytes, width: int) -> int:
    """Exclusive-or of the 16-bit words; the first of three bytes is a word by itself."""
    words = list(struct.unpack("<4H", head[:8]))
    for i in range(0, len(samples), width):
        words += [samples[i]] * (width - 2)
        words.append(int.from_bytes(samples[i + width - 2 : i + width], "little"))
    result = 0
    for word in words:
        result ^= word
    return result


def packet(
    first_deg: float, last_deg: float, samples: list[tuple[int, int]], kind: int = 0, width: int = 2
) -> bytes:
    """Return a packet of samples ``(distance word, low byte of the intensity)``."""
    first, last = (round(deg * 64) % 23040 << 1 | 1 for deg in (first_deg, last_deg))
    head = struct.pack("<HBBHH", 0x55AA, kind, len(samples), first, last)
    body = b"".join(bytes([low]) * (width - 2) + struct.pack("<H", word) for word, low in samples)
    return head + struct.pack("<H", check(head, body, width)) + body


def find_packets(stream: bytes, width: int = 2) -> tuple[list[Packet], int, int, int]:
    """Return the sound packets of a damaged stream, noise bytes, failed checks, bytes used."""
    packets, noise, failed, at = [], 0, 0, 0
    while len(stream) - at >= 10:
        if stream[at : at + 2] != b"\xaa\x55":
            noise, at = noise + 1, at + 1
            continue
        kind, count, first, last, told = struct.unpack_from("<BBHHH", stream, at + 2)
        legal = count and first % 2 and last % 2 and max(first, last) // 2 < 23040
        samples = stream[at + 10 : at + 10 + width * count]
        if legal and len(samples) < width * count:
            break
        if not legal or check(stream[at : at + 8], samples, width) != told:
            noise, failed, at = noise + 1, failed + 1, at + 1
            continue
        packets.append(Packet(at, kind, _points(first // 2, last // 2, samples, width)))
        at += 10 + width * count
    return packets, noise, failed, at


def _points(first_q6: int, last_q6: int, samples: bytes, width: int) -> list[Point]:
    count = len(samples) // width
    step_q6 = (last_q6 - first_q6) % 23040 / (count - 1) if count > 1 else 0.0
    points = []
    for i in range(count):
        word = int.from_bytes(samples[width * i + width - 2 : width * (i + 1)], "little")
        strength = samples[width * i] + word % 4 * 256 if width == 3 else 0
        mm = word // 4 if width == 3 else word / 4
        points.append(Point((first_q6 + i * step_q6) / 64 + correction_deg(mm), mm, strength))
    return points
