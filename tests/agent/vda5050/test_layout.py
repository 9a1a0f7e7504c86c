"""Layouts in the Layout Interchange Format."""

import itertools
import json
import math
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import MapError
from agent.vda5050.layout import Layout, LayoutEdge, LayoutNode, LayoutPosition, load_layout

SHARED = Path(os.environ.get("HAULIER_SHARED", Path(__file__).parents[4] / "shared"))
SCHEMA = SHARED / "vda5050" / "lif" / "LIF.schema"


def lif(
    nodes: dict[str, tuple[float, float]], edges: list[tuple[str, str]], map_id: str = "hall"
) -> dict[str, Any]:
    return {
        "metaInformation": {
            "projectIdentification": "test",
            "creator": "test",
            "exportTimestamp": "2026-01-01T00:00:00.00Z",
            "lifVersion": "1.0.0",
        },
        "layouts": [
            {
                "layoutId": "l",
                "layoutVersion": "1",
                "nodes": [
                    {
                        "nodeId": name,
                        "mapId": map_id,
                        "nodePosition": {"x": x, "y": y},
                        "vehicleTypeNodeProperties": [{"vehicleTypeId": "v", "theta": 1.5}],
                    }
                    for name, (x, y) in nodes.items()
                ],
                "edges": [
                    {
                        "edgeId": f"{start}-{end}",
                        "startNodeId": start,
                        "endNodeId": end,
                        "vehicleTypeEdgeProperties": [
                            {
                                "vehicleTypeId": "v",
                                "vehicleOrientation": 0.0,
                                "orientationType": "TANGENTIAL",
                                "rotationAllowed": True,
                                "maxSpeed": 0.5,
                            }
                        ],
                    }
                    for start, end in edges
                ],
                "stations": [],
            }
        ],
    }


SQUARE = lif(
    {"a": (0.0, 0.0), "b": (4.0, 0.0), "c": (4.0, 3.0), "d": (0.0, 3.0), "lone": (9.0, 9.0)},
    [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("a", "c")],
)


def written(directory: Path, tree: Any) -> Path:
    path = directory / "plant.lif"
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


@pytest.mark.skipif(not SCHEMA.is_file(), reason="the official schema is not here")
def test_the_layouts_of_these_tests_are_valid() -> None:
    jsonschema.validate(SQUARE, json.loads(SCHEMA.read_text()))


def test_the_shortest_way_along_the_edges(tmp_path: Path) -> None:
    layout = load_layout(written(tmp_path, SQUARE))
    assert layout.nearest(0.4, 0.3, "hall") == "a"
    way = layout.way("a", ["d"])
    assert [(s.node_id, s.x_m, s.y_m) for s in way] == [
        ("a", 0.0, 0.0), ("c", 4.0, 3.0), ("d", 0.0, 3.0)
    ]  # fmt: skip
    assert [s.yaw_rad for s in way] == [None, None, 1.5]
    assert [s.max_speed_mps for s in way] == [None, 0.5, 0.5]
    assert [s.node_id for s in layout.way("a", ["b", "a"])] == ["a", "b", "c", "d", "a"]
    assert [s.node_id for s in layout.way("a", ["a"])] == ["a"]


@pytest.mark.parametrize(
    ("goals", "said"), [(["x"], "no node x"), (["lone"], "no way from node a to node lone")]
)
def test_where_there_is_no_way(tmp_path: Path, goals: list[str], said: str) -> None:
    layout = load_layout(written(tmp_path, SQUARE))
    with pytest.raises(MapError, match=said):
        layout.way("a", goals)
    with pytest.raises(MapError, match="no node on map cellar"):
        layout.nearest(0.0, 0.0, "cellar")


@pytest.mark.parametrize("tree", [[], {}, {"layouts": []}, {"layouts": [{"nodes": [1]}]}])
def test_a_file_that_is_none(tmp_path: Path, tree: Any) -> None:
    with pytest.raises(MapError, match="not a LIF layout"):
        load_layout(written(tmp_path, tree))
    with pytest.raises(MapError, match="No such file"):
        load_layout(tmp_path / "missing")


NAMES = "abcde"


@given(
    st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=5, max_size=5),
    st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=12),
)
def test_no_way_is_shorter(places: list[tuple[float, float]], pairs: set[tuple[str, str]]) -> None:
    at = dict(zip(NAMES, places, strict=True))
    layout = Layout(
        [LayoutNode(nodeId=n, nodePosition=LayoutPosition(x=x, y=y)) for n, (x, y) in at.items()],
        [LayoutEdge(edgeId=f"{s}{e}", startNodeId=s, endNodeId=e) for s, e in pairs],
    )
    ways = [
        ("a", *between, "e")
        for count in range(4)
        for between in itertools.permutations("bcd", count)
    ]
    lengths = [
        sum(math.dist(at[s], at[e]) for s, e in itertools.pairwise(way))
        for way in ways
        if all(step in pairs for step in itertools.pairwise(way))
    ]
    if not lengths:
        with pytest.raises(MapError):
            layout.way("a", ["e"])
        return
    found = [(s.x_m, s.y_m) for s in layout.way("a", ["e"])]
    assert sum(math.dist(s, e) for s, e in itertools.pairwise(found)) <= min(lengths) + 1e-9
