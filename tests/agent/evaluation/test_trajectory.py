import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import LogError
from agent.evaluation.trajectory import StampedPose, compare, read_tum, write_tum
from agent.geometry.pose import Pose2

stamped = st.builds(
    StampedPose,
    st.floats(0.0, 1e6),
    st.builds(Pose2, st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(-3.14, 3.14)),
)


def line_of(*x_m: float, yaw_rad: float = 0.0) -> list[StampedPose]:
    return [StampedPose(float(k), Pose2(x, 0.0, yaw_rad)) for k, x in enumerate(x_m)]


@given(trajectory=st.lists(stamped, min_size=1, max_size=10))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_written_trajectory_reads_back(tmp_path: Path, trajectory: list[StampedPose]) -> None:
    path = tmp_path / "drive.tum"
    write_tum(path, trajectory)
    again = read_tum(path)
    written = sorted(trajectory, key=lambda pose: round(pose.stamp_s, 6))
    for one, other in zip(written, again, strict=True):
        assert one.stamp_s == pytest.approx(other.stamp_s, abs=1e-6)
    assert {round(p.pose.x_m, 3) for p in trajectory} == {round(p.pose.x_m, 3) for p in again}


def test_heading_survives_the_quaternion(tmp_path: Path) -> None:
    write_tum(tmp_path / "a.tum", [StampedPose(0.0, Pose2(0.0, 0.0, -2.5))])
    assert read_tum(tmp_path / "a.tum")[0].pose.yaw_rad == pytest.approx(-2.5)


def test_errors() -> None:
    error = compare(line_of(0.0, 3.0, 0.0, 4.0, yaw_rad=3.1), line_of(0, 0, 0, 0, yaw_rad=-3.1))
    assert error.position_m.mean == pytest.approx(1.75)
    assert error.position_m.rmse == pytest.approx(2.5)
    assert error.position_m.max == 4.0
    assert error.lost_share == 0.5
    assert error.heading_rad.max == pytest.approx(math.tau - 6.2)


def test_partners_are_the_nearest_in_time() -> None:
    trajectory = [StampedPose(1.0, Pose2(1, 0, 0)), StampedPose(1.015, Pose2(2, 0, 0))]
    reference = [StampedPose(1.01, Pose2(2, 0, 0)), StampedPose(5.0, Pose2(9, 0, 0))]
    error = compare(trajectory, reference)
    assert (error.poses, error.unmatched, error.position_m.max) == (1, 1, 0.0)


def test_without_partners_there_is_no_error_to_report() -> None:
    with pytest.raises(LogError, match="no pose of the reference"):
        compare([], line_of(0.0))


@pytest.mark.parametrize("text", ["", "# only\n", "1 2 3\n", "1 2 3 0 0 0 0 x\n",
                                  "1 nan 3 0 0 0 0 1\n", "1 2 3 0 0 0 0 0\n"])  # fmt: skip
def test_a_bad_file_is_a_log_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.tum"
    path.write_text(text)
    with pytest.raises(LogError, match=r"bad\.tum"):
        read_tum(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="none"):
        read_tum(tmp_path / "none.tum")
    with pytest.raises(LogError, match="none"):
        write_tum(tmp_path / "none" / "a.tum", line_of(0.0))
