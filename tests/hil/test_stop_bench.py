"""The bench of stops: what it makes happen, what it measures, and that it can find fault."""

import argparse
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from agent.avoidance.motion import MotionLimits
from agent.loop import BASE
from agent.main import warm_up
from drivers.driver import PortSpec
from drivers.errors import PortLost, PortUnavailable
from drivers.port import MemoryPort
from hil.cli import stops
from hil.errors import BenchError
from hil.hall import build_hall
from hil.stops.bench import StopBench, StopOutcome, lane_tour
from hil.stops.cause import BEYOND_THE_BENCH, CAUSES, chosen, predicted_m
from hil.stops.rig import Cable, StopRig
from hil.stops.summary import summarize

MS = 1_000_000
SPEC = PortSpec(baud=115_200)
STOP = StopOutcome(
    cause="lidar silent",
    run=0,
    speed_mps=1.2,
    zero_s=0.1,
    within_s=0.29,
    rest_s=1.3,
    way_m=0.85,
    rolled_m=0.73,
    predicted_m=0.79,
    found_s=None,
    clearance_m=None,
    contact=None,
    reasons=("no current scan of lidar.front",),
    named=True,
    afterwards="",
)


@pytest.fixture(scope="module")
def bench() -> StopBench:
    warm_up()
    return StopBench(1)


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    stops.configure(parser)
    return parser.parse_args(arguments)


def test_a_pulled_cable_is_lost_then_unavailable_and_works_again_once_it_is_in() -> None:
    device, host = MemoryPort.pair()
    cable = Cable(host)
    assert cable.open(SPEC) is cable
    device.write(b"a")
    assert cable.read() == b"a"
    cable.is_in = False
    with pytest.raises(PortLost):
        cable.read()
    with pytest.raises(PortLost):
        cable.write(b"!M 0 0\r")
    cable.close()
    with pytest.raises(PortUnavailable):
        cable.open(SPEC)
    device.write(b"what was waiting")
    cable.is_in = True
    assert cable.open(SPEC).read() == b""
    cable.write(b"!M 1 1\r")
    cable.write(b"?C\r")
    assert device.read() == b"!M 1 1\r?C\r"
    assert cable.last_order == b"!M 1 1\r"


@pytest.mark.parametrize("width_rad", [0.0, math.pi, math.tau])
def test_a_covered_lidar_sees_nothing_in_the_covered_sector_and_the_rest_elsewhere(
    tmp_path: Path, width_rad: float
) -> None:
    rig = StopRig(lane_tour(build_hall(1), 1), tmp_path)
    bearings = np.linspace(-math.pi, math.pi, 720, endpoint=False)
    stamps = np.zeros(bearings.size, np.int64)
    true_m = rig.plant.true_ranges(stamps, bearings)
    rig.plant.covered_rad = width_rad
    seen_m = rig.plant.lidar_ranges(stamps, bearings)
    is_covered = np.abs(bearings) < 0.5 * width_rad
    assert not np.isfinite(seen_m[is_covered]).any()
    back = ~is_covered & (true_m < 11.0)
    if back.any():
        assert np.isfinite(seen_m[back]).mean() > 0.95


def test_the_base_brakes_no_harder_than_the_governor_counts_on(tmp_path: Path) -> None:
    rig = StopRig(lane_tour(build_hall(1), 1), tmp_path)
    assert rig.plant.robot.drive.deceleration_mps2 == rig.limits.deceleration_mps2


def test_the_governor_counts_on_latency_and_braking_and_on_a_last_command_that_runs_out() -> None:
    limits = MotionLimits(deceleration_mps2=0.5, base_latency_s=0.1)
    assert predicted_m(1.0, limits) == pytest.approx(0.1 + 1.0)
    assert predicted_m(1.0, limits, is_deaf=True) == pytest.approx(0.1 + 0.1 + 1.0)
    assert predicted_m(0.0, limits) == 0.0


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        ({}, None),
        ({"zero_s": 0.3}, "zero too late"),
        ({"zero_s": None, "rest_s": None}, "did not stop"),
        ({"rest_s": None}, "did not stop"),
        ({"zero_s": None, "rest_s": None, "found_s": 0.2}, None),
        ({"contact": "dropped"}, "touched dropped"),
        ({"rolled_m": 0.799}, None),
        ({"rolled_m": 0.82}, "rolled 0.03 m too far"),
        ({"afterwards": "drove on by itself"}, "drove on by itself"),
        ({"named": False}, "not named"),
    ],
)
def test_each_failure_is_told_and_fails_the_row(change, failure) -> None:
    outcome = replace(STOP, **change)
    assert outcome.failures == ((failure,) if failure else ())
    assert summarize([STOP, outcome]).passed is (failure is None)


