"""Public clients of the makers' protocols on the emulated lidars.

Tried with hokuyolx 0.9.0, PyLidar3 1.6, pyrplidarsdk 0.1.2 (the maker's SDK in C++) and
rplidar-roboticia 0.9.5 from PyPI. A client that is not installed is skipped.
"""

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import serial

from hil.emulator.rplidar import A3M1, S2, S3, RplidarEmulator, RplidarModel
from hil.emulator.scip import ScipEmulator
from hil.emulator.ydlidar import YdlidarEmulator
from tests.drivers.bench import PtyDevice, RealClock, build_plant

pytestmark = pytest.mark.slow


@pytest.fixture
def sensor_address():
    """A Hokuyo in the middle of a hall of 12 m by 10 m, on a TCP port of this computer."""
    server = socket.create_server(("127.0.0.1", 0))
    plant, clock, stop = build_plant(), RealClock(), threading.Event()
    sensor = ScipEmulator(plant.lidar_ranges, np.random.default_rng(1))

    def serve():
        while not select.select([server], [], [], 0.05)[0]:
            if stop.is_set():
                return
        client, _ = server.accept()
        with client:
            while not stop.is_set():
                now_ns = clock.now_ns()
                plant.advance(now_ns)
                if select.select([client], [], [], 0.002)[0]:
                    told = client.recv(4096)
                    if not told:
                        return
                    sensor.receive(told, now_ns)
                if data := sensor.transmit(now_ns):
                    client.sendall(data)

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()
    stop.set()
    thread.join()
    server.close()


def test_hokuyolx_measures_in_every_mode(sensor_address):
    hokuyolx = pytest.importorskip("hokuyolx")
    laser = hokuyolx.HokuyoLX(addr=sensor_address)
    assert (laser.dmin, laser.dmax, laser.amax, laser.aforw) == (23, 60_000, 1080, 540)
    assert laser.version()["PROT"] == "SCIP 2.0"
    assert laser.sensor_state()["STAT"] == "Sensor works well."
    _, single = laser.get_dist()
    assert single.shape == (1081,)
    assert abs(int(single[540]) - 5950) < 60
    _, single = laser.get_intens()
    assert single.shape == (1081, 2)
    scans = [(scan.shape, left) for scan, _, left in laser.iter_dist(scans=4)]
    assert scans == [((1081,), left) for left in (3, 2, 1, 0)]
    scans = [(scan.shape, left) for scan, _, left in laser.iter_intens(scans=2)]
    assert scans == [((1081, 2), 1), ((1081, 2), 0)]
    laser.close()


def test_pylidar3_measures(tmp_path, monkeypatch):
    pylidar3 = pytest.importorskip("PyLidar3")
    # A pty has no modem lines to switch the motor by.
    monkeypatch.setattr(pylidar3.Serial, "_update_dtr_state", lambda self: None)
    plant = build_plant()
    sensor = YdlidarEmulator(plant.lidar_ranges, np.random.default_rng(1))
    device = PtyDevice(tmp_path / "lidar", sensor, plant, RealClock())
    lidar = pylidar3.YdLidarX4(os.path.realpath(tmp_path / "lidar"))
    try:
        assert lidar.Connect()
        assert lidar.GetDeviceInfo()["firmware_version"] == "1.4"
        scan = next(lidar.StartScanning())
        for angle, mm in ((0, 5950), (90, 4950), (180, 5950), (270, 4950)):
            near = [scan[(angle + i) % 360] for i in range(-4, 5) if scan[(angle + i) % 360]]
            assert abs(np.median(near) - mm) < 80
        lidar.StopScanning()
        time.sleep(0.1)
        lidar.Disconnect()
    finally:
        device.unplug()


RPLIDARS = {"A1": RplidarModel(), "A3": A3M1, "S2": S2, "S3": S3}


# In a process of its own: the SDK keeps the interpreter's lock while it waits.
SDK_SESSION = """
import json, sys, time
import pyrplidarsdk
driver = pyrplidarsdk.RplidarDriver(port=sys.argv[1], baudrate=int(sys.argv[2]))
assert driver.connect()
model, health = driver.get_device_info().model, driver.get_health().status
assert driver.start_scan()
time.sleep(2.5)
scan = driver.get_scan_data()
driver.stop_scan()
driver.disconnect()
print(json.dumps([model, health, *scan]))
"""


@pytest.mark.parametrize("kind", RPLIDARS)
def test_the_makers_sdk_scans_as_the_device_thinks_best(tmp_path, kind):
    pytest.importorskip("pyrplidarsdk")
    plant, model = build_plant(), RPLIDARS[kind]
    sensor = RplidarEmulator(plant.lidar_ranges, np.random.default_rng(1), model)
    device = PtyDevice(tmp_path / "lidar", sensor, plant, RealClock())
    port = os.path.realpath(tmp_path / "lidar")
    try:
        session = subprocess.run(
            [sys.executable, "-c", SDK_SESSION, port, str(model.baud)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        device.unplug()
    assert session.returncode == 0, session.stderr
    plate, health, angles, ranges, quality = json.loads(session.stdout.splitlines()[-1])
    assert (plate, health) == (model.model, 0)
    assert len(angles) > 0.7 / (model.modes[-1].sample_us * 1e-6) / model.revolution_hz
    assert max(quality) > 0
    for degrees, metres in ((0, 5.95), (90, 4.95), (180, 5.95), (270, 4.95)):
        away = (np.degrees(angles) - degrees + 180.0) % 360.0 - 180.0
        assert abs(np.median(np.array(ranges)[np.abs(away) < 2.0]) - metres) < 0.08


def test_rplidar_roboticia_measures(tmp_path, monkeypatch):
    rplidar = pytest.importorskip("rplidar")
    # A pty has no modem lines to switch the motor by.
    monkeypatch.setattr(serial.Serial, "_update_dtr_state", lambda self: None)
    plant = build_plant()
    sensor = RplidarEmulator(plant.lidar_ranges, np.random.default_rng(1))
    device = PtyDevice(tmp_path / "lidar", sensor, plant, RealClock())
    lidar = rplidar.RPLidar(os.path.realpath(tmp_path / "lidar"), 115_200, timeout=3)
    try:
        assert lidar.get_info()["model"] == 0x18
        assert lidar.get_health() == ("Good", 0)
        scans = lidar.iter_scans(max_buf_meas=0)
        next(scans)
        scan = np.array(next(scans))
        assert len(scan) > 100
        near = np.abs((scan[:, 1] - 90.0 + 180.0) % 360.0 - 180.0) < 3.0
        assert abs(np.median(scan[near, 2]) - 4950.0) < 80.0
        lidar.stop()
    finally:
        lidar.disconnect()
        device.unplug()
