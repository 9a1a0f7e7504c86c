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
STOP_S = 10.0
SETTINGS = (
    "allow_anonymous true",
    "persistence true",
    # Saved after every change, so that a killed broker has what it acknowledged.
    "autosave_on_changes true",
    "autosave_interval 1",
    "max_queued_messages 0",
    "max_inflight_messages 0",
)

IN_MEMORY = ("allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 0")


def executable() -> str | None:
    """Return mosquitto's path, None where it is not installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class Mosquitto:
    """A mosquitto on one port for all its lives.

    Args:
        directory: For its configuration and what it keeps.
        clock: To wait with.
        persistent: Whether it keeps anything.
        more: Further lines of its configuration.
    """

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        persistent: bool = True,
        more: tuple[str, ...] = (),
    ) -> None:
        self.port = free_port()
        self.kills = 0
        self._config = directory / "mosquitto.conf"
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        settings = SETTINGS if persistent else IN_MEMORY
        lines = (
            f"listener {self.port} {LOOPBACK}",
            f"persistence_location {directory}/",
            # Started by root it would otherwise become a user who may not write there.
            f"user {_owner(directory)}",
            *settings,
            *more,
        )
        self._config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            BrokerUnavailable: It is not installed, or does not listen.
        """
        program = executable()
        if program is None:
            raise BrokerUnavailable("mosquitto is not installed on this computer")
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
                self.stop()
                raise BrokerUnavailable(f"mosquitto does not listen on {LOOPBACK}:{self.port}")
            self._clock.wait_until_ns(self._clock.now_ns() + POLL_NS)

    @property
    def pid(self) -> int:
        """Its process, 0 while there is none."""
        return 0 if self._process is None else self._process.pid

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.kills += 1

    def stop(self) -> None:
        """Ask it to end; safe to call twice."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.port)) == 0


def _owner(directory: Path) -> str:
    return directory.owner()
