"""``haulier bench cycle``: where the time of an avoidance cycle goes."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from agent.clock import SystemClock
from hil.cli import courses
from hil.cli.numbers import parse_count, parse_seed

if TYPE_CHECKING:
    from hil.arena.course import Course
    from hil.cycle_bench import CycleTimes, Spent

DESCRIPTION = """\
Drive through courses of cylinders, and take the time of each phase of the avoidance cycle, from the
scan to the command. Between the cycles, two things are measured that are always the same:
  numpy  a stable sort of 16384 numbers
  open   a plan of 1000 samples over 56 steps with nothing around, the cost to go being known
Phases are also given as multiples of their medians, by which machines can be compared."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the action's options."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--worlds", type=Path, metavar="FILE.npz", help="BARN worlds; without it, drawn courses"
    )
    parser.add_argument(
        "--drives",
        type=parse_count,
        default=10,
        metavar="N",
        help="courses to drive, from all over the file (default 10)",
    )
    parser.add_argument("--profile", default="jackal", help="robot: jackal or amr (default jackal)")
    parser.add_argument(
        "--seed", type=parse_seed, default=1, help="of courses that are drawn (default 1)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Measure and print; what is fast enough is for the reader to say."""
    from agent.main import warm_up
    from hil.cycle_bench import measure

    profile, chosen = courses.profile_named(options.profile), _courses(options)
    warm_up()
    times = measure(chosen, profile, SystemClock())
    if options.json:
        print(json.dumps(asdict(times) | {"ratios": _ratios(times)}, indent=2))
    else:
        print(_table(times))
    return 0


def _courses(options: argparse.Namespace) -> "list[Course]":
    if options.worlds is None:
        from hil.arena.clutter import make_clutter

        return [make_clutter(number, options.seed) for number in range(options.drives)]
    from hil.arena.course_file import read_static

    worlds = read_static(options.worlds)
    count = min(options.drives, len(worlds))
    return [worlds[i * len(worlds) // count] for i in range(count)]


def _ratios(times: "CycleTimes") -> dict[str, dict[str, float]]:
    return {
        reference: {phase: times.ratio(phase, reference) for phase in times.phases}
        for reference in times.references
    }


def _table(times: "CycleTimes") -> str:
    ratios = _ratios(times)
    head = "".join(f"{'x ' + reference:>9}" for reference in ratios)
    lines = [
        f"{times.cycles} cycles in {times.drives} drives",
        f"{'phase':<16}{'median ms':>10}{'p99 ms':>9}{'max ms':>9}{head}",
    ]
    for phase, spent in times.phases.items():
        multiples = "".join(f"{ratios[reference][phase]:>9.3f}" for reference in ratios)
        lines.append(_row(phase, spent) + multiples)
    lines += ["", *(_row(name, spent) for name, spent in times.references.items())]
    return "\n".join(lines)


def _row(name: str, spent: "Spent") -> str:
    return f"{name:<16}{spent.median_ms:>10.3f}{spent.p99_ms:>9.3f}{spent.max_ms:>9.3f}"
