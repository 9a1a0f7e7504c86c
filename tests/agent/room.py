"""Two small rooms, the configuration of a robot in them, and a robot made of inboxes."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from agent import config
from agent.geometry.pose import Pose2
from agent.loop import BASE, Agent
from agent.mailbox import Inbox, Outbox
from agent.main import build_agent, load_places
from agent.mapping.map_file import write_map
from agent.mapping.occupancy_grid import FREE, OCCUPIED, UNKNOWN, OccupancyGrid
from agent.telemetry.publication import Message
from agent.vda5050.messages import State, decode
from drivers.measurement import BaseStatus, Odometry, Scan
from drivers.runner import DeviceState, Phase
from tests.agent.vda5050.orders import encode, order

LIDAR = "lidar.front"
TICK_NS = 20_000_000
RESOLUTION_M = 0.05
# Left, bottom, right, top in m; the robot starts at the origin and looks along x.
ROOM = (-2.0, -3.0, 9.0, 3.0)
BOXES = (
    (-1.2, 1.9, -0.4, 2.6), (1.5, -2.7, 2.3, -2.0), (3.4, 2.2, 4.6, 3.0),
    (5.5, -3.0, 6.1, -1.9), (7.6, 1.4, 8.3, 2.4), (0.9, 2.5, 1.3, 3.0),
)  # fmt: skip
CELLAR_BOXES = (
    (2.6, -3.0, 3.1, -1.2), (6.6, -2.6, 8.0, -2.2), (-1.6, 1.2, -1.1, 2.6),
    (5.0, 2.1, 5.3, 3.0), (0.2, -2.9, 0.5, -2.0), (8.3, 0.9, 9.0, 2.0),
)  # fmt: skip

TOML = """\
[robot]
manufacturer = "acme"
serial_number = "R1"
length_m = 0.9
width_m = 0.6

[map.hall]
file = "room.yaml"

[start]
pose = [0.0, 0.0, 0.0]

[lidar.front]
driver = "rplidar"
port = "{directory}/lidar.front"

[base]
driver = "roboteq"
port = "{directory}/base"

[base.options]
counts_per_revolution = 4096
wheel_radius_m = 0.10
track_width_m = 0.50

[broker]
host = "127.0.0.1"
port = 1

