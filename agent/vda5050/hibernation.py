"""startHibernation, stopHibernation and shutdown (3.0, section 6.2.3.1).

A robot that hibernates stands, stays with the broker, and is silent; it hears stopHibernation and
nothing else. It falls asleep only once the platform has been told that the action is FINISHED.
"""

from datetime import UTC, datetime
from enum import Enum, auto

from agent.errors import ActionFailed
from agent.vda5050.actions.registry import text_of
from agent.vda5050.messages import Action


class Phase(Enum):
    """How awake the robot is."""

    AWAKE = auto()
    SETTLING = auto()  # it gives up its order and comes to rest
    DROWSY = auto()  # all is over but for the platform to be told
    ASLEEP = auto()
    LEAVING = auto()  # as DROWSY, before it is switched off
    OFF = auto()


class Hibernation:
    """Where between awake and switched off the robot is."""

    def __init__(self) -> None:
        """Begin awake."""
        self._phase = Phase.AWAKE
        self._wake_utc_ns: int | None = None

    @property
    def is_asleep(self) -> bool:
        """Whether the robot is silent, and hears but stopHibernation."""
        return self._phase is Phase.ASLEEP

    @property
    def is_settling(self) -> bool:
        """Whether the robot has yet to come to rest before it can sleep."""
        return self._phase is Phase.SETTLING

    @property
    def is_off(self) -> bool:
        """Whether the agent has to end."""
        return self._phase is Phase.OFF

    def begin(self, action: Action) -> None:
        """Go to sleep.

        Raises:
            ActionFailed: The time to wake up is none.
        """
        self._wake_utc_ns = _time(text_of(action, "wakeUpTime"))
        self._phase = Phase.SETTLING

    def rest(self) -> None:
        """The robot stands and has no order: it sleeps as soon as the platform knows."""
        self._phase = Phase.DROWSY

    def leave(self) -> None:
        """The robot is to be switched off as soon as the platform knows."""
        self._phase = Phase.LEAVING

    def wake(self) -> None:
        """Be awake again."""
        if self._phase not in (Phase.LEAVING, Phase.OFF):
            self._phase, self._wake_utc_ns = Phase.AWAKE, None

    def advance(self, utc_ns: int, *, told: bool) -> None:
        """Go on for a tick.

        Args:
            utc_ns: Wall-clock time, by which the robot may wake up.
            told: Whether the last state has all that there is to tell.
        """
        if told and self._phase is Phase.DROWSY:
            self._phase = Phase.ASLEEP
        elif told and self._phase is Phase.LEAVING:
            self._phase = Phase.OFF
        if self.is_asleep and self._wake_utc_ns is not None and utc_ns >= self._wake_utc_ns:
            self.wake()


def _time(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ActionFailed(f"wakeUpTime: {text!r} is no time as of ISO 8601") from error
    return round(moment.astimezone(UTC).timestamp() * 1e9)
