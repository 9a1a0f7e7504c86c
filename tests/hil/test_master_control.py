"""The bench's master control, in memory and over a broker, against the robot's own protocol."""

import json
import subprocess
import sys
import threading

import pytest

from agent.clock import SimulatedClock, SystemClock
from agent.errors import BrokerUnavailable, MessageInvalid, OrderRejected
from agent.telemetry.access import BrokerParams
from agent.telemetry.broker import MqttLink
from agent.telemetry.publication import Message, Publication
from agent.vda5050.connection import ConnectionReport
from agent.vda5050.identity import Identity
from agent.vda5050.instant_actions import InstantActionRunner
from agent.vda5050.messages import (
    EdgeRequest,
    EdgeRequestType,
    GrantType,
    RequestStatus,
    Responses,
    State,
    Vertex,
    Zone,
    ZoneSet,
    ZoneSetTransfer,
    ZoneType,
    decode,
)
from agent.vda5050.order_book import OrderBook
from agent.vda5050.state_report import StateReport
from agent.vda5050.topics import base
from hil.broker import BrokerProcess, free_port
from hil.master_control import MasterControl, MqttMaster, Station
from tests.agent.vda5050.acting import action
from tests.agent.vda5050.orders import IDENTITY, MAP, MAPS, situation
from tests.agent.vda5050.test_state_report import VEHICLE

ROUTE = [Station(float(i), 0.0, max_speed_mps=0.5) for i in range(6)]


class Robot:
    """Order book and state report of the agent, on wheels that reach one node per step."""

    def __init__(self, identity: Identity = IDENTITY) -> None:
        self.book = OrderBook(identity, MAPS)
        self.actions = InstantActionRunner(identity)
        self.report = StateReport(identity, VEHICLE)
        self.now_ns = 0
        self.x_m = 0.0
        self.nodes: list[str] = []

    def step(self, messages: list[tuple[str, bytes]]) -> tuple[Publication, ...]:
        self.now_ns += 600_000_000
        for topic, payload in messages:
            try:
                if topic == "order":
                    self.book.receive(payload, situation(self.x_m, now_ns=self.now_ns))
                    self.report.accept()
                else:
                    self.actions.receive(payload, self.book)
            except OrderRejected as rejection:
                self.report.reject(rejection)
        if self.book.waypoints:
            waypoint = self.book.waypoints[0]
            self.book.reach(waypoint.sequence_id)
            self.x_m = waypoint.x_m
            self.nodes.append(self.book.last_node_id)
        here = situation(self.x_m, now_ns=self.now_ns)
        self.actions.advance(here, self.book)
        return self.report.publications(here, self.book, self.actions)


def play(robot: Robot, master: MasterControl, sent: tuple[Publication, ...], steps: int) -> int:
    """Let both talk; returns the number of messages that the master sent."""
    count = 0
    for _ in range(steps):
        count += len(sent)
        published = robot.step([(p.topic, p.payload) for p in sent])
        sent = tuple(a for p in published for a in master.receive(p.topic, p.payload))
    return count


@pytest.fixture
def master() -> MasterControl:
    return MasterControl(IDENTITY, SimulatedClock())


def test_a_whole_order_is_driven(master: MasterControl) -> None:
    robot = Robot()
    seen: list[State] = []
    master = MasterControl(IDENTITY, SimulatedClock(), on_progress=seen.append)
    assert not master.finished
    assert play(robot, master, master.order(ROUTE, MAP), 10) == 1
    assert master.finished
    assert robot.nodes == ["n1", "n2", "n3", "n4", "n5"]
    assert [s.last_node_id for s in seen] == robot.nodes
    assert master.invalid == []
    assert master.factsheet is not None
    assert master.visualization is not None
    assert master.counts["state"] == len(seen)


