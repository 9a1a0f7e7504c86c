import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.avoidance.footprint import disc_cover
from agent.geometry.polygon import rectangle
from agent.kernels import rollout as kernels
from tests.examples import examples
from tests.reference import rollout_reference as reference

STEPS, SAMPLES, STEP_S = 14, 6, 0.1
CELL_M, ORIGIN = 0.1, (-4.0, -4.0)
DISCS = disc_cover(rectangle(0.8, 0.6), 0.02).astype(np.float32)
DIFFERENTIAL = np.array([[-0.5, 1.5, 1.0, 2.0], [0, 0, 1, 1], [-1.5, 1.5, 3.0, 4.0]], np.float32)
OMNI = np.array([[-0.5, 1.5, 1.0, 2.0], [-0.7, 0.7, 1, 1], [-1.5, 1.5, 3, 4]], np.float32)
CAR = np.array([[-0.5, 1.5, 1.0, 2.0], [0, 0, 1, 1], [-0.8, 0.8, 1.0, 1.0]], np.float32)
MARGINS = (0.08, 0.3)
NOTHING = np.empty((0, 6), np.float32)
BASES = [(DIFFERENTIAL, False), (OMNI, False), (CAR, True)]


def world(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return posts, the distances to them, and a cost to go."""
    rng = np.random.default_rng(seed)
    posts = rng.uniform(-3.5, 3.5, (12, 2))
    posts = posts[np.hypot(*posts.T) > 1.0]
    centres = ORIGIN[0] + CELL_M * (np.arange(80) + 0.5)
    away = [np.hypot(centres[None, :] - x, centres[:, None] - y) for x, y in posts]
    distance = np.minimum(1.0, np.min(away, axis=0)).astype(np.float32)
    coarse = ORIGIN[0] + 2 * CELL_M * (np.arange(40) + 0.5)
    to_go = np.hypot(coarse[None, :] - 3.0, coarse[:, None]).astype(np.float32)
    return posts, distance, to_go


def roll(seed: int, bounds, car, weights, moving=NOTHING, spread=0.3):
    rng = np.random.default_rng(seed)
    _, distance, to_go = world(seed)
    noise = rng.standard_normal((STEPS, 3, SAMPLES)).astype(np.float32)
    nominal = rng.uniform(-1.0, 1.5, (STEPS, 3)).astype(np.float32)
    if bounds[1, 1] == 0.0:
        nominal[:, 1] = 0.0
    state = np.array([0.0, 0.0, rng.uniform(-3.0, 3.0), 0.5, 0.0, 0.1])
    sigma = (spread * (bounds[:, 1] - bounds[:, 0])).astype(np.float32)
    controls, costs = np.empty((STEPS, 3, SAMPLES), np.float32), np.empty(SAMPLES)
    kernels.roll_out(
        controls, nominal, noise, sigma, state, car, bounds, STEP_S, DISCS, ORIGIN, distance,
        CELL_M, to_go, 2 * CELL_M, MARGINS, moving, np.array(weights, float), costs,
    )  # fmt: skip
    return controls, costs, state, distance, to_go


@pytest.mark.parametrize(("bounds", "car"), BASES)
@settings(deadline=None, max_examples=examples(30))
@given(seed=st.integers(0, 10_000))
def test_the_cost_at_the_end_is_that_of_the_place_where_the_motion_ends(bounds, car, seed) -> None:
    at_end = [0.0] * kernels.WEIGHTS
    at_end[kernels.AT_END] = 1.0
    controls, costs, state, distance, to_go = roll(seed, bounds, car, at_end)
    for sample in range(SAMPLES):
        end = None
        for x, y, yaw, _ in reference.poses(controls[:, :, sample], state, car, bounds, STEP_S):
            end = (x, y)
            clear = reference.clearance_m(x, y, yaw, DISCS, distance, ORIGIN, CELL_M)
            if abs(clear - MARGINS[0]) < 1e-3:
                return  # too close to call between single and double precision
            if clear < MARGINS[0]:
                break
        at = ((v - o) / (2 * CELL_M) for v, o in zip(end, ORIGIN, strict=True))
        assert costs[sample] == pytest.approx(reference.bilinear(to_go, *at), abs=2e-3)


@pytest.mark.parametrize(("bounds", "car"), BASES)
@settings(deadline=None, max_examples=examples(30))
@given(seed=st.integers(0, 10_000))
def test_contact_is_what_the_footprint_meets_and_nearness_costs(bounds, car, seed) -> None:
    weights = [0.0] * kernels.WEIGHTS
    weights[kernels.CONTACT], weights[kernels.CLEARANCE] = 1000.0, 1.0
    controls, costs, state, distance, _ = roll(seed, bounds, car, weights)
    for sample in range(SAMPLES):
        expected, contact = 0.0, False
        motion = reference.poses(controls[:, :, sample], state, car, bounds, STEP_S)
        for step, (x, y, yaw, forward) in enumerate(motion):
            clear = reference.clearance_m(x, y, yaw, DISCS, distance, ORIGIN, CELL_M)
            if abs(clear - MARGINS[0]) < 1e-3:
                return
            if clear < MARGINS[0]:
                contact, expected = True, expected + 1000.0 * (1.0 + (STEPS - step) / STEPS)
                break
            if clear < MARGINS[1]:
                tight = (MARGINS[1] - clear) / (MARGINS[1] - MARGINS[0])
                expected += STEP_S * tight * tight * (0.2 + abs(forward))
        assert costs[sample] == pytest.approx(expected, abs=0.02)
        assert (costs[sample] >= 1000.0) == contact


def test_what_moves_is_met_where_it_will_be() -> None:
    weights = [0.0] * kernels.WEIGHTS
    weights[kernels.MOVING] = 1.0
    crossing = np.array([[1.0, 3.0, 0.0, -2.5, 0.3, 0.4]], np.float32)
    leaving = np.array([[1.0, 0.6, 0.0, 2.5, 0.3, 0.4]], np.float32)
    straight = np.zeros((STEPS, 3), np.float32)
    straight[:, 0] = 1.0

    def cost(moving: np.ndarray) -> float:
        controls, costs = np.empty((STEPS, 3, 1), np.float32), np.empty(1)
        kernels.roll_out(
            controls, straight, np.zeros((STEPS, 3, 1), np.float32), np.zeros(3, np.float32),
            np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0]), False, DIFFERENTIAL, STEP_S, DISCS, ORIGIN,
            np.full((80, 80), 1.0, np.float32), CELL_M, np.zeros((40, 40), np.float32),
            2 * CELL_M, MARGINS, moving, np.array(weights), costs,
        )  # fmt: skip
        return float(costs[0])

    assert cost(crossing) > 0.1
    assert cost(leaving) < 0.3 * cost(crossing)
    assert cost(NOTHING) == 0.0


@given(st.integers(0, 1000), st.floats(0.05, 5.0))
def test_the_mean_is_weighted_by_cost(seed: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    controls = rng.standard_normal((STEPS, 3, SAMPLES)).astype(np.float32)
    costs = rng.uniform(0.0, 3.0, SAMPLES)
    mean = np.empty((STEPS, 3), np.float32)
    kernels.blend(controls, costs, temperature, mean)
    weights = np.exp(-(costs - costs.min()) / temperature)
    weights[weights < 1e-6] = 0.0
    assert mean == pytest.approx((controls * weights).sum(axis=2) / weights.sum(), abs=1e-5)


@pytest.mark.parametrize(("bounds", "car"), BASES)
def test_a_pursuit_reaches_the_end_of_its_way_within_bounds(bounds, car) -> None:
    way = np.column_stack([np.linspace(0.0, 2.0, 21), 0.1 * np.sin(np.linspace(0.0, 3.0, 21))])
    state = np.array([0.0, 0.0, 0.2, 0.0, 0.0, 0.0])
    controls = np.empty((120, 3), np.float32)
    kernels.pursue(way, state, 1.0, 0.4, car, bounds, STEP_S, controls)
    assert (controls >= bounds[:, 0] - 1e-6).all()
    assert (controls <= bounds[:, 1] + 1e-6).all()
    *_, (x, y, _, forward) = reference.poses(controls, state, car, bounds, STEP_S)
    assert math.hypot(x - way[-1, 0], y - way[-1, 1]) < 0.15
    assert abs(forward) < 0.3
