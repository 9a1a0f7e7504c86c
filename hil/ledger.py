"""Actions of a plant's own for the bench, which note outside of the daemon what they did.

They come into the daemon as those of any plant do, by the entry point group ``haulier.actions``. A
line of the ledger survives the daemon's death, whatever the daemon itself remembers of it.
"""

import os
from pathlib import Path
from typing import Final

from agent.vda5050.actions.handler import RUNNING, Handler, Progress, finished
from agent.vda5050.actions.registry import GROUP, ActionKind, Parameter, parameters_of
from agent.vda5050.messages import Action, ActionScope, ValueType
from agent.vda5050.situation import Situation

VARIABLE: Final = "BENCH_LEDGER"
ONCE, AGAIN = "benchOnce", "benchAgain"
DURATION: Final = "duration"
BEGUN, DONE = "begun", "done"


class NotedAction(Handler):
    """Takes its time, and writes its begin and its end into the ledger."""

    def start(self, action: Action, now_ns: int) -> None:
        """Begin."""
        duration_s = parameters_of(action)[DURATION]
        self._name = action.action_id
        self._end_ns = now_ns + round(float(str(duration_s)) * 1e9)
        _note(BEGUN, self._name)

    def step(self, situation: Situation) -> Progress:
        """Be done once the time is over."""
        return self._end() if situation.now_ns >= self._end_ns else RUNNING

    def leave(self) -> Progress:
        """End with the edge."""
        return self._end()

    def _end(self) -> Progress:
        _note(DONE, self._name)
        return finished()


def _kind(action_type: str, *, repeatable: bool) -> ActionKind:
    return ActionKind(
        action_type=action_type,
        description="Notes on the bench that it was performed.",
        scopes=(ActionScope.NODE, ActionScope.EDGE),
        build=NotedAction,
        parameters=(Parameter(DURATION, (ValueType.NUMBER,)),),
        repeatable=repeatable,
    )


ONCE_KIND: Final = _kind(ONCE, repeatable=False)
AGAIN_KIND: Final = _kind(AGAIN, repeatable=True)


def _note(what: str, name: str) -> None:
    ledger = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(ledger, f"{what} {name}\n".encode())
    finally:
        os.close(ledger)


def read_ledger(path: Path) -> list[tuple[str, str]]:
    """Return what was noted, oldest first: BEGUN or DONE, and the id of the action."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(what, name) for what, _, name in (line.partition(" ") for line in lines)]


def install(directory: Path) -> dict[str, str]:
    """Bring the actions into daemons to come, as a distribution that is not installed.

    Args:
        directory: For the distribution and the ledger.

    Returns:
        What the daemon's environment needs for it.
    """
    metadata = directory / "plant" / "bench_plant-1.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-plant\nVersion: 1\n")
    points = f"[{GROUP}]\n{ONCE} = {__name__}:ONCE_KIND\n{AGAIN} = {__name__}:AGAIN_KIND\n"
    (metadata / "entry_points.txt").write_text(points)
    paths = filter(None, (str(metadata.parent), os.environ.get("PYTHONPATH")))
    return {"PYTHONPATH": os.pathsep.join(paths), VARIABLE: str(ledger_of(directory))}


def ledger_of(directory: Path) -> Path:
    """Return where the ledger is."""
    return directory / "ledger"
