import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.docking.carrier import Carrier, Leg, Plate
from agent.docking.manoeuvre import Docking, DockingParams, DriveLimits, Failure, Phase
from agent.errors import ConfigError
from agent.geometry.polygon import rectangle
from agent.geometry.pose import Pose2
from agent.kernels.clearance import signed_distance_m
from tests.examples import examples

TICK_NS = 20_000_000
LEGS = ((-0.57, -0.37), (-0.57, 0.37), (0.57, -0.37), (0.57, 0.37))
TROLLEY = Carrier(legs=tuple(Leg(x_m=x, y_m=y, width_m=0.06) for x, y in LEGS))
FOOTPRINT = rectangle(0.7, 0.5)
LIMITS = DriveLimits()

starts = st.tuples(st.floats(-3.0, -1.5), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)).map(
    lambda numbers: Pose2(*numbers)
)


class KnownCarrier:
    """A track that knows where the carrier is, but for an error that can be set."""

    def __init__(self, odom_from_carrier: Pose2) -> None:
        self.odom_from_carrier = odom_from_carrier
        self.seen_ns: int | None = 0
        self.confirmed = True

    def base_from_carrier(self, odom_from_base: Pose2) -> Pose2 | None:
        return odom_from_base.inverse() @ self.odom_from_carrier if self.confirmed else None


class Bench:
    """A base that does at once what it was told three ticks ago."""

    def __init__(
        self, start: Pose2, params: DockingParams | None = None, carrier: Carrier = TROLLEY
    ) -> None:
        self.outline_m = carrier.outline_m.tolist()
        self.track = KnownCarrier(Pose2.identity())
        self.docking = Docking(params or DockingParams(), LIMITS, FOOTPRINT, carrier.outline_m)
        self.pose, self.now_ns = start, 0
        self.pending = [(0.0, 0.0)] * 3
        self.phases: list[Phase] = []
        self.least_m = math.inf
        self.seen = True

    def tick(self):
        self.now_ns += TICK_NS
        if self.seen and self.now_ns % 100_000_000 == 0:
            self.track.seen_ns = self.now_ns
        step = self.docking.step(self.track, self.pose, self.now_ns)
        self.pending.append((step.twist.forward_mps, step.twist.yaw_rate_radps))
        forward, turn = self.pending.pop(0)
        self.pose = self.pose @ Pose2(forward * 0.02, 0.0, turn * 0.02)
        self.phases.append(step.phase)
        marks_m = [self.pose.inverse().transform(*mark) for mark in self.outline_m]
        gap_m = min(signed_distance_m(x_m, y_m, FOOTPRINT) for x_m, y_m in marks_m)
        self.least_m = min(self.least_m, gap_m)
        return step

    def run(self, until=(Phase.DONE, Phase.FAILED)):
        step = self.tick()
        while step.phase not in until:
            step = self.tick()
        return step


@settings(max_examples=examples(12), deadline=None)
@given(starts)
def test_from_anywhere_in_front_it_ends_at_the_end_pose_and_touches_nothing(start) -> None:
    bench = Bench(start)
    step = bench.run()
    assert step.phase is Phase.DONE
    assert bench.pose.is_near(Pose2.identity(), 0.01, math.radians(0.3))
    assert bench.least_m > 0.02
    order = [phase for i, phase in enumerate(bench.phases) if phase not in bench.phases[:i]]
    expected = [Phase.SEARCHING, Phase.ALIGNING, Phase.APPROACHING, Phase.FINAL, Phase.DONE]
    assert [phase for phase in expected if phase in order] == order


@settings(max_examples=examples(10), deadline=None)
@given(starts)
def test_a_mirrored_start_mirrors_the_way(start) -> None:
    one, other = Bench(start), Bench(Pose2(start.x_m, -start.y_m, -start.yaw_rad))
    for _ in range(200):
        a, b = one.tick().twist, other.tick().twist
        assert a.forward_mps == pytest.approx(b.forward_mps, abs=1e-6)
        assert a.yaw_rate_radps == pytest.approx(-b.yaw_rate_radps, abs=1e-6)


@settings(max_examples=examples(6), deadline=None)
@given(starts)
def test_commands_stay_within_what_was_allowed(start) -> None:
    params = DockingParams()
    bench = Bench(start)
    for _ in range(700):
        twist = bench.tick().twist
        assert abs(twist.forward_mps) <= params.speed_mps + 1e-9
        assert abs(twist.yaw_rate_radps) <= params.turn_radps + 1e-9
        assert twist.lateral_mps == 0.0


