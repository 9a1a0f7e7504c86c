"""``haulier bench precision``: how precise the pose is, against the plant's truth."""

import argparse
import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING

from hil.cli.numbers import parse_count, parse_positive, parse_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.precision import DrivingPrecision, StationPrecision

COVERED = (0.0, 0.3)
DRIVE_S = 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the action's options."""
    parser.description = (
        "Stand at stations and drive fast in the plant, and compare the pose with the truth."
    )
    parser.add_argument(
        "--arrivals", type=parse_count, default=20, help="at each station (default 20)"
    )
    parser.add_argument(
        "--drives", type=parse_count, default=5, help=f"of {DRIVE_S:.0f} s each (default 5)"
    )
    parser.add_argument(
        "--speed", type=parse_positive, default=1.5, help="while driving, m/s (default 1.5)"
    )
    parser.add_argument("--seed", type=parse_seed, default=1, help="of everything (default 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Measure and print; what is good enough is for the reader to say."""
    from hil.precision import measure_driving, measure_stations

    stations = [measure_stations(options.seed, options.arrivals, covered) for covered in COVERED]
    drives = [
        measure_driving(options.seed, options.drives, DRIVE_S, options.speed, deskewed=deskewed)
        for deskewed in (True, False)
    ]
    if options.json:
        document = {
            "stations": [asdict(station) for station in stations],
            "driving": [asdict(drive) for drive in drives],
        }
        print(json.dumps(document, indent=2))
    else:
        print(_table(stations, drives))
    return 0


def _table(stations: "Sequence[StationPrecision]", drives: "Sequence[DrivingPrecision]") -> str:
    lines = [
        "standing at stations",
        f"{'covered':<10}{'arrivals':>9}{'lost':>6}{'3 sigma mm':>12}{'3 sigma deg':>13}"
        f"{'bias mm':>9}{'worst mm':>10}",
    ]
    lines += [
        f"{station.covered:<10.0%}{station.arrivals:>9}{station.unlocalized:>6}"
        f"{1000 * station.repeatability_m:>12.1f}{math.degrees(station.repeatability_rad):>13.3f}"
        f"{1000 * station.bias_m:>9.1f}{1000 * station.worst_m:>10.1f}"
        for station in stations
    ]
    lines += [
        "",
        f"driving at {drives[0].speed_mps:.1f} m/s",
        f"{'de-skew':<10}{'m':>9}{'claimed':>9}{'RMSE mm':>9}{'max mm':>9}{'RMSE deg':>10}"
        f"{'NEES':>8}{'inside 95 %':>13}",
    ]
    lines += [
        f"{'yes' if drive.deskewed else 'no':<10}{drive.driven_m:>9.0f}{drive.claimed_share:>9.1%}"
        f"{1000 * drive.position_rmse_m:>9.1f}{1000 * drive.position_max_m:>9.1f}"
        f"{math.degrees(drive.heading_rmse_rad):>10.3f}{drive.nees:>8.2f}"
        f"{drive.nees_inside:>13.1%}"
        for drive in drives
    ]
    return "\n".join(lines)
