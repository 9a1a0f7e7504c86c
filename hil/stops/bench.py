"""Drives the robot up to speed, makes something happen, and measures the stop.

Measured is how long it takes from there to a command of zero and to standstill, and how far the
robot rolls from the zero command on, against what the governor counts on: the latency of the base
at full speed, and the guaranteed deceleration. A base that no zero reaches any more rolls from its
last command on, which the governor expects to end by itself.
"""

import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from agent.kernels.clearance import signed_distance_m
from agent.vda5050.messages import State
from hil.errors import BenchError
from hil.hall import Hall, build_hall
from hil.master_control import Station
from hil.plant.plant import Plant, Truth
from hil.plant.world import FloatArray, Pose, place, rectangle
from hil.scenario import NODE_DEVIATION_M, START, Scenario
from hil.stops.cause import CAUSES, OBSTACLE, Cause, predicted_m
from hil.stops.rig import StopRig

FROM, TO = "kitting", "main/east"  # 47 m of the hall's main lane
FAST_MPS: Final = 1.15
STRAIGHT_RADPS: Final = 0.05
DRIVE_LIMIT_NS: Final = 20_000_000_000
STOP_LIMIT_NS: Final = 10_000_000_000
REPORT_NS: Final = 1_200_000_000  # in which a state tells of a stop, twice its least interval
TOLERANCE_M: Final = 0.01  # slip of the tyres
FOUND_M: Final = NODE_DEVIATION_M  # a pose as right as an order asks for


@dataclass(frozen=True, slots=True)
class StopOutcome:
    """How one stop went.

    Attributes:
        cause: What happened.
        run: Its number.
        speed_mps: True speed in that moment.
        zero_s: From there to the command of zero that led to rest, None where there was none.
        within_s: How long that may take, None where it is up to the robot.
        rest_s: From there to standstill, None where the robot drove on.
        found_s: From there to where a robot that was carried off knew its place again, still
            driving, None where it did not.
        way_m: Driven from there to standstill, or until the robot knew its place again.
        rolled_m: Driven from the zero command to standstill; all of the way, where it is not heard.
        predicted_m: The same as the governor counts on.
        clearance_m: Between robot and obstacle at standstill, where there was one.
        contact: What the robot touched.
        reasons: What its status called it, oldest first.
        named: The status called it by its name, and a state told the platform.
        afterwards: What was amiss after the stop, empty where nothing was.
    """

    cause: str
    run: int
    speed_mps: float
    zero_s: float | None
    within_s: float | None
    rest_s: float | None
    found_s: float | None
    way_m: float
    rolled_m: float
    predicted_m: float
    clearance_m: float | None
    contact: str | None
    reasons: tuple[str, ...]
    named: bool
    afterwards: str

    @property
    def excess_m(self) -> float:
        """By how much the robot rolled farther than predicted; not at all, where it drove on."""
        return 0.0 if self.rest_s is None else self.rolled_m - self.predicted_m

    @property
    def stopped(self) -> bool:
        """Whether a zero command led to rest, or there was no reason for it any more."""
        is_at_rest = self.zero_s is not None and self.rest_s is not None
        return is_at_rest or self.found_s is not None

    @property
    def in_time(self) -> bool:
        """Whether the command, if it became zero, was so as soon as it must be."""
        if self.zero_s is None or self.within_s is None:
            return True
        return self.zero_s <= self.within_s

    @property
    def failures(self) -> tuple[str, ...]:
        """What was not as it must be, in words."""
        checks = (
            ("did not stop", self.stopped),
            ("zero too late", self.in_time),
            (f"touched {self.contact}", self.contact is None),
            (f"rolled {self.excess_m:.2f} m too far", self.excess_m <= TOLERANCE_M),
            (self.afterwards, not self.afterwards),
            ("not named", self.named),
        )
        return tuple(text for text, is_right in checks if not is_right)


class StopBench:
    """Makes stops.

    Args:
        seed: Of everything.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._hall = build_hall(seed)

    def stop(self, cause: str, number: int) -> StopOutcome:
        """Drive a new robot up to speed, make it stop, and measure.

        Raises:
            BenchError: It did not come up to speed.
        """
        rng = np.random.default_rng([self._seed, zlib.crc32(cause.encode()), number])
        with tempfile.TemporaryDirectory() as directory:
            scenario = lane_tour(self._hall, int(rng.integers(2**31)))
            rig = StopRig(scenario, Path(directory))
            _drive_up(rig, round(rng.uniform(0.2e9, 3e9)))
            return _stop(rig, cause, number, rng)


def lane_tour(hall: Hall, seed: int) -> Scenario:
    """Return an order along the hall's longest straight lane, for a robot that stands on it."""
    stations = tuple(
        Station(
            hall.graph.nodes[name].x_m,
            hall.graph.nodes[name].y_m,
            node_id=name,
            deviation_m=NODE_DEVIATION_M,
        )
        for name in hall.graph.route(FROM, TO)
    )
    on_lane = replace(hall, stations=hall.stations | {START: hall.stations[FROM]})
    return Scenario(on_lane, seed, stations, ())


