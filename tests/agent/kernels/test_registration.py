import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agent.kernels.distance import distance_transform
from agent.kernels.registration import correlate, interpolate, normal_equations, register, solve
from tests.reference import registration_reference, search_reference

RESOLUTION_M = 0.25


def frozen(array: np.ndarray) -> np.ndarray:
    """Read-only, as the fields of a map are; a kernel is compiled anew for what is not."""
    array.setflags(write=False)
    return array


fields = arrays(np.float32, (9, 12), elements=st.floats(0.0, 2.0, width=32)).map(frozen)
# Off the grid as well: 12 x 9 cells of 0.25 m span 3 x 2.25 m.
points = arrays(np.float64, st.tuples(st.integers(0, 8), st.just(2)), elements=st.floats(-2.0, 2.0))
poses = st.tuples(st.floats(-0.5, 3.5), st.floats(-0.5, 2.75), st.floats(-4.0, 4.0)).map(np.array)


def clear_of_edges(pose: np.ndarray, points_m: np.ndarray, shift: float) -> bool:
    """Whether no point lies so near to a cell's border that rounding decides its cell."""
    cells = registration_reference.ends(pose, points_m) / RESOLUTION_M + shift
    return bool((np.abs(cells - np.round(cells)) > 1e-5).all())


@given(field=fields, u=st.floats(-1.0, 13.0), v=st.floats(-1.0, 10.0))
def test_interpolation_agrees_with_the_reference(field, u: float, v: float) -> None:
    inside, value, slope_u, slope_v = interpolate(field, u, v)
    expected = registration_reference.bilinear(field, u, v)
    assert inside == (expected is not None)
    if expected is None:
        return
    assert value == pytest.approx(expected, abs=1e-9)
    step = 1e-6
    for du, dv, slope in ((step, 0.0, slope_u), (0.0, step, slope_v)):
        ahead = registration_reference.bilinear(field, u + du, v + dv)
        behind = registration_reference.bilinear(field, u - du, v - dv)
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
    expected = registration_reference.normal_equations(
        pose, points_m, field, RESOLUTION_M, kernel_m
    )
    np.testing.assert_allclose(hessian, expected[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-4, atol=1e-4)


CELL_M = 0.05
MARGIN = 8


def room(width: int = 160, height: int = 120) -> np.ndarray:
    """Distance in m to the walls of a room with a notch, which fixes every direction."""
    occupied = np.zeros((height, width), np.bool_)
    occupied[5, 5:-5] = occupied[-6, 5:-5] = True
    occupied[5:-5, 5] = occupied[5:-5, -6] = True
    occupied[5:40, 100] = True
    return frozen(distance_transform(occupied, 20.0) * np.float32(CELL_M))


def seen(distance_m: np.ndarray, pose: np.ndarray, step: int = 3) -> np.ndarray:
    """All centres of occupied cells, as seen from a pose."""
    rows, columns = np.nonzero(distance_m == 0.0)
    ends = (np.column_stack([columns, rows]) + 0.5)[::step] * CELL_M - pose[:2]
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    return ends @ np.array([[cos, -sin], [sin, cos]])


def descend(start, points_m, distance_m, prior, stddevs):
    pose, hessian = np.array(start, np.float64), np.empty((3, 3))
    kernels_m = np.maximum(0.1, 0.15 * 0.8 ** np.arange(20))
    information = np.diag(1.0 / np.square(stddevs))
    far = register(
        pose, points_m, distance_m, CELL_M, 400.0, kernels_m, np.array(prior, np.float64),
        information, 4.0, hessian,
    )  # fmt: skip
    return pose, far, hessian


offsets = st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1), st.floats(-0.05, 0.05))
WEAK = (0.3, 0.3, 0.2)


