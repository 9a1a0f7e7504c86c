"""The journal: one line per transition, event names from a closed list, fields with units."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

EVENTS = {
    "agent.started": "the daemon came up; what it was built with",
    "agent.ready": "kernels are warm, the map is loaded, the loop runs",
    "agent.stopped": "the daemon goes down in order",
    "agent.failed": "the daemon goes down because of an error",
    "device.connecting": "a device's port is being opened",
    "device.starting": "a device's port is open, its handshake runs",
    "device.streaming": "a device delivers",
    "device.lost": "a device stopped delivering; why",
    "pose.lost": "the pose may no longer be used to drive; why",
    "pose.recovered": "the pose may be used to drive again",
    "pose.set": "somebody told the robot where it is, or to search for itself",
    "pose.refused": "the robot did not take a pose that it was told, or did not find itself; why",
    "map.changed": "the robot goes on on another map",
    "map.enabled": "the platform had a version of a map taken into use",
    "maps.index_refused": "what was kept of the platform's maps cannot be read; where it was put",
    "robot.slept": "the platform had the robot hibernate",
    "robot.woke": "the robot hibernates no longer",
    "robot.left": "the platform had the agent end",
    "zones.enabled": "the platform had a zone set taken into use",
    "zones.damaged": "a zone set of the platform is damaged on disk and was dropped",
    "maps.damaged": "a map of the platform is damaged on disk and was dropped",
    "search.begun": "a search of the whole map for the robot began",
    "search.ended": "that search came to its end; how many places are possible",
    "motion.stopped": "motion was asked for and refused; why",
    "motion.resumed": "motion is no longer refused",
    "stop.acknowledged": "somebody said that the robot may drive again after a stop at the robot",
    "order.accepted": "an order or an update of it was accepted",
    "order.rejected": "an order was rejected; why",
    "order.finished": "the last released node was reached and no horizon is left",
    "order.resumed": "an order of before the robot was switched off goes on",
    "order.interrupted": "an order of before the robot was switched off does not go on; why",
    "order.record_refused": "what was kept of an order cannot be read; where it was put",
    "order.unkept": "the order cannot be written to disk; why",
    "order.cancelled": "an order was given up at the platform's wish",
    "action.changed": "an action of the order began, paused or ended; with its result",
    "load.changed": "a load was taken or left",
    "log.report": "the platform asked for a report; the whole status as JSON",
    "node.reached": "a node of the order was reached",
    "broker.certificate_restored": "a certificate that had not proved to work was taken back",
    "broker.connected": "the shared platform can be reached",
    "broker.lost": "the shared platform cannot be reached; why",
    "broker.renewing": "the credentials were replaced or end soon; the robot logs in anew",
    "broker.credentials_refused": "replaced credentials cannot be used; the old line stays",
    "message.too_long": "the broker takes no message of that length; said once of each topic",
    "message.refused": "a message of the platform could not be read",
    "history.unkept": "the history cannot be written to disk; why",
    "history.kept": "the history can be written to disk again",
    "history.lost": "records of the history were lost, folded over 30 s",
    "map.suspect_threshold": "the map's free_thresh would read unknown cells as free; mended",
    "inbox.dropped": "values were replaced or refused unread, folded over 30 s",
    "tick.overran": "control cycles were late, folded over 30 s",
}

PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def configure(*, console: bool) -> None:
    """Set up structlog: colours for a terminal, JSON with journald's priority prefix otherwise."""
    renderers: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if console
        else [structlog.processors.format_exc_info, _render_for_journald]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


_json = structlog.processors.JSONRenderer()


def _render_for_journald(
    logger: Any,
    method: str,
    event: MutableMapping[str, Any],
) -> str:
    """Prefix the JSON line with ``<N>``, which journald reads as the line's priority."""
    priority = PRIORITIES.get(str(event.get("level", "info")), PRIORITIES["info"])
    # What a person looks for comes first.
    line = {key: event.pop(key) for key in ("event", "level", "timestamp") if key in event}
    return f"<{priority}>{_json(logger, method, {**line, **event})!s}"
