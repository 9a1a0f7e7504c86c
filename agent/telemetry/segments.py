"""Records on disk that outlive the process: an append-only log in segments.

A directory holds segments, each named by the sequence number of the first record that may be in it,
and the file ``cursor``. A segment is ``HEAD``, then records one after the other::

    mark (4 bytes) | length of the payload (u32) | CRC-32 (u32) | sequence number (u64) | payload

all little-endian; the CRC covers length, sequence number and payload. The mark cannot occur in
UTF-8, so that whoever meets a damaged record can look for the next. Sequence numbers rise; where
one is missing and nothing is damaged, whoever lost it has written a record that says so.

Nothing is ever written behind damaged bytes, nor to a segment in which a write or an fsync failed:
after a failed fsync nobody knows which pages are on the disk (A. Rebello et al., "Can Applications
Recover from fsync Failures?", USENIX ATC 2020). The next record begins a new segment, and the
reader counts what lies between the last good record and the name of that one.
"""

import os
import struct
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import NamedTuple

HEAD = b"HAULJRN1"
MARK = b"\xf5\xfa\xf7\xfe"
MOST_PAYLOAD_BYTES = 1_000_000
_RECORD = struct.Struct("<4sIIQ")
_CHECKED = struct.Struct("<IQ")
_SLOT = struct.Struct("<QQ")
_CHECK = struct.Struct("<I")
_CURSOR = "cursor"
_SUFFIX = ".log"
_CHUNK_BYTES = 1 << 16
_MODE = 0o640


class Record(NamedTuple):
    """A record as it was written."""

    sequence: int
    payload: bytes


class Gap(NamedTuple):
    """Sequence numbers, both included, whose records cannot be had any more."""

    first: int
    last: int


def encode(sequence: int, payload: bytes) -> bytes:
    """Return a record as it lies on disk."""
    check = zlib.crc32(payload, zlib.crc32(_CHECKED.pack(len(payload), sequence)))
    return _RECORD.pack(MARK, len(payload), check, sequence) + payload


@dataclass(slots=True)
class _Scan:
    """What a stretch of bytes holds.

    Attributes:
        records: The good ones among those asked for.
        gaps: Where damaged bytes stood between good ones.
        end: Offset of the first byte that was not looked at.
        damaged: Bytes were skipped since the last good record.
        marks: Beginnings of records met since the last good one.
        newest: Highest sequence number met in a good record, 0 without any.
    """

    records: list[Record] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    end: int = 0
    damaged: bool = False
    marks: int = 0
    newest: int = 0


def _scan(
    data: bytes, wanted: range, most: int, *, is_whole: bool = False, damaged: bool = False
) -> _Scan:
    """Read records out of a stretch of a segment.

    Args:
        data: The bytes.
        wanted: Sequence numbers; lower ones are passed over, higher ones end the scan.
        most: How many records to return at most.
        is_whole: Nothing follows the bytes, so a record that is cut short is a damaged one.
        damaged: Bytes were skipped just before the stretch.
    """
    scan, expected = _Scan(damaged=damaged), wanted.start
    while scan.end < len(data) and len(scan.records) < most:
        record = _record_at(data, scan.end)
        if record is None:
            following = _next_record(data, scan.end + 1, is_whole=is_whole)
            is_good = following < len(data) and _record_at(data, following) is not None
            if not is_whole and not is_good and _may_grow(data, scan.end):
                break
            scan.damaged = True
            scan.marks += data.count(MARK, scan.end, following)
            scan.end = following
            continue
        if record.sequence >= wanted.stop:
            break
        scan.end += _RECORD.size + len(record.payload)
        scan.newest = max(scan.newest, record.sequence)
        if record.sequence >= expected:
            if scan.damaged and record.sequence > expected:
                scan.gaps.append(Gap(expected, record.sequence - 1))
            scan.records.append(record)
            expected = record.sequence + 1
        scan.damaged, scan.marks = False, 0
    return scan


