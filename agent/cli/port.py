"""``haulier port``: which serial port is which device."""

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.cli.verb import Verb
from agent.clock import Clock, SystemClock
from agent.commissioning.find_port import (
    RULES_FILE,
    SYSFS,
    TtyPort,
    gone,
    has_own_serial,
    list_ports,
    udev_rule,
)
from drivers.errors import PortUnavailable

LOOK_NS = 100_000_000
SETTLE_NS = 500_000_000  # an adapter with two ports shows them one after the other
LINK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Look = Callable[[], Mapping[str, TtyPort]]


def _configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    find = actions.add_parser("find", help="unplug a device, plug it in again: that is the one")
    find.description = (
        "Unplug the device, press Enter, plug it in again: prints its port and the udev rule that "
        "gives it a name of its own, however often it is plugged in."
    )
    find.add_argument("name", type=_link, help="name below /dev to give it, such as lidar")
    find.add_argument("--timeout-s", type=float, default=60.0, help="for plugging it in again")
    find.add_argument("--sysfs", type=Path, default=SYSFS, help=argparse.SUPPRESS)
    listing = actions.add_parser("list", help="list the serial ports that are there")
    listing.add_argument("--sysfs", type=Path, default=SYSFS, help=argparse.SUPPRESS)


def _link(text: str) -> str:
    if LINK.fullmatch(text) is None or text.startswith("tty"):
        raise argparse.ArgumentTypeError(f"{text!r} is no name for a device node")
    return text


def _run(options: argparse.Namespace) -> int:
    def look() -> Mapping[str, TtyPort]:
        return list_ports(options.sysfs)

    if options.action == "list":
        ports = look()
        for port in ports.values():
            print(_described(port))
        return 0 if ports else 1
    for port in _find(look, SystemClock(), round(options.timeout_s * 1e9)):
        _tell(port, options.name, look())
    return 0


def _find(look: Look, clock: Clock, timeout_ns: int) -> list[TtyPort]:
    """Return the ports of the device that is unplugged and plugged in again.

    Raises:
        PortUnavailable: Nothing was unplugged, or nothing was plugged in in time.
    """
    before = look()
    print("Unplug the device, then press Enter.")
    sys.stdin.readline()
    without = look()
    if not gone(before, without):
        raise PortUnavailable("no serial port went away: was it this device's cable?")
    print("Plug it in again.")
    deadline_ns = clock.now_ns() + timeout_ns
    while not gone(now := look(), without):
        if clock.now_ns() >= deadline_ns:
            raise PortUnavailable(f"no serial port came within {timeout_ns * 1e-9:g} s")
        clock.wait_until_ns(clock.now_ns() + LOOK_NS)
    clock.wait_until_ns(clock.now_ns() + SETTLE_NS)
    now = look()
    return gone(now, without)


def _tell(port: TtyPort, name: str, others: Mapping[str, TtyPort]) -> None:
    """Print where a port is and how it gets its name."""
    print(f"\n{_described(port)}")
    link = name if port.interface in ("", "00") else f"{name}-{port.interface}"
    rule = udev_rule(port, link, others.values())
    if rule is None:
        print(f"It is no USB device and keeps its name: use {port.node}.")
        return
    if not has_own_serial(port, others.values()):
        print(f"It has no serial number of its own: the rule is for its socket, {port.socket}.")
    print(f"Put this into {RULES_FILE}, then run: udevadm control --reload; udevadm trigger\n")
    print(f"{rule}\n")
    print(f'and into the configuration: port = "/dev/{link}"')


def _described(port: TtyPort) -> str:
    usb = f"{port.vendor_id}:{port.product_id} at {port.socket}" if port.vendor_id else ""
    words = (port.driver, port.product, usb, port.serial and f"serial {port.serial}")
    return f"{port.node:16} {', '.join(word for word in words if word)}"


VERB = Verb("port", "find out which serial port is which device", _configure, _run)
