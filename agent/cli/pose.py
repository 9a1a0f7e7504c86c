"""``haulier pose``: where the robot believes to be, and to tell it otherwise."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from agent.cli.eval import parse_pose
from agent.cli.verb import Verb
from agent.clock import Clock, SystemClock
from agent.errors import DaemonUnreachable
from agent.local.client import ask

POLL_NS = 200_000_000
TELL_NS = 1_000_000_000
TAKEN_NS = 3_000_000_000  # a daemon that runs takes a request with its next cycle
PENDING = {"outcome": "pending", "reason": ""}


def _configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="print the pose (exit status 1 if not localized)")
    told = actions.add_parser("set", help="tell the robot where it is, and wait until it agrees")
    told.add_argument("pose", type=parse_pose, metavar="X,Y,THETA", help="m, m and rad on the map")
    told.add_argument("--map", metavar="ID", help="map it is on; the present one without")
    search = actions.add_parser(
        "relocalize", help="forget the pose, search the whole map, and wait for what is found"
    )
    for action in (show, told, search):
        action.add_argument("--socket", type=Path, default=Path("/run/haulier/haulier.sock"))
        action.add_argument("--json", action="store_true", help="print one JSON object")


def _run(options: argparse.Namespace) -> int:
    answer = {"outcome": "done", "reason": ""}
    if options.action != "show":
        answer = _request(options, SystemClock())
    pose = ask(options.socket, "status")["pose"]
    localized = pose is not None and pose["localized"]
    if options.json:
        print(json.dumps(pose if options.action == "show" else {**answer, "pose": pose}, indent=2))
    else:
        for line in pose_lines(pose):
            print(line)
        if answer["outcome"] == "failed":
            sys.stderr.write(f"haulier: the pose was not taken: {answer['reason']}\n")
    return 0 if localized and answer["outcome"] == "done" else 1


def pose_lines(pose: dict[str, Any] | None) -> list[str]:
    """Return a pose of the daemon's status in words."""
    if pose is None:
        return ["unknown, no odometry yet"]
    lines = [
        f"x {pose['x_m']:.3f} m, y {pose['y_m']:.3f} m, yaw {pose['yaw_rad']:.3f} rad "
        f"on map {pose['map_id']}",
        ("localized" if pose["localized"] else f"not localized: {pose['reason']}")
        + f"; score {pose['score']:.2f}, standard deviation x {pose['stddev_x_m']:.3f} m, "
        f"y {pose['stddev_y_m']:.3f} m, yaw {pose['stddev_yaw_rad']:.4f} rad",
    ]
    if pose["searching"]:
        lines.append("searching the whole map")
    if pose["warning"]:
        lines.append(f"warning: {pose['warning']}")
    return lines


def _request(options: argparse.Namespace, clock: Clock) -> dict[str, str]:
    """Send the request and wait for its answer, telling on stderr what keeps it waiting."""
    if options.action == "set":
        words = [options.pose.x_m, options.pose.y_m, options.pose.yaw_rad]
        name = ask(options.socket, "set_pose", pose=words, map_id=options.map)["request"]
    else:
        name = ask(options.socket, "relocalize")["request"]
    asked_ns = told_ns = clock.now_ns()
    while True:
        clock.wait_until_ns(clock.now_ns() + POLL_NS)
        status, now_ns = ask(options.socket, "status"), clock.now_ns()
        answer: dict[str, str] | None = status["pose_requests"].get(name)
        if answer is None and now_ns - asked_ns > TAKEN_NS:
            raise DaemonUnreachable(f"{options.socket}: the daemon has forgotten the request")
        if answer is not None and answer != PENDING:
            return answer
        if now_ns - told_ns >= TELL_NS:
            told_ns = now_ns
            found = status["pose"]
            reason = found["reason"] if found else "no odometry yet"
            sys.stderr.write(f"{(now_ns - asked_ns) * 1e-9:4.0f} s  {reason}\n")


VERB = Verb("pose", "show where the robot believes to be, or tell it", _configure, _run)
