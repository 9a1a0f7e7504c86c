"""How Azure IoT Hub speaks MQTT 3.1.1: its user names, its signatures, its topics.

Azure IoT documentation: "Communicate with an IoT hub using the MQTT protocol", "Control access to
IoT Hub by using shared access signatures". A hub has no topics of the robot's own: what it sends
are device-to-cloud messages, told apart by the property ``topic``; orders come as cloud-to-device
messages with that property, or as direct methods of the topic's name, which are answered at once
with 202: the order's own answer is in the state.
"""

import base64
import binascii
import hashlib
import hmac
from urllib.parse import parse_qsl, quote

from agent.errors import ConfigError
from agent.telemetry.addressing import Arrival
from agent.telemetry.publication import Publication

HUB_API = "2021-04-12"
DPS_API = "2019-03-31"
METHODS = "$iothub/methods/POST/"
ANSWERS = "$iothub/methods/res/"
TAKEN, UNKNOWN = 202, 404
# System properties by which the hub can route by what a message says.
CONTENT = "$.ct=application%2Fjson&$.ce=utf-8"


def hub_username(hub: str, device: str) -> str:
    """Return by which user name a device logs in at its hub."""
    return f"{hub}/{device}/?api-version={HUB_API}"


def hub_resource(hub: str, device: str) -> str:
    """Return what a device's signature is about."""
    return f"{hub}/devices/{device}"


def dps_username(id_scope: str, registration: str) -> str:
    """Return by which user name a device logs in at the provisioning service."""
    return f"{id_scope}/registrations/{registration}/api-version={DPS_API}"


def dps_resource(id_scope: str, registration: str) -> str:
    """Return what a device's signature is about at the provisioning service."""
    return f"{id_scope}/registrations/{registration}"


def signature(resource: str, key: str, expires_s: int, policy: str = "") -> str:
    """Return a shared access signature: a password that ends by itself.

    Args:
        resource: What it gives access to.
        key: The device's symmetric key (base64).
        expires_s: When it ends, in seconds since the Unix epoch.
        policy: ``registration`` at the provisioning service, empty for a device at its hub.

    Raises:
        ConfigError: The key is not base64.
    """
    try:
        secret = base64.b64decode(key, validate=True)
    except binascii.Error:
        raise ConfigError("broker.sas_key_file: holds no base64") from None
    about = quote(resource, safe="")
    digest = hmac.new(secret, f"{about}\n{expires_s}".encode(), hashlib.sha256).digest()
    signed = quote(base64.b64encode(digest), safe="")
    name = f"&skn={policy}" if policy else ""
    return f"SharedAccessSignature sr={about}&sig={signed}&se={expires_s}{name}"


class HubTopics:
    """The robot's topics, as a hub carries them: an :class:`~agent.telemetry.addressing.Topics`."""

    def __init__(self, device: str, base: str, received: list[str]) -> None:
        """Fix the names.

        Args:
            device: Its id at the hub.
            base: What the robot's topics begin with.
            received: Last levels of the topics that the robot takes.
        """
        self._device = device
        self._base = base
        self._received = received

    def address(self, name: str) -> str:
        """Return the events topic with the properties of a message."""
        topic = quote(f"{self._base}/{name}", safe="")
        return f"devices/{self._device}/messages/events/topic={topic}&{CONTENT}"

    def filters(self, subscriptions: dict[str, int]) -> list[tuple[str, int]]:
        """Return where messages and methods come in; a hub has no topics to choose from."""
        qos = min(max(subscriptions.values(), default=0), 1)
        return [
            (f"devices/{self._device}/messages/devicebound/#", max(qos, 1)),
            (f"{METHODS}#", 0),
        ]

    def arrival(self, topic: str) -> Arrival:
        """Return what came, and the answer that a method is owed."""
        if topic.startswith(METHODS):
            method, _, query = topic.removeprefix(METHODS).partition("/?$rid=")
            status = TAKEN if method in self._received else UNKNOWN
            answer = Publication(f"{ANSWERS}{status}/?$rid={query}", b"{}")
            return Arrival(method if status == TAKEN else None, answer)
        properties = topic.removeprefix(f"devices/{self._device}/messages/devicebound/")
        name = dict(parse_qsl(properties)).get("topic", "").rpartition("/")[2]
        return Arrival(name if name in self._received else None)
