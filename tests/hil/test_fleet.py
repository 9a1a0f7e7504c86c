"""Many robots at once: the light robot, and the bench around it."""

import json
from collections import Counter
from pathlib import Path

import pytest

from agent.clock import SimulatedClock, SystemClock
from agent.errors import BrokerUnavailable
from agent.telemetry.access import BrokerParams
from agent.telemetry.publication import Publication
from agent.vda5050.messages import State, Visualization, decode
from hil.errors import BenchError
from hil.fleet import bench, nats
from hil.fleet.bench import FleetSpec
from hil.fleet.robot import LightRobot, identity_of, number_of
from hil.fleet.stamps import Stamps
from hil.mosquitto import executable

SECOND_NS = 1_000_000_000

needs_mosquitto = pytest.mark.skipif(executable() is None, reason="mosquitto is not installed")
needs_nats = pytest.mark.skipif(nats.executable() is None, reason="nats-server is not installed")


@pytest.fixture
def stamps(tmp_path: Path) -> Stamps:
    Stamps.create(tmp_path / "stamps", 8)
    return Stamps(tmp_path / "stamps")


@pytest.mark.parametrize("visualization_hz", [1, 2, 10])
def test_a_light_robot_speaks_at_its_rates(
    stamps: Stamps, monkeypatch: pytest.MonkeyPatch, visualization_hz: int
) -> None:
    clock = SimulatedClock()
    robot = LightRobot(5, BrokerParams(), clock, stamps, visualization_hz)
    said: list[Publication] = []
    monkeypatch.setattr(robot.link, "publish", said.extend)
    for tick in range(100):
        robot.tick(tick * SECOND_NS // 10, clock.utc_ns())
    counts = Counter(message.topic for message in said)
    assert counts == {"factsheet": 1, "state": 10, "visualization": 10 * visualization_hz}
    states = [decode(State, m.payload) for m in said if m.topic == "state"]
    assert [state.header_id for state in states] == list(range(10))
    assert {state.serial_number for state in states} == {"robot-0005"}
    places = [decode(Visualization, m.payload) for m in said if m.topic == "visualization"]
    assert len({(p.agv_position.x, p.agv_position.y) for p in places if p.agv_position}) > 5
    # Header 9 is that of the state of second 9.
    assert stamps.age_ns(5, 0, 9, 10 * SECOND_NS) == SECOND_NS
    robot.link.close()
    robot.link.run()


def test_stamps_are_shared_between_processes(stamps: Stamps, tmp_path: Path) -> None:
    stamps.note(7, 1, 300, 1000)
    assert Stamps(tmp_path / "stamps").age_ns(7, 1, 300, 1500) == 500
    assert Stamps(tmp_path / "stamps").age_ns(7, 0, 300, 1500) == 1500


def test_the_number_is_in_the_name() -> None:
    assert [number_of(identity_of(n).serial_number) for n in (0, 42, 9999)] == [0, 42, 9999]


def test_the_robots_are_dealt_out_without_a_rest(tmp_path: Path) -> None:
    spec = FleetSpec(robots=10, seconds=1.0, processes=3)
    shares = bench._shares(spec, ("h:1",), tmp_path)
    assert [(share.first, share.robots) for share in shares] == [(0, 3), (3, 3), (6, 4)]


def test_a_broker_of_somebody_else_is_not_killed(tmp_path: Path) -> None:
    with (
        bench.Brokers(("127.0.0.1:1",), tmp_path, SystemClock()) as brokers,
        pytest.raises(BenchError),
    ):
        brokers.kill_one()


def test_a_missing_server_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats, "executable", lambda: None)
    with pytest.raises(BrokerUnavailable), nats.NatsCluster(tmp_path, SystemClock()):
        pass


@needs_mosquitto
@pytest.mark.slow
def test_a_small_fleet_loses_nothing(tmp_path: Path) -> None:
    spec = FleetSpec(robots=10, seconds=3.0, processes=2, history=True)
    result = bench.run(spec, tmp_path, SystemClock())
    print(result)
    assert (result.lost, result.skipped, result.still_down) == (0, 0, 0)
    assert result.received_per_s == pytest.approx(120.0, rel=0.15)
    assert result.history_made > 30
    assert (result.history_lost, result.history_again) == (0, 0)
    assert result.latency_ms["state"][0] < 100.0
    assert result.listener_connects == 1


@needs_nats
@pytest.mark.slow
def test_a_killed_node_takes_nothing_of_the_history_with_it(tmp_path: Path) -> None:
    spec = FleetSpec(
        robots=12, seconds=20.0, processes=2, brokers=("nats",), history=True, kill_at_s=3.0
    )
    result = bench.run(spec, tmp_path, SystemClock())
    print(json.dumps(result.down_s))
    assert result.downs >= 1, "nobody was at the node"
    assert result.still_down == 0
    assert result.history_made > 12 * 20
    assert result.history_lost == 0
