import argparse
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from agent.cli.eval import VERB
from agent.clock import SimulatedClock
from agent.evaluation.carmen import CarmenLog, CarmenOdometry, CarmenScan, read_carmen
from agent.evaluation.localization import evaluate, measurements
from agent.evaluation.trajectory import StampedPose, compare, read_tum, write_tum
from agent.geometry.pose import Pose2
from agent.localization.localizer import LocalizationParams
from agent.mapping.map_file import load_map, write_map
from drivers.errors import HaulierError
from drivers.measurement import Odometry, Scan
from tests.reference.hall import ROUTE, Run, drive, hall_grid

POSES = drive(ROUTE)[:600]
START = Pose2(*map(float, POSES[0]))


@pytest.fixture(scope="module")
def hall() -> tuple[CarmenLog, list[StampedPose]]:
    """A log as CARMEN would have it, with the lidar at the centre and no skew, and the truth."""
    run = Run(POSES, base_from_lidar=Pose2.identity())
    at, scans, odometry = {}, [], []
    for measurement in run:
        stamp_s = measurement.stamp_ns * 1e-9
        if isinstance(measurement, Odometry):
            at[measurement.stamp_ns] = Pose2(measurement.x_m, measurement.y_m, measurement.yaw_rad)
            odometry.append(CarmenOdometry(stamp_s, at[measurement.stamp_ns], 0.0, 0.0))
        elif measurement.stamp_ns in at:
            odom = at[measurement.stamp_ns]
            scans.append(CarmenScan(stamp_s, measurement.angles_rad, measurement.ranges_m, odom))
    truth = [StampedPose(stamp_ns * 1e-9, pose) for stamp_ns, pose in run.truth.items()]
    return CarmenLog(tuple(scans), tuple(odometry), 0), truth


def test_the_localizer_follows_a_log(hall) -> None:
    log, truth = hall
    runs = [
        evaluate(log, hall_grid(), START, LocalizationParams(), 3, SimulatedClock())
        for _ in range(2)
    ]
    assert runs[0].trajectory == runs[1].trajectory
    assert len(runs[0].trajectory) == len(log.scans)
    error = compare(runs[0].trajectory, truth)
    assert error.position_m.max < 0.2  # rays are skewed by up to 0.1 m in such a log
    assert error.lost_share == 0.0
    assert runs[0].localized_share > 0.9
    assert runs[0].median_update_ms == 0.0


def test_measurements_come_in_order_and_odometry_first(hall) -> None:
    log, _ = hall
    stream = list(measurements(log, log.scans[0].stamp_s))
    stamps = [measurement.stamp_ns for measurement in stream]
    assert stamps == sorted(stamps)
    assert isinstance(stream[0], Odometry)
    for before, after in pairwise(stream):
        if isinstance(after, Scan):
            assert before.stamp_ns == after.stamp_ns
        elif isinstance(before, Odometry):
            assert before.stamp_ns < after.stamp_ns


def flaser(scan: CarmenScan) -> str:
    front = np.abs(scan.angles_rad) <= np.pi / 2
    bearing, ranges = scan.angles_rad[front], np.nan_to_num(scan.ranges_m[front], nan=81.9)
    grid = -np.pi / 2 + np.arange(180) * np.pi / 180
    nearest = ranges[np.abs(bearing[None] - grid[:, None]).argmin(axis=1)]
    words = " ".join(f"{r:.3f}" for r in nearest)
    odom = f"{scan.odom.x_m} {scan.odom.y_m} {scan.odom.yaw_rad}"
    return f"FLASER 180 {words} 0 0 0 {odom} {scan.stamp_s} host {scan.stamp_s}"


def run_verb(*words: str) -> int:
    parser = argparse.ArgumentParser()
    VERB.configure(parser)
    return VERB.run(parser.parse_args(["localization", *words]))


def test_the_verb_reports_a_table_and_json(hall, tmp_path: Path, capsys) -> None:
    log, truth = hall
    (tmp_path / "hall.log").write_text("\n".join(flaser(scan) for scan in log.scans))
    write_map(tmp_path / "hall.yaml", hall_grid())
    write_tum(tmp_path / "truth.tum", truth)
    words = [
        str(tmp_path / "hall.log"), "--map", str(tmp_path / "hall.yaml"),
        f"--init={START.x_m},{START.y_m},{START.yaw_rad}",
        "--ref", str(tmp_path / "truth.tum"), "--tum", str(tmp_path / "out.tum"),
    ]  # fmt: skip
    assert run_verb(*words) == 0
    assert "position   m" in capsys.readouterr().out
    assert len(read_tum(tmp_path / "out.tum")) == len(log.scans)
    assert run_verb(*words, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["error"]["position_m"]["rmse"] < 0.1
    assert document["scans"] == len(log.scans)


@pytest.mark.parametrize("init", ["1,2", "a,b,c", "1,2,nan", "1,2,3,4"])
def test_the_verb_refuses_a_bad_pose(init: str, capsys) -> None:
    with pytest.raises(SystemExit) as exit_info:
        run_verb("x.log", "--map", "x.yaml", "--init", init)
    assert exit_info.value.code == 2
    assert "--init" in capsys.readouterr().err


def test_the_verb_raises_our_errors(tmp_path: Path) -> None:
    with pytest.raises(HaulierError, match=r"none\.log"):
        run_verb(str(tmp_path / "none.log"), "--map", "x.yaml", "--init", "0,0,0")


@pytest.mark.parametrize("name", ["aces", "fhw"])
def test_real_logs_stay_within_the_accuracy_of_their_reference(shared: Path, name: str) -> None:
    folder = shared / "data"
    log = read_carmen(folder / "carmen" / f"{name}.log.gz")
    start = Pose2(*map(float, (folder / "carmen" / f"{name}.start").read_text().split()[1:]))
    evaluation = evaluate(
        log,
        load_map(folder / "maps" / f"{name}.yaml"),
        start,
        LocalizationParams(),
        0,
        SimulatedClock(),
    )
    error = compare(evaluation.trajectory, read_tum(folder / "carmen" / f"{name}.ref.tum"))
    assert error.lost_share == 0.0
    assert error.position_m.rmse < 0.07
