"""What the history lane promises, tried: nothing is lost without a word, whatever goes down.

Robot (:mod:`hil.history_robot`), broker and network are real processes and sockets; the consumer
proves by sequence numbers what arrived. An outage is compressed in time, not in records.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from agent.clock import Clock
from agent.telemetry.segments import SegmentReader
from hil.consumer.receiver import Receiver
from hil.consumer.store import EventStore, Proof
from hil.errors import BenchError
from hil.history_robot import MANUFACTURER, RobotSpec
from hil.mosquitto import Mosquitto
from hil.silent_proxy import SilentProxy

POLL_NS = 20_000_000
PATIENCE_NS = 240_000_000_000
HOUR_S = 3600.0
TMPFS_BYTES = 32_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of everything.

    Attributes:
        outage_records: Made while the broker is away; an hour at ten a second is 36,000.
        broker_kills: How often the broker is killed.
        robot_kills: How often the robot is killed.
        cuts: How often the network falls silent.
        steady_s: How long records are made between two mishaps.
        seed: Of the moments.
    """

    outage_records: int = 36_000
    broker_kills: int = 5
    robot_kills: int = 100
    cuts: int = 3
    steady_s: float = 3.0
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """What came of a case.

    Attributes:
        case: Its name.
        mishaps: How often something was done to the robot, the broker, the disk or the network.
        written: Records that were certain to be on the robot's disk.
        received: Of these, records that the consumer has, each counted once.
        repeats: Records that came again, and were known by boot and sequence number.
        repeats_unexplained: Of these, the ones that no connect, restart or mark of the broker
            explains.
        lost_counted: Sequence numbers that the robot itself tells are lost.
        lost_unexplained: Records that were written and are nowhere.
        elapsed_s: How long it took.
        remarks: What else was seen.
    """

    case: str
    mishaps: int
    written: int
    received: int
    repeats: int
    repeats_unexplained: int
    lost_counted: int
    lost_unexplained: int
    elapsed_s: float
    remarks: dict[str, float]