@pytest.mark.parametrize("version", ["2.0.0", "2.1.0", "3.0.0"])
def test_an_order_in_every_version(version: str) -> None:
    identity = Identity("acme", "R1", version=version)
    robot, master = Robot(identity), MasterControl(identity, SimulatedClock())
    play(robot, master, master.order(ROUTE, MAP, window=2), 20)
    assert master.finished
    assert master.invalid == []
    assert robot.book.order_update_id > 0
    pose = {"x": 1.0, "y": 0.0, "theta": 0.0, "mapId": MAP, "lastNodeId": "n1"}
    (sent,) = master.instant_action("initPosition", pose)
    name = "initializePosition" if version == "3.0.0" else "initPosition"
    assert json.loads(sent.payload)["actions"][0]["actionType"] == name
    play(robot, master, (sent,), 2)
    (request,) = robot.actions.take_pose_requests()
    assert request.map_id == MAP
    state = master.action_state(master.action_id)
    assert state is not None
    assert (state.action_type, state.action_status) == ("initPosition", "INITIALIZING")
    assert master.action_state("unheard of") is None
    play(robot, master, master.order([Station(9.0, 9.0), Station(1.0, 0.0)], MAP), 2)
    assert master.rejections == (
        "START_NODE_OUT_OF_RANGE" if version == "3.0.0" else "noRouteError",
    )


def state_with(master: MasterControl, *requests: EdgeRequest) -> list[Responses]:
    """Bring the master a state with requests, and return what it answers."""
    identity = Identity("acme", "R1", version="3.0.0")
    robot = Robot(identity)
    payload = next(p.payload for p in robot.step([]) if p.topic == "state")
    state = decode(State, payload).model_copy(update={"edge_requests": list(requests)})
    answers = master.receive("state", state.encode())
    return [decode(Responses, a.payload) for a in answers if a.topic == "responses"]


def test_requests_are_answered_once_and_anew_when_the_answer_changes() -> None:
    # 3.0, section 6.9
    master = MasterControl(Identity("acme", "R1", version="3.0.0"), SimulatedClock())
    asked = EdgeRequest(
        request_id="r1",
        request_type=EdgeRequestType.CORRIDOR,
        edge_id="e",
        sequence_id=1,
        request_status=RequestStatus.REQUESTED,
    )
    granted = asked.model_copy(update={"request_status": RequestStatus.GRANTED})
    (answer,) = state_with(master, asked)
    assert [(r.request_id, r.grant_type) for r in answer.responses] == [("r1", "GRANTED")]
    assert state_with(master, asked) == state_with(master, granted) == []
    master.grant = None
    assert state_with(master, granted) == []
    master.grant = GrantType.REVOKED
    (answer,) = state_with(master, granted)
    assert answer.responses[0].grant_type == "REVOKED"
    assert (
        state_with(master, granted.model_copy(update={"request_status": RequestStatus.REVOKED}))
        == []
    )
    assert state_with(master) == []
    master.grant = GrantType.GRANTED
    assert len(state_with(master, asked)) == 1  # its id may be used again


def test_a_zone_set_is_sent_as_3_0_says() -> None:
    master = MasterControl(Identity("acme", "R1", version="3.0.0"), SimulatedClock())
    corners = [Vertex(x=0.0, y=0.0), Vertex(x=1.0, y=0.0), Vertex(x=1.0, y=1.0)]
    zone = Zone(zone_id="z", zone_type=ZoneType.SPEED_LIMIT, vertices=corners, maximum_speed=0.3)
    (sent,) = master.zone_set(ZoneSet(map_id=MAP, zone_set_id="s", zones=[zone]))
    assert (sent.topic, sent.qos, sent.retain) == ("zoneSet", 0, False)
    assert decode(ZoneSetTransfer, sent.payload).zone_set.zones == [zone]
    spoiled = json.loads(sent.payload)
    del spoiled["zoneSet"]["zones"][0]["maximumSpeed"]
    with pytest.raises(MessageInvalid, match="SPEED_LIMIT needs maximumSpeed"):
        decode(ZoneSetTransfer, json.dumps(spoiled).encode())


@pytest.mark.parametrize("window", [1, 2, 4])
def test_the_horizon_is_released_as_the_robot_advances(master: MasterControl, window: int) -> None:
    robot = Robot()
    (first,) = master.order(ROUTE, MAP, window=window)
    released = [n["released"] for n in json.loads(first.payload)["nodes"]]
    assert released == [True] * (1 + window) + [False] * (5 - window)
    assert play(robot, master, (first,), 20) > 1
    assert master.finished
    assert robot.nodes == ["n1", "n2", "n3", "n4", "n5"]
    assert robot.book.order_update_id > 0
    assert master.rejections == ()


def test_the_horizon_is_released_in_pieces(master: MasterControl) -> None:
    robot = Robot()
    play(robot, master, master.order(ROUTE, MAP, window=1, piece=2), 20)
    assert master.finished
    assert robot.nodes == ["n1", "n2", "n3", "n4", "n5"]
    assert robot.book.order_update_id == 2


