"""LDROBOT LD06 and kin: frames of twelve samples."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from drivers.kernels.layout import Bytes, Found, Integers, Reals

FRAME_BYTES = 47
FRAME_SAMPLES = 12
FULL_TURN_CDEG = 36_000


def _crc8_table() -> NDArray[np.uint8]:
    """Return the remainders of all bytes for the polynomial 4D, not reflected."""
    table = np.arange(256)
    for _ in range(8):
        table = np.where(table & 0x80, table << 1 ^ 0x4D, table << 1) & 0xFF
    return table.astype(np.uint8)


CRC8 = _crc8_table()


@njit(cache=True, nogil=True)
def decode_frames(
    data: Bytes,
    ends: Integers,
    heads: Integers,
    cuts: Integers,
    angles_rad: Reals,
    ranges_m: Reals,
    quality: Bytes,
) -> Found:
    """Find and decode LD06 frames whose checksum holds.

    LD06 development manual v2.3, "data protocol": ``54 2C``, speed in degrees per second, start
    angle, twelve times distance in mm and intensity, end angle, time stamp in ms, CRC-8; angles
    count clockwise in 1/100 degree, and the samples lie evenly between the two.

    Args:
        data: uint8, shape ``(n,)``, pending bytes.
        ends: Out, int64, shape ``(frames,)``, offset behind each frame.
        heads: Out, int64, shape ``(frames, 4)``: speed, start angle, end angle, time stamp.
        cuts: Out, int64, how many samples lie before the zero mark; 12 where it is not passed.
        angles_rad: Out, float64, shape ``(frames, 12)``, counter-clockwise, in (-4 pi, 0].
        ranges_m: Out, float64, NaN for no return.
        quality: Out, uint8, intensity.
    """
    frames = skipped = bad = at = 0
    while at + FRAME_BYTES <= data.shape[0] and frames < ends.shape[0]:
        if data[at] != 0x54 or data[at + 1] != 0x2C:
            at += 1
            skipped += 1
            continue
        crc = 0
        for i in range(at, at + FRAME_BYTES - 1):
            crc = int(CRC8[crc ^ int(data[i])])
        if crc != data[at + FRAME_BYTES - 1]:
            at += 1
            skipped += 1
            bad += 1
            continue
        heads[frames, 0] = int(data[at + 2]) | int(data[at + 3]) << 8
        start = (int(data[at + 4]) | int(data[at + 5]) << 8) % FULL_TURN_CDEG
        end = (int(data[at + 42]) | int(data[at + 43]) << 8) % FULL_TURN_CDEG
        heads[frames, 1], heads[frames, 2] = start, end
        heads[frames, 3] = int(data[at + 44]) | int(data[at + 45]) << 8
        span = end - start
        if span < 0:
            span += FULL_TURN_CDEG
        cuts[frames] = FRAME_SAMPLES
        for i in range(FRAME_SAMPLES):
            cdeg = start + span * i / (FRAME_SAMPLES - 1)
            if cdeg >= FULL_TURN_CDEG and cuts[frames] == FRAME_SAMPLES:
                cuts[frames] = i
            distance_mm = int(data[at + 6 + 3 * i]) | int(data[at + 7 + 3 * i]) << 8
            angles_rad[frames, i] = -np.deg2rad(cdeg / 100.0)
            ranges_m[frames, i] = distance_mm / 1000.0 if distance_mm > 0 else np.nan
            quality[frames, i] = data[at + 8 + 3 * i]
        at += FRAME_BYTES
        ends[frames] = at
        frames += 1
    return frames, at, skipped, bad


def warm_up() -> list[str]:
    """Compile every kernel here, or load it from the cache, and return their names."""
    data = np.zeros(FRAME_BYTES, np.uint8)
    data.setflags(write=False)
    whole, columns = np.zeros(1, np.int64), np.zeros((1, FRAME_SAMPLES))
    heads = np.zeros((1, 4), np.int64)
    decode_frames(
        data, whole, heads, whole.copy(), columns, columns.copy(), columns.astype(np.uint8)
    )
    return ["decode_frames"]
