"""What a robot's state says to a master that has just sent something (2.1, section 6.10)."""

from dataclasses import dataclass

from agent.vda5050.messages import ActionStatus, Error, Order, State


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that will not change.

    Attributes:
        is_yes: Whether the robot does, or has done, what it was told.
        reasons: Why, in words; for a refusal one for each error.
    """

    is_yes: bool
    reasons: tuple[str, ...]


def answer_to_order(state: State, order: Order) -> Answer | None:
    """Return what became of an order, None while the robot does not say.

    A rejection is known by the references of its errors: the message's header id where the robot
    tells it, so that the rejection of an earlier try is not taken for this one's.
    """
    if reasons := tuple(error_text(error) for error in state.errors if _is_about(error, order)):
        return Answer(False, reasons)
    if (state.order_id, state.order_update_id) != (order.order_id, order.order_update_id):
        return None
    left = len(state.node_states)
    return Answer(True, (f"nodes left: {left}" if left else "it is done",))


def answer_to_action(state: State, action_id: str) -> Answer | None:
    """Return what became of an instant action, None while it is not over."""
    found = next(
        (
            action
            for action in (*state.action_states, *state.instant_action_states)
            if action.action_id == action_id
        ),
        None,
    )
    if found is None:
        return None
    if found.action_status is ActionStatus.FINISHED:
        return Answer(True, tuple(filter(None, (found.result_description,))))
    if found.action_status is not ActionStatus.FAILED:
        return None
    errors = tuple(
        error_text(error)
        for error in state.errors
        if _references(error).get("actionId") == action_id
    )
    return Answer(False, errors or (found.result_description or "no reason given",))


def error_text(error: Error) -> str:
    """Return an error in one line: type, description, hint."""
    hint = f" ({error.error_hint})" if error.error_hint else ""
    return f"{error.error_type}: {error.error_description or 'no description'}{hint}"


def _is_about(error: Error, order: Order) -> bool:
    references = _references(error)
    header_id = references.get("headerId")
    if header_id is not None:
        return header_id == str(order.header_id) and references.get("topic", "order") == "order"
    return references.get("orderId") == order.order_id and references.get(
        "orderUpdateId", str(order.order_update_id)
    ) == str(order.order_update_id)


def _references(error: Error) -> dict[str, str]:
    return {r.reference_key: r.reference_value for r in error.error_references or ()}
