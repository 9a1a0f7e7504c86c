"""Public clients of the makers' protocols on the emulated bases, over a pty.

Tried with basicmicro 2.0.10, kobukidriver 0.0.1, pycreate2 0.8.0 and irobotcreate 2.1 from PyPI. A
client that is not installed is skipped.
"""

import threading
import time
from contextlib import suppress

import numpy as np
import pytest
import serial

from hil.emulator import create2, kobuki
from hil.emulator.create2 import Create2Emulator
from hil.emulator.kobuki import KobukiEmulator
from hil.emulator.roboclaw import RoboclawEmulator, RoboclawModel
from hil.plant.plant import Plant, RobotParameters
from hil.plant.robot import DriveParameters
from hil.plant.world import Pose, World
from tests.drivers.bench import PtyDevice, RealClock

pytestmark = pytest.mark.slow
ADDRESS = 0x80


@pytest.fixture
def plug(tmp_path):
    """Put an emulator on a pty and return its device node; unplugged at the end."""
    devices = []

    def plug_in(build, drive=DriveParameters()):  # noqa: B008 - frozen
        cells = np.zeros((200, 240), dtype=bool)
        cells[[0, -1], :] = cells[:, [0, -1]] = True
        robot = RobotParameters(drive=drive)
        plant = Plant(World(cells, 0.05, 0.0, 0.0), robot, Pose(6.0, 5.0, 0.0), 1)
        emulator = build(plant.wheels, np.random.default_rng(1))
        link = tmp_path / "ttyBASE"
        devices.append(PtyDevice(link, emulator, plant, RealClock()))
        return str(link), emulator, plant

    yield plug_in
    for device in devices:
        device.unplug()


@pytest.fixture
def roboclaw(plug):
    """The maker's client, connected."""
    basicmicro = pytest.importorskip("basicmicro")
    node, emulator, plant = plug(RoboclawEmulator)
    client = basicmicro.Basicmicro(node, 38_400, timeout=0.1, retries=3)
    assert client.Open()
    yield client, emulator, plant
    client.close()


def test_basicmicro_reads_what_the_controller_knows(roboclaw):
    client, emulator, _ = roboclaw
    assert client.ReadVersion(ADDRESS) == (True, f"{RoboclawModel().firmware}\n")
    assert client.ReadMainBatteryVoltage(ADDRESS) == (1, 252)
    assert client.ReadLogicBatteryVoltage(ADDRESS) == (1, 50)
    assert client.ReadError(ADDRESS) == (1, 0)
    assert client.ReadTemp(ADDRESS) == (1, 312)
    assert client.ReadCurrents(ADDRESS)[0]
    assert client.ReadBuffers(ADDRESS) == (1, 128, 128)
    assert client.GetEncoders(ADDRESS) == (1, 0, 0)
    assert client.GetStatus(ADDRESS)[5:7] == (252, 50)
    emulator.set_fault("estop", True, 0)
    assert client.ReadError(ADDRESS) == (1, client.ERROR_ESTOP)


def test_basicmicro_sets_and_reads_back(roboclaw):
    client, _, _ = roboclaw
    assert client.SetTimeout(ADDRESS, 0.3)
    assert client.GetTimeout(ADDRESS) == (True, 0.3)
    assert client.SetM1VelocityPID(ADDRESS, 1.5, 0.25, 0.125, 9000)
    assert client.ReadM1VelocityPID(ADDRESS) == (True, 1.5, 0.25, 0.125, 9000)
    assert client.SetM2PositionPID(ADDRESS, 2.0, 1.0, 0.5, 7, 8, 100, 200)
    assert client.ReadM2PositionPID(ADDRESS) == (True, 2.0, 1.0, 0.5, 7, 8, 100, 200)
    assert client.SetMainVoltages(ADDRESS, 180, 300, 0)
    assert client.ReadMinMaxMainVoltages(ADDRESS)[:3] == (1, 180, 300)
    assert client.SetPinFunctions(ADDRESS, 1, 2, 3, 0, 0)
    assert client.ReadPinFunctions(ADDRESS) == (1, 1, 2, 3, 0, 0)
    assert client.SetM1DefaultAccel(ADDRESS, 1000, 2000)
    assert client.GetDefaultAccels(ADDRESS)[:3] == (1, 1000, 2000)
    assert client.SetEncM1(ADDRESS, 4_000_000_000)
    assert client.ReadEncM1(ADDRESS) == (1, 4_000_000_000, 0)
    assert client.ResetEncoders(ADDRESS)
    assert client.ReadEncM1(ADDRESS) == (1, 0, 0)
    assert client.SetEStopLock(ADDRESS, client.ESTOP_SW_RESET)
    assert client.GetEStopLock(ADDRESS) == (1, client.ESTOP_SW_RESET)
    assert client.WriteNVM(ADDRESS)


