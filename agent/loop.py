"""The agent itself: one tick takes what arrived and returns what follows from it.

``Agent.tick(now_ns, inbox) -> Outbox`` does no I/O and reads no clock: the same inboxes at the same
times give the same poses, commands and messages, bit for bit.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.avoidance.governor import StopReason, Verdict
from agent.avoidance.surroundings import LidarMount
from agent.driving import Driving
from agent.errors import (
    DuplicateZoneSet,
    LocalizationLost,
    LocalizationOdd,
    LoopLate,
    MessageInvalid,
    OrderRejected,
    OutsideOfCorridor,
    RouteNotFound,
    WayBlocked,
    ZoneSetRejected,
)
from agent.geometry.pose import Pose2
from agent.geometry.twist import Twist, twist_of
from agent.localization.estimate import PoseEstimate
from agent.localization.localizer import Localizer
from agent.mailbox import Inbox, LogEvent, Outbox, Value
from agent.positioning import Outcome, PoseAnswer, PoseRequest, Positioning
from agent.route.path import Waypoint
from agent.streams import BASE_STATUS, ODOMETRY, TICK, ScanPace, Stream
from agent.telemetry.publication import Message, Publication
from agent.vda5050.actions.handler import LOCAL, Maneuver
from agent.vda5050.corridor_watch import breach_m
from agent.vda5050.identity import Identity
from agent.vda5050.instant_actions import InstantActionRunner
from agent.vda5050.messages import ActionStatus, Load, Responses, ZoneSetState, decode
from agent.vda5050.order_book import OrderBook
from agent.vda5050.order_memory import OrderMemory
from agent.vda5050.preparation import Preparation
from agent.vda5050.reading import read_already, zone_set_of
from agent.vda5050.situation import Situation
from agent.vda5050.state_report import StateReport
from agent.vda5050.storage.catalog import Catalog
from agent.vda5050.zones.guard import Way, ZoneGuard
from drivers.errors import DeviceFault, HaulierError, StreamStale
from drivers.measurement import BaseStatus, Odometry, Scan
from drivers.runner import DeviceState, Phase

BASE = "base"
LEAST_INTACT_SHARE = 0.75  # of a revolution's rays; with fewer it says too little about free space
LEAST_RETURN_SHARE = 0.05  # of the rays; a covered lidar returns nothing, which is not free space
LEAST_SWEEP_S = 0.02  # over less, counts of an encoder make no speed
FOLD_NS = 30_000_000_000
LATE_TOLD_NS = 2_000_000_000  # an error shorter than a state interval would never be seen
STANDSTILL_MPS = 0.01
STANDSTILL_RADPS = 0.01
NEAR_LEGS = 3  # of the way ahead that zones are compared with
MOST_ANSWERS = 16  # to people at the robot, who ask for theirs within a second

Level: TypeAlias = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """Voltages between which the state of charge is interpolated."""

    empty_v: float
    full_v: float

    def charge(self, battery_v: float) -> float:
        """Return the state of charge in [0, 1]; NaN for an unknown voltage."""
        if math.isnan(battery_v):
            return math.nan
        return min(1.0, max(0.0, (battery_v - self.empty_v) / (self.full_v - self.empty_v)))


@dataclass(frozen=True, slots=True, eq=False)
class Footprints:
    """Outlines of the robot in its own frame, shape ``(corners, 2)`` each."""

    empty: NDArray[np.float64]
    loaded: NDArray[np.float64]

    def under(self, loads: tuple[Load, ...]) -> NDArray[np.float64]:
        """Return the outline with what is on the robot."""
        return self.loaded if loads else self.empty


class Agent:
    """Joins localization, order book, driving and reports into one loop."""

    def __init__(
        self,
        *,
        lidars: Mapping[str, LidarMount],
        localizer: Localizer,
        positioning: Positioning,
        order_book: OrderBook,
        instant_actions: InstantActionRunner,
        state_report: StateReport,
        driving: Driving,
        battery: Battery,
        footprints: Footprints,
        memory: OrderMemory,
        catalog: Catalog,
        zone_guard: ZoneGuard,
        identity: Identity,
    ) -> None:
        self._lidars = lidars
        self._localizer = localizer
        self._positioning = positioning
        self._order_book = order_book
        self._instant_actions = instant_actions
        self._hibernation = instant_actions.hibernation
        self._state_report = state_report
        self._driving = driving
        self._battery = battery
        self._footprints = footprints
        self._memory = memory
        self._catalog = catalog
        self._zone_guard = zone_guard
        self._identity = identity
        self._bound_for: tuple[str, int] | None = None
        self._actions = instant_actions.order_actions
        self._action_statuses: dict[str, ActionStatus] = {}
        self._loads: tuple[Load, ...] = ()
        self._under_way = self._maneuvers = False
        self._good_scan_ns: dict[str, int] = {}
        self._paces = {lidar: ScanPace() for lidar in lidars}
        self._odometry: Odometry | None = None
        self._base_status: BaseStatus | None = None
        self._devices: dict[str, DeviceState] = {}
        self._broker_error: HaulierError | None = None
        self._estimate: PoseEstimate | None = None
        self._verdict: Verdict = driving.stop(0, None)
        self._reason: str | None = None
        self._reason_since_ns = 0
        self._localized = self._searching = self._tells_search = False
        self._searches = 0
        self._search_told_ns: int | None = None
        self._map_id = positioning.map_id
        self._pose_answers: dict[str, PoseAnswer] = {}
        self._last_tick_ns: int | None = None
        self._late_until_ns = 0
        self._latched = False
        self._releases_base = False
        self._faults_told: tuple[HaulierError, ...] = ()
        self._dropped = 0
        self._dropped_noted = 0
        self._folded_ns = 0
        self._events: list[LogEvent] = []

    def tick(self, now_ns: int, inbox: Inbox) -> Outbox:
        """Run one cycle: drain, localize, follow, avoid, govern, report.

        Args:
            now_ns: Monotonic time of the cycle.
            inbox: What arrived since the last one.
        """
        self._events = []
        period_ns = (
            TICK.stale_after_ns if self._last_tick_ns is None else now_ns - self._last_tick_ns
        )
        self._last_tick_ns = now_ns
        if period_ns > TICK.stale_after_ns:
            self._late_until_ns = now_ns + LATE_TOLD_NS
        if inbox.acknowledged and not self._latched:
            self._actions.trigger(LOCAL)
        self._memory.note_kept(inbox.kept)
        self._take_measurements(inbox, now_ns)
        self._localizer.advance()
        self._estimate = self._localizer.estimate(now_ns)
        self._catalog.take_outcomes(inbox.stored)
        for refused in self._catalog.take_refused():
            self._state_report.reject(refused)
        self._take_messages(inbox, now_ns)
        for request in inbox.pose_requests:
            self._take_pose_request(request, now_ns)
        self._note_searches(now_ns)
        self._note_localization()
        answers = self._positioning.advance(self._estimate, now_ns)
        self._note_answers(answers)
        self._order_book.expire(inbox.utc_ns)
        if self._memory.pending:
            self._take_up(self._situation(now_ns, inbox.utc_ns))
        self._look_at_zones(now_ns, inbox.utc_ns)
        self._verdict = self._move(now_ns, period_ns)
        self._note_motion(now_ns)
        self._fold_drops(now_ns)
        situation = self._act(self._situation(now_ns, inbox.utc_ns, answers))
        self._faults_told = situation.faults
        self._renew_map(now_ns)
        publications = self._report(situation)
        return Outbox(
            self._verdict.command,
            self._estimate,
            publications,
            tuple(self._events),
            self._catalog.take_tasks(),
            self._releases_base,
            self._hibernation.is_asleep,
            self._hibernation.is_off,
        )

    def _report(self, situation: Situation) -> tuple[Publication, ...]:
        """Tell the platform, unless the robot hibernates (3.0, section 6.2.3.1)."""
        was_asleep = self._hibernation.is_asleep
        told = () if was_asleep else self._publications(situation)
        self._hibernation.advance(situation.utc_ns, told=self._state_report.is_told)
        if was_asleep != self._hibernation.is_asleep:
            self._log("robot.woke" if was_asleep else "robot.slept", "info")
        if was_asleep and not self._hibernation.is_asleep:
            self._state_report.request()
            told = self._publications(situation)
        return told

    def _publications(self, situation: Situation) -> tuple[Publication, ...]:
        return self._state_report.publications(situation, self._order_book, self._instant_actions)

    @property
    def preparation(self) -> Preparation:
        """What understands orders before the loop sees them; any thread may use it."""
        return self._order_book.preparation

    @property
    def memory(self) -> OrderMemory:
        """What of the order survives a power cut."""
        return self._memory

    def _take_up(self, situation: Situation) -> None:
        """Go on with the order of before the robot was switched off, or say why not."""
        order_id = self._order_book.order_id
        interruption = self._memory.go_on(situation)
        if interruption is not None:
            self._state_report.reject(interruption)
            self._log("order.interrupted", "warning", order_id=order_id, reason=interruption.detail)
        elif not self._memory.pending:
            self._log("order.resumed", "info", order_id=order_id)

    def _act(self, situation: Situation) -> Situation:
        """Let the actions go on, and return the situation that comes of it."""
        if not self._memory.pending:
            self._actions.advance(situation, self._order_book)
        self._instant_actions.advance(situation, self._order_book)
        for request in self._actions.take_pose_requests():
            self._state_pose(request, situation.now_ns)
        for node_id in self._actions.take_stated_nodes():
            self._order_book.stand_on(node_id)
        self._note_actions()
        for report in self._actions.take_reports():
            status = json.dumps(self.status(situation.now_ns))
            self._log("log.report", "info", report=report.name, reason=report.reason, status=status)
        return replace(
            situation,
            paused=self._actions.paused,
            acting=not self._actions.idle,
            loads=self._actions.loads,
            charging=self._actions.charging,
            maps=self._catalog.states,
            zone_sets=self._zone_sets,
        )

    def _note_actions(self) -> None:
        """Tell of what has changed, and take the shape that goes with the load."""
        states = self._actions.states
        for state in states:
            before = self._action_statuses.get(state.action_id, ActionStatus.WAITING)
            if state.action_status is not before:
                self._log(
                    "action.changed",
                    "warning" if state.action_status is ActionStatus.FAILED else "info",
                    action_id=state.action_id,
                    action_type=state.action_type,
                    status=str(state.action_status),
                    result=state.result_description,
                )
        self._action_statuses = {state.action_id: state.action_status for state in states}
        loads = self._actions.loads
        if loads != self._loads:
            self._loads = loads
            outline = self._footprints.under(loads)
            self._driving.carry(outline, is_loaded=bool(loads))
            self._zone_guard.take_shape(outline)
            self._log("load.changed", "info", loads=len(loads))
        is_idle = self._order_book.idle and self._actions.idle
        if is_idle and self._under_way and not self._order_book.record.cancelled:
            self._log("order.finished", "info", order_id=self._order_book.order_id)
        self._under_way = not is_idle

    def _take_measurements(self, inbox: Inbox, now_ns: int) -> None:
        self._dropped += inbox.dropped
        if self._broker_error is not None and inbox.broker is None:
            # What was published meanwhile is lost on purpose; the platform wants to know now.
            self._state_report.request()
        self._broker_error = inbox.broker
        for device in inbox.devices:
            self._devices[device.device] = device
            self._note_device(device)
        for odometry in inbox.odometry:
            self._localizer.add_odometry(odometry)
            if _is_finite(odometry):
                self._odometry = odometry
        if inbox.base_status is not None:
            self._base_status = inbox.base_status
        self._take_acknowledgement(inbox.acknowledged)
        for lidar, scan in inbox.scans:
            self._take_scan(lidar, scan)

    def _take_acknowledgement(self, acknowledged: bool) -> None:
        """No restart by itself after an emergency stop or a bumper (ISO 3691-4, section 4.9).

        Some bases hold an emergency stop until they are told that it is over, and only then say so;
        what was acknowledged before counts for the base alone.
        """
        status = self._base_status
        e_stop = status is not None and status.e_stop
        self._releases_base = acknowledged and e_stop
        if e_stop or (status is not None and status.bumper):
            self._latched = True
        elif acknowledged and self._latched:
            self._latched = False
            self._log("stop.acknowledged", "info")

    def _take_scan(self, lidar: str, measured: Scan) -> None:
        """Localize on any scan, but take only one that saw enough as proof of free space."""
        scan = self._lidars[lidar].unmasked(measured)
        self._localizer.add_scan(lidar, scan)
        rays = measured.ranges_m.size
        is_intact = rays >= LEAST_INTACT_SHARE * (rays + measured.missing)
        returns = np.count_nonzero(np.isfinite(scan.ranges_m))
        if not is_intact or returns < max(1.0, LEAST_RETURN_SHARE * scan.ranges_m.size):
            return
        self._good_scan_ns[lidar] = scan.stamp_ns
        self._paces[lidar].note(measured.stamp_ns, measured.received_ns)
        if (maneuver := self._actions.maneuver) is not None:
            maneuver.see(lidar, scan)
        odom_from_base = self._localizer.odom_from_base_at(scan.stamp_ns)
        odometry = self._odometry
        if odom_from_base is None or odometry is None:
            return
        velocity, since_s = _twist(odometry), (odometry.stamp_ns - scan.stamp_ns) * 1e-9
        if since_s >= LEAST_SWEEP_S:
            # What the odometry went since tells of the whole sweep, and not of its end alone.
            velocity = twist_of(odom_from_base.inverse() @ _pose(odometry), since_s)
        self._driving.see(lidar, scan, odom_from_base, velocity)

    def _take_messages(self, inbox: Inbox, now_ns: int) -> None:
        for message in inbox.messages:
            try:
                self._take_message(message, self._situation(now_ns, inbox.utc_ns))
            except OrderRejected as rejection:
                self._state_report.reject(rejection)
                self._log("order.rejected", "warning", reason=rejection.detail)
            except (MessageInvalid, ZoneSetRejected, DuplicateZoneSet) as error:
                self._state_report.reject(error)
                self._log("message.refused", "warning", topic=message.topic, reason=error.detail)

    def _take_message(self, message: Message, situation: Situation) -> None:
        if self._hibernation.is_asleep and message.topic != "instantActions":
            return
        before = (self._order_book.order_id, self._order_book.order_update_id)
        match message.topic:
            case "order":
                self._order_book.receive(message.payload, situation, read_already(message))
                after = (self._order_book.order_id, self._order_book.order_update_id)
                if after != before:
                    self._under_way = True
                    self._actions.take(self._order_book)
                    self._state_report.accept()
                    self._log("order.accepted", "info", order_id=after[0], order_update_id=after[1])
            case "responses":
                answers = decode(Responses, message.payload)
                self._order_book.answer(answers)
                self._zone_guard.answer(answers.responses)
            case "zoneSet":
                self._catalog.receive(zone_set_of(message, self._identity))
            case "instantActions":
                was_cancelled = self._order_book.record.cancelled
                self._instant_actions.receive(message.payload, self._order_book)
                if self._order_book.record.cancelled and not was_cancelled:
                    self._log("order.cancelled", "warning", order_id=self._order_book.order_id)
                for request in self._instant_actions.take_pose_requests():
                    self._take_pose_request(request, situation.now_ns)

    def _take_pose_request(self, request: PoseRequest, now_ns: int) -> None:
        """Believe what somebody says, unless it would tear the order at hand apart."""
        book, map_id = self._order_book, request.map_id
        if map_id not in (None, self._positioning.map_id) and not book.idle:
            reason = f"order {book.order_id} is active on another map; cancel it first"
            self._positioning.refuse(request, reason)
        else:
            self._state_pose(request, now_ns)

    def _state_pose(self, request: PoseRequest, now_ns: int) -> None:
        if self._positioning.ask(request, now_ns):
            pose = request.pose
            where = {} if pose is None else asdict(pose)
            self._log("pose.set", "info", by=request.request_id, **where)
            self._begin_anew(now_ns)

    def _change_map(self, map_id: str, estimate: PoseEstimate, now_ns: int) -> None:
        """Go on where the order does on another map, once the robot has come to rest.

        Without a heading of its own the node is entered with the present one: all maps share one
        frame (VDA 5050 2.1, section 6.6.6, ``mapId``).
        """
        if self._rolls:
            return
        entry = self._order_book.waypoints[0]
        yaw_rad = estimate.map_from_base.yaw_rad if entry.yaw_rad is None else entry.yaw_rad
        self._positioning.enter(map_id, Pose2(entry.x_m, entry.y_m, yaw_rad))
        self._begin_anew(now_ns)

    def _renew_map(self, now_ns: int) -> None:
        """Go on on the version of the present map that was enabled in this tick."""
        for map_id in self._catalog.take_rezoned():
            self._log("zones.enabled", "info", map_id=map_id)
            if map_id == self._map_id:
                self._driving.enter(map_id)
        for map_id in self._catalog.take_renewed():
            self._log("map.enabled", "info", map_id=map_id)
            if map_id == self._map_id and self._estimate is not None:
                self._positioning.renew(self._estimate)
                self._driving.enter(map_id)
                self._begin_anew(now_ns)

    def _begin_anew(self, now_ns: int) -> None:
        """Take the pose from the localizer again, and the path from there."""
        self._driving.reset()
        self._estimate = self._localizer.estimate(now_ns)
        if self._map_id != self._positioning.map_id:
            self._map_id = self._positioning.map_id
            self._driving.enter(self._map_id)
            self._log("map.changed", "info", map_id=self._map_id)

    def _move(self, now_ns: int, period_ns: int) -> Verdict:
        """Drive along the order, or stand and say why."""
        estimate, odometry = self._estimate, self._odometry
        if grounds := self._stop_reason(now_ns, period_ns):
            return self._driving.stop(now_ns, *grounds)
        if estimate is None or odometry is None:
            return self._driving.stop(now_ns, StopReason.NOT_LOCALIZED)
        if self._actions.paused:
            return self._driving.stop(now_ns, StopReason.PAUSED)
        if (area := self._zone_guard.violated) is not None:
            return self._driving.stop(now_ns, StopReason.ZONE, area.zone.zone_id)
        maneuver = self._actions.maneuver
        if maneuver is not None:
            return self._maneuver(maneuver, estimate, odometry, period_ns, now_ns)
        if self._maneuvers:
            self._maneuvers = False
            self._driving.reset()
        if self._actions.holds:
            return self._driving.stop(now_ns, StopReason.ACTION)
        map_id = self._order_book.map_id
        if map_id not in (None, self._map_id):
            self._change_map(map_id, estimate, now_ns)
            return self._driving.stop(now_ns, StopReason.MAP_CHANGE)
        stretch = self._stretch
        bound_for = (self._order_book.order_id, stretch[0].sequence_id) if stretch else None
        if self._corridor_error() is not None:
            return self._driving.stop(now_ns, StopReason.OUT_OF_CORRIDOR)
        if (area := self._zone_guard.holder) and bound_for == self._bound_for is not None:
            return self._driving.stop(now_ns, StopReason.ZONE, area.zone.zone_id)
        self._bound_for = bound_for
        driven = self._driving.step(
            estimate.map_from_base,
            _pose(odometry),
            _twist(odometry),
            self._within_limits(stretch),
            period_ns * 1e-9,
            now_ns,
            odometry.stamp_ns,
        )
        for sequence_id in driven.reached:
            self._order_book.reach(sequence_id)
            self._log("node.reached", "info", node_id=self._order_book.last_node_id)
        return driven.verdict

    def _maneuver(
        self,
        maneuver: Maneuver,
        estimate: PoseEstimate,
        odometry: Odometry,
        period_ns: int,
        now_ns: int,
    ) -> Verdict:
        """Move as an action wants to."""
        self._maneuvers = True
        return self._driving.follow(
            maneuver.step(odometry, now_ns),
            maneuver.margin_m,
            estimate.map_from_base,
            _pose(odometry),
            _twist(odometry),
            period_ns * 1e-9,
            now_ns,
            odometry.stamp_ns,
        )

    def _look_at_zones(self, now_ns: int, utc_ns: int) -> None:
        """See what the zones on the way ask for."""
        estimate, odometry = self._estimate, self._odometry
        if estimate is None or odometry is None or not estimate.localized:
            return
        areas = self._catalog.zones.areas(self._map_id)
        stretch = self._stretch
        curves = (waypoint.line_m for waypoint in stretch[:NEAR_LEGS])
        way = Way(
            estimate.map_from_base,
            self._driving.planned_path_m if stretch and areas else np.empty((0, 2)),
            tuple(line_m for line_m in curves if line_m is not None),
            abs(odometry.forward_mps),
        )
        self._zone_guard.look(areas, way, now_ns, utc_ns)

    def _within_limits(self, stretch: tuple[Waypoint, ...]) -> tuple[Waypoint, ...]:
        """Return the way with the speed that zones allow now (3.0, section 6.4.1.1).

        A route that is searched while the robot stands has its speed from the beginning on; as
        nobody knows yet where it leads, it is the lowest of any zone.
        """
        guard = self._zone_guard
        most = guard.slowest_mps if self._verdict.command.is_stop else guard.speed_mps
        if math.isinf(most):
            return stretch
        near = (
            replace(w, max_speed_mps=min(most, w.max_speed_mps or most))
            for w in stretch[:NEAR_LEGS]
        )
        return (*near, *stretch[NEAR_LEGS:])

    @property
    def _stretch(self) -> tuple[Waypoint, ...]:
        """The way up to the first node where an action lets the robot stand."""
        stretch, stops = self._order_book.stretch, self._actions.stops
        ends = (i for i, waypoint in enumerate(stretch, 1) if waypoint.sequence_id in stops)
        return stretch[: next(ends, len(stretch))] if stops else stretch

    def _stop_reason(self, now_ns: int, period_ns: int) -> tuple[StopReason, str] | None:
        """Return what is unknown or wrong right now, the gravest first, and whose it is."""
        status, estimate = self._base_status, self._estimate
        sight = self._driving.navigator.sight
        seen_ns = {lidar: sight.stamp_ns(lidar) for lidar in self._lidars}
        blind = [
            name
            for name, newest_ns in seen_ns.items()
            if not self._is_current(name, newest_ns, self._paces[name].stream, now_ns)
        ]
        checks = (
            (StopReason.E_STOP, status is not None and status.e_stop),
            (StopReason.BUMPER, status is not None and status.bumper),
            (StopReason.NOT_ACKNOWLEDGED, self._latched),
            (StopReason.BASE_FAULT, status is not None and bool(status.faults)),
            (
                StopReason.NO_ODOMETRY,
                not self._is_current(BASE, _stamp_ns(self._odometry), ODOMETRY, now_ns),
            ),
            (
                StopReason.NO_BASE_STATUS,
                not self._is_current(BASE, _stamp_ns(status), BASE_STATUS, now_ns),
            ),
            (StopReason.NO_SCAN, bool(blind)),
            (StopReason.COVERED, self._is_blind),
            (StopReason.NOT_LOCALIZED, estimate is None or not estimate.localized),
            (StopReason.LATE_LOOP, period_ns > TICK.stale_after_ns),
        )
        reason = next((reason for reason, holds in checks if holds), None)
        if reason is None:
            return None
        return reason, " and ".join(blind) if reason is StopReason.NO_SCAN else ""

    @property
    def _is_blind(self) -> bool:
        """Whether the lidars miss, where the robot drives to, what the map has there."""
        odometry = self._odometry
        reverses = odometry is not None and odometry.forward_mps < -STANDSTILL_MPS
        return self._localizer.is_blind_towards(math.pi if reverses else 0.0)

    def _is_current(self, device: str, newest_ns: int | None, stream: Stream, now_ns: int) -> bool:
        """Whether a device delivers and its newest value is young, and not from the future."""
        state = self._devices.get(device)
        if newest_ns is None or state is None or state.phase is not Phase.STREAMING:
            return False
        return 0 <= now_ns - newest_ns <= stream.stale_after_ns

    @property
    def _rolls(self) -> bool:
        """Whether the wheels turn; a base that fell silent while they did counts as rolling."""
        odometry = self._odometry
        return odometry is not None and (
            abs(odometry.forward_mps) > STANDSTILL_MPS
            or abs(odometry.yaw_rate_radps) > STANDSTILL_RADPS
        )

    def _situation(
        self, now_ns: int, utc_ns: int, answers: tuple[PoseAnswer, ...] = ()
    ) -> Situation:
        odometry, status = self._odometry, self._base_status
        battery_v = status.battery_v if status else math.nan
        return Situation(
            now_ns=now_ns,
            utc_ns=utc_ns,
            estimate=self._estimate,
            map_id=self._map_id,
            forward_mps=odometry.forward_mps if odometry else 0.0,
            yaw_rate_radps=odometry.yaw_rate_radps if odometry else 0.0,
            battery_v=battery_v,
            battery_charge=self._battery.charge(battery_v),
            e_stop=self._latched,
            field_violation=self._driving.field_violated,
            driving=self._rolls or not self._verdict.command.is_stop,
            faults=self._faults(now_ns),
            pose_answers=answers,
            paused=self._actions.paused,
            acting=not self._actions.idle,
            loads=self._actions.loads,
            charging=self._actions.charging,
            maps=self._catalog.states,
            zone_sets=self._zone_sets,
            zone_requests=self._zone_guard.requests,
            way_m=self._way_m,
        )

    def _way_m(self) -> NDArray[np.float64]:
        """Return the way that is being driven, from where the robot is now."""
        estimate = self._estimate
        if estimate is None or not self._order_book.waypoints:
            return np.empty((0, 2))
        here = estimate.map_from_base
        return np.concatenate(([[here.x_m, here.y_m]], self._driving.planned_path_m[1:]))

    @property
    def _zone_sets(self) -> tuple[ZoneSetState, ...] | None:
        return self._catalog.zones.states if self._identity.version.startswith("3.") else None

    def _faults(self, now_ns: int) -> tuple[HaulierError, ...]:
        """Return the errors that hold right now."""
        faults: list[HaulierError] = []
        newest = [
            (lidar, self._good_scan_ns.get(lidar), self._paces[lidar].stream)
            for lidar in self._lidars
        ]
        newest.append((BASE, _stamp_ns(self._odometry), ODOMETRY))
        for device, newest_ns, stream in newest:
            state = self._devices.get(device)
            if state is not None and state.error is not None:
                faults.append(state.error)
            elif not self._is_current(device, newest_ns, stream, now_ns):
                faults.append(StreamStale(f"{device}: no current {stream.name}", device=device))
        if self._base_status is not None:
            bumper = ("bumper pressed",) if self._base_status.bumper else ()
            for fault in (*self._base_status.faults, *bumper):
                faults.append(DeviceFault(fault, device=BASE, fault=fault))
        if self._late_until_ns > now_ns:
            faults.append(LoopLate("the control loop came late, and the robot stood for it"))
        if self._is_blind:
            lidars = " and ".join(self._lidars)
            faults.append(DeviceFault(StopReason.COVERED, device=lidars, fault="covered"))
        estimate = self._estimate
        if estimate is None:
            faults.append(LocalizationLost("there is no pose yet", mapId=self._map_id))
        elif not estimate.localized:
            faults.append(LocalizationLost(estimate.reason, mapId=self._map_id))
        elif estimate.warning:
            faults.append(LocalizationOdd(estimate.warning, mapId=self._map_id))
        if (way_error := self._way_error()) is not None:
            faults.append(way_error)
        if (corridor_error := self._corridor_error()) is not None:
            faults.append(corridor_error)
        faults += self._zone_guard.faults(**self._destination)
        return tuple(faults)

    def _way_error(self) -> HaulierError | None:
        """Return why the robot does not get to the next node, with the references of 7.1."""
        driving, references = self._driving, self._destination
        if driving.obstruction is not None:
            return RouteNotFound(driving.obstruction, **references)
        if driving.is_blocked:
            return WayBlocked("obstacles let the robot go nowhere", **references)
        return None

    def _corridor_error(self) -> HaulierError | None:
        """Return that the robot has left the corridor of its edge (3.0, section 6.1.5)."""
        estimate, stretch = self._estimate, self._stretch
        begin = self._order_book.record.last_position
        if estimate is None or not stretch or begin is None or begin.map_id != self._map_id:
            return None
        begin_m = np.array([begin.x, begin.y])
        beyond_m = breach_m(estimate.map_from_base, begin_m, stretch[0])
        if beyond_m == 0.0:
            return None
        # The distance is in the text alone: it drifts, and the error stays the same.
        return OutsideOfCorridor(f"{beyond_m:.2f} m outside of the corridor", **self._destination)

    @property
    def _destination(self) -> dict[str, str]:
        """Where the robot is on its way to, as errors refer to it (section 7.1)."""
        book = self._order_book
        references = {"orderId": book.order_id}
        if book.node_states:
            references["nodeId"] = book.node_states[0].node_id
        if book.edge_states:
            references["edgeId"] = book.edge_states[0].edge_id
        return references

    def _note_device(self, state: DeviceState) -> None:
        error = state.error
        if error is None:
            self._log(f"device.{state.phase}", "info", device=state.device)
        else:
            self._log(
                f"device.{state.phase}",
                "warning",
                device=state.device,
                code=error.code,
                reason=error.detail,
                hint=error.hint,
            )

    def _note_localization(self) -> None:
        estimate = self._estimate
        localized = estimate is not None and estimate.localized
        if estimate is not None and localized != self._localized:
            name = "pose.recovered" if localized else "pose.lost"
            level: Level = "info" if localized else "error"
            self._log(name, level, score=round(estimate.score, 3), reason=estimate.reason)
            self._search_told_ns = None
        self._localized = localized

    def _note_searches(self, now_ns: int) -> None:
        """Tell of the first search in a while; as long as nothing is found they go on and on."""
        searching, searches = self._localizer.searching, self._localizer.counters.searches
        ended = searches > self._searches or (self._searching and not searching)
        begun = (ended and not self._searching) or (searching and (ended or not self._searching))
        self._searching, self._searches = searching, searches
        if begun:
            told_ns = self._search_told_ns
            self._tells_search = told_ns is None or now_ns - told_ns >= FOLD_NS
            if self._tells_search:
                self._search_told_ns = now_ns
                self._log("search.begun", "info", map_id=self._map_id)
        if ended and self._tells_search:
            self._log("search.ended", "info", places=self._localizer.hypotheses)

    def _note_answers(self, answers: tuple[PoseAnswer, ...]) -> None:
        for answer in answers:
            if answer.outcome is Outcome.FAILED:
                self._log("pose.refused", "warning", by=answer.request_id, reason=answer.reason)
            self._pose_answers[answer.request_id] = answer
            if len(self._pose_answers) > MOST_ANSWERS:
                del self._pose_answers[next(iter(self._pose_answers))]

    def _note_motion(self, now_ns: int) -> None:
        reason = self._verdict.why
        if reason == self._reason:
            return
        if reason is None:
            stopped_s = (now_ns - self._reason_since_ns) * 1e-9
            self._log("motion.resumed", "info", stopped_s=round(stopped_s, 2))
        else:
            self._log("motion.stopped", "warning", reason=reason)
        self._reason, self._reason_since_ns = reason, now_ns

    def _fold_drops(self, now_ns: int) -> None:
        if self._dropped > self._dropped_noted and now_ns - self._folded_ns >= FOLD_NS:
            self._log("inbox.dropped", "warning", count=self._dropped - self._dropped_noted)
            self._dropped_noted, self._folded_ns = self._dropped, now_ns

    def _log(self, name: str, level: Level, **fields: Value) -> None:
        self._events.append(LogEvent(name, level, fields))

    def status(self, now_ns: int) -> dict[str, Any]:
        """Return what ``haulier status`` shows, as plain JSON values."""
        book, command = self._order_book, self._verdict.command
        return {
            "devices": {
                name: {
                    "phase": str(state.phase),
                    "since_s": round((now_ns - state.since_ns) * 1e-9, 3),
                    "error": _error(state.error),
                }
                for name, state in self._devices.items()
            },
            "pose": self._pose_status(),
            "pose_requests": {
                name: {"outcome": str(answer.outcome), "reason": answer.reason}
                for name, answer in self._pose_answers.items()
            },
            "command": {
                "forward_mps": command.forward_mps,
                "yaw_rate_radps": command.yaw_rate_radps,
                "slowed": self._verdict.slowed,
                "stop_reason": self._reason,
                "stop_since_s": round((now_ns - self._reason_since_ns) * 1e-9, 3)
                if self._reason
                else None,
            },
            "order": {
                "order_id": book.order_id,
                "order_update_id": book.order_update_id,
                "last_node_id": book.last_node_id,
                "nodes_left": len(book.waypoints),
                "idle": book.idle and self._actions.idle,
                "paused": self._actions.paused,
                "actions": {
                    state.action_id: str(state.action_status) for state in self._actions.states
                },
                "loads": len(self._actions.loads),
            },
            "wheels": self._wheels_status(),
            "faults": [
                {
                    "code": fault.code,
                    "about": " ".join(fault.context.values()),
                    "detail": fault.detail,
                }
                for fault in self._faults_told
            ],
            "way_error": _error(self._way_error()),
            "battery": self._battery_status(),
            "localization": asdict(self._localizer.counters),
            "dropped": self._dropped,
            "broker_error": _error(self._broker_error),
        }

    def _pose_status(self) -> dict[str, object] | None:
        estimate, fix = self._estimate, self._localizer.fix
        if estimate is None:
            return None
        stddevs = np.sqrt(np.diag(estimate.covariance))
        return {
            "map_id": self._map_id,
            "stamp_ns": estimate.stamp_ns,
            **asdict(estimate.map_from_base),
            "stddev_m": math.hypot(stddevs[0], stddevs[1]),
            "stddev_x_m": float(stddevs[0]),
            "stddev_y_m": float(stddevs[1]),
            "stddev_yaw_rad": float(stddevs[2]),
            "score": estimate.score,
            "localized": estimate.localized,
            "searching": self._searching,
            "reason": estimate.reason,
            "warning": estimate.warning,
            "fix": None if fix is None else {"stamp_ns": fix[0], **asdict(fix[1])},
        }

    def scan_points(self) -> list[tuple[float, float]]:
        """Return what the lidars see now as points on the map, for people to look at."""
        estimate, odometry = self._estimate, self._odometry
        if estimate is None or odometry is None:
            return []
        points_m = self._driving.navigator.sight.returns(_pose(odometry))
        return [estimate.map_from_base.transform(float(x), float(y)) for x, y in points_m]

    def _wheels_status(self) -> dict[str, float] | None:
        odometry = self._odometry
        if odometry is None:
            return None
        return {"forward_mps": odometry.forward_mps, "yaw_rate_radps": odometry.yaw_rate_radps}

    def _battery_status(self) -> dict[str, float] | None:
        status = self._base_status
        if status is None or math.isnan(status.battery_v):
            return None
        return {
            "voltage_v": status.battery_v,
            "charge": self._battery.charge(status.battery_v),
        }


def _is_finite(odometry: Odometry) -> bool:
    twist = (odometry.forward_mps, odometry.yaw_rate_radps)
    return all(map(math.isfinite, (odometry.x_m, odometry.y_m, odometry.yaw_rad, *twist)))


def _pose(odometry: Odometry) -> Pose2:
    return Pose2(odometry.x_m, odometry.y_m, odometry.yaw_rad)


def _twist(odometry: Odometry) -> Twist:
    return Twist(odometry.forward_mps, 0.0, odometry.yaw_rate_radps)


def _stamp_ns(value: Odometry | BaseStatus | None) -> int | None:
    return None if value is None else value.stamp_ns


def _error(error: HaulierError | None) -> dict[str, str] | None:
    if error is None:
        return None
    return {"code": error.code, "detail": error.detail, "hint": error.hint}
