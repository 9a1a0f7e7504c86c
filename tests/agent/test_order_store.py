"""The order on disk: whole at any moment, newest only, and never believed when torn."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import RecordInvalid
from agent.order_store import OrderStore


def written(path: Path, *snapshots: dict) -> OrderStore:
    store = OrderStore(path)
    thread = threading.Thread(target=store.run)
    thread.start()
    for snapshot in snapshots:
        store.keep(lambda snapshot=snapshot: json.dumps(snapshot).encode())
    store.close()
    thread.join(5.0)
    assert not thread.is_alive()
    return store


def test_what_was_kept_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "state" / "order.json"
    assert OrderStore(path).load() is None
    written(path, {"order": {"id": "ä", "x": 0.1}})
    assert OrderStore(path).load() == {"order": {"id": "ä", "x": 0.1}}
    assert [p.name for p in path.parent.iterdir()] == ["order.json"]


def test_the_newest_wins_and_what_came_between_need_not_be_written(tmp_path: Path) -> None:
    store = written(tmp_path / "o", *({"n": n} for n in range(200)))
    assert store.load() == {"n": 199}
    assert 1 <= store.written <= store.settled == 200
    assert store.failure is None


def test_a_disk_that_refuses_is_told_and_the_next_try_counts(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("x")
    store = written(blocked / "order", {"n": 1})
    assert store.failure is not None
    assert store.failure.startswith(str(blocked))
    assert (store.written, store.settled) == (0, 1)
    assert written(tmp_path / "order", {"n": 1}).failure is None


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_torn_or_flipped_file_is_put_aside(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "order"
    written(path, {"order": list(range(20))})
    whole = path.read_bytes()
    if data.draw(st.booleans()):
        broken = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        at, bit = data.draw(st.integers(0, len(whole) - 1)), 1 << data.draw(st.integers(0, 7))
        broken = whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]
    path.write_bytes(broken)
    store = OrderStore(path)
    try:
        kept = store.load()
    except RecordInvalid as error:
        assert "put aside as order.bad" in error.detail
        assert not path.exists()
        assert (tmp_path / "order.bad").read_bytes() == broken
        assert store.load() is None
    else:  # white space of the first line carries nothing
        assert kept == {"order": list(range(20))}


@pytest.mark.parametrize("content", [b"", b"{}\n{}", b"[]\n", b"\xff\n", json.dumps(3).encode()])
def test_a_foreign_file_is_put_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "order"
    path.write_bytes(content)
    with pytest.raises(RecordInvalid, match="no order record"):
        OrderStore(path).load()
    assert (tmp_path / "order.bad").read_bytes() == content


WRITER = """
import json, sys, threading
from pathlib import Path
from agent.order_store import OrderStore

store = OrderStore(Path(sys.argv[1]))
threading.Thread(target=store.run, daemon=True).start()
n = 0
while True:
    n += 1
    store.keep(lambda n=n: json.dumps({"n": n, "ballast": "x" * 200_000}).encode())
    if store.written == 1:
        print("writing", flush=True)
"""


def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path: Path) -> None:
    path, last = tmp_path / "order", 0
    for moment in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.003 * moment)
        writer.kill()
        writer.communicate()
        kept = OrderStore(path).load()
        assert kept is not None
        assert len(kept["ballast"]) == 200_000
        last = kept["n"]
    assert last > 0
