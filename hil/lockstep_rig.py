"""The whole robot in one thread under a simulated clock: agent, drivers, devices, plant, master.

The same bytes go through the same drivers as on ptys; only ports, clock and broker are memory. A
run is a function of its seed: two give the same poses, commands and messages, bit for bit.
"""

import hashlib
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent import config
from agent.clock import SimulatedClock
from agent.mailbox import Mailbox, Outbox
from agent.main import PERIOD_NS, build_agent, identity_of, load_places
from agent.telemetry.publication import Message
from drivers.port import MemoryPort
from drivers.runner import DeviceRunner, PortOpener
from hil.bench_process import build_devices, world_from_grid
from hil.lockstep import DeviceBench
from hil.master_control import MasterControl
from hil.plant.plant import Plant
from hil.plant.world import World
from hil.scenario import BLOCKAGE, MAP_ID, Forklift, Scenario

STEP_NS = 5_000_000  # a quarter of a tick: bytes reach the agent with the delay of a real line
READY_NS = 3_000_000_000


@dataclass(frozen=True, slots=True)
class LockstepResult:
    """What came of a run.

    Attributes:
        finished: The master saw the order finished.
        collided: The robot touched something.
        simulated_s: Length of the run.
        distance_m: Way driven.
        worst_error_m: Largest distance between true and estimated pose.
        rms_error_m: Root mean square of the same.
        blocked: The forklift was noticed and waited for.
        messages: Messages that the robot published.
        digest: SHA-256 over every pose, command and message of the run.
    """

    finished: bool
    collided: bool
    simulated_s: float
    distance_m: float
    worst_error_m: float
    rms_error_m: float
    blocked: bool
    messages: int
    digest: str


class LockstepRig:
    """Builds everything from a scenario and the very configuration file that the daemon reads."""

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        settings = self.settings = config.load(scenario.write_config(directory), environment={})
        self.clock = SimulatedClock()
        self.agent = build_agent(settings, load_places(settings))
        self.master = MasterControl(identity_of(settings), self.clock)
        world = world_from_grid(scenario.hall.grid)
        world.add(BLOCKAGE)
        self.plant = self._build_plant(world, scenario)
        self._scenario = scenario
        self._mailbox = Mailbox(tuple(settings.mounts))
        self._forklift = Forklift()
        devices = build_devices(self.plant, scenario.lidars, scenario.seed, scenario.equipment)
        ends, ports = {}, {}
        for name in devices:
            ends[name], ports[name] = MemoryPort.pair()
        self.bench = DeviceBench(self.plant, devices, ends)
        self._runners = [
            DeviceRunner(name, section.build(name), self._opener(name, ports[name]))
            for name, section in settings.devices.items()
        ]
        self._base = self._runners[-1]
        self._digest = hashlib.sha256()
        self._messages = 0
        self._errors_m: list[float] = []
        self._ordered = False

    def run(self, limit_s: float = 600.0) -> LockstepResult:
        """Drive the order to its end, or until the limit."""
        while not self.master.finished and self.clock.now_ns() < limit_s * 1e9:
            self.step()
        errors_m = np.array(self._errors_m)
        return LockstepResult(
            finished=self.master.finished,
            collided=self.plant.truth.contact is not None,
            simulated_s=self.clock.now_ns() * 1e-9,
            distance_m=self.plant.truth.distance_m,
            worst_error_m=float(errors_m.max()),
            rms_error_m=float(np.sqrt(np.mean(errors_m**2))),
            blocked=self._forklift.gone,
            messages=self._messages,
            digest=self._digest.hexdigest(),
        )

    def step(self) -> None:
        """Let one step of time pass; every fourth one is a tick of the agent."""
        now_ns = self.clock.now_ns() + STEP_NS
        self.clock.wait_until_ns(now_ns)
        self._serve_devices(now_ns)
        if now_ns % PERIOD_NS == 0:
            outbox = self.agent.tick(now_ns, self._mailbox.drain(self.clock.utc_ns()))
            self._base.submit(outbox.command)
            if outbox.releases_base:
                self._base.release()
            self._observe(outbox)
            self._exchange(outbox, now_ns)

    def _build_plant(self, world: World, scenario: Scenario) -> Plant:
        return Plant(world, scenario.robot, scenario.start, scenario.seed)

    def _opener(self, name: str, port: MemoryPort) -> PortOpener:
        del name  # all ports open alike
        return lambda spec: port

    def _serve_devices(self, now_ns: int) -> None:
        self.bench.advance(now_ns)
        for runner in self._runners:
            for output in runner.service(now_ns):
                self._mailbox.put(runner.name, output)

    def _exchange(self, outbox: Outbox, now_ns: int) -> None:
        """Carry messages between robot and master, and let the forklift driver look around."""
        replies = [
            reply
            for message in outbox.publications
            for reply in self.master.receive(message.topic, message.payload)
        ]
        if not self._ordered and now_ns >= READY_NS:
            replies += self.master.order(self._scenario.stations, MAP_ID)
            self._ordered = True
        for reply in replies:
            self._mailbox.put_message(Message(reply.topic, reply.payload, now_ns))
        if self._forklift.step(self.master.state, now_ns):
            self.plant.world.remove(BLOCKAGE.name)

    def _observe(self, outbox: Outbox) -> None:
        command, estimate = outbox.command, outbox.estimate
        self._digest.update(struct.pack("<2d", command.forward_mps, command.yaw_rate_radps))
        if estimate is not None:
            pose, truth = estimate.map_from_base, self.plant.truth.pose
            self._digest.update(struct.pack("<3d", pose.x_m, pose.y_m, pose.yaw_rad))
            self._errors_m.append(math.hypot(pose.x_m - truth.x_m, pose.y_m - truth.y_m))
        for message in outbox.publications:
            self._digest.update(message.payload)
        self._messages += len(outbox.publications)
