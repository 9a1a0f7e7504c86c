"""Drives through one course after the other, each with random numbers of its own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agent.clock import Clock
from hil.arena.course import Course
from hil.arena.lidar import PlanarLidar
from hil.arena.pilot import PilotFactory, make_navigator
from hil.arena.pose_source import NoisyPose, OwnLocalization, PoseSource
from hil.arena.profile import JACKAL, Profile
from hil.arena.result import RunResult
from hil.arena.trial import Trial
from hil.errors import BenchError


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """How to drive.

    Attributes:
        profile: What the robot can do.
        make_pilot: Makes who drives, anew for each course.
        seed: Of the noise; a course has the same noise whichever others are driven.
        range_noise_m: Standard deviation of a range.
        pose_noise: Standard deviation of the pilot's position in m and of its heading in rad.
        localized: Whether the pilot is told what the agent's own localizer finds out.
        with_path: Whether the pilot is given the course's reference path, which touches cylinders.
        clock: Measures the pilot's time, None for not at all.
    """

    profile: Profile = JACKAL
    make_pilot: PilotFactory = make_navigator
    seed: int = 1
    range_noise_m: float = 0.0
    pose_noise: tuple[float, float] = (0.0, 0.0)
    localized: bool = False
    with_path: bool = False
    clock: Clock | None = None

    def run(self, courses: Iterable[Course]) -> Iterator[RunResult]:
        """Drive through courses.

        Raises:
            BenchError: The pilot or a course is out of its mind; see ``Trial``.
        """
        for course in courses:
            yield self._trial(course).run()

    def _trial(self, course: Course) -> Trial:
        of_course = [self.seed, *course.name.encode()]
        ranges, poses = np.random.default_rng(of_course).spawn(2)
        pose_source: PoseSource = (
            OwnLocalization(course, poses) if self.localized else NoisyPose(poses, *self.pose_noise)
        )
        return Trial(
            course,
            self.profile,
            self.make_pilot,
            PlanarLidar(ranges, self.range_noise_m),
            pose_source=pose_source,
            path=course.reference_path_m if self.with_path else np.empty((0, 2)),
            clock=self.clock,
        )


def selected(courses: Sequence[Course], span: str) -> list[Course]:
    """Return the courses ``A:B`` of a set, by their place in it: from A on, without B.

    Raises:
        BenchError: The span is none, or not within the set.
    """
    first, colon, behind = (part.strip() for part in span.partition(":"))
    if not colon or not all(part.isdecimal() or not part for part in (first, behind)):
        raise BenchError(f"courses are chosen as A:B, such as 0:10, not {span!r}")
    start, end = int(first or 0), int(behind or len(courses))
    if not start < end <= len(courses):
        raise BenchError(f"there are courses 0:{len(courses)}, not {span}")
    return list(courses[start:end])
