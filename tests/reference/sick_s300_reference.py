"""S300 telegrams written and read from the telegram listing's description alone."""

import binascii
import math
import struct
from typing import NamedTuple

OLD, NEW, MEASURING = "old", "new", "measuring"


class Telegram(NamedTuple):
    offset: int
    status: int
    number: int
    kind: int
    values: list[int]


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE, by the standard library."""
    return binascii.crc_hqx(data, 0xFFFF)


def telegram(
    values: list[int],
    number: int = 0,
    status: int = 0,
    kind: int = 0xBBBB,
    layout: str = OLD,
    address: int = 7,
) -> bytes:
    """Return a telegram whose size counts as one of the three layouts has it."""
    version = 0x0102 if layout == OLD else 0x0103
    body = struct.pack("<HHIHHH", version, status, number, number & 0xFFFF, kind, 0x1111)
    body += struct.pack(f"<{len(values)}H", *values)
    # From byte 4 with the CRC; from byte 8 with the CRC; from byte 12 without it.
    size = {OLD: 6 + len(body) + 2, NEW: 2 + len(body) + 2, MEASURING: len(body) - 2}[layout]
    head = struct.pack(">HHBB", 0, size // 2, 0xFF, address)
    return bytes(4) + head + body + struct.pack("<H", crc16(head + body))


def find_telegrams(stream: bytes) -> tuple[list[Telegram], int, int, int]:
    """Return the sound telegrams, noise bytes, failed checks, bytes used."""
    found, noise, failed, at = [], 0, 0, 0
    while len(stream) - at >= 12:
        zeros, size, mark, address, version, one = struct.unpack_from(">6sHBBBB", stream, at)
        headed = (zeros, mark, one) == (bytes(6), 0xFF, 1) and address in (7, 8)
        if not headed or version not in (2, 3) or not 8 <= size <= 1200:
            noise, at = noise + 1, at + 1
            continue
        ends = [at + extra + 2 * size for extra in (4, 8, 14)]
        sound = waits = None
        for end in ends:
            if end > len(stream):
                waits = True
                break
            told = int.from_bytes(stream[end - 2 : end], "little")
            if end - at >= 26 and crc16(stream[at + 4 : end - 2]) == told:
                sound = end
                break
        if sound is not None:
            found.append(_read(at, stream[at:sound]))
            at = sound
        elif waits:
            break
        else:
            noise, failed, at = noise + 1, failed + 1, at + 1
    return found, noise, failed, at


def _read(offset: int, data: bytes) -> Telegram:
    status, number = struct.unpack_from("<HI", data, 12)
    (kind,) = struct.unpack_from("<H", data, 20)
    values = data[24:-2]
    return Telegram(
        offset,
        status,
        number,
        kind,
        [int.from_bytes(values[i : i + 2], "little") for i in range(0, len(values) - 1, 2)],
    )


def metres(value: int) -> float:
    """Return a distance, NaN for none."""
    cm = value % 8192
    return math.nan if cm in (0, 8191) else cm / 100
