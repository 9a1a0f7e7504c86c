"""Tracking in worlds of discs and walls, through an exact lidar."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from agent.avoidance.tracks import RADIUS, SIGMA, VX, VY, ObjectTracker, TrackParams, X, Y
from agent.geometry.pose import Pose2

RAYS, VIEW_RAD = 720, math.radians(270.0)
BEARINGS = np.linspace(-VIEW_RAD / 2, VIEW_RAD / 2, RAYS)
ROOM = [(-9, -9, 9, -9), (9, -9, 9, 9), (9, 9, -9, 9), (-9, 9, -9, -9)]
SIGMAS_M = [0.0, 0.01, 0.03]


def ranges_m(pose: Pose2, discs, walls) -> np.ndarray:
    """Exact ranges along all rays; infinite where there is nothing."""
    along = np.column_stack([np.cos(BEARINGS + pose.yaw_rad), np.sin(BEARINGS + pose.yaw_rad)])
    nearest = np.full(RAYS, np.inf)
    for x, y, radius in discs:
        to = np.array([x - pose.x_m, y - pose.y_m])
        middle = along @ to
        inside = middle**2 - (to @ to - radius**2)
        hit = (inside > 0.0) & (middle > 0.0)
        nearest[hit] = np.minimum(nearest[hit], middle[hit] - np.sqrt(inside[hit]))
    for ax, ay, bx, by in walls:
        ex, ey, ox, oy = bx - ax, by - ay, ax - pose.x_m, ay - pose.y_m
        across = along[:, 0] * ey - along[:, 1] * ex
        with np.errstate(divide="ignore", invalid="ignore"):
            far = (ox * ey - oy * ex) / across
            share = (ox * along[:, 1] - oy * along[:, 0]) / across
            hit = (far > 0.0) & (share >= 0.0) & (share <= 1.0)
        nearest[hit] = np.minimum(nearest[hit], far[hit])
    return nearest


@dataclass
class Drive:
    """A robot that drives through a world and tracks what it sees."""

    sigma_m: float = 0.01
    hz: float = 20.0
    forward_mps: float = 0.0
    yaw_rate_radps: float = 0.0
    drift_mps: float = 0.0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    pose: Pose2 = field(default_factory=Pose2.identity)
    tick: int = 0

    def __post_init__(self) -> None:
        self.tracker = ObjectTracker(TrackParams(range_sigma_m=max(0.01, self.sigma_m)))

    @property
    def time_s(self) -> float:
        return self.tick / self.hz

    @property
    def stamp_ns(self) -> int:
        return round(self.time_s * 1e9)

    @property
    def odom_from_world(self) -> Pose2:
        slip = self.drift_mps * self.time_s
        return Pose2(slip, 0.0, 0.3 * slip)

    def see(self, discs, walls=ROOM) -> np.ndarray:
        """Track one scan of the world as it is now, then move on; returns what moves."""
        ranges = ranges_m(self.pose, discs, walls)
        rays = np.flatnonzero(np.isfinite(ranges))
        ranges = ranges[rays] + self.sigma_m * self.rng.normal(size=rays.size)
        points = np.column_stack([ranges * np.cos(BEARINGS[rays]), ranges * np.sin(BEARINGS[rays])])
        odom_from_base = self.odom_from_world @ self.pose
        self.tracker.update(odom_from_base, points, self.stamp_ns, rays=rays, ray_count=RAYS)
        found = self.tracker.predict(self.stamp_ns)
        self.tick += 1
        self.pose = self.pose @ Pose2(
            self.forward_mps / self.hz, 0.0, self.yaw_rate_radps / self.hz
        )
        return found


def nearest_to(found: np.ndarray, x: float, y: float) -> np.ndarray:
    assert len(found)
    return found[np.hypot(found[:, X] - x, found[:, Y] - y).argmin()]


def passes(drive: Drive, start, velocity, radius: float, until_s: float, walls=ROOM):
    """Let one disc pass; returns the track that is nearest to it, and where it really is."""
    while True:
        place = np.array(start) + np.array(velocity) * drive.time_s
        time_s = drive.time_s
        odom_from_world = drive.odom_from_world
        found = drive.see([(*place, radius)], walls)
        if time_s >= until_s - 1e-9:
            place = np.array(odom_from_world.transform(*place))
            return nearest_to(found, *place), place


class TestMovingDisc:
    @pytest.mark.parametrize("hz", [10.0, 20.0])
    @pytest.mark.parametrize("sigma_m", SIGMAS_M)
    @pytest.mark.parametrize("turning", [-2.0, 0.0, 2.0])
    def test_its_velocity_is_known_within_four_tenths(self, hz, sigma_m, turning) -> None:
        errors = []
        for number in range(12):
            rng = np.random.default_rng(number)
            heading, bearing = rng.uniform(-math.pi, math.pi), rng.uniform(-0.8, 0.8)
            far, speed = rng.uniform(2.0, 6.0), rng.uniform(0.6, 1.9)
            drive = Drive(sigma_m, hz, rng.uniform(0.0, 1.5), turning, 0.02, rng)
            velocity = speed * np.array([math.cos(heading), math.sin(heading)])
            start = (far * math.cos(bearing), far * math.sin(bearing))
            walls = ROOM if number % 2 else []
            track, place = passes(drive, start, velocity, 0.5, 0.4, walls)
            errors.append(math.hypot(*(track[[VX, VY]] - velocity)))
            assert math.hypot(*(track[[X, Y]] - place)) < 0.15
            assert track[RADIUS] == pytest.approx(0.5, abs=0.1)
        assert np.quantile(errors, 0.9) < (0.15 if sigma_m < 0.02 else 0.2)

    @pytest.mark.parametrize("radius", [0.1, 0.2, 0.3])
    def test_legs_are_tracked_too(self, radius: float) -> None:
        track, place = passes(Drive(), (3.0, -1.0), (-0.3, 1.0), radius, 1.0)
        assert track[[X, Y]] == pytest.approx(place, abs=0.05)
        assert track[[VX, VY]] == pytest.approx([-0.3, 1.0], abs=0.2)

    def test_a_new_direction_is_learnt_within_three_tenths(self) -> None:
        drive, place, velocity = Drive(), np.array([4.0, -1.5]), np.array([0.0, 1.2])
        for k in range(36):
            if k == 30:
                velocity = np.array([-1.0, -0.6])
            found = drive.see([(*place, 0.5)])
            last = place.copy()
            place += velocity / drive.hz
        track = nearest_to(found, *last)
        assert track[[VX, VY]] == pytest.approx(velocity, abs=0.15)

    def test_it_is_not_forgotten_while_hidden(self) -> None:
        drive, seen, hidden = Drive(), [], []
        for _ in range(110):
            place = (5.0, -3.0 + 1.2 * drive.time_s)
            found = drive.see([(*place, 0.3), (2.0, 0.0, 0.3)])
            if drive.time_s < 1.0:
                continue
            track = nearest_to(found, *place)
            assert track[[X, Y]] == pytest.approx(place, abs=0.3)
            (hidden if abs(place[1]) < 0.4 else seen).append(track[SIGMA])
        assert max(hidden) > 3.0 * np.median(seen)

    def test_it_is_remembered_in_the_blind_arc_and_then_forgotten(self) -> None:
        drive, sigmas = Drive(), []
        for _ in range(90):
            place = (2.0 - 1.5 * drive.time_s, 1.5)
            found = drive.see([(*place, 0.4)], [])
            if len(found):
                sigmas.append(found[0, SIGMA])
                assert found[0, [X, Y]] == pytest.approx(place, abs=0.3)
        # It goes out of view behind the robot after some two seconds.
        assert 70 <= len(sigmas) <= 88
        assert np.all(np.diff(sigmas[-20:]) > 0.0)

    def test_it_is_gone_once_its_place_is_seen_empty(self) -> None:
        drive = Drive()
        for _ in range(20):
            found = drive.see([(4.0, -1.0 + drive.time_s, 0.5)])
        assert len(found) == 1
        for _ in range(3):
            found = drive.see([])
        assert len(found) == 0

    def test_it_stands_after_it_stopped(self) -> None:
        drive = Drive()
        for _ in range(80):
            found = drive.see([(4.0, min(1.0, -1.0 + drive.time_s), 0.5)])
        assert len(found) == 0

    def test_two_that_meet_stay_two(self) -> None:
        drive = Drive()
        for _ in range(70):
            left, right = (4.0, -2.0 + drive.time_s), (5.2, 2.0 - drive.time_s)
            found = drive.see([(*left, 0.4), (*right, 0.4)])
        assert nearest_to(found, *left)[[VX, VY]] == pytest.approx([0.0, 1.0], abs=0.15)
        assert nearest_to(found, *right)[[VX, VY]] == pytest.approx([0.0, -1.0], abs=0.15)


@pytest.mark.parametrize("heading", [0.0, 0.5, 1.57])
def test_a_vehicle_is_covered_by_discs_that_move_with_it(heading: float) -> None:
    drive, cos, sin = Drive(), math.cos(heading), math.sin(heading)
    corners = np.array([[-1.0, -0.4], [1.0, -0.4], [1.0, 0.4], [-1.0, 0.4]])
    corners = corners @ np.array([[cos, sin], [-sin, cos]])
    for _ in range(30):
        middle = np.array([4.0 - cos, -sin]) + drive.time_s * np.array([cos, sin])
        outline = corners + middle
        sides = [(*outline[k - 1], *outline[k]) for k in range(4)]
        found = drive.see([], [*ROOM, *sides])
    assert len(found) >= 1
    for row in found:
        assert row[[VX, VY]] == pytest.approx([cos, sin], abs=0.3)
    ranges = ranges_m(Pose2.identity(), [], sides)
    seen = np.isfinite(ranges)
    points = np.column_stack([ranges * np.cos(BEARINGS), ranges * np.sin(BEARINGS)])[seen]
    away = np.hypot(points[:, :1] - found[:, X], points[:, 1:] - found[:, Y]) - found[:, RADIUS]
    assert np.quantile(away.min(axis=1), 0.9) < 0.1


class TestStaticWorld:
    @settings(max_examples=15)
    @given(st.integers(0, 2**32 - 1), st.sampled_from(SIGMAS_M), st.sampled_from([0.0, 0.02]))
    def test_nothing_moves(self, seed: int, sigma_m: float, drift_mps: float) -> None:
        rng = np.random.default_rng(seed)
        posts = [
            (x, y, 0.075) for x, y in rng.uniform(-5.0, 8.0, (40, 2)) if math.hypot(x, y) > 0.8
        ]
        walls = [*ROOM, (1.0, 2.0, 5.0, 2.5), (3.0, -2.0, 3.6, -2.9)]
        drive = Drive(sigma_m, 20.0, 1.0, rng.uniform(-1.0, 1.0), drift_mps, rng)
        moving = tracked = 0
        for _ in range(30):
            moving += len(drive.see(posts, walls))
            tracked += len(drive.tracker._tracks)
        assert tracked > 100
        assert moving <= 0.01 * tracked


def run_of(params: TrackParams, scans: int = 30) -> tuple[ObjectTracker, list[np.ndarray]]:
    drive = Drive(forward_mps=0.5, yaw_rate_radps=0.3)
    drive.tracker = ObjectTracker(params)
    posts = [(x, y, 0.1) for x in range(-4, 7, 2) for y in range(-5, 6, 2)]
    found = [drive.see([*posts, (3.0, -1.5 + drive.time_s, 0.3)]) for _ in range(scans)]
    return drive.tracker, found


def test_the_same_scans_give_the_same_tracks() -> None:
    for one, other in zip(run_of(TrackParams())[1], run_of(TrackParams())[1], strict=True):
        assert np.array_equal(one, other)


def test_no_more_tracks_than_allowed_are_kept_and_the_moving_one_is() -> None:
    tracker, found = run_of(TrackParams(most=5))
    assert len(tracker._tracks) == 5
    assert nearest_to(found[-1], 3.0, -0.05)[VY] == pytest.approx(1.0, abs=0.2)


def test_between_scans_what_moves_moves_on() -> None:
    drive = Drive()
    for _ in range(20):
        found = drive.see([(4.0, -1.0 + drive.time_s, 0.5)])
    later = drive.tracker.predict(drive.stamp_ns + 450_000_000)
    assert later[0, [X, Y]] == pytest.approx(found[0, [X, Y]] + 0.5 * found[0, [VX, VY]])
    assert later[0, SIGMA] > found[0, SIGMA]
    assert np.array_equal(drive.tracker.predict(drive.stamp_ns - 50_000_000), found)


def test_a_lidar_away_from_the_middle_sees_the_same() -> None:
    tracker, mount = ObjectTracker(TrackParams()), (0.4, -0.2)
    for k in range(20):
        ranges = ranges_m(Pose2(*mount, 0.0), [(4.0, -1.0 + k / 20, 0.5)], ROOM)
        points = np.column_stack(
            [mount[0] + ranges * np.cos(BEARINGS), mount[1] + ranges * np.sin(BEARINGS)]
        )
        tracker.update(Pose2.identity(), points, k * 50_000_000, origin_m=mount, ray_count=RAYS)
    (found,) = tracker.predict(19 * 50_000_000)
    assert found[:5] == pytest.approx([4.0, -0.05, 0.0, 1.0, 0.5], abs=0.05)


class TestOddInput:
    def test_nothing_seen_is_nothing_tracked(self) -> None:
        tracker = ObjectTracker(TrackParams())
        assert tracker.predict(0).shape == (0, 6)
        for k in range(3):
            tracker.update(Pose2.identity(), np.empty((0, 2)), k)
        tracker.update(Pose2.identity(), np.ones((1, 2)), 5)
        assert tracker.predict(10).shape == (0, 6)

    def test_an_older_scan_is_left_out(self) -> None:
        tracker, found = run_of(TrackParams())
        tracker.update(Pose2(50.0, 0.0, 1.0), np.ones((5, 2)), 0)
        assert np.array_equal(tracker.predict(29 * 50_000_000), found[-1])

    def test_after_a_reset_or_a_long_pause_nothing_is_known(self) -> None:
        tracker, found = run_of(TrackParams())
        assert len(found[-1])
        tracker.update(Pose2.identity(), np.empty((0, 2)), 60_000_000_000)
        assert len(tracker._tracks) == 0
        tracker, _ = run_of(TrackParams())
        tracker.reset()
        assert tracker.predict(29 * 50_000_000).shape == (0, 6)

    @pytest.mark.parametrize("wrong", [{"coast_s": -1.0}, {"most": 0}, {"moist": 3}])
    def test_parameters_have_bounds(self, wrong) -> None:
        with pytest.raises(ValidationError):
            TypeAdapter(TrackParams).validate_python(wrong)
