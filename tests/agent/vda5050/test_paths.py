"""Planned and intermediate paths (3.0, sections 6.8 and 7.8)."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from agent.geometry.pose import Pose2
from agent.vda5050.messages import State, decode
from agent.vda5050.paths import intermediate_path, planned_path
from tests.agent.room import TOML, Robot, agent_in
from tests.agent.vda5050.orders import order
from tests.agent.vda5050.test_wire import SCHEMAS, assert_valid

UTC_NS = 1_767_225_600_000_000_000


def test_a_way_is_told_by_its_corners_and_nodes() -> None:
    line = np.array([(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (2.0, 3.0)])
    path = planned_path(line, ["a", "b"])
    assert path is not None
    assert [(p.x, p.y) for p in path.trajectory.control_points] == [(0, 0), (2, 0), (2, 3)]
    assert path.traversed_nodes == ["a", "b"]
    assert planned_path(line[:1], []) is None
    assert planned_path(np.empty((0, 2)), []) is None


def test_the_near_way_has_times_that_go_with_the_speed() -> None:
    line = np.array([(0.0, 0.0), (2.5, 0.0), (2.5, 9.0)])
    path = intermediate_path(Pose2(0.0, 0.0, 0.2), line, 0.5, UTC_NS)
    assert path is not None
    first, *_, last = path.polyline
    assert (first.x, first.y, first.theta, first.eta) == (0.0, 0.0, 0.2, "2026-01-01T00:00:00.000Z")
    assert (last.x, last.y) == (2.5, 3.5)
    assert last.theta == pytest.approx(math.pi / 2, abs=1e-3)
    assert last.eta == "2026-01-01T00:00:12.000Z"
    stands = intermediate_path(Pose2(0.0, 0.0, 0.2), line, 0.0, UTC_NS)
    assert stands is not None
    assert stands.polyline[-1].eta == "2026-01-01T00:00:20.000Z"


@pytest.mark.parametrize("version", ["2.1.0", "3.0.0"])
def test_a_driving_robot_shares_its_way(tmp_path: Path, version: str) -> None:
    robot = Robot(agent_in(tmp_path, TOML + f'\n[vda5050]\nversion = "{version}"\n')).start()
    tree = order(3, spacing_m=3.0)
    changes = {"nodes": tree["nodes"], "edges": tree["edges"], "version": version}
    robot.tick(messages=(robot.order(**changes),))
    robot.run(2.5)
    sent = [
        (publication.topic, publication.payload)
        for outbox in robot.outboxes
        for publication in outbox.publications
    ]
    newest = dict(sent)
    for topic in ("state", "visualization"):
        if SCHEMAS.is_dir() and version != "2.0.0":
            assert_valid(version, topic, newest[topic])
        assert ("plannedPath" in json.loads(newest[topic])) == (version == "3.0.0")
    if version == "3.0.0":
        path = decode(State, newest["state"]).planned_path
        assert path is not None
        assert path.traversed_nodes in (["n1", "n2"], ["n2"])
        assert path.trajectory.control_points[-1].x == 6.0
