"""The one place where time enters.

Everything that computes takes ``now_ns`` as an argument: monotonic nanoseconds. The wall clock is
read only to stamp what leaves the robot.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Source of time."""

    def now_ns(self) -> int:
        """Monotonic time."""

    def utc_ns(self) -> int:
        """Wall-clock time since the Unix epoch, for stamps on messages and files."""

    def wait_until_ns(self, deadline_ns: int) -> None:
        """Return at or after ``deadline_ns`` of monotonic time."""


class SystemClock:
    """The machine's own clocks."""

    def now_ns(self) -> int:
        """Monotonic time of the machine."""
        return time.monotonic_ns()

    def utc_ns(self) -> int:
        """Wall-clock time of the machine."""
        return time.time_ns()

    def wait_until_ns(self, deadline_ns: int) -> None:
        """Sleep until an absolute deadline, so that lateness never accumulates."""
        delay_ns = deadline_ns - time.monotonic_ns()
        if delay_ns > 0:
            time.sleep(delay_ns * 1e-9)


class SimulatedClock:
    """A clock that moves only when told to."""

    def __init__(self, now_ns: int = 0, epoch_ns: int = 1_767_225_600_000_000_000) -> None:
        self._now_ns = now_ns
        self._epoch_ns = epoch_ns

    def now_ns(self) -> int:
        """Simulated monotonic time."""
        return self._now_ns

    def utc_ns(self) -> int:
        """Simulated wall-clock time: a fixed epoch plus the monotonic time."""
        return self._epoch_ns + self._now_ns

    def wait_until_ns(self, deadline_ns: int) -> None:
        """Jump to the deadline."""
        self._now_ns = max(self._now_ns, deadline_ns)
