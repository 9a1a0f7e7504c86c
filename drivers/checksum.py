"""Checksums of the wire protocols, each with its published check value in the tests."""

from functools import reduce
from operator import xor


def xor8(data: bytes) -> int:
    """Return the exclusive-or of all bytes (RPLIDAR requests and capsules)."""
    return reduce(xor, data, 0)
