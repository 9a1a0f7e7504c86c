"""``haulier status``: what the daemon is doing, and what keeps it from doing it."""

import argparse
import json
from pathlib import Path
from typing import Any

from agent.cli.verb import Verb
from agent.local.client import ask


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--socket", type=Path, default=Path("/run/haulier/haulier.sock"))
    parser.add_argument("--json", action="store_true")


def _run(options: argparse.Namespace) -> int:
    status = ask(options.socket, "status")
    if options.json:
        print(json.dumps(status, indent=2))
    else:
        _show(status)
    return 1 if status["complaints"] else 0


def _show(status: dict[str, Any]) -> None:
    for name, device in status["devices"].items():
        print(f"{name:9} {device['phase']} for {device['since_s']:.1f} s")
        if error := device["error"]:
            print(f"{'':9} {error['code']}: {error['detail']}\n{'':9} hint: {error['hint']}")
    if pose := status["pose"]:
        print(
            f"pose      x {pose['x_m']:.3f} m, y {pose['y_m']:.3f} m, "
            f"yaw {pose['yaw_rad']:.3f} rad on map {pose['map_id']}; "
            f"score {pose['score']:.2f}, spread {pose['stddev_m']:.3f} m"
        )
    command = status["command"]
    print(
        f"command   {command['forward_mps']:.2f} m/s, {command['yaw_rate_radps']:.2f} rad/s"
        f"{' (slowed)' if command['slowed'] else ''}"
    )
    order = status["order"]
    state = "idle" if order["idle"] else f"{order['nodes_left']} nodes left"
    print(f"order     {order['order_id'] or '-'} update {order['order_update_id']}: {state}")
    broker = status["broker"]
    line = "connected" if broker["connected"] else "not connected"
    print(f"broker    {line}; {broker['sent']} sent, {broker['skipped']} skipped as outdated")
    if battery := status["battery"]:
        print(f"battery   {battery['voltage_v']:.1f} V, {battery['charge']:.0%}")
    loop = status["loop"]
    if loop["cycles"]:
        print(
            f"loop      {loop['cycles']} cycles, {loop['overruns']} overruns; "
            f"work p99 {loop['work_p99_ms']} ms, lateness p99 {loop['lateness_p99_ms']} ms"
        )
    for complaint in status["complaints"]:
        print(f"!         {complaint}")


VERB = Verb(
    "status", "show what the daemon does (exit status 1 if something is wrong)", _configure, _run
)
