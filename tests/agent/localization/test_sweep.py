import numpy as np
import pytest

from agent.geometry.pose import Pose2
from agent.localization.odometry_history import OdometryHistory
from agent.localization.sweep import SweepAssembly
from drivers.measurement import Odometry, Scan

FRONT, REAR = Pose2(0.4, 0.3, 0.7), Pose2(-0.4, -0.3, -2.4)


def moving(speed_mps: float) -> OdometryHistory:
    history = OdometryHistory()
    for k in range(100):
        stamp_ns = k * 20_000_000
        x_m = speed_mps * stamp_ns * 1e-9
        history.add(Odometry(stamp_ns, stamp_ns, x_m, 0.0, 0.0, speed_mps, 0.0))
    return history


def scan_of(point_m: tuple[float, float], mount: Pose2, stamp_ns: int, base_x_m: float) -> Scan:
    """A scan with one return, at a point of the odom frame, and one ray into the void."""
    x_m, y_m = (Pose2(base_x_m, 0.0, 0.0) @ mount).inverse().transform(*point_m)
    return Scan(
        stamp_ns=stamp_ns,
        received_ns=stamp_ns,
        angles_rad=np.array([np.arctan2(y_m, x_m), 0.1], np.float32),
        ranges_m=np.array([np.hypot(x_m, y_m), np.nan], np.float32),
        offsets_s=np.zeros(2, np.float32),
        quality=np.zeros(2, np.uint8),
    )


def test_two_lidars_make_one_sweep_seen_from_the_newest_moment() -> None:
    assembly, history = SweepAssembly({"front": FRONT, "rear": REAR}, 0.1, 30.0), moving(1.0)
    assert assembly.add("front", scan_of((5.0, 1.0), FRONT, 10**9, 1.0), history) is None
    sweep = assembly.add("rear", scan_of((-3.0, 2.0), REAR, 1_060_000_000, 1.06), history)
    assert sweep is not None
    assert sweep.stamp_ns == 1_060_000_000
    assert sweep.rays == 4
    assert sweep.points_m == pytest.approx(np.array([[3.94, 1.0], [-4.06, 2.0]]), abs=1e-5)
    # Rays without return start where their lidar was.
    assert sweep.unreturned[0] == pytest.approx([0.34, 0.3, 0.8], abs=1e-5)
    assert sweep.unreturned[1] == pytest.approx([-0.4, -0.3, -2.3], abs=1e-5)


def test_one_lidar_is_its_own_sweep() -> None:
    assembly = SweepAssembly({"front": FRONT}, 0.1, 30.0)
    assert assembly.add("front", scan_of((5.0, 1.0), FRONT, 10**9, 0.0), moving(0.0)) is not None


def test_a_dead_lidar_blinds_only_itself() -> None:
    assembly, history = SweepAssembly({"front": FRONT, "rear": REAR}, 0.1, 30.0), moving(0.0)
    sweeps = [
        assembly.add("front", scan_of((5.0, 1.0), FRONT, 10**9 + k * 10**8, 0.0), history)
        for k in range(4)
    ]
    assert sweeps[0] is None
    assert [sweep.rays for sweep in sweeps[1:] if sweep is not None] == [2, 2, 2]


def test_a_scan_that_no_odometry_covers_is_left_out() -> None:
    assembly = SweepAssembly({"front": FRONT}, 0.1, 30.0)
    assert assembly.add("front", scan_of((5.0, 1.0), FRONT, 10**12, 0.0), moving(0.0)) is None
