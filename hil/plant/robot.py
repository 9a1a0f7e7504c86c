"""A differential drive: motors that need time, wheels that slip, encoders that count."""

import math
from dataclasses import dataclass

import numpy as np

from hil.plant.world import Pose


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveParameters:
    """The robot under the wheels' point of view.

    Attributes:
        track_m: Distance between the wheels' contact points.
        wheel_radius_m: Nominal radius, by which wheel angle becomes distance.
        counts_per_turn: Encoder counts for one turn of a wheel.
        max_speed_mps: What a wheel can do at most.
        acceleration_mps2: Limit while a wheel gets faster.
        deceleration_mps2: Limit while it gets slower.
        brake_mps2: Deceleration with the emergency brake on.
        left_scale: True over nominal distance of the left wheel (tyre wear, load).
        right_scale: The same for the right one.
        slip_m_per_sqrt_m: Standard deviation of the true distance after one metre of wheel
            travel; it grows with the square root of the distance, as for independent slips.
    """

    track_m: float = 0.5
    wheel_radius_m: float = 0.1
    counts_per_turn: int = 4096
    max_speed_mps: float = 2.0
    acceleration_mps2: float = 1.0
    deceleration_mps2: float = 1.5
    brake_mps2: float = 3.0
    left_scale: float = 1.0
    right_scale: float = 1.0
    slip_m_per_sqrt_m: float = 0.0


class DifferentialDrive:
    """Two driven wheels; channel order is left, right."""

    def __init__(self, parameters: DriveParameters, rng: np.random.Generator) -> None:
        self.parameters = parameters
        self._rng = rng
        self._targets_mps = (0.0, 0.0)
        self._speeds_mps = (0.0, 0.0)
        self._travelled_m = (0.0, 0.0)
        self._braked = False

    @property
    def speeds_mps(self) -> tuple[float, float]:
        """Rim speed of each wheel."""
        return self._speeds_mps

    @property
    def at_rest(self) -> bool:
        """Whether nothing turns and nothing is about to."""
        return self._speeds_mps == (0.0, 0.0) and (self._braked or self._targets_mps == (0.0, 0.0))

    def set_wheel_speeds(self, left_radps: float, right_radps: float) -> None:
        """Set what the wheels shall reach, limited to what they can."""
        radius_m, limit_mps = self.parameters.wheel_radius_m, self.parameters.max_speed_mps
        left_mps = min(max(left_radps * radius_m, -limit_mps), limit_mps)
        right_mps = min(max(right_radps * radius_m, -limit_mps), limit_mps)
        self._targets_mps = (left_mps, right_mps)

    def wheel_speeds_radps(self) -> tuple[float, float]:
        """Return how fast the wheels turn."""
        left_mps, right_mps = self._speeds_mps
        radius_m = self.parameters.wheel_radius_m
        return left_mps / radius_m, right_mps / radius_m

    def encoder_counts(self) -> tuple[int, int]:
        """Return whole counts since power-up; the encoder knows nothing of slip."""
        per_m = self.parameters.counts_per_turn / (math.tau * self.parameters.wheel_radius_m)
        left_m, right_m = self._travelled_m
        return math.floor(left_m * per_m), math.floor(right_m * per_m)

    def set_brake(self, engaged: bool) -> None:
        """Engage or release the emergency brake; set-points stay as they are."""
        self._braked = engaged

    def step(self, duration_s: float) -> tuple[float, float]:
        """Let time pass; return how far each wheel has moved over the ground, in m."""
        travelled = []
        speeds = []
        for speed_mps, target_mps in zip(self._speeds_mps, self._targets_mps, strict=True):
            reached_mps = self._ramp(speed_mps, target_mps, duration_s)
            travelled.append(0.5 * (speed_mps + reached_mps) * duration_s)
            speeds.append(reached_mps)
        left_m, right_m = travelled
        self._speeds_mps = (speeds[0], speeds[1])
        self._travelled_m = (self._travelled_m[0] + left_m, self._travelled_m[1] + right_m)
        parameters = self.parameters
        left_true_m, right_true_m = left_m * parameters.left_scale, right_m * parameters.right_scale
        if parameters.slip_m_per_sqrt_m > 0.0:
            left_noise, right_noise = self._rng.standard_normal(2).tolist()
            left_true_m += left_noise * parameters.slip_m_per_sqrt_m * math.sqrt(abs(left_m))
            right_true_m += right_noise * parameters.slip_m_per_sqrt_m * math.sqrt(abs(right_m))
        return left_true_m, right_true_m

    def _ramp(self, speed_mps: float, target_mps: float, duration_s: float) -> float:
        if self._braked:
            target_mps, limit_mps = 0.0, self.parameters.brake_mps2 * duration_s
        elif speed_mps * target_mps < 0.0:
            # A wheel that reverses first stops, with the limit for stopping.
            target_mps, limit_mps = 0.0, self.parameters.deceleration_mps2 * duration_s
        elif abs(target_mps) > abs(speed_mps):
            limit_mps = self.parameters.acceleration_mps2 * duration_s
        else:
            limit_mps = self.parameters.deceleration_mps2 * duration_s
        return speed_mps + min(max(target_mps - speed_mps, -limit_mps), limit_mps)


def roll(pose: Pose, left_m: float, right_m: float, track_m: float) -> Pose:
    """Return the pose after both wheels rolled at constant speeds: exactly along one arc."""
    distance_m = 0.5 * (left_m + right_m)
    turn_rad = (right_m - left_m) / track_m
    # The chord of an arc has length 2 r sin(turn / 2) and points half the turn ahead.
    half = 0.5 * turn_rad
    chord_m = distance_m * (math.sin(half) / half if abs(half) > 1e-9 else 1.0)
    heading = pose.yaw_rad + half
    return Pose(
        pose.x_m + chord_m * math.cos(heading),
        pose.y_m + chord_m * math.sin(heading),
        pose.yaw_rad + turn_rad,
    )
