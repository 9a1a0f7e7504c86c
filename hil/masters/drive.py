"""Another maker's master drives the robot: daemon, plant, mosquitto and master, four processes.

The masters are packages that are not installed with this project. Each is found in a directory
that somebody installed it into, and run by a script of ours that uses it as its manual says.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from agent.clock import Clock
from hil.broker import LOOPBACK
from hil.errors import BenchError, ExtraMissing
from hil.lane_rig import LaneRig, lane_stations
from hil.scenario import MAP_ID, NODE_DEVIATION_M

NODES: Final = 6
SPACING_M: Final = 1.5
FAR_M: Final = 8.0
ENVIRONMENT: Final = {"HAULIER_ROBOT__MAX_LOAD_KG": "50.0"}

_HERE: Final = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Master:
    """A master of another maker.

    Attributes:
        name: Its package.
        version: Of VDA 5050, as it speaks it.
        script: Ours, that uses it.
        path_variable: By which its interpreter is told where packages are.
        folder: Below the directory that it was installed into.
        package: What has to be in there.
        interpreter: Of the script.
        install: How to get it; ``{directory}`` is where to.
    """

    name: str
    version: str
    script: str
    path_variable: str
    folder: str
    package: str
    interpreter: str
    install: str

    def packages(self, directory: Path) -> Path:
        """Return where its packages are.

        Raises:
            ExtraMissing: It is not there, or what runs it is not.
        """
        found = directory / self.folder
        if shutil.which(self.interpreter) is None:
            raise ExtraMissing(f"{self.name} needs {self.interpreter}")
        if not (found / self.package).is_dir():
            how = self.install.format(directory=directory)
            raise ExtraMissing(f"{self.name} is not in {directory}: {how}")
        return found


MASTERS: Final = {
    master.name: master
    for master in (
        Master(
            name="vda-5050-lib",
            version="2.0.0",
            script="vda-5050-lib.js",
            path_variable="NODE_PATH",
            folder="node_modules",
            package="vda-5050-lib",
            interpreter="node",
            install="npm install --prefix {directory} vda-5050-lib@1.4.0",
        ),
        Master(
            name="vda5050-sdk",
            version="2.1.0",
            script="vda5050_sdk.py",
            path_variable="PYTHONPATH",
            folder="site",
            package="vda5050",
            interpreter=sys.executable,
            install="pip install --target {directory}/site 'vda5050-sdk[mqtt]==0.2.0'",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class MasterDrive:
    """What came of a drive.

    Attributes:
        master: Its package.
        version: Of VDA 5050.
        passed: All steps have gone as they must.
        transcript: Every event that the master told, oldest first.
        complaint: What it said beside that, empty where nothing.
        journal: Orders and actions as the daemon's journal has them.
    """

    master: str
    version: str
    passed: bool
    transcript: tuple[dict[str, Any], ...]
    complaint: str
    journal: tuple[str, ...]


def drive(
    master: Master,
    packages: Path,
    directory: Path,
    clock: Clock,
    tell: Callable[[Mapping[str, Any]], None] = lambda event: None,
) -> MasterDrive:
    """Let a master take all its steps with a robot on the bench.

    Args:
        master: Which.
        packages: Where its packages are, see :meth:`Master.packages`.
        directory: For everything that the processes write.
        clock: Real time.
        tell: Is given each event of the transcript as it comes.

    Raises:
        BenchError: The bench or the daemon did not come up.
        BrokerUnavailable: There is no mosquitto.
    """
    with LaneRig(directory, clock, version=master.version, environment=ENVIRONMENT) as rig:
        rig.pty.wait_until_ready()
        plan = directory / "drive.json"
        plan.write_text(json.dumps(_plan(rig)), encoding="utf-8")
        process = subprocess.Popen(
            [master.interpreter, _HERE / master.script, plan],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {master.path_variable: str(packages)},
            text=True,
        )
        transcript = []
        with process:
            for line in process.stdout or ():
                transcript.append(_event(line))
                tell(transcript[-1])
            complaint = process.stderr.read() if process.stderr else ""
        passed = process.returncode == 0
        journal = _journal(rig.pty.log)
    return MasterDrive(
        master.name, master.version, passed, tuple(transcript), complaint.strip(), journal
    )


def _plan(rig: LaneRig) -> dict[str, Any]:
    """Return what the scripts are told."""
    prefix, _, _ = rig.identity.topic_prefix.partition("/")
    return {
        "host": LOOPBACK,
        "port": rig.port,
        "interface_name": prefix,
        "manufacturer": rig.identity.manufacturer,
        "serial_number": rig.identity.serial_number,
        "map_id": MAP_ID,
        "deviation_m": NODE_DEVIATION_M,
        "far_m": FAR_M,
        "action_type": "pick",
        "stations": [asdict(s) for s in lane_stations(rig.hall, NODES, SPACING_M)],
    }


def _event(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError as error:
        raise BenchError(f"the master's script wrote {line!r}") from error
    return dict(event)


def _journal(log: Path) -> tuple[str, ...]:
    """Return the daemon's lines about orders, actions and refused messages."""
    lines = log.read_text(encoding="utf-8").splitlines()
    kinds = ("order.", "action.", "message.", "pose.", "agent.failed")
    return tuple(line for line in lines if any(f'"event": "{kind}' in line for kind in kinds))
