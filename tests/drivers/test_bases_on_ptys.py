"""The bases on real ttys: noise, unplugging, and coming back as another device node."""

import time

import numpy as np
import pytest

from drivers import registry
from drivers.measurement import Odometry, VelocityCommand
from drivers.port import SerialPort
from drivers.runner import DeviceRunner, Phase
from hil.emulator import registry as emulators
from tests.drivers.bench import PtyDevice, RealClock, build_plant

pytestmark = pytest.mark.slow


def plug_in(name, link, clock):
    plant = build_plant()
    emulator = emulators.load(name)(plant.wheels, np.random.default_rng(1))
    return PtyDevice(link, emulator, plant, clock), plant


def serve_until(runner, clock, is_done, within_s=5.0):
    """Serve a runner until its outputs so far will do; fails when they do not in time."""
    outputs, end_ns = [], clock.now_ns() + round(within_s * 1e9)
    while not is_done(outputs):
        assert clock.now_ns() < end_ns, (runner.state, outputs[-3:])
        outputs += runner.service(clock.now_ns())
        time.sleep(0.002)
    return outputs


def moved(outputs):
    return any(isinstance(output, Odometry) and abs(output.x_m) > 0.02 for output in outputs)


@pytest.mark.parametrize("name", ["create2", "kobuki", "roboclaw", "roboteq"])
def test_noise_and_another_node(name, tmp_path):
    link, clock = tmp_path / "base", RealClock()
    driver = registry.load(name)
    runner = DeviceRunner(name, driver(driver.options()), lambda spec: SerialPort(str(link), spec))
    device, plant = plug_in(name, link, clock)
    try:
        runner.submit(VelocityCommand(0.2, 0.0, 2**62))
        serve_until(runner, clock, moved)
        skipped = runner.driver.codec.stats.skipped_bytes
        device.spoil(b"\x13\xaa\x55\x00C=?\r" * 5)
        serve_until(
            runner, clock, lambda _: runner.driver.codec.stats.skipped_bytes >= skipped + 10
        )
        serve_until(runner, clock, lambda outputs: len(outputs) > 20)
        assert runner.state.phase is Phase.STREAMING
    finally:
        device.unplug()
    serve_until(runner, clock, lambda _: runner.state.phase is Phase.LOST)
    device, plant = plug_in(name, link, clock)
    try:
        serve_until(runner, clock, lambda _: runner.state.phase is Phase.STREAMING, 10.0)
        serve_until(runner, clock, lambda _: plant.truth.forward_mps > 0.05)
        runner.shutdown()
        time.sleep(0.8)
        assert plant.truth.forward_mps == 0.0
    finally:
        device.unplug()
