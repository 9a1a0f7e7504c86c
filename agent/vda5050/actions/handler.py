"""What an action does: the protocol between the runner and whatever performs an action.

A handler is pure: it knows what a tick tells it, reads no clock and does no I/O. What it wants done
to the robot it says in its progress, as effects.
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from agent.errors import ActionFailed
from agent.geometry.twist import Twist
from agent.positioning import PoseRequest
from agent.vda5050.messages import Action, ActionStatus, Load
from agent.vda5050.situation import Situation
from drivers.measurement import Odometry, Scan

FLEET_CONTROL, LOCAL = "FLEET_CONTROL", "LOCAL"  # who pulls a trigger (3.0, section 6.2.3.1)


@dataclass(frozen=True, slots=True)
class LoadTaken:
    """A load is on the robot now."""

    load: Load


@dataclass(frozen=True, slots=True)
class LoadLeft:
    """A load is no longer on the robot."""

    load: Load


@dataclass(frozen=True, slots=True)
class ChargingChanged:
    """The robot charges now, or no longer."""

    charging: bool


@dataclass(frozen=True, slots=True)
class ReportMade:
    """A report is to be stored in the log, under a name."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class PoseStated:
    """The robot is to believe to be somewhere."""

    request: PoseRequest


@dataclass(frozen=True, slots=True)
class NodeStated:
    """The robot stands on a node, as the platform says."""

    node_id: str


Effect: TypeAlias = LoadTaken | LoadLeft | ChargingChanged | ReportMade | PoseStated | NodeStated


@dataclass(frozen=True, slots=True)
class Progress:
    """How an action is getting on.

    Attributes:
        status: INITIALIZING, RUNNING, FINISHED or FAILED.
        result: What came of it, in words.
        effects: What it did to the robot.
        error: What the platform is told where it FAILED, None for what its result says.
    """

    status: ActionStatus
    result: str | None = None
    effects: tuple[Effect, ...] = ()
    error: ActionFailed | None = None


RUNNING = Progress(ActionStatus.RUNNING)


def failed(reason: str, error: ActionFailed | None = None) -> Progress:
    """Return that it did not succeed, and why."""
    return Progress(ActionStatus.FAILED, reason, error=error)


def finished(result: str | None = None, *effects: Effect) -> Progress:
    """Return that it is done."""
    return Progress(ActionStatus.FINISHED, result, effects)


class Maneuver(Protocol):
    """A motion of an action's own, in place of that along the order.

    Attributes:
        margin_m: Clearance that the governor is to keep meanwhile; its own where it is ``None``.
    """

    margin_m: float | None

    def see(self, lidar: str, scan: Scan) -> None:
        """Take a scan."""

    def step(self, odometry: Odometry, now_ns: int) -> Twist:
        """Return the twist that is wanted now; the governor has the last word on it."""


class ActionHandler(Protocol):
    """Performs one action, once."""

    @property
    def motion(self) -> Maneuver | None:
        """How it drives by itself, ``None`` while it does not."""

    def start(self, action: Action, now_ns: int) -> None:
        """Begin."""

    def step(self, situation: Situation) -> Progress:
        """Go on for a tick; not called while paused, nor once it is over."""

    def pause(self) -> None:
        """Hold still until :meth:`resume`."""

    def resume(self) -> None:
        """Go on after :meth:`pause`."""

    def cancel(self) -> None:
        """Give up; only called where the action may be cancelled."""

    def leave(self) -> Progress:
        """Come to an end because the edge is left (2.1, section 6.10.2)."""

    def trigger(self, source: str) -> bool:
        """Take a trigger; returns whether it was waited for."""


class Handler:
    """What most handlers have in common: nothing to pause, to cancel or to be triggered by."""

    @property
    def motion(self) -> Maneuver | None:
        """It does not drive."""
        return None

    def start(self, action: Action, now_ns: int) -> None:
        """Begin."""

    def step(self, situation: Situation) -> Progress:
        """Be done at once."""
        del situation
        return finished()

    def pause(self) -> None:
        """Hold still."""

    def resume(self) -> None:
        """Go on."""

    def cancel(self) -> None:
        """Give up."""

    def leave(self) -> Progress:
        """End with the edge."""
        return finished("the edge was left")

    def trigger(self, source: str) -> bool:
        """Wait for no trigger."""
        del source
        return False
