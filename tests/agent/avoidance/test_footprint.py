import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.avoidance.footprint import disc_cover
from agent.geometry.polygon import rectangle
from agent.kernels.clearance import signed_distance_m
from tests.examples import examples

sizes = st.floats(0.3, 1.5)


@settings(deadline=None, max_examples=examples(25))
@given(sizes, sizes, st.floats(-0.3, 0.3), st.floats(0.015, 0.05))
def test_discs_cover_the_outline_and_stay_inside(length, width, center_x, slack) -> None:
    polygon = rectangle(length, width, center_x)
    around, *discs = disc_cover(polygon, slack)
    for corner in polygon:
        assert np.hypot(*(corner - around[:2])) <= around[2] + 1e-9
    for x, y, radius in discs:
        assert -signed_distance_m(x, y, polygon) >= radius - 1e-9
    for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        for share in np.linspace(0.0, 1.0, 40):
            x, y = start + share * (end - start)
            gap = min(np.hypot(x - a, y - b) - radius for a, b, radius in discs)
            assert gap <= slack + 0.01


@settings(deadline=None, max_examples=examples(25))
@given(sizes, sizes)
def test_a_symmetric_robot_has_a_symmetric_cover(length, width) -> None:
    discs = disc_cover(rectangle(length, width), 0.02)[1:]
    mirrored = discs * (1.0, -1.0, 1.0)
    for disc in mirrored:
        assert np.abs(discs - disc).max(axis=1).min() < 1e-6
