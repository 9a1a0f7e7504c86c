import numpy as np
import pytest

from hil.emulator.roboteq import RoboteqEmulator
from hil.emulator.rplidar import RplidarEmulator
from hil.errors import BenchError
from hil.lockstep import DeviceBench
from hil.plant.plant import Plant, RobotParameters
from hil.plant.robot import DriveParameters
from hil.plant.world import Disc, Pose, World, standing

MS = 1_000_000


class Wire:
    """The device end of a port, seen from the test."""

    def __init__(self):
        self.to_device, self.from_device = bytearray(), bytearray()

    def read(self):
        data = bytes(self.to_device)
        self.to_device.clear()
        return data

    def write(self, data):
        self.from_device += data


def build():
    cells = np.zeros((400, 800), dtype=bool)
    cells[[0, -1], :] = cells[:, [0, -1]] = True
    world = World(cells, 0.05, 0.0, 0.0)
    world.add(standing("post", Disc(0.3), Pose(20.0, 12.0, 0.0)))
    robot = RobotParameters(drive=DriveParameters(slip_m_per_sqrt_m=0.005))
    plant = Plant(world, robot, Pose(10.0, 10.0, 0.0), 1)
    devices = {
        "lidar": RplidarEmulator(plant.lidar_ranges, np.random.default_rng(2)),
        "base": RoboteqEmulator(plant.wheels, np.random.default_rng(3)),
    }
    wires = {"lidar": Wire(), "base": Wire()}
    return DeviceBench(plant, devices, wires), wires


def drive(bench, wires, step_ms=10, until_ms=4000):
    wires["base"].to_device += b"^ECHOF 1\r^RWD 0\r"
    for now_ms in range(step_ms, until_ms + 1, step_ms):
        if now_ms == 1500:
            wires["lidar"].to_device += bytes.fromhex("a58205000000000022")
            wires["base"].to_device += b"!M 400 420\r"
        bench.advance(now_ms * MS)


def test_two_runs_are_equal_to_the_byte_and_the_float():
    results = []
    for _ in range(2):
        bench, wires = build()
        drive(bench, wires)
        results.append((bytes(wires["lidar"].from_device), bench.body.truth))
    assert results[0] == results[1]
    assert len(results[0][0]) > 20_000
    assert results[0][1].distance_m > 1.0


def test_commands_take_effect_at_the_beginning_of_the_step_they_were_written_before():
    bench, wires = build()
    bench.advance(1000 * MS)
    wires["base"].to_device += b"!M 500 500\r"
    bench.advance(1500 * MS)
    assert bench.body.truth.forward_mps == pytest.approx(0.5, abs=0.01)


def test_time_does_not_run_backwards():
    bench, wires = build()
    bench.advance(1000 * MS)
    wires["base"].to_device += b"?C\r"
    bench.advance(900 * MS)
    assert bench.body.truth.stamp_ns == 1000 * MS
    assert wires["base"].to_device


def test_another_port_can_be_plugged_in():
    bench, _ = build()
    other = Wire()
    bench.connect("base", other)
    other.to_device += b"^ECHOF 1\r"
    bench.advance(20 * MS)
    assert bytes(other.from_device) == b"^ECHOF 1\r+\r"
    with pytest.raises(BenchError, match="no device named arm"):
        bench.connect("arm", other)


def test_devices_and_ports_must_match():
    bench, _ = build()
    with pytest.raises(BenchError, match="needs a port"):
        DeviceBench(bench.body, bench.devices, {"lidar": Wire()})
