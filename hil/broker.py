"""An MQTT broker for demo, bench and tests: amqtt, in a process of its own, on loopback only.

``python -m hil.broker --port 1883``

Verified with amqtt 0.12.1: retained messages, wills after a killed client, wanted disconnects.
Where it differs from MQTT 3.1.1 (harmless to us): a subscriber may get a retained message twice,
messages come with the publisher's QoS even where the subscription asked for less, and a second
client with the same id does not end the first.
"""

import argparse
import asyncio
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from amqtt.broker import Broker
from amqtt.errors import BrokerError

from agent.errors import BrokerUnavailable

LOOPBACK = "127.0.0.1"


async def serve(port: int) -> None:
    """Run the broker until the process is told to end."""
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{LOOPBACK}:{port}"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
            },
        }
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await broker.start()
    sys.stdout.write(f"listening on {LOOPBACK}:{port}\n")
    sys.stdout.flush()
    await ended.wait()
    await broker.shutdown()


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody uses."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


class BrokerProcess:
    """The broker as a child process; as a context manager it listens once entered."""

    def __init__(self, port: int | None = None) -> None:
        self.port = free_port() if port is None else port
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the broker and wait until it listens.

        Raises:
            BrokerUnavailable: It ended instead, as when the port is taken.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hil.broker", "--port", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # A Ctrl-C at the terminal is for the parent, which then stops its broker itself.
            start_new_session=True,
        )
        announcement = self._process.stdout.readline() if self._process.stdout else b""
        if not announcement:
            self.stop()
            raise BrokerUnavailable(f"the bench's broker cannot listen on {LOOPBACK}:{self.port}")

    def stop(self) -> None:
        """End the broker; safe to call twice."""
        if self._process is None:
            return
        with self._process as process:
            process.terminate()
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
        self._process = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the broker in this process; the first line on stdout says that it listens."""
    parser = argparse.ArgumentParser(prog="python -m hil.broker", description=__doc__)
    parser.add_argument("--port", type=int, default=1883)
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # amqtt logs a traceback of what it raises anyway
    try:
        asyncio.run(serve(options.port))
    except BrokerError as error:
        sys.stderr.write(f"{error}\n")
        return BrokerUnavailable.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
