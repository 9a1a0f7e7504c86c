"""A map as one file: the yaml of ROS map_server and its image, in a zip or tar archive.

VDA 5050 2.1, section 6.7.1: what belongs together is packed into a single file. What an archive
says about itself is not believed: names lead nowhere but into the directory of the map, and only so
many bytes are unpacked.
"""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from agent.errors import DownloadFailed, MapError, StorageFull
from agent.mapping.map_file import read_description

MOST_MEMBERS = 32
CHUNK_BYTES = 1 << 16
SUFFIXES = (".yaml", ".yml")
BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)


def unpack(archive: Path, directory: Path, most_bytes: int) -> str:
    """Unpack a map.

    Args:
        archive: The file as it was sent.
        directory: Where to put what it holds; has to be there, and empty.
        most_bytes: How much may be unpacked.

    Returns:
        Name of the yaml.

    Raises:
        DownloadFailed: It is no archive, or does not hold one map.
        StorageFull: There is more in it than may be unpacked.
        OSError: It cannot be written.
    """
    left = most_bytes
    try:
        for name, source in _members(archive):
            with source, (directory / name).open("xb") as target:
                while chunk := source.read(CHUNK_BYTES):
                    left -= len(chunk)
                    if left < 0:
                        raise StorageFull(f"the archive holds more than {most_bytes / 1e6:g} MB")
                    target.write(chunk)
    except FileExistsError as error:
        raise DownloadFailed("the archive has two files of one name") from error
    except (*BROKEN, RuntimeError, NotImplementedError) as error:
        raise DownloadFailed(f"the archive is broken: {error}") from error
    return _map_in(directory)


def _map_in(directory: Path) -> str:
    """Return the yaml of the one map in a directory."""
    found = sorted(path for path in directory.iterdir() if path.suffix.lower() in SUFFIXES)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DownloadFailed(f"a map is one yaml and its image; yaml files in there: {names}")
    try:
        image = read_description(found[0]).image
    except MapError as error:
        detail = error.detail.replace(f"{directory}/", "")
        raise DownloadFailed(f"the map cannot be used: {detail}") from error
    if image.parent != directory or not image.is_file():
        raise DownloadFailed(
            f"{found[0].name} names the image {image.name}, which is not beside it"
        )
    return found[0].name


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield plain name and content of each file; directories within the archive do not count."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            files = [info for info in packed.infolist() if not info.is_dir()]
            _check_count(len(files))
            for info in files:
                yield _name(info.filename), packed.open(info)
        return
    try:
        unpacked = tarfile.open(archive)  # noqa: SIM115 (closed below)
    except (*BROKEN, OSError) as error:
        raise DownloadFailed("the file is neither a zip nor a tar archive") from error
    with unpacked:
        members = (member for member in unpacked if member.isfile())
        for count, member in enumerate(members, 1):
            _check_count(count)
            source = unpacked.extractfile(member)
            if source is not None:
                yield _name(member.name), source


def _check_count(count: int) -> None:
    if count > MOST_MEMBERS:
        raise DownloadFailed(f"the archive holds more than {MOST_MEMBERS} files")


def _name(member: str) -> str:
    name = PurePosixPath(member.replace("\\", "/")).name
    if name in ("", "..") or "\0" in name:
        raise DownloadFailed(f"the archive names a file {member!r}")
    return name
