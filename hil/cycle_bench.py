"""Where the time of an avoidance cycle goes, phase by phase.

The agent reads no clock, so time is taken around its parts: while the bench drives, their public
methods are wrapped by a stopwatch. Nothing of the cycle is repeated here, and its commands are the
same with a stopwatch and without. Times say as much of the machine as of the agent; work that is
always the same is therefore measured between the cycles of the very same drives, so that figures
of different machines, or of a busy one, can be compared as ratios.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agent.avoidance.governor import Governor
from agent.avoidance.local_grid import LocalGrid, LocalGridParams
from agent.avoidance.motion import MotionLimits, MotionModel
from agent.avoidance.navigator import Navigator
from agent.avoidance.planner import Planner, PlannerParams
from agent.avoidance.surroundings import Sight
from agent.avoidance.tracks import ObjectTracker
from agent.clock import Clock
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist
from agent.route.path import Goal
from drivers.measurement import Scan, VelocityCommand
from hil.arena.campaign import Campaign
from hil.arena.course import Course
from hil.arena.pilot import Pilot, make_navigator
from hil.arena.profile import LENGTH_M, WIDTH_M, Profile

EVERYTHING: Final = "everything"
# A phase is what its methods do themselves: what they call of another phase counts for that one.
PHASES: Final[dict[str, tuple[tuple[type, str], ...]]] = {
    "scan": ((Sight, "see"),),
    "grid": ((LocalGrid, "follow"), (LocalGrid, "see"), (LocalGrid, "stand")),
    "tracks": ((ObjectTracker, "update"), (Sight, "moving")),
    "distance field": ((LocalGrid, "measure"),),
    "cost to go": ((Planner, "spread_cost"),),
    "sampling": ((Planner, "plan"),),
    "governor": ((Sight, "dangers"), (Governor, "see"), (Governor, "govern")),
    "between": ((Navigator, "step"),),
}
REFERENCE_PERIOD: Final = 20  # cycles
SORTED_VALUES: Final = 16_384
OPEN_SAMPLES: Final = 1_000
OPEN_STEPS: Final = 56
OPEN_SPEED_MPS: Final = 1.5


@dataclass(frozen=True, slots=True)
class Spent:
    """How long something took, over all times that it was done."""

    median_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, each_ns: Sequence[int]) -> "Spent":
        """Sum up; not of nothing."""
        each_ms = np.array(each_ns) * 1e-6
        return cls(
            float(np.median(each_ms)), float(np.percentile(each_ms, 99)), float(each_ms.max())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleTimes:
    """What was measured.

    Attributes:
        drives: How many courses were driven.
        cycles: In how many control cycles.
        phases: By the name of the phase, in the order of the cycle; ``EVERYTHING`` is the last.
        references: By the name of the reference.
    """

    drives: int
    cycles: int
    phases: dict[str, Spent]
    references: dict[str, Spent]

    def ratio(self, phase: str, reference: str) -> float:
        """Return the median of a phase as a multiple of a reference's."""
        return self.phases[phase].median_ms / self.references[reference].median_ms


class Stopwatch:
    """Tells how much of each cycle passed in which phase."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: list[str] = []
        self._since_ns = 0
        self._spent_ns = dict.fromkeys(PHASES, 0)
        self.cycles: list[dict[str, int]] = []

    def timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and counts for a phase."""

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._lap()
            self._running.append(phase)
            try:
                return function(*args, **kwargs)
            finally:
                self._lap()
                self._running.pop()

        return timed

    @contextmanager
    def cycle(self) -> Iterator[None]:
        """Keep what passes until the context ends as one cycle; nothing outside of it counts."""
        self._spent_ns = dict.fromkeys(PHASES, 0)
        yield
        self.cycles.append(self._spent_ns.copy())

    def _lap(self) -> None:
        """Give the time since the last lap to the innermost phase."""
        now_ns = self._clock.now_ns()
        if self._running:
            self._spent_ns[self._running[-1]] += now_ns - self._since_ns
        self._since_ns = now_ns


