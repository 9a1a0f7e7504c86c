"""When the state goes out and what it says; instant actions; the factsheet; official schemas."""

import json
import math
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import SimulatedClock
from agent.errors import LocalizationLost, LocalizationOdd, MessageInvalid, OrderRejected
from agent.geometry.pose import Pose2
from agent.positioning import Outcome, PoseAnswer, PoseRequest
from agent.telemetry.publication import Publication
from agent.vda5050.connection import ConnectionReport
from agent.vda5050.factsheet import Vehicle
from agent.vda5050.identity import Identity
from agent.vda5050.instant_actions import MOST_ACTIONS, InstantActionRunner
from agent.vda5050.messages import Factsheet, State, Visualization, decode
from agent.vda5050.order_book import OrderBook
from agent.vda5050.situation import Situation
from agent.vda5050.state_report import MOST_REJECTIONS, StateReport
from tests.agent.vda5050.orders import IDENTITY, MAPS, encode, order, situation

VEHICLE = Vehicle(
    series="mouse",
    length_m=0.8,
    width_m=0.5,
    height_m=0.3,
    center_x_m=0.1,
    max_speed_mps=1.2,
    max_yaw_rate_radps=1.0,
    acceleration_mps2=0.5,
    deceleration_mps2=0.8,
)
SHARED = Path(os.environ.get("HAULIER_SHARED", Path(__file__).parents[4] / "shared"))
SCHEMAS = SHARED / "vda5050" / "2.1.0"
MS = 1_000_000
STEP_NS = 20 * MS


class Bench:
    """A report with its book and its actions, ticked at 50 Hz."""

    def __init__(self, identity: Identity = IDENTITY) -> None:
        self.book = OrderBook(identity, MAPS)
        self.actions = InstantActionRunner(identity)
        self.report = StateReport(identity, VEHICLE)
        self.now_ns = 0

    def situation(self, *args: float, **changes: Any) -> Situation:
        return situation(*args, now_ns=self.now_ns, **changes)

    def tick(self, *args: float, **changes: Any) -> dict[str, Publication]:
        here = self.situation(*args, **changes)
        self.actions.advance(here, self.book)
        sent = {p.topic: p for p in self.report.publications(here, self.book, self.actions)}
        self.now_ns += STEP_NS
        return sent

    def states(self, ticks: int, *args: float, **changes: Any) -> list[State]:
        sent = [self.tick(*args, **changes) for _ in range(ticks)]
        return [decode(State, s["state"].payload) for s in sent if "state" in s]

    def settle(self, *args: float, **changes: Any) -> None:
        assert self.states(60, *args, **changes)
        assert not self.states(60, *args, **changes)

    def send_order(self, tree: dict[str, Any]) -> None:
        try:
            self.book.receive(encode(tree), self.situation())
            self.report.accept()
        except OrderRejected as rejection:
            self.report.reject(rejection)

    def send_action(self, action_type: str, action_id: str, **parameters: Any) -> None:
        header = {k: v for k, v in order(1).items() if k not in ("nodes", "edges")}
        action = {"actionType": action_type, "actionId": action_id, "blockingType": "NONE"}
        if parameters:
            given = [{"key": key, "value": value} for key, value in parameters.items()]
            action |= {"actionParameters": given}
        self.actions.receive(encode(header | {"actions": [action]}), self.book)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_first_tick_tells_everything(bench: Bench) -> None:
    sent = bench.tick(1.0, 2.0, 0.5, forward_mps=0.3)
    assert set(sent) == {"factsheet", "state", "visualization"}
    assert sent["factsheet"].retain
    assert not sent["state"].retain
    state = decode(State, sent["state"].payload)
    assert (state.order_id, state.last_node_id, state.header_id) == ("", "", 0)
    assert state.maps is not None
    assert [(m.map_id, m.map_status) for m in state.maps] == [
        ("hall", "ENABLED"), ("cellar", "ENABLED")
    ]  # fmt: skip
    position, velocity = state.agv_position, state.velocity
    assert position is not None
    assert velocity is not None
    assert (position.x, position.y, position.theta) == (1.0, 2.0, 0.5)
    assert position.position_initialized
    assert (velocity.vx, velocity.vy) == (0.3, 0.0)
    assert (state.battery_state.battery_charge, state.battery_state.battery_voltage) == (70.0, 25.5)
    assert state.loads is None
    assert state.errors == []


