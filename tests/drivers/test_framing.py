import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drivers.checksum import xor8
from drivers.framing import ByteWindow


def test_xor8_has_its_published_values():
    assert xor8(b"123456789") == 0x31
    assert xor8(bytes.fromhex("a5820500000000 00")) == 0x22
    assert xor8(bytes.fromhex("a5f0029402")) == 0xC1


def test_pending_bytes_are_read_only_from_the_first_chunk_on():
    window = ByteWindow(0.0)
    for chunk in (b"ab", b"", b"cd"):
        window.append(chunk, 0)
        assert window.pending.dtype == np.uint8
        assert not window.pending.flags.writeable
        assert window.pending.flags.c_contiguous


@given(st.lists(st.tuples(st.binary(max_size=9), st.integers(0, 9)), max_size=20))
def test_the_window_is_what_came_less_what_was_consumed(steps):
    window, expected = ByteWindow(1.0), b""
    for chunk, count in steps:
        window.append(chunk, 0)
        expected += chunk
        window.consume(count)
        expected = expected[count:]
        assert window.pending.tobytes() == expected
    window.clear()
    assert window.pending.size == 0


def test_bytes_arrived_one_by_one_at_the_pace_of_the_line():
    window = ByteWindow(86_805.6)
    window.append(b"abc", 1_000_000)
    window.append(b"de", 2_000_000)
    assert window.arrival_ns(5) == 2_000_000
    assert window.arrival_ns(4) == 2_000_000 - 86_806
    window.consume(4)
    assert window.arrival_ns(1) == 2_000_000
