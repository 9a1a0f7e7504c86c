"""``haulier status``: what the daemon is doing, and what keeps it from doing it."""

import argparse
import json
import shutil
import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from agent.cli.pose import pose_lines
from agent.cli.verb import Verb
from agent.local.client import ask

NARROWEST = 40
HARM = ("skipped_bytes", "bad_checksums", "gaps", "short_scans", "warnings")


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--socket", type=Path, default=Path("/run/haulier/haulier.sock"))
    parser.add_argument("--json", action="store_true")


def _run(options: argparse.Namespace) -> int:
    status = ask(options.socket, "status")
    if options.json:
        print(json.dumps(status, indent=2))
    else:
        lines = list(_lines(status))
        column = 2 + max(len(label) for label, _ in lines)
        width = max(shutil.get_terminal_size().columns - column, NARROWEST)
        for label, text in lines:
            print(_wrapped(label, text, column, width))
    return 1 if status["complaints"] else 0


def _lines(status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "robot", f"{status['robot']}, haulier {status['version']}"
    for name, device in status["devices"].items():
        yield name, f"{device['phase']} for {duration(device['since_s'])}"
        yield from _error_lines(device["error"])
        yield from _codec_lines(status["codecs"].get(name, {}))
    yield from zip_longest(["pose"], pose_lines(status["pose"]), fillvalue="")
    yield "command", _command_text(status["command"])
    order = status["order"]
    state = "idle" if order["idle"] else f"nodes left: {order['nodes_left']}"
    update = f" update {order['order_update_id']}" if order["order_id"] else ""
    yield "order", f"{order['order_id'] or 'none yet'}{update}, {state}"
    yield from _broker_lines(status["broker"], status["broker_error"])
    yield from _history_lines(status.get("history"))
    battery = status["battery"]
    yield (
        "battery",
        f"{battery['voltage_v']:.1f} V, {battery['charge']:.0%}" if battery else "unknown",
    )
    yield "loop", _loop_text(status["loop"])
    if status["dropped"]:
        yield "dropped", f"{status['dropped']} values, replaced or refused unread"
    for complaint in status["complaints"]:
        yield "!", complaint


def _wrapped(label: str, text: str, column: int, width: int) -> str:
    """Return text beside its label, paths and numbers in one piece."""
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return f"{label:{column}}" + f"\n{'':{column}}".join(lines)


def _error_lines(error: dict[str, str] | None) -> Iterator[tuple[str, str]]:
    if error:
        yield "", f"{error['code']}: {error['detail']}"
        yield "", f"hint: {error['hint']}"


def _codec_lines(stats: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Tell only of bytes that came to harm: they are the cable's or the supply's."""
    if harm := [f"{stats[name]} {name.replace('_', ' ')}" for name in HARM if stats.get(name)]:
        yield "", ", ".join(harm)


def _command_text(command: dict[str, Any]) -> str:
    text = f"{command['forward_mps']:.2f} m/s, {command['yaw_rate_radps']:.2f} rad/s"
    return f"{text}, slowed by what the scan shows" if command["slowed"] else text


def _broker_lines(
    broker: dict[str, Any], error: dict[str, str] | None
) -> Iterator[tuple[str, str]]:
    where, connected_s = f"{broker['host']}:{broker['port']}", broker["connected_s"]
    state = "not connected" if connected_s is None else f"connected for {duration(connected_s)}"
    yield (
        "broker",
        f"{where} {state}; {broker['sent']} sent, {broker['skipped']} skipped, "
        f"{broker['received']} received",
    )
    yield from _error_lines(error)


def _history_lines(history: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if history is None:
        return
    yield (
        "history",
        f"{history['backlog']} kept for the platform, {history['acknowledged']} acknowledged, "
        f"{history['lost']} lost, {history['size_bytes'] / 1e6:.1f} MB",
    )
    for grounds in (history["failure"], history["refusal"]):
        if grounds:
            yield "", grounds


def _loop_text(loop: dict[str, Any]) -> str:
    if not loop["cycles"]:
        return "no cycle yet"
    return (
        f"{loop['cycles']} cycles, {loop['overruns']} overruns; "
        f"work p99 {loop['work_p99_ms']:.2f} ms, lateness p99 {loop['lateness_p99_ms']:.2f} ms"
    )


def duration(seconds: float) -> str:
    """Return a length of time in the two largest units that it fills."""
    if seconds < 59.95:  # what is shown as 60.0 s is a minute
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


VERB = Verb(
    "status", "show what the daemon does (exit status 1 if something is wrong)", _configure, _run
)
