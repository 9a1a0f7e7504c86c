"""The whole robot in lock-step, on a short way with two lidars at its corners."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hil.lockstep_rig import LockstepRig
from hil.scenario import CORNERS, Scenario, factory_tour

FRONT, REAR = "lidar.front", "lidar.rear"


def corner_tour(nodes: int = 3) -> Scenario:
    """From the dock around one corner, 10 m."""
    scenario = factory_tour(1)
    return replace(scenario, stations=scenario.stations[:nodes], scanners=CORNERS)


def wait_until_fast(rig: LockstepRig) -> None:
    while rig.plant.truth.forward_mps < 0.7:
        rig.step()
        assert rig.clock.now_ns() < 20e9, rig.agent.status(rig.clock.now_ns())


def test_two_corner_scanners_drive_an_order(tmp_path: Path) -> None:
    rig = LockstepRig(corner_tour(), tmp_path)
    result = rig.run(60.0)
    assert result.finished
    assert not result.collided
    assert result.distance_m > 9.0
    assert result.worst_error_m < 0.08
    status = rig.agent.status(rig.clock.now_ns())
    assert list(status["devices"]) == [FRONT, REAR, "base"]
    assert {device["phase"] for device in status["devices"].values()} == {"streaming"}
    assert rig.master.invalid == []
    # What they see lies all around the robot, and none of it is the robot.
    pose, points = rig.plant.truth.pose, np.array(rig.agent.scan_points())
    bearings = np.arctan2(points[:, 1] - pose.y_m, points[:, 0] - pose.x_m)
    assert len(np.unique(np.floor(bearings / np.radians(30.0)))) == 12
    assert np.hypot(points[:, 0] - pose.x_m, points[:, 1] - pose.y_m).min() > 0.7


def test_the_same_run_twice_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        digests.add(LockstepRig(corner_tour(), tmp_path / name).run(8.0).digest)
    assert len(digests) == 1


@pytest.mark.slow
@pytest.mark.parametrize("lidar", [FRONT, REAR])
def test_a_scanner_that_falls_silent_stops_the_robot_and_is_named(
    tmp_path: Path, lidar: str
) -> None:
    rig = LockstepRig(corner_tour(), tmp_path)
    wait_until_fast(rig)
    rig.bench.devices[lidar].set_fault("mute", True, rig.clock.now_ns())
    muted_ns = rig.clock.now_ns()
    while not (status := rig.agent.status(rig.clock.now_ns()))["command"]["stop_reason"]:
        rig.step()
        assert rig.clock.now_ns() - muted_ns < 350_000_000
    assert status["command"]["stop_reason"] == f"no current scan of {lidar}"
    rig.bench.devices[lidar].set_fault("mute", False, rig.clock.now_ns())
    assert rig.run(60.0).finished


def test_without_their_masks_the_robot_is_in_its_own_way(tmp_path: Path) -> None:
    bare = {name: replace(scanner, mask=()) for name, scanner in CORNERS.items()}
    rig = LockstepRig(replace(corner_tour(), scanners=bare), tmp_path)
    result = rig.run(12.0)
    assert not result.finished
    assert result.distance_m < 1.0
    points = np.array(rig.agent.scan_points())
    pose = rig.plant.truth.pose
    assert np.hypot(points[:, 0] - pose.x_m, points[:, 1] - pose.y_m).min() < 0.6
