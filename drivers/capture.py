"""Raw bytes of a device on disk, with the time of each chunk.

A capture is ``HLCAP 1``, a line feed, and then one record per chunk, little-endian:

======  ==========  =====================================================
offset  type        what
======  ==========  =====================================================
0       char        ``R`` received from the device, ``S`` sent to it
1       int64       monotonic time in ns at which the chunk was moved
9       uint32      number of bytes of data
13      uint32      CRC-32 (zlib) of the 13 bytes before and of the data
17      bytes       the data
======  ==========  =====================================================

A recorder may be killed at any byte, so the first record that is cut short or damaged ends the
capture; everything before it is good.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType

from drivers.errors import CaptureUnusable
from drivers.port import BytePort

MAGIC = b"HLCAP 1\n"
HEAD = struct.Struct("<cqI")
CHECK = struct.Struct("<I")


class Direction(StrEnum):
    """Which way a chunk went, seen from the host."""

    RECEIVED = "R"
    SENT = "S"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes that went over a port in one piece."""

    stamp_ns: int
    direction: Direction
    data: bytes


class CaptureFile:
    """A capture being written; outlives the port, so that it spans reconnects.

    A disk that fails must not stop a robot: what cannot be written is counted and left out.

    Args:
        path: A new file.

    Attributes:
        lost_bytes: Data that could not be written.

    Raises:
        CaptureUnusable: The file exists or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.lost_bytes = 0
        self._is_whole = True
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise CaptureUnusable(f"{path}: {error.strerror}", path=str(path)) from error
        self._put(MAGIC)

    def write(self, chunk: Chunk) -> None:
        """Append a chunk."""
        if not self._put(_record(chunk)):
            self.lost_bytes += len(chunk.data)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._file.close()

    def __enter__(self) -> "CaptureFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _put(self, record: bytes) -> bool:
        """Write a record at once; nothing can be read behind one that was cut short."""
        if self._is_whole:
            try:
                self._is_whole = self._file.write(record) == len(record)
            except (OSError, ValueError):
                self._is_whole = False
        return self._is_whole


class CapturePort:
    """A port that writes down everything that goes through another one.

    Args:
        port: The port that does the work; closed with this one.
        capture: Where the chunks go; stays open.
        now_ns: Monotonic clock for the stamps.
    """

    def __init__(self, port: BytePort, capture: CaptureFile, now_ns: Callable[[], int]) -> None:
        self._port = port
        self._capture = capture
        self._now_ns = now_ns

    def fileno(self) -> int | None:
        """The other port's descriptor."""
        return self._port.fileno()

    def read(self) -> bytes:
        """Return what is there; see :class:`drivers.port.BytePort`."""
        data = self._port.read()
        if data:
            self._capture.write(Chunk(self._now_ns(), Direction.RECEIVED, data))
        return data

    def write(self, data: bytes) -> None:
        """Queue bytes; see :class:`drivers.port.BytePort`."""
        self._port.write(data)
        self._capture.write(Chunk(self._now_ns(), Direction.SENT, data))

    def close(self) -> None:
        """Release the other port."""
        self._port.close()


def read_capture(path: Path) -> Iterator[Chunk]:
    """Yield the chunks of a capture in the order they were moved.

    Raises:
        CaptureUnusable: The file cannot be read or is no capture.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
            if not MAGIC.startswith(magic):
                raise CaptureUnusable(f"{path}: not a capture", path=str(path))
            while len(head := file.read(HEAD.size + CHECK.size)) == HEAD.size + CHECK.size:
                kind, stamp_ns, size = HEAD.unpack_from(head)
                data = file.read(size)
                (check,) = CHECK.unpack_from(head, HEAD.size)
                if zlib.crc32(data, zlib.crc32(head[: HEAD.size])) != check or kind not in b"RS":
                    return
                yield Chunk(stamp_ns, Direction(kind.decode("ascii")), data)
    except OSError as error:
        raise CaptureUnusable(f"{path}: {error.strerror}", path=str(path)) from error


def _record(chunk: Chunk) -> bytes:
    head = HEAD.pack(chunk.direction.encode("ascii"), chunk.stamp_ns, len(chunk.data))
    return head + CHECK.pack(zlib.crc32(chunk.data, zlib.crc32(head))) + chunk.data
