"""A differential drive: commands to wheel speeds, absolute encoder counts to odometry."""

import math
from collections import deque
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeVar

from annotated_types import Gt, Le

from drivers.measurement import Odometry, VelocityCommand

Number = TypeVar("Number", int, float)

SPEED_SAMPLES = 4  # counts are compared over three 20 ms polls, which halves the jitter of stamps
SPEED_RESERVE = 1.5  # a wheel cannot have turned faster than this multiple of its top speed
LEAST_DT_S = 0.02  # replies that bunched up on arrival still lie a poll apart


def wrap_difference(new: int, old: int, bits: int) -> int:
    """Return how far a counter of ``bits`` went the short way: in [-2^(bits-1), 2^(bits-1))."""
    half = 1 << (bits - 1)
    return (new - old + half) % (1 << bits) - half


def wheel_speeds_mps(
    command: VelocityCommand | None, track_width_m: float, max_wheel_mps: float
) -> tuple[float, float]:
    """Return the rim speeds of the left and the right wheel; None means standstill.

    Where a wheel cannot do what is asked both are slowed alike, so that the robot keeps its curve.
    """
    if command is None:
        return 0.0, 0.0
    spread_mps = command.yaw_rate_radps * track_width_m / 2.0
    left_mps, right_mps = command.forward_mps - spread_mps, command.forward_mps + spread_mps
    scale = max_wheel_mps / max(abs(left_mps), abs(right_mps), max_wheel_mps)
    return left_mps * scale, right_mps * scale


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelOptions:
    """Options of a two-channel motor controller with a wheel on each channel.

    Attributes:
        counts_per_revolution: Encoder counts (four per pulse) in one turn of the wheel.
        wheel_radius_m: Rolling radius under load.
        track_width_m: Distance between the wheels' contact points.
        max_wheel_rpm: Top speed of the wheel.
        left_channel: Channel of the left motor; the right one has the other.
        invert_left: The left motor and its encoder run backwards.
        invert_right: The same for the right.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    counts_per_revolution: Annotated[int, Gt(0), Le(10_000_000)] = 4096
    wheel_radius_m: Annotated[float, Gt(0), Le(1)] = 0.10
    track_width_m: Annotated[float, Gt(0), Le(5)] = 0.50
    max_wheel_rpm: Annotated[float, Gt(0), Le(10_000)] = 200.0
    left_channel: Literal[1, 2] = 1
    invert_left: bool = False
    invert_right: bool = False

    @property
    def max_wheel_mps(self) -> float:
        """Rim speed at the top speed of the wheel."""
        return self.max_wheel_rpm / 60.0 * math.tau * self.wheel_radius_m

    @property
    def counts_per_metre(self) -> float:
        """Encoder counts per metre of wheel travel."""
        return self.counts_per_revolution / (math.tau * self.wheel_radius_m)

    def wheels(self, first: int, second: int) -> tuple[int, int]:
        """Turn values of channels 1 and 2 into those of the left and the right wheel."""
        return self._directed(*((first, second) if self.left_channel == 1 else (second, first)))

    def channels(self, left: Number, right: Number) -> tuple[Number, Number]:
        """Turn values of the left and the right wheel into those of channels 1 and 2."""
        left, right = self._directed(left, right)
        return (left, right) if self.left_channel == 1 else (right, left)

    def _directed(self, left: Number, right: Number) -> tuple[Number, Number]:
        return -left if self.invert_left else left, -right if self.invert_right else right


class RoundTrip:
    """Bounds the age of answers by when they were asked for.

    A reply that waited to be read looks younger than it is; at walking pace 0.1 s of that is 0.1 m
    of error. No answer is younger than its question plus the quickest round trip seen so far.
    """

    def __init__(self) -> None:
        self._least_ns: int | None = None

    def bounded_ns(self, asked_ns: int | None, stamp_ns: int) -> int:
        """Return the stamp of an answer, no later than its question allows."""
        if asked_ns is None or stamp_ns < asked_ns:
            return stamp_ns
        round_trip_ns = stamp_ns - asked_ns
        if self._least_ns is None or round_trip_ns < self._least_ns:
            self._least_ns = round_trip_ns
        return asked_ns + self._least_ns


class DifferentialOdometry:
    """Integrates left and right travel along arcs.

    A count that no wheel can have reached is not used: either a digit was damaged, and the next
    count is good again, or the controller was reset, and the next count agrees with the new one.

    Args:
        counts_per_metre: Encoder counts per metre of wheel travel.
        track_width_m: Distance between the wheels' contact points.
        max_wheel_mps: Top speed of a wheel.
        bits: Width of the counters.
    """

    def __init__(
        self, counts_per_metre: float, track_width_m: float, max_wheel_mps: float, bits: int
    ) -> None:
        self._counts_per_metre = counts_per_metre
        self._track_width_m = track_width_m
        self._max_wheel_mps = max_wheel_mps
        self._bits = bits
        self._counts: tuple[int, int] | None = None
        self._counted_ns = 0
        self._refused: tuple[int, int] | None = None
        self._x_m = self._y_m = self._yaw_rad = 0.0
        self._travel: deque[tuple[int, float, float]] = deque(maxlen=SPEED_SAMPLES)
        self._left_m = self._right_m = 0.0

    def forget_counts(self) -> None:
        """Take the next counts as a new zero; the pose so far stays."""
        self._counts = None
        self._refused = None
        self._travel.clear()

    def update(self, counts: tuple[int, int], stamp_ns: int, received_ns: int) -> Odometry | None:
        """Take the counters' values and return the odometry; None where they are not used."""
        if self._counts is None:
            left_m = right_m = 0.0
        else:
            left_m, right_m = self._metres(counts, self._counts)
            if not self._is_possible(left_m, right_m, stamp_ns - self._counted_ns):
                self._refuse(counts)
                return None
        self._counts, self._counted_ns, self._refused = counts, stamp_ns, None
        self._move(left_m, right_m)
        forward_mps, yaw_rate_radps = self._speeds(stamp_ns)
        return Odometry(
            stamp_ns, received_ns, self._x_m, self._y_m, self._yaw_rad, forward_mps, yaw_rate_radps
        )

    def _metres(self, new: tuple[int, int], old: tuple[int, int]) -> tuple[float, float]:
        left = wrap_difference(new[0], old[0], self._bits)
        right = wrap_difference(new[1], old[1], self._bits)
        return left / self._counts_per_metre, right / self._counts_per_metre

    def _is_possible(self, left_m: float, right_m: float, elapsed_ns: int) -> bool:
        elapsed_s = max(elapsed_ns * 1e-9, LEAST_DT_S)
        farthest_m = SPEED_RESERVE * self._max_wheel_mps * elapsed_s
        return max(abs(left_m), abs(right_m)) <= farthest_m

    def _refuse(self, counts: tuple[int, int]) -> None:
        if self._refused is not None:
            left_m, right_m = self._metres(counts, self._refused)
            if self._is_possible(left_m, right_m, 0):
                self.forget_counts()
                return
        self._refused = counts

    def _move(self, left_m: float, right_m: float) -> None:
        """Follow the arc exactly: the chord of a turn is sin(half) / half of its length."""
        turn = (right_m - left_m) / self._track_width_m
        way_m = (left_m + right_m) / 2.0
        half = turn / 2.0
        chord_m = way_m * (math.sin(half) / half if half != 0.0 else 1.0)
        self._x_m += chord_m * math.cos(self._yaw_rad + half)
        self._y_m += chord_m * math.sin(self._yaw_rad + half)
        self._yaw_rad = (self._yaw_rad + turn + math.pi) % math.tau - math.pi
        self._left_m += left_m
        self._right_m += right_m

    def _speeds(self, stamp_ns: int) -> tuple[float, float]:
        self._travel.append((stamp_ns, self._left_m, self._right_m))
        first_ns, first_left_m, first_right_m = self._travel[0]
        if stamp_ns <= first_ns:
            return 0.0, 0.0
        elapsed_s = (stamp_ns - first_ns) * 1e-9
        left_mps = (self._left_m - first_left_m) / elapsed_s
        right_mps = (self._right_m - first_right_m) / elapsed_s
        return (left_mps + right_mps) / 2.0, (right_mps - left_mps) / self._track_width_m