def test_nothing_new_means_one_state_per_period(bench: Bench) -> None:
    bench.settle()
    ticks = 60 * 50
    assert len(bench.states(ticks)) == 2  # 60 s at 25 s
    with_drift = [bench.states(1, 0.001 * i, forward_mps=0.001 * i) for i in range(100)]
    assert not any(with_drift)


@pytest.mark.parametrize(
    "changes",
    [
        {"driving": True},
        {"paused": True},
        {"e_stop": True},
        {"field_violation": True},
        {"map_id": "cellar"},
        {"faults": (LocalizationLost("gone"),)},
        {"estimate": None},
        {"localized": False},
    ],
)
def test_an_event_sends_a_state_at_once(bench: Bench, changes: dict[str, Any]) -> None:
    bench.settle()
    assert len(bench.states(1, **changes)) == 1
    assert not bench.states(100, **changes)
    assert len(bench.states(1)) == 1


def test_events_close_together_share_a_state(bench: Bench) -> None:
    bench.settle()
    flicker = [s for i in range(100) for s in bench.states(1, driving=bool(i % 2))]
    assert len(flicker) <= 4  # 2 s at not less than 0.5 s
    rest = bench.states(60, driving=True)
    assert (flicker + rest)[-1].driving


@pytest.mark.parametrize("version", ["2.0.0", "2.1.0", "3.0.0"])
@settings(max_examples=6, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([20, 60, 480, 900, 7_000]),
            st.sampled_from(["driving", "e_stop", "paused", "field_violation", "fault", "order"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_states_keep_their_distance_and_miss_nothing(
    version: str, events: list[tuple[int, str]]
) -> None:
    # 2.1, section 6.10; 3.0, section 6.6
    bench = Bench(Identity("acme", "R1", version=version))
    flags = dict.fromkeys(["driving", "e_stop", "paused", "field_violation", "fault"], False)
    sent: list[tuple[int, State]] = []

    def run(duration_ms: int) -> None:
        until_ns = bench.now_ns + duration_ms * MS
        while bench.now_ns < until_ns:
            faults = (LocalizationLost("gone"),) if flags["fault"] else ()
            now_ns, changes = bench.now_ns, {k: v for k, v in flags.items() if k != "fault"}
            message = bench.tick(faults=faults, **changes).get("state")
            if message is not None:
                sent.append((now_ns, decode(State, message.payload)))

    for wait_ms, event in events:
        run(wait_ms)
        if event == "order":
            bench.send_order(order(2) | {"version": version})
        else:
            flags[event] = not flags[event]
    run(600)
    last = sent[-1][1]
    assert (last.driving, last.paused) == (flags["driving"], flags["paused"])
    assert last.safety_state.field_violation == flags["field_violation"]
    assert (last.safety_state.e_stop == "MANUAL") == flags["e_stop"]
    assert bool(last.errors) == flags["fault"]
    assert last.order_id == bench.book.order_id
    run(60_000)
    times = [now_ns for now_ns, _ in sent]
    gaps = [after - before for before, after in pairwise(times)]
    assert min(gaps) >= 500 * MS
    assert max(gaps) <= 30_000 * MS
    assert [state.header_id for _, state in sent] == list(range(len(sent)))


def test_an_error_whose_text_drifts_is_one_event(bench: Bench) -> None:
    bench.settle()
    texts = [bench.states(1, faults=(LocalizationLost(f"score {i}"),)) for i in range(60)]
    assert sum(map(len, texts)) == 1


def test_order_progress_is_reported(bench: Bench) -> None:
    bench.settle()
    bench.send_order(order(2, 3))
    (accepted,) = bench.states(30)
    assert accepted.order_id == "A"
    assert [n.node_id for n in accepted.node_states] == ["n1", "n2"]
    assert accepted.last_node_id == "n0"
    assert accepted.new_base_request is True
    bench.book.reach(2)
    (reached,) = bench.states(30, 2.0)
    assert (reached.last_node_id, reached.last_node_sequence_id) == ("n1", 2)
    assert [e.edge_id for e in reached.edge_states] == ["n1->n2"]
    assert reached.distance_since_last_node == 0.0


def test_a_repeated_order_is_answered_with_a_state(bench: Bench) -> None:
    bench.send_order(order(2))
    bench.settle()
    bench.send_order(order(2))
    assert len(bench.states(30)) == 1


def test_a_rejection_is_reported_until_an_order_is_accepted(bench: Bench) -> None:
    bench.settle()
    bad = order(2)
    del bad["nodes"]
    bench.send_order(bad)
    (state,) = bench.states(30)
    (error,) = state.errors
    assert (error.error_type, error.error_level) == ("validationError", "WARNING")
    references = {r.reference_key: r.reference_value for r in error.error_references or ()}
    assert references["orderId"] == "A"
    assert references["code"] == "ORDER_REJECTED"
    assert error.error_hint
    bench.send_order(order(2))
    (state,) = bench.states(30)
    assert state.errors == []


def test_a_master_in_a_loop_does_not_fill_the_state(bench: Bench) -> None:
    for number in range(50):
        bench.send_order(order(2, order_id=f"o{number % 20}", start=1))
        bench.tick()
    state = bench.states(60)[-1]
    assert len(state.errors) == MOST_REJECTIONS


def test_before_the_first_estimate_the_position_is_not_initialized(bench: Bench) -> None:
    (state,) = bench.states(1, estimate=None)
    assert state.agv_position is not None
    assert not state.agv_position.position_initialized
    assert state.distance_since_last_node is None


def test_unknown_values_never_become_nan(bench: Bench) -> None:
    lost = situation(localized=False).estimate
    assert lost is not None
    wide = type(lost)(0, lost.map_from_base, np.full((3, 3), np.inf), 0.0, False, "start")
    sent = bench.tick(battery_v=math.nan, battery_charge=math.nan, estimate=wide)["state"].payload
    assert b"NaN" not in sent
    assert b"null" not in sent
    state = decode(State, sent)
    assert state.battery_state.battery_charge == 0.0
    assert state.information is not None
    assert state.information[0].info_type == "batteryChargeUnknown"


def test_safety_state(bench: Bench) -> None:
    (state,) = bench.states(1, e_stop=True, field_violation=True)
    assert (state.safety_state.e_stop, state.safety_state.field_violation) == ("MANUAL", True)


def test_visualization_keeps_its_rate(bench: Bench) -> None:
    sent = [bench.tick(0.01 * i) for i in range(500)]
    views = [
        decode(Visualization, s["visualization"].payload) for s in sent if "visualization" in s
    ]
    assert len(views) == 50
    assert [v.header_id for v in views] == list(range(50))
    bench.now_ns += 10_000 * MS
    assert sum("visualization" in bench.tick() for _ in range(50)) <= 7


def test_a_requested_state_is_sent_although_nothing_changed(bench: Bench) -> None:
    bench.settle()
    bench.report.request()
    assert len(bench.states(30)) == 1


def test_state_and_factsheet_on_request(bench: Bench) -> None:
    bench.settle()
    bench.send_action("stateRequest", "s1")
    (state,) = bench.states(30)
    assert [(a.action_id, a.action_status) for a in state.action_states] == [("s1", "FINISHED")]
    bench.send_action("factsheetRequest", "f1")
    assert "factsheet" in bench.tick()
    assert "factsheet" not in bench.tick()
    bench.send_action("factsheetRequest", "f1")  # repeated by the master
    assert "factsheet" not in bench.tick()


def test_cancel_runs_until_the_robot_stands(bench: Bench) -> None:
    bench.send_order(order(3))
    bench.send_action("cancelOrder", "c1")
    bench.send_action("cancelOrder", "c2")  # sent again before the first was answered
    driving = bench.states(60, 1.0, driving=True)[-1]
    # Figure 9: a master that saw none any more would take the order for finished.
    assert [node.node_id for node in driving.node_states] == ["n1", "n2"]
    assert [a.action_status for a in driving.action_states] == ["RUNNING", "RUNNING"]
    standing = bench.states(60, 1.0)[-1]
    assert standing.node_states == standing.edge_states == []
    assert [a.action_status for a in standing.action_states] == ["FINISHED", "FINISHED"]
    assert standing.order_id == "A"
    assert standing.errors == []


def test_cancel_without_an_order_fails(bench: Bench) -> None:
    bench.send_action("cancelOrder", "c1")
    (state,) = bench.states(1)
    assert state.action_states[0].action_status == "FAILED"
    (error,) = state.errors
    assert (error.error_type, error.error_level) == ("noOrderToCancel", "WARNING")
    references = {r.reference_key: r.reference_value for r in error.error_references or ()}
    assert references["actionId"] == "c1"


def test_an_unsupported_action_fails_and_a_new_order_clears_it(bench: Bench) -> None:
    bench.send_action("startCharging", "a1")
    (state,) = bench.states(1)
    assert state.action_states[0].action_status == "FAILED"
    assert [e.error_type for e in state.errors] == ["actionError"]
    bench.send_order(order(2))
    state = bench.states(60)[-1]
    assert state.action_states == []
    assert state.errors == []


POSE = {"x": 1.0, "y": 2, "theta": 0.5, "mapId": "cellar", "lastNodeId": "n7"}


def test_init_position_is_finished_once_the_robot_has_found_itself(bench: Bench) -> None:
    bench.send_action("initPosition", "i1", **POSE)
    (request,) = bench.actions.take_pose_requests()
    assert request == PoseRequest("initPosition i1", Pose2(1.0, 2.0, 0.5), "cellar")
    assert bench.actions.take_pose_requests() == ()
    for answers in ((), (PoseAnswer(request.request_id, Outcome.PENDING),)):
        bench.tick(pose_answers=answers)
        assert bench.actions.states[0].action_status == "INITIALIZING"
    assert bench.book.last_node_id == ""
    bench.tick(pose_answers=(PoseAnswer(request.request_id, Outcome.DONE),))
    state = bench.states(60)[-1]
    assert [(a.action_id, a.action_status) for a in state.action_states] == [("i1", "FINISHED")]
    assert (state.last_node_id, state.errors) == ("n7", [])


def test_init_position_fails_with_the_reason_until_it_succeeds(bench: Bench) -> None:
    bench.send_action("initPosition", "i1", **POSE)
    failed = PoseAnswer("initPosition i1", Outcome.FAILED, "12% of the rays fit")
    (state,) = bench.states(1, pose_answers=(failed,))
    assert state.action_states[0].action_status == "FAILED"
    assert state.action_states[0].result_description == "12% of the rays fit"
    assert [(e.error_type, e.error_level) for e in state.errors] == [
        ("initPositionFailed", "WARNING")
    ]
    assert state.last_node_id == ""
    bench.send_action("initPosition", "i2", **POSE)
    bench.tick(pose_answers=(PoseAnswer("initPosition i2", Outcome.DONE),))
    assert bench.states(60)[-1].errors == []


def test_init_position_survives_a_new_order_and_a_cancel(bench: Bench) -> None:
    bench.send_action("initPosition", "i1", **POSE)
    bench.send_order(order(2))
    bench.tick()
    bench.send_action("cancelOrder", "c1")
    bench.tick()
    assert [s.action_status for s in bench.actions.states] == ["INITIALIZING", "FINISHED"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": ...}, "x: Field required"),
        ({"theta": "north"}, "theta: Input should be a valid number"),
        ({"theta": 7.0}, "theta: Input should be"),
        ({"y": True}, "y: Input should be a valid number"),
        ({"mapId": 3}, "mapId: Input should be a valid string"),
        ({"lastNodeId": ...}, "lastNodeId: Field required"),
    ],
)
def test_init_position_needs_its_parameters(
    bench: Bench, change: dict[str, Any], said: str
) -> None:
    given = {key: value for key, value in (POSE | change).items() if value is not ...}
    bench.send_action("initPosition", "i1", **given)
    assert bench.actions.take_pose_requests() == ()
    (state,) = bench.states(1)
    assert state.action_states[0].action_status == "FAILED"
    assert said in (state.errors[0].error_description or "")


def test_init_position_would_conflict_with_an_order(bench: Bench) -> None:
    bench.send_order(order(2))
    bench.tick()
    bench.send_action("initPosition", "i1", **POSE)
    assert bench.actions.take_pose_requests() == ()
    state = bench.states(60)[-1]
    assert state.action_states[0].action_status == "FAILED"
    assert "order A is active" in (state.errors[0].error_description or "")


def test_a_warning_of_localization_is_no_fatal_error(bench: Bench) -> None:
    (state,) = bench.states(1, faults=(LocalizationOdd("the wheels slip", mapId="hall"),))
    assert [(e.error_type, e.error_level) for e in state.errors] == [
        ("localizationWarning", "WARNING")
    ]


def test_action_states_do_not_grow_without_end(bench: Bench) -> None:
    bench.send_order(order(2))
    bench.tick()
    bench.send_action("cancelOrder", "c")
    for number in range(3 * MOST_ACTIONS):
        bench.send_action("stateRequest", f"s{number}")
    assert len(bench.actions.states) == MOST_ACTIONS
    assert bench.actions.states[0].action_id == "c"


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b"\x00"])
def test_broken_instant_actions_are_refused(bench: Bench, payload: bytes) -> None:
    with pytest.raises(MessageInvalid) as caught:
        bench.actions.receive(payload, bench.book)
    assert caught.value.context["topic"] == "instantActions"
    bench.report.reject(caught.value)
    (state,) = bench.states(1)
    assert state.errors[0].error_type == "validationError"


