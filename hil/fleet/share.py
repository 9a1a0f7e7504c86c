"""Some of the fleet's robots in a process of their own.

::

    python -m hil.fleet.share --spec SPEC

Every robot has its link and the thread of it, as on a robot; one thread does the work of their
control loops, each robot in its own part of the tenth of a second. A line on stdout says when all
are connected; ``go`` on stdin begins the measurement, whose result is the next line.
"""

import argparse
import gc
import json
import resource
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import BaseModel, ConfigDict

from agent.clock import Clock, SystemClock
from agent.telemetry.access import BrokerParams
from hil.fleet.robot import LightRobot
from hil.fleet.stamps import Stamps

BEAT_NS: Final = 100_000_000
CONNECT_NS: Final = 60_000_000_000
DRAIN_NS: Final = 20_000_000_000
PAGE_BYTES: Final = 4096


class ShareSpec(BaseModel):
    """Which robots, and where they report.

    Attributes:
        first: Number of the first.
        robots: How many.
        hosts: Brokers, each with its port.
        stamps: File of :class:`~hil.fleet.stamps.Stamps`.
        seconds: How long to measure.
        visualization_hz: How often each says where it is, at most 10.
        history: Directory for their journals; without it there is no history.
        boot_id: Of their histories.
        keepalive_s: Of their links.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    first: int
    robots: int
    hosts: tuple[str, ...]
    stamps: Path
    seconds: float = 10.0
    visualization_hz: float = 10.0
    history: Path | None = None
    boot_id: str = "boot"
    keepalive_s: int = 15


class Share:
    """The robots of one process.

    Args:
        spec: Which.
        clock: Real time.
    """

    def __init__(self, spec: ShareSpec, clock: Clock) -> None:
        self._spec = spec
        self._clock = clock
        self._stop = threading.Event()
        params = BrokerParams(hosts=spec.hosts, keepalive_s=spec.keepalive_s, connect_timeout_s=5.0)
        stamps = Stamps(spec.stamps)
        before_bytes = rss_bytes()
        self._robots = [
            LightRobot(
                number,
                params,
                clock,
                stamps,
                spec.visualization_hz,
                None if spec.history is None else spec.history / f"{number:04}",
                spec.boot_id,
            )
            for number in range(spec.first, spec.first + spec.robots)
        ]
        self._before_bytes = before_bytes
        self._threads = [threading.Thread(target=robot.link.run) for robot in self._robots]
        self._down_since_ns: dict[int, int] = {}
        self._downs_s: list[float] = []
        self._late_ns = 0

    def run(self, commands: Iterator[str]) -> None:
        """Work until told to stop.

        Args:
            commands: ``go``, then ``stop``.
        """
        gc.collect()
        gc.freeze()
        journals = threading.Thread(target=self._keep_journals)
        journals.start()
        for thread in self._threads:
            thread.start()
        beats = threading.Thread(target=self._beat)
        beats.start()
        _say({"connected": self._await_connections()})
        next(commands, None)
        _say(self._measure())
        next(commands, None)
        self._drain()
        _say({"made": self._made(), "sent": self._sent()})
        next(commands, None)
        self._stop.set()
        beats.join()
        for robot in self._robots:
            robot.link.close()
        for thread in self._threads:
            thread.join()
        journals.join()

    def _await_connections(self) -> int:
        deadline_ns = self._clock.now_ns() + CONNECT_NS
        while self._clock.now_ns() < deadline_ns and self._connected() < len(self._robots):
            self._clock.wait_until_ns(self._clock.now_ns() + BEAT_NS)
        return self._connected()

    def _connected(self) -> int:
        return sum(r.link.state.connected_since_ns is not None for r in self._robots)

    def _measure(self) -> dict[str, Any]:
        sent, skipped, cpu_s = self._sent(), self._skipped(), _cpu_s()
        self._downs_s.clear()
        self._late_ns = 0
        began_ns = self._clock.now_ns()
        self._clock.wait_until_ns(began_ns + round(self._spec.seconds * 1e9))
        elapsed_s = (self._clock.now_ns() - began_ns) * 1e-9
        return {
            "sent": self._sent() - sent,
            "skipped": self._skipped() - skipped,
            "cpu_s": _cpu_s() - cpu_s,
            "elapsed_s": elapsed_s,
            "memory_bytes": rss_bytes() - self._before_bytes,
            "rss_bytes": rss_bytes(),
            "beat_late_s": self._late_ns * 1e-9,
            "downs_s": list(self._downs_s),
            "still_down": len(self._down_since_ns),
        }

    def _drain(self) -> None:
        """Make nothing more, and wait until the history has arrived."""
        self._stop.set()
        deadline_ns = self._clock.now_ns() + DRAIN_NS
        while self._clock.now_ns() < deadline_ns and any(
            robot.chronicle is not None
            and (state := robot.chronicle.journal.state).waiting + state.backlog
            for robot in self._robots
        ):
            self._clock.wait_until_ns(self._clock.now_ns() + BEAT_NS)

    def _beat(self) -> None:
        """Tick the robots in turns, so that each has its own part of the beat."""
        step_ns = BEAT_NS // len(self._robots)
        due_ns = self._clock.now_ns()
        while not self._stop.is_set():
            for robot in self._robots:
                due_ns += step_ns
                now_ns = self._clock.now_ns()
                if due_ns > now_ns + 1_000_000:
                    self._clock.wait_until_ns(due_ns)
                    now_ns = self._clock.now_ns()
                robot.tick(now_ns, self._clock.utc_ns())
                self._note_line(robot, now_ns)
            self._late_ns = max(self._late_ns, self._clock.now_ns() - due_ns)
            due_ns = max(due_ns, self._clock.now_ns() - BEAT_NS)

    def _note_line(self, robot: LightRobot, now_ns: int) -> None:
        key = id(robot)
        if robot.link.state.connected_since_ns is None:
            self._down_since_ns.setdefault(key, now_ns)
        elif (since_ns := self._down_since_ns.pop(key, None)) is not None:
            self._downs_s.append((now_ns - since_ns) * 1e-9)

    def _keep_journals(self) -> None:
        """Write all journals in turns, which on robots have a thread and a disk each."""
        journals = [r.chronicle.journal for r in self._robots if r.chronicle is not None]
        threads_end = [thread.is_alive for thread in self._threads]
        while journals and (not self._stop.is_set() or any(alive() for alive in threads_end)):
            until_ns = self._clock.now_ns() + 1_000_000_000
            for journal in journals:
                journal.turn()
            self._clock.wait_until_ns(until_ns)
        for journal in journals:
            journal.close()
            journal.run()

    def _sent(self) -> int:
        return sum(robot.link.state.sent for robot in self._robots)

    def _skipped(self) -> int:
        return sum(robot.link.state.skipped for robot in self._robots)

    def _made(self) -> dict[str, int]:
        """Return how many records each robot's history has."""
        return {
            robot.serial_number: robot.chronicle.journal.state.durable
            for robot in self._robots
            if robot.chronicle is not None
        }


def rss_bytes() -> int:
    """Return this process's memory that is in RAM."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * PAGE_BYTES


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the share in this process."""
    parser = argparse.ArgumentParser(prog="python -m hil.fleet.share", description=__doc__)
    parser.add_argument("--spec", required=True, help="JSON object: see ShareSpec")
    spec = ShareSpec.model_validate_json(parser.parse_args().spec)
    # stdout is for results.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    Share(spec, SystemClock()).run(iter(sys.stdin.readline, ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
