"""``haulier order`` against a robot on a real broker, in each version of VDA 5050."""

import argparse
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from agent import config
from agent.cli import order as cli
from agent.clock import SystemClock
from agent.errors import BrokerUnavailable, ConfigError, DaemonUnreachable, MapError
from agent.main import build_agent, identity_of, load_places, subscriptions
from agent.telemetry.broker import MqttLink
from agent.telemetry.publication import Message
from agent.vda5050 import topics
from agent.vda5050.connection import ConnectionReport
from hil.broker import BrokerProcess, free_port
from tests.agent.room import TOML, Robot, write_robot
from tests.agent.test_versions import PLATFORM, order_of
from tests.agent.vda5050.test_layout import lif

VERSIONS = ("2.0.0", "2.1.0", "3.0.0")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with BrokerProcess() as broker:
        yield broker.port


def robot_file(directory: Path, port: int, version: str, name: str) -> Path:
    text = PLATFORM.replace("{version}", version) + TOML
    text = text.replace('serial_number = "R1"', f'serial_number = "{name}"')
    return write_robot(directory, text.replace("port = 1\n", f"port = {port}\n"))


class Line:
    """A whole agent with simulated devices on the broker, as fast as its thread can."""

    def __init__(self, path: Path) -> None:
        settings, clock = config.load(path, environment={}), SystemClock()
        self.robot = Robot(build_agent(settings, load_places(settings))).start()
        self._arrived: list[Message] = []
        identity = identity_of(settings)
        self._link = MqttLink(
            settings.broker,
            topics.base(identity),
            subscriptions(settings),
            ConnectionReport(identity, clock),
            self._arrived.append,
            clock,
        )
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._link.run),
            threading.Thread(target=self._live),
        ]

    def __enter__(self) -> Robot:
        for thread in self._threads:
            thread.start()
        return self.robot

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._link.close()
        for thread in self._threads:
            thread.join()

    def _live(self) -> None:
        while not self._stopped.wait(0.004):
            messages = tuple(self._arrived[:])
            del self._arrived[: len(messages)]
            self._link.publish(self.robot.tick(messages=messages).publications)


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    cli.VERB.configure(parser)
    capsys.readouterr()
    status = cli.VERB.run(parser.parse_args([str(word) for word in words]))
    return status, capsys.readouterr().out.strip()


@pytest.mark.parametrize("version", VERSIONS)
def test_an_errand_in_every_version(
    tmp_path: Path, port: int, version: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = robot_file(tmp_path, port, version, f"V{version[0]}{version[2]}")
    with Line(path) as robot:
        end = ("--config", path, "--wait", 10)
        told = call(capsys, "send", "--id", "o1", "--via", "1.5,0,0", "--via", "3,0,0", *end)
        assert told == (0, "order o1 accepted: nodes left: 2")
        order_file = tmp_path / "order.json"
        tree = order_of(version, orderId="o2")
        for field in ("headerId", "timestamp", "version", "manufacturer", "serialNumber"):
            del tree[field]
        order_file.write_text(json.dumps(tree), encoding="utf-8")
        status, said = call(capsys, "send", order_file, *end)
        assert status == 1
        assert said.startswith("order o2 rejected: ")
        assert "order o1 is not finished" in said
        # The same again: a new rejection, not the old one still in the state.
        assert call(capsys, "send", order_file, *end)[0] == 1
        assert call(capsys, "cancel", *end) == (0, "cancelOrder finished")
        status, said = call(capsys, "cancel", "--json", *end)
        answer: dict[str, Any] = json.loads(said)
        assert (status, answer["about"], answer["answer"]) == (1, "cancelOrder", "failed")
        kind = "NO_ORDER_TO_CANCEL" if version == "3.0.0" else "noOrderToCancel"
        assert answer["reasons"][0].startswith(kind)
        assert robot.events("order.cancelled")


def test_to_named_nodes_of_a_layout(
    tmp_path: Path, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = robot_file(tmp_path, port, "3.0.0", "L1")
    layout = tmp_path / "plant.lif"
    nodes = {"dock": (0.1, 0.0), "aisle": (1.5, 0.0), "shelf": (3.0, 0.0)}
    layout.write_text(json.dumps(lif(nodes, [("dock", "aisle"), ("aisle", "shelf")])))
    with Line(path) as robot:
        end = ("--config", path, "--wait", 10)
        told = call(capsys, "send", "--to", "shelf", "--layout", layout, *end)
        assert told[0] == 0, told
        assert [n.node_id for n in robot.state.node_states][-2:] == ["aisle", "shelf"]
        with pytest.raises(MapError, match="no node attic"):
            call(capsys, "send", "--to", "attic", "--layout", layout, *end)
    assert call(capsys, "send", "--to", "shelf", "--config", path)[0] == 2


def test_a_robot_that_is_not_there_gives_no_answer(
    tmp_path: Path, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = robot_file(tmp_path, port, "2.1.0", "ghost")
    end = ("--config", path, "--wait", 0.3)
    assert call(capsys, "pause", *end) == (1, "startPause no answer")
    with pytest.raises(DaemonUnreachable, match="the robot does not answer"):
        call(capsys, "send", "--via", "1,0,0", *end)


def test_without_a_broker_it_says_so_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = robot_file(tmp_path, free_port(), "2.1.0", "R1")
    with pytest.raises(BrokerUnavailable, match="no broker listens"):
        call(capsys, "resume", "--config", path)
    with pytest.raises(ConfigError):
        call(capsys, "resume", "--config", tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"nodes": []}', "edges: Field required"),
        ('{"nodes": [{"nodeId": 1}], "edges": []}', "nodes[0].nodeId"),
        (None, "No such file"),
    ],
)
def test_a_file_that_holds_no_order(
    tmp_path: Path, port: int, text: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = robot_file(tmp_path, port, "2.1.0", "R1")
    order_file = tmp_path / "order.json"
    if text is not None:
        order_file.write_text(text, encoding="utf-8")
    parser = argparse.ArgumentParser()
    cli.VERB.configure(parser)
    assert cli.VERB.run(parser.parse_args(["send", str(order_file), "--config", str(path)])) == 65
    assert said in capsys.readouterr().err
