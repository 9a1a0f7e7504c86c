"""The history lane over real processes and sockets, smaller than ``haulier bench history``."""

import os
import socket
import threading
from pathlib import Path

import pytest

from agent.clock import SystemClock
from hil.broker import LOOPBACK
from hil.history_bench import CASES, Plant, Scale, on_disk, run_case
from hil.history_drain import drain, fill
from hil.journal_bench import measure
from hil.mosquitto import executable
from hil.silent_proxy import SilentProxy

SMALL = Scale(outage_records=2000, broker_kills=2, robot_kills=5, cuts=1, steady_s=1.0)

needs_mosquitto = pytest.mark.skipif(executable() is None, reason="mosquitto is not installed")


def test_a_cut_network_says_nothing() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        heard: list[bytes] = []

        def echo() -> None:
            peer, _ = server.accept()
            with peer:
                while data := peer.recv(100):
                    heard.append(data)
                    peer.sendall(data)

        threads = [threading.Thread(target=echo) for _ in range(2)]
        for thread in threads:
            thread.start()
        with SilentProxy(server.getsockname()[1]) as proxy:
            with socket.create_connection((LOOPBACK, proxy.port), 2.0) as line:
                line.sendall(b"before")
                assert line.recv(100) == b"before"
                proxy.cut()
                line.sendall(b"gone")
                line.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    line.recv(100)
                proxy.heal()
                line.sendall(b"gone too")
                with pytest.raises(TimeoutError):
                    line.recv(100)
            with socket.create_connection((LOOPBACK, proxy.port), 2.0) as line:
                line.sendall(b"after")
                assert line.recv(100) == b"after"
        for thread in threads:
            thread.join(5)
        assert heard == [b"before", b"after"]


def test_a_filled_journal_is_a_journal(tmp_path: Path) -> None:
    fill(tmp_path, 50)
    assert list(on_disk(tmp_path)) == list(range(1, 51))


@pytest.mark.slow
@needs_mosquitto
@pytest.mark.parametrize("name", CASES)
def test_nothing_is_lost_without_a_word(name: str) -> None:
    if name == "disk-full" and os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    result = run_case(name, SystemClock(), SMALL)
    assert result.lost_unexplained == 0
    assert result.repeats_unexplained == 0
    assert result.received == result.written > 0
    assert (result.lost_counted > 0) == (name in ("disk-full", "torn"))
    assert result.remarks.get("of_these_missing", 0) == 0
    if name == "disk-full":
        assert result.remarks["live_messages_meanwhile"] > 0


@pytest.mark.slow
@needs_mosquitto
def test_the_bench_sees_a_record_that_is_taken_away(tmp_path: Path) -> None:
    """A robot whose journal loses a segment without a word must not pass."""
    with Plant(tmp_path / "plant", SystemClock(), records=20_000, records_per_s=20_000.0) as plant:
        plant.robot.start()
        plant.robot.wait_until(lambda state: state["durable"] >= 20_000)
        plant.robot.kill()
        first, second, *_ = sorted(plant.journal.glob("*.log"))
        second.replace(first)
        plant.open()
        result = plant.result("taken away")
    assert result.lost_unexplained > 0


@pytest.mark.slow
@needs_mosquitto
def test_live_messages_go_on_while_a_backlog_drains(tmp_path: Path) -> None:
    drained = drain(tmp_path / "drain", SystemClock(), 20_000, 5000.0, 3.0, 30.0)
    assert drained.drained == 20_000
    assert drained.draining.messages > 20
    assert drained.draining.p50_ms < 50.0
    assert drained.last_rss_mb < drained.first_rss_mb + 10.0


@pytest.mark.slow
def test_the_ways_to_keep_records_are_compared(tmp_path: Path) -> None:
    ways = {way.way: way for way in measure(tmp_path / "ways", SystemClock(), 20)}
    assert len(ways) == 5
    for way in ways.values():
        assert way.kept_per_s > 0
        assert way.payload_bytes > 300
