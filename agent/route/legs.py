"""Ways as sequences of moves, made straight, round and short where the footprint allows it.

A move is metres ahead, metres to the left and radians of turn, see :mod:`agent.kernels.route`;
moves are arrays of shape ``(n, 3)``. All coordinates are in the frame of the cells of a map.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.geometry.angle import wrap
from agent.kernels import route as kernels
from agent.kernels.route import Body, Ground, Terms
from agent.route.work import Work

PULLS = 3  # times that a way is pulled straight, and that moves are shortened
PULL_SPACING_M = 0.25
PULL_WORK, CORNER_WORK, CONNECTION_WORK = 1.0, 0.1, 0.07  # in slices
BENDS = (1.0, 0.6, 0.35, 0.2, 0.1)  # shares of the largest radius that are tried in a corner
SHARPEST_BEND_RAD = 2.6  # sharper corners are turned on the spot

Triple = tuple[float, float, float]


class Problem(NamedTuple):
    """What a way is looked for.

    Attributes:
        start: x, y, yaw.
        goal: x, y, yaw; NaN where any heading will do.
        ground: What stands where.
        body: What the robot covers.
        terms: What a move costs.
    """

    start: Triple
    goal: Triple
    ground: Ground
    body: Body
    terms: Terms

    def cost(self, pose: Triple, moves: NDArray[np.float64], most: float = math.inf) -> float:
        """Return what moves from a pose cost, infinite where they touch or cost ``most``."""
        return float(kernels.route_cost(pose, moves, self.ground, self.body, self.terms, most))

    def connection(
        self, start: Triple, goal: Triple, most: float = math.inf
    ) -> NDArray[np.float64] | None:
        """Return the cheapest direct connection, None where none costs less than ``most``."""
        moves = np.empty((kernels.MOST_CURVES, 3))
        count, _ = kernels.connect(start, goal, self.ground, self.body, self.terms, most, moves)
        return moves[:count] if count > 0 else None


def looking_ahead(problem: Problem, way_m: NDArray[np.float64]) -> Work[NDArray[np.float64]]:
    """Return moves along the straightened way, each leg forwards, with arcs in the corners.

    Whether everything fits is left to be checked: where a corner admits neither an arc nor a turn
    on the spot the turn stays.

    Args:
        problem: What is looked for.
        way_m: Shape ``(n, 2)``, from start to goal.
    """
    steps = np.diff((yield from _taut(problem, way_m, math.nan)), axis=0)
    yaw = problem.start[2]
    moves = []
    for dx, dy in steps.tolist():
        length = math.hypot(dx, dy)
        if length > 1e-6:
            bearing = math.atan2(dy, dx)
            moves += [(0.0, 0.0, wrap(bearing - yaw)), (length, 0.0, 0.0)]
            yaw = bearing
    if not math.isnan(problem.goal[2]):
        moves.append((0.0, 0.0, wrap(problem.goal[2] - yaw)))
    return (yield from rounded(problem, np.array(moves, np.float64).reshape(-1, 3)))


def holding_heading(problem: Problem, way_m: NDArray[np.float64]) -> Work[NDArray[np.float64]]:
    """Return moves along the straightened way at the heading of the start, the turn at the end."""
    steps = np.diff((yield from _taut(problem, way_m, problem.start[2])), axis=0)
    cos, sin = math.cos(problem.start[2]), math.sin(problem.start[2])
    moves = np.zeros((len(steps) + 1, 3))
    moves[:-1, 0] = cos * steps[:, 0] + sin * steps[:, 1]
    moves[:-1, 1] = cos * steps[:, 1] - sin * steps[:, 0]
    if not math.isnan(problem.goal[2]):
        moves[-1, 2] = wrap(problem.goal[2] - problem.start[2])
    return moves


def _taut(
    problem: Problem, way_m: NDArray[np.float64], hold_rad: float
) -> Work[NDArray[np.float64]]:
    """Return the corners of the way pulled straight, shape ``(n, 2)``."""
    corners = way_m
    for _ in range(PULLS):
        kept = np.empty(len(way_m), np.int64)
        count = kernels.pull(way_m, problem.ground, problem.body, problem.terms, hold_rad, kept)
        corners = way_m[kept[:count]]
        way_m = densified(corners, PULL_SPACING_M)
        yield PULL_WORK
    return corners


def rounded(problem: Problem, moves: NDArray[np.float64]) -> Work[NDArray[np.float64]]:
    """Replace turns on the spot between straight legs by arcs where that is no dearer."""
    result: list[NDArray[np.float64]] = []
    pose = problem.start
    moves = moves.copy()
    for k in range(len(moves)):
        if 0 < k < len(moves) - 1 and _is_corner(moves[k - 1 : k + 2]):
            bend = _bend(problem, pose, moves[k - 1 : k + 2])
            yield CORNER_WORK
            if bend is not None:
                arc, cut_m = bend
                # The leg before is in the result already, and gives up what the arc takes.
                result[-1] = result[-1] - (cut_m, 0.0, 0.0)
                moves[k + 1, 0] -= cut_m
                result.append(arc)
                pose = kernels.moved(pose, (-cut_m, 0.0, 0.0), 1.0)
                pose = kernels.moved(pose, tuple(arc), 1.0)
                continue
        result.append(moves[k])
        pose = kernels.moved(pose, tuple(moves[k]), 1.0)
    return np.array(result, np.float64).reshape(-1, 3)


def _is_corner(moves: NDArray[np.float64]) -> bool:
    """Whether three moves are a leg, a turn on the spot and a leg in the same sense."""
    (first, _, bend), (ahead, left, turn), (last, _, curl) = moves
    return bool(
        bend == curl == ahead == left == 0.0
        and (moves[:, 1] == 0.0).all()
        and first * last > 0.0
        and 1e-6 < abs(turn) < SHARPEST_BEND_RAD
    )


def _bend(
    problem: Problem, corner: Triple, moves: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float] | None:
    """Return the widest arc that is not dearer than a turn, and what it takes off either leg.

    Args:
        problem: What is looked for.
        corner: Pose at the end of the first leg.
        moves: Shape ``(3, 3)``: what is left of the leg before, turn, and leg after.
    """
    turn = float(moves[1, 2])
    sense = math.copysign(1.0, moves[0, 0])
    # Half of the leg after is left to the corner that comes next.
    most_m = min(abs(float(moves[0, 0])), 0.5 * abs(float(moves[2, 0])))
    for share in BENDS if problem.terms.pivots else BENDS[:1]:
        radius_m = share * problem.terms.radius_m
        cut_m = sense * radius_m * math.tan(0.5 * abs(turn))
        if abs(cut_m) > most_m:
            continue
        begin = kernels.moved(corner, (-cut_m, 0.0, 0.0), 1.0)
        arc = np.array([[sense * radius_m * abs(turn), 0.0, turn]])
        sharp = np.array([[cut_m, 0.0, 0.0], moves[1], [cut_m, 0.0, 0.0]])
        dearest = problem.cost(begin, sharp)
        if problem.cost(begin, arc, dearest) < dearest:
            return arc[0], cut_m
    return None


def shortened(problem: Problem, moves: NDArray[np.float64]) -> Work[NDArray[np.float64]]:
    """Replace stretches of moves by direct connections that cost less, and round the corners."""
    for _ in range(PULLS):
        before = len(moves)
        moves = merged((yield from _shortcut(problem, moves)))
        if len(moves) == before:
            break
    return (yield from rounded(problem, moves))


def _shortcut(problem: Problem, moves: NDArray[np.float64]) -> Work[NDArray[np.float64]]:
    poses, spent = [problem.start], [0.0]
    for move in moves:
        spent.append(spent[-1] + problem.cost(poses[-1], move[None]))
        poses.append(kernels.moved(poses[-1], tuple(move), 1.0))
    result: list[NDArray[np.float64]] = []
    i = 0
    while i < len(moves):
        stride, shortcut = len(moves) - i, None
        # From far to near, so that the longest stretch is taken that can be.
        while stride > 1:
            j = i + stride
            shortcut = problem.connection(poses[i], poses[j], spent[j] - spent[i] - 1e-6)
            yield CONNECTION_WORK
            if shortcut is not None:
                break
            stride = stride * 3 // 4
        result.extend(moves[i : i + 1] if shortcut is None else shortcut)
        i += max(1, stride)
    return np.array(result)


def merged(moves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return moves with those joined that go on in the same way."""
    moves = moves.copy()
    return moves[: kernels.merge(moves)]


def densified(corners: NDArray[np.float64], spacing_m: float) -> NDArray[np.float64]:
    """Return points along a line through corners, these among them, shape ``(n, 2)``."""
    points = [corners[:1]]
    for begin, end in pairwise(corners):
        pieces = max(1, math.ceil(math.dist(begin, end) / spacing_m))
        points.append(begin + (end - begin) * np.linspace(0.0, 1.0, pieces + 1)[1:, None])
    return np.concatenate(points)
