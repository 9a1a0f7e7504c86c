import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hil.emulator.uart import UartTransmitter

BYTE_NS = 10 * 10**9 / 115_200


def uart(buffer_bytes=4096):
    return UartTransmitter(115_200, buffer_bytes, np.random.default_rng(1))


def test_a_byte_appears_when_its_stop_bit_has_passed():
    line = uart()
    line.send(b"ab", 1_000_000)
    assert line.sent(1_000_000 + int(BYTE_NS)) == b""
    assert line.sent(1_000_000 + int(BYTE_NS) + 1) == b"a"
    assert line.sent(1_000_000 + int(2 * BYTE_NS)) == b""
    assert line.sent(1_000_000 + int(2 * BYTE_NS) + 1) == b"b"


@given(
    bursts=st.lists(st.tuples(st.integers(0, 3_000_000), st.binary(max_size=40)), max_size=20),
    steps=st.lists(st.integers(0, 2_000_000), max_size=40),
)
def test_the_line_never_beats_its_baud_rate_and_loses_nothing(bursts, steps):
    line = uart()
    now_ns, arrivals, expected = 0, [], bytearray()
    for gap_ns, data in bursts:
        now_ns += gap_ns
        line.send(data, now_ns)
        expected += data
    clock_ns, received = 0, bytearray()
    for step in [*steps, 10**10]:
        clock_ns += step
        data = line.sent(clock_ns)
        received += data
        arrivals.append((clock_ns, len(data)))
    assert received == expected
    for i in range(len(arrivals)):
        for j in range(i + 1, len(arrivals)):
            window_ns = arrivals[j][0] - arrivals[i][0]
            carried = sum(count for _, count in arrivals[i + 1 : j + 1])
            assert carried <= window_ns / BYTE_NS + 1


def test_a_full_buffer_loses_what_comes_later_and_counts_it():
    line = uart(buffer_bytes=16)
    line.send(bytes(range(20)), 0)
    assert line.overrun_bytes == 4
    line.send(b"\xff" * 8, int(4 * BYTE_NS) + 1)
    assert line.overrun_bytes == 8
    assert line.sent(10**9) == bytes(range(16)) + b"\xff" * 4


def test_mute_swallows_and_garbage_spoils_but_neither_stops_time():
    line = uart()
    line.muted = True
    line.send(b"lost", 0)
    assert line.sent(10**9) == b""
    line.muted, line.garbage_rate = False, 0.5
    line.send(bytes(1000), 10**9)
    spoiled = np.frombuffer(line.sent(2 * 10**9), dtype=np.uint8)
    assert spoiled.size == 1000
    assert 400 < np.count_nonzero(spoiled) < 600