def test_actions_are_on_the_nodes_and_edges_that_they_are_for(master: MasterControl) -> None:
    work = {2: [action("a")], 3: [action("b")]}
    (sent,) = master.order(ROUTE, MAP, actions=work)
    tree = json.loads(sent.payload)
    found = {
        place["sequenceId"]: [a["actionId"] for a in place["actions"]]
        for place in (*tree["nodes"], *tree["edges"])
        if place["actions"]
    }
    assert found == {2: ["a"], 3: ["b"]}


def test_repeated_messages_change_nothing(master: MasterControl) -> None:
    robot = Robot()
    play(robot, master, master.order(ROUTE, MAP, window=2), 2)
    before = robot.book.order_update_id
    play(robot, master, master.repeat() + master.repeat(), 20)
    assert robot.book.order_update_id >= before
    assert master.finished
    assert robot.nodes == ["n1", "n2", "n3", "n4", "n5"]


def test_a_rejection_is_seen(master: MasterControl) -> None:
    robot = Robot()
    far = [Station(50.0, 0.0), Station(51.0, 0.0)]
    play(robot, master, master.order(far, MAP), 3)
    assert master.rejections == ("noRouteError",)
    play(robot, master, master.order(ROUTE, "attic"), 3)
    assert master.rejections == ("orderError",)
    play(robot, master, master.order(ROUTE, MAP), 10)
    assert master.rejections == ()
    assert master.finished


def test_cancelling(master: MasterControl) -> None:
    robot = Robot()
    play(robot, master, master.order(ROUTE, MAP), 2)
    play(robot, master, master.instant_action("cancelOrder"), 5)
    assert robot.nodes == ["n1", "n2"]
    assert not master.finished
    assert master.state is not None
    assert master.state.node_states == []
    assert master.state.action_states[0].action_status == "FINISHED"


def test_what_breaks_the_standard_is_kept(master: MasterControl) -> None:
    assert master.receive("state", b'{"orderId": 1}') == ()
    assert master.receive("connection", b"") == ()
    assert len(master.invalid) == 2
    assert master.state is None
    assert not master.online


def test_over_a_broker() -> None:
    clock = SystemClock()
    messages: list[Message] = []
    robot = Robot()
    with BrokerProcess() as broker:
        link = MqttLink(
            BrokerParams(host="127.0.0.1", port=broker.port),
            base(IDENTITY),
            {"order": 0, "instantActions": 0},
            ConnectionReport(IDENTITY, clock),
            messages.append,
            clock,
        )
        stopped = threading.Event()

        def drive() -> None:
            while not stopped.wait(0.02):
                if link.state.connected_since_ns is None:
                    continue
                arrived = [messages.pop(0) for _ in range(len(messages))]
                link.publish(robot.step([(m.topic, m.payload) for m in arrived]))

        threads = [threading.Thread(target=link.run), threading.Thread(target=drive)]
        core = MasterControl(IDENTITY, clock)
        with MqttMaster(core, IDENTITY, "127.0.0.1", broker.port) as master:
            for thread in threads:
                thread.start()
            try:
                assert master.wait_for(lambda core: core.online, 10.0)
                master.order(ROUTE, MAP, window=2)
                assert master.wait_for(lambda core: core.finished, 10.0)
                master.instant_action("factsheetRequest")
                assert master.wait_for(lambda core: core.counts["factsheet"] >= 2, 10.0)
            finally:
                stopped.set()
                link.close()
                for thread in threads:
                    thread.join(5)
            assert master.wait_for(lambda core: not core.online, 5.0)
        assert core.invalid == []
        assert robot.nodes == ["n1", "n2", "n3", "n4", "n5"]


def test_without_a_broker_the_master_says_so() -> None:
    core = MasterControl(IDENTITY, SimulatedClock())
    with (
        pytest.raises(BrokerUnavailable),
        MqttMaster(core, IDENTITY, "127.0.0.1", free_port()),
    ):
        pass


def test_a_taken_port_is_reported() -> None:
    with BrokerProcess() as broker:
        with pytest.raises(BrokerUnavailable, match=str(broker.port)):
            BrokerProcess(broker.port).start()
        again = subprocess.run(
            [sys.executable, "-m", "hil.broker", "--port", str(broker.port)],
            capture_output=True,
            timeout=20,
            check=False,
        )
    assert again.returncode == 69
    assert b"Traceback" not in again.stderr
