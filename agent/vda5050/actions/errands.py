"""Actions that are done by the storage's thread, told as procedures.

A procedure is a generator: it yields an errand, and goes on with what came of it once that is done,
or with the error where it could not be done. It ends with a result for the platform.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias

from agent.errors import ActionFailed
from agent.vda5050.actions.handler import RUNNING, Handler, Progress, failed, finished
from agent.vda5050.messages import Action, ActionStatus
from agent.vda5050.situation import Situation
from agent.vda5050.storage.catalog import Catalog
from agent.vda5050.storage.errand import Done, Errand, Undone


@dataclass(frozen=True, slots=True)
class Answer:
    """What a procedure goes on with.

    Attributes:
        value: What the errand gave.
        situation: The tick in which it did.
    """

    value: object
    situation: Situation


Procedure: TypeAlias = Generator[Errand, Answer, str]


class ErrandHandler(Handler):
    """Performs a procedure."""

    def __init__(self, catalog: Catalog, procedure: Callable[[Catalog, Action], Procedure]) -> None:
        """Begin with nothing sent.

        Args:
            catalog: Sends the errands.
            procedure: What to do for an action.
        """
        self._catalog = catalog
        self._procedure = procedure

    def start(self, action: Action, now_ns: int) -> None:
        """Begin."""
        del now_ns
        self._course = self._procedure(self._catalog, action)
        self._ticket: int | None = None
        self._has_begun = False

    def step(self, situation: Situation) -> Progress:
        """Go on with what has come of the errand."""
        try:
            match self._outcome:
                case None if self._ticket is None:
                    errand = next(self._course)
                case None:
                    return self._waiting
                case Done(_, value):
                    errand = self._course.send(Answer(value, situation))
                case Undone(_, error):
                    errand = self._course.throw(error)
        except StopIteration as end:
            return finished(str(end.value))
        except ActionFailed as error:
            return failed(error.detail, error)
        self._ticket = self._catalog.send(errand)
        return self._waiting

    @property
    def _outcome(self) -> Done | Undone | None:
        return None if self._ticket is None else self._catalog.take_outcome(self._ticket)

    @property
    def _waiting(self) -> Progress:
        """INITIALIZING until the storage begins with the first errand, then RUNNING."""
        if self._ticket is not None and self._catalog.is_begun(self._ticket):
            self._has_begun = True
        return RUNNING if self._has_begun else Progress(ActionStatus.INITIALIZING)
