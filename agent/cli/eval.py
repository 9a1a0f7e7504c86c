"""``haulier eval``: how well the agent does on a recording."""

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.verb import Verb
from agent.clock import SystemClock

if TYPE_CHECKING:
    from agent.evaluation.localization import Evaluation
    from agent.evaluation.trajectory import TrajectoryError
    from agent.geometry.pose import Pose2


def _configure(parser: argparse.ArgumentParser) -> None:
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    localization = subjects.add_parser(
        "localization",
        help="run the localizer over a log of lidar and odometry",
        description="Run the localizer of the daemon over a CARMEN log and report its errors.",
    )
    localization.add_argument("log", type=Path, metavar="LOG", help="CARMEN log, plain or .gz")
    localization.add_argument("--map", type=Path, required=True, help="yaml of the map")
    localization.add_argument(
        "--init",
        type=parse_pose,
        required=True,
        metavar="X,Y,THETA",
        help="pose at the first scan, m and rad",
    )
    localization.add_argument("--ref", type=Path, help="reference trajectory (TUM)")
    localization.add_argument("--seed", type=_seed, default=0, help="of the random generator")
    localization.add_argument("--tum", type=Path, help="write the trajectory here (TUM)")
    localization.add_argument("--json", action="store_true", help="print one JSON object")


def _run(options: argparse.Namespace) -> int:
    # Here, not above: numba takes a third of a second that `haulier --help` does not need.
    from agent.evaluation.carmen import read_carmen
    from agent.evaluation.localization import evaluate
    from agent.evaluation.trajectory import compare, read_tum, write_tum
    from agent.kernels.warmup import warm_up
    from agent.localization.localizer import LocalizationParams
    from agent.mapping.map_file import load_map

    log = read_carmen(options.log)
    grid = load_map(options.map)
    reference = read_tum(options.ref) if options.ref else None
    for _ in warm_up():  # compiling must not count as the time of an update
        pass
    evaluation = evaluate(
        log, grid, options.init, LocalizationParams(), options.seed, SystemClock()
    )
    if options.tum:
        write_tum(options.tum, evaluation.trajectory)
    error = compare(evaluation.trajectory, reference) if reference else None
    if options.json:
        print(json.dumps(_document(options, evaluation, error)))
    else:
        print(_table(options, evaluation, error))
    return 0


def _document(
    options: argparse.Namespace, evaluation: "Evaluation", error: "TrajectoryError | None"
) -> dict[str, Any]:
    return {
        "log": str(options.log),
        "map": str(options.map),
        "seed": options.seed,
        "scans": len(evaluation.trajectory),
        "score_mean": _mean(evaluation.scores),
        "localized_share": evaluation.localized_share,
        "update_ms": {"median": evaluation.median_update_ms, "p95": evaluation.p95_update_ms},
        "counters": asdict(evaluation.counters),
        "error": asdict(error) if error else None,
    }


def _table(
    options: argparse.Namespace, evaluation: "Evaluation", error: "TrajectoryError | None"
) -> str:
    lines = [f"{options.log.name} on {options.map.name}, seed {options.seed}", ""]
    if error:
        position, heading = error.position_m, error.heading_rad
        lines += [
            f"{'error':<16}{'mean':>9}{'RMSE':>9}{'p95':>9}{'max':>9}",
            f"{'position   m':<16}{position.mean:>9.3f}{position.rmse:>9.3f}"
            f"{position.p95:>9.3f}{position.max:>9.3f}",
            f"{'heading  deg':<16}"
            + "".join(
                f"{math.degrees(value):>9.2f}"
                for value in (heading.mean, heading.rmse, heading.p95, heading.max)
            ),
            "",
            f"{'compared':<16}{error.poses:>9} poses, {error.unmatched} without a partner",
            f"{'over 1 m off':<16}{error.lost_share:>9.1%}",
        ]
    counters = evaluation.counters
    lines += [
        f"{'scans used':<16}{counters.scans_used:>9} of {_offered(evaluation)}",
        f"{'score':<16}{_mean(evaluation.scores):>9.2f} mean",
        f"{'fit to drive':<16}{evaluation.localized_share:>9.1%} of scans",
        f"{'update':<16}{evaluation.median_update_ms:>9.2f} ms median, "
        f"{evaluation.p95_update_ms:.2f} ms p95",
    ]
    return "\n".join(lines)


def _offered(evaluation: "Evaluation") -> int:
    counters = evaluation.counters
    return (
        counters.scans_used
        + counters.scans_sparse
        + counters.scans_out_of_order
        + counters.scans_without_odometry
    )


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


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"not a whole number from 0 up: {text}")
    return int(text)


VERB = Verb("eval", "measure the agent on a recording", _configure, _run)
