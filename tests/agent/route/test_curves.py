"""Curves are driven along, with the speed that their bends allow."""

import math

import numpy as np
import pytest

from agent.geometry.pose import Pose2
from agent.route.follower import FollowerParams, PathFollower
from agent.route.nurbs import Nurbs
from agent.route.path import Waypoint
from tests.agent.route.test_follower import DT_S, Drive

ROOT = math.sqrt(0.5)


def bend(radius_m: float) -> Waypoint:
    """A quarter of a circle to the left, from the origin, tangential to the x axis."""
    r = radius_m
    control = np.array([(0.0, 0.0), (r, 0.0), (r, r)])
    curve = Nurbs(2, np.array([0.0, 0, 0, 1, 1, 1]), control, np.array([1.0, ROOT, 1.0]))
    return Waypoint(2, r, r, None, 0.2, 0.1, curve=curve)


@pytest.mark.parametrize("radius_m", [1.0, 2.0, 5.0])
def test_a_bend_is_driven_near_its_line_and_without_a_stop(radius_m: float) -> None:
    follower, drive = PathFollower(FollowerParams()), Drive(Pose2(-2.0, 0.0, 0.0))
    straight = Waypoint(0, 0.0, 0.0, None, 0.2, 0.1)
    after = Waypoint(4, radius_m, radius_m + 4.0, None, 0.2, 0.1)
    waypoints = [straight, bend(radius_m), after]
    asides, speeds, reached = [], [], []
    for _ in range(int(60 / DT_S)):
        left = [w for w in waypoints if w.sequence_id not in reached]
        proposal = follower.step(drive.pose, left)
        reached += proposal.reached
        if len(reached) == 3:
            break
        if reached == [0]:
            off_m = math.hypot(drive.pose.x_m, drive.pose.y_m - radius_m)
            asides.append(abs(off_m - radius_m))
            speeds.append(drive.v)
        drive.v += min(0.8 * DT_S, max(-1.0 * DT_S, proposal.forward_mps - drive.v))
        drive.w += min(1.5 * DT_S, max(-2.0 * DT_S, proposal.yaw_rate_radps - drive.w))
        middle = drive.pose.yaw_rad + drive.w * DT_S / 2
        drive.pose = Pose2(
            drive.pose.x_m + drive.v * DT_S * math.cos(middle),
            drive.pose.y_m + drive.v * DT_S * math.sin(middle),
            drive.pose.yaw_rad + drive.w * DT_S,
        )
    assert reached == [0, 2, 4]
    assert max(asides) < 0.08
    assert min(speeds) > 0.25
    assert max(speeds) ** 2 / radius_m <= 0.8


def test_a_slower_edge_is_entered_at_its_own_speed() -> None:
    follower, drive = PathFollower(FollowerParams()), Drive(Pose2(0.0, 0.0, 0.0))
    slow = Waypoint(4, 8.0, 0.0, None, 0.2, 0.1, 0.3)
    left = [Waypoint(2, 5.0, 0.0, None, 0.2, 0.1), slow]
    fastest = 0.0
    for _ in range(int(30 / DT_S)):
        proposal = follower.step(drive.pose, left)
        left = [w for w in left if w.sequence_id not in proposal.reached]
        if not left:
            break
        if left == [slow]:
            fastest = max(fastest, drive.v)
        drive.v += min(0.8 * DT_S, max(-1.0 * DT_S, proposal.forward_mps - drive.v))
        drive.pose = Pose2(drive.pose.x_m + drive.v * DT_S, 0.0, 0.0)
    assert not left
    assert 0.25 < fastest < 0.33


def test_a_limit_on_turning_holds() -> None:
    follower = PathFollower(FollowerParams())
    calm = Waypoint(2, 0.0, 5.0, None, 0.2, 0.1, max_yaw_rate_radps=0.2)
    assert follower.step(Pose2(0.0, 0.0, 0.0), [calm]).yaw_rate_radps == pytest.approx(0.2)


def test_a_thousand_waypoints_cost_no_more_than_those_in_sight() -> None:
    follower = PathFollower(FollowerParams())
    way = [Waypoint(2 * i, 1.0 * i, 0.0, None, 0.2, 0.1) for i in range(1, 1000)]
    legs, _ = follower._legs(Pose2(0.0, 0.0, 0.0), way)
    assert len(legs) < 10
    assert follower.step(Pose2(0.0, 0.0, 0.0), way).forward_mps == pytest.approx(1.0)


@pytest.mark.parametrize(
    "control",
    [
        [(0.0, 0.0), (0.0, 0.0), (3.0, 0.0)],  # a piece of no length
        [(0.0, 0.0), (0.0, 0.0), (0.0, 0.0)],  # nothing but such
        [(0.0, 0.0), (0.02, 0.01), (0.04, 0.0)],  # shorter than a leg
        [(0.0, 0.0), (2.0, 0.0), (2.0, 2.0)],  # a corner to turn at
    ],
)
def test_odd_curves_are_driven_to_their_end(control: list[tuple[float, float]]) -> None:
    knots = np.array([0.0, 0.0, 0.5, 1.0, 1.0])
    curve = Nurbs(1, knots, np.array(control), np.ones(3))
    end = Waypoint(2, *control[-1], None, 0.2, 0.1, curve=curve)
    drive = Drive(Pose2(0.0, 0.0, 0.0))
    assert drive.run(PathFollower(FollowerParams()), [end], 60.0)
    assert math.dist((drive.pose.x_m, drive.pose.y_m), control[-1]) < 0.05
