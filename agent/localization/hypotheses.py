"""A bank of hypotheses: all places where the robot may be, each followed until motion decides.

Multiple hypothesis tracking: Jensfelt, Kristensen, "Active Global Localization for a Mobile Robot
Using Multiple Hypothesis Tracking", IEEE Transactions on Robotics and Automation 17 (2001).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt

from agent.geometry.pose import Pose2
from agent.localization.motion_model import Belief, MotionParams, predict
from agent.localization.scan_matcher import Evidence, Match


@dataclass(frozen=True, slots=True, kw_only=True)
class BankParams:
    """How hypotheses compete.

    Attributes:
        most: Most hypotheses that are followed.
        log_odds_floor: A hypothesis this much less likely than the best is dropped.
        apart_m: Hypotheses nearer than this, and of similar heading, are one.
        apart_rad: What a similar heading is.
        fresh_m: Way after which a scan is news; scans taken on the spot say the same again.
        fresh_rad: The same for turning.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    most: Annotated[int, Ge(2)] = 8
    log_odds_floor: Annotated[float, Gt(0)] = 15.0
    apart_m: Annotated[float, Gt(0)] = 0.3
    apart_rad: Annotated[float, Gt(0)] = 0.15
    fresh_m: Annotated[float, Gt(0)] = 0.3
    fresh_rad: Annotated[float, Gt(0)] = 0.3


@dataclass(slots=True, eq=False)
class Hypothesis:
    """One place where the robot may be.

    Attributes:
        belief: Where, at the newest scan, or by odometry since.
        match: What the newest scan made of it.
        prediction: What the odometry had said before that scan.
        log_weight: Log-likelihood of the scans of earlier spots, and of the prior.
        spot_log_likelihood: Mean over the scans of the present spot.
        spot_scans: How many these are.
    """

    belief: Belief
    match: Match
    prediction: Belief
    log_weight: float
    spot_log_likelihood: float = 0.0
    spot_scans: int = 0

    @property
    def evidence(self) -> Evidence:
        """What the newest scan says."""
        return self.match.evidence

    @property
    def score(self) -> float:
        """Log-weight with the present spot."""
        return self.log_weight + self.spot_log_likelihood

    @property
    def correction(self) -> Pose2:
        """By how much the newest scan has corrected the odometry, seen from the base."""
        return self.prediction.pose.inverse() @ self.match.belief.pose

    def observe(self, match: Match, prediction: Belief) -> None:
        """Take where the newest scan fits, and where it was expected to."""
        self.belief, self.match, self.prediction = match.belief, match, prediction
        self.spot_scans += 1
        gain = 1.0 / self.spot_scans
        self.spot_log_likelihood += gain * (
            match.evidence.log_likelihood - self.spot_log_likelihood
        )

    def leave_spot(self) -> None:
        """The robot has moved on: what comes now is news."""
        self.log_weight += self.spot_log_likelihood
        self.spot_log_likelihood, self.spot_scans = 0.0, 0


def hypothesis(match: Match, log_weight: float) -> Hypothesis:
    """Return a new hypothesis from a first match."""
    born = Hypothesis(match.belief, match, match.belief, log_weight)
    born.observe(match, match.belief)
    return born


class HypothesisBank:
    """The hypotheses, the most likely one first."""

    def __init__(self, params: BankParams) -> None:
        self._params = params
        self._hypotheses: list[Hypothesis] = []
        self._since_spot = Pose2.identity()
        self.spots = 0

    def __len__(self) -> int:
        return len(self._hypotheses)

    def __iter__(self) -> Iterator[Hypothesis]:
        return iter(self._hypotheses)

    @property
    def best(self) -> Hypothesis | None:
        """The most likely hypothesis, ``None`` if there is none."""
        return self._hypotheses[0] if self._hypotheses else None

    @property
    def certainty(self) -> float:
        """Posterior probability of the best among all, 0 if there is none."""
        if not self._hypotheses:
            return 0.0
        top = self._hypotheses[0].score
        return 1.0 / sum(math.exp(h.score - top) for h in self._hypotheses)

    def restart(self, hypotheses: Iterable[Hypothesis]) -> None:
        """Begin anew with these."""
        self._hypotheses = list(hypotheses)
        self._since_spot, self.spots = Pose2.identity(), 1
        self.compete()

    def join(self, hypotheses: Iterable[Hypothesis]) -> None:
        """Take in more; of two in one place the more likely stays."""
        self._hypotheses.extend(hypotheses)
        self.compete()

    def predict(self, before_from_after: Pose2, motion: MotionParams) -> None:
        """Move all with the odometry."""
        for h in self._hypotheses:
            h.belief = predict(h.belief, before_from_after, motion, motion.distrust)
        self._since_spot = self._since_spot @ before_from_after
        p = self._params
        if not self._since_spot.is_near(Pose2.identity(), p.fresh_m, p.fresh_rad):
            self._since_spot = Pose2.identity()
            self.spots += 1
            for h in self._hypotheses:
                h.leave_spot()

    def forget_weights(self) -> None:
        """Put all on the footing of the newest scan alone."""
        for h in self._hypotheses:
            h.log_weight = 0.0
        self.compete()

    def compete(self) -> None:
        """Drop what has become unlikely, and merge what has met."""
        p = self._params
        kept: list[Hypothesis] = []
        for h in sorted(self._hypotheses, key=lambda h: -h.score):
            if len(kept) == p.most or (kept and h.score < kept[0].score - p.log_odds_floor):
                break
            if not any(self.same_place(h, other) for other in kept):
                kept.append(h)
        self._hypotheses = kept
        if kept:  # only differences count, and sums must not grow for ever
            top = kept[0].log_weight
            for h in kept:
                h.log_weight -= top

    def same_place(self, one: Hypothesis, other: Hypothesis) -> bool:
        """Return whether two hypotheses are one and the same."""
        p = self._params
        return one.belief.pose.is_near(other.belief.pose, p.apart_m, p.apart_rad)
