"""A network that can fall silent: TCP through a process that stops forwarding and says nothing."""

import select
import socket
import threading
from types import TracebackType
from typing import Self

from hil.broker import LOOPBACK

READ_BYTES = 65_536
POLL_S = 0.05
CONNECT_S = 1.0


class SilentProxy:
    """Forwards connections to a port; while cut, bytes both ways vanish, as packets in a dead zone.

    A connection that was cut stays dead, as one does whose packets were lost for good; new ones
    are taken, and answered only after :meth:`heal`.

    Args:
        target: Port on this computer.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._server = socket.create_server((LOOPBACK, 0))
        self.port: int = self._server.getsockname()[1]
        self._peers: dict[socket.socket, socket.socket] = {}
        self._dead: list[socket.socket] = []
        self._is_cut = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="silent proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        for line in (self._server, *self._peers, *self._dead):
            line.close()

    def cut(self) -> None:
        """Let all bytes vanish from now on."""
        self._is_cut.set()

    def heal(self) -> None:
        """Forward what comes from now on by new connections."""
        self._is_cut.clear()

    def _run(self) -> None:
        while not self._stop.is_set():
            readable, _, _ = select.select([self._server, *self._peers], [], [], POLL_S)
            if self._is_cut.is_set():
                self._dead += self._peers
                self._peers.clear()
            for line in readable:
                if line is self._server:
                    self._take()
                elif line in self._peers:
                    self._forward(line)

    def _take(self) -> None:
        near, _ = self._server.accept()
        if self._is_cut.is_set():
            self._dead.append(near)
            return
        try:
            far = socket.create_connection((LOOPBACK, self._target), CONNECT_S)
        except OSError:
            near.close()
            return
        self._peers |= {near: far, far: near}

    def _forward(self, line: socket.socket) -> None:
        peer = self._peers[line]
        try:
            data = line.recv(READ_BYTES)
            if data:
                peer.sendall(data)
                return
        except OSError:
            data = b""
        del self._peers[line], self._peers[peer]
        line.close()
        peer.close()
