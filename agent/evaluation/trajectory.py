"""Trajectories and their errors against a reference.

Files are in the format of the TUM RGB-D benchmark, one pose per line:
``timestamp tx ty tz qx qy qz qw``, so that other tools read them too.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import LogError
from agent.geometry.angle import difference
from agent.geometry.pose import Pose2

PAIR_TOLERANCE_S = 0.02  # stamps of one and the same scan
LOST_M = 1.0  # farther off than this is not inaccurate but lost


@dataclass(frozen=True, slots=True)
class StampedPose:
    """A pose ``map_from_base`` at a time of the log."""

    stamp_s: float
    pose: Pose2


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Size of a set of errors."""

    mean: float
    rmse: float
    p95: float
    max: float


@dataclass(frozen=True, slots=True)
class TrajectoryError:
    """Errors of a trajectory at the poses of a reference.

    Attributes:
        poses: Poses of the reference that were compared.
        unmatched: Poses of the reference that the trajectory does not cover.
        position_m: Distance to the reference.
        heading_rad: Absolute difference of heading.
        lost_share: Share of poses more than 1 m off.
    """

    poses: int
    unmatched: int
    position_m: Spectrum
    heading_rad: Spectrum
    lost_share: float


def read_tum(path: Path) -> tuple[StampedPose, ...]:
    """Read a planar trajectory, sorted by time.

    Raises:
        LogError: The file cannot be read, or a line is malformed.
    """
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError as error:
        raise LogError(f"{path}: {error.strerror or error}") from error
    poses = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            stamp_s, x_m, y_m, _, qx, qy, qz, qw = (float(word) for word in line.split())
        except ValueError as error:
            raise LogError(f"{path}, line {number}: not eight numbers") from error
        norm = math.sqrt(qx**2 + qy**2 + qz**2 + qw**2)
        if not all(map(math.isfinite, (stamp_s, x_m, y_m, norm))) or norm < 0.5:
            raise LogError(f"{path}, line {number}: not a finite pose")
        yaw_rad = math.atan2(2.0 * (qw * qz + qx * qy), 1.0 - 2.0 * (qy**2 + qz**2))
        poses.append(StampedPose(stamp_s, Pose2(x_m, y_m, yaw_rad) @ Pose2.identity()))
    if not poses:
        raise LogError(f"{path}: no pose in it")
    return tuple(sorted(poses, key=lambda stamped: stamped.stamp_s))


def write_tum(path: Path, trajectory: Sequence[StampedPose]) -> None:
    """Write a planar trajectory.

    Raises:
        LogError: The file cannot be written.
    """
    lines = [
        f"{stamped.stamp_s:.6f} {stamped.pose.x_m:.6f} {stamped.pose.y_m:.6f} 0 0 0 "
        f"{math.sin(stamped.pose.yaw_rad / 2):.9f} {math.cos(stamped.pose.yaw_rad / 2):.9f}\n"
        for stamped in trajectory
    ]
    try:
        path.write_text("".join(lines), encoding="ascii")
    except OSError as error:
        raise LogError(f"{path}: {error.strerror or error}") from error


def compare(
    trajectory: Sequence[StampedPose],
    reference: Sequence[StampedPose],
    *,
    tolerance_s: float = PAIR_TOLERANCE_S,
) -> TrajectoryError:
    """Compare a trajectory with a reference, without aligning the two.

    Args:
        trajectory: Sorted by time.
        reference: The truth; each of its poses is compared with the nearest in time.
        tolerance_s: Largest difference of time of a pair.

    Raises:
        LogError: No pose of the reference has a partner.
    """
    stamps_s = [stamped.stamp_s for stamped in trajectory]
    pairs = []
    for truth in reference:
        at = nearest(stamps_s, truth.stamp_s, tolerance_s)
        if at is not None:
            pairs.append((trajectory[at].pose, truth.pose))
    if not pairs:
        raise LogError(f"no pose of the reference lies within {tolerance_s} s of the trajectory")
    position_m = np.array([pose.distance_m(truth) for pose, truth in pairs])
    heading_rad = np.array([abs(difference(p.yaw_rad, truth.yaw_rad)) for p, truth in pairs])
    return TrajectoryError(
        poses=len(pairs),
        unmatched=len(reference) - len(pairs),
        position_m=_spectrum(position_m),
        heading_rad=_spectrum(heading_rad),
        lost_share=float((position_m > LOST_M).mean()),
    )


def nearest(stamps_s: Sequence[float], stamp_s: float, tolerance_s: float) -> int | None:
    """Return the index of the stamp nearest to a moment, ``None`` if none is within a tolerance.

    Args:
        stamps_s: Ascending.
        stamp_s: The moment.
        tolerance_s: Largest difference.
    """
    after = bisect_left(stamps_s, stamp_s)
    candidates = [i for i in (after - 1, after) if 0 <= i < len(stamps_s)]
    best = min(candidates, key=lambda i: abs(stamps_s[i] - stamp_s), default=None)
    return best if best is not None and abs(stamps_s[best] - stamp_s) <= tolerance_s else None


def _spectrum(errors: NDArray[np.float64]) -> Spectrum:
    return Spectrum(
        mean=float(errors.mean()),
        rmse=float(np.sqrt(np.square(errors).mean())),
        p95=float(np.percentile(errors, 95)),
        max=float(errors.max()),
    )
