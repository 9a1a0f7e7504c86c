import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.geometry.angle import difference, wrap
from agent.geometry.pose import Pose2
from agent.route.follower import FollowerParams, PathFollower
from agent.route.path import Waypoint

DT_S = 0.02


def waypoint(i: int, x: float, y: float, yaw: float | None = None, **more: float) -> Waypoint:
    return Waypoint(i, x, y, yaw, more.get("tolerance_m", 0.3), 0.1, more.get("max_speed_mps"))


class Drive:
    """An ideal unicycle with the acceleration limits of a real one."""

    def __init__(self, pose: Pose2) -> None:
        self.pose = pose
        self.v = self.w = 0.0
        self.reached: list[int] = []
        self.slowest_rolling = math.inf

    def run(self, follower: PathFollower, waypoints: list[Waypoint], limit_s: float) -> bool:
        for _ in range(int(limit_s / DT_S)):
            proposal = follower.step(self.pose, waypoints)
            self.reached += proposal.reached
            waypoints = [w for w in waypoints if w.sequence_id not in proposal.reached]
            if not waypoints:
                return True
            self.v += min(0.8 * DT_S, max(-1.0 * DT_S, proposal.forward_mps - self.v))
            self.w += min(1.5 * DT_S, max(-2.0 * DT_S, proposal.yaw_rate_radps - self.w))
            middle = self.pose.yaw_rad + self.w * DT_S / 2
            self.pose = Pose2(
                self.pose.x_m + self.v * DT_S * math.cos(middle),
                self.pose.y_m + self.v * DT_S * math.sin(middle),
                wrap(self.pose.yaw_rad + self.w * DT_S),
            )
            if self.reached and waypoints[0].sequence_id < 100:
                self.slowest_rolling = min(self.slowest_rolling, self.v)
        return False


# Coinciding and almost coinciding waypoints are where directions stop making sense.
coordinates = st.one_of(
    st.floats(-8.0, 8.0), st.sampled_from([0.0, 0.01, 0.04, 0.06, 0.3, 0.5, 1.0, -0.3, 4.0])
)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5),
    st.floats(-math.pi, math.pi),
    st.one_of(st.none(), st.floats(-3.1, 3.1)),
)
def test_every_path_is_driven_to_its_end_in_order(points, start_yaw, goal_yaw) -> None:
    waypoints = [waypoint(i, x, y) for i, (x, y) in enumerate(points)]
    last = points[-1]
    waypoints[-1] = waypoint(len(points) - 1, *last, goal_yaw)
    drive = Drive(Pose2(0.0, 0.0, start_yaw))
    assert drive.run(PathFollower(FollowerParams()), waypoints, 200.0)
    assert drive.reached == list(range(len(points)))
    assert math.dist((drive.pose.x_m, drive.pose.y_m), last) <= 0.3
    if goal_yaw is not None:
        assert abs(difference(goal_yaw, drive.pose.yaw_rad)) <= 0.1


def test_stops_within_centimetres_of_a_straight_goal() -> None:
    drive = Drive(Pose2(0.0, 0.0, 0.0))
    assert drive.run(PathFollower(FollowerParams()), [waypoint(0, 10.0, 0.0, 0.0)], 60.0)
    assert drive.pose.x_m == pytest.approx(10.0, abs=0.03)
    assert drive.pose.y_m == pytest.approx(0.0, abs=0.01)


def test_keeps_rolling_through_nodes_on_a_straight_line() -> None:
    line = [waypoint(i, 2.0 * (i + 1), 0.0) for i in range(5)]
    drive = Drive(Pose2(0.0, 0.0, 0.0))
    follower = PathFollower(FollowerParams())
    slowest = math.inf
    waypoints = line
    for _ in range(3000):
        proposal = follower.step(drive.pose, waypoints)
        drive.reached += proposal.reached
        waypoints = [w for w in waypoints if w.sequence_id not in proposal.reached]
        if 1 <= len(drive.reached) < 4:
            slowest = min(slowest, proposal.forward_mps)
        if not waypoints:
            break
        drive.v += min(0.8 * DT_S, max(-1.0 * DT_S, proposal.forward_mps - drive.v))
        drive.pose = Pose2(drive.pose.x_m + drive.v * DT_S, 0.0, 0.0)
    assert drive.reached == [0, 1, 2, 3, 4]
    assert slowest == pytest.approx(FollowerParams().speed_mps)


def test_a_heading_on_the_way_is_taken_before_going_on() -> None:
    waypoints = [waypoint(0, 3.0, 0.0, math.pi / 2), waypoint(1, 6.0, 0.0)]
    follower = PathFollower(FollowerParams())
    drive = Drive(Pose2(2.99, 0.0, 0.0))
    proposal = follower.step(drive.pose, waypoints)
    assert proposal.reached == ()
    assert (proposal.forward_mps, proposal.yaw_rate_radps > 0.0) == (0.0, True)
    assert drive.run(follower, waypoints, 60.0)
    assert drive.reached == [0, 1]


def test_an_edge_limit_holds_on_its_edge() -> None:
    follower = PathFollower(FollowerParams(speed_mps=1.0))
    slow = [waypoint(0, 5.0, 0.0, max_speed_mps=0.3), waypoint(1, 10.0, 0.0)]
    assert follower.step(Pose2(0.0, 0.0, 0.0), slow).forward_mps == pytest.approx(0.3)


def test_turns_on_the_spot_before_leaving_backwards() -> None:
    proposal = PathFollower(FollowerParams()).step(Pose2(0.0, 0.0, 0.0), [waypoint(0, -3.0, 0.1)])
    assert proposal.forward_mps == 0.0
    assert proposal.yaw_rate_radps > 0.0


def test_no_waypoints_no_motion() -> None:
    proposal = PathFollower(FollowerParams()).step(Pose2(0.0, 0.0, 0.0), [])
    assert (proposal.forward_mps, proposal.yaw_rate_radps, proposal.reached) == (0.0, 0.0, ())
