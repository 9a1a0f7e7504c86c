"""Logs of the Carnegie Mellon Robot Navigation Toolkit (CARMEN), text format.

Lines (CARMEN, "Log file format"):

- ``ODOM x y theta tv rv accel ipc_time host logger_time``
- ``FLASER n r1 .. rn x y theta odom_x odom_y odom_theta ipc_time host logger_time``
- ``ROBOTLASER1 type start fov resolution max accuracy remission n r1 .. rn m e1 .. em
  x y theta odom_x odom_y odom_theta tv rv forward side turn ipc_time host logger_time``
"""

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import LogError
from agent.geometry.pose import Pose2
from drivers.measurement import FloatArray

NO_RETURN_M = 30.0  # and more: error codes of the SICK LMS, and its unusable far range
MAX_RAYS = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class CarmenScan:
    """One scan of the front laser, which sits at the robot's centre.

    Attributes:
        stamp_s: Time of the log.
        angles_rad: Shape ``(rays,)``, bearing of each ray, counter-clockwise.
        ranges_m: Shape ``(rays,)``, NaN where nothing came back.
        odom: ``odom_from_base`` by the wheels.
    """

    stamp_s: float
    angles_rad: FloatArray
    ranges_m: FloatArray
    odom: Pose2


@dataclass(frozen=True, slots=True)
class CarmenOdometry:
    """One sample of wheel odometry."""

    stamp_s: float
    odom: Pose2
    forward_mps: float
    yaw_rate_radps: float


@dataclass(frozen=True, slots=True)
class CarmenLog:
    """A log, each list in the order of the file; ``unknown_lines`` are of other kinds."""

    scans: tuple[CarmenScan, ...]
    odometry: tuple[CarmenOdometry, ...]
    unknown_lines: int


def read_carmen(path: Path) -> CarmenLog:
    """Read a log, plain or compressed with gzip (``.gz``).

    Args:
        path: The log.

    Raises:
        LogError: The file cannot be read, or a line is malformed.
    """
    scans: list[CarmenScan] = []
    odometry: list[CarmenOdometry] = []
    unknown = 0
    for number, line in enumerate(_lines(path), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            match words[0]:
                case "FLASER":
                    scans.append(_flaser(words))
                case "ROBOTLASER1":
                    scans.append(_robotlaser(words))
                case "ODOM":
                    odometry.append(_odom(words))
                case _:
                    unknown += 1
        except (ValueError, IndexError) as error:
            raise LogError(f"{path}, line {number}: malformed {words[0]}: {error}") from error
    if not scans:
        raise LogError(f"{path}: no scan of the front laser (FLASER, ROBOTLASER1)")
    return CarmenLog(tuple(scans), tuple(odometry), unknown)


def _lines(path: Path) -> Iterator[str]:
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rt", encoding="ascii", errors="replace") as file:
                yield from file
        else:
            with path.open(encoding="ascii", errors="replace") as file:
                yield from file
    except (OSError, EOFError, zlib.error) as error:
        raise LogError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _flaser(words: list[str]) -> CarmenScan:
    count = _count(words[1])
    _expect(words, count + 11)
    # 180 or 360 rays leave out the ray at +90 degrees, 181 or 361 have it.
    intervals = count - 1 if count % 2 else count
    angles_rad = -math.pi / 2 + np.arange(count) * (math.pi / intervals)
    tail = words[2 + count :]
    return _scan(angles_rad, words[2 : 2 + count], NO_RETURN_M, odom=tail[3:6], stamp=tail[6])


def _robotlaser(words: list[str]) -> CarmenScan:
    start_rad, resolution_rad, max_range_m = (_finite(words[i]) for i in (2, 4, 5))
    count = _count(words[8])
    remissions = _count(words[9 + count], least=0)
    _expect(words, count + remissions + 24)
    angles_rad = start_rad + np.arange(count) * resolution_rad
    tail = words[10 + count + remissions :]
    limit_m = min(NO_RETURN_M, max_range_m) if max_range_m > 0.0 else NO_RETURN_M
    return _scan(angles_rad, words[9 : 9 + count], limit_m, odom=tail[3:6], stamp=tail[11])


def _odom(words: list[str]) -> CarmenOdometry:
    _expect(words, 10)
    x_m, y_m, yaw_rad, forward_mps, yaw_rate_radps = (_finite(word) for word in words[1:6])
    return CarmenOdometry(
        _finite(words[7]),
        Pose2(x_m, y_m, yaw_rad) @ Pose2.identity(),
        forward_mps,
        yaw_rate_radps,
    )


def _scan(
    angles_rad: NDArray[np.floating],
    ranges: list[str],
    limit_m: float,
    *,
    odom: list[str],
    stamp: str,
) -> CarmenScan:
    ranges_m = np.array(ranges, np.float32)
    ranges_m[~((ranges_m > 0.0) & (ranges_m < limit_m))] = np.nan
    wrapped_rad = ((angles_rad + np.pi) % (2.0 * np.pi) - np.pi).astype(np.float32)
    wrapped_rad.setflags(write=False)
    ranges_m.setflags(write=False)
    pose = Pose2(*(_finite(word) for word in odom)) @ Pose2.identity()
    return CarmenScan(_finite(stamp), wrapped_rad, ranges_m, pose)


def _count(word: str, least: int = 2) -> int:
    count = int(word)
    if not least <= count <= MAX_RAYS:
        raise ValueError(f"{count} values announced")
    return count


def _expect(words: list[str], count: int) -> None:
    if len(words) < count:
        raise ValueError(f"{len(words)} of {count} fields")


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{word} is not a finite number")
    return value
