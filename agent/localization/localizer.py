"""Localization: odometry and scans in, a pose on the map out."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from agent.errors import MapError
from agent.geometry.pose import Pose2
from agent.localization.deskew import deskew
from agent.localization.estimate import PoseEstimate
from agent.localization.health import HealthParams, LocalizationHealth
from agent.localization.motion_model import MotionParams, OdometryMotionModel
from agent.localization.odometry_history import Intake, OdometryHistory
from agent.localization.particle_filter import FilterParams, ParticleFilter, Spread
from agent.localization.scan_matcher import MatcherParams, ScanMatcher
from agent.localization.sensor_model import LikelihoodFieldModel, SensorParams
from agent.mapping.likelihood_field import LikelihoodField
from agent.mapping.occupancy_grid import OccupancyGrid
from drivers.measurement import Odometry, Scan

SCORE_TOLERANCE_M = 0.10  # part of the definition of PoseEstimate.score
USUAL_SCORE_GAIN = 0.1  # weight of the newest update in the running mean of the score


@dataclass(frozen=True, slots=True, kw_only=True)
class SlipParams:
    """What to do when a scan suddenly fits worse: wheels slip, and odometry has long tails.

    The motion model stays narrow, so that the particles keep the way along a bare corridor, and a
    wider cloud is tried only when the scan asks for it, and kept only when it explains the scan.

    Attributes:
        score_drop: Drop of the score below its running mean that makes a slip suspected.
        score_gain: Gain of the score that proves it.
        spread: How far the cloud is scattered.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    score_drop: Annotated[float, Gt(0), Le(1)] = 0.15
    score_gain: Annotated[float, Gt(0), Le(1)] = 0.15
    spread: Spread = field(default_factory=lambda: Spread(position_m=0.3, yaw_rad=0.15))


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalizationParams:
    """All parameters of localization, one group per stage.

    Attributes:
        motion: Noise of the odometry.
        sensor: What a scan says about a pose.
        filter: Size of the particle cloud.
        matcher: Refinement of the pose.
        health: When the pose counts as lost.
        slip: What to do when the odometry was wrong.
        start: How well the start pose is known.
        update_distance_m: Way after which the next scan updates the filter. Standing still does
            not: the same scan again and again would only wear the particles down.
        update_turn_rad: The same for turning.
        settle_scans: Scans after the start or a reset that update the filter even at rest, to draw
            the cloud together.
        min_returns: Fewer usable rays make a scan that is ignored.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    motion: MotionParams = field(default_factory=MotionParams)
    sensor: SensorParams = field(default_factory=SensorParams)
    filter: FilterParams = field(default_factory=FilterParams)
    matcher: MatcherParams = field(default_factory=MatcherParams)
    health: HealthParams = field(default_factory=HealthParams)
    slip: SlipParams = field(default_factory=SlipParams)
    start: Spread = field(default_factory=Spread)
    update_distance_m: Annotated[float, Gt(0)] = 0.05
    update_turn_rad: Annotated[float, Gt(0)] = 0.03
    settle_scans: Annotated[int, Ge(1)] = 10
    min_returns: Annotated[int, Ge(3)] = 20


@dataclass(slots=True)
class LocalizerCounters:
    """What happened to the inputs since the start.

    Attributes:
        scans_used: Scans compared with the map.
        scans_sparse: Scans with too few usable rays.
        scans_out_of_order: Scans not newer than the one before.
        scans_without_odometry: Scans of a moment that no odometry covers.
        updates: Scans that moved the particles.
        resamplings: Updates after which the fittest particles replaced the rest.
        slips: Updates in which the odometry proved wrong and a wider cloud right.
        odometry_out_of_order: Samples not newer than the one before.
        odometry_invalid: Samples with a number that is not finite.
        odometry_jumps: Restarts of the base's odometry, taken out.
    """

    scans_used: int = 0
    scans_sparse: int = 0
    scans_out_of_order: int = 0
    scans_without_odometry: int = 0
    updates: int = 0
    resamplings: int = 0
    slips: int = 0
    odometry_out_of_order: int = 0
    odometry_invalid: int = 0
    odometry_jumps: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """Where a scan fits the map, how sure the particles are of it, and how well it fits."""

    grid_from_base: Pose2
    covariance: NDArray[np.float64]
    score: float


class Localizer:
    """Keeps the pose of the base on a map.

    A particle filter on a likelihood field follows the robot; Gauss-Newton on the same field takes
    its mean to the last centimetre. The same inputs and the same seed give the same poses, bit for
    bit.
    """

    def __init__(
        self,
        grid: OccupancyGrid,
        params: LocalizationParams,
        base_from_lidar: Pose2,
        start: Pose2,
        rng: np.random.Generator,
    ) -> None:
        """Start at a pose.

        Args:
            grid: The map.
            params: Parameters of all stages.
            base_from_lidar: Where the lidar is mounted.
            start: ``map_from_base``, known as well as ``params.start`` says.
            rng: Source of all randomness.

        Raises:
            MapError: Nothing on the map is occupied, or the start lies outside it.
        """
        likelihood_field = LikelihoodField.from_grid(grid, params.sensor.field_limit_m)
        self._grid = grid
        self._params = params
        self._base_from_lidar = base_from_lidar
        self._filter = ParticleFilter(
            params.filter,
            OdometryMotionModel(params.motion),
            LikelihoodFieldModel(likelihood_field, params.sensor),
            rng,
        )
        self._matcher = ScanMatcher(likelihood_field, params.matcher)
        self._health = LocalizationHealth(params.health)
        self._history = OdometryHistory()
        self._newest_scan_ns: int | None = None
        self._scan_pose: Pose2 | None = None
        self.counters = LocalizerCounters()
        self.reset(start, params.start)

    def reset(self, pose: Pose2, stddev: Spread) -> None:
        """Start over at a pose that somebody states.

        Args:
            pose: ``map_from_base`` now.
            stddev: How well it is known.

        Raises:
            MapError: The pose lies outside the map.
        """
        if not self._grid.contains(pose.x_m, pose.y_m):
            raise MapError(f"the pose ({pose.x_m:.2f}, {pose.y_m:.2f}) lies outside the map")
        self._filter.spread(self._grid.map_from_grid.inverse() @ pose, stddev)
        self._health.restart()
        self._map_from_base = pose
        self._covariance = np.diag(
            np.square([stddev.position_m, stddev.position_m, stddev.yaw_rad])
        )
        newest = self._history.newest()
        self._odom_from_base = newest[1] if newest else None
        self._unsettled_scans = self._params.settle_scans
        self._usual_score = 0.0

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

    def add_scan(self, scan: Scan) -> bool:
        """Compare a scan with the map, and follow it if the base has moved.

        Returns:
            Whether the scan was used; why it was not is counted.
        """
        if self._newest_scan_ns is not None and scan.stamp_ns <= self._newest_scan_ns:
            self.counters.scans_out_of_order += 1
            return False
        odom_from_base = self._history.at(scan.stamp_ns)
        if odom_from_base is None or self._odom_from_base is None:
            self.counters.scans_without_odometry += 1
            return False
        points_m = deskew(
            scan,
            self._history,
            self._base_from_lidar,
            min_range_m=self._params.sensor.min_range_m,
            max_range_m=self._params.sensor.max_range_m,
        )
        if len(points_m) < self._params.min_returns:
            self.counters.scans_sparse += 1
            return False
        self._newest_scan_ns = scan.stamp_ns
        self.counters.scans_used += 1
        before_from_after = self._odom_from_base.inverse() @ odom_from_base
        if self._unsettled_scans > 0 or self._has_moved(before_from_after):
            self._update(before_from_after, points_m)
            self._odom_from_base = odom_from_base
        map_from_base = self._map_from_base @ self._odom_from_base.inverse() @ odom_from_base
        self._scan_pose = map_from_base
        score = self._matcher.agreement(self._on_grid(map_from_base), points_m, SCORE_TOLERANCE_M)
        self._health.observe(score, scan.stamp_ns)
        return True

    @property
    def fix(self) -> tuple[int, Pose2] | None:
        """Stamp of the newest scan that was used, and ``map_from_base`` at that moment."""
        if self._newest_scan_ns is None or self._scan_pose is None:
            return None
        return self._newest_scan_ns, self._scan_pose

    def estimate(self, now_ns: int) -> PoseEstimate | None:
        """Return the pose at the newest odometry, ``None`` before the first.

        Args:
            now_ns: Monotonic time, to tell whether scans still come.
        """
        newest = self._history.newest()
        if newest is None or self._odom_from_base is None:
            return None
        stamp_ns, odom_from_base = newest
        map_from_odom = self._map_from_base @ self._odom_from_base.inverse()
        reason = self._health.reason(now_ns)
        covariance = self._covariance.copy()
        covariance.setflags(write=False)
        return PoseEstimate(
            stamp_ns=stamp_ns,
            map_from_base=map_from_odom @ odom_from_base,
            covariance=covariance,
            score=self._health.score,
            localized=not reason,
            reason=reason,
        )

    def _update(self, before_from_after: Pose2, points_m: NDArray[np.float64]) -> None:
        self._filter.predict(before_from_after)
        match = self._match(points_m)
        if match.score < self._usual_score - self._params.slip.score_drop:
            match = self._suspect_slip(match, points_m)
        self._usual_score += USUAL_SCORE_GAIN * (match.score - self._usual_score)
        self._map_from_base = self._grid.map_from_grid @ match.grid_from_base
        self._covariance = rotate(match.covariance, self._grid.map_from_grid.yaw_rad)
        self.counters.resamplings += self._filter.resample()
        self.counters.updates += 1
        self._unsettled_scans = max(0, self._unsettled_scans - 1)

    def _match(self, points_m: NDArray[np.float64]) -> Match:
        self._filter.weigh(points_m)
        cluster = self._filter.cluster()
        refined = self._matcher.refine(cluster.mean, cluster.covariance, points_m)
        score = self._matcher.agreement(refined, points_m, SCORE_TOLERANCE_M)
        return Match(refined, cluster.covariance, score)

    def _suspect_slip(self, before: Match, points_m: NDArray[np.float64]) -> Match:
        cloud = self._filter.snapshot()
        self._filter.scatter(self._params.slip.spread)
        after = self._match(points_m)
        if after.score < before.score + self._params.slip.score_gain:
            self._filter.restore(cloud)
            return before
        self.counters.slips += 1
        return after

    def _has_moved(self, before_from_after: Pose2) -> bool:
        return (
            before_from_after.distance_m(Pose2.identity()) >= self._params.update_distance_m
            or abs(before_from_after.yaw_rad) >= self._params.update_turn_rad
        )

    def _on_grid(self, map_from_base: Pose2) -> Pose2:
        return self._grid.map_from_grid.inverse() @ map_from_base


def rotate(covariance: NDArray[np.float64], yaw_rad: float) -> NDArray[np.float64]:
    """Turn a covariance of x, y and yaw into a frame at another heading."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    turned: NDArray[np.float64] = turn @ covariance @ turn.T
    return turned
