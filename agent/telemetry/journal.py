"""Store and forward: what happens on the robot, kept until the platform has acknowledged it.

The control loop only puts a draft into a bounded list in memory. A thread of the composition root
(:meth:`Journal.run`) gives each its sequence number, makes bytes of it, writes all that came within
one interval with one fsync, deletes what was acknowledged, and tries again where the disk refuses.
The broker's thread reads what is on the disk and nothing else, so that no record reaches the
platform under a number that a power cut takes back.

Whatever is lost is counted, and a record of its own tells which sequence numbers are missing and
why: nobody took the drafts away in time (``queue``), the journal was full (``size``), bytes on the
disk are damaged (``damage``), or a draft made no sense (``content``).

Why segments of our own and no SQLite in WAL mode: ``haulier bench history --case keeping`` tries
both on the same records and disk. SQLite writes each page twice, into its log and into the table,
in steps of 4 KiB, and deleting costs it as much as keeping did, where a segment is unlinked. With a
transaction for each record it kept 374 records a second and wrote 21.5 kB for each of 444 bytes,
with one for each hundred 15,500 and 2.5 kB; segments 2,250 and 4.6 kB, and 28,000 and 0.5 kB (a
file for each record, as the Paho clients have it: 159 and 4.4 kB). And a damaged page of a tree
takes with it what is below; here the next mark goes on.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from agent.telemetry.segments import Gap, Record, SegmentLog, SegmentReader

Draft: TypeAlias = Callable[[int], bytes]
MOST_AT_ONCE = 1000  # records written with one fsync, so that what fits on a full disk gets there


class Drop(StrEnum):
    """What gives way when the journal is full."""

    OLDEST = "oldest"
    NEWEST = "newest"


class Cause(StrEnum):
    """Why records are lost."""

    QUEUE = "queue"
    SIZE = "size"
    DAMAGE = "damage"
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class Loss:
    """Sequence numbers, both included, whose records are lost."""

    first: int
    last: int
    cause: Cause

    @property
    def count(self) -> int:
        """How many there are."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalLimits:
    """How much the journal takes.

    Attributes:
        most_bytes: Size of all segments together.
        segment_bytes: Size of one, the step in which disk space is given back.
        drop: What gives way when ``most_bytes`` is reached.
        sync_interval_s: Time between two fsyncs at least; what a power cut may take.
        most_waiting: Drafts that may wait in memory for the disk.
    """

    most_bytes: int = 512_000_000
    segment_bytes: int = 4_000_000
    drop: Drop = Drop.OLDEST
    sync_interval_s: float = 0.1
    most_waiting: int = 20_000


@dataclass(frozen=True, slots=True)
class JournalState:
    """How the journal is doing.

    Attributes:
        durable: Newest sequence number on the disk.
        acknowledged: Sequence number up to which the platform has all.
        waiting: Drafts in memory.
        lost: Records lost since the start.
        size_bytes: Of all segments.
        written_bytes: Since the start.
        failure: Why the disk takes nothing, None while it does.
    """

    durable: int
    acknowledged: int
    waiting: int
    lost: int
    size_bytes: int
    written_bytes: int
    failure: str | None

    @property
    def backlog(self) -> int:
        """Records on the disk that the platform has not acknowledged."""
        return max(self.durable - self.acknowledged, 0)


