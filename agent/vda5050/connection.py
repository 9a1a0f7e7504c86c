"""What the platform is told about the robot's connection (VDA 5050 2.1, section 6.14; 3.0, 6.5)."""

from collections.abc import Mapping

from agent.clock import Clock
from agent.telemetry.publication import Publication
from agent.vda5050.identity import Identity
from agent.vda5050.messages import Connection, ConnectionState, HeaderCounter
from agent.vda5050.topics import FROM_ROBOT, Topic, publication


class ConnectionReport:
    """Makes the messages of the topic ``connection``; used by the broker's thread.

    Attributes:
        hibernates: Whether the robot sleeps while it is connected; may be set by any thread.
    """

    def __init__(
        self, identity: Identity, clock: Clock, topics: Mapping[str, Topic] = FROM_ROBOT
    ) -> None:
        self._topics = topics
        self._headers = HeaderCounter(identity)
        self._clock = clock
        self.hibernates = False

    def online(self) -> Publication:
        """Return what to send after every connect, and as the robot falls asleep or wakes up."""
        state = ConnectionState.HIBERNATING if self.hibernates else ConnectionState.ONLINE
        return self._message(state)

    def offline(self) -> Publication:
        """Return what to send before a wanted disconnect."""
        return self._message(ConnectionState.OFFLINE)

    def will(self) -> Publication:
        """Return what the broker shall send when the robot vanishes.

        Number and stamp are those of the connect, which the standard notes as unavoidable.
        """
        return self._message(ConnectionState.CONNECTIONBROKEN)

    def _message(self, state: ConnectionState) -> Publication:
        header = self._headers.next("connection", self._clock.utc_ns())
        return publication(Connection(**header, connection_state=state), self._topics)
