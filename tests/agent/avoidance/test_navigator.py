"""Planner and governor together, in closed loop with a base that obeys one cycle later."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.avoidance.governor import StopReason
from agent.avoidance.motion import Drive, MotionLimits, MotionModel
from agent.avoidance.navigator import BlindSpots, Navigator, NavigatorParams, is_there
from agent.avoidance.surroundings import LidarMount
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist, moved_by
from agent.kernels.clearance import signed_distance_m
from agent.route.path import Goal
from drivers.measurement import Scan, VelocityCommand

CYCLE_NS, CYCLE_S = 50_000_000, 0.05
LIMITS = MotionLimits(speed_mps=1.2, base_latency_s=CYCLE_S)
FOOTPRINT = rectangle(0.7, 0.5)
HERE = Pose2.identity()
NO_PATH = np.empty((0, 2))
BEARINGS = np.linspace(-math.pi, math.pi, 720, endpoint=False).astype(np.float32)
Discs = list[tuple[float, float, float]]
GIVES_UP_S = 3.0  # longer than the planner takes for another try


def scan_of(discs: Discs, pose: Pose2, now_ns: int) -> Scan:
    ranges = np.full(BEARINGS.size, np.nan)
    bearings = BEARINGS + pose.yaw_rad
    for x_m, y_m, radius_m in discs:
        dx, dy = x_m - pose.x_m, y_m - pose.y_m
        along = dx * np.cos(bearings) + dy * np.sin(bearings)
        chord = along**2 - (dx * dx + dy * dy - radius_m**2)
        hit = (chord > 0.0) & (along > 0.0)
        depth = along - np.sqrt(np.maximum(chord, 0.0))
        ranges[hit] = np.fmin(ranges[hit], depth[hit])
    zeros = np.zeros(BEARINGS.size, np.float32)
    arrays = (BEARINGS.copy(), ranges.astype(np.float32), zeros, zeros.astype(np.uint8))
    for array in arrays:
        array.setflags(write=False)
    return Scan(now_ns, now_ns, *arrays)


def navigator_of(drive: Drive = Drive.DIFFERENTIAL) -> Navigator:
    model = MotionModel(drive=drive, turning_radius_m=1.0)
    return Navigator(LIMITS, FOOTPRINT, {"lidar": LidarMount(HERE)}, model=model)


def twist_of_command(command: VelocityCommand) -> Twist:
    return Twist(command.forward_mps, command.lateral_mps, command.yaw_rate_radps)


def drive_to(
    goal: Goal,
    discs: Discs,
    limit_s: float,
    drive: Drive = Drive.DIFFERENTIAL,
    footprint: NDArray[np.float64] = FOOTPRINT,
) -> tuple[Pose2, float, list[Twist]]:
    """Return where the drive ended, the least clearance, and all commands."""
    navigator, pose, pending, twist = navigator_of(drive), HERE, Twist(), Twist()
    navigator.take_shape(footprint)
    least, commands, stood = math.inf, [], 0
    for cycle in range(round(limit_s / CYCLE_S)):
        now_ns = cycle * CYCLE_NS
        scan = scan_of(discs, pose, now_ns)
        command = navigator.step(scan, pose, twist, NO_PATH, goal, now_ns)
        pending, twist = twist_of_command(command), pending
        commands.append(pending)
        pose = pose @ moved_by(twist, CYCLE_S)
        for x_m, y_m, radius_m in discs:
            at = pose.inverse().transform(x_m, y_m)
            least = min(least, signed_distance_m(*at, footprint) - radius_m)
        stands = command.is_stop and twist == Twist() and navigator.verdict.reason is None
        stood = stood + 1 if stands else 0
        if stood * CYCLE_S > GIVES_UP_S:
            break
    return pose, least, commands


@pytest.mark.parametrize("drive", Drive)
def test_it_goes_around_what_stands_in_the_way_and_stops_at_the_goal(drive: Drive) -> None:
    tolerance = 0.3 if drive is Drive.CAR else 0.05
    goal = Goal(4.0, 0.2, None, tolerance)
    pose, least, commands = drive_to(goal, [(2.0, 0.1, 0.25)], 20.0, drive)
    assert is_there(pose, replace(goal, tolerance_m=tolerance + 0.02))
    assert least > LIMITS.margin_m - 0.01
    assert max(command.forward_mps for command in commands) > 0.8
    if drive is not Drive.OMNIDIRECTIONAL:
        assert all(command.lateral_mps == 0.0 for command in commands)
    if drive is Drive.CAR:
        bends = [c.yaw_rate_radps / c.forward_mps for c in commands if abs(c.forward_mps) > 0.1]
        assert max(map(abs, bends)) < 1.0 + 0.2


@pytest.mark.parametrize("drive", [Drive.DIFFERENTIAL, Drive.OMNIDIRECTIONAL])
@pytest.mark.parametrize("goal", [Goal(2.0, 1.0, math.pi / 2), Goal(-2.0, 0.5, 0.0)])
def test_a_goal_with_a_heading_is_reached_with_it(drive: Drive, goal: Goal) -> None:
    pose, *_ = drive_to(goal, [], 25.0, drive)
    assert is_there(pose, replace(goal, tolerance_m=0.07, tolerance_rad=0.07))


def test_with_a_load_on_board_it_keeps_out_of_a_gate_that_has_become_too_narrow() -> None:
    sides = [*range(-30, 0), *range(1, 31)]
    gate = [(2.0, math.copysign(0.25 + 0.3 * abs(k), k), 0.16) for k in sides]  # 0.78 m wide
    goal = Goal(4.0, 0.0)
    pose, least, _ = drive_to(goal, gate, 15.0)
    assert is_there(pose, goal)
    assert least > 0.05
    pose, least, _ = drive_to(goal, gate, 10.0, footprint=rectangle(0.7, 0.9))
    assert pose.x_m < 2.0
    assert least > 0.03


def test_the_same_input_gives_the_same_commands() -> None:
    post = [(1.5, 0.05, 0.2)]
    runs = [drive_to(Goal(3.0, 0.0), post, 4.0)[2] for _ in range(2)]
    assert runs[0] == runs[1]


def test_a_mirrored_world_gives_the_mirrored_command() -> None:
    def first(side: float) -> Twist:
        discs = [(1.5, side * 0.12, 0.2), (2.5, side * -0.6, 0.1)]
        navigator = navigator_of()
        for cycle in range(3):
            now_ns = cycle * CYCLE_NS
            goal = Goal(4.0, side * 0.3)
            command = navigator.step(
                scan_of(discs, HERE, now_ns), HERE, Twist(), None, goal, now_ns
            )
        return twist_of_command(command)

    left, right = first(1.0), first(-1.0)
    assert left.forward_mps == pytest.approx(right.forward_mps, abs=1e-3)
    assert left.yaw_rate_radps == pytest.approx(-right.yaw_rate_radps, abs=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_means_stop(bad: float) -> None:
    cases = [
        (Pose2(bad, 0.0, 0.0), Twist(), Goal(1.0, 0.0)),
        (HERE, Twist(bad), Goal(1.0, 0.0)),
        (HERE, Twist(), Goal(1.0, bad)),
    ]
    for pose, velocity, goal in cases:
        navigator = navigator_of()
        scan = scan_of([], HERE, 0)
        assert navigator.step(scan, pose, velocity, NO_PATH, goal, 0).is_stop
        assert navigator.verdict.reason is StopReason.BAD_COMMAND


def test_without_a_young_scan_and_without_time_that_runs_on_it_stands() -> None:
    navigator, goal = navigator_of(), Goal(3.0, 0.0)

    def step(scan: Scan | None, now_ns: int) -> StopReason | None:
        command = navigator.step(scan, HERE, Twist(), NO_PATH, goal, now_ns)
        assert command.is_stop == (navigator.verdict.reason is not None)
        return navigator.verdict.reason

    assert step(None, 0) is StopReason.NO_SCAN
    assert step(scan_of([], HERE, CYCLE_NS), CYCLE_NS) is None
    assert step(None, 2 * CYCLE_NS) is None
    assert step(None, 10 * CYCLE_NS) is StopReason.NO_SCAN
    assert step(scan_of([], HERE, 11 * CYCLE_NS), 11 * CYCLE_NS) is None
    assert step(scan_of([], HERE, 11 * CYCLE_NS), 10 * CYCLE_NS) is StopReason.LATE_LOOP
    assert step(scan_of([], HERE, 99 * CYCLE_NS), 99 * CYCLE_NS) is StopReason.LATE_LOOP


def test_all_lidars_must_see() -> None:
    mounts = {name: LidarMount(Pose2(x_m, 0.0, 0.0)) for name, x_m in (("a", 0.2), ("b", -0.2))}
    navigator = Navigator(LIMITS, FOOTPRINT, mounts)
    goal, scan = Goal(3.0, 0.0), scan_of([], HERE, 0)
    assert navigator.step({"a": scan}, HERE, Twist(), NO_PATH, goal, 0).is_stop
    assert navigator.verdict.reason is StopReason.NO_SCAN
    both = {"a": scan, "b": scan}
    assert navigator.step(both, HERE, Twist(), NO_PATH, goal, CYCLE_NS).forward_mps > 0.0


@pytest.mark.parametrize(
    ("blind_spots", "reason"), [(BlindSpots.OCCUPIED, StopReason.UNSEEN), (BlindSpots.FREE, None)]
)
def test_by_a_view_ahead_alone_it_turns_only_if_somebody_answers_for_the_rest(
    blind_spots: BlindSpots, reason: StopReason | None
) -> None:
    params = NavigatorParams(blind_spots=blind_spots)
    navigator = Navigator(LIMITS, FOOTPRINT, {"nose": LidarMount(Pose2(0.3, 0.0, 0.0))}, params)
    ahead = np.abs(BEARINGS) < math.pi / 2
    count = np.count_nonzero(ahead)
    arrays = (BEARINGS[ahead], *(np.full(count, x, np.float32) for x in (3.0, 0.0)))
    for cycle in range(10):
        now_ns = cycle * CYCLE_NS
        scan = Scan(now_ns, now_ns, *arrays, np.zeros(count, np.uint8))
        navigator.see("nose", scan, HERE, Twist())
        verdict = navigator.govern(Twist(0.0, 0.0, 0.5), Twist(), CYCLE_S, now_ns)
    assert verdict.reason is reason
