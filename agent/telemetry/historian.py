"""What of the control loop's doings becomes an event of the history.

The loop hands over its status and the transitions of a cycle; what is due becomes a draft, a few
microseconds each. Numbers that take longer to gather, and the making of bytes, are left to the
journal's thread.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol

from agent.telemetry.events import (
    Action,
    Agent,
    Battery,
    Body,
    Device,
    DeviceStatistics,
    Dropped,
    EventWriter,
    Fault,
    Load,
    Localization,
    LoopTiming,
    Lost,
    Motion,
    Order,
    Stop,
)
from agent.telemetry.journal import Draft, Loss

_DIGITS = 4  # of lengths in m, angles in rad and speeds: a tenth of a millimetre

# Transition of the loop -> kind of event, and what it says has changed.
TRANSITIONS: dict[str, tuple[type[Any], dict[str, str]]] = {
    "device.connecting": (Device, {"phase": "connecting"}),
    "device.starting": (Device, {"phase": "starting"}),
    "device.streaming": (Device, {"phase": "streaming"}),
    "device.lost": (Device, {"phase": "lost"}),
    "pose.lost": (Localization, {"change": "lost"}),
    "pose.recovered": (Localization, {"change": "recovered"}),
    "pose.set": (Localization, {"change": "set"}),
    "pose.refused": (Localization, {"change": "refused"}),
    "map.changed": (Localization, {"change": "map_changed"}),
    "search.begun": (Localization, {"change": "search_begun"}),
    "search.ended": (Localization, {"change": "search_ended"}),
    "motion.stopped": (Stop, {"change": "stopped"}),
    "motion.resumed": (Stop, {"change": "resumed"}),
    "stop.acknowledged": (Stop, {"change": "acknowledged"}),
    "order.accepted": (Order, {"change": "accepted"}),
    "order.rejected": (Order, {"change": "rejected"}),
    "order.finished": (Order, {"change": "finished"}),
    "order.resumed": (Order, {"change": "resumed"}),
    "order.interrupted": (Order, {"change": "interrupted"}),
    "order.cancelled": (Order, {"change": "cancelled"}),
    "node.reached": (Order, {"change": "node_reached"}),
    "action.changed": (Action, {}),
    "load.changed": (Load, {}),
    "message.refused": (Dropped, {}),
    "inbox.dropped": (Dropped, {}),
}


class Transition(Protocol):
    """A transition of the loop: :class:`agent.mailbox.LogEvent`."""

    @property
    def name(self) -> str:
        """Name in the log's closed list."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """What the log says of it."""


