"""``haulier driver``: the devices that this installation can talk to."""

import argparse
import json
from dataclasses import asdict

from agent.cli.verb import Verb
from drivers import registry


def _configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="list drivers, ours and those of other makers")
    listing.add_argument("--json", action="store_true")


def _run(options: argparse.Namespace) -> int:
    drivers = registry.available()
    if options.json:
        print(json.dumps([asdict(info) for info in drivers], indent=2))
        return 0
    for info in drivers:
        print(f"{info.name:12} {info.kind:6} {info.devices}")
        print(f"{'':12} {'':6} options: {', '.join(info.options)}   [{info.distribution}]")
    return 0


VERB = Verb("driver", "list the drivers that are installed", _configure, _run)
