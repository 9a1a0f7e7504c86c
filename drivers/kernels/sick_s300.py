"""SICK S300 and S3000: continuous telegrams."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from drivers.kernels.layout import Bytes, Found, Integers

HEAD_BYTES = 24
FEWEST_WORDS = 8
MOST_WORDS = 1_200
MOST_RAYS = 1_100
RANGE_CM = 0x1FFF


def _crc16_table() -> NDArray[np.int64]:
    """Return the remainders of all bytes for the polynomial 1021, not reflected."""
    table = np.arange(256, dtype=np.int64) << 8
    for _ in range(8):
        table = np.where(table & 0x8000, table << 1 ^ 0x1021, table << 1) & 0xFFFF
    return table


CRC16 = _crc16_table()


@njit(cache=True, nogil=True)
def find_telegrams(data: Bytes, begins: Integers, ends: Integers) -> Found:
    """Find telegrams whose checksum holds.

    SICK, "Telegram listing S3000 / S300, RS 422 data output": ``00 00 00 00 00 00``, size in words,
    ``FF``, device address, protocol version, and CRC-16 of polynomial 1021 from FFFF over all from
    byte 4 on, low byte first. The size counts from byte 4 up to the checksum included, in newer
    devices from byte 8 or, with a measuring field, from byte 12 without the checksum; the version
    does not tell which, the checksum does.

    Args:
        data: uint8, shape ``(n,)``, pending bytes.
        begins: Out, int64, shape ``(telegrams,)``, offset of the first byte of each.
        ends: Out, int64, offset behind its checksum.
    """
    frames = skipped = bad = at = 0
    while at + 12 <= data.shape[0] and frames < begins.shape[0]:
        words = int(data[at + 6]) << 8 | int(data[at + 7])
        headed = data[at + 8] == 0xFF and (data[at + 9] == 0x07 or data[at + 9] == 0x08)
        headed = headed and (data[at + 10] == 0x02 or data[at + 10] == 0x03) and data[at + 11] == 1
        for i in range(6):
            headed = headed and data[at + i] == 0
        if not headed or words < FEWEST_WORDS or words > MOST_WORDS:
            at += 1
            skipped += 1
            continue
        crc = 0xFFFF
        done = at + 4
        end = 0
        waits = False
        for extra in (4, 8, 14):
            stop = at + extra + 2 * words
            if stop > data.shape[0]:
                waits = True
                break
            while done < stop - 2:
                crc = (crc << 8 & 0xFFFF) ^ int(CRC16[crc >> 8 ^ int(data[done])])
                done += 1
            if (
                stop - at >= HEAD_BYTES + 2
                and crc == int(data[stop - 2]) | int(data[stop - 1]) << 8
            ):
                end = stop
                break
        if end > 0:
            begins[frames], ends[frames] = at, end
            frames += 1
            at = end
        elif waits:
            break
        else:
            at += 1
            skipped += 1
            bad += 1
    return frames, at, skipped, bad


@njit(cache=True, nogil=True)
def decode_values(data: Bytes, ranges_m: NDArray[np.float32], quality: Bytes) -> None:
    """Decode measured values.

    The same document: bits 0 to 12 distance in cm, 13 reflector or glare, 14 and 15 whether the
    point lies in the protective and in the warning field.

    Args:
        data: uint8, shape ``(2 * rays,)``.
        ranges_m: Out, float32, shape ``(rays,)``, NaN for no return.
        quality: Out, uint8, 255 for a reflector, else 0.
    """
    for i in range(ranges_m.shape[0]):
        word = int(data[2 * i]) | int(data[2 * i + 1]) << 8
        distance_cm = word & RANGE_CM
        seen = 0 < distance_cm < RANGE_CM
        ranges_m[i] = distance_cm / 100.0 if seen else np.nan
        quality[i] = 255 if word & 0x2000 else 0


def warm_up() -> list[str]:
    """Compile every kernel here, or load it from the cache, and return their names."""
    data = np.zeros(32, np.uint8)
    data.setflags(write=False)
    find_telegrams(data, np.zeros(1, np.int64), np.zeros(1, np.int64))
    decode_values(data, np.zeros(1, np.float32), np.zeros(1, np.uint8))
    return ["find_telegrams", "decode_values"]
