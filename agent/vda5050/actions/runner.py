"""Which actions run when: beside driving, beside each other, one after the other.

VDA 5050 2.1, sections 6.10.2, 6.11 and 6.12; 3.0, sections 6.2.2, 6.6.2 and 6.6.9, figure 11.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from agent.errors import ActionFailed
from agent.positioning import PoseRequest
from agent.vda5050.actions.handler import (
    ChargingChanged,
    Effect,
    LoadLeft,
    LoadTaken,
    Maneuver,
    NodeStated,
    PoseStated,
    ReportMade,
)
from agent.vda5050.actions.job import (
    AT_WORK,
    FAILED,
    RETRIABLE,
    WAITING,
    Job,
    JobRecord,
)
from agent.vda5050.actions.registry import ActionRegistry
from agent.vda5050.messages import Action, ActionState, ActionStatus, Edge, Load, Node
from agent.vda5050.record_text import RecordText, array, table
from agent.vda5050.situation import Situation


class Orders(Protocol):
    """What the runner needs of an order book."""

    @property
    def order_id(self) -> str:
        """Order at hand, or the last one."""

    def arrivals(self) -> tuple[Node | Edge, ...]:
        """Return nodes reached and edges entered since the last call, in order."""

    def actions(self) -> tuple[tuple[Action, int], ...]:
        """Return the actions still ahead, base and horizon, with their element's sequence id."""


@dataclass(frozen=True, slots=True)
class ActionsRecord:
    """What of the actions survives a power cut.

    Attributes:
        order_id: The order that they belong to.
        jobs: Its actions.
        edge: To be entered once the robot may drive on.
        loads: What is on the robot.
        charging: Whether startCharging is in force.
        paused: Whether startPause is in force.
    """

    order_id: str
    jobs: tuple[JobRecord, ...]
    edge: Edge | None
    loads: tuple[Load, ...]
    charging: bool
    paused: bool

    def text(self, texts: RecordText) -> bytes:
        """Return it as JSON text."""
        return table(
            {
                "jobs": array(job.text(texts) for job in self.jobs),
                "edge": texts.of(self.edge),
                "loads": texts.of_all(self.loads),
            },
            {"order_id": self.order_id, "charging": self.charging, "paused": self.paused},
        )


@dataclass(frozen=True, slots=True)
class _View:
    """What is asked of all actions in every tick."""

    states: tuple[ActionState, ...]
    errors: tuple[ActionFailed, ...]
    stops: frozenset[int]
    idle: bool


