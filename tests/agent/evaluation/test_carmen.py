import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from agent.errors import LogError
from agent.evaluation.carmen import read_carmen
from agent.geometry.pose import Pose2

ODOM = "ODOM 1.0 2.0 0.5 0.3 0.1 0 10.5 host 0.5"
FLASER = "FLASER 4 1.0 0 2.5 81.91 0.1 0.2 0.3 1.0 2.0 0.5 11.25 host 1.25"
ROBOTLASER = (
    "ROBOTLASER1 0 -1.5 3.0 1.5 20 0.01 0 3 1.0 20.0 3.0 2 7 8 "
    "0.1 0.2 0.3 1.0 2.0 0.5 0.3 0.1 0.4 0.4 0 12.5 host 2.5"
)


def log(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "drive.log"
    path.write_text("\n".join(lines))
    return path


def test_all_kinds_of_lines(tmp_path: Path) -> None:
    read = read_carmen(log(tmp_path, "# comment", "", "PARAM x 1", ODOM, FLASER, ROBOTLASER))
    assert read.unknown_lines == 1
    (sample,) = read.odometry
    assert (sample.stamp_s, sample.odom, sample.forward_mps) == (10.5, Pose2(1.0, 2.0, 0.5), 0.3)
    flaser, robotlaser = read.scans
    assert flaser.stamp_s == 11.25
    assert flaser.odom == Pose2(1.0, 2.0, 0.5)
    np.testing.assert_array_equal(flaser.ranges_m, np.float32([1.0, math.nan, 2.5, math.nan]))
    assert robotlaser.stamp_s == 12.5
    np.testing.assert_array_equal(robotlaser.ranges_m, np.float32([1.0, math.nan, 3.0]))
    np.testing.assert_allclose(robotlaser.angles_rad, [-1.5, 0.0, 1.5], atol=1e-6)


@pytest.mark.parametrize(("rays", "step_deg"), [(180, 1.0), (360, 0.5), (181, 1.0), (361, 0.5)])
def test_field_of_view(tmp_path: Path, rays: int, step_deg: float) -> None:
    line = f"FLASER {rays} {'1 ' * rays} 0 0 0 0 0 0 1 host 1"
    angles_deg = np.degrees(read_carmen(log(tmp_path, line)).scans[0].angles_rad)
    assert angles_deg[0] == pytest.approx(-90.0)
    np.testing.assert_allclose(np.diff(angles_deg), step_deg, atol=1e-4)


def test_compressed_logs(tmp_path: Path) -> None:
    path = tmp_path / "drive.log.gz"
    path.write_bytes(gzip.compress(FLASER.encode()))
    assert len(read_carmen(path).scans) == 1
    path.write_bytes(gzip.compress(FLASER.encode())[:-9])
    with pytest.raises(LogError, match=r"drive\.log\.gz"):
        read_carmen(path)
    path.write_bytes(b"plain text")
    with pytest.raises(LogError, match=r"drive\.log\.gz"):
        read_carmen(path)


@pytest.mark.parametrize(
    "line",
    [
        FLASER.rsplit(" ", 4)[0],
        FLASER.replace("FLASER 4", "FLASER 400"),
        FLASER.replace("FLASER 4", "FLASER -1"),
        FLASER.replace("FLASER 4", "FLASER 99999999999"),
        FLASER.replace("2.5", "far"),
        FLASER.replace("11.25", "nan"),
        "FLASER",
        "ROBOTLASER1 0",
        ROBOTLASER.rsplit(" ", 3)[0],
        ROBOTLASER.replace("0 3 1.0", "0 30 1.0"),
        "ODOM 1 2",
        ODOM.replace("1.0", "inf"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(LogError, match="line 2: malformed"):
        read_carmen(log(tmp_path, ODOM, line))


def test_a_log_without_scans_or_without_file(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="no scan"):
        read_carmen(log(tmp_path, ODOM))
    with pytest.raises(LogError, match=r"nowhere\.log"):
        read_carmen(tmp_path / "nowhere.log")
