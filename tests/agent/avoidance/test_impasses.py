import numpy as np
import pytest

from agent.avoidance.impasses import MEMORY_S, PATIENCE_S, RADIUS_M, Impasses
from agent.geometry.pose import Pose2

STEP_S = 0.05
HERE = Pose2(1.0, 2.0, 0.5)
WAY = np.column_stack((1.0 + 0.1 * np.arange(40), np.full(40, 2.0)))


def wait(impasses: Impasses, pose: Pose2, seconds: float) -> bool:
    stuck = [impasses.is_stuck(pose, STEP_S) for _ in range(round(seconds / STEP_S))]
    return stuck[-1]


def test_standing_for_long_is_an_impasse() -> None:
    impasses = Impasses()
    assert not wait(impasses, HERE, PATIENCE_S - 0.1)
    assert wait(impasses, HERE, 0.3)


@pytest.mark.parametrize("step", [Pose2(0.3, 0.0, 0.0), Pose2(0.0, 0.0, 0.6)])
def test_who_moves_or_turns_has_not_given_up(step: Pose2) -> None:
    impasses, pose = Impasses(), HERE
    for _ in range(10):
        assert not wait(impasses, pose, 0.6 * PATIENCE_S)
        pose = pose @ step


def test_waiting_for_a_reason_does_not_count() -> None:
    impasses = Impasses()
    wait(impasses, HERE, PATIENCE_S - 0.1)
    impasses.reset()
    assert not wait(impasses, HERE, PATIENCE_S - 0.1)


def test_the_dearest_place_ahead_is_remembered_for_a_while() -> None:
    impasses, prices = Impasses(), np.ones(len(WAY))
    prices[8], prices[35] = 5.0, 50.0  # the second is too far ahead to be what stops the robot
    impasses.remember(WAY, prices)
    np.testing.assert_array_equal(impasses.discs_m, [[*WAY[8], RADIUS_M]])
    wait(impasses, HERE, MEMORY_S - 1.0)
    assert len(impasses.discs_m) == 1
    wait(impasses, HERE, 2.0)
    assert len(impasses.discs_m) == 0


def test_where_all_is_as_wide_nothing_is_blamed() -> None:
    impasses = Impasses()
    impasses.remember(WAY, np.ones(len(WAY)))
    impasses.remember(WAY[:0], np.ones(0))
    assert len(impasses.discs_m) == 0


def test_another_footprint_may_try_again() -> None:
    impasses, prices = Impasses(), np.ones(len(WAY))
    prices[3] = 2.0
    impasses.remember(WAY, prices)
    impasses.clear()
    assert len(impasses.discs_m) == 0
