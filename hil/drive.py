"""One drive of the demo's scenario on the pty rig, watched from start to end."""

import math
import socket
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.clock import Clock
from agent.errors import BrokerUnavailable
from agent.vda5050.identity import Identity
from hil.bench_process import BenchSpec
from hil.broker import LOOPBACK, BrokerProcess
from hil.errors import BenchError
from hil.master_control import MasterControl, MqttMaster
from hil.picture import Drawing, draw
from hil.plant.world import Pose
from hil.pty_rig import PtyRig
from hil.scenario import (
    BLOCKAGE,
    FORKLIFT,
    FORKLIFT_POSE,
    MAP_ID,
    ROBOT,
    Forklift,
    Scenario,
    route_length_m,
)
from hil.terminal import Terminal

MOST_ERROR_M = 0.15
LIMIT_NS = 600_000_000_000
SAMPLE_NS = 50_000_000
ONLINE_S = 30.0
CONNECT_S = 5.0

StampedPose = tuple[int, float, float]


@dataclass(slots=True)
class Track:
    """Stamped true and estimated positions of one drive, on one clock."""

    true_poses: list[StampedPose] = field(default_factory=list)
    estimates: list[StampedPose] = field(default_factory=list)

    def errors_m(self) -> NDArray[np.float64]:
        """Return the distance of each estimate from the true position at its own time."""
        true = np.array(self.true_poses, np.float64)
        seen = np.array(self.estimates, np.float64)
        seen = seen[(seen[:, 0] >= true[0, 0]) & (seen[:, 0] <= true[-1, 0])]
        x_m = np.interp(seen[:, 0], true[:, 0], true[:, 1])
        y_m = np.interp(seen[:, 0], true[:, 0], true[:, 2])
        errors: NDArray[np.float64] = np.hypot(seen[:, 1] - x_m, seen[:, 2] - y_m)
        return errors


@dataclass(frozen=True, slots=True)
class DriveResult:
    """What came of the drive.

    Attributes:
        finished: The master control saw the order finished.
        contact: What the robot touched, None when nothing.
        blocked_s: How long the robot waited for the forklift, 0 when it never met it.
        drive_s: From the order to its end.
        route_m: Length of the way ordered.
        distance_m: Way that the robot really drove.
        mean_error_m: Mean distance between estimated and true position.
        worst_error_m: Largest of the same.
        end_true: Pose at the end, from the plant.
        end_estimate: Pose at the end, as the daemon believed.
        messages: Messages the master control received, by topic.
        invalid: Messages of the robot that broke the standard.
        loop: Timing of the control loop.
        devices: Counters of the bench's devices.
        late: Deadlines that the bench itself missed.
        directory: Where configuration, map, log and picture are.
    """

    finished: bool
    contact: str | None
    blocked_s: float
    drive_s: float
    route_m: float
    distance_m: float
    mean_error_m: float
    worst_error_m: float
    end_true: Pose
    end_estimate: Pose
    messages: dict[str, int]
    invalid: int
    loop: dict[str, float]
    devices: dict[str, dict[str, Any]]
    late: int
    directory: Path

    @property
    def passed(self) -> bool:
        """Whether the order finished, nothing was touched, and the pose was never far off."""
        return self.finished and self.contact is None and self.worst_error_m <= MOST_ERROR_M


