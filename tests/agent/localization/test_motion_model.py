import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geometry.pose import Pose2
from agent.localization.motion_model import MotionParams, OdometryMotionModel, decompose

motions = st.builds(Pose2, st.floats(-2, 2), st.floats(-2, 2), st.floats(-math.pi, 3.14))
EXACT = MotionParams(
    rotation_noise_from_rotation=0.0,
    rotation_noise_from_translation=0.0,
    translation_noise_from_translation=0.0,
    translation_noise_from_rotation=0.0,
    rotation_noise_rad=0.0,
    translation_noise_m=0.0,
)


@given(start=motions, motion=motions)
def test_without_noise_the_particles_follow_the_odometry(start: Pose2, motion: Pose2) -> None:
    poses = np.array([[start.x_m, start.y_m, start.yaw_rad]])
    OdometryMotionModel(EXACT).apply(poses, motion, np.random.default_rng(0))
    expected = start @ motion
    # Below a centimetre only the length of the way is kept.
    assert poses[0, :2] == pytest.approx((expected.x_m, expected.y_m), abs=0.021)
    assert math.cos(poses[0, 2] - expected.yaw_rad) == pytest.approx(1.0)


@given(motion=motions)
def test_a_motion_is_the_product_of_its_parts(motion: Pose2) -> None:
    turn, distance, final = decompose(motion)
    whole = Pose2(0, 0, turn) @ Pose2(distance, 0, 0) @ Pose2(0, 0, final)
    assert whole.distance_m(motion) < 0.021
    assert math.cos(whole.yaw_rad - motion.yaw_rad) == pytest.approx(1.0)


@given(motion=motions)
def test_reversing_is_as_noisy_as_driving(motion: Pose2) -> None:
    model = OdometryMotionModel(MotionParams())
    reverse = Pose2(-motion.x_m, -motion.y_m, motion.yaw_rad)
    forward_stddevs = model.stddevs(*decompose(motion))
    assert model.stddevs(*decompose(reverse)) == pytest.approx(forward_stddevs, abs=1e-6)


def test_noise_has_the_stated_size() -> None:
    model = OdometryMotionModel(MotionParams())
    poses = np.zeros((20_000, 3))
    model.apply(poses, Pose2(1.0, 0.0, 0.0), np.random.default_rng(1))
    turn, way, final = model.stddevs(0.0, 1.0, 0.0)
    assert poses[:, 0].std() == pytest.approx(way, rel=0.05)
    assert poses[:, 1].std() == pytest.approx(turn, rel=0.05)
    assert poses[:, 2].std() == pytest.approx(math.hypot(turn, final), rel=0.05)
