"""A small VDA 5050 master control for demo, bench and tests, in each version of the standard.

:class:`MasterControl` is the core: messages in, messages out, no transport. :class:`MqttMaster`
joins it to a broker. It checks every message of the robot against the same models that the robot
uses, sends orders whole or in pieces (base and horizon), answers the requests of 3.0, and counts
what it sees.
"""

import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Self, TypeVar

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import JsonValue

from agent.clock import Clock
from agent.errors import BrokerUnavailable, MessageInvalid
from agent.telemetry.publication import Publication
from agent.vda5050.identity import Identity
from agent.vda5050.itinerary import Station as Station
from agent.vda5050.itinerary import graph
from agent.vda5050.messages import (
    Action,
    ActionParameter,
    ActionState,
    BlockingType,
    Connection,
    ConnectionState,
    Edge,
    Factsheet,
    GrantType,
    HeaderCounter,
    InstantActions,
    Node,
    Order,
    RequestStatus,
    Response,
    Responses,
    State,
    Visualization,
    ZoneSet,
    ZoneSetTransfer,
    decode,
)
from agent.vda5050.topics import FROM_ROBOT, address, name_of, publication

Place = TypeVar("Place", Node, Edge)


class MasterControl:
    """Sends orders to one robot and follows what it reports.

    Attributes:
        connection: Newest connection message.
        state: Newest state.
        visualization: Newest visualization.
        factsheet: Newest factsheet.
        action_id: Instant action sent last, empty before the first.
        grant: Answer to every request of the robot (3.0); None leaves it waiting.
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
            identity: The robot to talk to, in its version of the standard.
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
        self._piece = 1
        self.connection: Connection | None = None
        self.state: State | None = None
        self.visualization: Visualization | None = None
        self.factsheet: Factsheet | None = None
        self.action_id = ""
        self.grant: GrantType | None = GrantType.GRANTED
        self._answered: dict[str, GrantType] = {}
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
        piece: int = 1,
        actions: Mapping[int, Sequence[Action]] = MappingProxyType({}),
    ) -> tuple[Publication, ...]:
        """Make a new order.

        Args:
            stations: Where to go; the first must be where the robot stands.
            map_id: Map that the stations are on.
            order_id: Its name; numbered where None.
            window: How many nodes ahead of the robot to release; None releases all at once.
                The rest is the horizon, released piece by piece as the robot advances.
            piece: How many nodes to release at a time, once more than the window are needed.
            actions: What to do on nodes and edges, by their sequence ids.
        """
        self._orders += 1
        self._order_id = f"order-{self._orders}" if order_id is None else order_id
        self._order_update_id = self._stitch = 0
        self._window = len(stations) if window is None else window
        self._piece = piece
        self._released = min(1 + self._window, len(stations))
        nodes, edges = graph(stations, map_id)
        self._nodes, self._edges = _acting(nodes, actions), _acting(edges, actions)
        return (self._order_from(0),)

    def repeat(self) -> tuple[Publication, ...]:
        """Make the newest order message again, as masters do that missed the state."""
        return (self._order_from(self._stitch),)

    def instant_action(
        self, action_type: str, parameters: Mapping[str, JsonValue] = MappingProxyType({})
    ) -> tuple[Publication, ...]:
        """Make an instant action, such as ``cancelOrder``.

        Args:
            action_type: Its type as 2.1 names it; ``initPosition`` goes by 3.0's name there.
            parameters: Its parameters by their keys.
        """
        self._actions += 1
        self.action_id = f"{action_type}-{self._actions}"
        action = Action(
            action_type=action_type,
            action_id=self.action_id,
            blocking_type=BlockingType.HARD,
            action_parameters=[
                ActionParameter(key=key, value=value) for key, value in parameters.items()
            ]
            or None,
        )
        header = self._headers.next("instantActions", self._clock.utc_ns())
        return (publication(InstantActions(**header, actions=[action])),)

    def action_state(self, action_id: str) -> ActionState | None:
        """Return what the robot says of an action, None before it has said anything."""
        if self.state is None:
            return None
        states = [*self.state.action_states, *self.state.instant_action_states]
        return next((state for state in states if state.action_id == action_id), None)

    def zone_set(self, zones: ZoneSet) -> tuple[Publication, ...]:
        """Make a transfer of a zone set (3.0, section 6.4.2)."""
        header = self._headers.next("zoneSet", self._clock.utc_ns())
        return (publication(ZoneSetTransfer(**header, zone_set=zones)),)

    def receive(self, topic: str, payload: bytes) -> tuple[Publication, ...]:
        """Take a message of the robot.

        Args:
            topic: Last level of its topic.
            payload: Its JSON.

        Returns:
            What to send in answer: an update when the base runs low, and responses to requests.
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
                    state = decode(State, payload)
                    return (*self._answer(state), *self._follow(state))
        except MessageInvalid as error:
            self.invalid.append(error)
        return ()

    def _answer(self, state: State) -> tuple[Publication, ...]:
        """Answer each request once (3.0, section 6.9), and anew when the answer has changed."""
        requests = [*(state.zone_requests or ()), *(state.edge_requests or ())]
        self._answered = {
            request.request_id: self._answered[request.request_id]
            for request in requests
            if request.request_id in self._answered
        }
        grant = self.grant
        if grant is None:
            return ()
        responses = [
            Response(request_id=request.request_id, grant_type=grant)
            for request in requests
            if request.request_status in (RequestStatus.REQUESTED, RequestStatus.GRANTED)
            and self._answered.get(request.request_id) is not grant
        ]
        if not responses:
            return ()
        self._answered |= {response.request_id: grant for response in responses}
        header = self._headers.next("responses", self._clock.utc_ns())
        return (publication(Responses(**header, responses=responses)),)

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
        pieces = math.ceil((wanted - self._released) / self._piece)
        self._stitch = self._released - 1
        self._released = min(self._released + pieces * self._piece, len(self._nodes))
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
        message = Order(
            **self._headers.next("order", self._clock.utc_ns()),
            order_id=self._order_id,
            order_update_id=self._order_update_id,
            nodes=nodes[start:],
            edges=edges[start:],
        )
        return publication(message)


def _acting(places: Sequence[Place], actions: Mapping[int, Sequence[Action]]) -> list[Place]:
    """Return nodes or edges with what is to be done there."""
    return [
        place.model_copy(update={"actions": list(actions.get(place.sequence_id, ()))})
        for place in places
    ]


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
        piece: int = 1,
        actions: Mapping[int, Sequence[Action]] = MappingProxyType({}),
    ) -> None:
        """Send a new order, see :meth:`MasterControl.order`."""
        with self._changed:
            self._send(
                self._core.order(
                    stations,
                    map_id,
                    order_id=order_id,
                    window=window,
                    piece=piece,
                    actions=actions,
                )
            )

    def send(self, message: Publication) -> None:
        """Send a message of the caller's own."""
        with self._changed:
            self._send((message,))

    def repeat(self) -> None:
        """Send the newest order message again."""
        with self._changed:
            self._send(self._core.repeat())

    def instant_action(
        self, action_type: str, parameters: Mapping[str, JsonValue] = MappingProxyType({})
    ) -> None:
        """Send an instant action, see :meth:`MasterControl.instant_action`."""
        with self._changed:
            self._send(self._core.instant_action(action_type, parameters))

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
