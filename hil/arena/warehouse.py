"""Courses in a warehouse: aisles between racks, a crossing, a door, a dead end, people on foot.

A course follows from its kind, its number and a seed alone. Racks are what a scanner near the floor
sees of them: legs, and between two of them the fronts of pallets, set back by different lengths, or
an empty bay. The narrowest way through what stands is wider than the robot by at least ``GAP_M``
in an aisle and by ``DOOR_GAP_M`` in a door. People pace to and fro, pay no heed to the robot, and
yield to nobody.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from agent.geometry.pose import Pose2
from hil.arena.course import Course, FloatArray, Walker
from hil.arena.profile import WIDTH_M
from hil.errors import BenchError
from hil.plant.world import Pose, place, rectangle

LIMIT_S: Final = 90.0
GAP_M: Final = 0.4
DOOR_GAP_M: Final = (0.25, 0.5)
AISLE_M: Final = 20.0
BAY_M: Final = 2.7
LEG_RADIUS_M: Final = 0.06
SET_BACK_M: Final = 0.3
EMPTY_BAY_M: Final = 0.9
EMPTY_BAY_SHARE: Final = 0.15
DRUM_M: Final = 0.58
WALKER_RADIUS_M: Final = (0.25, 0.35)

_BEHIND_M: Final = 2.0
_CROSSING_PACE_MPS: Final = 1.2
_CROSS_AISLE_M: Final = 12.0


class _Floor:
    """What stands, while a course is laid out."""

    def __init__(self) -> None:
        self._walls: list[FloatArray] = []
        self._cylinders: list[tuple[float, float, float]] = []

    @property
    def walls(self) -> FloatArray:
        return np.array(self._walls).reshape(-1, 4)

    @property
    def cylinders(self) -> FloatArray:
        return np.array(self._cylinders).reshape(-1, 3)

    def line(self, *points_m: tuple[float, float] | FloatArray) -> None:
        """Put walls from point to point, none where two points are one."""
        points = np.array(points_m)
        apart = (points[:-1] != points[1:]).any(axis=1)
        self._walls.extend(np.hstack((points[:-1], points[1:]))[apart])

    def cylinder(self, x_m: float, y_m: float, radius_m: float) -> None:
        self._cylinders.append((x_m, y_m, radius_m))

    def rack(
        self, rng: np.random.Generator, start_m: tuple[float, float], end_m: tuple[float, float]
    ) -> None:
        """Put the front of a rack from one point to another; the rack is to the left."""
        start, way = np.array(start_m), np.subtract(end_m, start_m)
        bays = max(1, round(math.hypot(*way) / BAY_M))
        left = np.array([-way[1], way[0]]) / math.hypot(*way)
        depths_m = rng.uniform(0.0, SET_BACK_M, bays)
        depths_m[rng.random(bays) < EMPTY_BAY_SHARE] = EMPTY_BAY_M
        points = [start]
        for bay, depth_m in enumerate(depths_m.tolist()):
            points += [start + way * (bay + i) / bays + depth_m * left for i in (0, 1)]
        self.line(*points, start + way)
        for leg in range(bays + 1):
            middle = start + way * leg / bays + LEG_RADIUS_M * left
            self.cylinder(float(middle[0]), float(middle[1]), LEG_RADIUS_M)

    def pallet(self, rng: np.random.Generator, x_m: float, low_m: float, high_m: float) -> float:
        """Put goods between two ordinates, a little askew, and return their half length."""
        half_m = rng.uniform(0.3, 0.6)
        askew_rad = rng.uniform(-0.15, 0.15)
        lean_m = half_m * abs(math.sin(askew_rad))
        broad_m = max((high_m - low_m) / 2.0 - lean_m, 0.05) / math.cos(askew_rad)
        middle = Pose(x_m, (low_m + high_m) / 2.0, askew_rad)
        corners = place(rectangle(half_m, broad_m), middle)
        self.line(*corners, corners[0])
        return half_m

    def drums(self, rng: np.random.Generator, x_m: float, low_m: float, high_m: float) -> float:
        """Put a cluster of drums between two ordinates, and return its half length."""
        count = math.ceil((high_m - low_m) / DRUM_M)
        radius_m = (high_m - low_m) / count / 2.0
        for drum in range(count):
            y_m = low_m + (2 * drum + 1) * radius_m
            self.cylinder(x_m + rng.uniform(-0.1, 0.1), y_m, radius_m)
        return radius_m + 0.1


def _aisle(rng: np.random.Generator, name: str) -> Course:
    """An aisle with goods standing in it, now on this side, now on that."""
    floor, width_m = _Floor(), rng.uniform(2.0, 3.0)
    _line_with_racks(rng, floor, width_m)
    x_m = rng.uniform(2.5, 3.5)
    while x_m < AISLE_M - 3.0:
        gap_m = WIDTH_M + rng.uniform(GAP_M, 2.0 * GAP_M)
        rest_m = rng.choice([0.0, rng.uniform(0.0, 0.5)], p=[0.6, 0.4])
        side = rng.choice([-1.0, 1.0])
        ends_m = side * (width_m / 2.0 - rest_m), side * (gap_m - width_m / 2.0)
        put = floor.pallet if rng.random() < 0.6 else floor.drums
        half_m = put(rng, x_m, min(ends_m), max(ends_m))
        x_m += 2.0 * half_m + rng.uniform(1.5, 3.0)
    start = Pose2(0.0, rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3))
    return _course(name, floor, start, [(AISLE_M, 0.0)])


def _crossing(rng: np.random.Generator, name: str) -> Course:
    """A crossing; people come from behind the racks' corners as the robot gets there."""
    floor, half_m = _Floor(), rng.uniform(2.4, 3.4) / 2.0
    near_m = rng.uniform(5.5, 7.0)
    far_m, end_m = near_m + rng.uniform(2.4, 3.4), near_m + 10.0
    floor.line((-_BEHIND_M, half_m), (-_BEHIND_M, -half_m))
    for from_m, to_m in ((-_BEHIND_M, near_m), (far_m, end_m)):
        floor.rack(rng, (from_m, half_m), (to_m, half_m))
        floor.rack(rng, (to_m, -half_m), (from_m, -half_m))
    for x_m in (near_m, far_m):
        for side in (-1.0, 1.0):
            floor.line((x_m, side * half_m), (x_m, side * _CROSS_AISLE_M))
    walkers = []
    for number in range(rng.integers(2, 5)):
        speed_mps, side = rng.uniform(0.5, 1.5), rng.choice([-1.0, 1.0])
        radius_m = rng.uniform(*WALKER_RADIUS_M)
        x_m = rng.uniform(near_m + radius_m + 0.2, far_m - radius_m - 0.2)
        reach_m = _CROSS_AISLE_M - radius_m
        # The first is in the way when a robot that has not yet seen anybody would be there.
        away_m = rng.uniform(half_m + 0.5, reach_m)
        if number == 0:
            meeting_s = 1.0 + near_m / _CROSSING_PACE_MPS + rng.uniform(-1.0, 1.5)
            away_m = min(speed_mps * meeting_s, reach_m)
        ends = np.array([[x_m, side * reach_m], [x_m, -side * reach_m]])
        share = (reach_m - away_m) / (2.0 * reach_m)
        walkers.append(pacing(radius_m, ends, speed_mps, share))
    start = Pose2(0.0, rng.uniform(-0.4, 0.4), rng.uniform(-0.2, 0.2))
    return _course(name, floor, start, [(end_m - 2.0, 0.0)], walkers)


