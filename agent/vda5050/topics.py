"""Topics of VDA 5050, how they are addressed and how they are sent.

2.1: sections 6.2, 6.3 and 6.5; 3.0: sections 4.1 to 4.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agent.telemetry.publication import Publication
from agent.vda5050.identity import Identity
from agent.vda5050.messages import Header
from agent.vda5050.wire.version import version_of


@dataclass(frozen=True, slots=True)
class Topic:
    """How messages on a topic travel.

    Attributes:
        qos: MQTT quality of service.
        retain: Whether the broker keeps the newest for later subscribers.
    """

    qos: int = 0
    retain: bool = False


# 2.1: sections 6.2, 6.14, 6.15; 3.0: sections 4.1, 6.5, 6.10.
FROM_ROBOT: Mapping[str, Topic] = MappingProxyType(
    {
        "state": Topic(),
        "visualization": Topic(),
        "connection": Topic(qos=1, retain=True),
        "factsheet": Topic(retain=True),
    }
)


def to_robot(identity: Identity) -> Mapping[str, Topic]:
    """Return the topics that a robot subscribes to, by its version."""
    return dict.fromkeys(version_of(identity.version).to_robot, Topic())


def base(identity: Identity) -> str:
    """Return what the topics of a robot have in common, such as ``uagv/v2/maker/0001``."""
    return f"{identity.topic_prefix}/{identity.manufacturer}/{identity.serial_number}"


def address(identity: Identity, name: str) -> str:
    """Return the full topic for the name of one."""
    return f"{base(identity)}/{name}"


def name_of(identity: Identity, topic: str) -> str | None:
    """Return the name of a full topic, None for one that is not this robot's."""
    prefix, _, name = topic.rpartition("/")
    known = name in FROM_ROBOT or name in to_robot(identity)
    return name if known and prefix == base(identity) else None


def publication(message: Header, topics: Mapping[str, Topic] = FROM_ROBOT) -> Publication:
    """Return a message ready to be sent in the way of its topic.

    Args:
        message: Any message of the standard.
        topics: How topics travel; what is not in it goes with QoS 0 and is not retained.
    """
    topic = topics.get(message.topic, Topic())
    return Publication(message.topic, message.encode(), topic.qos, topic.retain)
