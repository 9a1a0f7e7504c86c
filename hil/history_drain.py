"""What a long backlog does to the rest while it drains: live messages, memory, the control loop."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.clock import Clock
from agent.telemetry.segments import SegmentLog
from hil.broker import LOOPBACK
from hil.history_bench import RobotProcess
from hil.history_robot import LIVE, RobotSpec
from hil.journal_bench import SEGMENT_BYTES, make_records
from hil.lane_rig import LaneRig
from hil.mosquitto import Mosquitto

FILL_BATCH = 2000
SAMPLE_NS = 500_000_000
MEGABYTE = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long live messages took from the robot's loop to a subscriber."""

    messages: int
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """What came of draining.

    Attributes:
        records: In the journal at the beginning.
        drained: Records that were acknowledged while it was watched.
        per_s: Records acknowledged in a second.
        idle: Live messages before.
        draining: Live messages meanwhile.
        idle_rss_mb: Memory of the robot's process before.
        first_rss_mb: Memory in the first tenth of the time.
        last_rss_mb: Memory in the last tenth of the time.
    """

    records: int
    drained: int
    per_s: float
    idle: Latency
    draining: Latency
    idle_rss_mb: float
    first_rss_mb: float
    last_rss_mb: float


class LiveListener:
    """Takes the time of the live messages; a context manager.

    Args:
        port: Of the broker.
        topic: Of the messages.
        clock: The same as the robot's: both read the machine's monotonic clock.
    """

    def __init__(self, port: int, topic: str, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._latencies_ns: list[int] = []
        client = self._client = paho.Client(CallbackAPIVersion.VERSION2)
        client.on_connect = lambda client, *_: client.subscribe(topic, 0)
        client.on_message = self._on_message
        client.connect(LOOPBACK, port)

    def __enter__(self) -> "LiveListener":
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, client: object, userdata: object, message: paho.MQTTMessage) -> None:
        now_ns = self._clock.now_ns()
        sent_ns = json.loads(message.payload)["handed_over_ns"]
        with self._lock:
            self._latencies_ns.append(now_ns - sent_ns)

    def take(self) -> Latency:
        """Return what came since the last call."""
        with self._lock:
            taken, self._latencies_ns = self._latencies_ns, []
        if not taken:
            return Latency(messages=0, p50_ms=np.nan, p99_ms=np.nan, max_ms=np.nan)
        p50, p99, worst = np.percentile(np.array(taken) * 1e-6, (50, 99, 100))
        return Latency(
            messages=len(taken),
            p50_ms=round(float(p50), 2),
            p99_ms=round(float(p99), 2),
            max_ms=round(float(worst), 2),
        )


def fill(journal: Path, count: int) -> None:
    """Put records into a journal that nobody uses."""
    log = SegmentLog(journal, SEGMENT_BYTES)
    log.open()
    for first in range(1, count + 1, FILL_BATCH):
        log.append(make_records(first, min(FILL_BATCH, count - first + 1)))
    log.close()


def drain(
    directory: Path, clock: Clock, records: int, most_per_s: float, idle_s: float, most_s: float
) -> Drain:
    """Let a robot be idle, then drain a backlog, and watch.

    Args:
        directory: Made.
        clock: Real time.
        records: How many are in the journal.
        most_per_s: How fast the lane may go.
        idle_s: How long to watch it idle.
        most_s: How long to watch it drain, if it takes longer than that.
    """
    directory.mkdir(parents=True)
    fill(directory / "full", records)
    with Mosquitto(directory, clock, persistent=False) as broker:
        broker.start()
        spec = RobotSpec(
            port=broker.port,
            directory=directory / "empty",
            boot_id="",
            records_per_s=5.0,
            most_per_s=most_per_s,
        )
        robot = RobotProcess(spec, directory / "robot.log", clock)
        try:
            with LiveListener(broker.port, f"{spec.base}/{LIVE}", clock) as listener:
                robot.start()
                idle_rss = _watch(robot, clock, idle_s, listener)
                idle = listener.take()
                robot.stop()
                robot.start(directory=directory / "full")
                began_ns = clock.now_ns()
                rss = _watch(robot, clock, most_s, listener, ends_empty=True)
                elapsed_s = (clock.now_ns() - began_ns) * 1e-9
                state, draining = robot.state, listener.take()
        finally:
            robot.stop()
    tenth = max(len(rss) // 10, 1)
    return Drain(
        records=records,
        drained=min(state["acknowledged"], records),
        per_s=round(min(state["acknowledged"], records) / elapsed_s),
        idle=idle,
        draining=draining,
        idle_rss_mb=round(idle_rss[-1] / MEGABYTE, 1),
        first_rss_mb=round(float(np.mean(rss[:tenth])) / MEGABYTE, 1),
        last_rss_mb=round(float(np.mean(rss[-tenth:])) / MEGABYTE, 1),
    )


def _watch(
    robot: RobotProcess,
    clock: Clock,
    seconds: float,
    listener: LiveListener,
    *,
    ends_empty: bool = False,
) -> list[float]:
    """Sample the robot's memory once it is connected; its start does not count."""
    robot.wait_until(lambda state: state["connected"] and state["durable"] > 0)
    listener.take()
    until_ns = clock.now_ns() + round(seconds * 1e9)
    samples: list[float] = []
    while clock.now_ns() < until_ns and not (ends_empty and samples and _is_empty(robot.state)):
        samples.append(float(robot.state["rss_bytes"]))
        clock.wait_until_ns(clock.now_ns() + SAMPLE_NS)
    return samples


def _is_empty(state: Mapping[str, Any]) -> bool:
    return bool(state["backlog"] <= 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopCost:
    """What the history costs the control loop of a real daemon, p50, p99 and worst of 80 s in ms.

    Attributes:
        setting: What the history did meanwhile.
        backlog: Records in the journal at the end.
        cycles: Control cycles.
        overruns: Cycles that ended too late.
        lateness_ms: How late cycles began.
        work_ms: How long cycles took.
    """

    setting: str
    backlog: int
    cycles: int
    overruns: int
    lateness_ms: tuple[float, float, float]
    work_ms: tuple[float, float, float]


def loop_cost(
    directory: Path, clock: Clock, setting: str, records: int | None, watch_s: float
) -> LoopCost:
    """Run the whole robot for a while: daemon, emulated devices on ptys, mosquitto.

    Args:
        directory: Made.
        clock: Real time.
        setting: Name of the measurement.
        records: In the journal at the beginning; None for no history at all.
        watch_s: How long to watch.
    """
    directory.mkdir(parents=True)
    journal = directory / "journal"
    environment = {}
    if records is not None:
        fill(journal, records)
        environment = {"HAULIER_HISTORY__JOURNAL": str(journal)}
    with LaneRig(directory / "rig", clock, environment=environment) as rig:
        rig.pty.wait_until_ready()
        clock.wait_until_ns(clock.now_ns() + round(watch_s * 1e9))
        status = rig.pty.status()
    loop = status["loop"]
    names = ("p50_ms", "p99_ms", "max_ms")
    lateness, work = (
        tuple(float(loop[f"{what}_{name}"]) for name in names) for what in ("lateness", "work")
    )
    return LoopCost(
        setting=setting,
        backlog=0 if records is None else status["history"]["backlog"],
        cycles=loop["cycles"],
        overruns=loop["overruns"],
        lateness_ms=(lateness[0], lateness[1], lateness[2]),
        work_ms=(work[0], work[1], work[2]),
    )
