import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.kernels.distance import distance_transform
from agent.kernels.visibility import first_surface_m, owed_share, witness
from tests.examples import examples
from tests.reference import visibility_reference

CELL_M = 0.1
LOG_ODDS = (-2.3, -1.5, -6.0)


def blocks(seed: int) -> np.ndarray:
    """Blocks of two by two cells and more, so that no ray squeezes past a corner."""
    rng = np.random.default_rng(seed)
    occupied = np.zeros((40, 40), np.bool_)
    for row, column in rng.integers(0, 37, (6, 2)):
        occupied[row : row + 3, column : column + 3] = True
    return occupied


def field_of(occupied: np.ndarray) -> np.ndarray:
    field_m = distance_transform(occupied, 30.0) * np.float32(CELL_M)
    field_m.setflags(write=False)  # as that of a map; a kernel is compiled anew for what is not
    return field_m


@settings(max_examples=examples(60), deadline=None)
@given(
    seed=st.integers(0, 200),
    x=st.floats(0.05, 3.95),
    y=st.floats(0.05, 3.95),
    heading=st.floats(-math.pi, math.pi),
)
def test_a_ray_ends_where_small_steps_end(seed: int, x: float, y: float, heading: float) -> None:
    occupied = blocks(seed)
    found = first_surface_m(
        field_of(occupied), CELL_M, x, y, math.cos(heading), math.sin(heading), 5.0
    )
    exact = visibility_reference.first_surface_m(occupied, CELL_M, (x, y), heading, 5.0)
    # Steps of half a cell may cut a corner that the ray grazes, never pass through a block.
    if found < exact - CELL_M or found > exact + CELL_M:
        beside = [
            visibility_reference.first_surface_m(occupied, CELL_M, (x, y), heading + turn, 5.0)
            for turn in (-0.06, -0.03, -0.01, 0.01, 0.03, 0.06)
        ]
        assert min(abs(found - way) for way in beside) <= 2 * CELL_M or max(beside) >= 5.0


def hall() -> np.ndarray:
    occupied = np.zeros((60, 60), np.bool_)
    occupied[:, 50] = True
    return field_of(occupied)


def test_rays_hit_fall_short_or_go_through() -> None:
    wall_m = 50.5 * CELL_M
    pose = np.array([1.05, 3.0, 0.0])
    points_m = np.array([[wall_m - 1.05, 0.0], [wall_m - 1.05, 1.0], [2.0, 0.0], [4.8, 0.5]])
    shares = np.empty(4)
    total = witness(pose, points_m, hall(), CELL_M, 0.2, 0.1, LOG_ODDS, shares)
    assert shares[:3] == pytest.approx([0.5, 0.25, 0.25])
    assert shares[3] < 0.001
    assert total == pytest.approx((0.0 + 0.0 - 1.5 - 6.0) / 4, abs=0.02)


@given(
    points=st.lists(st.tuples(st.floats(-5.0, 5.0), st.floats(-5.0, 5.0)), max_size=8),
    yaw=st.floats(-3.0, 3.0),
)
def test_shares_add_up_to_one(points: list[tuple[float, float]], yaw: float) -> None:
    shares = np.empty(4)
    points_m = np.array(points).reshape(-1, 2)
    total = witness(np.array([3.0, 3.0, yaw]), points_m, hall(), CELL_M, 0.2, 0.1, LOG_ODDS, shares)
    assert shares[:3].sum() == pytest.approx(1.0 if points else 0.0)
    assert LOG_ODDS[2] <= total <= 0.0


def test_a_wall_owes_a_return_and_an_open_hall_does_not() -> None:
    pose = np.array([1.0, 3.0, 0.0])
    rays = np.array(
        [[0.0, 0.0, 0.0], [0.0, 0.0, math.pi], [0.2, 0.1, 0.1], [0.0, 0.0, math.pi / 2]]
    )
    assert owed_share(pose, rays, hall(), CELL_M, 8.0) == 0.5
    assert owed_share(pose, rays, hall(), CELL_M, 2.0) == 0.0
    assert owed_share(pose, np.empty((0, 3)), hall(), CELL_M, 8.0) == 0.0
