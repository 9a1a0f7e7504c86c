"""What of an order survives a power cut, and how the robot goes on after one.

VDA 5050 says nothing about it but that an order is kept (2.1, section 6.2: the robot keeps what it
has while the broker is away; 3.0, section 6.6.7 lists all that clears an order, and a restart is
not among it). So the robot comes back with the order that it had, stands until it knows where it
is, and goes on if it still stands on its way. An order that does not go on is cleared, with its
actions failed and an error in the state.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from agent.errors import OrderInterrupted, RecordInvalid
from agent.route.course import off_line_m
from agent.vda5050.actions.runner import ActionsRecord
from agent.vda5050.instant_actions import InstantActionRunner, InstantRecord
from agent.vda5050.order_book import OrderBook
from agent.vda5050.order_record import OrderRecord
from agent.vda5050.record_text import RecordText, array, table
from agent.vda5050.situation import Situation

VERSION = 1  # of what a snapshot looks like
MOVED_M = 1.0  # beside its way; farther off somebody has moved the robot


class Resume(StrEnum):
    """What becomes of an order that was under way when the robot was switched off."""

    RESUME = "resume"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """All that is kept, none of which ever changes."""

    order: OrderRecord
    actions: ActionsRecord
    instant_actions: tuple[InstantRecord, ...]

    def text(self, texts: RecordText) -> bytes:
        """Return it as JSON text."""
        parts = {
            "order": self.order.text(texts),
            "actions": self.actions.text(texts),
            "instant_actions": array(record.text(texts) for record in self.instant_actions),
        }
        text = table(parts, {"version": VERSION})
        texts.end()
        return text


class OrderMemory:
    """Joins what order book and action runners have to remember."""

    def __init__(
        self, order_book: OrderBook, instant_actions: InstantActionRunner, policy: Resume
    ) -> None:
        self._order_book = order_book
        self._instant_actions = instant_actions
        self._actions = instant_actions.order_actions
        self._policy = policy
        self._pending = False
        self._newest: _Snapshot | None = None
        self._count = 0
        self._texts = RecordText()

    @property
    def pending(self) -> bool:
        """Whether it is still open if a restored order goes on."""
        return self._pending

    def note_kept(self, kept: int | None) -> None:
        """Take note of how much of what was new would survive a power cut by now.

        Args:
            kept: How many of all snapshots so far; None where none ever does.
        """
        self._actions.note_snapshots(self._count + 1, kept)

    def news(self) -> Callable[[], bytes] | None:
        """Return what has to be kept, None where nothing changed since the last call.

        The function returned makes JSON text of it, and may be called by another thread, one at a
        time.
        """
        newest = _Snapshot(
            self._order_book.record, self._actions.record, self._instant_actions.record
        )
        before = self._newest
        if (
            before is not None
            and before.order is newest.order
            and before.actions is newest.actions
            and before.instant_actions == newest.instant_actions
        ):
            return None
        self._newest = newest
        self._count += 1
        return lambda: newest.text(self._texts)

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take up what was kept; whether it goes on is decided with :meth:`go_on`.

        Raises:
            RecordInvalid: It cannot be read; the robot has no order.
        """
        try:
            if snapshot["version"] != VERSION:
                raise ValueError(f"version {snapshot['version']}")
            self._order_book.restore(snapshot["order"])
            self._actions.restore(snapshot["actions"])
            self._instant_actions.restore(snapshot["instant_actions"])
        except (KeyError, ValueError, TypeError) as error:
            self._order_book.restore({})
            raise RecordInvalid(f"the kept order cannot be gone on with: {error!r}") from error
        self._pending = not (self._order_book.idle and self._actions.idle)

    def go_on(self, situation: Situation) -> OrderInterrupted | None:
        """Decide about a restored order as soon as that is possible.

        Returns:
            Why it does not go on; None where it does, or where that is still open.
        """
        if self._policy is Resume.FAIL:
            return self._give_up("the configuration has interrupted orders fail")
        if situation.estimate is None or not situation.estimate.localized:
            return None
        if hindrance := self._hindrance(situation):
            return self._give_up(hindrance)
        self._pending = False
        return None

    def _hindrance(self, situation: Situation) -> str | None:
        """Return why the robot cannot go on from where it stands."""
        book, estimate = self._order_book, situation.estimate
        if estimate is None or not book.waypoints:
            return None
        if book.map_id != situation.map_id:
            return f"the order goes on on map {book.map_id}, the robot is on {situation.map_id}"
        target, start = book.waypoints[0], book.record.last_position
        begin_m = (target.x_m, target.y_m) if start is None else (start.x, start.y)
        aside_m = off_line_m(estimate.map_from_base, target.way_m(np.array(begin_m)))
        corridor = target.corridor
        allowed_m = MOVED_M + (max(corridor.left_m, corridor.right_m) if corridor else 0.0)
        if aside_m <= allowed_m:
            return None
        return f"the robot is {aside_m:.1f} m beside its way, where it would not have driven"

    def _give_up(self, reason: str) -> OrderInterrupted:
        book = self._order_book
        self._pending = False
        book.cancel(acting=True)
        book.clear()
        self._actions.cancel()
        return OrderInterrupted(
            f"order {book.order_id} was under way when the robot was switched off: {reason}",
            orderId=book.order_id,
            orderUpdateId=str(book.order_update_id),
        )
