"""Slamtec RPLIDAR: standard nodes, and the four kinds of capsules."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from drivers.kernels.layout import Bytes, Found, Integers, Reals

STANDARD_NODE_BYTES = 5
CAPSULE_BYTES = 84
CAPSULE_SAMPLES = 32
FULL_TURN_Q6 = 360 << 6
EXPRESS, ULTRA, DENSE, ULTRA_DENSE = 0x82, 0x84, 0x85, 0x86  # answer types
ULTRA_SAMPLES, DENSE_SAMPLES, ULTRA_DENSE_SAMPLES = 96, 40, 64
MOST_SAMPLES = ULTRA_SAMPLES
PLAIN_QUALITY = 47  # for a return in capsules that carry none, as the maker's SDK reports it
NOT_PREDICTED = (-512, 511)
# What lies this far or farther is seen at 8 degrees minus the parallax, all else at 7.5.
NEAR_Q2 = 50 * 4
PARALLAX_Q2 = 98_361


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
def find_capsules(data: Bytes, begins: Integers, size: int) -> Found:
    """Find RPLIDAR capsules (answer types 0x82, 0x84 to 0x86) whose checksum holds.

    Slamtec interface protocol v2.x, "EXPRESS_SCAN": sync nibbles A and 5, the low nibbles carry the
    exclusive-or over all bytes behind them.

    Args:
        data: uint8, shape ``(n,)``, pending bytes.
        begins: Out, int64, shape ``(frames,)``, offset of each capsule.
        size: Of a capsule, in bytes.
    """
    frames = skipped = bad = at = 0
    while at + size <= data.shape[0] and frames < begins.shape[0]:
        if data[at] >> 4 != 0xA or data[at + 1] >> 4 != 0x5:
            at += 1
            skipped += 1
            continue
        check = 0
        for i in range(at + 2, at + size):
            check ^= int(data[i])
        if check != (int(data[at]) & 0xF | (int(data[at + 1]) & 0xF) << 4):
            at += 1
            skipped += 1
            bad += 1
            continue
        begins[frames] = at
        at += size
        frames += 1
    return frames, at, skipped, bad


@njit(cache=True, nogil=True)
def _word(data: Bytes, at: int) -> int:
    return int(data[at]) | int(data[at + 1]) << 8


@njit(cache=True, nogil=True)
def _turned_q6(capsule: Bytes, following: Bytes, at: int) -> tuple[int, int]:
    """Return where the encoder stood at the first sample, and how far it went to the next one's."""
    start_q6 = _word(capsule, at) & 0x7FFF
    span_q6 = (_word(following, at) & 0x7FFF) - start_q6
    return start_q6, span_q6 + FULL_TURN_Q6 if span_q6 < 0 else span_q6


