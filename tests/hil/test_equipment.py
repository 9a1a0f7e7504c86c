"""The tour of the hall with every lidar and every base that there is."""

import pytest

from drivers.errors import HaulierError
from hil.equipment import Equipment, cruise_mps
from hil.errors import BenchError
from hil.lockstep_rig import LockstepRig
from hil.scenario import ROBOT, factory_tour

PAIRS = [
    ("ld06", "kobuki"),
    ("scip", "roboclaw"),
    ("ydlidar", "create2"),
    ("sick_s300", "roboteq"),
    ("sick_lms2xx", "roboteq"),
]


def test_what_is_not_installed_or_not_of_the_kind_is_refused() -> None:
    with pytest.raises(BenchError, match="kobuki is the driver of a base, not of a lidar"):
        Equipment("kobuki", "roboteq").check()
    with pytest.raises(HaulierError, match="hoverboard"):
        Equipment("rplidar", "hoverboard").check()
    Equipment().check()


def test_a_base_with_wheels_of_its_own_is_driven_as_fast_as_it_can() -> None:
    robot = Equipment(base="create2").on(ROBOT)
    assert robot.drive.track_m == pytest.approx(0.235)
    assert robot.drive.slip_m_per_sqrt_m == ROBOT.drive.slip_m_per_sqrt_m
    assert cruise_mps(robot, 1.2) == pytest.approx(0.45)
    assert Equipment().on(ROBOT) == ROBOT
    assert "counts_per_revolution" in Equipment().base_options(ROBOT)
    assert Equipment(base="kobuki").base_options(robot) == ""


@pytest.mark.slow
@pytest.mark.parametrize(("lidar", "base"), PAIRS)
def test_the_tour_is_driven_to_its_end(tmp_path, lidar: str, base: str) -> None:
    result = LockstepRig(factory_tour(1, Equipment(lidar, base)), tmp_path).run(400.0)
    assert result.finished
    assert not result.collided
    # Half of the horizon tells less of where the robot is.
    assert result.rms_error_m < (0.15 if lidar == "sick_lms2xx" else 0.05)
