"""LMS2xx telegrams written and read from the telegram listing's description alone."""

import math
import struct


def crc16(data: bytes) -> int:
    """Polynomial 8005; each step shifts by one bit and takes in a byte and its predecessor."""
    crc = 0
    for before, byte in zip(b"\0" + data, data, strict=False):
        crc *= 2
        if crc > 0xFFFF:
            crc = (crc - 0x10000) ^ 0x8005
        crc ^= before * 256 + byte
    return crc


def telegram(data: bytes, address: int = 0x80) -> bytes:
    body = struct.pack("<BBH", 2, address, len(data)) + data
    return body + struct.pack("<H", crc16(body))


def scan(values: list[int], unit: int = 1, part: int | None = None, flags: int = 0) -> bytes:
    """Return a B0 telegram."""
    head = len(values) | unit << 14 | (0 if part is None else 0x2000 | part << 11)
    return telegram(struct.pack(f"<BH{len(values)}HB", 0xB0, head, *values, flags))


def find_telegrams(stream: bytes) -> tuple[list[bytes], int, int, int]:
    """Return the data of sound telegrams, noise bytes, failed checks, bytes used."""
    found, noise, failed, at = [], 0, 0, 0
    while len(stream) - at >= 4:
        start, address, size = struct.unpack_from("<BBH", stream, at)
        if (start, address) != (2, 0x80) or not 1 <= size <= 1000:
            noise, at = noise + 1, at + 1
            continue
        frame = stream[at : at + size + 6]
        if len(frame) < size + 6:
            break
        if crc16(frame[:-2]) != struct.unpack("<H", frame[-2:])[0]:
            noise, failed, at = noise + 1, failed + 1, at + 1
            continue
        found.append(frame[4:-2])
        at += size + 6
    return found, noise, failed, at


def metres(value: int, bits: int, unit_m: float) -> float:
    """Return a distance, NaN where the value is one of the nine that tell why there is none."""
    value %= 1 << bits
    return math.nan if value == 0 or value >= (1 << bits) - 9 else value * unit_m
