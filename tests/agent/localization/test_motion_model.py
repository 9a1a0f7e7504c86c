import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geometry.pose import Pose2
from agent.localization.motion_model import Belief, MotionParams, predict

PARAMS = MotionParams(rest_noise_m=1e-9, rest_noise_rad=1e-9)
poses = st.builds(Pose2, st.floats(-5, 5), st.floats(-5, 5), st.floats(-math.pi, 3.14))
motions = st.builds(Pose2, st.floats(-2, 2), st.floats(-2, 2), st.floats(-3.0, 3.0))


@given(start=poses, motion=motions)
def test_the_mean_follows_the_odometry(start: Pose2, motion: Pose2) -> None:
    assert predict(Belief(start, np.eye(3)), motion, PARAMS).pose == start @ motion


@given(start=poses, motion=motions)
def test_the_covariance_stays_one_and_grows(start: Pose2, motion: Pose2) -> None:
    before = np.diag([0.01, 0.04, 0.002])
    after = predict(Belief(start, before), motion, PARAMS).covariance
    assert np.allclose(after, after.T)
    assert np.linalg.eigvalsh(after).min() > 0.0
    assert np.linalg.det(after) >= np.linalg.det(before) * (1.0 - 1e-9)


@given(way_m=st.floats(0.1, 5.0), parts=st.integers(2, 20))
def test_the_noise_does_not_depend_on_how_the_way_is_cut(way_m: float, parts: int) -> None:
    whole = cut = Belief(Pose2.identity(), np.zeros((3, 3)))
    whole = predict(whole, Pose2(way_m, 0.0, 0.0), PARAMS)
    for _ in range(parts):
        cut = predict(cut, Pose2(way_m / parts, 0.0, 0.0), PARAMS)
    assert cut.covariance[0, 0] == pytest.approx(whole.covariance[0, 0])
    assert cut.covariance[2, 2] == pytest.approx(whole.covariance[2, 2])


def test_distrust_multiplies_the_noise() -> None:
    known = Belief(Pose2.identity(), np.zeros((3, 3)))
    plain = predict(known, Pose2(1.0, 0.0, 0.2), PARAMS).covariance
    assert np.allclose(predict(known, Pose2(1.0, 0.0, 0.2), PARAMS, 7.0).covariance, 7.0 * plain)


def test_a_doubtful_heading_becomes_a_doubtful_place() -> None:
    doubtful = Belief(Pose2.identity(), np.diag([0.0, 0.0, 0.01]))
    exact = MotionParams(translation_noise_from_translation=0.0, rest_noise_m=1e-9)
    after = predict(doubtful, Pose2(2.0, 0.0, 0.0), exact)
    assert after.covariance[1, 1] == pytest.approx(0.01 * 4.0, rel=1e-3)
