"""The robot's line to the shared platform: MQTT 3.1.1 over paho, and the only user of paho.

One thread (made by ``main``, running :meth:`MqttLink.run`) owns the socket and everything of paho.
The control loop only puts a message into the slot of its topic and, at most, writes one byte to
wake that thread; it never takes a lock that is held over input or output. A slot holds the newest
message alone, and it is handed to paho only when the socket takes bytes, so that neither side ever
queues: on a slow line, states are skipped rather than late, and while there is no line they are
dropped. Each connection gets a paho client of its own, so nothing of one survives into the next.
"""

import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.clock import Clock
from agent.errors import BrokerUnavailable
from agent.telemetry.access import BrokerParams, explain, read_password, tls_context
from agent.telemetry.publication import Message, Publication

# Bytes that the kernel may hold unsent before the socket counts as full: one or two states.
UNSENT_BYTES = 4096
FIRST_RETRY_S = 1.0
POLL_S = 0.5
GOODBYE_NS = 1_000_000_000


class Presence(Protocol):
    """Makes the messages that tell whether the robot is there."""

    def online(self) -> Publication:
        """Return what to send after every connect."""

    def offline(self) -> Publication:
        """Return what to send before a wanted disconnect."""

    def will(self) -> Publication:
        """Return what the broker shall send when the robot vanishes."""


@dataclass(frozen=True, slots=True)
class LinkState:
    """How the line is doing.

    Attributes:
        connected_since_ns: Monotonic time of the connect, None while there is no line.
        failure: Why there is none; None while there is, and before the first attempt.
        sent: Messages handed to the socket.
        skipped: Messages that were replaced by a newer one, or dropped for want of a line.
        received: Messages received.
    """

    connected_since_ns: int | None
    failure: BrokerUnavailable | None
    sent: int
    skipped: int
    received: int


