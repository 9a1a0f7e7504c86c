import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.plant.surface_kernels import cast_surfaces
from tests.reference.hall import cast
from tests.reference.raycast_reference import polygon_range_m

coordinate = st.floats(-5.0, 5.0)


def ranges(surfaces, starts, angles, reach=100.0):
    out = np.empty(len(angles))
    xs, ys = (np.ascontiguousarray(axis) for axis in np.asarray(starts, float).T)
    cast_surfaces(np.asarray(surfaces, float), xs, ys, np.asarray(angles, float), reach, out)
    return out


@given(seed=st.integers(0, 10_000))
def test_rays_end_where_the_plain_version_says(seed):
    rng = np.random.default_rng(seed)
    surfaces = rng.uniform(-5.0, 5.0, (int(rng.integers(1, 30)), 4))
    starts, angles = rng.uniform(-5.0, 5.0, (40, 2)), rng.uniform(-math.pi, math.pi, 40)
    expected = cast(starts, angles, surfaces)
    np.testing.assert_allclose(
        ranges(surfaces, starts, angles), np.where(np.isinf(expected), np.nan, expected), atol=1e-9
    )


@given(x=coordinate, y=coordinate, heading=st.floats(-math.pi, math.pi))
def test_outline_is_met_where_linear_algebra_says(x, y, heading):
    corners = np.array([(-1.0, -0.7), (1.3, -0.5), (0.8, 1.1), (-0.9, 0.6)])
    surfaces = np.hstack((corners, np.roll(corners, -1, axis=0)))
    expected = polygon_range_m(corners, (x, y), heading)
    measured = ranges(surfaces, [(x, y)], [heading])[0]
    aside = [polygon_range_m(corners, (x, y), heading + hair) for hair in (-1e-7, 0.0, 1e-7)]
    if math.isnan(measured):
        assert any(map(math.isinf, aside))  # past a corner, by rounding
    else:
        assert any(measured == pytest.approx(other, abs=1e-3) for other in (expected, *aside))


def test_reach_ends_a_ray():
    wall = [(3.0, -1.0, 3.0, 1.0)]
    assert ranges(wall, [(0.0, 0.0)], [0.0], reach=3.0)[0] == 3.0
    assert math.isnan(ranges(wall, [(0.0, 0.0)], [0.0], reach=2.99)[0])
    assert math.isnan(ranges(wall, [(0.0, 0.0)], [math.pi])[0])


def test_ray_along_a_surface_does_not_meet_it():
    assert math.isnan(ranges([(1.0, 0.0, 2.0, 0.0)], [(0.0, 0.0)], [0.0])[0])
