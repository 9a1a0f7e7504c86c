import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError, DaemonRunning, DaemonUnreachable
from agent.local.client import ask
from agent.local.server import LONGEST_REQUEST, LocalServer

HANDLERS = {"echo": lambda request: {"heard": request}, "empty": lambda _: {}}


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a server that runs."""
    path = tmp_path_factory.mktemp("local") / "run" / "haulier.sock"
    server, stop = LocalServer(path, HANDLERS), threading.Event()
    thread = threading.Thread(target=server.serve, args=(stop,))
    thread.start()
    yield path
    stop.set()
    thread.join(5.0)
    assert not thread.is_alive()
    assert not path.exists()


def say(path: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5.0)
        client.connect(str(path))
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as stream:
            return stream.readline()


def test_a_request_reaches_its_handler_with_its_arguments(path):
    assert ask(path, "echo", depth=3) == {"heard": {"verb": "echo", "depth": 3}}
    assert ask(path, "empty") == {}


def test_group_may_talk_and_others_may_not(path):
    assert path.stat().st_mode & 0o777 == 0o660


def test_an_unknown_verb_is_answered_with_those_that_exist(path):
    with pytest.raises(DaemonUnreachable, match="no such verb; known: echo, empty"):
        ask(path, "dance")


@pytest.mark.parametrize(
    "data",
    [
        b"\n", b"", b"{\n", b"\xff\xfe\n", b"[]\n", b'{"verb": []}\n', b"null\n",
        b"[" * 60_000 + b"\n", b"x" * (LONGEST_REQUEST - 1) + b"\n",
    ],
    ids=lambda data: f"{data[:8]!r} {len(data)}",
)  # fmt: skip
def test_no_request_ends_the_server(path, data):
    assert b"error" in say(path, data)
    assert ask(path, "empty") == {}


@given(data=st.binary(max_size=300))
def test_no_bytes_end_the_server(path_forever, data):
    say(path_forever, data + b"\n")
    assert ask(path_forever, "empty") == {}


@pytest.fixture(scope="module")
def path_forever(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("local") / "haulier.sock"
    server, stop = LocalServer(path, HANDLERS), threading.Event()
    thread = threading.Thread(target=server.serve, args=(stop,))
    thread.start()
    yield path
    stop.set()
    thread.join(5.0)


def test_a_client_that_hangs_up_is_no_trouble(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    assert ask(path, "empty") == {}


def test_no_daemon(tmp_path):
    with pytest.raises(DaemonUnreachable, match=r"haulier\.sock: No such file or directory"):
        ask(tmp_path / "haulier.sock", "status")


def test_the_socket_of_a_dead_daemon_is_taken_over(tmp_path):
    path = tmp_path / "haulier.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(DaemonUnreachable, match="Connection refused"):
        ask(path, "status")
    server, stop = LocalServer(path, HANDLERS), threading.Event()
    stop.set()
    server.serve(stop)


def test_a_second_daemon_is_refused_and_the_first_goes_on(path):
    with pytest.raises(DaemonRunning, match="already answers"):
        LocalServer(path, HANDLERS)
    assert ask(path, "empty") == {}


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "hall.yaml"
    path.write_text("precious")
    with pytest.raises(ConfigError, match="something else than a socket"):
        LocalServer(path, HANDLERS)
    assert path.read_text() == "precious"


def test_a_place_where_no_socket_can_be(tmp_path):
    with pytest.raises(ConfigError, match=r"local\.socket: .*too long"):
        LocalServer(tmp_path / ("x" * 120), HANDLERS)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"local\.socket: .*[Nn]ot a directory|exists"):
        LocalServer(tmp_path / "file" / "haulier.sock", HANDLERS)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="Permission denied"):
        LocalServer(tmp_path / "haulier.sock", HANDLERS)


def test_a_daemon_that_hangs_up_without_an_answer(tmp_path):
    path = tmp_path / "haulier.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def hang_up() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(100)

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(DaemonUnreachable, match="hung up"):
            ask(path, "status")
        thread.join()
