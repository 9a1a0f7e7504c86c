"""RPLIDAR streams decoded in floating point, from the protocol document's description alone."""

import math
import struct
from functools import reduce
from itertools import pairwise
from operator import xor
from typing import NamedTuple


class Point(NamedTuple):
    angle_deg: float
    distance_m: float
    start: bool


def standard_points(stream: bytes) -> list[Point]:
    """Decode 5-byte nodes; the stream must begin at one."""
    points = []
    for i in range(0, len(stream) - 4, 5):
        flags, low, high, near, far = stream[i : i + 5]
        assert (flags & 1) != (flags >> 1 & 1), "S and its complement"
        assert low & 1, "check bit"
        angle_deg = (high << 7 | low >> 1) / 64.0
        assert angle_deg < 360.0
        points.append(Point(angle_deg, (far << 8 | near) / 4000.0, bool(flags & 1)))
    return points


def express_points(stream: bytes) -> list[Point]:
    """Decode 84-byte capsules; ``start`` marks a sample after which the encoder wraps."""
    capsules = [stream[i : i + 84] for i in range(0, len(stream) - 83, 84)]
    points = []
    for capsule, following in pairwise(capsules):
        check = 0
        for byte in capsule[2:]:
            check ^= byte
        assert capsule[0] == 0xA0 + check % 16, "first sync and low nibble"
        assert capsule[1] == 0x50 + check // 16, "second sync and high nibble"
        start_deg = (int.from_bytes(capsule[2:4], "little") & 0x7FFF) / 64.0
        next_deg = (int.from_bytes(following[2:4], "little") & 0x7FFF) / 64.0
        step_deg = ((next_deg - start_deg) % 360.0) / 32.0
        for k in range(32):
            cabin = capsule[4 + 5 * (k // 2) : 9 + 5 * (k // 2)]
            word = int.from_bytes(cabin[2 * (k % 2) : 2 * (k % 2) + 2], "little")
            nibble = cabin[4] >> 4 if k % 2 else cabin[4] & 0xF
            offset_deg = ((word & 3) << 4 | nibble) / 8.0
            encoder_deg = start_deg + k * step_deg
            wraps = encoder_deg % 360.0 + step_deg >= 360.0
            angle_deg = (encoder_deg - offset_deg) % 360.0
            points.append(Point(angle_deg, (word & 0xFFFC) / 4000.0, wraps))
    return points


def _angles_deg(capsule: bytes, following: bytes, at: int, samples: int) -> list[float]:
    """Spread the way to the next capsule's start angle evenly."""
    start_deg, next_deg = (
        (int.from_bytes(frame[at : at + 2], "little") & 0x7FFF) / 64.0
        for frame in (capsule, following)
    )
    turned_deg = next_deg - start_deg + (360.0 if next_deg < start_deg else 0.0)
    return [start_deg + k * turned_deg / samples for k in range(samples)]


def dense_samples(capsule: bytes, following: bytes) -> list[tuple[float, float]]:
    """Decode 40 distances in mm; returns angle (deg, clockwise) and distance (m) of each."""
    distances = struct.unpack_from("<40H", capsule, 4)
    angles = _angles_deg(capsule, following, 2, 40)
    return [(angle, mm / 1000.0) for angle, mm in zip(angles, distances, strict=True)]


def ultra_dense_samples(capsule: bytes, following: bytes) -> list[tuple[float, float, int]]:
    """Decode 64 samples of 20 bits: as before, and the quality."""
    samples = []
    for k, angle in enumerate(_angles_deg(capsule, following, 8, 64)):
        pair = int.from_bytes(capsule[10 + 5 * (k // 2) : 15 + 5 * (k // 2)], "little")
        low, high = (pair & 0xFFFF, pair >> 32 & 15) if k % 2 == 0 else (
            pair >> 16 & 0xFFFF, pair >> 36,
        )  # fmt: skip
        word = high * 65_536 + low
        scale, rest = word % 4, word // 4
        begins_mm, bits = (0, 2046, 8187, 24_567)[scale], 10 + scale
        distance_mm = begins_mm + (2 + scale) * (rest % 2**bits)
        samples.append((angle, distance_mm / 1000.0, (rest >> bits) << scale))
    return samples


def _signed_10(bits: int) -> int | None:
    """Return ten bits with a sign; None for the two that mean nothing."""
    value = bits - 1024 if bits >= 512 else bits
    return None if value in (-512, 511) else value


def _scaled_mm(bits: int) -> tuple[int, int]:
    """Return what twelve bits of variable scale mean in mm, and the step there."""
    table = [(0, 0, 1), (512, 512, 2), (1280, 2048, 4), (1792, 4096, 8), (3328, 16_384, 16)]
    base, begins_mm, step = max(row for row in table if row[0] <= bits)
    return begins_mm + (bits - base) * step, step


def ultra_samples(capsule: bytes, following: bytes) -> list[tuple[float, float]]:
    """Decode 96 samples in threes, with the parallax of a triangulating device taken off."""
    words = [*struct.unpack_from("<32I", capsule, 4), *struct.unpack_from("<I", following, 4)]
    distances_mm: list[int] = []
    for word, after in pairwise(words):
        major, next_major = _scaled_mm(word % 4096), _scaled_mm(after % 4096)
        near, far = _signed_10(word >> 12 & 1023), _signed_10(word >> 22)
        base, step = major if major[0] else next_major
        distances_mm.append(major[0])
        distances_mm.append(0 if near is None else max(0, base + near * step))
        distances_mm.append(0 if far is None else max(0, next_major[0] + far * next_major[1]))
    samples = []
    for encoder_deg, mm in zip(_angles_deg(capsule, following, 2, 96), distances_mm, strict=True):
        behind_deg = 7.5
        if mm >= 50:
            k = 98_361 // (4 * mm)
            behind_deg = 8.0 - math.degrees((64 * k + k**3 // 98_304) / 65_536)
        samples.append((encoder_deg - behind_deg, mm / 1000.0))
    return samples


def find_nodes(stream: bytes) -> tuple[list[tuple[int, Point, int]], int]:
    """Return ``(offset, point, quality)`` of each node of a damaged stream, and the noise bytes."""
    nodes, noise, at = [], 0, 0
    while len(stream) - at >= 5:
        flags, word, distance = stream[at], *struct.unpack_from("<HH", stream, at + 1)
        begins, begins_not, check = flags % 2, flags // 2 % 2, word % 2
        angle_deg = word // 2 / 64.0
        if begins == begins_not or not check or angle_deg >= 360.0:
            noise, at = noise + 1, at + 1
            continue
        nodes.append((at, Point(angle_deg, distance / 4000.0, bool(begins)), flags // 4))
        at += 5
    return nodes, noise


def find_sound_capsules(stream: bytes) -> tuple[list[int], int, int]:
    """Return offsets of sound capsules in a damaged stream, noise bytes, and failed checks."""
    offsets, noise, failed, at = [], 0, 0, 0
    while len(stream) - at >= 84:
        synced = (stream[at] & 0xF0, stream[at + 1] & 0xF0) == (0xA0, 0x50)
        told = stream[at] % 16 + stream[at + 1] % 16 * 16
        sound = synced and reduce(xor, stream[at + 2 : at + 84]) == told
        if sound:
            offsets.append(at)
            at += 84
        else:
            failed += synced
            noise, at = noise + 1, at + 1
    return offsets, noise, failed


def capsule(start_deg: float, samples: list[tuple[int, int]]) -> bytes:
    """Return an express capsule of 32 samples ``(distance in mm, offset in 1/8 degree)``."""
    body = bytearray(struct.pack("<H", round(start_deg * 64.0)))
    for (mm_1, offset_1), (mm_2, offset_2) in zip(samples[::2], samples[1::2], strict=True):
        body += struct.pack("<HH", mm_1 * 4 | offset_1 >> 4, mm_2 * 4 | offset_2 >> 4)
        body.append(offset_1 & 15 | (offset_2 & 15) << 4)
    check = reduce(xor, body)
    return bytes([0xA0 | check & 15, 0x50 | check >> 4]) + bytes(body)


def node(start: bool, quality: int, angle_deg: float, mm: float) -> bytes:
    """Return a standard node."""
    word = round(angle_deg * 64.0) << 1 | 1
    return struct.pack("<BHH", quality << 2 | (1 if start else 2), word, round(mm * 4.0))
