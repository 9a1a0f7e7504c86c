"""``haulier telemetry``: what the robot tells the platform beside VDA 5050."""

import argparse
import json

from agent.cli.verb import Verb


def _configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    schema = actions.add_parser("schema", help="print the schema of the history's events")
    schema.add_argument(
        "--markdown", action="store_true", help="print tables for people instead of JSON Schema"
    )


def _run(options: argparse.Namespace) -> int:
    from agent.telemetry.events import reference, schema

    if options.markdown:
        print("\n".join(reference()))
    else:
        print(json.dumps(schema(), indent=2))
    return 0


VERB = Verb("telemetry", "print the schema of the events that the robot keeps", _configure, _run)
