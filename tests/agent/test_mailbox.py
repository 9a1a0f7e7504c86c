from hypothesis import given
from hypothesis import strategies as st

from agent.mailbox import MOST_MESSAGES, MOST_ODOMETRY, Mailbox
from agent.telemetry.publication import Message
from tests.agent.robot import healthy, room_scan, still, streaming


def test_the_newest_scan_wins_and_the_one_before_is_counted() -> None:
    mailbox = Mailbox()
    for stamp_ns in (1, 2, 3):
        mailbox.put("lidar", room_scan(stamp_ns))
    inbox = mailbox.drain(0)
    assert inbox.scan is not None
    assert inbox.scan.stamp_ns == 3
    assert inbox.dropped == 2


def test_what_was_drained_is_gone() -> None:
    mailbox = Mailbox()
    mailbox.put("lidar", room_scan(1))
    mailbox.put("base", still(1))
    mailbox.put("base", healthy(1))
    mailbox.put("lidar", streaming(1)[0])
    mailbox.put_message(Message("order", b"{}", 1))
    first, second = mailbox.drain(5), mailbox.drain(6)
    assert (first.utc_ns, len(first.odometry), len(first.devices), len(first.messages)) == (
        5,
        1,
        1,
        1,
    )
    assert first.base_status is not None
    assert (second.scan, second.base_status, second.odometry) == (None, None, ())
    assert (second.devices, second.messages, second.dropped) == ((), (), 0)


@given(st.integers(0, 2 * MOST_ODOMETRY), st.integers(0, 2 * MOST_MESSAGES))
def test_nothing_is_lost_uncounted(samples: int, messages: int) -> None:
    mailbox = Mailbox()
    for stamp_ns in range(samples):
        mailbox.put("base", still(stamp_ns))
    for number in range(messages):
        mailbox.put_message(Message("order", b"%d" % number, 0))
    inbox = mailbox.drain(0)
    assert len(inbox.odometry) + len(inbox.messages) + inbox.dropped == samples + messages
    # The newest odometry counts, and the first messages do: an order is not overtaken by a flood.
    assert [o.stamp_ns for o in inbox.odometry] == list(range(samples))[-MOST_ODOMETRY:]
    assert [m.payload for m in inbox.messages] == [
        b"%d" % number for number in range(min(messages, MOST_MESSAGES))
    ]
