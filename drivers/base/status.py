"""How often a base that streams tells how it is."""

from dataclasses import replace

from drivers.measurement import BaseStatus


class StatusPacer:
    """Lets a status through when something in it changed, and every so often anyway.

    Args:
        every: Reports of which one passes while nothing changes.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._last: BaseStatus | None = None
        self._held = 0

    def reset(self) -> None:
        """Let the next one through."""
        self._last = None

    def is_due(self, status: BaseStatus) -> bool:
        """Take the next report and return whether it passes; a voltage may change unnoticed."""
        last = self._last
        self._held += 1
        if last is not None and self._held < self._every and _state(last) == _state(status):
            return False
        self._last, self._held = status, 0
        return True


def _state(status: BaseStatus) -> BaseStatus:
    return replace(status, stamp_ns=0, battery_v=0.0, motor_currents_a=())
