"""The consumer: each event once, and what the sequence numbers prove."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import SystemClock
from agent.telemetry.events import EventWriter, Lost, Motion
from agent.telemetry.journal import Cause
from hil.consumer.receiver import Receiver
from hil.consumer.store import EventStore, row_of
from hil.errors import BenchError

UTC_NS = 1_767_225_600_000_000_000


def written(sequence: int, boot: str = "b1", loss: tuple[int, int] | None = None) -> bytes:
    body = Motion() if loss is None else Lost(first=loss[0], last=loss[1], cause=Cause.QUEUE)
    return EventWriter("acme", "R1", boot).write(body, UTC_NS, sequence, sequence)


def test_an_event_is_stored_once(tmp_path: Path) -> None:
    with EventStore(tmp_path / "e.sqlite") as store:
        assert store.add([row_of(written(1)), row_of(written(2)), row_of(written(1))]) == 2
        assert store.add([row_of(written(2)), row_of(written(3))]) == 1
        (proof,) = store.proofs()
    assert (proof.robot, proof.records, proof.newest, proof.missing) == ("acme/R1", 3, 3, 0)


def test_a_number_of_another_boot_is_another_event(tmp_path: Path) -> None:
    with EventStore(tmp_path / "e.sqlite") as store:
        assert store.add([row_of(written(1)), row_of(written(1, "b2"))]) == 2
        (proof,) = store.proofs()
    assert proof.boots == 2


def test_a_gap_that_the_robot_told_of_is_lost_and_another_is_missing(tmp_path: Path) -> None:
    with EventStore(tmp_path / "e.sqlite") as store:
        payloads = [written(1), written(5, loss=(2, 3)), written(6)]
        store.add([row_of(payload) for payload in payloads])
        (proof,) = store.proofs()
    assert (proof.lost, proof.missing) == (2, 1)


@settings(max_examples=30)
@given(
    here=st.sets(st.integers(1, 30), min_size=1),
    told=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 6)), max_size=4),
)
def test_the_proof_is_what_counting_gives(
    tmp_path_factory: pytest.TempPathFactory, here: set[int], told: list[tuple[int, int]]
) -> None:
    losses = [(first, first + more) for first, more in told]
    rows = [row_of(written(n)) for n in here]
    rows += [row_of(written(100 + i, loss=loss)) for i, loss in enumerate(losses)]
    with EventStore(tmp_path_factory.mktemp("store") / "e.sqlite") as store:
        store.add(rows)
        (proof,) = store.proofs()
    numbers = {row.sequence for row in rows}
    absent = set(range(1, max(numbers))) - numbers
    explained = {n for first, last in losses for n in range(first, last + 1)}
    assert proof.lost == len(absent & explained)
    assert proof.missing == len(absent - explained)


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"manufacturer": 1}', b"7"])
def test_what_is_no_event_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        row_of(payload)


def test_an_event_of_a_later_version_is_stored_as_it_is() -> None:
    tree = json.loads(written(1))
    tree["event"] = {"kind": "later", "what": [1]}
    assert row_of(json.dumps(tree).encode()).kind == "later"


def test_another_file_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no database, but long enough to be looked at" * 50)
    with pytest.raises(BenchError, match="text"):
        EventStore(path)


def test_without_a_broker_it_ends_when_told(tmp_path: Path) -> None:
    stop = threading.Event()
    with EventStore(tmp_path / "e.sqlite") as store:
        receiver = Receiver("127.0.0.1", 1, "#", store, SystemClock())
        thread = threading.Thread(target=receiver.run, args=(stop,))
        thread.start()
        stop.set()
        thread.join(5)
        assert not thread.is_alive()
        assert receiver.reception.connects == 0


@pytest.mark.slow
def test_the_verb_ends_with_ctrl_c_and_tells(tmp_path: Path) -> None:
    words = ["consume", tmp_path / "e.sqlite", "--port", "1", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "agent", *map(str, words)], stdout=subprocess.PIPE
    ) as process:
        try:
            while not (tmp_path / "e.sqlite").exists():
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0
    assert json.loads(output)["received"]["messages"] == 0
