"""RPLIDAR streams decoded in floating point, from the protocol document's description alone."""

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
