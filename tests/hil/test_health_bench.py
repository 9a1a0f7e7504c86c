import json
import math

import numpy as np
import pytest

from agent.cli import main
from agent.evaluation.carmen import CarmenLog, CarmenOdometry, CarmenScan
from agent.evaluation.trajectory import StampedPose
from agent.geometry.pose import Pose2
from agent.mapping.map_file import write_map
from drivers.measurement import Odometry
from hil.buildings import corridor, factory, map_of, twin_ends
from hil.errors import BenchError
from hil.faults import FAULTS
from hil.faults.clutter import strew
from hil.faults.plant_campaign import PlantCampaign, tells_apart
from hil.faults.recording import Recording
from hil.faults.recording_campaign import RecordingCampaign, own_reference
from hil.plant.floor_plan import SurveyedWorld
from hil.plant.journey import Journey, Pace
from hil.precision import measure_driving, measure_stations


def faults_but(*long):
    """All faults; those that take long to make are for the slow suite."""
    slow = pytest.mark.slow
    return [pytest.param(fault, marks=slow) if fault in long else fault for fault in FAULTS]


@pytest.fixture(scope="module")
def campaign():
    return PlantCampaign(1, Pace())


@pytest.fixture(scope="module")
def hall():
    return factory(np.random.default_rng([7, 0]))


@pytest.fixture(scope="module")
def drive(hall):
    """A drive of 40 s through the hall as log and reference, scans of the half circle ahead."""
    journey = Journey(SurveyedWorld(hall.plan), hall.track, np.random.default_rng(3))
    scans, odometry, reference, odom = [], [], [], Pose2.identity()
    while journey.now_ns < 40_000_000_000:
        for measurement in journey.step():
            if isinstance(measurement, Odometry):
                odom = Pose2(measurement.x_m, measurement.y_m, measurement.yaw_rad)
                odometry.append(CarmenOdometry(measurement.stamp_ns * 1e-9, odom, 0.0, 0.0))
            elif journey.now_ns % 200_000_000 == 0:
                stamp_s = journey.now_ns * 1e-9
                scan = measurement[1]
                ahead = np.abs(scan.angles_rad) <= math.pi / 2
                scans.append(
                    CarmenScan(stamp_s, scan.angles_rad[ahead], scan.ranges_m[ahead], odom)
                )
                reference.append(StampedPose(stamp_s, Pose2(*journey.pose) @ Pose2.identity()))
    return CarmenLog(tuple(scans), tuple(odometry), 0), tuple(reference)


def test_kidnapped_robot_notices_and_finds_itself(campaign):
    outcome = campaign.run("kidnapping", 0)
    assert outcome.detected and outcome.recovered_s is not None
    assert 0.0 <= outcome.delay_s < 1.0
    assert outcome.wrong_m <= outcome.stopped_m < 1.0


@pytest.mark.parametrize("fault", faults_but("crowd", "symmetric"))
def test_every_fault_can_be_made_in_the_plant(campaign, fault):
    outcome = campaign.run(fault, 1)
    assert outcome.stopped_m >= outcome.wrong_m >= 0.0


def test_runs_are_functions_of_seed_fault_and_number(campaign):
    outcome = campaign.run("kidnapping", 2)
    assert outcome == PlantCampaign(1, Pace()).run("kidnapping", 2)
    assert outcome != campaign.run("kidnapping", 3)


def test_nothing_wrong_in_the_plant_is_no_alarm(campaign):
    assert not campaign.run("none", 0).missed


@pytest.mark.parametrize("fault", faults_but("changed-hall", "symmetric", "wrong-map"))
def test_every_fault_can_be_made_in_a_recording(drive, hall, fault):
    log, reference = drive
    faults = RecordingCampaign(Recording.of(log, reference), map_of(hall.plan), 1, 1.0)
    outcome = faults.run(fault, 0)
    assert outcome.stopped_m >= outcome.wrong_m >= 0.0
    if fault in ("none", "kidnapping"):
        assert not outcome.missed and outcome.false_alarms == 0


