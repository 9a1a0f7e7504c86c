"""One table of what flows through the agent: how often, and how old it may be."""

from collections import deque
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Stream:
    """A flow of values.

    Attributes:
        name: As in status and logs.
        rate_hz: Nominal rate.
        stale_after_s: Age beyond which the newest value must not be used to drive.
        meaning: What one value is.
    """

    name: str
    rate_hz: float
    stale_after_s: float
    meaning: str

    @property
    def stale_after_ns(self) -> int:
        """The age limit in the unit of all stamps."""
        return round(self.stale_after_s * 1e9)


# A scan's stamp is that of its first ray: a 10 Hz scanner delivers one that is 0.1 s old and the
# next one 0.1 s later, so anything older than 0.25 s means that at least one revolution is missing.
SCAN = Stream("scan", 10.0, 0.25, "one revolution of a lidar")
AGE_SLACK = 1.25
OLDEST_SCAN_S = 0.55  # of a lidar of 4.6 Hz; a slower one is none to drive by
PACE_SCANS = 16
ODOMETRY = Stream("odometry", 50.0, 0.15, "wheel odometry of the base")
BASE_STATUS = Stream("base_status", 5.0, 2.0, "health of the base")
TICK = Stream("tick", 50.0, 0.10, "one cycle of the control loop")
VISUALIZATION = Stream("visualization", 5.0, 1.0, "pose and velocity for the platform")


class ScanPace:
    """How old a lidar's newest scan gets as a rule, and from when on one is missing.

    A scan is as old as its sweep and the line take when it comes, and as old again as scans are
    apart when the next one does. Lidars of 5 Hz, or on a slow line, have older ones than most.
    """

    def __init__(self) -> None:
        self._ages_s: deque[float] = deque(maxlen=PACE_SCANS)
        self._last_ns: int | None = None
        self.stream = SCAN

    def note(self, stamp_ns: int, received_ns: int) -> None:
        """Take a scan's stamp, and when it was received."""
        last_ns, self._last_ns = self._last_ns, stamp_ns
        if last_ns is None or stamp_ns <= last_ns:
            return
        self._ages_s.append((received_ns - last_ns) * 1e-9)
        # Not the median: when most scans are lost, the limit must not grow with the gaps.
        usual_s = sorted(self._ages_s)[len(self._ages_s) // 4]
        limit_s = min(max(SCAN.stale_after_s, AGE_SLACK * usual_s), OLDEST_SCAN_S)
        self.stream = replace(SCAN, stale_after_s=limit_s)


STREAMS = (SCAN, ODOMETRY, BASE_STATUS, TICK, VISUALIZATION)
