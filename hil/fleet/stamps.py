"""When each live message of a fleet was handed over: memory that the bench's processes share.

The stamps in the messages themselves are of 10 ms; this way the messages stay as they are.
"""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

TIMED: Final = ("state", "visualization")
REMEMBERED: Final = 256  # messages of a topic, which at 10 Hz is 25 s


class Stamps:
    """Monotonic time of the newest messages, by robot, topic and header id.

    Args:
        path: A file, made by :meth:`create`.
    """

    def __init__(self, path: Path) -> None:
        self._times_ns: NDArray[np.int64] = np.memmap(path, np.int64, "r+").reshape(
            -1, len(TIMED), REMEMBERED
        )

    @staticmethod
    def create(path: Path, robots: int) -> None:
        """Make the file for a number of robots."""
        np.zeros((robots, len(TIMED), REMEMBERED), np.int64).tofile(path)

    def note(self, robot: int, topic: int, header_id: int, now_ns: int) -> None:
        """Note that a message is handed over now."""
        self._times_ns[robot, topic, header_id % REMEMBERED] = now_ns

    def age_ns(self, robot: int, topic: int, header_id: int, now_ns: int) -> int:
        """Return how long ago that was."""
        return now_ns - int(self._times_ns[robot, topic, header_id % REMEMBERED])
