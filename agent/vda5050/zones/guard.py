"""Keeps the robot to what the zones on its way ask for (3.0, sections 6.4.1 to 6.4.5).

The way that is being driven is looked at ahead of the robot, pose by pose: where its contour or its
kinematic center would enter a zone that is closed to it, it comes to rest before; where a zone has
a speed limit, it has slowed down by then. Routes over the map avoid BLOCKED zones by themselves
(:func:`agent.vda5050.storage.terrain.open_ways`); this is what holds whoever plans the way.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.errors import ReleaseLost, RouteNotFound, ZoneViolated
from agent.geometry.pose import Pose2
from agent.vda5050.messages import (
    BidirectedLimitation,
    DirectedLimitation,
    Response,
    ZoneRequest,
    ZoneType,
)
from agent.vda5050.zones.area import F64, Area, Mask, distances_m
from agent.vda5050.zones.clearance import Need, ZoneClearance
from drivers.errors import HaulierError

STEP_M = 0.1  # from one look along the way to the next
LOOK_M = 12.0  # of the way that is looked at; far enough to be answered before the robot stands
MARGIN_M = 0.1  # that is kept from a closed zone; a turn on the spot swings the corners out
STOP_M = 0.15  # nearer than this to a closed zone the robot does not start
LATENCY_S = 0.3
RESERVE = 0.8  # of the deceleration
LEAST_MPS = 0.05  # a slower limit is none that could be driven
ON_TRAJECTORY_M = 0.3
STRICT_RAD = 0.26  # 15 degrees off a direction count as another one
INTERACTIVE = (ZoneType.RELEASE, ZoneType.COORDINATED_REPLANNING)


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """The way ahead.

    Attributes:
        pose: ``map_from_base`` now.
        line_m: Shape ``(n, 2)``, the way from here on; empty where there is none.
        trajectories_m: Those of the edges that the order has given one, as lines.
        speed_mps: Measured.
    """

    pose: Pose2
    line_m: F64
    trajectories_m: Sequence[F64]
    speed_mps: float


class ZoneGuard:
    """Judges the way of each tick."""

    def __init__(self, footprint: NDArray[np.float64], deceleration_mps2: float) -> None:
        """Begin with nothing in the way.

        Args:
            footprint: Shape ``(corners, 2)``, in the base frame.
            deceleration_mps2: What the robot certainly achieves.
        """
        self._deceleration_mps2 = RESERVE * deceleration_mps2
        self._clearance = ZoneClearance()
        self._violated: tuple[Area, ...] = ()
        self._holder: Area | None = None
        self._areas: Sequence[Area] = ()
        self._low_m = self._high_m = np.empty((0, 2))
        self._speed_mps = self._slowest_mps = math.inf
        self.take_shape(footprint)

    @property
    def requests(self) -> tuple[ZoneRequest, ...]:
        """What the state has to tell (section 6.4.3)."""
        return self._clearance.requests

    @property
    def holder(self) -> Area | None:
        """The zone because of which the robot has to stand now."""
        return self._holder

    @property
    def violated(self) -> Area | None:
        """A BLOCKED zone that the robot is in; it must not move there for whatever reason."""
        return next(iter(self._violated), None)

    @property
    def speed_mps(self) -> float:
        """How fast the robot may be now."""
        return self._speed_mps

    @property
    def slowest_mps(self) -> float:
        """The lowest limit of any zone of the map, for a way that is not known yet."""
        return self._slowest_mps

    def take_shape(self, footprint: NDArray[np.float64]) -> None:
        """Judge another footprint, ``(corners, 2)``, as with a load on board."""
        self._outline_m = footprint
        ends, sides = np.abs(footprint[:, 0]).max(), np.abs(footprint[:, 1]).max()
        # As long on either side of the center: a route may be driven backwards.
        corners = np.array([(ends, -sides), (ends, sides), (-ends, sides), (-ends, -sides)])
        self._wide_m = corners + MARGIN_M * np.sign(corners)
        self._reach_m = float(np.hypot(*self._wide_m[0]))

    def faults(self, **references: str) -> Iterator[HaulierError]:
        """Yield what is wrong because of zones.

        Args:
            **references: To the node that the robot is on its way to.
        """
        for area in self._violated:
            detail = f"the robot is in the blocked zone {area.zone.zone_id}"
            yield ZoneViolated(detail, **_names(area))
        for area in self._clearance.lost:
            detail = f"the release of zone {area.zone.zone_id}, in which the robot is, was lost"
            yield ReleaseLost(detail, **_names(area))
        holder = self._holder
        if holder and holder.zone.zone_type not in INTERACTIVE and holder not in self._violated:
            kind = holder.zone.zone_type
            detail = f"the way leads into the {kind} zone {holder.zone.zone_id} as it must not"
            yield RouteNotFound(detail, **references, **_names(holder))

    def answer(self, responses: Iterable[Response]) -> None:
        """Take what the master says to requests."""
        self._clearance.answer(responses)

    def look(self, areas: Sequence[Area], way: Way, now_ns: int, utc_ns: int) -> None:
        """Judge the way ahead.

        Args:
            areas: The zones that hold on the map.
            way: The way.
            now_ns: Monotonic time.
            utc_ns: Wall-clock time, which ends leases.
        """
        self._clearance.expire(utc_ns)
        self._violated, self._holder, self._speed_mps = (), None, math.inf
        limits = (area.zone.maximum_speed for area in areas if area.zone.maximum_speed is not None)
        self._slowest_mps = max(LEAST_MPS, min(limits, default=math.inf))
        if not areas:
            self._clearance.follow((), now_ns)
            return
        samples = _Samples.along(way, self._outline_m, self._wide_m)
        touches = {area: samples.touches(area) for area in self._near(areas, samples.places_m)}
        self._clearance.follow(_needs(touches, samples, way), now_ns)
        self._violated = tuple(
            area
            for area, touch in touches.items()
            if touch[0] and area.zone.zone_type is ZoneType.BLOCKED
        )
        for area, touch in touches.items():
            self._judge(area, touch, samples, way)

    def _near(self, areas: Sequence[Area], places_m: F64) -> list[Area]:
        """Return the zones whose bounds are within reach of the way's."""
        if areas is not self._areas:
            self._areas = areas
            corners = [area.corners_m for area in areas]
            self._low_m = np.array([polygon.min(axis=0) for polygon in corners])
            self._high_m = np.array([polygon.max(axis=0) for polygon in corners])
        low, high = places_m.min(axis=0) - self._reach_m, places_m.max(axis=0) + self._reach_m
        apart = (self._low_m > high).any(axis=1) | (self._high_m < low).any(axis=1)
        return [areas[int(index)] for index in np.flatnonzero(~apart)]

    def _judge(self, area: Area, touch: Mask, samples: "_Samples", way: Way) -> None:
        """Let a zone slow the robot down, or hold it."""
        limit = area.zone.maximum_speed if area.zone.zone_type is ZoneType.SPEED_LIMIT else None
        if limit is not None and limit >= LEAST_MPS:
            self._slow(limit, touch)
            return
        closed = self._closed(area, touch, samples, way)
        if not closed.any():
            return
        ahead_m = _first_m(closed)
        needed_m = way.speed_mps * LATENCY_S + way.speed_mps**2 / (2.0 * self._deceleration_mps2)
        if ahead_m <= max(STOP_M, needed_m):
            self._holder = self._holder or area
        self._slow(LEAST_MPS, closed)

    def _slow(self, limit_mps: float, touch: Mask) -> None:
        """Have the robot at a limit by the time that it is there."""
        if not touch.any():
            return
        rest_m = max(0.0, _first_m(touch) - STOP_M - limit_mps * LATENCY_S)
        allowed = math.sqrt(limit_mps**2 + 2.0 * self._deceleration_mps2 * rest_m)
        self._speed_mps = min(self._speed_mps, allowed)

    def _closed(self, area: Area, touch: Mask, samples: "_Samples", way: Way) -> Mask:
        """Return at which poses of the way the robot must not be."""
        match area.zone.zone_type:
            case ZoneType.RELEASE | ZoneType.COORDINATED_REPLANNING:
                return touch & (not self._clearance.is_open(area))
            case ZoneType.LINE_GUIDED:
                return touch & ~samples.on_any(way.trajectories_m)
            case ZoneType.DIRECTED | ZoneType.BIDIRECTED:
                against = area.holds(samples.places_m) & samples.against(area)
                return against & ~samples.on_any(way.trajectories_m)
            case _:
                return touch


