"""Work that is done in slices, so that whoever has a tick to keep decides how much of it to do."""

from collections.abc import Generator
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")

# Yields what it has done since the last time, in slices: 1.0 is some three milliseconds of a
# transport robot's computer. The amounts are fixed, so that the work of a tick is no matter of
# timing, and a replay does the same in the same tick.
Work: TypeAlias = Generator[float, None, T]


class Task(Generic[T]):
    """Work under way."""

    def __init__(self, work: Work[T]) -> None:
        self._work = work

    def advance(self, slices: float = 1.0) -> T | None:
        """Do so much of the work.

        Returns:
            What came of it, None while there is more to do.
        """
        done = 0.0
        try:
            while done < slices:
                done += next(self._work)
        except StopIteration as end:
            result: T = end.value
            return result
        return None

    def finish(self) -> T:
        """Do all that is left, where no tick has to be kept."""
        while (result := self.advance()) is None:
            pass
        return result
