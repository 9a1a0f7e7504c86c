"""What the stops by one cause come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from hil.stops.bench import TOLERANCE_M, StopOutcome

MiddleAndMost: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class StopRow:
    """What the stops by one cause came to; pairs are median and maximum of those there were.

    Attributes:
        cause: What happened.
        runs: How often.
        stopped: How often a command of zero led to rest, or there was no reason for it any more.
        found_s: Time until a robot that was carried off knew its place again, driving.
        zero_s: Time to the zero command.
        within_s: How long that may take, None where it is up to the robot.
        rest_s: Time to standstill.
        way_m: Way to standstill, or until it knew its place again.
        rolled_m: Way from the zero command to standstill.
        predicted_m: Largest prediction of the latter.
        exceeded: How often it was exceeded by more than the tolerance.
        excess_m: By how much it was exceeded at most, negative if it never was.
        clearance_m: Least clearance to an obstacle, where there was one.
        contacts: How often the robot touched something.
        named: How often it called the cause by its name, and told the platform.
        passed: Whether nothing was amiss in any run.
    """

    cause: str
    runs: int
    stopped: int
    found_s: MiddleAndMost | None
    zero_s: MiddleAndMost | None
    within_s: float | None
    rest_s: MiddleAndMost | None
    way_m: MiddleAndMost | None
    rolled_m: MiddleAndMost | None
    predicted_m: float
    exceeded: int
    excess_m: float
    clearance_m: float | None
    contacts: int
    named: int
    passed: bool


def summarize(outcomes: Sequence[StopOutcome]) -> StopRow:
    """Sum up the stops by one cause."""
    stopped = [outcome for outcome in outcomes if outcome.stopped]
    rested = [outcome for outcome in stopped if outcome.rest_s is not None]
    clearances_m = [outcome.clearance_m for outcome in outcomes if outcome.clearance_m is not None]
    return StopRow(
        cause=outcomes[0].cause,
        runs=len(outcomes),
        stopped=len(stopped),
        found_s=_middle_and_most([outcome.found_s for outcome in outcomes]),
        zero_s=_middle_and_most([outcome.zero_s for outcome in outcomes]),
        within_s=outcomes[0].within_s,
        rest_s=_middle_and_most([outcome.rest_s for outcome in rested]),
        way_m=_middle_and_most([outcome.way_m for outcome in stopped]),
        rolled_m=_middle_and_most([outcome.rolled_m for outcome in rested]),
        predicted_m=max(outcome.predicted_m for outcome in outcomes),
        exceeded=sum(outcome.excess_m > TOLERANCE_M for outcome in rested),
        excess_m=max((outcome.excess_m for outcome in rested), default=0.0),
        clearance_m=min(clearances_m, default=None),
        contacts=sum(outcome.contact is not None for outcome in outcomes),
        named=sum(outcome.named for outcome in outcomes),
        passed=not any(outcome.failures for outcome in outcomes),
    )


def _middle_and_most(values: Sequence[float | None]) -> MiddleAndMost | None:
    known = [value for value in values if value is not None]
    return (float(np.median(known)), max(known)) if known else None
