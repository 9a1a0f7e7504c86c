"""The command line's end of the local socket."""

import json
import socket
from pathlib import Path
from typing import Any

from agent.errors import DaemonUnreachable

TIMEOUT_S = 5.0


def ask(path: Path, verb: str, **arguments: Any) -> dict[str, Any]:
    """Send one request to the daemon and return its reply.

    Raises:
        DaemonUnreachable: No daemon listens there, or it does not answer, or refuses.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect(str(path))
            with connection.makefile("rwb") as stream:
                stream.write(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
                stream.flush()
                reply = json.loads(stream.readline())
        except OSError as error:
            raise DaemonUnreachable(f"{path}: {error.strerror or error}") from error
        except ValueError as error:
            raise DaemonUnreachable(f"{path}: the daemon hung up or speaks no JSON") from error
    if not isinstance(reply, dict):
        raise DaemonUnreachable(f"{path}: the reply is not an object")
    if "error" in reply:
        raise DaemonUnreachable(f"{path}: the daemon refuses: {reply['error']}")
    return reply
