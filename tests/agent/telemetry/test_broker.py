"""The link against real brokers: amqtt everywhere, mosquitto where it is installed."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.clock import SystemClock
from agent.errors import ConfigError
from agent.telemetry.access import BrokerParams
from agent.telemetry.broker import MqttLink
from agent.telemetry.publication import Message, Publication
from agent.vda5050.connection import ConnectionReport
from agent.vda5050.identity import Identity
from hil.broker import BrokerProcess, free_port

IDENTITY = Identity("acme", "R1")
BASE = "uagv/v2/acme/R1"
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class Mosquitto:
    """A mosquitto of its own, with a password where asked for."""

    def __init__(
        self, directory: Path, *, password: str | None = None, extra: tuple[str, ...] = ()
    ) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._config = directory / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "user root", "persistence false"]
        lines += extra
        if password is None:
            lines.append("allow_anonymous true")
        else:
            accounts = directory / "accounts"
            tool = shutil.which("mosquitto_passwd") or "mosquitto_passwd"
            subprocess.run([tool, "-b", "-c", accounts, "robot", password], check=True)
            lines += ["allow_anonymous false", f"password_file {accounts}"]
        self._config.write_text("\n".join(lines))

    def start(self) -> None:
        self._process = subprocess.Popen(
            [MOSQUITTO or "mosquitto", "-c", self._config],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert eventually(lambda: listens(self.port))

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(5)
            self._process = None


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def eventually(condition: Callable[[], bool], within_s: float = 8.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


@pytest.fixture(
    params=[
        "amqtt",
        pytest.param(
            "mosquitto",
            marks=pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed"),
        ),
    ]
)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerProcess | Mosquitto]:
    broker = BrokerProcess() if request.param == "amqtt" else Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


class Listener:
    """Sees all that the robot publishes."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self.ready = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = lambda client, data, message: self.heard.append(
            (message.topic.removeprefix(f"{BASE}/"), bytes(message.payload), message.retain)
        )
        self.client.on_connect = lambda client, *rest: client.subscribe(f"{BASE}/#", 1)
        self.client.on_subscribe = lambda *rest: self.ready.set()
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def payloads(self, topic: str) -> list[bytes]:
        return [payload for name, payload, _ in self.heard if name == topic]

    def last(self, topic: str) -> bytes:
        return (self.payloads(topic) or [b""])[-1]


@contextmanager
def listening(port: int) -> Iterator[Listener]:
    listener = Listener(port)
    try:
        assert listener.ready.wait(5)
        yield listener
    finally:
        listener.client.disconnect()
        listener.client.loop_stop()


@contextmanager
def linked(
    port: int, received: list[Message] | None = None, **params: object
) -> Iterator[MqttLink]:
    clock = SystemClock()
    link = MqttLink(
        BrokerParams(host="127.0.0.1", port=port, **params),  # type: ignore[arg-type]
        BASE,
        {"order": 0, "instantActions": 0},
        ConnectionReport(IDENTITY, clock),
        ([] if received is None else received).append,
        clock,
    )
    thread = threading.Thread(target=link.run)
    thread.start()
    try:
        yield link
    finally:
        link.close()
        thread.join(5)
        assert not thread.is_alive()


def is_up(link: MqttLink) -> Callable[[], bool]:
    return lambda: link.state.connected_since_ns is not None


def test_online_while_there_and_offline_after(broker: BrokerProcess | Mosquitto) -> None:
    with linked(broker.port) as link:
        assert eventually(is_up(link))
        assert link.state.failure is None
        with listening(broker.port) as listener:
            assert eventually(lambda: b"ONLINE" in listener.last("connection"))
            assert listener.heard[0][2], "it is retained"
    with listening(broker.port) as late:
        assert eventually(lambda: b"OFFLINE" in late.last("connection"))
        time.sleep(0.2)
        assert not any(b"CONNECTIONBROKEN" in p for p in late.payloads("connection"))


def test_messages_travel_both_ways(broker: BrokerProcess | Mosquitto) -> None:
    received: list[Message] = []
    with linked(broker.port, received) as link, listening(broker.port) as listener:
        assert eventually(is_up(link))
        link.publish([Publication("state", b"one"), Publication("visualization", b"two")])
        assert eventually(lambda: listener.last("state") == b"one")
        assert eventually(lambda: listener.last("visualization") == b"two")
        listener.client.publish(f"{BASE}/order", b"go")
        listener.client.publish(f"{BASE}/instantActions", b"stop")
        assert eventually(lambda: len(received) == 2)
        assert [(m.topic, m.payload) for m in received] == [
            ("order", b"go"),
            ("instantActions", b"stop"),
        ]
        assert link.state.received == 2


ROBOT = """
import sys, threading
from agent.clock import SystemClock
from agent.telemetry.access import BrokerParams
from agent.telemetry.broker import MqttLink
from agent.vda5050.connection import ConnectionReport
from agent.vda5050.identity import Identity
clock = SystemClock()
presence = ConnectionReport(Identity("acme", "R1"), clock)
params = BrokerParams(host="127.0.0.1", port=int(sys.argv[1]))
MqttLink(params, "uagv/v2/acme/R1", {"order": 0}, presence, print, clock).run()
"""


