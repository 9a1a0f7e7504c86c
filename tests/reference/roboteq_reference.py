"""Roboteq replies read with a regular expression, from the manual's description alone."""

import re
from typing import NamedTuple

REPLY = re.compile(rb"([A-Z]{1,4})=(-?[0-9]{1,10}(?::-?[0-9]{1,10}){0,3})")
LONGEST_LINE = 128


class Line(NamedTuple):
    begin: int
    end: int
    name: bytes
    values: tuple[int, ...] | None


def read_lines(stream: bytes) -> tuple[list[Line], int]:
    """Return the whole lines of a stream and how many bytes of endless ones were dropped."""
    lines, dropped, begin = [], 0, 0
    for end, byte in enumerate(stream):
        if byte == 13:
            lines.append(read_line(stream, begin, end))
            begin = end + 1
        elif end + 1 - begin > LONGEST_LINE:
            dropped += end + 1 - begin
            begin = end + 1
    return lines, dropped


def read_line(stream: bytes, begin: int, end: int) -> Line:
    text = stream[begin:end]
    if text in (b"+", b"-"):
        return Line(begin, end, text, ())
    if reply := REPLY.fullmatch(text):
        values = tuple(int(value) for value in reply[2].split(b":"))
        return Line(begin, end, reply[1], values)
    return Line(begin, end, b"", None)
