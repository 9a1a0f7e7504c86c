"""Which actions run when; each test names the section that it holds the runner to."""

import json
import math
from importlib import metadata
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.errors import ConfigError
from agent.vda5050.actions.charging import ChargingParams, charging_kinds
from agent.vda5050.actions.handler import FLEET_CONTROL, LOCAL
from agent.vda5050.actions.handling import handling_kinds
from agent.vda5050.actions.registry import GROUP, ActionRegistry, installed_kinds
from agent.vda5050.actions.runner import ActionRunner
from agent.vda5050.actions.waiting import LOG_REPORT, WAIT_FOR_TRIGGER
from agent.vda5050.messages import Action, ActionScope, ActionStatus, Edge, Node
from agent.vda5050.record_text import RecordText
from tests.agent.vda5050.acting import Orders, action, edge, node, registry
from tests.agent.vda5050.orders import situation

STANDING = {"driving": False}
DRIVING = {"driving": True}
OVER = ("FINISHED", "FAILED")


def saved_of(runner: ActionRunner) -> dict[str, Any]:
    """What a power cut leaves of it."""
    saved: dict[str, Any] = json.loads(runner.record.text(RecordText()))
    return saved


class Bench:
    """A runner and an order, ticked by hand."""

    def __init__(self, *elements: Node | Edge, kinds: ActionRegistry | None = None) -> None:
        self.log: list[str] = []
        self.runner = ActionRunner(kinds or registry(self.log))
        self.orders = Orders(elements)
        self.now_ns = 0
        self.tick()

    def tick(self, ticks: int = 1, **changes: Any) -> "Bench":
        for _ in range(ticks):
            self.now_ns += 20_000_000
            here = situation(now_ns=self.now_ns, **changes)
            self.runner.advance(here, self.orders)
        return self

    def arrive(self, count: int = 1) -> "Bench":
        self.orders.arrive(count)
        return self

    @property
    def statuses(self) -> dict[str, str]:
        return {s.action_id: str(s.action_status) for s in self.runner.states}


# 2.1, section 6.12; 3.0, section 6.2.2, table 3 and figure 11. Blocking types of actions on one
# node, each of which lasts one tick; then, while the robot drives and later while it stands, which
# of them are at work in each tick.
SEQUENCES = [
    ("NONE", [{"0"}], []),
    ("SINGLE", [{"0"}], []),
    ("SOFT", [set()], [{"0"}]),
    ("HARD", [set()], [{"0"}]),
    ("NONE NONE", [{"0", "1"}], []),
    ("NONE SINGLE", [{"0"}, {"1"}], []),
    ("SINGLE NONE", [{"0"}, {"1"}], []),
    ("NONE SOFT", [{"0"}], [{"1"}]),
    ("SOFT NONE", [set(), set()], [{"0", "1"}]),
    ("SOFT SOFT", [set()], [{"0", "1"}]),
    ("SOFT HARD", [set()], [{"0"}, {"1"}]),
    ("HARD SOFT", [set()], [{"0"}, {"1"}]),
    ("HARD HARD NONE", [set()], [{"0"}, {"1"}, {"2"}]),
    ("NONE NONE HARD NONE SOFT", [{"0", "1"}], [{"2"}, {"3", "4"}]),
    ("SINGLE HARD SINGLE", [{"0"}], [{"1"}, {"2"}]),
]


@pytest.mark.parametrize(("blocking", "driving", "standing"), SEQUENCES)
def test_blocking_types_6_2_2(
    blocking: str, driving: list[set[str]], standing: list[set[str]]
) -> None:
    actions = [action(str(i), kind) for i, kind in enumerate(blocking.split())]
    bench = Bench(node(0, *actions)).arrive()
    seen = []
    for changes, count in ((DRIVING, len(driving)), (STANDING, len(standing))):
        for _ in range(count):
            bench.tick(**changes)
            seen.append({name for name, s in bench.statuses.items() if s == "RUNNING"})
    assert seen == [*driving, *standing]
    bench.tick()
    assert bench.runner.idle
    assert bench.log == [f"start {i}" for i in range(len(actions))]


