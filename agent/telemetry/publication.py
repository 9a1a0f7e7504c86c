"""Messages on their way between the robot and the shared platform."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Publication:
    """A message to publish. ``topic`` is the last level only, such as ``state``."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A message received.

    Attributes:
        topic: Last level of its topic only, such as ``order``.
        payload: As it came.
        received_ns: Monotonic time at which it did.
        body: What the payload says, where the thread that received it has read it.
    """

    topic: str
    payload: bytes
    received_ns: int
    body: object = field(default=None, compare=False, repr=False)
