"""Kinds of differences between the JSON of a version and that of the internal model.

A difference is at one or more *places*: a message and a way down its objects, in the names of the
internal model, such as ``order.nodes.actions``; arrays are descended into without a word. Renamings
frame the rest: every other kind sees an object in the internal model's names, both ways.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Tree: TypeAlias = dict[str, Any]
Location: TypeAlias = tuple[str | int, ...]


class UnknownWord(ValueError):
    """A value that the version's enumeration does not have.

    Attributes:
        location: Where, in the internal model's names; whoever descended to it puts his step
            before.
    """

    def __init__(self, location: Location, word: str, known: Iterable[str]) -> None:
        super().__init__(f"{word!r} is none of {', '.join(dict.fromkeys(known))}")
        self.location = location


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """A field goes by another name.

    Attributes:
        section: Where the standard says so.
        places: Objects that have the field.
        ours: Name in the internal model.
        theirs: Name in the version.
    """

    section: str
    places: tuple[str, ...]
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """The version has no such field: it is not sent, and what arrives by that name is unknown.

    Attributes:
        section: Where the standard lists the fields without it.
        places: Objects that lack it.
        field: Name in the internal model.
    """

    section: str
    places: tuple[str, ...]
    field: str

    def outgoing(self, node: Tree) -> None:
        """Leave it out."""
        node.pop(self.field, None)

    def incoming(self, node: Tree) -> None:
        """Leave it out."""
        node.pop(self.field, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The values of an enumeration are spelled otherwise, or there are fewer of them.

    Attributes:
        section: Where the standard lists them.
        places: Objects that have the field.
        field: Name in the internal model; the field is one value, or an array of them.
        theirs: Every value of the internal model, and the version's for it; where several become
            one, that one is read as the value of the same name, or as the first.
        closed: Whether other values are refused; an extensible enumeration lets them pass.
    """

    section: str
    places: tuple[str, ...]
    field: str
    theirs: Mapping[str, str]
    closed: bool = True

    def outgoing(self, node: Tree) -> None:
        """Spell the values as the version does."""
        value = node.get(self.field)
        if isinstance(value, str):
            node[self.field] = self.theirs.get(value, value)
        elif isinstance(value, list):
            # Several may have become one, which is told once.
            node[self.field] = list(dict.fromkeys(self.theirs.get(word, word) for word in value))

    def incoming(self, node: Tree) -> None:
        """Read the version's values; what is no text is for the model to refuse.

        Raises:
            UnknownWord: There is no such value.
        """
        value = node.get(self.field)
        if isinstance(value, str):
            node[self.field] = self._read(value, (self.field,))
        elif isinstance(value, list):
            node[self.field] = [
                self._read(word, (self.field, index)) if isinstance(word, str) else word
                for index, word in enumerate(value)
            ]

    def _read(self, word: str, location: Location) -> str:
        if self.theirs.get(word) == word:
            return word
        for ours, theirs in self.theirs.items():
            if theirs == word:
                return ours
        if self.closed:
            raise UnknownWord(location, word, self.theirs.values())
        return word


def unchanged(node: Tree) -> None:
    """Leave an object as it is."""
    del node


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshaped:
    """An object is put together otherwise; the functions' docstrings say how.

    Attributes:
        section: Where the standard says so.
        places: Objects that it is about.
        outgoing: Changes one from the internal model's shape to the version's.
        incoming: Changes one back; what has wrong types is left for the model to refuse.
    """

    section: str
    places: tuple[str, ...]
    outgoing: Callable[[Tree], None] = unchanged
    incoming: Callable[[Tree], None] = unchanged


def spelled_as_in_1_1(message: Tree) -> None:
    """Read the array ``instantActions``, as a widespread master still calls it."""
    if "instantActions" in message:
        message.setdefault("actions", message.pop("instantActions"))


Difference: TypeAlias = Renamed | Absent | Words | Reshaped
