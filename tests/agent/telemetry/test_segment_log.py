"""The log on disk, against a model: what was forced to the disk is there, or known to be gone."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.telemetry.segments import HEAD, MARK, Gap, Record, SegmentLog, SegmentReader, encode

PAYLOADS = st.lists(st.binary(max_size=60), min_size=1, max_size=5)


def opened(directory: Path, segment_bytes: int = 300) -> SegmentLog:
    log = SegmentLog(directory, segment_bytes)
    log.open()
    return log


def filled(directory: Path, count: int, segment_bytes: int = 300) -> SegmentLog:
    log = opened(directory, segment_bytes)
    for number in range(1, count + 1):
        log.append([Record(number, b"%d" % number)])
    log.close()
    return log


def drained(directory: Path, last: int, first: int = 1) -> tuple[list[Record], list[Gap]]:
    reader = SegmentReader(directory)
    reader.seek(first)
    records: list[Record] = []
    gaps: list[Gap] = []
    while True:
        more, holes = reader.read(last, 3)
        records += more
        gaps += holes
        if not more and not holes:
            reader.close()
            return records, gaps


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.log"))


def test_a_record_is_as_documented() -> None:
    data = encode(7, b"payload")
    assert data[:4] == MARK
    assert int.from_bytes(data[4:8], "little") == len(b"payload")
    assert int.from_bytes(data[12:20], "little") == 7
    assert data[20:] == b"payload"


def test_all_comes_back_in_order_over_segments(tmp_path: Path) -> None:
    filled(tmp_path, 50)
    records, gaps = drained(tmp_path, 50)
    assert [record.sequence for record in records] == list(range(1, 51))
    assert [record.payload for record in records] == [b"%d" % n for n in range(1, 51)]
    assert not gaps
    assert len(segments(tmp_path)) > 3


def test_nothing_behind_what_is_certain_is_read(tmp_path: Path) -> None:
    filled(tmp_path, 50)
    assert [record.sequence for record in drained(tmp_path, 20)[0]] == list(range(1, 21))


def test_acknowledged_segments_go_and_the_cursor_stays(tmp_path: Path) -> None:
    log = filled(tmp_path, 50)
    before = log.size_bytes
    log.acknowledge(30)
    assert log.size_bytes < before
    assert log.size_bytes == sum(path.stat().st_size for path in segments(tmp_path))
    again = opened(tmp_path)
    assert again.acknowledged == 30
    assert again.next_sequence == 51
    assert [record.sequence for record in drained(tmp_path, 50, 31)[0]] == list(range(31, 51))


def test_a_torn_cursor_is_the_one_before(tmp_path: Path) -> None:
    log = filled(tmp_path, 20, 100_000)
    log.acknowledge(5)
    log.acknowledge(9)
    cursor = tmp_path / "cursor"
    data = bytearray(cursor.read_bytes())
    slot = len(data) // 2
    newest = max(range(2), key=lambda at: int.from_bytes(data[at * slot + 8 :][:8], "little"))
    data[newest * slot] ^= 1
    cursor.write_bytes(data)
    assert opened(tmp_path, 100_000).acknowledged == 5


@pytest.mark.parametrize("kept", range(len(encode(5, b"5"))))
def test_a_torn_last_record_is_counted_and_its_number_not_used_again(
    tmp_path: Path, kept: int
) -> None:
    filled(tmp_path, 5, 100_000)
    (path,) = segments(tmp_path)
    whole = len(HEAD) + 4 * len(encode(1, b"1"))
    os.truncate(path, whole + kept)
    log = opened(tmp_path, 100_000)
    torn = [Gap(5, 5)] if kept else []
    assert log.next_sequence == 5 + len(torn)
    log.append([Record(log.next_sequence, b"new")])
    records, gaps = drained(tmp_path, log.next_sequence - 1)
    assert [record.sequence for record in records] == [1, 2, 3, 4, 5 + len(torn)]
    assert gaps == torn
    log.close()


def test_a_damaged_record_in_the_middle_is_passed_over_and_counted(tmp_path: Path) -> None:
    filled(tmp_path, 9, 100_000)
    (path,) = segments(tmp_path)
    data = bytearray(path.read_bytes())
    data[len(HEAD) + 3 * len(encode(1, b"1")) + 20] ^= 0x10
    path.write_bytes(data)
    records, gaps = drained(tmp_path, 9)
    assert [record.sequence for record in records] == [1, 2, 3, 5, 6, 7, 8, 9]
    assert gaps == [Gap(4, 4)]


def test_what_was_never_written_is_no_damage(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append([Record(1, b"1"), Record(2, b"2")])
    log.append([Record(8, b"8")])
    log.close()
    records, gaps = drained(tmp_path, 8)
    assert [record.sequence for record in records] == [1, 2, 8]
    assert not gaps


def test_the_oldest_goes_first(tmp_path: Path) -> None:
    log = filled(tmp_path, 50)
    oldest = log.oldest
    assert oldest is not None
    assert oldest.first == 1
    log.drop_oldest()
    assert log.acknowledged == oldest.last
    assert drained(tmp_path, 50)[0][0].sequence == oldest.last + 1


def test_an_empty_head_is_no_loss(tmp_path: Path) -> None:
    (tmp_path / f"{4:020d}.log").write_bytes(HEAD[:3])
    log = opened(tmp_path)
    assert log.next_sequence == 4


def test_a_record_longer_than_a_chunk(tmp_path: Path) -> None:
    log = opened(tmp_path, 1_000_000)
    long = b"l" * 300_000
    log.append([Record(1, b"1"), Record(2, long), Record(3, b"3")])
    log.close()
    assert [record.payload for record in drained(tmp_path, 3)[0]] == [b"1", long, b"3"]


class LogMachine(RuleBasedStateMachine):
    """Append, acknowledge, crash at any byte, flip bits, open again.

    The model knows each record that was forced to the disk, and which of them harm may have come
    to. The log may lose no other, must tell of those it lost, and may make none up.
    """

    @initialize(segment_bytes=st.sampled_from([60, 200, 5000]))
    def begin(self, segment_bytes: int) -> None:
        self.home = tempfile.TemporaryDirectory()
        self.directory = Path(self.home.name)
        self.segment_bytes = segment_bytes
        self.kept: dict[int, bytes] = {}
        self.harmed: set[int] = set()
        self.used = 0
        self.acknowledged = 0
        self.log = opened(self.directory, segment_bytes)

    def teardown(self) -> None:
        if hasattr(self, "home"):
            self.log.close()
            self.home.cleanup()

    @rule(payloads=PAYLOADS, skipped=st.integers(0, 2))
    def append(self, payloads: list[bytes], skipped: int) -> None:
        first = self.log.next_sequence + skipped
        assert first > self.used
        records = [Record(first + i, payload) for i, payload in enumerate(payloads)]
        self.log.append(records)
        self.kept |= dict(records)
        self.used = records[-1].sequence

    @rule(share=st.floats(0, 1))
    def acknowledge(self, share: float) -> None:
        self.acknowledged = max(self.acknowledged, round(share * self.used))
        self.log.acknowledge(self.acknowledged)

    @rule()
    def reopen(self) -> None:
        self.log.close()
        self.log = opened(self.directory, self.segment_bytes)

    @rule(payloads=PAYLOADS, share=st.floats(0, 1))
    def crash_while_appending(self, payloads: list[bytes], share: float) -> None:
        """The process ends in the middle of a write: any number of bytes are there."""
        before = {path: path.read_bytes() for path in segments(self.directory)}
        first = self.log.next_sequence
        self.log.append([Record(first + i, payload) for i, payload in enumerate(payloads)])
        self.log.close()
        last = segments(self.directory)[-1]
        certain, whole = before.get(last, b""), last.read_bytes()
        os.truncate(last, len(certain) + round(share * (len(whole) - len(certain))))
        for i, payload in enumerate(payloads):
            self.kept[first + i] = payload
            self.harmed.add(first + i)
        self.log = opened(self.directory, self.segment_bytes)
        self.used = max(self.used, self.log.next_sequence - 1)
        # Numbers of records that were never certain may be given again.
        for number in [n for n in self.harmed if n >= self.log.next_sequence]:
            self.harmed.discard(number)
            del self.kept[number]

    @precondition(lambda self: self.flippable())
    @rule(data=st.data())
    def flip(self, data: st.DataObject) -> None:
        """One bit of one record that is still on the disk turns over, while nobody runs."""
        self.log.close()
        number = data.draw(st.sampled_from(self.flippable()))
        whole = encode(number, self.kept[number])
        for path in segments(self.directory):
            content = bytearray(path.read_bytes())
            at = content.find(whole)
            if at >= 0:
                content[at + data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(
                    st.integers(0, 7)
                )
                path.write_bytes(content)
                self.harmed.add(number)
        self.log = opened(self.directory, self.segment_bytes)
        assert self.log.next_sequence > self.used
        self.used = max(self.used, self.log.next_sequence - 1)

    def unharmed(self) -> list[int]:
        return [n for n in self.kept if n > self.acknowledged and n not in self.harmed]

    def flippable(self) -> list[int]:
        """Which number the last record had can be told by the one before alone."""
        unharmed = self.unharmed()
        before = max(self.kept, default=0) - 1
        is_told = before in self.kept and not {before, before + 1} & self.harmed
        return unharmed if is_told else unharmed[:-1]

    @invariant()
    def nothing_is_lost_or_made_up(self) -> None:
        if not hasattr(self, "log"):
            return
        first = self.log.acknowledged + 1
        records, gaps = drained(self.directory, self.log.next_sequence - 1, first)
        numbers = [record.sequence for record in records]
        assert numbers == sorted(set(numbers))
        assert all(self.kept[number] == payload for number, payload in records)
        missing = {n for n in self.kept if n >= first} - set(numbers)
        assert missing <= self.harmed
        told = {n for gap in gaps for n in range(gap.first, gap.last + 1)}
        assert not told & set(numbers)
        # What is at the end of the last segment is told once the next one has begun.
        last_first = max(
            (int(path.stem) for path in segments(self.directory)), default=self.used + 1
        )
        assert {n for n in missing if n < last_first and n < max([0, *numbers])} <= told


LogMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=12)
TestLogMachine = LogMachine.TestCase
