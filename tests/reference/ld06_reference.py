"""LD06 frames decoded from the manual's description alone."""

import struct
from typing import NamedTuple


class Frame(NamedTuple):
    offset: int
    speed_dps: int
    start_deg: float
    end_deg: float
    stamp_ms: int
    points: list[tuple[float, int, int]]  # clockwise angle in degrees, mm, intensity


def crc8(data: bytes) -> int:
    """Long division by x^8 + x^6 + x^3 + x^2 + 1, over the message as one number."""
    value = int.from_bytes(data, "big") << 8
    for bit in range(8 * len(data) + 7, 7, -1):
        if value >> bit & 1:
            value ^= 0x14D << (bit - 8)
    return value


def frame(
    start_deg: float,
    end_deg: float,
    samples: list[tuple[int, int]],
    stamp_ms: int = 0,
    speed_dps: int = 3600,
) -> bytes:
    """Return a frame of twelve samples ``(mm, intensity)``."""
    body = struct.pack("<BBHH", 0x54, 0x2C, speed_dps, round(start_deg * 100) % 36000)
    body += b"".join(struct.pack("<HB", *sample) for sample in samples)
    body += struct.pack("<HH", round(end_deg * 100) % 36000, stamp_ms)
    return body + bytes([crc8(body)])


def find_frames(stream: bytes) -> tuple[list[Frame], int, int]:
    """Return the sound frames of a damaged stream, the noise bytes, and failed checks."""
    frames, noise, failed, at = [], 0, 0, 0
    while len(stream) - at >= 47:
        data = stream[at : at + 47]
        begins = data.startswith(b"\x54\x2c")
        if not begins or crc8(data[:46]) != data[46]:
            noise, failed, at = noise + 1, failed + begins, at + 1
            continue
        speed, start = struct.unpack_from("<HH", data, 2)
        end, stamp = struct.unpack_from("<HH", data, 42)
        start_deg, end_deg = start % 36000 / 100, end % 36000 / 100
        step_deg = (end_deg - start_deg) % 360.0 / 11
        points = [
            (start_deg + i * step_deg, *struct.unpack_from("<HB", data, 6 + 3 * i))
            for i in range(12)
        ]
        frames.append(Frame(at, speed, start_deg, end_deg, stamp, points))
        at += 47
    return frames, noise, failed
