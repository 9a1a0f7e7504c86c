"""The lock-step rig with cables to pull, lidars to cover, and a control loop to hold up."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.avoidance.motion import MotionLimits
from agent.loop import BASE
from agent.mailbox import Outbox
from agent.telemetry.publication import Message
from drivers.driver import PortSpec
from drivers.errors import PortLost, PortUnavailable
from drivers.port import MemoryPort
from drivers.runner import PortOpener
from hil.lockstep_rig import STEP_NS, LockstepRig
from hil.plant.plant import LidarParameters, Plant
from hil.plant.world import World
from hil.scenario import Scenario

ZERO: Final = b"!M 0 0\r"  # what a Roboteq is told to stand

ACKNOWLEDGED_NS: Final = 700_000_000  # until the base has said what it makes of it


class Cable:
    """The host's end of a serial line, which can be pulled out; closing a port does not cut it."""

    def __init__(self, line: MemoryPort) -> None:
        self._line = line
        self.is_in = True
        self.last_order = b""

    def open(self, spec: PortSpec) -> "Cable":
        """Open the port; see :data:`drivers.runner.PortOpener`."""
        del spec  # memory has neither line rate nor modem lines
        if not self.is_in:
            raise PortUnavailable("memory: no such device node", port="memory")
        self._line.read()  # as a tty does, it throws away what was waiting
        return self

    def fileno(self) -> int | None:
        """Memory has no descriptor."""
        return None

    def read(self) -> bytes:
        """Return what the device sent; see :class:`drivers.port.BytePort`."""
        self._check()
        return self._line.read()

    def write(self, data: bytes) -> None:
        """Send to the device; see :class:`drivers.port.BytePort`."""
        self._check()
        if data.startswith(b"!"):  # a Roboteq's commands do, its queries do not
            self.last_order = data
        self._line.write(data)

    def close(self) -> None:
        """Leave the line as it is, for the next who opens it."""

    def _check(self) -> None:
        if not self.is_in:
            raise PortLost("memory: the other end is gone", port="memory")


class CoveredPlant(Plant):
    """A plant whose lidars somebody may hang something over.

    Attributes:
        covered_rad: Width of the sector, around the lidars' x axes, from which nothing comes back.
    """

    covered_rad = 0.0

    def lidar_ranges(
        self,
        stamps_ns: NDArray[np.int64],
        bearings_rad: NDArray[np.float64],
        lidar: LidarParameters | None = None,
    ) -> NDArray[np.float64]:
        """Return what the lidar measures; see :meth:`hil.plant.plant.Plant.lidar_ranges`."""
        ranges_m = super().lidar_ranges(stamps_ns, bearings_rad, lidar)
        aside_rad = np.abs((bearings_rad + math.pi) % math.tau - math.pi)
        ranges_m[aside_rad < 0.5 * self.covered_rad] = math.nan
        return ranges_m


class StopRig(LockstepRig):
    """The lock-step rig, with a base that brakes no harder than the governor counts on.

    Attributes:
        plant: What is real.
        cables: By the name of the device.
        held_up: The control loop does not get to run; the thread of the devices does.
        reasons: Why the robot stands, as its status says, oldest first.
        limits: What the governor counts on.
    """

    plant: CoveredPlant

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        self.cables: dict[str, Cable] = {}
        super().__init__(scenario, directory)
        self.limits: MotionLimits = self.settings.motion
        self.held_up = False
        self.reasons: list[str] = []
        self._reason: str | None = None
        self._commands_zero = True
        self._map_origin_m = (self.plant.world.origin_x_m, self.plant.world.origin_y_m)

    @property
    def is_zero(self) -> bool:
        """Whether the loop commands zero, or what watches over it has told the base so."""
        return self._commands_zero or self.cables[BASE].last_order == ZERO

    @property
    def is_at_rest(self) -> bool:
        """Whether the wheels stand."""
        return self.plant.wheels.speeds_mps == (0.0, 0.0)

    @property
    def stop_reason(self) -> str | None:
        """Why the robot stands, as ``haulier status`` says."""
        reason: str | None = self.agent.status(self.clock.now_ns())["command"]["stop_reason"]
        return reason

    @property
    def pose_error_m(self) -> float:
        """How far from its true place on the map the robot believes to be."""
        pose = self.agent.status(self.clock.now_ns())["pose"]
        world, truth = self.plant.world, self.plant.truth.pose
        x_m, y_m = self._map_origin_m
        moved_x_m, moved_y_m = world.origin_x_m - x_m, world.origin_y_m - y_m
        return math.hypot(
            pose["x_m"] - (truth.x_m - moved_x_m), pose["y_m"] - (truth.y_m - moved_y_m)
        )

    def step(self) -> None:
        """Let one step of time pass."""
        if not self.held_up:
            super().step()
            return
        now_ns = self.clock.now_ns() + STEP_NS
        self.clock.wait_until_ns(now_ns)
        self._serve_devices(now_ns)

    def advance(self, duration_ns: int) -> None:
        """Let some time pass."""
        end_ns = self.clock.now_ns() + duration_ns
        while self.clock.now_ns() < end_ns:
            self.step()

    def instruct(self, action_type: str) -> None:
        """Have the master send an instant action."""
        for sent in self.master.instant_action(action_type):
            message = Message(sent.topic, sent.payload, self.clock.now_ns())
            self._mailbox.put_message(message)

    def acknowledge(self) -> None:
        """Say at the robot that it may drive again, as ``haulier acknowledge`` does."""
        for _ in range(2):
            self._mailbox.put_acknowledgement()
            self.advance(ACKNOWLEDGED_NS)

    def _build_plant(self, world: World, scenario: Scenario) -> Plant:
        nominal = scenario.robot
        drive = replace(nominal.drive, deceleration_mps2=self.settings.motion.deceleration_mps2)
        robot = replace(nominal, drive=drive)
        return CoveredPlant(world, robot, scenario.start, scenario.seed)

    def _opener(self, name: str, port: MemoryPort) -> PortOpener:
        cable = self.cables[name] = Cable(port)
        return cable.open

    def _observe(self, outbox: Outbox) -> None:
        super()._observe(outbox)
        self._commands_zero = outbox.command.is_stop
        reason = self.stop_reason
        if reason is not None and reason != self._reason:
            self.reasons.append(reason)
        self._reason = reason
