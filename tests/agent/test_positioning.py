"""Requests for another pose, against the real localizer in the real rooms."""

import math

import pytest

from agent.geometry.pose import Pose2
from agent.positioning import SEARCH_NS, SETTLE_NS, Outcome, PoseRequest
from tests.agent.room import TWO_HALLS, Robot, agent_in

ORIGIN = Pose2(0.0, 0.0, 0.0)


@pytest.fixture
def robot(tmp_path) -> Robot:
    return Robot(agent_in(tmp_path, TWO_HALLS)).start()


def ask(robot: Robot, pose: Pose2 | None, map_id: str | None = None) -> None:
    robot.tick(pose_requests=(PoseRequest("local 1", pose, map_id),))


def answer(robot: Robot) -> tuple[str, str]:
    told = robot.agent.status(robot.now_ns)["pose_requests"]["local 1"]
    return told["outcome"], told["reason"]


def test_a_stated_pose_is_taken_once_the_scans_agree(robot):
    ask(robot, Pose2(0.3, -0.2, 0.1))
    assert not robot.estimate.localized
    assert answer(robot) == (Outcome.PENDING, "")
    robot.run(1.0)
    assert answer(robot) == (Outcome.DONE, "")
    assert robot.estimate.map_from_base.distance_m(ORIGIN) < 0.05
    (event,) = robot.events("pose.set")
    assert event == {"by": "local 1", "x_m": 0.3, "y_m": -0.2, "yaw_rad": 0.1}


def test_a_robot_that_was_carried_elsewhere_is_told_so(robot):
    robot.pose = Pose2(5.0, 0.5, 1.0)
    ask(robot, Pose2(5.2, 0.4, 1.1))
    robot.run(1.5)
    assert answer(robot)[0] == Outcome.DONE
    assert robot.estimate.map_from_base.distance_m(robot.pose) < 0.05


def test_a_pose_in_the_wrong_place_is_not_taken_without_a_word(robot):
    ask(robot, Pose2(6.0, 1.0, 2.0))
    robot.run(SETTLE_NS * 1e-9 + 1.0)
    outcome, reason = answer(robot)
    assert outcome == Outcome.FAILED
    assert "not localized" in reason or "the robot has found itself at" in reason
    (event,) = robot.events("pose.refused")
    assert event == {"by": "local 1", "reason": reason}


@pytest.mark.parametrize(
    ("pose", "map_id", "said"),
    [
        (Pose2(99.0, 0.0, 0.0), None, "(99.00, 0.00) lies outside the map"),
        (Pose2(99.0, 0.0, 0.0), "cellar", "(99.00, 0.00) lies outside the map"),
        (ORIGIN, "attic", "there is no map attic; known: hall, cellar"),
        (None, "cellar", "searches map hall"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(robot, pose, map_id, said):
    ask(robot, pose, map_id)
    outcome, reason = answer(robot)
    assert outcome == Outcome.FAILED
    assert said in reason
    assert robot.estimate.localized
    assert robot.agent.status(robot.now_ns)["pose"]["map_id"] == "hall"
    assert robot.events("pose.set") == []


def test_a_search_finds_the_robot_anywhere(robot):
    robot.pose = Pose2(4.6, -1.0, 2.2)
    ask(robot, None)
    robot.run(6.0)
    assert answer(robot) == (Outcome.DONE, "")
    assert robot.estimate.map_from_base.distance_m(robot.pose) < 0.05
    assert robot.events("search.begun")[0] == {"map_id": "hall"}
    assert robot.events("search.ended")[0]["places"] >= 1


def test_a_search_has_patience_but_not_for_ever(robot):
    robot.scan_of = lambda stamp_ns, ranges: None
    ask(robot, None)
    robot.run(SETTLE_NS * 1e-9 + 1.0)
    assert answer(robot)[0] == Outcome.PENDING
    robot.now_ns += SEARCH_NS
    robot.tick()
    assert answer(robot)[0] == Outcome.FAILED


def test_a_new_request_takes_the_place_of_the_one_at_work(robot):
    first, second = PoseRequest("local 1", None), PoseRequest("local 2", ORIGIN)
    robot.tick(pose_requests=(first, second))
    outcome, reason = answer(robot)
    assert outcome == Outcome.FAILED
    assert "another pose was stated" in reason
    robot.run(1.0)
    assert robot.agent.status(robot.now_ns)["pose_requests"]["local 2"]["outcome"] == "done"


def test_another_hall_by_hand(robot):
    robot.hall, robot.pose = "cellar", Pose2(4.0, -0.5, 0.4)
    ask(robot, Pose2(4.1, -0.6, 0.3), "cellar")
    assert robot.events("map.changed") == [{"map_id": "cellar"}]
    robot.run(1.5)
    assert answer(robot)[0] == Outcome.DONE
    assert robot.estimate.map_from_base.distance_m(robot.pose) < 0.05
    assert robot.state.agv_position.map_id == "cellar"


def test_another_hall_in_the_middle_of_an_order_is_refused(robot):
    robot.drive()
    ask(robot, ORIGIN, "cellar")
    assert "order A is active" in answer(robot)[1]
    assert robot.estimate.localized


def test_a_pose_in_the_middle_of_an_order_lets_it_go_on(robot):
    robot.drive()
    pose = robot.pose
    ask(robot, pose)
    assert robot.outboxes[-1].command.is_stop
    robot.arrive(14.0)
    assert robot.agent.status(robot.now_ns)["order"]["idle"]
    assert math.dist((robot.pose.x_m, robot.pose.y_m), (5.0, 0.0)) < 0.1
