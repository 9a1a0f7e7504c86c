"""RPLIDAR streams decoded in floating point, from the protocol document's description alone."""

from itertools import pairwise
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
