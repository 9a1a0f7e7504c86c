"""Localization: odometry and scans in, a pose on the map out.

The estimator is a bank of hypotheses, each a Gaussian over the pose that is followed by itself:

1. **Predict** with the odometry; the noise is a random walk (:mod:`.motion_model`).
2. **Match**: a lattice of poses around the prediction, as wide as the prediction is unsure, is
   correlated with the scan (Olson, ICRA 2009); from its peaks Gauss-Newton descends on the distance
   field of the map (Fitzgibbon, "Robust registration of 2D and 3D point sets", Image and Vision
   Computing 21, 2003) below the cell, with Geman and McClure's kernel, which tightens from step to
   step, so that people, forklifts and moved pallets lose their pull (Black, Rangarajan, IJCV 19,
   1996). The odometry is a prior with Student's tails: along a bare corridor, where the curvature
   of the scan is nil, it keeps the pose; where the scan is clear it overrules slipping wheels. The
   curvature at the end is the covariance (:mod:`.scan_matcher`, :mod:`agent.kernels.registration`).
3. **Weigh**: every ray is a hit, short of the map or *through* it, a beam model in the sense of
   Thrun, Burgard, Fox, "Probabilistic Robotics", section 6.3, with the likelihood field for hits
   (:mod:`agent.kernels.visibility`). Likelihoods are tempered, as neighbouring rays are not
   independent, and scans of one spot count once.
4. **Doubt**: where the scan fits worse than it should, the surroundings are searched for the place
   that slipping wheels have missed; where it goes on to, the whole map is, by branch and bound
   (Hess, Kohler, Rapp, Andor, ICRA 2016; :mod:`.pose_search`), a slice per tick. What is found
   joins the bank and competes (Jensfelt, Kristensen, 2001; :mod:`.hypotheses`).
5. **Judge**: the pose may be used while its probability among all hypotheses is high, the rays do
   not contradict the map, and its covariance is small (:mod:`.health`).

There is no randomness in it: the same inputs give the same poses, bit for bit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from agent.errors import MapError
from agent.geometry.points import thinned
from agent.geometry.pose import Pose2
from agent.localization.estimate import PoseEstimate
from agent.localization.health import LocalizationHealth, Situation
from agent.localization.hypotheses import Hypothesis, HypothesisBank, hypothesis
from agent.localization.missing_rays import NOTHING_MISSING, DarkSectors, missing_rays
from agent.localization.motion_model import Belief, predict
from agent.localization.odometry_history import Intake, OdometryHistory
from agent.localization.params import LocalizationParams, Spread
from agent.localization.place import Place
from agent.localization.pose_search import PoseSearch, Window
from agent.localization.scan_matcher import ScanMatcher
from agent.localization.sweep import Sweep, SweepAssembly
from drivers.measurement import Odometry, Scan

# How well a search of the whole map knows a place: squares of 0.1 m, headings of 2 degrees.
SEARCHED = np.diag(np.square([0.1, 0.1, 0.03]))


# A scan that stays the same to the last digit while the base moves this far is not a scan.
FROZEN_M = 0.05
FROZEN_RAD = 0.05


@dataclass(slots=True)
class LocalizerCounters:
    """What happened to the inputs since the start.

    Attributes:
        scans_used: Scans, or sweeps of several lidars, compared with the map.
        scans_blind: Those with too few usable rays.
        scans_frozen: Those that repeat the scan before to the last digit although the base moved.
        scans_out_of_order: Scans of a lidar not newer than its last.
        scans_without_odometry: Scans of a moment that no odometry covers.
        slips: Times the wheels proved wrong and a place nearby right.
        searches: Searches of the whole map that came to their end.
        odometry_out_of_order: Samples not newer than the one before.
        odometry_invalid: Samples with a number that is not finite.
        odometry_jumps: Restarts of the base's odometry, taken out.
    """

    scans_used: int = 0
    scans_blind: int = 0
    scans_frozen: int = 0
    scans_out_of_order: int = 0
    scans_without_odometry: int = 0
    slips: int = 0
    searches: int = 0
    odometry_out_of_order: int = 0
    odometry_invalid: int = 0
    odometry_jumps: int = 0


@dataclass(slots=True, eq=False)
class Inquiry:
    """A search of the whole map under way, for the scan it was begun with.

    Attributes:
        search: The search itself.
        odom_from_base: Where the base was then.
    """

    search: PoseSearch
    odom_from_base: Pose2


@dataclass(frozen=True, slots=True)
class Look:
    """When and where the whole map was last searched for."""

    stamp_ns: int
    odom_from_base: Pose2


class Localizer:
    """Keeps the pose of the base on a map; the module says how."""

    def __init__(
        self,
        place: Place,
        params: LocalizationParams,
        lidars: Mapping[str, Pose2],
        start: Pose2 | None,
    ) -> None:
        """Start at a pose, or anywhere.

        Args:
            place: The map.
            params: Parameters of all stages.
            lidars: Name of each lidar and where it is mounted, ``base_from_lidar``.
            start: ``map_from_base``, known as well as ``params.start`` says; ``None`` if unknown.

        Raises:
            MapError: The start lies outside the map.
        """
        self._params = params
        limits = params.lidar
        self._sweeps = SweepAssembly(lidars, limits.min_range_m, limits.max_range_m)
        self._newest_scan_ns: dict[str, int] = {}
        self._shown: dict[str, tuple[bytes, Pose2]] = {}
        self._sweep: Sweep | None = None
        self._history = OdometryHistory()
        self._odom_from_base: Pose2 | None = None
        self._stated: Belief | None = None
        self._inquiry: Inquiry | None = None
        self._look: Look | None = None
        self._fix: tuple[int, Pose2] | None = None
        self._bank = HypothesisBank(params.bank)
        self._health = LocalizationHealth(params.health)
        self._dark = DarkSectors()
        self.counters = LocalizerCounters()
        self._settle_on(place)
        if start is None:
            self.relocalize()
        else:
            self.reset(start, params.start)

    def reset(self, pose: Pose2, stddev: Spread) -> None:
        """Start over at a pose that somebody states.

        Args:
            pose: ``map_from_base`` now.
            stddev: How well it is known.

        Raises:
            MapError: The pose lies outside the map.
        """
        self.change_map(self._place, pose, stddev)

    def relocalize(self) -> None:
        """Forget the pose and search the whole map for it."""
        self._forget(stated=False)

    def change_map(self, place: Place, pose: Pose2, stddev: Spread) -> None:
        """Go on in another hall.

        Args:
            place: Its map.
            pose: ``map_from_base`` there.
            stddev: How well it is known.

        Raises:
            MapError: The pose lies outside that map.
        """
        if not place.grid.contains(pose.x_m, pose.y_m):
            raise MapError(f"the pose ({pose.x_m:.2f}, {pose.y_m:.2f}) lies outside the map")
        self._settle_on(place)
        self._forget(stated=True)
        variances = np.square([stddev.position_m, stddev.position_m, stddev.yaw_rad])
        grid_from_base = place.grid.map_from_grid.inverse() @ pose
        self._stated = Belief(grid_from_base, np.diag(variances + 1e-6))

    def add_odometry(self, odometry: Odometry) -> None:
        """Take a sample of odometry; what cannot be used is counted."""
        match self._history.add(odometry):
            case Intake.OUT_OF_ORDER:
                self.counters.odometry_out_of_order += 1
            case Intake.INVALID:
                self.counters.odometry_invalid += 1
            case Intake.JUMPED:
                self.counters.odometry_jumps += 1
            case Intake.ADDED:
                pass
        newest = self._history.newest()
        if self._odom_from_base is None and newest is not None:
            self._odom_from_base = newest[1]

    def is_blind_towards(self, heading_rad: float) -> bool:
        """Return whether the lidars miss what the map has in a direction, in the base frame."""
        return self._dark.cover(heading_rad)

    def odom_from_base_at(self, stamp_ns: int) -> Pose2 | None:
        """Return where the odometry had the base at a moment, ``None`` if it does not cover it."""
        return self._history.at(stamp_ns)

    def add_scan(self, lidar: str, scan: Scan) -> bool:
        """Take a scan, and compare it with the map once all lidars have given theirs.

        Args:
            lidar: Which one it comes from.
            scan: The scan.

        Returns:
            Whether the pose was compared with the map; what could not be used is counted.
        """
        if scan.stamp_ns <= self._newest_scan_ns.get(lidar, scan.stamp_ns - 1):
            self.counters.scans_out_of_order += 1
            return False
        odom_from_base = self.odom_from_base_at(scan.stamp_ns)
        if odom_from_base is None:
            self.counters.scans_without_odometry += 1
            return False
        self._newest_scan_ns[lidar] = scan.stamp_ns
        if self._is_frozen(lidar, scan, odom_from_base):
            self.counters.scans_frozen += 1
            self._health.observe_blindness(scan.stamp_ns, f"{lidar} repeats the same scan")
            return False
        sweep = self._sweeps.add(lidar, scan, self._history)
        if sweep is None:
            return False
        limits, usable = self._params.lidar, len(sweep.points_m)
        if usable < max(limits.least_rays, limits.least_share * sweep.rays):
            self.counters.scans_blind += 1
            what = f"the lidar is covered or blind: {usable} of {sweep.rays} rays usable"
            self._health.observe_blindness(sweep.stamp_ns, what)
            return False
        self.counters.scans_used += 1
        self._compare(sweep)
        return True

    def advance(self) -> None:
        """Do a slice of the search of the whole map, if one is under way; once per tick."""
        inquiry = self._inquiry
        if inquiry is not None and inquiry.search.advance():
            self._inquiry = None
            self.counters.searches += 1
            self._answer(inquiry)

    @property
    def searching(self) -> bool:
        """Whether a search of the whole map is under way."""
        return self._inquiry is not None

    @property
    def hypotheses(self) -> int:
        """How many places the robot may be at."""
        return len(self._bank)

    @property
    def fix(self) -> tuple[int, Pose2] | None:
        """Stamp of the newest scan that was compared, and ``map_from_base`` at that moment."""
        return self._fix

    def estimate(self, now_ns: int) -> PoseEstimate | None:
        """Return the pose at the newest odometry, ``None`` before the first.

        Args:
            now_ns: Monotonic time, to tell whether scans still come.
        """
        newest = self._history.newest()
        if newest is None or self._odom_from_base is None:
            return None
        stamp_ns, odom_from_base = newest
        motion = self._odom_from_base.inverse() @ odom_from_base
        belief = predict(self._belief(), motion, self._params.motion)
        reason = self._health.reason(now_ns)
        return PoseEstimate(
            stamp_ns=stamp_ns,
            map_from_base=self._place.grid.map_from_grid @ belief.pose,
            covariance=self._reported(belief.covariance),
            score=self._health.score,
            localized=not reason,
            reason=reason,
            warning="" if reason else self._health.warning(now_ns),
        )

    def _settle_on(self, place: Place) -> None:
        self._place = place
        self._matcher = ScanMatcher(place, self._params.matcher, self._params.motion.tail)

    def _forget(self, *, stated: bool) -> None:
        newest = self._history.newest()
        self._odom_from_base = newest[1] if newest else None
        self._stated = self._inquiry = self._look = self._fix = None
        self._bank.restart(())
        self._health.restart(stated=stated)
        self._dark.reset()

    def _belief(self) -> Belief:
        """Return the best guess at the newest scan: a hypothesis, a stated pose, or the map."""
        best = self._bank.best
        if best is not None:
            return best.belief
        if self._stated is not None:
            return self._stated
        grid = self._place.grid
        length_m, width_m = grid.columns * grid.resolution_m, grid.rows * grid.resolution_m
        variances = np.array([length_m**2, width_m**2, math.tau**2]) / 12.0  # uniform
        return Belief(Pose2(length_m / 2, width_m / 2, 0.0), np.diag(variances))

    def _reported(self, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a covariance in the map frame, with the error of the map."""
        p = self._params
        reported = rotate(covariance, self._place.grid.map_from_grid.yaw_rad)
        reported += np.diag(np.square([p.map_error_m, p.map_error_m, p.map_error_rad]))
        reported.setflags(write=False)
        return reported

    def _is_frozen(self, lidar: str, scan: Scan, odom_from_base: Pose2) -> bool:
        """Whether a lidar shows to the last digit what it showed elsewhere: noise forbids that.

        One that shows nothing at all is covered, and told as such.
        """
        if not np.isfinite(scan.ranges_m).any():
            return False
        ranges = scan.ranges_m.tobytes()
        before = self._shown.get(lidar)
        if before is None or before[0] != ranges:
            self._shown[lidar] = (ranges, odom_from_base)
            return False
        moved = before[1].inverse() @ odom_from_base
        return moved.distance_m(Pose2.identity()) > FROZEN_M or abs(moved.yaw_rad) > FROZEN_RAD

    def _compare(self, sweep: Sweep) -> None:
        """Follow all hypotheses with a scan, look around if it fits badly, and judge."""
        points_m = thinned(sweep.points_m, self._params.lidar.most_rays)
        self._sweep = replace(sweep, points_m=points_m)
        before = self._odom_from_base or sweep.odom_from_base
        motion = before.inverse() @ sweep.odom_from_base
        self._odom_from_base = sweep.odom_from_base
        if self._stated is not None:
            stated = self._expect(self._stated, motion)
            self._stated = None
            self._bank.restart(self._begin(stated, points_m))
        else:
            self._bank.predict(motion, self._params.motion)
            self._follow(points_m)
        was_found = self._health.found
        self._judge(sweep, motion)
        if was_found and not self._health.found:
            self._bank.forget_weights()
            self._look = None
        if self._health.is_doubtful and self._is_time_to_look(sweep):
            self._inquire(sweep, points_m)

    def _judge(self, sweep: Sweep, motion: Pose2) -> None:
        best, missing = self._bank.best, NOTHING_MISSING
        if best is not None:
            self._fix = (sweep.stamp_ns, self._place.grid.map_from_grid @ best.belief.pose)
            limits = self._params.lidar
            missing = missing_rays(
                sweep, best.belief.pose, self._matcher, limits.most_rays, limits.sure_range_m
            )
        self._dark.observe(missing)
        self._health.observe(
            sweep.stamp_ns,
            Situation(
                best=best,
                rivals=max(0, len(self._bank) - 1),
                certainty=self._bank.certainty,
                spots=self._bank.spots,
                motion=motion,
                missing=missing.total,
            ),
        )

    def _begin(self, stated: Belief, points_m: NDArray[np.float64]) -> list[Hypothesis]:
        """Return where a scan fits around a stated pose."""
        position_m, yaw_rad = np.sqrt(np.diag(stated.covariance))[1:]
        window = Window(stated.pose, 3.0 * position_m + 0.1, min(math.pi, 3.0 * yaw_rad + 0.05))
        starts = [stated.pose, *self._search_window(window, points_m)]
        matches = [self._matcher.settle(start, stated, points_m) for start in starts]
        return [hypothesis(match, match.log_prior) for match in matches]

    def _follow(self, points_m: NDArray[np.float64]) -> None:
        for h in self._bank:
            h.observe(self._matcher.follow(h.belief, points_m), h.belief)
        best = self._bank.best
        if best is None:
            return
        if best.evidence.through > self._params.doubt.through:
            self._suspect_slip(best, points_m)
        self._bank.compete()

    def _suspect_slip(self, best: Hypothesis, points_m: NDArray[np.float64]) -> None:
        """Look around for the place that the odometry has missed."""
        p, prediction = self._params.doubt, best.prediction
        window = Window(prediction.pose, p.slip_radius_m, p.slip_turn_rad)
        rivals = []
        for start in self._search_window(window, points_m):
            match = self._matcher.settle(start, prediction, points_m)
            advantage = match.log_posterior - best.match.log_posterior
            log_weight = best.score + advantage - match.evidence.log_likelihood
            rivals.append(hypothesis(match, log_weight))
        self._bank.join(rivals)
        winner = self._bank.best
        if winner is not None and not self._bank.same_place(winner, best):
            self.counters.slips += 1

    def _expect(self, belief: Belief, motion: Pose2) -> Belief:
        """Move a belief that a scan is about to correct."""
        return predict(belief, motion, self._params.motion, self._params.motion.distrust)

    def _search_window(self, window: Window, points_m: NDArray[np.float64]) -> list[Pose2]:
        search = PoseSearch(self._place, self._params.search, points_m, window)
        search.finish()
        return search.places()

    def _is_time_to_look(self, sweep: Sweep) -> bool:
        if self._inquiry is not None:
            return False
        if self._look is None:
            return True
        p = self._params.doubt
        is_here = self._look.odom_from_base.is_near(sweep.odom_from_base, p.again_m, p.again_rad)
        return not is_here or (sweep.stamp_ns - self._look.stamp_ns) * 1e-9 >= p.again_s

    def _inquire(self, sweep: Sweep, points_m: NDArray[np.float64]) -> None:
        self._look = Look(sweep.stamp_ns, sweep.odom_from_base)
        search = PoseSearch(self._place, self._params.search, points_m)
        self._inquiry = Inquiry(search, sweep.odom_from_base)

    def _answer(self, inquiry: Inquiry) -> None:
        """Let the places that a search has found compete with those that are known.

        The robot may have moved on meanwhile, so they are compared on the newest scan.
        """
        best, sweep = self._bank.best, self._sweep
        if sweep is None or not self._health.is_doubtful:
            return
        motion = inquiry.odom_from_base.inverse() @ sweep.odom_from_base
        unsure = self._expect(Belief(Pose2.identity(), SEARCHED), motion).covariance
        rivals = []
        for start in inquiry.search.places():
            match = self._matcher.follow(Belief(start @ motion, unsure), sweep.points_m)
            if self._health.found and not self._health.is_proof(match.evidence):
                continue  # a crowd fits many places a little
            rivals.append(hypothesis(match, self._log_weight_of_rivals(best)))
        if best is None:
            self._bank.restart(rivals)
        else:
            self._bank.join(rivals)
        self._judge(sweep, Pose2.identity())  # again on the same scan

    def _log_weight_of_rivals(self, best: Hypothesis | None) -> float:
        if best is None:
            return 0.0
        return best.log_weight - (self._params.doubt.kidnap_log_odds if self._health.found else 0.0)


def rotate(covariance: NDArray[np.float64], yaw_rad: float) -> NDArray[np.float64]:
    """Turn a covariance of x, y and yaw into a frame at another heading."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    turned: NDArray[np.float64] = turn @ covariance @ turn.T
    return turned
