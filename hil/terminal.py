"""Progress of long work for a person who watches: lines for events, one line that changes."""

import sys

from agent.clock import Clock


class Terminal:
    """Writes to stdout; the changing line appears on a real terminal only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_ns = clock.now_ns()
        self._is_live = sys.stdout.isatty()

    def event(self, text: str) -> None:
        """Print a line that stays, with the time since the start."""
        elapsed_s = (self._clock.now_ns() - self._started_ns) * 1e-9
        self._erase()
        sys.stdout.write(f"{elapsed_s:7.1f} s  {text}\n")
        sys.stdout.flush()

    def progress(self, text: str) -> None:
        """Replace the changing line."""
        if self._is_live:
            self._erase()
            sys.stdout.write(text)
            sys.stdout.flush()

    def line(self, text: str = "") -> None:
        """Print a plain line."""
        self._erase()
        sys.stdout.write(f"{text}\n")

    def _erase(self) -> None:
        if self._is_live:
            sys.stdout.write("\r\x1b[K")
