import math

import numpy as np
import pytest

from agent.geometry.pose import Pose2
from agent.localization.hypotheses import BankParams, Hypothesis, HypothesisBank, hypothesis
from agent.localization.motion_model import Belief, MotionParams
from agent.localization.scan_matcher import Evidence, Match


def at(x_m: float, log_likelihood: float = 0.0, yaw_rad: float = 0.0) -> Hypothesis:
    belief = Belief(Pose2(x_m, 0.0, yaw_rad), np.eye(3) * 1e-4)
    return hypothesis(Match(belief, Evidence(1.0, 0.0, 0.0, log_likelihood), 0.0), 0.0)


def bank(*hypotheses: Hypothesis, **params: float) -> HypothesisBank:
    made = HypothesisBank(BankParams(**params))
    made.restart(hypotheses)
    return made


def test_an_empty_bank_is_certain_of_nothing() -> None:
    assert bank().best is None
    assert bank().certainty == 0.0


def test_certainty_is_the_posterior_of_the_best() -> None:
    two = bank(at(0.0), at(5.0, -math.log(3.0)))
    assert two.best is not None
    assert two.best.belief.pose.x_m == 0.0
    assert two.certainty == pytest.approx(0.75)


def test_what_is_in_one_place_is_one_and_what_is_unlikely_goes() -> None:
    assert len(bank(at(0.0), at(0.2), at(0.0, yaw_rad=0.1))) == 1
    assert len(bank(at(0.0), at(0.2, yaw_rad=1.0))) == 2
    assert len(bank(at(0.0), at(5.0, -16.0), log_odds_floor=15.0)) == 1
    assert len(bank(*(at(float(x)) for x in range(20)), most=6)) == 6


def test_scans_of_one_spot_count_once() -> None:
    two = bank(at(0.0), at(5.0, -1.0))
    for _ in range(50):
        two.predict(Pose2.identity(), MotionParams())
        for h, log_likelihood in zip(list(two), (0.0, -1.0), strict=True):
            h.observe(at(h.belief.pose.x_m, log_likelihood).match, h.belief)
        two.compete()
    assert two.certainty == pytest.approx(1.0 / (1.0 + math.exp(-1.0)))
    assert two.spots == 1
    two.predict(Pose2(0.5, 0.0, 0.0), MotionParams())
    for h, log_likelihood in zip(list(two), (0.0, -1.0), strict=True):
        h.observe(at(h.belief.pose.x_m, log_likelihood).match, h.belief)
    assert two.certainty == pytest.approx(1.0 / (1.0 + math.exp(-2.0)))
    assert two.spots == 2


def test_forgetting_weights_leaves_the_newest_spot() -> None:
    two = bank(at(0.0), at(5.0, -1.0))
    two.predict(Pose2(1.0, 0.0, 0.0), MotionParams())
    for h in two:
        h.observe(at(h.belief.pose.x_m, -2.0).match, h.belief)
    two.forget_weights()
    assert two.certainty == pytest.approx(0.5)
