"""Messages on their way between the robot and the shared platform."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Publication:
    """A message to publish. ``topic`` is the last level only, such as ``state``."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A message received. ``topic`` is the last level only, such as ``order``."""

    topic: str
    payload: bytes
    received_ns: int
