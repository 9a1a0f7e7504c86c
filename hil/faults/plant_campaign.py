"""Faults made in the plant: a robot that obeys its localizer drives through a measured hall."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.geometry.pose import Pose2
from agent.localization.estimate import PoseEstimate
from agent.localization.place import Place
from hil.buildings import Building, corridor, factory, map_of, twin_ends
from hil.faults import FAULTS
from hil.faults.clutter import strew
from hil.faults.criteria import CRITERIA
from hil.faults.rearrangement import rearrange
from hil.faults.verdict import Outcome, Trace
from hil.localizer_rig import LocalizerRig, prepare
from hil.plant.floor_plan import SurveyedWorld
from hil.plant.journey import GRIP, TICK_NS, Cover, Journey, Pace, Slip
from hil.plant.world import Disc, Obstacle, Pose, TimedPose

_HALLS: Final = 4
_PEOPLE: Final = 6
_BERTH_M: Final = 0.6
_CALM_S: Final = 40.0
_CROWD_EVERY_M: Final = 4.0
_WATCHED_S: Final = 20.0
_SETTLED_S: Final = 3.0
_LEAST_AFTER_S: Final = 6.0
_LATEST_S: Final = 20.0
_MOVING_SHARE: Final = 0.5
_KIDNAP_M: Final = 3.0
_TELLING_M: Final = 0.1
_TELLING_SHARE: Final = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """One run before it is driven.

    Attributes:
        journey: The drive.
        place: The map the localizer gets.
        start: The pose it is told, None for nothing.
        due: Whether the fault's moment has come.
        inject: Makes the fault.
        release: Ends it.
        lasts_s: How long it lasts.
        limit_s: When the run ends if the moment never comes.
        obeys: Whether the robot stands while no pose is claimed; else somebody drives it by hand.
        on_map: Whether the building is on the map at all.
    """

    journey: Journey
    place: Place
    start: Pose2 | None
    due: Callable[[], bool]
    inject: Callable[[], None]
    release: Callable[[], None]
    lasts_s: float = math.inf
    limit_s: float = math.inf
    obeys: bool = True
    on_map: bool = True


class PlantCampaign:
    """Runs of faults in the plant; each is a function of seed, fault and number."""

    def __init__(self, seed: int, pace: Pace) -> None:
        """Prepare for runs.

        Args:
            seed: Of halls, faults and noise.
            pace: How the robot drives, and how it brakes when its pose is lost.
        """
        self._seed = seed
        self._pace = pace
        self._halls: dict[int, tuple[Building, Place]] = {}
        self._cases: dict[str, Callable[[int, np.random.Generator], _Case]] = {
            "none": self._calm,
            "kidnapping": self._kidnapping,
            "slip": self._slip,
            "cover": self._cover,
            "frozen": self._frozen,
            "wrong-map": self._wrong_map,
            "symmetric": self._symmetric,
            "changed-hall": self._changed_hall,
            "crowd": self._crowd,
        }

    def run(self, fault: str, number: int) -> Outcome:
        """Drive one run of a fault of ``FAULTS`` and judge it."""
        rng = np.random.default_rng([self._seed, FAULTS.index(fault), number])
        trace, moment_s = _drive(self._cases[fault](number, rng))
        return CRITERIA[fault].judge(trace, moment_s, None)

    def _hall(self, number: int) -> tuple[Building, Place]:
        number %= _HALLS
        if number not in self._halls:
            building = factory(np.random.default_rng([self._seed, number]))
            self._halls[number] = building, prepare(map_of(building.plan))
        return self._halls[number]

    def _journey(self, building: Building, rng: np.random.Generator) -> Journey:
        start_m = rng.uniform(0.0, building.lap_m)
        world = SurveyedWorld(building.plan)
        _let_people_walk(world, building, start_m, rng)
        return Journey(world, building.track, rng, pace=self._pace, start_m=start_m)

    def _moving_after(self, journey: Journey, at_s: float) -> Callable[[], bool]:
        """Return a test for the first moment after a time at which the robot drives."""
        least_mps = _MOVING_SHARE * self._pace.speed_mps

        def due() -> bool:
            now_s = journey.now_ns * 1e-9
            return now_s >= at_s and (journey.speed_mps >= least_mps or now_s >= _LATEST_S)

        return due

    def _calm(self, number: int, rng: np.random.Generator) -> _Case:
        building, known = self._hall(number)
        journey = self._journey(building, rng)
        return _Case(journey, known, _told(journey), _never, _nothing, _nothing, limit_s=_CALM_S)

    def _crowd(self, number: int, rng: np.random.Generator) -> _Case:
        case = self._calm(number, rng)
        journey, track = case.journey, self._hall(number)[0].track
        for ahead_m in np.arange(0.0, _CALM_S * self._pace.speed_mps, _CROWD_EVERY_M).tolist():
            pose = track.pose(journey.along_m + ahead_m)
            strew(journey.world, pose, track, rng.uniform(0.2, 0.4), rng)
        return case

    def _faulty(
        self,
        number: int,
        rng: np.random.Generator,
        make: Callable[[Journey, Building], Callable[[], None]],
    ) -> _Case:
        """Return a case in which a fault that lasts comes while the robot drives."""
        building, known = self._hall(number)
        journey = self._journey(building, rng)
        due = self._moving_after(journey, rng.uniform(5.0, 9.0))
        inject = make(journey, building)
        return _Case(journey, known, _told(journey), due, inject, _nothing)

    def _kidnapping(self, number: int, rng: np.random.Generator) -> _Case:
        def make(journey: Journey, building: Building) -> Callable[[], None]:
            def carry() -> None:
                here = journey.pose
                while True:
                    to_m = rng.uniform(0.0, building.lap_m)
                    there = building.track.pose(to_m)
                    if math.hypot(there.x_m - here.x_m, there.y_m - here.y_m) >= _KIDNAP_M:
                        return journey.carry(to_m)

            return carry

        return self._faulty(number, rng, make)

    def _slip(self, number: int, rng: np.random.Generator) -> _Case:
        building, known = self._hall(number)
        journey = self._journey(building, rng)
        slip = _drawn_slip(rng)

        def lose_grip() -> None:
            journey.slip = slip

        def regain_grip() -> None:
            journey.slip = GRIP

        due = self._moving_after(journey, rng.uniform(5.0, 9.0))
        lasts_s = rng.uniform(0.8, 2.0) / self._pace.speed_mps
        return _Case(journey, known, _told(journey), due, lose_grip, regain_grip, lasts_s)

    def _cover(self, number: int, rng: np.random.Generator) -> _Case:
        near_m = 0.1 if rng.random() < 0.5 else math.nan
        cover = Cover(
            start_rad=rng.uniform(-math.pi, math.pi), share=rng.uniform(0.5, 1.0), near_m=near_m
        )

        def make(journey: Journey, building: Building) -> Callable[[], None]:
            def put_on() -> None:
                journey.cover = cover

            return put_on

        return self._faulty(number, rng, make)

    def _frozen(self, number: int, rng: np.random.Generator) -> _Case:
        def make(journey: Journey, building: Building) -> Callable[[], None]:
            def freeze() -> None:
                journey.frozen = True

            return freeze

        return self._faulty(number, rng, make)

    def _changed_hall(self, number: int, rng: np.random.Generator) -> _Case:
        share = rng.uniform(0.3, 0.6)

        def make(journey: Journey, building: Building) -> Callable[[], None]:
            changed = rearrange(building.plan, building.track, share, rng)
            return lambda: journey.world.rebuild(changed)

        return self._faulty(number, rng, make)

    def _wrong_map(self, number: int, rng: np.random.Generator) -> _Case:
        building, _ = self._hall(number)
        other, known = self._hall(number + 1)
        journey = self._journey(building, rng)
        told = _as_pose2(other.track.pose(rng.uniform(0.0, other.lap_m)))
        start = told if number % 2 else None
        return _Case(
            journey, known, start, _never, _nothing, _nothing, limit_s=_WATCHED_S, on_map=False
        )

    def _symmetric(self, number: int, rng: np.random.Generator) -> _Case:
        building = corridor(rng) if number % 4 == 3 else twin_ends(rng)
        start_m = rng.uniform(0.0, 2.0)
        stops = [(start_m + 0.05, rng.uniform(4.0, 8.0))]
        world = SurveyedWorld(building.plan)
        journey = Journey(world, building.track, rng, pace=self._pace, start_m=start_m, stops=stops)
        known = prepare(map_of(building.plan))
        limit_s = 20.0 + building.track.length_m / self._pace.speed_mps
        return _Case(
            journey,
            known,
            None,
            lambda: tells_apart(journey, building),
            _nothing,
            _nothing,
            limit_s=limit_s,
            obeys=False,
        )


def tells_apart(journey: Journey, building: Building) -> bool:
    """Return whether a perfect lidar at the robot's place sees more than at the place's twin.

    Args:
        journey: The drive.
        building: A building whose ends are twins.
    """
    if building.twin_about is None:
        return True
    (x_m, y_m), pose, lidar = building.twin_about, journey.pose, journey.lidar
    twin = Pose(2.0 * x_m - pose.x_m, 2.0 * y_m - pose.y_m, pose.yaw_rad + math.pi)
    bearings = np.linspace(0.0, math.tau, lidar.rays, endpoint=False)
    stamps = np.full(lidar.rays, journey.now_ns)
    here, there = (
        journey.world.ranges_m(
            np.repeat(np.array(place)[:, None], lidar.rays, axis=1),
            bearings,
            stamps,
            lidar.max_range_m,
        )
        for place in (pose, twin)
    )
    same = np.isclose(here, there, rtol=0.0, atol=_TELLING_M, equal_nan=True)
    return float(same.mean()) <= 1.0 - _TELLING_SHARE


def _drive(case: _Case) -> tuple[Trace, float]:
    """Drive a run and return its trace and the moment of the fault, inf if it never came."""
    journey, trace = case.journey, Trace()
    rig = LocalizerRig(case.place, case.start)
    moment_s, right_since_s = math.inf, math.inf
    released = False
    while not _is_over(case, moment_s, right_since_s):
        # The tick that follows is the first to show what is done now.
        now_s = (journey.now_ns + TICK_NS) * 1e-9
        if math.isinf(moment_s) and case.due():
            moment_s = now_s
            case.inject()
        if not released and now_s >= moment_s + case.lasts_s:
            released = True
            case.release()
        for measurement in journey.step():
            rig.take(measurement)
        estimate = rig.tick(journey.now_ns)
        claimed = estimate is not None and estimate.localized
        trace.add(
            now_s,
            journey.travelled_m,
            _error_m(estimate, journey.pose) if case.on_map else math.inf,
            claimed=claimed,
            warned=estimate is not None and bool(estimate.warning),
        )
        journey.held = case.obeys and not claimed
        right_since_s = min(right_since_s, trace.time_s[-1]) if trace.right_now else math.inf
    return trace, moment_s


def _is_over(case: _Case, moment_s: float, right_since_s: float) -> bool:
    now_s = case.journey.now_ns * 1e-9
    if math.isinf(moment_s):
        return now_s >= case.limit_s or case.journey.arrived
    settled = now_s >= right_since_s + _SETTLED_S and now_s >= moment_s + _LEAST_AFTER_S
    return settled or now_s >= moment_s + _WATCHED_S


def _error_m(estimate: PoseEstimate | None, truth: Pose) -> float:
    if estimate is None:
        return math.inf
    return estimate.map_from_base.distance_m(_as_pose2(truth))


def _drawn_slip(rng: np.random.Generator) -> Slip:
    """Draw one of: wheels that spin, half spin, lock; one wheel that spins and feigns a turn."""
    match int(rng.integers(4)):
        case 0:
            return Slip(ground_share=0.0)
        case 1:
            return Slip(ground_share=rng.uniform(0.2, 0.5))
        case 2:
            return Slip(wheel_share=rng.uniform(0.0, 0.3))
        case _:
            return Slip(wheel_turn_rad_per_m=float(rng.choice((-1.0, 1.0)) * rng.uniform(0.3, 1.0)))


def _let_people_walk(
    world: SurveyedWorld, building: Building, start_m: float, rng: np.random.Generator
) -> None:
    """Send people up and down beside the track; inside a bend some would cross it and do not go."""
    for index in range(int(rng.integers(_PEOPLE + 1))):
        begin_m = start_m + rng.uniform(-5.0, 30.0)
        aside_m = rng.choice((-1.0, 1.0)) * rng.uniform(1.0, 2.2)
        speed_mps = rng.uniform(0.4, 1.5)
        ways_m = begin_m + np.arange(-6.0, 7.0)
        ways_m = np.concatenate((ways_m, ways_m[-2::-1])) if rng.random() < 0.5 else ways_m
        x_m, y_m, yaw_rad = building.track.poses(np.clip(ways_m, 0.0, building.track.length_m))
        x_m, y_m = x_m - aside_m * np.sin(yaw_rad), y_m + aside_m * np.cos(yaw_rad)
        off_m = building.track.points_m[::10, None] - np.stack((x_m, y_m), axis=1)
        if np.hypot(off_m[..., 0], off_m[..., 1]).min() < _BERTH_M:
            continue
        stamps = (np.arange(ways_m.size) * 1e9 / speed_mps).round().astype(int).tolist()
        places = zip(x_m.tolist(), y_m.tolist(), strict=True)
        waypoints = tuple(
            TimedPose(stamp_ns, Pose(x, y, 0.0))
            for stamp_ns, (x, y) in zip(stamps, places, strict=True)
        )
        shape = Disc(rng.uniform(0.15, 0.25))
        world.obstacles.add(Obstacle(f"person-{index}", shape, waypoints))


def _told(journey: Journey) -> Pose2:
    return _as_pose2(journey.pose)


def _as_pose2(pose: Pose) -> Pose2:
    return Pose2(*pose) @ Pose2.identity()


def _never() -> bool:
    return False


def _nothing() -> None:
    """Do nothing: the fault is there from the start, or needs no end."""
