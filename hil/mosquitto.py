"""The broker that plants run: mosquitto, as a child process on loopback, for the bench's cases."""

import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.clock import Clock
from agent.errors import BrokerUnavailable
from hil.broker import LOOPBACK, free_port

START_NS = 8_000_000_000
POLL_NS = 20_000_000
STOP_S = 5.0


def executable() -> str | None:
    """Return mosquitto's path, None where it is not installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class MosquittoProcess:
    """A mosquitto of its own; as a context manager it listens once entered.

    Args:
        directory: For its configuration.
        clock: To wait for it with.
    """

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.port = free_port()
        self._config = directory / "mosquitto.conf"
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            BrokerUnavailable: It is not installed, or does not listen.
        """
        program = executable()
        if program is None:
            raise BrokerUnavailable("mosquitto is not installed on this computer")
        lines = (f"listener {self.port} {LOOPBACK}", "allow_anonymous true", "persistence false")
        self._config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._process = subprocess.Popen(
            [program, "-c", self._config],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline_ns = self._clock.now_ns() + START_NS
        while not self._listens():
            if self._clock.now_ns() > deadline_ns or self._process.poll() is not None:
                self._stop()
                raise BrokerUnavailable(f"mosquitto does not listen on {LOOPBACK}:{self.port}")
            self._clock.wait_until_ns(self._clock.now_ns() + POLL_NS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.port)) == 0

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
