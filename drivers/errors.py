"""Errors of the device side, and the base that every error of the product shares.

::

    HaulierError
     └─ DriverError
         ├─ PortUnavailable   the port cannot be opened: missing node, no permission, in use
         ├─ PortLost          the port was open and is gone: unplugged, adapter reset
         ├─ StreamStale       the port is open, but the device stopped sending what it must
         ├─ DeviceFault       the device itself reports a fault
         ├─ DriverUnknown     no driver of that name is installed
         └─ CaptureUnusable   a file of captured bytes cannot be written or read

An exception means a change of state. A bad frame or a lost byte is a counted value, see
``drivers.driver.CodecStats``.
"""

from enum import StrEnum
from typing import ClassVar


class Level(StrEnum):
    """VDA 5050 ``errorLevel`` (2.1, section 6.10.6): may the robot go on by itself?"""

    WARNING = "WARNING"
    FATAL = "FATAL"


class HaulierError(Exception):
    """Base of all errors. Each class names itself to machines, to the platform and to people.

    Attributes:
        code: Stable upper-case name, used in status, logs and ``haulier explain``.
        vda_type: ``errorType`` under which the platform sees it.
        level: ``errorLevel`` under which the platform sees it.
        hint: What a technician should do about it.
        exit_code: What the command exits with when this error ends it (BSD sysexits).
    """

    code: ClassVar[str] = "HAULIER_ERROR"
    vda_type: ClassVar[str] = "internalError"
    level: ClassVar[Level] = Level.FATAL
    hint: ClassVar[str] = "Read the log around this moment: journalctl -u haulier."
    exit_code: ClassVar[int] = 70

    def __init__(self, detail: str, **context: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.context = context


class DriverError(HaulierError):
    """Base of everything that goes wrong between the wire and a measurement."""

    code = "DRIVER_ERROR"
    vda_type = "deviceError"
    exit_code = 69


class PortUnavailable(DriverError):
    """The port cannot be opened.

    Example scenarios: the device node is missing, the user is not in group ``dialout``, another
    process holds the port.
    """

    code = "PORT_UNAVAILABLE"
    vda_type = "deviceUnavailable"
    hint = (
        "Check that the cable is plugged in and the node exists (ls -l /dev/serial/by-id), that "
        "the service user is in group dialout, and that no other program holds it (fuser -v PORT)."
    )


class PortLost(DriverError):
    """An open port went away.

    Example scenarios: the USB cable was pulled, the adapter browned out, the hub reset.
    """

    code = "PORT_LOST"
    vda_type = "deviceLost"
    hint = (
        "The device was unplugged or lost power. Plug it back in: it is picked up by itself. If "
        "it repeats, look for USB resets in the kernel log (journalctl -k) and check the supply."
    )


class StreamStale(DriverError):
    """The port is open but the device stopped answering or streaming.

    Example scenarios: the lidar's motor is blocked, the baud rate is wrong, the line is cut
    behind the adapter.
    """

    code = "STREAM_STALE"
    vda_type = "deviceSilent"
    hint = (
        "The port opens but the device does not send. Check its power, its motor, the baud rate "
        "in the configuration and the cable behind the adapter."
    )


class DeviceFault(DriverError):
    """The device reports a fault of its own."""

    code = "DEVICE_FAULT"
    vda_type = "deviceFault"
    hint = "Read the fault in the error text and in the maker's manual; clear it at the device."


class DriverUnknown(DriverError):
    """No driver of that name is installed, or it cannot be imported."""

    code = "DRIVER_UNKNOWN"
    vda_type = "configurationError"
    hint = "List what is installed with 'haulier driver list'; install the maker's package."
    exit_code = 78


class CaptureUnusable(DriverError):
    """A file of captured bytes cannot be written or read.

    Example scenarios: the file exists already, the disk is read-only, it is some other file.
    """

    code = "CAPTURE_UNUSABLE"
    vda_type = "recordingError"
    level = Level.WARNING
    hint = "Name a new file on a disk that can be written, or one that was captured here."
    exit_code = 65
