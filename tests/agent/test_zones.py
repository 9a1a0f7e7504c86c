"""Zone sets through the whole agent (3.0, sections 6.4.1 to 6.4.5, 6.9, 7.5 and 7.6)."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.telemetry.publication import Message
from agent.vda5050.messages import RequestStatus, ZoneRequest
from tests.agent.room import TOML, Robot, agent_in, write_robot
from tests.agent.test_map_actions import STORAGE, Stocked
from tests.agent.vda5050.orders import encode, order
from tests.agent.vda5050.storage.archives import served

HEADER = {
    "headerId": 1,
    "timestamp": "2026-01-01T00:00:00.000Z",
    "version": "3.0.0",
    "manufacturer": "acme",
    "serialNumber": "R1",
}


def box(left: float, bottom: float, right: float, top: float) -> list[dict[str, float]]:
    corners = ((left, bottom), (right, bottom), (right, top), (left, top))
    return [{"x": x, "y": y} for x, y in corners]


def zone(kind: str, *area: float, **parameters: Any) -> dict[str, Any]:
    return {"zoneId": "z", "zoneType": kind, "vertices": box(*area)} | parameters


def zone_set(*zones: dict[str, Any], name: str = "night") -> dict[str, Any]:
    return {"mapId": "hall", "zoneSetId": name, "zones": list(zones)}


ACROSS = (3.0, -3.0, 4.5, 3.0)  # the room from wall to wall, on the way from the origin along x
ON_THE_WAY = (3.0, -0.6, 4.0, 0.6)


class Zoned(Stocked):
    """A robot that is sent zones."""

    def send(self, topic: str, tree: dict[str, Any]) -> None:
        self.tick(messages=(Message(topic, encode(HEADER | tree), self.now_ns),))

    def obey(self, *zones: dict[str, Any], name: str = "night") -> "Zoned":
        self.send("zoneSet", {"zoneSet": zone_set(*zones, name=name)})
        assert self.ask("enableZoneSet", zoneSetId=name).action_status == "FINISHED"
        return self

    def go(self, *xs: float, **edge: Any) -> None:
        tree = order(len(xs) + 1)
        for node, x in zip(tree["nodes"], (0.0, *xs), strict=True):
            node["nodePosition"]["x"] = x
        for each in tree["edges"]:
            each |= edge
        self.tick(messages=(self.order(nodes=tree["nodes"], edges=tree["edges"]),))

    def answer(self, grant: str, lease_s: float | None = None, number: int = -1) -> None:
        response = {"requestId": self.requests[number].request_id, "grantType": grant}
        if lease_s is not None:
            seconds = self.now_ns * 1e-9 + lease_s
            response["leaseExpiry"] = (
                f"2026-01-01T00:{int(seconds // 60):02d}:{seconds % 60:06.3f}Z"
            )
        self.send("responses", {"responses": [response]})

    @property
    def requests(self) -> list[ZoneRequest]:
        return list(self.state.zone_requests or ())

    @property
    def statuses(self) -> list[RequestStatus]:
        return [request.request_status for request in self.requests]

    @property
    def error_types(self) -> list[str]:
        return [error.error_type for error in self.state.errors]

    @property
    def front_m(self) -> float:
        return self.pose.x_m + 0.45

    @property
    def node(self) -> str:
        return self.state.last_node_id


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    directory = tmp_path_factory.mktemp("zones")
    content = encode(zone_set(zone("BLOCKED", *ACROSS)))
    (directory / "night.json").write_bytes(content)
    (directory / "penalty.json").write_bytes(
        encode(zone_set(zone("PENALTY", *ACROSS, penaltyFactor=0.5)))
    )
    (directory / "broken.json").write_bytes(b"{")
    with served(directory) as url:
        yield url, directory


@pytest.fixture
def path(tmp_path: Path, server: tuple[str, Path]) -> Path:
    text = TOML + STORAGE.replace("{url}", server[0])
    return write_robot(tmp_path, text + '\n[vda5050]\nversion = "3.0.0"\n')


@pytest.fixture
def robot(path: Path) -> Zoned:
    robot = Zoned(path)
    robot.start()
    return robot


def sets(robot: Zoned) -> list[tuple[str, str]]:
    return [(s.zone_set_id, str(s.zone_set_status)) for s in robot.state.zone_sets or ()]


def test_zone_sets_are_kept_enabled_and_deleted_6_4_2(path: Path, robot: Zoned) -> None:
    robot.send("zoneSet", {"zoneSet": zone_set(zone("BLOCKED", *ACROSS))})
    robot.run(0.6)
    assert sets(robot) == [("night", "DISABLED")]
    robot.obey(name="day")
    assert sets(robot) == [("night", "DISABLED"), ("day", "ENABLED")]
    held = robot.ask("deleteZoneSet", zoneSetId="day")
    assert (held.action_status, "holds" in (held.result_description or "")) == ("FAILED", True)
    robot.ask("enableZoneSet", zoneSetId="night")
    assert sets(robot) == [("night", "ENABLED"), ("day", "DISABLED")]
    assert robot.ask("deleteZoneSet", zoneSetId="day").action_status == "FINISHED"
    again = Zoned(path)
    again.run(0.1)
    assert sets(again) == [("night", "ENABLED")]
    assert robot.ask("deleteZoneSet", zoneSetId="day").action_status == "FAILED"


def test_a_zone_set_comes_once_6_4_2(robot: Zoned) -> None:
    for _ in range(2):
        robot.send("zoneSet", {"zoneSet": zone_set(zone("BLOCKED", *ACROSS))})
    robot.run(0.6)
    assert robot.error_types == ["DUPLICATE_ZONE_SET"]
    assert sets(robot) == [("night", "DISABLED")]


@pytest.mark.parametrize(
    "bad",
    [
        zone("PENALTY", *ACROSS, penaltyFactor=1.0),
        zone("ACTION", *ACROSS, entryActions=[], duringActions=[], exitActions=[]),
        zone("BLOCKED", *ACROSS) | {"vertices": box(*ACROSS)[:2]},
        zone("BLOCKED", *ACROSS) | {"vertices": [box(*ACROSS)[i] for i in (0, 2, 1, 3)]},
        zone("SPEED_LIMIT", *ACROSS),
        zone("QUIET", *ACROSS),
    ],
)
def test_what_the_robot_cannot_obey_is_rejected_7_6(robot: Zoned, bad: dict[str, Any]) -> None:
    robot.send("zoneSet", {"zoneSet": zone_set(bad)})
    robot.run(0.6)
    assert len(robot.error_types) == 1
    assert sets(robot) == []


@pytest.mark.parametrize(
    ("file", "status", "words"),
    [
        ("night.json", "FINISHED", "can be enabled"),
        ("penalty.json", "FAILED", "does not support PENALTY"),
        ("broken.json", "FAILED", "no JSON"),
        ("none.json", "FAILED", "404"),
    ],
)
def test_zone_sets_are_downloaded_6_4_2(
    robot: Zoned, server: tuple[str, Path], file: str, status: str, words: str
) -> None:
    link = f"{server[0]}/{file}"
    state = robot.ask("downloadZoneSet", zoneSetId="night", zoneSetDownloadLink=link)
    assert state.action_status == status
    assert words in (state.result_description or "")
    assert sets(robot) == ([("night", "DISABLED")] if status == "FINISHED" else [])


@pytest.mark.slow
def test_a_zone_that_is_not_enabled_does_not_hold_6_4_2(robot: Zoned) -> None:
    robot.send("zoneSet", {"zoneSet": zone_set(zone("BLOCKED", *ACROSS))})
    robot.go(6.0)
    robot.arrive(20.0)
    assert robot.node == "n1"


@pytest.mark.slow
def test_a_blocked_zone_is_driven_around_6_4_1_1(robot: Zoned) -> None:
    robot.obey(zone("BLOCKED", 3.0, -3.0, 4.0, 0.4))
    robot.go(7.0)
    nearest = math.inf
    for _ in range(60):
        robot.run(0.5)
        if 3.0 <= robot.pose.x_m <= 4.0:
            nearest = min(nearest, robot.pose.y_m - 0.4)
        if robot.node == "n1":
            break
    assert robot.node == "n1"
    assert 0.3 <= nearest < math.inf
    assert "BLOCKED_ZONE_VIOLATION" not in robot.error_types


@pytest.mark.slow
def test_no_way_leads_through_a_blocked_zone_6_4_5(robot: Zoned) -> None:
    robot.obey(zone("BLOCKED", *ACROSS))
    robot.go(7.0)
    robot.run(8.0)
    assert robot.node == "n0"
    assert robot.front_m < 3.0
    assert robot.error_types == ["NODE_UNREACHABLE"]


@pytest.mark.slow
def test_a_robot_in_a_blocked_zone_stops_6_4_1_1(robot: Zoned) -> None:
    robot.go(7.0)
    robot.run(3.0)
    x_m = robot.pose.x_m
    robot.send("zoneSet", {"zoneSet": zone_set(zone("BLOCKED", x_m - 1, -1.0, x_m + 6, 1.0))})
    robot.ask("enableZoneSet", zoneSetId="night", seconds=1.5)
    assert robot.twist == (0.0, 0.0)
    assert "BLOCKED_ZONE_VIOLATION" in robot.error_types
    error = robot.state.errors[robot.error_types.index("BLOCKED_ZONE_VIOLATION")]
    assert error.error_level == "CRITICAL"
    assert ("zoneId", "z") in [
        (r.reference_key, r.reference_value) for r in error.error_references or ()
    ]


@pytest.mark.slow
def test_speed_limits_are_reached_on_entering_6_4_1_1(robot: Zoned) -> None:
    robot.obey(zone("SPEED_LIMIT", *ON_THE_WAY, maximumSpeed=0.3))
    robot.go(6.5)
    inside, outside = [], []
    for _ in range(1200):
        robot.tick()
        touches = robot.front_m >= 3.0 and robot.front_m - 0.9 <= 3.95
        (inside if touches else outside).append(robot.twist[0])
        if robot.pose.x_m > 6.4:
            break
    assert 0.25 <= max(inside) <= 0.31
    assert max(outside) > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["RELEASE", "COORDINATED_REPLANNING"])
def test_the_robot_waits_for_the_release_of_a_zone_6_4_3(robot: Zoned, kind: str) -> None:
    robot.obey(zone(kind, *ACROSS))
    robot.go(7.0)
    robot.run(6.0)
    assert robot.statuses == ["REQUESTED"]
    (request,) = robot.requests
    assert (request.zone_id, request.zone_set_id) == ("z", "night")
    assert request.request_type == ("ACCESS" if kind == "RELEASE" else "REPLANNING")
    assert (request.trajectory is None) == (kind == "RELEASE")
    assert (robot.twist, robot.stop_reason) == (
        (0.0, 0.0), "must not go on because of a zone of z"
    )  # fmt: skip
    assert 2.5 < robot.front_m < 3.0
    for unhelpful in ("QUEUED", "REJECTED"):
        robot.answer(unhelpful)
        robot.run(1.0)
        assert robot.front_m < 3.0
    assert robot.statuses == []
    robot.run(11.0)
    assert robot.requests[0].request_id != request.request_id, "it has to ask anew some day"
    robot.answer("GRANTED")
    robot.run(3.0)
    assert robot.front_m > 3.2
    assert robot.statuses == ["GRANTED"]
    robot.arrive(20.0)
    robot.run(0.6)
    assert robot.node == "n1"
    assert robot.requests == [], "it has left the zone"


def test_a_zone_that_is_granted_in_time_does_not_stop_the_robot_6_4_3(robot: Zoned) -> None:
    robot.obey(zone("RELEASE", *ACROSS))
    robot.go(7.0)
    robot.run(0.6)
    robot.answer("GRANTED")
    speeds = []
    for _ in range(200):
        robot.tick()
        speeds.append(robot.twist[0])
        if robot.pose.x_m > 5.5:
            break
    assert min(speeds[60:]) > 0.8


@pytest.mark.slow
def test_a_lease_that_runs_out_before_the_zone_closes_it_6_9(robot: Zoned) -> None:
    robot.obey(zone("RELEASE", *ACROSS))
    robot.go(7.0)
    robot.run(0.6)
    robot.answer("GRANTED", lease_s=1.0)
    robot.run(6.0)
    assert robot.front_m < 3.0
    assert robot.statuses == ["EXPIRED", "REQUESTED"]
    assert "RELEASE_LOST" not in robot.error_types, "it was never inside"
    robot.answer("GRANTED")
    robot.run(2.0)
    assert robot.statuses == ["GRANTED"]
    assert robot.front_m > 3.0


@pytest.mark.slow
def test_a_grant_that_is_revoked_before_the_zone_is_dropped_6_9(robot: Zoned) -> None:
    robot.obey(zone("RELEASE", *ACROSS))
    robot.go(7.0)
    robot.run(0.6)
    robot.answer("GRANTED")
    robot.run(0.6)
    robot.answer("REVOKED")
    robot.run(6.0)
    assert robot.front_m < 3.0
    assert robot.statuses == ["REQUESTED"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("behavior", "goes_on"),
    [(None, False), ("STOP", False), ("CONTINUE", True), ("EVACUATE", True)],
)
@pytest.mark.parametrize("loss", ["REVOKED", "EXPIRED"])
def test_a_release_that_is_lost_inside_6_4_1_1(
    robot: Zoned, behavior: str | None, loss: str, *, goes_on: bool
) -> None:
    more = {} if behavior is None else {"releaseLossBehavior": behavior}
    robot.obey(zone("RELEASE", 1.5, -3.0, 5.5, 3.0, **more))
    robot.go(7.0)
    robot.run(0.6)
    robot.answer("GRANTED", lease_s=2.4 if loss == "EXPIRED" else None)
    while robot.pose.x_m < 2.0:
        robot.tick()
    if loss == "REVOKED":
        robot.answer("REVOKED")
    robot.run(3.5)
    if goes_on:
        robot.arrive(15.0)
        assert robot.node == "n1"
        assert "RELEASE_LOST" not in robot.error_types, "it has left the zone"
        return
    assert robot.twist == (0.0, 0.0)
    assert 1.5 < robot.front_m < 5.5
    assert robot.error_types == ["RELEASE_LOST"]
    assert robot.statuses == [loss, "REQUESTED"]
    robot.answer("GRANTED")
    robot.run(1.0)
    assert robot.error_types == []
    robot.arrive(15.0)
    assert robot.node == "n1"


@pytest.mark.slow
def test_requests_go_with_the_order_6_6_7(robot: Zoned) -> None:
    robot.obey(zone("RELEASE", *ACROSS))
    robot.go(7.0)
    robot.run(2.0)
    assert robot.statuses == ["REQUESTED"]
    robot.ask("cancelOrder", seconds=3.0)
    assert robot.requests == []


TRAJECTORY = {
    "degree": 1,
    "knotVector": [0.0, 0.0, 1.0, 1.0],
    "controlPoints": [{"x": 0.0, "y": 0.0}, {"x": 7.0, "y": 0.0}],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "parameters", "passes"),
    [
        ("LINE_GUIDED", {}, False),
        ("DIRECTED", {"direction": 0.1, "directedLimitation": "STRICT"}, True),
        ("DIRECTED", {"direction": 1.0, "directedLimitation": "STRICT"}, False),
        ("DIRECTED", {"direction": 1.0, "directedLimitation": "RESTRICTED"}, True),
        ("DIRECTED", {"direction": 3.0, "directedLimitation": "RESTRICTED"}, False),
        ("DIRECTED", {"direction": 3.0, "directedLimitation": "SOFT"}, True),
        ("BIDIRECTED", {"direction": 3.1, "bidirectedLimitation": "RESTRICTED"}, True),
        ("BIDIRECTED", {"direction": 1.5, "bidirectedLimitation": "RESTRICTED"}, False),
        ("BIDIRECTED", {"direction": 1.5, "bidirectedLimitation": "SOFT"}, True),
    ],
)
@pytest.mark.parametrize("with_trajectory", [False, True])
def test_zones_of_lines_and_directions_6_4_1(
    robot: Zoned, kind: str, parameters: dict[str, Any], *, passes: bool, with_trajectory: bool
) -> None:
    """A trajectory of the order's own overrides a direction (table 8, note 9)."""
    robot.obey(zone(kind, *ACROSS, **parameters))
    robot.go(7.0, **({"trajectory": TRAJECTORY} if with_trajectory else {}))
    robot.run(7.5)
    assert (robot.front_m > 4.0) == (passes or with_trajectory)
    if not passes and not with_trajectory:
        assert "NODE_UNREACHABLE" in robot.error_types
        assert robot.twist == (0.0, 0.0)


def test_without_a_storage_zones_are_rejected(tmp_path: Path) -> None:
    plain = Robot(agent_in(tmp_path, TOML + '\n[vda5050]\nversion = "3.0.0"\n')).start()
    payload = encode(HEADER | {"zoneSet": zone_set(zone("BLOCKED", *ACROSS))})
    plain.tick(messages=(Message("zoneSet", payload, plain.now_ns),))
    plain.run(0.6)
    assert [error.error_type for error in plain.state.errors] == ["UNSUPPORTED_PARAMETER"]
