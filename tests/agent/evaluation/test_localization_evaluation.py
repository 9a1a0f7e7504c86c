import argparse
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from agent.cli.eval import VERB
from agent.clock import SimulatedClock
from agent.errors import LogError
from agent.evaluation.carmen import CarmenLog, CarmenOdometry, CarmenScan, read_carmen
from agent.evaluation.global_starts import Outcome, try_starts
from agent.evaluation.localization import evaluate, measurements
from agent.evaluation.occlusion import occlude
from agent.evaluation.trajectory import StampedPose, compare, read_tum, write_tum
from agent.geometry.pose import Pose2
from agent.localization.params import LocalizationParams
from agent.localization.place import Place
from agent.mapping.map_file import load_map, write_map
from drivers.errors import HaulierError
from drivers.measurement import Odometry, Scan
from tests.reference.hall import ROUTE, Run, drive, hall_grid

POSES = drive(ROUTE)[:600]
START = Pose2(*map(float, POSES[0]))
PLACE = Place.prepare(hall_grid(), LocalizationParams().map)


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
    runs = [evaluate(log, PLACE, START, LocalizationParams(), SimulatedClock()) for _ in range(2)]
    assert runs[0].trajectory == runs[1].trajectory
    assert len(runs[0].trajectory) == len(log.scans)
    error = compare(runs[0].trajectory, truth)
    assert error.position_m.max < 0.2  # rays are skewed by up to 0.1 m in such a log
    assert error.lost_share == 0.0
    assert runs[0].localized_share == 1.0
    assert [transition.localized for transition in runs[0].transitions] == [True]
    assert set(runs[0].update_ms) == {0.0}


def test_nothing_known_of_the_start_delays_only_the_first_claim(hall) -> None:
    log, truth = hall
    evaluation = evaluate(log, PLACE, None, LocalizationParams(), SimulatedClock())
    assert evaluation.counters.searches >= 1
    assert evaluation.transitions[0].localized
    assert compare(evaluation.trajectory, truth).position_m.max < 0.2


def test_starts_are_judged_by_the_reference(hall) -> None:
    log, truth = hall
    params, rng = LocalizationParams(), np.random.default_rng(1)
    starts = try_starts(log, PLACE, truth, params, rng, SimulatedClock(), starts=6, drive_m=5.0)
    assert len(starts) == 6
    outcomes = [start.outcome for start in starts]
    assert Outcome.WRONG not in outcomes
    # The racks look alike and the log is short: a few may stay open.
    assert outcomes.count(Outcome.UNDECIDED) <= 3
    assert all(not start.error_m > 0.3 for start in starts)
    elsewhere = [StampedPose(t.stamp_s, Pose2(3.0, 0.0, 0.0) @ t.pose) for t in truth]
    wrong = try_starts(log, PLACE, elsewhere, params, rng, SimulatedClock(), starts=3, drive_m=5.0)
    assert {start.outcome for start in wrong} <= {Outcome.WRONG, Outcome.UNDECIDED}
    assert Outcome.WRONG in {start.outcome for start in wrong}
    with pytest.raises(LogError, match="knows no scan"):
        try_starts(
            log,
            PLACE,
            [StampedPose(1e9, START)],
            params,
            rng,
            SimulatedClock(),
            starts=1,
            drive_m=1,
        )


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5])
def test_occluders_only_shorten(hall, share: float) -> None:
    log, _ = hall
    hidden = occlude(log, share, np.random.default_rng(2))
    for before, after in zip(log.scans, hidden.scans, strict=True):
        changed = ~((before.ranges_m == after.ranges_m) | np.isnan(after.ranges_m))
        assert (after.ranges_m[changed] <= np.nan_to_num(before.ranges_m[changed], nan=99.0)).all()
        assert changed.mean() <= share + 1 / 12
    if share:
        assert np.mean([np.nanmean(scan.ranges_m) for scan in hidden.scans]) < np.mean(
            [np.nanmean(scan.ranges_m) for scan in log.scans]
        )


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
    assert run_verb(*words, "--json", "--plot", str(tmp_path / "out.png")) == 0
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    document = json.loads(capsys.readouterr().out)
    assert document["transitions"][0]["localized"]
    assert {"median", "p95", "p99", "max"} == set(document["update_ms"])
    assert document["error"]["position_m"]["rmse"] < 0.1
    assert document["scans"] == len(log.scans)


def test_the_verb_starts_from_anywhere(hall, tmp_path: Path, capsys) -> None:
    log, truth = hall
    (tmp_path / "hall.log").write_text("\n".join(flaser(scan) for scan in log.scans))
    write_map(tmp_path / "hall.yaml", hall_grid())
    write_tum(tmp_path / "truth.tum", truth)
    words = [
        str(tmp_path / "hall.log"), "--map", str(tmp_path / "hall.yaml"), "--global",
        "--ref", str(tmp_path / "truth.tum"), "--starts", "3",
    ]  # fmt: skip
    assert run_verb(*words) == 0
    assert "confidently wrong" in capsys.readouterr().out
    assert run_verb(*words, "--json", "--occlude", "0.2") == 0
    assert json.loads(capsys.readouterr().out)["starts"] == 3
    with pytest.raises(HaulierError, match="--starts needs"):
        run_verb(*words[:3], "--global", "--starts", "3")


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
        Place.prepare(load_map(folder / "maps" / f"{name}.yaml"), LocalizationParams().map),
        start,
        LocalizationParams(),
        SimulatedClock(),
    )
    error = compare(evaluation.trajectory, read_tum(folder / "carmen" / f"{name}.ref.tum"))
    assert error.lost_share == 0.0
    assert error.position_m.rmse < 0.07
