"""Which topic on the wire stands for which of the robot's own."""

from dataclasses import dataclass
from typing import Protocol

from agent.telemetry.publication import Publication


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a message is for.

    Attributes:
        name: Last level of the robot's topic, None for one that is not for it.
        answer: What the broker is owed at once, with its full topic; None for nothing.
    """

    name: str | None
    answer: Publication | None = None


class Topics(Protocol):
    """The robot's topics, as a platform carries them."""

    def address(self, name: str) -> str:
        """Return the full topic that a message is published on."""

    def filters(self, subscriptions: dict[str, int]) -> list[tuple[str, int]]:
        """Return what to subscribe to, and with which QoS."""

    def arrival(self, topic: str) -> Arrival:
        """Return what a message is for that came on a full topic."""


class OwnTopics:
    """Topics as the standard has them (VDA 5050 2.1, section 6.2)."""

    def __init__(self, base: str) -> None:
        """Fix what they begin with."""
        self._base = base

    def address(self, name: str) -> str:
        """Return the full topic of a name."""
        return f"{self._base}/{name}"

    def filters(self, subscriptions: dict[str, int]) -> list[tuple[str, int]]:
        """Return each topic with its QoS."""
        return [(self.address(name), qos) for name, qos in subscriptions.items()]

    def arrival(self, topic: str) -> Arrival:
        """Return the name of a topic."""
        return Arrival(topic.removeprefix(f"{self._base}/"))
