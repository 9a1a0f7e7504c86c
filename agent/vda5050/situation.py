"""What the control loop knows at the end of a tick, as the platform's messages need it."""

from dataclasses import dataclass

from agent.localization.estimate import PoseEstimate
from agent.positioning import PoseAnswer
from agent.vda5050.messages import Load, OperatingMode
from drivers.errors import HaulierError


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