@pytest.mark.parametrize(
    ("blocking", "holds"), [("NONE", False), ("SINGLE", False), ("SOFT", True), ("HARD", True)]
)
def test_the_robot_stands_only_for_actions_that_ask_for_it_6_12(blocking: str, holds: bool) -> None:
    bench = Bench(node(0), edge(1), node(2, action("a", blocking)))
    assert bench.runner.stops == ({2} if holds else set())
    assert not bench.runner.holds
    bench.arrive(3).tick(**DRIVING)
    assert bench.runner.holds is holds
    bench.tick(3)
    assert bench.statuses == {"a": "FINISHED"}
    assert not bench.runner.holds
    assert bench.runner.stops == set()


def test_an_edge_lets_the_robot_stand_on_the_node_where_it_begins_6_10_2() -> None:
    bench = Bench(node(0), edge(1), node(2), edge(3, action("a", "SOFT")), node(4))
    assert bench.runner.stops == {2}


def test_an_action_waits_until_its_element_is_reached_6_11() -> None:
    bench = Bench(node(0, action("a")), edge(1, action("b")), node(2, action("c")))
    bench.tick(3)
    assert bench.statuses == {"a": "WAITING", "b": "WAITING", "c": "WAITING"}
    assert not bench.runner.idle
    bench.arrive().tick()
    assert bench.statuses == {"a": "RUNNING", "b": "WAITING", "c": "WAITING"}


def test_the_edge_is_entered_once_the_robot_may_drive_again_6_10_2() -> None:
    bench = Bench(node(0, action("a", "HARD", ticks=3)), edge(1, action("b")), node(2))
    bench.arrive(2).tick(3)
    assert bench.statuses == {"a": "RUNNING", "b": "WAITING"}
    bench.tick(2)
    assert bench.statuses["a"] == "FINISHED"
    assert bench.statuses["b"] == "RUNNING"


@pytest.mark.parametrize("blocking", ["NONE", "SINGLE"])
def test_actions_of_an_edge_end_with_it_6_10_2(blocking: str) -> None:
    bench = Bench(node(0), edge(1, action("a", blocking, ticks=100)), node(2), edge(3), node(4))
    bench.arrive(2).tick(10, **DRIVING)
    assert bench.statuses == {"a": "RUNNING"}
    bench.arrive(2).tick(**DRIVING)
    assert bench.statuses == {"a": "FINISHED"}


def test_what_did_not_get_its_turn_on_the_edge_has_failed_6_10_2() -> None:
    long, late = action("long", "SINGLE", ticks=100), action("late", "SINGLE", retriable=True)
    bench = Bench(node(0), edge(1, long, late), node(2))
    bench.arrive(2).tick(5, **DRIVING)
    bench.arrive().tick(**DRIVING)
    assert bench.statuses == {"long": "FINISHED", "late": "FAILED"}
    assert bench.runner.idle


def test_actions_of_a_node_go_on_after_it_6_8() -> None:
    bench = Bench(node(0, action("a", ticks=100)), edge(1), node(2), edge(3), node(4))
    bench.arrive(5).tick(50, **DRIVING)
    assert bench.statuses == {"a": "RUNNING"}


def test_what_an_update_takes_out_of_the_horizon_is_no_longer_reported_6_6_9_1() -> None:
    bench = Bench(node(0, action("a")), edge(1), node(2, action("b")), node(4, action("c")))
    bench.arrive().tick(3)
    bench.orders.replace(edge(1), node(2, action("b")), node(4, action("d")))
    bench.tick()
    assert bench.statuses == {"a": "FINISHED", "b": "WAITING", "d": "WAITING"}


