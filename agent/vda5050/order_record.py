"""All that the order book knows, as one value that can be written to disk and read again."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic import Field as Bounded

from agent.errors import RecordInvalid
from agent.vda5050.messages import Edge, Node, NodePosition
from agent.vda5050.record_text import RecordText, table

Step = tuple[str, Annotated[int, Bounded(ge=0)]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRecord:
    """What was accepted of an order, and how far it was driven.

    Attributes:
        order_id: Order at hand, or the last one.
        order_update_id: Newest update of it that was accepted.
        content: Digest of that update, by which a repeated one is known.
        cancelled: Whether it was given up; it takes no update any more.
        last_node: Id and sequence id of the node reached last.
        last_position: Where that node is, None where nobody said.
        base_end: Id and sequence id of the last released node, the decision point.
        nodes: Nodes still to be reached, base and horizon.
        edges: Edges still to be left, base and horizon.
        entered: Sequence id of the element that was reached or entered last, -1 for none.
        arrivals: Elements reached or entered that nobody has asked for yet.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    order_id: str = ""
    order_update_id: Annotated[int, Bounded(ge=0)] = 0
    content: str = ""
    cancelled: bool = False
    last_node: Step = ("", 0)
    last_position: NodePosition | None = None
    base_end: Step = ("", 0)
    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    entered: int = -1
    arrivals: tuple[Node | Edge, ...] = ()

    def text(self, texts: RecordText) -> bytes:
        """Return the record as JSON text."""
        return table(
            {
                "last_position": texts.of(self.last_position),
                "nodes": texts.of_all(self.nodes),
                "edges": texts.of_all(self.edges),
                "arrivals": texts.of_all(self.arrivals),
            },
            {
                "order_id": self.order_id,
                "order_update_id": self.order_update_id,
                "content": self.content,
                "cancelled": self.cancelled,
                "last_node": [*self.last_node],
                "base_end": [*self.base_end],
                "entered": self.entered,
            },
        )

    @classmethod
    def of_tree(cls, tree: object) -> "OrderRecord":
        """Return the record that :meth:`text` wrote; an empty tree is one without an order.

        Raises:
            RecordInvalid: It did not.
        """
        try:
            return _ADAPTER.validate_python(tree, strict=False)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise RecordInvalid(f"order record: {place}: {first['msg']}") from error


_ADAPTER = TypeAdapter(OrderRecord)
