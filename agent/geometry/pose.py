"""SE(2): rigid motion in the plane.

A transform is named ``a_from_b`` and takes coordinates in frame b to frame a, so that adjacent
names cancel: ``map_from_base = map_from_odom @ odom_from_base`` (frames of REP-105).
"""

import math
from dataclasses import dataclass
from typing import Self

from agent.geometry.angle import wrap


@dataclass(frozen=True, slots=True)
class Pose2:
    """A pose, or equally the transform ``parent_from_child``; yaw counter-clockwise, wrapped."""

    x_m: float
    y_m: float
    yaw_rad: float

    def __matmul__(self, other: "Pose2") -> "Pose2":
        """Compose: ``a_from_c = a_from_b @ b_from_c``."""
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        return Pose2(
            self.x_m + cos * other.x_m - sin * other.y_m,
            self.y_m + sin * other.x_m + cos * other.y_m,
            wrap(self.yaw_rad + other.yaw_rad),
        )

    def inverse(self) -> "Pose2":
        """Return ``child_from_parent``."""
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        return Pose2(
            -cos * self.x_m - sin * self.y_m,
            sin * self.x_m - cos * self.y_m,
            wrap(-self.yaw_rad),
        )

    def transform(self, x_m: float, y_m: float) -> tuple[float, float]:
        """Take a point of the child frame to the parent frame."""
        cos, sin = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        return self.x_m + cos * x_m - sin * y_m, self.y_m + sin * x_m + cos * y_m

    def distance_m(self, other: "Pose2") -> float:
        """Return the distance between the two origins."""
        return math.hypot(self.x_m - other.x_m, self.y_m - other.y_m)

    def is_near(self, other: "Pose2", distance_m: float, turn_rad: float) -> bool:
        """Return whether another pose is nearer than a distance and than a turn."""
        return (
            self.distance_m(other) < distance_m
            and abs(wrap(other.yaw_rad - self.yaw_rad)) < turn_rad
        )

    def interpolate(self, other: "Pose2", fraction: float) -> "Pose2":
        """Return the pose at ``fraction`` of the way to ``other``, turning the short way."""
        turn = wrap(other.yaw_rad - self.yaw_rad)
        return Pose2(
            self.x_m + fraction * (other.x_m - self.x_m),
            self.y_m + fraction * (other.y_m - self.y_m),
            wrap(self.yaw_rad + fraction * turn),
        )

    @classmethod
    def identity(cls) -> Self:
        """Return the transform that changes nothing."""
        return cls(0.0, 0.0, 0.0)
