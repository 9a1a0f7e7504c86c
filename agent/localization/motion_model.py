"""Odometry motion model: how far the wheels may be off.

The noise is that of a random walk, variance proportional to the way, so that it does not depend on
how many samples a way is cut into: the alphas of Thrun, Burgard, Fox, "Probabilistic Robotics"
(2005), table 5.6, lack that property, since there the standard deviation grows with the way.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray

from agent.geometry.pose import Pose2


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionParams:
    """Noise of the odometry.

    Attributes:
        translation_noise_from_translation: m² per m.
        translation_noise_from_rotation: m² per rad.
        rotation_noise_from_rotation: rad² per rad.
        rotation_noise_from_translation: rad² per m.
        rest_noise_m: Standard deviation that every step adds, even at rest.
        rest_noise_rad: The same in heading.
        distrust: Factor on all variances where a scan is at hand to correct the wheels. Errors of
            wheels are systematic, so that trusting them as far as a random walk would deserve makes
            the pose lag behind the truth by the same amount in every step.
        tail: Degrees of freedom of Student's t distribution, which has room for slipping wheels.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    translation_noise_from_translation: Annotated[float, Ge(0)] = 0.0002
    translation_noise_from_rotation: Annotated[float, Ge(0)] = 0.0002
    rotation_noise_from_rotation: Annotated[float, Ge(0)] = 0.0002
    rotation_noise_from_translation: Annotated[float, Ge(0)] = 0.00005
    rest_noise_m: Annotated[float, Gt(0)] = 0.001
    rest_noise_rad: Annotated[float, Gt(0)] = 0.0005
    distrust: Annotated[float, Ge(1)] = 100.0
    tail: Annotated[float, Gt(0)] = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """A pose and how well it is known.

    Attributes:
        pose: ``grid_from_base``.
        covariance: Shape ``(3, 3)`` over x, y (m) and yaw (rad), in the grid frame.
    """

    pose: Pose2
    covariance: NDArray[np.float64]


def predict(
    belief: Belief, before_from_after: Pose2, params: MotionParams, distrust: float = 1.0
) -> Belief:
    """Move a belief with the odometry.

    Args:
        belief: Before the motion.
        before_from_after: Motion of the base.
        params: Noise of the odometry.
        distrust: Factor on its variances.
    """
    pose = belief.pose @ before_from_after
    jacobian = np.eye(3)
    jacobian[0, 2] = -(pose.y_m - belief.pose.y_m)
    jacobian[1, 2] = pose.x_m - belief.pose.x_m
    way_m = before_from_after.distance_m(Pose2.identity())
    turn_rad = abs(before_from_after.yaw_rad)
    translation = (
        params.translation_noise_from_translation * way_m
        + params.translation_noise_from_rotation * turn_rad
        + params.rest_noise_m**2
    )
    rotation = (
        params.rotation_noise_from_rotation * turn_rad
        + params.rotation_noise_from_translation * way_m
        + params.rest_noise_rad**2
    )
    covariance = jacobian @ belief.covariance @ jacobian.T
    covariance += distrust * np.diag([translation, translation, rotation])
    return Belief(pose, covariance)
