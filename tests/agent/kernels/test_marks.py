import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.kernels.marks import DISC, PLATE, SQUARE, bearing_residuals, surface_residuals
from tests.reference import marks_reference as reference


def read_only(array: np.ndarray) -> np.ndarray:
    """As the marks of a carrier are; a kernel is compiled anew for what is not."""
    array.setflags(write=False)
    return array


poses = st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-3, 3)).map(np.array)
shapes = st.tuples(
    st.floats(-1, 1),
    st.floats(-1, 1),
    st.floats(-3, 3),
    st.floats(0.01, 0.1),
    st.sampled_from((DISC, SQUARE, PLATE)),
).map(lambda row: read_only(np.array(row, np.float64)))
far = st.tuples(st.floats(3, 5), st.floats(-3.1, 3.1)).map(
    lambda polar: np.array((polar[0] * math.cos(polar[1]), polar[0] * math.sin(polar[1])))
)
offsets = st.tuples(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2)).map(np.array)


def surface(pose, mark, point, origin):
    residuals, slopes, incidence = np.empty(1), np.empty((1, 3)), np.empty(1)
    owners = np.zeros(1, np.int64)
    surface_residuals(pose, mark[None], point[None], owners, origin, residuals, slopes, incidence)
    return residuals[0], slopes[0], incidence[0]


def middle_of(pose, mark):
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    return pose[:2] + np.array((cos * mark[0] - sin * mark[1], sin * mark[0] + cos * mark[1]))


@given(poses, shapes, far, offsets)
def test_surface_residuals_agree_with_the_reference(pose, mark, origin, off) -> None:
    point = middle_of(pose, mark) + off
    residual, _, incidence = surface(pose, mark, point, origin)
    expected = reference.surface_residual_m(pose, mark, point, origin)
    assert residual == pytest.approx(expected, abs=1e-6)
    assert 0.0 <= incidence <= 1.0 + 1e-9


@given(poses, shapes, far, st.floats(-0.9, 0.9))
def test_a_ray_that_ends_on_the_surface_has_no_residual_and_the_slope_of_its_normal(
    pose, mark, origin, share
) -> None:
    middle = middle_of(pose, mark)
    sight = middle - origin
    sight /= np.linalg.norm(sight)
    aimed = middle + share * mark[3] * np.array((-sight[1], sight[0]))
    residual, slopes, incidence = surface(pose, mark, aimed, origin)
    if incidence < 0.2:
        return
    ray = (aimed - origin) / np.linalg.norm(aimed - origin)
    normal = -slopes[:2]
    hit = aimed - residual / float(normal @ ray) * ray
    again, slopes, _ = surface(pose, mark, hit, origin)
    assert again == pytest.approx(0.0, abs=1e-6)
    numeric = reference.slope(lambda at: reference.surface_residual_m(at, mark, hit, origin), pose)
    # An edge between two faces has no slope; there the difference runs across it.
    if np.abs(numeric).max() < 10.0:
        np.testing.assert_allclose(slopes, numeric, atol=2e-3)


@given(poses, shapes, far, st.floats(-0.05, 0.05))
def test_bearing_residuals_agree_with_the_reference(pose, mark, origin, off) -> None:
    to = middle_of(pose, mark) - origin
    bearing = math.atan2(to[1], to[0]) + off
    residuals, slopes = np.empty(1), np.empty((1, 3))
    seen, bearings = np.zeros(1, np.int64), np.array([bearing])
    bearing_residuals(pose, mark[None], seen, bearings, origin, residuals, slopes)
    assert residuals[0] == pytest.approx(
        reference.bearing_residual_m(pose, mark, bearing, origin), abs=1e-9
    )
    disc = mark.copy()
    disc[4] = DISC
    numeric = reference.slope(
        lambda at: reference.bearing_residual_m(at, disc, math.atan2(to[1], to[0]), origin), pose
    )
    np.testing.assert_allclose(slopes[0], numeric, atol=1e-5)