def test_a_new_order_clears_the_states_6_10_6() -> None:
    bench = Bench(node(0, action("a", fails=True))).arrive().tick(3)
    assert bench.statuses == {"a": "FAILED"}
    assert [e.context["actionId"] for e in bench.runner.errors] == ["a"]
    bench.orders = Orders([node(0, action("a"))], "B")
    bench.tick()
    assert bench.statuses == {"a": "WAITING"}
    assert bench.runner.errors == ()


@pytest.mark.parametrize(
    ("kind", "before", "after", "called"),
    [
        ("work", "RUNNING", "FAILED", "cancel a"),
        ("prepare", "INITIALIZING", "FAILED", "cancel a"),
        ("stubborn", "RUNNING", "RUNNING", "start a"),
    ],
)
def test_cancel_interrupts_what_it_may_6_6_3(
    kind: str, before: str, after: str, called: str
) -> None:
    first = action("a", kind=kind, ticks=5, retriable=True)
    bench = Bench(node(0, first, action("b", "HARD")), edge(1), node(2, action("c")))
    bench.arrive().tick(2)
    assert bench.statuses == {"a": before, "b": "WAITING", "c": "WAITING"}
    assert bench.runner.cancel()
    bench.orders.replace()
    assert bench.statuses == {"a": after, "b": "FAILED", "c": "FAILED"}
    assert bench.log[-1] == called
    bench.tick(10)
    assert bench.runner.idle
    assert bench.statuses["a"] == ("FINISHED" if kind == "stubborn" else "FAILED")
    assert bench.runner.errors == ()
    assert not bench.runner.cancel()


@pytest.mark.parametrize(
    ("kind", "paused"), [("work", "PAUSED"), ("prepare", "PAUSED"), ("restless", "RUNNING")]
)
def test_pause_pauses_what_it_may_and_nothing_begins_6_8(kind: str, paused: str) -> None:
    bench = Bench(node(0, action("a", kind=kind, ticks=9)), edge(1), node(2, action("b")))
    bench.arrive().tick()
    before = bench.statuses["a"]
    bench.runner.pause()
    bench.arrive(2).tick(3)
    assert bench.runner.paused
    assert bench.statuses == {"a": paused, "b": "WAITING"}
    bench.runner.resume()
    assert bench.statuses["a"] == before
    bench.tick(12)
    assert bench.statuses == {"a": "FINISHED", "b": "FINISHED"}
    assert bench.log.count("start a") == 1


def test_retry_6_6_9() -> None:
    bench = Bench(node(0, action("a", "HARD", retriable=True, fails=True)), edge(1), node(2))
    bench.arrive().tick(4)
    assert bench.statuses == {"a": "RETRIABLE"}
    assert bench.runner.holds
    assert bench.runner.errors[0].detail == "told to"
    assert not bench.runner.retry("b")
    assert not bench.runner.skip_retry("b")
    assert bench.runner.retry("a")
    bench.tick()
    assert bench.statuses == {"a": "RUNNING"}
    assert not bench.runner.retry("a")
    bench.tick(3)
    assert bench.statuses == {"a": "RETRIABLE"}
    assert bench.runner.skip_retry("a")
    assert bench.statuses == {"a": "FAILED"}
    assert not bench.runner.holds


@pytest.mark.parametrize("blocking", ["NONE", "SOFT", "SINGLE", "HARD"])
def test_an_action_that_stands_alone_does_so_whatever_the_order_asks(blocking: str) -> None:
    bench = Bench(node(0, action("a"), action("b", blocking, "alone"), action("c")))
    assert bench.runner.stops == {0}
    bench.arrive().tick()
    assert bench.statuses == {"a": "RUNNING", "b": "WAITING", "c": "WAITING"}
    bench.tick()
    assert bench.statuses == {"a": "FINISHED", "b": "RUNNING", "c": "WAITING"}