def test_the_will_speaks_for_a_killed_robot(broker: BrokerProcess | Mosquitto) -> None:
    root = Path(__file__).parents[3]
    robot = subprocess.Popen(
        [sys.executable, "-c", ROBOT, str(broker.port)],
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with listening(broker.port) as listener:
            assert eventually(lambda: b"ONLINE" in listener.last("connection"))
            robot.kill()
            assert eventually(lambda: b"CONNECTIONBROKEN" in listener.last("connection"))
        with listening(broker.port) as late:
            assert eventually(lambda: b"CONNECTIONBROKEN" in late.last("connection"))
    finally:
        robot.kill()
        robot.wait()


def test_a_restarted_broker_gets_everything_again(broker: BrokerProcess | Mosquitto) -> None:
    received: list[Message] = []
    with linked(broker.port, received) as link:
        assert eventually(is_up(link))
        link.publish([Publication("factsheet", b"sheet", retain=True)])
        broker.stop()
        assert eventually(lambda: not is_up(link)())
        assert link.state.failure is not None
        assert link.state.failure.code == "BROKER_UNAVAILABLE"
        link.publish([Publication("state", b"stale")])
        broker.start()
        assert eventually(is_up(link))
        with listening(broker.port) as listener:
            link.publish([Publication("visualization", b"fresh")])
            assert eventually(lambda: listener.last("visualization") == b"fresh")
            assert eventually(lambda: b"ONLINE" in listener.last("connection"))
            assert eventually(lambda: listener.last("factsheet") == b"sheet")
            assert listener.payloads("state") == []
            listener.client.publish(f"{BASE}/order", b"go")
            assert eventually(lambda: len(received) == 1)


def test_a_stalled_broker_skips_states_instead_of_delaying_them(mosquitto: Mosquitto) -> None:
    with linked(mosquitto.port) as link, listening(mosquitto.port) as listener:
        assert eventually(is_up(link))
        mosquitto.signal(signal.SIGSTOP)
        slowest_s = 0.0
        for number in range(4000):
            start = time.perf_counter()
            link.publish([Publication("state", b"%06d" % number + b"x" * 2000)])
            slowest_s = max(slowest_s, time.perf_counter() - start)
            if number % 40 == 0:
                time.sleep(0.001)
        mosquitto.signal(signal.SIGCONT)
        assert eventually(lambda: listener.last("state")[:6] == b"003999")
        assert len(listener.payloads("state")) < 3000
        assert link.state.skipped > 1000
        assert slowest_s < 0.1


def test_a_full_slot_holds_the_newest() -> None:
    port = free_port()
    with linked(port) as link:
        for number in range(5):
            link.publish([Publication("state", b"%d" % number)])
        assert link.state.skipped == 5
        link.publish([Publication("factsheet", b"kept", retain=True)])
        assert link.state.skipped == 5


def test_no_broker_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    with linked(port) as link:
        assert eventually(lambda: link.state.failure is not None)
        time.sleep(1.3)  # a second attempt
        assert str(link.state.failure) == f"no broker listens on 127.0.0.1:{port}"
    assert capsys.readouterr().out.count("broker.lost") == 1


def test_an_unknown_name_is_explained() -> None:
    clock = SystemClock()
    presence = ConnectionReport(IDENTITY, clock)
    params = BrokerParams(host="no-such-host.invalid")
    link = MqttLink(params, BASE, {}, presence, lambda message: None, clock)
    thread = threading.Thread(target=link.run)
    thread.start()
    assert eventually(lambda: link.state.failure is not None)
    assert "not known to the network" in str(link.state.failure)
    link.close()
    thread.join(5)


def test_something_that_is_no_broker_is_explained() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        with linked(server.getsockname()[1], keepalive_s=2) as link:
            visitor, _ = server.accept()
            with visitor:
                visitor.recv(1000)
                visitor.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                assert eventually(lambda: link.state.failure is not None)
                assert str(link.state.failure) == "the broker does not answer"


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="no mosquitto_passwd")
def test_a_wrong_password_is_explained_and_the_right_one_works(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, password="secret")
    secret = tmp_path / "password"
    broker.start()
    try:
        for password, accepted in (("guess", False), ("secret", True)):
            secret.write_text(f"{password}\n")
            with linked(broker.port, username="robot", password_file=secret) as link:
                if accepted:
                    assert eventually(is_up(link))
                else:
                    assert eventually(lambda link=link: link.state.failure is not None)
                    assert "refuses the robot" in str(link.state.failure)
    finally:
        broker.stop()


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_an_encrypted_line_needs_a_trusted_certificate(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = "-subj /CN=broker -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [*request.split(), *names.split(), "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    broker = Mosquitto(tmp_path, extra=(f"certfile {certificate}", f"keyfile {key}"))
    broker.start()
    try:
        with linked(broker.port, tls=True, ca_file=certificate) as link:
            assert eventually(is_up(link))
            link.publish([Publication("factsheet", b"x" * 200_000, retain=True)])
            assert eventually(lambda: link.state.sent == 2)
        with linked(broker.port, tls=True) as link:
            assert eventually(lambda: link.state.failure is not None)
            assert "is not trusted" in str(link.state.failure)
    finally:
        broker.stop()


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_an_unreadable_password_is_a_configuration_error(
    tmp_path: Path, content: bytes | None
) -> None:
    secret = tmp_path / "password"
    if content is not None:
        secret.write_bytes(content)
    with (
        pytest.raises(ConfigError, match="password_file"),
        linked(1883, username="robot", password_file=secret),
    ):
        pass


def test_unreadable_certificates_are_a_configuration_error(tmp_path: Path) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    for ca_file in (broken, tmp_path / "missing.pem"):
        with (
            pytest.raises(ConfigError, match=r"\.pem"),
            linked(8883, tls=True, ca_file=ca_file),
        ):
            pass
