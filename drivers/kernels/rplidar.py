"""Slamtec RPLIDAR: standard nodes and express capsules."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from drivers.kernels.layout import Bytes, Found, Integers, Reals

STANDARD_NODE_BYTES = 5
CAPSULE_BYTES = 84
CAPSULE_SAMPLES = 32
FULL_TURN_Q6 = 360 << 6


@njit(cache=True, nogil=True)
def decode_standard_nodes(
    data: Bytes,
    ends: Integers,
    starts: NDArray[np.bool_],
    angles_rad: Reals,
    ranges_m: Reals,
    quality: Bytes,
) -> Found:
    """Decode RPLIDAR standard measurement nodes (answer type 0x81).

    Slamtec interface protocol v2.x, "SCAN": ``quality<<2 | !S<<1 | S``, ``angle_q6<<1 | check``,
    ``distance_q2`` mm; the angle counts clockwise in 1/64 degree.

    Args:
        data: uint8, shape ``(n,)``, pending bytes.
        ends: Out, int64, shape ``(frames,)``, offset behind each node.
        starts: Out, bool, whether the node begins a revolution.
        angles_rad: Out, float64, bearing, counter-clockwise, in (-2 pi, 0].
        ranges_m: Out, float64, NaN for no return.
        quality: Out, uint8, the device's 6 bits.
    """
    frames = skipped = bad = at = 0
    while at + STANDARD_NODE_BYTES <= data.shape[0] and frames < ends.shape[0]:
        b0, b1 = int(data[at]), int(data[at + 1])
        angle_q6 = (b1 | int(data[at + 2]) << 8) >> 1
        if (b0 & 1) == (b0 >> 1 & 1) or (b1 & 1) == 0 or angle_q6 >= FULL_TURN_Q6:
            at += 1
            skipped += 1
            bad += 1
            continue
        distance_q2 = int(data[at + 3]) | int(data[at + 4]) << 8
        at += STANDARD_NODE_BYTES
        ends[frames] = at
        starts[frames] = (b0 & 1) == 1
        angles_rad[frames] = -np.deg2rad(angle_q6 / 64.0)
        ranges_m[frames] = distance_q2 / 4000.0 if distance_q2 > 0 else np.nan
        quality[frames] = b0 >> 2
        frames += 1
    return frames, at, skipped, bad


@njit(cache=True, nogil=True)
def find_capsules(data: Bytes, begins: Integers) -> Found:
    """Find RPLIDAR express capsules (answer type 0x82) whose checksum holds.

    Slamtec interface protocol v2.x, "EXPRESS_SCAN": sync nibbles A and 5, the low nibbles carry the
    exclusive-or over bytes 2 to 83.

    Args:
        data: uint8, shape ``(n,)``, pending bytes.
        begins: Out, int64, shape ``(frames,)``, offset of each capsule.
    """
    frames = skipped = bad = at = 0
    while at + CAPSULE_BYTES <= data.shape[0] and frames < begins.shape[0]:
        if data[at] >> 4 != 0xA or data[at + 1] >> 4 != 0x5:
            at += 1
            skipped += 1
            continue
        check = 0
        for i in range(at + 2, at + CAPSULE_BYTES):
            check ^= int(data[i])
        if check != (int(data[at]) & 0xF | (int(data[at + 1]) & 0xF) << 4):
            at += 1
            skipped += 1
            bad += 1
            continue
        begins[frames] = at
        at += CAPSULE_BYTES
        frames += 1
    return frames, at, skipped, bad


@njit(cache=True, nogil=True)
def decode_capsule(capsule: Bytes, following: Bytes, angles_rad: Reals, ranges_m: Reals) -> int:
    """Decode one express capsule with the start angle of its successor.

    The 32 samples lie evenly between the two start angles of the encoder; each is turned back by
    its own offset of 6 bits in 1/8 degree, taken as unsigned like the maker's SDK does.

    Args:
        capsule: uint8, shape ``(84,)``.
        following: uint8, shape ``(84,)``, the capsule sent right after it.
        angles_rad: Out, float64, shape ``(32,)``, bearings, counter-clockwise, in (-4 pi, pi).
        ranges_m: Out, float64, shape ``(32,)``, NaN for no return.

    Returns:
        How many samples lie before the encoder's zero mark, 1 to 32, where a revolution begins
        behind them; 0 where the mark is not passed. The mark may lie behind the last sample: that
        is still this capsule's, because the next one cannot tell.
    """
    start_q6 = (int(capsule[2]) | int(capsule[3]) << 8) & 0x7FFF
    next_q6 = (int(following[2]) | int(following[3]) << 8) & 0x7FFF
    span_q6 = next_q6 - start_q6
    if span_q6 < 0:
        span_q6 += FULL_TURN_Q6
    before_mark = 0
    for i in range(CAPSULE_SAMPLES):
        cabin = 4 + 5 * (i // 2)
        word = int(capsule[cabin + 2 * (i % 2)]) | int(capsule[cabin + 2 * (i % 2) + 1]) << 8
        nibble = int(capsule[cabin + 4]) >> (4 * (i % 2)) & 0xF
        offset_q3 = nibble | (word & 0x3) << 4
        encoder_q6 = start_q6 + span_q6 * i / CAPSULE_SAMPLES
        if encoder_q6 < FULL_TURN_Q6:
            before_mark = i + 1
        degrees = encoder_q6 / 64.0 - offset_q3 / 8.0
        angles_rad[i] = -np.deg2rad(degrees)
        distance_q2 = word & 0xFFFC
        ranges_m[i] = distance_q2 / 4000.0 if distance_q2 > 0 else np.nan
    return before_mark if start_q6 + span_q6 >= FULL_TURN_Q6 else 0


def warm_up() -> list[str]:
    """Compile every kernel here, or load it from the cache, and return their names."""
    data = np.zeros(2 * CAPSULE_BYTES, np.uint8)
    data.setflags(write=False)
    whole, real = np.zeros(4, np.int64), np.zeros(4)
    decode_standard_nodes(data, whole, np.zeros(4, np.bool_), real, real.copy(), np.zeros(4, "u1"))
    find_capsules(data, whole)
    samples = np.zeros(CAPSULE_SAMPLES)
    decode_capsule(data[:CAPSULE_BYTES], data[CAPSULE_BYTES:], samples, samples.copy())
    return ["decode_standard_nodes", "find_capsules", "decode_capsule"]
