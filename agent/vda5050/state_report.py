"""What the platform is told about the robot, and when.

VDA 5050 2.1, sections 6.10, 6.13 and 6.15; 3.0, sections 6.6, 6.7 and 6.10.

A state goes out when something in it changes that a master acts on, events close together in one
message, and at the latest after ``period_s``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypedDict

from agent.errors import OrderRejected
from agent.telemetry.publication import Publication
from agent.vda5050.factsheet import Vehicle, factsheet
from agent.vda5050.identity import Identity
from agent.vda5050.instant_actions import InstantActionRunner
from agent.vda5050.messages import (
    ActionState,
    AgvPosition,
    BatteryState,
    EdgeRequest,
    EdgeState,
    Error,
    ErrorLevel,
    EStop,
    HeaderCounter,
    InfoLevel,
    Information,
    IntermediatePath,
    Load,
    Map,
    NodeState,
    PlannedPath,
    Reference,
    RequestStatus,
    SafetyState,
    State,
    Timing,
    Velocity,
    Visualization,
    ZoneSetState,
)
from agent.vda5050.order_book import OrderBook
from agent.vda5050.paths import intermediate_path, planned_path
from agent.vda5050.situation import Situation
from agent.vda5050.topics import FROM_ROBOT, Topic, publication
from drivers.errors import HaulierError

MOST_REJECTIONS = 8  # kept until an order is accepted; a master in a loop must not fill the state

ErrorKey: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class _Occasion:
    """Everything whose change is an event (2.1, section 6.10; 3.0, section 6.6).

    Numbers that drift are not in it.
    """

    order: tuple[str, int, str, int]
    orders_received: int
    node_states: tuple[NodeState, ...]
    edge_states: tuple[EdgeState, ...]
    edge_requests: tuple[EdgeRequest, ...]
    action_states: tuple[ActionState, ...]
    instant_action_states: tuple[ActionState, ...]
    loads: tuple[Load, ...]
    charging: bool
    state_requests: int
    errors: frozenset[ErrorKey]
    new_base_request: bool
    driving: bool
    paused: bool
    e_stop: bool
    field_violation: bool
    localized: bool
    map_id: str
    maps: tuple[Map, ...]
    zone_sets: tuple[ZoneSetState, ...] | None
    zone_requests: tuple[tuple[str, RequestStatus], ...]


class _Paths(TypedDict, total=False):
    """The keyword arguments of messages that share the robot's way."""

    planned_path: PlannedPath | None
    intermediate_path: IntermediatePath | None


