"""Every message of every version: official schemas, round trips, and each difference by section."""

import json
import math
import os
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agent.errors import MessageInvalid
from agent.vda5050.messages import (
    Connection,
    Factsheet,
    Header,
    InstantActions,
    Order,
    Responses,
    State,
    Visualization,
    ZoneSetTransfer,
    decode,
)
from agent.vda5050.wire.difference import Absent, Difference, Renamed, Reshaped, Tree, Words
from agent.vda5050.wire.version import VERSIONS, Version, speaks, version_of
from tests.agent.vda5050.drawn import drawn, full
from tests.agent.vda5050.orders import encode, order

SHARED = Path(os.environ.get("HAULIER_SHARED", Path(__file__).parents[4] / "shared"))
SCHEMAS = SHARED / "vda5050"
OF_2X = (State, Visualization, Connection, Factsheet, Order, InstantActions)
OF_3 = (*OF_2X, Responses, ZoneSetTransfer)
SPOKEN = [
    pytest.param(model, version, id=f"{version.name}-{model.topic}")
    for version in VERSIONS
    for model in (OF_3 if version.name == "3.0.0" else OF_2X)
]
with_schemas = pytest.mark.skipif(not SCHEMAS.is_dir(), reason="the official schemas are not here")
few = settings(
    max_examples=6,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking a state takes minutes
    suppress_health_check=list(HealthCheck),
    deadline=None,
)


@cache
def schema(version: str, topic: str) -> dict[str, Any]:
    """2.0.0 is measured by 2.1.0's, which asks for nothing that 2.0.0 lacks."""
    folder = "2.1.0" if version == "2.0.0" else version
    tree: dict[str, Any] = json.loads((SCHEMAS / folder / f"{topic}.schema").read_text())
    if (folder, topic) == ("2.1.0", "state"):
        # The schema forgot PAUSED, which section 6.11 has; the document wins.
        states = tree["properties"]["actionStates"]["items"]["properties"]
        states["actionStatus"]["enum"].append("PAUSED")
    return tree


