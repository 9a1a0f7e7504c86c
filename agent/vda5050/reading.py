"""Messages that take long to read are read by the thread that receives them, not by the loop."""

from dataclasses import replace

from agent.errors import OrderRejected
from agent.telemetry.publication import Message
from agent.vda5050.messages import Order
from agent.vda5050.order_checks import read_order


def read_ahead(message: Message) -> Message:
    """Return a message together with the order that it holds.

    One that cannot be read is returned as it is: the loop finds that out again, and tells.
    """
    if message.topic != Order.topic:
        return message
    try:
        return replace(message, body=read_order(message.payload))
    except OrderRejected:
        return message


def read_already(message: Message) -> Order | None:
    """Return the order that a message was found to hold, if it was."""
    return message.body if isinstance(message.body, Order) else None
