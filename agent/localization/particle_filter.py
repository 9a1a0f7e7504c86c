"""Monte Carlo localization.

Thrun, Burgard, Fox, "Probabilistic Robotics" (2005), section 8.3, table 8.2, with low-variance
resampling only when the effective sample size asks for it (section 4.3.4).
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from agent.geometry.angle import wrap
from agent.geometry.pose import Pose2
from agent.kernels.resampling import low_variance
from agent.localization.motion_model import OdometryMotionModel
from agent.localization.sensor_model import LikelihoodFieldModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Standard deviations of a pose that somebody states."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    position_m: Annotated[float, Ge(0), Le(10)] = 0.2
    yaw_rad: Annotated[float, Ge(0), Le(3.15)] = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterParams:
    """Size of the particle cloud.

    Attributes:
        particles: How many; the time of an update is proportional to it.
        resample_below: Effective share of particles below which the fittest replace the rest.
        cluster_radius_m: Particles this near to the best one make the mean.
        cluster_radius_rad: The same in heading.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    particles: Annotated[int, Ge(50), Le(50_000)] = 1500
    resample_below: Annotated[float, Gt(0), Le(1)] = 0.5
    cluster_radius_m: Annotated[float, Gt(0)] = 1.0
    cluster_radius_rad: Annotated[float, Gt(0)] = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Cluster:
    """Mean pose and covariance, shape ``(3, 3)``, of the particles around the heaviest one."""

    mean: Pose2
    covariance: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """All particles: poses, shape ``(n, 3)``, and log-weights, shape ``(n,)``."""

    poses: NDArray[np.float64]
    log_weights: NDArray[np.float64]


class ParticleFilter:
    """A cloud of weighted poses in the grid frame."""

    def __init__(
        self,
        params: FilterParams,
        motion: OdometryMotionModel,
        sensor: LikelihoodFieldModel,
        generator: np.random.Generator,
    ) -> None:
        self._params = params
        self._motion = motion
        self._sensor = sensor
        self._generator = generator
        self._poses = np.zeros((params.particles, 3))
        self._survivors = np.empty_like(self._poses)
        self._log_weights = np.zeros(params.particles)

    def spread(self, mean: Pose2, stddev: Spread) -> None:
        """Draw a new cloud around a pose."""
        noise = self._generator.standard_normal(self._poses.shape)
        self._poses[:] = (mean.x_m, mean.y_m, mean.yaw_rad)
        self._poses += noise * (stddev.position_m, stddev.position_m, stddev.yaw_rad)
        self._log_weights[:] = 0.0

    def predict(self, before_from_after: Pose2) -> None:
        """Move the cloud with the odometry."""
        self._motion.apply(self._poses, before_from_after, self._generator)

    def scatter(self, stddev: Spread) -> None:
        """Spread the cloud further, each particle around where it is, and forget its weights."""
        noise = self._generator.standard_normal(self._poses.shape)
        self._poses += noise * (stddev.position_m, stddev.position_m, stddev.yaw_rad)
        self._log_weights[:] = 0.0

    def snapshot(self) -> Cloud:
        """Return the cloud as it is, for :meth:`restore`."""
        return Cloud(self._poses.copy(), self._log_weights.copy())

    def restore(self, cloud: Cloud) -> None:
        """Put back an earlier cloud."""
        self._poses[:] = cloud.poses
        self._log_weights[:] = cloud.log_weights

    def weigh(self, points_m: NDArray[np.float64]) -> None:
        """Weigh the cloud with a scan, shape ``(m, 2)`` in the base frame."""
        self._sensor.add_log_weights(self._poses, points_m, self._log_weights)
        self._log_weights -= self._log_weights.max()

    def effective_size(self) -> float:
        """Return how many particles of equal weight would carry as much."""
        weights = self._weights()
        return float(1.0 / np.square(weights).sum())

    def resample(self) -> bool:
        """Replace light particles by copies of heavy ones if too few carry the weight."""
        if self.effective_size() >= self._params.resample_below * len(self._poses):
            return False
        low_variance(self._poses, self._weights(), self._generator.random(), self._survivors)
        self._poses, self._survivors = self._survivors, self._poses
        self._log_weights[:] = 0.0
        return True

    def cluster(self) -> Cluster:
        """Return mean and covariance of the particles around the heaviest one."""
        heaviest = self._poses[int(self._log_weights.argmax())]
        offset = self._poses - heaviest
        offset[:, 2] = (offset[:, 2] + np.pi) % (2.0 * np.pi) - np.pi
        near = (np.hypot(offset[:, 0], offset[:, 1]) <= self._params.cluster_radius_m) & (
            np.abs(offset[:, 2]) <= self._params.cluster_radius_rad
        )
        weights = np.where(near, self._weights(), 0.0)
        weights /= weights.sum()
        # Sums of products instead of a matrix product: BLAS may round differently elsewhere.
        center = (weights[:, None] * offset).sum(axis=0)
        offset -= center
        covariance = (weights[:, None, None] * offset[:, :, None] * offset[:, None, :]).sum(axis=0)
        x_m, y_m, yaw_rad = heaviest + center
        return Cluster(Pose2(float(x_m), float(y_m), wrap(float(yaw_rad))), covariance)

    def _weights(self) -> NDArray[np.float64]:
        weights: NDArray[np.float64] = np.exp(self._log_weights - self._log_weights.max())
        weights /= weights.sum()
        return weights