def test_log_without_reference_is_its_own(drive, hall):
    log, reference = drive
    own = own_reference(log, map_of(hall.plan), reference[0].pose)
    assert len(own) > 0.9 * len(reference)
    assert own[-1].pose.distance_m(reference[-1].pose) < 0.2


def test_short_log_is_refused(drive, hall):
    log, reference = drive
    short = Recording.of(CarmenLog(log.scans[:50], log.odometry, 0), reference)
    with pytest.raises(BenchError):
        RecordingCampaign(short, map_of(hall.plan), 1, 1.0)


@pytest.mark.parametrize(("at_share", "told"), [(0.0, False), (0.5, True)])
def test_only_the_niche_tells_the_twins_apart(at_share, told):
    rng = np.random.default_rng(2)
    twins, bare = twin_ends(rng), corridor(rng)
    start_m = at_share * twins.track.length_m
    journey = Journey(SurveyedWorld(twins.plan), twins.track, rng, start_m=start_m)
    assert tells_apart(journey, twins) == told
    journey = Journey(SurveyedWorld(bare.plan), bare.track, rng, start_m=20.0)
    assert not tells_apart(journey, bare)


def test_things_cover_the_share_of_the_scan(hall):
    world = SurveyedWorld(hall.plan)
    pose = hall.track.pose(hall.stations_m[0])
    bearings, stamps = np.linspace(0, math.tau, 720), np.zeros(720, np.int64)
    poses = np.repeat(np.array(pose)[:, None], 720, axis=1)
    before = world.ranges_m(poses, bearings, stamps, 16.0)
    strew(world, pose, hall.track, 0.3, np.random.default_rng(4))
    after = world.ranges_m(poses, bearings, stamps, 16.0)
    hidden = np.nan_to_num(before, nan=99.0) - np.nan_to_num(after, nan=99.0) > 0.1
    assert 0.29 < hidden.mean() < 0.45


def test_station_and_drive_are_measured():
    station = measure_stations(1, 2, 0.0)
    assert station.arrivals == 12 and station.unlocalized == 0
    assert 0.0 < station.repeatability_m < 0.05 and station.worst_m < 0.1
    drive = measure_driving(1, 1, 8.0, 1.5, deskewed=True)
    assert 5.0 < drive.driven_m < 12.0
    assert 0.0 < drive.position_rmse_m < 0.05 and drive.claimed_share > 0.9


def test_command_prints_a_row_per_fault(capsys):
    status = main(["bench", "health", "--runs", "1", "--fault", "kidnapping", "--json"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["fault"] for row in rows] == ["kidnapping"]
    assert rows[0]["runs"] == 1
    assert status == (1 if rows[0]["missed"] or rows[0]["false_alarms"] else 0)


def test_command_needs_map_and_truth_with_a_log(tmp_path, capsys):
    assert main(["bench", "health", "--log", str(tmp_path / "any.log")]) == 65
    assert "--map" in capsys.readouterr().err


def test_command_makes_faults_in_a_log(drive, hall, tmp_path, capsys):
    log, reference = drive
    lines = []
    for scan in log.scans:
        pose = f"{scan.odom.x_m:.6f} {scan.odom.y_m:.6f} {scan.odom.yaw_rad:.6f}"
        # 181 rays, as the format knows them; what did not come back is out of range there.
        angles = np.radians(np.arange(-90, 91))
        nearest = np.abs(angles[:, None] - scan.angles_rad).argmin(axis=1)
        ranges = np.nan_to_num(scan.ranges_m[nearest], nan=80.0)
        values = " ".join(f"{r:.3f}" for r in ranges)
        lines.append(f"FLASER 181 {values} {pose} {pose} {scan.stamp_s:.6f} host 0.0\n")
    path = tmp_path / "drive.log"
    path.write_text("".join(lines))
    write_map(tmp_path / "hall.yaml", map_of(hall.plan))
    start = reference[0].pose
    command = ["bench", "health", "--log", str(path), "--map", str(tmp_path / "hall.yaml")]
    command += [f"--init={start.x_m},{start.y_m},{start.yaw_rad}", "--runs", "1"]
    main([*command, "--fault", "kidnapping", "--fault", "none"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].split()[:2] == ["kidnapping", "1"]
    assert printed[2].split()[:2] == ["none", "1"]
