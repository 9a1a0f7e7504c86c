"""The JSON text of a snapshot, made of parts that are written once.

An order of a thousand nodes is some 200 kB of JSON, of which a few words change as it is driven.
Nodes, edges and actions never change, so their text is kept for as long as they are part of the
snapshot. It is made piece by piece, so that a thread that writes never keeps the control loop from
running for longer than one piece takes.
"""

import json
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, JsonValue


class RecordText:
    """Writes snapshots. One thread at a time may use it."""

    def __init__(self) -> None:
        """Begin with no text known."""
        # An object that is kept here cannot give its id to another one.
        self._known: dict[int, tuple[BaseModel, bytes]] = {}
        self._used: dict[int, tuple[BaseModel, bytes]] = {}

    def of(self, element: BaseModel | None) -> bytes:
        """Return the text of an object that never changes, or of none."""
        if element is None:
            return b"null"
        key = id(element)
        kept = self._known.get(key)
        if kept is None:
            kept = element, element.model_dump_json(exclude_none=True).encode()
        self._used[key] = kept
        return kept[1]

    def of_all(self, elements: Iterable[BaseModel]) -> bytes:
        """Return the text of a list of them."""
        return array(self.of(element) for element in elements)

    def end(self) -> None:
        """Forget what is not part of the snapshot that ends here."""
        self._known, self._used = self._used, {}


def array(texts: Iterable[bytes]) -> bytes:
    """Return the text of a list, of those of its members."""
    return b"[" + b",".join(texts) + b"]"


def table(texts: Mapping[str, bytes], values: Mapping[str, JsonValue]) -> bytes:
    """Return the text of an object.

    Args:
        texts: Those of some members, by names without anything to escape.
        values: The others, one at least.
    """
    named = (b'"%b":%b,' % (name.encode(), text) for name, text in texts.items())
    return b"{" + b"".join(named) + json.dumps(values, allow_nan=False).encode()[1:]
