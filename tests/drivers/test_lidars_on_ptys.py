"""Every lidar on a real tty, in real time: opened at its rate, unplugged, found again."""

import threading

import numpy as np
import pytest

from drivers.driver import Reply
from drivers.errors import PortLost
from drivers.measurement import Scan
from drivers.port import SerialPort
from drivers.runner import DeviceRunner, DeviceState, IoLoop, Phase
from hil.contract import subject_named
from tests.drivers.bench import PtyDevice, RealClock, build_plant

LIDARS = ["ld06", "scip", "sick_lms2xx", "sick_s300", "ydlidar"]


class Host:
    """The product's side: one runner on one port, served by its thread."""

    def __init__(self, subject, node, clock):
        self.outputs = []
        self._arrived = threading.Condition()
        runner = DeviceRunner("lidar", subject.build(), lambda spec: SerialPort(node, spec))
        self._loop = IoLoop([runner], clock)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop.run, args=(self._sink, self._stop))
        self._thread.start()

    def _sink(self, name, output):
        with self._arrived:
            self.outputs.append(output)
            self._arrived.notify_all()

    def wait(self, condition, timeout_s):
        """Wait until some output since the last wait meets a condition, and return it."""
        found = []

        def met():
            found.extend(output for output in self.outputs if condition(output))
            self.outputs.clear()
            return found

        with self._arrived:
            assert self._arrived.wait_for(met, timeout_s)
        return found[0]

    def close(self):
        self._stop.set()
        self._loop.wake()
        self._thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("name", LIDARS)
def test_a_lidar_on_a_pty_is_read_lost_and_found(name, tmp_path):
    subject, clock = subject_named(name), RealClock()
    link = tmp_path / "lidar"

    def plug():
        plant = build_plant()
        emulator = subject.emulator(plant.lidar_ranges, np.random.default_rng(1))
        return PtyDevice(link, emulator, plant, clock)

    device = plug()
    host = Host(subject, str(link), clock)
    try:
        scan = host.wait(lambda output: isinstance(output, Scan), 10)
        assert np.isfinite(scan.ranges_m).mean() > 0.8
        assert 0 <= clock.now_ns() - scan.received_ns < 1_000_000_000
        device.unplug()
        lost = host.wait(lambda o: isinstance(o, DeviceState) and o.phase is Phase.LOST, 5)
        assert isinstance(lost.error, PortLost)
        device = plug()
        host.wait(lambda output: isinstance(output, Scan), 10)
        assert not any(isinstance(output, Reply) for output in host.outputs)
    finally:
        host.close()
        device.unplug()
