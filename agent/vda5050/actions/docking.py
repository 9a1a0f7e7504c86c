"""Actions at load carriers and stations that the lidars know: by their legs, plates or reflectors.

finePositioning, detectObject, pick and drop (2.1, section 6.8; 3.0, section 6.2.3).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from agent.avoidance.surroundings import LidarMount
from agent.docking.carrier import Carrier, Leg, Plate
from agent.docking.detection import CarrierDetector, DetectorParams, Returns
from agent.docking.manoeuvre import Docking, DockingParams, DockingStep, DriveLimits, Phase
from agent.docking.track import CarrierTrack, TrackParams
from agent.errors import ConfigError
from agent.geometry.angle import difference
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist
from agent.localization.deskew import deskew
from agent.localization.odometry_history import OdometryHistory
from agent.vda5050.actions.handler import (
    RUNNING,
    Handler,
    LoadLeft,
    LoadTaken,
    Maneuver,
    Progress,
    failed,
    finished,
)
from agent.vda5050.actions.handling import (
    PARAMETERS,
    carried,
    handling_problem,
    load_of,
    no_room,
)
from agent.vda5050.actions.registry import ActionKind, Parameter, text_of
from agent.vda5050.messages import Action, ActionScope, Load, ValueType
from agent.vda5050.situation import Situation
from drivers.measurement import Odometry, Scan

FloatArray = NDArray[np.float64]

STANDSTILL = Twist()
HEADING_GAIN = 1.5  # 1/s, of a straight way out
LEAST_SEEN_M, MOST_SEEN_M = 0.05, 30.0  # the detector has limits of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierParams:
    """One kind of carrier or station.

    Attributes:
        legs: What the lidars see of it.
        plates: The same.
        expected: Where it stands as seen from a robot on the node of the action: x and y in m and
            the turn in rad.
        docking: How to drive up to it.
        track: How to follow it.
        detector: How to find it.
        search_s: How long a robot that looks for it stands and looks.
        leaving_m: How far the robot drives back, out from under it, once it is dropped.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    legs: tuple[Leg, ...] = ()
    plates: tuple[Plate, ...] = ()
    expected: tuple[float, float, float]
    docking: DockingParams = field(default_factory=DockingParams)
    track: TrackParams = field(default_factory=TrackParams)
    detector: DetectorParams = field(default_factory=DetectorParams)
    search_s: Annotated[float, Gt(0), Le(60)] = 5.0
    leaving_m: Annotated[float, Ge(0), Le(5)] = 1.6


@dataclass(frozen=True, slots=True, eq=False)
class Chassis:
    """What a docking needs to know of the robot.

    Attributes:
        footprint: Shape ``(corners, 2)``, of the empty robot.
        limits: What the base can do.
        mounts: How the lidars are built in, by the names of the devices.
    """

    footprint: FloatArray
    limits: DriveLimits
    mounts: Mapping[str, LidarMount]


class _Look:
    """Looks for a carrier from where the robot stands, without moving."""

    def __init__(self, params: CarrierParams, chassis: Chassis) -> None:
        self.margin_m: float | None = None
        self._params = params
        self._chassis = chassis
        self._detector = CarrierDetector(Carrier(params.legs, params.plates), params.detector)
        self._history = OdometryHistory()
        self._scans: list[tuple[str, Scan]] = []
        self.track: CarrierTrack | None = None
        self.base_from_carrier: Pose2 | None = None

    def see(self, lidar: str, scan: Scan) -> None:
        """Keep a scan until the odometry of its time is there."""
        self._scans.append((lidar, scan))

    def step(self, odometry: Odometry, now_ns: int) -> Twist:
        """Look, and propose to stand."""
        del now_ns
        self._look(odometry)
        return STANDSTILL

    def _look(self, odometry: Odometry) -> tuple[CarrierTrack, Pose2] | None:
        """Take odometry and scans; returns the track and where the base is now."""
        self._history.add(odometry)
        here = self._history.at(odometry.stamp_ns)
        if here is None:
            return None
        if self.track is None:
            expected = here @ Pose2(*self._params.expected)
            self.track = CarrierTrack(self._detector, expected, self._params.track)
        scans, self._scans = self._scans, []
        for lidar, scan in scans:
            self._take(self.track, lidar, scan)
        self.base_from_carrier = self.track.base_from_carrier(here)
        return self.track, here

    def _take(self, track: CarrierTrack, lidar: str, scan: Scan) -> None:
        odom_from_base = self._history.at(scan.stamp_ns)
        if odom_from_base is None:
            return
        mount = self._chassis.mounts[lidar].base_from_lidar
        limits = {"min_range_m": LEAST_SEEN_M, "max_range_m": MOST_SEEN_M}
        points_m = deskew(scan, self._history, mount, **limits)
        seen = (scan.ranges_m >= LEAST_SEEN_M) & (scan.ranges_m <= MOST_SEEN_M)
        rays = np.flatnonzero(seen)
        eye_m = (mount.x_m, mount.y_m)
        returns = Returns(points_m, scan.quality[rays], rays, scan.ranges_m.size, eye_m)
        track.see(returns, odom_from_base, scan.stamp_ns)


