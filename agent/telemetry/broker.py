"""The robot's line to the shared platform: MQTT over paho.

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
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import structlog
from paho.mqtt import client as paho
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.clock import Clock
from agent.errors import BrokerUnavailable, ConfigError, CredentialsInvalid, RobotRefused
from agent.telemetry.access import Address, BrokerParams
from agent.telemetry.credentials import SAS_RENEWAL_NS, Credentials, Login
from agent.telemetry.history import HistoryLane
from agent.telemetry.line import Client, connect, make_client
from agent.telemetry.platform import MQTT_5
from agent.telemetry.publication import Message, Publication
from agent.telemetry.refusal import of_answer, of_end, of_failure, of_subscriptions
from agent.telemetry.retry import Retry
from agent.telemetry.seat import Seat, Seats

POLL_S = 0.5
MOST_AT_ONCE = 8  # records that may stand before a state that comes while they are handed over
GOODBYE_NS = 1_000_000_000
HEADER_BYTES = 16  # of a message's packet at most, beside its topic
STEADY_NS = 10_000_000_000  # after which a connection counts as one that held
LOOK_NS = 2_000_000_000  # between two looks at whether the credentials were replaced


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
        address: Of the broker that there is a line to, or that is tried.
    """

    connected_since_ns: int | None
    failure: BrokerUnavailable | None
    sent: int
    skipped: int
    received: int
    address: Address


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
        history: HistoryLane | None = None,
        rng: np.random.Generator | None = None,
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
            history: What else to send when there is nothing newer; used in the link's thread.
            rng: For the pauses between attempts; one of the robot's own, seeded by its topic, where
                left out.

        Raises:
            ConfigError: Password, certificate or key cannot be read.
        """
        self._params = params
        self._subscriptions = dict(subscriptions)
        self._presence = presence
        self._announces = False
        self._on_message = on_message
        self._clock = clock
        self._history = history
        self._credentials = Credentials(params)
        self._credentials.login(clock.utc_ns())
        self._seats = Seats(params, self._credentials, base, list(subscriptions), clock)
        number = zlib.crc32(base.encode())
        self._retry = Retry(
            len(params.addresses),
            number,
            params.longest_retry_s,
            rng or np.random.default_rng(number),
        )
        self._seat: Seat = self._seats.planned(self._retry.broker)
        self._limits = self._known_limits = params.profile.limits
        self._look_ns = self._renewal_ns = 0
        self._is_renewing = False
        self._too_long: set[str] = set()
        self._log = structlog.get_logger()
        self._lock = threading.Lock()  # over the next six, never over input or output
        self._slots: dict[str, Publication] = {}
        self._retained: dict[str, Publication] = {}
        self._connected_since_ns: int | None = None
        self._failure: BrokerUnavailable | None = None
        self._sent = self._skipped = self._received = 0
        self._closing = False
        self._refusal: BrokerUnavailable | None = None
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
                self._seat.address,
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

    def announce(self) -> None:
        """Tell anew that the robot is there, as what there is to say of it has changed."""
        self._announces = True
        self._wake()

    def look_for_history(self) -> None:
        """Have the history lane asked again whether it has something to send."""
        self._wake()

    def close(self) -> None:
        """Have :meth:`run` say OFFLINE and return, within about a second."""
        self._closing = True
        self._wake()

    def run(self) -> None:
        """Connect, serve and connect again until :meth:`close`; made for a thread of its own."""
        try:
            while not self._closing:
                was_well = self._connect_and_serve()
                if not self._is_renewing:
                    self._pause(self._retry.after(was_well=was_well))
        finally:
            with self._lock:
                self._connected_since_ns = None
                self._slots.clear()
            self._wake_receiver.close()
            self._wake_sender.close()

    def _pause(self, pause_s: float) -> None:
        """Wait before the next attempt, less only on closing."""
        until_ns = self._clock.now_ns() + round(pause_s * 1e9)
        while not self._closing and (left_ns := until_ns - self._clock.now_ns()) > 0:
            select.select([self._wake_receiver], [], [], left_ns * 1e-9)
            self._drain_wake()

    def _connect_and_serve(self) -> bool:
        """Live through one connection, or one failed attempt.

        Returns:
            Whether the connection held for a while: one that the broker ends at once, again and
            again, is no better than none.
        """
        self._refusal = None
        self._is_renewing = False
        self._seat = self._seats.planned(self._retry.broker)
        try:
            self._seat = self._seats.take(self._retry.broker, lambda: self._closing)
            login = self._credentials.login(self._clock.utc_ns(), self._seat.resource)
            client = self._client(login)
            connect(client, self._seat.address, self._params.keepalive_s)
        except ConfigError as error:
            self._lose(CredentialsInvalid(error.detail))
            return False
        except BrokerUnavailable as error:
            self._lose(error)
            return False
        except (OSError, ValueError) as error:
            self._lose(of_failure(self._seat.address, error))
            return False
        try:
            self._serve(client)
        finally:
            if self._history is not None:
                self._history.end()
            if (line := client.socket()) is not None:
                line.close()  # without a DISCONNECT, so that the broker sends the will
        return self._leave(client.fault)

    def _leave(self, fault: OSError | None) -> bool:
        """Note how a connection ended, and return whether it had held for a while."""
        since_ns = self._connected_since_ns
        was_connected = since_ns is not None
        if self._is_renewing:
            self._drop()
        elif not self._closing:
            if self._refusal is None and fault is not None:
                self._refusal = of_failure(self._seat.address, fault)
            lost = "the connection was lost" if was_connected else "the broker does not answer"
            self._lose(self._refusal or BrokerUnavailable(lost))
        if isinstance(self._refusal, RobotRefused):
            self._seats.forget()
        return since_ns is not None and self._clock.now_ns() - since_ns > STEADY_NS

    def _client(self, login: Login) -> Client:
        seat, limits = self._seat, self._known_limits
        client = make_client(self._params, seat.client_id, seat.username, login)
        if self._presence is not None:
            will = self._presence.will()
            client.will_set(
                seat.topics.address(will.topic),
                will.payload,
                min(will.qos, limits.most_qos),
                will.retain and limits.retains,
            )
        if self._history is not None:  # for every message paho would make objects that nobody sees
            client.on_publish = self._on_publish
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_paho_message
        self._renewal_ns = self._clock.now_ns() + SAS_RENEWAL_NS
        return client

    def _wants_renewal(self) -> bool:
        """Whether to connect anew with credentials that were replaced, or before they end."""
        now_ns = self._clock.now_ns()
        if now_ns < self._look_ns:
            return False
        self._look_ns = now_ns + LOOK_NS
        try:
            changed = self._credentials.have_changed()
        except ConfigError as error:
            self._log.warning(
                "broker.credentials_refused", reason=error.detail, hint=CredentialsInvalid.hint
            )
            return False
        ends = bool(self._seat.resource) and now_ns > self._renewal_ns
        self._is_renewing = changed or ends
        if self._is_renewing:
            self._log.info("broker.renewing", reason="replaced" if changed else "ends soon")
        return self._is_renewing

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
            if self._announces and self._connected_since_ns is not None and not self._has_slot():
                self._announces = False
                if self._presence is not None:
                    self._send(client, self._presence.online())
            if self._wants_renewal():
                client.disconnect()
                break
            self._turn(client, line)

    def _turn(self, client: paho.Client, line: Any) -> None:
        """Wait for the socket or a wake-up and do what it is ready for."""
        history_ns = self._history_wait_ns()
        writers = [line] if client.want_write() or self._has_slot() or history_ns == 0 else []
        # Bytes that TLS has already decrypted do not show in select.
        has_unread = isinstance(line, ssl.SSLSocket) and line.pending() > 0
        waits_s = 0.0 if has_unread else min(POLL_S, (history_ns or POLL_S * 1e9) * 1e-9)
        readable, writable, _ = select.select([line, self._wake_receiver], writers, [], waits_s)
        if self._wake_receiver in readable:
            self._drain_wake()
        if line in readable or has_unread:
            client.loop_read()
        if writable and client.socket() is not None:
            if client.want_write():
                client.loop_write()
            elif (message := self._next()) is not None:
                self._send(client, message)
            else:
                self._send_history(client)
        client.loop_misc()

    def _send(self, client: paho.Client, message: Publication) -> paho.MQTTMessageInfo:
        limits = self._limits
        info = client.publish(
            self._seat.topics.address(message.topic),
            message.payload,
            min(message.qos, limits.most_qos),
            message.retain and limits.retains,
        )
        with self._lock:
            self._sent += 1
        return info

    def _history_wait_ns(self) -> int | None:
        """Return how long until the history has something to send, None if that is not known."""
        return None if self._history is None else self._history.wait_ns(self._clock.now_ns())

    def _send_history(self, client: paho.Client) -> None:
        """Send records while there is nothing newer and the socket takes them at once."""
        if self._history is None:
            return
        for _ in range(MOST_AT_ONCE):
            record = self._history.next(self._clock.now_ns())
            if record is None or client.want_write() or self._has_slot():
                return
            info = self._send(client, record)
            self._history.sent(info.mid, self._clock.now_ns())

    def _on_publish(
        self,
        client: paho.Client,
        userdata: object,
        mid: int,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self._history is not None:
            refusal = str(reason) if reason.is_failure else None
            self._history.acknowledged(mid, refusal, self._clock.now_ns())

    def _next(self) -> Publication | None:
        """Take the message that has waited longest for its turn."""
        with self._lock:
            while self._slots:
                message = self._slots.pop(next(iter(self._slots)))
                if self._fits(message):
                    return message
                self._skipped += 1
            return None

    def _fits(self, message: Publication) -> bool:
        """Whether the broker takes a message of that length; said once of each topic."""
        most = self._limits.most_bytes
        length = len(message.payload) + len(self._seat.topics.address(message.topic)) + HEADER_BYTES
        if most is None or length <= most:
            return True
        if message.topic not in self._too_long:
            self._too_long.add(message.topic)
            self._log.warning("message.too_long", topic=message.topic, bytes=length, most=most)
        return False

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
        seat = self._seat
        if reason.is_failure:
            self._is_renewing = self._learn(reason.value)
            self._refusal = of_answer(seat.address, reason.value, str(reason), seat.username)
            return
        self._limits = self._known_limits.narrowed(
            most_qos=getattr(properties, "MaximumQoS", None),
            retains=getattr(properties, "RetainAvailable", None),
            most_bytes=getattr(properties, "MaximumPacketSize", None),
            most_in_flight=getattr(properties, "ReceiveMaximum", None),
        )
        filters = seat.topics.filters(self._subscriptions)
        if not filters:
            self._on_subscribe(client, userdata, 0, [], None)
        elif self._params.profile.protocol == MQTT_5:
            client.subscribe([(topic, SubscribeOptions(qos=qos)) for topic, qos in filters])
        else:
            client.subscribe(filters)

    def _learn(self, code: int) -> bool:
        """Note that the broker takes no such will, which it can say only by turning it down.

        Returns:
            Whether that is news, so that another will may be taken.
        """
        known = self._known_limits
        match code:
            case 0x9A:  # retain not supported
                self._known_limits = replace(known, retains=False)
            case 0x9B:  # QoS not supported
                self._known_limits = replace(known, most_qos=0)
        return self._known_limits != known

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if flags.is_disconnect_packet_from_server and self._refusal is None:
            self._refusal = of_end(self._seat.address, reason.value, str(reason))

    def _on_subscribe(
        self,
        client: paho.Client,
        userdata: object,
        mid: int,
        reasons: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        """Say ONLINE only now: an order sent in answer to it must not be missed."""
        filters = self._seat.topics.filters(self._subscriptions)
        if refused := [
            topic for (topic, _), reason in zip(filters, reasons, strict=False) if reason.is_failure
        ]:
            self._refusal = of_subscriptions(self._seat.address, refused)
            return
        if self._presence is not None:
            self._send(client, self._presence.online())
        with self._lock:
            self._connected_since_ns = self._clock.now_ns()
            self._failure = None
            self._slots = dict(self._retained)
        if self._history is not None:
            self._history.begin(self._limits.most_in_flight)
        address = self._seat.address
        self._log.info("broker.connected", host=address.host, port=address.port)

    def _on_paho_message(
        self, client: paho.Client, userdata: object, message: paho.MQTTMessage
    ) -> None:
        arrival = self._seat.topics.arrival(message.topic)
        if (answer := arrival.answer) is not None:
            client.publish(answer.topic, answer.payload, answer.qos)
        if arrival.name is None:
            return
        with self._lock:
            self._received += 1
        self._on_message(Message(arrival.name, bytes(message.payload), self._clock.now_ns()))

    def _lose(self, failure: BrokerUnavailable) -> None:
        """Note why there is no line; only a change of reason is logged."""
        with self._lock:
            changed = self._failure is None or self._failure.detail != failure.detail
            if changed:
                self._failure = failure
        self._drop()
        if changed:
            address = self._seat.address
            self._log.warning(
                "broker.lost",
                host=address.host,
                port=address.port,
                code=failure.code,
                reason=failure.detail,
                hint=failure.hint,
            )

    def _drop(self) -> None:
        """Forget what was to be sent: there is no line."""
        with self._lock:
            self._connected_since_ns = None
            self._skipped += sum(not message.retain for message in self._slots.values())
            self._slots.clear()

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
