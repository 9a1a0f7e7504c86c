"""Damaged device sessions for codecs: a fuzzer that needs no coverage and no package."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hil.contract import Subject

LONGEST_BYTES = 4096
SPACING_NS = 1_000_000


def mutate(session: NDArray[np.uint8], rng: np.random.Generator) -> bytes:
    """Return a piece of a session with bytes overwritten, bits flipped, cut, doubled or moved."""
    start = int(rng.integers(0, max(1, len(session) - LONGEST_BYTES)))
    piece = session[start : start + int(rng.integers(1, LONGEST_BYTES))].copy()
    for _ in range(int(rng.integers(0, 6))):
        here, there = np.sort(rng.integers(0, len(piece) + 1, 2))
        match int(rng.integers(0, 5)):
            case 0:
                piece[here:there] = rng.integers(0, 256, there - here)
            case 1:
                piece[here : here + 1] ^= np.uint8(1 << int(rng.integers(0, 8)))
            case 2:
                piece = np.delete(piece, slice(here, there))
            case 3:
                piece = np.concatenate((piece, piece[here:there]))
            case _:
                piece = np.concatenate((piece[there:], piece[here:there], piece[:here]))
    return piece.tobytes()


def fuzz(subject: Subject, executions: int, seed: int) -> int:
    """Feed damaged sessions to one codec, and return how many events came out.

    Whatever the codec raises leaves this function.
    """
    rng = np.random.default_rng(seed)
    session = np.frombuffer(subject.session, np.uint8)
    codec: Any = subject.build().codec
    events = 0
    for number in range(executions):
        data = mutate(session, rng)
        cut = int(rng.integers(0, len(data) + 1))
        for part, chunk in enumerate((data[:cut], data[cut:])):
            events += len(list(codec.feed(chunk, (2 * number + part) * SPACING_NS)))
        if rng.integers(0, 8) == 0:
            codec.reset()
    return events
