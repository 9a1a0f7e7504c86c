"""Actions that the platform wants performed at once.

VDA 5050 2.1, sections 6.8, 6.9 and 6.11; 3.0, sections 6.2.1 and 6.2.3. Those that steer the order
or its actions are done here, those that do something themselves by their handlers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from agent.errors import (
    ActionFailed,
    ActionUnsupported,
    DuplicateMap,
    MessageInvalid,
    NoOrderToCancel,
    PoseNotSet,
)
from agent.positioning import Outcome, PoseAnswer, PoseRequest
from agent.vda5050.actions.handler import FLEET_CONTROL
from agent.vda5050.actions.registry import text_of
from agent.vda5050.actions.runner import ActionRunner
from agent.vda5050.actions.stating import stated_by
from agent.vda5050.hibernation import Hibernation
from agent.vda5050.identity import Identity
from agent.vda5050.messages import (
    Action,
    ActionScope,
    ActionState,
    ActionStatus,
    InitPosition,
    InstantActions,
    decode,
    read_parameters,
)
from agent.vda5050.order_book import OrderBook
from agent.vda5050.record_text import RecordText, table
from agent.vda5050.situation import Situation

OVER = frozenset({ActionStatus.FINISHED, ActionStatus.FAILED})
MAP_ACTIONS = ("downloadMap", "enableMap", "deleteMap")
MOST_ACTIONS = 64  # states and errors kept; the oldest that are over make room

SUPPORTED: Mapping[str, str] = MappingProxyType(
    {
        "cancelOrder": "Stops as soon as possible, between nodes too, and gives up the order.",
        "clearInstantActions": "Forgets all instant actions that are over.",
        "factsheetRequest": "Publishes the factsheet again.",
        "initPosition": "Tells the robot where it is; finished when it has found itself there.",
        "retry": "Tries an action again that is RETRIABLE.",
        "skipRetry": "Lets an action be failed that is RETRIABLE.",
        "startPause": "Stops at once, between nodes too, and pauses the actions that may be.",
        "stateRequest": "Publishes the state again.",
        "stopPause": "Goes on after startPause.",
        "trigger": "Lets an action waitForTrigger go on.",
    }
)
SUPPORTED_3: Mapping[str, str] = MappingProxyType(
    {
        "startHibernation": "Gives up the order, stands, and is silent until it is woken up.",
        "stopHibernation": "Wakes the robot up; without it, it wakes up at wakeUpTime.",
        "shutdown": "Ends the agent of a robot that has no order; it does not come back by itself.",
    }
)


@dataclass(frozen=True, slots=True)
class _Pending:
    """An initPosition that waits for its answer."""

    action: Action
    last_node_id: str


@dataclass(frozen=True, slots=True)
class _Received:
    """An action, and header id and time of the message that it came with."""

    action: Action
    stamp: tuple[int, str]


class InstantRecord(NamedTuple):
    """What of an instant action survives a power cut."""

    state: ActionState
    received: _Received | None

    def text(self, texts: RecordText) -> bytes:
        """Return it as JSON text."""
        came = self.received
        return table(
            {
                "state": texts.of(self.state),
                "action": texts.of(came.action if came else None),
            },
            {"stamp": [*came.stamp] if came else None},
        )


class InstantActionRunner:
    """Performs instant actions and keeps their states.

    Up to 2.1 a new order makes them forgotten (section 6.10.6), in 3.0 only clearInstantActions
    does (section 7.8).

    Attributes:
        order_actions: Performs the actions of orders.
        hibernation: Whether the robot sleeps.
    """

    def __init__(self, identity: Identity, order_actions: ActionRunner | None = None) -> None:
        """Begin with nothing to do.

        Args:
            identity: The robot that actions must be meant for, and the version that it speaks.
            order_actions: Performs the actions of orders; without it, the robot can do none.
        """
        self._identity = identity
        self._keeps_states = self._speaks_3 = identity.version.startswith("3.")
        self.hibernation = Hibernation()
        self.order_actions = order_actions or ActionRunner()
        self._to_start: list[Action] = []
        self._states: dict[str, ActionState] = {}
        self._received: dict[str, _Received] = {}
        self._errors: dict[str, ActionFailed] = {}
        self._order_id = ""
        self._positionings: dict[str, _Pending] = {}
        self._pose_requests: list[PoseRequest] = []
        self._requests = {"stateRequest": 0, "factsheetRequest": 0}

    @property
    def supported(self) -> Mapping[str, str]:
        """The actions that are done here, with a description of each."""
        return {**SUPPORTED, **SUPPORTED_3} if self._speaks_3 else SUPPORTED

    @property
    def states(self) -> tuple[ActionState, ...]:
        """Actions received and not yet forgotten, oldest first."""
        return tuple(self._states.values())

    @property
    def errors(self) -> tuple[ActionFailed, ...]:
        """Why actions failed, oldest first."""
        return tuple(self._errors.values())

    @property
    def state_requests(self) -> int:
        """How often the state was asked for so far."""
        return self._requests["stateRequest"]

    @property
    def factsheet_requests(self) -> int:
        """How often the factsheet was asked for so far."""
        return self._requests["factsheetRequest"]

    def receive(self, payload: bytes, order_book: OrderBook) -> None:
        """Start the actions of a message; one that is known is not performed again.

        Some masters give every action of a type the same id. So an id whose action is over may
        come again, in a new message, for what would make a difference now.

        Raises:
            MessageInvalid: The message breaks the standard or is meant for another robot.
        """
        try:
            message = decode(InstantActions, payload)
        except MessageInvalid as error:
            raise MessageInvalid(error.detail, topic="instantActions", **error.context) from error
        if message.serial_number != self._identity.serial_number:
            raise MessageInvalid(
                f"instantActions for robot {message.serial_number}",
                topic="instantActions",
                headerId=str(message.header_id),
                field="serialNumber",
            )
        self._note_order(order_book)
        told = tuple(self._errors)
        stamp = message.header_id, message.timestamp
        for action in message.actions:
            if self.hibernation.is_asleep and action.action_type != "stopHibernation":
                continue
            if self._is_new(action, stamp, order_book):
                self._received[action.action_id] = _Received(action, stamp)
                self._errors.pop(action.action_id, None)
                self._start(action, order_book)
        states = (self._states.get(action.action_id) for action in message.actions)
        self._drop_errors(
            told,
            (s.action_type for s in states if s and s.action_status is not ActionStatus.FAILED),
        )

    @property
    def record(self) -> tuple[InstantRecord, ...]:
        """What survives a power cut."""
        return tuple(
            InstantRecord(state, self._received.get(name)) for name, state in self._states.items()
        )

    def restore(self, saved: Iterable[Mapping[str, Any]]) -> None:
        """Go on after a restart; what was to be performed, and is not known to be, has failed.

        Args:
            saved: A :attr:`record` as plain JSON values.

        Raises:
            KeyError: A field is missing.
            ValueError: A field is broken.
        """
        states: list[ActionState] = []
        received: dict[str, _Received] = {}
        for entry in saved:
            states.append(ActionState.model_validate(entry["state"], strict=False))
            if entry["action"] is not None:
                header_id, timestamp = entry["stamp"]
                action = Action.model_validate(entry["action"], strict=False)
                received[action.action_id] = _Received(action, (header_id, timestamp))
        # Only now that all could be read: what is broken changes nothing.
        self._states = {state.action_id: state for state in states}
        self._received = received
        for state in states:
            # A pause and a cancel are what the order's record says, and end as the robot stands.
            is_kept = state.action_type in ("startPause", "cancelOrder")
            came = received.get(state.action_id)
            if came is not None and not is_kept and state.action_status not in OVER:
                self._fail(came.action, ActionFailed, "interrupted by a restart of the robot")

    def take_pose_requests(self) -> tuple[PoseRequest, ...]:
        """Return what the actions since the last call ask of localization."""
        taken, self._pose_requests = tuple(self._pose_requests), []
        return taken

    def advance(self, situation: Situation, order_book: OrderBook) -> None:
        """Finish what is over by the end of a tick.

        cancelOrder is finished once the robot stands still and all actions of the order are over
        (section 6.6.3), startPause once it stands still, initPosition once the robot has found
        itself (section 6.8.2).
        """
        self._note_order(order_book)
        self._advance_handled(situation)
        if not situation.driving:
            self._finish("startPause")
            if self.order_actions.idle:
                order_book.clear()
                self._finish("cancelOrder")
                if self.hibernation.is_settling:
                    self._finish("startHibernation")
                    self.hibernation.rest()
        for answer in situation.pose_answers:
            self._take_answer(answer, order_book)

    def _note_order(self, order_book: OrderBook) -> None:
        """Forget what was over before an order was taken (section 6.10.6)."""
        if order_book.order_id == self._order_id:
            return
        self._order_id = order_book.order_id
        self._errors = {}
        if not self._keeps_states:
            self._forget_what_is_over()

    def _is_new(self, action: Action, stamp: tuple[int, str], order_book: OrderBook) -> bool:
        """Whether an action is to be performed, not one that comes twice."""
        known, earlier = self._states.get(action.action_id), self._received.get(action.action_id)
        if known is None:
            return True
        if known.action_status not in OVER or (earlier is not None and earlier.stamp == stamp):
            return False
        match action.action_type:
            case "stateRequest" | "factsheetRequest":
                return True
            case "startPause":
                return not self.order_actions.paused
            case "stopPause":
                return self.order_actions.paused
            case "cancelOrder":
                return not order_book.idle or not self.order_actions.idle
            case _:
                return earlier is not None and earlier.action != action

    def _of(self, *statuses: ActionStatus) -> list[ActionState]:
        return [state for state in self._states.values() if state.action_status in statuses]

    def _forget_what_is_over(self) -> None:
        over = {state.action_id for state in self._of(ActionStatus.FINISHED, ActionStatus.FAILED)}
        self._states = {name: s for name, s in self._states.items() if name not in over}
        self._received = {name: r for name, r in self._received.items() if name not in over}
        self._errors = {name: e for name, e in self._errors.items() if name not in over}

    def _finish(self, action_type: str) -> None:
        for state in self._of(ActionStatus.RUNNING):
            if state.action_type == action_type:
                self._set(state.action_id, action_type, ActionStatus.FINISHED)

    def _start(self, action: Action, order_book: OrderBook) -> None:
        match action.action_type:
            case "cancelOrder":
                self._start_cancelling(action, order_book)
            case "startPause":
                self.order_actions.pause()
                self._set(action.action_id, action.action_type, ActionStatus.RUNNING)
            case "stopPause":
                self._stop_pause(action)
            case "clearInstantActions":
                self._forget_what_is_over()
                self._set(action.action_id, action.action_type, ActionStatus.FINISHED)
            case "trigger":
                taken = self.order_actions.trigger(FLEET_CONTROL)
                self._answer(action, taken, "no action waits for a trigger of the fleet control")
            case "retry" | "skipRetry":
                self._start_retry(action)
            case "initPosition":
                self._start_positioning(action, order_book)
            case "stateRequest" | "factsheetRequest":
                self._requests[action.action_type] += 1
                self._set(action.action_id, action.action_type, ActionStatus.FINISHED)
            case "startHibernation" | "stopHibernation" | "shutdown" if self._speaks_3:
                self._start_resting(action, order_book)
            case _:
                self._start_handled(action)

    def _start_resting(self, action: Action, order_book: OrderBook) -> None:
        """Fall asleep, wake up, or be switched off (3.0, section 6.2.3.1)."""
        match action.action_type:
            case "stopHibernation":
                self.hibernation.wake()
                self._answer(action, True, "")
            case "shutdown":
                is_idle = order_book.idle and self.order_actions.idle
                if is_idle:
                    self.hibernation.leave()
                self._answer(action, is_idle, "the robot has an order; cancel it first")
            case _:
                try:
                    self.hibernation.begin(action)
                except ActionFailed as error:
                    self._fail(action, ActionFailed, error.detail)
                    return
                self.order_actions.take(order_book)
                order_book.cancel(acting=not self.order_actions.idle)
                self.order_actions.cancel()
                self._set(action.action_id, action.action_type, ActionStatus.RUNNING)

    def _answer(self, action: Action, done: bool, problem: str) -> None:
        if done:
            self._set(action.action_id, action.action_type, ActionStatus.FINISHED)
        else:
            self._fail(action, ActionFailed, problem)

    def _start_cancelling(self, action: Action, order_book: OrderBook) -> None:
        """Give up the order, of which some actions may have to end first (section 6.6.3).

        An order that is named must be the one at hand (3.0, section 6.1.3).
        """
        asked = text_of(action, "orderId")
        if asked not in (None, order_book.order_id):
            detail = f"order {asked} is not at hand, it is {order_book.order_id or 'none'}"
            self._fail(action, NoOrderToCancel, detail)
            return
        self.order_actions.take(order_book)
        cancelled = order_book.cancel(acting=not self.order_actions.idle)
        self.order_actions.cancel()
        is_repeated = any(
            state.action_type == action.action_type for state in self._of(ActionStatus.RUNNING)
        )
        if cancelled or is_repeated:
            self._set(action.action_id, action.action_type, ActionStatus.RUNNING)
        else:
            self._fail(action, NoOrderToCancel, "there is no order to cancel")

    def _stop_pause(self, action: Action) -> None:
        """Go on; a pause that was still being reached did not come about."""
        self.order_actions.resume()
        for state in self._of(ActionStatus.RUNNING):
            if state.action_type == "startPause":
                detail = "stopPause came before the robot stood"
                self._set(state.action_id, "startPause", ActionStatus.FAILED, detail)
        self._set(action.action_id, action.action_type, ActionStatus.FINISHED)

    def _start_retry(self, action: Action) -> None:
        """Decide on an action that failed and may be tried again (3.0, section 6.2.3.1)."""
        asked = text_of(action, "actionId")
        if asked is None:
            self._fail(action, ActionFailed, f"{action.action_type}: actionId is missing")
            return
        runner = self.order_actions
        decide = runner.retry if action.action_type == "retry" else runner.skip_retry
        self._answer(action, decide(asked), f"action {asked} is not RETRIABLE")

    def _start_handled(self, action: Action) -> None:
        """Have it performed by its handler from the end of this tick on."""
        problem = self.order_actions.registry.problem(action, ActionScope.INSTANT)
        if problem is not None:
            self._fail(action, ActionUnsupported, f"instant {problem}")
            return
        self._to_start.append(action)
        self._set(action.action_id, action.action_type, ActionStatus.WAITING)

    def _advance_handled(self, situation: Situation) -> None:
        to_start, self._to_start = self._to_start, []
        for action in to_start:
            self.order_actions.start_instant(action, situation)
        for job in self.order_actions.take_instant_jobs():
            if job.status is ActionStatus.FAILED:
                self._tell(job.action, job.failure(topic="instantActions"))
            else:
                action = job.action
                self._set(action.action_id, action.action_type, job.status, job.result)

    def _start_positioning(self, action: Action, order_book: OrderBook) -> None:
        """Ask for a pose; it must not conflict with an order at hand (section 6.9)."""
        if not order_book.idle:
            detail = f"order {order_book.order_id} is active; cancel it first"
            self._fail(action, PoseNotSet, detail)
            return
        try:
            wanted = read_parameters(InitPosition, action)
        except MessageInvalid as error:
            self._fail(action, PoseNotSet, error.detail)
            return
        request = stated_by(action, wanted)
        self._positionings[request.request_id] = _Pending(action, wanted.last_node_id)
        self._pose_requests.append(request)
        self._set(action.action_id, action.action_type, ActionStatus.INITIALIZING)

    def _take_answer(self, answer: PoseAnswer, order_book: OrderBook) -> None:
        positioning = self._positionings.get(answer.request_id)
        if positioning is None or answer.outcome is Outcome.PENDING:
            return
        del self._positionings[answer.request_id]
        action = positioning.action
        if answer.outcome is Outcome.FAILED:
            self._fail(action, PoseNotSet, answer.reason)
            return
        order_book.stand_on(positioning.last_node_id)
        # What failed before it is of no interest any more.
        self._errors = {
            key: error for key, error in self._errors.items() if not isinstance(error, PoseNotSet)
        }
        self._set(action.action_id, action.action_type, ActionStatus.FINISHED)

    def _drop_errors(self, told: Iterable[str], accepted: Iterable[str | None]) -> None:
        """Drop what is told until an instant action is accepted (3.0, section 6.6.5.4, table 9).

        Args:
            told: Actions whose errors were there before.
            accepted: Types of the actions that were accepted.
        """
        types = set(accepted)
        over = tuple(
            error
            for error, is_over in (
                (ActionUnsupported, bool(types)),
                (DuplicateMap, not types.isdisjoint(MAP_ACTIONS)),
            )
            if is_over
        )
        for name in told:
            if isinstance(self._errors.get(name), over):
                del self._errors[name]

    def _fail(self, action: Action, error: type[ActionFailed], detail: str) -> None:
        references = {"actionId": action.action_id, "actionType": action.action_type}
        self._tell(action, error(detail, topic="instantActions", **references))

    def _tell(self, action: Action, error: ActionFailed) -> None:
        self._errors[action.action_id] = error
        if len(self._errors) > MOST_ACTIONS:
            del self._errors[next(iter(self._errors))]
        self._set(action.action_id, action.action_type, ActionStatus.FAILED, error.detail)

    def _set(
        self,
        action_id: str,
        action_type: str | None,
        status: ActionStatus,
        result: str | None = None,
    ) -> None:
        self._states[action_id] = ActionState(
            action_id=action_id,
            action_type=action_type,
            action_status=status,
            result_description=result,
        )
        over = self._of(ActionStatus.FINISHED, ActionStatus.FAILED)
        if len(self._states) > MOST_ACTIONS and over:
            del self._states[over[0].action_id]
            self._received.pop(over[0].action_id, None)
