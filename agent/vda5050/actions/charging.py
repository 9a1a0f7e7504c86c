"""startCharging and stopCharging (2.1, section 6.8; 3.0, section 6.2.3)."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt, Le

from agent.vda5050.actions.handler import (
    ChargingChanged,
    Handler,
    Progress,
    failed,
    finished,
)
from agent.vda5050.actions.registry import ActionKind
from agent.vda5050.messages import Action, ActionScope, ActionStatus
from agent.vda5050.situation import Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargingParams:
    """How the robot knows that it charges.

    Attributes:
        voltage_v: Of the battery, at or above which a charger is connected.
        patience_s: How long after startCharging the charger may take.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    voltage_v: Annotated[float, Gt(0), Le(1000)]
    patience_s: Annotated[float, Gt(0), Le(600)] = 20.0


class StartCharging(Handler):
    """Waits at the charger until the battery's voltage tells that it charges."""

    def __init__(self, params: ChargingParams) -> None:
        self._params = params

    def start(self, action: Action, now_ns: int) -> None:
        """Begin."""
        del action
        self._deadline_ns = now_ns + round(self._params.patience_s * 1e9)

    def step(self, situation: Situation) -> Progress:
        """Be done once the voltage has risen."""
        battery_v, needed_v = situation.battery_v, self._params.voltage_v
        if battery_v >= needed_v:
            return finished(f"the battery has {battery_v:.1f} V", ChargingChanged(True))
        if situation.now_ns < self._deadline_ns:
            return Progress(ActionStatus.INITIALIZING)
        has = "an unknown voltage" if math.isnan(battery_v) else f"{battery_v:.1f} V"
        return failed(f"no charger: the battery has {has}, not {needed_v:.1f} V")


class StopCharging(Handler):
    """Takes it that the robot is about to leave the charger."""

    def step(self, situation: Situation) -> Progress:
        """Be done at once: the contacts of a charger give way."""
        del situation
        return finished(None, ChargingChanged(False))


def charging_kinds(params: ChargingParams) -> tuple[ActionKind, ...]:
    """Return the actions of a robot that can be charged without a person."""
    scopes = (ActionScope.INSTANT, ActionScope.NODE)
    return (
        ActionKind(
            action_type="startCharging",
            description="Finished once the battery's voltage tells that a charger is connected.",
            scopes=scopes,
            build=lambda: StartCharging(params),
            result="voltage of the battery",
            pause_allowed=False,
            repeatable=True,
        ),
        ActionKind(
            action_type="stopCharging",
            description="Reports that the robot charges no longer.",
            scopes=scopes,
            build=StopCharging,
            repeatable=True,
        ),
    )
