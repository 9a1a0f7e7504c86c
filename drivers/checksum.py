"""Checksums of the wire protocols, each with its published check value in the tests."""

from functools import reduce
from operator import xor


def xor8(data: bytes) -> int:
    """Return the exclusive-or of all bytes (RPLIDAR requests and capsules, Kobuki)."""
    return reduce(xor, data, 0)


def _crc16_table(polynomial: int) -> tuple[int, ...]:
    """Return the remainders of all bytes, not reflected."""
    table = []
    for remainder in range(0, 1 << 16, 1 << 8):
        for _ in range(8):
            remainder = remainder << 1 ^ (polynomial if remainder & 0x8000 else 0)
        table.append(remainder & 0xFFFF)
    return tuple(table)


_CCITT = _crc16_table(0x1021)


def crc16_xmodem(data: bytes, crc: int = 0) -> int:
    """Return CRC-16/XMODEM: polynomial 1021, initial value 0, not reflected (RoboClaw).

    Args:
        data: Bytes to cover.
        crc: Of the bytes before them.
    """
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ _CCITT[crc >> 8 ^ byte]
    return crc