def test_basicmicro_drives(roboclaw):
    client, _, plant = roboclaw
    assert client.SpeedM1M2(ADDRESS, 2000, 2400)
    time.sleep(1.0)
    assert plant.truth.forward_mps == pytest.approx(2200 / 4096 * np.pi * 0.2, abs=0.02)
    assert client.ReadSpeedM1(ADDRESS) == (1, 2000, 0)
    assert client.GetISpeeds(ADDRESS) == (1, 2000, 2400)
    assert client.GetEncoders(ADDRESS)[1] > 500
    assert client.DutyM1M2(ADDRESS, 0, 0)
    time.sleep(1.0)
    assert plant.truth.forward_mps == 0.0
    begin = client.GetEncoders(ADDRESS)[1]
    assert client.SpeedDistanceM1M2(ADDRESS, 1500, 600, 1500, 600, 1)
    assert client.ReadBuffers(ADDRESS) == (1, 0, 0)
    time.sleep(1.5)
    assert client.ReadBuffers(ADDRESS) == (1, 128, 128)
    assert client.GetEncoders(ADDRESS)[1] - begin == pytest.approx(600, abs=500)
    assert plant.truth.forward_mps == 0.0


class Line:
    """A serial port that ends the thread that reads it."""

    def __init__(self, node):
        self._port = serial.Serial(node, 115_200, timeout=0.2)
        self._open = True
        self.write = self._port.write

    def read(self, size):
        data = b""
        while len(data) < size:
            if not self._open:
                raise SystemExit
            data += self._port.read(size - len(data))
        return data

    def end(self, thread):
        self._open = False
        thread.join()
        self._port.close()


@pytest.fixture
def kobuki_client(plug):
    """A client that takes only frames of 77 bytes of payload, reading in a thread of its own."""
    client = pytest.importorskip("kobukidriver.Kobuki").Kobuki
    node, emulator, plant = plug(KobukiEmulator, kobuki.DRIVE)
    client.seri = Line(node)

    def read():
        with suppress(SystemExit):
            client.read_data()

    thread = threading.Thread(target=read)
    thread.start()
    yield client, emulator, plant
    client.seri.end(thread)


def test_kobukidriver_reads_and_drives(kobuki_client):
    client, emulator, plant = kobuki_client
    time.sleep(1.0)
    sensors = client.basic_sensor_data(client)
    assert sensors["Batteryvolt"] == 162
    assert (sensors["bumper"], sensors["cliff"], sensors["wheeldrop"]) == (0, 0, 0)
    # Its checksum leaves the last byte out, which only a radius below 256 forgives.
    client.base_control(200, 0)
    client.play_on_sound()
    client.set_led1_red_colour()
    time.sleep(0.3)
    assert emulator.commands_received == 3
    assert plant.truth.forward_mps == pytest.approx(0.2, abs=0.01)
    emulator.set_fault("bumper", True, 0)
    emulator.set_fault("cliff", True, 0)
    time.sleep(0.5)
    sensors = client.basic_sensor_data(client)
    assert (sensors["bumper"], sensors["cliff"]) == (2, 4)


@pytest.fixture
def pycreate2(plug):
    """A client that asks for group 100, connected."""
    module = pytest.importorskip("pycreate2")
    node, emulator, plant = plug(Create2Emulator, create2.DRIVE)

    class Client(module.Create2):
        """Switched off by hand, while its port is still there."""

        def __del__(self):
            pass

    client = Client(node)
    client.sleep_timer = 0.05
    client.start()
    client.safe()
    yield client, emulator, plant
    module.Create2.__del__(client)


def test_pycreate2_reads_and_drives(pycreate2):
    client, emulator, plant = pycreate2
    sensors = client.get_sensors()
    assert (sensors.voltage, sensors.open_interface_mode) == (15_900, 2)
    assert not sensors.bumps_wheeldrops.bump_left
    client.drive_direct(200, 100)
    time.sleep(0.6)
    sensors = client.get_sensors()
    assert (sensors.velocity_right, sensors.velocity_left) == (200, 100)
    assert 0 < sensors.encoder_counts_left < sensors.encoder_counts_right
    client.drive_pwm(-255, 255)
    client.led(1, 128, 255)
    client.digit_led_ascii("abcd")
    time.sleep(0.3)
    assert (client.get_sensors().velocity_left, emulator.display) == (500, "ABCD")
    emulator.set_fault("bumper", True, 0)
    emulator.set_fault("wheel_drop", True, 0)
    sensors = client.get_sensors()
    assert (sensors.bumps_wheeldrops.bump_left, sensors.bumps_wheeldrops.wheeldrop_left) == (1, 1)
    assert sensors.open_interface_mode == 1
    time.sleep(0.5)
    assert plant.truth.forward_mps == 0.0


def test_irobotcreate_reads_single_packets_and_drives(plug):
    roomba = pytest.importorskip("irobotcreate.roomba")
    packets = pytest.importorskip("irobotcreate.sensor_packets")
    node, emulator, plant = plug(Create2Emulator, create2.DRIVE)
    client = roomba.Roomba(node)
    voltage, mode = packets.BatteryVoltage(), packets.OIMode()
    client.get_sensor_packet(voltage)
    client.get_sensor_packet(mode)
    assert (voltage.voltage, emulator.mode) == (15.9, 2)
    client.set_drive(200, 500)
    time.sleep(0.8)
    assert plant.truth.forward_mps == pytest.approx(0.2, abs=0.02)
    assert plant.truth.yaw_rate_radps == pytest.approx(0.4, abs=0.02)
    client.set_drive_stop()
    client.close()
    client.roomba.close()
    time.sleep(0.1)
    assert emulator.mode == 0
