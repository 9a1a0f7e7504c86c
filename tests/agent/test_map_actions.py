"""downloadMap, enableMap and deleteMap through the whole agent, with a real disk and a real server.

VDA 5050 2.1, sections 6.7.1 to 6.7.5 and 6.8; 3.0, sections 6.3.1 to 6.3.5 and table 9.
"""

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import config
from agent.clock import SystemClock
from agent.mailbox import Outbox
from agent.main import build_agent, catalog_of, depot_of, load_places
from agent.telemetry.publication import Message
from agent.vda5050.messages import ActionState, Error, Factsheet, State, decode
from agent.vda5050.storage.errand import Begun, Outcome
from agent.vda5050.storage.worker import StorageWorker
from tests.agent.room import TOML, Robot, write_robot
from tests.agent.vda5050.orders import encode, order
from tests.agent.vda5050.storage.archives import served, zipped_map

STORAGE = '\n[storage]\ndirectory = "maps"\nallow = ["{url}/"]\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    directory = tmp_path_factory.mktemp("server")
    zipped_map(directory / "new.zip")
    (directory / "broken.zip").write_bytes(b"no archive")
    with served(directory) as url:
        yield url, directory


class Stocked(Robot):
    """A robot whose storage does one errand between two ticks."""

    def __init__(self, path: Path) -> None:
        settings = config.load(path, environment={})
        depot = depot_of(settings)
        places = load_places(settings, depot)
        super().__init__(build_agent(settings, places, catalog_of(settings, places, depot)))
        self.version = settings.vda5050.version
        self.stored: list[Outcome] = []
        self.numbers = itertools.count()
        assert depot is not None
        assert settings.storage is not None
        self.worker = StorageWorker(
            depot, settings.storage, settings.localization.map, SystemClock(), self.stored.append
        )

    def tick(self, **changes: Any) -> Outbox:
        stored, self.stored[:] = tuple(self.stored), []
        outbox = super().tick(**({"stored": stored} | changes))
        for task in outbox.tasks:
            self.stored += [Begun(task.ticket), self.worker.do(task)]
        return outbox

    def ask(self, action_type: str, seconds: float = 0.7, **parameters: str) -> ActionState:
        """Send an instant action and return its state once the robot had time for it."""
        name = f"{action_type} {next(self.numbers)}"
        header = {k: v for k, v in order(1).items() if k not in ("nodes", "edges")}
        action = {
            "actionType": action_type,
            "actionId": name,
            "blockingType": "NONE",
            "actionParameters": [{"key": k, "value": v} for k, v in parameters.items()],
        }
        payload = encode(header | {"version": self.version, "actions": [action]})
        self.tick(messages=(Message("instantActions", payload, self.now_ns),))
        self.run(seconds)
        states = (*self.state.action_states, *self.state.instant_action_states)
        return next(state for state in states if state.action_id == name)

    def order(self, **changes: Any) -> Message:
        return super().order(**({"version": self.version} | changes))

    def about(self, state: ActionState) -> Error:
        """Return the error that the state has about an action."""
        for error in self.state.errors:
            references = {r.reference_key: r.reference_value for r in error.error_references or ()}
            if references.get("actionId") == state.action_id:
                return error
        pytest.fail(f"no error about {state}")

    @property
    def maps(self) -> list[tuple[str, str, str]]:
        return [(m.map_id, m.map_version, str(m.map_status)) for m in self.state.maps or ()]


@pytest.fixture(params=[pytest.param("2.1.0", marks=pytest.mark.slow), "3.0.0"])
def path(request: pytest.FixtureRequest, tmp_path: Path, server: tuple[str, Path]) -> Path:
    text = TOML + STORAGE.replace("{url}", server[0])
    return write_robot(tmp_path, text + f'\n[vda5050]\nversion = "{request.param}"\n')


@pytest.fixture
def robot(path: Path) -> Robot:
    return Stocked(path).start()


def link(server: tuple[str, Path], name: str = "new.zip") -> str:
    return f"{server[0]}/{name}"


HALL = {"mapId": "hall", "mapVersion": "2"}


