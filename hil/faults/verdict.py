"""What counts as noticed: traces of runs, and the verdict on each.

A pose is *claimed* while the localizer says that it may be driven with; a claim is *wrong* when
the pose is more than 0.5 m off. An *alarm* is the end of a claim, or a warning beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]

WRONG_M: Final = 0.5
RIGHT_M: Final = 0.3


@dataclass(slots=True)
class Trace:
    """What the localizer said in a run and what was true, sample by sample.

    Attributes:
        time_s: Time of each sample.
        travelled_m: How far the robot had truly driven.
        error_m: How far the pose was off, inf without one.
        claimed: Whether the pose was claimed.
        warned: Whether there was a warning.
    """

    time_s: list[float] = field(default_factory=list)
    travelled_m: list[float] = field(default_factory=list)
    error_m: list[float] = field(default_factory=list)
    claimed: list[bool] = field(default_factory=list)
    warned: list[bool] = field(default_factory=list)

    def add(
        self, time_s: float, travelled_m: float, error_m: float, *, claimed: bool, warned: bool
    ) -> None:
        """Append a sample."""
        self.time_s.append(time_s)
        self.travelled_m.append(travelled_m)
        self.error_m.append(error_m)
        self.claimed.append(claimed)
        self.warned.append(warned)

    @property
    def right_now(self) -> bool:
        """Whether the newest sample claims a right pose and has nothing to warn of."""
        return self.claimed[-1] and not self.warned[-1] and self.error_m[-1] <= RIGHT_M

    def arrays(self) -> "Samples":
        """Return the trace as arrays."""
        return Samples(
            np.array(self.time_s),
            np.array(self.travelled_m),
            np.array(self.error_m),
            np.array(self.claimed, dtype=np.bool_),
            np.array(self.warned, dtype=np.bool_),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """A trace as arrays, see :class:`Trace`."""

    time_s: FloatArray
    travelled_m: FloatArray
    error_m: FloatArray
    claimed: BoolArray
    warned: BoolArray

    @property
    def wrong(self) -> BoolArray:
        """Where a wrong pose is claimed."""
        return self.claimed & (self.error_m > WRONG_M)

    @property
    def right(self) -> BoolArray:
        """Where a right pose is claimed, without a warning."""
        return self.claimed & ~self.warned & (self.error_m <= RIGHT_M)

    def way_m(self, begin: int, end: int) -> float:
        """Return the way driven between two samples."""
        return float(self.travelled_m[end] - self.travelled_m[begin])


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on a run.

    Attributes:
        detected: The fault was noticed as its criterion asks.
        held: It was not, but no claimed pose was more than 0.3 m off either.
        wrong_m: Way driven while a wrong pose was claimed.
        stopped_m: The same, with the way until the robot stands.
        delay_s: Time from the fault to the alarm, None without one.
        delay_m: Way driven in this time.
        false_alarms: Claims that ended before there was a fault.
        false_warnings: Warnings beside a claim before there was a fault.
        recovered_s: Time from the fault until, after the alarm, a right pose is claimed again.
    """

    detected: bool
    held: bool
    wrong_m: float
    stopped_m: float
    delay_s: float | None = None
    delay_m: float | None = None
    false_alarms: int = 0
    false_warnings: int = 0
    recovered_s: float | None = None

    @property
    def missed(self) -> bool:
        """Neither noticed nor harmless."""
        return not self.detected and not self.held


class Criterion(Protocol):
    """When a fault counts as noticed."""

    @property
    def text(self) -> str:
        """The criterion in words."""

    def judge(self, trace: Trace, moment_s: float, braking_mps2: float | None) -> Outcome:
        """Return the verdict on a run.

        Args:
            trace: The run.
            moment_s: When the fault began.
            braking_mps2: Deceleration to reckon the way of braking with, None where the trace
                shows the robot braking.
        """


@dataclass(frozen=True, slots=True)
class Alarm:
    """Noticed when, after the fault, an alarm comes and no claimed pose is too far off.

    Attributes:
        text: The criterion in words.
        warning_counts: Whether a warning is alarm enough.
        most_off_m: A claimed pose further off makes the fault a missed one.
        correction_counts: Whether it is enough that the claimed pose is right again.
    """

    text: str
    warning_counts: bool = True
    most_off_m: float = WRONG_M
    correction_counts: bool = False

    def judge(self, trace: Trace, moment_s: float, braking_mps2: float | None) -> Outcome:
        """Return the verdict on a run, see :class:`Criterion`."""
        samples = trace.arrays()
        after = samples.time_s >= moment_s
        alarm = ~samples.claimed
        if self.warning_counts:
            alarm = alarm | samples.warned
        if self.correction_counts:
            alarm = alarm | (samples.error_m <= WRONG_M)
        noticed = _first(alarm & after)
        off_m = float(samples.error_m[samples.claimed & after].max(initial=0.0))
        detected = noticed is not None and off_m <= self.most_off_m
        found = None if noticed is None else _first(samples.right, noticed)
        begin = int(np.searchsorted(samples.time_s, moment_s))
        lost, warnings = _false_alarms(samples, ~after)
        return Outcome(
            detected,
            not detected and off_m <= RIGHT_M,
            *_driven_wrong_m(samples, braking_mps2),
            delay_s=None if noticed is None else float(samples.time_s[noticed]) - moment_s,
            delay_m=None if noticed is None else samples.way_m(begin, noticed),
            false_alarms=lost,
            false_warnings=warnings,
            recovered_s=None if found is None else float(samples.time_s[found]) - moment_s,
        )


