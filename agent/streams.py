"""One table of what flows through the agent: how often, and how old it may be."""

from dataclasses import dataclass


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
ODOMETRY = Stream("odometry", 50.0, 0.15, "wheel odometry of the base")
BASE_STATUS = Stream("base_status", 5.0, 2.0, "health of the base")
TICK = Stream("tick", 50.0, 0.10, "one cycle of the control loop")
VISUALIZATION = Stream("visualization", 5.0, 1.0, "pose and velocity for the platform")

STREAMS = (SCAN, ODOMETRY, BASE_STATUS, TICK, VISUALIZATION)
