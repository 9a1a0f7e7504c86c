"""Device time to host time: the clock of a device, seen through a line that delays what it says."""

import math

MEMORY_S = 10.0
SHRINKAGE_S2 = 1.0
LONGEST_DOUBT_NS = 2_000_000_000
NS_PER_S = 1e9


class DeviceClock:
    """Maps the stamps of a device, which wrap, to monotonic host time.

    A stamp and the arrival of the bytes that carry it give one observation of the offset between
    the two clocks. Offset and drift follow by linear regression over the observations, whose
    weights decay with a time constant of 10 s; a stretch shorter than about a second says nothing
    about the drift yet, so the slope is shrunk towards zero there. A reader that was late sees
    offsets that are too large, never too small: an observation above the line by more than
    ``late_ns`` is left out, and one that far below it proves all earlier ones late, or the device
    restarted, and the regression starts over. Offsets that stay above for 2 s are the truth.

    Args:
        tick_ns: Unit of the device's stamps.
        wrap_ticks: They count from 0 to one less than this.
        late_ns: Scatter of the arrivals that is still ordinary; not less than two ticks where the
            stamps are times that were rounded down.

    Attributes:
        late: Observations left out.
        restarts: How often the regression started over.
    """

    def __init__(self, tick_ns: int, wrap_ticks: int, late_ns: int = 3_000_000) -> None:
        self._tick_ns = tick_ns
        self._wrap_ticks = wrap_ticks
        self._late_ns = late_ns
        self.late = 0
        self.restarts = 0
        self.reset()

    def reset(self) -> None:
        """Forget the device, as after a reconnect; the counters stay."""
        self._ticks = -1
        self._arrival_ns = 0
        self._trusted_ns = 0
        self._base_ns = 0
        self._weight = 0.0
        self._last_s = 0.0
        self._mean_s = 0.0
        self._mean_ns = 0.0
        self._spread_s2 = 0.0
        self._slope_sum = 0.0

    def host_ns(self, stamp: int, arrival_ns: int) -> int:
        """Learn from a stamp and return the host time it means.

        Args:
            stamp: In ticks, as the device sent it.
            arrival_ns: Host time of the arrival, less what the line is known to take.
        """
        device_ns = self._unwrap(stamp, arrival_ns) * self._tick_ns
        offset_ns = arrival_ns - device_ns
        residual_ns = offset_ns - self._base_ns - self._line_ns(device_ns)
        if self._weight == 0.0:
            self._start(device_ns, offset_ns, arrival_ns)
        elif residual_ns > self._late_ns:
            self.late += 1
            if arrival_ns - self._trusted_ns > LONGEST_DOUBT_NS:
                self._start_over(device_ns, offset_ns, arrival_ns)
        elif residual_ns < -self._late_ns:
            self._start_over(device_ns, offset_ns, arrival_ns)
        else:
            self._trusted_ns = arrival_ns
            self._observe(device_ns / NS_PER_S, float(offset_ns - self._base_ns))
        return device_ns + self._base_ns + round(self._line_ns(device_ns))

    def _unwrap(self, stamp: int, arrival_ns: int) -> int:
        """Return the stamp with the wraps since the first one added, by the host's own clock."""
        if self._ticks < 0:
            self._ticks = stamp
        else:
            step = (stamp - self._ticks) % self._wrap_ticks
            elapsed = (arrival_ns - self._arrival_ns) / self._tick_ns
            wraps = max(round((elapsed - step) / self._wrap_ticks), 0)
            self._ticks += step + wraps * self._wrap_ticks
        self._arrival_ns = arrival_ns
        return self._ticks

    def _line_ns(self, device_ns: int) -> float:
        slope = self._slope_sum / (self._spread_s2 + SHRINKAGE_S2 * self._weight + 1e-12)
        return self._mean_ns + slope * (device_ns / NS_PER_S - self._mean_s)

    def _start_over(self, device_ns: int, offset_ns: int, arrival_ns: int) -> None:
        self.restarts += 1
        self._start(device_ns, offset_ns, arrival_ns)

    def _start(self, device_ns: int, offset_ns: int, arrival_ns: int) -> None:
        self._base_ns = offset_ns
        self._trusted_ns = arrival_ns
        self._weight = 1.0
        self._last_s = self._mean_s = device_ns / NS_PER_S
        self._mean_ns = self._spread_s2 = self._slope_sum = 0.0

    def _observe(self, device_s: float, offset_ns: float) -> None:
        """Add an observation to the decaying sums; West (1979), weighted updating."""
        kept = math.exp((self._last_s - device_s) / MEMORY_S)
        self._last_s = device_s
        self._weight *= kept
        self._spread_s2 *= kept
        self._slope_sum *= kept
        self._weight += 1.0
        step_s = device_s - self._mean_s
        step_ns = offset_ns - self._mean_ns
        self._mean_s += step_s / self._weight
        self._mean_ns += step_ns / self._weight
        self._spread_s2 += step_s * (device_s - self._mean_s)
        self._slope_sum += step_s * (offset_ns - self._mean_ns)
