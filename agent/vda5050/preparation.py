"""What an order asks for, as far as its text alone says: work of the thread that receives it.

An order of a thousand nodes takes longer to understand than a cycle of the control loop lasts. What
does not depend on the order at hand, on the pose or on the maps is therefore found out before the
loop sees the message.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

from agent.errors import OrderRejected
from agent.route.path import Waypoint
from agent.vda5050.messages import Edge, EdgeState, Node, NodeState, Order
from agent.vda5050.order_checks import ActionCheck, check_structure
from agent.vda5050.order_path import OrderPath
from agent.vda5050.record_text import RecordText


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """An order that was understood.

    Attributes:
        order: The message.
        is_sound: Its graph is one, and the robot can do all that it asks for, but for what depends
            on where it begins and on the maps. Of one that is not, nobody said yet what is wrong.
        content: Digest of what it asks for.
        node_states: What will be told of its nodes, by sequence id.
        edge_states: The same of its edges.
        waypoints: Of its released nodes, by sequence id.
    """

    order: Order
    is_sound: bool
    content: str
    node_states: Mapping[int, NodeState]
    edge_states: Mapping[int, EdgeState]
    waypoints: Mapping[int, Waypoint]


@dataclass(frozen=True, slots=True)
class Preparation:
    """Understands orders; has no state, and may be used by several threads.

    Attributes:
        path: Knows which fields of an edge the robot can obey.
        action_problem: Says which actions it can perform.
    """

    path: OrderPath
    action_problem: ActionCheck

    def prepare(self, order: Order) -> Prepared:
        """Return what there is to know of an order."""
        is_sound = self._is_sound(order)
        ways = {edge.sequence_id + 1: edge for edge in order.edges}
        return Prepared(
            order,
            is_sound,
            _content(order),
            {
                n.sequence_id: NodeState(
                    node_id=n.node_id, sequence_id=n.sequence_id, released=n.released
                )
                for n in order.nodes
            },
            {
                e.sequence_id: EdgeState(
                    edge_id=e.edge_id, sequence_id=e.sequence_id, released=e.released
                )
                for e in order.edges
            },
            {
                n.sequence_id: self.path.waypoint(n, n.node_position, ways.get(n.sequence_id))
                for n in order.nodes
                if is_sound and n.released and n.node_position is not None
            },
        )

    def _is_sound(self, order: Order) -> bool:
        try:
            check_structure(order)
        except OrderRejected:
            return False
        places: list[Node | Edge] = [*order.nodes, *order.edges]
        if any(self.action_problem(action, place) for place in places for action in place.actions):
            return False
        # Where the first edge of an update begins, the order at hand will say once more.
        return not any(
            problem
            for edge, (start, end) in zip(order.edges, pairwise(order.nodes), strict=True)
            for problem in self.path.unusable_fields(edge, start.node_position, end.node_position)
        )


def _content(order: Order) -> str:
    """Return a digest of what an order asks for; its header may differ each time it is sent."""
    texts, digest = RecordText(), blake2b(digest_size=16)
    for element in (*order.nodes, *order.edges):
        digest.update(texts.of(element))
    digest.update((order.zone_set_id or "").encode())
    return digest.hexdigest()
