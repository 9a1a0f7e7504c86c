"""A cluster of three NATS servers with JetStream and MQTT, as child processes on loopback.

NATS documentation: "JetStream clustering", "MQTT configuration". Each message of QoS 1 is on the
disks of two of three nodes before it is acknowledged (``stream_replicas: 3``), so one may die.
"""

import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.clock import Clock
from agent.errors import BrokerUnavailable
from hil.broker import LOOPBACK, free_port

NODES: Final = 3
START_NS: Final = 60_000_000_000
POLL_NS: Final = 200_000_000
STOP_S: Final = 10.0

CONFIG: Final = """\
server_name: node{number}
listen: "{host}:{client}"
jetstream {{ store_dir: "{store}" }}
mqtt {{ listen: "{host}:{mqtt}", stream_replicas: {nodes}, ack_wait: "30s", max_ack_pending: 1000 }}
cluster {{ name: plant, listen: "{host}:{cluster}", routes: [{routes}] }}
"""


def executable() -> str | None:
    """Return the server's path, None where it is not installed."""
    return shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")


class NatsCluster:
    """Three nodes; as a context manager they let robots in once entered.

    Args:
        directory: For configuration, logs and streams.
        clock: To wait with.

    Attributes:
        ports: Where each node takes MQTT.
    """

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self.ports = tuple(free_port() for _ in range(NODES))
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            BrokerUnavailable: It is not installed, or lets nobody in.
        """
        program = executable()
        if program is None:
            raise BrokerUnavailable("nats-server is not installed on this computer")
        inner = [free_port() for _ in range(NODES)]
        routes = ", ".join(f'"nats://{LOOPBACK}:{port}"' for port in inner)
        for number, port in enumerate(self.ports):
            config = self._directory / f"node{number}.conf"
            config.write_text(
                CONFIG.format(
                    number=number,
                    host=LOOPBACK,
                    client=free_port(),
                    store=self._directory / f"node{number}",
                    mqtt=port,
                    nodes=NODES,
                    cluster=inner[number],
                    routes=routes,
                ),
                encoding="utf-8",
            )
            self._processes[number] = subprocess.Popen(
                [program, "-c", config, "-l", self._directory / f"node{number}.log"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            self._await()
        except BrokerUnavailable:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def kill(self, number: int) -> None:
        """End a node as a power cut does."""
        process = self._processes.pop(number)
        process.kill()
        process.wait()

    def pids(self) -> list[int]:
        """Return the processes that live."""
        return [process.pid for process in self._processes.values()]

    def _await(self) -> None:
        """Wait until each node lets a client in, for which the streams must have a leader."""
        deadline_ns = self._clock.now_ns() + START_NS
        for port in self.ports:
            while not _lets_in(port):
                if self._clock.now_ns() > deadline_ns:
                    raise BrokerUnavailable(f"the NATS node on {LOOPBACK}:{port} lets nobody in")
                self._clock.wait_until_ns(self._clock.now_ns() + POLL_NS)

    def _stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes = {}


def _lets_in(port: int) -> bool:
    with socket.socket() as probe:
        if probe.connect_ex((LOOPBACK, port)) != 0:
            return False
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="probe")
    try:
        client.connect(LOOPBACK, port, 10)
        for _ in range(20):
            if client.loop(0.2) is not paho.MQTT_ERR_SUCCESS:
                return False
            if client.is_connected():
                client.disconnect()
                return True
    except OSError:
        return False
    return False
