"""``haulier acknowledge``: let the robot drive again after an emergency stop or a bumper."""

import argparse
from pathlib import Path

from agent.avoidance.governor import StopReason
from agent.cli.verb import Verb
from agent.clock import SystemClock
from agent.local.client import ask

CYCLES_NS = 700_000_000  # by then the base has had the time to say that its stop is over


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Say that whatever stopped the robot is out of its way. It drives again once the emergency "
        "stop is released and the bumper is free."
    )
    parser.add_argument("--socket", type=Path, default=Path("/run/haulier/haulier.sock"))


def _run(options: argparse.Namespace) -> int:
    clock = SystemClock()
    reason = None
    # A base that holds an emergency stop is told first that it is over; the robot waits for more.
    for _ in range(2):
        ask(options.socket, "acknowledge")
        clock.wait_until_ns(clock.now_ns() + CYCLES_NS)
        reason = ask(options.socket, "status")["command"]["stop_reason"]
        if reason != StopReason.NOT_ACKNOWLEDGED:
            break
    print(f"still standing: {reason}" if reason else "acknowledged")
    return 1 if reason else 0


VERB = Verb("acknowledge", "let the robot drive again after an emergency stop", _configure, _run)
