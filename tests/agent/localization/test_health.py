from agent.localization.health import HealthParams, LocalizationHealth

PARAMS = HealthParams(
    lost_below=0.4, found_above=0.5, lost_after_scans=4, found_after_scans=3, scan_timeout_s=1.0
)
SECOND = 1_000_000_000


def observe(health: LocalizationHealth, *scores: float) -> bool:
    for score in scores:
        health.observe(score, 0)
    return not health.reason(0)


def test_the_pose_has_to_prove_itself() -> None:
    health = LocalizationHealth(PARAMS)
    assert "no scan" in health.reason(0)
    assert not observe(health, 0.9, 0.9)
    assert "90%" in health.reason(0)
    assert observe(health, 0.9)


def test_a_few_bad_scans_are_forgiven_many_are_not() -> None:
    health = LocalizationHealth(PARAMS)
    assert observe(health, 0.9, 0.9, 0.9)
    assert observe(health, 0.1, 0.1, 0.1)
    assert observe(health, 0.45, 0.1, 0.1, 0.1)
    assert not observe(health, 0.1)


def test_between_the_thresholds_nothing_changes() -> None:
    health = LocalizationHealth(PARAMS)
    assert not observe(health, *[0.45] * 20)
    assert observe(health, 0.5, 0.5, 0.5)
    assert observe(health, *[0.45] * 20)


def test_silence_of_the_lidar_is_a_reason() -> None:
    health = LocalizationHealth(PARAMS)
    assert observe(health, 0.9, 0.9, 0.9)
    assert not health.reason(SECOND)
    assert "1.5 s" in health.reason(SECOND * 3 // 2)


def test_a_new_pose_starts_over() -> None:
    health = LocalizationHealth(PARAMS)
    assert observe(health, 0.9, 0.9, 0.9)
    health.restart()
    assert health.score == 0.0
    assert "no scan" in health.reason(0)
