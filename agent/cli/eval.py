"""``haulier eval``: how well the agent does on a recording."""

import argparse
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.cli.verb import Verb
from agent.errors import LogError

if TYPE_CHECKING:
    from agent.evaluation.carmen import CarmenLog
    from agent.evaluation.global_starts import GlobalStart
    from agent.evaluation.localization import Evaluation
    from agent.evaluation.trajectory import StampedPose, TrajectoryError
    from agent.geometry.pose import Pose2
    from agent.localization.place import Place


def _configure(parser: argparse.ArgumentParser) -> None:
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    localization = subjects.add_parser(
        "localization",
        help="run the localizer over a log of lidar and odometry",
        description="Run the localizer of the daemon over a CARMEN log and report its errors.",
    )
    localization.add_argument("log", type=Path, metavar="LOG", help="CARMEN log, plain or .gz")
    localization.add_argument("--map", type=Path, required=True, help="yaml of the map")
    start = localization.add_mutually_exclusive_group(required=True)
    start.add_argument(
        "--init", type=parse_pose, metavar="X,Y,THETA", help="pose at the first scan, m and rad"
    )
    start.add_argument(
        "--global", action="store_true", dest="everywhere", help="nothing is known of the start"
    )
    localization.add_argument("--ref", type=Path, help="reference trajectory (TUM)")
    localization.add_argument(
        "--starts",
        type=_whole,
        metavar="N",
        help="with --global: start at N random scans of the reference instead of the first",
    )
    localization.add_argument(
        "--drive",
        type=_share_or_length,
        default=5.0,
        metavar="M",
        help="with --starts: way within which a place must be claimed (default 5 m)",
    )
    localization.add_argument(
        "--occlude",
        type=_share_or_length,
        default=0.0,
        metavar="SHARE",
        help="put occluders on this share of the rays, below 1",
    )
    localization.add_argument(
        "--seed",
        type=_whole,
        default=0,
        help="of --occlude and --starts; the localizer itself draws nothing",
    )
    localization.add_argument(
        "--tum", type=Path, help="write the trajectory here (TUM), from the first claim on"
    )
    localization.add_argument("--plot", type=Path, help="draw the trajectory here (PNG)")
    localization.add_argument("--json", action="store_true", help="print one JSON object")


def _run(options: argparse.Namespace) -> int:
    # Here, not above: numba takes a third of a second that `haulier --help` does not need.
    from agent.clock import SystemClock
    from agent.evaluation.carmen import read_carmen
    from agent.evaluation.occlusion import occlude
    from agent.evaluation.trajectory import read_tum
    from agent.kernels.warmup import warm_up
    from agent.localization.params import LocalizationParams
    from agent.localization.place import Place
    from agent.mapping.map_file import load_map

    if options.starts and not (options.everywhere and options.ref):
        raise LogError("--starts needs --global and --ref")
    if options.occlude >= 1.0:
        raise LogError(f"--occlude takes a share below 1, not {options.occlude}")
    generator = np.random.default_rng(options.seed)
    log = read_carmen(options.log)
    if options.occlude:
        log = occlude(log, options.occlude, generator)
    grid = load_map(options.map)
    reference = read_tum(options.ref) if options.ref else None
    for _ in warm_up():  # compiling must not count as the time of an update
        pass
    params = LocalizationParams()
    clock = SystemClock()
    begin_ns = clock.now_ns()
    place = Place.prepare(grid, params.map)
    prepare_ms = (clock.now_ns() - begin_ns) * 1e-6
    head = {
        "log": str(options.log),
        "map": str(options.map),
        "seed": options.seed,
        "occluded": options.occlude,
        "prepare_map_ms": prepare_ms,
    }
    if options.starts and reference:
        from agent.evaluation.global_starts import try_starts

        starts = try_starts(
            log,
            place,
            reference,
            params,
            generator,
            clock,
            starts=options.starts,
            drive_m=options.drive,
        )
        document = head | _starts_document(starts)
        print(json.dumps(document) if options.json else _starts_table(document))
        return 0
    return _run_once(options, head, log, place, reference)


def _run_once(
    options: argparse.Namespace,
    head: dict[str, Any],
    log: "CarmenLog",
    place: "Place",
    reference: "tuple[StampedPose, ...] | None",
) -> int:
    from agent.clock import SystemClock
    from agent.evaluation.localization import evaluate
    from agent.evaluation.plot import plot
    from agent.evaluation.trajectory import compare, write_tum
    from agent.localization.params import LocalizationParams

    evaluation = evaluate(log, place, options.init, LocalizationParams(), SystemClock())
    if options.tum:
        write_tum(options.tum, evaluation.trajectory)
    if options.plot:
        plot(options.plot, place.grid, evaluation, reference)
    error = compare(evaluation.trajectory, reference) if reference else None
    document = head | _document(evaluation, error)
    print(json.dumps(document) if options.json else _table(document))
    return 0


