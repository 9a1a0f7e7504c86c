"""A small robot in a small room: a configuration file, a map, and hand-made measurements."""

import json
import math
from pathlib import Path

import numpy as np

from agent import config
from agent.config import Config
from agent.geometry.pose import Pose2
from agent.loop import BASE, LIDAR, Agent
from agent.mailbox import Inbox
from agent.main import build_agent
from agent.mapping.map_file import load_map, write_map
from agent.mapping.occupancy_grid import OccupancyGrid
from agent.telemetry.publication import Message
from drivers.measurement import BaseStatus, Odometry, Scan
from drivers.runner import DeviceState, Phase

EPOCH_NS = 1_767_225_600_000_000_000
ROOM_M = 10.0
START = Pose2(3.0, 4.0, 0.0)

TOML = """\
[robot]
manufacturer = "acme"
serial_number = "r1"
length_m = 0.9
width_m = 0.6

[map]
file = "room.yaml"
id = "room"
start_pose = [3.0, 4.0, 0.0]

[lidar]
driver = "rplidar"
port = "/dev/null-lidar"

[base]
driver = "roboteq"
port = "/dev/null-base"

[broker]
host = "127.0.0.1"
port = 1
"""


def write_robot(directory: Path, toml: str = TOML) -> Path:
    """Write map and configuration; return the path of the latter."""
    cells = np.zeros((200, 200), np.int8)
    cells[[0, -1], :] = 100
    cells[:, [0, -1]] = 100
    cells[150:160, 40:60] = 100  # so that the room has no symmetry
    write_map(directory / "room.yaml", OccupancyGrid(cells, 0.05, Pose2.identity()))
    path = directory / "haulier.toml"
    path.write_text(toml, encoding="utf-8")
    return path


def load_robot(directory: Path) -> Config:
    return config.load(write_robot(directory), environment={})


def agent_in(directory: Path) -> Agent:
    settings = load_robot(directory)
    return build_agent(settings, load_map(settings.map.file))


def room_scan(stamp_ns: int, pose: Pose2 = START, rays: int = 360, **changes: object) -> Scan:
    """Return what an ideal lidar at the middle of the robot sees of the walls of the room."""
    angles = np.linspace(-math.pi, math.pi, rays, endpoint=False)
    bearings = angles + pose.yaw_rad
    cos, sin = np.cos(bearings), np.sin(bearings)
    inner, outer = 0.05, ROOM_M - 0.05
    with np.errstate(divide="ignore"):
        along_x = np.where(cos > 0, (outer - pose.x_m) / cos, (inner - pose.x_m) / cos)
        along_y = np.where(sin > 0, (outer - pose.y_m) / sin, (inner - pose.y_m) / sin)
    ranges = np.minimum(np.abs(along_x), np.abs(along_y)).astype(np.float32)
    fields = {
        "stamp_ns": stamp_ns,
        "received_ns": stamp_ns,
        "angles_rad": angles.astype(np.float32),
        "ranges_m": ranges,
        "offsets_s": np.zeros(rays, np.float32),
        "quality": np.full(rays, 47, np.uint8),
    } | changes
    return Scan(**fields)


def still(stamp_ns: int) -> Odometry:
    return Odometry(stamp_ns, stamp_ns, 0.0, 0.0, 0.0, 0.0, 0.0)


def healthy(stamp_ns: int, **changes: object) -> BaseStatus:
    fields = {
        "stamp_ns": stamp_ns,
        "battery_v": 25.0,
        "motor_currents_a": (0.0, 0.0),
        "e_stop": False,
        "bumper": False,
        "faults": (),
    } | changes
    return BaseStatus(**fields)


def streaming(now_ns: int) -> tuple[DeviceState, DeviceState]:
    return (
        DeviceState(LIDAR, Phase.STREAMING, now_ns),
        DeviceState(BASE, Phase.STREAMING, now_ns),
    )


def order(*places: tuple[float, float], order_id: str = "o1", **header: object) -> Message:
    """Return an order from the start pose to places in the room."""
    points = [(START.x_m, START.y_m), *places]
    nodes = [
        {
            "nodeId": f"n{i}",
            "sequenceId": 2 * i,
            "released": True,
            "actions": [],
            "nodePosition": {"x": x, "y": y, "mapId": "room"},
        }
        for i, (x, y) in enumerate(points)
    ]
    edges = [
        {
            "edgeId": f"e{i}",
            "sequenceId": 2 * i + 1,
            "released": True,
            "startNodeId": f"n{i}",
            "endNodeId": f"n{i + 1}",
            "actions": [],
        }
        for i in range(len(places))
    ]
    message = {
        "headerId": 1,
        "timestamp": "2026-01-01T00:00:00.00Z",
        "version": "2.1.0",
        "manufacturer": "acme",
        "serialNumber": "r1",
        "orderId": order_id,
        "orderUpdateId": 0,
        "nodes": nodes,
        "edges": edges,
    } | header
    return Message("order", json.dumps(message).encode(), 0)


class Ticker:
    """Ticks an agent at 50 Hz with a robot that stands at its start and sees the room."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.now_ns = 1_000_000_000
        self.outboxes = []
        self._first = True

    def tick(self, step_ns: int = 20_000_000, **changes: object):
        """Tick once; keyword arguments replace parts of the healthy inbox."""
        self.now_ns += step_ns
        parts = {
            "scan": room_scan(self.now_ns - 10_000_000),
            "odometry": (still(self.now_ns - 2_000_000),),
            "base_status": healthy(self.now_ns),
            "devices": streaming(self.now_ns) if self._first else (),
        } | changes
        self._first = False
        self.outboxes.append(self.agent.tick(self.now_ns, Inbox(EPOCH_NS + self.now_ns, **parts)))
        return self.outboxes[-1]

    def settle(self, ticks: int = 30) -> None:
        for _ in range(ticks):
            self.tick()

    def drive_off(self) -> None:
        """Accept an order and get the wheels commanded."""
        self.settle()
        self.tick(messages=(order((7.0, 4.0)),))
        self.settle(5)
        assert self.outboxes[-1].command.forward_mps > 0.0

    @property
    def stop_reason(self) -> str | None:
        return self.agent.status(self.now_ns)["command"]["stop_reason"]

    def states(self) -> list[dict[str, object]]:
        return [
            json.loads(message.payload)
            for outbox in self.outboxes
            for message in outbox.publications
            if message.topic == "state"
        ]
