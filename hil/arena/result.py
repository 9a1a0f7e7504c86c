"""What became of a drive through a course, and of many."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hil.arena.course import Course


@dataclass(frozen=True, slots=True)
class Contact:
    """How a drive ended in a contact.

    Attributes:
        time_s: Since the beginning of the trial.
        obstacle: Which one, such as ``cylinder 17``.
        closing_mps: Speed of the robot's nearest point towards it.
        hit_by: The obstacle drove into a robot that hardly moved towards it.
        jumped: The obstacle came out of nowhere, beginning its key frames anew.
    """

    time_s: float
    obstacle: str
    closing_mps: float
    hit_by: bool
    jumped: bool


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """The drive at each control cycle and at its end.

    Attributes:
        times_s: Shape ``(n,)``, since the beginning of the trial.
        states: Shape ``(n, 5)``: x, y (m), yaw (rad, not wrapped), speed (m/s), yaw rate (rad/s).
    """

    times_s: NDArray[np.float64]
    states: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RunResult:
    """One drive through one course.

    Attributes:
        course: Name of the course.
        success: Whether it reached the goal in time and touched nothing.
        contact: What it touched, None if nothing.
        time_s: By the protocol's clock, until goal, contact or the limit.
        score: By the protocol.
        driven_m: Length of the way.
        clearance_m: Least distance to any obstacle, 0 after a contact, inf where there was none.
        cycles: Control cycles.
        unstoppable_cycles: Those from which braking fully would have met an obstacle that stands,
            or a moving one where it was just then.
        pilot_ms: Time that the pilot took in each cycle, empty if not measured.
        trajectory: The way.
    """

    course: str
    success: bool
    contact: Contact | None
    time_s: float
    score: float
    driven_m: float
    clearance_m: float
    cycles: int
    unstoppable_cycles: int
    pilot_ms: NDArray[np.float64]
    trajectory: Trajectory

    def as_row(self) -> dict[str, Any]:
        """Return the result for JSON, without the arrays."""
        contact = self.contact
        return {
            "course": self.course,
            "success": self.success,
            "contact": contact
            and {
                "time_s": contact.time_s,
                "obstacle": contact.obstacle,
                "closing_mps": contact.closing_mps,
                "hit_by": contact.hit_by,
                "jumped": contact.jumped,
            },
            "time_s": self.time_s,
            "score": self.score,
            "driven_m": self.driven_m,
            "clearance_m": _number(self.clearance_m),
            "cycles": self.cycles,
            "unstoppable_cycles": self.unstoppable_cycles,
            "pilot_ms": _percentiles(self.pilot_ms),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Many drives.

    Attributes:
        runs: How many.
        success_share: Of all.
        contact_share: Of all.
        contacts: How many.
        hit_by: Those of them in which the obstacle drove into the robot.
        mean_score: Of all.
        mean_time_s: Of the successful ones, None without any.
        mean_elapsed_s: Of the same since the beginning, with what passed before the clock started.
        clearance_m: Least of all, None where there was nothing to touch.
        cycles: Of all.
        unstoppable_cycles: Of all.
        pilot_ms: Median and 99th percentile over all cycles, None if not measured.
    """

    runs: int
    success_share: float
    contact_share: float
    contacts: int
    hit_by: int
    mean_score: float
    mean_time_s: float | None
    mean_elapsed_s: float | None
    clearance_m: float | None
    cycles: int
    unstoppable_cycles: int
    pilot_ms: dict[str, float] | None


def score(course: Course, *, success: bool, time_s: float) -> float:
    """Return the score of the BARN Challenge, at most 0.5.

    Xiao et al., "Autonomous Ground Navigation in Highly Constrained Spaces: Lessons Learned from
    the BARN Challenge at ICRA 2022", IEEE Robotics & Automation Magazine 29(4), 2022: the best time
    over the actual one, which counts as no less than twice and no more than eight times the best.
    """
    best_s = course.best_time_s
    return best_s / min(max(time_s, 2.0 * best_s), 8.0 * best_s) if success else 0.0


def summarize(results: Sequence[RunResult]) -> Summary:
    """Sum up drives, of which there must be one."""
    arrived = [result for result in results if result.success]
    times_s = [result.time_s for result in arrived]
    elapsed_s = [float(result.trajectory.times_s[-1]) for result in arrived]
    contacts = [result.contact for result in results if result.contact]
    return Summary(
        runs=len(results),
        success_share=len(times_s) / len(results),
        contact_share=len(contacts) / len(results),
        contacts=len(contacts),
        hit_by=sum(contact.hit_by for contact in contacts),
        mean_score=sum(result.score for result in results) / len(results),
        mean_time_s=sum(times_s) / len(times_s) if times_s else None,
        mean_elapsed_s=sum(elapsed_s) / len(elapsed_s) if elapsed_s else None,
        clearance_m=_number(min(result.clearance_m for result in results)),
        cycles=sum(result.cycles for result in results),
        unstoppable_cycles=sum(result.unstoppable_cycles for result in results),
        pilot_ms=_percentiles(np.concatenate([result.pilot_ms for result in results])),
    )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _percentiles(times_ms: NDArray[np.float64]) -> dict[str, float] | None:
    if not times_ms.size:
        return None
    median, p99 = np.percentile(times_ms, (50.0, 99.0)).tolist()
    return {"median": median, "p99": p99}
