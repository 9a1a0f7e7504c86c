import io
import sys
import threading

import pytest

from agent.cli import main
from agent.commissioning.find_port import TtyPort, gone, list_ports, udev_rule


class Machine:
    """A sysfs, as Linux lays it out, with sockets to plug adapters into."""

    def __init__(self, root):
        self.root = root
        (root / "class/tty").mkdir(parents=True)
        (root / "drivers").mkdir()
        for console in ("tty0", "tty1"):
            (root / "devices/virtual/tty" / console).mkdir(parents=True)
            (root / "class/tty" / console).symlink_to(root / "devices/virtual/tty" / console)

    def plug_in(self, name, socket, driver="cp210x", interface="00", **usb):
        device = self.root / "devices/pci0/usb1" / socket
        port = device / f"{socket}:1.{int(interface)}" / name
        port.mkdir(parents=True)
        (port.parent / "bInterfaceNumber").write_text(f"{interface}\n")
        for file, text in {"idVendor": "10c4", "idProduct": "ea60", **usb}.items():
            (device / file).write_text(f"{text}\n")
        self._add(name, port, driver)

    def solder_on(self, name, kind="4", driver="serial8250"):
        port = self.root / "devices/platform" / f"{driver}-{name}"
        port.mkdir(parents=True)
        self._add(name, port, driver)
        (port / "tty" / name / "type").write_text(f"{kind}\n")

    def _add(self, name, port, driver):
        (self.root / "drivers" / driver).mkdir(exist_ok=True)
        (port / "driver").symlink_to(self.root / "drivers" / driver)
        (port / "tty" / name).mkdir(parents=True)
        (port / "tty" / name / "device").symlink_to(port)
        (self.root / "class/tty" / name).symlink_to(port / "tty" / name)

    def unplug(self, name):
        (self.root / "class/tty" / name).unlink()


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path / "sys")
    machine.solder_on("ttyS0")
    machine.solder_on("ttyS1", kind="0")
    machine.solder_on("ttyAMA0", driver="uart-pl011")
    machine.plug_in(
        "ttyUSB0", "1-1.2", manufacturer="Silicon Labs", product="CP2102", serial="0001"
    )
    machine.plug_in("ttyUSB1", "1-1.3", driver="ftdi_sio", idVendor="0403", serial="FT4XYZ")
    return machine


def test_ports_with_hardware_behind_them(machine):
    found = list_ports(machine.root)
    assert list(found) == ["ttyAMA0", "ttyS0", "ttyUSB0", "ttyUSB1"]
    assert found["ttyS0"] == TtyPort("ttyS0", "serial8250")
    assert found["ttyUSB0"] == TtyPort(
        "ttyUSB0", "cp210x", "Silicon Labs CP2102", "10c4", "ea60", "0001", "1-1.2", "00"
    )
    assert list_ports(machine.root / "none") == {}


def test_a_name_that_is_another_device_now_is_gone(machine):
    before = list_ports(machine.root)
    machine.unplug("ttyUSB0")
    assert [port.name for port in gone(before, list_ports(machine.root))] == ["ttyUSB0"]
    machine.plug_in("ttyUSB0", "1-1.4", serial="0001")
    assert [port.name for port in gone(before, list_ports(machine.root))] == ["ttyUSB0"]


def rule(machine, name):
    ports = list_ports(machine.root)
    return udev_rule(ports[name], "lidar", ports.values())


def test_a_serial_number_of_its_own_names_the_adapter(machine):
    assert rule(machine, "ttyUSB1") == (
        'SUBSYSTEM=="tty", ATTRS{idVendor}=="0403", ATTRS{idProduct}=="ea60", '
        'ATTRS{serial}=="FT4XYZ", SYMLINK+="lidar", ATTR{device/latency_timer}="1"'
    )


def test_a_serial_number_that_all_have_does_not(machine):
    assert rule(machine, "ttyUSB0") == (
        'SUBSYSTEM=="tty", ATTRS{idVendor}=="10c4", ATTRS{idProduct}=="ea60", KERNELS=="1-1.2", '
        'SYMLINK+="lidar"'
    )
    machine.plug_in("ttyUSB2", "1-1.5", idVendor="0403", serial="FT4XYZ")
    assert 'KERNELS=="1-1.3"' in rule(machine, "ttyUSB1")


def test_an_adapter_with_two_ports_names_the_interface(machine):
    for interface in ("00", "01"):
        name = f"ttyACM{interface[1]}"
        machine.plug_in(name, "1-2", driver="cdc_acm", interface=interface, serial="AB12")
    assert 'ENV{ID_USB_INTERFACE_NUM}=="00"' in rule(machine, "ttyACM0")
    assert 'ENV{ID_USB_INTERFACE_NUM}=="01"' in rule(machine, "ttyACM1")


def test_what_cannot_be_unplugged_needs_no_rule(machine):
    assert rule(machine, "ttyS0") is None


class Person(io.StringIO):
    """Presses Enter once the plug is out, and plugs it in again a little later."""

    def __init__(self, machine, *, pulls=True, replugs=True):
        super().__init__()
        self._machine, self._pulls, self._replugs = machine, pulls, replugs

    def readline(self):
        if self._pulls:
            self._machine.unplug("ttyUSB1")
        if self._replugs:
            threading.Timer(0.2, self._replug).start()
        return "\n"

    def _replug(self):
        self._machine.plug_in("ttyUSB7", "1-1.4", driver="ftdi_sio", idVendor="0403", serial="FT9")


def find(machine, *words):
    return main(["port", "find", *words, "--sysfs", str(machine.root)])


def test_unplug_enter_replug(machine, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Person(machine))
    assert find(machine, "base") == 0
    said = capsys.readouterr().out
    assert "/dev/ttyUSB7" in said
    assert 'ATTRS{serial}=="FT9", SYMLINK+="base"' in said
    assert 'port = "/dev/base"' in said


def test_nothing_pulled_and_nothing_plugged_in_are_clear_errors(machine, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", Person(machine, pulls=False, replugs=False))
    assert find(machine, "base") == 69
    assert "no serial port went away" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", Person(machine, replugs=False))
    assert find(machine, "base", "--timeout-s", "0.2") == 69
    assert "no serial port came within 0.2 s" in capsys.readouterr().err


def test_list_and_bad_names(machine, capsys):
    assert main(["port", "list", "--sysfs", str(machine.root)]) == 0
    said = capsys.readouterr().out
    assert "/dev/ttyUSB0     cp210x, Silicon Labs CP2102, 10c4:ea60 at 1-1.2, serial 0001" in said
    for name in ("../x", "ttyUSB0", ""):
        with pytest.raises(SystemExit):
            find(machine, name)