def _door(rng: np.random.Generator, name: str) -> Course:
    """Two rooms and a door, to which the robot comes at an angle."""
    floor, half_m, depth_m = _Floor(), 3.5, 5.0
    jamb_m = (WIDTH_M + rng.uniform(*DOOR_GAP_M)) / 2.0
    thick_m = rng.uniform(0.1, 0.3) / 2.0
    floor.line(
        (-depth_m, -half_m), (depth_m, -half_m), (depth_m, half_m), (-depth_m, half_m),
        (-depth_m, -half_m),
    )  # fmt: skip
    for side in (-1.0, 1.0):
        inner_m, outer_m = side * jamb_m, side * half_m
        floor.line((-thick_m, outer_m), (-thick_m, inner_m), (thick_m, inner_m), (thick_m, outer_m))
    side = rng.choice([-1.0, 1.0])
    start = Pose2(
        -rng.uniform(2.0, 4.0), side * rng.uniform(1.2, 2.8), rng.uniform(-math.pi, math.pi)
    )
    goal_m = rng.uniform(2.5, 4.0), rng.uniform(-2.5, 2.5)
    return _course(name, floor, start, [(0.0, 0.0), goal_m])


def _dead_end(rng: np.random.Generator, name: str) -> Course:
    """An aisle that is closed farther in than the start can see; its neighbour is open.

    The aisles lead from one cross aisle to another. Laid out with the neighbour beyond the closed
    aisle to the right, and mirrored in half of the courses.
    """
    floor, aisle_m, racks_m = _Floor(), rng.uniform(2.0, 2.4), rng.uniform(4.0, 4.6)
    apart_m, half_m = aisle_m + rng.uniform(2.0, 2.3), rng.uniform(1.2, 1.4)
    left_m, right_m = -5.0, apart_m + aisle_m / 2.0 + 1.0
    racks_end_m = half_m + racks_m
    top_m = racks_end_m + 2.0 * half_m
    for side_m in (left_m, right_m):
        floor.line((side_m, -half_m), (side_m, top_m))
    for across_m in (-half_m, top_m):
        floor.line((left_m, across_m), (right_m, across_m))
    edges_m = [left_m, *(x_m + side * aisle_m / 2.0 for x_m in (0.0, apart_m) for side in (-1, 1))]
    for from_m, to_m in zip(edges_m[::2], [*edges_m[1::2], right_m], strict=True):
        for across_m in (half_m, racks_end_m):
            floor.line((from_m, across_m), (to_m, across_m))
    for middle_m in (0.0, apart_m):
        floor.rack(rng, (middle_m - aisle_m / 2.0, half_m), (middle_m - aisle_m / 2.0, racks_end_m))
        floor.rack(rng, (middle_m + aisle_m / 2.0, racks_end_m), (middle_m + aisle_m / 2.0, half_m))
    closed_m = half_m + rng.uniform(0.65, 0.9) * racks_m
    # Through empty bays there is no way round it.
    reach_m = aisle_m / 2.0 + EMPTY_BAY_M
    floor.line((-reach_m, closed_m), (reach_m, closed_m))
    start = Pose2(-rng.uniform(2.6, 3.4), rng.uniform(-0.4, 0.4), rng.uniform(-0.3, 0.3))
    goal_m = -rng.uniform(1.5, 3.0), racks_end_m + half_m
    way_m = [(apart_m, 0.0), (apart_m, goal_m[1]), goal_m]
    course = _course(name, floor, start, way_m)
    return course if rng.random() < 0.5 else _mirrored(course)