class StateReport:
    """Turns what the control loop knows into the messages ``state`` and its companions."""

    def __init__(
        self,
        identity: Identity,
        vehicle: Vehicle,
        *,
        minimum_interval_s: float = 0.5,
        period_s: float = 25.0,
        visualization_interval_s: float = 0.2,
        topics: Mapping[str, Topic] = FROM_ROBOT,
    ) -> None:
        """Start with a state, a factsheet and a visualization due.

        Args:
            identity: For topics and headers.
            vehicle: For the factsheet.
            minimum_interval_s: Least time between two states.
            period_s: Most time between two states; the standard asks for 30 s on arrival.
            visualization_interval_s: Time between two visualizations.
            topics: How each topic travels.
        """
        self._headers = HeaderCounter(identity)
        self._topics = topics
        self._vehicle = vehicle
        self._shares_paths = identity.version.startswith("3.")
        self._timing = Timing(
            min_order_interval=0.0,
            min_state_interval=minimum_interval_s,
            default_state_interval=period_s,
            visualization_interval=visualization_interval_s,
        )
        self._minimum_ns = round(minimum_interval_s * 1e9)
        self._period_ns = round(period_s * 1e9)
        self._visualization_ns = round(visualization_interval_s * 1e9)
        self._rejections: list[HaulierError] = []
        self._reported: _Occasion | None = None
        self._newest: _Occasion | None = None
        self._reported_ns: int | None = None
        self._state_header_id = 0
        self._visualization_due_ns: int | None = None
        self._factsheets_asked = -1

    def reject(self, error: HaulierError) -> None:
        """Report a message of the platform as refused, until an order is accepted (6.6.4)."""
        self._rejections = [e for e in self._rejections if _key(e) != _key(error)]
        self._rejections = [*self._rejections, error][-MOST_REJECTIONS:]

    def accept(self) -> None:
        """Stop reporting refused messages: an order was accepted (6.6.4)."""
        self._rejections = []

    def request(self) -> None:
        """Have a state sent soon although nothing changed, as after the broker came back."""
        self._reported = None

    @property
    def is_told(self) -> bool:
        """Whether the last state has all that the last tick had to tell."""
        return self._reported is not None and self._reported == self._newest

    def publications(
        self, situation: Situation, order_book: OrderBook, instant_actions: InstantActionRunner
    ) -> tuple[Publication, ...]:
        """Return what is due at the end of a tick."""
        due = []
        if instant_actions.factsheet_requests != self._factsheets_asked:
            self._factsheets_asked = instant_actions.factsheet_requests
            header = self._headers.next("factsheet", situation.utc_ns)
            registry = instant_actions.order_actions.registry
            sheet = factsheet(
                header, self._vehicle, self._timing, registry, instant_actions.supported
            )
            due.append(publication(sheet, self._topics))
        errors = (
            *situation.faults,
            *self._rejections,
            *instant_actions.errors,
            *instant_actions.order_actions.errors,
        )
        occasion = self._newest = _occasion(situation, order_book, instant_actions, errors)
        if self._is_due(occasion, situation.now_ns):
            self._reported, self._reported_ns = occasion, situation.now_ns
            state = self._state(situation, order_book, instant_actions, errors)
            self._state_header_id = state.header_id
            due.append(publication(state, self._topics))
        if self._is_visualization_due(situation.now_ns):
            due.append(publication(self._visualization(situation, order_book), self._topics))
        return tuple(due)

    def _is_due(self, occasion: _Occasion, now_ns: int) -> bool:
        if self._reported_ns is None:
            return True
        age_ns = now_ns - self._reported_ns
        if age_ns < self._minimum_ns:
            return False
        return occasion != self._reported or age_ns >= self._period_ns

    def _is_visualization_due(self, now_ns: int) -> bool:
        due_ns = now_ns if self._visualization_due_ns is None else self._visualization_due_ns
        if now_ns < due_ns:
            return False
        # A fixed grid keeps the rate although ticks do not fall on it; a gap is not made up for.
        self._visualization_due_ns = max(due_ns, now_ns - self._visualization_ns)
        self._visualization_due_ns += self._visualization_ns
        return True

    def _state(
        self,
        situation: Situation,
        order_book: OrderBook,
        instant_actions: InstantActionRunner,
        errors: tuple[HaulierError, ...],
    ) -> State:
        return State(
            **self._headers.next("state", situation.utc_ns),
            maps=list(situation.maps),
            zone_sets=None if situation.zone_sets is None else list(situation.zone_sets),
            zone_requests=list(situation.zone_requests) or None,
            **self._paths(situation, order_book),
            order_id=order_book.order_id,
            order_update_id=order_book.order_update_id,
            last_node_id=order_book.last_node_id,
            last_node_sequence_id=order_book.last_node_sequence_id,
            node_states=list(order_book.node_states),
            edge_states=list(order_book.edge_states),
            edge_requests=list(order_book.edge_requests) or None,
            agv_position=_agv_position(situation),
            velocity=_velocity(situation),
            driving=situation.driving,
            paused=situation.paused,
            loads=list(situation.loads) if self._vehicle.max_load_kg > 0.0 else None,
            new_base_request=_new_base_request(situation, order_book),
            distance_since_last_node=_distance_since_last_node(situation, order_book),
            action_states=list(instant_actions.order_actions.states),
            instant_action_states=list(instant_actions.states),
            battery_state=_battery_state(situation),
            operating_mode=situation.operating_mode,
            errors=[_error(error) for error in errors],
            information=_information(situation),
            safety_state=SafetyState(
                # It has to be released and acknowledged at the robot.
                e_stop=EStop.MANUAL if situation.e_stop else EStop.NONE,
                field_violation=situation.field_violation,
            ),
        )

    def _visualization(self, situation: Situation, order_book: OrderBook) -> Visualization:
        return Visualization(
            **self._headers.next("visualization", situation.utc_ns),
            reference_state_header_id=self._state_header_id,
            agv_position=_agv_position(situation),
            velocity=_velocity(situation),
            **self._paths(situation, order_book),
        )

    def _paths(self, situation: Situation, order_book: OrderBook) -> _Paths:
        """Return the way that the robot drives, which 2.x has no fields for (3.0, section 6.8)."""
        estimate = situation.estimate
        if not self._shares_paths or estimate is None:
            return _Paths()
        line_m = situation.way_m()
        nodes = [node.node_id for node in order_book.node_states if node.released]
        pose, speed_mps = estimate.map_from_base, abs(situation.forward_mps)
        return _Paths(
            planned_path=planned_path(line_m, nodes),
            intermediate_path=intermediate_path(pose, line_m, speed_mps, situation.utc_ns),
        )


