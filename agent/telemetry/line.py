"""Makes the paho client of one connection: nothing of one survives into the next."""

import socket
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.telemetry.access import Address, BrokerParams
from agent.telemetry.credentials import Login

# Bytes that the kernel may hold unsent before the socket counts as full: one or two states.
UNSENT_BYTES = 4096


class Client(paho.Client):
    """A client that remembers its socket after it has closed it.

    Attributes:
        line: The socket that was opened last, None before.
    """

    line: Any = None

    @property
    def fault(self) -> OSError | None:
        """What ended an encrypted line, None where that is not known."""
        return getattr(self.line, "fault", None)


def make_client(params: BrokerParams, client_id: str, username: str, login: Login) -> Client:
    """Return a client that is ready to connect, without callbacks or a will.

    Args:
        params: Time-outs and what kind of broker it is.
        client_id: Name of the robot at the broker.
        username: Account, empty for none.
        login: Password and encryption.
    """
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=MQTTProtocolVersion(params.profile.protocol),
        reconnect_on_failure=False,
    )
    client.connect_timeout = params.connect_timeout_s
    if username:
        client.username_pw_set(username, login.password)
    if login.tls is not None:
        client.tls_set_context(login.tls)
    # Whoever sends keeps a window of its own; with none of paho's, nothing waits in its queue.
    client.max_inflight_messages_set(0)
    client.on_socket_open = _on_open
    return client


def connect(client: paho.Client, address: Address, keepalive_s: int) -> None:
    """Open the line and ask to be let in.

    Raises:
        OSError: There is no line.
        ValueError: The host's name is none.
    """
    client.connect(address.host, address.port, keepalive_s)


def _on_open(client: Any, userdata: object, line: Any) -> None:
    """Make a full socket show early, so that what waits is replaced rather than sent late."""
    client.line = line
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