class Historian:
    """Turns what the loop tells into drafts for the journal.

    Args:
        writer: Makes the bytes.
        keep: Takes the drafts: the journal's ``append``.
        motion_interval_s: Time between two records of pose and speed.
        statistics_interval_s: Time between two records of battery, loop and devices.
        loop: Reads the loop's timing; called in the journal's thread.
        devices: Reads the devices' counters; called in the journal's thread.
    """

    def __init__(
        self,
        writer: EventWriter,
        keep: Callable[[Draft], None],
        *,
        motion_interval_s: float,
        statistics_interval_s: float,
        loop: Callable[[], Mapping[str, Any]],
        devices: Mapping[str, Callable[[], Mapping[str, int]]],
    ) -> None:
        self._writer = writer
        self._keep = keep
        self._motion_ns = round(motion_interval_s * 1e9)
        self._statistics_ns = round(statistics_interval_s * 1e9)
        self._loop = loop
        self._devices = devices
        self._motion_due_ns = self._statistics_due_ns = 0
        self._faults: list[dict[str, Any]] = []

    def tell(self, make: Callable[[], Body], utc_ns: int, now_ns: int) -> None:
        """Keep one event.

        Args:
            make: Makes its body; called in the journal's thread.
            utc_ns: Wall-clock time.
            now_ns: Monotonic time.
        """
        self._keep(partial(self._write, make, utc_ns, now_ns))

    def _write(self, make: Callable[[], Body], utc_ns: int, now_ns: int, sequence: int) -> bytes:
        return self._writer.write(make(), utc_ns, now_ns, sequence)

    def observe(
        self,
        status: Mapping[str, Any],
        transitions: Iterable[Transition],
        utc_ns: int,
        now_ns: int,
    ) -> None:
        """Take one cycle of the control loop.

        Args:
            status: What the loop says of itself; must not change afterwards.
            transitions: What happened in the cycle.
            utc_ns: Wall-clock time.
            now_ns: Monotonic time.
        """
        for transition in transitions:
            if (known := TRANSITIONS.get(transition.name)) is not None:
                kind, change = known
                self.tell(partial(_chosen, kind, {**transition.fields, **change}), utc_ns, now_ns)
        if status["faults"] != self._faults:
            self._tell_faults(status["faults"], utc_ns, now_ns)
        if now_ns >= self._motion_due_ns:
            self._motion_due_ns = _next_due_ns(self._motion_due_ns, self._motion_ns, now_ns)
            self.tell(partial(_motion, status), utc_ns, now_ns)
        if now_ns >= self._statistics_due_ns:
            due_ns = self._statistics_due_ns
            self._statistics_due_ns = _next_due_ns(due_ns, self._statistics_ns, now_ns)
            self._tell_statistics(status, utc_ns, now_ns)

    def _tell_faults(self, faults: list[dict[str, Any]], utc_ns: int, now_ns: int) -> None:
        """Tell of errors that came or went; one whose words change is still the same."""
        before, after = _by_name(self._faults), _by_name(faults)
        for name in before.keys() - after.keys():
            self.tell(partial(_fault, "cleared", before[name]), utc_ns, now_ns)
        for name in after.keys() - before.keys():
            self.tell(partial(_fault, "raised", after[name]), utc_ns, now_ns)
        self._faults = faults

    def _tell_statistics(self, status: Mapping[str, Any], utc_ns: int, now_ns: int) -> None:
        if (battery := status["battery"]) is not None:
            self.tell(partial(_chosen, Battery, battery), utc_ns, now_ns)
        self.tell(lambda: LoopTiming(**self._loop()), utc_ns, now_ns)
        for name, counters in self._devices.items():
            self.tell(partial(_statistics, name, counters), utc_ns, now_ns)

    def tell_agent(self, change: str, version: str, utc_ns: int, now_ns: int) -> None:
        """Keep that the daemon came up (``started``) or goes down (``stopped``)."""
        body = {"change": change, "version": version}
        self.tell(partial(_chosen, Agent, body), utc_ns, now_ns)


def loss_drafter(
    writer: EventWriter, utc_ns: Callable[[], int], now_ns: Callable[[], int]
) -> Callable[[Loss], Draft]:
    """Return what drafts the records by which the journal tells of losses."""

    def draft(loss: Loss) -> Draft:
        body = Lost(first=loss.first, last=loss.last, cause=loss.cause)
        return partial(writer.write, body, utc_ns(), now_ns())

    return draft


def _chosen(kind: type[Any], fields: Mapping[str, Any]) -> Body:
    body: Body = kind(**fields)
    return body


def _statistics(device: str, counters: Callable[[], Mapping[str, int]]) -> DeviceStatistics:
    return DeviceStatistics(device=device, counters=dict(counters()))


def _motion(status: Mapping[str, Any]) -> Motion:
    pose, command, wheels = status["pose"] or {}, status["command"], status["wheels"] or {}
    numbers = {
        "x_m": pose.get("x_m"),
        "y_m": pose.get("y_m"),
        "yaw_rad": pose.get("yaw_rad"),
        "stddev_m": pose.get("stddev_m"),
        "stddev_yaw_rad": pose.get("stddev_yaw_rad"),
        "score": pose.get("score"),
        "forward_mps": wheels.get("forward_mps"),
        "yaw_rate_radps": wheels.get("yaw_rate_radps"),
        "command_forward_mps": command["forward_mps"],
        "command_yaw_rate_radps": command["yaw_rate_radps"],
    }
    return Motion(
        map_id=pose.get("map_id"),
        localized=pose.get("localized", False),
        slowed=command["slowed"],
        stop_reason=command["stop_reason"],
        **{name: None if x is None else round(x, _DIGITS) for name, x in numbers.items()},
    )


def _by_name(faults: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(fault["code"], fault["about"]): fault for fault in faults}


def _fault(change: str, fault: dict[str, Any]) -> Fault:
    detail = fault["detail"] if change == "raised" else None
    body: Fault = Fault.model_validate(
        {"change": change, "code": fault["code"], "about": fault["about"], "detail": detail}
    )
    return body


def _next_due_ns(due_ns: int, interval_ns: int, now_ns: int) -> int:
    """Return the next deadline on the same grid, a new grid after a pause."""
    following_ns = due_ns + interval_ns
    return following_ns if following_ns > now_ns else now_ns + interval_ns
