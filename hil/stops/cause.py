"""What must stop the robot: how each is made to happen, and what the robot has to say of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np

from agent.avoidance.governor import LEAST_HOLD_S, StopReason
from agent.avoidance.motion import MotionLimits
from agent.loop import BASE
from agent.streams import ODOMETRY, SCAN, TICK
from agent.vda5050.messages import ActionStatus, EStop, State
from hil.errors import BenchError
from hil.plant.world import Box, Disc, Pose, standing
from hil.stops.rig import StopRig

LIDAR: Final = "lidar.front"
OBSTACLE: Final = "dropped"
TICK_S: Final = 1.0 / TICK.rate_hz
FLAGS_POLL_S: Final = 0.1  # a Roboteq is asked for its flags so often
FOLLOWS_S: Final = 2.0 * TICK_S  # what has reached the host is acted upon by the tick after next
STANDS_NS: Final = 3_000_000_000  # for which the robot must not drive on by itself
DRIVES_ON_NS: Final = 3_000_000_000  # within which it must drive on once it may

Injection: TypeAlias = Callable[[StopRig, np.random.Generator], None]
StateCheck: TypeAlias = Callable[[State], bool]
Aftermath: TypeAlias = Callable[[StopRig], str]

BEYOND_THE_BENCH: Mapping[str, str] = MappingProxyType(
    {"bumper": "the base of this robot is a Roboteq, whose protocol tells of none"}
)
"""What must stop the robot as well, and why the bench cannot make it happen."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that must stop the robot.

    Attributes:
        inject: Makes it happen.
        reasons: What the robot's status may call it, empty where it has nothing to complain of.
        is_shown: Whether a state tells the platform of it.
        within_s: Time within which the command must be zero, None where it is up to the robot how
            long it may go on.
        drives_after: What the state says once the robot stands: it drives on by itself, or nothing
            is known any more of wheels that were turning.
        is_brief: It is over before the robot's states are.
        is_deaf: No zero command reaches the base.
        is_carried: The robot is somewhere else then: it may have to stop for something that stands
            there first, and need not stop once it knows its place again.
        afterwards: Goes on from there and returns what is amiss, empty where nothing is; None where
            all is over.
    """

    inject: Injection
    reasons: tuple[str, ...]
    is_shown: StateCheck
    within_s: float | None
    drives_after: bool = False
    is_brief: bool = False
    is_deaf: bool = False
    is_carried: bool = False
    afterwards: Aftermath | None = None


def predicted_m(forward_mps: float, limits: MotionLimits, *, is_deaf: bool = False) -> float:
    """Return how far the governor expects the robot to roll from a zero command on.

    Args:
        forward_mps: Speed.
        limits: What the governor counts on.
        is_deaf: No zero command reaches the base: it rolls from its last one on.
    """
    hold_s = LEAST_HOLD_S if is_deaf else 0.0
    braking_m = forward_mps * forward_mps / (2.0 * limits.deceleration_mps2)
    return forward_mps * (hold_s + limits.base_latency_s) + braking_m


def _fault(device: str, kind: str) -> Injection:
    def inject(rig: StopRig, rng: np.random.Generator) -> None:
        rig.bench.devices[device].set_fault(kind, True, rig.clock.now_ns())

    return inject


def _pull(device: str) -> Injection:
    def inject(rig: StopRig, rng: np.random.Generator) -> None:
        rig.cables[device].is_in = False

    return inject


def _cover(least_rad: float, most_rad: float) -> Injection:
    def inject(rig: StopRig, rng: np.random.Generator) -> None:
        rig.plant.covered_rad = float(rng.uniform(least_rad, most_rad))

    return inject


def _hold_up(rig: StopRig, rng: np.random.Generator) -> None:
    rig.held_up = True


def _carry_off(rig: StopRig, rng: np.random.Generator) -> None:
    """Carry the robot along the lane, that is, the hall the other way, while the wheels turn."""
    rig.plant.world.origin_x_m += float(rng.choice((-1.0, 1.0)) * rng.uniform(2.0, 6.0))


def _carry_elsewhere(rig: StopRig, rng: np.random.Generator) -> None:
    """Carry the robot to a hall that its map does not show: the mirror image of its own."""
    world, lane_y_m = rig.plant.world, rig.plant.truth.pose.y_m
    top_m = world.origin_y_m + world.resolution_m * world.cells.shape[0]
    world.cells = np.ascontiguousarray(world.cells[::-1])
    world.origin_y_m = 2.0 * lane_y_m - top_m


def _drop(least_m: float, most_m: float) -> Injection:
    """Return what drops a disc or a box ahead, so far beyond where the robot could still stop."""

    def inject(rig: StopRig, rng: np.random.Generator) -> None:
        truth, robot = rig.plant.truth, rig.plant.robot
        # A scan may just have passed the place, and the next good one may be as old as it gets.
        unseen_m = truth.forward_mps * (SCAN.stale_after_s + LEAST_HOLD_S)
        gap_m = predicted_m(truth.forward_mps, rig.limits) + unseen_m + rig.limits.margin_m
        shape, reach_m = _drawn_shape(rng)
        ahead_m = 0.5 * robot.length_m + gap_m + rng.uniform(least_m, most_m) + reach_m
        aside_m = rng.uniform(-0.5, 0.5) * robot.width_m
        cos, sin = math.cos(truth.pose.yaw_rad), math.sin(truth.pose.yaw_rad)
        pose = Pose(
            truth.pose.x_m + cos * ahead_m - sin * aside_m,
            truth.pose.y_m + sin * ahead_m + cos * aside_m,
            float(rng.uniform(-math.pi, math.pi)),
        )
        rig.plant.world.add(standing(OBSTACLE, shape, pose, rig.clock.now_ns()))

    return inject


def _drawn_shape(rng: np.random.Generator) -> tuple[Disc | Box, float]:
    """Return a disc or a box, and how far it reaches from its middle at most."""
    if rng.random() < 0.5:
        disc = Disc(float(rng.uniform(0.1, 0.4)))
        return disc, disc.radius_m
    box = Box(*rng.uniform(0.2, 1.0, 2).tolist())
    return box, 0.5 * math.hypot(box.length_m, box.width_m)


def _cancel(rig: StopRig, rng: np.random.Generator) -> None:
    rig.instruct("cancelOrder")


def _release(*, by_hand: bool) -> Aftermath:
    """Return what lets go of the button and sees that the robot waits until it may drive on.

    Args:
        by_hand: Somebody ends the controller's own latch, so that the robot's is looked at alone.
    """

    def watch(rig: StopRig) -> str:
        base, now_ns = rig.bench.devices[BASE], rig.clock.now_ns()
        base.set_fault("estop", False, now_ns)
        if by_hand:
            base.receive(b"!MG\r", now_ns)
        before_m = rig.plant.truth.distance_m
        rig.advance(STANDS_NS)
        if rig.plant.truth.distance_m != before_m:
            return "drove on by itself"
        reason = StopReason.NOT_ACKNOWLEDGED if by_hand else StopReason.E_STOP
        if rig.stop_reason != reason or not _tells(rig, EStop.MANUAL):
            return "did not say that it is to be acknowledged"
        rig.acknowledge()
        rig.advance(DRIVES_ON_NS)
        if rig.plant.truth.distance_m == before_m:
            return "did not drive on once it was acknowledged"
        return "" if _tells(rig, EStop.NONE) else "did not say that it was acknowledged"

    return watch


def _tells(rig: StopRig, e_stop: EStop) -> bool:
    state = rig.master.state
    return state is not None and state.safety_state.e_stop is e_stop


def _errs(device: str, *error_types: str) -> StateCheck:
    """Return a check of a state for an error of one of some types that names a device."""

    def is_shown(state: State) -> bool:
        return any(
            error.error_type in error_types
            and any(
                (reference.reference_key, reference.reference_value) == ("device", device)
                for reference in error.error_references or ()
            )
            for error in state.errors
        )

    return is_shown


def _is_lost(state: State) -> bool:
    return any(error.error_type == "localizationLost" for error in state.errors)


def _is_pressed(state: State) -> bool:
    return state.safety_state.e_stop is EStop.MANUAL


def _is_in_field(state: State) -> bool:
    return state.safety_state.field_violation


def _is_cancelled(state: State) -> bool:
    return not state.node_states and any(
        action.action_type == "cancelOrder" and action.action_status is ActionStatus.FINISHED
        for action in (*state.action_states, *state.instant_action_states)
    )


def _stands(state: State) -> bool:
    return not state.driving


_NO_SCAN: Final = (f"{StopReason.NO_SCAN} of {LIDAR}",)
_SCAN_S: Final = SCAN.stale_after_s + FOLLOWS_S
_ODOMETRY_S: Final = ODOMETRY.stale_after_s + FOLLOWS_S
_STATUS_S: Final = FLAGS_POLL_S + FOLLOWS_S
_UNPLUGGED: Final = ("deviceLost", "deviceUnavailable")  # the latter from the first retry on

CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        "lidar silent": Cause(
            _fault(LIDAR, "mute"), _NO_SCAN, _errs(LIDAR, "deviceSilent"), _SCAN_S
        ),
        "lidar blocked": Cause(
            _fault(LIDAR, "motor"), _NO_SCAN, _errs(LIDAR, "deviceSilent"), _SCAN_S
        ),
        "lidar noisy": Cause(
            _fault(LIDAR, "garbage"), _NO_SCAN, _errs(LIDAR, "deviceSilent", "deviceFault"), _SCAN_S
        ),
        "lidar covered": Cause(
            _cover(math.tau, math.tau),
            (*_NO_SCAN, StopReason.NOT_LOCALIZED),
            _errs(LIDAR, "deviceSilent"),
            _SCAN_S,
        ),
        "lidar half covered": Cause(
            _cover(0.33 * math.tau, 0.7 * math.tau),
            (StopReason.COVERED, StopReason.NOT_LOCALIZED),
            _errs(LIDAR, "deviceFault"),
            _SCAN_S,
        ),
        "lidar unplugged": Cause(_pull(LIDAR), _NO_SCAN, _errs(LIDAR, *_UNPLUGGED), FOLLOWS_S),
        "base silent": Cause(
            _fault(BASE, "mute"),
            (StopReason.NO_ODOMETRY,),
            _errs(BASE, "deviceSilent"),
            _ODOMETRY_S,
            drives_after=True,
        ),
        "base unplugged": Cause(
            _pull(BASE),
            (StopReason.NO_ODOMETRY,),
            _errs(BASE, *_UNPLUGGED),
            FOLLOWS_S,
            drives_after=True,
            is_deaf=True,
        ),
        "odometry stale": Cause(
            _fault(BASE, "encoder"),
            (StopReason.NO_ODOMETRY,),
            _errs(BASE, "deviceSilent"),
            _ODOMETRY_S,
            drives_after=True,
        ),
        # The standard has no word for it; status and journal of the robot do.
        "late loop": Cause(
            _hold_up,
            (StopReason.LATE_LOOP,),
            _stands,
            LEAST_HOLD_S + FOLLOWS_S,
            drives_after=True,
            is_brief=True,
        ),
        "emergency stop": Cause(
            _fault(BASE, "estop"), (StopReason.E_STOP,), _is_pressed, _STATUS_S
        ),
        "not acknowledged": Cause(
            _fault(BASE, "estop"),
            (StopReason.E_STOP,),
            _is_pressed,
            _STATUS_S,
            afterwards=_release(by_hand=True),
        ),
        "button released": Cause(
            _fault(BASE, "estop"),
            (StopReason.E_STOP,),
            _is_pressed,
            _STATUS_S,
            afterwards=_release(by_hand=False),
        ),
        "base fault": Cause(
            _fault(BASE, "overheat"),
            (StopReason.BASE_FAULT,),
            _errs(BASE, "deviceFault"),
            _STATUS_S,
        ),
        "carried off": Cause(
            _carry_off, (StopReason.NOT_LOCALIZED,), _is_lost, None, is_carried=True
        ),
        "carried elsewhere": Cause(
            _carry_elsewhere, (StopReason.NOT_LOCALIZED,), _is_lost, None, is_carried=True
        ),
        "obstacle far": Cause(_drop(0.5, 2.0), (StopReason.OBSTACLE,), _is_in_field, None),
        "obstacle near": Cause(_drop(0.0, 0.3), (StopReason.OBSTACLE,), _is_in_field, None),
        "cancelOrder": Cause(_cancel, (), _is_cancelled, FOLLOWS_S),
    }
)


def chosen(names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the causes that are asked for, all of them where none is.

    Raises:
        BenchError: There is no such cause.
    """
    for name in names or ():
        if name in BEYOND_THE_BENCH:
            raise BenchError(f"the bench cannot make {name} happen: {BEYOND_THE_BENCH[name]}")
        if name not in CAUSES:
            raise BenchError(f"there is no cause named {name}; there are {', '.join(CAUSES)}")
    return tuple(dict.fromkeys(names or CAUSES))
