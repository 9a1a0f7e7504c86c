"""``haulier bench history``: whether the history loses anything, and what it costs."""

import argparse
import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.clock import SystemClock
from hil.cli.numbers import parse_count, parse_positive, parse_seed
from hil.errors import ExtraMissing

if TYPE_CHECKING:
    from hil.history_bench import CaseResult
    from hil.history_drain import Drain, LoopCost
    from hil.journal_bench import Keeping

DESCRIPTION = """\
Robot, broker, network and disk go down in turns, and a consumer proves by sequence numbers what
arrived; then a long backlog drains, and the ways to keep records are compared. Exit status 1 if a
record is missing, or came twice, without an explanation. Needs mosquitto; disk-full needs root.
  outages  broker-down, broker-killed, robot-killed, disk-full, torn, clock-stepped, network-silent
  drain    latency of live messages and memory while a backlog drains, beside idle
  loop     the control loop of a whole robot: without history, with it, and with a backlog draining
  keeping  the journal beside SQLite and a file for each record"""
DRAIN, LOOP, KEEPING = "drain", "loop", "keeping"
CASES = (
    "broker-down",
    "broker-killed",
    "robot-killed",
    "disk-full",
    "torn",
    "clock-stepped",
    "network-silent",
    DRAIN,
    LOOP,
    KEEPING,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the action's options."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add, whole = parser.add_argument, parse_count
    add("--case", choices=CASES, action="append", help="only this one; may be given again")
    add("--outage-records", type=whole, default=36_000, metavar="N", help="default 36000")
    add("--broker-kills", type=whole, default=5, metavar="N", help="default 5")
    add("--robot-kills", type=whole, default=100, metavar="N", help="default 100")
    add("--cuts", type=whole, default=3, metavar="N", help="of the network (default 3)")
    add("--backlog", type=whole, default=1_000_000, metavar="N", help="default 1000000")
    add(
        "--most-per-s",
        type=parse_positive,
        default=10_000.0,
        metavar="N",
        help="pace of the draining (default 10000, of the robot itself 200)",
    )
    add("--syncs", type=whole, default=1000, metavar="N", help="of each way to keep records")
    add("--watch", type=parse_positive, default=20.0, metavar="S", help="idle, and the loop")
    add("--seed", type=parse_seed, default=1, help="of the moments (default 1)")
    add("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Run the cases and print what came of them."""
    try:
        from hil.history_bench import Scale, run_case
    except ModuleNotFoundError as error:
        raise ExtraMissing(f"the bench needs the package {error.name}") from error
    chosen = options.case or CASES
    clock = SystemClock()
    scale = Scale(
        outage_records=options.outage_records,
        broker_kills=options.broker_kills,
        robot_kills=options.robot_kills,
        cuts=options.cuts,
        seed=options.seed,
    )
    outages = [
        run_case(name, clock, scale) for name in chosen if name not in (DRAIN, LOOP, KEEPING)
    ]
    with tempfile.TemporaryDirectory(prefix="haulier-history-") as name:
        directory = Path(name)
        drained = _drain(directory, clock, options) if DRAIN in chosen else None
        loops = _loops(directory, clock, options) if LOOP in chosen else []
        ways = _keeping(directory, clock, options) if KEEPING in chosen else []
    if options.json:
        tree: dict[str, Any] = {
            "outages": [asdict(result) for result in outages],
            "drain": None if drained is None else asdict(drained),
            "loop": [asdict(cost) for cost in loops],
            "keeping": [asdict(way) for way in ways],
        }
        print(json.dumps(tree, indent=2))
    else:
        print("\n".join(_tables(outages, drained, loops, ways)))
    is_good = not any(r.lost_unexplained or r.repeats_unexplained for r in outages)
    return 0 if is_good else 1


def _drain(directory: Path, clock: SystemClock, options: argparse.Namespace) -> "Drain":
    from hil.history_drain import drain

    pace = options.most_per_s
    most_s = 60.0 + 3.0 * options.backlog / pace
    return drain(directory / DRAIN, clock, options.backlog, pace, options.watch, most_s)


def _loops(directory: Path, clock: SystemClock, options: argparse.Namespace) -> "list[LoopCost]":
    from agent.main import warm_up
    from hil.history_drain import loop_cost

    warm_up()
    settings = (("no history", None), ("history", 0), ("history, draining", options.backlog))
    return [
        loop_cost(directory / f"{LOOP} {name}", clock, name, records, options.watch)
        for name, records in settings
    ]


def _keeping(directory: Path, clock: SystemClock, options: argparse.Namespace) -> "list[Keeping]":
    from hil.journal_bench import measure

    return measure(directory / KEEPING, clock, options.syncs)


def _tables(
    outages: "list[CaseResult]",
    drained: "Drain | None",
    loops: "list[LoopCost]",
    ways: "list[Keeping]",
) -> Iterable[str]:
    if outages:
        yield (
            f"{'case':<22}{'mishaps':>8}{'written':>9}{'received':>9}{'repeats':>8}"
            f"{'unexpl.':>8}{'lost,told':>10}{'lost':>6}{'s':>7}"
        )
    for r in outages:
        yield (
            f"{r.case:<22}{r.mishaps:>8}{r.written:>9}{r.received:>9}{r.repeats:>8}"
            f"{r.repeats_unexplained:>8}{r.lost_counted:>10}{r.lost_unexplained:>6}"
            f"{r.elapsed_s:>7.1f}"
        )
        yield from (f"  {name.replace('_', ' ')}: {value:g}" for name, value in r.remarks.items())
    if drained is not None:
        yield f"{drained.drained} of {drained.records} records drained, {drained.per_s}/s"
        for name, live in (("idle", drained.idle), ("draining", drained.draining)):
            yield (
                f"  live messages, {name}: p50 {live.p50_ms:.2f} ms, p99 {live.p99_ms:.2f} ms, "
                f"max {live.max_ms:.2f} ms of {live.messages}"
            )
        yield (
            f"  memory: {drained.idle_rss_mb} MB idle, {drained.first_rss_mb} to "
            f"{drained.last_rss_mb} MB from the first to the last tenth"
        )
    for cost in loops:
        late, work = (
            " / ".join(f"{value:.2f}" for value in values)
            for values in (cost.lateness_ms, cost.work_ms)
        )
        yield (
            f"{cost.setting:<20} lateness {late} ms, work {work} ms (p50 / p99 / max); "
            f"{cost.overruns} overruns in {cost.cycles} cycles, backlog {cost.backlog}"
        )
    for way in ways:
        yield (
            f"{way.way:<24}{way.kept_per_s:>9.0f} kept/s{way.acknowledged_per_s:>10.0f} "
            f"deleted/s{way.written_bytes:>8.0f} bytes written for {way.payload_bytes:.0f}"
        )
