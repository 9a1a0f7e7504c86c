"""The robots' events in SQLite: each once, whatever the network delivers twice."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from hil.errors import BenchError

_TABLE = """
CREATE TABLE IF NOT EXISTS events (
    robot TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    time TEXT NOT NULL,
    monotonic_ns INTEGER NOT NULL,
    kind TEXT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (robot, sequence, boot_id)
) WITHOUT ROWID
"""
_INSERT = "INSERT OR IGNORE INTO events VALUES (?,?,?,?,?,?,?)"
_GAPS = """
SELECT previous + 1, sequence - 1 FROM (
    SELECT sequence, LAG(sequence, 1, 0) OVER (ORDER BY sequence) AS previous
    FROM events WHERE robot = ?
) WHERE sequence > previous + 1
"""


class Row(NamedTuple):
    """An event as it is stored; ``robot`` is manufacturer and serial number."""

    robot: str
    boot_id: str
    sequence: int
    time: str
    monotonic_ns: int
    kind: str
    event: str


def row_of(payload: bytes) -> Row:
    """Return the row of a message; of ``event`` only the kind has to be known.

    Raises:
        ValueError: It is no event.
    """
    tree = json.loads(payload)
    try:
        return Row(
            f"{tree['manufacturer']}/{tree['serial_number']}",
            str(tree["boot_id"]),
            int(tree["sequence"]),
            str(tree["time"]),
            int(tree["monotonic_ns"]),
            str(tree["event"]["kind"]),
            json.dumps(tree["event"], separators=(",", ":")),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no event: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Proof:
    """What the sequence numbers of a robot prove.

    Attributes:
        robot: Manufacturer and serial number.
        boots: How often it started.
        records: Events that are here, each counted once.
        newest: Highest sequence number that is here.
        lost: Numbers that are missing, and of which the robot said that they are lost.
        missing: Numbers that are missing without a word: lost on the way, or still under way.
    """

    robot: str
    boots: int
    records: int
    newest: int
    lost: int
    missing: int


class EventStore:
    """The database; as a context manager it is closed on the way out.

    Args:
        path: The file, made if missing.
    """

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            BenchError: The file is none of ours.
        """
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(_TABLE)
        except sqlite3.Error as error:
            self._connection.close()
            raise BenchError(f"{path}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, rows: Sequence[Row]) -> int:
        """Store events in one transaction.

        Returns:
            How many were new.

        Raises:
            BenchError: They cannot be written; none of them is.
        """
        before = self._connection.total_changes
        try:
            self._connection.execute("BEGIN")
            self._connection.executemany(_INSERT, rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise BenchError(f"{self._path}: {error}") from error
        return self._connection.total_changes - before

    def newest(self, robot: str) -> int:
        """Return the highest sequence number of a robot, 0 without any."""
        return self._number("SELECT MAX(sequence) FROM events WHERE robot = ?", robot)

    def numbers(self, robot: str) -> Iterator[tuple[int, str]]:
        """Yield sequence number and boot of all events of a robot, in order."""
        query = "SELECT sequence, boot_id FROM events WHERE robot = ? ORDER BY sequence"
        yield from self._connection.execute(query, (robot,))

    def kinds(self, robot: str) -> dict[str, int]:
        """Return how many events of each kind there are of a robot."""
        query = "SELECT kind, COUNT(*) FROM events WHERE robot = ? GROUP BY kind ORDER BY kind"
        return dict(self._connection.execute(query, (robot,)).fetchall())

    def proofs(self) -> list[Proof]:
        """Return what the sequence numbers prove, robot by robot."""
        robots = self._connection.execute("SELECT DISTINCT robot FROM events ORDER BY robot")
        return [self._proof(robot) for (robot,) in robots.fetchall()]

    def _proof(self, robot: str) -> Proof:
        gaps = [range(first, last + 1) for first, last in self._connection.execute(_GAPS, (robot,))]
        told = _merged(self._losses(robot))
        lost = sum(_overlap(gap, loss) for gap in gaps for loss in told)
        return Proof(
            robot,
            self._number("SELECT COUNT(DISTINCT boot_id) FROM events WHERE robot = ?", robot),
            self._number("SELECT COUNT(*) FROM events WHERE robot = ?", robot),
            self.newest(robot),
            lost,
            sum(map(len, gaps)) - lost,
        )

    def _losses(self, robot: str) -> list[range]:
        query = "SELECT event FROM events WHERE robot = ? AND kind = 'lost'"
        told = (json.loads(event) for (event,) in self._connection.execute(query, (robot,)))
        return [range(loss["first"], loss["last"] + 1) for loss in told]

    def _number(self, query: str, robot: str) -> int:
        (number,) = self._connection.execute(query, (robot,)).fetchone()
        return int(number or 0)


def _merged(ranges: list[range]) -> list[range]:
    merged: list[range] = []
    for piece in sorted(ranges, key=lambda piece: piece.start):
        if merged and piece.start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(merged[-1].stop, piece.stop))
        else:
            merged.append(piece)
    return merged


def _overlap(one: range, other: range) -> int:
    return max(0, min(one.stop, other.stop) - max(one.start, other.start))
