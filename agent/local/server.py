"""The daemon's end of the local socket: one JSON object per line in, one out."""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from agent.errors import ConfigError, DaemonRunning
from drivers.errors import HaulierError

Handler: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

LONGEST_REQUEST = 65_536
IDLE_S = 5.0


class LocalServer:
    """Answers the command line. ``serve`` is run by a thread of the composition root."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        """Bind the socket.

        Raises:
            DaemonRunning: Another daemon answers on this socket.
            ConfigError: The socket cannot be made there.
        """
        self._path = path
        self._handlers = handlers
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            _remove_stale(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._socket.bind(str(path))
            path.chmod(0o660)
            self._socket.listen(8)
            self._socket.settimeout(0.2)
        except OSError as error:
            self._socket.close()
            raise ConfigError(f"local.socket: {path}: {error.strerror or error}") from error
        except HaulierError:
            self._socket.close()
            raise

    def serve(self, stop: threading.Event) -> None:
        """Accept and answer, one client after the other, until ``stop`` is set."""
        try:
            while not stop.is_set():
                try:
                    client, _ = self._socket.accept()
                except TimeoutError:
                    continue
                with client:
                    client.settimeout(IDLE_S)
                    self._answer(client)
        finally:
            self._socket.close()
            self._path.unlink(missing_ok=True)

    def _answer(self, client: socket.socket) -> None:
        try:
            with client.makefile("rwb") as stream:
                line = stream.readline(LONGEST_REQUEST)
                stream.write(json.dumps(self._reply(line)).encode() + b"\n")
        except OSError:
            # The client went away or fell silent; the next one is waiting.
            return

    def _reply(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return {"error": "the request is not a line of JSON"}
        verb = request.get("verb") if isinstance(request, dict) else None
        handler = self._handlers.get(verb) if isinstance(verb, str) else None
        if handler is None:
            return {"error": f"no such verb; known: {', '.join(sorted(self._handlers))}"}
        return handler(request)


def _remove_stale(path: Path) -> None:
    """Remove the socket of a daemon that died; refuse to take over from one that lives."""
    if not path.exists():
        return
    if not path.is_socket():
        raise ConfigError(f"local.socket: {path} is something else than a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise DaemonRunning(f"a daemon already answers on {path}")
