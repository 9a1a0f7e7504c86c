"""The link's encrypted line against a real mosquitto: whom it trusts, and who trusts it."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from agent import errors
from agent.clock import SystemClock
from agent.errors import BrokerUnavailable, ConfigError
from agent.telemetry.access import BrokerParams
from agent.telemetry.broker import MqttLink
from agent.telemetry.credentials import Credentials
from agent.telemetry.publication import Publication
from agent.telemetry.retry import Retry
from agent.vda5050.connection import ConnectionReport
from agent.vda5050.identity import Identity
from hil.broker import free_port
from tests.agent.telemetry.authority import GONE, TO_COME, Authority

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
IDENTITY = Identity("acme", "R1")
BASE = "uagv/v2/acme/R1"

needs_mosquitto = pytest.mark.skipif(
    MOSQUITTO is None or shutil.which("openssl") is None,
    reason="mosquitto or openssl is not installed",
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    authority = Authority(tmp_path_factory.mktemp("authority"))
    authority.issue("broker")
    return authority


class Broker:
    """A mosquitto that can be started again with another configuration."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *lines: str, pair: tuple[Path, Path] | None = None) -> None:
        own = [f"listener {self.port} 127.0.0.1", "user root", "persistence false"]
        if pair is not None:
            own += [f"certfile {pair[0]}", f"keyfile {pair[1]}"]
        if not any("allow_anonymous" in line for line in lines):
            own.append("allow_anonymous true")
        config = self._directory / "mosquitto.conf"
        config.write_text("\n".join([*own, *lines]))
        self._process = subprocess.Popen(
            [MOSQUITTO or "mosquitto", "-c", config],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert eventually(lambda: listens(self.port))

    def reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(5)
            self._process = None


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.stop()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def eventually(condition: Callable[[], object], within_s: float = 8.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())


@contextmanager
def linked(**params: object) -> Iterator[MqttLink]:
    clock = SystemClock()
    link = MqttLink(
        BrokerParams(**{"host": "localhost", "longest_retry_s": 0.1, **params}),  # type: ignore[arg-type]
        BASE,
        {"order": 0},
        ConnectionReport(IDENTITY, clock),
        lambda message: None,
        clock,
        rng=np.random.default_rng(1),
    )
    thread = threading.Thread(target=link.run)
    thread.start()
    try:
        yield link
    finally:
        link.close()
        thread.join(5)
        assert not thread.is_alive()


def failure_of(link: MqttLink) -> BrokerUnavailable:
    assert eventually(lambda: link.state.failure is not None)
    failure = link.state.failure
    assert failure is not None
    assert link.state.connected_since_ns is None
    return failure


def is_up(link: MqttLink) -> bool:
    return link.state.connected_since_ns is not None


@needs_mosquitto
@pytest.mark.parametrize(
    ("flaw", "kind", "reason"),
    [
        ("wrong host", errors.BrokerMisnamed, "is for another host name"),
        ("expired", errors.BrokerOutdated, "has expired"),
        ("not yet", errors.BrokerOutdated, "is not valid yet"),
        ("revoked", errors.BrokerRevoked, "was revoked"),
        ("self-signed", errors.BrokerUntrusted, "self-signed"),
        ("other authority", errors.BrokerUntrusted, "does not know its authority"),
        ("client's", errors.BrokerUntrusted, "is not one for servers"),
        ("old list", errors.BrokerUntrusted, "the list in crl_file has expired"),
    ],
)
def test_a_broker_that_proves_nothing_gets_nothing(
    tmp_path: Path,
    authority: Authority,
    broker: Broker,
    flaw: str,
    kind: type[BrokerUnavailable],
    reason: str,
) -> None:
    pair, extra = (authority.directory / "broker.pem", authority.directory / "broker.key"), {}
    match flaw:
        case "wrong host":
            pair = authority.issue("elsewhere", names="DNS:elsewhere.example")
        case "expired":
            pair = authority.issue("expired", *GONE)
        case "not yet":
            pair = authority.issue("future", *TO_COME)
        case "revoked":
            pair = authority.issue("revoked")
            authority.revoke("revoked")
            extra["crl_file"] = authority.crl("revoked")
        case "self-signed":
            pair = authority.self_signed(
                "lone", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"
            )
        case "other authority":
            pair = Authority(tmp_path / "other", "another").issue("broker")
        case "client's":
            pair = authority.issue("robot-as-broker", kind="client")
        case "old list":
            extra["crl_file"] = authority.crl(
                "broker", "-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200201000000Z"
            )
    broker.start(pair=pair)
    params = {"port": broker.port, "tls": True, "ca_file": authority.certificate, **extra}
    with linked(**params) as link:
        failure = failure_of(link)
        assert type(failure) is kind
        assert reason in failure.detail
        assert link.state.sent == 0
        broker.stop()
        good = (authority.directory / "broker.pem", authority.directory / "broker.key")
        if flaw != "old list":
            broker.start(pair=good)
            assert eventually(lambda: is_up(link)), "it keeps trying by itself"


@needs_mosquitto
def test_a_good_broker_passes_every_check(authority: Authority, broker: Broker) -> None:
    broker.start(pair=(authority.directory / "broker.pem", authority.directory / "broker.key"))
    crl = authority.crl("broker")
    params = {"port": broker.port, "tls": True, "ca_file": authority.certificate, "crl_file": crl}
    with linked(**params) as link:
        assert eventually(lambda: is_up(link))
        link.publish([Publication("factsheet", b"x" * 200_000, retain=True)])
        assert eventually(lambda: link.state.sent == 2)


@needs_mosquitto
@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        ("none", "the robot has none to show"),
        ("expired", "the robot's certificate has expired"),
        ("revoked", "the robot's certificate was revoked"),
        ("other authority", "does not know the authority"),
    ],
)
def test_a_robot_whose_certificate_is_refused_says_why(
    tmp_path: Path, authority: Authority, broker: Broker, flaw: str, reason: str
) -> None:
    name = f"robot-{flaw.replace(' ', '-')}"
    issuer = Authority(tmp_path / "other", "another") if flaw == "other authority" else authority
    pair = issuer.issue(name, *(GONE if flaw == "expired" else ()), kind="client")
    if flaw == "revoked":
        authority.revoke(name)
    broker.start(
        f"cafile {authority.certificate}",
        "require_certificate true",
        f"crlfile {authority.crl('broker')}",
        pair=(authority.directory / "broker.pem", authority.directory / "broker.key"),
    )
    own = {} if flaw == "none" else {"certificate_file": pair[0], "key_file": pair[1]}
    with linked(port=broker.port, tls=True, ca_file=authority.certificate, **own) as link:
        failure = failure_of(link)
        assert type(failure) is errors.RobotRefused
        assert reason in failure.detail