def _drive_up(rig: StopRig, for_ns: int) -> None:
    """Drive until the robot has been fast for a while, and drives straight."""
    since_ns: int | None = None
    while True:
        rig.step()
        truth, now_ns = rig.plant.truth, rig.clock.now_ns()
        if truth.forward_mps <= FAST_MPS:
            since_ns = None
        elif since_ns is None:
            since_ns = now_ns
        elif now_ns - since_ns >= for_ns and abs(truth.yaw_rate_radps) < STRAIGHT_RADPS:
            return
        if now_ns > DRIVE_LIMIT_NS:
            raise BenchError("the robot did not come up to speed before it was to stop")


@dataclass(slots=True)
class _Watch:
    """What is seen of a stop, step by step."""

    cause: Cause
    start: Truth
    zero: Truth | None = None
    rest: Truth | None = None
    found: Truth | None = None
    states: list[State] = field(default_factory=list)

    def look(self, rig: StopRig) -> bool:
        """Take the present step; True in the moment in which the stop is over."""
        state = rig.master.state
        if state is not None and (not self.states or state is not self.states[-1]):
            self.states.append(state)
        if self.rest is not None or self.found is not None:
            return False
        truth = rig.plant.truth
        self.zero = (self.zero or truth) if rig.is_zero else None
        if rig.is_at_rest:
            self.rest = truth
        elif self.cause.is_carried and self.zero is None and rig.pose_error_m <= FOUND_M:
            self.found = truth
        return self.rest is not None or self.found is not None


def _stop(rig: StopRig, name: str, number: int, rng: np.random.Generator) -> StopOutcome:
    """Make it happen, and watch until a state has told of the standstill."""
    cause = CAUSES[name]
    watch = _Watch(cause, rig.plant.truth)
    before = rig.master.state
    rig.reasons.clear()
    cause.inject(rig, rng)
    end_ns = rig.clock.now_ns() + STOP_LIMIT_NS
    while rig.clock.now_ns() < end_ns:
        rig.step()
        if watch.look(rig):
            end_ns = rig.clock.now_ns() + REPORT_NS
        elif watch.rest is not None and rig.held_up:
            rig.held_up = end_ns - rig.clock.now_ns() > REPORT_NS // 2
    watch.states = [state for state in watch.states if state is not before]
    return _outcome(rig, watch, name, number)


def _outcome(rig: StopRig, watch: _Watch, name: str, number: int) -> StopOutcome:
    cause, start = watch.cause, watch.start
    end, contact = watch.rest or watch.found or rig.plant.truth, rig.plant.truth.contact
    reasons, named = tuple(rig.reasons), _is_named(watch, rig.reasons)
    since = start if cause.is_deaf else watch.zero or end
    return StopOutcome(
        cause=name,
        run=number,
        speed_mps=start.forward_mps,
        zero_s=_seconds(start, watch.zero),
        within_s=cause.within_s,
        rest_s=_seconds(start, watch.rest),
        found_s=_seconds(start, watch.found),
        way_m=end.distance_m - start.distance_m,
        rolled_m=end.distance_m - since.distance_m,
        predicted_m=predicted_m(since.forward_mps, rig.limits, is_deaf=cause.is_deaf),
        clearance_m=_clearance_m(rig.plant, end),
        contact=contact.with_what if contact else None,
        reasons=reasons,
        named=named,
        afterwards=cause.afterwards(rig) if cause.afterwards else "",
    )


def _seconds(start: Truth, end: Truth | None) -> float | None:
    return None if end is None else (end.stamp_ns - start.stamp_ns) / 1e9


def _is_named(watch: _Watch, reasons: Sequence[str]) -> bool:
    """Whether it called the cause by its name first, and the states tell as long as it lasts.

    Who finds out that it was carried off by knowing its place again has nothing left to name.
    """
    cause, states = watch.cause, watch.states
    if watch.found is not None:
        return True
    told = reasons if cause.is_carried else reasons[:1]
    is_called = not set(told).isdisjoint(cause.reasons) if cause.reasons else not told
    if not is_called or not states:
        return False
    shown = any(map(cause.is_shown, states)) if cause.is_brief else cause.is_shown(states[-1])
    return shown and states[-1].driving == cause.drives_after


def _clearance_m(plant: Plant, truth: Truth) -> float | None:
    """Return the distance between robot and dropped obstacle, None where none was dropped."""
    if OBSTACLE not in plant.world.obstacle_names:
        return None
    table = plant.world.obstacles_at(truth.stamp_ns)
    robot = plant.robot
    outline = place(rectangle(robot.length_m / 2, robot.width_m / 2), truth.pose)
    if OBSTACLE in table.disc_names:
        x_m, y_m, _, _, radius_m = table.discs[table.disc_names.index(OBSTACLE)].tolist()
        return float(signed_distance_m(x_m, y_m, outline)) - float(radius_m)
    x_m, y_m, _, _, yaw_rad, *halves_m = table.boxes[table.box_names.index(OBSTACLE)].tolist()
    corners = place(rectangle(*halves_m), Pose(x_m, y_m, yaw_rad))
    # Between convex outlines that do not overlap, a corner of one is the nearest to the other.
    return min(_nearest_m(corners, outline), _nearest_m(outline, corners))


def _nearest_m(corners_m: FloatArray, outline: FloatArray) -> float:
    return min(float(signed_distance_m(x_m, y_m, outline)) for x_m, y_m in corners_m.tolist())