def test_a_map_is_downloaded_enabled_and_deleted(
    path: Path, robot: Stocked, server: tuple[str, Path]
) -> None:
    checksum = hashlib.sha256((server[1] / "new.zip").read_bytes()).hexdigest()
    done = robot.ask("downloadMap", **HALL, mapDownloadLink=link(server), mapHash=checksum)
    assert done.action_status == "FINISHED", done
    assert robot.maps == [("hall", "1", "ENABLED"), ("hall", "2", "DISABLED")]
    assert robot.ask("enableMap", **HALL).action_status == "FINISHED"
    assert robot.maps == [("hall", "1", "DISABLED"), ("hall", "2", "ENABLED")]
    again = Stocked(path)
    again.run(0.1)
    assert again.maps == [("hall", "1", "DISABLED"), ("hall", "2", "ENABLED")]
    back = robot.ask("enableMap", mapId="hall", mapVersion="1")
    assert back.action_status == "FINISHED", back
    robot.run(1.0)
    assert robot.estimate.localized
    assert robot.ask("deleteMap", **HALL).action_status == "FINISHED"
    assert robot.maps == [("hall", "1", "ENABLED")]
    gone = robot.ask("deleteMap", **HALL)
    assert (gone.action_status, gone.result_description) == (
        "FAILED", "there is no map hall, version 2"
    )  # fmt: skip
    assert len(list(path.with_name("maps").glob("map-*"))) == 0


@pytest.mark.slow
def test_the_robot_goes_on_on_the_new_map(robot: Stocked, server: tuple[str, Path]) -> None:
    """The room with other boxes: what is seen fits it only once the robot is there."""
    robot.ask("downloadMap", **HALL, mapDownloadLink=link(server))
    robot.hall = "cellar"
    assert robot.ask("enableMap", **HALL).action_status == "FINISHED"
    robot.run(2.0)
    assert robot.estimate.localized
    assert robot.estimate.map_from_base.distance_m(robot.pose) < 0.05
    robot.drive()
    robot.arrive(20.0)
    assert robot.state.last_node_id == "n1"


def test_a_map_of_a_new_id_can_be_driven_on_once_it_is_enabled(
    robot: Stocked, server: tuple[str, Path]
) -> None:
    cellar = {"mapId": "cellar", "mapVersion": "1"}
    robot.ask("downloadMap", **cellar, mapDownloadLink=link(server))
    tree = order(2, spacing_m=3.0)
    tree["nodes"][1]["nodePosition"]["mapId"] = "cellar"
    robot.tick(messages=(robot.order(nodes=tree["nodes"], edges=tree["edges"]),))
    robot.run(0.7)
    assert "on map cellar" in (robot.state.errors[0].error_description or "")
    assert robot.ask("enableMap", **cellar).action_status == "FINISHED"
    assert ("hall", "1", "ENABLED") in robot.maps
    assert ("cellar", "1", "ENABLED") in robot.maps
    robot.tick(messages=(robot.order(nodes=tree["nodes"], edges=tree["edges"]),))
    assert robot.agent.status(robot.now_ns)["order"]["order_id"] == "A"


def test_a_duplicate_is_refused(robot: Stocked, server: tuple[str, Path]) -> None:
    state = robot.ask("downloadMap", mapId="hall", mapVersion="1", mapDownloadLink=link(server))
    assert state.action_status == "FAILED"
    error = robot.about(state)
    assert error.error_type == ("duplicateMap" if robot.version < "3" else "DUPLICATE_MAP")
    references = {r.reference_key: r.reference_value for r in error.error_references or ()}
    assert (references["mapId"], references["mapVersion"]) == ("hall", "1")
    assert error.error_level == "WARNING"


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("new.zip", {"mapHash": 64 * "0"}, "its sha256 is"),
        ("broken.zip", {}, "neither a zip nor a tar"),
        ("none.zip", {}, "404"),
        ("new.zip", {"mapDownloadLink": "http://elsewhere.example/new.zip"}, "allow"),
    ],
)
def test_what_cannot_be_used_changes_nothing(
    robot: Stocked, server: tuple[str, Path], name: str, more: dict[str, str], words: str
) -> None:
    parameters = {"mapDownloadLink": link(server, name)} | HALL | more
    state = robot.ask("downloadMap", **parameters)
    assert state.action_status == "FAILED"
    assert words in (state.result_description or "")
    assert robot.about(state).error_description == state.result_description
    assert robot.maps == [("hall", "1", "ENABLED")]


@pytest.mark.parametrize(
    ("action", "version", "words"),
    [
        ("deleteMap", "1", "in use"),
        ("enableMap", "7", "no map hall, version 7"),
        ("enableMap", "1", "in use already"),
    ],
)
def test_maps_in_use_and_maps_that_are_not_there(
    robot: Stocked, action: str, version: str, words: str
) -> None:
    state = robot.ask(action, mapId="hall", mapVersion=version)
    expected = "FINISHED" if "already" in words else "FAILED"  # enabling it again is idempotent
    assert state.action_status == expected
    assert words in (state.result_description or "")


def test_the_configurations_map_is_not_deleted(robot: Stocked, server: tuple[str, Path]) -> None:
    robot.ask("downloadMap", **HALL, mapDownloadLink=link(server))
    robot.ask("enableMap", **HALL)
    state = robot.ask("deleteMap", mapId="hall", mapVersion="1")
    assert state.action_status == "FAILED"
    assert "configuration" in (state.result_description or "")


