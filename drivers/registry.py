"""Names of drivers and where they are: ours in a table, other makers' by entry points.

A distribution that brings a driver declares it in the entry point group ``haulier.drivers``, as
``name = "module:Class"``; nothing in this project needs to change.
"""

import difflib
import importlib
from dataclasses import fields, is_dataclass
from importlib import metadata
from typing import Any

from drivers.driver import DriverInfo
from drivers.errors import DriverUnknown

GROUP = "haulier.drivers"
OURS = {
    "create2": "drivers.base.create2:Create2",
    "kobuki": "drivers.base.kobuki:Kobuki",
    "ld06": "drivers.lidar.ld06:Ld06",
    "rplidar": "drivers.lidar.rplidar:Rplidar",
    "roboclaw": "drivers.base.roboclaw:Roboclaw",
    "roboteq": "drivers.base.roboteq:Roboteq",
    "scip": "drivers.lidar.scip:Scip",
    "sick_s300": "drivers.lidar.sick_s300:SickS300",
    "sick_lms2xx": "drivers.lidar.sick_lms2xx:SickLms2xx",
    "ydlidar": "drivers.lidar.ydlidar:Ydlidar",
}


def _targets() -> dict[str, tuple[str, str]]:
    """Return name -> (target, distribution); ours first, so that nobody replaces them silently."""
    found = {
        point.name: (point.value, point.dist.name if point.dist else "?")
        for point in metadata.entry_points(group=GROUP)
    }
    return found | {name: (target, "haulier") for name, target in OURS.items()}


def load(name: str) -> Any:
    """Return a driver's class; its ``options`` attribute is the type that its constructor takes.

    Raises:
        DriverUnknown: There is no driver of that name, or it cannot be imported, or what is there
            is no driver.
    """
    targets = _targets()
    if name not in targets:
        near = difflib.get_close_matches(name, targets, n=1)
        guess = f"; did you mean {near[0]}?" if near else ""
        raise DriverUnknown(f"no driver named {name}{guess} (there are: {', '.join(targets)})")
    module, _, attribute = targets[name][0].partition(":")
    try:
        driver = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, SyntaxError, ValueError) as error:
        raise DriverUnknown(f"driver {name} ({targets[name][0]}): {error}") from error
    if not is_dataclass(getattr(driver, "options", None)):
        raise DriverUnknown(f"driver {name} ({targets[name][0]}): has no dataclass of options")
    return driver


def available() -> list[DriverInfo]:
    """Return all drivers that are installed, by name.

    One that cannot be loaded is of kind ``broken`` and tells why in place of its devices.
    """
    return [_describe(name, *target) for name, target in sorted(_targets().items())]


def _describe(name: str, target: str, distribution: str) -> DriverInfo:
    try:
        driver = load(name)
    except DriverUnknown as error:
        return DriverInfo(name, "broken", target, error.detail, distribution)
    return DriverInfo(
        name=name,
        kind="base" if hasattr(driver, "command") else "lidar",
        module=target,
        devices=(driver.__doc__ or "").strip().partition("\n")[0],
        distribution=distribution,
        options=tuple(option.name for option in fields(driver.options)),
    )
