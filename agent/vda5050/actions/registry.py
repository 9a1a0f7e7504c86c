"""Which actions the robot can perform: ours as configured, a plant's own by entry points.

A distribution that brings an action declares it in the entry point group ``haulier.actions``, as
``name = "module:KIND"`` with a :class:`ActionKind`; nothing in this project needs to change. What
is not in here is absent from the factsheet and rejected.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata

from pydantic import JsonValue

from agent.errors import ConfigError
from agent.vda5050.actions.handler import ActionHandler
from agent.vda5050.messages import (
    Action,
    ActionScope,
    AgvAction,
    BlockingType,
    Edge,
    Node,
    ParameterDefinition,
    ValueType,
)

GROUP = "haulier.actions"

_TYPES: Mapping[ValueType, tuple[type, ...]] = {
    ValueType.BOOL: (bool,),
    ValueType.NUMBER: (int, float),
    ValueType.INTEGER: (int,),
    ValueType.FLOAT: (int, float),
    ValueType.STRING: (str,),
    ValueType.OBJECT: (dict,),
    ValueType.ARRAY: (list,),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an action.

    Attributes:
        key: Its name.
        kinds: What its value may be; the first is told in the factsheet.
        is_optional: Whether it may be left out.
    """

    key: str
    kinds: tuple[ValueType, ...]
    is_optional: bool = False

    def problem(self, given: Mapping[str, JsonValue]) -> str | None:
        """Return what is wrong with its value among those given."""
        if self.key not in given:
            return None if self.is_optional else f"{self.key} is missing"
        value = given[self.key]
        # To Python a bool is a number, to JSON it is none.
        kinds = [k for k in self.kinds if isinstance(value, bool) == (k is ValueType.BOOL)]
        if any(isinstance(value, _TYPES[kind]) for kind in kinds):
            return None
        return f"{self.key} is no {' or '.join(kind.lower() for kind in self.kinds)}"


def _nothing_more(action: Action) -> str | None:
    del action
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionKind:
    """A type of action that the robot can perform.

    Attributes:
        action_type: As orders name it.
        description: What it does, for people.
        scopes: Where it may be used.
        build: Makes the handler of one action.
        parameters: What it takes; others are tolerated.
        result: What its result says, for people.
        pause_allowed: Whether startPause pauses it; what cannot be paused goes on.
        cancel_allowed: Whether cancelOrder ends it; what cannot be interrupted is finished first.
        stands_alone: Whether it goes beside nothing, driving included, whatever the order asks.
        repeatable: Whether it may begin anew after a restart of the robot.
        check: Says what else is wrong with an action, ``None`` where nothing is.
    """

    action_type: str
    description: str
    scopes: tuple[ActionScope, ...]
    build: Callable[[], ActionHandler]
    parameters: tuple[Parameter, ...] = ()
    result: str | None = None
    pause_allowed: bool = True
    cancel_allowed: bool = True
    stands_alone: bool = False
    repeatable: bool = False
    check: Callable[[Action], str | None] = _nothing_more

    @property
    def blocking_types(self) -> tuple[BlockingType, ...]:
        """What an order may ask for (3.0, section 7.10)."""
        return (BlockingType.HARD,) if self.stands_alone else tuple(BlockingType)

    def problem(self, action: Action) -> str | None:
        """Return why an action of this type cannot be performed as it is given."""
        given = parameters_of(action)
        found = (parameter.problem(given) for parameter in self.parameters)
        return next(filter(None, found), None) or self.check(action)


def parameters_of(action: Action) -> dict[str, JsonValue]:
    """Return the arguments of an action by their key (2.1, section 7.2)."""
    return {p.key: p.value for p in action.action_parameters or ()}


def text_of(action: Action, key: str) -> str | None:
    """Return an argument that is a text, ``None`` where it is left out."""
    value = parameters_of(action).get(key)
    return value if isinstance(value, str) else None


class ActionRegistry:
    """All kinds of actions that this robot can perform."""

    def __init__(self, kinds: Iterable[ActionKind] = ()) -> None:
        """Take them; of two with one name the first counts."""
        self._kinds: dict[str, ActionKind] = {}
        for kind in kinds:
            self._kinds.setdefault(kind.action_type, kind)

    def __getitem__(self, action_type: str) -> ActionKind:
        """Return a kind.

        Raises:
            KeyError: The robot cannot perform it.
        """
        return self._kinds[action_type]

    def scopes(self, action_type: str) -> tuple[ActionScope, ...]:
        """Return where a type of action may be used, nowhere where it is not known."""
        kind = self._kinds.get(action_type)
        return () if kind is None else kind.scopes

    def problem(self, action: Action, scope: ActionScope) -> str | None:
        """Return why the robot cannot perform an action there, ``None`` where it can."""
        kind = self._kinds.get(action.action_type)
        if kind is None:
            return f"action {action.action_type} is not supported"
        if scope not in kind.scopes:
            where = ", ".join(scope.lower() for scope in kind.scopes)
            return f"action {action.action_type} is for {where}, not for {scope.lower()}"
        problem = kind.problem(action)
        return None if problem is None else f"action {action.action_type}: {problem}"

    def problem_at(self, action: Action, place: Node | Edge) -> str | None:
        """Return why the robot cannot perform an action of an order, ``None`` where it can."""
        scope = ActionScope.NODE if isinstance(place, Node) else ActionScope.EDGE
        return self.problem(action, scope)

    def described(self) -> list[AgvAction]:
        """Return what the factsheet tells of them (2.1, section 6.15.1; 3.0, 7.10)."""
        return [
            AgvAction(
                action_type=kind.action_type,
                action_description=kind.description,
                action_scopes=list(kind.scopes),
                action_parameters=[
                    ParameterDefinition(
                        key=p.key, value_data_type=p.kinds[0], is_optional=p.is_optional
                    )
                    for p in kind.parameters
                ]
                or None,
                result_description=kind.result,
                blocking_types=list(kind.blocking_types),
                pause_allowed=kind.pause_allowed,
                cancel_allowed=kind.cancel_allowed,
            )
            for kind in self._kinds.values()
        ]


def installed_kinds() -> list[ActionKind]:
    """Return the kinds that other distributions bring.

    Raises:
        ConfigError: One cannot be loaded, or is no kind of action.
    """
    found = []
    for point in metadata.entry_points(group=GROUP):
        try:
            kind = point.load()
        except (ImportError, AttributeError, SyntaxError, ValueError) as error:
            raise ConfigError(f"action {point.name} ({point.value}): {error}") from error
        if not isinstance(kind, ActionKind):
            raise ConfigError(f"action {point.name} ({point.value}): is no kind of action")
        found.append(kind)
    return found
