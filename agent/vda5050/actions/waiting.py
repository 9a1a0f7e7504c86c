"""Actions that wait or report: waitForTrigger, logReport (2.1, section 6.8; 3.0, section 6.2.3)."""

from agent.vda5050.actions.handler import (
    FLEET_CONTROL,
    LOCAL,
    RUNNING,
    Handler,
    Progress,
    ReportMade,
    failed,
    finished,
)
from agent.vda5050.actions.registry import ActionKind, Parameter, parameters_of, text_of
from agent.vda5050.messages import Action, ActionScope, ValueType
from agent.vda5050.situation import Situation


class WaitForTrigger(Handler):
    """Waits until the master or somebody at the robot lets it go on.

    Up to 2.1 ``triggerType`` is one free word, in 3.0 a list. What is neither FLEET_CONTROL nor
    LOCAL is a word of the plant's; either may pull that trigger.
    """

    def start(self, action: Action, now_ns: int) -> None:
        """Begin to wait."""
        del now_ns
        asked = parameters_of(action)["triggerType"]
        self._types = asked if isinstance(asked, list) else [asked]
        self._pulled_by: str | None = None

    def step(self, situation: Situation) -> Progress:
        """Be done once triggered."""
        del situation
        return RUNNING if self._pulled_by is None else finished(f"triggered by {self._pulled_by}")

    def leave(self) -> Progress:
        """The trigger never came."""
        return failed("the edge was left before the trigger")

    def trigger(self, source: str) -> bool:
        """Take a trigger of a type that is waited for."""
        own = [kind for kind in self._types if kind not in (FLEET_CONTROL, LOCAL)]
        if self._pulled_by is not None or (source not in self._types and not own):
            return False
        self._pulled_by = source
        return True


class LogReport(Handler):
    """Has a report stored in the journal."""

    def start(self, action: Action, now_ns: int) -> None:
        """Take the reason."""
        self._name = f"report-{now_ns // 1_000_000}"
        self._reason = text_of(action, "reason") or ""

    def step(self, situation: Situation) -> Progress:
        """Be done at once; the result is the report's name."""
        del situation
        return finished(self._name, ReportMade(self._name, self._reason))


WAIT_FOR_TRIGGER = ActionKind(
    action_type="waitForTrigger",
    description="Waits for the instant action trigger, or for 'haulier acknowledge' at the robot.",
    scopes=(ActionScope.NODE,),
    build=WaitForTrigger,
    parameters=(Parameter("triggerType", (ValueType.STRING, ValueType.ARRAY)),),
    result="who pulled the trigger",
    pause_allowed=False,  # a trigger that comes during a pause must not be lost
    repeatable=True,
)
LOG_REPORT = ActionKind(
    action_type="logReport",
    description="Writes the robot's whole status into its journal.",
    scopes=(ActionScope.INSTANT,),
    build=LogReport,
    parameters=(Parameter("reason", (ValueType.STRING,)),),
    result="name of the report in the journal",
)
