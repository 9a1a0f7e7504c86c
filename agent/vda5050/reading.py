"""Messages that take long to read are read by the thread that receives them, not by the loop."""

from dataclasses import replace

from agent.errors import MessageInvalid, OrderRejected
from agent.telemetry.publication import Message
from agent.vda5050.identity import Identity
from agent.vda5050.messages import Order, ZoneSet, ZoneSetTransfer, decode
from agent.vda5050.order_checks import read_order
from agent.vda5050.preparation import Preparation, Prepared


def read_ahead(message: Message, preparation: Preparation) -> Message:
    """Return a message together with the order or the zone set that it holds.

    One that cannot be read is returned as it is: the loop finds that out again, and tells.
    """
    try:
        match message.topic:
            case Order.topic:
                return replace(message, body=preparation.prepare(read_order(message.payload)))
            case ZoneSetTransfer.topic:
                return replace(message, body=decode(ZoneSetTransfer, message.payload))
            case _:
                return message
    except (OrderRejected, MessageInvalid):
        return message


def zone_set_of(message: Message, identity: Identity) -> ZoneSet:
    """Return the zone set of a message (3.0, section 7.6).

    Raises:
        MessageInvalid: It breaks the standard, or is meant for another robot.
    """
    body = message.body
    if not isinstance(body, ZoneSetTransfer):
        body = decode(ZoneSetTransfer, message.payload)
    if body.serial_number != identity.serial_number:
        detail = f"zoneSet for robot {body.serial_number}"
        raise MessageInvalid(detail, topic=ZoneSetTransfer.topic, field="serialNumber")
    return body.zone_set


def read_already(message: Message) -> Prepared | None:
    """Return the order that a message was found to hold, if it was."""
    return message.body if isinstance(message.body, Prepared) else None
