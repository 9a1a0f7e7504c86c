"""What the demo drives: a tour of our hall, and a forklift that stands where it should not.

One description serves both rigs: ptys in real time and memory in lock-step.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

from agent.vda5050.messages import State
from hil.equipment import Equipment, cruise_mps
from hil.hall import Hall, build_hall
from hil.master_control import Station
from hil.plant.plant import LidarParameters, RobotParameters
from hil.plant.robot import DriveParameters
from hil.plant.world import Box, Pose, standing
from hil.scanners import Scanner

MAP_ID = "hall"
START = "dock-1"
VISITS = ("rack-1", "rack-3", "line-1")
NODE_DEVIATION_M = 0.25
CRUISE_MPS, MOST_MPS = 1.2, 1.3
DEFAULT = Equipment()
# A scanner that sees less than all around is built in at two corners. One that sees half of it is
# the only one, as on old transport robots: then somebody has to answer for what is behind.
WHOLE_DEG, HALF_DEG = 360.0, 180.0

# The forklift unloads in the western lane, and leaves after it has been waited for.
FORKLIFT = Box(2.4, 1.2)
FORKLIFT_POSE = Pose(2.5, 15.5, 1.45)
BLOCKAGE = standing("forklift", FORKLIFT, FORKLIFT_POSE)
PATIENCE_NS = 4_000_000_000

# A loaded robot on real tyres: wheels a few per mille off nominal, and slip.
ROBOT = RobotParameters(
    drive=DriveParameters(left_scale=1.004, right_scale=0.998, slip_m_per_sqrt_m=0.003),
    lidar=LidarParameters(base_from_lidar=Pose(0.3, 0.0, 0.0), max_range_m=12.0),
)

NOSE = MappingProxyType({"front": Scanner(ROBOT.lidar)})

# As on many a transport robot: at two opposite corners, a hand's breadth out, each with a view of
# 270 degrees, so that both together see all around. The rest is the robot itself.
_INWARDS = ((2.34, -2.34),)
CORNERS = MappingProxyType(
    {
        "front": Scanner(
            LidarParameters(base_from_lidar=Pose(0.48, 0.33, 0.25 * math.pi), max_range_m=12.0),
            _INWARDS,
        ),
        "rear": Scanner(
            LidarParameters(base_from_lidar=Pose(-0.48, -0.33, -0.75 * math.pi), max_range_m=12.0),
            _INWARDS,
        ),
    }
)

CONFIG = """\
[robot]
manufacturer = "haulier"
serial_number = "demo-01"
length_m = {length_m}
width_m = {width_m}

[map.{map_id}]
file = "hall.yaml"

[start]
pose = [{start.x_m}, {start.y_m}, {start.yaw_rad}]

{lidars}
[base]
driver = "{base}"
port = "{base_port}"

[base.options]
{base_options}
[broker]
host = "{broker_host}"
port = {broker_port}

[local]
socket = "{socket}"

[follower]
speed_mps = {cruise_mps}

[motion]
speed_mps = {most_mps}

[avoidance]
blind_spots = "{blind_spots}"
"""

LIDAR_CONFIG = """\
[lidar.{name}]
driver = "{driver}"
port = "{port}"
mount = [{mount.x_m}, {mount.y_m}, {mount.yaw_rad}]
mask = {mask}

[lidar.{name}.options]
{options}"""


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """A tour through the hall.

    Attributes:
        hall: Where it takes place.
        seed: Of slip and noise.
        stations: The order: first where the robot stands, then the way through the lanes.
        names: The stations among them that are visited.
        scanners: The robot's lidars.
        equipment: Which devices it has.
    """

    hall: Hall
    seed: int
    stations: tuple[Station, ...]
    names: tuple[str, ...]
    scanners: Mapping[str, Scanner] = field(default_factory=lambda: NOSE)
    equipment: Equipment = DEFAULT

    @property
    def robot(self) -> RobotParameters:
        """The robot, on the wheels of its base."""
        return self.equipment.on(ROBOT)

    @property
    def lidars(self) -> dict[str, LidarParameters]:
        """The lidars as the bench takes them."""
        return {name: scanner.parameters for name, scanner in self.scanners.items()}

    @property
    def start(self) -> Pose:
        """Where the robot stands at the beginning."""
        return Pose(*self._start)

    @property
    def _start(self) -> tuple[float, float, float]:
        pose = self.hall.stations[START]
        return pose.x_m, pose.y_m, pose.yaw_rad

    def write_config(
        self, directory: Path, *, broker_host: str = "127.0.0.1", broker_port: int = 1883
    ) -> Path:
        """Write map and configuration of the robot, and return the path of the latter."""
        self.hall.write(directory)
        path = directory / "haulier.toml"
        robot, equipment = self.robot, self.equipment
        text = CONFIG.format(
            length_m=robot.length_m,
            width_m=robot.width_m,
            map_id=MAP_ID,
            start=self.start,
            lidars="\n".join(
                LIDAR_CONFIG.format(
                    name=name,
                    driver=equipment.lidar,
                    options=equipment.lidar_options(),
                    port=directory / f"lidar.{name}",
                    mount=scanner.parameters.base_from_lidar,
                    mask=[list(sector) for sector in scanner.mask],
                )
                for name, scanner in self.scanners.items()
            ),
            base_port=directory / "base",
            base=equipment.base,
            base_options=equipment.base_options(robot),
            cruise_mps=cruise_mps(robot, CRUISE_MPS),
            blind_spots="free" if equipment.view_deg <= HALF_DEG else "occupied",
            most_mps=cruise_mps(robot, MOST_MPS),
            broker_host=broker_host,
            broker_port=broker_port,
            socket=directory / "haulier.sock",
        )
        path.write_text(text, encoding="utf-8")
        return path


def factory_tour(seed: int = 1, equipment: Equipment = DEFAULT) -> Scenario:
    """Return the demo's tour; the same seed gives the same hall, slip and noise."""
    hall = build_hall(seed)
    here, stations = START, [_station(hall, START)]
    for name in VISITS:
        stations += [_station(hall, node) for node in hall.graph.route(here, name)[1:]]
        here = name
    scanners = CORNERS if HALF_DEG < equipment.view_deg < WHOLE_DEG else NOSE
    return Scenario(hall, seed, tuple(stations), VISITS, scanners, equipment)


def _station(hall: Hall, name: str) -> Station:
    """Return a node of the order; at a station the robot takes the heading of serving it."""
    node = hall.graph.nodes[name]
    pose = hall.stations.get(name) if name in VISITS else None
    return Station(
        node.x_m,
        node.y_m,
        pose.yaw_rad if pose else None,
        name,
        deviation_m=NODE_DEVIATION_M,
    )


class Forklift:
    """The driver of the forklift: notices the waiting robot, and leaves a while later."""

    def __init__(self) -> None:
        self.blocked_ns: int | None = None
        self.gone = False

    def step(self, state: State | None, now_ns: int) -> bool:
        """Take the robot's newest state; True in the moment in which the forklift leaves."""
        if self.gone or state is None:
            return False
        if state.safety_state.field_violation and self.blocked_ns is None:
            self.blocked_ns = now_ns
        self.gone = self.blocked_ns is not None and now_ns - self.blocked_ns >= PATIENCE_NS
        return self.gone


def route_length_m(stations: tuple[Station, ...]) -> float:
    """Return the length of the way that an order describes."""
    return sum(
        math.dist((here.x_m, here.y_m), (after.x_m, after.y_m))
        for here, after in pairwise(stations)
    )
