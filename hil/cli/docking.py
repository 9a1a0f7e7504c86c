"""``haulier bench docking``: how exactly the robot docks under load carriers, on the plant."""

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from agent.clock import SystemClock
from hil.cli.numbers import parse_count, parse_positive, parse_seed
from hil.errors import ExtraMissing
from hil.terminal import Terminal

if TYPE_CHECKING:
    from hil.docking_bench import DockingOutcome, DockingRecord, DockingSummary, Spread


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the action's options."""
    parser.description = (
        "Dock under load carriers in the plant, from elsewhere each time, and compare where the "
        "robot stands with where it should."
    )
    parser.add_argument("--runs", type=parse_count, default=100, help="dockings (default 100)")
    parser.add_argument("--seed", type=parse_seed, default=1, help="of everything (default 1)")
    parser.add_argument(
        "--noise",
        type=parse_positive,
        default=0.01,
        metavar="M",
        help="standard deviation of a range (default 0.01)",
    )
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the worst docking here")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Dock and print; 0 only if every docking was made, without touching, exactly enough."""
    from hil.docking_bench import DockingBench, summarize

    terminal = Terminal(SystemClock())
    outcomes: list[DockingOutcome] = []
    worst: tuple[DockingOutcome, DockingRecord] | None = None
    for outcome, record in DockingBench(options.seed, options.noise).run(options.runs):
        outcomes.append(outcome)
        if worst is None or outcome.badness > worst[0].badness:
            worst = outcome, record
        if not options.json:
            terminal.progress(f"docking {len(outcomes)} of {options.runs}")
    if options.plot and worst:
        _plot(*worst, options.plot)
    summary = summarize(outcomes)
    if options.json:
        document = {
            "runs": [asdict(outcome) for outcome in outcomes],
            "summary": asdict(summary) | {"passed": summary.passed},
        }
        print(json.dumps(document, indent=2))
    else:
        terminal.line(_table(summary))
        for outcome in outcomes:
            if outcome.reason or outcome.contact:
                touched = f", touched {outcome.contact}" if outcome.contact else ""
                terminal.line(f"run {outcome.run}: {outcome.reason or outcome.phase}{touched}")
    return 0 if summary.passed else 1


def _plot(outcome: "DockingOutcome", record: "DockingRecord", path: Path) -> None:
    try:
        from hil.docking_drawing import draw
    except ModuleNotFoundError as error:
        raise ExtraMissing(f"drawing needs the package {error.name}") from error

    draw(outcome, record, path)


def _table(summary: "DockingSummary") -> str:
    rows = (
        ("along the axis, mm", summary.along_m, 1000.0),
        ("across it, mm", summary.lateral_m, 1000.0),
        ("position, mm", summary.position_m, 1000.0),
        ("heading, deg", summary.yaw_rad, math.degrees(1.0)),
        ("time, s", summary.time_s, 1.0),
    )
    lines = [f"{'':<22}{'mean':>8}{'p95':>8}{'max':>8}"]
    lines += [f"{name:<22}{_columns(spread, scale)}" for name, spread, scale in rows]
    lines.append(
        f"{summary.done} of {summary.runs} done, {summary.retried} in more than one attempt, "
        f"{summary.contacts} touched something: {'passed' if summary.passed else 'NOT PASSED'}"
    )
    return "\n".join(lines)


def _columns(spread: "Spread", scale: float) -> str:
    return "".join(f"{scale * value:>8.2f}" for value in (spread.mean, spread.p95, spread.max))
