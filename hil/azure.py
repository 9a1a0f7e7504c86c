"""Azure IoT Hub and its provisioning service, as far as a device sees them: MQTT 3.1.1 over TLS.

An emulation by the rules of the public documentation ("Communicate with an IoT hub using the MQTT
protocol", "Communicate with your DPS using the MQTT protocol"): a wrong user name, a wrong or ended
signature, a topic of its own, QoS 2 or too long a message ends the connection, as they do there. It
is no broker: a device's messages go to the hub alone.
"""

import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qs, parse_qsl, quote, unquote

from agent.clock import Clock
from hil.broker import LOOPBACK

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 12, 13, 14
ACCEPTED, NOT_AUTHORIZED = 0, 5
FAILURE: Final = 0x80
MOST_BYTES: Final = 256 * 1024
MOST_SUBSCRIPTIONS: Final = 5
HUB_API: Final = "2021-04-12"
DPS_API: Final = "2019-03-31"


class Violation(Exception):
    """The device did what the service answers by ending the connection."""


@dataclass(slots=True)
class Device:
    """One connection of a device."""

    line: ssl.SSLSocket
    client_id: str = ""
    username: str = ""
    password: str = ""
    will: tuple[str, bytes] | None = None
    filters: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, kind: int, body: bytes, flags: int = 0) -> None:
        """Send one packet."""
        length, size = len(body), bytearray()
        while True:
            length, byte = divmod(length, 128)
            size.append(byte | (128 if length else 0))
            if not length:
                break
        with self.lock:
            self.line.sendall(bytes([kind << 4 | flags]) + size + body)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send a message of QoS 0."""
        self.send(PUBLISH, _text(topic) + payload)


class Service:
    """Listens on loopback and speaks MQTT; what it says is up to its kind. A context manager.

    Args:
        certificate: Its certificate and key, PEM.
        key: The key that its devices sign with (base64).
        clock: By which signatures end.

    Attributes:
        port: Where it listens.
        violations: Why connections were ended.
    """

    def __init__(self, certificate: tuple[str, str], key: str, clock: Clock) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._tls.load_cert_chain(*certificate)
        self._key = base64.b64decode(key)
        self._clock = clock
        self._listener = socket.create_server((LOOPBACK, 0))
        self._listener.settimeout(0.1)
        self.port: int = self._listener.getsockname()[1]
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self.devices: dict[str, Device] = {}
        self.violations: list[str] = []

    def __enter__(self) -> Self:
        self._threads.append(threading.Thread(target=self._listen))
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        for device in list(self.devices.values()):
            self.drop(device.client_id)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def drop(self, client_id: str) -> None:
        """End a device's connection without a word."""
        with suppress(OSError):
            self.devices[client_id].line.shutdown(socket.SHUT_RDWR)

    def admits(self, device: Device) -> bool:
        """Whether a device may log in."""
        raise NotImplementedError

    def opens(self, device: Device, topic: str) -> bool:
        """Whether a device may subscribe to something."""
        raise NotImplementedError

    def take(self, device: Device, topic: str, payload: bytes, *, retain: bool) -> None:
        """Take a message of a device.

        Raises:
            Violation: It may not send that.
        """
        raise NotImplementedError

    def lost(self, device: Device) -> None:
        """Note that a device has gone without saying so."""

    def is_signed(self, password: str, resource: str, policy: str = "") -> bool:
        """Whether a password is a signature about a resource that has not ended."""
        kind, _, rest = password.partition(" ")
        fields = dict(parse_qsl(rest))
        about, expires = fields.get("sr", ""), fields.get("se", "0")
        signed = f"{quote(about, safe='')}\n{expires}".encode()
        digest = base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode()
        return (
            kind == "SharedAccessSignature"
            and about == resource
            and fields.get("skn", "") == policy
            and int(expires) > self._clock.utc_ns() // 1_000_000_000
            and hmac.compare_digest(fields.get("sig", ""), digest)
        )

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                visitor, _ = self._listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._serve, args=(visitor,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, visitor: socket.socket) -> None:
        visitor.settimeout(None)
        try:
            with self._tls.wrap_socket(visitor, server_side=True) as line:
                device = Device(line)
                try:
                    for kind, flags, body in _packets(line):
                        if kind == DISCONNECT:
                            return
                        self._handle(device, kind, flags, body)
                    self.lost(device)
                except Violation as violation:
                    self.violations.append(str(violation))
                    self.lost(device)
                finally:
                    self.devices.pop(device.client_id, None)
        except OSError:
            return  # a handshake that failed, or a line that was cut

    def _handle(self, device: Device, kind: int, flags: int, body: bytes) -> None:
        if kind == CONNECT:
            self._log_in(device, body)
        elif kind == SUBSCRIBE:
            self._subscribe(device, body)
        elif kind == PUBLISH:
            self._publish(device, flags, body)
        elif kind == PINGREQ:
            device.send(PINGRESP, b"")

    def _log_in(self, device: Device, body: bytes) -> None:
        reader = _Reader(body)
        if reader.text() != "MQTT" or reader.byte() != 4:
            raise Violation("it speaks another version of MQTT than 3.1.1")
        flags = reader.byte()
        keepalive_s = reader.word()
        device.client_id = reader.text()
        if flags & 0x04:
            if flags >> 3 & 3 > 1:
                raise Violation("its will is of QoS 2")
            device.will = (reader.text(), reader.chunk())
        device.username = reader.text() if flags & 0x80 else ""
        device.password = reader.text() if flags & 0x40 else ""
        if keepalive_s > 1767 or not self.admits(device):
            device.send(CONNACK, bytes([0, NOT_AUTHORIZED]))
            raise Violation(f"{device.client_id} may not log in")
        self.devices[device.client_id] = device
        device.send(CONNACK, bytes([0, ACCEPTED]))

    def _subscribe(self, device: Device, body: bytes) -> None:
        reader, answers = _Reader(body), bytearray()
        number = reader.word()
        while reader.left:
            topic, qos = reader.text(), reader.byte()
            if not self.opens(device, topic) or len(device.filters) >= MOST_SUBSCRIPTIONS:
                answers.append(FAILURE)
                continue
            device.filters.add(topic)
            answers.append(min(qos, 1))
        device.send(SUBACK, number.to_bytes(2, "big") + answers)

    def _publish(self, device: Device, flags: int, body: bytes) -> None:
        reader, qos = _Reader(body), flags >> 1 & 3
        if qos > 1:
            raise Violation("QoS 2")
        if len(body) > MOST_BYTES:
            raise Violation("a message of more than 256 KB")
        topic = reader.text()
        number = reader.word() if qos else 0
        self.take(device, topic, reader.rest(), retain=bool(flags & 1))
        if qos:
            device.send(PUBACK, number.to_bytes(2, "big"))