@contextmanager
def watching(stopwatch: Stopwatch) -> Iterator[None]:
    """Have all phases timed, in every navigator there is, until the context ends."""
    methods = [
        (phase, owner, name, getattr(owner, name))
        for phase, parts in PHASES.items()
        for owner, name in parts
    ]
    try:
        for phase, owner, name, method in methods:
            setattr(owner, name, stopwatch.timed(phase, method))
        yield
    finally:
        for _, owner, name, method in methods:
            setattr(owner, name, method)


class WatchedPilot:
    """Drives as another pilot does; each step is a cycle of the stopwatch.

    Args:
        pilot: Who drives.
        stopwatch: Counts the cycles.
        references: What is measured between the cycles now and then.
    """

    def __init__(self, pilot: Pilot, stopwatch: Stopwatch, references: "References") -> None:
        self._pilot = pilot
        self._stopwatch = stopwatch
        self._references = references

    def step(
        self,
        scan: Scan,
        pose: Pose2,
        velocity: Twist,
        path: NDArray[np.float64],
        goal: Goal,
        now_ns: int,
    ) -> VelocityCommand:
        """Return the other pilot's command."""
        with self._stopwatch.cycle():
            command = self._pilot.step(scan, pose, velocity, path, goal, now_ns)
        if len(self._stopwatch.cycles) % REFERENCE_PERIOD == 1:
            self._references.measure()
        return command


class References:
    """Work that depends on no course: ``numpy`` on no code of ours, ``open`` on the planner alone.

    Args:
        clock: Measures them.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        values = np.random.default_rng(1).random(SORTED_VALUES)
        self._work: dict[str, Callable[[], object]] = {
            "numpy": lambda: np.argsort(values, kind="stable"),
            "open": OpenPlan().plan,
        }
        self.each_ns: dict[str, list[int]] = {name: [] for name in self._work}

    def measure(self) -> None:
        """Do each once more."""
        for name, work in self._work.items():
            began_ns = self._clock.now_ns()
            work()
            self.each_ns[name].append(self._clock.now_ns() - began_ns)


class OpenPlan:
    """The planner with nothing around it: 1000 samples of 56 steps, always from the same state."""

    def __init__(self) -> None:
        footprint = rectangle(LENGTH_M, WIDTH_M)
        self._grid = LocalGrid(LocalGridParams(), distance_limit_m=1.0)
        self._planner = Planner(
            PlannerParams(samples=OPEN_SAMPLES, steps=OPEN_STEPS, iterations=1),
            MotionLimits(speed_mps=OPEN_SPEED_MPS),
            MotionModel(),
            footprint,
            self._grid.cells,
        )
        far = np.array([[0.4 * self._grid.cells * self._grid.resolution_m, 0.0]])
        self._planner.spread_cost(self._grid, Pose2.identity(), far)

    def plan(self) -> None:
        """Plan as in the very first cycle."""
        self._planner.reset()
        self._planner.plan(
            self._grid, Pose2.identity(), Twist(OPEN_SPEED_MPS), OPEN_SPEED_MPS,
            np.empty((0, 6)), 0.0,
        )  # fmt: skip


def measure(courses: Sequence[Course], profile: Profile, clock: Clock) -> CycleTimes:
    """Drive through courses, and take the times.

    Args:
        courses: At least one; how a drive ends does not matter.
        profile: Of the robot.
        clock: Takes the times; the drives do not depend on it.
    """
    references, stopwatch = References(clock), Stopwatch(clock)

    def watched(robot: Profile) -> Pilot:
        return WatchedPilot(make_navigator(robot), stopwatch, references)

    with watching(stopwatch):
        results = list(Campaign(profile=profile, make_pilot=watched).run(courses))
    cycles = stopwatch.cycles
    phases = {phase: Spent.of([cycle[phase] for cycle in cycles]) for phase in PHASES}
    phases[EVERYTHING] = Spent.of([sum(cycle.values()) for cycle in cycles])
    return CycleTimes(
        drives=len(results),
        cycles=len(cycles),
        phases=phases,
        references={name: Spent.of(each_ns) for name, each_ns in references.each_ns.items()},
    )
