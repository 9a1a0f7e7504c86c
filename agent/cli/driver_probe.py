"""``haulier driver probe PORT``: which device is this, and how fast does it talk?"""

import argparse
import json
import sys

from agent.cli.verb import Verb
from agent.clock import SystemClock
from drivers.port import SerialPort
from drivers.probe import Candidate, candidates, probe
from drivers.registry import load


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Try the handshake of every driver on a port, up to the first answer, and then other line "
        "rates. Nothing is configured and no base is set in motion, but a device that none of the "
        "drivers is for may take a request for something else: lift a base off its wheels."
    )
    parser.add_argument("port", help="device node, better one below /dev/serial/by-id")
    parser.add_argument("--driver", action="append", help="try only this one; may be repeated")
    parser.add_argument("--json", action="store_true")


def _run(options: argparse.Namespace) -> int:
    for name in options.driver or ():
        load(name)

    def note(candidate: Candidate) -> None:
        if not options.json and sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{candidate.name} at {candidate.baud} bit/s ...")

    found = probe(
        candidates(options.driver),
        lambda spec: SerialPort(options.port, spec),
        SystemClock(),
        note,
    )
    if sys.stderr.isatty() and not options.json:
        sys.stderr.write("\r\x1b[K")
    if options.json:
        candidate = found and found.candidate
        report = candidate and {
            "driver": candidate.name,
            "baud": candidate.baud,
            "options": candidate.options,
            "answer": found and found.answer,
        }
        print(json.dumps(report, indent=2))
    elif found is None:
        print(
            f"{options.port}: no driver was answered; is the device powered, are RX and TX right?"
        )
    else:
        print(f"{options.port}: {found.candidate.name} at {found.candidate.baud} bit/s")
        print(f"  {found.answer}")
        print(f'\ndriver = "{found.candidate.name}"\nport = "{options.port}"')
        for name, value in found.candidate.options.items():
            print(f"options.{name} = {json.dumps(value)}")
    return 0 if found else 1


VERB = Verb("probe", "find out which device is on a port", _configure, _run)
