"""The history lane: records from the journal to the broker, each until it is acknowledged.

It makes no connection and reads no clock: the link asks it for the next record when the live lane
has nothing to send, and tells it what came back. Its window, not paho's, bounds what is under way:
paho queues in memory what exceeds its own, and forgets the limit when it connects again. After a
connect the lane begins behind the last record that was acknowledged without a gap, so the platform
may get up to a window of records twice; whoever reads knows them by boot and sequence number.

Brokers acknowledge before they have a record on their own disk (mosquitto writes its database at
intervals), so one that is killed forgets what it has just acknowledged. Hence a record counts only
``settle_s`` after its acknowledgement, on a connection that lasted; until then it is sent again.
"""

from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Protocol

from annotated_types import Ge, Gt, Le

from agent.telemetry.journal import Drop, JournalLimits
from agent.telemetry.publication import Publication
from agent.telemetry.segments import Record

QOS = 1
READ_AHEAD = 256
BURST_NS = 50_000_000
REFUSED_NS = 5_000_000_000
SETTLE_STEP_NS = 50_000_000
SEGMENTS = 16  # that the journal consists of at least, so that little is dropped at once
LONGEST_SEGMENT_BYTES = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryParams:
    """What is kept, for how long, and how fast it goes out.

    Attributes:
        journal: Directory that records are kept in; without it there is no history.
        topic: Last level of the topic that they are published on.
        motion_interval_s: Time between two records of pose and speed.
        statistics_interval_s: Time between two records of battery, loop and devices each.
        most_bytes: What the journal may take on disk.
        drop: What gives way when it is full, the oldest records or the newest.
        sync_interval_s: Time between two fsyncs at least; what a power cut may take.
        settle_s: How long after its acknowledgement a record is still kept, to be sent again if the
            broker dies meanwhile; at least the time in which the broker saves what it has.
        window: Records that may be under way unacknowledged; less where the broker says so.
        most_per_s: Records sent in a second at most, so that a fleet that comes back after an
            outage does not flood the broker.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    journal: Path | None = None
    topic: str = "history"
    motion_interval_s: Annotated[float, Ge(0.02), Le(3600)] = 0.2
    statistics_interval_s: Annotated[float, Ge(1.0), Le(3600)] = 10.0
    most_bytes: Annotated[int, Ge(1_000_000), Le(1_000_000_000_000)] = 512_000_000
    drop: Drop = Drop.OLDEST
    sync_interval_s: Annotated[float, Ge(0.01), Le(60)] = 0.1
    settle_s: Annotated[float, Ge(0), Le(3600)] = 2.0
    window: Annotated[int, Ge(1), Le(1000)] = 50
    most_per_s: Annotated[float, Gt(0), Le(100_000)] = 200.0

    @property
    def limits(self) -> JournalLimits:
        """How much the journal may take."""
        return JournalLimits(
            most_bytes=self.most_bytes,
            segment_bytes=min(LONGEST_SEGMENT_BYTES, self.most_bytes // SEGMENTS),
            drop=self.drop,
            sync_interval_s=self.sync_interval_s,
        )

    def within(self, directory: Path) -> "HistoryParams":
        """Return the same with a relative file name taken from a directory."""
        return self if self.journal is None else replace(self, journal=directory / self.journal)


class Source(Protocol):
    """Where the records are: :class:`agent.telemetry.journal.Journal`."""

    def rewind(self) -> None:
        """Begin again behind what was acknowledged."""

    def read(self, most: int) -> list[Record]:
        """Return the next records."""

    def acknowledge(self, sequence: int) -> None:
        """Note that all up to a number has arrived."""


@dataclass(frozen=True, slots=True)
class LaneState:
    """How the lane is doing.

    Attributes:
        sent: Records handed to the socket.
        redelivered: Of these, the ones that had been handed to it before.
        in_flight: Records under way.
        refusal: Why the broker took none, None while it does.
    """

    sent: int
    redelivered: int
    in_flight: int
    refusal: str | None


class HistoryLane:
    """Decides what to send next; for the link's thread, but for ``state``."""

    def __init__(self, source: Source, params: HistoryParams) -> None:
        """Begin without a connection.

        Args:
            source: Where the records are.
            params: Topic, window and pace.
        """
        self._source = source
        self._topic = params.topic
        self._window = self._configured_window = params.window
        self._pace_ns = round(1e9 / params.most_per_s)
        self._settle_ns = round(params.settle_s * 1e9)
        self._settling: deque[tuple[int, int]] = deque()  # since when, up to which number
        self._is_connected = False
        self._ahead: deque[Record] = deque()
        self._in_flight: dict[int, int] = {}  # packet identifier -> sequence number, in order
        self._due_ns = 0
        self._last = self._newest = self._sent = self._redelivered = 0
        self._refusal: str | None = None

    @property
    def state(self) -> LaneState:
        """How it is doing."""
        return LaneState(self._sent, self._redelivered, len(self._in_flight), self._refusal)

    def begin(self, receive_maximum: int | None) -> None:
        """Take up a new connection.

        Args:
            receive_maximum: What the broker takes unacknowledged (MQTT 5, section 3.2.2.3.3), None
                where it does not say.
        """
        self._window = min(self._configured_window, receive_maximum or self._configured_window)
        self._is_connected = True
        self._start_over()

    def end(self) -> None:
        """Forget a connection."""
        self._is_connected = False
        self._start_over()

    def _start_over(self) -> None:
        self._in_flight.clear()
        self._settling.clear()
        self._ahead.clear()
        self._source.rewind()

    def wait_ns(self, now_ns: int) -> int | None:
        """Return how long until a record may be sent, None where an event must come first.

        Args:
            now_ns: Monotonic time.
        """
        self._settle(now_ns)
        if not self._is_connected or len(self._in_flight) >= self._window:
            return None
        if not self._ahead:
            self._ahead.extend(self._source.read(READ_AHEAD))
        return max(self._due_ns - now_ns, 0) if self._ahead else None

    def next(self, now_ns: int) -> Publication | None:
        """Return what to send now, and nothing else before :meth:`sent` was called for it.

        Args:
            now_ns: Monotonic time.
        """
        if self.wait_ns(now_ns) != 0:
            return None
        return Publication(self._topic, self._ahead[0].payload, QOS)

    def sent(self, packet_id: int, now_ns: int) -> None:
        """Note that the record was handed to the socket.

        Args:
            packet_id: By which it will be acknowledged.
            now_ns: Monotonic time.
        """
        sequence = self._ahead.popleft().sequence
        self._in_flight[packet_id] = sequence
        # A little of what was missed is made up for, so that coarse waiting does not cost pace.
        self._due_ns = max(self._due_ns, now_ns - BURST_NS) + self._pace_ns
        self._sent += 1
        self._redelivered += sequence <= self._newest
        self._newest = max(self._newest, sequence)
        self._last = sequence

    def acknowledged(self, packet_id: int, refusal: str | None, now_ns: int) -> None:
        """Take the broker's answer to a record.

        Args:
            packet_id: Which one; others than the lane's own are passed over.
            refusal: Why the broker did not take it, None where it did.
            now_ns: Monotonic time.
        """
        if packet_id not in self._in_flight:
            return
        self._refusal = refusal
        if refusal is not None:
            self._due_ns = now_ns + REFUSED_NS
            self._start_over()
            return
        del self._in_flight[packet_id]
        oldest = next(iter(self._in_flight.values()), self._last + 1)
        if self._settling and now_ns - self._settling[-1][0] < SETTLE_STEP_NS:
            self._settling[-1] = (self._settling[-1][0], oldest - 1)
        else:
            self._settling.append((now_ns, oldest - 1))
        self._settle(now_ns)

    def _settle(self, now_ns: int) -> None:
        """Let the journal delete what was acknowledged long enough ago."""
        waits_ns = self._settle_ns + SETTLE_STEP_NS if self._settle_ns else 0
        settled = None
        while self._settling and now_ns - self._settling[0][0] >= waits_ns:
            settled = self._settling.popleft()[1]
        if settled is not None:
            self._source.acknowledge(settled)
