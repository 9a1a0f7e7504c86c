"""Decoders as compiled kernels: bytes in, columns out, no clock and no allocation per frame.

Each kernel walks a buffer of pending bytes, fills columns for the frames it finds and returns
``(frames, consumed, skipped, bad)``: how many frames it wrote, how many bytes of the buffer are
done with, how many of those belonged to no frame, and how many frames failed their check. After a
failed check it goes on at the very next byte, so that noise never costs a good frame behind it.
"""

from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Integers: TypeAlias = NDArray[np.int64]
Reals: TypeAlias = NDArray[np.float64]
Found: TypeAlias = tuple[int, int, int, int]

STANDARD_NODE_BYTES = 5
CAPSULE_BYTES = 84
CAPSULE_SAMPLES = 32
FULL_TURN_Q6 = 360 << 6
LONGEST_LINE = 128
MOST_VALUES = 4


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


@njit(cache=True, nogil=True)
def decode_replies(
    data: Bytes,
    begins: Integers,
    ends: Integers,
    names: Integers,
    counts: Integers,
    values: Integers,
) -> Found:
    """Decode Roboteq replies ``NAME=v1:v2`` CR, ``+`` CR and ``-`` CR.

    Roboteq user manual v2.0, "Serial commands reference". A line that is none of these, such as
    text or an echoed command, is written with count -1 and its place, for the caller to judge.

    Args:
        data: uint8, shape ``(n,)``, pending bytes.
        begins: Out, int64, shape ``(lines,)``, offset of each line.
        ends: Out, int64, offset of its CR.
        names: Out, int64, up to four characters of the name, first one highest; ``+`` or ``-``.
        counts: Out, int64, number of values, -1 for no reply in numbers.
        values: Out, int64, shape ``(lines, 4)``.
    """
    lines = skipped = bad = at = 0
    end = 0
    while end < data.shape[0] and lines < ends.shape[0]:
        if data[end] != 13:
            end += 1
            if end - at > LONGEST_LINE:
                skipped += end - at
                at = end
            continue
        begins[lines], ends[lines] = at, end
        names[lines], counts[lines] = _parse_reply(data, at, end, values[lines])
        lines += 1
        end += 1
        at = end
    return lines, at, skipped, bad


@njit(cache=True, nogil=True)
def _parse_reply(data: Bytes, begin: int, end: int, values: Integers) -> tuple[int, int]:
    """Return name and number of values of one line, count -1 when it is no reply in numbers."""
    if end - begin == 1 and (data[begin] == 43 or data[begin] == 45):
        return int(data[begin]), 0
    name = 0
    at = begin
    while at < end and 65 <= data[at] <= 90:
        name = name << 8 | int(data[at])
        at += 1
    if at in (begin, end) or at - begin > 4 or data[at] != 61:
        return 0, -1
    count = 0
    while at < end:
        at += 1
        negative = at < end and data[at] == 45
        if negative:
            at += 1
        first = at
        value = 0
        while at < end and 48 <= data[at] <= 57:
            value = value * 10 + int(data[at]) - 48
            at += 1
        separated = at == end or data[at] == 58
        if at == first or at - first > 10 or count == MOST_VALUES or not separated:
            return name, -1
        values[count] = -value if negative else value
        count += 1
    return name, count


def warm_up() -> list[str]:
    """Compile every kernel here, or load it from the cache, and return their names."""
    data = np.zeros(2 * CAPSULE_BYTES, np.uint8)
    data.setflags(write=False)
    whole, real = np.zeros(4, np.int64), np.zeros(4)
    decode_standard_nodes(data, whole, np.zeros(4, np.bool_), real, real.copy(), np.zeros(4, "u1"))
    find_capsules(data, whole)
    samples = np.zeros(CAPSULE_SAMPLES)
    decode_capsule(data[:CAPSULE_BYTES], data[CAPSULE_BYTES:], samples, samples.copy())
    decode_replies(
        data, whole, whole.copy(), whole.copy(), whole.copy(), np.zeros((4, 4), np.int64)
    )
    return ["decode_standard_nodes", "find_capsules", "decode_capsule", "decode_replies"]
