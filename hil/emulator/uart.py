"""The transmitting half of a UART: bytes leave it one by one, at the pace of the line."""

from collections import deque
from typing import Final

import numpy as np

# 8N1: a start bit, eight data bits, a stop bit.
_BITS_PER_BYTE: Final = 10
_BIT_NS_PER_S: Final = _BITS_PER_BYTE * 1_000_000_000


class UartTransmitter:
    """A buffer that the line drains; what does not fit is lost, as in the device.

    Args:
        baud: Line rate in bit/s.
        buffer_bytes: Room in the device's transmit buffer.
        rng: Where garbage comes from while that fault is on.

    Attributes:
        muted: Bytes leave the buffer but never reach the line (a broken wire).
        garbage_rate: Probability that a byte is replaced by a random one (a bad ground).
        sent_bytes: Bytes that reached the line.
        overrun_bytes: Bytes that found the buffer full.
    """

    def __init__(self, baud: int, buffer_bytes: int, rng: np.random.Generator) -> None:
        self.baud = baud
        self.muted = False
        self.garbage_rate = 0.0
        self.sent_bytes = 0
        self.overrun_bytes = 0
        self._buffer_bytes = buffer_bytes
        self._rng = rng
        # Bursts without a pause: the time of the first start bit, and the bytes.
        self._bursts: deque[tuple[int, bytearray]] = deque()
        self._taken = 0
        self._queued_bytes = 0

    def send(self, data: bytes, ready_ns: int) -> None:
        """Queue bytes that the device has ready at a time, never earlier than the last call's."""
        room = self._buffer_bytes - self._backlog(ready_ns)
        accepted = data[: max(room, 0)]
        self.overrun_bytes += len(data) - len(accepted)
        if not accepted:
            return
        self._queued_bytes += len(accepted)
        if self._bursts:
            start_ns, burst = self._bursts[-1]
            if self._left_ns(start_ns, len(burst)) >= ready_ns:
                burst += accepted
                return
        self._bursts.append((ready_ns, bytearray(accepted)))

    def sent(self, now_ns: int) -> bytes:
        """Return the bytes whose stop bit has passed since the last call, faults applied."""
        left = bytearray()
        while self._bursts:
            start_ns, burst = self._bursts[0]
            gone = self._gone(start_ns, burst, now_ns)
            left += burst[self._taken : gone]
            if gone < len(burst):
                self._taken = max(gone, self._taken)
                break
            self._bursts.popleft()
            self._taken = 0
        self._queued_bytes -= len(left)
        if self.muted:
            return b""
        self.sent_bytes += len(left)
        return self._spoiled(bytes(left)) if self.garbage_rate > 0.0 else bytes(left)

    def clear(self) -> None:
        """Forget what has not left yet."""
        self._bursts.clear()
        self._taken = 0
        self._queued_bytes = 0

    def _left_ns(self, start_ns: int, count: int) -> int:
        """Return when the last of ``count`` bytes of a burst has left, rounded up."""
        return start_ns - (-count * _BIT_NS_PER_S // self.baud)

    def _gone(self, start_ns: int, burst: bytearray, now_ns: int) -> int:
        return min(max((now_ns - start_ns) * self.baud // _BIT_NS_PER_S, 0), len(burst))

    def _backlog(self, now_ns: int) -> int:
        gone = sum(self._gone(start_ns, burst, now_ns) for start_ns, burst in self._bursts)
        return self._queued_bytes - max(gone - self._taken, 0)

    def _spoiled(self, data: bytes) -> bytes:
        wire = np.frombuffer(data, dtype=np.uint8).copy()
        hit = self._rng.random(wire.size) < self.garbage_rate
        wire[hit] = self._rng.integers(0, 256, int(hit.sum()), dtype=np.uint8)
        return wire.tobytes()
