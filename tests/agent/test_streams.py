import numpy as np
import pytest

from agent.streams import OLDEST_SCAN_S, SCAN, ScanPace

MS = 1_000_000


def paced(period_ms: float, delay_ms: float, count: int = 40, lost: float = 0.0) -> ScanPace:
    rng, pace = np.random.default_rng(1), ScanPace()
    for k in range(count):
        if rng.random() >= lost:
            stamp_ns = round(k * period_ms * MS)
            pace.note(stamp_ns, stamp_ns + round(delay_ms * MS))
    return pace


@pytest.mark.parametrize(
    ("period_ms", "delay_ms", "limit_s"),
    [(100, 100, 0.25), (25, 25, 0.25), (200, 200, 0.5), (106.7, 120, 0.283), (400, 400, 0.55)],
)
def test_the_limit_is_what_the_lidar_needs_and_never_below_that_of_most(
    period_ms: float, delay_ms: float, limit_s: float
) -> None:
    assert paced(period_ms, delay_ms).stream.stale_after_s == pytest.approx(limit_s, abs=0.001)


def test_before_two_scans_it_is_that_of_most() -> None:
    assert ScanPace().stream == SCAN
    assert paced(200, 200, count=1).stream == SCAN


def test_lost_scans_do_not_raise_it() -> None:
    assert paced(100, 100, 400, lost=0.5).stream.stale_after_s == pytest.approx(0.25, abs=0.001)
    assert OLDEST_SCAN_S > 0.5