class ActionRunner:
    """Performs the actions of the order at hand, and those at once that take a handler.

    Where a snapshot survives power cuts, an action that may do harm done twice begins only once
    there is one which says that it does.

    Attributes:
        registry: What the robot can perform.
    """

    def __init__(self, registry: ActionRegistry | None = None) -> None:
        """Begin with an empty robot and nothing to do."""
        self.registry = registry or ActionRegistry()
        self._order_id = ""
        self._jobs: dict[str, Job] = {}
        self._queue: list[Job] = []  # triggered and not over, in the order in which they were
        self._ahead: tuple[tuple[Action, int], ...] = ()
        self._edge: Edge | None = None  # to be entered once the robot may drive on
        self._instant: dict[str, Job] = {}
        self._loads: tuple[Load, ...] = ()
        self._charging = self._paused = False
        self._reports: list[ReportMade] = []
        self._pose_requests: list[PoseRequest] = []
        self._stated_nodes: list[str] = []
        self._next_snapshot = 0
        self._kept_snapshot: int | None = None
        self._view: _View | None = None
        self._record: ActionsRecord | None = None

    @property
    def states(self) -> tuple[ActionState, ...]:
        """All actions of the order, base and horizon, until there is another order."""
        return self._seen().states

    @property
    def errors(self) -> tuple[ActionFailed, ...]:
        """Why actions of the order failed; giving up an order is no error."""
        return self._seen().errors

    @property
    def idle(self) -> bool:
        """Whether every action of the order is over (3.0, section 6.6.8)."""
        return self._seen().idle

    @property
    def holds(self) -> bool:
        """Whether the robot must stand now because of an action (3.0, section 6.2.2)."""
        return any(job.stops for job in self._queue)

    @property
    def paused(self) -> bool:
        """Whether startPause is in force."""
        return self._paused

    @property
    def loads(self) -> tuple[Load, ...]:
        """What is on the robot."""
        return self._loads

    @property
    def charging(self) -> bool:
        """Whether startCharging is in force."""
        return self._charging

    @property
    def maneuver(self) -> Maneuver | None:
        """How an action drives the robot now, ``None`` where none does."""
        return next((job.motion for job in self._queue if job.motion), None)

    @property
    def stops(self) -> frozenset[int]:
        """Sequence ids of the nodes where the robot has to come to rest.

        That is for their own actions or for those of the edge that begins there; all other nodes
        are passed without a stop.
        """
        return self._seen().stops

    @property
    def record(self) -> ActionsRecord:
        """What survives a power cut; the same object as long as nothing changes."""
        if self._record is None:
            jobs = tuple(job.record for job in self._jobs.values())
            self._record = ActionsRecord(
                self._order_id, jobs, self._edge, self._loads, self._charging, self._paused
            )
        return self._record

    def note_snapshots(self, following: int, kept: int | None) -> None:
        """Take note of how far what is kept lags behind.

        Args:
            following: Number of the next snapshot, in which all that is noted now will be.
            kept: Number of the newest one that would survive a power cut; None where none does.
        """
        self._next_snapshot, self._kept_snapshot = following, kept

    def take_reports(self) -> tuple[ReportMade, ...]:
        """Return the reports to be stored that were made since the last call."""
        taken, self._reports = tuple(self._reports), []
        return taken

    def take_pose_requests(self) -> tuple[PoseRequest, ...]:
        """Return what actions of the order ask of localization since the last call."""
        taken, self._pose_requests = tuple(self._pose_requests), []
        return taken

    def take_stated_nodes(self) -> tuple[str, ...]:
        """Return the nodes that the robot stands on, as actions have said since the last call."""
        taken, self._stated_nodes = tuple(self._stated_nodes), []
        return taken

    def take(self, orders: Orders) -> None:
        """Take what has become of the order: what is new in it, and where the robot got to."""
        if orders.order_id != self._order_id:
            self._order_id = orders.order_id
            self._jobs, self._queue, self._edge, self._ahead = {}, [], None, ()
            self._note()
        arrivals, ahead = orders.arrivals(), orders.actions()
        if not arrivals and ahead is self._ahead:
            return
        self._note()
        self._ahead = ahead
        for element in arrivals:
            self._add((action, element.sequence_id) for action in element.actions)
            if isinstance(element, Edge):
                self._enter_pending()
                self._edge = element
            else:
                self._leave_edges(element.sequence_id)
                self._enqueue(element)
        self._keep_ahead(ahead)
        self._enter_pending()

    def advance(self, situation: Situation, orders: Orders) -> None:
        """Go on for a tick: start what may start, and let all that runs go on.

        Args:
            situation: The tick.
            orders: The order at hand.
        """
        self.take(orders)
        if situation.driving and self._charging:
            self._charging = False  # it has left the charger
            self._note()
        before = [(job, job.status, job.result) for job in self._queue]
        at_work = [job for job in self._queue if job.status in AT_WORK]
        for job in (*at_work, *self._instant_at_work()):
            self._apply(job.step(self._as_it_is(situation)))
        self._clear_queue()
        self._start(situation)
        self._clear_queue()
        if before != [(job, job.status, job.result) for job in self._queue]:
            self._note()
        self._enter_pending()

    def start_instant(self, action: Action, situation: Situation) -> None:
        """Perform an action at once; it blocks nothing (3.0, section 6.2.1)."""
        job = Job(action, self.registry[action.action_type])
        self._instant[action.action_id] = job
        self._apply(job.start(self._as_it_is(situation)))

    def take_instant_jobs(self) -> tuple[Job, ...]:
        """Return the actions at once and how they get on; those that are over are forgotten."""
        jobs = tuple(self._instant.values())
        self._instant = {name: job for name, job in self._instant.items() if not job.is_over}
        return jobs

    def cancel(self) -> bool:
        """Give up the actions of the order (2.1, section 6.6.3).

        Returns:
            Whether there was anything to give up.
        """
        was_idle = self.idle
        for job in self._jobs.values():
            if not job.is_over:
                job.cancel()
        self._edge = None
        self._clear_queue()
        self._note()
        return not was_idle

    def pause(self) -> None:
        """Pause what may be paused; nothing begins meanwhile (2.1, section 6.8)."""
        self._paused = True
        for job in (*self._queue, *self._instant.values()):
            job.pause()
        self._note()

    def resume(self) -> None:
        """Go on after a pause."""
        self._paused = False
        for job in (*self._queue, *self._instant.values()):
            job.resume()
        self._note()

    def trigger(self, source: str) -> bool:
        """Pass on a trigger to the first action that waits for it; returns whether one did."""
        return any(job.trigger(source) for job in self._queue)

    def retry(self, action_id: str) -> bool:
        """Try a RETRIABLE action again; returns whether there is one (3.0, section 6.2.3.1)."""
        job = self._retriable(action_id)
        if job is not None:
            job.is_due = True
        return job is not None

    def skip_retry(self, action_id: str) -> bool:
        """Let a RETRIABLE action be failed; returns whether there is one."""
        job = self._retriable(action_id)
        if job is not None:
            job.fail(job.result or "it was not tried again")
            self._clear_queue()
            self._note()
        return job is not None

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on after a restart; actions that were at work and may do harm twice have failed.

        Args:
            saved: A :attr:`record` as plain JSON values.

        Raises:
            KeyError: The configuration no longer has one of the actions, or a field is missing.
            ValueError: A field is broken.
        """
        jobs, queue = {}, []
        for entry in saved["jobs"]:
            action = Action.model_validate(entry["action"], strict=False)
            job = Job(action, self.registry[action.action_type], entry["sequence_id"])
            job.cancelled = entry["cancelled"]
            status, is_announced = ActionStatus(entry["status"]), entry["is_announced"]
            job.restore(status, entry["result"], is_announced=is_announced)
            jobs[action.action_id] = job
            if entry["is_queued"] and not job.is_over:
                job.is_queued = True
                queue.append(job)
        edge = saved["edge"]
        edge = None if edge is None else Edge.model_validate(edge, strict=False)
        loads = tuple(Load.model_validate(load, strict=False) for load in saved["loads"])
        order_id, charging, paused = saved["order_id"], saved["charging"], saved["paused"]
        # Only now that all could be read: what is broken changes nothing.
        self._jobs, self._queue, self._edge, self._ahead = jobs, queue, edge, ()
        self._order_id, self._loads = order_id, loads
        self._charging, self._paused = charging, paused
        self._note()

    def _note(self) -> None:
        """Have what is told of all actions made anew."""
        self._view = self._record = None

    def _seen(self) -> _View:
        if self._view is None:
            jobs = self._jobs.values()
            failed = (j for j in jobs if j.status in (FAILED, RETRIABLE) and not j.cancelled)
            is_open = [job for job in jobs if not job.is_over]
            self._view = _View(
                tuple(job.state for job in jobs),
                tuple(job.failure(topic="order", orderId=self._order_id) for job in failed),
                frozenset(j.sequence_id - j.sequence_id % 2 for j in is_open if j.stops),
                not is_open,
            )
        return self._view

    def _keep_ahead(self, ahead: tuple[tuple[Action, int], ...]) -> None:
        """Add what is new ahead, and drop what an update took out of the horizon (3.0, 6.6.9.1)."""
        names = {action.action_id for action, _ in ahead}
        pending = {action.action_id for action in self._edge.actions} if self._edge else set()
        triggered = {job.action.action_id for job in self._queue} | pending
        self._jobs = {
            name: job
            for name, job in self._jobs.items()
            if name in names or name in triggered or job.status is not WAITING
        }
        self._add(ahead)

    def _add(self, actions: Iterable[tuple[Action, int]]) -> None:
        for action, sequence_id in actions:
            if action.action_id not in self._jobs:
                kind = self.registry[action.action_type]
                self._jobs[action.action_id] = Job(action, kind, sequence_id)

    def _enqueue(self, element: Node | Edge) -> None:
        """Trigger the actions of an element, in their order (3.0, section 6.2.2)."""
        for action in element.actions:
            job = self._jobs[action.action_id]
            is_here = job.sequence_id == element.sequence_id
            if is_here and job.status is WAITING and job not in self._queue:
                job.is_queued = True
                self._queue.append(job)

    def _enter_pending(self) -> None:
        """Enter the edge ahead, unless the robot still has to stand on its node (2.1, 6.10.2)."""
        if self._edge is not None and not self.holds:
            self._enqueue(self._edge)
            self._edge = None
            self._note()

    def _leave_edges(self, sequence_id: int) -> None:
        """Finish what is active on the edges that end at or before a node (2.1, 6.10.2)."""
        self._edge = None
        for job in self._jobs.values():
            if job.sequence_id % 2 and job.sequence_id < sequence_id and not job.is_over:
                self._apply(job.leave())
                if not job.is_over:
                    job.fail("the edge was left before it was done")
        self._clear_queue()

    def _start(self, situation: Situation) -> None:
        """Start in the order of the queue what may run now; whoever may not lets none pass."""
        if self._paused:
            return
        for place, job in enumerate(self._queue):
            if job.is_alone and not all(other.is_over for other in self._queue[:place]):
                return
            if job.is_due:
                if job.stops and situation.driving:
                    return
                if self._may_begin(job):
                    self._apply(job.start(self._as_it_is(situation)))
            if job.is_alone and not job.is_over:
                return

    def _may_begin(self, job: Job) -> bool:
        """Whether a power cut right after its beginning would not have it begin again."""
        kept = self._kept_snapshot
        if kept is None or job.kind.repeatable:
            return True
        if job.announced is None:
            job.announced = self._next_snapshot
            self._note()
        return kept >= job.announced

    def _as_it_is(self, situation: Situation) -> Situation:
        """Return the situation with what other actions did to the robot in this very tick."""
        return replace(situation, loads=self._loads, charging=self._charging)

    def _instant_at_work(self) -> list[Job]:
        return [job for job in self._instant.values() if job.status in AT_WORK]

    def _clear_queue(self) -> None:
        self._queue = [job for job in self._queue if not job.is_over]

    def _retriable(self, action_id: str) -> Job | None:
        job = self._jobs.get(action_id)
        return job if job is not None and job.status is RETRIABLE else None

    def _apply(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self._note()
            match effect:
                case LoadTaken(load):
                    self._loads = (*self._loads, load)
                case LoadLeft(load):
                    self._loads = tuple(other for other in self._loads if other != load)
                case ChargingChanged(charging):
                    self._charging = charging
                case ReportMade():
                    self._reports.append(effect)
                case PoseStated(request):
                    self._pose_requests.append(request)
                case NodeStated(node_id):
                    self._stated_nodes.append(node_id)
