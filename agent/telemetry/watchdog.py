"""Tells systemd how the service is: sd_notify(3), one datagram a message."""

import os
import socket


class ServiceManager:
    """The notification socket of the service manager; does nothing where there is none."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        variables = os.environ if environment is None else environment
        address = variables.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            # Called from the control loop: rather lose a message than wait for a busy manager.
            self._socket.setblocking(False)
            # A leading @ stands for the abstract namespace.
            self._address = "\0" + address[1:] if address.startswith("@") else address
        # Twice as often as systemd asks for, as sd_watchdog_enabled(3) recommends.
        self.watchdog_period_ns = int(variables.get("WATCHDOG_USEC", "0")) * 1000 // 2

    def ready(self, status: str) -> None:
        """Report that start-up is over."""
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def status(self, text: str) -> None:
        """Set the line that ``systemctl status`` shows."""
        self._send(f"STATUS={_one_line(text)}")

    def alive(self) -> None:
        """Feed the watchdog; to be called from the control loop, after a good cycle only."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Report that shutdown has begun."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Release the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError:
            # The manager went away or its queue is full; the robot has other worries.
            return


def _one_line(text: str) -> str:
    """Return text that cannot be mistaken for another assignment."""
    return " ".join(text.split())
