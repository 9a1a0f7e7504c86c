"""A route of the search, driven by an ideal robot."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.geometry.angle import difference, wrap
from agent.geometry.pose import Pose2
from agent.kernels.route import follow
from agent.route.follower import FollowerParams
from agent.route.path import Waypoint
from agent.route.route_follower import RouteFollower
from agent.route.route_search import SPACING_RAD, Route, RouteSearchParams

DT_S = 0.02
PARAMS = FollowerParams()


def route_of(moves: list[tuple[float, float, float]], start: Pose2) -> Route:
    begin, steps = (start.x_m, start.y_m, start.yaw_rad), np.array(moves, np.float64)
    spacing = (RouteSearchParams().spacing_m, SPACING_RAD)
    count = follow(begin, steps, *spacing, np.empty((0, 3)), np.empty(0, np.bool_))
    poses, reversing = np.empty((count, 3)), np.empty(count, np.bool_)
    follow(begin, steps, *spacing, poses, reversing)
    yaws = np.array([wrap(yaw) for yaw in poses[:, 2].tolist()])
    return Route(poses[:, :2], yaws, reversing, float(np.hypot(*steps[:, :2].T).sum()), 1.0)


def target_of(route: Route, max_speed_mps: float | None = None) -> Waypoint:
    x_m, y_m = route.points_m[-1].tolist()
    return Waypoint(7, x_m, y_m, float(route.yaws_rad[-1]), 0.3, 0.1, max_speed_mps)


class Drive:
    """Follows a route with the acceleration limits of a real robot."""

    def __init__(self, route: Route, target: Waypoint, pose: Pose2) -> None:
        self.route, self.pose = route, pose
        self.follower = RouteFollower(PARAMS, route, target, pose)
        self.v = self.w = self.fastest_mps = self.slowest_mps = self.farthest_m = 0.0

    def run(self, limit_s: float = 200.0) -> bool:
        for _ in range(int(limit_s / DT_S)):
            proposal = self.follower.step(self.pose)
            if proposal.reached:
                assert proposal.reached == (7,)
                return True
            self.v += min(0.8 * DT_S, max(-0.8 * DT_S, proposal.forward_mps - self.v))
            self.w += min(2.0 * DT_S, max(-2.0 * DT_S, proposal.yaw_rate_radps - self.w))
            middle = self.pose.yaw_rad + self.w * DT_S / 2
            self.pose = Pose2(
                self.pose.x_m + self.v * DT_S * math.cos(middle),
                self.pose.y_m + self.v * DT_S * math.sin(middle),
                wrap(self.pose.yaw_rad + self.w * DT_S),
            )
            self.fastest_mps = max(self.fastest_mps, self.v)
            self.slowest_mps = min(self.slowest_mps, self.v)
            away = self.route.points_m - (self.pose.x_m, self.pose.y_m)
            self.farthest_m = max(self.farthest_m, float(np.hypot(*away.T).min()))
        return False


lengths = st.floats(0.3, 3.0)
straights = st.builds(lambda m, back: (-m if back else m, 0.0, 0.0), lengths, st.booleans())
pivots = st.floats(-3.1, 3.1).map(lambda turn: (0.0, 0.0, turn))
arcs = st.builds(
    lambda turn, radius, back: ((-1.0 if back else 1.0) * radius * abs(turn), 0.0, turn),
    st.floats(0.3, 2.5) | st.floats(-2.5, -0.3),
    st.floats(0.4, 0.8),
    st.booleans(),
)


@settings(max_examples=30)
@given(st.lists(straights | pivots | arcs, min_size=1, max_size=5), st.floats(-3.0, 3.0))
def test_every_route_is_driven_to_its_end_and_hardly_left(moves, yaw) -> None:
    start = Pose2(1.0, -2.0, yaw)
    route = route_of(moves, start)
    target = target_of(route)
    drive = Drive(route, target, start)
    assert drive.run()
    assert drive.farthest_m < 0.15
    assert math.dist((drive.pose.x_m, drive.pose.y_m), route.points_m[-1]) < 0.15
    assert abs(difference(target.yaw_rad, drive.pose.yaw_rad)) <= 0.1
    if all(ahead >= 0.0 for ahead, _, _ in moves):
        assert drive.slowest_mps > -0.01


def test_it_goes_fast_on_long_straights_and_slowly_through_bends_and_backwards() -> None:
    start = Pose2(0.0, 0.0, 0.0)
    straight = Drive(route := route_of([(8.0, 0.0, 0.0)], start), target_of(route), start)
    assert straight.run()
    assert straight.fastest_mps == pytest.approx(PARAMS.speed_mps, abs=0.02)
    bend = Drive(route := route_of([(1.6, 0.0, 2.0)], start), target_of(route), start)
    assert bend.run()
    assert bend.fastest_mps < 0.45
    back = Drive(route := route_of([(-3.0, 0.0, 0.0)], start), target_of(route), start)
    assert back.run()
    assert -0.35 < back.slowest_mps < -0.25


def test_the_limit_of_the_edge_holds_all_the_way() -> None:
    start = Pose2(0.0, 0.0, 0.0)
    route = route_of([(4.0, 0.0, 0.0), (0.8, 0.0, 1.0), (-1.0, 0.0, 0.0)], start)
    drive = Drive(route, target_of(route, 0.2), start)
    assert drive.run()
    assert drive.fastest_mps < 0.22
    assert drive.slowest_mps > -0.22


def test_a_turn_by_more_than_half_round_keeps_its_sense() -> None:
    start = Pose2(0.0, 0.0, 0.0)
    route = route_of([(0.0, 0.0, 4.0)], start)
    drive = Drive(route, target_of(route), start)
    turned = 0.0
    for _ in range(1000):
        before = drive.pose.yaw_rad
        if drive.run(DT_S):
            break
        turned += difference(drive.pose.yaw_rad, before)
    assert turned == pytest.approx(4.0, abs=0.1)


def test_it_rejoins_where_the_route_is_nearest() -> None:
    start = Pose2(0.0, 0.0, 0.0)
    route = route_of([(3.0, 0.0, 0.0), (0.0, 0.0, 1.5), (3.0, 0.0, 0.0)], start)
    drive = Drive(route, target_of(route), start)
    assert drive.run(1.0) is False
    drive.pose = Pose2(3.1, 1.0, 1.5)
    assert drive.follower.aside_m(drive.pose) < 0.15
    drive.follower.rejoin(drive.pose)
    assert len(drive.follower.points_left_m) < 0.4 * len(route.points_m)
    drive.farthest_m = 0.0
    assert drive.run()
    assert drive.farthest_m < 0.1


def test_a_route_to_where_the_robot_stands_is_over_at_once() -> None:
    start = Pose2(1.0, 2.0, 0.5)
    route = Route(np.array([[1.0, 2.0]]), np.array([0.5]), np.zeros(1, np.bool_), 0.0, 1.0)
    assert Drive(route, target_of(route), start).run(0.1)