@dataclass(frozen=True, slots=True, eq=False)
class _Samples:
    """Poses along the way, the present one first.

    Attributes:
        places_m: Shape ``(k, 2)``.
        headings_rad: Direction of travel there, shape ``(k,)``.
        outlines_m: The robot's contour, shape ``(k, corners, 2)``.
        wide_m: The same with the margin.
    """

    places_m: F64
    headings_rad: F64
    outlines_m: F64
    wide_m: F64

    @classmethod
    def along(cls, way: Way, outline_m: F64, wide_m: F64) -> "_Samples":
        here = np.array([[way.pose.x_m, way.pose.y_m]])
        line = np.concatenate((here, way.line_m[1:]))
        steps = np.hypot(*np.diff(line, axis=0).T)
        along = np.concatenate(([0.0], np.cumsum(steps)))
        at = np.arange(0.0, min(LOOK_M, along[-1]) + STEP_M / 2, STEP_M)
        places = np.column_stack([np.interp(at, along, line[:, axis]) for axis in (0, 1)])
        headings = np.full(len(places), way.pose.yaw_rad)
        if len(places) > 1:
            ways = np.diff(places, axis=0)
            headings[1:] = np.arctan2(ways[:, 1], ways[:, 0])
        outlines = _placed(outline_m, places, headings)
        return cls(places, headings, outlines, _placed(wide_m, places, headings))

    def touches(self, area: Area) -> Mask:
        """Return where the contour enters a zone, with the margin unless it is gone already."""
        wide = area.touched_by(self.wide_m)
        return area.touched_by(self.outlines_m) if wide[0] else wide

    def on_any(self, lines_m: Sequence[F64]) -> Mask:
        """Return which poses lie on one of some lines."""
        on = np.zeros(len(self.places_m), np.bool_)
        for line_m in lines_m:
            on |= distances_m(self.places_m, line_m) <= ON_TRAJECTORY_M
        return on

    def against(self, area: Area) -> Mask:
        """Return where the direction of travel is one that a zone forbids (section 6.4.1.2)."""
        zone = area.zone
        off_rad = np.abs(_wrapped(self.headings_rad - (zone.direction or 0.0)))
        if zone.zone_type is ZoneType.BIDIRECTED:
            is_soft = zone.bidirected_limitation is BidirectedLimitation.SOFT
            most_rad = STRICT_RAD
            off_rad = np.minimum(off_rad, math.pi - off_rad)
        else:
            is_soft = zone.directed_limitation is DirectedLimitation.SOFT
            is_strict = zone.directed_limitation is DirectedLimitation.STRICT
            most_rad = STRICT_RAD if is_strict else math.pi / 2
        forbidden: Mask = (off_rad > most_rad) & (not is_soft)
        if len(forbidden) > 1:
            forbidden[0] = forbidden[1]  # as it stands, the robot travels nowhere
        return forbidden


