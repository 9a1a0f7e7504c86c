"""The faults, and when each counts as detected."""

from typing import Final

from hil.faults.verdict import RIGHT_M, Alarm, Calm, Criterion, Silence

CRITERIA: Final[dict[str, Criterion]] = {
    "none": Calm("no claim ends, no warning, and no claimed pose is over 0.3 m off"),
    "kidnapping": Alarm(
        "the claim ends, or the claimed pose is right again",
        warning_counts=False,
        most_off_m=float("inf"),
        correction_counts=True,
    ),
    "slip": Alarm(
        "a warning or the claim ends, and no claimed pose is over 0.3 m off", most_off_m=RIGHT_M
    ),
    "cover": Alarm("a warning or the claim ends, and no claimed pose is over 0.5 m off"),
    "frozen": Alarm("a warning or the claim ends, and no claimed pose is over 0.5 m off"),
    "wrong-map": Silence("no pose is ever claimed"),
    "symmetric": Silence(
        "nothing is claimed before the robot has seen what tells the places apart"
    ),
    "changed-hall": Alarm("a warning or the claim ends, and no claimed pose is over 0.5 m off"),
    "crowd": Calm("no claim ends, and no claimed pose is over 0.3 m off", warning_counts=False),
}