def test_actions_at_once_block_nothing_6_2_1() -> None:
    bench = Bench(node(0, action("a", "HARD", ticks=5))).arrive().tick()
    bench.runner.start_instant(action("i", "HARD", ticks=2), situation())
    bench.tick(**DRIVING)
    assert [job.status for job in bench.runner.take_instant_jobs()] == ["RUNNING"]
    assert bench.statuses == {"a": "RUNNING"}
    bench.tick()
    assert [job.status for job in bench.runner.take_instant_jobs()] == ["FINISHED"]
    assert bench.runner.take_instant_jobs() == ()


CHARGER = ChargingParams(voltage_v=27.0, patience_s=1.0)
PLANT = ActionRegistry(
    (WAIT_FOR_TRIGGER, LOG_REPORT, *charging_kinds(CHARGER), *handling_kinds(50.0))
)


@pytest.mark.parametrize(
    ("types", "source", "taken"),
    [
        ("FLEET_CONTROL", FLEET_CONTROL, True),
        ("FLEET_CONTROL", LOCAL, False),
        (["LOCAL"], LOCAL, True),
        (["LOCAL"], FLEET_CONTROL, False),
        (["LOCAL", "FLEET_CONTROL"], FLEET_CONTROL, True),
        ("button", LOCAL, True),
        ("button", FLEET_CONTROL, True),
    ],
)
def test_wait_for_trigger_6_2_3_1(types: object, source: str, taken: bool) -> None:
    asked = action("w", "HARD", "waitForTrigger", triggerType=types)
    bench = Bench(node(0, asked), kinds=PLANT)
    assert not bench.runner.trigger(source), "it is not waited for yet"
    bench.arrive().tick(5)
    assert bench.runner.trigger(source) is taken
    bench.tick()
    assert bench.statuses == {"w": "FINISHED" if taken else "RUNNING"}
    assert bench.runner.cancel() is not taken


@pytest.mark.parametrize(
    ("battery_v", "status"), [(27.5, "FINISHED"), (26.0, "FAILED"), (math.nan, "FAILED")]
)
def test_charging_is_told_by_the_voltage_6_8_2(battery_v: float, status: str) -> None:
    bench = Bench(node(0, action("c", "HARD", "startCharging")), kinds=PLANT).arrive()
    bench.tick(battery_v=25.0)
    assert bench.statuses == {"c": "INITIALIZING"}
    bench.tick(60, battery_v=battery_v)
    assert bench.statuses == {"c": status}
    assert bench.runner.charging is (status == "FINISHED")
    bench.tick(**DRIVING)
    assert not bench.runner.charging, "it has left the charger"


def test_stop_charging_6_8() -> None:
    start, stop = action("1", "HARD", "startCharging"), action("2", "HARD", "stopCharging")
    bench = Bench(node(0, start), edge(1), node(2, stop), kinds=PLANT).arrive()
    bench.tick(battery_v=28.0)
    assert bench.runner.charging
    bench.arrive(2).tick()
    assert not bench.runner.charging


def test_pick_and_drop_change_the_loads_6_8() -> None:
    picks = action("p", "HARD", "pick", loadId="L1", loadType="EPAL", weight=20)
    again, wrong = action("q", "HARD", "pick"), action("x", "HARD", "drop", loadId="L2")
    drops = action("d", "HARD", "drop", loadType="EPAL")
    bench = Bench(node(0, picks), node(2, again, wrong), node(4, drops), kinds=PLANT)
    bench.arrive().tick()
    (load,) = bench.runner.loads
    assert (load.load_id, load.load_type, load.load_position) == ("L1", "EPAL", "deck")
    assert load.weight == 20.0
    bench.arrive().tick(3)
    assert bench.statuses == {"p": "FINISHED", "q": "FAILED", "x": "FAILED", "d": "WAITING"}
    bench.arrive().tick()
    assert bench.runner.loads == ()


