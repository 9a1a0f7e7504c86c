"""A small VDA 5050 master control for demo, bench and tests.

:class:`MasterControl` is the core: messages in, messages out, no transport. :class:`MqttMaster`
joins it to a broker. It checks every message of the robot against the same models that the robot
uses, sends orders whole or in pieces (base and horizon), and counts what it sees.
"""

import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.clock import Clock
from agent.errors import BrokerUnavailable, MessageInvalid
from agent.telemetry.publication import Publication
from agent.vda5050.identity import Identity
from agent.vda5050.messages import (
    Action,
    BlockingType,
    Connection,
    ConnectionState,
    Edge,
    Factsheet,
    Header,
    HeaderCounter,
    InstantActions,
    Node,
    NodePosition,
    Order,
    State,
    Visualization,
    decode,
)
from agent.vda5050.topics import FROM_ROBOT, address, name_of, publication


@dataclass(frozen=True, slots=True)
class Station:
    """A node of an order, in the map frame.

    Attributes:
        x_m: Position.
        y_m: Position.
        yaw_rad: Heading to arrive with, None where any will do.
        node_id: Its name; made from its place in the order where empty.
        deviation_m: ``allowedDeviationXY``, None to leave it to the robot.
        max_speed_mps: Limit on the way to it, None for the robot's own.
    """

    x_m: float
    y_m: float
    yaw_rad: float | None = None
    node_id: str = ""
    deviation_m: float | None = None
    max_speed_mps: float | None = None