def test_factsheet_tells_the_robots_measures(bench: Bench) -> None:
    sheet = decode(Factsheet, bench.tick()["factsheet"].payload)
    assert sheet.physical_parameters.speed_max == 1.2
    assert sheet.type_specification.agv_kinematic == "DIFF"
    envelopes = sheet.agv_geometry.envelopes_2d
    assert envelopes is not None
    corners = [(round(p.x, 6), round(p.y, 6)) for p in envelopes[0].polygon_points]
    assert corners == [(-0.3, -0.25), (0.5, -0.25), (0.5, 0.25), (-0.3, 0.25)]
    (init,) = (a for a in sheet.protocol_features.agv_actions if a.action_type == "initPosition")
    assert init.action_parameters is not None
    assert [(p.key, p.value_data_type) for p in init.action_parameters] == [
        ("x", "FLOAT"), ("y", "FLOAT"), ("theta", "FLOAT"), ("mapId", "STRING"),
        ("lastNodeId", "STRING"),
    ]  # fmt: skip
    actions = {a.action_type for a in sheet.protocol_features.agv_actions}
    assert actions == {
        "cancelOrder", "clearInstantActions", "factsheetRequest", "initPosition", "retry",
        "skipRetry", "startPause", "stateRequest", "stopPause", "trigger",
    }  # fmt: skip


@pytest.mark.skipif(not SCHEMAS.is_dir(), reason="the official schemas are not here")
def test_every_message_meets_the_official_schema(bench: Bench) -> None:
    def check(message: Publication) -> None:
        schema = json.loads((SCHEMAS / f"{message.topic}.schema").read_text())
        validator = jsonschema.Draft202012Validator(
            schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        validator.validate(json.loads(message.payload))

    connection = ConnectionReport(IDENTITY, SimulatedClock())
    for message in (connection.will(), connection.online(), connection.offline()):
        check(message)
    checked = set()
    bench.send_order(order(2, 4))
    bench.send_order(order(2, order_id="B"))
    bench.send_action("cancelOrder", "c1")
    bench.send_action("pick", "p1")
    bench.send_action("initPosition", "i1", **POSE)
    for step in range(200):
        fault = (LocalizationLost("gone", device="lidar"),) if step > 100 else ()
        sent = bench.tick(0.1, driving=step < 50, faults=fault, battery_charge=math.nan)
        for topic, message in sent.items():
            check(message)
            checked.add(topic)
    assert checked == {"state", "visualization", "factsheet"}