def test_log_report_6_8_2() -> None:
    runner = ActionRunner(PLANT)
    runner.start_instant(action("l", kind="logReport", reason="it squeaks"), situation())
    state = runner.take_instant_jobs()[0].state
    (report,) = runner.take_reports()
    assert (state.action_status, state.result_description) == ("FINISHED", report.name)
    assert report.reason == "it squeaks"
    assert runner.take_reports() == ()


@pytest.mark.parametrize(
    ("asked", "scope", "problem"),
    [
        (action("a", kind="levitate"), ActionScope.NODE, "levitate is not supported"),
        (action("a", kind="pick"), ActionScope.EDGE, "pick is for node, not for edge"),
        (action("a", kind="pick", lhd="fork"), ActionScope.NODE, "lhd is fork"),
        (action("a", kind="pick", weight=51), ActionScope.NODE, "weight is 51 kg"),
        (action("a", kind="pick", height=0.5), ActionScope.NODE, "height is above the floor"),
        (action("a", kind="pick", loadId=7), ActionScope.NODE, "loadId is no string"),
        (action("a", kind="pick", weight=True), ActionScope.NODE, "weight is no number"),
        (action("a", kind="waitForTrigger"), ActionScope.NODE, "triggerType is missing"),
        (
            action("a", kind="waitForTrigger", triggerType=1),
            ActionScope.NODE,
            "triggerType is no string or array",
        ),
        (action("a", kind="logReport", reason="x"), ActionScope.NODE, "logReport is for instant"),
        (action("a", kind="startCharging"), ActionScope.INSTANT, None),
        (action("a", kind="pick", weight=50.0, depth=1), ActionScope.NODE, None),
    ],
)
def test_what_the_robot_cannot_do_is_told_6_6_4_2(
    asked: Action, scope: ActionScope, problem: str | None
) -> None:
    said = PLANT.problem(asked, scope)
    assert said is None if problem is None else problem in (said or "")


@pytest.mark.parametrize(
    ("kind", "after"), [("work", "FAILED"), ("stubborn", "FAILED"), ("again", "RUNNING")]
)
def test_after_a_restart_no_action_runs_twice(kind: str, after: str) -> None:
    first = action("a", "HARD", kind, ticks=5)
    bench = Bench(node(0, first, action("b", "HARD")), edge(1, action("e")), node(2, action("c")))
    bench.arrive(2).tick(2)
    bench.runner.start_instant(action("t", kind="take"), situation())
    bench.runner.pause()
    saved = saved_of(bench.runner)
    other = ActionRunner(registry(bench.log))
    other.restore(saved)
    assert saved_of(other) | {"jobs": []} == saved | {"jobs": []}
    assert [load.load_id for load in other.loads] == ["crate"]
    assert other.paused
    bench.runner = other
    other.resume()
    bench.tick()
    assert bench.statuses["a"] == after
    bench.tick(20)
    assert bench.statuses["b"] == bench.statuses["e"] == "FINISHED"
    assert bench.statuses["c"] == "WAITING"
    assert bench.log.count("start a") == (2 if kind == "again" else 1)


@pytest.mark.parametrize("broken", ["order_id", "jobs", "loads", "paused"])
def test_a_broken_snapshot_changes_nothing(broken: str) -> None:
    saved = saved_of(Bench(node(0, action("a"))).arrive().tick().runner)
    runner = ActionRunner(registry())
    with pytest.raises(KeyError):
        runner.restore({key: value for key, value in saved.items() if key != broken})
    with pytest.raises(KeyError, match="work"):
        ActionRunner().restore(saved)
    assert runner.states == ()


def test_a_retriable_action_that_a_restart_interrupted_may_be_retried() -> None:
    bench = Bench(node(0, action("a", "HARD", ticks=5, retriable=True))).arrive().tick(2)
    other = ActionRunner(registry(bench.log))
    other.restore(saved_of(bench.runner))
    bench.runner = other
    bench.tick(3)
    assert bench.statuses == {"a": "RETRIABLE"}
    assert other.retry("a")
    bench.tick(7)
    assert bench.statuses == {"a": "FINISHED"}


