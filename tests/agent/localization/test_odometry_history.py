import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geometry.pose import Pose2
from agent.localization.odometry_history import Intake, OdometryHistory
from drivers.measurement import Odometry

MS = 1_000_000


def odometry(stamp_ns: int, x_m: float = 0.0, y_m: float = 0.0, yaw_rad: float = 0.0, **twist):
    return Odometry(
        stamp_ns, stamp_ns, x_m, y_m, yaw_rad,
        twist.get("forward_mps", 0.0), twist.get("yaw_rate_radps", 0.0),
    )  # fmt: skip


def test_nothing_is_known_before_the_first_sample() -> None:
    history = OdometryHistory()
    assert history.newest() is None
    assert history.at(0) is None


def test_a_pose_between_samples_turns_the_short_way() -> None:
    history = OdometryHistory()
    history.add(odometry(0, 1.0, 2.0, 3.1))
    history.add(odometry(400 * MS, 2.0, 4.0, -3.1))
    pose = history.at(200 * MS)
    assert pose is not None
    assert (pose.x_m, pose.y_m) == pytest.approx((1.5, 3.0))
    assert abs(pose.yaw_rad) == pytest.approx(math.pi)


def test_what_lies_outside_the_history_is_unknown() -> None:
    history = OdometryHistory()
    for k in range(500):
        history.add(odometry(k * 20 * MS))
    newest_ns = 499 * 20 * MS
    assert history.at(newest_ns - 6_000 * MS) is None
    assert history.at(newest_ns - 4_900 * MS) is not None
    assert history.at(newest_ns + 99 * MS) is not None
    assert history.at(newest_ns + 101 * MS) is None


def test_a_moment_just_ahead_follows_the_twist() -> None:
    history = OdometryHistory()
    history.add(odometry(0, forward_mps=1.0))
    pose = history.at(50 * MS)
    assert pose is not None
    assert pose.x_m == pytest.approx(0.05)


def test_sparse_samples_stay_usable() -> None:
    history = OdometryHistory()
    history.add(odometry(0, 0.0))
    history.add(odometry(60_000 * MS, 10.0))
    pose = history.at(30_000 * MS)
    assert pose is not None
    assert pose.x_m == pytest.approx(5.0)


def test_late_and_broken_samples_are_refused() -> None:
    history = OdometryHistory()
    assert history.add(odometry(10 * MS, 1.0)) is Intake.ADDED
    assert history.add(odometry(10 * MS, 2.0)) is Intake.OUT_OF_ORDER
    assert history.add(odometry(5 * MS, 2.0)) is Intake.OUT_OF_ORDER
    assert history.add(odometry(20 * MS, math.nan)) is Intake.INVALID
    assert history.add(odometry(20 * MS, yaw_rate_radps=math.inf)) is Intake.INVALID
    newest = history.newest()
    assert newest is not None
    assert newest[1].x_m == 1.0


@given(
    before=st.builds(Pose2, *[st.floats(-5, 5)] * 2, st.floats(-3, 3)),
    step=st.builds(Pose2, *[st.floats(-0.1, 0.1)] * 2, st.floats(-0.1, 0.1)),
)
def test_a_restart_of_the_base_does_not_move_the_robot(before: Pose2, step: Pose2) -> None:
    history = OdometryHistory()
    far = Pose2(before.x_m + 20.0, before.y_m, before.yaw_rad)
    history.add(odometry(0, far.x_m, far.y_m, far.yaw_rad))
    assert history.add(odometry(20 * MS)) is Intake.JUMPED
    history.add(odometry(40 * MS, step.x_m, step.y_m, step.yaw_rad))
    expected = far @ step
    newest = history.newest()
    assert newest is not None
    assert newest[1].distance_m(expected) < 1e-9
    assert math.cos(newest[1].yaw_rad - expected.yaw_rad) == pytest.approx(1.0)
