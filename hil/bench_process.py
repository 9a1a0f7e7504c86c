"""The bench in a process of its own: plant and devices in real time, device nodes as ptys.

::

    python -m hil.bench_process --spec SPEC.json

``DIRECTORY/base`` and, for each lidar, ``DIRECTORY/lidar.NAME`` lead to the devices.
``DIRECTORY/control`` is a unix socket that takes one JSON object a line, ``{"verb": ..., ...}``,
and answers each with one. It comes last: once it is there, the bench runs.
"""

import argparse
import contextlib
import json
import os
import select
import socket
import sys
import tty
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.clock import Clock, SystemClock
from agent.evaluation.carmen import read_carmen
from agent.mapping.map_file import load_map
from agent.mapping.occupancy_grid import OccupancyGrid
from drivers.errors import HaulierError
from hil.body import Body
from hil.emulator.device import Emulator
from hil.emulator.roboteq import RoboteqEmulator
from hil.emulator.rplidar import RplidarEmulator, RplidarModel
from hil.equipment import Equipment
from hil.errors import BenchError
from hil.hall import build_hall
from hil.plant.plant import LidarParameters, Plant, RobotParameters
from hil.plant.world import Box, Disc, Obstacle, Pose, TimedPose, World
from hil.player import Player
from hil.scanners import MountedLidar

Reply: TypeAlias = dict[str, Any]

FRONT: Final = "front"
BASE: Final = "base"
CONTROL: Final = "control"

_TICK_NS: Final = 2_000_000
_READ_BYTES: Final = 4096
_LONGEST_REQUEST: Final = 65_536
_CONNECT_RETRY_NS: Final = 20_000_000
_REPLY_TIMEOUT_S: Final = 5.0