@cache
def validator(version: str, topic: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(
        schema(version, topic),
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )


def assert_valid(version: str, topic: str, payload: bytes) -> None:
    errors = validator(version, topic).iter_errors(json.loads(payload))
    assert [f"{error.json_path}: {error.message}"[:300] for error in errors] == []


@with_schemas
@pytest.mark.parametrize(("model", "version"), SPOKEN)
@few
@given(data=st.data())
def test_whatever_is_sent_is_valid_by_the_official_schema(
    model: type[Header], version: Version, data: st.DataObject
) -> None:
    message = data.draw(drawn(model, version=version.name))
    assert_valid(version.name, model.topic, message.encode())


@pytest.mark.parametrize(("model", "version"), SPOKEN)
@few
@given(data=st.data())
def test_what_was_sent_and_read_is_sent_the_same_again(
    model: type[Header], version: Version, data: st.DataObject
) -> None:
    sent = data.draw(drawn(model, version=version.name)).encode()
    assert b"null" not in sent
    read = decode(model, sent)
    assert json.loads(read.encode()) == json.loads(sent)


def _fields(
    node: dict[str, Any], defs: dict[str, Any], path: str, seen: tuple[str, ...] = ()
) -> Iterator[str]:
    if reference := node.get("$ref", "").rpartition("/")[2]:
        if reference in seen:
            return
        node, seen = defs[reference], (*seen, reference)
    for name, inner in node.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from _fields(inner, defs, f"{path}.{name}", seen)
    if isinstance(node.get("items"), dict):
        yield from _fields(node["items"], defs, path, seen)


def fields(version: str, topic: str) -> set[str]:
    """All fields of a message by the schema, such as ``order.nodes.nodePosition.x``."""
    tree = schema(version, topic)
    defs = tree.get("definitions", {}) | tree.get("$defs", {})
    return set(_fields(tree, defs, topic))


def theirs(version: Version, place: str, field: str) -> str:
    topic, *path = place.split(".")
    return ".".join(map(str, (topic, *version.spelled(topic, (*path, field)))))


# Of the schemas' fields the robot has nothing to tell in these; nothing of them is ever read.
NEVER_SENT = (
    "agvGeometry.wheelDefinitions",
    "agvGeometry.envelopes3d",
    "vehicleConfig.network",
    "mobileRobotGeometry.wheelDefinitions",
    "mobileRobotGeometry.envelopes3d",
    "mobileRobotConfiguration.network",
    "mobileRobotConfiguration.batteryCharging",
    "loadSpecification.loadSets",
    # The schema of 2.1.0 allows no value at all for it.
    "agvActions.blockingTypes",
    # The document, which wins, calls it maximumRotationSpeed.
    "edges.maxRotationSpeed",
)


@with_schemas
@pytest.mark.parametrize(("model", "version"), SPOKEN[len(OF_2X) :])
def test_every_field_of_the_schema_is_spoken(model: type[Header], version: Version) -> None:
    message = full(model, version=version.name)
    spoken = set(_paths(json.loads(message.encode()), model.topic))
    missing = fields(version.name, model.topic) - spoken
    left = [f for f in missing if not any(part in f for part in NEVER_SENT)]
    assert not left


def _paths(tree: Any, path: str) -> Iterator[str]:
    if isinstance(tree, list):
        for item in tree:
            yield from _paths(item, path)
    elif isinstance(tree, dict):
        for name, inner in tree.items():
            yield f"{path}.{name}"
            yield from _paths(inner, f"{path}.{name}")


def name_of(difference: Reshaped) -> str:
    names = (difference.outgoing.__name__, difference.incoming.__name__)
    return next(name for name in names if name != "unchanged")


DIFFERENCES = [
    pytest.param(version, difference, id=f"{version.name}-{difference.section}-{name}")
    for version in VERSIONS
    for difference in version.differences
    for name in [
        difference.ours
        if isinstance(difference, Renamed)
        else name_of(difference)
        if isinstance(difference, Reshaped)
        else difference.field
    ]
]
PLAIN = [param for param in DIFFERENCES if not isinstance(param.values[1], Reshaped)]


def _nested(path: list[str], node: Tree) -> Tree:
    """Put an object where a place is, every other level in an array."""
    for depth, name in enumerate(reversed(path)):
        node = {name: [node] if depth % 2 else node}
    return node


def _dig(tree: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        tree = tree[part] if isinstance(tree, dict) else tree[0][part]
    return tree


@pytest.mark.parametrize(("version", "difference"), PLAIN)
def test_each_difference_on_its_own(version: Version, difference: Difference) -> None:
    assert difference.section
    assert not isinstance(difference, Reshaped)
    alone = Version(version.name, "x", (), [difference])
    for place in difference.places:
        topic, *path = place.split(".")
        if isinstance(difference, Renamed):
            check_renamed(alone, topic, path, difference)
        elif isinstance(difference, Absent):
            check_absent(alone, topic, path, difference)
        else:
            check_words(alone, topic, path, difference)


def sent(version: Version, topic: str, path: list[str], node: Tree) -> Tree:
    tree = _nested(path, node)
    version.outgoing(topic, tree)
    return _dig(tree, tuple(path))[0] if _is_list(tree, path) else _dig(tree, tuple(path))


def read(version: Version, topic: str, path: list[str], node: Tree) -> Tree:
    tree = _nested(path, node)
    version.incoming(topic, tree)
    return _dig(tree, tuple(path))[0] if _is_list(tree, path) else _dig(tree, tuple(path))


def _is_list(tree: Tree, path: list[str]) -> bool:
    return bool(path) and isinstance(_dig(tree, tuple(path)), list)


def check_renamed(version: Version, topic: str, path: list[str], renamed: Renamed) -> None:
    assert sent(version, topic, path, {renamed.ours: 1, "x": 2}) == {renamed.theirs: 1, "x": 2}
    assert read(version, topic, path, {renamed.theirs: 1}) == {renamed.ours: 1}
    if renamed.ours != renamed.theirs:
        # The internal model's name means nothing to this version.
        assert read(version, topic, path, {renamed.ours: 1}) == {}
    assert version.spelled(topic, (*path, renamed.ours))[-1] == renamed.theirs


def check_absent(version: Version, topic: str, path: list[str], absent: Absent) -> None:
    assert sent(version, topic, path, {absent.field: 1, "x": 2}) == {"x": 2}
    assert read(version, topic, path, {absent.field: 1, "x": 2}) == {"x": 2}


def check_words(version: Version, topic: str, path: list[str], words: Words) -> None:
    for ours, theirs in words.theirs.items():
        assert sent(version, topic, path, {words.field: ours}) == {words.field: theirs}
        back = read(version, topic, path, {words.field: theirs})[words.field]
        assert words.theirs[back] == theirs
        assert read(version, topic, path, {words.field: [theirs]}) == {words.field: [back]}
    if words.closed:
        with pytest.raises(ValueError, match="'gibberish' is none of"):
            read(version, topic, path, {words.field: "gibberish"})
    else:
        assert read(version, topic, path, {words.field: "else"}) == {words.field: "else"}


# For each difference of shape: an object as the internal model has it, as the version sends it, and
# what the version's own reads as, None where it is read as it is.
SHAPES: dict[str, tuple[Tree, Tree, Tree | None]] = {
    "centiseconds": (
        {"timestamp": "2026-01-01T00:00:00.129Z"},
        {"timestamp": "2026-01-01T00:00:00.12Z"},
        None,
    ),
    "one_list_of_actions": (
        {"actionStates": [{"actionId": "a"}], "instantActionStates": [{"actionId": "b"}]},
        {"actionStates": [{"actionId": "a"}, {"actionId": "b"}]},
        None,
    ),
    "coarse_type": ({"errorType": "OTHER_ORDER_ACTIVE"}, {"errorType": "orderError"}, None),
    "without_zones": (
        {"actionScopes": ["NODE", "ZONE"]}, {"actionScopes": ["NODE"]}, None
    ),
    "hint_in_description": (
        {"errorDescription": "No scan.", "errorHint": "Look at the cable."},
        {"errorDescription": "No scan. Look at the cable."},
        None,
    ),
    "circle_to_ellipse": (
        {"allowedDeviationXY": 0.5},
        {"allowedDeviationEllipse": {"a": 0.5, "b": 0.5, "theta": 0.0}},
        {
            "allowedDeviationXY": 0.5,
            "allowedDeviationEllipse": {"a": 0.5, "b": 0.5, "theta": 0.0},
        },
    ),
    "rotation_to_be_finished_before": (
        {"rotationAllowed": False}, {"rotationAllowed": True}, {"rotationAllowed": False}
    ),
    "without_ends": (
        {
            "nodes": [{"nodeId": "n", "sequenceId": 0}, {"nodeId": "m", "sequenceId": 2}],
            "edges": [{"sequenceId": 1, "startNodeId": "n", "endNodeId": "m"}],
        },
        {
            "nodes": [{"nodeId": "n", "sequenceId": 0}, {"nodeId": "m", "sequenceId": 2}],
            "edges": [{"sequenceId": 1}],
        },
        {
            "nodes": [{"nodeId": "n", "sequenceId": 0}, {"nodeId": "m", "sequenceId": 2}],
            "edges": [{"sequenceId": 1, "startNodeId": "n", "endNodeId": "m"}],
        },
    ),
    "spelled_as_in_1_1": ({"actions": [1]}, {"actions": [1]}, None),
    "uniform_knots": (
        {"controlPoints": [1, 2, 3, 4]},
        {"controlPoints": [1, 2, 3, 4]},
        {
            "controlPoints": [1, 2, 3, 4],
            "degree": 1,
            "knotVector": [0.0, 0.0, 1 / 3, 2 / 3, 1.0, 1.0],
        },
    ),
    "only_none": ({"blockingType": "HARD"}, {"blockingType": "NONE"}, None),
    "predefined": (
        {"errorType": "localizationLost", "errorLevel": "FATAL"},
        {"errorType": "LOCALIZATION_ERROR", "errorLevel": "FATAL"},
        None,
    ),
    "names_of_parameters": (
        {"parameter": "order.edges.maxSpeed"}, {"parameter": "order.edges.maximumSpeed"}, None
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("version", "difference"), [p for p in DIFFERENCES if isinstance(p.values[1], Reshaped)]
)
def test_each_difference_of_shape(version: Version, difference: Reshaped) -> None:
    ours, sent_as, read_as = SHAPES[name_of(difference)]
    tree = json.loads(json.dumps(ours))
    difference.outgoing(tree)
    assert tree == sent_as
    difference.incoming(tree)
    assert tree == (sent_as if read_as is None else read_as)


@with_schemas
@pytest.mark.parametrize(
    ("version", "difference"), [p for p in PLAIN if p.values[0].name != "2.0.0"]
)
def test_the_official_schema_agrees(version: Version, difference: Difference) -> None:
    for place in difference.places:
        topic, _, path = place.partition(".")
        known = fields(version.name, topic)
        own = f"{place}.{difference.ours if isinstance(difference, Renamed) else difference.field}"  # type: ignore[union-attr]
        translated = theirs(version, place, own.rpartition(".")[2])
        if isinstance(difference, Absent):
            assert translated not in known or own.endswith("blockingTypes")
        elif topic != "zoneSet" and f"{topic}.{path}" in ("state.instantActionStates",):
            assert version.name == "3.0.0" or translated not in known
        elif topic != "zoneSet" and not own.endswith("maxRotationSpeed"):
            assert translated in known


# What arrives


def order_in(version: str) -> Tree:
    """An order over two nodes with every name that 3.0 changed."""
    tree = order(2) | {"version": version}
    node, edge = tree["nodes"][1], tree["edges"][0]
    if version.startswith("3"):
        del edge["startNodeId"], edge["endNodeId"]
        node["nodePosition"]["allowedDeviationXY"] = {"a": 0.8, "b": 0.4, "theta": 0.3}
        edge |= {"maximumSpeed": 0.7, "edgeDescriptor": "lane"}
        edge["corridor"] = {
            "leftWidth": 1.0,
            "rightWidth": 1,
            "corridorReferencePoint": "KINEMATIC_CENTER",
            "releaseRequired": True,
            "releaseLossBehavior": "RETURN",
        }
    else:
        node["nodePosition"]["allowedDeviationXY"] = 0.4
        edge |= {"maxSpeed": 0.7, "edgeDescription": "lane"}
        edge["corridor"] = {
            "leftWidth": 1.0,
            "rightWidth": 1,
            "corridorRefPoint": "KINEMATICCENTER",
        }
    return tree


@pytest.mark.parametrize("version", ["2.0.0", "2.1.0", "2.1.7", "3.0.0", "3.0.0-rc.1"])
def test_one_order_in_the_words_of_every_version(version: str) -> None:
    read = decode(Order, encode(order_in(version)))
    position, (edge,) = read.nodes[1].node_position, read.edges
    assert position is not None
    assert (position.allowed_deviation_xy, edge.max_speed) == (0.4, 0.7)
    assert (edge.start_node_id, edge.end_node_id) == ("n0", "n1")
    assert edge.edge_description == "lane"
    if version == "2.0.0":
        assert edge.corridor is None  # it came with 2.1
        return
    assert edge.corridor is not None
    assert edge.corridor.corridor_ref_point == "KINEMATICCENTER"
    is_3 = version.startswith("3")
    assert edge.corridor.release_required is (True if is_3 else None)
    assert (position.allowed_deviation_ellipse is not None) is is_3
    if position.allowed_deviation_ellipse is not None:
        holds = position.allowed_deviation_ellipse.holds
        assert holds(0.7 * 0.955, 0.7 * 0.295)
        assert not holds(-0.7 * 0.295, 0.7 * 0.955)
    assert read.encode() != b""
    assert decode(Order, read.encode()) == read


def spoiled(version: str, *path: str | int, value: Any) -> bytes:
    tree: Any = order_in(version)
    at = tree
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return encode(tree)


ACTION = {"actionType": "beep", "actionId": "a", "blockingType": "SINGLE"}


@pytest.mark.parametrize(
    ("version", "path", "value", "field"),
    [
        ("3.0.0", ("edges", 0, "maximumSpeed"), "fast", "edges[0].maximumSpeed"),
        ("2.1.0", ("edges", 0, "maxSpeed"), "fast", "edges[0].maxSpeed"),
        (
            "3.0.0",
            ("edges", 0, "corridor", "corridorReferencePoint"),
            "KINEMATICCENTER",
            "edges[0].corridor.corridorReferencePoint",
        ),
        (
            "2.1.0",
            ("edges", 0, "corridor", "corridorRefPoint"),
            "KINEMATIC_CENTER",
            "edges[0].corridor.corridorRefPoint",
        ),
        (
            "3.0.0",
            ("nodes", 1, "nodePosition", "allowedDeviationXY"),
            0.4,
            "nodes[1].nodePosition.allowedDeviationXY",
        ),
        (
            "3.0.0",
            ("nodes", 1, "nodePosition", "allowedDeviationXY", "b"),
            "0.4",
            "nodes[1].nodePosition.allowedDeviationXY.b",
        ),
        ("2.1.0", ("nodes", 0, "actions"), [ACTION], "nodes[0].actions[0].blockingType"),
        ("3.0.0", ("edges", 0, "reachOrientationBeforeEntering"), 1,
         "edges[0].reachOrientationBeforeEntering"),
        ("3.0.0", ("nodes", 0, "sequenceId"), 0.5, "nodes[0].sequenceId"),
        ("3.0.0", ("nodes",), "none", "nodes"),
        ("3.0.0", ("edges",), [1], "edges[0]"),
        ("3.0.0", ("orderUpdateId",), "0", "orderUpdateId"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_in_the_words_of_the_version(
    version: str, path: tuple[str | int, ...], value: Any, field: str
) -> None:
    with pytest.raises(MessageInvalid) as caught:
        decode(Order, spoiled(version, *path, value=value))
    assert caught.value.context["field"] == field
    assert field in caught.value.detail


@pytest.mark.parametrize("name", ["maximumRotationSpeed", "maxRotationSpeed"])
def test_document_and_schema_name_the_rotation_speed_differently(name: str) -> None:
    # 3.0, section 7.3
    read = decode(Order, spoiled("3.0.0", "edges", 0, name, value=0.25))
    assert read.edges[0].max_rotation_speed == 0.25
    assert json.loads(read.encode())["edges"][0]["maximumRotationSpeed"] == 0.25
    with pytest.raises(MessageInvalid, match=r"edges\[0\]\.maximumRotationSpeed"):
        decode(Order, spoiled("3.0.0", "edges", 0, name, value="slow"))


def test_an_ellipse_turned_by_half_is_the_same() -> None:  # 3.0, section 6.6.2.1
    ellipse = {"a": 0.8, "b": 0.4, "theta": 3.0}
    read = decode(
        Order, spoiled("3.0.0", "nodes", 1, "nodePosition", "allowedDeviationXY", value=ellipse)
    )
    sent = json.loads(read.encode())["nodes"][1]["nodePosition"]["allowedDeviationXY"]
    assert sent["theta"] == pytest.approx(3.0 - math.pi)


def test_single_is_a_blocking_type_of_3_0() -> None:  # 3.0, section 6.2.2
    read = decode(Order, spoiled("3.0.0", "nodes", 0, "actions", value=[ACTION]))
    assert read.nodes[0].actions[0].blocking_type == "SINGLE"


def test_names_of_another_version_are_unknown_fields_and_tolerated() -> None:
    tree = order_in("3.0.0")
    tree["edges"][0] |= {"maxSpeed": "not a number", "startNodeId": 7, "future": [None]}
    tree["zoneSetId"] = 3
    read = decode(Order, encode(tree))
    assert read.edges[0].max_speed == 0.7
    assert read.zone_set_id is None
    tree = order_in("2.1.0")
    tree["edges"][0] |= {"maximumSpeed": "not a number"}
    tree["edges"][0]["corridor"]["releaseRequired"] = "perhaps"
    assert decode(Order, encode(tree)).edges[0].max_speed == 0.7


@pytest.mark.parametrize("version", ["2.0.0", "2.1.0", "3.0.0"])
@pytest.mark.parametrize("key", ["actions", "instantActions"])
def test_both_spellings_of_instant_actions_in_every_version(version: str, key: str) -> None:
    name = "initializePosition" if version == "3.0.0" else "initPosition"
    action = {"actionType": name, "actionId": "1", "blockingType": "HARD"}
    header = {k: v for k, v in order(1).items() if k not in ("nodes", "edges")}
    read = decode(InstantActions, encode(header | {"version": version, key: [action]}))
    assert read.actions[0].action_type == "initPosition"
    sent = json.loads(read.encode())["actions"][0]
    assert sent["actionType"] == name
    assert sent["blockingType"] == ("NONE" if version == "3.0.0" else "HARD")


@pytest.mark.parametrize(("degree", "read"), [(3, 3), (3.0, 3)])
def test_a_degree_is_a_whole_number_however_it_is_written(degree: float, read: int) -> None:
    curve = {
        "degree": degree,
        "knotVector": [0.0] * 4 + [1.0] * 4,
        "controlPoints": [{"x": float(i), "y": 0.0} for i in range(4)],
    }
    trajectory = decode(Order, spoiled("2.1.0", "edges", 0, "trajectory", value=curve))
    assert trajectory.edges[0].trajectory is not None
    assert trajectory.edges[0].trajectory.degree == read
    assert b'"degree":3}' in trajectory.encode()


@given(st.integers(1, 4), st.integers(0, 5))
def test_left_out_knots_are_clamped_and_equally_spaced(degree: int, more: int) -> None:
    # 3.0, section 7.3
    points = [{"x": float(i), "y": 0.0} for i in range(degree + 1 + more)]
    curve = {"degree": degree, "controlPoints": points}
    read = decode(Order, spoiled("3.0.0", "edges", 0, "trajectory", value=curve))
    trajectory = read.edges[0].trajectory
    assert trajectory is not None
    knots = trajectory.knot_vector
    assert len(knots) == len(points) + degree + 1
    assert knots[: degree + 1] == [0.0] * (degree + 1)
    assert knots[-degree - 1 :] == [1.0] * (degree + 1)
    inner = knots[degree : len(points) + 1]
    steps = [after - before for before, after in pairwise(inner)]
    assert max(steps) - min(steps) < 1e-9


@pytest.mark.parametrize(
    ("stated", "read_as"),
    [("2.0.3", "2.0.0"), ("2.1.0", "2.1.0"), ("2.2.0", "2.1.0"), ("3.1.0", "3.0.0"),
     ("1.1.0", "2.0.0"), ("9.0", "3.0.0"), ("", "2.1.0"), ("two", "2.1.0")],
)  # fmt: skip
def test_a_message_is_read_in_the_nearest_known_version(stated: str, read_as: str) -> None:
    assert version_of(stated).name == read_as
    assert speaks(stated) == (stated in ("2.0.3", "2.1.0"))


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["nodes", "edges", "actions", "nodePosition", "allowedDeviationXY",
                         "sequenceId", "trajectory", "controlPoints", "blockingType", "corridor"]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
))  # fmt: skip
def test_no_json_raises_anything_else(tree: Any) -> None:
    for version in VERSIONS:
        whole = {"version": version.name} | tree if isinstance(tree, dict) else tree
        with pytest.raises(MessageInvalid):
            decode(Order, json.dumps(whole).encode())