class Drive:
    """Starts everything, sends the order, watches, and tidies up.

    Args:
        directory: For configuration, map, sockets, log and picture.
        scenario: What to drive, and with what.
        broker: ``HOST:PORT`` of a broker, None for the embedded one.
        clock: Real time.
        terminal: Where to tell what happens.
    """

    def __init__(
        self,
        directory: Path,
        scenario: Scenario,
        broker: str | None,
        clock: Clock,
        terminal: Terminal,
    ) -> None:
        self._directory = directory.resolve()
        self._clock = clock
        self._terminal = terminal
        self._broker = broker
        self._scenario = scenario
        self._identity = Identity("haulier", "demo-01")
        self._forklift = Forklift()
        self._track = Track()
        self._core = MasterControl(self._identity, clock)
        self._last_node = ""
        self._waiting_scan: tuple[list[tuple[float, float]], Pose] | None = None
        self._resumed_ns: int | None = None

    def run(self) -> DriveResult:
        """Drive the scenario to its end.

        Raises:
            BenchError: The bench or the daemon did not come up.
            BrokerUnavailable: There is no broker.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BenchError(f"{self._directory}: {error.strerror}") from error
        with ExitStack() as stack:
            host, port = self._open_broker(stack)
            config = self._scenario.write_config(
                self._directory, broker_host=host, broker_port=port
            )
            spec = BenchSpec(
                directory=self._directory,
                seed=self._scenario.seed,
                map=self._directory / "hall.yaml",
                start=self._scenario.start,
                robot=ROBOT,
                lidars=self._scenario.lidars,
                equipment=self._scenario.equipment,
            )
            rig = stack.enter_context(PtyRig(spec, config, self._clock))
            rig.bench.add_obstacle(BLOCKAGE.name, FORKLIFT, [(0.0, *FORKLIFT_POSE)])
            self._terminal.event("plant and devices run; the daemon starts (cold: 30 s)")
            rig.wait_until_ready()
            self._terminal.event(f"daemon ready: lidar and base deliver, localized; {config}")
            master = stack.enter_context(MqttMaster(self._core, self._identity, host, port))
            if not master.wait_for(lambda core: core.online and core.state is not None, ONLINE_S):
                raise BenchError("the robot did not come online at the broker")
            started_ns = self._clock.now_ns()
            master.order(self._scenario.stations, MAP_ID)
            visits = ", ".join(self._scenario.names)
            self._terminal.event(f"master control: order to {visits}")
            self._watch(rig, started_ns)
            return self._result(rig, started_ns)

    def _open_broker(self, stack: ExitStack) -> tuple[str, int]:
        if self._broker is None:
            embedded = stack.enter_context(BrokerProcess())
            self._terminal.event(f"embedded broker listens on {LOOPBACK}:{embedded.port}")
            return LOOPBACK, embedded.port
        host, _, port = self._broker.rpartition(":")
        if not host or not port.isdigit():
            raise BenchError(f"--broker {self._broker}: not HOST:PORT")
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
        except OSError as error:
            raise BrokerUnavailable(f"{host}:{port}: {error.strerror or error}") from error
        return host, int(port)

    def _watch(self, rig: PtyRig, started_ns: int) -> None:
        """Sample poses until the order is finished, something is touched, or time is up."""
        while not self._core.finished and self._clock.now_ns() - started_ns < LIMIT_NS:
            truth, status = rig.bench.truth(), rig.status()
            self._sample(truth, status)
            self._tell(truth, status)
            if truth["contact"] is not None:
                self._terminal.event(f"CONTACT with {truth['contact']['with_what']}")
                return
            if self._forklift.blocked_ns is not None and self._waiting_scan is None:
                self._waiting_scan = (rig.scan_points(), _pose(truth["pose"]))
                self._terminal.event("a forklift stands in the lane: the robot waits")
            if self._forklift.step(self._core.state, self._clock.now_ns()):
                rig.bench.remove_obstacle(BLOCKAGE.name)
                self._resumed_ns = self._clock.now_ns()
                self._terminal.event("the forklift leaves")
            self._clock.wait_until_ns(self._clock.now_ns() + SAMPLE_NS)

    def _sample(self, truth: dict[str, Any], status: dict[str, Any]) -> None:
        true, seen = _pose(truth["pose"]), status["pose"]
        self._track.true_poses.append((truth["stamp_ns"], true.x_m, true.y_m))
        self._track.estimates.append((seen["stamp_ns"], seen["x_m"], seen["y_m"]))

    def _tell(self, truth: dict[str, Any], status: dict[str, Any]) -> None:
        node = status["order"]["last_node_id"]
        if node != self._last_node:
            self._last_node = node
            arrived = " (station)" if node in self._scenario.names else ""
            self._terminal.event(f"reached {node}{arrived}")
        true = _pose(truth["pose"])
        off_m = math.hypot(true.x_m - status["pose"]["x_m"], true.y_m - status["pose"]["y_m"])
        self._terminal.progress(
            f"  x {true.x_m:6.2f} m  y {true.y_m:6.2f} m  {truth['forward_mps']:5.2f} m/s  "
            f"{truth['distance_m']:5.1f} m driven  pose off by {100 * off_m:4.1f} cm  "
            f"{status['command']['stop_reason'] or ''}"
        )

    def _result(self, rig: PtyRig, started_ns: int) -> DriveResult:
        drive_s = (self._clock.now_ns() - started_ns) * 1e-9
        truth, status, stats = rig.bench.truth(), rig.status(), rig.bench.stats()
        self._sample(truth, status)
        errors_m = self._track.errors_m()
        seen = status["pose"]
        blocked_s = 0.0
        if self._forklift.blocked_ns is not None and self._resumed_ns is not None:
            blocked_s = (self._resumed_ns - self._forklift.blocked_ns) * 1e-9
        result = DriveResult(
            finished=self._core.finished,
            contact=truth["contact"] and truth["contact"]["with_what"],
            blocked_s=blocked_s,
            drive_s=drive_s,
            route_m=route_length_m(self._scenario.stations),
            distance_m=truth["distance_m"],
            mean_error_m=float(errors_m.mean()),
            worst_error_m=float(errors_m.max()),
            end_true=_pose(truth["pose"]),
            end_estimate=Pose(seen["x_m"], seen["y_m"], seen["yaw_rad"]),
            messages=dict(self._core.counts),
            invalid=len(self._core.invalid),
            loop=status["loop"],
            devices=stats["devices"],
            late=stats["missed_deadlines"],
            directory=self._directory,
        )
        self._draw(result)
        return result

    def _draw(self, result: DriveResult) -> None:
        hall = self._scenario.hall
        scan, scan_pose = self._waiting_scan or ([], None)
        draw(
            Drawing(
                grid=hall.grid,
                route=[(station.x_m, station.y_m) for station in self._scenario.stations],
                true_path=[(x_m, y_m) for _, x_m, y_m in self._track.true_poses],
                estimated_path=[(x_m, y_m) for _, x_m, y_m in self._track.estimates],
                scan=scan,
                scan_pose=scan_pose,
                obstacle=(FORKLIFT, FORKLIFT_POSE),
                labels={name: (p.x_m, p.y_m) for name, p in hall.stations.items()},
                caption=(
                    f"{result.distance_m:.1f} m in {result.drive_s:.0f} s; "
                    f"pose error mean {100 * result.mean_error_m:.1f} cm, "
                    f"max {100 * result.worst_error_m:.1f} cm"
                ),
            ),
            self._directory / "demo.png",
        )


def summarize(result: DriveResult, terminal: Terminal) -> None:
    """Print what came of the drive."""
    true, seen, loop = result.end_true, result.end_estimate, result.loop
    messages = ", ".join(f"{count} {topic}" for topic, count in sorted(result.messages.items()))
    lost = sum(d["overrun_bytes"] + d["dropped_bytes"] for d in result.devices.values())
    sent = sum(d["sent_bytes"] for d in result.devices.values())
    lines = {
        "order": "finished" if result.finished else "NOT FINISHED",
        "collision": result.contact or "none",
        "obstacle": f"waited {result.blocked_s:.1f} s for the forklift",
        "distance": f"{result.distance_m:.1f} m driven, {result.route_m:.1f} m ordered",
        "time": f"{result.drive_s:.1f} s",
        "pose, true": f"x {true.x_m:.3f} m, y {true.y_m:.3f} m, yaw {_wrapped(true):.3f} rad",
        "pose, estimate": f"x {seen.x_m:.3f} m, y {seen.y_m:.3f} m, yaw {_wrapped(seen):.3f} rad",
        "pose error": f"mean {100 * result.mean_error_m:.1f} cm, "
        f"max {100 * result.worst_error_m:.1f} cm (limit {100 * MOST_ERROR_M:.0f} cm)",
        "messages": f"{messages}; {result.invalid} invalid",
        "serial": f"{sent} bytes from the devices, {lost} lost",
        "control loop": f"{loop['cycles']} cycles, {loop['overruns']} deadlines missed; "
        f"work p99 {loop['work_p99_ms']} ms, lateness p99 {loop['lateness_p99_ms']} ms "
        f"(the bench itself missed {result.late})",
        "picture": str(result.directory / "demo.png"),
    }
    terminal.line()
    for name, text in lines.items():
        terminal.line(f"{name:15} {text}")
    terminal.line(f"\n{'PASSED' if result.passed else 'FAILED'}")


def _pose(fields: list[float]) -> Pose:
    return Pose(*fields)


def _wrapped(pose: Pose) -> float:
    return math.remainder(pose.yaw_rad, math.tau)
