"""``haulier bench stops``: all that must stop the robot, and how soon and how short it does."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from agent.clock import SystemClock
from hil.cli.numbers import parse_count, parse_seed
from hil.terminal import Terminal

if TYPE_CHECKING:
    from hil.stops.bench import StopOutcome
    from hil.stops.summary import MiddleAndMost, StopRow

DESCRIPTION = """\
Drive along a lane of the hall at 1.2 m/s and have something happen at a drawn moment: cables
pulled, buttons pressed, lidars covered, something dropped in front of the robot. Measured is how
soon the command is zero and the robot stands, and how far it rolls, against what the governor
counts on. The base of the bench brakes no harder than the governor counts on."""
COLUMNS = (
    f"{'cause':<20}{'runs':>4}{'stopped':>8}  {'zero ms':<13}{'within':>6}  {'rest ms':<13}"
    f"{'way m':<13}{'rolled m':<13}{'counted on':>10}{'exceeded':>9}{'by m':>7}{'clear m':>8}"
    f"{'named':>6}"
)
LEGEND = """\
zero      median / max until the command is zero    rest      the same until the wheels stand
within    how long the former may take              way       the same, driven until then
rolled    the same, from the zero command on        counted on  most that the governor allows for
exceeded  by more than 0.01 m, and by how much at most (negative: never)
clear     least distance from an obstacle
named     by its name, in the robot's status and in a VDA 5050 state"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the action's options."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--runs", type=parse_count, default=10, help="of each (default 10)")
    parser.add_argument("--seed", type=parse_seed, default=1, help="of everything (default 1)")
    parser.add_argument(
        "--cause", action="append", metavar="NAME", help="only this one; may be given repeatedly"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Make the stops; 0 only if nothing was amiss in any of them.

    Raises:
        BenchError: There is no such cause.
    """
    from agent.main import warm_up
    from hil.stops.bench import StopBench
    from hil.stops.cause import chosen
    from hil.stops.summary import summarize

    causes, terminal = chosen(options.cause), Terminal(SystemClock())
    warm_up()
    bench = StopBench(options.seed)
    outcomes: list[StopOutcome] = []
    rows: list[StopRow] = []
    if not options.json:
        terminal.line(COLUMNS)
    for cause in causes:
        for number in range(options.runs):
            if not options.json:
                terminal.progress(f"{cause}: {number + 1} of {options.runs}")
            outcomes.append(bench.stop(cause, number))
        rows.append(summarize(outcomes[-options.runs :]))
        if not options.json:
            terminal.line(_line(rows[-1]))
    if options.json:
        _print_document(outcomes, rows)
    else:
        _conclude(terminal, outcomes, rows)
    return 0 if _passed(rows) else 1


def _passed(rows: "Sequence[StopRow]") -> bool:
    return all(row.passed for row in rows)


def _print_document(outcomes: "Sequence[StopOutcome]", rows: "Sequence[StopRow]") -> None:
    from hil.stops.cause import BEYOND_THE_BENCH

    document = {
        "runs": [asdict(outcome) | {"failures": outcome.failures} for outcome in outcomes],
        "rows": [asdict(row) for row in rows],
        "beyond_the_bench": dict(BEYOND_THE_BENCH),
        "passed": _passed(rows),
    }
    print(json.dumps(document, indent=2))


def _conclude(
    terminal: Terminal, outcomes: "Sequence[StopOutcome]", rows: "Sequence[StopRow]"
) -> None:
    """Print what the table means and does not show, and the runs that a reader will look into."""
    from hil.stops.cause import BEYOND_THE_BENCH

    terminal.line(f"\n{LEGEND}\n")
    for row in rows:
        if row.found_s is not None:
            terminal.line(f"{row.cause}: knew its place again after {_times(row.found_s)} ms")
    for name, why in BEYOND_THE_BENCH.items():
        terminal.line(f"not made: {name}; {why}")
    for outcome in outcomes:
        if outcome.failures:
            terminal.line(_complaint(outcome))
    terminal.line("passed" if _passed(rows) else "NOT PASSED")


def _complaint(outcome: "StopOutcome") -> str:
    """Return what a reader will want to look into."""
    reasons = ", ".join(outcome.reasons) or "no reason given"
    return f"{outcome.cause}, run {outcome.run}: {'; '.join(outcome.failures)} ({reasons})"


def _line(row: "StopRow") -> str:
    clearance = "-" if row.clearance_m is None else f"{row.clearance_m:.2f}"
    within = "-" if row.within_s is None else f"{1000 * row.within_s:.0f}"
    return (
        f"{row.cause:<20}{row.runs:>4}{row.stopped:>8}  {_times(row.zero_s):<13}{within:>6}  "
        f"{_times(row.rest_s):<13}{_ways(row.way_m):<13}{_ways(row.rolled_m):<13}"
        f"{row.predicted_m:>10.2f}{row.exceeded:>9}{row.excess_m:>7.2f}{clearance:>8}"
        f"{row.named:>6}"
    )


def _times(pair: "MiddleAndMost | None") -> str:
    return "-" if pair is None else f"{1000 * pair[0]:.0f} / {1000 * pair[1]:.0f}"


def _ways(pair: "MiddleAndMost | None") -> str:
    return "-" if pair is None else f"{pair[0]:.2f} / {pair[1]:.2f}"
