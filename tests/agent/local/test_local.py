import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import DaemonRunning, DaemonUnreachable
from agent.local.client import ask
from agent.local.server import LocalServer


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "run" / "haulier.sock"
    server = LocalServer(path, {"status": lambda request: {"got": request.get("x")}})
    stop = threading.Event()
    thread = threading.Thread(target=server.serve, args=(stop,))
    thread.start()
    yield path
    stop.set()
    thread.join(5.0)
    assert not path.exists()


def test_a_question_is_answered(door: Path) -> None:
    assert ask(door, "status", x=3) == {"got": 3}
    assert ask(door, "status", x="ü") == {"got": "ü"}


def test_an_unknown_verb_names_the_known_ones(door: Path) -> None:
    with pytest.raises(DaemonUnreachable, match="no such verb; known: status"):
        ask(door, "stauts")


@pytest.mark.parametrize("line", [b"{\n", b"[1]\n", b'"status"\n', b"\xff\xfe\n", b"\n"])
def test_nonsense_is_answered_and_the_next_client_is_served(door: Path, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(door))
        client.sendall(line)
        assert "error" in json.loads(client.recv(4096))
    assert ask(door, "status") == {"got": None}


def test_a_client_that_hangs_up_does_no_harm(door: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(door))
    assert ask(door, "status") == {"got": None}


def test_only_owner_and_group_may_talk(door: Path) -> None:
    assert door.stat().st_mode & 0o777 == 0o660


def test_a_second_daemon_is_refused(door: Path) -> None:
    with pytest.raises(DaemonRunning, match="already answers"):
        LocalServer(door, {})
    assert ask(door, "status") == {"got": None}


def test_the_socket_of_a_daemon_that_died_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "haulier.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    stop = threading.Event()
    stop.set()
    LocalServer(path, {}).serve(stop)
    assert not path.exists()


def test_no_daemon_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnreachable, match=r"none\.sock"):
        ask(tmp_path / "none.sock", "status")
