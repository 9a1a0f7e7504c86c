"""Files are fetched from where the configuration allows, whole, and from nowhere else."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.clock import SimulatedClock, SystemClock
from agent.errors import DownloadFailed, StorageFull
from agent.vda5050.storage.link import LinkReader
from agent.vda5050.storage.params import StorageParams
from tests.agent.vda5050.storage.archives import served

CONTENT = bytes(range(256)) * 1000


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("server")
    (path / "maps").mkdir()
    for file in (path / "maps" / "hall.zip", path / "secret"):
        file.write_bytes(CONTENT)
    return path


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[str]:
    with served(directory) as url:
        yield url


def reader(*allow: str, **limits: float) -> LinkReader:
    params = StorageParams(directory=Path("unused"), allow=allow, **limits)
    return LinkReader(params, SystemClock())


def test_what_is_allowed_comes_whole(server: str, directory: Path, tmp_path: Path) -> None:
    links = (f"{server}/maps/hall.zip", (directory / "maps" / "hall.zip").as_uri())
    for link in links:
        reader(f"{server}/maps/", directory.as_uri()).fetch(link, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["md5", "sha1", "sha256", "sha512"])
@pytest.mark.parametrize("prefix", [False, True])
def test_the_checksum_is_compared(server: str, tmp_path: Path, kind: str, *, prefix: bool) -> None:
    right = hashlib.new(kind, CONTENT).hexdigest().upper()
    stated = f"{kind}:{right}" if prefix else right
    reader(server).fetch(f"{server}/maps/hall.zip", tmp_path / "file", stated)
    wrong = hashlib.new(kind, CONTENT + b"x").hexdigest()
    with pytest.raises(DownloadFailed, match=f"its {kind} is"):
        reader(server).fetch(f"{server}/maps/hall.zip", tmp_path / "file", wrong)


@pytest.mark.parametrize("checksum", ["", "12", "sha256:12", "md5:" + 64 * "a", 64 * "g"])
def test_what_is_no_checksum_is_refused(server: str, tmp_path: Path, checksum: str) -> None:
    with pytest.raises(DownloadFailed, match="no hexadecimal"):
        reader(server).fetch(f"{server}/maps/hall.zip", tmp_path / "file", checksum)


@pytest.mark.parametrize(
    "link",
    [
        "{server}/secret", "{server}/maps/../secret", "{server}/maps/%2e%2e/secret",
        "{server}/mapsx/hall.zip", "{server}/away/secret", "ftp://127.0.0.1/maps/hall.zip",
        "http://somebody@127.0.0.1/maps/hall.zip", "http://127.0.0.1:1/maps/hall.zip",
        "http://127.0.0.1:x/", "file:///etc/hostname", "maps/hall.zip", "", "{server}/maps/a b",
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused(server: str, tmp_path: Path, link: str) -> None:
    with pytest.raises(DownloadFailed, match=r"allow|no link"):
        reader(f"{server}/maps/").fetch(link.format(server=server), tmp_path / "file")


def test_nothing_is_allowed_by_default(server: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="allow"):
        reader().fetch(f"{server}/maps/hall.zip", tmp_path / "file")


def test_a_redirection_leads_where_a_link_may(server: str, tmp_path: Path) -> None:
    both = reader(f"{server}/away/", f"{server}/maps/")
    both.fetch(f"{server}/away/maps/hall.zip", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    with pytest.raises(DownloadFailed, match="allow"):
        reader(f"{server}/away/").fetch(f"{server}/away/maps/hall.zip", tmp_path / "file")


def test_a_symbolic_link_leads_where_a_link_may(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(directory / "secret")
    with pytest.raises(DownloadFailed, match="allow"):
        reader(tmp_path.as_uri()).fetch((tmp_path / "way").as_uri(), tmp_path / "file")


def test_what_is_too_large_is_given_up(server: str, tmp_path: Path) -> None:
    with pytest.raises(StorageFull, match=r"larger than 0.2 MB"):
        reader(server, most_mb=0.2).fetch(f"{server}/maps/hall.zip", tmp_path / "file")


@pytest.mark.parametrize(
    ("path", "words"), [("/maps/none", "404"), ("/maps/none.zip", "404")]
)  # fmt: skip
def test_what_the_server_says_is_told(server: str, tmp_path: Path, path: str, words: str) -> None:
    with pytest.raises(DownloadFailed, match=words):
        reader(server).fetch(server + path, tmp_path / "file")


def test_a_server_that_is_not_there_and_a_file_that_is_not(tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="refused"):
        reader("http://127.0.0.1:1/").fetch("http://127.0.0.1:1/x", tmp_path / "file")
    with pytest.raises(DownloadFailed, match="no such file"):
        reader("file:///").fetch((tmp_path / "none").as_uri(), tmp_path / "file")


def test_patience_and_closing_end_it(directory: Path, tmp_path: Path) -> None:
    class Racing(SimulatedClock):
        def now_ns(self) -> int:
            self.wait_until_ns(super().now_ns() + 10**9)
            return super().now_ns()

    params = StorageParams(directory=tmp_path, allow=("file:///",), patience_s=1.5)
    link = (directory / "secret").as_uri()
    with pytest.raises(DownloadFailed, match=r"longer than 1.5 s"):
        LinkReader(params, Racing()).fetch(link, tmp_path / "file")
    with pytest.raises(DownloadFailed, match="switched off"):
        LinkReader(params, SimulatedClock(), lambda: True).fetch(link, tmp_path / "file")


def test_a_disk_that_takes_nothing_is_the_callers_business(directory: Path) -> None:
    with pytest.raises(OSError, match="Not a directory"):
        reader("file:///").fetch((directory / "secret").as_uri(), Path(os.devnull) / "x" / "y")
