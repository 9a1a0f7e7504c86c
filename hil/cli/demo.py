"""``haulier demo``: the main job, on emulated devices, with everything else real."""

import argparse
from pathlib import Path

from agent.cli.verb import Verb
from agent.clock import SystemClock
from hil.cli import equipment
from hil.errors import ExtraMissing


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--broker",
        metavar="HOST:PORT",
        help="use this MQTT broker, such as a mosquitto, instead of the embedded one",
    )
    equipment.add_options(parser)
    parser.add_argument("--seed", type=int, default=1, help="of hall, slip and noise (default 1)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("demo-output"),
        help="directory for configuration, map, log and picture (default demo-output)",
    )


def _run(options: argparse.Namespace) -> int:
    # Imported late: 'haulier --help' needs none of the bench.
    try:
        from hil.drive import Drive, summarize
    except ModuleNotFoundError as error:
        raise ExtraMissing(f"the demo needs the package {error.name}") from error
    from hil.scenario import factory_tour
    from hil.terminal import Terminal

    clock = SystemClock()
    terminal = Terminal(clock)
    scenario = factory_tour(options.seed, equipment.chosen(options))
    drive = Drive(options.output, scenario, options.broker, clock, terminal)
    result = drive.run()
    summarize(result, terminal)
    return 0 if result.passed else 1


VERB = Verb("demo", "drive a tour of an emulated factory hall, live", _configure, _run)
