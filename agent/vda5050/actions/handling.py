"""pick and drop, and the loads in the state (2.1, sections 6.8 and 6.10.6; 3.0, section 6.2.3).

The robot has one place for a load, and no device of its own that lifts: a load is put on it, or
it drives under a carrier (:mod:`agent.vda5050.actions.docking`).
"""

from agent.vda5050.actions.handler import (
    Handler,
    LoadLeft,
    LoadTaken,
    Progress,
    failed,
    finished,
)
from agent.vda5050.actions.registry import ActionKind, Parameter, parameters_of, text_of
from agent.vda5050.messages import Action, ActionScope, Load, ValueType
from agent.vda5050.situation import Situation

LOAD_POSITION = "deck"  # name of the only place for a load

_TEXT = (ValueType.STRING,)
_NUMBER = (ValueType.NUMBER,)
PARAMETERS = (
    *(
        Parameter(key, _TEXT, is_optional=True)
        for key in ("lhd", "stationType", "stationName", "loadType", "loadId", "side")
    ),
    *(Parameter(key, _NUMBER, is_optional=True) for key in ("height", "depth", "weight")),
)


def no_room(loads: tuple[Load, ...]) -> str | None:
    """Return why nothing can be taken, ``None`` where it can."""
    if not loads:
        return None
    return f"the robot already carries {loads[0].load_id or loads[0].load_type or 'a load'}"


def load_of(action: Action) -> Load:
    """Return the load that a pick is about."""
    weight = parameters_of(action).get("weight")
    return Load(
        load_id=text_of(action, "loadId"),
        load_type=text_of(action, "loadType"),
        load_position=LOAD_POSITION,
        weight=float(weight) if isinstance(weight, int | float) else None,
    )


def carried(action: Action, loads: tuple[Load, ...]) -> Load | None:
    """Return the load on the robot that a drop means: any, or that of the id and type it names."""
    asked = {"load_id": text_of(action, "loadId"), "load_type": text_of(action, "loadType")}
    return next(
        (
            load
            for load in loads
            if all(value in (None, getattr(load, name)) for name, value in asked.items())
        ),
        None,
    )


class Pick(Handler):
    """Takes a load that is put on the standing robot."""

    def start(self, action: Action, now_ns: int) -> None:
        """Begin."""
        del now_ns
        self._action = action

    def step(self, situation: Situation) -> Progress:
        """Be done at once, unless there is no room."""
        if problem := no_room(situation.loads):
            return failed(problem)
        return finished(None, LoadTaken(load_of(self._action)))


class Drop(Handler):
    """Lets a load be taken off the standing robot."""

    def start(self, action: Action, now_ns: int) -> None:
        """Begin."""
        del now_ns
        self._action = action

    def step(self, situation: Situation) -> Progress:
        """Be done at once, unless there is no such load."""
        load = carried(self._action, situation.loads)
        if load is None:
            return failed("the robot does not carry that load")
        return finished(None, LoadLeft(load))


def handling_problem(action: Action, max_load_kg: float) -> str | None:
    """Return what of a pick or drop the robot has not got (2.1, section 6.6.4.2)."""
    given = parameters_of(action)
    weight = given.get("weight")
    height = given.get("height")
    if text_of(action, "lhd") not in (None, LOAD_POSITION):
        return f"lhd is {given['lhd']}, the robot has {LOAD_POSITION}"
    if isinstance(weight, int | float) and not 0.0 <= weight <= max_load_kg:
        return f"weight is {weight} kg, the robot carries up to {max_load_kg} kg"
    if isinstance(height, int | float) and height > 0.0:
        return "height is above the floor, the robot does not lift"
    return None


def handling_kinds(max_load_kg: float) -> tuple[ActionKind, ...]:
    """Return pick and drop of a robot that may carry so much."""

    def problem(action: Action) -> str | None:
        return handling_problem(action, max_load_kg)

    return (
        ActionKind(
            action_type="pick",
            description="Stands still and counts the load as taken.",
            scopes=(ActionScope.NODE,),
            build=Pick,
            parameters=PARAMETERS,
            stands_alone=True,
            check=problem,
        ),
        ActionKind(
            action_type="drop",
            description="Stands still and counts the load as left.",
            scopes=(ActionScope.NODE,),
            build=Drop,
            parameters=PARAMETERS,
            stands_alone=True,
            check=problem,
        ),
    )
