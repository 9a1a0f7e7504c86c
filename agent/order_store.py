"""The order on disk, so that a robot whose power was cut knows what it was about.

Only the newest state counts. It is written to a file beside the one at hand, forced to the disk and
renamed over it, so that there is a whole file at any moment (POSIX rename; fsync of file and
directory). The first line holds what the second one is checked against.
"""

import json
import os
import threading
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

from agent.errors import RecordInvalid

FORMAT = "haulier order 1"
MOST_BYTES = 64_000_000  # a thousand nodes with many actions take a few; more is no file of ours

Snapshot: TypeAlias = Callable[[], bytes]


class OrderStore:
    """Keeps the newest snapshot. ``run`` is run by a thread of the composition root."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is read or written yet."""
        self._path = path
        self._changed = threading.Condition()
        self._newest: Snapshot | None = None
        self._closed = False
        self._failure: str | None = None
        self._asked = self._settled = self._written = 0

    @property
    def failure(self) -> str | None:
        """Why the last snapshot could not be written, None where it could."""
        return self._failure

    @property
    def written(self) -> int:
        """How many snapshots were written so far."""
        return self._written

    @property
    def settled(self) -> int:
        """How many of the snapshots so far are on the disk, or in vain: there is a newer one.

        One that could not be written counts too: a robot with a full disk goes on, and tells.
        """
        return self._settled

    def load(self) -> dict[str, Any] | None:
        """Return the snapshot that was kept last, None where there is none.

        Raises:
            RecordInvalid: The file is torn or not ours. It was put aside, and the text says where.
        """
        try:
            with self._path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RecordInvalid(f"{self._path} cannot be read: {error.strerror}") from error
        try:
            return _body(content)
        except ValueError as error:
            raise RecordInvalid(f"{self._path} {error}; {self._put_aside()}") from error

    def put_aside(self) -> None:
        """Make way for the next snapshot: what the file holds cannot be gone on with."""
        self._put_aside()

    def keep(self, snapshot: Snapshot) -> None:
        """Have a snapshot written soon in place of all before; returns at once.

        Args:
            snapshot: Returns it as JSON text; called by the writing thread.
        """
        with self._changed:
            self._newest = snapshot
            self._asked += 1
            self._changed.notify()

    def close(self) -> None:
        """Let ``run`` return once it has written what there is."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def run(self) -> None:
        """Write snapshots as they come, until closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._closed)
                snapshot, self._newest = self._newest, None
                number = self._asked
            if snapshot is None:
                return
            try:
                self._write(snapshot())
            except OSError as error:
                self._failure = f"{self._path}: {error.strerror}"
            else:
                self._failure = None
                self._written += 1
            self._settled = number

    def _write(self, body: bytes) -> None:
        head = json.dumps({"format": FORMAT, "bytes": len(body), "blake2b": _checksum(body)})
        beside = self._path.with_name(f"{self._path.name}.new")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(head.encode() + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        self._sync_directory()

    def _sync_directory(self) -> None:
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _put_aside(self) -> str:
        aside = self._path.with_name(f"{self._path.name}.bad")
        try:
            self._path.replace(aside)
        except OSError as error:
            return f"it cannot be put aside: {error.strerror}"
        return f"it was put aside as {aside.name}"


def _body(content: bytes) -> dict[str, Any]:
    """Return what a file holds.

    Raises:
        ValueError: It is torn or not ours; the text goes on where the file's name ends.
    """
    first, _, body = content.partition(b"\n")
    try:
        head = json.loads(first)
    except ValueError as error:
        raise ValueError("is no order record") from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise ValueError("is no order record of this version")
    if (head.get("bytes"), head.get("blake2b")) != (len(body), _checksum(body)):
        raise ValueError("is torn: its checksum does not fit")
    tree = json.loads(body)
    if not isinstance(tree, dict):
        raise ValueError("holds no order")
    return tree


def _checksum(body: bytes) -> str:
    return blake2b(body, digest_size=16).hexdigest()