def test_a_row_has_the_median_and_the_worst() -> None:
    row = summarize([replace(STOP, zero_s=s, rest_s=1.0 + s) for s in (0.1, 0.3, 0.2)])
    assert row.zero_s == pytest.approx((0.2, 0.3))
    assert row.rest_s == pytest.approx((1.2, 1.3))
    assert (row.runs, row.stopped, row.named, row.contacts) == (3, 3, 3, 0)
    assert row.excess_m == pytest.approx(-0.06)


def test_causes_that_the_bench_does_not_make_are_told_and_refused() -> None:
    assert chosen(None) == tuple(CAUSES)
    assert chosen(["late loop"]) == ("late loop",)
    assert not CAUSES.keys() & BEYOND_THE_BENCH.keys()
    with pytest.raises(BenchError, match=r"cannot make bumper happen: .*Roboteq"):
        chosen(["bumper"])
    with pytest.raises(BenchError, match="no cause named rain; there are lidar silent,"):
        chosen(["rain"])


def test_the_verb_prints_one_object_and_the_same_seed_gives_the_same_stop(
    bench: StopBench, capsys
) -> None:
    outcome = bench.stop("cancelOrder", 0)
    assert outcome.failures == ()
    assert outcome.speed_mps > 1.15
    assert outcome.way_m >= outcome.rolled_m > 0.6
    assert stops.run(parsed("--runs", "1", "--cause", "cancelOrder", "--json")) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is True
    assert document["runs"] == [json.loads(json.dumps(asdict(outcome) | {"failures": []}))]
    assert "bumper" in document["beyond_the_bench"]


def test_the_verb_prints_a_table_of_a_stop_that_holds_until_it_is_acknowledged(capsys) -> None:
    assert stops.run(parsed("--runs", "1", "--cause", "not acknowledged")) == 0
    printed = capsys.readouterr().out
    assert "\nnot acknowledged       1       1  " in printed
    assert "not made: bumper; the base of this robot is a Roboteq" in printed
    assert printed.endswith("passed\n")


def test_what_falls_in_the_way_is_not_touched(bench: StopBench) -> None:
    outcome = bench.stop("obstacle near", 0)
    assert outcome.failures == ()
    assert outcome.clearance_m is not None
    assert 0.0 < outcome.clearance_m < 1.5


@pytest.mark.slow
def test_a_robot_that_is_not_told_that_it_may_drive_does_not(
    bench: StopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StopRig, "acknowledge", lambda rig: None)
    failure = "did not drive on once it was acknowledged"
    assert bench.stop("not acknowledged", 0).failures == (failure,)


@pytest.mark.slow
def test_a_robot_that_cannot_stop_in_time_touches_what_falls_in_the_way(
    bench: StopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hil.stops.cause.predicted_m", lambda forward_mps, limits: -0.3)
    outcome = bench.stop("obstacle near", 0)
    assert any(failure.startswith("touched dropped") for failure in outcome.failures)


@pytest.mark.slow
@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_stops_the_robot_before_it_touches_anything(
    bench: StopBench, cause: str
) -> None:
    outcome = bench.stop(cause, 0)
    assert outcome.stopped
    assert outcome.in_time
    assert outcome.contact is None


@pytest.mark.parametrize("arguments", [("--runs", "0"), ("--seed", "x")])
def test_nonsense_is_refused(arguments, capsys) -> None:
    with pytest.raises(SystemExit):
        parsed(*arguments)
    capsys.readouterr()


def test_a_base_without_encoders_refuses_questions_for_counts_alone(tmp_path: Path) -> None:
    rig = StopRig(lane_tour(build_hall(1), 1), tmp_path)
    base = rig.bench.devices[BASE]
    base.receive(b"^ECHOF 1\r", 0)
    base.transmit(10 * MS)
    base.set_fault("encoder", True, 10 * MS)
    base.receive(b"?C\r?FF\r", 10 * MS)
    assert base.transmit(20 * MS) == b"-\rFF=0\r"
    base.set_fault("encoder", False, 20 * MS)
    base.receive(b"?C\r", 20 * MS)
    assert base.transmit(30 * MS) == b"C=0:0\r"
