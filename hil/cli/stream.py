"""``haulier bench stream``: an order of many nodes, released piece by piece under way."""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from hil.cli.numbers import parse_count, parse_seed

DESCRIPTION = """\
Drive round the hall's outer lanes by an order of which the master releases a few nodes with every
update. The robot must roll through all of them, at 80 % of the edges' limit at least on the
straight, and lose no stitch. Lock-step, faster than real time."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the action's options."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--nodes", type=parse_count, default=200, help="of it (default 200)")
    parser.add_argument("--piece", type=parse_count, default=5, help="per update (default 5)")
    parser.add_argument("--seed", type=parse_seed, default=1, help="of everything (default 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Drive it; 0 only if it was driven as it must."""
    from agent.main import warm_up
    from hil.stream_bench import stream

    warm_up()
    with tempfile.TemporaryDirectory() as directory:
        result = stream(Path(directory), options.nodes, options.piece, options.seed)
    if options.json:
        print(json.dumps(asdict(result) | {"passed": result.passed}, indent=2))
    else:
        for name, value in asdict(result).items():
            print(f"{name:15} {value}")
        print("passed" if result.passed else "NOT PASSED")
    return 0 if result.passed else 1
