"""Actions that the platform wants performed at once (VDA 5050 2.1, sections 6.8, 6.9 and 6.11)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agent.errors import (
    ActionFailed,
    ActionUnsupported,
    MessageInvalid,
    NoOrderToCancel,
    PoseNotSet,
)
from agent.geometry.pose import Pose2
from agent.positioning import Outcome, PoseAnswer, PoseRequest
from agent.vda5050.identity import Identity
from agent.vda5050.messages import (
    Action,
    ActionState,
    ActionStatus,
    InitPosition,
    InstantActions,
    decode,
    read_parameters,
)
from agent.vda5050.order_book import OrderBook
from agent.vda5050.situation import Situation

MOST_ACTIONS = 64  # states and errors kept; the oldest that are over make room

SUPPORTED: Mapping[str, str] = MappingProxyType(
    {
        "cancelOrder": "Stops as soon as possible, between nodes too, and gives up the order.",
        "factsheetRequest": "Publishes the factsheet again.",
        "initPosition": "Tells the robot where it is; finished when it has found itself there.",
        "stateRequest": "Publishes the state again.",
    }
)


@dataclass(frozen=True, slots=True)
class _Pending:
    """An initPosition that waits for its answer."""

    action: Action
    last_node_id: str


class InstantActionRunner:
    """Performs instant actions and keeps their states until a new order is accepted."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._states: dict[str, ActionState] = {}
        self._errors: dict[str, ActionFailed] = {}
        self._order_id = ""
        self._positionings: dict[str, _Pending] = {}
        self._pose_requests: list[PoseRequest] = []
        self._requests = {"stateRequest": 0, "factsheetRequest": 0}

    @property
    def states(self) -> tuple[ActionState, ...]:
        """Actions received since the last order, oldest first."""
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
        """Start the actions of a message; an action id seen before is not performed again.

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
        for action in message.actions:
            if action.action_id not in self._states:
                self._start(action, order_book)

    def take_pose_requests(self) -> tuple[PoseRequest, ...]:
        """Return what the actions since the last call ask of localization."""
        taken, self._pose_requests = tuple(self._pose_requests), []
        return taken

    def advance(self, situation: Situation, order_book: OrderBook) -> None:
        """Finish what is over by the end of a tick.

        cancelOrder is finished once the robot stands still (section 6.6.3), initPosition once the
        robot has found itself (section 6.8.2). With a new order all states and errors of actions
        that are over are dropped (section 6.10.6, actionStates).
        """
        if not situation.driving:
            for state in self._of(ActionStatus.RUNNING):
                self._set(state.action_id, state.action_type, ActionStatus.FINISHED)
        for answer in situation.pose_answers:
            self._take_answer(answer, order_book)
        if order_book.order_id != self._order_id:
            self._order_id = order_book.order_id
            under_way = self._of(ActionStatus.RUNNING, ActionStatus.INITIALIZING)
            self._states = {state.action_id: state for state in under_way}
            self._errors = {}

    def _of(self, *statuses: ActionStatus) -> list[ActionState]:
        return [state for state in self._states.values() if state.action_status in statuses]

    def _start(self, action: Action, order_book: OrderBook) -> None:
        match action.action_type:
            case "cancelOrder" if order_book.cancel() or self._of(ActionStatus.RUNNING):
                self._set(action.action_id, action.action_type, ActionStatus.RUNNING)
            case "cancelOrder":
                self._fail(action, NoOrderToCancel, "there is no order to cancel")
            case "initPosition":
                self._start_positioning(action, order_book)
            case "stateRequest" | "factsheetRequest":
                self._requests[action.action_type] += 1
                self._set(action.action_id, action.action_type, ActionStatus.FINISHED)
            case _:
                detail = f"the instant action {action.action_type} is not supported"
                self._fail(action, ActionUnsupported, detail)

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
        pose = Pose2(wanted.x, wanted.y, wanted.theta) @ Pose2.identity()
        request = PoseRequest(f"initPosition {action.action_id}", pose, wanted.map_id)
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

    def _fail(self, action: Action, error: type[ActionFailed], detail: str) -> None:
        self._errors[action.action_id] = error(
            detail,
            topic="instantActions",
            actionId=action.action_id,
            actionType=action.action_type,
        )
        if len(self._errors) > MOST_ACTIONS:
            del self._errors[next(iter(self._errors))]
        self._set(action.action_id, action.action_type, ActionStatus.FAILED, detail)

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
