"""Whether the pose may be used to drive, and why not: with hysteresis, and with a meaning.

What tells a wrong pose from a crowd is the share of rays that go *through* what the map says is
solid. People and pallets shorten rays, they never lengthen them, so on a right pose the share stays
near zero however few rays still hit the map. It is summed up as Page's cumulative sum ("Continuous
Inspection Schemes", Biometrika 41, 1954): one scan far beyond the usual is enough, and a little
too much again and again is enough as well.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le

from agent.geometry.pose import Pose2
from agent.localization.hypotheses import Hypothesis
from agent.localization.scan_matcher import Evidence

SLIP_WAY_M = 1.0  # way after which a correction has faded to a third
SLIP_FADE = 0.98  # per scan, so that the noise of scans taken at rest does not pile up


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthParams:
    """When localization counts as lost, and when as found.

    Attributes:
        through_usual: Share of rays through the map that is no cause for doubt.
        through_grave: Share that makes a pose lost at once; the doubt of a scan grows linearly from
            0 at the usual share to 1 here, and a sum of 1 is lost.
        proof_hits: Least share of hits of a scan that proves a place by itself.
        proof_through: Most rays through the map of such a scan.
        fair_hits: Least share of hits of a scan that supports a place.
        fair_through: Most rays through the map of such a scan.
        stated_hits: Least share of hits of a scan that supports a pose somebody stated.
        fair_scans: Scans in a row that must support a stated pose.
        fair_spots: Spots in a row, apart from one another, that must support a pose found by a
            search, where no scan proves it.
        patience_spots: Who searches long enough finds something that fits, on any map: for every
            so many spots in vain one more must support the pose, and two for each refuted place.
        patience_limit: How many more at most.
        stated_spots: Spots within which a stated pose must be supported; beyond, it counts as one
            that a search has found.
        established_spots: Spots after which a pose is beyond the doubts of how it was found.
        scarce_hits: Share of hits below which it is worth looking elsewhere.
        certain: Probability among all hypotheses that the best needs to be found.
        uncertain: Probability below which it is lost again.
        position_limit_m: Standard deviation of the position beyond which the pose is lost.
        heading_limit_rad: The same for the heading.
        slip_m: By how much scans may correct the odometry along a metre or so of way.
        slip_rad: The same for the heading.
        slip_share: The same as a share of the way and of the turn, on top.
        changed_through: Mean share of rays through the map from which on the hall has changed.
        changed_strange: The same for all rays that do not hit the map.
        changed_over_m: Way over which these means are taken: a crowd is not a changed hall.
        foreign_through: Mean share of rays through the map from which on it is of another place.
        missing: Share of rays that the map should have returned, and did not, from which on that is
            reported.
        covered: The same from which on the lidar counts as covered; glass accounts for less.
        warning_s: How long a warning stays after its cause.
        blind_scans: Scans in a row that say nothing after which the pose is lost.
        scan_timeout_s: Longest time without a scan.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    through_usual: Annotated[float, Ge(0), Le(1)] = 0.06
    through_grave: Annotated[float, Ge(0), Le(1)] = 0.30
    proof_hits: Annotated[float, Ge(0), Le(1)] = 0.92
    proof_through: Annotated[float, Ge(0), Le(1)] = 0.01
    fair_hits: Annotated[float, Ge(0), Le(1)] = 0.60
    fair_through: Annotated[float, Ge(0), Le(1)] = 0.01
    stated_hits: Annotated[float, Ge(0), Le(1)] = 0.70
    fair_scans: Annotated[int, Ge(1)] = 3
    fair_spots: Annotated[int, Ge(1)] = 4
    patience_spots: Annotated[int, Ge(1)] = 2
    patience_limit: Annotated[int, Ge(0)] = 12
    stated_spots: Annotated[int, Ge(1)] = 3
    established_spots: Annotated[int, Ge(1)] = 40
    scarce_hits: Annotated[float, Ge(0), Le(1)] = 0.40
    certain: Annotated[float, Gt(0), Le(1)] = 0.997
    uncertain: Annotated[float, Ge(0), Le(1)] = 0.90
    position_limit_m: Annotated[float, Gt(0)] = 0.5
    heading_limit_rad: Annotated[float, Gt(0)] = 0.2
    slip_m: Annotated[float, Gt(0)] = 0.20
    slip_rad: Annotated[float, Gt(0)] = 0.25
    slip_share: Annotated[float, Ge(0)] = 0.20
    changed_through: Annotated[float, Gt(0), Le(1)] = 0.025
    changed_strange: Annotated[float, Gt(0), Le(1)] = 0.60
    changed_over_m: Annotated[float, Gt(0)] = 3.0
    foreign_through: Annotated[float, Gt(0), Le(1)] = 0.08
    missing: Annotated[float, Gt(0), Le(1)] = 0.30
    covered: Annotated[float, Gt(0), Le(1)] = 0.40
    warning_s: Annotated[float, Gt(0)] = 3.0
    blind_scans: Annotated[int, Ge(1)] = 2
    scan_timeout_s: Annotated[float, Gt(0)] = 1.0