def _record_at(data: bytes, at: int) -> Record | None:
    """Return the record that begins at an offset, None where none that is whole and good does."""
    begin = at + _RECORD.size
    if begin > len(data):
        return None
    mark, length, check, sequence = _RECORD.unpack_from(data, at)
    if mark != MARK or length > MOST_PAYLOAD_BYTES or begin + length > len(data):
        return None
    payload = data[begin : begin + length]
    if zlib.crc32(payload, zlib.crc32(_CHECKED.pack(length, sequence))) != check:
        return None
    return Record(sequence, payload)


def _may_grow(data: bytes, at: int) -> bool:
    """Whether the bytes may be the beginning of a record that goes on behind their end."""
    begin = at + _RECORD.size
    if begin > len(data):
        return MARK.startswith(data[at : at + len(MARK)])
    mark, length, _, _ = _RECORD.unpack_from(data, at)
    return bool(mark == MARK and length <= MOST_PAYLOAD_BYTES and begin + length > len(data))


def _next_record(data: bytes, at: int, *, is_whole: bool) -> int:
    """Return the offset of the next record, or else where the search has to go on."""
    growing = None
    found = data.find(MARK, at)
    while found >= 0:
        if _record_at(data, found) is not None:
            return found
        if growing is None and _may_grow(data, found):
            growing = found
        found = data.find(MARK, found + 1)
    if is_whole:
        return len(data)
    # The end of the bytes may cut a mark in two.
    return growing if growing is not None else max(at, len(data) - len(MARK) + 1)


@dataclass(slots=True)
class _Segment:
    path: Path
    first: int
    size: int


def _segments_in(directory: Path) -> list[_Segment]:
    found = []
    for entry in os.scandir(directory):
        name = Path(entry.name)
        if name.suffix == _SUFFIX and name.stem.isdecimal():
            found.append(_Segment(Path(entry.path), int(name.stem), entry.stat().st_size))
    return sorted(found, key=lambda segment: segment.first)


