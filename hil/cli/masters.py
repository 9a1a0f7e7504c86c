"""``haulier bench masters``: masters of other makers drive the daemon on the bench."""

import argparse
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.clock import SystemClock
from hil.terminal import Terminal

if TYPE_CHECKING:
    from hil.masters.drive import MasterDrive

DESCRIPTION = """\
Let masters of other makers take a robot of the bench through its steps: init position, an order
that grows while it is driven, actions, a pause, a cancelled order, an order that is refused. The
daemon, the devices behind its ptys, mosquitto and the master are processes of their own. Printed
is what the master was told, event by event, and after it what the daemon's journal says."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the action's options."""
    from hil.masters.drive import MASTERS

    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "To get the masters:\n" + "\n".join(
        f"  {master.install.format(directory='DIR')}" for master in MASTERS.values()
    )
    parser.add_argument(
        "--packages", type=Path, required=True, metavar="DIR", help="where they were installed to"
    )
    parser.add_argument(
        "--master", choices=MASTERS, action="append", help="only this one; may be given repeatedly"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Let each drive; 0 only if all steps of each have gone as they must.

    Raises:
        ExtraMissing: A master is not there.
    """
    from hil.masters.drive import MASTERS, drive

    clock = SystemClock()
    terminal = Terminal(clock)
    masters = [MASTERS[name] for name in options.master or MASTERS]
    packages = [master.packages(options.packages) for master in masters]

    def tell(event: Mapping[str, Any]) -> None:
        if not options.json:
            terminal.event(_words(event))

    drives: list[MasterDrive] = []
    for master, found in zip(masters, packages, strict=True):
        if not options.json:
            terminal.line(f"{master.name}, VDA 5050 {master.version}")
        with tempfile.TemporaryDirectory() as directory:
            drives.append(drive(master, found, Path(directory), clock, tell))
        if not options.json:
            _conclude(terminal, drives[-1])
    passed = all(result.passed for result in drives)
    if options.json:
        document = {"drives": [asdict(result) for result in drives], "passed": passed}
        print(json.dumps(document, indent=2))
    return 0 if passed else 1


def _conclude(terminal: Terminal, result: "MasterDrive") -> None:
    terminal.line("\nthe daemon's journal")
    for line in result.journal:
        terminal.line(f"  {line}")
    if result.complaint:
        terminal.line(f"\n{result.complaint}")
    terminal.line("passed\n" if result.passed else "NOT PASSED\n")


def _words(event: Mapping[str, Any]) -> str:
    """Return an event as a line of the transcript."""
    told = ", ".join(
        f"{name} {value}" for name, value in event.items() if name not in ("step", "what")
    )
    return f"{event.get('step', ''):20} {event.get('what', '')}: {told}"
