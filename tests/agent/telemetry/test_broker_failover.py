"""Several brokers: the robots of a fleet spread over them, and move on when one fails."""

import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.telemetry.access import BrokerParams
from agent.telemetry.broker import MqttLink
from hil.broker import free_port
from tests.agent.telemetry.test_broker_security import (
    MOSQUITTO,
    eventually,
    is_up,
    linked,
    listens,
    needs_mosquitto,
)


class Cluster:
    """Brokers that know nothing of each other."""

    def __init__(self, directory: Path, count: int) -> None:
        self.ports = [free_port() for _ in range(count)]
        self._directory = directory
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(f"127.0.0.1:{port}" for port in self.ports)

    def start(self, port: int) -> None:
        config = self._directory / f"{port}.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n")
        self._processes[port] = subprocess.Popen(
            [MOSQUITTO or "mosquitto", "-c", config],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert eventually(lambda: listens(port))

    def kill(self, port: int) -> None:
        process = self._processes.pop(port)
        process.kill()
        process.wait()

    def stop(self) -> None:
        for port in list(self._processes):
            self.kill(port)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, 3)
    yield cluster
    cluster.stop()


@needs_mosquitto
def test_the_robot_moves_to_the_next_broker_at_once(cluster: Cluster) -> None:
    for port in cluster.ports:
        cluster.start(port)
    with linked(hosts=cluster.hosts, longest_retry_s=30.0) as link:
        assert eventually(lambda: is_up(link))
        for _ in range(2):
            port = link.state.address.port
            cluster.kill(port)
            killed = time.monotonic()
            assert eventually(lambda port=port: is_up(link) and link.state.address.port != port)
            assert time.monotonic() - killed < 1.0


@needs_mosquitto
def test_dead_brokers_of_the_list_cost_no_pause(cluster: Cluster) -> None:
    cluster.start(cluster.ports[0])
    with linked(hosts=cluster.hosts, longest_retry_s=30.0) as link:
        assert eventually(lambda: is_up(link), 1.0)
        assert link.state.address.port == cluster.ports[0]


def test_the_robots_of_a_fleet_spread_over_the_brokers() -> None:
    params = BrokerParams(hosts=("a", "b", "c"))
    clock = SystemClock()
    links = [
        MqttLink(params, f"uagv/v2/acme/robot-{number:03}", {}, None, lambda _: None, clock)
        for number in range(200)
    ]
    for link in links:
        link.close()
        link.run()
    counts = Counter(link.state.address.host for link in links)
    assert set(counts) == {"a", "b", "c"}
    assert min(counts.values()) > 45
