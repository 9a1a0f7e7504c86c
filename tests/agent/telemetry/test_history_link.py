"""The history lane over a real broker: in order, until acknowledged, beside the live lane."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.clock import SystemClock
from agent.telemetry.access import BrokerParams
from agent.telemetry.broker import MqttLink
from agent.telemetry.history import HistoryLane, HistoryParams
from agent.telemetry.journal import Draft, Journal, Loss
from agent.telemetry.publication import Publication
from hil.broker import BrokerProcess
from hil.mosquitto import Mosquitto, executable

BASE = "uagv/v2/acme/R1"


def eventually(condition: Callable[[], bool], within_s: float = 15.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and not condition():
        time.sleep(0.01)
    return condition()


def draft(number: int, sequence: int) -> bytes:
    return b"%d %d" % (sequence, number)


def tell_loss(loss: Loss) -> Draft:
    return lambda sequence: b"%d lost %d" % (sequence, loss.count)


@contextmanager
def keeping(directory: Path, port: int, **params: object) -> Iterator[tuple[Journal, MqttLink]]:
    """A link whose history comes from a journal of its own."""
    values = {"sync_interval_s": 0.01, "most_per_s": 5000.0, "settle_s": 0.0} | params
    history = HistoryParams(journal=directory, **values)  # type: ignore[arg-type]
    journal = Journal(directory, history.limits, tell_loss, lambda: link.look_for_history())
    link = MqttLink(
        BrokerParams(host="127.0.0.1", port=port, longest_retry_s=1.0),
        BASE,
        {"order": 0},
        None,
        lambda message: None,
        SystemClock(),
        HistoryLane(journal, history),
    )
    threads = [threading.Thread(target=run) for run in (journal.run, link.run)]
    for thread in threads:
        thread.start()
    try:
        yield journal, link
    finally:
        link.close()
        journal.close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()


@contextmanager
def listening(port: int) -> Iterator[dict[str, list[bytes]]]:
    heard: dict[str, list[bytes]] = {"history": [], "state": []}
    ready = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda client, data, message: heard[message.topic.split("/")[-1]].append(
        bytes(message.payload)
    )
    client.on_connect = lambda client, *rest: client.subscribe(f"{BASE}/+", 1)
    client.on_subscribe = lambda *rest: ready.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert ready.wait(5)
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


def test_records_arrive_in_order_and_leave_the_journal(tmp_path: Path) -> None:
    with BrokerProcess() as broker, listening(broker.port) as heard:
        with keeping(tmp_path, broker.port, window=7) as (journal, link):
            for number in range(200):
                journal.append(partial(draft, number))
            link.publish([Publication("state", b"now")])
            assert eventually(lambda: journal.state.acknowledged == 200)
            assert eventually(lambda: len(heard["history"]) == 200)
        assert heard["history"] == [b"%d %d" % (n + 1, n) for n in range(200)]


@pytest.mark.skipif(executable() is None, reason="mosquitto is not installed")
def test_what_was_kept_while_the_broker_was_away_arrives_after(tmp_path: Path) -> None:
    clock = SystemClock()
    with Mosquitto(tmp_path, clock, persistent=False) as broker:
        with keeping(tmp_path / "journal", broker.port) as (journal, link):
            for number in range(300):
                journal.append(partial(draft, number))
            assert eventually(lambda: journal.state.durable == 300)
            assert journal.state.backlog == 300
            broker.start()
            assert eventually(lambda: journal.state.backlog == 0)
            broker.kill()
            assert eventually(lambda: link.state.connected_since_ns is None)
            for number in range(300, 400):
                journal.append(partial(draft, number))
            broker.start()
            with listening(broker.port) as heard:
                assert eventually(lambda: journal.state.acknowledged == 400)
                late = [int(payload.split()[0]) for payload in heard["history"]]
        assert late == sorted(late)
        assert set(late) <= set(range(301, 401))
    again = Journal(tmp_path / "journal", HistoryParams().limits, tell_loss)
    again.turn()
    assert again.state.backlog == 0