class Journal:
    """Keeps records between the control loop and the broker's thread."""

    def __init__(
        self,
        directory: Path,
        limits: JournalLimits,
        tell_loss: Callable[[Loss], Draft],
        on_durable: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; nothing is opened before :meth:`run`.

        Args:
            directory: Where the segments are; no other process may use it.
            limits: How much it may hold.
            tell_loss: Drafts the record that tells of a loss.
            on_durable: Told, in the journal's thread, that there is more to read.
        """
        self._directory = directory
        self._limits = limits
        self._tell_loss = tell_loss
        self._on_durable = on_durable
        self._log = SegmentLog(directory, limits.segment_bytes)
        self._reader = SegmentReader(directory)
        self._is_open = self._drops_oldest = False
        self._batch: list[Record] = []
        self._lock = threading.Lock()  # over what follows, never over input or output
        self._waiting: list[Draft] = []
        self._overflowed = 0
        self._losses: list[Loss] = []
        self._lost = 0
        self._durable = self._acknowledged = 0
        self._damage_known = 0
        self._rewinds = True
        self._failure: str | None = None
        self._kick = threading.Event()
        self._closing = False

    @property
    def state(self) -> JournalState:
        """How it is doing."""
        with self._lock:
            return JournalState(
                self._durable,
                self._acknowledged,
                len(self._waiting) + len(self._batch),
                self._lost + self._overflowed,
                self._log.size_bytes,
                self._log.written_bytes,
                self._failure,
            )

    def append(self, draft: Draft) -> None:
        """Take a record to be; returns at once. With too many waiting it is lost, and counted.

        Args:
            draft: Makes the payload, given the record's sequence number; called in the journal's
                thread. A ValueError of it makes the record a lost one.
        """
        with self._lock:
            if len(self._waiting) < self._limits.most_waiting:
                self._waiting.append(draft)
            else:
                self._overflowed += 1
            is_pressing = len(self._waiting) == self._limits.most_waiting // 2
        if is_pressing:
            self._kick.set()

    def close(self) -> None:
        """Have :meth:`run` write what waits and return."""
        self._closing = True
        self._kick.set()

    def run(self) -> None:
        """Write until closed; made for a thread of its own."""
        while not self._closing:
            self.turn()
            self._kick.wait(self._limits.sync_interval_s)
            self._kick.clear()
        self.turn()
        self._log.close()

    def turn(self) -> None:
        """Write what waits, and delete what was acknowledged or has to give way."""
        try:
            if not self._is_open:
                self._open()
            with self._lock:
                acknowledged = self._acknowledged
            self._log.acknowledge(acknowledged)
            while self._batch or self._collect():
                self._log.append(self._batch)
                with self._lock:
                    self._durable = self._batch[-1].sequence
                self._batch = []
                self._on_durable()
                if self._drops_oldest:
                    self._drop_oldest()
        except OSError as error:
            self._fail(error)
        else:
            with self._lock:
                self._failure = None

    def _drop_oldest(self) -> None:
        self._log.drop_oldest()
        self._drops_oldest = False
        self.acknowledge(self._log.acknowledged)

    def _open(self) -> None:
        self._log.open()
        self._is_open = True
        with self._lock:
            self._durable = self._log.next_sequence - 1
            self._acknowledged = min(self._log.acknowledged, self._durable)
        self._on_durable()

    def _collect(self) -> bool:
        """Make a batch of what waits, and of what there is to tell of losses.

        Returns:
            Whether there is something to write.
        """
        limits, size_bytes = self._limits, self._log.size_bytes
        is_full = size_bytes + 2 * limits.segment_bytes > limits.most_bytes
        sequence = self._log.next_sequence
        with self._lock:
            refuses = is_full and limits.drop is Drop.NEWEST
            taken = [] if refuses else self._waiting[:MOST_AT_ONCE]
            overflowed = self._overflowed + (len(self._waiting) if refuses else 0)
            self._waiting = [] if refuses else self._waiting[MOST_AT_ONCE:]
            self._overflowed = 0
            losses, self._losses = self._losses, []
        if is_full and not refuses and (oldest := self._log.oldest) is not None:
            self._drops_oldest = True  # not before it is on the disk that it was lost
            if oldest.first <= oldest.last:
                losses.append(Loss(*oldest, Cause.SIZE))
                self._count(losses[-1])
        sequence = self._encode(taken, sequence, losses)
        if overflowed:
            cause = Cause.SIZE if refuses else Cause.QUEUE
            losses.append(Loss(sequence, sequence + overflowed - 1, cause))
            self._count(losses[-1])
            sequence += overflowed
        if refuses:
            self._postpone(losses, sequence)
        else:
            self._encode([self._tell_loss(loss) for loss in _joined(losses)], sequence, [])
        return bool(self._batch)

    def _encode(self, drafts: Sequence[Draft], sequence: int, losses: list[Loss]) -> int:
        """Put records into the batch; returns the next sequence number."""
        for draft in drafts:
            try:
                self._batch.append(Record(sequence, draft(sequence)))
            except ValueError:
                losses.append(Loss(sequence, sequence, Cause.CONTENT))
                self._count(losses[-1])
            sequence += 1
        return sequence

    def _postpone(self, losses: list[Loss], sequence: int) -> None:
        """Tell of losses when there is room again; their numbers are not given twice."""
        self._log.next_sequence = sequence
        with self._lock:
            self._losses = [*_joined(losses), *self._losses]

    def _count(self, loss: Loss) -> None:
        with self._lock:
            self._lost += loss.count

    def _fail(self, error: OSError) -> None:
        with self._lock:
            self._failure = f"{self._directory}: {error.strerror or error}"

    def rewind(self) -> None:
        """Have :meth:`read` begin behind what was acknowledged; for the reading thread.

        Nothing is open until then, so this is also what ends reading.
        """
        self._reader.close()
        self._rewinds = True

    def read(self, most: int) -> list[Record]:
        """Return the next records, oldest first; for one thread.

        Args:
            most: How many at most.
        """
        with self._lock:
            durable, acknowledged = self._durable, self._acknowledged
        if not durable:
            return []
        if self._rewinds:
            self._reader.seek(acknowledged + 1)
            self._rewinds = False
        try:
            records, gaps = self._reader.read(durable, most)
        except OSError as error:
            self._fail(error)
            return []
        for gap in gaps:
            self._note_damage(gap)
        return records

    def _note_damage(self, gap: Gap) -> None:
        """Tell of damaged records, once however often they are met."""
        if gap.last <= self._damage_known:
            return
        loss = Loss(max(gap.first, self._damage_known + 1), gap.last, Cause.DAMAGE)
        self._damage_known = gap.last
        with self._lock:
            self._losses.append(loss)
            self._lost += loss.count

    def acknowledge(self, sequence: int) -> None:
        """Note that the platform has all up to a sequence number."""
        with self._lock:
            self._acknowledged = max(self._acknowledged, sequence)


def _joined(losses: Sequence[Loss]) -> list[Loss]:
    """Return the same losses with adjoining ones of one cause as one."""
    joined: list[Loss] = []
    for loss in losses:
        if joined and joined[-1].cause is loss.cause and joined[-1].last + 1 == loss.first:
            joined[-1] = Loss(joined[-1].first, loss.last, loss.cause)
        else:
            joined.append(loss)
    return joined
