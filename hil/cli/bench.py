"""``haulier bench``: cases on the bench, in lock-step or in real time."""

import argparse
import json
import math
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.eval import parse_pose
from agent.cli.verb import Verb
from agent.clock import SystemClock
from hil.cli import (
    barn,
    cycle,
    docking,
    dynamic,
    equipment,
    fleet,
    health,
    history,
    kills,
    masters,
    order,
    precision,
    stops,
    stream,
    warehouse,
)
from hil.cli.numbers import parse_count
from hil.errors import ExtraMissing

if TYPE_CHECKING:
    from agent.evaluation.trajectory import TrajectoryError
    from hil.playback import PlaybackResult

CASES = {"demo": "the demo's tour of the hall, on the lock-step rig, run after run compared"}

MEASUREMENTS: dict[str, tuple[Any, str]] = {
    "health": (health, "make localization fail, and count"),
    "precision": (precision, "measure how precise the pose is"),
    "barn": (barn, "drive the BARN courses, among standing cylinders"),
    "dynamic": (dynamic, "drive the DynaBARN courses, among moving discs"),
    "warehouse": (warehouse, "drive through aisles, crossings and doors, among walkers"),
    "cycle": (cycle, "time each phase of the avoidance cycle"),
    "stops": (stops, "make everything happen that must stop the robot, and measure how it stops"),
    "docking": (docking, "drive under load carriers, and measure where the robot stands"),
    "kills": (kills, "kill the daemon at any moment of an order, and see what comes of it"),
    "stream": (stream, "drive by an order that is released piece by piece under way"),
    "history": (history, "lose the broker, the network, the disk, the daemon; count the records"),
    "fleet": (fleet, "let many robots report to a real broker, or a cluster that loses a node"),
    "order": (order, "measure what a long order costs, and whether the control loop notices"),
    "masters": (masters, "let masters of other makers drive the daemon"),
}


def _configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="list the cases")
    run = actions.add_parser(
        "run", help="run a case faster than real time, under a simulated clock"
    )
    run.add_argument("case", choices=CASES)
    equipment.add_options(run)
    run.add_argument("--seed", type=int, default=1, help="of hall, slip and noise (default 1)")
    run.add_argument("--times", type=parse_count, default=2, help="how often to run it (default 2)")
    run.add_argument("--json", action="store_true", help="print one JSON object")
    play = actions.add_parser("play", help="play a CARMEN log as wire bytes into the daemon")
    play.add_argument("log", type=Path, metavar="LOG", help="CARMEN log, plain or .gz")
    play.add_argument("--map", type=Path, required=True, help="yaml of the map")
    play.add_argument(
        "--init", type=parse_pose, required=True, metavar="X,Y,THETA", help="pose at the first scan"
    )
    play.add_argument("--ref", type=Path, help="reference trajectory (TUM)")
    play.add_argument("--tum", type=Path, help="write the daemon's trajectory here (TUM)")
    play.add_argument("--json", action="store_true", help="print one JSON object")
    for name, (measurement, text) in MEASUREMENTS.items():
        measurement.configure(actions.add_parser(name, help=text))


def _run(options: argparse.Namespace) -> int:
    match options.action:
        case "list":
            for name, text in CASES.items():
                print(f"{name:10} {text}")
            return 0
        case "run":
            return _run_case(options)
        case "play":
            return _play(options)
        case name:
            return int(MEASUREMENTS[name][0].run(options))


def _run_case(options: argparse.Namespace) -> int:
    """Run the case several times; 0 only if each run passes and all are the same, bit for bit."""
    from agent.main import warm_up
    from hil.lockstep_rig import LockstepRig
    from hil.scenario import factory_tour

    devices = equipment.chosen(options)
    warm_up()
    clock = SystemClock()
    results, speedups = [], []
    for _ in range(options.times):
        with tempfile.TemporaryDirectory() as directory:
            started_ns = clock.now_ns()
            scenario = factory_tour(options.seed, devices)
            results.append(LockstepRig(scenario, Path(directory)).run())
            elapsed_s = (clock.now_ns() - started_ns) * 1e-9
            speedups.append(results[-1].simulated_s / elapsed_s)
    same = len({result.digest for result in results}) == 1
    passed = same and all(r.finished and not r.collided for r in results)
    if options.json:
        runs = [
            asdict(result) | {"speedup": speedup}
            for result, speedup in zip(results, speedups, strict=True)
        ]
        print(
            json.dumps(
                {
                    "case": options.case,
                    "identical": same if len(results) > 1 else None,
                    "runs": runs,
                },
                indent=2,
            )
        )
    else:
        for result, speedup in zip(results, speedups, strict=True):
            print(
                f"{'finished' if result.finished else 'NOT FINISHED'}"
                f"{', COLLIDED' if result.collided else ''}: {result.distance_m:.1f} m in "
                f"{result.simulated_s:.1f} s, pose error rms {100 * result.rms_error_m:.1f} cm, "
                f"max {100 * result.worst_error_m:.1f} cm, {result.messages} messages, "
                f"{speedup:.1f} x real time\n  sha256 {result.digest}"
            )
        if len(results) > 1:
            print("runs are identical, bit for bit" if same else "RUNS DIFFER")
    return 0 if passed else 1


def _play(options: argparse.Namespace) -> int:
    """Play a log; 0 only if no scan was lost on the way."""
    from agent.evaluation.trajectory import compare, read_tum, write_tum

    try:
        from hil.playback import Playback
    except ModuleNotFoundError as missing:
        raise ExtraMissing(f"playing a log needs the package {missing.name}") from missing
    from hil.terminal import Terminal

    clock = SystemClock()
    reference = read_tum(options.ref) if options.ref else None
    with tempfile.TemporaryDirectory() as directory:
        terminal = Terminal(clock)
        playback = Playback(
            options.log, options.map, options.init, Path(directory), clock, terminal
        )
        result = playback.run()
    if options.tum:
        write_tum(options.tum, result.trajectory)
    error = compare(result.trajectory, reference) if reference else None
    if options.json:
        print(
            json.dumps(
                {
                    "log": str(options.log),
                    "shown": result.shown,
                    "decoded": result.decoded,
                    "lost": result.shown - result.decoded,
                    "error": asdict(error) if error else None,
                    "loop": result.status["loop"],
                    "codecs": result.status["codecs"],
                }
            )
        )
    else:
        _show_playback(result, error)
    return 0 if result.decoded == result.shown else 1


def _show_playback(result: "PlaybackResult", error: "TrajectoryError | None") -> None:
    lidar, loop = result.status["codecs"]["lidar.front"], result.status["loop"]
    print(f"scans     {result.shown} shown, {result.shown - result.decoded} lost")
    print(
        f"wire      {lidar['received_bytes']} bytes from the lidar, {lidar['skipped_bytes']} "
        f"skipped, {lidar['bad_checksums']} bad checksums"
    )
    if error:
        print(
            f"position  mean {error.position_m.mean:.3f} m, RMSE {error.position_m.rmse:.3f} m, "
            f"p95 {error.position_m.p95:.3f} m, max {error.position_m.max:.3f} m "
            f"at {error.poses} reference poses, {error.lost_share:.1%} over 1 m off"
        )
        print(
            f"heading   mean {math.degrees(error.heading_rad.mean):.2f} deg, "
            f"max {math.degrees(error.heading_rad.max):.2f} deg"
        )
    print(f"loop      {loop['cycles']} cycles, {loop['overruns']} deadlines missed")


VERB = Verb("bench", "run cases and recorded logs on the bench", _configure, _run)
