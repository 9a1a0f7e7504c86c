"""Faults of localization: made in the plant and in recordings, and what became of them."""

from typing import Final

FAULTS: Final = (
    "none",
    "kidnapping",
    "slip",
    "cover",
    "frozen",
    "wrong-map",
    "symmetric",
    "changed-hall",
    "crowd",
)