def test_a_lateral_error_that_comes_late_is_corrected_by_another_attempt() -> None:
    bench = Bench(Pose2(-2.0, 0.0, 0.0))
    while bench.pose.x_m < -0.05:
        bench.tick()
    bench.track.odom_from_carrier = Pose2(0.0, 0.02, 0.0)
    step = bench.run()
    assert step.phase is Phase.DONE
    assert step.attempt == 2
    assert abs(bench.pose.y_m - 0.02) < 0.01


def test_attempts_are_bounded_and_the_reason_is_told() -> None:
    bench = Bench(Pose2(-2.0, 0.0, 0.0), DockingParams(attempts=2, duration_s=300.0))
    side = 1.0
    step = bench.tick()
    while step.phase is not Phase.FAILED:
        # The carrier moves each time that the robot is nearly there.
        if abs(bench.pose.x_m) < 0.05 and step.twist.forward_mps > 0.0:
            bench.track.odom_from_carrier = Pose2(0.0, 0.03 * side, 0.0)
            side = -side
        step = bench.tick()
    assert step.failure is Failure.OFF_AXIS
    assert "attempts" in step.reason
    assert step.attempt == 2
    assert bench.tick().twist.forward_mps == 0.0


def test_without_a_carrier_it_stands_and_then_says_so() -> None:
    bench = Bench(Pose2(-2.0, 0.3, 0.0))
    bench.track.confirmed, bench.seen, bench.track.seen_ns = False, False, None
    step = bench.run()
    assert step.failure is Failure.NOT_FOUND
    assert step.end_from_base is None
    assert bench.pose == Pose2(-2.0, 0.3, 0.0)


def test_a_carrier_no_longer_seen_stops_it_before_it_has_gone_far() -> None:
    params = DockingParams()
    bench = Bench(Pose2(-2.0, 0.0, 0.0))
    bench.run(until=(Phase.APPROACHING,))
    for _ in range(50):
        bench.tick()
    bench.seen = False
    at = bench.pose
    step = bench.run()
    assert step.failure is Failure.LOST
    assert 0.1 < bench.pose.distance_m(at) < params.blind_m + 0.1


def test_the_last_bit_goes_without_sight() -> None:
    bench = Bench(Pose2(-2.0, 0.0, 0.0))
    while bench.pose.x_m < -0.2:
        bench.tick()
    bench.seen = False
    assert bench.run().phase is Phase.DONE


def test_who_stands_among_the_legs_off_the_axis_backs_off_first() -> None:
    bench = Bench(Pose2(-0.3, 0.04, 0.03))
    step = bench.tick()
    assert step.phase is Phase.APPROACHING
    assert step.twist.forward_mps <= 0.0
    assert bench.run().phase is Phase.DONE
    assert bench.least_m > 0.0


def test_a_docking_takes_no_longer_than_allowed() -> None:
    bench = Bench(Pose2(-2.0, 0.0, 0.0), DockingParams(duration_s=2.0))
    step = bench.run()
    assert step.failure is Failure.TOO_LONG
    assert bench.now_ns == pytest.approx(2e9, abs=2 * TICK_NS)


def test_an_end_pose_elsewhere_than_the_middle() -> None:
    params = DockingParams(carrier_from_end=Pose2(-0.2, 0.03, 0.0))
    bench = Bench(Pose2(-2.2, 0.2, 0.1), params)
    assert bench.run().phase is Phase.DONE
    assert bench.pose.is_near(Pose2(-0.2, 0.03, 0.0), 0.01, math.radians(0.3))


def test_up_to_the_front_of_a_station() -> None:
    station = Carrier(plates=(Plate(x_m=0.0, y_m=0.0, length_m=0.8),))
    params = DockingParams(carrier_from_end=Pose2(-0.45, 0.0, 0.0))
    bench = Bench(Pose2(-2.4, 0.3, -0.2), params, station)
    assert bench.run().phase is Phase.DONE
    assert bench.pose.is_near(Pose2(-0.45, 0.0, 0.0), 0.01, math.radians(0.3))
    assert bench.least_m > 0.09


def test_a_footprint_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="no way for the footprint"):
        Docking(DockingParams(), LIMITS, rectangle(0.7, 0.66), TROLLEY.outline_m)
    with pytest.raises(ConfigError, match="no way for the footprint"):
        Docking(DockingParams(align_m=0.1), LIMITS, FOOTPRINT, TROLLEY.outline_m)


def test_the_same_inputs_give_the_same_way() -> None:
    ways = []
    for _ in range(2):
        bench = Bench(Pose2(-1.7, 0.4, -0.3))
        bench.run()
        ways.append(bench.pose)
    assert ways[0] == ways[1]
    assert np.isfinite((ways[0].x_m, ways[0].y_m)).all()