class BenchSpec(BaseModel):
    """What the bench consists of.

    Attributes:
        directory: Where device nodes and control socket appear; made if missing.
        seed: Of slip, range noise and line faults.
        hall_seed: Of the hall, when there is no map.
        map: A map file to drive in, instead of the hall.
        log: A CARMEN log to play, instead of a plant.
        start: Where the robot stands: x and y in m, yaw in rad, in the frame of the map.
        robot: Outline, drive and lidar of the robot.
        lidars: All lidars by name, where the robot has other ones than its own, named ``front``.
        equipment: Which devices these are; a log is played on an RPLIDAR and a Roboteq.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: Path
    seed: int = Field(default=1, ge=0)
    hall_seed: int = Field(default=1, ge=0)
    map: Path | None = None
    log: Path | None = None
    start: Pose = Pose(7.2, 2.5, 0.0)
    robot: RobotParameters = Field(default_factory=RobotParameters)
    lidars: dict[str, LidarParameters] = {}
    equipment: Equipment = Equipment()


def read_spec(path: Path) -> BenchSpec:
    """Read a spec; raises BenchError naming the key that is wrong."""
    try:
        return BenchSpec.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise BenchError(f"{path}: {key}: {first['msg']}") from error


def world_from_grid(grid: OccupancyGrid) -> World:
    """Return the world that a map describes; what is unknown in the map is free.

    Raises:
        BenchError: The map is turned against its frame.
    """
    origin = grid.map_from_grid
    if origin.yaw_rad != 0.0:
        raise BenchError("the bench takes no map whose origin is turned")
    return World(grid.occupied, grid.resolution_m, origin.x_m, origin.y_m)


def build_devices(
    plant: Plant, lidars: Mapping[str, LidarParameters], seed: int, equipment: Equipment
) -> dict[str, Emulator]:
    """Return the devices of a plant's robot by their names.

    Args:
        plant: The robot in its world.
        lidars: Its lidars by name.
        seed: Of faults on the lines.
        equipment: Which devices these are.
    """
    *lidar_rngs, base_rng = map(
        np.random.default_rng, np.random.SeedSequence(seed).spawn(len(lidars) + 1)
    )
    devices: dict[str, Emulator] = {
        f"lidar.{name}": equipment.emulated_lidar(number, MountedLidar(plant, parameters), rng)
        for number, ((name, parameters), rng) in enumerate(
            zip(lidars.items(), lidar_rngs, strict=True)
        )
    }
    devices[BASE] = equipment.emulated_base(plant.wheels, base_rng)
    return devices


class _Line:
    """A device at a pty, and the symbolic link by which the host finds it."""

    def __init__(self, node: Path, device: Emulator) -> None:
        self.device = device
        self.received_bytes = 0
        self.dropped_bytes = 0
        self._node = node
        self._master: int | None = None
        self._slave: int | None = None

    def fileno(self) -> int:
        return -1 if self._master is None else self._master

    @property
    def plugged(self) -> bool:
        return self._master is not None

    def plug(self) -> None:
        """Make the device node; the bench holds the far end open too, so that it stays raw."""
        if self.plugged:
            return
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        link = self._node.with_name(f".{self._node.name}.new")
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._slave))
        link.replace(self._node)

    def unplug(self) -> None:
        """Take the device node away; whoever has it open sees it hang up."""
        self._node.unlink(missing_ok=True)
        if self._master is not None and self._slave is not None:
            os.close(self._slave)
            os.close(self._master)
        self._master = self._slave = None

    def step(self, now_ns: int) -> None:
        """Carry bytes both ways; a pty that nobody drains loses what does not fit."""
        sent = self.device.transmit(now_ns)
        if self._master is None:
            return
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._master, _READ_BYTES)
            self.received_bytes += len(data)
            self.device.receive(data, now_ns)
        if sent:
            written = 0
            with contextlib.suppress(BlockingIOError):
                written = os.write(self._master, sent)
            self.dropped_bytes += len(sent) - written


class BenchProcess:
    """The bench's loop.

    Args:
        spec: What it consists of.
        clock: Real time.
    """

    def __init__(self, spec: BenchSpec, clock: Clock) -> None:
        self._clock = clock
        self._directory = spec.directory
        self._plant: Plant | None = None
        self._player: Player | None = None
        self._body: Body
        if spec.log is None:
            self._body = self._plant = _build_plant(spec, clock.now_ns())
        else:
            self._body = self._player = _build_player(spec, spec.log)
        self._lines = self._build_lines(spec)
        self._running = True
        self._ticks = 0
        self._missed = 0
        self._worst_late_ns = 0
        self._clients: dict[socket.socket, bytearray] = {}
        self._verbs: Mapping[str, Callable[[Reply], Reply]] = {
            "truth": self._truth,
            "unplug": self._unplug,
            "replug": self._replug,
            "fault": self._fault,
            "obstacle.add": self._add_obstacle,
            "obstacle.remove": self._remove_obstacle,
            "lidar_points": self._lidar_points,
            "played": self._played,
            "stats": self._stats,
            "quit": self._quit,
        }

    def run(self) -> None:
        """Run until told to quit. Raises BenchError when the directory cannot be used."""
        control = self._directory / CONTROL
        # Whatever is compiled on first use is compiled before a host can wait for it.
        now_ns = self._clock.now_ns()
        self._body.advance(now_ns)
        self._body.lidar_ranges(np.array([now_ns]), np.zeros(1))
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            control.unlink(missing_ok=True)
            for line in self._lines.values():
                line.plug()
            server = socket.socket(socket.AF_UNIX)
            server.bind(str(control))
        except OSError as error:
            raise BenchError(f"{self._directory}: {error.strerror or error}") from error
        with server:
            server.listen()
            server.setblocking(False)
            try:
                self._loop(server)
            finally:
                control.unlink(missing_ok=True)
                for client in self._clients:
                    client.close()
                for line in self._lines.values():
                    line.unplug()

    def _build_lines(self, spec: BenchSpec) -> dict[str, _Line]:
        if self._plant is not None:
            lidars = spec.lidars or {FRONT: spec.robot.lidar}
            devices = build_devices(self._plant, lidars, spec.seed, spec.equipment)
        else:
            devices = self._build_played(spec.seed)
        return {name: _Line(spec.directory / name, device) for name, device in devices.items()}

    def _build_played(self, seed: int) -> dict[str, Emulator]:
        lidar_rng, base_rng = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(2))
        hook = None if self._player is None else self._player.on_revolution
        return {
            f"lidar.{FRONT}": RplidarEmulator(
                self._body.lidar_ranges, lidar_rng, RplidarModel(), hook
            ),
            BASE: RoboteqEmulator(self._body.wheels, base_rng),
        }

    def _loop(self, server: socket.socket) -> None:
        deadline_ns = self._clock.now_ns()
        while self._running:
            now_ns = self._clock.now_ns()
            self._body.advance(now_ns)
            for line in self._lines.values():
                line.step(now_ns)
            if now_ns >= deadline_ns:
                self._ticks += 1
                self._worst_late_ns = max(self._worst_late_ns, now_ns - deadline_ns)
                self._missed += now_ns - deadline_ns > _TICK_NS
                deadline_ns = max(deadline_ns + _TICK_NS, now_ns)
            self._wait(server, deadline_ns)

    def _wait(self, server: socket.socket, deadline_ns: int) -> None:
        """Sleep until the next tick, or until a host or a client wants something."""
        sources: list[_Line | socket.socket] = [
            line for line in self._lines.values() if line.plugged
        ]
        sources += [server, *self._clients]
        timeout_s = max((deadline_ns - self._clock.now_ns()) * 1e-9, 0.0)
        readable, _, _ = select.select(sources, [], [], timeout_s)
        for source in readable:
            if source is server:
                client, _ = server.accept()
                self._clients[client] = bytearray()
            elif isinstance(source, socket.socket):
                self._hear(source)

    def _hear(self, client: socket.socket) -> None:
        try:
            data = client.recv(_READ_BYTES)
            self._clients[client] += data
            *requests, rest = self._clients[client].split(b"\n")
            self._clients[client] = rest
            for request in requests:
                client.sendall(json.dumps(self._answer(request)).encode("utf-8") + b"\n")
            gone = not data or len(rest) > _LONGEST_REQUEST
        except OSError:
            gone = True
        if gone:
            del self._clients[client]
            client.close()

    def _answer(self, request: bytes | bytearray) -> Reply:
        try:
            arguments = json.loads(request)
            if not isinstance(arguments, dict):
                raise BenchError("a request is one JSON object")
            verb = arguments.pop("verb", None)
            serve = self._verbs.get(verb)
            if serve is None:
                raise BenchError(f"the bench has no verb {verb}")
            return {"ok": True, **serve(arguments)}
        except HaulierError as error:
            return {"ok": False, "error": error.detail}
        except (ValueError, TypeError, KeyError, IndexError) as error:
            return {"ok": False, "error": f"malformed request: {error!r}"}

    def _line(self, name: str) -> _Line:
        line = self._lines.get(name)
        if line is None:
            raise BenchError(f"the bench has no device {name}: {', '.join(self._lines)}")
        return line

    def _world_plant(self) -> Plant:
        if self._plant is None:
            raise BenchError("a log is being played: there is no world around it")
        return self._plant

    def _truth(self, arguments: Reply) -> Reply:
        return asdict(self._body.truth)

    def _unplug(self, arguments: Reply) -> Reply:
        self._line(arguments["name"]).unplug()
        return {}

    def _replug(self, arguments: Reply) -> Reply:
        self._line(arguments["name"]).plug()
        return {}

    def _fault(self, arguments: Reply) -> Reply:
        device = self._line(arguments["name"]).device
        device.set_fault(arguments["kind"], bool(arguments["active"]), self._clock.now_ns())
        return {}

    def _add_obstacle(self, arguments: Reply) -> Reply:
        """Add a disc or a box; times of way-points count from now, in s."""
        plant = self._world_plant()
        now_ns = plant.truth.stamp_ns
        shape: Disc | Box
        if "radius_m" in arguments:
            shape = Disc(float(arguments["radius_m"]))
        else:
            shape = Box(float(arguments["length_m"]), float(arguments["width_m"]))
        waypoints = tuple(
            TimedPose(now_ns + round(after_s * 1e9), Pose(float(x_m), float(y_m), float(yaw_rad)))
            for after_s, x_m, y_m, yaw_rad in arguments["waypoints"]
        )
        gone_s = arguments.get("disappears_s")
        gone_ns = None if gone_s is None else now_ns + round(gone_s * 1e9)
        obstacle = Obstacle(str(arguments["name"]), shape, waypoints, now_ns, gone_ns)
        plant.world.add(obstacle)
        return {}

    def _remove_obstacle(self, arguments: Reply) -> Reply:
        self._world_plant().world.remove(arguments["name"])
        return {}

    def _lidar_points(self, arguments: Reply) -> Reply:
        """Return where 360 ideal rays end right now, in the frame of the world."""
        plant = self._world_plant()
        pose, mount = plant.truth.pose, plant.robot.lidar.base_from_lidar
        bearings = np.arange(-180.0, 180.0) * (np.pi / 180.0)
        ranges = plant.true_ranges(np.full(360, plant.truth.stamp_ns), bearings)
        cos, sin = np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)
        x_m = pose.x_m + cos * mount.x_m - sin * mount.y_m
        y_m = pose.y_m + sin * mount.x_m + cos * mount.y_m
        headings = pose.yaw_rad + mount.yaw_rad + bearings
        points = np.column_stack((x_m + ranges * np.cos(headings), y_m + ranges * np.sin(headings)))
        return {"points_m": points[~np.isnan(ranges)].round(3).tolist()}

    def _played(self, arguments: Reply) -> Reply:
        if self._player is None:
            raise BenchError("no log is being played")
        played = [asdict(scan) for scan in self._player.played]
        return {"finished": self._player.finished, "scans": played}

    def _stats(self, arguments: Reply) -> Reply:
        devices = {
            name: {
                "plugged": line.plugged,
                "sent_bytes": line.device.line.sent_bytes,
                "overrun_bytes": line.device.line.overrun_bytes,
                "dropped_bytes": line.dropped_bytes,
                "received_bytes": line.received_bytes,
                "commands_received": line.device.commands_received,
            }
            for name, line in self._lines.items()
        }
        usage = os.times()
        return {
            "ticks": self._ticks,
            "missed_deadlines": self._missed,
            "worst_late_s": self._worst_late_ns * 1e-9,
            "cpu_s": usage.user + usage.system,
            "devices": devices,
        }

    def _quit(self, arguments: Reply) -> Reply:
        self._running = False
        return {}


def _build_plant(spec: BenchSpec, now_ns: int) -> Plant:
    grid = build_hall(spec.hall_seed).grid if spec.map is None else load_map(spec.map)
    return Plant(
        world_from_grid(grid), spec.equipment.on(spec.robot), spec.start, spec.seed, now_ns
    )


def _build_player(spec: BenchSpec, log: Path) -> Player:
    period_s = 1.0 / RplidarModel().revolution_hz
    return Player(read_carmen(log), spec.robot.drive, period_s, spec.robot.lidar.max_range_m)


class BenchClient:
    """The other end of the control socket.

    Args:
        directory: That of the bench's spec.
        clock: To wait for the bench with.
        timeout_s: How long to wait for it to come up; raises BenchError after that.
    """

    def __init__(self, directory: Path, clock: Clock, timeout_s: float = 20.0) -> None:
        self._socket = _connected(directory / CONTROL, clock, timeout_s)
        self._socket.settimeout(_REPLY_TIMEOUT_S)
        self._replies = self._socket.makefile("rb")

    def ask(self, verb: str, **arguments: Any) -> Reply:
        """Return the bench's answer; raises BenchError when it refuses or is gone."""
        request = json.dumps({"verb": verb, **arguments}) + "\n"
        try:
            self._socket.sendall(request.encode("utf-8"))
            line = self._replies.readline()
        except OSError as error:
            raise BenchError(f"the bench does not answer: {error}") from error
        if not line:
            raise BenchError("the bench is gone")
        reply: Reply = json.loads(line)
        if not reply.pop("ok"):
            raise BenchError(reply["error"])
        return reply

    def truth(self) -> Reply:
        """Return the fields of :class:`hil.plant.plant.Truth`."""
        return self.ask("truth")

    def unplug(self, name: str) -> None:
        """Pull a device's cable."""
        self.ask("unplug", name=name)

    def replug(self, name: str) -> None:
        """Put it back in."""
        self.ask("replug", name=name)

    def set_fault(self, name: str, kind: str, active: bool) -> None:
        """Switch a fault of a device."""
        self.ask("fault", name=name, kind=kind, active=active)

    def add_obstacle(
        self, name: str, shape: Disc | Box, waypoints: list[tuple[float, float, float, float]]
    ) -> None:
        """Add an obstacle; a way-point is time from now (s), x, y (m) and yaw (rad)."""
        self.ask("obstacle.add", name=name, waypoints=waypoints, **asdict(shape))

    def remove_obstacle(self, name: str) -> None:
        """Take an obstacle away."""
        self.ask("obstacle.remove", name=name)

    def lidar_points(self) -> list[tuple[float, float]]:
        """Return where ideal rays end right now, x and y in m in the frame of the world."""
        return [(x_m, y_m) for x_m, y_m in self.ask("lidar_points")["points_m"]]

    def played(self) -> Reply:
        """Return whether the log is finished, and the scans shown so far."""
        return self.ask("played")

    def stats(self) -> Reply:
        """Return the counters of the bench."""
        return self.ask("stats")

    def quit(self) -> None:
        """End the bench."""
        self.ask("quit")

    def close(self) -> None:
        """Hang up; the bench goes on."""
        self._replies.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _connected(path: Path, clock: Clock, timeout_s: float) -> socket.socket:
    deadline_ns = clock.now_ns() + round(timeout_s * 1e9)
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(path))
        except OSError as error:
            connection.close()
            if clock.now_ns() > deadline_ns:
                raise BenchError(f"no bench at {path}: {error.strerror or error}") from error
            clock.wait_until_ns(clock.now_ns() + _CONNECT_RETRY_NS)
        else:
            return connection


def main(arguments: list[str] | None = None) -> int:
    """Run a bench process; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hil.bench_process", description=__doc__)
    parser.add_argument("--spec", type=Path, required=True, help="JSON file, see BenchSpec")
    options = parser.parse_args(arguments)
    try:
        BenchProcess(read_spec(options.spec), SystemClock()).run()
    except HaulierError as error:
        sys.stderr.write(f"{error.detail}\n{error.hint}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
