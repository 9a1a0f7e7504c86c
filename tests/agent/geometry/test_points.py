import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agent.geometry.points import moved, thinned
from agent.geometry.pose import Pose2

poses = st.builds(Pose2, st.floats(-9, 9), st.floats(-9, 9), st.floats(-math.pi, 3.14))
clouds = arrays(np.float64, st.tuples(st.integers(0, 8), st.just(2)), elements=st.floats(-9, 9))


@given(pose=poses, points_m=clouds)
def test_points_move_one_by_one(pose: Pose2, points_m: np.ndarray) -> None:
    together = moved(pose, points_m)
    assert together.shape == points_m.shape
    for point, expected in zip(together, points_m, strict=True):
        assert tuple(point) == pytest.approx(pose.transform(*expected), abs=1e-12)


@given(count=st.integers(1, 60), most=st.integers(1, 80))
def test_thinning_keeps_the_order_and_both_ends(count: int, most: int) -> None:
    rows = np.arange(2.0 * count).reshape(-1, 2)
    kept = thinned(rows, most)
    assert len(kept) == min(count, most)
    assert (np.diff(kept[:, 0]) > 0.0).all()
    assert (kept[0] == rows[0]).all()
    if most > 1:
        assert (kept[-1] == rows[-1]).all()


def test_near_is_within_both_limits_whichever_way_round() -> None:
    pose = Pose2(1.0, 2.0, 3.1)
    other = Pose2(1.3, 2.0, -3.1)
    assert pose.is_near(other, 0.31, 0.1)
    assert other.is_near(pose, 0.31, 0.1)
    assert not pose.is_near(other, 0.29, 0.1)
    assert not pose.is_near(other, 0.31, 0.05)
