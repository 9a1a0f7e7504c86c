"""Actions of the tests' own, and an order that consists of arrivals."""

from collections.abc import Sequence
from typing import Any

from agent.vda5050.actions.handler import RUNNING, Handler, LoadTaken, Progress, failed, finished
from agent.vda5050.actions.registry import ActionKind, ActionRegistry, Parameter, parameters_of
from agent.vda5050.messages import (
    Action,
    ActionParameter,
    ActionScope,
    ActionStatus,
    BlockingType,
    Edge,
    Load,
    Node,
    ValueType,
)
from agent.vda5050.situation import Situation

SCOPES = (ActionScope.INSTANT, ActionScope.NODE, ActionScope.EDGE)


class Steps(Handler):
    """Lasts as many ticks as it is told, and notes every call."""

    log: list[str]

    def start(self, action: Action, now_ns: int) -> None:
        self._action = action
        given = parameters_of(action)
        self._left = int(given.get("ticks", 1))
        self._fails = bool(given.get("fails", False))
        self.log.append(f"start {action.action_id}")

    def step(self, situation: Situation) -> Progress:
        if self._left > 0:
            self._left -= 1
            return RUNNING
        if self._fails:
            return failed("told to")
        return finished("well done")

    def pause(self) -> None:
        self.log.append(f"pause {self._action.action_id}")

    def resume(self) -> None:
        self.log.append(f"resume {self._action.action_id}")

    def cancel(self) -> None:
        self.log.append(f"cancel {self._action.action_id}")


class Prepares(Steps):
    """Is INITIALIZING first."""

    def step(self, situation: Situation) -> Progress:
        progress = super().step(situation)
        return Progress(ActionStatus.INITIALIZING) if self._left > 0 else progress


class Takes(Handler):
    def step(self, situation: Situation) -> Progress:
        return finished(None, LoadTaken(Load(load_id="crate")))


def kinds(log: list[str]) -> tuple[ActionKind, ...]:
    def noted(handler: type[Steps]) -> type[Steps]:
        return type(handler.__name__, (handler,), {"log": log})

    parameters = (
        Parameter("ticks", (ValueType.INTEGER,), is_optional=True),
        Parameter("fails", (ValueType.BOOL,), is_optional=True),
    )

    def kind(name: str, handler: type[Handler], **more: Any) -> ActionKind:
        return ActionKind(
            action_type=name,
            description=name,
            scopes=SCOPES,
            build=handler,
            parameters=parameters,
            **more,
        )

    return (
        kind("work", noted(Steps)),
        kind("prepare", noted(Prepares)),
        kind("stubborn", noted(Steps), cancel_allowed=False),
        kind("restless", noted(Steps), pause_allowed=False),
        kind("again", noted(Steps), repeatable=True),
        kind("alone", noted(Steps), stands_alone=True),
        kind("take", Takes),
    )


def registry(log: list[str] | None = None, *more: ActionKind) -> ActionRegistry:
    return ActionRegistry((*kinds([] if log is None else log), *more))


def action(
    name: str,
    blocking: str = "NONE",
    kind: str = "work",
    *,
    retriable: bool | None = None,
    **parameters: Any,
) -> Action:
    given = [ActionParameter(key=key, value=value) for key, value in parameters.items()]
    return Action(
        action_type=kind,
        action_id=name,
        blocking_type=BlockingType(blocking),
        action_parameters=given or None,
        retriable=retriable,
    )


def node(sequence_id: int, *actions: Action) -> Node:
    return Node(
        node_id=f"n{sequence_id}", sequence_id=sequence_id, released=True, actions=list(actions)
    )


def edge(sequence_id: int, *actions: Action) -> Edge:
    return Edge(
        edge_id=f"e{sequence_id}",
        sequence_id=sequence_id,
        released=True,
        start_node_id=f"n{sequence_id - 1}",
        end_node_id=f"n{sequence_id + 1}",
        actions=list(actions),
    )


class Orders:
    """An order by what the runner needs of it."""

    def __init__(self, elements: Sequence[Node | Edge] = (), order_id: str = "A") -> None:
        self.order_id = order_id
        self.elements = tuple(elements)
        self.new: tuple[Node | Edge, ...] = ()
        self._actions: tuple[tuple[Action, int], ...] = ()
        self._note()

    def arrive(self, count: int = 1) -> None:
        """Reach or enter the next elements."""
        self.new = (*self.new, *self.elements[:count])
        self.elements = self.elements[count:]
        self._note()

    def replace(self, *elements: Node | Edge) -> None:
        """Take an update that changes all that is still ahead."""
        self.elements = elements
        self._note()

    def arrivals(self) -> tuple[Node | Edge, ...]:
        new, self.new = self.new, ()
        return new

    def actions(self) -> tuple[tuple[Action, int], ...]:
        return self._actions

    def _note(self) -> None:
        self._actions = tuple((a, e.sequence_id) for e in self.elements for a in e.actions)
