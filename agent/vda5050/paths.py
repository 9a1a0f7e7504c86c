"""Ways that the robot has planned, as the platform is told of them (3.0, sections 6.8 and 7.3)."""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from agent.geometry.pose import Pose2
from agent.vda5050.messages import (
    ControlPoint,
    IntermediatePath,
    PathPoint,
    PlannedPath,
    Trajectory,
    timestamp,
)

F64 = NDArray[np.float64]

BOW_M = 0.02  # by which the way that is told may miss the one that is planned
NEAR_M = 6.0  # of the way, that the lidars see for sure
NEAR_STEP_M = 1.0
LEAST_MPS = 0.3  # for a robot that has just set out


def planned_path(line_m: F64, node_ids: list[str]) -> PlannedPath | None:
    """Return a way as a curve, None where there is none.

    Args:
        line_m: Shape ``(n, 2)``, from the robot on.
        node_ids: The nodes that it leads to.
    """
    if len(line_m) < 2:
        return None
    return PlannedPath(trajectory=trajectory_of(line_m), traversed_nodes=node_ids or None)


def intermediate_path(
    pose: Pose2, line_m: F64, speed_mps: float, utc_ns: int
) -> IntermediatePath | None:
    """Return the first metres of a way with the times at which the robot expects to be there.

    Args:
        pose: ``map_from_base`` now.
        line_m: Shape ``(n, 2)``, from the robot on.
        speed_mps: Measured.
        utc_ns: Wall-clock time.
    """
    if len(line_m) < 2:
        return None
    steps_m = np.hypot(*np.diff(line_m, axis=0).T)
    along_m = np.concatenate(([0.0], np.cumsum(steps_m)))
    end_m = min(NEAR_M, float(along_m[-1]))
    at_m = np.append(np.arange(0.0, end_m, NEAR_STEP_M), end_m)
    places = np.column_stack([np.interp(at_m, along_m, line_m[:, axis]) for axis in (0, 1)])
    headings = [pose.yaw_rad, *(math.atan2(*(b - a)[::-1]) for a, b in pairwise(places))]
    speed_mps = max(speed_mps, LEAST_MPS)
    return IntermediatePath(
        polyline=[
            PathPoint(
                x=round(float(x), 3),
                y=round(float(y), 3),
                theta=round(heading, 4),
                eta=timestamp(utc_ns + round(ahead / speed_mps * 1e9)),
            )
            for (x, y), heading, ahead in zip(places, headings, at_m, strict=True)
        ]
    )


def trajectory_of(line_m: F64) -> Trajectory:
    """Return a line of straight pieces as a NURBS of degree 1 (section 7.3, ``trajectory``).

    Args:
        line_m: Shape ``(n, 2)``, one point or more.
    """
    points = without_bows(line_m)
    knots = [0.0, *np.linspace(0.0, 1.0, len(points)), 1.0]
    return Trajectory(
        degree=1,
        knot_vector=[float(knot) for knot in knots],
        control_points=[
            ControlPoint(x=round(float(x), 3), y=round(float(y), 3)) for x, y in points
        ],
    )


def without_bows(line_m: F64) -> F64:
    """Return the corners of a line, from which it is never more than :data:`BOW_M` away.

    In one pass, after Reumann and Witkam (1974): a corner is where the line leaves the strip along
    the direction in which it set out from the one before.
    """
    if len(line_m) < 3:
        return line_m if len(line_m) == 2 else np.repeat(line_m, 2, axis=0)
    kept = [0]
    way: F64 | None = None
    for index in range(1, len(line_m) - 1):
        off = line_m[index + 1] - line_m[kept[-1]]
        if way is None:
            step = line_m[index] - line_m[kept[-1]]
            length = math.hypot(*step)
            if length <= BOW_M:
                continue
            way = step / length
        if abs(way[0] * off[1] - way[1] * off[0]) > BOW_M / 2 or way @ off < way @ (
            line_m[index] - line_m[kept[-1]]
        ):
            kept.append(index)
            way = None
    return line_m[[*kept, len(line_m) - 1]]
