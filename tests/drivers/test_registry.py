from importlib import metadata

import pytest

from drivers import registry
from drivers.base.roboteq import Roboteq
from drivers.errors import DriverUnknown
from drivers.lidar.rplidar import Rplidar


@pytest.fixture
def installed(monkeypatch):
    """Entry points as another distribution would bring them."""
    points = []
    monkeypatch.setattr(registry.metadata, "entry_points", lambda group: points)

    def install(name, target):
        points.append(metadata.EntryPoint(name, target, registry.GROUP))

    return install


def test_our_drivers_are_there():
    assert registry.load("rplidar") is Rplidar
    assert registry.load("roboteq") is Roboteq


def test_available_tells_kind_options_and_origin():
    found = {info.name: info for info in registry.available()}
    assert (found["rplidar"].kind, found["roboteq"].kind) == ("lidar", "base")
    assert "motor_rpm" in found["rplidar"].options
    assert "wheel_radius_m" in found["roboteq"].options
    assert found["roboteq"].distribution == "haulier"
    assert found["rplidar"].devices.startswith("Slamtec RPLIDAR")
    assert list(found) == sorted(found)


def test_a_misspelt_name_gets_a_guess():
    with pytest.raises(DriverUnknown, match="no driver named rplidr; did you mean rplidar"):
        registry.load("rplidr")
    with pytest.raises(DriverUnknown, match=r"no driver named xyz \(there are: "):
        registry.load("xyz")


def test_other_makers_come_by_entry_point(installed):
    installed("roundabout", "drivers.lidar.rplidar:Rplidar")
    assert registry.load("roundabout") is Rplidar
    assert "roundabout" in [info.name for info in registry.available()]


def test_nobody_replaces_ours(installed):
    installed("roboteq", "drivers.lidar.rplidar:Rplidar")
    assert registry.load("roboteq") is Roboteq


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("no_such_module_of_ours:Driver", "No module named"),
        ("drivers.lidar.rplidar:Nobody", "Nobody"),
        ("drivers.lidar.rplidar:RplidarCodec", "no dataclass of options"),
        ("drivers.lidar.rplidar", "driver broken"),
    ],
)
def test_a_broken_driver_is_named(installed, target, why):
    installed("broken", target)
    with pytest.raises(DriverUnknown, match=why):
        registry.load("broken")


def test_a_broken_driver_does_not_hide_the_others(installed):
    installed("broken", "no_such_module_of_ours:Driver")
    found = {info.name: info for info in registry.available()}
    assert (found["rplidar"].kind, found["roboteq"].kind) == ("lidar", "base")
    assert found["broken"].kind == "broken"
    assert "No module named" in found["broken"].devices


def test_a_driver_whose_module_does_not_compile_is_named(installed, tmp_path, monkeypatch):
    (tmp_path / "haulier_test_driver.py").write_text("class Driver(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    installed("broken", "haulier_test_driver:Driver")
    with pytest.raises(DriverUnknown, match="driver broken"):
        registry.load("broken")


def test_a_driver_without_a_docstring_is_listed(installed, tmp_path, monkeypatch):
    (tmp_path / "haulier_terse_driver.py").write_text(
        "from drivers.lidar.rplidar import RplidarOptions\n"
        "class Driver:\n    options = RplidarOptions\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    installed("terse", "haulier_terse_driver:Driver")
    info = next(info for info in registry.available() if info.name == "terse")
    assert info.devices == ""
