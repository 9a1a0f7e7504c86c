"""Puts a fleet together: broker, listener and the robots' processes; and says what it took."""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from agent.clock import Clock
from hil.broker import LOOPBACK
from hil.errors import BenchError
from hil.fleet.nats import NatsCluster
from hil.fleet.share import PAGE_BYTES, ShareSpec
from hil.fleet.stamps import Stamps
from hil.mosquitto import Mosquitto

SETTLE_NS: Final = 3_000_000_000
# Without it mosquitto lets small messages wait for the acknowledgement of those before, 40 ms.
PROMPT: Final = ("set_tcp_nodelay true",)
TICKS_PER_S: Final = 100
NICENESS: Final = -10


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSpec:
    """What to try.

    Attributes:
        robots: How many.
        seconds: How long to measure.
        visualization_hz: How often each says where it is; its state comes once a second.
        processes: In how many the robots are.
        brokers: ``mosquitto``, ``nats``, or addresses of brokers that run already.
        history: Whether the robots also keep and send a history.
        kill_at_s: When to kill a node of the cluster; None for never.
    """

    robots: int
    seconds: float
    visualization_hz: float = 10.0
    processes: int = 4
    brokers: tuple[str, ...] = ("mosquitto",)
    history: bool = False
    kill_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class FleetResult:
    """What came of it.

    Attributes:
        robots: How many.
        seconds: How long it took.
        offered_per_s: Messages that the robots were to send, by their rates.
        sent_per_s: That they handed to their sockets.
        received_per_s: That the listener got.
        skipped: Replaced by newer ones before the socket took them.
        sent: Live messages since the beginning.
        lost: Of these, the ones that never came.
        listener_connects: How often the listener had to connect.
        latency_ms: By topic: p50, p99, worst.
        robot_cpu: Share of a core for each robot.
        robot_memory_bytes: For each robot.
        broker_cpu: Share of a core.
        broker_memory_bytes: Of all its processes.
        listener_cpu: Share of a core.
        beat_late_s: Worst lateness of the bench's own beat; more than 0.1 s and it is the limit.
        history_made: Records that the robots made.
        history_lost: Of these, the ones that never came.
        history_again: Records that came twice.
        downs: Lines that were lost and came back.
        down_s: How long they were gone: p50, worst.
        still_down: Lines that did not come back.
    """

    robots: int
    seconds: float
    offered_per_s: float
    sent_per_s: float
    received_per_s: float
    skipped: int
    sent: int
    lost: int
    listener_connects: int
    latency_ms: dict[str, list[float]]
    robot_cpu: float
    robot_memory_bytes: float
    broker_cpu: float
    broker_memory_bytes: int
    listener_cpu: float
    beat_late_s: float
    history_made: int
    history_lost: int
    history_again: int
    downs: int
    down_s: list[float]
    still_down: int


