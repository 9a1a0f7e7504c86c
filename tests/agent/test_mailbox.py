import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import BrokerUnavailable
from agent.mailbox import MOST_MESSAGES, MOST_ODOMETRY, Inbox, Mailbox
from agent.positioning import PoseRequest
from agent.telemetry.publication import Message
from drivers.measurement import BaseStatus, Odometry
from drivers.runner import DeviceState, Phase
from tests.agent.room import scan

LIDARS = ("lidar.front", "lidar.rear")


def odometry(stamp_ns: int) -> Odometry:
    return Odometry(stamp_ns, stamp_ns, 0.0, 0.0, 0.0, 0.0, 0.0)


def status(stamp_ns: int) -> BaseStatus:
    return BaseStatus(stamp_ns, 25.0, (), False, False, ())


def message(i: int) -> Message:
    return Message("order", str(i).encode(), i)


def test_the_newest_scan_and_status_win_and_a_replaced_scan_is_counted():
    mailbox = Mailbox(LIDARS)
    scans = [scan(i, np.ones(3)) for i in range(3)]
    for one in scans:
        mailbox.put("lidar.rear", one)
    for i in range(3):
        mailbox.put("base", status(i))
    inbox = mailbox.drain(7)
    assert inbox.scans == (("lidar.rear", scans[-1]),)
    assert inbox.base_status == status(2)
    assert (inbox.utc_ns, inbox.dropped) == (7, 2)


def test_odometry_keeps_its_order_and_loses_the_oldest():
    mailbox = Mailbox(LIDARS)
    for i in range(MOST_ODOMETRY + 3):
        mailbox.put("base", odometry(i))
    inbox = mailbox.drain(0)
    assert [sample.stamp_ns for sample in inbox.odometry] == list(range(3, MOST_ODOMETRY + 3))
    assert inbox.dropped == 3


def test_in_a_flood_the_first_messages_stay():
    mailbox = Mailbox(LIDARS)
    for i in range(MOST_MESSAGES + 5):
        mailbox.put_message(message(i))
    inbox = mailbox.drain(0)
    assert inbox.messages == tuple(message(i) for i in range(MOST_MESSAGES))
    assert inbox.dropped == 5


def test_no_transition_of_a_device_is_lost():
    mailbox = Mailbox(LIDARS)
    states = [DeviceState("lidar.front", phase, 0) for phase in Phase] * 50
    for state in states:
        mailbox.put("lidar.front", state)
    assert mailbox.drain(0).devices == tuple(states)


def test_the_broker_is_passed_on():
    failure = BrokerUnavailable("no broker listens there")
    assert Mailbox(LIDARS).drain(0, failure).broker is failure


@given(st.lists(st.sampled_from([*LIDARS, "odometry", "message", "drain"]), max_size=400))
def test_everything_is_delivered_once_or_counted(actions):
    mailbox, inboxes = Mailbox(LIDARS), []
    for i, action in enumerate(actions):
        match action:
            case "lidar.front" | "lidar.rear":
                mailbox.put(action, scan(i, np.ones(3)))
            case "odometry":
                mailbox.put("base", odometry(i))
            case "message":
                mailbox.put_message(message(i))
            case "drain":
                inboxes.append(mailbox.drain(i))
    inboxes.append(mailbox.drain(0))
    delivered = sum(
        len(inbox.scans) + len(inbox.odometry) + len(inbox.messages) for inbox in inboxes
    )
    dropped = sum(inbox.dropped for inbox in inboxes)
    assert delivered + dropped == len(actions) - actions.count("drain")
    assert mailbox.drain(9) == Inbox(9)


def test_two_threads_lose_nothing_between_them():
    mailbox, seen, count = Mailbox(LIDARS), [], 2000

    def produce():
        for i in range(count):
            mailbox.put("base", odometry(i))

    thread = threading.Thread(target=produce)
    thread.start()
    dropped = 0
    while thread.is_alive() or len(seen) + dropped < count:
        inbox = mailbox.drain(0)
        seen += [sample.stamp_ns for sample in inbox.odometry]
        dropped += inbox.dropped
    thread.join()
    assert seen == sorted(set(seen))
    assert len(seen) + dropped == count


def test_scans_come_in_the_order_of_the_configuration():
    one, other = scan(1, np.ones(3)), scan(2, np.ones(3))
    mailbox = Mailbox(LIDARS)
    mailbox.put("lidar.rear", other)
    mailbox.put("lidar.front", one)
    assert mailbox.drain(0).scans == (("lidar.front", one), ("lidar.rear", other))
    assert mailbox.drain(0).dropped == 0


def test_pose_requests_are_handed_over_once_and_a_flood_is_refused():
    mailbox = Mailbox(LIDARS)
    requests = [PoseRequest(f"local {i}", None) for i in range(MOST_MESSAGES + 1)]
    assert [mailbox.put_pose_request(r) for r in requests] == [True] * MOST_MESSAGES + [False]
    assert mailbox.drain(0).pose_requests == tuple(requests[:-1])
    assert mailbox.drain(0).pose_requests == ()
