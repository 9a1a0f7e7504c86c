"""Serial ports as sysfs shows them, and udev rules that give them names which stay.

Source: Linux, ``Documentation/ABI/testing/sysfs-bus-usb`` and ``sysfs-tty``; udev(7). The root of
sysfs is passed in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

SYSFS = Path("/sys")
RULES_FILE = "/etc/udev/rules.d/99-haulier.rules"
# Burnt into every adapter of a kind, so they say nothing: CP2102 and CH34x out of the box.
COMMON_SERIALS = {"", "0001", "0000", "00000000", "1", "123456"}
FTDI_DRIVER = "ftdi_sio"


@dataclass(frozen=True, slots=True)
class TtyPort:
    """A serial port.

    Attributes:
        name: Of the tty, such as ``ttyUSB0``.
        driver: Of the kernel, such as ``ftdi_sio``.
        product: Manufacturer and product as the adapter tells them.
        vendor_id: USB vendor, four hex digits, empty where it is no USB device.
        product_id: USB product.
        serial: USB serial number, empty where the adapter has none.
        socket: USB socket on the way from the host, such as ``1-1.2``.
        interface: USB interface within the device, two hex digits.
    """

    name: str
    driver: str = ""
    product: str = ""
    vendor_id: str = ""
    product_id: str = ""
    serial: str = ""
    socket: str = ""
    interface: str = ""

    @property
    def node(self) -> str:
        """Device node."""
        return f"/dev/{self.name}"


def list_ports(sysfs: Path = SYSFS) -> dict[str, TtyPort]:
    """Return the serial ports that have hardware behind them, by name."""
    names = sorted(entry.name for entry in (sysfs / "class/tty").glob("tty*"))
    return {name: port for name in names if (port := _read_port(sysfs, name)) is not None}


def _read_port(sysfs: Path, name: str) -> TtyPort | None:
    """Return one port, None for a console, a pty or a UART that is not there."""
    entry = sysfs / "class/tty" / name
    try:
        device = (entry / "device").resolve(strict=True)
    except OSError:
        # Unplugged meanwhile counts as not there.
        return None
    driver = (device / "driver").resolve().name if (device / "driver").exists() else ""
    if driver in ("", "serial8250") and _text(entry / "type") in ("", "0"):
        return None
    places = [device, *device.parents]
    usb = next((place for place in places if (place / "idVendor").exists()), None)
    if usb is None:
        return TtyPort(name, driver)
    interface = next((place for place in places if (place / "bInterfaceNumber").exists()), usb)
    maker, product = _text(usb / "manufacturer"), _text(usb / "product")
    return TtyPort(
        name,
        driver,
        f"{maker} {product}".strip(),
        _text(usb / "idVendor"),
        _text(usb / "idProduct"),
        _text(usb / "serial"),
        usb.name,
        _text(interface / "bInterfaceNumber"),
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def gone(before: Mapping[str, TtyPort], after: Mapping[str, TtyPort]) -> list[TtyPort]:
    """Return the ports that were there and are not any more, or are now another device's."""
    return [port for name, port in before.items() if after.get(name) != port]


def udev_rule(port: TtyPort, link: str, others: Iterable[TtyPort]) -> str | None:
    """Return the rule that names a port ``/dev/<link>``, None for a port that never moves.

    The adapter's serial number follows it to any socket; where it has none, or not one of its own,
    the socket is named.

    Args:
        port: To be named.
        link: Name below ``/dev``.
        others: All ports that are there.
    """
    if not port.vendor_id:
        return None
    matches = [
        'SUBSYSTEM=="tty"',
        f'ATTRS{{idVendor}}=="{port.vendor_id}"',
        f'ATTRS{{idProduct}}=="{port.product_id}"',
    ]
    if has_own_serial(port, others):
        matches.append(f'ATTRS{{serial}}=="{port.serial}"')
    else:
        matches.append(f'KERNELS=="{port.socket}"')
    if port.interface not in ("", "00") or _shares_device(port, others):
        matches.append(f'ENV{{ID_USB_INTERFACE_NUM}}=="{port.interface}"')
    actions = [f'SYMLINK+="{link}"']
    if port.driver == FTDI_DRIVER:
        # Its timer holds bytes back for 16 ms, which is half a stream's period.
        actions.append('ATTR{device/latency_timer}="1"')
    return ", ".join(matches + actions)


def has_own_serial(port: TtyPort, others: Iterable[TtyPort]) -> bool:
    """Return whether the serial number tells this adapter from all others."""
    twins = {
        other.socket
        for other in others
        if (other.vendor_id, other.product_id, other.serial)
        == (port.vendor_id, port.product_id, port.serial)
    }
    is_plain = port.serial.isascii() and port.serial.isprintable() and '"' not in port.serial
    return is_plain and port.serial not in COMMON_SERIALS and twins <= {port.socket}


def _shares_device(port: TtyPort, others: Iterable[TtyPort]) -> bool:
    """Return whether the adapter has more than one port."""
    return any(other.socket == port.socket and other.name != port.name for other in others)
