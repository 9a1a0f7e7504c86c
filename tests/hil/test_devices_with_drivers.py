"""The emulated devices under the product's own drivers, in memory."""

import math

import numpy as np
import pytest

from drivers.base.roboteq import RoboteqCodec, RoboteqOptions
from drivers.lidar.rplidar import Rplidar, RplidarCodec, RplidarOptions
from drivers.measurement import Odometry, Scan
from drivers.port import MemoryPort
from drivers.runner import DeviceRunner
from hil.emulator.roboteq import RoboteqEmulator
from hil.emulator.rplidar import A3M1, S2, S3, RplidarEmulator
from hil.plant.plant import LidarParameters, Plant, RobotParameters
from hil.plant.world import Pose, World

MS = 1_000_000
REQUESTS = {"express": bytes.fromhex("a58205000000000022"), "standard": bytes.fromhex("a520")}
SAMPLE_US = {"express": 250, "standard": 500}


def build_plant():
    cells = np.zeros((200, 240), dtype=bool)
    cells[[0, -1], :] = cells[:, [0, -1]] = True
    clean = LidarParameters(base_from_lidar=Pose(0, 0, 0), noise_m=0, noise_per_m=0, dropout=0)
    robot = RobotParameters(lidar=clean)
    return Plant(World(cells, 0.05, 0.0, 0.0), robot, Pose(3.0, 4.0, 0.0), 1)


def wall_distance_m(x_m, y_m, headings):
    with np.errstate(divide="ignore"):
        along_x = np.where(np.cos(headings) > 0, 11.95 - x_m, 0.05 - x_m) / np.cos(headings)
        along_y = np.where(np.sin(headings) > 0, 9.95 - y_m, 0.05 - y_m) / np.sin(headings)
    return np.minimum(np.abs(along_x), np.abs(along_y))


@pytest.mark.parametrize("mode", ["express", "standard"])
def test_decoded_scans_of_a_moving_robot_lie_on_the_walls(mode):
    plant = build_plant()
    lidar = RplidarEmulator(plant.lidar_ranges, np.random.default_rng(1))
    codec = RplidarCodec(RplidarOptions(mode=mode))
    codec.set_sample_time(SAMPLE_US[mode])
    plant.wheels.set_wheel_speeds(5.0, 6.0)
    scans, poses = [], {}
    for now_ns in range(0, 4000 * MS, MS):
        plant.advance(now_ns)
        poses[now_ns] = plant.truth.pose
        if now_ns == 1500 * MS:
            lidar.receive(REQUESTS[mode], now_ns)
        if data := lidar.transmit(now_ns):
            scans += [event for event in codec.feed(data, now_ns) if isinstance(event, Scan)]
    assert len(scans) >= 22
    for scan in scans[1:]:
        stamps = scan.stamp_ns + scan.offsets_s.astype(np.float64) * 1e9
        at = [poses[round(stamp / MS) * MS] for stamp in stamps]
        xs, ys, yaws = np.array(at).T
        expected = wall_distance_m(xs, ys, yaws + scan.angles_rad)
        errors = np.abs(scan.ranges_m - expected)
        assert np.nanmedian(errors) < 0.01
        assert np.nanquantile(errors, 0.98) < 0.05
        assert np.isfinite(scan.ranges_m).mean() > 0.99
        assert len(scan.ranges_m) == pytest.approx(100_000 / SAMPLE_US[mode], abs=12)


def test_decoded_odometry_follows_the_robot():
    plant = build_plant()
    base = RoboteqEmulator(plant.wheels, np.random.default_rng(1))
    codec = RoboteqCodec(RoboteqOptions())
    odometry = []
    base.receive(b"^ECHOF 1\r", 0)
    for now_ms in range(0, 6000, 2):
        now_ns = now_ms * MS
        plant.advance(now_ns)
        if now_ms % 20 == 0 and now_ms > 100:
            base.receive(b"!M 250 300\r?C\r", now_ns)
        if data := base.transmit(now_ns):
            events = codec.feed(data, now_ns)
            odometry += [event for event in events if isinstance(event, Odometry)]
    assert len(odometry) > 200
    truth, last = plant.truth, odometry[-1]
    assert math.hypot(3.0 + last.x_m - truth.pose.x_m, 4.0 + last.y_m - truth.pose.y_m) < 0.05
    assert math.remainder(last.yaw_rad - truth.pose.yaw_rad, math.tau) == pytest.approx(0, abs=0.02)
    assert last.forward_mps == pytest.approx(truth.forward_mps, abs=0.02)


@pytest.mark.parametrize(("model", "samples"), [(A3M1, 1587), (S2, 3200), (S3, 3200)])
def test_an_rplidar_scans_as_it_thinks_best(model, samples):
    plant = build_plant()
    lidar = RplidarEmulator(plant.lidar_ranges, np.random.default_rng(1), model)
    device, host = MemoryPort.pair()
    driver = Rplidar(RplidarOptions(baud=model.baud))
    runner, scans = DeviceRunner("lidar", driver, lambda spec: host), []
    for now_ns in range(0, 3500 * MS, MS):
        if data := device.read():
            lidar.receive(data, now_ns)
        plant.advance(now_ns)
        if data := lidar.transmit(now_ns):
            device.write(data)
        scans += [output for output in runner.service(now_ns) if isinstance(output, Scan)]
    assert len(scans) >= 10
    assert driver.codec.stats.gaps == driver.codec.stats.bad_checksums == 0
    for scan in scans[1:]:
        expected = wall_distance_m(3.0, 4.0, scan.angles_rad.astype(np.float64))
        errors = np.abs(scan.ranges_m - expected)
        assert np.nanquantile(errors, 0.99) < 0.03
        assert np.isfinite(scan.ranges_m).mean() > 0.97
        assert len(scan.ranges_m) == pytest.approx(samples, abs=100)
