"""YDLIDAR triangulating models: packets of samples."""

import numpy as np
from numba import njit

from drivers.kernels.layout import Bytes, Found, Integers, Reals

HEAD_BYTES = 10
LONGEST_PACKET = HEAD_BYTES + 3 * 255
FULL_TURN_Q6 = 360 << 6


@njit(cache=True, nogil=True)
def decode_packets(
    data: Bytes,
    sample_bytes: int,
    ends: Integers,
    heads: Integers,
    sizes: Integers,
    angles_rad: Reals,
    ranges_m: Reals,
    quality: Bytes,
) -> Found:
    """Find and decode YDLIDAR packets whose checksum holds.

    YDLIDAR, "YDLidar SDK communication protocol", and the development manuals of X4 and G2:
    ``AA 55``, packet type, number of samples, first angle, last angle, checksum, samples. The
    checksum is the exclusive-or of all 16-bit words but itself; of a sample with intensity the
    first byte counts as a word of its own. Angles count clockwise in 1/64 degree above a check bit;
    triangulation moves each by ``atan(21.8 (155.3 - d) / (155.3 d))`` with the distance in mm.

    Args:
        data: uint8, shape ``(n,)``, pending bytes.
        sample_bytes: 2, or 3 with intensity.
        ends: Out, int64, shape ``(packets,)``, offset behind each packet.
        heads: Out, int64, shape ``(packets, 3)``: type, first and last angle in 1/64 degree.
        sizes: Out, int64, number of samples.
        angles_rad: Out, float64, shape ``(packets, 255)``, counter-clockwise, in (-5 pi, pi).
        ranges_m: Out, float64, NaN for no return.
        quality: Out, uint8, the ten bits of the intensity / 4; 0 without it.
    """
    frames = skipped = bad = at = 0
    while at + HEAD_BYTES <= data.shape[0] and frames < ends.shape[0]:
        if data[at] != 0xAA or data[at + 1] != 0x55:
            at += 1
            skipped += 1
            continue
        count = int(data[at + 3])
        first = int(data[at + 4]) | int(data[at + 5]) << 8
        last = int(data[at + 6]) | int(data[at + 7]) << 8
        if count == 0 or first & last & 1 == 0 or max(first, last) >> 1 >= FULL_TURN_Q6:
            at += 1
            skipped += 1
            bad += 1
            continue
        end = at + HEAD_BYTES + sample_bytes * count
        if end > data.shape[0]:
            break
        check = 0x55AA ^ (int(data[at + 2]) | count << 8) ^ first ^ last
        for i in range(at + HEAD_BYTES, end, sample_bytes):
            if sample_bytes == 3:
                check ^= int(data[i])
            check ^= int(data[i + sample_bytes - 2]) | int(data[i + sample_bytes - 1]) << 8
        if check != (int(data[at + 8]) | int(data[at + 9]) << 8):
            at += 1
            skipped += 1
            bad += 1
            continue
        first, last = first >> 1, last >> 1
        heads[frames, 0], heads[frames, 1], heads[frames, 2] = data[at + 2], first, last
        sizes[frames] = count
        span = last - first if last >= first else last - first + FULL_TURN_Q6
        for i in range(count):
            place = at + HEAD_BYTES + sample_bytes * i
            word = int(data[place + sample_bytes - 2]) | int(data[place + sample_bytes - 1]) << 8
            strength = 0
            if sample_bytes == 3:
                strength = int(data[place]) | (word & 3) << 8
                word &= 0xFFFC
            degrees = (first + (span * i / (count - 1) if count > 1 else 0.0)) / 64.0
            mm = word / 4.0
            if word > 0:
                turned = np.arctan(21.8 * (155.3 - mm) / (155.3 * mm))
                angles_rad[frames, i] = -np.deg2rad(degrees) - turned
                ranges_m[frames, i] = mm / 1000.0
            else:
                angles_rad[frames, i] = -np.deg2rad(degrees)
                ranges_m[frames, i] = np.nan
            quality[frames, i] = strength >> 2
        at = end
        ends[frames] = at
        frames += 1
    return frames, at, skipped, bad


def warm_up() -> list[str]:
    """Compile every kernel here, or load it from the cache, and return their names."""
    data = np.zeros(HEAD_BYTES, np.uint8)
    data.setflags(write=False)
    whole, columns = np.zeros(1, np.int64), np.zeros((1, 255))
    heads = np.zeros((1, 3), np.int64)
    decode_packets(
        data, 2, whole, heads, whole.copy(), columns, columns.copy(), columns.astype(np.uint8)
    )
    return ["decode_packets"]