class _Dock(_Look):
    """Drives up to a carrier, or under it."""

    def __init__(self, params: CarrierParams, chassis: Chassis) -> None:
        super().__init__(params, chassis)
        self.margin_m = params.docking.least_margin_m
        self._docking = Docking(
            params.docking,
            chassis.limits,
            chassis.footprint,
            Carrier(params.legs, params.plates).outline_m,
        )
        self.last: DockingStep | None = None

    def step(self, odometry: Odometry, now_ns: int) -> Twist:
        """Propose the next bit of the way."""
        looked = self._look(odometry)
        if looked is None:
            return STANDSTILL
        self.last = self._docking.step(*looked, now_ns)
        return self.last.twist


class _Leave:
    """Drives straight back, out from under a carrier."""

    def __init__(self, params: CarrierParams) -> None:
        self.margin_m: float | None = params.docking.least_margin_m
        self._speed_mps = params.docking.final_mps
        self._way_m = params.leaving_m
        self._start: Pose2 | None = None
        self.is_out = params.leaving_m == 0.0

    def see(self, lidar: str, scan: Scan) -> None:
        """Nothing to see: the way out is the way in."""

    def step(self, odometry: Odometry, now_ns: int) -> Twist:
        """Propose to go on backwards, in the direction of the beginning."""
        del now_ns
        here = Pose2(odometry.x_m, odometry.y_m, odometry.yaw_rad)
        if self._start is None:
            self._start = here
        if self.is_out or here.distance_m(self._start) >= self._way_m:
            self.is_out = True
            return STANDSTILL
        off_rad = difference(self._start.yaw_rad, here.yaw_rad)
        return Twist(-self._speed_mps, 0.0, HEADING_GAIN * off_rad)


class FinePositioning(Handler):
    """Drives to the end pose at a carrier or a station."""

    def __init__(self, carriers: "Carriers") -> None:
        self._carriers = carriers
        self._dock: _Dock | None = None

    @property
    def motion(self) -> Maneuver | None:
        """The way in."""
        return self._dock

    def start(self, action: Action, now_ns: int) -> None:
        """Begin to look."""
        del now_ns
        self._action = action
        self._dock = _Dock(self._carriers.of(action), self._carriers.chassis)

    def step(self, situation: Situation) -> Progress:
        """Be done once the robot stands at the end pose."""
        step = self._dock.last if self._dock else None
        if step is None or (step.phase is not Phase.FAILED and step.phase is not Phase.DONE):
            return RUNNING
        if step.phase is Phase.FAILED:
            return failed(step.reason or "no reason given")
        if situation.driving:
            return RUNNING
        return self._arrived(step)

    def _arrived(self, step: DockingStep) -> Progress:
        off = step.end_from_base or Pose2.identity()
        off_mm = 1000.0 * math.hypot(off.x_m, off.y_m)
        return finished(f"{off_mm:.0f} mm and {math.degrees(off.yaw_rad):.1f} deg off")


class DockedPick(FinePositioning):
    """Drives under a carrier and counts it as taken."""

    def step(self, situation: Situation) -> Progress:
        """Be done once the robot stands under it."""
        if problem := no_room(situation.loads):
            return failed(problem)
        return super().step(situation)

    def _arrived(self, step: DockingStep) -> Progress:
        done = super()._arrived(step)
        load = load_of(self._action)
        if load.load_type is None:
            load = load.model_copy(update={"load_type": self._carriers.name_of(self._action)})
        return finished(done.result, LoadTaken(load))


