import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.device_clock import DeviceClock

MS = 1_000_000


def observe(clock, seconds, late_ns=lambda i: 0, period_ms=10, ppm=0.0, wrap=30_000, first_ms=0):
    """Stamps of a device in ms, each received a millisecond later; returns the errors in ns."""
    errors = []
    for i in range(round(seconds * 1000 / period_ms)):
        true_ns = 5 * MS + i * period_ms * MS
        device_ms = first_ms + i * period_ms * (1.0 + ppm * 1e-6)
        arrival_ns = true_ns + MS + late_ns(i)
        errors.append(clock.host_ns(int(device_ms) % wrap, arrival_ns) - true_ns - MS)
    return np.array(errors)


@pytest.mark.parametrize("first_ms", [0, 29_950, 12_345])
@pytest.mark.parametrize("ppm", [-100.0, 0.0, 100.0])
def test_drift_and_wraps_are_followed(ppm, first_ms):
    errors = observe(DeviceClock(MS, 30_000), 100, ppm=ppm, first_ms=first_ms)
    assert np.abs(errors[500:]).max() <= 1.1 * MS


def test_jitter_is_smoothed():
    rng = np.random.default_rng(1)
    errors = observe(DeviceClock(MS, 1 << 24), 30, lambda i: int(rng.uniform(0, 2 * MS)))
    settled = errors[1000:]
    assert np.std(settled) < 0.05 * MS
    assert abs(settled.mean() - MS) < 0.2 * MS


@given(st.integers(50, 900), st.integers(10, 150), st.integers(4, 80))
def test_late_arrivals_are_left_out(begin, count, late_ms):
    def late_ns(i):
        return late_ms * MS if begin <= i < begin + count else 0

    clock = DeviceClock(MS, 30_000)
    errors = observe(clock, 12, late_ns)
    assert np.abs(errors).max() < 0.01 * MS
    assert clock.late == count
    assert clock.restarts == 0


def test_a_backlog_at_first_is_forgotten_with_the_first_prompt_arrival():
    clock = DeviceClock(MS, 30_000)
    errors = observe(clock, 1, lambda i: 50 * MS if i < 20 else 0)
    assert np.all(errors[:20] > 49 * MS)
    assert np.abs(errors[20:]).max() < 0.01 * MS
    assert clock.restarts == 1


def test_a_delay_that_stays_is_believed_after_two_seconds():
    clock = DeviceClock(MS, 30_000)
    errors = observe(clock, 6, lambda i: 30 * MS if i >= 100 else 0)
    assert np.abs(errors[100:290]).max() < 31 * MS
    assert errors[-1] == pytest.approx(30 * MS, abs=0.1 * MS)
    assert clock.restarts == 1


def test_a_device_that_restarted_is_followed():
    clock = DeviceClock(MS, 30_000)
    observe(clock, 5)
    for i in range(100):
        host_ns = 60_000 * MS + i * 10 * MS
        stamped_ns = clock.host_ns(i * 10, host_ns)
    assert stamped_ns == pytest.approx(host_ns, abs=0.1 * MS)


def test_a_silence_longer_than_the_wrap_is_bridged_by_the_hosts_clock():
    clock = DeviceClock(MS, 30_000)
    clock.host_ns(1000, 1000 * MS)
    gap_ms = 3 * 30_000 + 12_000
    assert clock.host_ns((1000 + gap_ms) % 30_000, (1000 + gap_ms) * MS) == (1000 + gap_ms) * MS
    assert clock.restarts == 0


@given(st.lists(st.tuples(st.integers(0, 29_999), st.integers(0, 2**40)), max_size=40))
def test_anything_can_be_observed(observations):
    clock = DeviceClock(MS, 30_000)
    now_ns = 0
    for stamp, step_ns in observations:
        now_ns += step_ns
        assert isinstance(clock.host_ns(stamp, now_ns), int)


def test_a_reset_forgets_and_counts_on():
    clock = DeviceClock(MS, 30_000)
    observe(clock, 1, lambda i: 50 * MS if i < 20 else 0)
    clock.reset()
    assert clock.restarts == 1
    assert clock.host_ns(7, 123_456) == 123_456
