"""updateCertificate: the line comes about with the new certificate, or with the old one again."""

import functools
import http.server
import shutil
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.clock import SimulatedClock, SystemClock
from agent.errors import ActionFailed, CertificateRefused, DownloadFailed
from agent.telemetry.access import BrokerParams
from agent.telemetry.broker import MqttLink
from agent.vda5050.connection import ConnectionReport
from agent.vda5050.storage import certificates
from agent.vda5050.storage.certificates import CertificateUpdate, Line
from agent.vda5050.storage.link import LinkReader
from agent.vda5050.storage.params import StorageParams
from tests.agent.telemetry.authority import Authority
from tests.agent.telemetry.test_broker_security import (
    BASE,
    IDENTITY,
    Broker,
    eventually,
    needs_mosquitto,
)

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    for name in ("broker", "server"):
        authority.issue(name)
    for name in ("old", "new"):
        authority.issue(name, kind="client")
    other = Authority(authority.directory / "other", "another authority")
    other.issue("foreign", kind="client")
    return authority


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[str]:
    """The authority's directory over TLS."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(authority.directory))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.directory / "server.pem", authority.directory / "server.key")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        served.socket = context.wrap_socket(served.socket, server_side=True)
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"https://localhost:{served.server_port}"
        served.shutdown()
        thread.join()


def links(server: str, name: str, key: str | None = None) -> dict[str, str]:
    return {
        "certificate_file": f"{server}/{name}.pem",
        "key_file": f"{server}/{key or name}.key",
    }


class Robot:
    """The files of a robot, and what replaces them."""

    def __init__(
        self, directory: Path, authority: Authority, server: str, line: Callable[[], Line]
    ) -> None:
        self.files = {}
        for key, name in (("certificate_file", "old.pem"), ("key_file", "old.key")):
            self.files[key] = directory / name
            shutil.copy(authority.directory / name, self.files[key])
        params = StorageParams(directory=directory, allow=(server,), ca_file=authority.certificate)
        clock = SystemClock()
        reader = LinkReader(params, clock)
        self.update = CertificateUpdate(self.files, reader, line, clock, lambda: False)

    @property
    def content(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.files.values())

    @property
    def leftovers(self) -> list[str]:
        home = self.files["key_file"].parent
        return [path.name for path in home.iterdir() if path.suffix in (".before", ".after")]


def content(authority: Authority, name: str) -> bytes:
    return b"".join((authority.directory / f"{name}.{end}").read_bytes() for end in ("pem", "key"))


@contextmanager
def linked(robot_files: dict[str, Path], authority: Authority, port: int) -> Iterator[MqttLink]:
    clock = SystemClock()
    params = BrokerParams(
        host="localhost", port=port, tls=True, ca_file=authority.certificate,
        longest_retry_s=0.2, **robot_files,
    )  # fmt: skip
    report = ConnectionReport(IDENTITY, clock)
    link = MqttLink(params, BASE, {"order": 0}, report, lambda message: None, clock)
    thread = threading.Thread(target=link.run)
    thread.start()
    try:
        yield link
    finally:
        link.close()
        thread.join()


@needs_mosquitto
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "is_taken"), [("new", True), ("other/foreign", False), ("server", False)]
)
def test_a_real_broker_decides(
    tmp_path: Path,
    authority: Authority,
    server: str,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    *,
    is_taken: bool,
) -> None:
    monkeypatch.setattr(certificates, "PATIENCE_NS", 8_000_000_000)
    monkeypatch.setattr(certificates, "SETTLED_NS", 300_000_000)
    broker = Broker(tmp_path)
    broker.start(
        "require_certificate true",
        f"cafile {authority.certificate}",
        pair=(authority.directory / "broker.pem", authority.directory / "broker.key"),
    )
    place: list[MqttLink] = []

    def line() -> Line:
        state = place[0].state
        return Line(state.connected_since_ns, state.failure.detail if state.failure else "")

    robot = Robot(tmp_path, authority, server, line)
    try:
        with linked(robot.files, authority, broker.port) as link:
            place.append(link)
            assert eventually(lambda: link.state.connected_since_ns is not None)
            if is_taken:
                robot.update.perform(links(server, name))
                assert robot.content == content(authority, name)
            else:
                with pytest.raises(CertificateRefused) as refusal:
                    robot.update.perform(links(server, name))
                assert len(refusal.value.detail) > 10
                assert robot.content == content(authority, "old")
            assert robot.leftovers == []
            assert eventually(lambda: link.state.connected_since_ns is not None)
    finally:
        broker.stop()


def never() -> Line:
    pytest.fail("the files must not have been replaced")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda s: links(s, "new", "old"), "cannot be used"),
        (lambda s: links(s, "none"), "404"),
        (lambda s: links(s, "old") | {"key_file": f"{s}/new.cnf"}, "cannot be used"),
        (lambda s: {k: v.replace("https", "http") for k, v in links(s, "new").items()}, "https"),
        (lambda s: links(s, "new") | {"ca_file": f"{s}/ca.pem"}, "no ca_file"),
        (lambda s: links("https://elsewhere.example", "new"), "allow"),
    ],
)
def test_what_cannot_be_used_replaces_nothing(
    tmp_path: Path,
    authority: Authority,
    server: str,
    given: Callable[[str], dict[str, str]],
    words: str,
) -> None:
    robot = Robot(tmp_path, authority, server, never)
    with pytest.raises(ActionFailed, match=words):
        robot.update.perform(given(server))
    assert robot.content == content(authority, "old")
    assert robot.leftovers == []


def test_a_power_cut_before_the_proof_takes_the_old_ones_back(
    tmp_path: Path, authority: Authority, server: str
) -> None:
    class Cut(BaseException):
        pass

    def line() -> Line:
        raise Cut

    robot = Robot(tmp_path, authority, server, line)
    with pytest.raises(Cut):
        robot.update.perform(links(server, "new"))
    assert robot.content == content(authority, "new")
    assert all(path.stat().st_mode & 0o077 == 0 for path in robot.files.values())
    assert robot.update.recover()
    assert robot.content == content(authority, "old")
    assert not robot.update.recover()


def test_a_line_that_never_comes_about_is_given_up(
    tmp_path: Path, authority: Authority, server: str
) -> None:
    robot = Robot(tmp_path, authority, server, lambda: Line(None, "no broker listens"))
    robot.update._clock = SimulatedClock()
    with pytest.raises(CertificateRefused, match="no broker listens"):
        robot.update.perform(links(server, "new"))
    assert robot.content == content(authority, "old")


def test_without_tls_nothing_is_fetched(tmp_path: Path, authority: Authority) -> None:
    robot = Robot(tmp_path, authority, "https://localhost:1", never)
    with pytest.raises(DownloadFailed):
        robot.update.perform(links("https://localhost:1", "new"))
