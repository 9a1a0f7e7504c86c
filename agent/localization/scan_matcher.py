"""Scan-to-map matching: where a scan fits the map near a prediction, how well, how surely."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray

from agent.geometry.points import thinned
from agent.geometry.pose import Pose2
from agent.kernels.registration import correlate, register
from agent.kernels.visibility import RESIDUAL, owed_share, witness
from agent.localization.motion_model import Belief
from agent.localization.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class MatcherParams:
    """Search and descent around a prediction, and what a scan is worth.

    Attributes:
        lattice_rays: How many rays score the lattice, evenly picked.
        lattice_step_m: Distance of lattice poses, rounded to whole cells.
        lattice_step_rad: The same in heading.
        lattice_least: Fewest steps to either side, in position and in heading.
        lattice_most: Most steps to either side, in position and in heading.
        peaks: How many peaks of the lattice are refined.
        ray_stddev_m: Error of a ray's end against the map.
        ray_limit: More rays than this say no more, as neighbours err alike.
        kernel_start_m: Width of the robust kernel in the first step, the basin of attraction.
        kernel_end_m: Width in the last steps; what is farther from the map hardly counts.
        kernel_ratio: Width of a step's kernel over that of the step before.
        steps: Most Gauss-Newton steps.
        hit_tolerance_m: A ray that ends nearer to the map has hit it.
        hit_stddev_m: Error of a ray's end when likelihoods are compared.
        stray_log_odds: Log-likelihood of a hit at the edge of the tolerance, of a ray that ends
            short of the map, and of one that goes through what the map says is solid.
        independent_rays: How many independent rays a scan is worth when likelihoods are compared;
            neighbouring rays see the same person, the same error of the map.
        covariance_rays: The same for the covariance, where what counts is how many walls are seen.
        least_residual_m: Root mean square distance of rays from the map that is always expected.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    lattice_rays: Annotated[int, Ge(10), Le(1000)] = 60
    lattice_step_m: Annotated[float, Gt(0)] = 0.10
    lattice_step_rad: Annotated[float, Gt(0)] = 0.03
    lattice_least: tuple[int, int] = (1, 2)
    lattice_most: tuple[int, int] = (5, 8)
    peaks: Annotated[int, Ge(1), Le(16)] = 3
    ray_stddev_m: Annotated[float, Gt(0)] = 0.05
    ray_limit: Annotated[int, Ge(10)] = 180
    kernel_start_m: Annotated[float, Gt(0)] = 0.15
    kernel_end_m: Annotated[float, Gt(0)] = 0.10
    kernel_ratio: Annotated[float, Gt(0), Lt(1)] = 0.8
    steps: Annotated[int, Ge(1), Le(100)] = 20
    hit_tolerance_m: Annotated[float, Gt(0)] = 0.20
    hit_stddev_m: Annotated[float, Gt(0)] = 0.10
    stray_log_odds: tuple[float, float, float] = (-2.3, -1.5, -6.0)
    independent_rays: Annotated[float, Gt(0)] = 40.0
    covariance_rays: Annotated[float, Gt(0)] = 6.0
    least_residual_m: Annotated[float, Gt(0)] = 0.01


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the rays of a scan say about a pose; the shares add up to one.

    Attributes:
        hits: Share of rays that end on the map.
        short: Share that end in front of it: people, pallets, whatever is not on the map.
        through: Share that go through what the map says is solid. On the right pose there are
            hardly any, however crowded the place; on a wrong one there nearly always are.
        log_likelihood: Of the whole scan, tempered to the worth of independent rays.
    """

    hits: float
    short: float
    through: float
    log_likelihood: float


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """Where a scan fits.

    Attributes:
        belief: The pose, and its covariance by the curvature of what was minimized.
        evidence: What the scan says about it.
        log_prior: Log-density of the prediction there, up to a constant.
    """

    belief: Belief
    evidence: Evidence
    log_prior: float

    @property
    def log_posterior(self) -> float:
        """Scan and prediction together."""
        return self.evidence.log_likelihood + self.log_prior


class ScanMatcher:
    """Correlative search on a lattice, then robust Gauss-Newton from its peaks.

    The kernels have the formulas and the papers: :mod:`agent.kernels.registration`.
    """

    def __init__(self, place: Place, params: MatcherParams, tail: float) -> None:
        """Match on a map, with predictions of ``tail`` degrees of freedom."""
        self._place = place
        self._params = params
        self._tail = tail
        p = params
        narrow = math.ceil(math.log(p.kernel_end_m / p.kernel_start_m, p.kernel_ratio))
        widths = [max(p.kernel_end_m, p.kernel_start_m * p.kernel_ratio**i) for i in range(p.steps)]
        self._kernels_m = np.array(widths if narrow < p.steps else [*widths, p.kernel_end_m])
        self._poses = np.empty((p.peaks, 3))
        self._scores = np.empty(p.peaks)
        resolution_m = place.grid.resolution_m
        self._stride = max(1, round(p.lattice_step_m / resolution_m))
        self._steps = (self._stride * resolution_m, p.lattice_step_rad)
        self._shares = np.empty(4)

    def follow(self, prediction: Belief, points_m: NDArray[np.float64]) -> Match:
        """Return where a scan fits best around a prediction, the lattice as wide as its doubt.

        Args:
            prediction: By odometry.
            points_m: Shape ``(m, 2)``, ends of the scan's rays in the base frame.
        """
        p = self._params
        rays_m = thinned(points_m, p.lattice_rays)
        stddevs = np.sqrt(np.diag(prediction.covariance))
        count = correlate(
            _array(prediction.pose),
            (
                self._half_width(stddevs[0], 0),
                self._half_width(stddevs[1], 0),
                self._half_width(stddevs[2], 1),
            ),
            (self._stride, p.lattice_step_rad),
            rays_m,
            self._place.pyramid.fields[0],
            self._place.pyramid.margin,
            self._place.grid.resolution_m,
            p.independent_rays / (255.0 * len(rays_m)),
            inverse(prediction.covariance),
            self._tail,
            self._poses,
            self._scores,
        )
        matches = [self._refine(self._poses[i], prediction, points_m) for i in range(count)]
        return max(matches, key=lambda match: match.log_posterior)

    def settle(self, start: Pose2, prediction: Belief, points_m: NDArray[np.float64]) -> Match:
        """Return where a descent from a start ends.

        Args:
            start: ``grid_from_base``, within 0.2 m of where the scan fits.
            prediction: Prior of the descent.
            points_m: Shape ``(m, 2)``, ends of the scan's rays in the base frame.
        """
        return self._refine(_array(start), prediction, points_m)

    def owed_share(self, pose: Pose2, rays: NDArray[np.float64], reach_m: float) -> float:
        """Return which share of rays without return the map should have returned.

        Args:
            pose: ``grid_from_base``.
            rays: Shape ``(m, 3)``, origin (m) and heading (rad) in the base frame.
            reach_m: How near a surface must be to return every ray.
        """
        return float(
            owed_share(
                _array(pose),
                rays,
                self._place.field.distance_m,
                self._place.grid.resolution_m,
                reach_m,
            )
        )

    def _half_width(self, stddev: float, axis: int) -> int:
        least, most = self._params.lattice_least[axis], self._params.lattice_most[axis]
        return min(most, max(least, math.ceil(3.0 * stddev / self._steps[axis])))

    def _refine(
        self, start: NDArray[np.float64], prediction: Belief, points_m: NDArray[np.float64]
    ) -> Match:
        p = self._params
        pose, hessian = start.copy(), np.empty((3, 3))
        # The difference of headings must be the short one.
        prior = _array(prediction.pose)
        prior[2] += math.tau * round((pose[2] - prior[2]) / math.tau)
        prior_information = inverse(prediction.covariance)
        surprise = register(
            pose,
            points_m,
            self._place.field.distance_m,
            self._place.grid.resolution_m,
            min(1.0, p.ray_limit / len(points_m)) / p.ray_stddev_m**2,
            self._kernels_m,
            prior,
            prior_information,
            self._tail,
            hessian,
        )
        evidence = self._witness(pose, points_m)
        log_prior = -0.5 * (self._tail + 3.0) * math.log(1.0 + surprise / self._tail)
        refined = Pose2(float(pose[0]), float(pose[1]), float(pose[2])) @ Pose2.identity()
        # Rays err together where they see the same wall, so they count as a few; and how far they
        # err is in the scan itself, by the same residuals that were minimized.
        weight = p.covariance_rays / (
            len(points_m) * max(self._shares[RESIDUAL], p.least_residual_m**2)
        )
        held = (self._tail + 3.0) / (self._tail + surprise) * prior_information
        belief = Belief(refined, inverse(weight * hessian + held))
        return Match(belief, evidence, log_prior)

    def _witness(self, pose: NDArray[np.float64], points_m: NDArray[np.float64]) -> Evidence:
        p = self._params
        log_likelihood = witness(
            pose,
            points_m,
            self._place.field.distance_m,
            self._place.grid.resolution_m,
            p.hit_tolerance_m,
            p.hit_stddev_m,
            p.stray_log_odds,
            self._shares,
        )
        hits, short, through = (float(share) for share in self._shares[:RESIDUAL])
        return Evidence(hits, short, through, p.independent_rays * float(log_likelihood))


def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse of a covariance or an information."""
    return np.linalg.inv(matrix).astype(np.float64)


def _array(pose: Pose2) -> NDArray[np.float64]:
    return np.array([pose.x_m, pose.y_m, pose.yaw_rad])
