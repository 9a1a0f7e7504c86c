"""``haulier order``: send the robot an order over its broker, as a master does, and hear it out.

For putting into service: no fleet control is needed, and what is tested is the line that one uses.
"""

import argparse
import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agent.cli.eval import parse_pose
from agent.cli.verb import Verb
from agent.clock import Clock, SystemClock
from agent.errors import BrokerUnavailable, ConfigError, DaemonUnreachable, MessageInvalid

if TYPE_CHECKING:
    from agent.config import Config
    from agent.telemetry.publication import Message
    from agent.vda5050.answer import Answer
    from agent.vda5050.messages import Header, Order, State

CONNECT_NS = 10_000_000_000
POLL_S = 0.1
WRONG_USAGE = 2
UNREADABLE = 65
INSTANT = {"cancel": "cancelOrder", "pause": "startPause", "resume": "stopPause"}
DECIS = 100_000_000  # ns; header ids of one call after the other rise


def _configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    send = actions.add_parser("send", help="send an order (exit status 1 if it is rejected)")
    what = send.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "file", type=Path, nargs="?", help="JSON of an order; header and orderId may be left out"
    )
    what.add_argument(
        "--via",
        type=parse_pose,
        action="append",
        metavar="X,Y,THETA",
        help="pose to drive to from where the robot is, m, m and rad on its map; may be repeated",
    )
    what.add_argument(
        "--to", nargs="+", metavar="NODE", help="nodes of --layout to pass, the last one the goal"
    )
    send.add_argument("--layout", type=Path, metavar="FILE", help="LIF file that --to refers to")
    send.add_argument("--id", metavar="ID", help="orderId; made from the time without")
    cancel = actions.add_parser("cancel", help="give up the order at hand (cancelOrder)")
    pause = actions.add_parser("pause", help="suspend driving (startPause)")
    resume = actions.add_parser("resume", help="go on after a pause (stopPause)")
    for action in (send, cancel, pause, resume):
        action.add_argument("--config", type=Path, default=Path("/etc/haulier/haulier.toml"))
        action.add_argument(
            "--wait", type=float, default=30.0, metavar="S", help="for the answer (30)"
        )
        action.add_argument("--json", action="store_true", help="print one JSON object")


def _run(options: argparse.Namespace) -> int:
    import structlog

    from agent import config

    if options.action == "send" and (options.to is None) != (options.layout is None):
        sys.stderr.write("haulier: --to and --layout go together\n")
        return WRONG_USAGE
    # What the line has to say ends up in the answer, or in the error.
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    settings, clock = config.load(options.config), SystemClock()
    with Visit(settings, clock) as visit:
        if options.action == "send":
            try:
                message = _order(options, settings, clock, visit)
            except MessageInvalid as error:
                sys.stderr.write(f"haulier: {error.detail}\n")
                return UNREADABLE
            name, answer = f"order {message.order_id}", visit.send_order(message, options.wait)
        else:
            name = INSTANT[options.action]
            answer = visit.send_action(name, options.wait)
    verdict = "no answer" if answer is None else _word(options.action, answer)
    reasons = () if answer is None else answer.reasons
    if options.json:
        print(json.dumps({"about": name, "answer": verdict, "reasons": reasons}, indent=2))
    else:
        print(": ".join([f"{name} {verdict}", *reasons[:1]]))
        for reason in reasons[1:]:
            print(f"  {reason}")
    return 0 if answer is not None and answer.is_yes else 1


def _word(action: str, answer: "Answer") -> str:
    if action == "send":
        return "accepted" if answer.is_yes else "rejected"
    return "finished" if answer.is_yes else "failed"


