"""Which broker to try next, and when."""

from typing import Final

import numpy as np

FIRST_RETRY_S: Final = 1.0
HOP_S: Final = 0.25


class Retry:
    """Goes round the brokers of a list; the pause after each round doubles, up to a limit.

    Every pause is drawn at random, so that the robots of a fleet do not come back all at once.
    """

    def __init__(
        self, brokers: int, first: int, longest_s: float, rng: np.random.Generator
    ) -> None:
        """Begin.

        Args:
            brokers: How many there are.
            first: Which of them to try first.
            longest_s: The longest pause.
            rng: For the pauses.
        """
        self._brokers = brokers
        self._longest_s = longest_s
        self._rng = rng
        self._pause_s = min(FIRST_RETRY_S, longest_s)
        self._failed = 0
        self.broker = first % brokers

    def after(self, *, was_well: bool) -> float:
        """Move on to the next broker and return how many seconds to wait before it is tried.

        Args:
            was_well: Whether the connection before had held for a while.
        """
        if was_well:
            self._failed = 0
            self._pause_s = min(FIRST_RETRY_S, self._longest_s)
        self._failed += 1
        self.broker = (self.broker + 1) % self._brokers
        if self._failed % self._brokers:
            return float(self._rng.uniform(0.0, HOP_S))
        pause_s = self._pause_s
        self._pause_s = min(2.0 * pause_s, self._longest_s)
        return pause_s * float(self._rng.uniform(0.5, 1.0))
