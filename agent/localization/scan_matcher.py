"""Scan-to-map matching: the last centimetres that particles are too coarse for."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from agent.geometry.pose import Pose2
from agent.kernels.likelihood import inlier_share, normal_equations
from agent.mapping.likelihood_field import LikelihoodField

CONVERGED = 1e-5  # step in m and rad; a hundredth of a millimetre


@dataclass(frozen=True, slots=True, kw_only=True)
class MatcherParams:
    """Refinement of the pose on the distance field.

    Attributes:
        hit_stddev_m: Error of a ray's end against the map.
        kernel_start_m: Width of the robust kernel in the first step, the basin of attraction.
        kernel_end_m: Width in the last steps; what is farther from the map does not count.
        steps: Most Gauss-Newton steps.
        prior_floor_m: Least uncertainty granted to the particles' mean.
        prior_floor_rad: The same in heading.
        max_shift_m: A match farther from the particles' mean is another place: not followed.
        max_turn_rad: The same in heading.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    hit_stddev_m: Annotated[float, Gt(0)] = 0.10
    kernel_start_m: Annotated[float, Gt(0)] = 0.20
    kernel_end_m: Annotated[float, Gt(0)] = 0.06
    steps: Annotated[int, Ge(1), Le(100)] = 20
    prior_floor_m: Annotated[float, Gt(0)] = 0.03
    prior_floor_rad: Annotated[float, Gt(0)] = 0.02
    max_shift_m: Annotated[float, Gt(0)] = 0.5
    max_turn_rad: Annotated[float, Gt(0)] = 0.3


class ScanMatcher:
    """Robust Gauss-Newton on the distance field, held by the particles where the map is weak.

    Minimizes ``sum_i rho(d(T p_i)) / sigma^2 + (T - T0)^T P^-1 (T - T0)`` over the pose ``T``, with
    mean ``T0`` and covariance ``P`` of the particles, and a kernel ``rho`` that tightens from step
    to step.
    """

    def __init__(self, field: LikelihoodField, params: MatcherParams) -> None:
        self._field = field
        self._params = params
        self._hessian = np.empty((3, 3))
        self._gradient = np.empty(3)

    def refine(
        self, mean: Pose2, covariance: NDArray[np.float64], points_m: NDArray[np.float64]
    ) -> Pose2:
        """Return the pose that fits a scan best near the particles' mean.

        Args:
            mean: ``grid_from_base`` of the particles.
            covariance: Shape ``(3, 3)``, of the particles.
            points_m: Shape ``(m, 2)``, ends of the scan's rays in the base frame.

        Returns:
            ``grid_from_base``; the mean itself where the match would lead far away from it.
        """
        p = self._params
        floor = np.square([p.prior_floor_m, p.prior_floor_m, p.prior_floor_rad])
        information = np.linalg.inv(covariance + np.diag(floor))
        prior = np.array([mean.x_m, mean.y_m, mean.yaw_rad])
        pose = prior.copy()
        for step in range(p.steps):
            kernel_m = max(p.kernel_end_m, p.kernel_start_m * 0.8**step)
            normal_equations(
                pose,
                points_m,
                self._field.distance_m,
                self._field.resolution_m,
                kernel_m,
                self._hessian,
                self._gradient,
            )
            weight = 1.0 / p.hit_stddev_m**2
            hessian = weight * self._hessian + information
            gradient = weight * self._gradient + information @ (pose - prior)
            move = np.linalg.solve(hessian, gradient)
            pose -= move
            if kernel_m == p.kernel_end_m and np.abs(move).max() < CONVERGED:
                break
        shift_m, turn_rad = np.hypot(*(pose - prior)[:2]), abs(pose[2] - prior[2])
        if shift_m > p.max_shift_m or turn_rad > p.max_turn_rad:
            return mean
        return Pose2(float(pose[0]), float(pose[1]), float(pose[2])) @ Pose2.identity()

    def agreement(self, pose: Pose2, points_m: NDArray[np.float64], tolerance_m: float) -> float:
        """Return the share of a scan's points that end within a tolerance of the map.

        Args:
            pose: ``grid_from_base``.
            points_m: Shape ``(m, 2)``, in the base frame.
            tolerance_m: How far from an occupied cell a ray may end.
        """
        return float(
            inlier_share(
                np.array([pose.x_m, pose.y_m, pose.yaw_rad]),
                points_m,
                self._field.distance_m,
                self._field.resolution_m,
                tolerance_m,
            )
        )