def _occasion(
    situation: Situation,
    order_book: OrderBook,
    instant_actions: InstantActionRunner,
    errors: tuple[HaulierError, ...],
) -> _Occasion:
    return _Occasion(
        order=(
            order_book.order_id,
            order_book.order_update_id,
            order_book.last_node_id,
            order_book.last_node_sequence_id,
        ),
        orders_received=order_book.received,
        node_states=order_book.node_states,
        edge_states=order_book.edge_states,
        edge_requests=order_book.edge_requests,
        action_states=instant_actions.order_actions.states,
        instant_action_states=instant_actions.states,
        loads=situation.loads,
        charging=situation.charging,
        state_requests=instant_actions.state_requests,
        errors=frozenset(_key(error) for error in errors),
        new_base_request=_new_base_request(situation, order_book),
        driving=situation.driving,
        paused=situation.paused,
        e_stop=situation.e_stop,
        field_violation=situation.field_violation,
        localized=situation.estimate is not None and situation.estimate.localized,
        map_id=situation.map_id,
        maps=situation.maps,
        zone_sets=situation.zone_sets,
        zone_requests=tuple((r.request_id, r.request_status) for r in situation.zone_requests),
    )


def _new_base_request(situation: Situation, order_book: OrderBook) -> bool:
    estimate = situation.estimate
    return estimate is not None and order_book.new_base_request(estimate.map_from_base)


def _distance_since_last_node(situation: Situation, order_book: OrderBook) -> float | None:
    if situation.estimate is None:
        return None
    distance_m = order_book.distance_since_last_node_m(
        situation.estimate.map_from_base, situation.map_id
    )
    return None if distance_m is None else round(distance_m, 3)


def _agv_position(situation: Situation) -> AgvPosition:
    """Return the last known position; ``positionInitialized`` says whether it can be trusted.

    A robot that can localize itself may not leave the object out (section 6.10.6), so before the
    first estimate it holds the map's origin, marked as not initialized.
    """
    estimate = situation.estimate
    if estimate is None:
        return AgvPosition(
            x=0.0,
            y=0.0,
            theta=0.0,
            map_id=situation.map_id,
            position_initialized=False,
            localization_score=0.0,
        )
    pose = estimate.map_from_base
    deviation_m = math.sqrt(max(0.0, estimate.covariance[0, 0] + estimate.covariance[1, 1]))
    return AgvPosition(
        x=round(pose.x_m, 4),
        y=round(pose.y_m, 4),
        theta=round(pose.yaw_rad, 5),
        map_id=situation.map_id,
        position_initialized=estimate.localized,
        localization_score=round(estimate.score, 3),
        deviation_range=round(deviation_m, 3) if math.isfinite(deviation_m) else None,
    )


def _velocity(situation: Situation) -> Velocity:
    return Velocity(
        vx=round(situation.forward_mps, 3), vy=0.0, omega=round(situation.yaw_rate_radps, 4)
    )


def _battery_state(situation: Situation) -> BatteryState:
    """Return the battery; an unknown charge, which must be a number, counts as empty."""
    charge, voltage_v = situation.battery_charge, situation.battery_v
    return BatteryState(
        battery_charge=0.0 if math.isnan(charge) else round(100.0 * charge, 1),
        battery_voltage=None if math.isnan(voltage_v) else round(voltage_v, 2),
        charging=situation.charging,
    )


def _information(situation: Situation) -> list[Information]:
    if not math.isnan(situation.battery_charge):
        return []
    return [
        Information(
            info_type="batteryChargeUnknown",
            info_level=InfoLevel.INFO,
            info_description="The base has not reported its battery; the charge reads 0.",
        )
    ]


def _type(error: HaulierError) -> str:
    return error.rejection_type if isinstance(error, OrderRejected) else error.vda_type


def _key(error: HaulierError) -> ErrorKey:
    """Return what makes an error the same one, although its text may drift."""
    return _type(error), (("code", error.code), *error.context.items())


def _error(error: HaulierError) -> Error:
    _, references = _key(error)
    return Error(
        error_type=_type(error),
        error_level=ErrorLevel(error.level),
        error_description=error.detail,
        error_hint=error.hint,
        error_references=[
            Reference(reference_key=key, reference_value=value) for key, value in references
        ],
    )
