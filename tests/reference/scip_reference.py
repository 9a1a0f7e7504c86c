"""SCIP 2.0 written and read from the specification alone, in plain Python."""

import struct


def summed(line: bytes) -> bytes:
    """Return a line with its sum character: the low six bits of the sum of its bytes, plus 30h."""
    return line + bytes([sum(line) % 64 + 0x30])


def encoded(value: int, characters: int) -> bytes:
    """Return a value in six-bit characters."""
    digits = []
    for _ in range(characters):
        value, digit = divmod(value, 64)
        digits.append(digit + 0x30)
    return bytes(reversed(digits))


def decoded(characters: bytes) -> int:
    value = 0
    for character in characters:
        value = value * 64 + character - 0x30
    return value


def data_lines(values: list[int]) -> bytes:
    """Return three characters a value in lines of 64, each with its sum."""
    text = b"".join(encoded(value, 3) for value in values)
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return b"".join(summed(line) + b"\n" for line in lines)


def scan(echo: bytes, stamp_ms: int, values: list[int], status: bytes = b"99") -> bytes:
    """Return a whole reply with a scan."""
    head = echo + b"\n" + summed(status) + b"\n" + summed(encoded(stamp_ms, 4)) + b"\n"
    return head + data_lines(values) + b"\n"


def values_of(data: bytes, count: int) -> list[int] | None:
    """Return the values of data lines, None where anything is wrong with them."""
    if not data.endswith(b"\n"):
        return None
    text = b""
    lines = data[:-1].split(b"\n")
    for i, line in enumerate(lines):
        body = line[:-1]
        wanted = 64 if i < len(lines) - 1 else 3 * count - 64 * i
        legal = all(0x30 <= character < 0x70 for character in body)
        if len(body) != wanted or not legal or summed(body) != line:
            return None
        text += body
    return [decoded(text[i : i + 3]) for i in range(0, len(text), 3)]


def reply(echo: str, status: str, lines: list[str] | None = None) -> bytes:
    """Return a reply in text; the sum of a line ``KEY:value`` leaves its semicolon out."""
    told = [line.encode() + b";" + summed(line.encode())[-1:] for line in lines or []]
    return b"\n".join([echo.encode(), summed(status.encode()), *told]) + b"\n\n"


def float32_metres(mm: int, nearest_mm: int, farthest_mm: int) -> float:
    """Return a distance as the driver gives it, 0 for none."""
    if not nearest_mm <= mm <= farthest_mm:
        return 0.0
    return float(struct.unpack("f", struct.pack("f", mm / 1000.0))[0])