@njit(cache=True, nogil=True)
def _before_mark(start_q6: int, span_q6: int, samples: int) -> int:
    """Return how many samples lie before the encoder's zero mark, 0 where it is not passed.

    The mark may lie behind the last sample: that is still this capsule's, because the next one
    cannot tell.
    """
    if start_q6 + span_q6 < FULL_TURN_Q6:
        return 0
    if span_q6 == 0:
        return samples
    return min(samples, (samples * (FULL_TURN_Q6 - start_q6) + span_q6 - 1) // span_q6)


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
    start_q6, span_q6 = _turned_q6(capsule, following, 2)
    for i in range(CAPSULE_SAMPLES):
        cabin = 4 + 5 * (i // 2)
        word = _word(capsule, cabin + 2 * (i % 2))
        nibble = int(capsule[cabin + 4]) >> (4 * (i % 2)) & 0xF
        offset_q3 = nibble | (word & 0x3) << 4
        encoder_q6 = start_q6 + span_q6 * i / CAPSULE_SAMPLES
        angles_rad[i] = -np.deg2rad(encoder_q6 / 64.0 - offset_q3 / 8.0)
        distance_q2 = word & 0xFFFC
        ranges_m[i] = distance_q2 / 4000.0 if distance_q2 > 0 else np.nan
    return _before_mark(start_q6, span_q6, CAPSULE_SAMPLES)


@njit(cache=True, nogil=True)
def _unscaled(scaled: int) -> tuple[int, int]:
    """Return the distance in mm that 12 bits of variable scale stand for, and the scale's power.

    The maker's SDK, "varbitscale": 1 mm to 511, 2 mm from 512, 4 mm from 2048, 8 mm from 4096,
    16 mm from 16384.
    """
    if scaled >= 3328:
        return 16_384 + (scaled - 3328 << 4), 4
    if scaled >= 1792:
        return 4096 + (scaled - 1792 << 3), 3
    if scaled >= 1280:
        return 2048 + (scaled - 1280 << 2), 2
    if scaled >= 512:
        return 512 + (scaled - 512 << 1), 1
    return scaled, 0


@njit(cache=True, nogil=True)
def _predicted_q2(predicted: int, base_mm: int, scale: int) -> int:
    if predicted in NOT_PREDICTED:
        return 0
    return max(0, (predicted << scale) + base_mm << 2)


@njit(cache=True, nogil=True)
def _seen_behind_rad(distance_q2: int) -> float:
    """Return how far behind the encoder a triangulating lidar's point lies (the maker's SDK)."""
    if distance_q2 < NEAR_Q2:
        return float(np.deg2rad(7.5))
    k = PARALLAX_Q2 // distance_q2
    return float(np.deg2rad(8.0) - ((k << 6) + k * k * k // 98_304) / 65_536.0)


@njit(cache=True, nogil=True)
def decode_ultra_capsule(
    capsule: Bytes, following: Bytes, angles_rad: Reals, ranges_m: Reals
) -> int:
    """Decode one ultra capsule (answer type 0x84) with its successor.

    Of three samples the first is a distance of variable scale, the second is told by its difference
    from that, the third from the first of the next three.

    Args:
        capsule: uint8, shape ``(132,)``.
        following: uint8, shape ``(132,)``, the capsule sent right after it.
        angles_rad: Out, float64, shape ``(96,)``, bearings, counter-clockwise, in (-4 pi, pi).
        ranges_m: Out, float64, shape ``(96,)``, NaN for no return.

    Returns:
        As :func:`decode_capsule`.
    """
    start_q6, span_q6 = _turned_q6(capsule, following, 2)
    step_rad = np.deg2rad(span_q6 / 64.0 / ULTRA_SAMPLES)
    start_rad = np.deg2rad(start_q6 / 64.0)
    major_mm, scale = _unscaled(_word(capsule, 4) & 0xFFF)
    for cabin in range(ULTRA_SAMPLES // 3):
        at = 4 + 4 * cabin
        word = _word(capsule, at) | _word(capsule, at + 2) << 16
        after = _word(capsule, at + 4) if at + 4 < capsule.shape[0] else _word(following, 4)
        next_mm, next_scale = _unscaled(after & 0xFFF)
        near = word >> 12 & 0x3FF
        far = word >> 22 & 0x3FF
        near, far = near - ((near & 0x200) << 1), far - ((far & 0x200) << 1)
        base_mm, base_scale = (next_mm, next_scale) if major_mm == 0 else (major_mm, scale)
        distances_q2 = (
            major_mm << 2,
            _predicted_q2(near, base_mm, base_scale),
            _predicted_q2(far, next_mm, next_scale),
        )
        for j in range(3):
            i, distance_q2 = 3 * cabin + j, distances_q2[j]
            angles_rad[i] = _seen_behind_rad(distance_q2) - start_rad - i * step_rad
            ranges_m[i] = distance_q2 / 4000.0 if distance_q2 > 0 else np.nan
        major_mm, scale = next_mm, next_scale
    return _before_mark(start_q6, span_q6, ULTRA_SAMPLES)


@njit(cache=True, nogil=True)
def decode_dense_capsule(
    capsule: Bytes, following: Bytes, angles_rad: Reals, ranges_m: Reals
) -> int:
    """Decode one dense capsule (answer type 0x85) with its successor: 40 distances in mm.

    Args:
        capsule: uint8, shape ``(84,)``.
        following: uint8, shape ``(84,)``, the capsule sent right after it.
        angles_rad: Out, float64, shape ``(40,)``, bearings, counter-clockwise, in (-4 pi, 0].
        ranges_m: Out, float64, shape ``(40,)``, NaN for no return.

    Returns:
        As :func:`decode_capsule`.
    """
    start_q6, span_q6 = _turned_q6(capsule, following, 2)
    start_rad = np.deg2rad(start_q6 / 64.0)
    step_rad = np.deg2rad(span_q6 / 64.0 / DENSE_SAMPLES)
    for i in range(DENSE_SAMPLES):
        distance_mm = int(capsule[4 + 2 * i]) | int(capsule[5 + 2 * i]) << 8
        angles_rad[i] = -(start_rad + i * step_rad)
        ranges_m[i] = distance_mm / 1000.0 if distance_mm > 0 else np.nan
    return _before_mark(start_q6, span_q6, DENSE_SAMPLES)


@njit(cache=True, nogil=True)
def decode_ultra_dense_capsule(
    capsule: Bytes, following: Bytes, angles_rad: Reals, ranges_m: Reals, quality: Bytes
) -> int:
    """Decode one ultra-dense capsule (answer type 0x86) with its successor.

    Of the 20 bits of a sample the lowest two tell the scale, steps of 2, 3, 4 or 5 mm and where
    they begin; what the distance leaves is quality. The maker's SDK also averages
    neighbours that differ by less than 2 mm; measured values are left alone here.

    Args:
        capsule: uint8, shape ``(170,)``: time stamp, device status, start angle, samples.
        following: uint8, shape ``(170,)``, the capsule sent right after it.
        angles_rad: Out, float64, shape ``(64,)``, bearings, counter-clockwise, in (-4 pi, 0].
        ranges_m: Out, float64, shape ``(64,)``, NaN for no return.
        quality: Out, uint8, shape ``(64,)``, 0 to 255.

    Returns:
        As :func:`decode_capsule`.
    """
    start_q6, span_q6 = _turned_q6(capsule, following, 8)
    start_rad = np.deg2rad(start_q6 / 64.0)
    step_rad = np.deg2rad(span_q6 / 64.0 / ULTRA_DENSE_SAMPLES)
    for i in range(ULTRA_DENSE_SAMPLES):
        cabin = 10 + 5 * (i // 2)
        high = int(capsule[cabin + 4]) >> (4 * (i % 2)) & 0xF
        word = _word(capsule, cabin + 2 * (i % 2)) | high << 16
        scale = word & 0x3
        begins_mm = (0, 2046, 8187, 24_567)[scale]
        distance_q2 = (word & (0x1000 << scale) - 4) * (2 + scale) + (begins_mm << 2)
        quality[i] = word >> 12 + scale << scale
        angles_rad[i] = -(start_rad + i * step_rad)
        ranges_m[i] = distance_q2 / 4000.0 if distance_q2 > 0 else np.nan
    return _before_mark(start_q6, span_q6, ULTRA_DENSE_SAMPLES)


@njit(cache=True, nogil=True)
def decode_capsules(
    kind: int,
    data: Bytes,
    begins: Integers,
    size: int,
    angles_rad: Reals,
    ranges_m: Reals,
    quality: Bytes,
    before_mark: Integers,
) -> None:
    """Decode all capsules whose successor lies right behind them.

    Args:
        kind: Answer type.
        data: uint8, shape ``(n,)``, as :func:`find_capsules` was given it.
        begins: int64, shape ``(capsules,)``, what that found.
        size: Of a capsule, in bytes.
        angles_rad: Out, float64, shape ``(capsules, samples)``.
        ranges_m: Out, float64, the same shape.
        quality: Out, uint8, the same shape.
        before_mark: Out, int64, shape ``(capsules,)``, as :func:`decode_capsule` returns it; -1
            where the successor is missing, and nothing is decoded.
    """
    last = begins.shape[0] - 1
    for k in range(begins.shape[0]):
        if k == last or begins[k + 1] != begins[k] + size:
            before_mark[k] = -1
            continue
        capsule = data[begins[k] : begins[k] + size]
        following = data[begins[k + 1] : begins[k + 1] + size]
        if kind == ULTRA_DENSE:
            before_mark[k] = decode_ultra_dense_capsule(
                capsule, following, angles_rad[k], ranges_m[k], quality[k]
            )
            continue
        if kind == DENSE:
            before_mark[k] = decode_dense_capsule(capsule, following, angles_rad[k], ranges_m[k])
        elif kind == ULTRA:
            before_mark[k] = decode_ultra_capsule(capsule, following, angles_rad[k], ranges_m[k])
        else:
            before_mark[k] = decode_capsule(capsule, following, angles_rad[k], ranges_m[k])
        for i in range(angles_rad.shape[1]):
            quality[k, i] = 0 if np.isnan(ranges_m[k, i]) else PLAIN_QUALITY


def warm_up() -> list[str]:
    """Compile every kernel here, or load it from the cache, and return their names."""
    data = np.zeros(2 * CAPSULE_BYTES, np.uint8)
    data.setflags(write=False)
    whole, real = np.zeros(4, np.int64), np.zeros(4)
    decode_standard_nodes(data, whole, np.zeros(4, np.bool_), real, real.copy(), np.zeros(4, "u1"))
    find_capsules(data, whole, CAPSULE_BYTES)
    rows = np.zeros((2, MOST_SAMPLES))
    decode_capsules(
        DENSE, data, whole[:2], CAPSULE_BYTES, rows, rows.copy(), rows.astype("u1"), whole
    )
    frame = np.zeros(170, np.uint8)
    frame.setflags(write=False)
    decode_capsule(frame, frame, rows[0], rows[1])
    decode_ultra_capsule(frame[:132], frame[:132], rows[0], rows[1])
    decode_dense_capsule(frame, frame, rows[0], rows[1])
    decode_ultra_dense_capsule(frame, frame, rows[0], rows[1], np.zeros(MOST_SAMPLES, "u1"))
    return [
        "decode_standard_nodes",
        "find_capsules",
        "decode_capsule",
        "decode_ultra_capsule",
        "decode_dense_capsule",
        "decode_ultra_dense_capsule",
        "decode_capsules",
    ]