class MasterControl:
    """Sends orders to one robot and follows what it reports.

    Attributes:
        connection: Newest connection message.
        state: Newest state.
        visualization: Newest visualization.
        factsheet: Newest factsheet.
        counts: Messages received per topic.
        invalid: Why messages of the robot were refused, oldest first.
    """

    def __init__(
        self,
        identity: Identity,
        clock: Clock,
        *,
        on_progress: Callable[[State], None] | None = None,
    ) -> None:
        """Start without an order.

        Args:
            identity: The robot to talk to.
            clock: For time stamps.
            on_progress: Called with every state that names the order at hand.
        """
        self._identity = identity
        self._clock = clock
        self._on_progress = on_progress
        self._headers = HeaderCounter(identity)
        self._orders = self._actions = 0
        self._order_id = ""
        self._order_update_id = 0
        self._nodes: list[Node] = []
        self._edges: list[Edge] = []
        self._released = self._window = self._stitch = 0
        self.connection: Connection | None = None
        self.state: State | None = None
        self.visualization: Visualization | None = None
        self.factsheet: Factsheet | None = None
        self.counts: Counter[str] = Counter()
        self.invalid: list[MessageInvalid] = []

    @property
    def order_id(self) -> str:
        """Order sent last, empty before the first."""
        return self._order_id

    @property
    def online(self) -> bool:
        """Whether the robot says it is there."""
        connection = self.connection
        return connection is not None and connection.connection_state is ConnectionState.ONLINE

    @property
    def finished(self) -> bool:
        """Whether the robot reports the whole order as driven."""
        state = self.state
        return (
            state is not None
            and state.order_id == self._order_id != ""
            and state.order_update_id == self._order_update_id
            and state.last_node_sequence_id == self._nodes[-1].sequence_id
            and not state.node_states
            and not state.driving
        )

    @property
    def rejections(self) -> tuple[str, ...]:
        """Types of the errors that the robot reports about the order sent last."""
        if self.state is None:
            return ()
        return tuple(
            error.error_type
            for error in self.state.errors
            for reference in error.error_references or ()
            if (reference.reference_key, reference.reference_value) == ("orderId", self._order_id)
        )

    def order(
        self,
        stations: Sequence[Station],
        map_id: str,
        *,
        order_id: str | None = None,
        window: int | None = None,
    ) -> tuple[Publication, ...]:
        """Make a new order.

        Args:
            stations: Where to go; the first must be where the robot stands.
            map_id: Map that the stations are on.
            order_id: Its name; numbered where None.
            window: How many nodes ahead of the robot to release; None releases all at once.
                The rest is the horizon, released piece by piece as the robot advances.
        """
        self._orders += 1
        self._order_id = f"order-{self._orders}" if order_id is None else order_id
        self._order_update_id = self._stitch = 0
        self._window = len(stations) if window is None else window
        self._released = min(1 + self._window, len(stations))
        self._nodes = [_node(station, index, map_id) for index, station in enumerate(stations)]
        self._edges = [
            _edge(start, end, station.max_speed_mps)
            for start, end, station in zip(
                self._nodes[:-1], self._nodes[1:], stations[1:], strict=True
            )
        ]
        return (self._order_from(0),)

    def repeat(self) -> tuple[Publication, ...]:
        """Make the newest order message again, as masters do that missed the state."""
        return (self._order_from(self._stitch),)

    def instant_action(self, action_type: str) -> tuple[Publication, ...]:
        """Make an instant action without parameters, such as ``cancelOrder``."""
        self._actions += 1
        action = Action(
            action_type=action_type,
            action_id=f"{action_type}-{self._actions}",
            blocking_type=BlockingType.HARD,
        )
        header = self._headers.next("instantActions", self._clock.utc_ns())
        return (publication("instantActions", InstantActions(**header, actions=[action])),)

    def receive(self, topic: str, payload: bytes) -> tuple[Publication, ...]:
        """Take a message of the robot.

        Args:
            topic: Last level of its topic.
            payload: Its JSON.

        Returns:
            What to send in answer: an update when the base runs low.
        """
        self.counts[topic] += 1
        try:
            match topic:
                case "connection":
                    self.connection = decode(Connection, payload)
                case "factsheet":
                    self.factsheet = decode(Factsheet, payload)
                case "visualization":
                    self.visualization = decode(Visualization, payload)
                case "state":
                    return self._follow(decode(State, payload))
        except MessageInvalid as error:
            self.invalid.append(error)
        return ()

    def _follow(self, state: State) -> tuple[Publication, ...]:
        self.state = state
        if state.order_id != self._order_id or not self._nodes:
            return ()
        if self._on_progress is not None:
            self._on_progress(state)
        wanted = min(state.last_node_sequence_id // 2 + 1 + self._window, len(self._nodes))
        accepted = state.order_update_id == self._order_update_id
        if not accepted or not state.node_states or wanted <= self._released:
            return ()
        self._stitch, self._released = self._released - 1, wanted
        self._order_update_id += 1
        return (self._order_from(self._stitch),)

    def _order_from(self, start: int) -> Publication:
        """Return the order message whose first node is number ``start``."""
        nodes = [
            node.model_copy(update={"released": index < self._released})
            for index, node in enumerate(self._nodes)
        ]
        edges = [
            edge.model_copy(update={"released": index + 1 < self._released})
            for index, edge in enumerate(self._edges)
        ]
        message: Header = Order(
            **self._headers.next("order", self._clock.utc_ns()),
            order_id=self._order_id,
            order_update_id=self._order_update_id,
            nodes=nodes[start:],
            edges=edges[start:],
        )
        return publication("order", message)


class MqttMaster:
    """Joins a master control to a broker; a context manager.

    The core is touched by paho's thread and by the caller, one at a time.
    """

    def __init__(self, core: MasterControl, identity: Identity, host: str, port: int) -> None:
        self._core = core
        self._identity = identity
        self._address = (host, port)
        self._changed = threading.Condition()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            BrokerUnavailable: There is no broker.
        """
        try:
            self._client.connect(*self._address)
        except OSError as error:
            host, port = self._address
            raise BrokerUnavailable(f"no connection to {host}:{port}: {error}") from error
        self._client.loop_start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def order(
        self,
        stations: Sequence[Station],
        map_id: str,
        *,
        order_id: str | None = None,
        window: int | None = None,
    ) -> None:
        """Send a new order, see :meth:`MasterControl.order`."""
        with self._changed:
            self._send(self._core.order(stations, map_id, order_id=order_id, window=window))

    def repeat(self) -> None:
        """Send the newest order message again."""
        with self._changed:
            self._send(self._core.repeat())

    def instant_action(self, action_type: str) -> None:
        """Send an instant action without parameters."""
        with self._changed:
            self._send(self._core.instant_action(action_type))

    def wait_for(self, condition: Callable[[MasterControl], bool], timeout_s: float) -> bool:
        """Wait until a condition on the core holds; returns whether it came to hold in time."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self._core), timeout_s)

    def _send(self, publications: Sequence[Publication]) -> None:
        for message in publications:
            topic = address(self._identity, message.topic)
            self._client.publish(topic, message.payload, message.qos, message.retain)

    def _on_connect(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        client.subscribe([(address(self._identity, name), 1) for name in FROM_ROBOT])

    def _on_message(
        self,
        client: paho.Client,
        userdata: object,
        message: paho.MQTTMessage,
    ) -> None:
        name = name_of(self._identity, message.topic)
        if name is None:
            return
        with self._changed:
            self._send(self._core.receive(name, bytes(message.payload)))
            self._changed.notify_all()


def _node(station: Station, index: int, map_id: str) -> Node:
    return Node(
        node_id=station.node_id or f"n{index}",
        sequence_id=2 * index,
        released=False,
        actions=[],
        node_position=NodePosition(
            x=station.x_m,
            y=station.y_m,
            theta=None if station.yaw_rad is None else math.remainder(station.yaw_rad, math.tau),
            allowed_deviation_xy=station.deviation_m,
            map_id=map_id,
        ),
    )


def _edge(start: Node, end: Node, max_speed_mps: float | None) -> Edge:
    return Edge(
        edge_id=f"{start.node_id}->{end.node_id}",
        sequence_id=end.sequence_id - 1,
        released=False,
        start_node_id=start.node_id,
        end_node_id=end.node_id,
        actions=[],
        max_speed=max_speed_mps,
    )
