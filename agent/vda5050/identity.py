"""Who the robot is to the shared platform."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """The parts of topic and header that name one robot, and the version that it speaks.

    VDA 5050 2.1, sections 6.4 and 6.5; 3.0, sections 4.2 and 7.2.

    Attributes:
        manufacturer: Its maker.
        serial_number: Unique among the maker's robots.
        topic_prefix: What topics begin with: interface name and major version.
        version: Exact text of ``version`` in every header; some masters drop any other.
    """

    manufacturer: str
    serial_number: str
    topic_prefix: str = "uagv/v2"
    version: str = "2.1.0"
