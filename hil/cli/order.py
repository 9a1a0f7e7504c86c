"""``haulier bench order``: what a long order costs, and whether the control loop notices."""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from agent.clock import SystemClock
from hil.cli.numbers import parse_count

if TYPE_CHECKING:
    from hil.order_bench import LoopCosts

DESCRIPTION = """\
Time what the daemon does with an order of a thousand nodes, without and with an action on each of
its nodes and edges. Then drive the real daemon down a lane, by a short order and by one whose long
horizon is replaced every 1.5 s, and compare the cycles of its control loop. Needs mosquitto."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the action's options."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--nodes", type=parse_count, default=1000, help="of it (default 1000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Measure and print; what is fast enough is for the reader to say."""
    from hil.order_bench import measure_loop, measure_parts

    clock = SystemClock()
    parts = [measure_parts(options.nodes, clock, acting=acting) for acting in (False, True)]
    with tempfile.TemporaryDirectory() as directory:
        short, long = measure_loop(Path(directory), options.nodes, clock)
    if options.json:
        document = {
            "parts": [asdict(costs) for costs in parts],
            "loop": {"short": asdict(short), "long": asdict(long)},
        }
        print(json.dumps(document, indent=2))
        return 0
    for name in asdict(parts[0]):
        print(f"{name:12}" + "".join(f"{getattr(costs, name):>12}" for costs in parts))
    print()
    _show("short order", short)
    _show("long order", long)
    return 0


def _show(name: str, costs: "LoopCosts") -> None:
    print(
        f"{name:12} {costs.orders:2} messages in {costs.cycles} cycles: work p50 "
        f"{costs.work_p50_ms} ms, p99 {costs.work_p99_ms} ms, max {costs.work_max_ms} ms; "
        f"late p99 {costs.late_p99_ms} ms, max {costs.late_max_ms} ms"
    )
