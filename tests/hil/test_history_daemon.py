"""The history of the whole robot: the real daemon, killed once, and what a data team gets of it."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.clock import SystemClock
from hil.broker import LOOPBACK
from hil.consumer.receiver import Receiver
from hil.consumer.store import EventStore
from hil.lane_rig import LaneRig
from hil.mosquitto import executable

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(executable() is None, reason="mosquitto is not installed"),
]

CLOCK = SystemClock()
KINDS = {"agent", "motion", "device", "localization", "loop_timing", "device_statistics", "fault"}


def wait_for(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline_ns = CLOCK.now_ns() + round(within_s * 1e9)
    while not condition():
        assert CLOCK.now_ns() < deadline_ns
        CLOCK.wait_until_ns(CLOCK.now_ns() + 100_000_000)


def test_all_that_happens_arrives_over_a_kill(tmp_path: Path) -> None:
    environment = {
        "HAULIER_HISTORY__JOURNAL": str(tmp_path / "journal"),
        "HAULIER_HISTORY__SETTLE_S": "0.5",
    }
    rig_directory, database = tmp_path / "rig", tmp_path / "events.sqlite"
    with (
        LaneRig(rig_directory, CLOCK, environment=environment) as rig,
        EventStore(database) as store,
    ):
        topic = "uagv/v2/+/+/history"
        receiver = Receiver(LOOPBACK, rig.port, topic, store, CLOCK)
        stop = threading.Event()
        thread = threading.Thread(target=receiver.run, args=(stop,))
        thread.start()
        try:
            rig.pty.wait_until_ready()
            rig.pty.kill_daemon()
            rig.pty.start_daemon()
            status = rig.pty.wait_until_ready()["history"]
            assert status["failure"] is None
            wait_for(lambda: rig.pty.status()["history"]["backlog"] < 20)
            assert rig.pty.stop_daemon() == 0
            CLOCK.wait_until_ns(CLOCK.now_ns() + 1_000_000_000)
        finally:
            stop.set()
            thread.join()
        (proof,) = store.proofs()
        kinds = store.kinds(proof.robot)
    assert proof.robot == "haulier/demo-01"
    assert proof.boots == 2
    assert proof.missing == proof.lost == 0
    assert receiver.reception.refused == 0
    assert kinds.keys() >= KINDS
    assert kinds["agent"] >= 2  # that it stopped is told at the latest by the next start
