"""Decoders as compiled kernels: bytes in, columns out, no clock and no allocation per frame.

One module per wire protocol. A kernel walks a buffer of pending bytes, fills columns for the frames
it finds and returns ``(frames, consumed, skipped, bad)``: how many frames it wrote, how many bytes
of the buffer are done with, how many of those belonged to no frame, and how many frames failed
their check. After a failed check it goes on at the very next byte, so that noise never costs a good
frame behind it.
"""

from drivers.kernels import ld06, roboteq, rplidar, scip, sick_lms2xx, sick_s300, ydlidar
from drivers.kernels.roboteq import MOST_VALUES, decode_replies
from drivers.kernels.rplidar import (
    CAPSULE_BYTES,
    CAPSULE_SAMPLES,
    STANDARD_NODE_BYTES,
    decode_capsule,
    decode_capsules,
    decode_standard_nodes,
    find_capsules,
)

__all__ = [
    "CAPSULE_BYTES",
    "CAPSULE_SAMPLES",
    "MOST_VALUES",
    "STANDARD_NODE_BYTES",
    "decode_capsule",
    "decode_capsules",
    "decode_replies",
    "decode_standard_nodes",
    "find_capsules",
    "warm_up",
]

FAMILIES = (rplidar, ld06, roboteq, scip, ydlidar, sick_lms2xx, sick_s300)


def warm_up() -> list[str]:
    """Compile every kernel, or load it from the cache, and return their names."""
    return [
        f"{family.__name__.rpartition('.')[2]}.{name}"
        for family in FAMILIES
        for name in family.warm_up()
    ]
