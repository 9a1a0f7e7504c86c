"""Hokuyo SCIP 2.0: distances in six-bit characters."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from drivers.kernels.layout import Bytes

LINE_CHARACTERS = 64
DISTANCE_CHARACTERS = 3
FIRST_CHARACTER = 0x30
LAST_CHARACTER = 0x6F
LINE_FEED = 10
INTENSITY_SHIFT = 6


@njit(cache=True, nogil=True)
def decode_scan(
    data: Bytes,
    nearest_mm: int,
    farthest_mm: int,
    with_intensity: bool,
    ranges_m: NDArray[np.float32],
    quality: Bytes,
) -> bool:
    """Decode the data lines of a scan with three characters a value.

    Hokuyo, "Communication protocol specification for SCIP 2.0" (C-42-03320B), sections 6 and 8:
    lines of 64 characters, each followed by its sum and a line feed, the last one shorter; six bits
    a character, the most significant first; values run over the ends of lines. A value below the
    shortest distance is an error code.

    Args:
        data: uint8, shape ``(n,)``, from the first data line to the line feed of the last one.
        nearest_mm: DMIN.
        farthest_mm: DMAX.
        with_intensity: Distance and intensity alternate.
        ranges_m: Out, float32, shape ``(rays,)``, NaN for no return.
        quality: Out, uint8, intensity / 64, at most 255; 0 without it.

    Returns:
        Whether length, every sum and every character are right; else the columns mean nothing.
    """
    values = ranges_m.shape[0] * (2 if with_intensity else 1)
    characters = values * DISTANCE_CHARACTERS
    lines = (characters + LINE_CHARACTERS - 1) // LINE_CHARACTERS
    if data.shape[0] != characters + 2 * lines:
        return False
    at = total = value = 0
    for i in range(characters):
        character = int(data[at])
        at += 1
        if character < FIRST_CHARACTER or character > LAST_CHARACTER:
            return False
        total += character
        value = value << 6 | character - FIRST_CHARACTER
        if i % DISTANCE_CHARACTERS == DISTANCE_CHARACTERS - 1:
            place = i // DISTANCE_CHARACTERS
            if not with_intensity:
                seen = nearest_mm <= value <= farthest_mm
                ranges_m[place] = value / 1000.0 if seen else np.nan
                quality[place] = 0
            elif place % 2 == 0:
                seen = nearest_mm <= value <= farthest_mm
                ranges_m[place // 2] = value / 1000.0 if seen else np.nan
            else:
                quality[place // 2] = min(value >> INTENSITY_SHIFT, 255)
            value = 0
        if (i + 1) % LINE_CHARACTERS == 0 or i + 1 == characters:
            if data[at] != (total & 0x3F) + FIRST_CHARACTER or data[at + 1] != LINE_FEED:
                return False
            at += 2
            total = 0
    return True


def warm_up() -> list[str]:
    """Compile every kernel here, or load it from the cache, and return their names."""
    data = np.zeros(5, np.uint8)
    data.setflags(write=False)
    decode_scan(data, 20, 60_000, False, np.zeros(1, np.float32), np.zeros(1, np.uint8))
    return ["decode_scan"]
