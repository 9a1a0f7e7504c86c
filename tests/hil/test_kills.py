"""The real daemon is killed in the middle of orders with actions, and comes back."""

from collections import Counter
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.vda5050.messages import ActionStatus
from agent.vda5050.order_memory import Resume
from hil.kills import KillBench, KillOutcome, _misdeeds
from hil.ledger import AGAIN, BEGUN, DONE, ONCE
from hil.mosquitto import executable
from tests.agent.vda5050.acting import action


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("policy", Resume)
def test_no_kill_does_harm(policy: Resume, tmp_path: Path) -> None:
    if executable() is None:
        pytest.skip("mosquitto is not installed")
    outcomes: list[KillOutcome] = []
    KillBench(tmp_path, SystemClock(), 3, policy).run(2, outcomes.append)
    print(*outcomes, sep="\n")
    assert len(outcomes) == 2
    for outcome in outcomes:
        assert outcome.failures == ()


@pytest.mark.parametrize(
    ("kind", "ledger", "told", "is_amiss"),
    [
        (ONCE, {BEGUN: 1, DONE: 1}, "FINISHED", False),
        (ONCE, {BEGUN: 1}, "FAILED", False),
        (ONCE, {}, "FAILED", False),
        (ONCE, {BEGUN: 2, DONE: 1}, "FINISHED", True),
        (ONCE, {BEGUN: 1, DONE: 1}, "WAITING", True),
        (ONCE, {BEGUN: 1}, "FINISHED", True),
        (AGAIN, {BEGUN: 2, DONE: 1}, "FINISHED", False),
        (AGAIN, {BEGUN: 2, DONE: 2}, "FINISHED", True),
    ],
)
def test_the_bench_sees_what_is_amiss(
    kind: str, ledger: dict[str, int], told: str, is_amiss: bool
) -> None:
    noted = Counter({(what, "a"): count for what, count in ledger.items()})
    assert bool(_misdeeds(action("a", kind=kind), noted, ActionStatus(told))) is is_amiss
