"""Roboteq replies."""

import numpy as np
from numba import njit

from drivers.kernels.layout import Bytes, Found, Integers

LONGEST_LINE = 128
MOST_VALUES = 4


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
    data = np.zeros(16, np.uint8)
    data.setflags(write=False)
    whole = np.zeros(4, np.int64)
    values = np.zeros((4, MOST_VALUES), np.int64)
    decode_replies(data, whole, whole.copy(), whole.copy(), whole.copy(), values)
    return ["decode_replies"]
