"""Actions that the platform wants performed at once (VDA 5050 2.1, sections 6.8, 6.9 and 6.11)."""

from collections.abc import Mapping
from types import MappingProxyType

from agent.errors import ActionFailed, ActionUnsupported, MessageInvalid, NoOrderToCancel
from agent.vda5050.identity import Identity
from agent.vda5050.messages import (
    Action,
    ActionState,
    ActionStatus,
    InstantActions,
    decode,
)
from agent.vda5050.order_book import OrderBook
from agent.vda5050.situation import Situation

MOST_ACTIONS = 64  # states and errors kept; the oldest that are over make room

SUPPORTED: Mapping[str, str] = MappingProxyType(
    {
        "cancelOrder": "Stops as soon as possible, between nodes too, and gives up the order.",
        "factsheetRequest": "Publishes the factsheet again.",
        "stateRequest": "Publishes the state again.",
    }
)


class InstantActionRunner:
    """Performs instant actions and keeps their states until a new order is accepted."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._states: dict[str, ActionState] = {}
        self._errors: dict[str, ActionFailed] = {}
        self._order_id = ""
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

    def advance(self, situation: Situation, order_book: OrderBook) -> None:
        """Finish what is over by the end of a tick.

        cancelOrder is finished once the robot stands still (section 6.6.3). With a new order all
        states and errors of actions that are over are dropped (section 6.10.6, actionStates).
        """
        if not situation.driving:
            for state in self._running():
                self._set(state.action_id, state.action_type, ActionStatus.FINISHED)
        if order_book.order_id != self._order_id:
            self._order_id = order_book.order_id
            self._states = {state.action_id: state for state in self._running()}
            self._errors = {}

    def _running(self) -> list[ActionState]:
        return [s for s in self._states.values() if s.action_status is ActionStatus.RUNNING]

    def _start(self, action: Action, order_book: OrderBook) -> None:
        match action.action_type:
            case "cancelOrder" if order_book.cancel() or self._running():
                self._set(action.action_id, action.action_type, ActionStatus.RUNNING)
            case "cancelOrder":
                self._fail(action, NoOrderToCancel)
            case "stateRequest" | "factsheetRequest":
                self._requests[action.action_type] += 1
                self._set(action.action_id, action.action_type, ActionStatus.FINISHED)
            case _:
                self._fail(action, ActionUnsupported)

    def _fail(self, action: Action, error: type[ActionFailed]) -> None:
        detail = (
            "there is no order to cancel"
            if error is NoOrderToCancel
            else f"the instant action {action.action_type} is not supported"
        )
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
        if len(self._states) > MOST_ACTIONS:
            over = (s for s in self._states.values() if s.action_status is not ActionStatus.RUNNING)
            if oldest := next(over, None):
                del self._states[oldest.action_id]
