"""SICK LMS2xx: telegrams and measured values."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from drivers.kernels.layout import Bytes, Found, Integers

START = 0x02
REPLY_ADDRESS = 0x80
HEAD_BYTES = 4
CRC_BYTES = 2
LONGEST_DATA = 1_000
ERROR_VALUES = 9


@njit(cache=True, nogil=True)
def find_telegrams(data: Bytes, begins: Integers, ends: Integers) -> Found:
    """Find telegrams of the device whose checksum holds.

    SICK, "Definition of telegrams between the user interface and LMS or LMI systems via RS 422 / RS
    232", version 05.00, sections 2.3 and 2.4: ``02 80``, number of data bytes, data, CRC-16 of
    polynomial 8005 into which each byte goes together with its predecessor.

    Args:
        data: uint8, shape ``(n,)``, pending bytes.
        begins: Out, int64, shape ``(telegrams,)``, offset of the first data byte of each.
        ends: Out, int64, offset behind the last data byte.
    """
    frames = skipped = bad = at = 0
    while at + HEAD_BYTES <= data.shape[0] and frames < begins.shape[0]:
        size = int(data[at + 2]) | int(data[at + 3]) << 8
        headed = data[at] == START and data[at + 1] == REPLY_ADDRESS
        if not headed or size == 0 or size > LONGEST_DATA:
            at += 1
            skipped += 1
            continue
        end = at + HEAD_BYTES + size
        if end + CRC_BYTES > data.shape[0]:
            break
        crc = before = 0
        for i in range(at, end):
            crc = (crc & 0x7FFF) << 1 ^ (0x8005 if crc & 0x8000 else 0)
            crc ^= int(data[i]) | before << 8
            before = int(data[i])
        if crc != (int(data[end]) | int(data[end + 1]) << 8):
            at += 1
            skipped += 1
            bad += 1
            continue
        begins[frames], ends[frames] = at + HEAD_BYTES, end
        frames += 1
        at = end + CRC_BYTES
    return frames, at, skipped, bad


@njit(cache=True, nogil=True)
def decode_values(
    data: Bytes, range_bits: int, unit_m: float, ranges_m: NDArray[np.float32]
) -> None:
    """Decode measured values.

    The same document, section 6.1 (B0H): the upper bits belong to the fields, the nine highest
    values of the others tell why there is no distance.

    Args:
        data: uint8, shape ``(2 * rays,)``.
        range_bits: How many bits of a value are distance.
        unit_m: What a value counts in.
        ranges_m: Out, float32, shape ``(rays,)``, NaN for no return.
    """
    highest = (1 << range_bits) - 1
    for i in range(ranges_m.shape[0]):
        value = (int(data[2 * i]) | int(data[2 * i + 1]) << 8) & highest
        seen = 0 < value <= highest - ERROR_VALUES
        ranges_m[i] = value * unit_m if seen else np.nan


def warm_up() -> list[str]:
    """Compile every kernel here, or load it from the cache, and return their names."""
    data = np.zeros(8, np.uint8)
    data.setflags(write=False)
    find_telegrams(data, np.zeros(1, np.int64), np.zeros(1, np.int64))
    decode_values(data, 13, 0.01, np.zeros(1, np.float32))
    return ["find_telegrams", "decode_values"]
