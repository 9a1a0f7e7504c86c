"""Who the robot is to the shared platform."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """The parts of topic and header that name one robot (VDA 5050 2.1, sections 6.4 and 6.5)."""

    manufacturer: str
    serial_number: str
    topic_prefix: str = "uagv/v2"
    version: str = "2.1.0"
