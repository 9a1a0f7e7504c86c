"""Which lidar and base a bench robot has: any of which driver and emulator are installed."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from agent.config import LIDAR
from agent.loop import BASE
from drivers import registry
from hil.emulator import registry as emulators
from hil.emulator.device import Emulator, RangeSource, WheelActuator
from hil.emulator.rplidar import RplidarEmulator, RplidarModel
from hil.errors import BenchError
from hil.plant.plant import RobotParameters
from hil.plant.robot import DriveParameters

# Of drivers whose default options are not what the bench has at its ports.
LIDAR_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {"rplidar": {"mode": "express"}}
)
WHEELS: Final = ("track_m", "wheel_radius_m", "counts_per_turn", "max_speed_mps")
SHARE_OF_TOP_SPEED: Final = 0.9  # the rest is for turning
_UNEVENNESS_HZ: Final = 0.3


@dataclass(frozen=True, slots=True)
class Equipment:
    """A choice of devices, by the names of their drivers.

    Attributes:
        lidar: Driver of every lidar.
        base: Driver of the base.
    """

    lidar: str = "rplidar"
    base: str = "roboteq"

    def check(self) -> None:
        """Raise BenchError or DriverError unless both are there, a lidar and a base."""
        for name, kind in ((self.lidar, LIDAR), (self.base, BASE)):
            found = BASE if hasattr(registry.load(name), "command") else LIDAR
            if found != kind:
                raise BenchError(f"{name} is the driver of a {found}, not of a {kind}")
            emulators.load(name)

    def on(self, robot: RobotParameters) -> RobotParameters:
        """Return a robot with the wheels of the base, where these cannot be chosen.

        An emulated base whose wheels are what they are says so in its class attribute ``drive``,
        of :class:`hil.plant.robot.DriveParameters`; how the robot slips stays as it was.
        """
        built: DriveParameters | None = getattr(emulators.load(self.base), "drive", None)
        if built is None:
            return robot
        wheels = {name: getattr(built, name) for name in WHEELS}
        return replace(robot, drive=replace(robot.drive, **wheels))

    @property
    def view_deg(self) -> float:
        """How much of the horizon a lidar sees, by its emulator's class attribute ``view_deg``."""
        return float(getattr(emulators.load(self.lidar), "view_deg", 360.0))

    def lidar_options(self) -> str:
        """Return the options of a lidar's driver, as lines of a configuration."""
        return _lines(LIDAR_OPTIONS.get(self.lidar, {}))

    def base_options(self, robot: RobotParameters) -> str:
        """Return the options of the base's driver, as lines of a configuration."""
        drive = robot.drive
        wheels = {
            "counts_per_revolution": drive.counts_per_turn,
            "wheel_radius_m": drive.wheel_radius_m,
            "track_width_m": drive.track_m,
        }
        known = getattr(registry.load(self.base).options, "__dataclass_fields__", {})
        return _lines({name: value for name, value in wheels.items() if name in known})

    def emulated_lidar(
        self, number: int, ranges: RangeSource, rng: np.random.Generator
    ) -> Emulator:
        """Return one lidar of several; no two RPLIDARs turn at the same pace."""
        emulator = emulators.load(self.lidar)
        if emulator is RplidarEmulator:
            nominal = RplidarModel()
            pace_hz = nominal.revolution_hz - _UNEVENNESS_HZ * number
            return RplidarEmulator(ranges, rng, replace(nominal, revolution_hz=pace_hz))
        device: Emulator = emulator(ranges, rng)
        return device

    def emulated_base(self, wheels: WheelActuator, rng: np.random.Generator) -> Emulator:
        """Return the base."""
        device: Emulator = emulators.load(self.base)(wheels, rng)
        return device


def cruise_mps(robot: RobotParameters, wanted_mps: float) -> float:
    """Return how fast a robot may be told to drive, so that it can still turn."""
    most_mps = SHARE_OF_TOP_SPEED * robot.drive.max_speed_mps
    return min(wanted_mps, math.floor(100.0 * most_mps) / 100.0)


def _lines(options: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in options.items())
