"""Topics of VDA 5050 2.1, how they are addressed and how they are sent (sections 6.2, 6.3, 6.5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agent.telemetry.publication import Publication
from agent.vda5050.identity import Identity
from agent.vda5050.messages import Header


@dataclass(frozen=True, slots=True)
class Topic:
    """How messages on a topic travel.

    Attributes:
        qos: MQTT quality of service (section 6.2).
        retain: Whether the broker keeps the newest for later subscribers (sections 6.14, 6.15).
        to_robot: Whether the robot subscribes to it, rather than publishing it.
    """

    qos: int = 0
    retain: bool = False
    to_robot: bool = False


TOPICS: Mapping[str, Topic] = MappingProxyType(
    {
        "order": Topic(to_robot=True),
        "instantActions": Topic(to_robot=True),
        "state": Topic(),
        "visualization": Topic(),
        "connection": Topic(qos=1, retain=True),
        "factsheet": Topic(retain=True),
    }
)

TO_ROBOT = tuple(name for name, topic in TOPICS.items() if topic.to_robot)
FROM_ROBOT = tuple(name for name, topic in TOPICS.items() if not topic.to_robot)


def base(identity: Identity) -> str:
    """Return what the topics of a robot have in common, such as ``uagv/v2/maker/0001``."""
    return f"{identity.topic_prefix}/{identity.manufacturer}/{identity.serial_number}"


def address(identity: Identity, name: str) -> str:
    """Return the full topic for the name of one."""
    return f"{base(identity)}/{name}"


def name_of(identity: Identity, topic: str) -> str | None:
    """Return the name of a full topic, None for one that is not this robot's."""
    prefix, _, name = topic.rpartition("/")
    return name if prefix == base(identity) and name in TOPICS else None


def publication(name: str, message: Header) -> Publication:
    """Return a message ready to be sent in the way of its topic."""
    topic = TOPICS[name]
    return Publication(name, message.encode(), topic.qos, topic.retain)
