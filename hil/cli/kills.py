"""``haulier bench kills``: kill the daemon at any moment of an order, and see what comes of it."""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.clock import SystemClock
from agent.vda5050.order_memory import Resume
from hil.cli.numbers import parse_count, parse_seed
from hil.terminal import Terminal

if TYPE_CHECKING:
    from hil.kills import KillOutcome

DESCRIPTION = """\
Send orders with actions on nodes and edges to the real daemon, kill it with SIGKILL at drawn
moments, and start it again without telling it where it is. Half of the runs have it resume an
interrupted order, half of them fail it. No action may be performed twice, no node left out, and
the order has to end as configured. Needs mosquitto; in real time, some 20 s a run."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the action's options."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--runs", type=parse_count, default=10, help="kills (default 10)")
    parser.add_argument("--seed", type=parse_seed, default=1, help="of everything (default 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Kill it; 0 only if nothing was amiss in any run."""
    from hil.kills import KillBench

    clock = SystemClock()
    terminal = Terminal(clock)

    def tell(outcome: "KillOutcome") -> None:
        if not options.json:
            terminal.event(_line(outcome))

    outcomes: list[KillOutcome] = []
    shares = {Resume.RESUME: (options.runs + 1) // 2, Resume.FAIL: options.runs // 2}
    for policy, runs in shares.items():
        if runs == 0:
            continue
        with tempfile.TemporaryDirectory() as directory:
            bench = KillBench(Path(directory), clock, options.seed, policy)
            outcomes += bench.run(runs, tell)
    passed = not any(outcome.failures for outcome in outcomes)
    if options.json:
        document = {
            "runs": [asdict(outcome) for outcome in outcomes],
            "summary": _summary(outcomes),
            "passed": passed,
        }
        print(json.dumps(document, indent=2))
    else:
        for name, counts in _summary(outcomes).items():
            terminal.line(f"{name:12} {counts}")
        terminal.line("passed" if passed else "NOT PASSED")
    return 0 if passed else 1


def _line(outcome: "KillOutcome") -> str:
    helped = ", was told where it is" if outcome.helped else ""
    again = ", sent again" if outcome.sent_again else ""
    amiss = f": {'; '.join(outcome.failures)}" if outcome.failures else ""
    return (
        f"{outcome.policy:7} killed after {outcome.after_s:5.2f} s ({outcome.phase}, "
        f"{outcome.began} actions begun), back in {outcome.back_s:.1f} s{helped}{again}, "
        f"order {outcome.ended}, {outcome.interrupted} actions failed{amiss}"
    )


def _summary(outcomes: "Sequence[KillOutcome]") -> dict[str, Any]:
    """Return how many runs of each policy went how."""
    summary: dict[str, Any] = {}
    for policy in dict.fromkeys(outcome.policy for outcome in outcomes):
        runs = [outcome for outcome in outcomes if outcome.policy == policy]
        summary[policy] = {
            "runs": len(runs),
            "phases": dict(Counter(run.phase for run in runs)),
            "ended": dict(Counter(run.ended for run in runs)),
            "sent_again": sum(run.sent_again for run in runs),
            "helped": sum(run.helped for run in runs),
            "interrupted_actions": sum(run.interrupted for run in runs),
            "back_s_max": max(run.back_s for run in runs),
            "amiss": sum(bool(run.failures) for run in runs),
        }
    return summary