class IotHub(Service):
    """A hub: takes events, sends messages and calls methods.

    Args:
        name: Its host name, as devices address it.
        certificate: Its certificate and key, PEM.
        key: Of its devices (base64).
        clock: By which signatures end.

    Attributes:
        events: What devices sent: the properties of each message and what it says.
    """

    def __init__(self, name: str, certificate: tuple[str, str], key: str, clock: Clock) -> None:
        super().__init__(certificate, key, clock)
        self._name = name
        self._answered = threading.Condition()
        self._answers: dict[str, tuple[int, bytes]] = {}
        self._request = 0
        self.events: list[tuple[dict[str, str], bytes]] = []

    def send(self, client_id: str, topic: str, payload: bytes) -> None:
        """Send a cloud-to-device message whose property ``topic`` says what it is."""
        properties = f"topic={quote(topic, safe='')}&%24.mid=1"
        self.devices[client_id].publish(
            f"devices/{client_id}/messages/devicebound/{properties}", payload
        )

    def call(self, client_id: str, method: str, payload: bytes, patience_s: float = 5.0) -> int:
        """Call a direct method and return the status that the device answers with.

        Raises:
            TimeoutError: It does not answer.
        """
        self._request += 1
        request = f"{self._request:x}"
        self.devices[client_id].publish(f"$iothub/methods/POST/{method}/?$rid={request}", payload)
        with self._answered:
            if not self._answered.wait_for(lambda: request in self._answers, patience_s):
                raise TimeoutError(f"no answer to the method {method}")
            return self._answers.pop(request)[0]

    def admits(self, device: Device) -> bool:
        """Whether user name and signature are the device's."""
        name = f"{self._name}/{device.client_id}"
        return device.username == f"{name}/?api-version={HUB_API}" and self.is_signed(
            device.password, f"{self._name}/devices/{device.client_id}"
        )

    def opens(self, device: Device, topic: str) -> bool:
        """Whether it is one of a hub's topics."""
        return topic in (
            f"devices/{device.client_id}/messages/devicebound/#",
            "$iothub/methods/POST/#",
        )

    def take(self, device: Device, topic: str, payload: bytes, *, retain: bool) -> None:
        """Take an event, or the answer to a method."""
        if topic.startswith("$iothub/methods/res/"):
            status, _, request = topic.removeprefix("$iothub/methods/res/").partition("/?$rid=")
            with self._answered:
                self._answers[request] = (int(status), payload)
                self._answered.notify_all()
            return
        prefix = f"devices/{device.client_id}/messages/events/"
        if not topic.startswith(prefix):
            raise Violation(f"a hub has no topic {topic}")
        properties = dict(parse_qsl(topic.removeprefix(prefix)))
        if retain:
            properties["x-opt-retain"] = "true"
        self.events.append((properties, payload))

    def lost(self, device: Device) -> None:
        """Take the will for an event, which goes by its topic's properties."""
        if device.will is not None:
            with suppress(Violation):
                self.take(device, *device.will, retain=False)