@needs_mosquitto
def test_there_is_no_way_back_to_plain_text(authority: Authority, broker: Broker) -> None:
    broker.start()  # plain
    with linked(port=broker.port, tls=True, ca_file=authority.certificate) as link:
        failure = failure_of(link)
        assert type(failure) is BrokerUnavailable
        time.sleep(0.5)
        assert not is_up(link)
        assert link.state.sent == 0


def test_an_old_protocol_is_refused(authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.directory / "broker.pem", authority.directory / "broker.key")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]

        def serve() -> None:
            visitor, _ = server.accept()
            with visitor, pytest.raises(ssl.SSLError):
                context.wrap_socket(visitor, server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        params = {"longest_retry_s": 30.0, "port": port}
        with linked(tls=True, ca_file=authority.certificate, **params) as link:
            assert "TLS of version 1.2" in failure_of(link).detail
        thread.join(5)


@needs_mosquitto
@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="no mosquitto_passwd")
@pytest.mark.parametrize("protocol", ["mqtt", "mqtt5"])
@pytest.mark.parametrize(("user", "password"), [("stranger", "right"), ("robot", "wrong")])
def test_a_wrong_account_is_refused(
    tmp_path: Path, broker: Broker, protocol: str, user: str, password: str
) -> None:
    accounts, secret = tmp_path / "accounts", tmp_path / "password"
    tool = shutil.which("mosquitto_passwd") or "mosquitto_passwd"
    subprocess.run([tool, "-b", "-c", accounts, "robot", "right"], check=True)
    broker.start("allow_anonymous false", f"password_file {accounts}")
    secret.write_text(password)
    params = {"platform": protocol, "port": broker.port, "password_file": secret}
    with linked(username=user, **params) as link:
        failure = failure_of(link)
        assert type(failure) is errors.RobotRefused
        assert f"as user {user!r}" in failure.detail
        assert "not authorized" in failure.detail or "is wrong" in failure.detail
        if user == "robot":
            secret.write_text("right")
            assert eventually(lambda: is_up(link)), "the file is read again at every attempt"


@needs_mosquitto
@pytest.mark.slow
def test_a_rotated_certificate_is_used_without_a_restart(
    tmp_path: Path, authority: Authority, broker: Broker
) -> None:
    first = authority.issue("rotating", kind="client")
    own = tmp_path / "robot.pem", tmp_path / "robot.key"
    for source, target in zip(first, own, strict=True):
        shutil.copy(source, target)
    log = tmp_path / "broker.log"
    broker.start(
        f"cafile {authority.certificate}",
        "require_certificate true",
        "use_identity_as_username true",
        f"log_dest file {log}",
        pair=(authority.directory / "broker.pem", authority.directory / "broker.key"),
    )
    params = {"certificate_file": own[0], "key_file": own[1], "ca_file": authority.certificate}
    with linked(port=broker.port, tls=True, **params) as link:
        assert eventually(lambda: is_up(link))
        since_ns = link.state.connected_since_ns
        second = authority.issue("rotated", kind="client")
        replace_file(second[0], own[0])  # no longer fits the key: the line must stay
        time.sleep(2.5)
        assert link.state.connected_since_ns == since_ns
        replace_file(second[1], own[1])
        assert eventually(lambda: is_up(link) and link.state.connected_since_ns != since_ns)
        assert link.state.failure is None
        assert eventually(lambda: "u'rotated'" in log.read_text())
        assert "u'rotating'" in log.read_text()