class MqttLink:
    """Keeps a connection to the broker and carries messages both ways."""

    def __init__(
        self,
        params: BrokerParams,
        base: str,
        subscriptions: Mapping[str, int],
        presence: Presence | None,
        on_message: Callable[[Message], None],
        clock: Clock,
    ) -> None:
        """Prepare; nothing is opened before :meth:`run`.

        Args:
            params: Where and how to connect.
            base: What all topics of the robot begin with.
            subscriptions: Last levels of the topics to receive, and their QoS.
            presence: Makes the connection messages; called in the link's thread. None for whoever
                only visits, and says nothing of the robot.
            on_message: Takes what arrives; called in the link's thread, must not block.
            clock: For time stamps.

        Raises:
            ConfigError: Password, certificate or key cannot be read.
        """
        self._params = params
        self._base = base
        self._subscriptions = dict(subscriptions)
        self._presence = presence
        self._on_message = on_message
        self._clock = clock
        self._password = read_password(params)
        self._tls = tls_context(params)
        self._log = structlog.get_logger().bind(host=params.host, port=params.port)
        self._lock = threading.Lock()  # over the next six, never over input or output
        self._slots: dict[str, Publication] = {}
        self._retained: dict[str, Publication] = {}
        self._connected_since_ns: int | None = None
        self._failure: BrokerUnavailable | None = None
        self._sent = self._skipped = self._received = 0
        self._closing = False
        self._refusal: str | None = None
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)

    @property
    def state(self) -> LinkState:
        """How the line is doing."""
        with self._lock:
            return LinkState(
                self._connected_since_ns,
                self._failure,
                self._sent,
                self._skipped,
                self._received,
            )

    def publish(self, publications: Iterable[Publication]) -> None:
        """Hand over messages without waiting; the newest per topic wins.

        Retained ones are kept and sent again after every connect; the others are dropped while
        there is no line, because a platform must not take an old state for a new one.
        """
        with self._lock:
            was_empty = not self._slots
            for message in publications:
                if message.retain:
                    self._retained[message.topic] = message
                if self._connected_since_ns is None:
                    self._skipped += not message.retain
                    continue
                self._skipped += message.topic in self._slots
                self._slots[message.topic] = message
            wake = was_empty and bool(self._slots)
        if wake:
            self._wake()

    def close(self) -> None:
        """Have :meth:`run` say OFFLINE and return, within about a second."""
        self._closing = True
        self._wake()

    def run(self) -> None:
        """Connect, serve and connect again until :meth:`close`; made for a thread of its own."""
        retry_s = FIRST_RETRY_S
        try:
            while not self._closing:
                if self._connect_and_serve():
                    retry_s = FIRST_RETRY_S
                if not self._closing:
                    select.select([self._wake_receiver], [], [], retry_s)
                    self._drain_wake()
                    retry_s = min(2.0 * retry_s, self._params.longest_retry_s)
        finally:
            with self._lock:
                self._connected_since_ns = None
                self._slots.clear()
            self._wake_receiver.close()
            self._wake_sender.close()

    def _connect_and_serve(self) -> bool:
        """Live through one connection, or one failed attempt.

        Returns:
            Whether the broker let the robot in.
        """
        self._refusal = None
        client = self._client()
        try:
            client.connect(self._params.host, self._params.port, self._params.keepalive_s)
        except (OSError, ValueError) as error:
            self._lose(explain(self._params, error))
            return False
        try:
            self._serve(client)
        finally:
            if (line := client.socket()) is not None:
                line.close()  # without a DISCONNECT, so that the broker sends the will
        was_connected = self._connected_since_ns is not None
        if not self._closing:
            lost = "the connection was lost" if was_connected else "the broker does not answer"
            self._lose(self._refusal or lost)
        return was_connected

    def _client(self) -> paho.Client:
        params = self._params
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=params.client_id or self._base.replace("/", "-"),
            reconnect_on_failure=False,
        )
        client.connect_timeout = params.connect_timeout_s
        if params.username:
            client.username_pw_set(params.username, self._password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        if self._presence is not None:
            will = self._presence.will()
            client.will_set(f"{self._base}/{will.topic}", will.payload, will.qos, will.retain)
        client.on_socket_open = _bound_backlog
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_paho_message
        return client

    def _serve(self, client: paho.Client) -> None:
        """Move bytes until the connection ends, or until OFFLINE was said on closing."""
        goodbye: paho.MQTTMessageInfo | None = None
        goodbye_until_ns = 0
        while (line := client.socket()) is not None and self._refusal is None:
            if self._closing:
                if (
                    goodbye is None
                    and self._connected_since_ns is not None
                    and self._presence is not None
                ):
                    goodbye = self._send(client, self._presence.offline())
                    goodbye_until_ns = self._clock.now_ns() + GOODBYE_NS
                if goodbye is None or goodbye.is_published():
                    client.disconnect()
                    break
                if self._clock.now_ns() > goodbye_until_ns:
                    break
            self._turn(client, line)

    def _turn(self, client: paho.Client, line: Any) -> None:
        """Wait for the socket or a wake-up and do what it is ready for."""
        writers = [line] if client.want_write() or self._has_slot() else []
        # Bytes that TLS has already decrypted do not show in select.
        waits_s = 0.0 if isinstance(line, ssl.SSLSocket) and line.pending() else POLL_S
        readable, writable, _ = select.select([line, self._wake_receiver], writers, [], waits_s)
        if self._wake_receiver in readable:
            self._drain_wake()
        if line in readable or waits_s == 0.0:
            client.loop_read()
        if writable and client.socket() is not None:
            if client.want_write():
                client.loop_write()
            elif (message := self._next()) is not None:
                self._send(client, message)
        client.loop_misc()

    def _send(self, client: paho.Client, message: Publication) -> paho.MQTTMessageInfo:
        topic = f"{self._base}/{message.topic}"
        info = client.publish(topic, message.payload, message.qos, message.retain)
        with self._lock:
            self._sent += 1
        return info

    def _next(self) -> Publication | None:
        """Take the message that has waited longest for its turn."""
        with self._lock:
            if not self._slots:
                return None
            return self._slots.pop(next(iter(self._slots)))

    def _has_slot(self) -> bool:
        with self._lock:
            return bool(self._slots)

    def _on_connect(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._refusal = f"the broker refuses the robot: {reason}"
            return
        client.subscribe(
            [(f"{self._base}/{name}", qos) for name, qos in self._subscriptions.items()]
        )

    def _on_subscribe(
        self,
        client: paho.Client,
        userdata: object,
        mid: int,
        reasons: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        """Say ONLINE only now: an order sent in answer to it must not be missed."""
        if refused := [
            name
            for name, reason in zip(self._subscriptions, reasons, strict=False)
            if reason.is_failure
        ]:
            self._refusal = f"the broker refuses the subscription to {', '.join(refused)}"
            return
        if self._presence is not None:
            self._send(client, self._presence.online())
        with self._lock:
            self._connected_since_ns = self._clock.now_ns()
            self._failure = None
            self._slots = dict(self._retained)
        self._log.info("broker.connected")

    def _on_paho_message(
        self, client: paho.Client, userdata: object, message: paho.MQTTMessage
    ) -> None:
        name = message.topic.removeprefix(f"{self._base}/")
        with self._lock:
            self._received += 1
        self._on_message(Message(name, bytes(message.payload), self._clock.now_ns()))

    def _lose(self, reason: str) -> None:
        """Note why there is no line; only a change of reason is logged."""
        with self._lock:
            changed = self._failure is None or self._failure.detail != reason
            if changed:
                self._failure = BrokerUnavailable(reason)
            self._connected_since_ns = None
            self._skipped += sum(not message.retain for message in self._slots.values())
            self._slots.clear()
        if changed:
            self._log.warning("broker.lost", reason=reason, hint=BrokerUnavailable.hint)

    def _wake(self) -> None:
        try:
            self._wake_sender.send(b"\0")
        except OSError:
            # Full: the thread is awake anyway. Closed: it is gone, and there is nobody to wake.
            return

    def _drain_wake(self) -> None:
        try:
            self._wake_receiver.recv(4096)
        except BlockingIOError:
            return


def _bound_backlog(client: paho.Client, userdata: object, line: Any) -> None:
    """Make a full socket show early, so that what waits is replaced rather than sent late."""
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
