"""Requests for zones under whatever a master says, and whenever (3.0, sections 6.4.3 and 6.9)."""

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.vda5050.messages import (
    GrantType,
    RequestStatus,
    Response,
    Vertex,
    Zone,
    ZoneReleaseLoss,
    ZoneType,
    timestamp,
)
from agent.vda5050.zones.area import Area
from agent.vda5050.zones.clearance import RETRY_NS, Need, ZoneClearance

S = 1_000_000_000
CORNERS = [Vertex(x=x, y=y) for x, y in ((0.0, -1.0), (2.0, -1.0), (2.0, 1.0), (0.0, 1.0))]
WAY = np.array([(-3.0, 0.0), (2.0, 0.0)])
OTHER_WAY = np.array([(-3.0, 0.0), (-1.0, 0.9), (2.0, 0.9)])


def area(kind: ZoneType = ZoneType.RELEASE, loss: ZoneReleaseLoss | None = None) -> Area:
    zone = Zone(zone_id="z", zone_type=kind, vertices=CORNERS, release_loss_behavior=loss)
    return Area("s", zone)


@dataclass
class Step:
    """What a second brings."""

    needed: bool
    inside: bool
    grant: GrantType | None
    lease_s: int | None
    to_older: bool


STEPS = st.lists(
    st.builds(
        Step,
        needed=st.booleans(),
        inside=st.booleans(),
        grant=st.none() | st.sampled_from(GrantType),
        lease_s=st.none() | st.integers(0, 4),
        to_older=st.booleans(),
    ),
    max_size=30,
)


@settings(max_examples=200)
@given(STEPS, st.none() | st.sampled_from(ZoneReleaseLoss))
def test_a_zone_is_open_only_while_the_master_has_said_so(steps, loss):
    zone, clearance = area(loss=loss), ZoneClearance()
    granted: dict[str, int | None] = {}  # by request id: when the lease ends
    seen: list[str] = []
    for second, step in enumerate(steps):
        now_ns = second * S
        clearance.expire(now_ns)
        granted = {n: end for n, end in granted.items() if end is None or end > now_ns}
        clearance.follow([Need(zone, WAY, step.inside)] if step.needed else [], now_ns)
        requests = clearance.requests
        for request in requests:
            if request.request_id not in seen:
                assert request.request_status is RequestStatus.REQUESTED
                seen.append(request.request_id)
        assert len({request.request_id for request in requests}) == len(requests) <= 2
        if not step.needed:
            assert requests == ()
            assert not clearance.is_open(zone)
            granted = {}
            continue
        told = [r.request_id for r in requests if r.request_status is RequestStatus.GRANTED]
        if clearance.is_open(zone):
            may_go_on = loss in (ZoneReleaseLoss.CONTINUE, ZoneReleaseLoss.EVACUATE)
            assert told
            assert may_go_on or set(told) & granted.keys()
        if zone in clearance.lost:
            assert step.inside
        if step.grant is not None and requests:
            name = requests[0 if step.to_older else -1].request_id
            lease = None if step.lease_s is None else timestamp(now_ns + step.lease_s * S)
            clearance.answer([Response(request_id=name, grant_type=step.grant, lease_expiry=lease)])
            if step.grant is not GrantType.QUEUED:
                granted.pop(name, None)
            if step.grant is GrantType.GRANTED:
                granted[name] = None if step.lease_s is None else now_ns + step.lease_s * S


def test_an_answer_to_no_request_changes_nothing():
    clearance = ZoneClearance()
    zone = area()
    clearance.follow([Need(zone, WAY, False)], 0)
    clearance.answer([Response(request_id="zone 99 z", grant_type=GrantType.GRANTED)])
    clearance.follow([Need(zone, WAY, False)], S)
    assert [r.request_status for r in clearance.requests] == ["REQUESTED"]


def test_a_rejected_request_is_stated_anew_after_a_while():
    clearance, zone = ZoneClearance(), area()
    clearance.follow([Need(zone, WAY, False)], 0)
    (first,) = clearance.requests
    clearance.answer([Response(request_id=first.request_id, grant_type=GrantType.REJECTED)])
    clearance.follow([Need(zone, WAY, False)], RETRY_NS - 1)
    assert clearance.requests == ()
    clearance.follow([Need(zone, WAY, False)], RETRY_NS)
    (second,) = clearance.requests
    assert second.request_id != first.request_id


def test_another_way_has_to_be_granted_as_well():
    clearance, zone = ZoneClearance(), area(ZoneType.COORDINATED_REPLANNING)
    clearance.follow([Need(zone, WAY, False)], 0)
    (first,) = clearance.requests
    assert first.trajectory is not None
    clearance.answer([Response(request_id=first.request_id, grant_type=GrantType.GRANTED)])
    clearance.follow([Need(zone, WAY, False)], S)
    assert clearance.is_open(zone)
    clearance.follow([Need(zone, WAY[1:].repeat(2, axis=0), False)], S)
    assert clearance.is_open(zone), "the rest of a way that was granted is granted"
    clearance.follow([Need(zone, OTHER_WAY, False)], S)
    assert not clearance.is_open(zone)
    assert [r.request_status for r in clearance.requests] == ["REQUESTED"]