@given(offset=offsets, yaw=st.floats(-3.0, 3.0))
def test_the_descent_ends_where_the_scan_was_taken(offset, yaw: float) -> None:
    distance_m, truth = room(), np.array([4.0, 3.0, yaw])
    start = truth + offset
    pose, _, _ = descend(start, seen(distance_m, truth), distance_m, start, WEAK)
    assert np.hypot(*(pose - truth)[:2]) < 0.01
    assert abs(pose[2] - truth[2]) < 0.005


@given(offset=offsets, seed=st.integers(0, 100))
def test_strangers_hardly_pull(offset, seed: int) -> None:
    rng = np.random.default_rng(seed)
    distance_m, truth = room(), np.array([4.0, 3.0, 0.3])
    points_m = seen(distance_m, truth)
    strangers = rng.choice(len(points_m), int(0.4 * len(points_m)), replace=False)
    points_m[strangers] *= rng.uniform(0.1, 0.9, (len(strangers), 1))
    pose, _, _ = descend(truth + offset, points_m, distance_m, truth + offset, WEAK)
    assert np.hypot(*(pose - truth)[:2]) < 0.02


def test_along_a_bare_wall_the_prior_holds() -> None:
    occupied = np.zeros((100, 400), np.bool_)
    occupied[20] = occupied[80] = True
    distance_m = frozen(distance_transform(occupied, 20.0) * np.float32(CELL_M))
    truth = np.array([10.0, 2.5, 0.0])
    points_m = seen(distance_m, truth)
    points_m = points_m[np.abs(points_m[:, 0]) < 5.0]
    prior = truth + np.array([0.2, 0.08, 0.02])
    pose, _, hessian = descend(prior, points_m, distance_m, prior, WEAK)
    assert pose[0] == pytest.approx(prior[0], abs=0.01)
    assert pose[1] == pytest.approx(truth[1], abs=0.01)
    assert hessian[0, 0] < 1e-6 * hessian[1, 1]


@given(
    root=arrays(np.float64, (3, 3), elements=st.floats(-3.0, 3.0)),
    right=arrays(np.float64, 3, elements=st.floats(-10.0, 10.0)),
)
def test_small_systems_are_solved(root: np.ndarray, right: np.ndarray) -> None:
    matrix, solution = root @ root.T + 0.1 * np.eye(3), np.empty(3)
    solve(matrix, right, solution)
    np.testing.assert_allclose(solution, np.linalg.solve(matrix, right), rtol=1e-8, atol=1e-8)


def test_the_lattice_is_scored_as_defined() -> None:
    rng = np.random.default_rng(4)
    field = rng.integers(0, 256, (40, 50)).astype(np.uint8)
    points_m = rng.uniform(-0.6, 0.6, (6, 2))
    centre, information = np.array([1.2, 1.0, 0.4]), np.diag([30.0, 20.0, 10.0])
    wide = frozen(np.pad(field, ((MARGIN, 0), (MARGIN, 0))))
    found, scores = np.empty((500, 3)), np.empty(500)
    count = correlate(
        centre, (2, 1, 1), (2, 0.1), points_m, wide, MARGIN, CELL_M, 0.01, information, 4.0,
        found, scores,
    )  # fmt: skip
    assert 1 <= count < 45
    assert (np.diff(scores[:count]) <= 0.0).all()
    row, column = int(centre[1] / CELL_M), int(centre[0] / CELL_M)
    for pose, score in zip(found[:count], scores[:count], strict=True):
        offset = pose - centre
        cells = search_reference.turned(points_m, pose[2], CELL_M)
        shift = np.round(offset[:2] / CELL_M).astype(int)
        total = search_reference.score(field, cells, row + shift[1], column + shift[0])
        far = offset @ information @ offset
        assert score == pytest.approx(0.01 * total - 3.5 * np.log1p(far / 4.0), abs=1e-9)
    steps = np.round((found[:count] - centre) / (0.1, 0.1, 0.1)).astype(int)
    apart = np.abs(steps[:, None] - steps[None]).max(axis=2) + 9 * np.eye(count, dtype=int)
    assert (apart > 1).all()
