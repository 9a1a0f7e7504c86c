import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agent.kernels.motion import propagate
from agent.kernels.resampling import low_variance
from tests.reference import filter_reference

numbers = st.floats(-3.0, 3.0)
spreads = st.tuples(*[st.floats(0.0, 0.5)] * 3)
clouds = arrays(np.float64, st.tuples(st.integers(1, 20), st.just(3)), elements=numbers)


@given(poses=clouds, parts=st.tuples(numbers, numbers, numbers), stddevs=spreads)
def test_motion_agrees_with_the_reference_draw_by_draw(poses, parts, stddevs) -> None:
    expected = filter_reference.propagate(poses, *parts, stddevs, np.random.default_rng(7))
    moved = poses.copy()
    propagate(moved, *parts, stddevs, np.random.default_rng(7))
    np.testing.assert_allclose(moved, expected, atol=1e-12)


@given(
    weights=arrays(np.float64, st.integers(1, 30), elements=st.floats(1e-6, 1.0)),
    start=st.floats(0.0, 1.0, exclude_max=True),
)
def test_resampling_gives_each_particle_its_share(weights: np.ndarray, start: float) -> None:
    weights = weights / weights.sum()
    count = len(weights)
    poses = np.arange(count * 3, dtype=np.float64).reshape(count, 3)
    survivors = np.empty_like(poses)
    low_variance(poses, weights, start, survivors)
    copies = np.array([(survivors[:, 0] == pose[0]).sum() for pose in poses])
    # The comb of table 4.4 gives each particle its share, rounded up or down.
    assert (np.abs(copies - weights * count) < 1.0 + 1e-6).all()


def test_resampling_agrees_with_the_reference() -> None:
    generator = np.random.default_rng(3)
    poses, weights = generator.normal(size=(500, 3)), generator.random(500)
    weights /= weights.sum()
    survivors = np.empty_like(poses)
    low_variance(poses, weights, 0.37, survivors)
    np.testing.assert_array_equal(
        survivors, filter_reference.low_variance(poses, weights, 0.37, 500)
    )
