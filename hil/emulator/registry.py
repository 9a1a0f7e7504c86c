"""Emulated devices by the name of the driver that talks to them: ours, and other makers' by entry.

A distribution that brings a driver brings its bench device with it, in the entry point group
``haulier.emulators`` as ``name = "module:Class"`` under the driver's own name. The class is called
with what the device looks at (a lidar) or turns (a base) and a random generator for line faults. A
base whose wheels cannot be chosen tells them in the class attribute ``drive``, a lidar that does
not see all around how much it does in ``view_deg``.
"""

import importlib
from importlib import metadata
from typing import Any, Final

from hil.errors import BenchError

GROUP: Final = "haulier.emulators"
OURS: Final = {
    "create2": "hil.emulator.create2:Create2Emulator",
    "kobuki": "hil.emulator.kobuki:KobukiEmulator",
    "ld06": "hil.emulator.ld06:Ld06Emulator",
    "roboclaw": "hil.emulator.roboclaw:RoboclawEmulator",
    "roboteq": "hil.emulator.roboteq:RoboteqEmulator",
    "rplidar": "hil.emulator.rplidar:RplidarEmulator",
    "scip": "hil.emulator.scip:ScipEmulator",
    "sick_s300": "hil.emulator.sick_s300:SickS300Emulator",
    "sick_lms2xx": "hil.emulator.sick_lms2xx:SickLms2xxEmulator",
    "ydlidar": "hil.emulator.ydlidar:YdlidarEmulator",
}


def targets() -> dict[str, str]:
    """Return name -> ``module:Class``; ours cannot be replaced."""
    return {point.name: point.value for point in metadata.entry_points(group=GROUP)} | OURS


def load(name: str) -> Any:
    """Return an emulator's class.

    Raises:
        BenchError: There is no emulator of that name, or it cannot be imported.
    """
    known = targets()
    if name not in known:
        raise BenchError(f"no emulator named {name} (there are: {', '.join(sorted(known))})")
    module, _, attribute = known[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, SyntaxError, ValueError) as error:
        raise BenchError(f"emulator {name} ({known[name]}): {error}") from error