class ProvisioningService(Service):
    """Tells devices which hub is theirs, after it was asked a second time.

    Args:
        id_scope: Its id.
        hub: What it assigns everybody to.
        certificate: Its certificate and key, PEM.
        key: Of the devices (base64).
        clock: By which signatures end.
    """

    def __init__(
        self, id_scope: str, hub: str, certificate: tuple[str, str], key: str, clock: Clock
    ) -> None:
        super().__init__(certificate, key, clock)
        self._id_scope = id_scope
        self.hub = hub
        self.assigned: list[str] = []

    def admits(self, device: Device) -> bool:
        """Whether user name and signature are the device's."""
        resource = f"{self._id_scope}/registrations/{device.client_id}"
        return device.username == f"{resource}/api-version={DPS_API}" and self.is_signed(
            device.password, resource, "registration"
        )

    def opens(self, device: Device, topic: str) -> bool:
        """Whether it is the service's only topic."""
        return topic == "$dps/registrations/res/#"

    def take(self, device: Device, topic: str, payload: bytes, *, retain: bool) -> None:
        """Answer a request: first that it takes a second, then with the hub."""
        path, _, query = topic.partition("/?")
        fields = parse_qs(query)
        answer = f"$dps/registrations/res/{{}}/?$rid={fields['$rid'][0]}"
        if path == "$dps/registrations/PUT/iotdps-register":
            named = json.loads(payload)["registrationId"]
            if named != device.client_id:
                raise Violation(f"{device.client_id} registers {named}")
            said = {"operationId": "4.op", "status": "assigning"}
            device.publish(answer.format(202) + "&retry-after=1", json.dumps(said).encode())
        elif path == "$dps/registrations/GET/iotdps-get-operationstatus":
            if fields["operationId"] != ["4.op"]:
                raise Violation("an operation that is not its own")
            self.assigned.append(device.client_id)
            state = {"assignedHub": self.hub, "deviceId": device.client_id, "status": "assigned"}
            said_all = {"operationId": "4.op", "status": "assigned", "registrationState": state}
            device.publish(answer.format(200), json.dumps(said_all).encode())
        else:
            raise Violation(f"the service has no topic {unquote(topic)}")


class _Reader:
    """Takes the fields of a packet one after the other (MQTT 3.1.1, section 1.5)."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def left(self) -> bool:
        return self._at < len(self._body)

    def byte(self) -> int:
        self._at += 1
        return self._body[self._at - 1]

    def word(self) -> int:
        return self.byte() << 8 | self.byte()

    def chunk(self) -> bytes:
        length = self.word()
        self._at += length
        return self._body[self._at - length : self._at]

    def text(self) -> str:
        return self.chunk().decode()

    def rest(self) -> bytes:
        return self._body[self._at :]


def _text(text: str) -> bytes:
    encoded = text.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _packets(line: ssl.SSLSocket) -> Iterator[tuple[int, int, bytes]]:
    """Yield kind, flags and body of each packet until the line ends."""
    while first := line.recv(1):
        length = shift = 0
        while True:
            (byte,) = _exactly(line, 1)
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        yield first[0] >> 4, first[0] & 15, _exactly(line, length)


def _exactly(line: ssl.SSLSocket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        chunk = line.recv(count - len(data))
        if not chunk:
            raise ConnectionError("the line ended within a packet")
        data += chunk
    return bytes(data)
