"""The versions of VDA 5050 that are spoken, and the translation of JSON trees between them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.vda5050.wire import v2_0, v2_1, v3_0
from agent.vda5050.wire.difference import (
    Absent,
    Difference,
    Location,
    Renamed,
    Reshaped,
    Tree,
    UnknownWord,
    Words,
)


class WordRefused(ValueError):
    """A message has a value that its version does not know.

    Attributes:
        location: Where, in the version's names.
    """

    def __init__(self, location: Location, reason: str) -> None:
        super().__init__(reason)
        self.location = location


@dataclass(slots=True)
class _Place:
    """What is different about the objects at one place, and about those within them.

    Attributes:
        sent: Pairs of our name and theirs.
        read: The same the other way round.
        others: Differences that are no renamings.
        within: Places within these objects, by our names.
    """

    sent: list[tuple[str, str]] = field(default_factory=list)
    read: list[tuple[str, str]] = field(default_factory=list)
    others: list[Absent | Words | Reshaped] = field(default_factory=list)
    within: dict[str, "_Place"] = field(default_factory=dict)

    def add(self, difference: Difference) -> None:
        """Take in a difference of these objects."""
        if isinstance(difference, Renamed):
            self.sent.append((difference.ours, difference.theirs))
            self.read.append((difference.theirs, difference.ours))
        else:
            self.others.append(difference)

    def outgoing(self, node: Any) -> None:
        """Change an object, or each of an array, inner ones first; leave anything else alone."""
        if isinstance(node, list):
            for item in node:
                self.outgoing(item)
        elif isinstance(node, dict):
            for name, place in self.within.items():
                if name in node:
                    place.outgoing(node[name])
            for difference in self.others:
                difference.outgoing(node)
            if self.sent:
                _rename(node, self.sent)

    def incoming(self, node: Any) -> None:
        """Change an object, or each of an array, outer ones first; leave anything else alone."""
        if isinstance(node, list):
            for index, item in enumerate(node):
                try:
                    self.incoming(item)
                except UnknownWord as word:
                    word.location = (index, *word.location)
                    raise
        elif isinstance(node, dict):
            if self.read:
                _rename(node, self.read)
            for difference in self.others:
                difference.incoming(node)
            for name, place in self.within.items():
                if name in node:
                    try:
                        place.incoming(node[name])
                    except UnknownWord as word:
                        word.location = (name, *word.location)
                        raise


class Version:
    """One version of the standard on the wire.

    Attributes:
        name: Its full number.
        topic_prefix: What its topics begin with where the configuration does not say.
        to_robot: Topics that a master publishes.
        differences: All that sets it apart from the internal model.
    """

    def __init__(
        self,
        name: str,
        topic_prefix: str,
        to_robot: Sequence[str],
        differences: Sequence[Difference],
    ) -> None:
        self.name = name
        self.topic_prefix = topic_prefix
        self.to_robot = tuple(to_robot)
        self.differences = tuple(differences)
        self._messages = _by_message(self.differences)

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor."""
        return numbers(self.name) or (0, 0)

    def outgoing(self, topic: str, tree: Tree) -> None:
        """Turn a message of the internal model into one of this version, in place."""
        if topic in self._messages:
            self._messages[topic].outgoing(tree)

    def incoming(self, topic: str, tree: Tree) -> None:
        """Turn a message of this version into one of the internal model, in place.

        Raises:
            WordRefused: It has a value that this version does not know.
        """
        if topic in self._messages:
            try:
                self._messages[topic].incoming(tree)
            except UnknownWord as word:
                raise WordRefused(self.spelled(topic, word.location), str(word)) from word

    def spelled(self, topic: str, location: Location) -> Location:
        """Return where in a message something is, in the names of this version."""
        place = self._messages.get(topic)
        theirs: list[str | int] = []
        for part in location:
            if isinstance(part, int) or place is None:
                theirs.append(part)
            else:
                theirs.append(next((new for old, new in place.sent if old == part), part))
                place = place.within.get(part)
        return tuple(theirs)


def _by_message(differences: Sequence[Difference]) -> dict[str, _Place]:
    """Return the messages in which something is different, by their topics."""
    messages: dict[str, _Place] = {}
    for difference in differences:
        for path in difference.places:
            topic, *names = path.split(".")
            place = messages.setdefault(topic, _Place())
            for name in names:
                place = place.within.setdefault(name, _Place())
            place.add(difference)
    return messages


def _rename(node: Tree, pairs: Sequence[tuple[str, str]]) -> None:
    """Rename fields all at once; what had a new name before was a field unknown to the reader."""
    moved = {new: node.pop(old) for old, new in pairs if old in node}
    for _, new in pairs:
        node.pop(new, None)
    node.update(moved)


def numbers(version: str) -> tuple[int, int] | None:
    """Return major and minor of a version such as ``2.1.0``, None for what is none."""
    parts = version.split(".")
    if len(parts) < 2 or not all(part.isdecimal() for part in parts[:2]):
        return None
    return int(parts[0]), int(parts[1])


TO_ROBOT = ("order", "instantActions")

VERSIONS = (
    Version("2.0.0", "uagv/v2", TO_ROBOT, v2_0.DIFFERENCES),
    Version("2.1.0", "uagv/v2", TO_ROBOT, v2_1.DIFFERENCES),
    Version("3.0.0", "vda5050/v3", (*TO_ROBOT, "responses", "zoneSet"), v3_0.DIFFERENCES),
)


def speaks(version: str) -> bool:
    """Whether a version is spoken: its major and minor are known, whatever the patch is."""
    return any(known.number == numbers(version) for known in VERSIONS)


def version_of(version: str) -> Version:
    """Return how to read and write messages whose header names a version.

    What is not known is taken for the newest known before it, or the oldest: whoever reads it
    finds it out by the version it names, and can say so.
    """
    number = numbers(version) or VERSIONS[1].number
    older = [known for known in VERSIONS if known.number <= number]
    return older[-1] if older else VERSIONS[0]
