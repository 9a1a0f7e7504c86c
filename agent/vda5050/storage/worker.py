"""Does the storage's errands, one after the other, beside the control loop."""

import errno
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from agent.clock import Clock
from agent.errors import ActionFailed, MapError, StorageFull
from agent.localization.place import FieldParams
from agent.mapping.map_file import load_map
from agent.vda5050.messages import ZoneSet
from agent.vda5050.storage.certificates import CertificateUpdate, Line
from agent.vda5050.storage.depot import FULL, Depot
from agent.vda5050.storage.errand import (
    Begun,
    Done,
    EnableMap,
    EnableZoneSet,
    Errand,
    FetchMap,
    FetchZoneSet,
    KeepZoneSet,
    Outcome,
    PrepareMap,
    PrepareZones,
    RemoveMap,
    RemoveZoneSet,
    ReplaceCertificates,
    Task,
    Undone,
)
from agent.vda5050.storage.link import LinkReader
from agent.vda5050.storage.params import StorageParams
from agent.vda5050.storage.terrain import MapKey, Terrain, open_ways
from agent.vda5050.zones.reading import read_zone_set


class StorageWorker:
    """Fetches, reads, prepares and deletes. ``run`` is run by a thread of the composition root."""

    def __init__(
        self,
        depot: Depot,
        params: StorageParams,
        fields: FieldParams,
        clock: Clock,
        report: Callable[[Outcome], None],
        files: Mapping[str, Path] = MappingProxyType({}),
        line: Callable[[], Line] = lambda: Line(None),
    ) -> None:
        """Prepare; nothing is done before :meth:`run`.

        Args:
            depot: Where maps are kept.
            params: What may be fetched.
            fields: What localization computes from a map.
            clock: For the patience with servers.
            report: Takes what comes of errands; called in the worker's thread.
            files: Certificate, key and authority of the line to the broker.
            line: Says how that line is doing.
        """
        self._depot = depot
        self._fields = fields
        self._report = report
        self._reader = LinkReader(params, clock, lambda: self._closed)
        self._certificates = CertificateUpdate(
            files, self._reader, line, clock, lambda: self._closed
        )
        self._changed = threading.Condition()
        self._tasks: deque[Task] = deque()
        self._closed = False

    def take(self, tasks: Iterable[Task]) -> None:
        """Have errands done soon; returns at once."""
        with self._changed:
            self._tasks.extend(tasks)
            self._changed.notify()

    def recover(self) -> bool:
        """Take back certificates that were not proved to work; before anything connects.

        Raises:
            OSError: They cannot be taken back.
        """
        return self._certificates.recover()

    def close(self) -> None:
        """Let :meth:`run` return; what is under way is given up, what waits is not begun."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def run(self) -> None:
        """Do errands as they come, until closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._tasks) or self._closed)
                if self._closed:
                    return
                task = self._tasks.popleft()
            self._report(Begun(task.ticket))
            self._report(self.do(task))

    def do(self, task: Task) -> Outcome:
        """Do an errand now, and return what came of it."""
        try:
            return Done(task.ticket, self._outcome_of(task.errand))
        except ActionFailed as error:
            return Undone(task.ticket, error)
        except MapError as error:
            return Undone(task.ticket, ActionFailed(f"the map cannot be used: {error.detail}"))
        except OSError as error:
            kind = StorageFull if error.errno in FULL else ActionFailed
            where = f"{error.filename}: " if error.filename else ""
            reason = error.strerror or errno.errorcode.get(error.errno or 0, str(error))
            return Undone(task.ticket, kind(f"the disk: {where}{reason}"))

    def _outcome_of(self, errand: Errand) -> object:
        match errand:
            case FetchMap(key, link, checksum):
                self._fetch(key, link, checksum)
            case PrepareMap(key, zone_set):
                return Terrain.prepare(load_map(self._depot.path(key)), self._fields, zone_set)
            case EnableMap(key):
                self._depot.enable(key)
            case RemoveMap(key):
                self._depot.remove(key)
            case FetchZoneSet(link, checksum):
                return self._zone_set(link, checksum)
            case KeepZoneSet(zone_set):
                self._depot.add_zone_set(zone_set)
            case PrepareZones(grid, zone_set):
                return open_ways(grid, zone_set)
            case EnableZoneSet(zone_set):
                self._depot.enable_zone_set(zone_set)
            case ReplaceCertificates(links):
                self._certificates.perform(links)
            case RemoveZoneSet(zone_set_id):
                self._depot.remove_zone_set(zone_set_id)
        return None

    def _zone_set(self, link: str, checksum: str | None) -> ZoneSet:
        file = self._depot.incoming() / "zone set"
        self._reader.fetch(link, file, checksum)
        return read_zone_set(file.read_bytes())

    def _fetch(self, key: MapKey, link: str, checksum: str | None) -> None:
        """Keep a map only once it has proved to be one that the robot can localize on."""
        incoming = self._depot.incoming()
        archive = incoming / "archive"
        self._reader.fetch(link, archive, checksum)
        self._depot.add(key, archive)
        try:
            Terrain.prepare(load_map(self._depot.path(key)), self._fields)
        except MapError:
            self._depot.remove(key)
            raise
