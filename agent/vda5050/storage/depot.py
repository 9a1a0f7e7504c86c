"""Maps and zone sets on the robot's disk: what the configuration has, and what the platform sent.

Each map has a directory of its own and each zone set a file, beside an index that alone says what
is kept and what is in use. The index is written anew, forced to the disk and renamed over the old
one (POSIX rename; fsync of file and directory), after what it names and before what it no longer
names is deleted; so a power cut at any moment leaves either what was before or what was wanted, and
leftovers that the next start sweeps up.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from agent.errors import ActionFailed, ConfigError, DuplicateMap, RecordInvalid, StorageFull
from agent.vda5050.messages import ZoneSet
from agent.vda5050.storage.package import unpack
from agent.vda5050.storage.params import StorageParams
from agent.vda5050.storage.terrain import MapKey
from agent.vda5050.zones.reading import read_kept, write_kept

FORMAT = "haulier maps 1"
INDEX = "index.json"
INCOMING = "incoming"
CHUNK_BYTES = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Depot:
    """Keeps maps. Used by the composition root at the start, then by the storage's thread alone."""

    def __init__(self, params: StorageParams, configured: Mapping[MapKey, Path]) -> None:
        """Read the index; what it does not name is swept away, what is damaged put aside.

        Args:
            params: Where, and how much.
            configured: The configuration's own maps, which nobody deletes but a technician.

        Raises:
            ConfigError: The directory cannot be used.
        """
        self._params = params
        self._directory = params.directory
        self._configured = dict(configured)
        self._index = _Index({}, {}, {}, {})
        self._zone_sets: dict[str, ZoneSet] = {}
        self._log = structlog.get_logger()
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._read_index()
            self._sweep()
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(f"storage.directory: {self._directory}: {reason}") from error

    @property
    def keys(self) -> tuple[MapKey, ...]:
        """All maps on the robot, those of the configuration first."""
        return (*self._configured, *self._index.maps)

    @property
    def enabled(self) -> dict[str, MapKey]:
        """The map in use for each id that has one."""
        chosen = {key.map_id: key for key in self._configured}
        wanted = (MapKey(*item) for item in self._index.enabled.items())
        return chosen | {key.map_id: key for key in wanted if key in self.keys}

    @property
    def zone_sets(self) -> tuple[ZoneSet, ...]:
        """All zone sets on the robot."""
        return tuple(self._zone_sets.values())

    @property
    def zone_sets_enabled(self) -> dict[str, str]:
        """Id of the zone set that holds, for each map that has one."""
        wanted = self._index.zone_sets_enabled.items()
        return {map_id: name for map_id, name in wanted if name in self._zone_sets}

    def path(self, key: MapKey) -> Path:
        """Return the yaml of a map.

        Raises:
            ActionFailed: There is no such map.
        """
        if key in self._index.maps:
            entry = self._index.maps[key]
            return self._directory / entry.folder / entry.file
        if key in self._configured:
            return self._configured[key]
        raise ActionFailed(f"there is no map {key}")

    def incoming(self) -> Path:
        """Return an empty place for what is on its way."""
        path = self._directory / INCOMING
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def add(self, key: MapKey, archive: Path) -> None:
        """Keep a map that was fetched.

        Raises:
            ActionFailed: It cannot be used, is there already, or there is no room for it.
            OSError: It cannot be written.
        """
        if key in self.keys:
            raise DuplicateMap(f"map {key} is on the robot already", **key.references)
        unpacked = archive.with_name("unpacked")
        unpacked.mkdir()
        file = unpack(archive, unpacked, self._params.most_bytes)
        archive.unlink()
        self._check_quota(_size(unpacked))
        for path in (*unpacked.iterdir(), unpacked):
            _sync(path)
        entry = _Entry(_folder(key), file, _digest(unpacked))
        shutil.rmtree(self._directory / entry.folder, ignore_errors=True)
        unpacked.replace(self._directory / entry.folder)
        self._write(self._index._replace(maps={**self._index.maps, key: entry}))

    def enable(self, key: MapKey) -> None:
        """Note which map of its id is used from the next start on.

        Raises:
            OSError: It cannot be written.
        """
        enabled = {**self._index.enabled, key.map_id: key.map_version}
        self._write(self._index._replace(enabled=enabled))

    def remove(self, key: MapKey) -> None:
        """Delete a map that was sent.

        Raises:
            ActionFailed: There is no such map among those that were sent.
            OSError: It cannot be written.
        """
        if key not in self._index.maps:
            raise ActionFailed(f"there is no map {key} that could be deleted")
        folder = self._index.maps[key].folder
        left = {name: entry for name, entry in self._index.maps.items() if name != key}
        self._write(self._index._replace(maps=left))
        shutil.rmtree(self._directory / folder, ignore_errors=True)

    def add_zone_set(self, zone_set: ZoneSet) -> None:
        """Keep a zone set.

        Raises:
            OSError: It cannot be written.
        """
        name, content = zone_set.zone_set_id, write_kept(zone_set)
        file = f"zones-{_hash(name.encode(), 12)}.json"
        with (self._directory / file).open("wb") as target:
            target.write(content)
            target.flush()
            os.fsync(target.fileno())
        kept = {**self._index.zone_sets, name: _ZoneFile(file, _hash(content))}
        self._write(self._index._replace(zone_sets=kept))
        self._zone_sets[name] = zone_set

    def enable_zone_set(self, zone_set: ZoneSet) -> None:
        """Note which zone set of its map holds from the next start on.

        Raises:
            OSError: It cannot be written.
        """
        enabled = {**self._index.zone_sets_enabled, zone_set.map_id: zone_set.zone_set_id}
        self._write(self._index._replace(zone_sets_enabled=enabled))

    def remove_zone_set(self, zone_set_id: str) -> None:
        """Delete a zone set.

        Raises:
            ActionFailed: There is none of that id.
            OSError: It cannot be written.
        """
        if zone_set_id not in self._index.zone_sets:
            raise ActionFailed(f"there is no zone set {zone_set_id} that could be deleted")
        file = self._index.zone_sets[zone_set_id].file
        left = {name: kept for name, kept in self._index.zone_sets.items() if name != zone_set_id}
        self._write(self._index._replace(zone_sets=left))
        del self._zone_sets[zone_set_id]
        (self._directory / file).unlink(missing_ok=True)

    def _check_quota(self, more_bytes: int) -> None:
        used = sum(_size(self._directory / entry.folder) for entry in self._index.maps.values())
        if used + more_bytes > self._params.quota_bytes:
            raise StorageFull(
                f"maps on the robot take {used / 1e6:.1f} of {self._params.quota_mb:g} MB, "
                f"and this one {more_bytes / 1e6:.1f} MB"
            )

    def _read_index(self) -> None:
        path = self._directory / INDEX
        if not path.exists():
            return
        try:
            index = _parse(path.read_bytes())
        except ValueError as error:
            aside = path.with_name(f"{INDEX}.bad")
            path.replace(aside)
            hint = RecordInvalid.hint
            self._log.warning("maps.index_refused", reason=f"{path}: {error}", hint=hint)
            return
        whole = index._replace(
            maps={key: entry for key, entry in index.maps.items() if self._is_whole(key, entry)},
            zone_sets={
                name: kept
                for name, kept in index.zone_sets.items()
                if self._read_zone_set(name, kept)
            },
        )
        if whole == index:
            self._index = index
        else:
            self._write(whole)

    def _is_whole(self, key: MapKey, entry: "_Entry") -> bool:
        """Whether a map is on the disk as it was written."""
        folder = self._directory / entry.folder
        is_whole = (folder / entry.file).is_file() and _digest(folder) == entry.digest
        if not is_whole:
            self._log.warning("maps.damaged", map_id=key.map_id, map_version=key.map_version)
        return is_whole

    def _read_zone_set(self, name: str, zones: "_ZoneFile") -> bool:
        """Take up a zone set; returns whether it is on the disk as it was written."""
        path = self._directory / zones.file
        try:
            content = path.read_bytes()
            if _hash(content) != zones.digest:
                raise ValueError("is not as it was written")
            self._zone_sets[name] = read_kept(content)
        except (FileNotFoundError, ValueError) as error:
            self._log.warning("zones.damaged", zone_set_id=name, reason=str(error))
            return False
        return True

    def _sweep(self) -> None:
        known = {entry.folder for entry in self._index.maps.values()}
        for path in self._directory.iterdir():
            if path.is_dir() and path.name not in known:
                shutil.rmtree(path)

    def _write(self, index: "_Index") -> None:
        """Have an index hold from now on."""
        tree = {
            "format": FORMAT,
            "maps": [
                {**key._asdict(), "folder": e.folder, "file": e.file, "blake2b": e.digest}
                for key, e in index.maps.items()
            ],
            "enabled": index.enabled,
            "zone_sets": [
                {"zone_set_id": name, "file": zones.file, "blake2b": zones.digest}
                for name, zones in index.zone_sets.items()
            ],
            "zone_sets_enabled": index.zone_sets_enabled,
        }
        beside = self._directory / f"{INDEX}.new"
        with beside.open("w", encoding="utf-8") as file:
            json.dump(tree, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._directory / INDEX)
        _sync(self._directory)
        self._index = index


