"""Byte ports: a UART, or a piece of memory that behaves like one.

Everything above this module sees bytes, ``PortUnavailable`` and ``PortLost``; what pyserial and the
tty layer say about a device that went away is translated here and nowhere else.
"""

import errno
import os
import termios
from typing import Protocol

import serial

from drivers.driver import PortSpec
from drivers.errors import PortLost, PortUnavailable

CHUNK_BYTES = 65_536
WHY_CLOSED = {
    errno.ENOENT: "no such device node",
    errno.EISDIR: "not a serial port",
    errno.ENODEV: "the device node is there, the device is not",
    errno.ENXIO: "the device node is there, the device is not",
    errno.EACCES: "permission denied",
    errno.EAGAIN: "in use by another program",
    errno.EBUSY: "in use by another program",
    errno.ENOTTY: "not a serial port",
    errno.EIO: "the other end is gone",
}


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


class SerialPort:
    """A tty, opened raw, 8N1 and exclusively; what was waiting in it is thrown away.

    Args:
        node: Device node; better one below ``/dev/serial/by-id`` than a number that moves.
        spec: Line rate and modem lines.

    Raises:
        PortUnavailable: It cannot be opened; the text says why.
    """

    def __init__(self, node: str, spec: PortSpec) -> None:
        self._node = node
        self._serial = serial.Serial(exclusive=True, timeout=0)
        self._serial.port = node
        self._serial.baudrate = spec.baud
        # Set before opening: opening asserts DTR, which stops the motor of some lidars. A pty has
        # no modem lines, and pyserial tolerates that here but not later.
        if spec.dtr is not None:
            self._serial.dtr = spec.dtr
        if spec.rts is not None:
            self._serial.rts = spec.rts
        try:
            self._serial.open()
            self._fd: int | None = self._serial.fileno()
            self._block_until_one_byte()
        except (OSError, ValueError, termios.error) as error:
            self._fd = None
            self._serial.close()
            raise PortUnavailable(f"{node}: {_reason(error)}", port=node) from error

    def _block_until_one_byte(self) -> None:
        """Set VMIN to 1: with pyserial's 0 an empty port reads the same as a hung-up one."""
        attributes = termios.tcgetattr(self._serial.fileno())
        attributes[6][termios.VMIN] = 1
        attributes[6][termios.VTIME] = 0
        termios.tcsetattr(self._serial.fileno(), termios.TCSANOW, attributes)

    def fileno(self) -> int | None:
        """The tty's descriptor, None once closed."""
        return self._fd

    def read(self) -> bytes:
        """Return what is there; see :class:`BytePort`."""
        if self._fd is None:
            raise PortLost(f"{self._node}: closed", port=self._node)
        try:
            data = os.read(self._fd, CHUNK_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise PortLost(f"{self._node}: {_reason(error)}", port=self._node) from error
        if not data:
            raise PortLost(f"{self._node}: the other end is gone", port=self._node)
        return data

    def write(self, data: bytes) -> None:
        """Queue bytes; see :class:`BytePort`. A port that takes no more counts as lost."""
        if self._fd is None:
            raise PortLost(f"{self._node}: closed", port=self._node)
        try:
            written = os.write(self._fd, data)
        except BlockingIOError:
            written = 0
        except OSError as error:
            raise PortLost(f"{self._node}: {_reason(error)}", port=self._node) from error
        if written < len(data):
            raise PortLost(f"{self._node}: takes no more bytes", port=self._node)

    def close(self) -> None:
        """Release the tty."""
        self._fd = None
        try:
            self._serial.close()
        except (OSError, termios.error):
            # The device is gone already; there is nothing left to release.
            return


def _reason(error: Exception) -> str:
    number = _errno(error)
    if number is None and error.__context__ is not None:
        # pyserial wraps what tcgetattr said into an error without a number.
        number = _errno(error.__context__)
    if number is None:
        return "cannot be set up as a serial port"
    return WHY_CLOSED.get(number) or os.strerror(number)


def _errno(error: BaseException) -> int | None:
    if isinstance(error, termios.error) and error.args:
        return int(error.args[0])
    number: int | None = getattr(error, "errno", None)
    return number


class _Line:
    """One direction of a memory port."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.cut = False


class MemoryPort:
    """One end of a serial line in memory; made in pairs, for a bench under a simulated clock."""

    def __init__(self, incoming: _Line, outgoing: _Line) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    @classmethod
    def pair(cls) -> tuple["MemoryPort", "MemoryPort"]:
        """Return the device's end and the host's end of a new line."""
        up, down = _Line(), _Line()
        return cls(down, up), cls(up, down)

    def fileno(self) -> int | None:
        """Memory has no descriptor."""
        return None

    def read(self) -> bytes:
        """Return what the other end wrote; see :class:`BytePort`."""
        if self._incoming.cut:
            raise PortLost("memory: the other end is gone", port="memory")
        data = bytes(self._incoming.buffer)
        self._incoming.buffer.clear()
        return data

    def write(self, data: bytes) -> None:
        """Hand bytes to the other end; see :class:`BytePort`."""
        if self._outgoing.cut:
            raise PortLost("memory: the other end is gone", port="memory")
        self._outgoing.buffer += data

    def close(self) -> None:
        """Cut the line, as pulling the plug does; either end may."""
        self._incoming.cut = self._outgoing.cut = True
