"""Asks Azure's Device Provisioning Service which hub a robot belongs to.

Azure IoT documentation: "Communicate with your DPS using the MQTT protocol". The service is asked
to register the robot, and then again and again, at the pace it names, until it has; a robot that
is registered already gets its hub the same way.
"""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from paho.mqtt import client as paho

from agent.clock import Clock
from agent.errors import BrokerUnavailable, RobotRefused
from agent.telemetry.access import TLS_PORT, Address, BrokerParams
from agent.telemetry.credentials import Credentials
from agent.telemetry.iot_hub import dps_resource, dps_username
from agent.telemetry.line import connect, make_client
from agent.telemetry.publication import Publication
from agent.telemetry.refusal import of_answer, of_failure

ANSWERS = "$dps/registrations/res/"
REGISTER = "$dps/registrations/PUT/iotdps-register/?$rid={}"
ASK = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid={}&operationId={}"
POLICY = "registration"
PAUSE_S = 3.0  # where the service names none
TURN_S = 0.2
PATIENCE_NS = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where the robot belongs.

    Attributes:
        hub: Host name of its hub.
        device: Its id there.
    """

    hub: str
    device: str


class Registration:
    """The talk with the service, without a connection."""

    def __init__(self, registration: str) -> None:
        """Begin.

        Args:
            registration: Id under which the service knows the robot.
        """
        self._registration = registration
        self._request = 0
        self.assignment: Assignment | None = None

    def begin(self) -> Publication:
        """Return what to ask first."""
        payload = json.dumps({"registrationId": self._registration}).encode()
        return Publication(REGISTER.format(self._next()), payload)

    def answered(self, topic: str, payload: bytes) -> tuple[float, Publication] | None:
        """Take an answer.

        Args:
            topic: Its full topic, which has the status in it.
            payload: JSON.

        Returns:
            How many seconds to wait and what to ask then, None once ``assignment`` is known.

        Raises:
            RobotRefused: The service does not know the robot, or does not let it in.
            BrokerUnavailable: The service is busy, or the answer cannot be understood.
        """
        status, _, query = topic.removeprefix(ANSWERS).partition("/?")
        said = _read(payload)
        if status == "429" or status.startswith("5"):
            raise BrokerUnavailable(f"the provisioning service is busy (status {status})")
        if not status.startswith("2"):
            raise RobotRefused(f"the provisioning service says {status}: {said.get('message')}")
        state = said.get("registrationState")
        state = state if isinstance(state, dict) else {}
        match said.get("status"), state.get("assignedHub"), state.get("deviceId"):
            case "assigned", str(hub), str(device):
                self.assignment = Assignment(hub, device)
                return None
            case "assigning" | "unassigned", _, _:
                asked = ASK.format(self._next(), said.get("operationId"))
                return _pause_s(query), Publication(asked, b"")
        why = state.get("errorMessage") or said.get("status")
        raise RobotRefused(f"the provisioning service has no hub for the robot: {why}")

    def _next(self) -> int:
        self._request += 1
        return self._request


def _pause_s(query: str) -> float:
    """Return how long the service asks to be left alone."""
    named = parse_qs(query).get("retry-after", [""])[0]
    return float(named) if named.isdecimal() else PAUSE_S


def _read(payload: bytes) -> dict[str, Any]:
    try:
        said = json.loads(payload)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise BrokerUnavailable("the provisioning service's answer cannot be understood")
    return said


def register(
    params: BrokerParams,
    credentials: Credentials,
    clock: Clock,
    is_closing: Callable[[], bool],
) -> Assignment:
    """Ask the service for the robot's hub; may take a minute.

    Args:
        params: ``dps_host``, ``dps_id_scope`` and ``client_id``, the registration id.
        credentials: Of the robot, which the service and the hub share.
        clock: For pauses.
        is_closing: Whether to give up.

    Raises:
        ConfigError: The credentials cannot be used.
        BrokerUnavailable: There is no answer, or not the one that is needed.
    """
    address = Address.parse(params.dps_host, TLS_PORT)
    scope, name = params.dps_id_scope, params.client_id
    login = credentials.login(clock.utc_ns(), dps_resource(scope, name), POLICY)
    client = make_client(params, name, dps_username(scope, name), login)
    talk = _Talk(client, Registration(name), address)
    try:
        connect(client, address, params.keepalive_s)
        deadline_ns = clock.now_ns() + PATIENCE_NS
        while not is_closing() and clock.now_ns() < deadline_ns:
            if client.loop(TURN_S) is not paho.MQTT_ERR_SUCCESS:
                break
            if (assignment := talk.turn(clock.now_ns())) is not None:
                client.disconnect()
                return assignment
    except (OSError, ValueError) as error:
        raise of_failure(address, error) from error
    finally:
        if (line := client.socket()) is not None:
            line.close()
    if talk.refusal is None and client.fault is not None:
        raise of_failure(address, client.fault)
    raise talk.refusal or BrokerUnavailable(f"no answer from {address}")


class _Talk:
    """Carries a registration over one connection."""

    def __init__(self, client: paho.Client, registration: Registration, address: Address) -> None:
        self._client = client
        self._registration = registration
        self._address = address
        self._answers: deque[tuple[str, bytes]] = deque()
        self._due: tuple[int, Publication] | None = None
        self.refusal: BrokerUnavailable | None = None
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._ask(registration.begin())
        client.on_message = lambda _, __, message: self._answers.append(
            (message.topic, bytes(message.payload))
        )

    def turn(self, now_ns: int) -> Assignment | None:
        """Do what is due; return the assignment once there is one."""
        while self._answers:
            further = self._registration.answered(*self._answers.popleft())
            if further is None:
                return self._registration.assignment
            self._due = (now_ns + round(further[0] * 1e9), further[1])
        if self._due is not None and now_ns >= self._due[0]:
            self._ask(self._due[1])
            self._due = None
        return None

    def _ask(self, question: Publication) -> None:
        self._client.publish(question.topic, question.payload)

    def _on_connect(
        self, client: paho.Client, userdata: object, flags: Any, reason: Any, properties: Any
    ) -> None:
        if reason.is_failure:
            self.refusal = of_answer(self._address, reason.value, str(reason), "")
        else:
            client.subscribe(f"{ANSWERS}#")