class DockedDrop(Handler):
    """Counts a carrier as left and drives out from under it."""

    def __init__(self, carriers: "Carriers") -> None:
        self._carriers = carriers
        self._leave: _Leave | None = None

    @property
    def motion(self) -> Maneuver | None:
        """The way out."""
        return self._leave

    def start(self, action: Action, now_ns: int) -> None:
        """Begin."""
        del now_ns
        self._action = action

    def step(self, situation: Situation) -> Progress:
        """Be done once the robot is out."""
        if self._leave is not None:
            is_out = self._leave.is_out and not situation.driving
            return finished() if is_out else RUNNING
        load = carried(self._action, situation.loads)
        if load is None:
            return failed("the robot does not carry that load")
        self._leave = _Leave(self._carriers.of(self._action, load))
        return Progress(RUNNING.status, None, (LoadLeft(load),))


class DetectObject(Handler):
    """Looks for a carrier or a station from the node."""

    def __init__(self, carriers: "Carriers") -> None:
        self._carriers = carriers
        self._look: _Look | None = None

    @property
    def motion(self) -> Maneuver | None:
        """It stands, but takes the scans."""
        return self._look

    def start(self, action: Action, now_ns: int) -> None:
        """Begin to look."""
        params = self._carriers.of(action)
        self._look = _Look(params, self._carriers.chassis)
        self._deadline_ns = now_ns + round(params.search_s * 1e9)

    def step(self, situation: Situation) -> Progress:
        """Be done once it is seen; the result tells where, from the robot."""
        pose = self._look.base_from_carrier if self._look else None
        if pose is not None:
            return finished(f"x {pose.x_m:.3f} m, y {pose.y_m:.3f} m, yaw {pose.yaw_rad:.4f} rad")
        if situation.now_ns >= self._deadline_ns:
            return failed("it was not seen where it is expected")
        return RUNNING


class Carriers:
    """All kinds of carriers and stations that the robot knows."""

    def __init__(self, params: Mapping[str, CarrierParams], chassis: Chassis) -> None:
        """Check that each can be driven up to.

        Raises:
            ConfigError: One cannot; the text names its table.
        """
        self._params = dict(params)
        self.chassis = chassis
        for name, carrier in params.items():
            try:
                _Dock(carrier, chassis)
            except ConfigError as error:
                raise ConfigError(f"carrier.{name}: {error.detail}") from error

    def of(self, action: Action, load: Load | None = None) -> CarrierParams:
        """Return the carrier that an action is about."""
        name = self.name_of(action)
        if load is not None and load.load_type in self._params:
            name = load.load_type
        return self._params[name]

    def name_of(self, action: Action) -> str:
        """Return the name that an action gives, or the first one's."""
        return self._asked(action) or next(iter(self._params))

    def problem(self, action: Action) -> str | None:
        """Return why an action is about no known carrier."""
        asked = self._asked(action)
        if asked is None or asked in self._params:
            return None
        return f"there is no carrier {asked}; known: {', '.join(self._params)}"

    @staticmethod
    def _asked(action: Action) -> str | None:
        return text_of(action, "stationType") or text_of(action, "objectType")


def _texts(*keys: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(key, (ValueType.STRING,), is_optional=True) for key in keys)


def docking_kinds(carriers: Carriers, max_load_kg: float) -> tuple[ActionKind, ...]:
    """Return what a robot does at carriers; pick and drop only where it may carry something."""

    def load_problem(action: Action) -> str | None:
        return carriers.problem(action) or handling_problem(action, max_load_kg)

    at_stations = (
        ActionKind(
            action_type="finePositioning",
            description="Drives to the end pose at a carrier or station; stationType names it.",
            scopes=(ActionScope.NODE,),
            build=lambda: FinePositioning(carriers),
            parameters=_texts("stationType", "stationName"),
            result="how far off the robot stands",
            stands_alone=True,
            check=carriers.problem,
        ),
        ActionKind(
            action_type="detectObject",
            description="Looks for a carrier or station; objectType names it.",
            scopes=(ActionScope.NODE,),
            build=lambda: DetectObject(carriers),
            parameters=_texts("objectType"),
            result="where it is, seen from the robot",
            stands_alone=True,
            check=carriers.problem,
        ),
    )
    if max_load_kg == 0.0:
        return at_stations
    return (
        *at_stations,
        ActionKind(
            action_type="pick",
            description="Drives under a carrier and takes it; stationType names its kind.",
            scopes=(ActionScope.NODE,),
            build=lambda: DockedPick(carriers),
            parameters=PARAMETERS,
            result="how far off the robot stands under it",
            stands_alone=True,
            check=load_problem,
        ),
        ActionKind(
            action_type="drop",
            description="Leaves the carrier and drives back, out from under it.",
            scopes=(ActionScope.NODE,),
            build=lambda: DockedDrop(carriers),
            parameters=PARAMETERS,
            stands_alone=True,
            check=load_problem,
        ),
    )
