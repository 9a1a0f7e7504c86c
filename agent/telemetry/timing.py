"""How punctual the control loop is."""

import numpy as np

KEPT = 4096  # cycles that the percentiles look back on: 80 s at 50 Hz


class LoopTiming:
    """Lateness and work of the last cycles, and how many missed their deadline for good."""

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._lateness_ns = np.zeros(KEPT, np.int64)
        self._work_ns = np.zeros(KEPT, np.int64)
        self.cycles = 0
        self.overruns = 0

    def note(self, deadline_ns: int, started_ns: int, ended_ns: int) -> None:
        """Take one cycle; it overran if it ended after the next one should have begun."""
        slot = self.cycles % KEPT
        self._lateness_ns[slot] = started_ns - deadline_ns
        self._work_ns[slot] = ended_ns - started_ns
        self.cycles += 1
        self.overruns += ended_ns - deadline_ns > self._period_ns

    def recent(self, count: int) -> dict[str, list[float]]:
        """Return lateness and work of the last cycles in ms, oldest first, as far as kept."""
        count = max(0, min(count, self.cycles, KEPT))
        slots = np.arange(self.cycles - count, self.cycles) % KEPT
        return {
            "lateness_ms": (self._lateness_ns[slots] * 1e-6).round(3).tolist(),
            "work_ms": (self._work_ns[slots] * 1e-6).round(3).tolist(),
        }

    def status(self) -> dict[str, float]:
        """Return counts, and percentiles in ms over the cycles kept."""
        kept = min(self.cycles, KEPT)
        numbers: dict[str, float] = {"cycles": self.cycles, "overruns": self.overruns}
        if kept:
            for name, values in (("lateness", self._lateness_ns), ("work", self._work_ns)):
                p50, p99, worst = np.percentile(values[:kept], (50, 99, 100)) * 1e-6
                numbers |= {
                    f"{name}_p50_ms": round(float(p50), 3),
                    f"{name}_p99_ms": round(float(p99), 3),
                    f"{name}_max_ms": round(float(worst), 3),
                }
        return numbers
