"""Asks the master for the zones on the way (3.0, sections 6.4.1.1, 6.4.3 and 6.9).

A RELEASE zone is asked for by name, a COORDINATED_REPLANNING zone with the way through it. What was
granted once can be taken back; then the robot that is not inside keeps out, and the one inside does
what the zone says. Whoever still needs the zone asks anew, under another id.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from agent.vda5050.messages import (
    RequestStatus,
    Response,
    ZoneReleaseLoss,
    ZoneRequest,
    ZoneRequestType,
    ZoneType,
)
from agent.vda5050.paths import trajectory_of
from agent.vda5050.permit import Permit
from agent.vda5050.zones.area import F64, Area, distances_m

RETRY_NS = 10_000_000_000  # after the master has rejected a request that is still needed
OFF_GRANTED_M = 0.3  # beside a way that was granted, the robot is on another one
LOOKS = 12  # points of a way that are compared with one that was granted


@dataclass(frozen=True, slots=True, eq=False)
class Need:
    """A zone that has to be asked for.

    Attributes:
        area: The zone.
        line_m: The way through it, shape ``(n, 2)``.
        is_inside: Whether the robot is in it already.
    """

    area: Area
    line_m: F64
    is_inside: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Ask:
    permit: Permit
    line_m: F64
    asked_ns: int

    def is_about(self, need: Need) -> bool:
        """Whether it covers what is needed now."""
        if need.area.zone.zone_type is ZoneType.RELEASE:
            return True
        looks = np.linspace(0, len(need.line_m) - 1, LOOKS).astype(np.intp)
        off_m = distances_m(need.line_m[looks], self.line_m)
        return bool((off_m <= OFF_GRANTED_M).all())


@dataclass(slots=True)
class _Case:
    """How it stands with a zone: what was granted, what is asked for, whether it was lost."""

    need: Need
    held: _Ask | None = None
    asked: _Ask | None = None
    goes_on: bool = False

    @property
    def is_open(self) -> bool:
        return self.held is not None and self.held.permit.is_granted

    @property
    def is_lost(self) -> bool:
        lost = self.held is not None and self.held.permit.is_lost
        return self.need.is_inside and (lost or self.goes_on)


class ZoneClearance:
    """The requests for zones, and what became of them."""

    def __init__(self) -> None:
        self._cases: dict[Area, _Case] = {}
        self._count = 0

    @property
    def requests(self) -> tuple[ZoneRequest, ...]:
        """What the state has to tell of them."""
        return tuple(
            _told(case.need.area, ask)
            for case in self._cases.values()
            for ask in (case.held, case.asked)
            if ask is not None and not ask.permit.refused
        )

    @property
    def lost(self) -> tuple[Area, ...]:
        """Zones that the robot is in without a release any more."""
        return tuple(area for area, case in self._cases.items() if case.is_lost)

    def is_open(self, area: Area) -> bool:
        """Whether the robot may be in a zone, on the way that it needs."""
        case = self._cases.get(area)
        return case is not None and case.is_open

    def follow(self, needs: Iterable[Need], now_ns: int) -> None:
        """Ask for what is needed now, and drop what is not any more.

        Args:
            needs: All zones that the way leads through or the robot is in.
            now_ns: Monotonic time.
        """
        kept, self._cases = self._cases, {}
        for need in needs:
            case = kept.get(need.area) or _Case(need)
            case.need = need
            self._cases[need.area] = case
            self._settle(case)
            self._ask(case, now_ns)

    def answer(self, responses: Iterable[Response]) -> None:
        """Take what the master says; an answer to no request of these changes nothing."""
        permits = {
            ask.permit.request_id: ask.permit
            for case in self._cases.values()
            for ask in (case.held, case.asked)
            if ask is not None
        }
        for response in responses:
            if response.request_id in permits:
                permits[response.request_id].answer(response)

    def expire(self, utc_ns: int) -> None:
        """Let leases run out."""
        for case in self._cases.values():
            for ask in (case.held, case.asked):
                if ask is not None:
                    ask.permit.expire(utc_ns)

    def _settle(self, case: _Case) -> None:
        """Take what was granted, and see what is left of it."""
        if case.asked is not None and case.asked.permit.is_granted:
            case.held, case.asked, case.goes_on = case.asked, None, False
        held = case.held
        if held is None:
            return
        if held.permit.is_lost and case.need.is_inside:
            if _may_go_on(case.need.area):
                # The master sees it granted until the zone is left (section 6.4.1.1).
                held.permit.status, held.permit.expires_ns = RequestStatus.GRANTED, None
                case.goes_on = True
        elif held.permit.status is RequestStatus.REVOKED or (
            held.permit.is_granted and not held.is_about(case.need)
        ):
            case.held = None

    def _ask(self, case: _Case, now_ns: int) -> None:
        """Ask unless it is granted; another way is asked for in place of the one before."""
        asked = case.asked
        if case.is_open:
            case.asked = None
            return
        may_wait = asked is not None and (
            not asked.permit.refused or now_ns - asked.asked_ns < RETRY_NS
        )
        if asked is not None and may_wait and asked.is_about(case.need):
            return
        self._count += 1
        permit = Permit(f"zone {self._count} {case.need.area.zone.zone_id}")
        case.asked = _Ask(permit, case.need.line_m, now_ns)


def _may_go_on(area: Area) -> bool:
    """Whether a robot in a zone goes on without a release: its order is its way out of it."""
    behavior = area.zone.release_loss_behavior
    return behavior in (ZoneReleaseLoss.CONTINUE, ZoneReleaseLoss.EVACUATE)


def _told(area: Area, ask: _Ask) -> ZoneRequest:
    is_access = area.zone.zone_type is ZoneType.RELEASE
    return ZoneRequest(
        request_id=ask.permit.request_id,
        request_type=ZoneRequestType.ACCESS if is_access else ZoneRequestType.REPLANNING,
        zone_id=area.zone.zone_id,
        zone_set_id=area.zone_set_id,
        request_status=ask.permit.status,
        trajectory=None if is_access else trajectory_of(ask.line_m),
    )
