"""``haulier driver``: the devices that this installation can talk to."""

import argparse
import json
from dataclasses import asdict
from importlib import metadata

from agent.cli.driver_probe import VERB as PROBE
from agent.cli.verb import Verb
from drivers import registry

PLUGINS = "haulier.driver_verbs"


def _plugins() -> dict[str, Verb]:
    """Return what else can be done with drivers: ours, and that of others as the bench."""
    others = {point.name: point.load() for point in metadata.entry_points(group=PLUGINS)}
    return others | {PROBE.name: PROBE}


def _configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="list drivers, ours and those of other makers")
    listing.add_argument("--json", action="store_true")
    for name, verb in _plugins().items():
        verb.configure(actions.add_parser(name, help=verb.help, description=verb.help))


def _run(options: argparse.Namespace) -> int:
    if options.action != "list":
        return _plugins()[options.action].run(options)
    drivers = registry.available()
    if options.json:
        print(json.dumps([asdict(info) for info in drivers], indent=2))
        return 0
    for info in drivers:
        print(f"{info.name:12} {info.kind:6} {info.devices}")
        print(f"{'':12} {'':6} options: {', '.join(info.options)}   [{info.distribution}]")
    return 0


VERB = Verb("driver", "list the drivers that are installed, and test them", _configure, _run)