def replace_file(source: Path, target: Path) -> None:
    new = target.with_suffix(".new")
    shutil.copy(source, new)
    new.replace(target)


def test_systemd_credentials_are_found_where_systemd_puts_them(tmp_path: Path) -> None:
    (tmp_path / "broker-password").write_text("from systemd\n")
    params = BrokerParams(
        username="robot", password_file=Path("$CREDENTIALS_DIRECTORY/broker-password")
    )
    there = Credentials(params, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert there.login(0).password == "from systemd"
    with pytest.raises(ConfigError, match="LoadCredential"):
        Credentials(params, {}).login(0)


def test_a_login_does_not_show_its_secret() -> None:
    params = BrokerParams()
    assert "secret" not in repr(Credentials(params, {}).login(0))


def test_a_key_behind_a_passphrase_does_not_ask_for_it(
    tmp_path: Path, authority: Authority
) -> None:
    locked = tmp_path / "locked.key"
    certificate, key = authority.issue("locked", kind="client")
    command = ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    params = BrokerParams(tls=True, certificate_file=certificate, key_file=locked)
    with pytest.raises(ConfigError, match="certificate_file: cannot use"):
        Credentials(params, {}).login(0)


def test_changes_are_told_once(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("one")
    credentials = Credentials(BrokerParams(username="robot", password_file=secret), os.environ)
    assert credentials.login(0).password == "one"
    assert not credentials.have_changed()
    secret.unlink()
    with pytest.raises(ConfigError):
        credentials.have_changed()
    assert not credentials.have_changed()
    secret.write_text("other")
    assert credentials.have_changed()
    assert not credentials.have_changed()


def test_pauses_double_up_to_their_limit_and_are_never_the_same() -> None:
    retry = Retry(1, 0, 30.0, np.random.default_rng(1))
    pauses = [retry.after(was_well=False) for _ in range(10)]
    limits = [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    assert all(limit / 2 <= pause <= limit for pause, limit in zip(pauses, limits, strict=True))
    assert len(set(pauses)) == 10
    assert retry.after(was_well=True) <= 1.0


def test_the_next_broker_is_tried_at_once_and_the_round_ends_with_a_pause() -> None:
    retry = Retry(3, 7, 30.0, np.random.default_rng(1))
    assert retry.broker == 1
    pauses, brokers = [], []
    for _ in range(6):
        pauses.append(retry.after(was_well=False))
        brokers.append(retry.broker)
    assert brokers == [2, 0, 1, 2, 0, 1]
    assert [pause < 0.25 for pause in pauses] == [True, True, False, True, True, False]


@needs_mosquitto
@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="no mosquitto_passwd")
def test_no_secret_is_ever_said(
    tmp_path: Path, authority: Authority, broker: Broker, capfd: pytest.CaptureFixture[str]
) -> None:
    accounts, secret = tmp_path / "accounts", tmp_path / "password"
    tool = shutil.which("mosquitto_passwd") or "mosquitto_passwd"
    subprocess.run([tool, "-b", "-c", accounts, "robot", "S3CRET-right"], check=True)
    certificate, key = authority.issue("secretive", kind="client")
    broker.start(
        "allow_anonymous false",
        f"password_file {accounts}",
        f"cafile {authority.certificate}",
        pair=(authority.directory / "broker.pem", authority.directory / "broker.key"),
    )
    secret.write_text("S3CRET-wrong")
    own = {"certificate_file": certificate, "key_file": key, "ca_file": authority.certificate}
    params = {"username": "robot", "password_file": secret, "port": broker.port, "tls": True}
    said = []
    with linked(**params, **own) as link:
        said.append(f"{failure_of(link)!r} {link.state!r}")
        secret.write_bytes(b"S3CRET-\xff")
        assert eventually(lambda: "UTF-8" in str(link.state.failure))
        said.append(f"{link.state.failure!r} {vars(link)!r}")
        secret.write_text("S3CRET-right")
        assert eventually(lambda: is_up(link))
        said.append(f"{link.state!r} {vars(link)!r} {vars(link._credentials)!r}")
    output = capfd.readouterr()
    everything = "\n".join([*said, output.out, output.err])
    assert "broker.connected" in everything
    assert "S3CRET" not in everything
    assert key.read_text().splitlines()[1] not in everything