class Point:
    """An entry point of another distribution."""

    name, value = "beep", "beeper:KIND"

    def __init__(self, found: object) -> None:
        self._found = found

    def load(self) -> object:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def test_other_distributions_bring_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    def install(found: object) -> None:
        points = {GROUP: [Point(found)]}
        monkeypatch.setattr(metadata, "entry_points", lambda group: points.get(group, []))

    install(WAIT_FOR_TRIGGER)
    assert installed_kinds() == [WAIT_FOR_TRIGGER]
    for broken in (ImportError("no module beeper"), "a text"):
        install(broken)
        with pytest.raises(ConfigError, match=r"action beep \(beeper:KIND\)"):
            installed_kinds()


# 3.0, table 13 and figure 21; what passes several within a tick is told by the last.
NEXT = {
    "WAITING": {"INITIALIZING", "RUNNING", "RETRIABLE", *OVER},
    "INITIALIZING": {"RUNNING", "PAUSED", "RETRIABLE", *OVER},
    "RUNNING": {"PAUSED", "RETRIABLE", *OVER},
    "PAUSED": {"INITIALIZING", "RUNNING", "RETRIABLE", *OVER},
    "RETRIABLE": {"INITIALIZING", "RUNNING", *OVER},
    "FINISHED": set(),
    "FAILED": set(),
}
BLOCKING = st.sampled_from(["NONE", "SOFT", "SINGLE", "HARD"])
KINDS = st.sampled_from(["work", "prepare", "stubborn", "restless", "again", "alone"])


class Machine(RuleBasedStateMachine):
    """Random actions, pauses, cancels, retries, restarts; the robot obeys ``holds`` a tick late."""

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.starts: list[str] = []
        self.restarted: set[str] = set()
        self.retried: set[str] = set()
        self.driving = self.was_driving = False
        self.ticks = 0
        self.last: dict[str, str] = {}
        self.blocking: dict[str, str] = {}
        elements: list[Node | Edge] = []
        for sequence_id in range(7):
            actions = [self._draw(data) for _ in range(data.draw(st.integers(0, 4)))]
            elements.append((edge if sequence_id % 2 else node)(sequence_id, *actions))
        self.orders = Orders(elements)
        self.runner = ActionRunner(registry(self.starts))

    def _draw(self, data: st.DataObject) -> Action:
        name, kind, blocking = f"a{len(self.blocking)}", data.draw(KINDS), data.draw(BLOCKING)
        self.blocking[name] = "HARD" if kind == "alone" else blocking
        return action(
            name,
            blocking,
            kind,
            retriable=data.draw(st.booleans()),
            ticks=data.draw(st.integers(0, 4)),
            fails=data.draw(st.booleans()),
        )

    @rule(ticks=st.integers(1, 4))
    def tick(self, ticks: int) -> None:
        for _ in range(ticks):
            self.runner.take(self.orders)
            self.was_driving = self.driving
            self.driving = not self.runner.holds and not self.runner.paused
            self.runner.advance(situation(driving=self.driving or self.was_driving), self.orders)
            self.ticks += 1
            self.check()

    @rule(ticks=st.integers(1, 4))
    def arrive(self, ticks: int) -> None:
        """Reach the next node, and with it enter the edge that begins there."""
        if not self.runner.holds and not self.runner.paused:
            self.orders.arrive(2)
        self.tick(ticks)

    @rule(ticks=st.integers(0, 4))
    def pause(self, ticks: int) -> None:
        self.runner.pause()
        self.tick(ticks)
        self.runner.resume()

    @precondition(lambda self: self.ticks > 15)
    @rule()
    def cancel(self) -> None:
        self.runner.take(self.orders)
        self.runner.cancel()
        self.orders.replace()
        assert "WAITING" not in self.statuses.values()

    @rule(data=st.data(), skips=st.booleans())
    def retry(self, data: st.DataObject, skips: bool) -> None:
        found = [name for name, status in self.statuses.items() if status == "RETRIABLE"]
        if found:
            name = data.draw(st.sampled_from(found))
            self.retried.add(name)
            assert self.runner.skip_retry(name) if skips else self.runner.retry(name)

    @rule()
    def restart(self) -> None:
        saved = saved_of(self.runner)
        self.runner = ActionRunner(registry(self.starts))
        self.runner.restore(saved)
        self.restarted |= set(self.statuses)
        self.last = {n: s for n, s in self.last.items() if s in OVER}

    @property
    def statuses(self) -> dict[str, str]:
        return {s.action_id: str(s.action_status) for s in self.runner.states}

    def check(self) -> None:
        statuses = self.statuses
        for name, status in statuses.items():
            before = self.last.get(name, "WAITING")
            assert status == before or status in NEXT[before], (name, before, status)
        at_work = [n for n, s in statuses.items() if s in ("INITIALIZING", "RUNNING")]
        begun = [n for n in at_work if self.last.get(n, "WAITING") == "WAITING"]
        open_ = [*at_work, *(n for n, s in statuses.items() if s == "PAUSED")]
        for name in open_:
            if self.blocking[name] in ("HARD", "SINGLE"):
                assert open_ == [name]
            if self.blocking[name] in ("HARD", "SOFT"):
                assert self.runner.holds
                assert not (self.driving or self.was_driving) or name not in begun
        self.last = statuses

    @invariant()
    def nothing_runs_twice(self) -> None:
        for name in set(self.starts):
            if name.startswith("start ") and name[6:] not in self.restarted | self.retried:
                assert self.starts.count(name) == 1

    @invariant()
    def what_is_over_stays_so(self) -> None:
        if hasattr(self, "runner"):
            statuses = self.statuses
            for name, status in self.last.items():
                if status in OVER:
                    assert statuses.get(name, status) == status


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMachine = Machine.TestCase


