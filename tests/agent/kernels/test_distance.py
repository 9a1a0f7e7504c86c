import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from agent.kernels.distance import distance_transform, lower_envelope
from tests.reference import distance_reference

grids = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=14))


@given(occupied=grids, limit=st.floats(0.5, 30.0))
def test_transform_agrees_with_the_definition(occupied: np.ndarray, limit: float) -> None:
    expected = distance_reference.distance_transform(occupied, limit)
    np.testing.assert_allclose(distance_transform(occupied, limit), expected, rtol=1e-6)


@given(occupied=grids)
def test_transform_of_the_transposed_grid_is_the_transposed_transform(occupied) -> None:
    flipped = distance_transform(np.ascontiguousarray(occupied.T), 9.0)
    np.testing.assert_array_equal(flipped.T, distance_transform(occupied, 9.0))


def test_transform_takes_a_read_only_grid() -> None:
    occupied = np.eye(4, dtype=np.bool_)
    occupied.setflags(write=False)
    assert distance_transform(occupied, 5.0)[0, 1] == 1.0


@given(
    samples=arrays(
        np.float64,
        st.integers(1, 20),
        elements=st.one_of(st.floats(0.0, 500.0), st.just(float("inf"))),
    )
)
def test_envelope_is_the_lowest_parabola(samples: np.ndarray) -> None:
    n = len(samples)
    envelope = np.empty(n)
    lower_envelope(samples, np.empty(n, np.int64), np.empty(n + 1), envelope)
    q = np.arange(n)
    expected = ((q[:, None] - q[None, :]) ** 2 + samples[None, :]).min(axis=1)
    np.testing.assert_allclose(envelope, expected, rtol=1e-12)
