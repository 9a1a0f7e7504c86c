import math

import pytest

from hil.faults import FAULTS
from hil.faults.criteria import CRITERIA
from hil.faults.verdict import Alarm, Calm, Silence, Trace, summarize

STEP_S = 0.1


def trace(samples, speed_mps=1.0):
    """Samples are (error, claimed, warned), a tenth of a second apart."""
    result, way_m = Trace(), 0.0
    for index, (error_m, claimed, warned) in enumerate(samples):
        way_m += speed_mps * STEP_S if index else 0.0
        result.add(index * STEP_S, way_m, error_m, claimed=claimed, warned=warned)
    return result


RIGHT, WRONG = (0.02, True, False), (2.0, True, False)
WARNED, LOST = (0.02, True, True), (2.0, False, False)


def test_every_fault_has_a_criterion():
    assert tuple(CRITERIA) == FAULTS
    assert len({criterion.text for criterion in CRITERIA.values()}) >= len(FAULTS) - 2


def test_kidnapping_is_noticed_when_the_claim_ends():
    run = trace([RIGHT] * 10 + [WRONG] * 4 + [LOST] * 6 + [RIGHT] * 5)
    outcome = CRITERIA["kidnapping"].judge(run, 1.0, None)
    assert outcome.detected and not outcome.missed
    assert outcome.delay_s == pytest.approx(0.4)
    assert outcome.delay_m == pytest.approx(0.4)
    assert outcome.wrong_m == pytest.approx(0.4)
    assert outcome.stopped_m == pytest.approx(1.0)  # the trace never stands while it is lost
    assert outcome.recovered_s == pytest.approx(1.0)
    assert outcome.false_alarms == 0


def test_warning_does_not_excuse_a_wrong_pose_after_kidnapping():
    run = trace([RIGHT] * 10 + [(2.0, True, True)] * 20)
    outcome = CRITERIA["kidnapping"].judge(run, 1.0, None)
    assert outcome.missed and outcome.delay_s is None and outcome.recovered_s is None
    assert outcome.wrong_m == pytest.approx(1.9)


def test_way_of_braking_is_reckoned_where_the_robot_goes_on():
    run = trace([RIGHT] * 10 + [WRONG] * 4 + [LOST] * 60)
    outcome = CRITERIA["kidnapping"].judge(run, 1.0, 0.5)
    assert outcome.wrong_m == pytest.approx(0.4)
    assert outcome.stopped_m == pytest.approx(0.4 + 1.0)


def test_slip_needs_alarm_and_accuracy():
    slip = CRITERIA["slip"]
    assert slip.judge(trace([RIGHT] * 10 + [WARNED] * 5), 1.0, None).detected
    assert slip.judge(trace([RIGHT] * 20), 1.0, None).held
    off = trace([RIGHT] * 10 + [(0.4, True, True)] * 5)
    assert slip.judge(off, 1.0, None).missed


def test_alarms_before_the_fault_are_false():
    run = trace([LOST] * 3 + [RIGHT] * 3 + [LOST] + [RIGHT] * 2 + [WARNED] + [RIGHT] * 2 + [LOST])
    outcome = Alarm("text").judge(run, 1.2, None)
    assert (outcome.false_alarms, outcome.false_warnings) == (1, 1)
    assert outcome.detected


def test_calm_is_held_only_without_alarm_and_error():
    calm = Calm("text")
    assert calm.judge(trace([LOST] * 3 + [RIGHT] * 9), math.inf, None).held
    for spoiled in ([WARNED], [LOST], [(0.4, True, False)]):
        assert calm.judge(trace([RIGHT] * 3 + spoiled + [RIGHT]), math.inf, None).missed
    assert calm.judge(trace([LOST] * 9), math.inf, None).missed
    warned = Calm("text", warning_counts=False).judge(trace([RIGHT, WARNED]), math.inf, None)
    assert warned.held and warned.false_warnings == 1


def test_silence_is_broken_by_early_and_by_wrong_claims():
    silence = Silence("text")
    found = silence.judge(trace([LOST] * 10 + [RIGHT] * 5), 0.7, None)
    assert found.detected and found.recovered_s == pytest.approx(0.3)
    assert silence.judge(trace([LOST] * 10), math.inf, None).detected
    assert silence.judge(trace([LOST] * 4 + [RIGHT] * 5), 0.7, None).missed
    assert silence.judge(trace([LOST] * 10 + [WRONG] * 5), 0.7, None).missed


def test_row_counts_and_spreads():
    runs = [trace([RIGHT] * 10 + [WRONG] * n + [LOST] * 3) for n in (1, 2, 6)]
    outcomes = [CRITERIA["kidnapping"].judge(run, 1.0, 1.0) for run in runs]
    outcomes.append(CRITERIA["kidnapping"].judge(trace([RIGHT] * 10 + [WRONG] * 9), 1.0, 1.0))
    row = summarize("kidnapping", "text", outcomes)
    assert (row.runs, row.detected, row.held, row.missed) == (4, 3, 0, 1)
    assert row.delay_s == pytest.approx((0.2, 0.56))
    assert row.wrong_m[1] == pytest.approx(0.8)
    assert row.recovered == 0 and row.recovered_s is None
