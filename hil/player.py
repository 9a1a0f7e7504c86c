"""A recorded drive as a body: the log's scans and odometry come out of the emulated devices.

For every scan of the log the robot stands still for exactly one revolution of the lidar, which
shows that scan. Then it moves to the odometry pose of the next one, turning, driving and turning,
within a whole number of revolutions that show nothing, since the log has nothing from there.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.evaluation.carmen import CarmenLog, CarmenScan
from agent.geometry.angle import wrap
from agent.geometry.pose import Pose2
from hil.plant.plant import Truth
from hil.plant.robot import DriveParameters, roll
from hil.plant.world import Pose

_SETTLE_NS: Final = 25_000_000
"""Standstill at both ends of a motion, longer than the device groups samples before it tells of
a revolution: the robot never moves within a shown scan, and never jumps."""

_KNOWN_REVOLUTIONS: Final = 64


@dataclass(frozen=True, slots=True)
class PlayedScan:
    """A scan that was shown.

    Attributes:
        index: In the log.
        log_stamp_s: Its time in the log.
        shown_ns: Monotonic time of the first sample of the revolution that showed it.
    """

    index: int
    log_stamp_s: float
    shown_ns: int


@dataclass(frozen=True, slots=True)
class _Leg:
    """A turn or a straight: how far each wheel rolls, within which stretch of time."""

    left_m: float
    right_m: float
    from_ns: int
    to_ns: int

    def part_at(self, now_ns: int) -> float:
        """Return how much of the leg is done; it begins and ends at rest."""
        part = min(max((now_ns - self.from_ns) / (self.to_ns - self.from_ns), 0.0), 1.0)
        return part * part * (3.0 - 2.0 * part)

    def rate_at(self, now_ns: int) -> float:
        """Return the derivative of the part done, per second."""
        if not self.from_ns < now_ns < self.to_ns:
            return 0.0
        part = (now_ns - self.from_ns) / (self.to_ns - self.from_ns)
        return 6.0 * part * (1.0 - part) / ((self.to_ns - self.from_ns) * 1e-9)


# The greatest speed of a leg over its mean speed.
_PEAK: Final = 1.5


class _PlayedWheels:
    """Wheels that follow the log and not the controller."""

    def __init__(self, drive: DriveParameters) -> None:
        self._drive = drive
        self._before_m = (0.0, 0.0)
        self._legs: tuple[_Leg, ...] = ()
        self.now_ns = 0

    def travelled_m(self) -> tuple[float, float]:
        left_m, right_m = self._before_m
        for leg in self._legs:
            part = leg.part_at(self.now_ns)
            left_m += part * leg.left_m
            right_m += part * leg.right_m
        return left_m, right_m

    def speeds_mps(self) -> tuple[float, float]:
        rates = [leg.rate_at(self.now_ns) for leg in self._legs]
        return (
            sum(rate * leg.left_m for rate, leg in zip(rates, self._legs, strict=True)),
            sum(rate * leg.right_m for rate, leg in zip(rates, self._legs, strict=True)),
        )

    def follow(self, legs: tuple[_Leg, ...]) -> None:
        """Begin the next motion; the one before it is over."""
        self._before_m = (
            self._before_m[0] + sum(leg.left_m for leg in self._legs),
            self._before_m[1] + sum(leg.right_m for leg in self._legs),
        )
        self._legs = legs

    def pose_after(self, start: Pose2) -> Pose2:
        """Return where the motion under way has led by now."""
        pose = Pose(start.x_m, start.y_m, start.yaw_rad)
        for leg in self._legs:
            part = leg.part_at(self.now_ns)
            pose = roll(pose, part * leg.left_m, part * leg.right_m, self._drive.track_m)
        return Pose2(pose.x_m, pose.y_m, wrap(pose.yaw_rad))

    def set_wheel_speeds(self, left_radps: float, right_radps: float) -> None:
        """Ignore the controller: the drive is over since long."""

    def set_brake(self, engaged: bool) -> None:
        """Ignore the controller: the drive is over since long."""

    def wheel_speeds_radps(self) -> tuple[float, float]:
        """Return how fast the wheels turn."""
        left_mps, right_mps = self.speeds_mps()
        return left_mps / self._drive.wheel_radius_m, right_mps / self._drive.wheel_radius_m

    def encoder_counts(self) -> tuple[int, int]:
        """Return whole counts since the beginning."""
        per_m = self._drive.counts_per_turn / (math.tau * self._drive.wheel_radius_m)
        left_m, right_m = self.travelled_m()
        return math.floor(left_m * per_m), math.floor(right_m * per_m)


class Player:
    """Plays a log as a body of the bench; hand :meth:`on_revolution` to the lidar.

    Args:
        log: What to play.
        drive: Wheels that the log is played on; ``max_speed_mps`` bounds them.
        revolution_s: Period of the lidar.
        max_range_m: Reach of the lidar; what the log saw beyond is no return.
    """

    def __init__(
        self,
        log: CarmenLog,
        drive: DriveParameters,
        revolution_s: float = 0.1,
        max_range_m: float = 16.0,
    ) -> None:
        self.played: list[PlayedScan] = []
        self.wheels = _PlayedWheels(drive)
        self._scans = log.scans
        self._drive = drive
        self._revolution_s = revolution_s
        self._max_range_m = max_range_m
        self._origin = self._destination = log.scans[0].odom
        self._next_scan = 0
        self._empty_left = 0
        self._distance_m = 0.0
        # Start of each revolution and the scan it shows.
        self._revolutions: deque[tuple[int, int | None]] = deque(maxlen=_KNOWN_REVOLUTIONS)

    @property
    def finished(self) -> bool:
        """Whether the last scan has been shown to its end."""
        return (
            self._next_scan == len(self._scans)
            and bool(self._revolutions)
            and self._revolutions[-1][1] is None
        )

    @property
    def truth(self) -> Truth:
        """Where the wheels have led so far, in the frame of the log's odometry."""
        pose = self.wheels.pose_after(self._origin)
        left_mps, right_mps = self.wheels.speeds_mps()
        return Truth(
            self.wheels.now_ns,
            Pose(pose.x_m, pose.y_m, pose.yaw_rad),
            0.5 * (left_mps + right_mps),
            (right_mps - left_mps) / self._drive.track_m,
            self._distance_m + pose.distance_m(self._origin),
            None,
        )

    def advance(self, to_ns: int) -> None:
        """Move on to a monotonic time."""
        self.wheels.now_ns = max(self.wheels.now_ns, to_ns)

    def on_revolution(self, index: int, start_ns: int) -> None:
        """Decide what a revolution shows: the next scan, or nothing on the way there."""
        del index
        if self._empty_left > 0:
            self._empty_left -= 1
            self._revolutions.append((start_ns, None))
            return
        if self._next_scan == len(self._scans):
            self._revolutions.append((start_ns, None))
            return
        scan = self._scans[self._next_scan]
        motion = _motion(self._destination, scan.odom, self._drive.track_m)
        if motion:
            self._depart(motion, scan.odom, start_ns)
            self._revolutions.append((start_ns, None))
            return
        self._revolutions.append((start_ns, self._next_scan))
        self.played.append(PlayedScan(self._next_scan, scan.stamp_s, start_ns))
        self._next_scan += 1

    def lidar_ranges(
        self, stamps_ns: NDArray[np.int64], bearings_rad: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the nearest beam's range for each ray; see the module for what is shown when."""
        ranges = np.full(bearings_rad.size, np.nan)
        end_ns = np.iinfo(np.int64).max
        for start_ns, index in reversed(self._revolutions):
            within = (stamps_ns >= start_ns) & (stamps_ns < end_ns)
            if index is not None and within.any():
                ranges[within] = _seen(self._scans[index], bearings_rad[within])
            if start_ns <= stamps_ns[0]:
                break
            end_ns = start_ns
        ranges[ranges > self._max_range_m] = np.nan
        return ranges

    def _depart(
        self, motion: tuple[tuple[float, float], ...], destination: Pose2, start_ns: int
    ) -> None:
        lengths_m = [max(abs(left_m), abs(right_m)) for left_m, right_m in motion]
        drive_s = _PEAK * sum(lengths_m) / self._drive.max_speed_mps
        settle_s = 2e-9 * _SETTLE_NS
        revolutions = max(math.ceil((drive_s + settle_s) / self._revolution_s), 1)
        drive_ns = round(revolutions * self._revolution_s * 1e9) - 2 * _SETTLE_NS
        ends = np.cumsum([0.0, *lengths_m]) / sum(lengths_m)
        times_ns = [start_ns + _SETTLE_NS + round(float(end) * drive_ns) for end in ends]
        self._distance_m += self._origin.distance_m(self._destination)
        self._origin, self._destination = self._destination, destination
        self.wheels.follow(
            tuple(
                _Leg(left_m, right_m, from_ns, to_ns)
                for (left_m, right_m), from_ns, to_ns in zip(
                    motion, times_ns[:-1], times_ns[1:], strict=True
                )
            )
        )
        self._empty_left = revolutions - 1


def _motion(start: Pose2, end: Pose2, track_m: float) -> tuple[tuple[float, float], ...]:
    """Return the ways of both wheels to turn, drive (backward if nearer) and turn to a pose."""
    straight_m = start.distance_m(end)
    first_rad = 0.0
    if straight_m > 0.0:
        heading_rad = math.atan2(end.y_m - start.y_m, end.x_m - start.x_m)
        first_rad = wrap(heading_rad - start.yaw_rad)
        if abs(first_rad) > math.pi / 2:
            first_rad, straight_m = wrap(first_rad + math.pi), -straight_m
    last_rad = wrap(end.yaw_rad - start.yaw_rad - first_rad)
    half_m = track_m / 2
    legs = (
        (-first_rad * half_m, first_rad * half_m),
        (straight_m, straight_m),
        (-last_rad * half_m, last_rad * half_m),
    )
    return tuple(leg for leg in legs if max(abs(leg[0]), abs(leg[1])) > 1e-9)


def _seen(scan: CarmenScan, bearings_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the range of the beam nearest to each bearing, NaN outside the field of view."""
    angles = scan.angles_rad.astype(np.float64)
    order = np.argsort(angles)
    ascending = angles[order]
    half_rad = 0.5 * float(np.median(np.diff(ascending)))
    wrapped = (bearings_rad + np.pi) % (2.0 * np.pi) - np.pi
    after = np.clip(np.searchsorted(ascending, wrapped), 1, ascending.size - 1)
    nearer_before = wrapped - ascending[after - 1] < ascending[after] - wrapped
    nearest = np.where(nearer_before, after - 1, after)
    ranges = scan.ranges_m[order][nearest].astype(np.float64)
    ranges[np.abs(ascending[nearest] - wrapped) > half_rad] = np.nan
    return ranges