def _document(evaluation: "Evaluation", error: "TrajectoryError | None") -> dict[str, Any]:
    return {
        "scans": len(evaluation.trajectory),
        "score_mean": _mean(evaluation.scores),
        "localized_share": evaluation.localized_share,
        "warned_scans": evaluation.warnings,
        "transitions": [
            {"stamp_s": t.stamp_s, "localized": t.localized, "reason": t.reason} | asdict(t.pose)
            for t in evaluation.transitions
        ],
        "update_ms": _times(evaluation.update_ms),
        "search_ms": _times(evaluation.search_ms),
        "search_slice_ms": _times(evaluation.slice_ms),
        "counters": asdict(evaluation.counters),
        "error": asdict(error) if error else None,
    }


def _starts_document(starts: "tuple[GlobalStart, ...]") -> dict[str, Any]:
    outcomes = Counter(start.outcome.value for start in starts)
    right = [start for start in starts if start.outcome.value in ("at once", "by motion")]
    return {
        "starts": len(starts),
        "at_once": outcomes["at once"],
        "by_motion": outcomes["by motion"],
        "undecided": outcomes["undecided"],
        "confidently_wrong": outcomes["confidently wrong"],
        "right_share": len(right) / len(starts),
        "driven_m_max": max((start.driven_m for start in right), default=0.0),
        "search_ms": _times([start.search_ms for start in starts]),
        "each": [asdict(start) | {"outcome": start.outcome.value} for start in starts],
    }


def _starts_table(document: dict[str, Any]) -> str:
    search = document["search_ms"]
    return "\n".join(
        [
            f"{Path(document['log']).name} on {Path(document['map']).name}, "
            f"{document['starts']} starts, seed {document['seed']}",
            "",
            f"{'right at once':<20}{document['at_once']:>6}",
            f"{'right by motion':<20}{document['by_motion']:>6}  "
            f"after {document['driven_m_max']:.1f} m at most",
            f"{'undecided':<20}{document['undecided']:>6}",
            f"{'confidently wrong':<20}{document['confidently_wrong']:>6}",
            f"{'search':<20}{search['median']:>6.0f} ms median, {search['p95']:.0f} ms p95",
            f"{'pyramid, once':<20}{document['prepare_map_ms']:>6.0f} ms",
        ]
    )


def _table(document: dict[str, Any]) -> str:
    lines = [
        f"{Path(document['log']).name} on {Path(document['map']).name}, seed {document['seed']}",
        "",
    ]
    if error := document["error"]:
        position, heading = error["position_m"], error["heading_rad"]
        columns = ("mean", "rmse", "p95", "max")
        lines += [
            f"{'error':<16}" + "".join(f"{name:>9}" for name in columns),
            f"{'position   m':<16}" + "".join(f"{position[name]:>9.3f}" for name in columns),
            f"{'heading  deg':<16}"
            + "".join(f"{math.degrees(heading[name]):>9.2f}" for name in columns),
            "",
            f"{'compared':<16}{error['poses']:>9} poses, {error['unmatched']} without a partner",
            f"{'over 1 m off':<16}{error['lost_share']:>9.1%}",
        ]
    counters, update = document["counters"], document["update_ms"]
    lines += [
        f"{'scans used':<16}{counters['scans_used']:>9} of {_offered(counters)}",
        f"{'score':<16}{document['score_mean']:>9.2f} mean",
        f"{'fit to drive':<16}{document['localized_share']:>9.1%} of scans, "
        f"{document['warned_scans']} with a warning",
        f"{'update':<16}{update['median']:>9.2f} ms median, {update['p95']:.2f} ms p95, "
        f"{update['p99']:.2f} ms p99",
        f"{'searches':<16}{counters['searches']:>9}, "
        f"{document['search_ms']['median']:.0f} ms median",
        "",
    ]
    lines += [
        f"{transition['stamp_s']:>14.2f} s  "
        + ("localized" if transition["localized"] else f"lost: {transition['reason']}")
        for transition in document["transitions"]
    ]
    return "\n".join(lines)


def _offered(counters: dict[str, int]) -> int:
    return sum(count for name, count in counters.items() if name.startswith("scans_"))


def _times(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return dict.fromkeys(("median", "p95", "p99", "max"), 0.0)
    return {
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
        "p99": float(np.percentile(values, 99)),
        "max": float(max(values)),
    }


def _mean(values: tuple[float, ...]) -> float:
    return sum(values) / len(values) if values else 0.0


def parse_pose(text: str) -> "Pose2":
    """Read ``X,Y,THETA`` in m and rad; raises ArgumentTypeError."""
    from agent.geometry.pose import Pose2

    try:
        x_m, y_m, yaw_rad = (float(word) for word in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not X,Y,THETA: {text}") from error
    if not all(map(math.isfinite, (x_m, y_m, yaw_rad))):
        raise argparse.ArgumentTypeError(f"not finite: {text}")
    return Pose2(x_m, y_m, yaw_rad) @ Pose2.identity()


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"not a whole number from 0 up: {text}")
    return int(text)


def _share_or_length(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not a number: {text}") from error
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"not a number from 0 up: {text}")
    return value


VERB = Verb("eval", "measure the agent on a recording", _configure, _run)