class RobotProcess:
    """A robot of the bench as a child process.

    Args:
        spec: What it does, but for the boot.
        errors: File for what it says on stderr.
        clock: To wait with.
    """

    def __init__(self, spec: RobotSpec, errors: Path, clock: Clock) -> None:
        self.spec = spec
        self.starts = 0
        self.state: dict[str, Any] = {}
        self._errors = errors
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = threading.Thread()

    def start(self, **changes: Any) -> None:
        """Start it; a boot of its own each time."""
        self.starts += 1
        self.state = {}
        spec = self.spec.model_copy(update={"boot_id": f"boot-{self.starts}", **changes})
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hil.history_robot", "--spec", spec.model_dump_json()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, args=(self._process,))
        self._reader.start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        for line in process.stdout or ():
            try:
                self.state = json.loads(line)
            except ValueError:
                return  # killed in the middle of a line

    def wait_until(self, holds: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until its state is as wished.

        Raises:
            BenchError: It ended, or took too long.
        """
        deadline_ns = self._clock.now_ns() + PATIENCE_NS
        while not (self.state and holds(self.state)):
            if self._process is None or self._process.poll() is not None:
                raise BenchError(f"the robot ended: {self._last_words()}")
            if self._clock.now_ns() > deadline_ns:
                raise BenchError(f"the robot does not get there: {self.state}")
            self._clock.wait_until_ns(self._clock.now_ns() + POLL_NS)

    def kill(self) -> None:
        """End it as a power cut of the computer's processes does."""
        self._end("kill")

    def stop(self) -> None:
        """Ask it to end; its last state is then known."""
        self._end("terminate")

    def _end(self, way: str) -> None:
        if self._process is None:
            return
        with self._process as process:
            getattr(process, way)()
            process.wait()
            self._reader.join()
        self._process = None

    def _last_words(self) -> str:
        lines = self._errors.read_text(encoding="utf-8", errors="replace").splitlines()
        return " / ".join(lines[-3:]) or "without a word"


class Plant:
    """Broker, consumer and one robot; a context manager.

    Args:
        home: Directory for all that they write; made.
        clock: Real time.
        is_killed: The broker will be, and saves each change.
        spec: What differs of the robot.
    """

    def __init__(self, home: Path, clock: Clock, *, is_killed: bool = False, **spec: Any) -> None:
        home.mkdir(parents=True)
        self.clock = clock
        self.began_ns = clock.now_ns()
        self.broker = Mosquitto(home, clock, persistent=is_killed)
        self.proxy = SilentProxy(self.broker.port)
        self.journal = home / "journal"
        values = {"port": self.proxy.port, "directory": self.journal, "boot_id": ""} | spec
        self.robot = RobotProcess(RobotSpec(**values), home / "robot.log", clock)
        self.mishaps = 0
        self._store = EventStore(home / "events.sqlite")
        self.receiver = Receiver(
            "127.0.0.1", self.broker.port, "uagv/v2/+/+/history", self._store, clock
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.receiver.run, args=(self._stop,))

    def __enter__(self) -> Self:
        self.proxy.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.robot.kill()
        self._stop.set()
        self._thread.join()
        self.broker.stop()
        self.proxy.__exit__(kind, error, trace)
        self._store.close()

    def open(self) -> None:
        """Start the broker, and let the robot through once the consumer has a session there.

        What reaches a broker without a subscriber is acknowledged, and gone.
        """
        self.proxy.cut()
        self.broker.start()
        if not self.receiver.subscribed.wait(20.0):
            raise BenchError("the consumer does not get to the broker")
        self.proxy.heal()

    def rest(self, seconds: float) -> None:
        """Let things go on for a while."""
        self.clock.wait_until_ns(self.clock.now_ns() + round(seconds * 1e9))

    def result(self, case: str, **remarks: float) -> CaseResult:
        """Have the robot end and all that it wrote arrive, and say what came of it."""
        self.robot.stop()
        self.robot.start(records=0)
        self.robot.wait_until(lambda state: state["durable"] > 0 and not state["backlog"])
        durable = self._settled()
        proof = self._arrived(durable)
        reception, lost = self.receiver.reception, proof.lost
        connects = self.robot.starts + self.mishaps + reception.connects
        unexplained = reception.repeats - reception.resent
        return CaseResult(
            case=case,
            mishaps=self.mishaps,
            written=durable - lost,
            received=proof.records,
            repeats=reception.repeats,
            repeats_unexplained=unexplained if reception.rewinds > connects else 0,
            lost_counted=lost,
            lost_unexplained=proof.missing + durable - proof.newest,
            elapsed_s=round((self.clock.now_ns() - self.began_ns) * 1e-9, 1),
            remarks=remarks,
        )

    def _settled(self) -> int:
        """Return the newest record once the robot has told of every loss that it met."""
        self.robot.stop()
        return int(self.robot.state["durable"])

    def _arrived(self, newest: int) -> Proof:
        """Return the proof once nothing is under way any more."""
        deadline_ns = self.clock.now_ns() + 5_000_000_000
        while self._store.newest(self.name) < newest and self.clock.now_ns() < deadline_ns:
            self.rest(0.1)
        self.rest(0.5)
        self.receiver.check()
        proofs = {proof.robot: proof for proof in self._store.proofs()}
        if self.name not in proofs:
            raise BenchError("nothing arrived at all")
        return proofs[self.name]

    @property
    def name(self) -> str:
        """Name of the robot in the consumer's database."""
        return f"{MANUFACTURER}/{self.robot.spec.serial_number}"

    def received(self) -> set[tuple[int, str]]:
        """Return sequence number and boot of all that the consumer has."""
        return set(self._store.numbers(self.name))


def on_disk(journal: Path) -> dict[int, str]:
    """Return the boot of each record that a journal holds, by its number; nobody may write it."""
    reader = SegmentReader(journal)
    found: dict[int, str] = {}
    while records := reader.read(1 << 62, 1000)[0]:
        found |= {record.sequence: json.loads(record.payload)["boot_id"] for record in records}
    reader.close()
    return found


def broker_down(directory: Path, clock: Clock, scale: Scale) -> CaseResult:
    """The broker is away for an hour's worth of records, then comes."""
    count = scale.outage_records
    with Plant(directory, clock, records=count, records_per_s=count / 8.0) as plant:
        plant.robot.start()
        plant.robot.wait_until(lambda state: state["durable"] >= count)
        plant.mishaps = 1
        plant.open()
        drained_ns = clock.now_ns()
        plant.robot.wait_until(lambda state: state["connected"] and not state["backlog"])
        drained_s = (clock.now_ns() - drained_ns) * 1e-9
        return plant.result("broker down", drained_s=round(drained_s, 1))


def broker_killed(directory: Path, clock: Clock, scale: Scale) -> CaseResult:
    """The broker is killed under load; it keeps on disk what it acknowledged."""
    with Plant(directory, clock, is_killed=True, records_per_s=100.0, settle_s=2.0) as plant:
        plant.open()
        plant.robot.start()
        for _ in range(scale.broker_kills):
            plant.rest(scale.steady_s)
            plant.broker.kill()
            plant.mishaps += 1
            plant.rest(0.5)
            plant.broker.start()
        plant.rest(scale.steady_s)
        return plant.result("broker killed")


def robot_killed(directory: Path, clock: Clock, scale: Scale) -> CaseResult:
    """The robot's process is killed at random moments; all that was on its disk must arrive."""
    rng = np.random.default_rng(scale.seed)
    written: set[tuple[int, str]] = set()
    with Plant(directory, clock, records_per_s=500.0) as plant:
        plant.open()
        for _ in range(scale.robot_kills):
            plant.robot.start()
            plant.robot.wait_until(bool)
            plant.rest(float(rng.uniform(0.0, 0.5)))
            plant.robot.kill()
            plant.mishaps += 1
            written |= set(on_disk(plant.journal).items())
        result = plant.result("robot killed")
        missing = len(written - plant.received())
        return _with_remark(result, seen_on_disk=len(written), of_these_missing=missing)


def disk_full(directory: Path, clock: Clock, scale: Scale) -> CaseResult:
    """The disk takes nothing for a while: loss is counted and told, live messages go on."""
    directory.mkdir(parents=True)
    with small_disk(directory / "disk") as disk:
        journal = disk / "journal"
        with Plant(directory / "plant", clock, directory=journal, records_per_s=4000.0) as plant:
            plant.open()
            plant.robot.start()
            plant.rest(scale.steady_s)
            ballast = disk / "ballast"
            live_before = plant.robot.state["live"]
            fill(ballast)
            plant.mishaps = 1
            plant.robot.wait_until(lambda state: state["failure"] and state["lost"] > 1000)
            failed = plant.robot.state
            plant.rest(1.0)
            live = plant.robot.state["live"] - live_before
            ballast.unlink()
            plant.robot.wait_until(lambda state: not state["failure"])
            plant.rest(1.0)
            remarks = {"lost_while_full": failed["lost"], "live_messages_meanwhile": live}
            return plant.result("disk full", **remarks)


def torn(directory: Path, clock: Clock, scale: Scale) -> CaseResult:
    """The last record is cut in the middle, once for each mishap."""
    rng = np.random.default_rng(scale.seed)
    with Plant(directory, clock, records_per_s=500.0) as plant:
        for _ in range(10):
            plant.robot.start()
            plant.robot.wait_until(lambda state: state["backlog"] > 0)
            plant.rest(0.2)
            plant.robot.kill()
            last = sorted(plant.journal.glob("*.log"))[-1]
            os.truncate(last, last.stat().st_size - int(rng.integers(1, 400)))
            plant.mishaps += 1
        plant.open()
        return plant.result("last record torn")


def clock_stepped(directory: Path, clock: Clock, scale: Scale) -> CaseResult:
    """The wall clock jumps by an hour, forth and back, each second."""
    with Plant(directory, clock, records_per_s=500.0, clock_step_s=HOUR_S) as plant:
        plant.open()
        plant.robot.start()
        plant.rest(2.0 + 2.0 * scale.steady_s)
        plant.mishaps = round(2.0 + 2.0 * scale.steady_s)
        return plant.result("clock stepped by 1 h")


def network_silent(directory: Path, clock: Clock, scale: Scale) -> CaseResult:
    """Packets vanish both ways, and no connection is closed."""
    with Plant(directory, clock, records_per_s=300.0) as plant:
        plant.open()
        plant.robot.start()
        for _ in range(scale.cuts):
            plant.rest(scale.steady_s)
            plant.proxy.cut()
            plant.mishaps += 1
            plant.robot.wait_until(lambda state: not state["connected"])
            plant.rest(1.0)
            plant.proxy.heal()
            plant.robot.wait_until(lambda state: state["connected"])
        plant.rest(scale.steady_s)
        return plant.result("network silent")


CASES: dict[str, Callable[[Path, Clock, Scale], CaseResult]] = {
    "broker-down": broker_down,
    "broker-killed": broker_killed,
    "robot-killed": robot_killed,
    "disk-full": disk_full,
    "torn": torn,
    "clock-stepped": clock_stepped,
    "network-silent": network_silent,
}


def run_case(name: str, clock: Clock, scale: Scale) -> CaseResult:
    """Run a case in a directory of its own.

    Raises:
        BenchError: It could not be run to its end.
        BrokerUnavailable: There is no mosquitto.
    """
    with tempfile.TemporaryDirectory(prefix="haulier-history-") as directory:
        return CASES[name](Path(directory) / "case", clock, scale)


@contextmanager
def small_disk(mount: Path) -> Iterator[Path]:
    """Mount a disk of 32 megabytes, which only root may do.

    Raises:
        BenchError: It cannot be mounted.
    """
    mount.mkdir()
    kind = ("-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "haulier-bench")
    done = subprocess.run(["mount", *kind, str(mount)], capture_output=True, check=False)
    if done.returncode:
        raise BenchError(f"a small disk cannot be mounted: {done.stderr.decode().strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", mount], check=False, capture_output=True)


def fill(file: Path) -> None:
    """Take all room that a disk has left."""
    with file.open("wb", buffering=0) as ballast:
        for size in (65_536, 1):
            try:
                while True:
                    ballast.write(bytes(size))
            except OSError:
                continue


def _with_remark(result: CaseResult, **remarks: float) -> CaseResult:
    return replace(result, remarks=result.remarks | remarks)
