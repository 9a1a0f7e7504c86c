"""VDA 5050 2.0.0: the differences of 2.1.0, and what 2.1.0 added."""

from agent.vda5050.wire import v2_1
from agent.vda5050.wire.difference import Absent, Difference, Renamed, Reshaped, Tree


def hint_in_description(error: Tree) -> None:
    """Tell the hint at the end of the description: ``errorHint`` came with 2.1."""
    hint = error.pop("errorHint", None)
    if hint is not None:
        texts = (error.get("errorDescription"), hint)
        error["errorDescription"] = " ".join(text for text in texts if text)


DIFFERENCES: tuple[Difference, ...] = (
    *v2_1.DIFFERENCES,
    Absent(section="6.7", places=("order.edges",), field="corridor"),
    Absent(section="6.10.6", places=("state",), field="maps"),
    Reshaped(section="6.10.6", places=("state.errors",), outgoing=hint_in_description),
    Absent(section="7.1.3", places=("factsheet.physicalParameters",), field="angularSpeedMin"),
    Absent(section="7.1.3", places=("factsheet.physicalParameters",), field="angularSpeedMax"),
    Renamed(
        section="7.1.3",
        places=(v2_1.ARRAY_LENGTHS,),
        ours="state.information",
        theirs="state.informations",
    ),
    Renamed(
        section="7.1.3",
        places=(v2_1.ARRAY_LENGTHS,),
        ours="information.infoReferences",
        theirs="informations.infoReferences",
    ),
    Absent(section="7.1.3", places=("factsheet",), field="vehicleConfig"),
)