@dataclass(slots=True)
class SlipMeter:
    """How much the scans have corrected the odometry over the last metre or so.

    Attributes:
        way_m: Way by the odometry, older parts fading.
        turn_rad: Turn by the odometry.
        corrected_m: Corrections along and across the way, with their signs.
        across_m: The same across.
        corrected_rad: Corrections of the heading.
    """

    way_m: float = 0.0
    turn_rad: float = 0.0
    corrected_m: float = 0.0
    across_m: float = 0.0
    corrected_rad: float = 0.0

    def add(self, motion: Pose2, correction: Pose2) -> None:
        """Take the motion by the odometry and what a scan made of it, ``before_from_after``."""
        moved_m = motion.distance_m(Pose2.identity())
        fade = SLIP_FADE * math.exp(-moved_m / SLIP_WAY_M)
        self.way_m = fade * self.way_m + moved_m
        self.turn_rad = fade * self.turn_rad + abs(motion.yaw_rad)
        self.corrected_m = fade * self.corrected_m + correction.x_m
        self.across_m = fade * self.across_m + correction.y_m
        self.corrected_rad = fade * self.corrected_rad + correction.yaw_rad

    def exceeds(self, params: HealthParams) -> bool:
        """Return whether the wheels cannot have done what they told."""
        off_m = math.hypot(self.corrected_m, self.across_m)
        return (
            off_m > params.slip_m + params.slip_share * self.way_m
            or abs(self.corrected_rad) > params.slip_rad + params.slip_share * self.turn_rad
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What health is judged by after a scan.

    Attributes:
        best: The most likely hypothesis, ``None`` if there is none.
        rivals: How many others there are.
        certainty: Probability of the best among all.
        spots: How many spots, apart from one another, the hypotheses have been compared on.
        motion: Of the base since the scan before, by the odometry.
        missing: Share of the rays of the scan that the map should have returned, but did not.
    """

    best: Hypothesis | None
    rivals: int
    certainty: float
    spots: int
    motion: Pose2
    missing: float


class LocalizationHealth:
    """Judges the pose after every scan."""

    def __init__(self, params: HealthParams) -> None:
        self._params = params
        self.restart(stated=False)

    def restart(self, *, stated: bool) -> None:
        """Forget everything: there is a new pose, or none, and it has to prove itself.

        Args:
            stated: Whether somebody said where the robot is.
        """
        self._stated = stated
        self._found = False
        self._doubt = 0.0
        self._hits = 0.0
        self._fair_scans = 0
        self._fair_spots: set[int] = set()
        self._refuted = 0
        self._spot = 0
        self._vain_spots = self._found_spots = 0
        self._blind = 0
        self._score = 0.0
        self._verdict = "no scan has been compared with the map yet"
        self._newest_scan_ns: int | None = None
        self._warning, self._warned_ns = "", 0
        self._mean_through = self._mean_strange = 0.0
        self._slip = SlipMeter()

    @property
    def found(self) -> bool:
        """Whether the pose has proved itself and nothing speaks against it."""
        return self._found

    @property
    def score(self) -> float:
        """See :class:`agent.localization.estimate.PoseEstimate`."""
        return self._score

    @property
    def is_doubtful(self) -> bool:
        """Whether it is worth asking if the robot might be somewhere else."""
        return not self._found or self._doubt >= 0.2 or self._hits < self._params.scarce_hits

    def is_proof(self, evidence: Evidence) -> bool:
        """Return whether a scan proves a place by itself."""
        p = self._params
        return evidence.hits >= p.proof_hits and evidence.through <= p.proof_through

    def observe_blindness(self, stamp_ns: int, what: str) -> None:
        """Take note of a scan that says nothing, and of what is wrong with it."""
        self._blind += 1
        self._newest_scan_ns = stamp_ns
        if self._blind >= self._params.blind_scans:
            self._lose(what)

    def observe(self, stamp_ns: int, situation: Situation) -> None:
        """Judge the pose by the newest scan."""
        self._newest_scan_ns = stamp_ns
        if situation.missing >= self._params.covered:
            share = f"{situation.missing:.0%}"
            self.observe_blindness(
                stamp_ns, f"the lidar is covered: {share} of its rays miss walls of the map"
            )
            return
        self._blind = 0
        best = situation.best
        if best is None:
            self._score, self._verdict = 0.0, "searching the whole map"
            return
        p, evidence = self._params, best.evidence
        explained = evidence.hits + evidence.through
        self._score = situation.certainty * (evidence.hits / explained if explained else 0.0)
        self._count_spot(situation.spots)
        self._weigh(evidence, situation.spots)
        self._accumulate(situation, best)
        self._warn(stamp_ns, situation)
        if against := self._objection(situation, best):
            self._refuted += self._found
            self._lose(against)
        elif self._is_proved(situation, evidence):
            self._found, self._verdict = True, ""
        elif not self._found:
            self._verdict = (
                f"{evidence.hits:.0%} of the rays fit the map, too few to be sure"
                if situation.certainty >= p.certain
                else _ambiguity(situation)
            )

    def reason(self, now_ns: int) -> str:
        """Return why the pose may not be used to drive, empty when it may."""
        if self._newest_scan_ns is not None:
            age_s = (now_ns - self._newest_scan_ns) * 1e-9
            if age_s > self._params.scan_timeout_s:
                return f"no usable scan for {age_s:.1f} s"
        return self._verdict

    def warning(self, now_ns: int) -> str:
        """Return what is odd although the pose may be used, empty when nothing is."""
        age_s = (now_ns - self._warned_ns) * 1e-9
        return self._warning if self._warning and age_s <= self._params.warning_s else ""

    def _count_spot(self, spot: int) -> None:
        """Count the spots on which the pose has been found, or searched for in vain."""
        if spot == self._spot:
            return
        self._spot = spot
        if not self._found:
            self._vain_spots += 1
            self._found_spots = 0
            return
        self._found_spots += 1
        if self._found_spots == self._params.established_spots:
            self._vain_spots = self._refuted = 0

    def _weigh(self, evidence: Evidence, spot: int) -> None:
        """Sum up doubt and support."""
        p = self._params
        self._hits = evidence.hits
        excess = (evidence.through - p.through_usual) / (p.through_grave - p.through_usual)
        if excess > 0.0:
            self._doubt += excess
        elif evidence.hits >= p.scarce_hits:
            self._doubt *= 0.5
        is_fair = evidence.hits >= p.fair_hits and evidence.through <= p.fair_through
        self._fair_scans = self._fair_scans + 1 if is_fair and evidence.hits >= p.stated_hits else 0
        if is_fair:
            self._fair_spots.add(spot)
        elif self._fair_spots:
            self._refuted += not self._found and evidence.through > p.through_usual
            self._fair_spots.clear()

    def _objection(self, situation: Situation, best: Hypothesis) -> str:
        p = self._params
        position_m, heading_rad = stddevs(best)
        if self._doubt >= 1.0:
            return (
                f"{best.evidence.through:.0%} of the rays go through walls of the map: "
                "this is another place, or the map is of another one"
            )
        if self._mean_through > p.foreign_through:
            return (
                f"{self._mean_through:.0%} of the rays go through walls of the map for a while: "
                "it is of another place, or of another time"
            )
        if position_m > p.position_limit_m:
            return f"the position is known to {position_m:.1f} m only: nothing in sight fixes it"
        if heading_rad > p.heading_limit_rad:
            return f"the heading is known to {math.degrees(heading_rad):.0f} degrees only"
        if self._found and situation.certainty < p.uncertain:
            return _ambiguity(situation)
        return ""

    def _is_proved(self, situation: Situation, evidence: Evidence) -> bool:
        p = self._params
        if situation.certainty < p.certain:
            return False
        spots = len(self._fair_spots)
        vain = max(0, self._vain_spots - spots) // p.patience_spots
        patience = min(vain + max(0, 2 * self._refuted - 1), p.patience_limit)
        return (
            (self.is_proof(evidence) and spots >= patience)
            or (
                self._stated
                and self._fair_scans >= p.fair_scans
                and self._vain_spots <= p.stated_spots
            )
            or spots >= p.fair_spots + patience
        )

    def _lose(self, verdict: str) -> None:
        self._found = self._stated = False
        self._doubt = min(self._doubt, 1.0)
        self._fair_spots.clear()
        self._verdict = verdict

    def _accumulate(self, situation: Situation, best: Hypothesis) -> None:
        """Take the means over the way, of a pose that has proved itself."""
        if not self._found:
            self._mean_through = self._mean_strange = 0.0
            self._slip = SlipMeter()
            return
        evidence = best.evidence
        moved_m = situation.motion.distance_m(Pose2.identity())
        gain = 1.0 - math.exp(-moved_m / self._params.changed_over_m)
        self._mean_through += gain * (evidence.through - self._mean_through)
        self._mean_strange += gain * (evidence.short + evidence.through - self._mean_strange)
        self._slip.add(situation.motion, best.correction)

    def _warn(self, stamp_ns: int, situation: Situation) -> None:
        p = self._params
        if self._slip.exceeds(p):
            warning = "the wheels disagree with the lidar: they slip, or the robot was moved"
        elif situation.missing >= p.missing:
            warning = f"{situation.missing:.0%} of the rays miss walls: is the lidar covered?"
        elif self._mean_through > p.changed_through or self._mean_strange > p.changed_strange:
            warning = (
                f"{self._mean_strange:.0%} of what the lidar sees is not on the map, "
                f"{self._mean_through:.0%} goes through its walls: the hall has changed"
            )
        else:
            return
        self._warning, self._warned_ns = warning, stamp_ns


def stddevs(hypothesis: Hypothesis) -> tuple[float, float]:
    """Return the standard deviation of the position along its worst direction, and of heading."""
    covariance = hypothesis.belief.covariance
    position = float(np.sqrt(np.linalg.eigvalsh(covariance[:2, :2])[-1]))
    return position, math.sqrt(float(covariance[2, 2]))


def _ambiguity(situation: Situation) -> str:
    return f"{situation.rivals + 1} places fit what the lidar sees"
