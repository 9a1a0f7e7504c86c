"""``haulier bench fleet``: many robots report to a real broker, and what it takes is measured."""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from agent.clock import SystemClock
from hil.cli.numbers import parse_count

if TYPE_CHECKING:
    from hil.fleet.bench import FleetResult


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--robots", type=parse_count, default=200, help="how many (default 200)")
    parser.add_argument(
        "--seconds", type=parse_count, default=20, help="how long to measure (default 20)"
    )
    parser.add_argument(
        "--brokers",
        default="mosquitto",
        help="mosquitto (the default) or nats, a cluster of three, on this computer; or addresses "
        "of brokers that run already, as a:1883,b:1883",
    )
    parser.add_argument(
        "--processes", type=parse_count, default=4, help="of the robots (default 4)"
    )
    parser.add_argument(
        "--visualization-hz",
        type=int,
        choices=range(1, 11),
        default=10,
        help="how often each says where it is, beside a state a second (default 10)",
    )
    parser.add_argument("--history", action="store_true", help="keep and send a history as well")
    parser.add_argument(
        "--kill-at", type=float, metavar="S", help="kill a node of the cluster after so long"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Measure; 0 only if nothing was lost and all lines came back."""
    from hil.fleet.bench import FleetSpec
    from hil.fleet.bench import run as run_fleet

    spec = FleetSpec(
        robots=options.robots,
        seconds=float(options.seconds),
        visualization_hz=float(options.visualization_hz),
        processes=options.processes,
        brokers=tuple(options.brokers.split(",")),
        history=options.history,
        kill_at_s=options.kill_at,
    )
    with tempfile.TemporaryDirectory() as directory:
        result = run_fleet(spec, Path(directory), SystemClock())
    if options.json:
        print(json.dumps(asdict(result), indent=2))
    else:
        _show(result)
    is_whole = result.history_lost == 0 and result.still_down == 0
    return 0 if is_whole and (result.lost == 0 or spec.kill_at_s is not None) else 1


def _show(result: "FleetResult") -> None:
    print(
        f"messages  {result.offered_per_s:.0f} due, {result.sent_per_s:.0f} sent, "
        f"{result.received_per_s:.0f} received each second by {result.robots} robots; "
        f"{result.skipped} replaced by newer ones"
    )
    print(
        f"lost      {result.lost} of {result.sent} sent; "
        f"the listener connected {result.listener_connects} times"
    )
    for name, (p50, p99, worst) in result.latency_ms.items():
        print(f"latency   {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {worst:.1f} ms")
    print(
        f"robot     {100 * result.robot_cpu:.2f} % of a core, "
        f"{result.robot_memory_bytes / 1e3:.0f} kB each"
    )
    print(
        f"broker    {100 * result.broker_cpu:.0f} % of a core, "
        f"{result.broker_memory_bytes / 1e6:.0f} MB; listener {100 * result.listener_cpu:.0f} %; "
        f"the bench's beat at most {1e3 * result.beat_late_s:.0f} ms late"
    )
    if result.history_made:
        print(
            f"history   {result.history_made} records, {result.history_lost} lost, "
            f"{result.history_again} came twice"
        )
    if result.downs or result.still_down:
        print(
            f"failover  {result.downs} lines, p50 {result.down_s[0]:.1f} s, "
            f"worst {result.down_s[1]:.1f} s; {result.still_down} did not come back"
        )
