"""Takes events from the broker and acknowledges them once they are in the database.

The session is kept by the broker (MQTT 3.1.1, section 3.1.2.4), so that nothing is missed while
the consumer is away, and the acknowledgement is sent after the commit, so that nothing is lost when
it ends in between.
"""

import threading
from dataclasses import dataclass

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.clock import Clock
from agent.errors import BrokerUnavailable
from hil.consumer.store import EventStore, Row, row_of

QOS = 1
MOST_ROWS = 500
COMMIT_NS = 20_000_000
RETRY_S = 0.5
POLL_S = 0.05


@dataclass(slots=True)
class Reception:
    """What came.

    Attributes:
        messages: Messages received.
        events: Of these, events that were new.
        repeats: Events that were here before.
        rewinds: How often a robot's sequence numbers went back; one connect of a robot explains
            one, and all repeats up to where they had been.
        resent: Repeats that the broker itself marked as sent again (MQTT 3.1.1, section 3.3.1.1).
        refused: Messages that are no events.
        connects: How often the broker was reached.
    """

    messages: int = 0
    events: int = 0
    repeats: int = 0
    rewinds: int = 0
    resent: int = 0
    refused: int = 0
    connects: int = 0


class Receiver:
    """A consumer; ``run`` is run by a thread of whoever makes it.

    Args:
        host: Of the broker.
        port: Of the broker.
        topic: Filter of the history topics, such as ``uagv/v2/+/+/history``.
        store: Takes the events; used in the thread of ``run``.
        clock: For the time between commits.
        client_id: Name of the session that the broker keeps.
    """

    def __init__(
        self,
        host: str,
        port: int,
        topic: str,
        store: EventStore,
        clock: Clock,
        client_id: str = "haulier-consumer",
    ) -> None:
        self.reception = Reception()
        self.subscribed = threading.Event()
        self._address = (host, port)
        self._topic = topic
        self._store = store
        self._clock = clock
        self._waiting: list[Row] = []
        self._unacknowledged: list[int] = []
        self._committed_ns = clock.now_ns()
        self._newest: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._refusal: str | None = None
        client = self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=False,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_subscribe = lambda *_: self.subscribed.set()

    def run(self, stop: threading.Event) -> None:
        """Receive until told to stop, connecting again as often as needed.

        Raises:
            BenchError: The database cannot be written.
        """
        while not stop.is_set():
            try:
                self._client.connect(*self._address, keepalive=10)
            except OSError:
                stop.wait(RETRY_S)
                continue
            while not stop.is_set() and self._client.loop(POLL_S) is paho.MQTT_ERR_SUCCESS:
                if self._clock.now_ns() - self._committed_ns >= COMMIT_NS:
                    self._commit()
            # What was not acknowledged comes again, in a session that knows it by other numbers.
            self._commit(acknowledges=stop.is_set())
            if not stop.is_set():
                stop.wait(POLL_S)
        self._client.disconnect()
        if (line := self._client.socket()) is not None:
            line.close()

    def check(self) -> None:
        """Complain if the broker does not want the consumer.

        Raises:
            BrokerUnavailable: It said so.
        """
        if self._refusal is not None:
            raise BrokerUnavailable(self._refusal)

    def _on_connect(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._refusal = f"the broker refuses the consumer: {reason}" if reason.is_failure else None
        self.reception.connects += not reason.is_failure
        client.subscribe(self._topic, QOS)

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        self.reception.messages += 1
        if message.qos:
            self._unacknowledged.append(message.mid)
        try:
            row = row_of(bytes(message.payload))
        except ValueError:
            self.reception.refused += 1
            return
        self._note_order(row, is_resent=message.dup)
        self._waiting.append(row)
        if len(self._waiting) >= MOST_ROWS:
            self._commit()

    def _note_order(self, row: Row, *, is_resent: bool) -> None:
        robot, sequence = row.robot, row.sequence
        if robot not in self._newest:
            self._newest[robot] = self._store.newest(robot)
        if sequence <= self._newest[robot]:
            self.reception.resent += is_resent
            self.reception.rewinds += not is_resent and sequence <= self._last.get(robot, sequence)
        self._newest[robot] = max(self._newest[robot], sequence)
        self._last[robot] = sequence

    def _commit(self, *, acknowledges: bool = True) -> None:
        self._committed_ns = self._clock.now_ns()
        rows, self._waiting = self._waiting, []
        if rows:
            new = self._store.add(rows)
            self.reception.events += new
            self.reception.repeats += len(rows) - new
        mids, self._unacknowledged = self._unacknowledged, []
        if acknowledges:
            for mid in mids:
                self._client.ack(mid, QOS)
