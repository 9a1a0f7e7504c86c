"""The bytes of a stream that are not decoded yet, and where in the stream they stand."""

import numpy as np
from numpy.typing import NDArray


class ByteWindow:
    """A growing buffer over a byte stream, as a flat array for the decoding kernels.

    A decoder looks at :attr:`pending`, takes whole frames off its front with :meth:`consume`, and
    leaves the partial frame at its end. The time at which any byte arrived follows from the stamp
    of its chunk and the line rate.

    Args:
        byte_ns: Time of one byte on the line; 0 in tests that know no line.
    """

    def __init__(self, byte_ns: float) -> None:
        self._byte_ns = byte_ns
        self._pending = np.empty(0, np.uint8)
        self._stamp_ns = 0

    @property
    def pending(self) -> NDArray[np.uint8]:
        """Bytes not consumed yet, oldest first."""
        return self._pending

    def append(self, data: bytes, received_ns: int) -> None:
        """Add a chunk whose last byte arrived at ``received_ns``."""
        chunk = np.frombuffer(data, np.uint8)
        self._pending = np.concatenate((self._pending, chunk)) if self._pending.size else chunk
        # Always read-only, so that each kernel is compiled for one kind of array only.
        self._pending.setflags(write=False)
        self._stamp_ns = received_ns

    def consume(self, count: int) -> None:
        """Forget the first ``count`` bytes."""
        self._pending = self._pending[count:]

    def clear(self) -> None:
        """Forget all of them."""
        self._pending = self._pending[:0]

    def arrival_ns(self, end: int) -> int:
        """Return when the byte before offset ``end`` of :attr:`pending` arrived.

        Only the newest chunk has a stamp of its own, and that is enough: a frame is decoded as soon
        as its last byte is there.
        """
        return self._stamp_ns - round((self._pending.size - end) * self._byte_ns)