[local]
socket = "haulier.sock"
"""


TWO_HALLS = TOML.replace(
    "[start]\n", '[map.cellar]\nfile = "cellar.yaml"\n\n[start]\nmap = "hall"\n'
)
REAR_MOUNT = Pose2(-0.4, 0.0, math.pi)
TWO_LIDARS = TOML.replace(
    "[base]\n",
    '[lidar.rear]\ndriver = "rplidar"\nport = "{directory}/lidar.rear"\n'
    "mount = [-0.4, 0.0, 3.14159265]\n\n[base]\n",
)


def room_grid(boxes: tuple[tuple[float, float, float, float], ...] = BOXES) -> OccupancyGrid:
    left, bottom, right, top = ROOM
    origin = Pose2(left - 0.5, bottom - 0.5, 0.0)
    columns, rows = (round((end + 1.0) / RESOLUTION_M) for end in (right - left, top - bottom))
    cells = np.full((rows, columns), UNKNOWN, np.int8)

    def fill(area: tuple[float, float, float, float], value: int) -> None:
        corner = (origin.x_m, origin.y_m) * 2
        x0, y0, x1, y1 = (
            round((edge - low) / RESOLUTION_M) for edge, low in zip(area, corner, strict=True)
        )
        cells[y0:y1, x0:x1] = value

    fill((left - 0.1, bottom - 0.1, right + 0.1, top + 0.1), OCCUPIED)
    fill(ROOM, FREE)
    for box in boxes:
        fill(box, OCCUPIED)
    return OccupancyGrid(cells, RESOLUTION_M, origin)


def write_robot(directory: Path, text: str = TOML) -> Path:
    """Write maps and configuration, and return the path of the latter."""
    write_map(directory / "room.yaml", room_grid())
    write_map(directory / "cellar.yaml", room_grid(CELLAR_BOXES))
    path = directory / "haulier.toml"
    path.write_text(text.format(directory=directory), encoding="utf-8")
    return path


def agent_in(directory: Path, text: str = TOML) -> Agent:
    settings = config.load(write_robot(directory, text), environment={})
    return build_agent(settings, load_places(settings))


def _segments(boxes: tuple[tuple[float, float, float, float], ...]) -> np.ndarray:
    segments = []
    for left, bottom, right, top in (ROOM, *boxes):
        corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
        segments += [(*a, *b) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)]
    return np.array(segments)


SEGMENTS = {"hall": _segments(BOXES), "cellar": _segments(CELLAR_BOXES)}
RAYS = 360


def ranges_m(
    pose: Pose2,
    more: tuple[tuple[float, float, float, float], ...] = (),
    hall: str = "hall",
) -> np.ndarray:
    """Distance along each of ``RAYS`` rays to the nearest wall, shape ``(RAYS,)``."""
    x0, y0, x1, y1 = np.vstack([SEGMENTS[hall], *more]).T[:, None, :]
    angles = bearings() + pose.yaw_rad
    dx, dy = np.cos(angles)[:, None], np.sin(angles)[:, None]
    ex, ey = x1 - x0, y1 - y0
    with np.errstate(divide="ignore", invalid="ignore"):
        cross = dx * ey - dy * ex
        length = ((x0 - pose.x_m) * ey - (y0 - pose.y_m) * ex) / cross
        along = ((x0 - pose.x_m) * dy - (y0 - pose.y_m) * dx) / cross
    hit = (length > 0.0) & (along >= 0.0) & (along <= 1.0)
    return np.where(hit, length, np.inf).min(axis=1)


def bearings() -> np.ndarray:
    return -math.pi + math.tau * np.arange(RAYS) / RAYS


def scan(stamp_ns: int, ranges: np.ndarray, missing: int = 0) -> Scan:
    angles = bearings()[: len(ranges)].astype(np.float32)
    distances = np.asarray(ranges, np.float32)
    offsets = np.zeros(len(ranges), np.float32)
    quality = np.full(len(ranges), 40, np.uint8)
    for array in (angles, distances, offsets, quality):
        array.setflags(write=False)
    return Scan(stamp_ns, stamp_ns, angles, distances, offsets, quality, missing)


class Robot:
    """Does what the agent commands, and brings it what its devices would.

    Args:
        agent: Its brain.
        more: Where further lidars are mounted; they measure midway between the scans of the first.
    """

    def __init__(self, agent: Agent, more: dict[str, Pose2] | None = None) -> None:
        self.agent = agent
        self.hall = "hall"
        self.more = more or {}
        self.dead: set[str] = set()
        self.now_ns = 1_000_000_000
        self.ticks = 0
        self.pose = Pose2(0.0, 0.0, 0.0)
        self.twist = (0.0, 0.0)
        self.scan_of: Callable[[int, np.ndarray], Scan | None] = scan
        self.odometry_of: Callable[[Odometry], Odometry | None] = lambda odometry: odometry
        self.status = BaseStatus(0, 25.0, (0.5, 0.5), False, False, ())
        self.obstacle: tuple[tuple[float, float, float, float], ...] = ()
        self.outboxes: list[Outbox] = []

    def tick(self, *, period_ns: int = TICK_NS, **changes: Any) -> Outbox:
        """Let one period pass; ``changes`` replace fields of the inbox."""
        self.now_ns += period_ns
        self._drive(period_ns * 1e-9)
        inbox = dataclasses.replace(self._inbox(), **changes)
        outbox = self.agent.tick(self.now_ns, inbox)
        self.ticks += 1
        self.twist = (outbox.command.forward_mps, outbox.command.yaw_rate_radps)
        self.outboxes.append(outbox)
        return outbox

    def run(self, seconds: float) -> Outbox:
        for _ in range(max(1, round(seconds * 1e9 / TICK_NS))):
            outbox = self.tick()
        return outbox

    def arrive(self, seconds: float) -> Outbox:
        """Run until the order is done and half a second longer, at most so long."""
        for _ in range(round(2.0 * seconds)):
            idle = self.agent.status(self.now_ns)["order"]["idle"]
            outbox = self.run(0.5)
            if idle:
                break
        return outbox

    def start(self) -> "Robot":
        """Bring the devices up and let the robot find itself."""
        devices = tuple(DeviceState(n, Phase.STREAMING, self.now_ns) for n in self.devices)
        self.tick(devices=devices)
        self.run(1.5)
        assert self.estimate.localized, self.estimate.reason
        return self

    def drive(self) -> "Robot":
        """Send an order and wait until the robot is well on its way."""
        self.tick(messages=(self.order(),))
        self.run(1.5)
        assert self.twist[0] > 0.5, self.agent.status(self.now_ns)
        return self

    def order(self, **changes: Any) -> Message:
        tree = order(2, spacing_m=5.0) | changes
        return Message("order", encode(tree), self.now_ns)

    @property
    def devices(self) -> tuple[str, ...]:
        return LIDAR, *self.more, BASE

    @property
    def estimate(self):
        estimate = self.outboxes[-1].estimate
        assert estimate is not None
        return estimate

    @property
    def stop_reason(self) -> str | None:
        return self.agent.status(self.now_ns)["command"]["stop_reason"]

    @property
    def state(self) -> State:
        """The newest state message."""
        payloads = [
            publication.payload
            for outbox in self.outboxes
            for publication in outbox.publications
            if publication.topic == "state"
        ]
        return decode(State, payloads[-1])

    def events(self, name: str) -> list[dict[str, Any]]:
        return [e.fields for outbox in self.outboxes for e in outbox.events if e.name == name]

    def _drive(self, period_s: float) -> None:
        forward, yaw_rate = self.twist
        yaw = self.pose.yaw_rad + yaw_rate * period_s / 2
        self.pose = Pose2(
            self.pose.x_m + forward * period_s * math.cos(yaw),
            self.pose.y_m + forward * period_s * math.sin(yaw),
            self.pose.yaw_rad + yaw_rate * period_s,
        )

    def _inbox(self) -> Inbox:
        odometry = self.odometry_of(
            Odometry(self.now_ns, self.now_ns, *dataclasses.astuple(self.pose), *self.twist)
        )
        walls = tuple(np.array([box]) for box in self.obstacle)
        has_scan, has_status = self.ticks % 5 == 0, self.ticks % 10 == 0
        measured = {}
        if has_scan:
            ranges = ranges_m(self.pose, walls, self.hall)
            measured[LIDAR] = self.scan_of(self.now_ns, ranges)
        if self.ticks % 5 == 2:
            for name, mount in self.more.items():
                ranges = ranges_m(self.pose @ mount, walls, self.hall)
                measured[name] = scan(self.now_ns, ranges)
        return Inbox(
            1_767_225_600_000_000_000 + self.now_ns,
            tuple((n, s) for n, s in measured.items() if s is not None and n not in self.dead),
            () if odometry is None else (odometry,),
            dataclasses.replace(self.status, stamp_ns=self.now_ns) if has_status else None,
        )
