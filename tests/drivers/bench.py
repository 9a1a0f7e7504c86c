"""Emulated devices for the runner: in memory under a simulated clock, and on ptys in real time."""

import os
import select
import threading
import time
import tty
from contextlib import suppress

import numpy as np

from drivers.errors import PortLost, PortUnavailable
from drivers.port import MemoryPort
from drivers.runner import DeviceRunner
from hil.emulator.roboteq import RoboteqEmulator
from hil.emulator.rplidar import RplidarEmulator
from hil.plant.plant import LidarParameters, Plant, RobotParameters
from hil.plant.world import Pose, World

MS = 1_000_000


def build_plant():
    """A robot in a hall of 12 m by 10 m."""
    cells = np.zeros((200, 240), dtype=bool)
    cells[[0, -1], :] = cells[:, [0, -1]] = True
    robot = RobotParameters(lidar=LidarParameters(base_from_lidar=Pose(0, 0, 0)))
    return Plant(World(cells, 0.05, 0.0, 0.0), robot, Pose(6.0, 5.0, 0.0), 1)


def build_lidar(plant, **options):
    return RplidarEmulator(plant.lidar_ranges, np.random.default_rng(1), **options)


def build_base(plant):
    return RoboteqEmulator(plant.wheels, np.random.default_rng(1))


class MemoryBench:
    """One runner and one emulated device, a simulated millisecond at a time."""

    def __init__(self, driver, emulator, plant):
        self.emulator = emulator
        self.plant = plant
        self.device_end = None
        self.plugged = True
        self.openings_ns = []
        self.now_ns = 0
        self.sent = []
        self.received = bytearray()
        self.runner = DeviceRunner("device", driver, self._open)

    def _open(self, spec):
        self.openings_ns.append(self.now_ns)
        if not self.plugged:
            raise PortUnavailable("device: no such device node", port="device")
        self.device_end, host_end = MemoryPort.pair()
        return host_end

    def unplug(self):
        self.plugged = False
        self.device_end.close()

    def run(self, duration_ms, step_ms=1):
        """Let time pass and return what came out, with the time at which it did."""
        outputs = []
        for _ in range(0, duration_ms, step_ms):
            self.now_ns += step_ms * MS
            self.plant.advance(self.now_ns)
            self._move_bytes()
            outputs += [(self.now_ns, output) for output in self.runner.service(self.now_ns)]
        return outputs

    def _move_bytes(self):
        data = self.emulator.transmit(self.now_ns)
        if self.device_end is None or not self.plugged:
            return
        # A runner that gave up cut the line.
        with suppress(PortLost):
            if told := self.device_end.read():
                self.sent.append((self.now_ns, told))
                self.emulator.receive(told, self.now_ns)
            self.received += data
            self.device_end.write(data)


class RealClock:
    """Monotonic time since it was made."""

    def __init__(self):
        self._start_ns = time.monotonic_ns()

    def now_ns(self):
        return time.monotonic_ns() - self._start_ns


class PtyDevice:
    """An emulated device on a pty, in a thread of its own; ``link`` is where it is plugged in."""

    def __init__(self, link, emulator, plant, clock):
        self.told = bytearray()
        self._link = link
        self._emulator = emulator
        self._plant = plant
        self._clock = clock
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        link.symlink_to(os.ttyname(self._slave))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while not self._stop.is_set():
            ready, _, _ = select.select([self._master], [], [], 0.002)
            now_ns = self._clock.now_ns()
            self._plant.advance(now_ns)
            if ready:
                told = os.read(self._master, 4096)
                self.told += told
                self._emulator.receive(told, now_ns)
            if data := self._emulator.transmit(now_ns):
                with suppress(BlockingIOError):
                    os.write(self._master, data)

    def spoil(self, data):
        """Put bytes on the line that the device never sent."""
        os.write(self._master, data)

    def unplug(self):
        if self._thread.is_alive():
            self._stop.set()
            self._thread.join()
            self._link.unlink()
            os.close(self._master)
            os.close(self._slave)
