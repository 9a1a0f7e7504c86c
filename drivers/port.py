"""Byte ports. (contract only, see BytePort)"""

from typing import Protocol


class BytePort(Protocol):
    """A full-duplex byte stream that never blocks."""

    def fileno(self) -> int | None:
        """The descriptor to select on, or None where there is none (memory)."""

    def read(self) -> bytes:
        """All bytes that are there now, possibly none. Raises PortLost when the port is gone."""

    def write(self, data: bytes) -> None:
        """Queue bytes for the device. Raises PortLost when the port is gone."""

    def close(self) -> None:
        """Release the port; safe to call twice."""
