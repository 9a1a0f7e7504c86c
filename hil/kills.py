"""The daemon is killed at any moment of an order with actions, as by a power cut, and started anew.

``kill -9`` of the real process; the plant, its devices and mosquitto go on. The base's own watchdog
stops the wheels, the daemon comes back without being told where it is, and finds its order on disk.
What must hold is looked up outside of the daemon: in the ledger of the plant's actions, in the true
path of the robot, and in what the master is told.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from agent.clock import Clock
from agent.local.client import ask
from agent.vda5050.messages import Action, ActionParameter, ActionStatus, BlockingType, State
from agent.vda5050.order_memory import Resume
from hil.broker import LOOPBACK
from hil.errors import BenchError
from hil.lane_rig import LANE_M, LaneRig, lane_stations
from hil.ledger import AGAIN, BEGUN, DONE, DURATION, ONCE, install, ledger_of, read_ledger
from hil.master_control import MasterControl, MqttMaster, Station
from hil.scenario import MAP_ID, NODE_DEVIATION_M

EDGES: Final = 4
SPACING_M: Final = 1.2
LAST_KILL_S: Final = 12.0  # after the order was sent; it takes about that long
MISSED_M: Final = NODE_DEVIATION_M + 0.1  # the pose is not exact
STILL_M: Final = 0.05
SEARCH_NS: Final = 30_000_000_000
END_NS: Final = 90_000_000_000
SAMPLE_NS: Final = 40_000_000
REPEAT_NS: Final = 1_000_000_000
OVER: Final = (ActionStatus.FINISHED, ActionStatus.FAILED)

# What is done where, by sequence id: type, blocking type and s.
WORK: Final[dict[int, tuple[tuple[str, BlockingType, float], ...]]] = {
    2: ((ONCE, BlockingType.HARD, 0.5),),
    3: ((ONCE, BlockingType.NONE, 0.3),),
    4: ((ONCE, BlockingType.SOFT, 0.6), (AGAIN, BlockingType.HARD, 0.4)),
    6: ((ONCE, BlockingType.NONE, 0.8), (ONCE, BlockingType.NONE, 0.0)),
    8: ((ONCE, BlockingType.HARD, 0.5), (ONCE, BlockingType.HARD, 0.0)),
}


@dataclass(frozen=True, slots=True)
class KillOutcome:
    """How one kill went.

    Attributes:
        run: Its number.
        policy: What the configuration says about interrupted orders.
        after_s: From the order to the kill.
        phase: How far the order had come: ``sent``, ``under way`` or ``over``.
        began: Actions that had begun before the kill.
        back_s: From the start of the daemon until the robot knew where it is.
        helped: Somebody had to tell it.
        sent_again: The order was unknown after the kill, and was sent again.
        ended: How the order did: ``finished``, ``failed`` or ``not at all``.
        interrupted: Actions that failed, as nobody knows what has come of them or as their order
            was given up.
        failures: What was not as it must be.
    """

    run: int
    policy: str
    after_s: float
    phase: str
    began: int
    back_s: float
    helped: bool
    sent_again: bool
    ended: str
    interrupted: int
    failures: tuple[str, ...]


@dataclass(slots=True)
class _Watch:
    """The true path of one run, and where in it the daemon was killed."""

    path_m: list[tuple[float, float]] = field(default_factory=list)
    killed_at: int = 0

    def nearest_m(self, station: Station) -> float:
        """Return how near the robot came to a node."""
        return min(math.dist((station.x_m, station.y_m), place) for place in self.path_m)


class KillBench:
    """Drives orders and kills the daemon; a context is a robot that lives on over all its runs.

    Args:
        directory: For everything that the processes write.
        clock: Real time.
        seed: Of hall, noise, and moments of the kills.
        policy: Of the daemon.
    """

    def __init__(self, directory: Path, clock: Clock, seed: int, policy: Resume) -> None:
        self._directory = directory.resolve()
        self._clock = clock
        self._policy = policy
        self._rng = np.random.default_rng([seed, len(policy)])
        self._ledger = ledger_of(self._directory)
        self._runs = 0
        self._steps = 0  # along the lane from its beginning
        self._heading = 1
        directory.mkdir(parents=True, exist_ok=True)
        environment = install(self._directory) | {
            "HAULIER_ORDER__STORE": str(self._directory / "order"),
            "HAULIER_ORDER__RESUME": str(policy),
        }
        self._rig = LaneRig(
            self._directory, clock, environment=environment, seed=seed, knows_start=False
        )
        self._core = MasterControl(self._rig.identity, clock)
        self._stations = lane_stations(self._rig.hall, int(LANE_M / SPACING_M), SPACING_M)

    def run(self, runs: int, tell: Callable[[KillOutcome], None]) -> list[KillOutcome]:
        """Kill it so many times.

        Raises:
            BenchError: Something did not come up.
        """
        outcomes = []
        with self._rig as rig:
            rig.pty.wait_until_ready()
            with MqttMaster(self._core, rig.identity, LOOPBACK, rig.port) as master:
                for _ in range(runs):
                    outcomes.append(self._kill(rig, master))
                    tell(outcomes[-1])
        return outcomes

    def _kill(self, rig: LaneRig, master: MqttMaster) -> KillOutcome:
        """Send an order, kill the daemon, start it again, and see what comes of it."""
        self._runs += 1
        stations, work, watch = self._next_way(), self._work(), _Watch()
        noted = len(read_ledger(self._ledger))
        after_s = float(self._rng.uniform(0.0, LAST_KILL_S))
        sent_ns = self._clock.now_ns()
        master.order(stations, MAP_ID, order_id=f"kill-{self._runs}", actions=work)
        self._watch(rig, watch, lambda: self._clock.now_ns() >= sent_ns + round(after_s * 1e9))
        rig.pty.kill_daemon()
        watch.killed_at = len(watch.path_m)
        phase, before = self._phase(), read_ledger(self._ledger)[noted:]
        back_s, helped = self._bring_back(rig, watch)
        sent_again = self._core.state is None or self._core.state.order_id != self._core.order_id
        if sent_again:
            master.repeat()
        ended = self._await_end(rig, watch)
        interrupted = len(_interrupted(self._core.state))
        failures = self._judge(stations, work, watch, noted, ended, is_new=sent_again)
        failures += self._repeat(rig, master, watch)
        self._go_to_the_end(rig, master, stations, ended)
        return KillOutcome(
            run=self._runs,
            policy=str(self._policy),
            after_s=round(after_s, 3),
            phase=phase,
            began=sum(what == BEGUN for what, _ in before),
            back_s=round(back_s, 2),
            helped=helped,
            sent_again=sent_again,
            ended=ended,
            interrupted=interrupted,
            failures=tuple(failures),
        )

    def _next_way(self) -> tuple[Station, ...]:
        """Return the next few nodes of the lane; at its ends the robot turns round."""
        if not 0 <= self._steps + EDGES * self._heading < len(self._stations):
            self._heading = -self._heading
        return tuple(self._stations[self._steps + i * self._heading] for i in range(EDGES + 1))

    def _work(self) -> dict[int, list[Action]]:
        return {
            place: [
                Action(
                    action_type=kind,
                    action_id=f"{self._runs}-{place}-{number}",
                    blocking_type=blocking,
                    action_parameters=[ActionParameter(key=DURATION, value=duration_s)],
                )
                for number, (kind, blocking, duration_s) in enumerate(actions)
            ]
            for place, actions in WORK.items()
        }

    def _watch(self, rig: LaneRig, watch: _Watch, until: Callable[[], bool]) -> None:
        """Follow the robot's true way until something holds."""
        while not until():
            pose = rig.pty.bench.truth()["pose"]
            watch.path_m.append((pose[0], pose[1]))
            self._clock.wait_until_ns(self._clock.now_ns() + SAMPLE_NS)

    def _phase(self) -> str:
        state = self._core.state
        if state is None or state.order_id != self._core.order_id:
            return "sent"
        return "over" if self._core.finished and _is_over(state) else "under way"

    def _bring_back(self, rig: LaneRig, watch: _Watch) -> tuple[float, bool]:
        """Start the daemon; returns how long it looked for its place, and whether it was told."""
        self._core.state = None
        started_ns = self._clock.now_ns()
        rig.pty.start_daemon()
        limit_ns, helped = started_ns + SEARCH_NS, False
        while not self._is_found():
            if self._clock.now_ns() > limit_ns:
                if helped:
                    raise BenchError("the robot does not know where it is although it was told")
                pose = rig.pty.bench.truth()["pose"]
                ask(rig.pty.log.with_name("haulier.sock"), "set_pose", pose=pose)
                limit_ns, helped = limit_ns + SEARCH_NS, True
            if rig.pty.daemon.poll() is not None:
                raise BenchError("the daemon ended")
            pose = rig.pty.bench.truth()["pose"]
            watch.path_m.append((pose[0], pose[1]))
            self._clock.wait_until_ns(self._clock.now_ns() + SAMPLE_NS)
        return (self._clock.now_ns() - started_ns) * 1e-9, helped

    def _is_found(self) -> bool:
        state = self._core.state
        position = state.agv_position if state else None
        return position is not None and position.position_initialized

    def _await_end(self, rig: LaneRig, watch: _Watch) -> str:
        limit_ns = self._clock.now_ns() + END_NS
        self._watch(rig, watch, lambda: self._ending() != "" or self._clock.now_ns() > limit_ns)
        return self._ending() or "not at all"

    def _ending(self) -> str:
        """Return how the order ended, empty while it did not."""
        state = self._core.state
        if state is None or state.order_id != self._core.order_id or not _is_over(state):
            return ""
        if any(error.error_type == "orderInterrupted" for error in state.errors):
            return "failed"
        return "finished" if self._core.finished else ""

    def _judge(
        self,
        stations: Sequence[Station],
        work: dict[int, list[Action]],
        watch: _Watch,
        noted: int,
        ended: str,
        *,
        is_new: bool,
    ) -> list[str]:
        """Return what is not as it must be."""
        failures = [] if ended != "not at all" else ["the order did not end"]
        if self._policy is Resume.RESUME and ended == "failed":
            failures.append("the order failed although it may be resumed")
        if self._policy is Resume.FAIL and ended == "finished" and self._went_on(watch, is_new):
            failures.append("the order went on although it must fail")
        if ended == "finished":
            failures += [
                f"{station.node_id} was missed by {watch.nearest_m(station):.2f} m"
                for station in stations
                if watch.nearest_m(station) > MISSED_M
            ]
        ledger = Counter(read_ledger(self._ledger)[noted:])
        told = {s.action_id: s.action_status for s in self._states()}
        for action in (action for actions in work.values() for action in actions):
            failures += _misdeeds(action, ledger, told.get(action.action_id))
        return failures

    def _went_on(self, watch: _Watch, is_new: bool) -> bool:
        """Whether the robot drove after it came back, although nobody sent the order again."""
        after = watch.path_m[watch.killed_at :]
        settled = after[len(after) // 4 :]  # the wheels roll out first
        return not is_new and math.dist(settled[0], settled[-1]) > STILL_M

    def _states(self) -> list[Any]:
        return list(self._core.state.action_states) if self._core.state else []

    def _repeat(self, rig: LaneRig, master: MqttMaster, watch: _Watch) -> list[str]:
        """Send the order once more: it is at hand, or was; nothing may happen."""
        noted, start = len(read_ledger(self._ledger)), rig.pty.bench.truth()["distance_m"]
        master.repeat()
        until_ns = self._clock.now_ns() + REPEAT_NS
        self._watch(rig, watch, lambda: self._clock.now_ns() >= until_ns)
        is_driven = rig.pty.bench.truth()["distance_m"] - start > STILL_M
        is_done = len(read_ledger(self._ledger)) > noted
        return ["a repeated order was driven again"] if is_driven or is_done else []

    def _go_to_the_end(
        self, rig: LaneRig, master: MqttMaster, stations: Sequence[Station], ended: str
    ) -> None:
        """Let the next run begin where this one should have ended."""
        self._steps += EDGES * self._heading
        if ended == "finished":
            return
        pose = rig.pty.bench.truth()["pose"]
        here = Station(pose[0], pose[1], node_id="here", deviation_m=1.0)
        master.order((here, stations[-1]), MAP_ID)
        limit_ns = self._clock.now_ns() + END_NS
        self._watch(rig, _Watch(), lambda: self._core.finished or self._clock.now_ns() > limit_ns)
        if not self._core.finished:
            raise BenchError(f"no further order is driven: {self._core.rejections}")


def _is_over(state: State) -> bool:
    return not state.node_states and all(s.action_status in OVER for s in state.action_states)


def _interrupted(state: State | None) -> list[str]:
    return (
        [s.action_id for s in state.action_states if s.action_status == "FAILED"] if state else []
    )


def _misdeeds(
    action: Action, ledger: Counter[tuple[str, str]], told: ActionStatus | None
) -> list[str]:
    """Return what is wrong with what became of an action."""
    name = action.action_id
    begun, done = ledger[BEGUN, name], ledger[DONE, name]
    failures = []
    if done > 1 or (begun > 1 and action.action_type == ONCE):
        failures.append(f"{name} was begun {begun} times and done {done} times")
    if told is ActionStatus.FINISHED and done == 0:
        failures.append(f"{name} is told to be FINISHED and was not done")
    if told is ActionStatus.WAITING and begun:
        failures.append(f"{name} is told to be WAITING and was begun")
    return failures
