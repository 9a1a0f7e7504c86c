"""Zone sets as files: as the platform serves them, and as the robot keeps them.

3.0, section 6.4.2, leaves the format of a downloaded zone set open. Taken are the message of the
topic ``zoneSet`` as a whole, and the object ``zoneSet`` of it alone.
"""

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from agent.errors import DownloadFailed, MessageInvalid
from agent.vda5050.messages import ZoneSet, ZoneSetTransfer, decode

VERSION = "3.0.0"


def read_zone_set(content: bytes) -> ZoneSet:
    """Return the zone set that a file of the platform holds.

    Raises:
        DownloadFailed: It holds none.
    """
    try:
        tree = from_json(content)
    except ValueError as error:
        raise DownloadFailed(f"the file is no JSON: {error}") from error
    header = {
        "headerId": 0,
        "timestamp": "1970-01-01T00:00:00.000Z",
        "version": VERSION,
        "manufacturer": "",
        "serialNumber": "",
    }
    if isinstance(tree, dict):
        tree = header | (tree if "zoneSet" in tree else {"zoneSet": tree})
    try:
        return decode(ZoneSetTransfer, to_json(tree)).zone_set
    except MessageInvalid as error:
        raise DownloadFailed(error.detail) from error


def write_kept(zone_set: ZoneSet) -> bytes:
    """Return a zone set as the robot keeps it."""
    return zone_set.model_dump_json(by_alias=True, exclude_none=True).encode()


def read_kept(content: bytes) -> ZoneSet:
    """Return the zone set that :func:`write_kept` wrote.

    Raises:
        ValueError: It did not.
    """
    try:
        return ZoneSet.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(f"is no zone set: {error.error_count()} errors") from error
