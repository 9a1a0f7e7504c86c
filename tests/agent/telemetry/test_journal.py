"""The journal: what is handed over is on the disk, in order, or known to be lost."""

import errno
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from agent.telemetry.journal import Cause, Draft, Drop, Journal, JournalLimits, Loss
from agent.telemetry.segments import SegmentLog

SMALL = JournalLimits(most_bytes=100_000, segment_bytes=2_000, most_waiting=50)


def tell_loss(loss: Loss) -> Draft:
    told = {"first": loss.first, "last": loss.last, "cause": str(loss.cause)}
    return lambda sequence: json.dumps(told).encode()


def journal_in(directory: Path, limits: JournalLimits = SMALL) -> Journal:
    return Journal(directory, limits, tell_loss)


def draft(number: int, sequence: int, size: int = 0) -> bytes:
    return json.dumps({"number": number, "sequence": sequence, "filler": "x" * size}).encode()


def put(journal: Journal, *numbers: int, size: int = 0) -> None:
    for number in numbers:
        journal.append(partial(draft, number, size=size))


def drained(journal: Journal) -> list[tuple[int, dict[str, object]]]:
    journal.rewind()
    found = []
    while records := journal.read(7):
        found += [(record.sequence, json.loads(record.payload)) for record in records]
    journal.rewind()
    return found


def numbers_in(journal: Journal) -> list[object]:
    return [told["number"] for _, told in drained(journal) if "number" in told]


def losses_in(journal: Journal) -> list[dict[str, object]]:
    return [told for _, told in drained(journal) if "cause" in told]


