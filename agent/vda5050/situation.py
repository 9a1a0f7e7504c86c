"""What the control loop knows at the end of a tick, as the platform's messages need it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.localization.estimate import PoseEstimate
from agent.positioning import PoseAnswer
from agent.vda5050.messages import Load, Map, OperatingMode, ZoneRequest, ZoneSetState
from drivers.errors import HaulierError


def no_way() -> NDArray[np.float64]:
    """Return the way of a robot that has none."""
    return np.empty((0, 2))


@dataclass(frozen=True, slots=True)
class Situation:
    """One tick's view of the robot.

    Attributes:
        now_ns: Monotonic time of the tick.
        utc_ns: Wall-clock time of the tick, for message time stamps.
        estimate: Newest pose, None before the first.
        map_id: Map that the pose refers to (VDA 5050 ``mapId``).
        forward_mps: Measured speed along the robot's x axis.
        yaw_rate_radps: Measured turn rate.
        battery_v: Battery voltage, NaN while unknown.
        battery_charge: State of charge in [0, 1], NaN while unknown.
        e_stop: Emergency stop or bumper have stopped the robot, and nobody has acknowledged it.
        field_violation: An obstacle stands in the protective field.
        driving: The robot moves or is commanded to.
        faults: Errors that are active now.
        paused: Driving is suspended.
        pose_answers: What has become, in this tick, of poses that the robot was told.
        acting: Actions of the order at hand are not over yet.
        loads: What is on the robot.
        charging: The battery is being charged.
        operating_mode: Who is in control of the robot.
        maps: All that the robot has, in use or not.
        zone_sets: The same; None where the robot takes none.
        zone_requests: What the robot asks of the master about zones.
        way_m: Returns the way that is being driven, from here on, shape ``(n, 2)``, in the map
            frame; it takes a while on a long one.
    """

    now_ns: int
    utc_ns: int
    estimate: PoseEstimate | None
    map_id: str
    forward_mps: float
    yaw_rate_radps: float
    battery_v: float
    battery_charge: float
    e_stop: bool
    field_violation: bool
    driving: bool
    faults: tuple[HaulierError, ...] = ()
    paused: bool = False
    pose_answers: tuple[PoseAnswer, ...] = ()
    operating_mode: OperatingMode = OperatingMode.AUTOMATIC
    acting: bool = False
    loads: tuple[Load, ...] = ()
    charging: bool = False
    maps: tuple[Map, ...] = ()
    zone_sets: tuple[ZoneSetState, ...] | None = None
    zone_requests: tuple[ZoneRequest, ...] = ()
    way_m: Callable[[], NDArray[np.float64]] = field(default=no_way, compare=False)
