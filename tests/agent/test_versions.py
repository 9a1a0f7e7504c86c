"""The whole agent in each version of VDA 5050: an order's bytes in, driven, states' bytes out."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent import config
from agent.clock import SimulatedClock
from agent.errors import ConfigError
from agent.main import build_agent, identity_of, load_places, published_topics, subscriptions
from agent.telemetry.publication import Message, Publication
from agent.vda5050 import topics
from agent.vda5050.connection import ConnectionReport
from tests.agent.room import TOML, Robot, write_robot
from tests.agent.vda5050.orders import encode, order
from tests.agent.vda5050.test_wire import SCHEMAS, assert_valid

SPOKEN = ["2.0.0", "2.1.0", "3.0.0"]
PLATFORM = '[vda5050]\nversion = "{version}"\n\n'


def settings(directory: Path, version: str, more: str = "") -> config.Config:
    text = PLATFORM.replace("{version}", version) + more + TOML
    return config.load(write_robot(directory, text), environment={})


@pytest.fixture(params=SPOKEN)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def robot(tmp_path: Path, version: str) -> Robot:
    loaded = settings(tmp_path, version)
    return Robot(build_agent(loaded, load_places(loaded))).start()


def order_of(version: str, **changes: Any) -> dict[str, Any]:
    """An order over 3 m as a master of the version writes it, edge by edge."""
    tree = order(3, spacing_m=1.5) | {"version": version} | changes
    for edge in tree["edges"]:
        if version == "3.0.0":
            del edge["startNodeId"], edge["endNodeId"]
            edge |= {"maximumSpeed": 0.6, "edgeDescriptor": "aisle"}
        else:
            edge |= {"maxSpeed": 0.6, "edgeDescription": "aisle"}
    for node in tree["nodes"]:
        deviation = {"a": 0.4, "b": 0.3, "theta": 0.0} if version == "3.0.0" else 0.3
        node["nodePosition"]["allowedDeviationXY"] = deviation
    return tree


def actions_of(version: str, *actions: tuple[str, str]) -> dict[str, Any]:
    header = {k: v for k, v in order(1).items() if k not in ("nodes", "edges")}
    listed = [{"actionType": t, "actionId": i, "blockingType": "NONE"} for t, i in actions]
    return header | {"version": version, "actions": listed}


def send(robot: Robot, topic: str, tree: dict[str, Any]) -> None:
    robot.tick(messages=(Message(topic, encode(tree), robot.now_ns),))


def published(robot: Robot, topic: str) -> list[dict[str, Any]]:
    sent = [p for outbox in robot.outboxes for p in outbox.publications if p.topic == topic]
    if SCHEMAS.is_dir():
        for publication in sent:
            assert_valid(json.loads(publication.payload)["version"], topic, publication.payload)
    return [json.loads(publication.payload) for publication in sent]


def position_of(message: dict[str, Any]) -> tuple[float, bool]:
    if message["version"] == "3.0.0":
        position = message["mobileRobotPosition"]
        return position["x"], position["localized"]
    position = message["agvPosition"]
    return position["x"], position["positionInitialized"]


def test_an_order_is_driven_and_told_of(robot: Robot, version: str) -> None:
    send(robot, "order", order_of(version))
    robot.run(2.0)
    assert 0.3 < robot.twist[0] <= 0.61  # the limit of the edges
    robot.run(8.0)
    states = published(robot, "state")
    assert {state["version"] for state in states} == {version}
    first, last = states[0], states[-1]
    assert first["orderId"] == ""
    assert (last["orderId"], last["lastNodeId"], last["nodeStates"]) == ("A", "n2", [])
    assert next(s["lastNodeId"] for s in states if s["orderId"]) == "n0"
    assert not last["driving"]
    x_m, localized = position_of(last)
    assert abs(x_m - 3.0) < 0.3
    assert localized
    assert last["errors"] == []
    digits = {len(state["timestamp"].partition(".")[2]) for state in states}
    assert digits == {4 if version == "3.0.0" else 3}  # with the Z
    headers = [state["headerId"] for state in states]
    assert headers == list(range(len(headers)))
    power = last["powerSupply" if version == "3.0.0" else "batteryState"]
    charge = power["stateOfCharge" if version == "3.0.0" else "batteryCharge"]
    assert 0 < charge <= 100
    assert ("maps" in last) == (version != "2.0.0")


def test_factsheet_and_visualization(robot: Robot, version: str) -> None:
    (sheet,) = published(robot, "factsheet")
    views = published(robot, "visualization")
    assert position_of(views[-1])[1]
    if version == "3.0.0":
        assert sheet["typeSpecification"]["mobileRobotKinematics"] == "DIFFERENTIAL"
        features = sheet["protocolFeatures"]
        assert "initializePosition" in {a["actionType"] for a in features["mobileRobotActions"]}
        names = {parameter["parameter"] for parameter in features["optionalParameters"]}
        assert "order.edges.maximumSpeed" in names
        state = published(robot, "state")[-1]
        assert views[-1]["referenceStateHeaderId"] == state["headerId"]
    else:
        assert sheet["typeSpecification"]["agvKinematic"] == "DIFF"
        assert "initPosition" in {a["actionType"] for a in sheet["protocolFeatures"]["agvActions"]}


def test_a_cancel_is_told_where_the_version_has_instant_actions(robot: Robot, version: str) -> None:
    send(robot, "order", order_of(version))
    robot.run(1.0)
    send(robot, "instantActions", actions_of(version, ("cancelOrder", "c1")))
    robot.run(3.0)
    state = published(robot, "state")[-1]
    own, other = ("instantActionStates", "actionStates")
    if version != "3.0.0":
        assert own not in state
        own, other = other, own
    assert [(a["actionId"], a["actionStatus"]) for a in state[own]] == [("c1", "FINISHED")]
    assert not [a for a in state.get(other, ()) if a["actionId"] == "c1"]
    assert state["nodeStates"] == []


REJECTIONS = (
    ("words", "validationError", "VALIDATION_FAILURE"),
    ("far", "noRouteError", "START_NODE_OUT_OF_RANGE"),
    ("map", "orderError", "UNKNOWN_MAP_ID"),
    ("lift", "orderError", "UNSUPPORTED_PARAMETER"),
    ("levitate", "orderError", "INVALID_ORDER_ACTION"),
    ("busy", "orderError", "OTHER_ORDER_ACTIVE"),
)


def spoiled(version: str, what: str) -> dict[str, Any]:
    tree = order_of(version, orderId=what)
    match what:
        case "words":
            tree["orderUpdateId"] = "1"
        case "far":
            tree["nodes"][0]["nodePosition"]["y"] = 2.0
        case "map":
            tree["nodes"][1]["nodePosition"]["mapId"] = "attic"
        case "lift":
            is_3 = version == "3.0.0"
            tree["edges"][0]["minimumLoadHandlingDeviceHeight" if is_3 else "minHeight"] = 1.0
        case "levitate":
            tree["nodes"][1]["actions"] = actions_of(version, ("levitate", "p1"))["actions"]
    return tree


def test_a_rejection_is_as_fine_as_the_version_knows(robot: Robot, version: str) -> None:
    is_3 = version == "3.0.0"
    for what, coarse, fine in REJECTIONS:
        if what == "busy":
            send(robot, "order", order_of(version))
        send(robot, "order", spoiled(version, what))
        robot.run(0.6)
        error = published(robot, "state")[-1]["errors"][-1]
        references = {r["referenceKey"]: r["referenceValue"] for r in error["errorReferences"]}
        assert references["orderId"] == what
        assert error["errorType"] == (fine if is_3 else coarse)
        is_critical = is_3 and fine == "UNSUPPORTED_PARAMETER"
        assert error["errorLevel"] == ("CRITICAL" if is_critical else "WARNING")
        assert ("errorHint" in error) == (version != "2.0.0")
        if what == "lift":
            name = "minimumLoadHandlingDeviceHeight" if is_3 else "minHeight"
            assert references["field"] == f"edge.{name}"
        if what == "words":
            assert references["field"] == "orderUpdateId"


def test_an_order_of_another_major_version_is_rejected_for_that(robot: Robot, version: str) -> None:
    other = "2.1.0" if version == "3.0.0" else "3.0.0"
    send(robot, "order", order_of(other))
    robot.run(1.0)
    (error,) = published(robot, "state")[-1]["errors"]
    references = {r["referenceKey"]: r["referenceValue"] for r in error["errorReferences"]}
    assert references["field"] == "version"


def test_presence_and_topics(tmp_path: Path, version: str) -> None:
    loaded = settings(tmp_path, version)
    identity = identity_of(loaded)
    is_3 = version == "3.0.0"
    assert topics.base(identity) == f"{'vda5050/v3' if is_3 else 'uagv/v2'}/acme/R1"
    own = {"order": 0, "instantActions": 0}
    assert subscriptions(loaded) == (own | {"responses": 0, "zoneSet": 0} if is_3 else own)
    report = ConnectionReport(identity, SimulatedClock(), published_topics(loaded))
    will, online = report.will(), report.online()
    assert (will.qos, will.retain) == (1, True)
    said = [json.loads(p.payload)["connectionState"] for p in (will, online)]
    assert said == ["CONNECTION_BROKEN" if is_3 else "CONNECTIONBROKEN", "ONLINE"]
    if SCHEMAS.is_dir():
        for publication in (will, online):
            assert_valid(version, "connection", publication.payload)


def test_what_the_configuration_says_of_version_and_topics(tmp_path: Path) -> None:
    more = (
        "minimum_state_interval_s = 0.2\n\n[vda5050.topics.state]\nqos = 1\nretain = true\n\n"
        "[vda5050.topics.order]\nqos = 1\n\n"
    )
    loaded = settings(tmp_path, "2.1.3", more)
    assert identity_of(loaded).version == "2.1.3"
    assert subscriptions(loaded) == {"order": 1, "instantActions": 0}
    agent = build_agent(loaded, load_places(loaded))
    sent: list[Publication] = [
        p for p in Robot(agent).tick().publications if p.topic in ("state", "factsheet")
    ]
    travel = {p.topic: (p.qos, p.retain) for p in sent}
    assert travel == {"state": (1, True), "factsheet": (0, True)}
    state = next(json.loads(p.payload) for p in sent if p.topic == "state")
    assert state["version"] == "2.1.3"
    sheet = next(json.loads(p.payload) for p in sent if p.topic == "factsheet")
    assert sheet["protocolLimits"]["timing"]["minStateInterval"] == 0.2
    prefixed = TOML.replace("[robot]\n", '[robot]\ntopic_prefix = "site/a"\n', 1)
    loaded = config.load(write_robot(tmp_path, prefixed), environment={})
    assert topics.base(identity_of(loaded)) == "site/a/acme/R1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('version = "1.1.0"', "version 1.1.0 is not spoken; known: 2.0.0, 2.1.0, 3.0.0"),
        ('version = "2.1"', "vda5050.version"),
        ("state_period_s = 31.0", "vda5050.state_period_s"),
        ("minimum_state_interval_s = 9.0\nstate_period_s = 5.0", "below minimum"),
        ("[vda5050.topics.responses]\nqos = 1", "there is no topic responses"),
        ("[vda5050.topics.order]\nretain = true", "the master publishes it"),
        ("[vda5050.topics.state]\nqos = 3", "vda5050.topics.state.qos"),
    ],
)
def test_what_the_configuration_refuses(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config.load(write_robot(tmp_path, f"[vda5050]\n{text}\n\n{TOML}"), environment={})
