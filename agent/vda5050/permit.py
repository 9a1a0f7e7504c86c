"""A request of the robot to the master, from REQUESTED to its end (3.0, section 6.9, figure 22)."""

from dataclasses import dataclass
from datetime import UTC, datetime

from agent.vda5050.messages import GrantType, RequestStatus, Response


@dataclass(slots=True)
class Permit:
    """A request and what the master has said to it.

    Attributes:
        request_id: By which the master's answers are known.
        status: As the state tells it.
        expires_ns: Wall-clock time at which the lease is over, None for no end.
        refused: Whether the master has rejected it; then the state does not tell it.
    """

    request_id: str
    status: RequestStatus = RequestStatus.REQUESTED
    expires_ns: int | None = None
    refused: bool = False

    @property
    def is_granted(self) -> bool:
        """Whether what was asked for may be done."""
        return self.status is RequestStatus.GRANTED

    @property
    def is_lost(self) -> bool:
        """Whether it was granted, and is no longer."""
        return self.status in (RequestStatus.REVOKED, RequestStatus.EXPIRED)

    def answer(self, response: Response) -> bool:
        """Take what the master says; returns whether anything has changed."""
        before = (self.status, self.refused, self.expires_ns)
        match response.grant_type:
            case GrantType.GRANTED:
                self.status, self.refused = RequestStatus.GRANTED, False
                self.expires_ns = _utc_ns(response.lease_expiry)
            case GrantType.REVOKED | GrantType.REJECTED if self.is_granted:
                self.status = RequestStatus.REVOKED
            case GrantType.REJECTED:
                self.status, self.refused = RequestStatus.REQUESTED, True
            case _:  # queued: it goes on waiting
                pass
        return before != (self.status, self.refused, self.expires_ns)

    def expire(self, utc_ns: int) -> bool:
        """Let the lease run out; returns whether it just has."""
        is_over = self.is_granted and self.expires_ns is not None and utc_ns >= self.expires_ns
        if is_over:
            self.status = RequestStatus.EXPIRED
        return is_over


def _utc_ns(timestamp: str | None) -> int | None:
    if timestamp is None:
        return None
    moment = datetime.fromisoformat(timestamp)
    return round(moment.astimezone(UTC).timestamp() * 1e9)