def _people(rng: np.random.Generator, name: str) -> Course:
    """An aisle in which people pace along; along one of its sides they leave free width."""
    floor, width_m = _Floor(), rng.uniform(3.0, 4.0)
    _line_with_racks(rng, floor, width_m)
    half_m, free_m, side = width_m / 2.0, rng.uniform(1.1, 1.4), rng.choice([-1.0, 1.0])
    walkers = []
    for _ in range(rng.integers(2, 7)):
        radius_m = rng.uniform(*WALKER_RADIUS_M)
        beside_m = side * rng.uniform(free_m + radius_m - half_m, half_m - radius_m - 0.1, 2)
        turns_m = rng.uniform(0.0, 6.0), rng.uniform(AISLE_M - 6.0, AISLE_M + 1.0)
        ends = np.column_stack((turns_m, beside_m))
        # Nobody begins next to the robot, and some of them come, some of them go.
        share = rng.uniform((6.5 - turns_m[0]) / (turns_m[1] - turns_m[0]), 1.0)
        if rng.random() < 0.5:
            ends, share = ends[::-1], 1.0 - share
        walkers.append(pacing(radius_m, ends, rng.uniform(1.0, 1.5), share))
    start = Pose2(0.0, rng.uniform(0.6 - half_m, half_m - 0.6), rng.uniform(-0.3, 0.3))
    goal_m = AISLE_M, side * (free_m / 2.0 - half_m)
    return _course(name, floor, start, [goal_m], walkers)