class Child:
    """A process that is told lines and answers each with a line of JSON."""

    def __init__(self, module: str, *words: str, log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self._module = module

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def tell(self) -> None:
        """Send a line."""
        if self._process.stdin is not None:
            self._process.stdin.write("\n")
            self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Return its next answer.

        Raises:
            BenchError: It has ended.
        """
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise BenchError(f"{self._module} has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """End it."""
        with self._process as process:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(30.0)
            except subprocess.TimeoutExpired:
                process.kill()


class Brokers:
    """What the robots report to.

    Attributes:
        hosts: Their addresses.
        pids: The processes of those that the bench has started.
    """

    def __init__(self, kinds: Sequence[str], directory: Path, clock: Clock) -> None:
        self._stack = ExitStack()
        self._cluster: NatsCluster | None = None
        self.pids: list[int] = []
        if tuple(kinds) == ("nats",):
            self._cluster = self._stack.enter_context(NatsCluster(directory, clock))
            self.pids = self._cluster.pids()
            self.hosts = tuple(f"{LOOPBACK}:{port}" for port in self._cluster.ports)
        elif tuple(kinds) == ("mosquitto",):
            broker = self._stack.enter_context(
                Mosquitto(directory, clock, persistent=False, more=PROMPT)
            )
            broker.start()
            self.pids = [broker.pid]
            self.hosts = (f"{LOOPBACK}:{broker.port}",)
        else:
            self.hosts = tuple(kinds)

    def __enter__(self) -> "Brokers":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def kill_one(self) -> None:
        """Kill the last node of the list; the listener is at the first.

        Raises:
            BenchError: It is no cluster of the bench's own.
        """
        if self._cluster is None:
            raise BenchError("a node can be killed of the bench's own cluster alone (nats)")
        self._cluster.kill(len(self.hosts) - 1)
        self.pids = self._cluster.pids()

    def cpu_s(self) -> dict[int, float]:
        """Return the time that each of the processes has taken."""
        taken = {}
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
            user, system = fields.split()[11:13]
            taken[pid] = (int(user) + int(system)) / TICKS_PER_S
        return taken

    def memory_bytes(self) -> int:
        """Return the memory of all of them that is in RAM."""
        statms = [Path(f"/proc/{pid}/statm").read_text(encoding="ascii") for pid in self.pids]
        return sum(int(statm.split()[1]) for statm in statms) * PAGE_BYTES


def _favour(pid: int) -> None:
    """Leave a process of one thread what it needs beside hundreds of threads, where that is ours.

    Between sessions it is the session's own niceness that counts (sched(7), autogroups).
    """
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(NICENESS), encoding="ascii")


def run(spec: FleetSpec, directory: Path, clock: Clock) -> FleetResult:
    """Let a fleet report for a while.

    Args:
        spec: What to try.
        directory: For everything that the processes write.
        clock: Real time.

    Raises:
        BrokerUnavailable: A broker is not installed, or does not start.
        BenchError: Not all robots could connect, or a process has ended.
    """
    with ExitStack() as stack:
        brokers = stack.enter_context(Brokers(spec.brokers, directory, clock))
        host, _, port = brokers.hosts[0].rpartition(":")
        log = directory / "fleet.log"
        stamps = directory / "stamps"
        Stamps.create(stamps, spec.robots)
        where = ("--host", host, "--port", port, "--stamps", str(stamps))
        listener = Child("hil.fleet.listener", *where, log=log)
        stack.callback(listener.end)
        for pid in (listener.pid, *brokers.pids):
            _favour(pid)
        if not listener.hear()["listens"]:
            raise BenchError(f"the broker on {brokers.hosts[0]} lets nobody listen")
        shares = []
        for share in _shares(spec, brokers.hosts, directory):
            shares.append(Child("hil.fleet.share", "--spec", share.model_dump_json(), log=log))
            stack.callback(shares[-1].end)
        connected = sum(share.hear()["connected"] for share in shares)
        if connected < spec.robots:
            raise BenchError(f"{connected} of {spec.robots} robots could connect; see {log}")
        clock.wait_until_ns(clock.now_ns() + SETTLE_NS)
        return _measure(spec, brokers, listener, shares, clock)


def _shares(spec: FleetSpec, hosts: tuple[str, ...], directory: Path) -> list[ShareSpec]:
    """Deal the robots out."""
    processes = min(spec.processes, spec.robots)
    bounds = [spec.robots * number // processes for number in range(processes + 1)]
    return [
        ShareSpec(
            first=first,
            robots=end - first,
            hosts=hosts,
            stamps=directory / "stamps",
            seconds=spec.seconds,
            visualization_hz=spec.visualization_hz,
            history=directory / "history" if spec.history else None,
        )
        for first, end in pairwise(bounds)
    ]


def _measure(
    spec: FleetSpec, brokers: Brokers, listener: Child, shares: list[Child], clock: Clock
) -> FleetResult:
    before = _ask(listener)
    cpu_before_s = brokers.cpu_s()
    began_ns = clock.now_ns()
    for share in shares:
        share.tell()
    if spec.kill_at_s is not None:
        clock.wait_until_ns(began_ns + round(spec.kill_at_s * 1e9))
        brokers.kill_one()
    results = [share.hear() for share in shares]
    elapsed_s = (clock.now_ns() - began_ns) * 1e-9
    heard = _ask(listener)
    cpu_after_s, memory_bytes = brokers.cpu_s(), brokers.memory_bytes()
    for share in shares:
        share.tell()
    ends = [share.hear() for share in shares]
    clock.wait_until_ns(clock.now_ns() + SETTLE_NS)
    last = _ask(listener)
    received = sum(sum(part["received"].values()) for part in (before, heard, last))
    made = {serial: count for end in ends for serial, count in end["made"].items()}
    known = {serial: unique for serial, (unique, _) in last["history"].items()}
    sent = sum(end["sent"] for end in ends)
    history_lost = sum(made.values()) - sum(min(known.get(s, 0), n) for s, n in made.items())
    downs_s = sorted(down_s for result in results for down_s in result["downs_s"])
    cpu_s = sum(cpu_after_s[pid] - cpu_before_s[pid] for pid in cpu_after_s)
    return FleetResult(
        robots=spec.robots,
        seconds=elapsed_s,
        offered_per_s=spec.robots * (1.0 + spec.visualization_hz + spec.history),
        sent_per_s=sum(result["sent"] / result["elapsed_s"] for result in results),
        received_per_s=sum(heard["received"].values()) / elapsed_s,
        skipped=sum(result["skipped"] for result in results),
        sent=sent,
        lost=max(sent - received, 0),
        listener_connects=last["connects"],
        latency_ms=heard["latency_ms"],
        robot_cpu=sum(r["cpu_s"] / r["elapsed_s"] for r in results) / spec.robots,
        robot_memory_bytes=sum(r["memory_bytes"] for r in results) / spec.robots,
        broker_cpu=cpu_s / elapsed_s,
        broker_memory_bytes=memory_bytes,
        listener_cpu=(heard["cpu_s"] - before["cpu_s"]) / elapsed_s,
        beat_late_s=max(result["beat_late_s"] for result in results),
        history_made=sum(made.values()),
        history_lost=history_lost,
        history_again=last["history_again"],
        downs=len(downs_s),
        down_s=[downs_s[len(downs_s) // 2], downs_s[-1]] if downs_s else [],
        still_down=sum(result["still_down"] for result in results),
    )


def _ask(listener: Child) -> dict[str, Any]:
    listener.tell()
    return listener.hear()
