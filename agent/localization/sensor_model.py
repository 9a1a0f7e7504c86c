"""Likelihood field sensor model, in the log domain.

Thrun, Burgard, Fox, "Probabilistic Robotics" (2005), section 6.4, table 6.3.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray

from agent.kernels.likelihood import log_weights
from agent.mapping.likelihood_field import LikelihoodField, log_likelihood


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorParams:
    """What a scan says about a pose.

    Attributes:
        rays: How many rays of a scan weigh the particles, evenly picked.
        min_range_m: Shorter returns are the robot itself.
        max_range_m: Longer returns are not trusted, "z_max".
        hit_stddev_m: Error of lidar, map and grid together, "sigma_hit".
        hit_share: Share of rays that hit what is on the map, "z_hit"; the rest is "z_rand".
        field_limit_m: Distance from the map beyond which all rays are equally odd.
        evidence: Exponent of the likelihood, below one because rays are not independent.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    rays: Annotated[int, Ge(10), Le(1000)] = 60
    min_range_m: Annotated[float, Ge(0)] = 0.05
    max_range_m: Annotated[float, Gt(0), Le(200)] = 30.0
    hit_stddev_m: Annotated[float, Gt(0), Le(1)] = 0.10
    hit_share: Annotated[float, Gt(0), Lt(1)] = 0.8
    field_limit_m: Annotated[float, Gt(0), Le(10)] = 1.0
    evidence: Annotated[float, Gt(0), Le(1)] = 0.3


class LikelihoodFieldModel:
    """Weighs poses by how well a scan fits the map."""

    def __init__(self, field: LikelihoodField, params: SensorParams) -> None:
        self._field = field
        self._params = params
        mixture = {
            "hit_stddev_m": params.hit_stddev_m,
            "hit_share": params.hit_share,
            "max_range_m": params.max_range_m,
        }
        self._log_field = log_likelihood(field.distance_m, **mixture)
        self._log_outside = float(
            log_likelihood(np.full(1, field.limit_m, np.float32), **mixture)[0]
        )

    def add_log_weights(
        self,
        poses: NDArray[np.float64],
        points_m: NDArray[np.float64],
        log_weight: NDArray[np.float64],
    ) -> None:
        """Add the log-likelihood of a scan to the log-weights of poses.

        Args:
            poses: Shape ``(n, 3)``, ``grid_from_base``.
            points_m: Shape ``(m, 2)``, ends of the scan's rays in the base frame.
            log_weight: Shape ``(n,)``, added to.
        """
        count = points_m.shape[0]
        picked = np.linspace(0, count - 1, min(count, self._params.rays)).astype(np.intp)
        log_weights(
            poses,
            points_m[picked],
            self._log_field,
            self._log_outside,
            self._field.resolution_m,
            self._params.evidence,
            log_weight,
        )
