"""``haulier driver test NAME``: does a driver keep what every driver owes?"""

import argparse
import json
from pathlib import Path

from agent.cli.verb import Verb
from hil.contract import CHECKS, subject_named
from hil.errors import ContractBroken


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="of an installed driver")
    parser.add_argument(
        "--capture",
        type=Path,
        help="a session with the real device, in place of the emulator's bytes",
    )
    parser.add_argument("--json", action="store_true")


def _run(options: argparse.Namespace) -> int:
    subject = subject_named(options.name, options.capture)
    broken = {}
    for name, check in CHECKS.items():
        try:
            check(subject)
        except ContractBroken as error:
            broken[name] = error.detail
        if not options.json:
            rule = (check.__doc__ or "").strip()
            print(f"{'BROKEN' if name in broken else 'kept':7} {name:13} {rule}", flush=True)
            if name in broken:
                print(f"{'':21} {broken[name]}")
    if options.json:
        kept = [name for name in CHECKS if name not in broken]
        print(json.dumps({"driver": subject.name, "kept": kept, "broken": broken}, indent=2))
    elif subject.emulator is None:
        print("without an emulator: nothing was unplugged, stalled or silenced")
    return 1 if broken else 0


VERB = Verb(
    "test",
    "run the driver contract on a driver and its emulated or captured device",
    _configure,
    _run,
)
