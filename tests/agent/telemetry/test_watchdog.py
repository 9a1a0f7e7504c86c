import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.telemetry.watchdog import ServiceManager


class Systemd:
    """The other end of the notification socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(2.0)
        self.environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"}

    def heard(self) -> str:
        return self.socket.recv(4096).decode()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    address = str(tmp_path / "notify")
    systemd = Systemd(address if request.param == "path" else "@" + address)
    with systemd.socket:
        yield systemd


def test_what_is_said_arrives_as_one_datagram_each(systemd):
    manager = ServiceManager(systemd.environment)
    manager.ready("running")
    manager.status("lidar lost: unplugged")
    manager.alive()
    manager.stopping()
    manager.close()
    assert [systemd.heard() for _ in range(4)] == [
        "READY=1\nSTATUS=running",
        "STATUS=lidar lost: unplugged",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_text_cannot_pass_for_an_assignment(systemd):
    manager = ServiceManager(systemd.environment)
    manager.status("odd\nREADY=1 name")
    manager.close()
    assert systemd.heard() == "STATUS=odd READY=1 name"


def test_the_watchdog_is_fed_twice_as_often_as_asked_for(systemd):
    manager = ServiceManager(systemd.environment)
    manager.close()
    assert manager.watchdog_period_ns == 1_000_000_000


def test_a_manager_that_does_not_listen_never_stalls_the_loop(systemd):
    manager = ServiceManager(systemd.environment)
    for _ in range(10_000):  # far more than the queue of a datagram socket holds
        manager.alive()
    manager.close()
    assert systemd.heard() == "WATCHDOG=1"


def test_a_manager_that_goes_away_is_no_error(systemd):
    manager = ServiceManager(systemd.environment)
    systemd.socket.close()
    manager.alive()
    manager.close()
    manager.alive()
    manager.close()


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}])
def test_without_a_manager_nothing_happens(environment):
    manager = ServiceManager(environment)
    manager.ready("running")
    manager.close()
    assert manager.watchdog_period_ns == 0