class SegmentLog:
    """The writer's side; only one may have a directory open.

    Args:
        directory: Where the segments are; made if missing.
        segment_bytes: Size at which a new segment begins.
    """

    def __init__(self, directory: Path, segment_bytes: int) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._segments: list[_Segment] = []
        self._file: int | None = None
        self._is_good = False
        self._cursor_writes = 0
        self.acknowledged = 0
        self.next_sequence = 1
        self.written_bytes = 0

    def open(self) -> None:
        """Find the end of the log, and force to the disk what a killed process left in memory.

        Raises:
            OSError: The directory cannot be used.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._segments = _segments_in(self._directory)
        self._read_cursor()
        self.next_sequence = self.acknowledged + 1
        if self._segments:
            self._find_end(self._segments[-1])
            _sync(self._segments[-1].path)
            # What was deleted had been acknowledged, or counted as lost.
            self.acknowledged = max(self.acknowledged, self._segments[0].first - 1)

    def _find_end(self, last: _Segment) -> None:
        data = last.path.read_bytes()
        self._is_good = data.startswith(HEAD)
        begin = len(HEAD) if self._is_good else 0
        scan = _scan(data[begin:], range(last.first, 1 << 64), len(data), is_whole=True)
        following = max(scan.newest + 1, last.first)
        if scan.damaged and not HEAD.startswith(data):
            self._is_good = False
            following = _last_torn(data, following, scan.marks) + 1
        self.next_sequence = max(self.next_sequence, following)

    @property
    def size_bytes(self) -> int:
        """How much the segments take on disk."""
        return sum(segment.size for segment in self._segments)

    @property
    def oldest(self) -> Gap | None:
        """What :meth:`drop_oldest` would lose, None where it would delete nothing."""
        if len(self._segments) < 2:
            return None
        first = max(self._segments[0].first, self.acknowledged + 1)
        return Gap(first, self._segments[1].first - 1)

    def append(self, records: Sequence[Record]) -> None:
        """Write records and force them to the disk.

        Args:
            records: At least one; their numbers rise, and the first is at least ``next_sequence``.

        Raises:
            OSError: They are not certain to be on the disk, and may be appended again.
        """
        data = b"".join(encode(*record) for record in records)
        try:
            file, segment = self._writable(records[0].sequence)
            _write(file, data)
            os.fdatasync(file)
        except OSError:
            self._abandon()
            raise
        segment.size += len(data)
        self.written_bytes += len(data)
        self.next_sequence = records[-1].sequence + 1

    def _writable(self, first: int) -> tuple[int, _Segment]:
        """Return the segment to write to, a new one where the last is full or not to be trusted."""
        last = self._segments[-1] if self._segments else None
        if last is not None and self._is_good and last.size < self._segment_bytes:
            if self._file is None:
                self._file = os.open(last.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            return self._file, last
        self.close()
        path = self._directory / f"{first:020d}{_SUFFIX}"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        file = self._file = os.open(path, flags, _MODE)
        if last is None or last.path != path:
            self._segments.append(_Segment(path, first, 0))
        segment = self._segments[-1]
        segment.size = 0
        _write(file, HEAD)
        _sync(self._directory)
        segment.size = len(HEAD)
        self._is_good = True
        return file, segment

    def _abandon(self) -> None:
        """Leave a segment in which something failed, with what in it is certain.

        What cannot be cut off or deleted does no harm: the same records come again, and a reader
        passes over what it has had.
        """
        self._is_good = False
        file, self._file = self._file, None
        if file is None:
            return
        last = self._segments[-1]
        try:
            os.ftruncate(file, last.size)
            if last.size <= len(HEAD):
                last.path.unlink()
                self._segments.pop()
        except OSError:
            return
        finally:
            os.close(file)

    def close(self) -> None:
        """Close the file at hand; the next record opens it again."""
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)

    def acknowledge(self, sequence: int) -> None:
        """Note that all up to a sequence number is no longer needed, and delete whole segments.

        The cursor is not forced to the disk: a power cut that takes it back only has records sent
        twice.

        Raises:
            OSError: It cannot be written; nothing was deleted.
        """
        if sequence <= self.acknowledged:
            return
        self._write_cursor(sequence)
        self.acknowledged = sequence
        while len(self._segments) > 1 and self._segments[1].first <= sequence + 1:
            self._segments[0].path.unlink(missing_ok=True)
            self._segments.pop(0)

    def drop_oldest(self) -> None:
        """Delete the oldest segment, acknowledged or not, unless it is the last one too.

        Raises:
            OSError: It cannot be deleted.
        """
        if len(self._segments) > 1:
            self._segments[0].path.unlink(missing_ok=True)
            self._segments.pop(0)
            self.acknowledged = max(self.acknowledged, self._segments[0].first - 1)

    def _read_cursor(self) -> None:
        """Take the newer of the two slots; one that was torn does not count."""
        try:
            data = (self._directory / _CURSOR).read_bytes()
        except FileNotFoundError:
            return
        for at in range(0, len(data), _SLOT.size + _CHECK.size):
            slot, check = data[at : at + _SLOT.size], data[at + _SLOT.size :][: _CHECK.size]
            if len(check) == _CHECK.size and _CHECK.unpack(check)[0] == zlib.crc32(slot):
                sequence, writes = _SLOT.unpack(slot)
                if writes > self._cursor_writes:
                    self._cursor_writes, self.acknowledged = writes, sequence

    def _write_cursor(self, sequence: int) -> None:
        slot = _SLOT.pack(sequence, self._cursor_writes + 1)
        slot += _CHECK.pack(zlib.crc32(slot))
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        file = os.open(self._directory / _CURSOR, flags, _MODE)
        try:
            os.pwrite(file, slot, ((self._cursor_writes + 1) % 2) * len(slot))
        finally:
            os.close(file)
        self._cursor_writes += 1


class SegmentReader:
    """The reader's side, for another thread: records in order, each once until :meth:`seek`.

    Args:
        directory: Where the segments are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file: FileIO | None = None
        self._segment = 0
        self._expected = 1
        self._damaged = False
        self._skipped: Gap | None = None

    def seek(self, sequence: int) -> None:
        """Go on with the first record that has at least this sequence number."""
        self.close()
        self._expected, self._damaged = sequence, False

    def close(self) -> None:
        """Close the segment at hand."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self, last: int, most: int) -> tuple[list[Record], list[Gap]]:
        """Return the next records.

        Args:
            last: Sequence number up to which all is on the disk; what follows is not looked at.
            most: How many at most.

        Returns:
            The records, and the sequence numbers of damaged ones among and before them.

        Raises:
            OSError: A segment cannot be read; the next call goes on behind it, and returns it as a
                gap.
        """
        records: list[Record] = []
        gaps: list[Gap] = [] if self._skipped is None else [self._skipped]
        self._skipped = None
        while self._expected <= last and not records and not gaps:
            if self._file is None:
                self._file = self._open()
            if self._file is None:
                break
            try:
                moved = self._read_on(self._file, last, most, records, gaps)
                if not moved:
                    following = self._following()
                    # The writer may have added to this one before it began the following.
                    if following is None:
                        break
                    if not self._read_on(self._file, last, most, records, gaps):
                        self._leave(self._file, following, gaps)
            except OSError:
                self._skip()
                raise
        return records, gaps

    def _read_on(
        self, file: FileIO, last: int, most: int, records: list[Record], gaps: list[Gap]
    ) -> bool:
        """Read on in the segment at hand; returns whether it went anywhere."""
        at = file.tell()
        wanted = range(self._expected, last + 1)
        data = file.read(_CHUNK_BYTES)
        scan = _scan(data, wanted, most, damaged=self._damaged)
        if not scan.end and len(data) == _CHUNK_BYTES:
            data += file.read(MOST_PAYLOAD_BYTES)
            scan = _scan(data, wanted, most, damaged=self._damaged)
        file.seek(at + scan.end)
        self._damaged = scan.damaged
        records += scan.records
        gaps += scan.gaps
        if scan.records:
            self._expected = scan.records[-1].sequence + 1
        return scan.end > 0

    def _open(self) -> FileIO | None:
        segments = _segments_in(self._directory)
        if not segments:
            return None
        at = bisect_right([segment.first for segment in segments], self._expected) - 1
        chosen = segments[max(at, 0)]
        try:
            file = FileIO(chosen.path)
        except FileNotFoundError:
            return None
        self._segment = chosen.first
        if file.read(len(HEAD)) != HEAD:
            file.seek(0)
        return file

    def _following(self) -> int | None:
        """Return the first sequence number of the next segment, None where there is none."""
        numbers = (segment.first for segment in _segments_in(self._directory))
        return next((first for first in numbers if first > self._segment), None)

    def _leave(self, file: FileIO, following: int, gaps: list[Gap]) -> None:
        """Go to the next segment; what stands unread at the end of this one is damaged."""
        is_damaged = self._damaged or file.tell() < os.fstat(file.fileno()).st_size
        if is_damaged and following > self._expected:
            gaps.append(Gap(self._expected, following - 1))
        self.seek(max(self._expected, following))

    def _skip(self) -> None:
        """Have the next call go on behind a segment that cannot be read, if there is one."""
        self.close()
        if (following := self._following()) is not None and following > self._expected:
            self._skipped = Gap(self._expected, following - 1)
            self.seek(following)


def _last_torn(data: bytes, first: int, marks: int) -> int:
    """Return the highest sequence number that the torn end of a segment may have held.

    Headers that can still be read say so; each beginning of a record counts anyhow.
    """
    last, at = first + max(marks, 1) - 1, data.find(MARK)
    while 0 <= at <= len(data) - _RECORD.size:
        sequence = _RECORD.unpack_from(data, at)[3]
        if first <= sequence <= first + len(data) // _RECORD.size:
            last = max(last, sequence)
        at = data.find(MARK, at + 1)
    return last


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync(path: Path) -> None:
    """Force a file or a directory to the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
