"""Public clients of the makers' protocols on the emulated lidars.

Tried with hokuyolx 0.9.0 and PyLidar3 1.6 from PyPI. A client that is not installed is skipped.
"""

import os
import select
import socket
import threading
import time

import numpy as np
import pytest

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