class Visit(AbstractContextManager["Visit"]):
    """A connection to the robot's broker for as long as one errand takes.

    It goes by a name of its own and says nothing of the robot, whose line it leaves alone.
    """

    def __init__(self, settings: "Config", clock: Clock) -> None:
        from agent.main import identity_of
        from agent.telemetry.broker import MqttLink
        from agent.telemetry.platform import Platform
        from agent.vda5050 import topics

        if settings.broker.platform is Platform.AZURE_IOT_HUB:
            raise ConfigError(
                "broker.platform: a hub lets nobody but the robot itself in by MQTT; call the "
                "direct method 'order' or 'instantActions' of the device (az iot hub "
                "invoke-device-method)"
            )
        self._clock = clock
        self._identity = identity_of(settings)
        self._arrived: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._connection = ""
        self._link = MqttLink(
            replace(settings.broker, client_id=f"haulier-order-{os.getpid()}"),
            topics.base(self._identity),
            {"state": 0, "connection": 1},
            None,
            self._arrived.put,
            clock,
        )
        self._thread = threading.Thread(target=self._link.run, name="mqtt")

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            BrokerUnavailable: There is no broker, or it does not let us in.
        """
        self._thread.start()
        until_ns = self._clock.now_ns() + CONNECT_NS
        while (state := self._link.state).connected_since_ns is None:
            if state.failure is not None or self._clock.now_ns() > until_ns:
                self.__exit__(None, None, None)
                raise state.failure or BrokerUnavailable("the broker does not answer")
            self._clock.wait_until_ns(self._clock.now_ns() + 20_000_000)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._link.close()
        self._thread.join()

    def header(self) -> dict[str, Any]:
        """Return a header for one message, newer than that of any call before."""
        from agent.vda5050.messages import UINT32, timestamp

        utc_ns = self._clock.utc_ns()
        return {
            "header_id": utc_ns // DECIS % UINT32,
            "timestamp": timestamp(utc_ns),
            "version": self._identity.version,
            "manufacturer": self._identity.manufacturer,
            "serial_number": self._identity.serial_number,
        }

    def send_order(self, order: "Order", wait_s: float) -> "Answer | None":
        """Send an order and wait for acceptance or rejection."""
        from agent.vda5050.answer import answer_to_order

        self._publish(order)
        return self._await(lambda state: answer_to_order(state, order), wait_s)

    def send_action(self, action_type: str, wait_s: float) -> "Answer | None":
        """Send an instant action and wait until it is over."""
        from agent.vda5050.answer import answer_to_action

        action_id = self._publish_action(action_type)
        return self._await(lambda state: answer_to_action(state, action_id), wait_s)

    def ask_state(self, wait_s: float) -> "State | None":
        """Have the robot send its state now, and return it."""
        found: list[State] = []

        def take(state: "State") -> "Answer":
            from agent.vda5050.answer import Answer

            found.append(state)
            return Answer(True, ())

        self._publish_action("stateRequest")
        self._await(take, wait_s)
        return found[0] if found else None

    def _publish_action(self, action_type: str) -> str:
        from agent.vda5050.messages import Action, BlockingType, InstantActions

        header = self.header()
        action = Action(
            action_type=action_type,
            action_id=f"{action_type}-{header['header_id']}",
            blocking_type=BlockingType.HARD,
        )
        self._publish(InstantActions(**header, actions=[action]))
        return action.action_id

    def _publish(self, message: "Header") -> None:
        from agent.vda5050.topics import publication

        self._link.publish([publication(message)])

    def _await(
        self, answer_of: "Callable[[State], Answer | None]", wait_s: float
    ) -> "Answer | None":
        """Wait for a state that answers, and tell on stderr what the robot's line is like."""
        from agent.vda5050.messages import Connection, State, decode

        until_ns = self._clock.now_ns() + round(wait_s * 1e9)
        while (left_ns := until_ns - self._clock.now_ns()) > 0:
            try:
                message = self._arrived.get(timeout=min(POLL_S, left_ns * 1e-9))
            except queue.Empty:
                continue
            try:
                if message.topic == "connection":
                    self._tell(decode(Connection, message.payload).connection_state)
                elif (answer := answer_of(decode(State, message.payload))) is not None:
                    return answer
            except MessageInvalid as error:
                sys.stderr.write(f"haulier: {error.detail}\n")
        return None

    def _tell(self, connection: str) -> None:
        if connection not in ("ONLINE", self._connection):
            sys.stderr.write(f"the robot's connection is {connection}\n")
        self._connection = connection


def _order(options: argparse.Namespace, settings: "Config", clock: Clock, visit: Visit) -> "Order":
    """Return the order of the command line.

    Raises:
        MessageInvalid: The file holds none.
        MapError: The layout cannot be used.
        DaemonUnreachable: The robot does not say where it is.
    """
    order_id = options.id or f"cli-{clock.utc_ns() // DECIS}"
    if options.file is not None:
        return _order_of_file(options.file, options.id, order_id, visit)
    from agent.vda5050.itinerary import Station, graph
    from agent.vda5050.layout import load_layout
    from agent.vda5050.messages import Order

    state = visit.ask_state(options.wait)
    here = None if state is None else state.agv_position
    if here is None or not here.position_initialized:
        said = "does not answer" if state is None else "does not know where it is"
        raise DaemonUnreachable(f"the robot {said}, so no way from there can be ordered")
    stations = [Station(here.x, here.y, node_id="here", deviation_m=settings.order.deviation_m)]
    if options.to is not None:
        layout = load_layout(options.layout)
        stations += layout.way(layout.nearest(here.x, here.y, here.map_id), options.to)
    else:
        stations += [Station(pose.x_m, pose.y_m, pose.yaw_rad) for pose in options.via]
    nodes, edges = graph(stations, here.map_id)
    return Order(
        **visit.header(),
        order_id=order_id,
        order_update_id=0,
        nodes=[node.model_copy(update={"released": True}) for node in nodes],
        edges=[edge.model_copy(update={"released": True}) for edge in edges],
    )


def _order_of_file(path: Path, order_id: str | None, new_id: str, visit: Visit) -> "Order":
    """Read an order and complete its header; what the file says of the robot is kept."""
    from agent.vda5050.messages import Order, decode

    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MessageInvalid(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise MessageInvalid(f"{path}: not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise MessageInvalid(f"{path}: not a JSON object")
    header = visit.header()
    tree = {
        "version": header["version"],
        "manufacturer": header["manufacturer"],
        "serialNumber": header["serial_number"],
        "orderId": new_id,
        "orderUpdateId": 0,
        **tree,
        "headerId": header["header_id"],
        "timestamp": header["timestamp"],
    }
    if order_id is not None:
        tree["orderId"] = order_id
    try:
        return decode(Order, json.dumps(tree).encode())
    except MessageInvalid as error:
        raise MessageInvalid(f"{path}: {error.detail}", **error.context) from error


VERB = Verb("order", "send the robot an order, cancel, pause and resume it", _configure, _run)
