"""Ways to keep records over a crash, on the same records and the same disk.

Each record is forced to the disk (alone, or with its batch), and acknowledged later, which deletes
it. Bytes are those that the kernel counts for this process on their way to the disk
(``write_bytes`` in proc(5)), in whole pages; what the file system writes for itself is not in them.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.clock import Clock
from agent.telemetry.events import EventWriter
from agent.telemetry.segments import Record, SegmentLog
from hil.history_robot import MANUFACTURER, motion

SEGMENT_BYTES = 4_000_000
STEP_NS = 200_000_000
EPOCH_NS = 1_767_225_600_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What one way of keeping records costs.

    Attributes:
        way: Its name.
        batch: Records that are forced to the disk together.
        records: How many were kept.
        kept_per_s: Records kept in a second.
        acknowledged_per_s: Records deleted in a second.
        written_bytes: On the way to the disk for each record, deletion included.
        payload_bytes: Of a record, on average.
    """

    way: str
    batch: int
    records: int
    kept_per_s: float
    acknowledged_per_s: float
    written_bytes: float
    payload_bytes: float


class Way:
    """A way to keep records."""

    def keep(self, records: Sequence[Record]) -> None:
        """Have records on the disk when it returns."""
        raise NotImplementedError

    def acknowledge(self, records: Sequence[Record]) -> None:
        """Delete what is no longer needed."""
        raise NotImplementedError

    def close(self) -> None:
        """Close all files."""


class Segments(Way):
    """The robot's own: :mod:`agent.telemetry.segments`."""

    def __init__(self, directory: Path) -> None:
        self._log = SegmentLog(directory, SEGMENT_BYTES)
        self._log.open()

    def keep(self, records: Sequence[Record]) -> None:
        """Append them."""
        self._log.append(records)

    def acknowledge(self, records: Sequence[Record]) -> None:
        """Move the cursor."""
        self._log.acknowledge(records[-1].sequence)

    def close(self) -> None:
        """Close the segment."""
        self._log.close()


class Database(Way):
    """A table in SQLite, in WAL mode with a sync at each commit."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._connection = sqlite3.connect(directory / "records.sqlite", isolation_level=None)
        for setting in ("journal_mode = WAL", "synchronous = FULL"):
            self._connection.execute(f"PRAGMA {setting}")
        table = "records (sequence INTEGER PRIMARY KEY, payload BLOB)"
        self._connection.execute(f"CREATE TABLE {table}")

    def keep(self, records: Sequence[Record]) -> None:
        """Insert them in one transaction."""
        self._change("INSERT INTO records VALUES (?, ?)", records)

    def acknowledge(self, records: Sequence[Record]) -> None:
        """Delete them in one transaction."""
        self._change(
            "DELETE FROM records WHERE sequence = ?", [(record.sequence,) for record in records]
        )

    def _change(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(statement, rows)
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


class Files(Way):
    """A file for each message, as the file persistence of the Eclipse Paho clients does it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory

    def keep(self, records: Sequence[Record]) -> None:
        """Write each into a file of its own, and force it and the directory to the disk."""
        for record in records:
            file = os.open(self._path(record), os.O_WRONLY | os.O_CREAT, 0o640)
            os.write(file, record.payload)
            os.fsync(file)
            os.close(file)
        directory = os.open(self._directory, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)

    def acknowledge(self, records: Sequence[Record]) -> None:
        """Delete the files."""
        for record in records:
            self._path(record).unlink()

    def _path(self, record: Record) -> Path:
        return self._directory / f"{record.sequence}.msg"


WAYS: tuple[tuple[str, Callable[[Path], Way], int], ...] = (
    ("journal, one by one", Segments, 1),
    ("SQLite WAL, one by one", Database, 1),
    ("a file for each", Files, 1),
    ("journal, in batches", Segments, 100),
    ("SQLite WAL, in batches", Database, 100),
)


def make_records(first: int, count: int) -> list[Record]:
    """Return records of a robot on its round course."""
    writer = EventWriter(MANUFACTURER, "r1", "filled")
    return [
        Record(n, writer.write(motion(n), EPOCH_NS + n * STEP_NS, n * STEP_NS, n))
        for n in range(first, first + count)
    ]


def measure(directory: Path, clock: Clock, batches: int) -> list[Keeping]:
    """Try all ways in a directory on the disk that counts.

    Args:
        directory: Made.
        clock: To measure with.
        batches: How often each forces something to the disk.
    """
    directory.mkdir(parents=True)
    results = []
    for number, (name, make, batch) in enumerate(WAYS):
        records = make_records(1, batches * batch)
        groups = [records[i : i + batch] for i in range(0, len(records), batch)]
        way = make(directory / str(number))
        before = _written_bytes()
        began_ns = clock.now_ns()
        for group in groups:
            way.keep(group)
        kept_ns = clock.now_ns()
        for group in groups:
            way.acknowledge(group)
        ended_ns = clock.now_ns()
        way.close()
        results.append(
            Keeping(
                way=name,
                batch=batch,
                records=len(records),
                kept_per_s=round(len(records) / ((kept_ns - began_ns) * 1e-9)),
                acknowledged_per_s=round(len(records) / ((ended_ns - kept_ns) * 1e-9)),
                written_bytes=round((_written_bytes() - before) / len(records)),
                payload_bytes=round(sum(len(r.payload) for r in records) / len(records)),
            )
        )
    return results


def _written_bytes() -> int:
    for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines():
        name, _, number = line.partition(":")
        if name == "write_bytes":
            return int(number)
    return 0
