"""``haulier bench health``: faults of localization, and how soon they are noticed."""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.eval import parse_pose
from hil.cli.numbers import parse_count, parse_positive, parse_seed
from hil.errors import BenchError
from hil.faults import FAULTS

if TYPE_CHECKING:
    from hil.faults.verdict import Outcome, Row

    Run = Callable[[str, int], Outcome]

DESCRIPTION = """\
Make faults of localization in the plant, or with --log in a recording, and report how soon they
are noticed. The robot of the plant drives only while a pose is claimed, that is, while the
localizer says that it may be driven with; a recording goes on whatever the localizer says, and the
way of braking is added."""
COLUMNS = (
    f"{'fault':<13}{'runs':>5}{'detected':>9}{'held':>6}{'missed':>7}  {'delay s':<14}"
    f"{'delay m':<14}{'false':>5}{'warn':>5}  {'wrong m':<14}{'stopped m':<14}"
    f"{'recovered':>9}  {'after s'}"
)
LEGEND = """\
detected  noticed as the criterion below asks      held      not, but never over 0.3 m off
delay     median / 95th percentile until the alarm, also as way driven
false     claims that ended before the fault       warn      warnings before the fault
wrong     mean / max of the way driven on a claimed pose over 0.5 m off
stopped   the same, until the robot stands         recovered runs that claim a right pose again"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the action's options."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--fault", choices=FAULTS, action="append", help="only this; repeatable")
    parser.add_argument("--runs", type=parse_count, default=100, help="per fault (default 100)")
    parser.add_argument("--seed", type=parse_seed, default=1, help="of everything (default 1)")
    parser.add_argument(
        "--speed", type=parse_positive, default=1.0, help="of the plant's robot, m/s (default 1)"
    )
    parser.add_argument(
        "--braking", type=parse_positive, default=1.0, help="of the robot, m/s2 (default 1)"
    )
    parser.add_argument("--log", type=Path, help="make the faults in this CARMEN log")
    parser.add_argument("--map", type=Path, help="yaml of the log's map")
    truth = parser.add_mutually_exclusive_group()
    truth.add_argument("--ref", type=Path, help="the log's reference trajectory (TUM)")
    truth.add_argument(
        "--init",
        type=parse_pose,
        metavar="X,Y,THETA",
        help="pose at the first scan; the run without a fault is the reference then",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Make the faults; 0 only if none was missed and nothing was a false alarm."""
    from hil.faults.criteria import CRITERIA
    from hil.faults.verdict import summarize

    make_run = _in_recording(options) if options.log else _in_plant(options)
    rows = []
    if not options.json:
        print(COLUMNS)
    for fault in options.fault or FAULTS:
        # Without a fault a recording is one run, whole and always the same.
        runs = 1 if options.log and fault == "none" else options.runs
        outcomes = [make_run(fault, number) for number in range(runs)]
        rows.append(summarize(fault, CRITERIA[fault].text, outcomes))
        if not options.json:
            print(_line(rows[-1]), flush=True)
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}, indent=2))
    else:
        print(f"\n{LEGEND}\n")
        for row in rows:
            print(f"{row.fault:<13}{row.criterion}")
    return 1 if any(row.missed or row.false_alarms for row in rows) else 0


def _in_plant(options: argparse.Namespace) -> "Run":
    from hil.faults.plant_campaign import PlantCampaign
    from hil.plant.journey import Pace

    pace = Pace(speed_mps=options.speed, deceleration_mps2=options.braking)
    return PlantCampaign(options.seed, pace).run


def _in_recording(options: argparse.Namespace) -> "Run":
    from agent.evaluation.carmen import read_carmen
    from agent.evaluation.trajectory import read_tum
    from agent.mapping.map_file import load_map
    from hil.faults.recording import Recording
    from hil.faults.recording_campaign import RecordingCampaign, own_reference

    if options.map is None or (options.ref is None and options.init is None):
        raise BenchError("a log needs --map, and --ref or --init")
    log, grid = read_carmen(options.log), load_map(options.map)
    reference = read_tum(options.ref) if options.ref else own_reference(log, grid, options.init)
    recording = Recording.of(log, reference)
    return RecordingCampaign(recording, grid, options.seed, options.braking).run


def _line(row: "Row") -> str:
    return (
        f"{row.fault:<13}{row.runs:>5}{row.detected:>9}{row.held:>6}{row.missed:>7}  "
        f"{_pair(row.delay_s):<14}{_pair(row.delay_m):<14}{row.false_alarms:>5}"
        f"{row.false_warnings:>5}  {_pair(row.wrong_m):<14}{_pair(row.stopped_m):<14}"
        f"{row.recovered:>9}  {_pair(row.recovered_s)}"
    )


def _pair(values: tuple[float, float] | None) -> str:
    return "-" if values is None else f"{values[0]:.2f} / {values[1]:.2f}"
