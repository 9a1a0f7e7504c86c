from agent.telemetry.timing import KEPT, LoopTiming

PERIOD_NS = 20_000_000


def test_lateness_and_work_are_told_apart() -> None:
    timing = LoopTiming(PERIOD_NS)
    timing.note(deadline_ns=0, started_ns=1_000_000, ended_ns=4_000_000)
    status = timing.status()
    assert (status["cycles"], status["overruns"]) == (1, 0)
    assert (status["lateness_max_ms"], status["work_max_ms"]) == (1.0, 3.0)


def test_a_cycle_that_ends_after_the_next_should_begin_overran() -> None:
    timing = LoopTiming(PERIOD_NS)
    timing.note(0, 0, PERIOD_NS)
    timing.note(0, 0, PERIOD_NS + 1)
    timing.note(0, 15_000_000, 25_000_000)
    assert timing.overruns == 2


def test_percentiles_forget_but_counts_do_not() -> None:
    timing = LoopTiming(PERIOD_NS)
    timing.note(0, 0, 10 * PERIOD_NS)
    for _ in range(KEPT):
        timing.note(0, 0, 1_000_000)
    status = timing.status()
    assert (status["cycles"], status["overruns"]) == (KEPT + 1, 1)
    assert status["work_max_ms"] == 1.0


def test_before_the_first_cycle_there_are_no_percentiles() -> None:
    assert LoopTiming(PERIOD_NS).status() == {"cycles": 0, "overruns": 0}
