import numpy as np
import pytest

from agent.cli import main
from drivers import registry
from drivers.port import SerialPort
from drivers.probe import candidates, probe
from hil.emulator import registry as emulators
from hil.emulator.device import Emulator
from tests.drivers.bench import PtyDevice, RealClock, build_plant

BASES = ("create2", "kobuki", "roboclaw", "roboteq")


@pytest.fixture
def plug(tmp_path):
    """Put the emulator of a driver on a pty and return its device node."""
    devices = []

    def plug_in(name) -> tuple[str, Emulator]:
        plant = build_plant()
        is_base = hasattr(registry.load(name), "command")
        source = plant.wheels if is_base else plant.lidar_ranges
        emulator = emulators.load(name)(source, np.random.default_rng(1))
        devices.append(PtyDevice(tmp_path / "tty", emulator, plant, RealClock()))
        return str(tmp_path / "tty"), emulator, plant

    yield plug_in
    for device in devices:
        device.unplug()


def tried(node, names=None):
    noted = []
    found = probe(candidates(names), lambda spec: SerialPort(node, spec), RealClock(), noted.append)
    return found, noted


def test_default_rates_come_first_and_no_rate_twice():
    found = candidates()
    others = [bool(candidate.options) for candidate in found]
    assert others == sorted(others)
    assert {candidate.name for candidate in found} >= {*BASES, "rplidar", "ld06"}
    keys = [(candidate.name, candidate.baud) for candidate in found]
    assert len(keys) == len(set(keys))
    assert ("ld06", 921_600) in keys
    assert ("roboclaw", 115_200) in keys


def test_what_talks_by_itself_is_heard_first_and_bases_come_before_lidars():
    names = [candidate.name for candidate in candidates() if not candidate.options]
    assert names.index("ld06") < names.index("roboteq") < names.index("rplidar")


@pytest.mark.parametrize("name", [*BASES, "ld06", "rplidar"])
def test_a_device_is_known_by_its_driver(plug, name):
    node, _, plant = plug(name)
    found, _ = tried(node, [name])
    assert (found.candidate.name, found.candidate.options) == (name, {})
    assert found.answer
    assert plant.truth.distance_m == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("name", [*BASES, "ld06", "rplidar"])
def test_a_device_is_known_among_all_drivers(plug, name):
    node, _, plant = plug(name)
    found, noted = tried(node)
    assert found.candidate.name == name, [candidate.name for candidate in noted]
    assert plant.truth.distance_m == 0.0


def test_the_wrong_driver_is_not_answered(plug):
    node, emulator, _ = plug("kobuki")
    emulator.line.muted = True
    found, noted = tried(node, ["kobuki"])
    assert (found, [candidate.baud for candidate in noted]) == (None, [115_200])


def test_the_command_says_what_to_write_into_the_configuration(plug, capsys):
    node, _, _ = plug("roboclaw")
    assert main(["driver", "probe", node, "--driver", "roboclaw"]) == 0
    said = capsys.readouterr().out
    assert "roboclaw at 38400 bit/s" in said
    assert "USB Roboclaw 2x15a v4.1.34" in said
    assert f'driver = "roboclaw"\nport = "{node}"' in said
    assert main(["driver", "probe", node, "--driver", "roboclaw", "--json"]) == 0
    assert '"baud": 38400' in capsys.readouterr().out


def test_no_port_and_no_driver_are_clear_errors(capsys, tmp_path):
    assert main(["driver", "probe", str(tmp_path / "none")]) == 69
    assert "PORT_UNAVAILABLE" in capsys.readouterr().err
    assert main(["driver", "probe", "x", "--driver", "nope"]) == 78
    assert "DRIVER_UNKNOWN" in capsys.readouterr().err