class _Entry(NamedTuple):
    """Where a map is kept, and by what it is known to be whole."""

    folder: str
    file: str
    digest: str


class _ZoneFile(NamedTuple):
    """Where a zone set is kept, and by what it is known to be whole."""

    file: str
    digest: str


class _Index(NamedTuple):
    """What is kept, and what of it is in use."""

    maps: dict[MapKey, _Entry]
    enabled: dict[str, str]
    zone_sets: dict[str, _ZoneFile]
    zone_sets_enabled: dict[str, str]


def _parse(content: bytes) -> _Index:
    """Return what a file says.

    Raises:
        ValueError: It is no index of ours.
    """
    tree: Any = json.loads(content)
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        raise ValueError("is no index of maps of this version")
    try:
        return _Index(
            {
                MapKey(*_texts(entry, "map_id", "map_version")): _Entry(
                    *_texts(entry, "folder", "file", "blake2b")
                )
                for entry in tree["maps"]
            },
            _pairs(tree["enabled"]),
            {
                str(entry["zone_set_id"]): _ZoneFile(*_texts(entry, "file", "blake2b"))
                for entry in tree["zone_sets"]
            },
            _pairs(tree["zone_sets_enabled"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"is broken: {error!r}") from error


def _pairs(tree: Mapping[str, Any]) -> dict[str, str]:
    return dict(zip(tree, _texts(tree, *tree), strict=True))


def _texts(tree: Mapping[str, Any], *names: str) -> Iterable[str]:
    """Return some of an object's texts."""
    texts = [tree[name] for name in names]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{', '.join(names)} are not all texts")
    return texts


def _folder(key: MapKey) -> str:
    """Return a name for a map's directory; ids may hold anything."""
    return f"map-{_hash(json.dumps(key).encode(), 12)}"


def _hash(content: bytes, size: int = 16) -> str:
    return blake2b(content, digest_size=size).hexdigest()


def _digest(folder: Path) -> str:
    whole = blake2b(digest_size=16)
    for path in sorted(folder.iterdir()):
        whole.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                whole.update(chunk)
    return whole.hexdigest()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