KINDS: Final[dict[str, Callable[[np.random.Generator, str], Course]]] = {
    "aisle": _aisle,
    "crossing": _crossing,
    "door": _door,
    "deadend": _dead_end,
    "people": _people,
}


def make_course(kind: str, number: int, seed: int) -> Course:
    """Lay out a course, named ``kind-number``; the same one for the same arguments.

    Raises:
        BenchError: There is no such kind.
    """
    if kind not in KINDS:
        raise BenchError(f"there is no kind of course {kind}, only {', '.join(KINDS)}")
    rng = np.random.default_rng([seed, number, *kind.encode()])
    return KINDS[kind](rng, f"{kind}-{number}")


def courses_named(name: str, runs: int, seed: int) -> list[Course]:
    """Return all courses of a kind, or the one that is called ``kind-number``.

    Args:
        name: Of the kind or of the course.
        runs: How many courses a kind has.
        seed: From which they follow.

    Raises:
        BenchError: There is no such kind, or its number is none.
    """
    kind, dash, number = name.partition("-")
    if not dash:
        return [make_course(kind, each, seed) for each in range(runs)]
    if not number.isdecimal():
        raise BenchError(f"a course is called by kind and number, such as door-3, not {name}")
    return [make_course(kind, int(number), seed)]


def pacing(radius_m: float, ends_m: FloatArray, speed_mps: float, share: float) -> Walker:
    """Return somebody who paces between two places for ever.

    Args:
        radius_m: Size of the disc.
        ends_m: Both places, shape ``(2, 2)``.
        speed_mps: Speed.
        share: Of the way from the first to the second place, where the pacing begins, on the way
            to the second; within 0 and 1.
    """
    one_way_s = float(np.hypot(*(ends_m[1] - ends_m[0]))) / speed_mps
    begins = (1.0 - share) * ends_m[0] + share * ends_m[1]
    durations_s = np.array([1.0 - share, 1.0, share]) * one_way_s
    times_s = np.concatenate(([0.0], np.cumsum(durations_s)))
    places_m = np.vstack((begins, ends_m[1], ends_m[0], begins))
    moves = np.diff(times_s, prepend=-1.0) > 0.0
    return Walker(radius_m, times_s[moves], places_m[moves])


def _line_with_racks(rng: np.random.Generator, floor: _Floor, width_m: float) -> None:
    """Line an aisle along the x axis; it is closed behind the start and open beyond the goal."""
    half_m, end_m = width_m / 2.0, AISLE_M + _BEHIND_M
    floor.rack(rng, (-_BEHIND_M, half_m), (end_m, half_m))
    floor.rack(rng, (end_m, -half_m), (-_BEHIND_M, -half_m))
    floor.line((-_BEHIND_M, half_m), (-_BEHIND_M, -half_m))


def _course(
    name: str,
    floor: _Floor,
    start: Pose2,
    way_m: Sequence[tuple[float, float]],
    walkers: Sequence[Walker] = (),
) -> Course:
    """Return a course whose way leads from the start over places to the goal, the last of them."""
    path_m = np.array([(start.x_m, start.y_m), *way_m])
    return Course(
        name=name,
        start=start,
        goal_m=way_m[-1],
        path_length_m=float(np.hypot(*np.diff(path_m, axis=0).T).sum()),
        limit_s=LIMIT_S,
        # A straight line says only where the goal is.
        reference_path_m=path_m if len(way_m) > 1 else path_m[:0],
        walls=floor.walls,
        cylinders=floor.cylinders,
        walkers=tuple(walkers),
    )


def _mirrored(course: Course) -> Course:
    """Return a course of what stands with left and right exchanged, about the y axis."""
    start = course.start
    return replace(
        course,
        start=Pose2(-start.x_m, start.y_m, math.remainder(math.pi - start.yaw_rad, math.tau)),
        goal_m=(-course.goal_m[0], course.goal_m[1]),
        reference_path_m=course.reference_path_m * [-1.0, 1.0],
        walls=course.walls * [-1.0, 1.0, -1.0, 1.0],
        cylinders=course.cylinders * [-1.0, 1.0, 1.0],
    )
