"""The history of one robot, put together: historian, journal and lane."""

from collections.abc import Callable, Mapping
from typing import Any

from agent.clock import Clock
from agent.telemetry.events import EventWriter
from agent.telemetry.historian import Historian, loss_drafter
from agent.telemetry.history import HistoryLane, HistoryParams
from agent.telemetry.journal import Journal


class Chronicle:
    """Keeps what happens, and hands it to the link.

    Attributes:
        journal: Where it is kept; ``journal.run`` is for a thread of its own.
        lane: What the link asks for records.
        historian: What the control loop tells.
    """

    def __init__(
        self,
        params: HistoryParams,
        writer: EventWriter,
        clock: Clock,
        *,
        on_durable: Callable[[], None],
        loop: Callable[[], Mapping[str, Any]],
        devices: Mapping[str, Callable[[], Mapping[str, int]]],
    ) -> None:
        """Put it together; nothing is opened yet.

        Args:
            params: What is kept, with a directory for the journal.
            writer: Makes the events of this boot.
            clock: For the stamps of losses.
            on_durable: Told, in the journal's thread, that there is more to send.
            loop: Reads the loop's timing; called in the journal's thread.
            devices: Reads the devices' counters; called in the journal's thread.

        Raises:
            ValueError: The parameters name no directory.
        """
        if params.journal is None:
            raise ValueError("there is no directory for the journal")
        tell_loss = loss_drafter(writer, clock.utc_ns, clock.now_ns)
        self.journal = Journal(params.journal, params.limits, tell_loss, on_durable)
        self.lane = HistoryLane(self.journal, params)
        self.historian = Historian(
            writer,
            self.journal.append,
            motion_interval_s=params.motion_interval_s,
            statistics_interval_s=params.statistics_interval_s,
            loop=loop,
            devices=devices,
        )

    def status(self) -> dict[str, Any]:
        """Return what ``haulier status`` shows, as plain JSON values."""
        journal, lane = self.journal.state, self.lane.state
        return {
            "durable": journal.durable,
            "acknowledged": journal.acknowledged,
            "backlog": journal.backlog,
            "waiting": journal.waiting,
            "lost": journal.lost,
            "size_bytes": journal.size_bytes,
            "written_bytes": journal.written_bytes,
            "failure": journal.failure,
            "sent": lane.sent,
            "redelivered": lane.redelivered,
            "in_flight": lane.in_flight,
            "refusal": lane.refusal,
        }