@pytest.mark.slow
def test_the_map_under_a_driving_robot_stays(robot: Stocked, server: tuple[str, Path]) -> None:
    robot.ask("downloadMap", **HALL, mapDownloadLink=link(server))
    robot.drive()
    state = robot.ask("enableMap", **HALL)
    assert state.action_status == "FAILED"
    assert "driving" in (state.result_description or "")
    assert robot.estimate.localized
    assert ("hall", "1", "ENABLED") in robot.maps


@pytest.mark.slow
def test_a_map_is_enabled_on_a_node(robot: Stocked, server: tuple[str, Path]) -> None:
    robot.ask("downloadMap", **HALL, mapDownloadLink=link(server))
    tree = order(3, spacing_m=2.0)
    action = {"actionType": "enableMap", "actionId": "swap", "blockingType": "HARD"}
    given = [{"key": key, "value": value} for key, value in HALL.items()]
    tree["nodes"][1]["actions"] = [action | {"actionParameters": given}]
    robot.tick(messages=(robot.order(nodes=tree["nodes"], edges=tree["edges"]),))
    for _ in range(60):
        robot.run(0.2)
        if ("hall", "2", "ENABLED") in robot.maps:
            robot.hall = "cellar"
    assert robot.state.last_node_id == "n2"
    assert [state.action_status for state in robot.state.action_states if state.action_id == "swap"]
    assert ("hall", "2", "ENABLED") in robot.maps


def test_one_action_at_a_time_is_about_a_map(robot: Stocked, server: tuple[str, Path]) -> None:
    header = {k: v for k, v in order(1).items() if k not in ("nodes", "edges")}
    parameters = HALL | {"mapDownloadLink": link(server)}
    given = [{"key": key, "value": value} for key, value in parameters.items()]
    actions = [
        {
            "actionType": "downloadMap",
            "actionId": name,
            "blockingType": "NONE",
            "actionParameters": given,
        }
        for name in ("one", "two")
    ]
    payload = encode(header | {"actions": actions})
    robot.tick(messages=(Message("instantActions", payload, robot.now_ns),))
    robot.run(0.7)
    states = (*robot.state.action_states, *robot.state.instant_action_states)
    assert {s.action_id: str(s.action_status) for s in states} == {
        "one": "FINISHED",
        "two": "FAILED",
    }
    assert robot.maps.count(("hall", "2", "DISABLED")) == 1


def test_the_factsheet_tells_what_is_there(robot: Stocked) -> None:
    sheet = next(
        decode(Factsheet, publication.payload)
        for outbox in robot.outboxes
        for publication in outbox.publications
        if publication.topic == "factsheet"
    )
    scopes = {a.action_type: list(a.action_scopes) for a in sheet.protocol_features.agv_actions}
    assert scopes["downloadMap"] == scopes["deleteMap"] == ["INSTANT"]
    assert scopes["enableMap"] == ["INSTANT", "NODE"]


@pytest.mark.parametrize("version", ["2.0.0", "2.1.0"])
def test_without_a_storage_or_in_2_0_there_are_no_such_actions(
    tmp_path: Path, version: str
) -> None:
    text = TOML + f'\n[vda5050]\nversion = "{version}"\n'
    if version == "2.0.0":
        text += STORAGE.replace("{url}", "http://x")
    settings = config.load(write_robot(tmp_path, text), environment={})
    robot = Robot(build_agent(settings, load_places(settings))).start()
    header = {k: v for k, v in order(1).items() if k not in ("nodes", "edges")}
    action = {"actionType": "deleteMap", "actionId": "x", "blockingType": "NONE"}
    payload = encode(header | {"version": version, "actions": [action]})
    robot.tick(messages=(Message("instantActions", payload, robot.now_ns),))
    robot.run(0.7)
    assert [str(state.action_status) for state in robot.state.action_states] == ["FAILED"]
    assert decode(State, robot.outboxes[0].publications[1].payload).header_id == 0


def test_errors_end_with_the_next_action_that_is_accepted_table_9(
    robot: Stocked, server: tuple[str, Path]
) -> None:
    robot.ask("polish", x="y")
    robot.ask("downloadMap", mapId="hall", mapVersion="1", mapDownloadLink=link(server))
    duplicate = "duplicateMap" if robot.version < "3" else "DUPLICATE_MAP"
    assert [error.error_type for error in robot.state.errors] == [duplicate]
    robot.ask("stateRequest")
    assert [error.error_type for error in robot.state.errors] == [duplicate]
    robot.ask("downloadMap", **HALL, mapDownloadLink=link(server))
    assert robot.state.errors == []
