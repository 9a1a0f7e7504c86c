"""``haulier bench warehouse``: drives among racks, goods and people, kind by kind."""

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from hil.cli import courses
from hil.cli.numbers import parse_count

if TYPE_CHECKING:
    from hil.arena.result import RunResult


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the action's options."""
    parser.description = (
        "Drive through aisles with goods in them, crossings with people, doors, aisles that turn "
        "out to be closed, and aisles with people who do not yield. The courses follow from the "
        "seed."
    )
    parser.add_argument(
        "--runs", type=parse_count, default=20, metavar="N", help="of each kind (default 20)"
    )
    parser.add_argument(
        "--only",
        metavar="NAME",
        help="only one kind, such as door, or one course, such as door-3",
    )
    courses.add_drive_options(parser, profile="amr")


def run(options: argparse.Namespace) -> int:
    """Drive and print; what is good enough is for the reader to say."""
    from hil.arena.warehouse import KINDS, courses_named

    names = [options.only] if options.only else list(KINDS)
    chosen = [
        course for name in names for course in courses_named(name, options.runs, options.seed)
    ]
    results = courses.drive(courses.make_campaign(options), chosen, options)
    _show(results, options.json)
    return 0


def _show(results: "list[RunResult]", as_json: bool) -> None:
    """Print a line for each kind, or everything as one JSON object."""
    from hil.arena.report import KIND_COLUMNS, kind_line
    from hil.arena.result import summarize

    kinds: dict[str, list[RunResult]] = {}
    for result in results:
        kinds.setdefault(result.course.partition("-")[0], []).append(result)
    summaries = {kind: summarize(of_kind) for kind, of_kind in kinds.items()}
    if as_json:
        rows = [result.as_row() for result in results]
        kinds_of = {kind: asdict(summary) for kind, summary in summaries.items()}
        print(json.dumps({"courses": rows, "kinds": kinds_of}, indent=2))
    else:
        print(f"\n{KIND_COLUMNS}")
        for kind, summary in summaries.items():
            print(kind_line(kind, summary))
