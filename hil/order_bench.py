"""What an order of a thousand nodes costs, and whether the control loop notices.

The parts are timed in this process, one after the other. Then the real daemon drives down the lane
of the hall, once by an order of two nodes, and once by one whose horizon of a thousand nodes is
replaced all the time; the cycles of its loop are compared.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from agent.clock import Clock
from agent.geometry.pose import Pose2
from agent.local.client import ask
from agent.localization.estimate import PoseEstimate
from agent.mapping.occupancy_grid import OccupancyGrid
from agent.vda5050.actions.registry import ActionRegistry
from agent.vda5050.actions.runner import ActionRunner
from agent.vda5050.factsheet import Vehicle
from agent.vda5050.identity import Identity
from agent.vda5050.instant_actions import InstantActionRunner
from agent.vda5050.itinerary import Station, graph
from agent.vda5050.messages import (
    Action,
    ActionParameter,
    BlockingType,
    HeaderCounter,
    Order,
)
from agent.vda5050.order_book import OrderBook
from agent.vda5050.order_checks import read_order
from agent.vda5050.order_memory import OrderMemory, Resume
from agent.vda5050.situation import Situation
from agent.vda5050.state_report import StateReport
from agent.vda5050.topics import publication
from hil.broker import LOOPBACK
from hil.errors import BenchError
from hil.lane_rig import LaneRig, lane_stations
from hil.ledger import AGAIN, AGAIN_KIND, DURATION
from hil.master_control import MasterControl, MqttMaster
from hil.scenario import MAP_ID

REPEATS: Final = 7
SPEED_MPS: Final = 0.8
DRIVE_M: Final = 20.0
WINDOW_NS: Final = 15_000_000_000
UPDATE_NS: Final = 1_500_000_000
POLL_NS: Final = 50_000_000
ONLINE_S: Final = 30.0
TICKS_A_S: Final = 50

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class OrderCosts:
    """Median times of the parts, in ms.

    Attributes:
        nodes: Of the order.
        actions: On them and on its edges.
        bytes: Of its message.
        decode_ms: From bytes to a message, in the receiving thread.
        prepare_ms: What else that thread finds out.
        apply_ms: In the loop: taking it up, with its actions.
        state_ms: In the loop: building a full state message.
        note_ms: In the loop: noting what is to be kept.
        write_ms: Its text, in the writing thread.
        state_bytes: Of the state message.
    """

    nodes: int
    actions: int
    bytes: int
    decode_ms: float
    prepare_ms: float
    apply_ms: float
    state_ms: float
    note_ms: float
    write_ms: float
    state_bytes: int


@dataclass(frozen=True, slots=True)
class LoopCosts:
    """Cycles of the daemon's loop in one window, in ms.

    Attributes:
        cycles: How many.
        orders: Messages taken meanwhile.
        work_p50_ms: Median of the work of a cycle.
        work_p99_ms: And its 99th percentile.
        work_max_ms: And the most.
        late_p99_ms: The 99th percentile of the lateness with which cycles began.
        late_max_ms: And the most.
    """

    cycles: int
    orders: int
    work_p50_ms: float
    work_p99_ms: float
    work_max_ms: float
    late_p99_ms: float
    late_max_ms: float


def long_order(identity: Identity, nodes: int, *, acting: bool) -> Order:
    """Return an order of many nodes, one base, with an action on each element if asked for."""
    stations = [Station(0.04 * i, 0.0, node_id=f"n{i}", max_speed_mps=1.0) for i in range(nodes)]
    places, ways = graph(stations, MAP_ID)

    def work(sequence_id: int) -> list[Action]:
        duration = ActionParameter(key=DURATION, value=0.1)
        action = Action(
            action_type=AGAIN,
            action_id=f"a{sequence_id}",
            blocking_type=BlockingType.NONE,
            action_parameters=[duration],
        )
        return [action] if acting else []

    return Order(
        **HeaderCounter(identity).next("order", 0),
        order_id="long",
        order_update_id=0,
        nodes=[
            n.model_copy(update={"released": True, "actions": work(n.sequence_id)}) for n in places
        ],
        edges=[
            e.model_copy(update={"released": True, "actions": work(e.sequence_id)}) for e in ways
        ],
    )


def measure_parts(nodes: int, clock: Clock, *, acting: bool) -> OrderCosts:
    """Time what the daemon does with such an order, part by part."""
    order = long_order(Identity("haulier", "bench"), nodes, acting=acting)
    parts = _Parts(order, clock)
    for _ in range(REPEATS):
        parts.measure()
    return OrderCosts(
        nodes=nodes,
        actions=2 * nodes - 1 if acting else 0,
        bytes=len(parts.payload),
        decode_ms=parts.middle_ms("decode"),
        prepare_ms=parts.middle_ms("prepare"),
        apply_ms=parts.middle_ms("apply"),
        state_ms=parts.middle_ms("state"),
        note_ms=parts.middle_ms("note"),
        write_ms=parts.middle_ms("write"),
        state_bytes=parts.state_bytes,
    )


class _Parts:
    """Takes an order up again and again, each time by a new robot."""

    def __init__(self, order: Order, clock: Clock) -> None:
        self._clock = clock
        self._identity = Identity(order.manufacturer, order.serial_number)
        self._registry = ActionRegistry((AGAIN_KIND,))
        self._maps = {
            MAP_ID: OccupancyGrid(np.zeros((60, 60), np.int8), 1.0, Pose2(-10.0, -30.0, 0.0))
        }
        self._at = _situation()
        self._times_ns: dict[str, list[int]] = {}
        self.payload = order.encode()
        self.state_bytes = 0

    def middle_ms(self, name: str) -> float:
        """Return the median of a part."""
        return round(float(np.median(self._times_ns[name])) * 1e-6, 3)

    def measure(self) -> None:
        """Time each part once more."""
        actions = ActionRunner(self._registry)
        book = OrderBook(self._identity, self._maps, action_problem=self._registry.problem_at)
        instant = InstantActionRunner(self._identity, actions)
        memory = OrderMemory(book, instant, Resume.RESUME)
        report = StateReport(self._identity, _vehicle())
        report.publications(self._at, book, instant)
        order = self._timed("decode", lambda: read_order(self.payload))
        prepared = self._timed("prepare", lambda: book.preparation.prepare(order))

        def apply() -> None:
            book.receive(self.payload, self._at, prepared)
            actions.take(book)

        self._timed("apply", apply)
        snapshot = self._timed("note", memory.news)
        if snapshot is None:
            raise BenchError("an order was taken, and there is nothing to keep")
        self._timed("write", snapshot)
        later = replace(self._at, now_ns=self._at.now_ns + 10_000_000_000)
        sent = self._timed("state", lambda: report.publications(later, book, instant))
        self.state_bytes = next(len(p.payload) for p in sent if p.topic == "state")

    def _timed(self, name: str, work: Callable[[], Result]) -> Result:
        began_ns = self._clock.now_ns()
        result = work()
        self._times_ns.setdefault(name, []).append(self._clock.now_ns() - began_ns)
        return result


def measure_loop(directory: Path, nodes: int, clock: Clock) -> tuple[LoopCosts, LoopCosts]:
    """Return what the daemon's loop does by a short order, and by one that is long and changes.

    Args:
        directory: For everything that the processes write.
        nodes: Of each message of the long order.
        clock: Real time.
    """
    store = {"HAULIER_ORDER__STORE": str(directory.resolve() / "order")}
    with LaneRig(directory, clock, environment=store) as rig:
        rig.pty.wait_until_ready()
        core = MasterControl(rig.identity, clock)
        with MqttMaster(core, rig.identity, LOOPBACK, rig.port) as master:
            if not master.wait_for(lambda core: core.online, ONLINE_S):
                raise BenchError("the robot did not come online at the broker")
            drive = _LoopDrive(rig, master, core, clock)
            return drive.window(2), drive.window(nodes)


class _LoopDrive:
    """Drives down the lane twice."""

    def __init__(self, rig: LaneRig, master: MqttMaster, core: MasterControl, clock: Clock) -> None:
        self._rig = rig
        self._master = master
        self._core = core
        self._clock = clock
        self._headers = HeaderCounter(rig.identity)
        self._orders = 0

    def window(self, nodes: int) -> LoopCosts:
        """Drive for a while, with updates if there is a horizon."""
        self._orders += 1
        x_m, _, _ = self._rig.pty.bench.truth()["pose"]
        (first, *_) = lane_stations(self._rig.hall, 1, 1.0)
        stations = [Station(x_m, first.y_m, node_id="here", deviation_m=0.5)]
        stations += [
            Station(
                x_m + DRIVE_M + 0.001 * i,
                first.y_m,
                node_id=f"n{i}",
                max_speed_mps=SPEED_MPS,
            )
            for i in range(nodes - 1)
        ]
        update = 0
        self._send(stations, update)
        started_ns = self._clock.now_ns()
        next_ns = started_ns + UPDATE_NS
        while self._clock.now_ns() < started_ns + WINDOW_NS:
            if nodes > 2 and self._clock.now_ns() >= next_ns:
                update, next_ns = update + 1, next_ns + UPDATE_NS
                self._send(stations, update)
            self._clock.wait_until_ns(self._clock.now_ns() + POLL_NS)
        status = self._rig.pty.status()
        if status["order"]["order_update_id"] != update or status["order"]["idle"]:
            raise BenchError(f"the robot did not take all updates: {status['order']}")
        costs = self._costs(update + 1)
        self._master.instant_action("cancelOrder")
        if not self._master.wait_for(
            lambda core: core.state is not None and not core.state.node_states, ONLINE_S
        ):
            raise BenchError("the order was not cancelled")
        return costs

    def _send(self, stations: list[Station], update: int) -> None:
        """Send an order of which two nodes are released, or its update from there on."""
        places, ways = graph(stations, MAP_ID)
        start = 1 if update else 0
        message = Order(
            **self._headers.next("order", self._clock.utc_ns()),
            order_id=f"cost-{self._orders}",
            order_update_id=update,
            nodes=[n.model_copy(update={"released": i < 2}) for i, n in enumerate(places)][start:],
            edges=[e.model_copy(update={"released": i < 1}) for i, e in enumerate(ways)][start:],
        )
        self._master.send(publication(message))

    def _costs(self, orders: int) -> LoopCosts:
        count = WINDOW_NS * TICKS_A_S // 1_000_000_000
        socket = self._rig.pty.log.with_name("haulier.sock")
        cycles = ask(socket, "cycles", count=count)
        work, late = np.array(cycles["work_ms"]), np.array(cycles["lateness_ms"])

        def rounded(values: NDArray[np.float64], share: float) -> float:
            return round(float(np.percentile(values, share)), 3)

        return LoopCosts(
            cycles=len(work),
            orders=orders,
            work_p50_ms=rounded(work, 50),
            work_p99_ms=rounded(work, 99),
            work_max_ms=rounded(work, 100),
            late_p99_ms=rounded(late, 99),
            late_max_ms=rounded(late, 100),
        )


def _situation() -> Situation:
    covariance = np.diag([1e-4, 1e-4, 1e-5])
    estimate = PoseEstimate(1_000_000_000, Pose2(0.0, 0.0, 0.0), covariance, 0.9, True)
    return Situation(
        now_ns=1_000_000_000,
        utc_ns=0,
        estimate=estimate,
        map_id=MAP_ID,
        forward_mps=0.0,
        yaw_rate_radps=0.0,
        battery_v=25.0,
        battery_charge=0.5,
        e_stop=False,
        field_violation=False,
        driving=False,
    )


def _vehicle() -> Vehicle:
    return Vehicle(
        series="bench",
        length_m=0.9,
        width_m=0.6,
        height_m=0.4,
        center_x_m=0.0,
        max_speed_mps=1.2,
        max_yaw_rate_radps=1.0,
        acceleration_mps2=0.5,
        deceleration_mps2=0.8,
    )
