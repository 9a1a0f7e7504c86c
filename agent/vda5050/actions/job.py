"""One action on its way from WAITING to its end (2.1, section 6.11; 3.0, section 6.6.9)."""

from typing import NamedTuple

from agent.errors import ActionFailed
from agent.vda5050.actions.handler import ActionHandler, Effect, Maneuver, Progress, failed
from agent.vda5050.actions.registry import ActionKind
from agent.vda5050.messages import Action, ActionState, ActionStatus, BlockingType
from agent.vda5050.record_text import RecordText, table
from agent.vda5050.situation import Situation

WAITING, INITIALIZING, RUNNING, PAUSED, RETRIABLE, FINISHED, FAILED = (
    ActionStatus.WAITING,
    ActionStatus.INITIALIZING,
    ActionStatus.RUNNING,
    ActionStatus.PAUSED,
    ActionStatus.RETRIABLE,
    ActionStatus.FINISHED,
    ActionStatus.FAILED,
)
OVER = frozenset({FINISHED, FAILED})
AT_WORK = frozenset({INITIALIZING, RUNNING})


class JobRecord(NamedTuple):
    """What of a job survives a power cut; the attributes are those of :class:`Job`."""

    action: Action
    sequence_id: int
    status: ActionStatus
    result: str | None
    cancelled: bool
    is_announced: bool
    is_queued: bool

    def text(self, texts: RecordText) -> bytes:
        """Return it as JSON text."""
        values = dict(zip(self._fields[1:], self[1:], strict=True))
        return table({"action": texts.of(self.action)}, values)


class Job:
    """An action, its handler and its status.

    Attributes:
        action: What to do.
        kind: How.
        sequence_id: Of its node or edge.
        status: Where in its life it is.
        result: What came of it, in words.
        error: What the platform is told where it FAILED, None for what its result says.
        cancelled: Whether it was given up; it may still have to end.
        is_due: Whether it is to be started, or started again.
        announced: Number of the snapshot that says that it begins, None before there is one.
        is_queued: Whether it was triggered.
        blocking: What may go on beside it; one that stands alone excludes all else.
        stops: Whether the robot may not drive along its order meanwhile (2.1, section 6.12).
        is_alone: Whether no other action may go on meanwhile (3.0, section 6.2.2).
    """

    def __init__(self, action: Action, kind: ActionKind, sequence_id: int = 0) -> None:
        """Begin WAITING.

        Args:
            action: What to do.
            kind: How.
            sequence_id: Of its node (even) or edge (odd); of no meaning for one at once.
        """
        self.action = action
        self.kind = kind
        self.sequence_id = sequence_id
        self.status = WAITING
        self.result: str | None = None
        self.error: ActionFailed | None = None
        self.cancelled = False
        self.is_due = True
        self.announced: int | None = None
        self.is_queued = False
        self.blocking = BlockingType.HARD if kind.stands_alone else action.blocking_type
        self.stops = self.blocking in (BlockingType.SOFT, BlockingType.HARD)
        self.is_alone = self.blocking in (BlockingType.SINGLE, BlockingType.HARD)
        self._handler: ActionHandler | None = None
        self._state: ActionState | None = None
        self._record: JobRecord | None = None
        self._worked_as = RUNNING

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in OVER

    @property
    def motion(self) -> Maneuver | None:
        """How it drives the robot now."""
        return self._handler.motion if self._handler and self.status in AT_WORK else None

    @property
    def state(self) -> ActionState:
        """What the platform is told of it."""
        told = self._state
        if told is None or (told.action_status, told.result_description) != (
            self.status,
            self.result,
        ):
            told = self._state = ActionState(
                action_id=self.action.action_id,
                action_type=self.action.action_type,
                action_description=self.action.action_description,
                action_status=self.status,
                result_description=self.result,
            )
        return told

    def failure(self, **references: str) -> ActionFailed:
        """Return what the platform is told of a job that FAILED, with references (section 7.1)."""
        error = self.error or ActionFailed(self.result or "no reason given")
        return type(error)(
            error.detail,
            **references,
            actionId=self.action.action_id,
            actionType=self.action.action_type,
            **error.context,
        )

    @property
    def record(self) -> JobRecord:
        """What of it survives a power cut; the same object as long as nothing changes."""
        now = JobRecord(
            self.action,
            self.sequence_id,
            self.status,
            self.result,
            self.cancelled,
            self.announced is not None,
            self.is_queued and not self.is_over,
        )
        if self._record is None or self._record[2:] != now[2:]:
            self._record = now
        return self._record

    def start(self, situation: Situation) -> tuple[Effect, ...]:
        """Begin, or begin anew after RETRIABLE."""
        self.result, self.is_due, self.announced = None, False, None
        self._handler = self.kind.build()
        self._handler.start(self.action, situation.now_ns)
        return self.step(situation)

    def step(self, situation: Situation) -> tuple[Effect, ...]:
        """Let the handler go on for a tick, and return what that did to the robot."""
        if self._handler is None:
            raise ValueError(f"action {self.action.action_id} was not started")
        return self._take(self._handler.step(situation))

    def pause(self) -> None:
        """Hold it still where it may be; what cannot be paused goes on (3.0, section 6.2.3.1)."""
        if self._handler and self.status in AT_WORK and self.kind.pause_allowed:
            self._handler.pause()
            self._worked_as = self.status
            self.status = PAUSED

    def resume(self) -> None:
        """Let it go on."""
        if self._handler and self.status is PAUSED:
            self._handler.resume()
            self.status = self._worked_as

    def cancel(self) -> None:
        """Give it up, or let it be finished where it cannot be (2.1, section 6.6.3)."""
        self.cancelled = True
        if self.status in AT_WORK or self.status is PAUSED:
            if not self.kind.cancel_allowed:
                return
            if self._handler:
                self._handler.cancel()
        self.fail("the order was cancelled")

    def leave(self) -> tuple[Effect, ...]:
        """End it because the robot leaves its edge (2.1, section 6.10.2)."""
        if self._handler is None or self.status in (WAITING, RETRIABLE):
            return self._take(failed("the edge was left before it was done"))
        if self.status is PAUSED:
            self.resume()
        return self._take(self._handler.leave())

    def trigger(self, source: str) -> bool:
        """Pass on a trigger; returns whether it was waited for."""
        handler = self._handler if self.status in AT_WORK else None
        return handler is not None and handler.trigger(source)

    def fail(self, reason: str) -> None:
        """End it without success, for good."""
        if not self.is_over:
            self.status, self.result, self.is_due = FAILED, reason, False

    def restore(
        self, status: ActionStatus, result: str | None, *, is_announced: bool = False
    ) -> None:
        """Take up where a restart of the robot interrupted it.

        What was at work, or may have been, and might do harm done twice, is not begun again.
        """
        self.status, self.result = status, result
        self.is_due = status is WAITING
        if is_announced or status in AT_WORK or status is PAUSED:
            if self.kind.repeatable and not self.cancelled:
                self.status, self.is_due = WAITING, True
            else:
                self._take(failed("interrupted by a restart of the robot"))

    def _take(self, progress: Progress) -> tuple[Effect, ...]:
        status = progress.status
        if status is FAILED and self.action.retriable and not self.cancelled:
            # Somebody has to say whether it is worth another try (3.0, section 6.6.9).
            status = RETRIABLE
        self.status, self.result, self.error = status, progress.result, progress.error
        return progress.effects