def _needs(touches: dict[Area, Mask], samples: _Samples, way: Way) -> Iterator[Need]:
    for area, touch in touches.items():
        if area.zone.zone_type in INTERACTIVE and touch.any():
            # Where its end is too far off to be seen, the whole way is meant, so that it stays the
            # same one as the robot gets nearer.
            last = int(np.flatnonzero(touch)[-1]) + 1
            line_m = samples.places_m[:last] if last < len(touch) else way.line_m
            line_m = np.concatenate((samples.places_m[:1], line_m[1:]))
            yield Need(area, line_m, bool(area.touched_by(samples.outlines_m[:1])[0]))


def _placed(outline_m: F64, places_m: F64, headings_rad: F64) -> F64:
    """Return an outline at each pose, shape ``(k, corners, 2)``."""
    cos, sin = np.cos(headings_rad)[:, None], np.sin(headings_rad)[:, None]
    x, y = outline_m[:, 0], outline_m[:, 1]
    turned = np.stack((cos * x - sin * y, sin * x + cos * y), axis=2)
    placed: F64 = turned + places_m[:, None]
    return placed


def _first_m(mask: Mask) -> float:
    return STEP_M * float(mask.argmax())


def _wrapped(angles_rad: F64) -> F64:
    wrapped: F64 = np.remainder(angles_rad + math.pi, math.tau) - math.pi
    return wrapped


def _names(area: Area) -> dict[str, str]:
    return {"zoneId": area.zone.zone_id, "zoneSetId": area.zone_set_id}
