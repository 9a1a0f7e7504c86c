import numpy as np
import pytest

from agent.geometry.pose import Pose2
from agent.localization.health import HealthParams, LocalizationHealth, Situation
from agent.localization.hypotheses import Hypothesis, hypothesis
from agent.localization.motion_model import Belief
from agent.localization.scan_matcher import Evidence, Match

SECOND = 1_000_000_000
GOOD = (0.98, 0.02, 0.0)
CROWD = (0.65, 0.35, 0.0)
WRONG = (0.50, 0.20, 0.30)
STATED = (0.75, 0.25, 0.0)
STRANGE = (0.30, 0.65, 0.05)


def there(shares: tuple[float, float, float], stddev_m: float = 0.02) -> Hypothesis:
    belief = Belief(Pose2.identity(), np.diag([stddev_m**2, 1e-4, 1e-5]))
    return hypothesis(Match(belief, Evidence(*shares, -1.0), 0.0), 0.0)


def observe(
    health: LocalizationHealth,
    shares: tuple[float, float, float],
    times: int = 1,
    *,
    certainty: float = 1.0,
    moved_m: float = 0.1,
    missing: float = 0.0,
    stddev_m: float = 0.02,
    corrected_m: float = 0.0,
) -> str:
    """Show the same scan again and again, each on a new spot, and return the reason."""
    for _ in range(times):
        observe.spot += 1
        best = there(shares, stddev_m)
        best.prediction = Belief(Pose2(-corrected_m, 0.0, 0.0), np.eye(3))
        situation = Situation(
            best=best,
            rivals=0 if certainty == 1.0 else 1,
            certainty=certainty,
            spots=observe.spot,
            motion=Pose2(moved_m, 0.0, 0.0),
            missing=missing,
        )
        health.observe(0, situation)
    return health.reason(0)


observe.spot = 0


def found() -> LocalizationHealth:
    health = LocalizationHealth(HealthParams())
    assert not observe(health, GOOD)
    return health


def test_one_scan_proves_a_place_and_none_proves_nothing() -> None:
    health = LocalizationHealth(HealthParams())
    assert "no scan" in health.reason(0)
    assert not observe(health, GOOD)
    assert health.score == pytest.approx(1.0)


def test_a_place_found_in_a_crowd_has_to_be_supported_for_a_while() -> None:
    health = LocalizationHealth(HealthParams())
    assert "65%" in observe(health, CROWD, HealthParams().fair_spots - 1)
    assert not observe(health, CROWD)


def test_a_crowd_is_no_reason_to_stop() -> None:
    assert not observe(found(), (0.2, 0.8, 0.0), 50)


def test_rays_through_walls_end_it_at_once_and_a_few_again_and_again() -> None:
    assert "through walls" in observe(found(), WRONG)
    health = found()
    assert not observe(health, (0.85, 0.05, 0.10))
    assert "through walls" in observe(health, (0.85, 0.05, 0.10), 10)


def test_what_was_refuted_must_be_supported_for_longer() -> None:
    health = found()
    observe(health, WRONG)
    assert not observe(health, GOOD, 2)
    observe(health, WRONG)
    assert observe(health, GOOD)
    assert not observe(health, GOOD, 10)


def test_who_has_searched_in_vain_for_long_must_be_supported_for_longer() -> None:
    health = LocalizationHealth(HealthParams())
    observe(health, STRANGE, 30)
    assert observe(health, GOOD, 9), "one scan that fits proves nothing any more"
    assert not observe(health, GOOD, 5)
    observe(health, WRONG)
    assert observe(health, GOOD, 9), "the claim was short, so the doubts have stayed"


def test_a_pose_that_has_held_for_long_is_soon_found_again() -> None:
    params = HealthParams()
    health = LocalizationHealth(params)
    observe(health, STRANGE, 30)
    assert not observe(health, GOOD, params.established_spots + 20)
    observe(health, WRONG)
    assert not observe(health, GOOD, 2)


def test_a_stated_pose_must_be_supported_about_where_it_was_stated() -> None:
    params = HealthParams()
    health = LocalizationHealth(params)
    health.restart(stated=True)
    assert not observe(health, STATED, params.fair_scans)
    health.restart(stated=True)
    observe(health, STRANGE, 2 * params.stated_spots)
    assert observe(health, STATED, params.fair_scans)


def test_two_places_that_fit_are_one_too_many() -> None:
    health = LocalizationHealth(HealthParams())
    assert "2 places" in observe(health, GOOD, certainty=0.6)
    assert not observe(health, GOOD)
    assert not observe(health, GOOD, certainty=0.95), "hysteresis"
    assert "2 places" in observe(health, GOOD, certainty=0.8)


def test_an_uncertain_position_is_a_reason() -> None:
    assert "known to 0.8 m" in observe(found(), GOOD, stddev_m=0.8)


def test_a_covered_lidar_is_a_reason_and_glass_a_warning_at_most() -> None:
    health = found()
    assert not observe(health, GOOD, missing=0.35)
    assert "covered" in health.warning(0)
    assert "covered" in observe(health, GOOD, 2, missing=0.6)


def test_blindness_and_silence_are_reasons() -> None:
    health = found()
    health.observe_blindness(0, "dark")
    assert not health.reason(0)
    health.observe_blindness(0, "dark")
    assert health.reason(0) == "dark"
    assert "1.5 s" in found().reason(SECOND * 3 // 2)


def test_slipping_wheels_are_warned_of_and_good_ones_not() -> None:
    health = found()
    assert not observe(health, GOOD, 20, corrected_m=0.005)
    assert not health.warning(0)
    assert not observe(health, GOOD, 20, corrected_m=-0.08)
    assert "wheels" in health.warning(0)
    assert not health.warning(10 * SECOND)


def test_a_changed_hall_is_warned_of_and_another_one_refused() -> None:
    health = found()
    assert not observe(health, (0.75, 0.21, 0.04), 60)
    assert "hall has changed" in health.warning(0)
    reasons = [observe(health, (0.70, 0.21, 0.09), 1, moved_m=1.0) for _ in range(20)]
    assert any("through walls" in reason for reason in reasons)


def test_a_new_pose_starts_over() -> None:
    health = found()
    health.restart(stated=True)
    assert health.score == 0.0
    assert "no scan" in health.reason(0)