def test_statuses_of_the_standard_are_all_known() -> None:
    assert set(NEXT) == {str(status) for status in ActionStatus}


def test_an_action_begins_only_once_a_power_cut_would_not_have_it_begin_again() -> None:
    bench = Bench(
        node(0, action("w", kind="again", ticks=9), action("a", "HARD", ticks=5), action("b"))
    )
    bench.arrive()
    for kept in (0, 0, 0):
        bench.runner.note_snapshots(1, kept)
        bench.tick()
    # What may be done twice does not wait.
    assert bench.log == ["start w"]
    bench = Bench(node(0, action("a", "HARD", ticks=5), action("b"))).arrive()
    bench.runner.note_snapshots(1, 0)
    bench.tick()
    assert bench.statuses["a"] == "WAITING"
    announced = saved_of(bench.runner)
    bench.runner.note_snapshots(2, 1)
    bench.tick()
    assert bench.log == ["start a"]
    # The power cut right after it finds but what was kept before.
    bench.runner = ActionRunner(registry(bench.log))
    bench.runner.restore(announced)
    bench.tick(5)
    assert bench.statuses == {"a": "FAILED", "b": "FINISHED"}
    assert bench.log == ["start a", "start b"]


def test_what_is_told_of_all_actions_is_made_anew_only_when_something_changes() -> None:
    bench = Bench(node(0, action("a", "HARD", ticks=3)), node(2, action("b"))).arrive().tick()
    record, states = bench.runner.record, bench.runner.states
    bench.tick()
    assert bench.runner.record is record
    assert bench.runner.states is states
    bench.tick(3)
    assert bench.runner.record is not record
    assert bench.statuses == {"a": "FINISHED", "b": "WAITING"}
    assert saved_of(bench.runner)["jobs"][0]["status"] == "FINISHED"
