import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agent.kernels.likelihood import inlier_share, interpolate, log_weights, normal_equations
from tests.reference import likelihood_reference

RESOLUTION_M = 0.25
fields = arrays(np.float32, (9, 12), elements=st.floats(0.0, 2.0, width=32))
# Off the grid as well: 12 x 9 cells of 0.25 m span 3 x 2.25 m.
points = arrays(np.float64, st.tuples(st.integers(0, 8), st.just(2)), elements=st.floats(-2.0, 2.0))
poses = st.tuples(st.floats(-0.5, 3.5), st.floats(-0.5, 2.75), st.floats(-4.0, 4.0)).map(np.array)


def clear_of_edges(pose: np.ndarray, points_m: np.ndarray, shift: float) -> bool:
    """Whether no point lies so near to a cell's border that rounding decides its cell."""
    cells = likelihood_reference.ends(pose, points_m) / RESOLUTION_M + shift
    return bool((np.abs(cells - np.round(cells)) > 1e-5).all())


@given(field=fields, points_m=points, pose=poses, evidence=st.floats(0.1, 1.0))
def test_log_weights_agree_with_the_reference(field, points_m, pose, evidence) -> None:
    assume(clear_of_edges(pose, points_m, 0.0))
    weights = np.array([1.5])
    log_weights(pose[None], points_m, field, -3.0, RESOLUTION_M, evidence, weights)
    expected = likelihood_reference.log_weight(pose, points_m, field, -3.0, RESOLUTION_M, evidence)
    assert weights[0] == pytest.approx(1.5 + expected, abs=1e-9)


@given(field=fields, u=st.floats(-1.0, 13.0), v=st.floats(-1.0, 10.0))
def test_interpolation_agrees_with_the_reference(field, u: float, v: float) -> None:
    inside, value, slope_u, slope_v = interpolate(field, u, v)
    expected = likelihood_reference.bilinear(field, u, v)
    assert inside == (expected is not None)
    if expected is None:
        return
    assert value == pytest.approx(expected, abs=1e-9)
    step = 1e-6
    for du, dv, slope in ((step, 0.0, slope_u), (0.0, step, slope_v)):
        ahead = likelihood_reference.bilinear(field, u + du, v + dv)
        behind = likelihood_reference.bilinear(field, u - du, v - dv)
        if ahead is not None and behind is not None and clear_of_centres(u, v):
            assert slope == pytest.approx((ahead - behind) / (2 * step), abs=1e-5)


def clear_of_centres(u: float, v: float) -> bool:
    cells = np.array([u, v]) - 0.5
    return bool((np.abs(cells - np.round(cells)) > 1e-5).all())


@given(field=fields, points_m=points, pose=poses, kernel_m=st.floats(0.05, 1.0))
def test_normal_equations_agree_with_numerical_derivatives(field, points_m, pose, kernel_m) -> None:
    assume(clear_of_edges(pose, points_m, -0.5))
    hessian, gradient = np.empty((3, 3)), np.empty(3)
    normal_equations(pose, points_m, field, RESOLUTION_M, kernel_m, hessian, gradient)
    expected = likelihood_reference.normal_equations(pose, points_m, field, RESOLUTION_M, kernel_m)
    np.testing.assert_allclose(hessian, expected[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-4, atol=1e-4)


@given(field=fields, points_m=points, pose=poses, tolerance_m=st.floats(0.0, 2.0))
def test_inlier_share_counts_points_near_the_map(field, points_m, pose, tolerance_m) -> None:
    distances = likelihood_reference.residuals(pose, points_m, field, RESOLUTION_M)
    assume(clear_of_edges(pose, points_m, -0.5))
    assume(all(d is None or abs(d - tolerance_m) > 1e-6 for d in distances))
    near = sum(d is not None and d <= tolerance_m for d in distances)
    expected = near / len(distances) if distances else 0.0
    assert inlier_share(pose, points_m, field, RESOLUTION_M, tolerance_m) == expected
