"""Corridors that may be used only once the master says so (3.0, sections 6.1.5, 6.6.10 and 6.9).

The robot asks as soon as it knows of the edge, so that the answer is there when an obstacle is.
Until it is, and again when the release is lost, the edge is one without a corridor: the robot keeps
to its line, or goes back to it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from agent.vda5050.messages import (
    Edge,
    EdgeRequest,
    EdgeRequestType,
    ReleaseLossBehavior,
    Response,
)
from agent.vda5050.permit import Permit

MOST_REQUESTS = 4  # edges ahead that are asked for at once


@dataclass(slots=True)
class _Request:
    edge: Edge
    permit: Permit


class CorridorRelease:
    """The requests of an order, and what became of them."""

    def __init__(self) -> None:
        self._requests: dict[int, _Request] = {}
        self._count = 0

    @property
    def requests(self) -> tuple[EdgeRequest, ...]:
        """What the state has to tell of them."""
        return tuple(
            EdgeRequest(
                request_id=request.permit.request_id,
                request_type=EdgeRequestType.CORRIDOR,
                edge_id=request.edge.edge_id,
                sequence_id=request.edge.sequence_id,
                request_status=request.permit.status,
            )
            for request in self._requests.values()
            if not request.permit.refused
        )

    def clear(self) -> None:
        """Drop all requests, as with the order (3.0, section 6.6.7)."""
        self._requests = {}

    def follow(self, edges: Iterable[Edge]) -> None:
        """Ask for the next released edges, and drop what was left behind.

        Args:
            edges: All that are still to be left, in sequence.
        """
        wanted = [e for e in edges if e.released and needs_release(e)][:MOST_REQUESTS]
        kept = self._requests
        self._requests = {}
        for edge in wanted:
            request = kept.get(edge.sequence_id)
            if request is None:
                self._count += 1
                request = _Request(edge, Permit(f"corridor {self._count} {edge.edge_id}"))
            self._requests[edge.sequence_id] = request

    def is_open(self, edge: Edge) -> bool:
        """Whether the corridor of an edge may be used."""
        if not needs_release(edge):
            return True
        request = self._requests.get(edge.sequence_id)
        return request is not None and request.permit.is_granted

    def must_stop(self, edge: Edge) -> bool:
        """Whether the robot has to stand on an edge because its release was lost."""
        request, corridor = self._requests.get(edge.sequence_id), edge.corridor
        return (
            request is not None
            and request.permit.is_lost
            and corridor is not None
            and corridor.release_loss_behavior is ReleaseLossBehavior.STOP
        )

    def answer(self, responses: Iterable[Response]) -> bool:
        """Take what the master says; an answer to no request of these changes nothing.

        Returns:
            Whether anything has changed.
        """
        by_id = {request.permit.request_id: request.permit for request in self._requests.values()}
        changes = [
            by_id[response.request_id].answer(response)
            for response in responses
            if response.request_id in by_id
        ]
        return any(changes)

    def expire(self, utc_ns: int) -> bool:
        """Let leases run out; returns whether one did."""
        over = [request.permit.expire(utc_ns) for request in self._requests.values()]
        return any(over)


def needs_release(edge: Edge) -> bool:
    """Whether an edge has a corridor that has to be asked for."""
    return edge.corridor is not None and bool(edge.corridor.release_required)