@dataclass(frozen=True, slots=True)
class Calm:
    """Held when nothing is wrong and nobody cries: no alarm, no claimed pose over 0.3 m off.

    What happens before the first claim is no alarm. Nothing can be detected.

    Attributes:
        text: The criterion in words.
        warning_counts: Whether a warning is an alarm.
    """

    text: str
    warning_counts: bool = True

    def judge(self, trace: Trace, moment_s: float, braking_mps2: float | None) -> Outcome:
        """Return the verdict on a run, see :class:`Criterion`; the moment does not matter."""
        samples = trace.arrays()
        lost, warnings = _false_alarms(samples, np.ones_like(samples.claimed))
        calm = lost == 0 and not (warnings and self.warning_counts)
        off_m = float(samples.error_m[samples.claimed].max(initial=0.0))
        return Outcome(
            False,
            calm and off_m <= RIGHT_M and bool(samples.claimed.any()),
            *_driven_wrong_m(samples, braking_mps2),
            false_alarms=lost,
            false_warnings=warnings,
        )


@dataclass(frozen=True, slots=True)
class Silence:
    """Noticed when no pose is claimed before the moment, and no wrong one ever.

    For maps that fit nowhere, where that moment never comes, and for places that are alike, where
    it comes when the robot has seen what tells them apart.

    Attributes:
        text: The criterion in words.
    """

    text: str

    def judge(self, trace: Trace, moment_s: float, braking_mps2: float | None) -> Outcome:
        """Return the verdict on a run, see :class:`Criterion`."""
        samples = trace.arrays()
        early = samples.claimed & (samples.time_s < moment_s)
        found = _first(samples.right & (samples.time_s >= moment_s))
        return Outcome(
            not bool(early.any() or samples.wrong.any()),
            False,
            *_driven_wrong_m(samples, braking_mps2),
            recovered_s=None if found is None else float(samples.time_s[found]) - moment_s,
        )


def _first(where: BoolArray, begin: int = 0) -> int | None:
    hits = np.flatnonzero(where[begin:])
    return begin + int(hits[0]) if hits.size else None


def _false_alarms(samples: Samples, before: BoolArray) -> tuple[int, int]:
    """Return how many claims ended, and how many warnings began, before the fault."""
    claimed, warned = samples.claimed[before], (samples.warned & samples.claimed)[before]
    lost = int((claimed[:-1] & ~claimed[1:]).sum())
    return lost, int((~warned[:-1] & warned[1:]).sum()) + int(warned[:1].sum())


def _driven_wrong_m(samples: Samples, braking_mps2: float | None) -> tuple[float, float]:
    """Return the way on wrong claimed poses, without and with that until standstill."""
    wrong_m = stopped_m = 0.0
    stopping = False
    wrong = samples.wrong.tolist()
    for i in range(1, len(wrong)):
        step_m = samples.way_m(i - 1, i)
        if wrong[i - 1]:
            wrong_m += step_m
            stopped_m += step_m
            stopping = not samples.claimed[i]
            if stopping and braking_mps2 is not None:
                step_s = float(samples.time_s[i] - samples.time_s[i - 1])
                stopped_m += (step_m / step_s) ** 2 / (2.0 * braking_mps2)
        elif stopping and braking_mps2 is None:
            stopping = step_m > 0.0 and not samples.claimed[i - 1]
            stopped_m += step_m if stopping else 0.0
    return wrong_m, stopped_m


@dataclass(frozen=True, slots=True)
class Row:
    """The verdicts on all runs of a fault.

    Attributes:
        fault: Name of the fault.
        criterion: When it counts as detected.
        runs: How many there were.
        detected: How many were noticed as asked.
        held: How many were not, without harm: the pose stayed within 0.3 m.
        missed: The rest.
        delay_s: Median and 95th percentile of the time until the alarm.
        delay_m: The same of the way driven until then.
        false_alarms: Claims that ended before the fault, over all runs.
        false_warnings: Warnings before the fault, over all runs.
        wrong_m: Mean and maximum of the way driven on a wrong claimed pose.
        stopped_m: The same, until the robot stands.
        recovered: Runs in which a right pose was claimed again.
        recovered_s: Median and 95th percentile of the time from the fault until then.
    """

    fault: str
    criterion: str
    runs: int
    detected: int
    held: int
    missed: int
    delay_s: tuple[float, float] | None
    delay_m: tuple[float, float] | None
    false_alarms: int
    false_warnings: int
    wrong_m: tuple[float, float]
    stopped_m: tuple[float, float]
    recovered: int
    recovered_s: tuple[float, float] | None


def summarize(fault: str, criterion: str, outcomes: Sequence[Outcome]) -> Row:
    """Return the row of a fault from at least one run."""
    recovered = [o.recovered_s for o in outcomes if o.recovered_s is not None]
    return Row(
        fault=fault,
        criterion=criterion,
        runs=len(outcomes),
        detected=sum(o.detected for o in outcomes),
        held=sum(o.held for o in outcomes),
        missed=sum(o.missed for o in outcomes),
        delay_s=_spread([o.delay_s for o in outcomes if o.delay_s is not None]),
        delay_m=_spread([o.delay_m for o in outcomes if o.delay_m is not None]),
        false_alarms=sum(o.false_alarms for o in outcomes),
        false_warnings=sum(o.false_warnings for o in outcomes),
        wrong_m=_mean_and_most([o.wrong_m for o in outcomes]),
        stopped_m=_mean_and_most([o.stopped_m for o in outcomes]),
        recovered=len(recovered),
        recovered_s=_spread(recovered),
    )


def _spread(values: Sequence[float]) -> tuple[float, float] | None:
    if not values:
        return None
    return float(np.median(values)), float(np.percentile(values, 95))


def _mean_and_most(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), max(values)
