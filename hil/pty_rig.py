"""The whole robot in real time: the daemon as its own process, its devices on ptys, a broker.

The plant runs in a process of its own too; what the daemon sees are two device nodes and a TCP
port, as on a robot.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from agent.clock import Clock
from agent.errors import DaemonUnreachable
from agent.local.client import ask
from hil.bench_process import BenchClient, BenchSpec
from hil.errors import BenchError

START_TIMEOUT_NS = 120_000_000_000  # a cold start compiles every kernel
POLL_NS = 100_000_000
STOP_TIMEOUT_S = 15.0


class PtyRig:
    """Bench process and daemon; as a context manager both run once it is entered.

    Args:
        spec: Of the bench; its directory holds device nodes, sockets, logs and configuration.
        config: Configuration file of the daemon.
        clock: To wait with.
        environment: Of the daemon, over that of this process.
    """

    def __init__(
        self,
        spec: BenchSpec,
        config: Path,
        clock: Clock,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._spec = spec
        self._config = config
        self._clock = clock
        self._environment = dict(environment)
        self._socket = spec.directory / "haulier.sock"
        self._stack = ExitStack()
        self.log = spec.directory / "haulier.log"
        self.bench: BenchClient
        self.daemon: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            spec_file = self._spec.directory / "bench.json"
            spec_file.write_text(self._spec.model_dump_json(), encoding="utf-8")
            stack.callback(_stop, _start(["hil.bench_process", "--spec", spec_file]))
            self.bench = stack.enter_context(BenchClient(self._spec.directory, self._clock, 60.0))
            self.start_daemon()
            stack.callback(self.stop_daemon)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def start_daemon(self, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        """Start the daemon, again where it was stopped.

        Args:
            environment: What is different from now on.
        """
        self._environment |= environment
        with self.log.open("ab") as log:
            words = ["agent", "run", "--config", self._config]
            self.daemon = _start(words, log, os.environ | self._environment)

    def kill_daemon(self) -> None:
        """End the daemon as a power cut does: it gets to do nothing any more."""
        self.daemon.kill()
        self.daemon.wait()

    def stop_daemon(self) -> int:
        """Ask the daemon to end, and return its exit status."""
        return _stop(self.daemon)

    def status(self) -> dict[str, Any]:
        """Return what ``haulier status --json`` prints; raises DaemonUnreachable."""
        return ask(self._socket, "status")

    def scan_points(self) -> list[tuple[float, float]]:
        """Return the daemon's newest scan as points on its map."""
        return [(x_m, y_m) for x_m, y_m in ask(self._socket, "scan")["points_m"]]

    def wait_until_ready(self) -> dict[str, Any]:
        """Wait until devices deliver and the robot knows where it is.

        Raises:
            BenchError: The daemon ended, or was not ready in time; the text says what it said.
        """
        deadline_ns = self._clock.now_ns() + START_TIMEOUT_NS
        while self._clock.now_ns() < deadline_ns:
            if self.daemon.poll() is not None:
                raise BenchError(f"the daemon ended: {self._last_words()}")
            try:
                status = self.status()
            except DaemonUnreachable:
                status = {}
            if status.get("devices") and not status["complaints"]:
                return status
            self._clock.wait_until_ns(self._clock.now_ns() + POLL_NS)
        raise BenchError(f"the daemon is not ready: {status.get('complaints')}")

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " / ".join(lines[-3:]) or "without a word"


def _start(
    words: list[Any], output: Any = None, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=environment,
        # A Ctrl-C at the terminal is for the rig, which then stops its processes in order.
        start_new_session=True,
    )


def _stop(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()
