import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.telemetry.watchdog import ServiceManager


@pytest.fixture
def manager_socket(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.settimeout(1.0)
        yield receiver, path


def test_messages_are_those_of_sd_notify(manager_socket: tuple[socket.socket, str]) -> None:
    receiver, path = manager_socket
    manager = ServiceManager({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"})
    assert manager.watchdog_period_ns == 1_000_000_000
    manager.ready("running")
    manager.status("standing")
    manager.alive()
    manager.stopping()
    manager.close()
    received = [receiver.recv(256) for _ in range(4)]
    assert received == [
        b"READY=1\nSTATUS=running",
        b"STATUS=standing",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


def test_the_abstract_namespace_is_understood() -> None:
    name = "@haulier-test-notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name[1:])
        receiver.settimeout(1.0)
        manager = ServiceManager({"NOTIFY_SOCKET": name})
        manager.alive()
        manager.close()
        assert receiver.recv(64) == b"WATCHDOG=1"


def test_without_a_manager_nothing_happens() -> None:
    manager = ServiceManager({})
    assert manager.watchdog_period_ns == 0
    manager.ready("running")
    manager.close()


def test_a_manager_that_went_away_does_no_harm(tmp_path: Path) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    manager.alive()
    manager.close()
