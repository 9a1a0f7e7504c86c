"""A recorded drive as wire bytes through the running daemon.

The log's scans and odometry leave the emulated devices byte by byte, cross real ptys, and are
decoded and localized by the very daemon that runs on a robot. What it made of each scan is read
back from its status.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.clock import Clock
from agent.errors import DaemonUnreachable
from agent.evaluation.carmen import read_carmen
from agent.evaluation.trajectory import StampedPose
from agent.geometry.pose import Pose2
from hil.bench_process import BenchSpec
from hil.broker import LOOPBACK, BrokerProcess
from hil.errors import BenchError
from hil.plant.plant import LidarParameters, RobotParameters
from hil.plant.robot import DriveParameters
from hil.plant.world import Pose
from hil.pty_rig import PtyRig
from hil.terminal import Terminal

POLL_NS = 20_000_000  # five times per revolution of the lidar, so that no fix is missed
START_NS = 60_000_000_000
SAME_SCAN_NS = 30_000_000  # a decoded scan's stamp lies this close to the time it was shown
SECONDS_PER_SCAN = 10.0
ASK_NS = 1_000_000_000
DRAIN_NS = 2_000_000_000

# The log's lidar sat at the robot's centre; the drive is bounded by what the base driver accepts.
ROBOT = RobotParameters(
    drive=DriveParameters(max_speed_mps=1.8),
    lidar=LidarParameters(base_from_lidar=Pose(0.0, 0.0, 0.0), max_range_m=16.0),
)

CONFIG = """\
[robot]
manufacturer = "haulier"
serial_number = "playback"
length_m = 0.6
width_m = 0.5

[map.playback]
file = "{map}"

[start]
pose = [{init.x_m}, {init.y_m}, {init.yaw_rad}]

[lidar.front]
driver = "rplidar"
port = "{directory}/lidar.front"

[base]
driver = "roboteq"
port = "{directory}/base"

[broker]
host = "{host}"
port = {port}

[local]
socket = "{directory}/haulier.sock"
"""


@dataclass(frozen=True, slots=True)
class PlaybackResult:
    """What the daemon made of a log.

    Attributes:
        shown: Scans that the lidar showed.
        decoded: Scans among them that the daemon localized with.
        trajectory: Its pose at each of these, stamped with the time of the log.
        status: Its status at the end.
    """

    shown: int
    decoded: int
    trajectory: tuple[StampedPose, ...]
    status: dict[str, Any]


class Playback:
    """Plays a log.

    Args:
        log: CARMEN log.
        map_file: Map of the building.
        init: ``map_from_base`` at the first scan.
        directory: For configuration, device nodes, sockets and the daemon's log.
        clock: Real time.
        terminal: Where to tell what happens.
    """

    def __init__(
        self,
        log: Path,
        map_file: Path,
        init: Pose2,
        directory: Path,
        clock: Clock,
        terminal: Terminal,
    ) -> None:
        self._log = log.resolve()
        self._map_file = map_file.resolve()
        self._init = init
        self._directory = directory.resolve()
        self._clock = clock
        self._terminal = terminal
        self._scans = len(read_carmen(log).scans)
        self._fixes: dict[int, Pose2] = {}

    def run(self) -> PlaybackResult:
        """Play the log to its end.

        Raises:
            BenchError: Bench or daemon did not come up, or the log never came to its end.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            broker = stack.enter_context(BrokerProcess())
            config = self._directory / "haulier.toml"
            text = CONFIG.format(
                map=self._map_file,
                init=self._init,
                directory=self._directory,
                host=LOOPBACK,
                port=broker.port,
            )
            config.write_text(text, encoding="utf-8")
            spec = BenchSpec(directory=self._directory, log=self._log, robot=ROBOT)
            rig = stack.enter_context(PtyRig(spec, config, self._clock))
            self._terminal.event(f"playing {self._scans} scans of {self._log.name}")
            self._follow(rig)
            return self._result(rig)

    def _follow(self, rig: PtyRig) -> None:
        """Collect the daemon's fixes until the last scan was shown and had time to be decoded."""
        limit_ns = self._clock.now_ns() + START_NS + round(self._scans * SECONDS_PER_SCAN * 1e9)
        asked_ns = ended_ns = 0
        while not ended_ns or self._clock.now_ns() < ended_ns + DRAIN_NS:
            now_ns = self._clock.now_ns()
            if now_ns > limit_ns:
                raise BenchError("the log did not come to its end")
            if rig.daemon.poll() is not None:
                raise BenchError(f"the daemon ended, see {rig.log}")
            self._collect(rig)
            if not ended_ns and now_ns - asked_ns > ASK_NS:
                asked_ns = now_ns
                played = rig.bench.played()
                ended_ns = now_ns if played["finished"] else 0
                self._terminal.progress(f"  {len(played['scans'])} of {self._scans} scans shown")
            self._clock.wait_until_ns(now_ns + POLL_NS)

    def _collect(self, rig: PtyRig) -> None:
        try:
            pose = rig.status().get("pose")
        except DaemonUnreachable:
            return  # it is still starting; that it has not ended is checked above
        if pose and pose["fix"]:
            fix = pose["fix"]
            self._fixes[fix["stamp_ns"]] = Pose2(fix["x_m"], fix["y_m"], fix["yaw_rad"])

    def _result(self, rig: PtyRig) -> PlaybackResult:
        """Match the daemon's fixes with the scans that were shown, by time."""
        shown = rig.bench.played()["scans"]
        stamps_ns = np.array(sorted(self._fixes), np.int64)
        trajectory = []
        for scan in shown:
            nearest = int(np.argmin(np.abs(stamps_ns - scan["shown_ns"]))) if stamps_ns.size else -1
            if nearest >= 0 and abs(int(stamps_ns[nearest]) - scan["shown_ns"]) <= SAME_SCAN_NS:
                pose = self._fixes[int(stamps_ns[nearest])]
                trajectory.append(StampedPose(scan["log_stamp_s"], pose))
        return PlaybackResult(len(shown), len(trajectory), tuple(trajectory), rig.status())