def eventually(condition: Callable[[], bool], within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and not condition():
        time.sleep(0.01)
    return condition()


def test_nothing_can_be_read_before_it_is_on_the_disk(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    put(journal, 1, 2)
    assert not journal.read(10)
    journal.turn()
    assert drained(journal) == [
        (1, {"number": 1, "sequence": 1, "filler": ""}),
        (2, {"number": 2, "sequence": 2, "filler": ""}),
    ]
    assert journal.state.backlog == 2


def test_a_rewind_goes_behind_what_was_acknowledged(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    put(journal, *range(1, 6))
    journal.turn()
    assert len(journal.read(10)) == 5
    journal.rewind()
    journal.acknowledge(3)
    assert numbers_in(journal) == [4, 5]


def test_the_next_start_goes_on_where_the_last_ended(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    put(journal, 1, 2, 3)
    journal.turn()
    journal.acknowledge(2)
    journal.turn()
    again = journal_in(tmp_path)
    put(again, 4)
    again.turn()
    assert [sequence for sequence, _ in drained(again)] == [3, 4]


def test_too_many_at_once_are_counted_and_told(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    put(journal, *range(60))
    assert journal.state.lost == 10
    journal.turn()
    assert numbers_in(journal) == list(range(50))
    assert losses_in(journal) == [{"first": 51, "last": 60, "cause": "queue"}]
    assert journal.state.lost == 10


def test_a_draft_that_makes_no_sense_is_lost_alone(tmp_path: Path) -> None:
    def senseless(sequence: int) -> bytes:
        raise ValueError("no event")

    journal = journal_in(tmp_path)
    put(journal, 1)
    journal.append(senseless)
    put(journal, 3)
    journal.turn()
    assert numbers_in(journal) == [1, 3]
    assert losses_in(journal) == [{"first": 2, "last": 2, "cause": "content"}]


def test_a_full_journal_gives_up_the_oldest(tmp_path: Path) -> None:
    journal = journal_in(tmp_path, JournalLimits(most_bytes=16_000, segment_bytes=1_000))
    for number in range(200):
        put(journal, number, size=100)
        journal.turn()
    assert journal.state.size_bytes < 16_000
    numbers = numbers_in(journal)
    assert numbers[-1] == 199
    first = drained(journal)[0][0]
    assert first > 1
    assert journal.state.lost == first - 1
    assert journal.state.backlog == journal.state.durable - first + 1
    told = [(loss["first"], loss["last"]) for loss in losses_in(journal)]
    assert told[-1][1] == first - 1


def test_a_full_journal_may_refuse_the_newest(tmp_path: Path) -> None:
    limits = JournalLimits(most_bytes=16_000, segment_bytes=1_000, drop=Drop.NEWEST)
    journal = journal_in(tmp_path, limits)
    for number in range(200):
        put(journal, number, size=100)
        journal.turn()
    kept = numbers_in(journal)
    assert kept == list(range(len(kept)))
    assert journal.state.lost == 200 - len(kept)
    journal.acknowledge(len(kept))
    put(journal, 200)
    journal.turn()
    assert numbers_in(journal) == [200]
    assert losses_in(journal) == [{"first": len(kept) + 1, "last": 200, "cause": "size"}]


def test_a_disk_that_takes_nothing_loses_nothing_that_fits_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_in(tmp_path)
    put(journal, 1)
    journal.turn()
    written = os.write
    is_full = True

    def write(file: int, data: memoryview) -> int:
        if is_full:
            written(file, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(file, data)

    monkeypatch.setattr(os, "write", write)
    put(journal, 2, 3)
    journal.turn()
    assert journal.state.failure is not None
    assert "No space left" in journal.state.failure
    put(journal, *range(4, 70))
    journal.turn()
    is_full = False
    journal.turn()
    assert journal.state.failure is None
    assert numbers_in(journal) == list(range(1, 54))
    assert journal.state.lost == 69 - 53
    (loss,) = losses_in(journal)
    assert loss["cause"] == "queue"


def test_a_sync_that_fails_is_not_believed_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_in(tmp_path)
    put(journal, 1)
    journal.turn()
    sync, failures = os.fdatasync, [OSError(errno.EIO, os.strerror(errno.EIO))]

    def fdatasync(file: int) -> None:
        if failures:
            raise failures.pop()
        sync(file)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    put(journal, 2)
    journal.turn()
    assert journal.state.durable == 1
    journal.turn()
    assert numbers_in(journal) == [1, 2]
    assert len(list(tmp_path.glob("*.log"))) == 2


def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = journal_in(tmp_path / "file")
    put(journal, 1)
    journal.turn()
    assert journal.state.failure is not None
    (tmp_path / "file").unlink()
    journal.turn()
    assert journal.state.failure is None
    assert numbers_in(journal) == [1]


def test_damage_is_told_once(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    put(journal, *range(1, 6))
    journal.turn()
    (path,) = tmp_path.glob("*.log")
    data = bytearray(path.read_bytes())
    data[data.index(b'"number": 3')] ^= 1
    path.write_bytes(data)
    again = journal_in(tmp_path)
    again.turn()
    assert numbers_in(again) == [1, 2, 4, 5]
    again.turn()
    again.turn()
    assert losses_in(again) == [{"first": 3, "last": 3, "cause": "damage"}]
    again.turn()
    assert len(losses_in(again)) == 1
    assert again.state.lost == 1


def test_its_thread_writes_and_ends(tmp_path: Path) -> None:
    told = threading.Event()
    journal = Journal(tmp_path, SMALL, tell_loss, told.set)
    thread = threading.Thread(target=journal.run)
    thread.start()
    put(journal, 1)
    assert eventually(lambda: journal.state.durable == 1)
    assert told.is_set()
    put(journal, 2)
    journal.close()
    thread.join(5)
    assert not thread.is_alive()
    assert numbers_in(journal_with(tmp_path)) == [1, 2]


def journal_with(directory: Path) -> Journal:
    journal = journal_in(directory)
    journal.turn()
    return journal


def test_limits_of_the_smallest_journal_hold() -> None:
    with pytest.raises(ValueError, match="bogus"):
        Drop("bogus")
    assert Cause("queue") is Cause.QUEUE


class JournalMachine(RuleBasedStateMachine):
    """Hand over, write, send, acknowledge, end without a word, start again."""

    @initialize()
    def begin(self) -> None:
        self.home = tempfile.TemporaryDirectory()
        self.directory = Path(self.home.name)
        self.journal = journal_in(self.directory)
        self.number = 0
        self.waiting: list[int] = []
        self.durable: list[int] = []
        self.acknowledged = 0

    def teardown(self) -> None:
        if hasattr(self, "home"):
            self.home.cleanup()

    @rule(count=st.integers(1, 8))
    def hand_over(self, count: int) -> None:
        numbers = list(range(self.number, self.number + count))
        put(self.journal, *numbers)
        self.waiting = [*self.waiting, *numbers][: SMALL.most_waiting]
        self.number += count

    @rule()
    def write(self) -> None:
        self.journal.turn()
        self.durable += self.waiting
        self.waiting = []

    @rule(share=st.floats(0, 1))
    def acknowledge(self, share: float) -> None:
        state = self.journal.state
        self.acknowledged = max(self.acknowledged, round(share * state.durable))
        self.journal.acknowledge(self.acknowledged)

    @rule()
    def end_without_a_word(self) -> None:
        """What was acknowledged after the last turn may be sent again, and nothing else."""
        self.journal = journal_in(self.directory)
        self.journal.turn()
        self.waiting = []
        self.acknowledged = self.journal.state.acknowledged

    @rule()
    def send(self) -> None:
        sent = drained(self.journal)
        sequences = [sequence for sequence, _ in sent]
        assert sequences == sorted(set(sequences))
        assert all(sequence > self.acknowledged for sequence in sequences)
        numbers = [told["number"] for _, told in sent if "number" in told]
        assert numbers == self.durable[len(self.durable) - len(numbers) :]
        assert set(sequences) == set(range(self.acknowledged + 1, self.journal.state.durable + 1))


JournalMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=12)
TestJournalMachine = JournalMachine.TestCase


def test_the_log_is_closed_by_whoever_opened_it(tmp_path: Path) -> None:
    log = SegmentLog(tmp_path, 1000)
    log.open()
    log.close()
    log.close()
