"""The history lane without a network: window, pace, order, and what a connection's end means."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.telemetry.history import REFUSED_NS, HistoryLane, HistoryParams
from agent.telemetry.segments import Record

SECOND_NS = 1_000_000_000


class Shelf:
    """A source in memory that behaves as the journal does."""

    def __init__(self, *sequences: int) -> None:
        self.records = [Record(n, b"%d" % n) for n in sequences]
        self.acknowledged = 0
        self._at = 0

    def rewind(self) -> None:
        self._at = sum(record.sequence <= self.acknowledged for record in self.records)

    def read(self, most: int) -> list[Record]:
        taken = self.records[self._at : self._at + most]
        self._at += len(taken)
        return taken

    def acknowledge(self, sequence: int) -> None:
        self.acknowledged = max(self.acknowledged, sequence)


def lane_over(shelf: Shelf, **params: float) -> HistoryLane:
    values = {"window": 4, "most_per_s": 1000.0, "settle_s": 0.0} | params
    return HistoryLane(shelf, HistoryParams(**values))  # type: ignore[arg-type]


def send(lane: HistoryLane, packet_id: int, now_ns: int) -> bytes | None:
    publication = lane.next(now_ns)
    if publication is None:
        return None
    assert (publication.topic, publication.qos, publication.retain) == ("history", 1, False)
    lane.sent(packet_id, now_ns)
    return publication.payload


def test_nothing_goes_without_a_connection() -> None:
    lane = lane_over(Shelf(1))
    assert send(lane, 1, 0) is None
    lane.begin(None)
    assert send(lane, 1, 0) == b"1"
    lane.end()
    assert lane.wait_ns(SECOND_NS) is None


@pytest.mark.parametrize(("receive_maximum", "under_way"), [(None, 4), (2, 2), (10, 4)])
def test_no_more_under_way_than_either_side_wants(
    receive_maximum: int | None, under_way: int
) -> None:
    lane = lane_over(Shelf(*range(1, 20)))
    lane.begin(receive_maximum)
    sent = [send(lane, n, n * SECOND_NS) for n in range(1, 10)]
    assert sum(payload is not None for payload in sent) == under_way
    lane.acknowledged(1, None, 10 * SECOND_NS)
    assert send(lane, 11, 11 * SECOND_NS) == b"%d" % (under_way + 1)


def test_only_what_was_acknowledged_without_a_gap_counts() -> None:
    shelf = Shelf(1, 2, 3, 5)
    lane = lane_over(shelf)
    lane.begin(None)
    for packet_id in range(1, 5):
        send(lane, packet_id, packet_id * SECOND_NS)
    lane.acknowledged(2, None, 5 * SECOND_NS)
    lane.acknowledged(3, None, 5 * SECOND_NS)
    assert shelf.acknowledged == 0
    lane.acknowledged(1, None, 5 * SECOND_NS)
    assert shelf.acknowledged == 4  # 4 was lost before it got here
    lane.acknowledged(4, None, 5 * SECOND_NS)
    assert shelf.acknowledged == 5


def test_a_new_connection_begins_behind_what_counts() -> None:
    shelf = Shelf(1, 2, 3)
    lane = lane_over(shelf)
    lane.begin(None)
    assert [send(lane, n, n * SECOND_NS) for n in (1, 2, 3)] == [b"1", b"2", b"3"]
    lane.acknowledged(1, None, 4 * SECOND_NS)
    lane.end()
    lane.begin(None)
    assert [send(lane, n, n * SECOND_NS) for n in (7, 8, 9)] == [b"2", b"3", None]
    assert lane.state.redelivered == 2
    lane.acknowledged(2, None, 10 * SECOND_NS)  # an identifier of the connection before
    assert shelf.acknowledged == 1


def test_the_pace_is_kept() -> None:
    lane = lane_over(Shelf(*range(1, 1000)), window=1000, most_per_s=100.0)
    lane.begin(None)
    sent = 0
    for now_ns in range(SECOND_NS, 3 * SECOND_NS, 1_000_000):
        while send(lane, sent + 1, now_ns) is not None:
            sent += 1
    assert 195 <= sent <= 210


def test_it_says_how_long_to_wait() -> None:
    lane = lane_over(Shelf(1, 2), most_per_s=10.0)
    lane.begin(None)
    for packet_id in (1,):
        send(lane, packet_id, SECOND_NS)
    assert lane.wait_ns(SECOND_NS) == 50_000_000  # of 0.1 s, less what a burst may make up for
    assert lane.wait_ns(2 * SECOND_NS) == 0


def test_a_record_that_is_refused_comes_again_after_a_while() -> None:
    shelf = Shelf(1, 2)
    lane = lane_over(shelf)
    lane.begin(None)
    send(lane, 1, SECOND_NS)
    lane.acknowledged(1, "quota exceeded", SECOND_NS)
    assert lane.state.refusal == "quota exceeded"
    assert shelf.acknowledged == 0
    assert send(lane, 2, 2 * SECOND_NS) is None
    assert send(lane, 3, SECOND_NS + REFUSED_NS) == b"1"
    lane.acknowledged(3, None, 10 * SECOND_NS)
    assert lane.state.refusal is None


def test_what_a_dying_broker_may_have_forgotten_is_sent_again() -> None:
    shelf = Shelf(1, 2, 3)
    lane = lane_over(shelf, settle_s=2.0)
    lane.begin(None)
    send(lane, 1, SECOND_NS)
    lane.acknowledged(1, None, SECOND_NS)
    send(lane, 2, 3 * SECOND_NS)
    lane.acknowledged(2, None, 3 * SECOND_NS)
    assert shelf.acknowledged == 0
    lane.wait_ns(4 * SECOND_NS)
    assert shelf.acknowledged == 1
    lane.end()
    lane.begin(None)
    assert send(lane, 3, 5 * SECOND_NS) == b"2"
    lane.acknowledged(3, None, 5 * SECOND_NS)
    lane.wait_ns(9 * SECOND_NS)
    assert shelf.acknowledged == 2


@settings(max_examples=60)
@given(data=st.data())
def test_all_arrives_in_order_whatever_the_connection_does(data: st.DataObject) -> None:
    """Each connection delivers an unbroken piece; nothing is skipped, nothing ends up behind."""
    numbers = data.draw(st.lists(st.integers(1, 60), min_size=1, unique=True).map(sorted))
    shelf = Shelf(*numbers)
    lane = lane_over(shelf, window=data.draw(st.integers(1, 5)))
    arrived: list[int] = []
    packet_id, now_ns = 0, SECOND_NS
    for _ in range(data.draw(st.integers(1, 5))):
        lane.begin(data.draw(st.none() | st.integers(1, 5)))
        under_way: list[int] = []
        expected = [number for number in numbers if number > shelf.acknowledged]
        for acknowledges in data.draw(st.lists(st.booleans(), max_size=20)):
            now_ns += SECOND_NS
            if acknowledges and under_way:
                lane.acknowledged(under_way.pop(0), None, now_ns)
            elif (payload := send(lane, packet_id + 1, now_ns)) is not None:
                packet_id += 1
                under_way.append(packet_id)
                assert int(payload) == expected.pop(0)
                arrived.append(int(payload))
        lane.end()
    assert set(arrived) == {number for number in numbers if number <= max(arrived, default=0)}
    assert shelf.acknowledged <= max(arrived, default=0) or len(arrived) == len(numbers)
