import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.timing import KEPT, LoopTiming

PERIOD_NS = 20_000_000
cycles = st.lists(
    st.tuples(st.integers(0, 3 * PERIOD_NS), st.integers(0, 3 * PERIOD_NS)), min_size=1
)


def note(timing: LoopTiming, i: int, lateness_ns: int, work_ns: int) -> None:
    deadline_ns = i * PERIOD_NS
    started_ns = deadline_ns + lateness_ns
    timing.note(deadline_ns, started_ns, started_ns + work_ns)


def test_before_the_first_cycle():
    assert LoopTiming(PERIOD_NS).status() == {"cycles": 0, "overruns": 0}


@given(cycles)
def test_counts_and_percentiles(cycles):
    timing = LoopTiming(PERIOD_NS)
    for i, (lateness_ns, work_ns) in enumerate(cycles):
        note(timing, i, lateness_ns, work_ns)
    status = timing.status()
    assert status["cycles"] == len(cycles)
    assert status["overruns"] == sum(late + work > PERIOD_NS for late, work in cycles)
    for name, values in zip(("lateness", "work"), zip(*cycles, strict=True), strict=True):
        milliseconds = np.array(values) * 1e-6
        assert status[f"{name}_max_ms"] == pytest.approx(milliseconds.max(), abs=1e-3)
        assert status[f"{name}_p50_ms"] == pytest.approx(np.median(milliseconds), abs=1e-3)
        assert status[f"{name}_p50_ms"] <= status[f"{name}_p99_ms"] <= status[f"{name}_max_ms"]


def test_a_cycle_that_ends_on_the_next_deadline_is_in_time():
    timing = LoopTiming(PERIOD_NS)
    note(timing, 0, 0, PERIOD_NS)
    assert timing.overruns == 0
    note(timing, 1, 1, PERIOD_NS)
    assert timing.overruns == 1


def test_percentiles_forget_but_counts_do_not():
    timing = LoopTiming(PERIOD_NS)
    note(timing, 0, 5 * PERIOD_NS, 0)
    for i in range(1, KEPT + 1):
        note(timing, i, 0, 1_000_000)
    status = timing.status()
    assert (status["cycles"], status["overruns"]) == (KEPT + 1, 1)
    assert status["lateness_max_ms"] == 0.0
    assert status["work_max_ms"] == 1.0
