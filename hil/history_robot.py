"""A robot that is nothing but its history: the agent's own journal, lane and link in a process.

::

    python -m hil.history_robot --spec '{"port": 1883, "directory": "journal"}'

It makes records of simulated motion at a rate, and a live message ten times a second that carries
the time at which it was handed over. Each line on stdout is a JSON object with its state.
"""

import argparse
import json
import math
import signal
import sys
import threading
from functools import partial
from itertools import count
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from agent.clock import Clock, SystemClock
from agent.telemetry.access import BrokerParams
from agent.telemetry.broker import MqttLink
from agent.telemetry.chronicle import Chronicle
from agent.telemetry.events import EventWriter, Motion
from agent.telemetry.history import HistoryParams
from agent.telemetry.log import configure
from agent.telemetry.publication import Publication

BEAT_NS = 20_000_000
LIVE_NS = 100_000_000
TELL_NS = 100_000_000
MANUFACTURER = "bench"
LIVE = "state"


class RobotSpec(BaseModel):
    """What the robot does.

    Attributes:
        port: Of the broker on this computer.
        directory: Of the journal.
        boot_id: Of this start.
        serial_number: Its name.
        base: What its topics begin with.
        records: How many to make, then only to send; None for as many as time allows.
        records_per_s: How fast to make them.
        most_per_s: Of the history lane.
        window: Of the history lane.
        settle_s: Of the history lane.
        keepalive_s: Of the link.
        clock_step_s: The wall clock jumps forth and back by this much each second.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    port: int
    directory: Path
    boot_id: str
    serial_number: str = "r1"
    base: str = "uagv/v2/bench/r1"
    records: int | None = None
    records_per_s: float = 200.0
    most_per_s: float = 5000.0
    window: int = 50
    settle_s: float = 0.0
    keepalive_s: int = 2
    clock_step_s: float = 0.0


class SteppingClock(SystemClock):
    """The machine's clocks, of which the wall clock steps forth and back.

    Args:
        step_s: By how much, once a second.
    """

    def __init__(self, step_s: float) -> None:
        self._step_ns = round(step_s * 1e9)

    def utc_ns(self) -> int:
        """Wall-clock time, an hour early or late in turns where the step is an hour."""
        steps = (0, self._step_ns, 0, -self._step_ns)
        return super().utc_ns() + steps[self.now_ns() // 1_000_000_000 % len(steps)]


def motion(number: int) -> Motion:
    """Return a record as a robot on a round course makes it."""
    angle_rad = number * 0.002
    return Motion(
        map_id="hall",
        x_m=round(20.0 + 15.0 * math.cos(angle_rad), 4),
        y_m=round(30.0 + 15.0 * math.sin(angle_rad), 4),
        yaw_rad=round(math.remainder(angle_rad + math.pi / 2, 2 * math.pi), 4),
        stddev_m=0.0112,
        stddev_yaw_rad=0.0031,
        score=0.9312,
        localized=True,
        forward_mps=0.9874,
        yaw_rate_radps=0.0657,
        command_forward_mps=1.0,
        command_yaw_rate_radps=0.0667,
    )


class HistoryRobot:
    """The robot's threads and its beat.

    Args:
        spec: What it does.
        clock: Real time.
    """

    def __init__(self, spec: RobotSpec, clock: Clock) -> None:
        self._spec = spec
        self._clock = clock
        self._stop = threading.Event()
        params = HistoryParams(
            journal=spec.directory,
            most_per_s=spec.most_per_s,
            window=spec.window,
            settle_s=spec.settle_s,
        )
        writer = EventWriter(MANUFACTURER, spec.serial_number, spec.boot_id)
        self._chronicle = Chronicle(
            params,
            writer,
            clock,
            on_durable=lambda: self._link.look_for_history(),
            loop=dict,
            devices={},
        )
        broker = BrokerParams(
            host="127.0.0.1",
            port=spec.port,
            keepalive_s=spec.keepalive_s,
            connect_timeout_s=2.0,
            longest_retry_s=1.0,
        )
        self._link = MqttLink(
            broker,
            spec.base,
            {"order": 0},
            None,
            lambda message: None,
            clock,
            self._chronicle.lane,
        )
        self._made = 0
        self._lives = count(1)

    def stop(self, *_: object) -> None:
        """Have ``run`` return."""
        self._stop.set()

    def run(self) -> None:
        """Make records until told to stop."""
        journal = self._chronicle.journal
        threads = [threading.Thread(target=run) for run in (journal.run, self._link.run)]
        for thread in threads:
            thread.start()
        try:
            self._beat()
        finally:
            self._link.close()
            journal.close()
            for thread in threads:
                thread.join()
        self._tell()

    def _beat(self) -> None:
        began_ns = deadline_ns = live_ns = told_ns = self._clock.now_ns()
        while not self._stop.is_set():
            now_ns = self._clock.now_ns()
            self._make((now_ns - began_ns) * 1e-9)
            if now_ns >= live_ns:
                live_ns += LIVE_NS
                live = {"live": next(self._lives), "handed_over_ns": self._clock.now_ns()}
                self._link.publish((Publication(LIVE, json.dumps(live).encode()),))
            if now_ns >= told_ns:
                told_ns += TELL_NS
                self._tell()
            deadline_ns = max(deadline_ns + BEAT_NS, now_ns)
            self._clock.wait_until_ns(deadline_ns)

    def _make(self, elapsed_s: float) -> None:
        due = round(elapsed_s * self._spec.records_per_s)
        due = due if self._spec.records is None else min(due, self._spec.records)
        for number in range(self._made, due):
            times = self._clock.utc_ns(), self._clock.now_ns()
            self._chronicle.historian.tell(partial(motion, number), *times)
        self._made = max(self._made, due)

    def _tell(self) -> None:
        link = self._link.state
        state = {
            "made": self._made,
            "connected": link.connected_since_ns is not None,
            "live": link.sent - self._chronicle.lane.state.sent,
            "rss_bytes": _rss_bytes(),
            **self._chronicle.status(),
        }
        sys.stdout.write(json.dumps(state) + "\n")
        sys.stdout.flush()


def _rss_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096


def main() -> int:
    """Run the robot in this process."""
    parser = argparse.ArgumentParser(prog="python -m hil.history_robot", description=__doc__)
    parser.add_argument("--spec", required=True, help="JSON object: see RobotSpec")
    spec = RobotSpec.model_validate_json(parser.parse_args().spec)
    configure(console=False)
    clock = SteppingClock(spec.clock_step_s) if spec.clock_step_s else SystemClock()
    robot = HistoryRobot(spec, clock)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, robot.stop)
    try:
        robot.run()
    except BrokenPipeError:
        return 1  # whoever listened is gone, and nobody is left to tell of it
    return 0


if __name__ == "__main__":
    sys.exit(main())
